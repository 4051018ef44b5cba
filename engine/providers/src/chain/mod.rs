//! One provider after another: ordered candidates that look like a single one to the session.
//!
//! Decides who works next and when the one before has had its chance (A3); the vendors' files know nothing of it. Enter
//! at [`stt`], [`llm`] and [`tts`].

mod form;
mod health;
mod joint;
mod llm;
mod order;
mod phrases;
mod replay;
mod stt;
mod told;
mod tts;

use std::sync::Arc;
use std::time::Duration;

use crate::account::AccountId;
use crate::audio::Converters;
use crate::llm::LanguageModel;
use crate::notes::{Note, Notes, Stage};
use crate::registry::Kind;
use crate::stt::SpeechToText;
use crate::tts::{Settings, Speaker, TextToSpeech};
use crate::wire::handshakes::Watch;
use crate::{Error, ErrorKind};

use health::Used;
pub use health::{Health, Latency, Look, State};

/// How long each candidate may take before the next is asked (A3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budgets {
    /// A model's first useful output: a word or a tool call. Default 2.5 s.
    pub first_token: Duration,
    /// Between two pieces of a model's answer. Default 2.5 s.
    pub stalled_token: Duration,
    /// A voice's first audio. Default 1.5 s.
    pub first_audio: Duration,
    /// Between two pieces of a voice's audio, while less has come than was played. Default 800 ms.
    pub stalled_audio: Duration,
    /// A transcriber that is fed voice and tells nothing. Default 2 s.
    pub mute: Duration,
    /// Starts a second model or voice beside one that is slower than it usually is. Default off.
    pub hedging: bool,
}

impl Default for Budgets {
    fn default() -> Self {
        Self {
            first_token: Duration::from_millis(2_500),
            stalled_token: Duration::from_millis(2_500),
            first_audio: Duration::from_millis(1_500),
            stalled_audio: Duration::from_millis(800),
            mute: Duration::from_secs(2),
            hedging: false,
        }
    }
}

/// What all candidates of a call share.
#[derive(Clone)]
pub struct Setup {
    /// How providers have done lately, in all calls.
    pub health: Arc<Health>,
    /// Where notes go.
    pub notes: Notes,
    /// How long each may take.
    pub budgets: Budgets,
}

/// A transcriber to be tried.
#[derive(Clone)]
pub struct Listening {
    /// Who.
    pub provider: Arc<dyn SpeechToText>,
    /// With which model.
    pub model: Option<String>,
    /// On which account: how it does is kept by it.
    pub account: AccountId,
}

/// A language model to be tried.
#[derive(Clone)]
pub struct Thinking {
    /// Who.
    pub provider: Arc<dyn LanguageModel>,
    /// With which model.
    pub model: Option<String>,
    /// On which account: how it does is kept by it.
    pub account: AccountId,
}

/// A voice to be tried.
#[derive(Clone)]
pub struct Speaking {
    /// Who.
    pub provider: Arc<dyn TextToSpeech>,
    /// With which voice; empty for its default.
    pub voice: String,
    /// With which model.
    pub model: Option<String>,
    /// On which account: how it does is kept by it.
    pub account: AccountId,
}

impl Setup {
    /// A step took so long.
    fn took(&self, used: &Used, stage: Stage, time: Duration, in_turn: bool) {
        self.health.took(used, stage, time);
        let Used { kind, provider, .. } = *used;
        (self.notes)(Note::Took { kind, provider, stage, time, in_turn });
    }

    /// Notes the handshakes of what is asked of this provider.
    fn watch(&self, used: Used, in_turn: bool) -> Watch {
        let setup = self.clone();
        Watch::new(move |time| setup.took(&used, Stage::Connect, time, in_turn))
    }
}

impl Listening {
    fn used(&self) -> Used {
        Used { account: self.account.clone(), kind: Kind::Stt, provider: self.provider.name() }
    }
}

impl Thinking {
    fn used(&self) -> Used {
        Used { account: self.account.clone(), kind: Kind::Llm, provider: self.provider.name() }
    }
}

impl Speaking {
    fn used(&self) -> Used {
        Used { account: self.account.clone(), kind: Kind::Tts, provider: self.provider.name() }
    }
}

fn nobody_left(of: &str) -> Error {
    Error::new("engine", ErrorKind::NotInstalled, format!("no {of} is configured"))
}

/// A transcriber of `candidates`, best first. It is fed in the format of its settings, whatever each of them takes.
///
/// # Errors
/// [`ErrorKind::NotInstalled`] when there is no candidate.
pub fn stt(
    candidates: Vec<Listening>,
    converters: Converters,
    setup: Setup,
) -> Result<Arc<dyn SpeechToText>, Error> {
    if candidates.is_empty() {
        return Err(nobody_left("transcriber"));
    }
    Ok(Arc::new(stt::Chain::new(candidates, converters, setup)))
}

/// A model of `candidates`, best first. A request's own model is not looked at.
///
/// # Errors
/// [`ErrorKind::NotInstalled`] when there is no candidate.
pub fn llm(candidates: Vec<Thinking>, setup: Setup) -> Result<Arc<dyn LanguageModel>, Error> {
    if candidates.is_empty() {
        return Err(nobody_left("language model"));
    }
    Ok(Arc::new(llm::Chain::new(candidates, setup)))
}

/// A voice of `candidates`, best first, ready for a call. The settings' own voice and model are not looked at.
///
/// # Errors
/// [`ErrorKind::NotInstalled`] when there is no candidate.
pub fn tts(candidates: Vec<Speaking>, settings: Settings, setup: Setup) -> Result<Box<dyn Speaker>, Error> {
    if candidates.is_empty() {
        return Err(nobody_left("voice"));
    }
    Ok(Box::new(tts::Chain::open(candidates, settings, setup)?))
}
