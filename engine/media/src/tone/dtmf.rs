//! DTMF digits: two sines at once, one of four low and one of four high frequencies (ITU-T Q.23).
//!
//! Measures 20 ms windows every 10 ms by Goertzel filters. A window shows a digit if nearly all of its power
//! lies in one low and one high tone of similar strength without second harmonics; speech has harmonics and
//! power elsewhere. Three such windows in a row, 40 ms, make a digit. Enter at [`DtmfDetector::hear`].

use std::f32::consts::TAU;

use super::ToneEvent;
use crate::level::power_dbfs;

const RATE_HZ: f32 = 8_000.0;
const WINDOW: usize = 160;
const HOP: usize = 80;
const HOP_US: u64 = 10_000;

/// The low tones, then the high ones, in hertz.
const TONES_HZ: [f32; 8] = [697.0, 770.0, 852.0, 941.0, 1_209.0, 1_336.0, 1_477.0, 1_633.0];
const DIGITS: [[char; 4]; 4] =
    [['1', '2', '3', 'A'], ['4', '5', '6', 'B'], ['7', '8', '9', 'C'], ['*', '0', '#', 'D']];

/// Quieter windows hold no digit; telephone digits arrive at −10 to −30 dBFS.
const QUIETEST_DBFS: f32 = -40.0;
/// Share of a window's power that the two tones have. A window that a tone fills by three quarters has 0.75.
const PURITY: f32 = 0.70;
/// Most by which one tone may be stronger than the other: 8 dB.
const TWIST: f32 = 6.3;
/// Most that another tone of the same group may have beside the strongest: −8 dB, where leakage gives −13.
const NEIGHBOUR: f32 = 0.16;
/// Most that a second harmonic may have beside its tone: −10 dB.
const HARMONIC: f32 = 0.1;
/// Windows in a row that make a digit.
const WINDOWS_ON: u32 = 3;
/// Windows in a row without it that end it: a drop-out of 10 ms spoils two, a pause of 40 ms four.
const WINDOWS_OFF: u32 = 3;

#[derive(Debug, Clone)]
pub(super) struct DtmfDetector {
    bank: Bank<8>,
    harmonics: Bank<8>,
    window: [f32; WINDOW],
    digit: Option<char>,
    /// Windows in a row that showed `digit`.
    shown: u32,
    /// Windows in a row since that did not, while it is on.
    missed: u32,
    on: bool,
    started_us: u64,
    last_shown_us: u64,
}

impl Default for DtmfDetector {
    fn default() -> Self {
        DtmfDetector {
            bank: Bank::new(TONES_HZ),
            harmonics: Bank::new(TONES_HZ.map(|hz| 2.0 * hz)),
            window: [0.0; WINDOW],
            digit: None,
            shown: 0,
            missed: 0,
            on: false,
            started_us: 0,
            last_shown_us: 0,
        }
    }
}

impl DtmfDetector {
    /// Hears a frame at 8 kHz that begins at `at_us`. Gives at most one event: a digit takes longer to start
    /// or end than a frame lasts.
    pub(super) fn hear(&mut self, at_us: u64, frame: &[f32; 2 * HOP]) -> Option<ToneEvent> {
        let (mut told, (hops, _)) = (None, frame.as_chunks::<HOP>());
        for (hop, samples) in hops.iter().enumerate() {
            self.window.copy_within(HOP.., 0);
            self.window[HOP..].copy_from_slice(samples);
            let end_us = at_us + (hop as u64 + 1) * HOP_US;
            told = self.count(self.shown_digit(), end_us).or(told);
        }
        told
    }

    pub(super) fn is_on(&self) -> bool {
        self.on
    }

    pub(super) fn is_likely(&self) -> bool {
        self.shown > 0
    }

    /// Ends a digit that is on, at `at_us` at the latest.
    pub(super) fn end(&mut self, at_us: u64) -> Option<ToneEvent> {
        let digit = self.digit.take();
        self.shown = 0;
        let ended_us = self.last_shown_us.min(at_us);
        let digit = digit.filter(|_| std::mem::take(&mut self.on))?;
        Some(ToneEvent::DigitEnded { digit, started_us: self.started_us, ended_us })
    }

    fn count(&mut self, shown: Option<char>, end_us: u64) -> Option<ToneEvent> {
        if shown.is_some() && shown == self.digit {
            self.shown += 1;
            self.missed = 0;
            self.last_shown_us = end_us;
            let digit = self.digit.filter(|_| self.shown >= WINDOWS_ON && !self.on)?;
            self.on = true;
            return Some(ToneEvent::DigitStarted { digit, at_us: self.started_us });
        }
        self.missed += 1;
        if self.on && shown.is_none() && self.missed < WINDOWS_OFF {
            return None;
        }
        let ended = self.end(end_us);
        self.digit = shown;
        self.shown = u32::from(shown.is_some());
        self.missed = 0;
        self.started_us = end_us.saturating_sub(2 * HOP_US);
        self.last_shown_us = end_us;
        ended
    }

    fn shown_digit(&self) -> Option<char> {
        let power: f32 = self.window.iter().map(|sample| sample * sample).sum();
        if power_dbfs(power / WINDOW as f32) < QUIETEST_DBFS {
            return None;
        }
        let tones = self.bank.powers(&self.window);
        let (row, low) = strongest(&tones[..4])?;
        let (column, high) = strongest(&tones[4..])?;
        let pure = low + high >= PURITY * power;
        let balanced = low <= TWIST * high && high <= TWIST * low;
        if !pure || !balanced {
            return None;
        }
        let harmonics = self.harmonics.powers(&self.window);
        let clean = harmonics[row] <= HARMONIC * low && harmonics[4 + column] <= HARMONIC * high;
        clean.then(|| DIGITS[row][column])
    }
}

/// The strongest of a group, unless another is too near to it.
fn strongest(group: &[f32]) -> Option<(usize, f32)> {
    let (index, &best) = group.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1))?;
    let alone = group.iter().enumerate().all(|(other, &power)| other == index || power <= NEIGHBOUR * best);
    alone.then_some((index, best))
}

/// Goertzel filters side by side, so that one pass over the samples feeds them all.
#[derive(Debug, Clone)]
struct Bank<const N: usize> {
    coefficients: [f32; N],
}

impl<const N: usize> Bank<N> {
    fn new(hz: [f32; N]) -> Self {
        Bank { coefficients: hz.map(|hz| 2.0 * (TAU * hz / RATE_HZ).cos()) }
    }

    /// The power of each tone, as the share it would have in the sum of squares if it were a steady sine.
    fn powers(&self, samples: &[f32; WINDOW]) -> [f32; N] {
        let (mut one, mut two) = ([0.0f32; N], [0.0f32; N]);
        for &sample in samples {
            for k in 0..N {
                let zero = sample + self.coefficients[k] * one[k] - two[k];
                two[k] = one[k];
                one[k] = zero;
            }
        }
        std::array::from_fn(|k| {
            let magnitude = one[k] * one[k] + two[k] * two[k] - self.coefficients[k] * one[k] * two[k];
            2.0 * magnitude / WINDOW as f32
        })
    }
}
