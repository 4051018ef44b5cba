//! Which providers work on this machine, and the set a call uses.
//!
//! Decides what stands in for what, and says why in words for `serve` and `doctor`. Reads no
//! configuration: the choice is handed in. Enter at [`offline`] and [`Stack::new`].

use std::sync::Arc;
use std::time::Duration;

use crate::account::Account;
use crate::llm::LanguageModel;
use crate::script::{Answers, ScriptedLlm, ScriptedStt, ScriptedTts};
use crate::stt::SpeechToText;
use crate::stt::pocketsphinx::{self, PocketSphinx};
use crate::tts::TextToSpeech;
use crate::tts::espeak::{self, Espeak};
use crate::tts::flite::{self, Flite};
use crate::{Error, ErrorKind, soname};

/// What a provider does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Speech to text.
    Stt,
    /// Language model.
    Llm,
    /// Text to speech.
    Tts,
}

/// How a service is opened with an account.
#[derive(Clone, Copy)]
pub enum Open {
    /// A transcriber.
    Stt(fn(&Account) -> Result<Arc<dyn SpeechToText>, Error>),
    /// A language model.
    Llm(fn(&Account) -> Result<Arc<dyn LanguageModel>, Error>),
    /// A voice.
    Tts(fn(&Account) -> Result<Arc<dyn TextToSpeech>, Error>),
}

/// A service of a vendor. Adding one is one file and one line in `SERVICES` of its kind.
#[derive(Clone, Copy)]
pub struct Service {
    /// Its registered name, as agents name it: `deepgram`, `deepgram-flux`.
    pub name: &'static str,
    /// Whose account it needs: the name of a [`Vendor`].
    pub vendor: &'static str,
    /// What it is good for, in one sentence.
    pub about: &'static str,
    /// How it is opened. It makes no connection.
    pub open: Open,
}

impl Service {
    /// What it is for.
    pub fn kind(&self) -> Kind {
        match self.open {
            Open::Stt(_) => Kind::Stt,
            Open::Llm(_) => Kind::Llm,
            Open::Tts(_) => Kind::Tts,
        }
    }
}

/// Who one can have an account with.
#[derive(Debug, Clone, Copy)]
pub struct Vendor {
    /// Its name, as organisations name it.
    pub name: &'static str,
    /// Its name for people.
    pub title: &'static str,
    /// Variables that hold the engine's own key; the first that is set counts.
    pub key_variables: &'static [&'static str],
    /// The variable that holds another address.
    pub base_url_variable: &'static str,
    /// Whether it works without a key at another address: a server of one's own.
    pub keyless_elsewhere: bool,
}

impl Vendor {
    /// The vendor of this name.
    pub fn of(name: &str) -> Option<&'static Self> {
        VENDORS.iter().find(|vendor| vendor.name == name)
    }

    /// Whether there is enough in `account` to try.
    pub fn can_work_with(&self, account: &Account) -> bool {
        !account.key.is_empty() || (self.keyless_elsewhere && account.base_url.is_some())
    }
}

/// All vendors, in the order in which their services are preferred where an agent names none.
pub const VENDORS: &[Vendor] = &[
    Vendor {
        name: "deepgram",
        title: "Deepgram",
        key_variables: &["DEEPGRAM_API_KEY"],
        base_url_variable: "DEEPGRAM_BASE_URL",
        keyless_elsewhere: true,
    },
    Vendor {
        name: "openai",
        title: "OpenAI, or a server compatible with it",
        key_variables: &["OPENAI_API_KEY"],
        base_url_variable: "OPENAI_BASE_URL",
        keyless_elsewhere: true,
    },
    Vendor {
        name: "anthropic",
        title: "Anthropic",
        key_variables: &["ANTHROPIC_API_KEY"],
        base_url_variable: "ANTHROPIC_BASE_URL",
        keyless_elsewhere: false,
    },
    Vendor {
        name: "gemini",
        title: "Google Gemini",
        key_variables: &["GEMINI_API_KEY", "GOOGLE_API_KEY"],
        base_url_variable: "GEMINI_BASE_URL",
        keyless_elsewhere: false,
    },
    Vendor {
        name: "elevenlabs",
        title: "ElevenLabs",
        key_variables: &["ELEVENLABS_API_KEY", "ELEVEN_API_KEY"],
        base_url_variable: "ELEVENLABS_BASE_URL",
        keyless_elsewhere: false,
    },
    Vendor {
        name: "cartesia",
        title: "Cartesia",
        key_variables: &["CARTESIA_API_KEY"],
        base_url_variable: "CARTESIA_BASE_URL",
        keyless_elsewhere: false,
    },
];

