//! Words as tones: every word has a number, every number a short tune that can be found again in the audio.
//!
//! With it a stand-in hears *which* words are in the audio it is sent, wherever its connection began, and a test reads
//! off the wire which words a caller heard, in which order, how often.
//!
//! A tune is a chord that says "here", three tones of four bits and two tones that check them, then a breath of
//! silence. All lie between 1.8 and 3.2 kHz: through a telephone, above the digits of a keypad and the steady tones
//! that the engine listens for, and where speech is weak. Enter at [`tune`], [`Decoder`], [`speech_with`].

use std::f64::consts::TAU;

/// Symbols of a tune: the chord, three of data, two that check them.
pub const SYMBOLS: usize = 6;
/// Microseconds of a symbol.
pub const SYMBOL_US: u64 = 35_000;
/// Microseconds of silence after the last symbol.
pub const BREATH_US: u64 = 30_000;
/// Microseconds of a tune, silence and all.
pub const TUNE_US: u64 = SYMBOLS as u64 * SYMBOL_US + BREATH_US;
/// Numbers there are: 0 to one less.
pub const NUMBERS: u16 = 4_096;

/// Tones: sixteen for data between the two of the chord. Multiples of the spacing, so that over a window of two periods
/// of it each tone is deaf to the others.
const TONES: usize = 18;
const LOWEST_HZ: f64 = 1_840.0;
const SPACING_HZ: f64 = 80.0;
/// Peak of a symbol: −15 dBFS.
const PEAK: f64 = 6_000.0;
/// Microseconds in which a symbol swells and fades, so that it does not click over the others.
const RAMP_US: u64 = 3_000;

/// Power of the loudest 20 ms of the speech under tunes: −22 dBFS.
const BED_PEAK_POWER: f64 = 3_600.0 * 3_600.0;

/// Hops of 5 ms in a symbol, and those of them that are measured: a window fits inside wherever the hops began.
const HOPS_IN_SYMBOL: usize = 7;
const HOPS_IN_WINDOW: usize = 5;
const HOPS_PER_S: u32 = 200;
/// Windows kept: from the chord's to the last symbol's.
const WINDOWS: usize = (SYMBOLS - 1) * HOPS_IN_SYMBOL + 1;

/// Share of the power of all tones that a symbol's own must have. Under it a tune is lost in noise.
const SHARE: f32 = 0.42;
/// Most by which a tone of the chord may be stronger than the other.
const TWIST: f32 = 4.0;
/// Least power of a symbol beside the strongest of its tune.
const LEVEL: f32 = 0.2;
/// Least amplitude of a symbol, of 32 768.
const QUIETEST: f32 = 250.0;

/// The tune of a number, [`TUNE_US`] long; numbers from [`NUMBERS`] on begin anew from 0.
pub fn tune(number: u16, sample_rate_hz: u32) -> Vec<i16> {
    let rate = f64::from(sample_rate_hz);
    let at = |us: u64| (us * u64::from(sample_rate_hz) / 1_000_000) as usize;
    let mut samples = vec![0i16; at(TUNE_US)];
    for (symbol, tones) in symbols(number % NUMBERS).iter().enumerate() {
        let (start, end) = (at(symbol as u64 * SYMBOL_US), at((symbol as u64 + 1) * SYMBOL_US));
        let ramp = at(RAMP_US).max(1) as f64;
        for (index, sample) in samples[start..end].iter_mut().enumerate() {
            let edge = index.min(end - start - 1 - index) as f64 / ramp;
            let swell = 0.5 - 0.5 * (edge.min(1.0) * TAU / 2.0).cos();
            let sines = tones.iter().map(|&tone| (TAU * hz(tone) * index as f64 / rate).sin());
            *sample = (PEAK * swell * sines.sum::<f64>() / tones.len() as f64) as i16;
        }
    }
    samples
}

