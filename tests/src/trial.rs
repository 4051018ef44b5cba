//! One call under one fault: how long the caller waited, which words did not come, which came twice.
//!
//! The caller says numbered words, the model's stand-in echoes them, the voice's sings them, and they are counted in the
//! audio that came out of the caller's loudspeaker. The fault strikes the first provider of a kind in the middle of the
//! call's first answer; a second turn shows that the call goes on.

use std::time::Duration;

use parlance_fakes::{Fault, Plan, Service};

use tokio::sync::Semaphore;

use crate::pipeline::{Heard, Pipeline, heard, hearing, received, served_by, speech};
use crate::{Caller, caller};

/// Whose fault it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The transcriber's.
    Stt,
    /// The language model's.
    Llm,
    /// The voice's.
    Tts,
}

impl Kind {
    /// All three.
    pub const ALL: [Self; 3] = [Self::Stt, Self::Llm, Self::Tts];

    /// Its word in tables.
    pub fn word(self) -> &'static str {
        match self {
            Self::Stt => "transcriber",
            Self::Llm => "model",
            Self::Tts => "voice",
        }
    }

    /// The service that fails; the other kinds' are well, and so is the fallback of this one.
    fn service(self) -> Service {
        match self {
            Self::Stt => Service::DeepgramListen,
            Self::Llm => Service::OpenaiChat,
            Self::Tts => Service::ElevenlabsMulti,
        }
    }

    /// The longest silence that a fault of this kind may cost the caller: the provider's own budget (a mute transcriber
    /// 2 s, a first token 2.5 s, a first audio 1.5 s), what the next one takes, and the ordinary wait for an answer.
    pub fn budget(self) -> Duration {
        match self {
            Self::Stt => Duration::from_millis(4_500),
            Self::Llm => Duration::from_millis(4_500),
            Self::Tts => Duration::from_millis(3_500),
        }
    }
}

/// A fault to be tried; `None` for the same call without one.
#[derive(Debug, Clone)]
pub struct Trial {
    /// Whose.
    pub kind: Kind,
    /// Its name.
    pub name: &'static str,
    /// Which.
    pub fault: Option<Fault>,
}

/// Every fault a stand-in knows, as it strikes a provider of this kind.
pub fn all_of(kind: Kind) -> Vec<Trial> {
    let after = 2;
    let faults = [
        ("none", None),
        ("slow first byte", Some(Fault::SlowFirstByte { ms: 6_000 })),
        ("silence in mid-stream", Some(Fault::Silence { after })),
        ("disconnect in mid-stream", Some(Fault::Drop { after })),
        ("wrong key", Some(Fault::Unauthorized)),
        ("out of credit", Some(Fault::Quota)),
        ("too many requests", Some(Fault::RateLimited { retry_after_s: 2 })),
        ("server error", Some(Fault::ServerError)),
        ("malformed frame", Some(Fault::Malformed { after })),
        ("unknown message type", Some(Fault::UnknownType { after })),
        ("half-open connection", Some(Fault::HalfOpen { after })),
        ("blocked send", Some(Fault::BlockedSend)),
        ("empty result", Some(Fault::Empty)),
        ("error inside the stream", Some(Fault::ErrorInside { after })),
        ("accepts and closes", Some(Fault::Flap)),
        ("smallest pieces", Some(Fault::Fragment)),
    ];
    faults.into_iter().map(|(name, fault)| Trial { kind, name, fault }).collect()
}

/// What became of a call.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// The longest the caller heard nothing: from the end of its own words to the first answered word, or between two.
    pub silence: Duration,
    /// Words that were never heard.
    pub lost: usize,
    /// Words that were heard once more.
    pub doubled: usize,
    /// Whether the second turn was answered word by word.
    pub goes_on: bool,
    /// Who worked in the end, by what the session told: `elevenlabs -> cartesia`.
    pub switched: String,
}

impl Outcome {
    /// What is wrong with it, for a fault of this kind; a word may come twice where a voice tells no times.
    pub fn fault(&self, kind: Kind) -> Option<String> {
        let doubled_max = if kind == Kind::Tts { 1 } else { 0 };
        let faults = [
            (self.silence > kind.budget(), format!("{} ms of silence", self.silence.as_millis())),
            (self.lost > 0, format!("{} words lost", self.lost)),
            (self.doubled > doubled_max, format!("{} words doubled", self.doubled)),
            (!self.goes_on, "the next turn was not answered".to_owned()),
        ];
        let faults: Vec<String> = faults.into_iter().filter(|fault| fault.0).map(|fault| fault.1).collect();
        (!faults.is_empty()).then(|| faults.join(", "))
    }
}

/// Words of the struck turn, and of the one after it.
const WORDS: std::ops::Range<usize> = 0..10;
const AFTER: std::ops::Range<usize> = 16..20;
/// How long an answer may take before its words count as lost.
const PATIENCE: Duration = Duration::from_secs(14);

