//! Ears: the voice and tone detectors of one caller, put together.
//!
//! A tone is not a voice (rule B9 of turn-taking), though the voice detector hears one: so voice does not
//! start while a tone is on or likely, and a voice that was on when a tone is recognised ends. Enter at
//! [`Ears::push`], once for each 20 ms frame at 16 kHz.

use crate::tone::{ToneDetector, ToneEvent};
use crate::vad::{VoiceDetector, VoiceEvent};
use crate::{EAR_FRAME_SAMPLES, FRAME_US};

/// What a caller's audio held.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Heard {
    /// Voice began or ended.
    Voice(VoiceEvent),
    /// A digit or a steady tone began or ended.
    Tone(ToneEvent),
}

/// The detectors of one caller's audio.
#[derive(Default)]
pub struct Ears {
    voice: VoiceDetector,
    tone: ToneDetector,
    tones: Vec<ToneEvent>,
}

impl Ears {
    /// Ears that have heard nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Hears the 16 kHz frame that begins at `at_us`; appends what it told, tones first.
    pub fn push(&mut self, at_us: u64, frame: &[i16; EAR_FRAME_SAMPLES], out: &mut Vec<Heard>) {
        self.tone.push(at_us, frame, &mut self.tones);
        out.extend(self.tones.drain(..).map(Heard::Tone));
        let voice = if self.tone.is_on() {
            self.voice.skip_to(at_us + FRAME_US)
        } else {
            self.voice.push(at_us, frame, !self.tone.is_likely())
        };
        out.extend(voice.map(Heard::Voice));
    }

    /// Whether the caller's voice is on.
    #[must_use]
    pub fn is_voiced(&self) -> bool {
        self.voice.is_voiced()
    }

    /// Whether a tone is on.
    #[must_use]
    pub fn is_tone(&self) -> bool {
        self.tone.is_on()
    }
}
