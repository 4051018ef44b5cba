//! What a transcriber hears: audio of any encoding and rate in, words with their times out.
//!
//! A tune of [`crate::code`] is heard as its word in the plan. A stretch of sound without any is heard as the next of
//! the plan's lines, its words a quarter of a second each; where there have been tunes, or words for them are all that is
//! planned, a short one is what is left of a tune that was cut, and nothing. All of it counts in audio time, so that the same audio gives
//! the same words at the same times however fast it comes. Knows no vendor. Enter at [`Ear::push`], then [`Ear::step`]
//! until it gives none.

use std::collections::VecDeque;

use parlance_media::g711::Law;
use parlance_media::level::rms_dbfs;

use crate::Plan;
use crate::code::{Decoder, Found};

/// Microseconds of a step.
pub const STEP_US: u64 = 10_000;
/// A step this loud is sound.
const FLOOR_DBFS: f32 = -45.0;
/// Loud steps in a row that begin a stretch: a click has fewer.
const ONSET_STEPS: u32 = 4;
/// A pause this long ends a stretch.
const PAUSE_US: u64 = 300_000;
/// A shorter stretch is a noise.
const SHORTEST_US: u64 = 100_000;
/// A stretch that had no tune for so long is ordinary speech.
const ORDINARY_US: u64 = 600_000;
/// Where the first word of ordinary speech ends in its stretch, and how long each is.
const FIRST_US: u64 = 300_000;
const WORD_US: u64 = 250_000;

/// How samples are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// 16-bit little-endian.
    Linear16,
    /// G.711.
    G711(Law),
}

/// A word and when it was said, in microseconds from the first sample.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Word {
    /// The word.
    pub text: String,
    /// Its start.
    pub start_us: u64,
    /// Its end.
    pub end_us: u64,
}

/// Ten milliseconds of audio.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// The time after it.
    pub now_us: u64,
    /// A stretch of sound was found, that began here.
    pub onset_us: Option<u64>,
    /// Words that ended.
    pub words: Vec<Word>,
    /// How long there has been no sound; none while there was none ever.
    pub silent_us: Option<u64>,
}

/// The ear of one connection.
pub struct Ear {
    encoding: Encoding,
    rate_hz: u32,
    /// The first half of a sample whose second has not come.
    odd: Option<u8>,
    samples: VecDeque<i16>,
    steps: u64,
    decoder: Decoder,
    lines: Lines,
    names: Vec<String>,
    deaf: bool,
    /// Whether tunes are to be expected.
    tuneful: bool,
    /// Loud steps in a row.
    loud: u32,
    last_loud_us: Option<u64>,
    stretch: Option<Stretch>,
}

struct Stretch {
    start_us: u64,
    coded: bool,
    /// Words of its line that are still to come, once it is known to be ordinary speech.
    line: Option<VecDeque<String>>,
    /// Where the last word ended.
    said_us: u64,
}

/// The plan's lines, from the first again after the last.
#[derive(Debug, Clone, Default)]
pub struct Lines {
    lines: Vec<String>,
    next: usize,
}

impl Lines {
    /// The lines of a plan, of which so many were heard before.
    pub fn new(plan: &Plan, heard: usize) -> Self {
        Self { lines: plan.lines.clone(), next: heard }
    }

    /// How many were heard.
    pub fn heard(&self) -> usize {
        self.next
    }

    fn take(&mut self) -> VecDeque<String> {
        let line = match self.lines.len() {
            0 => "hello",
            count => &self.lines[self.next % count],
        };
        self.next += 1;
        line.split_whitespace().map(str::to_owned).collect()
    }
}

impl Ear {
    /// An ear for audio of this kind; rates below 8 kHz are taken for 8 kHz.
    pub fn new(encoding: Encoding, rate_hz: u32, plan: &Plan) -> Self {
        Self::with(encoding, rate_hz, plan, Lines::new(plan, 0))
    }

    /// The same, with lines that others began.
    pub fn with(encoding: Encoding, rate_hz: u32, plan: &Plan, lines: Lines) -> Self {
        let rate_hz = rate_hz.max(8_000);
        Self {
            encoding,
            rate_hz,
            odd: None,
            samples: VecDeque::new(),
            steps: 0,
            decoder: Decoder::new(rate_hz),
            lines,
            names: plan.words.clone(),
            deaf: plan.fault == Some(crate::Fault::Empty),
            tuneful: plan.lines.is_empty() && !plan.words.is_empty(),
            loud: 0,
            last_loud_us: None,
            stretch: None,
        }
    }

    /// Takes audio in; a sample may be split between two pieces.
    pub fn push(&mut self, bytes: &[u8]) {
        let mut samples = Vec::new();
        match self.encoding {
            Encoding::G711(law) => law.decode(bytes, &mut samples),
            Encoding::Linear16 => {
                for &byte in bytes {
                    match self.odd.take() {
                        Some(low) => samples.push(i16::from_le_bytes([low, byte])),
                        None => self.odd = Some(byte),
                    }
                }
            }
        }
        self.push_samples(&samples);
    }

