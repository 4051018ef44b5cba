//! Resampling: one voice stream from one rate to another, block by block.
//!
//! A polyphase windowed sinc of 48 taps at the lower of the two rates (Kaiser, beta 8). Chosen over the
//! FFT kind because it delays by 0.5-3 ms and not 10, and over cubic kinds because those fold
//! everything above the new band back into it, which a recogniser hears. Enter at [`Resampler::new`];
//! one per stream and direction. Filter tables are shared by all streams with the same ratio.

use std::collections::BTreeMap;
use std::f64::consts::PI;
use std::sync::{Arc, Mutex, PoisonError};

/// Taps at the lower rate; with [`KAISER_BETA`] the stop band begins some 5 % of that rate past the cut-off.
const TAPS_AT_LOWER_RATE: u32 = 48;
const KAISER_BETA: f64 = 8.0;
/// Half-power frequency as a share of the lower rate. Not half of it: the pass band then still reaches the
/// 3.4 kHz of telephony at 8 kHz, and what folds lands above that.
const CUT_OFF: f64 = 0.475;
/// Products are summed in this many lanes, so that the compiler may use vector instructions.
const LANES: usize = 8;

/// Rates this room converts between, in hertz.
pub const RATES_HZ: [u32; 5] = [8_000, 16_000, 22_050, 24_000, 48_000];

/// Why no resampler was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("resample from {from_hz} to {to_hz} Hz (rates are {RATES_HZ:?} Hz)")]
pub struct UnsupportedRate {
    /// Rate of the input, in hertz.
    pub from_hz: u32,
    /// Rate of the output, in hertz.
    pub to_hz: u32,
}

/// A stream being converted: the shared filter, the last input samples, and where in the pattern it stands.
#[derive(Debug, Clone)]
pub struct Resampler {
    filter: Arc<Filter>,
    from_hz: u32,
    /// The `taps - 1` samples before the next one; between blocks nothing else.
    history: Vec<f32>,
    /// Position of the next output after the first new input sample, in 1/`filter.up` input samples.
    next: usize,
}

impl Resampler {
    /// A stream from `from_hz` to `to_hz`, beginning in silence. Equal rates pass samples through untouched.
    ///
    /// # Errors
    /// [`UnsupportedRate`] if either is not one of [`RATES_HZ`].
    pub fn new(from_hz: u32, to_hz: u32) -> Result<Self, UnsupportedRate> {
        if !RATES_HZ.contains(&from_hz) || !RATES_HZ.contains(&to_hz) {
            return Err(UnsupportedRate { from_hz, to_hz });
        }
        let filter = Filter::shared(from_hz, to_hz);
        let history = vec![0.0; filter.taps.saturating_sub(1)];
        Ok(Resampler { filter, from_hz, history, next: 0 })
    }

    /// Appends what `input`, a block of any length, becomes. After `n` input samples in all, exactly
    /// `ceil(n × to / from)` have come out; so a 20 ms frame gives a 20 ms frame.
    pub fn process(&mut self, input: &[i16], out: &mut Vec<i16>) {
        let Filter { up, down, taps, .. } = *self.filter;
        if taps == 0 {
            out.extend_from_slice(input);
            return;
        }
        self.history.extend(input.iter().map(|&sample| f32::from(sample)));
        let end = input.len() * up;
        out.reserve((end.saturating_sub(self.next)).div_ceil(down));
        while self.next < end {
            let (newest, phase) = (self.next / up, self.next % up);
            let window = &self.history[newest..newest + taps];
            out.push(round(dot(window, self.filter.phase(phase))));
            self.next += down;
        }
        self.next -= end;
        self.history.copy_within(input.len().., 0);
        self.history.truncate(taps - 1);
    }

    /// How much later a sound leaves than it came in, in microseconds: half the filter, 0 for equal rates.
    #[must_use]
    pub fn delay_us(&self) -> u64 {
        crate::samples_to_us(self.filter.taps as u64, self.from_hz) / 2
    }

    /// Forgets the stream, as if the next block were the first.
    pub fn reset(&mut self) {
        self.history.fill(0.0);
        self.next = 0;
    }
}

fn dot(samples: &[f32], taps: &[f32]) -> f32 {
    let mut lanes = [0.0f32; LANES];
    let (samples, _) = samples.as_chunks::<LANES>();
    let (taps, _) = taps.as_chunks::<LANES>();
    for (samples, taps) in samples.iter().zip(taps) {
        for lane in 0..LANES {
            lanes[lane] += samples[lane] * taps[lane];
        }
    }
    lanes.iter().sum()
}

/// Rounds half away from zero and clips; the cast saturates.
fn round(value: f32) -> i16 {
    (value + 0.5f32.copysign(value)) as i16
}

