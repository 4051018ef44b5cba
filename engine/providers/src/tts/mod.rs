//! Text to speech: a sentence in, audio and word times out.

pub mod cartesia;
pub mod deepgram;
pub mod elevenlabs;
pub mod espeak;
pub mod flite;
pub mod openai;
pub mod voices;

mod letters;
mod line;
mod requested;
mod sentence;

use std::sync::Arc;

use futures_util::future::{BoxFuture, FutureExt, ready};

use crate::Error;
use crate::audio::AudioFormat;
use crate::registry::Service;

/// The voices with a vendor behind them. One line each.
pub const SERVICES: &[Service] = &[
    elevenlabs::multi::SERVICE,
    elevenlabs::http::SERVICE,
    cartesia::SERVICE,
    deepgram::SERVICE,
    openai::SERVICE,
];

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
    /// The next samples, mono.
    Audio(Sound),
    /// Times of words whose audio was or will be delivered; in order, each word once.
    Words(Vec<WordTime>),
    /// The sentence is complete.
    Finished,
    /// It broke; what was delivered stands, nothing more will come.
    Failed(Error),
}

/// A stretch of spoken audio.
#[derive(Debug, Clone, PartialEq)]
pub enum Sound {
    /// 16-bit linear PCM.
    Pcm16 {
        /// Samples a second; the same for all of a sentence.
        sample_rate_hz: u32,
        /// The samples.
        samples: Vec<i16>,
    },
    /// G.711 mu-law, 8 kHz: passes to a mu-law leg untouched.
    MuLaw(Vec<u8>),
}

/// Where events go. Must never block.
pub type Sink = Arc<dyn Fn(Event) + Send + Sync>;

/// How a call's sentences are spoken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The voice's id with this vendor, such as `slt`; empty for its default.
    pub voice: String,
    /// The vendor's id of the model; `None` for the default in [`crate::models`].
    pub model: Option<String>,
    /// BCP 47 language tag of what is spoken, where the voice knows several; empty to leave it to the voice.
    pub language: String,
    /// What the far end plays. A vendor that can deliver just that does, above all mu-law; else what it does best.
    pub format: AudioFormat,
    /// How quickly, in percent of the voice's ordinary pace; 50 to 200. Kept within what the vendor can do.
    pub speed_percent: u16,
    /// How it shall sound, in words ("calm, a little amused"), for vendors that take such; empty for none.
    pub style: String,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            voice: String::new(),
            model: None,
            language: String::new(),
            format: AudioFormat::PCM_16K,
            speed_percent: 100,
            style: String::new(),
        }
    }
}

/// A voice that can be chosen.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VoiceInfo {
    /// Its id with the vendor.
    pub id: String,
    /// Its name for people.
    pub name: String,
    /// BCP 47 tags of the languages it speaks; empty where the vendor does not say.
    pub languages: Vec<String>,
    /// An address to hear it at; empty where there is none.
    pub preview_url: String,
    /// What it is like, in a few words.
    pub about: String,
}

/// A text-to-speech vendor.
pub trait TextToSpeech: Send + Sync {
    /// The registered name, such as `flite`.
    fn name(&self) -> &'static str;

    /// The voices known without asking anybody; the first is its default. A vendor may know more by id.
    fn voices(&self) -> Vec<VoiceInfo>;

    /// Whether it speaks with ids that [`Self::voices`] does not list.
    fn takes_unlisted_voices(&self) -> bool {
        false
    }

    /// The voices it has for this account, asked of it; within 5 s. One that can't be asked gives [`Self::voices`].
    ///
    /// # Errors
    /// Any kind, when the vendor refuses or does not answer.
    fn list(&self) -> BoxFuture<'_, Result<Vec<VoiceInfo>, Error>> {
        ready(Ok(self.voices())).boxed()
    }

    /// Gets ready for a call: opens what it needs in the background, so that the first sentence waits for no
    /// handshake. Trouble shows when a sentence is spoken.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Invalid`] for a voice it does not have.
    fn open(&self, settings: Settings) -> Result<Box<dyn Speaker>, Error>;
}

/// A voice that is ready for a call; dropping it closes what it held.
pub trait Speaker: Send {
    /// Starts to speak a sentence (plain text, already normalised for speech) and returns at once. Dropping the result
    /// cancels it: nothing more of it is told.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Invalid`] for text it can't speak, such as none.
    fn speak(&mut self, text: &str, sink: Sink) -> Result<Speech, Error>;

    /// Whether the next sentence would be spoken although this one failed: by another voice, or this one again.
    fn has_another(&self) -> bool {
        false
    }
}

/// Speaks one sentence outside a call. Dropping the result cancels it.
///
/// # Errors
/// As [`TextToSpeech::open`] and [`Speaker::speak`].
pub fn say(voice: &dyn TextToSpeech, settings: Settings, text: &str, sink: Sink) -> Result<Speech, Error> {
    let mut speaker = voice.open(settings)?;
    let speech = speaker.speak(text, sink)?;
    Ok(Box::new((speech, speaker)))
}

/// A sentence under way; dropping it cancels the work.
pub type Speech = Box<dyn Send>;

/// What a voice that makes each sentence on its own needs to speak one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Request {
    pub text: String,
    pub voice: String,
    pub speed_percent: u16,
}

/// A voice for which a call needs nothing to be opened.
pub(crate) struct EachAlone<F> {
    settings: Settings,
    speak: F,
}

impl Sound {
    /// How long it is, microseconds.
    pub fn length_us(&self) -> u64 {
        let (samples, rate) = match self {
            Self::Pcm16 { sample_rate_hz, samples } => (samples.len(), *sample_rate_hz),
            Self::MuLaw(bytes) => (bytes.len(), 8_000),
        };
        samples as u64 * 1_000_000 / u64::from(rate.max(1))
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        match self {
            Self::Pcm16 { samples, .. } => samples.is_empty(),
            Self::MuLaw(bytes) => bytes.is_empty(),
        }
    }

    /// PCM at this rate.
    pub fn pcm16(sample_rate_hz: u32, samples: impl Into<Vec<i16>>) -> Self {
        Self::Pcm16 { sample_rate_hz, samples: samples.into() }
    }
}

impl VoiceInfo {
    /// A voice known by nothing but its id and language.
    pub(crate) fn plain(id: &str, language: &str) -> Self {
        let languages = vec![language.to_owned()];
        Self { id: id.to_owned(), name: id.to_owned(), languages, ..Self::default() }
    }
}

impl<F: Fn(Request, Sink) -> Result<Speech, Error> + Send> EachAlone<F> {
    pub(crate) fn new(settings: Settings, speak: F) -> Self {
        Self { settings, speak }
    }
}

impl<F: Fn(Request, Sink) -> Result<Speech, Error> + Send> Speaker for EachAlone<F> {
    fn speak(&mut self, text: &str, sink: Sink) -> Result<Speech, Error> {
        let (voice, speed_percent) = (self.settings.voice.clone(), self.settings.speed_percent);
        (self.speak)(Request { text: text.to_owned(), voice, speed_percent }, sink)
    }
}