/// All services of all vendors.
pub fn services() -> impl Iterator<Item = &'static Service> {
    crate::stt::SERVICES.iter().chain(crate::llm::SERVICES).chain(crate::tts::SERVICES)
}

/// Whether a provider works on this machine.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Availability {
    /// What it does.
    pub kind: Kind,
    /// Its registered name.
    pub name: &'static str,
    /// What it is good for, in one sentence.
    pub about: &'static str,
    /// Why it does not work; `None` when it does.
    pub problem: Option<Error>,
    /// The Debian packages that bring it.
    pub packages: Vec<&'static str>,
}

impl Availability {
    /// Whether it can be used now.
    pub fn is_usable(&self) -> bool {
        self.problem.is_none()
    }

    /// The exact command that brings it; `None` when it works.
    pub fn fix(&self) -> Option<String> {
        self.problem.as_ref().map(|_| soname::install(&self.packages))
    }
}

/// The providers that need no key and no internet, each tried.
pub fn offline() -> Vec<Availability> {
    vec![
        Availability {
            kind: Kind::Stt,
            name: pocketsphinx::NAME,
            about: "hears, on this machine, what the flow's grammar can say",
            problem: PocketSphinx::new().err(),
            packages: pocketsphinx::PACKAGES.to_vec(),
        },
        Availability {
            kind: Kind::Tts,
            name: flite::NAME,
            about: "speaks on this machine, with exact word times",
            problem: Flite::new().err(),
            packages: vec![flite::PACKAGE],
        },
        Availability {
            kind: Kind::Tts,
            name: espeak::NAME,
            about: "speaks on this machine, roughly, as a program of its own",
            problem: Espeak::new().err(),
            packages: vec![espeak::PACKAGE],
        },
    ]
}

/// The one command that brings all of `offline` that does not work; `None` when all does.
pub fn install_command(offline: &[Availability]) -> Option<String> {
    let missing = offline.iter().filter(|provider| !provider.is_usable());
    let packages: Vec<_> = missing.flat_map(|provider| provider.packages.iter().copied()).collect();
    if packages.is_empty() { None } else { Some(soname::install(&packages)) }
}

/// What the scripted providers say, and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Script {
    /// What the caller is heard to say, line by line.
    pub caller_lines: Vec<String>,
    /// What the agent answers, line by line; `None` echoes the caller.
    pub agent_lines: Option<Vec<String>>,
    /// From a finalize to its slice.
    pub stt_delay: Duration,
    /// From a request to its first token.
    pub first_token: Duration,
    /// From token to token.
    pub token_interval: Duration,
    /// From a sentence to its first audio.
    pub first_audio: Duration,
}

impl Default for Script {
    /// Delays as of middling vendors: 100 ms, 300 ms, 20 ms and 150 ms. The caller says "hello" and
    /// hears it back.
    fn default() -> Self {
        Self {
            caller_lines: vec!["hello".to_owned()],
            agent_lines: None,
            stt_delay: Duration::from_millis(100),
            first_token: Duration::from_millis(300),
            token_interval: Duration::from_millis(20),
            first_audio: Duration::from_millis(150),
        }
    }
}