/// The number of a word: of one that ends in digits after `word` those (`word17` is 17), of any other one that stays
/// the same, by its letters and digits in lower case.
pub fn number_of(word: &str) -> u16 {
    let letters: String =
        word.chars().filter(|char| is_of_word(*char)).flat_map(char::to_lowercase).collect();
    if let Some(Ok(number)) = letters.strip_prefix("word").map(str::parse::<u16>) {
        return number % NUMBERS;
    }
    // FNV-1a, folded to twelve bits.
    let hash =
        letters.bytes().fold(0x811C_9DC5u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    ((hash ^ (hash >> 12) ^ (hash >> 24)) & 0xFFF) as u16
}

/// Whether a character belongs to a word: vowel signs of Indic scripts do, though Unicode calls some of them marks.
fn is_of_word(char: char) -> bool {
    char.is_alphanumeric() || matches!(char, '\u{0300}'..='\u{036F}' | '\u{0900}'..='\u{0DFF}')
}

/// The tunes of `words`, one after another, over real speech: `bed` at 16 kHz, without its pauses, again from its start
/// if it is too short. A voice detector hears voice from before the first tune until after the last.
pub fn speech_with(words: &[u16], bed: &[i16]) -> Vec<i16> {
    const RATE_HZ: u32 = 16_000;
    // Samples of speech before the first tune and after the last.
    let (lead, tail) = (3_200, 1_600);
    let tunes: Vec<_> = words.iter().map(|word| tune(*word, RATE_HZ)).collect();
    let length = lead + tunes.iter().map(Vec::len).sum::<usize>() + tail;
    let mut samples: Vec<i16> = without_pauses(bed).into_iter().cycle().take(length).collect();
    samples.resize(length, 0);
    let mut at = lead;
    for tune in tunes {
        for (sample, tone) in samples[at..].iter_mut().zip(&tune) {
            *sample = sample.saturating_add(*tone);
        }
        at += tune.len();
    }
    samples
}

/// The loud 20 ms of some speech, at the level the tunes are made for.
fn without_pauses(speech: &[i16]) -> Vec<i16> {
    const FRAME: usize = 320;
    let power =
        |frame: &[i16]| frame.iter().map(|sample| f64::from(*sample).powi(2)).sum::<f64>() / FRAME as f64;
    let loudest = speech.chunks(FRAME).map(power).fold(0.0, f64::max);
    let loud: Vec<i16> =
        speech.chunks(FRAME).filter(|frame| power(frame) > loudest / 30.0).flatten().copied().collect();
    let gain = BED_PEAK_POWER.sqrt() / loudest.sqrt().max(1.0);
    loud.iter().map(|sample| (f64::from(*sample) * gain) as i16).collect()
}

/// A word that was heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found {
    /// Its number.
    pub number: u16,
    /// Where its tune began, in microseconds from the decoder's first sample, right to 5 ms.
    pub start_us: u64,
    /// Where its last tone ended.
    pub end_us: u64,
}

/// Finds tunes in a stream of samples.
pub struct Decoder {
    rate_hz: u32,
    hop: usize,
    /// For every tone the sine and cosine over a hop, sample by sample.
    waves: Vec<[(f32, f32); TONES]>,
    /// Samples of the hop that is being filled.
    pending: Vec<i16>,
    /// Hops done.
    hops: u64,
    /// The last hops' sums, newest last.
    sums: [[(f32, f32); TONES]; HOPS_IN_WINDOW],
    /// Powers in the last windows, oldest first.
    windows: std::collections::VecDeque<[f32; TONES]>,
    /// A tune that fits, until a later hop fits no better.
    fitting: Option<Fit>,
    /// The hop before which no further chord is looked for.
    free_from: u64,
}

#[derive(Clone, Copy)]
struct Fit {
    number: u16,
    /// Hop at which the chord's window began.
    hop: u64,
    quality: f32,
}

impl Decoder {
    /// A decoder of audio at this rate (8 kHz or more) that has heard nothing yet.
    pub fn new(sample_rate_hz: u32) -> Self {
        let hop = (sample_rate_hz / HOPS_PER_S) as usize;
        let angle = |tone, index| TAU * hz(tone) * index as f64 / f64::from(sample_rate_hz);
        let wave = |index| {
            std::array::from_fn(|tone| {
                let (sine, cosine) = angle(tone, index).sin_cos();
                (cosine as f32, -sine as f32)
            })
        };
        Self {
            rate_hz: sample_rate_hz,
            hop,
            waves: (0..hop).map(wave).collect(),
            pending: Vec::with_capacity(hop),
            hops: 0,
            sums: [[(0.0, 0.0); TONES]; HOPS_IN_WINDOW],
            windows: std::collections::VecDeque::with_capacity(WINDOWS + 1),
            fitting: None,
            free_from: 0,
        }
    }

    /// Hears more audio; tells each word once, at most 25 ms after its last tone.
    pub fn push(&mut self, samples: &[i16], found: &mut impl FnMut(Found)) {
        for &sample in samples {
            self.pending.push(sample);
            if self.pending.len() == self.hop {
                self.hear_hop();
                self.pending.clear();
                self.look(found);
            }
        }
    }