/// The taps of one ratio, phase by phase, each phase oldest sample first.
#[derive(Debug)]
struct Filter {
    up: usize,
    down: usize,
    /// Length of a phase, a multiple of [`LANES`]; 0 when the rates are equal.
    taps: usize,
    phases: Vec<f32>,
}

impl Filter {
    /// The filter from the process-wide cache: a handful of ratios exist, the largest takes 85 kB.
    fn shared(from_hz: u32, to_hz: u32) -> Arc<Filter> {
        static CACHE: Mutex<BTreeMap<(u32, u32), Arc<Filter>>> = Mutex::new(BTreeMap::new());
        let divisor = greatest_common_divisor(from_hz, to_hz);
        let (up, down) = (to_hz / divisor, from_hz / divisor);
        // A poisoned cache only means that another thread died between whole entries.
        let mut cache = CACHE.lock().unwrap_or_else(PoisonError::into_inner);
        cache.entry((up, down)).or_insert_with(|| Arc::new(Filter::design(up, down))).clone()
    }

    fn design(up: u32, down: u32) -> Filter {
        if up == down {
            return Filter { up: 1, down: 1, taps: 0, phases: Vec::new() };
        }
        // Going down, the same shape is stretched over proportionally more input samples.
        let stretch = (f64::from(down) / f64::from(up)).max(1.0);
        let taps = ((f64::from(TAPS_AT_LOWER_RATE) * stretch).ceil() as usize).next_multiple_of(LANES);
        let cut_off = CUT_OFF / stretch;
        let mut phases = Vec::with_capacity(taps * up as usize);
        for phase in 0..up {
            let shift = f64::from(phase) / f64::from(up);
            let age = |tap: usize| (taps - 1 - tap) as f64 + shift;
            let row: Vec<f64> = (0..taps).map(|tap| windowed_sinc(age(tap), taps as f64, cut_off)).collect();
            // Each phase passes a constant unchanged; else the phases would ripple at the output rate.
            let sum: f64 = row.iter().sum();
            phases.extend(row.iter().map(|tap| (tap / sum) as f32));
        }
        Filter { up: up as usize, down: down as usize, taps, phases }
    }

    fn phase(&self, phase: usize) -> &[f32] {
        &self.phases[phase * self.taps..][..self.taps]
    }
}

/// The ideal low pass at `age` input samples back, faded out by a Kaiser window of `length` samples.
fn windowed_sinc(age: f64, length: f64, cut_off: f64) -> f64 {
    let from_centre = age - length / 2.0;
    let x = 2.0 * cut_off * from_centre * PI;
    let sinc = if x.abs() < 1e-9 { 1.0 } else { x.sin() / x };
    let across = 2.0 * from_centre / length;
    sinc * bessel_i0(KAISER_BETA * (1.0 - across * across).max(0.0).sqrt())
}

/// Modified Bessel function of the first kind, order 0, by its series.
fn bessel_i0(x: f64) -> f64 {
    let quarter = x * x / 4.0;
    let (mut sum, mut term, mut k) = (1.0, 1.0, 1.0);
    while term > sum * 1e-12 {
        term *= quarter / (k * k);
        sum += term;
        k += 1.0;
    }
    sum
}