/// Trials at once, whatever a program asks for: each has an engine with connections to the one Postgres, and a machine
/// that can't keep up with its callers would be blamed on the providers.
static PLACES: Semaphore = Semaphore::const_new(8);

/// Holds one call.
///
/// # Panics
/// When the engine does not start or the call ends by itself.
pub async fn hold(trial: &Trial) -> Outcome {
    let _place = PLACES.acquire().await.expect("nobody closes it");
    let pipeline = Pipeline::open().await;
    strike_first(&pipeline, trial);
    let agent = served_by(&["deepgram", "elevenlabs"], &["openai", "anthropic"], &["elevenlabs", "cartesia"]);
    let agent = pipeline.house.hires(agent).await;
    let mut caller = Caller::dials(&pipeline.house, caller::start(&agent)).await;
    caller.waits(Duration::from_millis(600)).await;
    strike_next(&pipeline, trial);
    let end_ms = says(&mut caller, WORDS).await;
    hears_all(&mut caller, WORDS).await;
    let (first, when) = (received(&caller), heard(&caller));
    says(&mut caller, AFTER).await;
    hears_all(&mut caller, AFTER).await;
    let second: Vec<usize> = received(&caller).into_iter().filter(|word| AFTER.contains(word)).collect();
    let switched = caller.switches().join(", ");
    if std::env::var_os("TRIAL_HISTORY").is_some() {
        eprintln!("{}", caller.history());
    }
    caller.hangs_up();
    drop(caller);
    pipeline.house.closes().await;
    Outcome {
        silence: silence(end_ms, &when),
        lost: WORDS.filter(|word| count(&first, *word) == 0).count(),
        doubled: WORDS.map(|word| count(&first, word).saturating_sub(1)).sum(),
        goes_on: second == AFTER.collect::<Vec<_>>(),
        switched,
    }
}

/// What the first connection of the service does.
fn strike_first(pipeline: &Pipeline, trial: &Trial) {
    let Some(fault) = trial.fault.clone() else { return };
    let service = trial.kind.service();
    let plan = match (&fault, trial.kind) {
        // A model's every answer is a request of its own; the faults of streams need no second one either.
        (_, Kind::Llm) | (Fault::Silence { .. } | Fault::Drop { .. } | Fault::Malformed { .. }, _) => {
            Plan::failing(fault)
        }
        (Fault::UnknownType { .. } | Fault::HalfOpen { .. } | Fault::ErrorInside { .. }, _) => {
            Plan::failing(fault)
        }
        (Fault::SlowFirstByte { .. } | Fault::Empty | Fault::BlockedSend | Fault::Fragment, _) => {
            Plan::failing(fault)
        }
        // Those that refuse need something to refuse: the stream there is breaks, and no other is had.
        _ => Plan::failing(Fault::Drop { after: 2 }).times(1),
    };
    pipeline.fakes.plan(service, if trial.kind == Kind::Stt { hearing(plan) } else { plan });
}

/// What every further one does.
fn strike_next(pipeline: &Pipeline, trial: &Trial) {
    let Some(fault) = trial.fault.clone() else { return };
    let plan = Plan::failing(fault);
    let plan = if trial.kind == Kind::Stt { hearing(plan) } else { plan };
    pipeline.fakes.plan(trial.kind.service(), plan);
}

/// The caller says the words; gives when their last sound left, milliseconds since its first beat.
async fn says(caller: &mut Caller, words: std::ops::Range<usize>) -> u64 {
    caller.begins_to_say_samples("words", &speech(words));
    let said = caller.until_said().await;
    said * 1_000 / u64::from(caller.ready.input_format.map_or(16_000, |format| format.sample_rate_hz))
}

/// Until all the words came, or patience ends.
async fn hears_all(caller: &mut Caller, words: std::ops::Range<usize>) {
    let began = std::time::Instant::now();
    let last = words.end - 1;
    while began.elapsed() < PATIENCE && caller.end.is_none() {
        caller.waits(Duration::from_millis(500)).await;
        let came = received(caller);
        if count(&came, last) > 0 && words.clone().all(|word| count(&came, word) > 0) {
            // What comes twice comes now.
            caller.waits(Duration::from_millis(1_500)).await;
            return;
        }
    }
}

fn count(came: &[usize], word: usize) -> usize {
    came.iter().filter(|came| **came == word).count()
}

fn silence(from_ms: u64, heard: &[Heard]) -> Duration {
    let mut silence = 0;
    let mut until = from_ms;
    for word in heard {
        silence = silence.max(word.at_ms.saturating_sub(until));
        until = word.until_ms;
    }
    if heard.is_empty() {
        silence = PATIENCE.as_millis() as u64;
    }
    Duration::from_millis(silence)
}
