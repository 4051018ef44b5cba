//! Tones: what is a machine's sound and not a voice.
//!
//! Finds DTMF digits (`tone/dtmf.rs`) and steady tones of one or two frequencies such as ring-back or a beep
//! (`tone/steady.rs`). Voice detectors take both for speech, so [`crate::ears`] asks here first. Says nothing of
//! what a digit or a beep means. Enter at [`ToneDetector::push`].
//!
//! Both look at a slow copy of the audio: digits at 8 kHz, steady tones at 4 kHz.

mod dtmf;
mod half_band;
mod steady;

use dtmf::DtmfDetector;
use half_band::HalfBand;
use steady::SteadyDetector;

use crate::level::power;
use crate::{EAR_FRAME_SAMPLES, FRAME_US};

/// What the detector found out. Times are call audio time, right to about 10 ms for digits and 20 ms for
/// steady tones.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum ToneEvent {
    /// A digit is being pressed; told some 40 ms after its onset.
    DigitStarted {
        /// One of `0-9`, `*`, `#`, `A-D`.
        digit: char,
        /// Onset of the tone.
        at_us: u64,
    },
    /// The digit was released.
    DigitEnded {
        /// The digit that had started.
        digit: char,
        /// Onset of the tone.
        started_us: u64,
        /// End of the tone.
        ended_us: u64,
    },
    /// A tone has been steady for 200 ms.
    SteadyStarted {
        /// Onset of the tone.
        at_us: u64,
        /// Its frequency in hertz, right to 2 %; of two at once about the middle between them.
        middle_hz: f32,
    },
    /// The steady tone is over.
    SteadyEnded {
        /// Onset of the tone.
        started_us: u64,
        /// End of the tone.
        ended_us: u64,
    },
}

/// The tone detector of one caller's audio.
#[derive(Debug, Clone, Default)]
pub struct ToneDetector {
    to_8k: HalfBand,
    to_4k: HalfBand,
    dtmf: DtmfDetector,
    steady: SteadyDetector,
    expected_us: u64,
}

impl ToneDetector {
    /// A detector that has heard nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Hears a frame at 16 kHz that begins at `at_us`; appends what it told. After a gap in the audio it
    /// begins anew, and a tone that was on has ended where the audio did.
    pub fn push(&mut self, at_us: u64, frame: &[i16; EAR_FRAME_SAMPLES], out: &mut Vec<ToneEvent>) {
        if at_us.abs_diff(self.expected_us) > 1_000 {
            out.extend(self.dtmf.end(self.expected_us));
            out.extend(self.steady.end(self.expected_us));
            *self = ToneDetector::default();
        }
        self.expected_us = at_us + FRAME_US;
        let wide: [f32; 320] = frame.map(f32::from);
        let half: [f32; 160] = self.to_8k.halve(&wide);
        let quarter: [f32; 80] = self.to_4k.halve(&half);
        out.extend(self.dtmf.hear(at_us, &half));
        if self.dtmf.is_likely() {
            out.extend(self.steady.end(at_us));
        } else {
            out.extend(self.steady.hear(at_us, &quarter, power(frame) / 4.0));
        }
    }

    /// Whether a tone is on.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.dtmf.is_on() || self.steady.is_on()
    }

    /// Whether the sound of the last frame may turn out to be a tone: reason to wait before calling it voice.
    #[must_use]
    pub fn is_likely(&self) -> bool {
        self.dtmf.is_likely() || self.steady.is_likely()
    }
}