fn greatest_common_divisor(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { greatest_common_divisor(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sine(rate_hz: u32, hz: f64, samples: usize) -> Vec<i16> {
        let step = 2.0 * PI * hz / f64::from(rate_hz);
        (0..samples).map(|n| (10_000.0 * (step * n as f64).sin()).round() as i16).collect()
    }

    /// Mean square of [`sine`].
    const SINE_POWER: f64 = 5e7;

    fn convert(from_hz: u32, to_hz: u32, input: &[i16]) -> Vec<i16> {
        let mut out = Vec::new();
        Resampler::new(from_hz, to_hz).unwrap().process(input, &mut out);
        out
    }

    /// Mean power of the sine at `hz` and of all else, over the last half second: whole periods, filter filled.
    fn split(rate_hz: u32, hz: f64, samples: &[i16]) -> (f64, f64) {
        let tail = &samples[samples.len() - rate_hz as usize / 2..];
        let step = 2.0 * PI * hz / f64::from(rate_hz);
        let (mut cos, mut sin, mut total) = (0.0, 0.0, 0.0);
        for (n, &sample) in tail.iter().enumerate() {
            let (s, c) = (step * n as f64).sin_cos();
            let sample = f64::from(sample);
            (cos, sin, total) = (cos + sample * c, sin + sample * s, total + sample * sample);
        }
        let length = tail.len() as f64;
        let tone = 2.0 * (cos * cos + sin * sin) / (length * length);
        (tone, (total / length - tone).max(f64::MIN_POSITIVE))
    }

    fn pairs() -> impl Iterator<Item = (u32, u32)> {
        RATES_HZ.into_iter().flat_map(|from| RATES_HZ.map(|to| (from, to)))
    }

    #[test]
    fn every_20_ms_in_is_exactly_20_ms_out_for_every_pair() {
        for (from, to) in pairs() {
            let mut resampler = Resampler::new(from, to).unwrap();
            let (frame, mut out) = (vec![100; from as usize / 50], Vec::new());
            for count in 1..=50 {
                resampler.process(&frame, &mut out);
                assert_eq!(out.len(), count * to as usize / 50, "{from} to {to}");
            }
        }
    }

    #[test]
    fn blocks_of_any_size_give_the_same_samples() {
        for (from, to) in [(8_000, 16_000), (24_000, 16_000), (22_050, 48_000)] {
            let input = sine(from, 700.0, 5_000);
            let whole = convert(from, to, &input);
            let mut resampler = Resampler::new(from, to).unwrap();
            let mut parts = Vec::new();
            input.chunks(37).for_each(|block| resampler.process(block, &mut parts));
            assert!(parts == whole, "{from} to {to}");
            resampler.reset();
            parts.clear();
            resampler.process(&input, &mut parts);
            assert!(parts == whole, "{from} to {to} after a reset");
        }
    }

    #[test]
    fn a_tone_in_the_band_passes_at_its_level_with_nothing_added() {
        for (from, to) in pairs().filter(|(from, to)| from != to) {
            for hz in [300.0, 1_000.0, 3_000.0] {
                let out = convert(from, to, &sine(from, hz, from as usize));
                let (tone, rest) = split(to, hz, &out);
                let level = 10.0 * (tone / SINE_POWER).log10();
                // Rounding to 16 bits twice leaves some 80 dB under a tone of this level.
                let snr = 10.0 * (tone / rest).log10();
                assert!(
                    level.abs() < 0.1 && snr > 75.0,
                    "{from} to {to} at {hz}: {level:.2} dB, {snr:.0} dB"
                );
            }
        }
    }

    #[test]
    fn what_the_lower_rate_cannot_carry_does_not_fold_into_it() {
        for (from, to) in pairs().filter(|(from, to)| from > to) {
            let hz = f64::from(to) * 0.55;
            let out = convert(from, to, &sine(from, hz, from as usize));
            // Nothing is left at this frequency, so all that is there counts as the rest.
            let (_, rest) = split(to, hz, &out);
            let rejection = 10.0 * (SINE_POWER / rest).log10();
            assert!(rejection > 75.0, "{from} to {to}: {rejection:.0} dB");
        }
    }

    #[test]
    fn a_click_comes_out_as_late_as_the_delay_says() {
        for (from, to) in pairs() {
            let mut input = vec![0; from as usize / 5];
            let click = input.len() / 2;
            input[click] = 20_000;
            let out = convert(from, to, &input);
            let peak = out.iter().enumerate().max_by_key(|(_, sample)| sample.unsigned_abs()).unwrap().0;
            let late_us = crate::samples_to_us(peak as u64, to) as f64
                - crate::samples_to_us(click as u64, from) as f64;
            let declared = Resampler::new(from, to).unwrap().delay_us();
            let step_us = 1e6 / f64::from(to);
            assert!((late_us - declared as f64).abs() <= step_us, "{from} to {to}: {late_us} not {declared}");
            assert!(declared <= 3_100, "{from} to {to}: {declared}");
        }
    }

    #[test]
    fn loud_samples_clip_and_do_not_wrap() {
        let square = [[i16::MAX; 40], [i16::MIN; 40]].concat().repeat(20);
        let out = convert(8_000, 16_000, &square);
        let turns = out.windows(2).filter(|pair| pair[0].abs_diff(pair[1]) > 60_000).count();
        assert_eq!(turns, 0, "a wrapped sample jumps by nearly the whole range");
        assert!(out.contains(&i16::MAX) && out.contains(&i16::MIN));
    }

    #[test]
    fn streams_of_one_ratio_share_their_filter() {
        let one = Resampler::new(8_000, 16_000).unwrap();
        let two = Resampler::new(24_000, 48_000).unwrap();
        assert!(Arc::ptr_eq(&one.filter, &two.filter));
    }

    #[test]
    fn a_rate_that_is_not_spoken_is_refused_by_name() {
        let refusal = Resampler::new(44_100, 16_000).unwrap_err();
        assert_eq!(refusal, UnsupportedRate { from_hz: 44_100, to_hz: 16_000 });
        assert!(refusal.to_string().contains("44100"));
    }
}