    fn hear_hop(&mut self) {
        let mut sum = [(0.0f32, 0.0f32); TONES];
        for (&sample, waves) in self.pending.iter().zip(&self.waves) {
            let sample = f32::from(sample);
            for (sum, wave) in sum.iter_mut().zip(waves) {
                sum.0 += sample * wave.0;
                sum.1 += sample * wave.1;
            }
        }
        // The waves begin anew with each hop: turned to where the tone stands in the whole stream.
        let start = self.hops as f64 * self.hop as f64 / f64::from(self.rate_hz);
        for (tone, sum) in sum.iter_mut().enumerate() {
            let (sine, cosine) = (TAU * (hz(tone) * start).fract()).sin_cos();
            let (sine, cosine) = (sine as f32, cosine as f32);
            *sum = (sum.0 * cosine + sum.1 * sine, sum.1 * cosine - sum.0 * sine);
        }
        self.sums.rotate_left(1);
        self.sums[HOPS_IN_WINDOW - 1] = sum;
        self.hops += 1;
        let samples = (HOPS_IN_WINDOW * self.hop) as f32;
        let power = |tone: usize| {
            let (real, imaginary) =
                self.sums.iter().fold((0.0, 0.0), |all, sum| (all.0 + sum[tone].0, all.1 + sum[tone].1));
            // A sine of this amplitude gives its square.
            4.0 * (real * real + imaginary * imaginary) / (samples * samples)
        };
        self.windows.push_back(std::array::from_fn(power));
        if self.windows.len() > WINDOWS {
            self.windows.pop_front();
        }
    }

    fn look(&mut self, found: &mut impl FnMut(Found)) {
        let chord = (self.hops + 1).checked_sub((WINDOWS + HOPS_IN_WINDOW) as u64);
        let fit = chord.filter(|chord| *chord >= self.free_from).and_then(|chord| self.fit(chord));
        match (fit, self.fitting) {
            (Some(fit), best) if best.is_none_or(|best| fit.quality > best.quality) => {
                self.fitting = Some(fit)
            }
            (_, Some(best)) if chord.is_some_and(|chord| chord >= best.hop + 2) => {
                self.fitting = None;
                self.free_from = best.hop + (SYMBOLS * HOPS_IN_SYMBOL) as u64;
                // The window that fits best lies in the middle of its symbol, a hop after its start.
                let start_us =
                    best.hop.saturating_sub(1) * self.hop as u64 * 1_000_000 / u64::from(self.rate_hz);
                let end_us = start_us + SYMBOLS as u64 * SYMBOL_US;
                found(Found { number: best.number, start_us, end_us });
            }
            _ => {}
        }
    }

    /// The tune whose chord has the window that began at this hop, if the windows kept show one.
    fn fit(&self, hop: u64) -> Option<Fit> {
        if self.windows.len() < WINDOWS {
            return None;
        }
        let chord = &self.windows[0];
        let (low, high) = (chord[0], chord[TONES - 1]);
        let all: f32 = chord.iter().sum();
        let balanced = low <= TWIST * high && high <= TWIST * low;
        if !balanced || low + high < SHARE * all {
            return None;
        }
        let mut quality = (low + high) / all;
        // Each tone of the chord has half the amplitude of a lone one.
        let mut powers = [2.0 * (low + high); SYMBOLS];
        let mut nibbles = [0u8; SYMBOLS - 1];
        for (symbol, nibble) in nibbles.iter_mut().enumerate() {
            let window = &self.windows[(symbol + 1) * HOPS_IN_SYMBOL];
            let all: f32 = window.iter().sum();
            let (tone, &power) = window.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1))?;
            if power < SHARE * all || tone == 0 || tone == TONES - 1 {
                return None;
            }
            *nibble = nibble_of(symbol, tone);
            powers[symbol + 1] = power;
            quality += power / all;
        }
        let strongest = powers.iter().copied().fold(0.0, f32::max);
        let even = powers.iter().all(|power| *power >= LEVEL * strongest && *power >= QUIETEST * QUIETEST);
        let number = nibbles[..3].iter().fold(0u16, |number, nibble| number << 4 | u16::from(*nibble));
        let checked = check(number) == (nibbles[3] << 4 | nibbles[4]);
        (even && checked).then_some(Fit { number, hop, quality })
    }
}

fn hz(tone: usize) -> f64 {
    LOWEST_HZ + SPACING_HZ * tone as f64
}

/// The tones of each symbol.
fn symbols(number: u16) -> [Vec<usize>; SYMBOLS] {
    let check = check(number);
    let nibbles = [number >> 8, number >> 4 & 15, number & 15, u16::from(check >> 4), u16::from(check & 15)];
    std::array::from_fn(|symbol| match symbol.checked_sub(1) {
        None => vec![0, TONES - 1],
        Some(symbol) => vec![1 + (usize::from(nibbles[symbol]) + turn(symbol)) % 16],
    })
}

fn nibble_of(symbol: usize, tone: usize) -> u8 {
    ((tone - 1 + 16 - turn(symbol)) % 16) as u8
}

/// By how much the tones of a symbol are turned, so that like bits do not make one long tone.
fn turn(symbol: usize) -> usize {
    symbol * 5 % 16
}

/// CRC-8 (polynomial 0x2F) over the twelve bits.
fn check(number: u16) -> u8 {
    let mut rest = 0xFFu8;
    for bit in (0..12).rev() {
        let flip = (rest >> 7) ^ (number >> bit & 1) as u8;
        rest = (rest << 1) ^ (flip * 0x2F);
    }
    rest
}
