//! The agent's settings as the conversation needs them: parsed once, nested by theme.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::flow::Flow;

/// Everything about an agent that decides how it converses.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Policy {
    /// Turn-taking.
    pub turn_taking: TurnTaking,
    /// Begin, reminders, limits.
    pub call_handling: CallHandling,
    /// What the transcriber can do.
    pub transcriber: Transcriber,
    /// Budgets for slow providers (A3).
    pub budgets: Budgets,
    /// Who answers.
    pub responder: Responder,
    /// The tools the agent may run.
    pub tools: Vec<ToolPolicy>,
    /// Where and when the call takes place.
    pub scene: Scene,
}

/// How patient and how easily interrupted the agent is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TurnTaking {
    /// 0 (patient) to 1 (quick). E1: wait = 1200 - 1000 × this, milliseconds. Default 0.8.
    pub responsiveness: f64,
    /// 0 (never) to 1 (at once). B1: hold after 160 × (1 - this) milliseconds. Default 0.8.
    pub interruption_sensitivity: f64,
    /// Words it takes to interrupt (B2). Default 1.
    pub interrupt_min_words: u32,
    /// Words that do not take the floor (B3), lower case.
    pub backchannels: Vec<String>,
    /// Whether the provider's end of turn is trusted (E5). Default false.
    pub trust_provider_turns: bool,
    /// Whether replies may start before the decision (S). Default false.
    pub speculation: bool,
    /// How much of the greeting can't be interrupted (B6). Default zero.
    pub protect_begin: Duration,
    /// Whether a digit interrupts (B9). Default true.
    pub digit_interrupts: bool,
    /// Digits that end a collection, and how long to wait for the next one (E7).
    pub dtmf: DtmfCollection,
}

/// E7: when a row of digits is a whole turn.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DtmfCollection {
    /// Ends the collection at once. Default `#`.
    pub terminator: char,
    /// Most digits of one collection. Default 20.
    pub max_digits: u32,
    /// Wait for the next digit. Default 2 s.
    pub timeout: Duration,
}

/// Begin, reminders, limits.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CallHandling {
    /// Who begins (A1).
    pub begin: Begin,
    /// Wait after the far end is ready. Default zero.
    pub begin_delay: Duration,
    /// First words of an agent without a flow; a flow has its own.
    pub begin_message: Option<String>,
    /// Said to a silent caller (A7).
    pub reminder_text: String,
    /// Silence before a reminder. Default 10 s.
    pub reminder_after: Duration,
    /// Reminders in a row. Default 1.
    pub reminder_max: u32,
    /// Silence after the last reminder before the call ends. Default 20 s.
    pub silence_limit: Duration,
    /// The caller speaks, so that a silence without any audio means that something is broken. Default false.
    pub expects_audio: bool,
    /// Longest call (A9). Default one hour.
    pub max_duration: Duration,
    /// Said 30 s before (A9).
    pub duration_warning: Option<String>,
    /// Last words when the engine must end the call itself.
    pub goodbye_text: String,
    /// Said once when everything failed (A3).
    pub apology_text: String,
    /// Words of a caller that go with a goodbye and do not stop it (A6), lower case.
    pub closings: Vec<String>,
}

/// Who begins (A1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Begin {
    /// The agent greets.
    Agent,
    /// The caller speaks first; reminded if silent.
    Caller,
}

/// What the transcriber can do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Transcriber {
    /// Interims come while the caller speaks (B2).
    pub interims: bool,
    /// Every transcript has a watermark; else `lag_p95` is used (and learnt).
    pub watermark: bool,
    /// 95th percentile of its lag.
    pub lag_p95: Duration,
    /// How long after the caller's last voice one that has stopped listening may take until another has
    /// caught up. Zero: nobody replaces it. Default zero.
    #[serde(default)]
    pub recovery: Duration,
    /// It tells the end of a turn itself (E5). Default false.
    #[serde(default)]
    pub turns: bool,
}

/// A3: how long is waited for providers. The defaults are those of one provider.
///
/// A chain of providers keeps the budget of each by itself and goes to the next. What the conversation is given must
/// be longer than all of that, or it gives a reply up while a fallback could still answer: see [`Budgets::around`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Budgets {
    /// First token of the model, fallbacks included. Default 2.5 s.
    pub first_token: Duration,
    /// First audio of the voice, fallbacks included. Default 1.5 s.
    pub first_audio: Duration,
    /// Audio stalled within a reply, fallbacks included. Default 800 ms.
    pub stalled_audio: Duration,
    /// Silence before a filler. Default 1.2 s.
    pub filler_after: Duration,
    /// Fillers in turn; none: no filler.
    pub fillers: Vec<String>,
    /// Failures in a row after which the call ends. Default 2.
    pub failures_max: u32,
    /// Most tokens of a model's context, estimated; 0: no limit. Whole turns are left out from the oldest.
    /// Default 8,000.
    #[serde(default = "context_tokens")]
    pub context_tokens: u32,
    /// How often the model of one reply may ask for tools, at least 1; then it is told to answer without. Default 5.
    #[serde(default = "tool_rounds_max")]
    pub tool_rounds_max: u32,
}

