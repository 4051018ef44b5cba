//! Speech to text: what a transcriber is fed, what it answers, and what it declares about itself.
//!
//! Times are microseconds of the audio that a stream was fed: sample 0 is the first one. For a stream that is there from a
//! call's beginning to its end that is the call's audio clock.

pub mod cartesia;
pub mod deepgram;
pub mod elevenlabs;
pub mod openai;
pub mod pocketsphinx;

mod streaming;

use std::sync::Arc;

use crate::Error;
use crate::audio::{Audio, AudioFormat};
use crate::registry::Service;

/// The transcribers with a vendor behind them. One line each.
pub const SERVICES: &[Service] = &[
    deepgram::live::SERVICE,
    deepgram::flux::SERVICE,
    openai::buffered::SERVICE,
    openai::realtime::SERVICE,
    elevenlabs::SERVICE,
    cartesia::SERVICE,
];

/// One recognised word and where it lies in the call's audio.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Word {
    /// The word as it should be read, without recogniser marks.
    pub text: String,
    /// Start, microseconds of call audio.
    pub start_us: u64,
    /// End, microseconds of call audio.
    pub end_us: u64,
}

/// Words heard so far. An interim replaces the interim before it; a slice is settled for good.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Transcript {
    /// The words joined for reading. Empty when the audio held none.
    pub text: String,
    /// The words with their times; empty where the provider gives none.
    pub words: Vec<Word>,
    /// How far into the call's audio the provider has listened, microseconds. `None` where it
    /// can't tell; the engine then uses a learnt lag.
    pub covers_until_us: Option<u64>,
}

/// What a transcriber tells. Delivered through the [`Sink`] in the order it happened.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// The vendor has accepted the stream; told at most once, before anything else. Providers on this machine don't
    /// tell it.
    Opened,
    /// Told by a chain, never by a vendor: another stream listens now, and begins here. What was not settled comes again.
    Replaced {
        /// Where it begins, microseconds of call audio.
        from_us: u64,
        /// What this one can do.
        capabilities: Capabilities,
    },
    /// The best guess so far for audio that is not yet settled. May be shed when the call is busy.
    Interim(Transcript),
    /// Settled words, to be appended to the turn. Never shed.
    Slice(Transcript),
    /// The provider's own opinion about the turn. Never shed.
    Turn(TurnSignal),
    /// The stream is broken; nothing more will come. Never shed.
    Failed(Error),
}

/// A provider's own turn detection (Deepgram Flux has it, others don't).
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TurnSignal {
    /// The caller began to speak.
    Start,
    /// The turn probably ended: a chance to start speculatively.
    EagerEnd,
    /// The eager end was wrong.
    Resumed,
    /// The turn ended.
    End,
}

/// What the caller is likely to say next. A hint for vendors, the whole world for a grammar recogniser.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Expectation {
    /// A JSGF V1.0 grammar of what may be said, if the flow can tell.
    /// Source: <https://www.w3.org/TR/jsgf/>.
    pub jsgf: Option<Arc<str>>,
    /// Names and terms worth listening for.
    pub key_terms: Vec<String>,
}

/// What the transcriber is told beside the audio.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Control {
    /// The voice detector heard voice begin at this time, microseconds of call audio.
    VoiceStarted(u64),
    /// The last voiced sample so far, microseconds of call audio.
    VoiceEnded(u64),
    /// Give what there is, covering everything heard so far.
    Finalize,
    /// The turn was decided: what was heard so far is closed and will not be revised. What comes
    /// now belongs to the next turn and is likely to match this.
    NextTurn(Expectation),
}

/// What a provider declares, so that the session can convert and the turn machine can wait rightly.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Capabilities {
    /// What it can be fed, best first. At least one.
    pub formats: &'static [AudioFormat],
    /// Whether interims come while the caller speaks.
    pub interims: bool,
    /// Whether every transcript carries `covers_until_us`.
    pub watermark: bool,
    /// Whether it decides turns itself ([`Event::Turn`]).
    pub turns: bool,
    /// The 95th percentile of its lag behind the audio, milliseconds; a start value to learn from.
    pub lag_ms_p95: u32,
}

impl Capabilities {
    /// What to feed it: mu-law where the caller's leg is mu-law and it takes that, so that the bytes pass untouched;
    /// else its best PCM.
    pub fn format_for(&self, leg_is_mu_law: bool) -> AudioFormat {
        let fits = |format: &&AudioFormat| matches!(format, AudioFormat::MuLaw) == leg_is_mu_law;
        self.formats.iter().find(fits).or(self.formats.first()).copied().unwrap_or(AudioFormat::PCM_16K)
    }
}

/// Settings of one listening stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// BCP 47 language tag, such as `en-US`, `hi` or `en-IN`; `multi` where the caller mixes languages.
    pub language: String,
    /// The vendor's id of the model; `None` for the default in [`crate::models`].
    pub model: Option<String>,
    /// What it will be fed: one of its [`Capabilities::formats`].
    pub format: AudioFormat,
    /// What the first answer may be.
    pub expectation: Expectation,
    /// Whether the provider's guesses that a turn is about to end are wanted ([`TurnSignal::EagerEnd`]).
    pub eager_ends: bool,
    /// How soon a provider that decides turns is to take a pause for an end: 0 (patient) to 100 (quick). Default 80.
    pub responsiveness_percent: u8,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            language: "en-US".to_owned(),
            model: None,
            format: AudioFormat::PCM_16K,
            expectation: Expectation::default(),
            eager_ends: false,
            responsiveness_percent: 80,
        }
    }
}

/// Where events go. Must never block: it posts to the call's inbox.
pub type Sink = Arc<dyn Fn(Event) + Send + Sync>;

/// A speech-to-text vendor.
pub trait SpeechToText: Send + Sync {
    /// The registered name, such as `pocketsphinx`.
    fn name(&self) -> &'static str;

    /// What it gives and takes.
    fn capabilities(&self) -> Capabilities;

    /// Opens a stream for one call. Returns at once; trouble while connecting comes as
    /// [`Event::Failed`]. An error here means that it can't work at all on this machine.
    fn open(&self, settings: Settings, sink: Sink) -> Result<Box<dyn Listener>, Error>;
}

/// One open stream. Neither method blocks; dropping it closes the stream and frees what it held.
pub trait Listener: Send {
    /// The next of the caller's audio, without gaps, in the format of the settings. Any length; 20 ms is usual.
    fn hear(&mut self, audio: Audio<'_>);

    /// Something beside the audio, in order with it.
    fn control(&mut self, control: Control);
}