    /// Takes samples in.
    pub fn push_samples(&mut self, samples: &[i16]) {
        self.samples.extend(samples);
    }

    /// The time up to which audio has been stepped through.
    pub fn now_us(&self) -> u64 {
        self.steps * STEP_US
    }

    /// The lines, as far as they were heard.
    pub fn lines(&self) -> Lines {
        self.lines.clone()
    }

    /// The next ten milliseconds, if they have come.
    pub fn step(&mut self) -> Option<Step> {
        // At 22 050 Hz a step is 220.5 samples: the borders of steps are rounded, not their lengths.
        let border = |steps: u64| (steps * u64::from(self.rate_hz) / 100) as usize;
        let length = border(self.steps + 1) - border(self.steps);
        if self.samples.len() < length {
            return None;
        }
        let samples: Vec<i16> = self.samples.drain(..length).collect();
        self.steps += 1;
        let now_us = self.now_us();
        let mut words = Vec::new();
        let onset_us = self.follow(&samples, now_us);
        let mut found = Vec::new();
        self.decoder.push(&samples, &mut |tune| found.push(tune));
        for tune in found {
            words.push(self.word_of(tune));
        }
        self.read_on(now_us, &mut words);
        let silent_us = self.last_loud_us.map(|last| now_us - last);
        if self.stretch.is_some() && silent_us.is_some_and(|silent| silent >= PAUSE_US) {
            words.extend(self.flush());
            self.stretch = None;
        }
        if self.deaf {
            words.clear();
        }
        Some(Step { now_us, onset_us, words, silent_us })
    }

    /// The rest of a line that is being heard, for whoever can't wait for the pause. What sounds on after it belongs to
    /// the same stretch.
    pub fn flush(&mut self) -> Vec<Word> {
        let Some(stretch) = &mut self.stretch else { return Vec::new() };
        if stretch.coded || self.deaf {
            return Vec::new();
        }
        let end_us = self.last_loud_us.unwrap_or(stretch.said_us).max(stretch.said_us);
        let shortest_us = if self.tuneful { ORDINARY_US } else { SHORTEST_US };
        if stretch.line.is_none() && end_us < stretch.start_us + shortest_us {
            return Vec::new();
        }
        let line = stretch.line.get_or_insert_with(|| self.lines.take());
        let each_us = (end_us - stretch.said_us) / line.len().max(1) as u64;
        let mut words = Vec::new();
        for text in line.drain(..) {
            let start_us = stretch.said_us;
            stretch.said_us += each_us;
            words.push(Word { text, start_us, end_us: stretch.said_us });
        }
        words
    }

    /// Where sound began and ended; tells the start of a stretch once it is none of a click.
    fn follow(&mut self, samples: &[i16], now_us: u64) -> Option<u64> {
        if rms_dbfs(samples) < FLOOR_DBFS {
            self.loud = 0;
            return None;
        }
        self.loud += 1;
        if self.stretch.is_none() && self.loud < ONSET_STEPS {
            return None;
        }
        self.last_loud_us = Some(now_us);
        if self.stretch.is_some() {
            return None;
        }
        let start_us = now_us - u64::from(self.loud) * STEP_US;
        self.stretch = Some(Stretch { start_us, coded: false, line: None, said_us: start_us });
        Some(start_us)
    }

    fn word_of(&mut self, tune: Found) -> Word {
        self.tuneful = true;
        if let Some(stretch) = &mut self.stretch {
            stretch.coded = true;
        }
        let number = tune.number;
        let text = self.names.get(usize::from(number)).cloned().unwrap_or_else(|| format!("word{number}"));
        Word { text, start_us: tune.start_us, end_us: tune.end_us }
    }

    /// The word of ordinary speech that ends here.
    fn read_on(&mut self, now_us: u64, words: &mut Vec<Word>) {
        let Some(stretch) = &mut self.stretch else { return };
        if stretch.coded || now_us < stretch.start_us + ORDINARY_US || self.loud == 0 {
            return;
        }
        let line = stretch.line.get_or_insert_with(|| self.lines.take());
        let first = stretch.said_us == stretch.start_us;
        let end_us = stretch.said_us + if first { FIRST_US } else { WORD_US };
        if end_us <= now_us
            && let Some(text) = line.pop_front()
        {
            words.push(Word { text, start_us: stretch.said_us, end_us });
            stretch.said_us = end_us;
        }
    }
}

/// Words as one text.
pub fn text_of(words: &[Word]) -> String {
    words.iter().map(|word| word.text.as_str()).collect::<Vec<_>>().join(" ")
}

/// Microseconds as the seconds vendors count in, to the millisecond.
pub fn seconds(us: u64) -> f64 {
    (us / 1_000) as f64 / 1_000.0
}