/// Who answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "responder", rename_all = "snake_case")]
pub enum Responder {
    /// A flow answers by itself, without a model.
    Flow {
        /// The graph.
        flow: Arc<Flow>,
    },
    /// A language model answers.
    Model {
        /// Its instructions.
        system_prompt: String,
    },
}

/// A tool as the conversation sees it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ToolPolicy {
    /// Its name.
    pub name: String,
    /// Its effect class (A5).
    pub effect: Effect,
    /// Its time-out. Default 10 s.
    pub timeout: Duration,
    /// Said while it runs, if the reply that asked for it said nothing itself.
    #[serde(default)]
    pub say_while_running: Option<String>,
    /// Said when it succeeded, in the reply that asked for it and before that goes on. Not said if that reply
    /// is over or the caller has the floor.
    #[serde(default)]
    pub say_after: Option<String>,
}

use crate::Effect;

/// Where and when the call takes place, so that "Friday" means a date.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Scene {
    /// Civil date and time at the organisation when the call began.
    pub started: jiff::civil::DateTime,
    /// Values for `{{name}}` in texts.
    pub variables: std::collections::BTreeMap<String, String>,
}

impl Scene {
    /// A text with every `{{name}}` filled in; an unknown one leaves nothing.
    pub fn fill(&self, text: &str) -> String {
        crate::flow::fill(text, |name| self.variables.get(name).cloned())
    }
}

impl Default for TurnTaking {
    fn default() -> Self {
        Self {
            responsiveness: 0.8,
            interruption_sensitivity: 0.8,
            interrupt_min_words: 1,
            backchannels: words(&[
                "mm-hm", "mhm", "mm", "hmm", "mm hmm", "yeah", "yes", "yep", "okay", "ok", "right", "uh-huh",
                "uh huh", "i see", "sure", "got it", "alright",
            ]),
            trust_provider_turns: false,
            speculation: false,
            protect_begin: Duration::ZERO,
            digit_interrupts: true,
            dtmf: DtmfCollection::default(),
        }
    }
}

impl Default for DtmfCollection {
    fn default() -> Self {
        Self { terminator: '#', max_digits: 20, timeout: Duration::from_secs(2) }
    }
}

impl Default for CallHandling {
    fn default() -> Self {
        Self {
            begin: Begin::Agent,
            begin_delay: Duration::ZERO,
            begin_message: None,
            reminder_text: "Are you still there?".into(),
            reminder_after: Duration::from_secs(10),
            reminder_max: 1,
            silence_limit: Duration::from_secs(20),
            expects_audio: false,
            max_duration: Duration::from_secs(3_600),
            duration_warning: None,
            goodbye_text: "Goodbye.".into(),
            apology_text: "I'm sorry, something went wrong on my side. Could you say that again?".into(),
            closings: words(&[
                "bye",
                "goodbye",
                "bye bye",
                "thanks",
                "thank you",
                "thanks bye",
                "thank you bye",
                "cheers",
                "see you",
                "have a nice day",
                "you too",
            ]),
        }
    }
}

impl Default for Transcriber {
    fn default() -> Self {
        Self {
            interims: true,
            watermark: true,
            lag_p95: Duration::from_millis(300),
            recovery: Duration::ZERO,
            turns: false,
        }
    }
}

impl Default for Budgets {
    fn default() -> Self {
        Self {
            first_token: Duration::from_millis(2_500),
            first_audio: Duration::from_millis(1_500),
            stalled_audio: Duration::from_millis(800),
            filler_after: Duration::from_millis(1_200),
            fillers: Vec::new(),
            failures_max: 2,
            context_tokens: context_tokens(),
            tool_rounds_max: tool_rounds_max(),
        }
    }
}

/// What going from a provider to the next takes, all together.
const SWITCH_GRACE: Duration = Duration::from_millis(500);

impl Budgets {
    /// The budgets around chains of so many models and voices, each with the budgets of one. A single provider (or
    /// none) leaves them as they are.
    #[must_use]
    pub fn around(mut self, models: u32, voices: u32) -> Self {
        if models > 1 {
            self.first_token = self.first_token * models + SWITCH_GRACE;
        }
        if voices > 1 {
            self.stalled_audio += self.first_audio * (voices - 1) + SWITCH_GRACE;
            self.first_audio = self.first_audio * voices + SWITCH_GRACE;
        }
        self
    }
}

fn context_tokens() -> u32 {
    8_000
}

fn tool_rounds_max() -> u32 {
    5
}

fn words(list: &[&str]) -> Vec<String> {
    list.iter().map(|word| (*word).to_owned()).collect()
}