/// Which set of providers to use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Choice {
    /// Those that need no key: PocketSphinx, flite, and espeak-ng behind it. No language model: the
    /// flow answers.
    Offline,
    /// The scripted vendor, for tests and load figures.
    Script(Script),
}

/// The providers of a call.
#[derive(Clone)]
pub struct Stack {
    /// Who listens.
    pub stt: Arc<dyn SpeechToText>,
    /// Who thinks; `None` where the flow answers by itself.
    pub llm: Option<Arc<dyn LanguageModel>>,
    /// Who speaks.
    pub tts: Arc<dyn TextToSpeech>,
    /// Who speaks when that one fails.
    pub tts_fallback: Option<Arc<dyn TextToSpeech>>,
    /// One line for each of them: what it is and why it was chosen.
    pub why: Vec<String>,
}

impl Stack {
    /// The providers of `choice`.
    ///
    /// # Errors
    /// [`ErrorKind::NotInstalled`] when nothing is left to listen or to speak with; the message holds
    /// one command that brings everything.
    pub fn new(choice: &Choice) -> Result<Self, Error> {
        match choice {
            Choice::Offline => Self::offline(),
            Choice::Script(script) => Ok(Self::scripted(script)),
        }
    }

    fn offline() -> Result<Self, Error> {
        let stt = PocketSphinx::new().map_err(everything_missing)?;
        let espeak = Espeak::new().map(|espeak| Arc::new(espeak) as Arc<dyn TextToSpeech>);
        let (tts, tts_fallback, voice, fallback) = match (Flite::new(), espeak) {
            (Ok(flite), Ok(espeak)) => (
                Arc::new(flite) as Arc<dyn TextToSpeech>,
                Some(espeak),
                "flite, on this machine: no vendor is configured".to_owned(),
                "espeak-ng, if flite fails".to_owned(),
            ),
            (Ok(flite), Err(missing)) => (
                Arc::new(flite) as Arc<dyn TextToSpeech>,
                None,
                "flite, on this machine: no vendor is configured".to_owned(),
                format!("none ({missing})"),
            ),
            (Err(missing), Ok(espeak)) => (
                espeak,
                None,
                format!("espeak-ng, on this machine, without word times ({missing})"),
                "none".to_owned(),
            ),
            (Err(missing), Err(_)) => return Err(everything_missing(missing)),
        };
        let why = vec![
            "speech to text: pocketsphinx, on this machine: no vendor is configured; it hears what the \
             flow expects"
                .to_owned(),
            "language model: none; the flow answers".to_owned(),
            format!("text to speech: {voice}"),
            format!("text to speech, fallback: {fallback}"),
        ];
        Ok(Self { stt: Arc::new(stt), llm: None, tts, tts_fallback, why })
    }

    fn scripted(script: &Script) -> Self {
        let answers = match &script.agent_lines {
            Some(lines) => Answers::Lines(lines.clone().into()),
            None => Answers::Echo,
        };
        let ms = |delay: Duration| delay.as_millis();
        let why = vec![
            format!("speech to text: script, {} ms after each finalize", ms(script.stt_delay)),
            format!(
                "language model: script, first token after {} ms, then every {} ms",
                ms(script.first_token),
                ms(script.token_interval)
            ),
            format!("text to speech: script, first audio after {} ms", ms(script.first_audio)),
        ];
        Self {
            stt: Arc::new(ScriptedStt::new(script.caller_lines.clone(), script.stt_delay)),
            llm: Some(Arc::new(ScriptedLlm::new(answers, script.first_token, script.token_interval))),
            tts: Arc::new(ScriptedTts::new(script.first_audio)),
            tts_fallback: None,
            why,
        }
    }
}

/// One error for a machine that lacks something it can't do without.
fn everything_missing(missing: Error) -> Error {
    let all = install_command(&offline()).unwrap_or_default();
    let message = format!("{}; for everything offline run: {all}", missing.message);
    Error::new(&missing.provider, ErrorKind::NotInstalled, message)
}
