//! Text to speech: a sentence in, audio and word times out.

pub mod espeak;
pub mod flite;

use std::sync::Arc;

use crate::Error;

/// Where a spoken word lies in its sentence's audio.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct WordTime {
    /// The word as it stands in the text.
    pub text: String,
    /// Start within this sentence's audio, microseconds.
    pub start_us: u64,
    /// End within this sentence's audio, microseconds.
    pub end_us: u64,
}

/// What a voice tells while it speaks.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// The next samples, mono 16-bit PCM at the voice's rate.
    Audio(Vec<i16>),
    /// Times of words whose audio was or will be delivered; in order, each word once.
    Words(Vec<WordTime>),
    /// The sentence is complete.
    Finished,
    /// It broke; what was delivered stands, nothing more will come.
    Failed(Error),
}

/// Where events go. Must never block.
pub type Sink = Arc<dyn Fn(Event) + Send + Sync>;

/// A sentence to be spoken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// What to say: plain text, already normalised for speech.
    pub text: String,
    /// The voice's id with this vendor, such as `slt`.
    pub voice: String,
    /// How quickly, in percent of the voice's ordinary pace; 50 to 200.
    pub speed_percent: u16,
}

/// A text-to-speech vendor.
pub trait TextToSpeech: Send + Sync {
    /// The registered name, such as `flite`.
    fn name(&self) -> &'static str;

    /// The rate of the audio it delivers for this voice, hertz.
    fn sample_rate_hz(&self, voice: &str) -> u32;

    /// The voices it can speak with now; the first is its default.
    fn voices(&self) -> Vec<String>;

    /// Starts to speak and returns at once. Dropping the result cancels it.
    fn speak(&self, request: Request, sink: Sink) -> Result<Speech, Error>;
}

/// A sentence under way; dropping it cancels the work.
pub type Speech = Box<dyn Send>;
