//! Agents: the contract's message, the JSON it is stored as, and the policy a call runs by.
//!
//! Everything a client can get wrong about an agent is found here, and named by its field.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use parlance_conversation::{
    Begin, Budgets, CallHandling, Effect, Policy, Responder, Scene, ToolPolicy, Transcriber, TurnTaking,
};
use parlance_proto::v1;
use parlance_store::agents::AgentState;
use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor, ReflectMessage};

use super::{flow, length};
use crate::status::{Refusal, Violations};

const NAME_MAX: usize = 200;
const TEXT_MAX: usize = 2_000;
const PROMPT_MAX: usize = 32_000;
const LABELS_MAX: usize = 64;
const LABEL_MAX: usize = 63;
/// Responsiveness of an agent that names none, when the transcriber answers at once and revises nothing
/// (design, section 6: it waits longer).
const OFFLINE_RESPONSIVENESS: f64 = 0.3;

/// The fields that the server sets; a client's word on them does not count.
pub const SERVER_SET: [&str; 4] = ["name", "create_time", "update_time", "etag"];

static AGENT: LazyLock<Option<MessageDescriptor>> = LazyLock::new(|| {
    DescriptorPool::decode(parlance_proto::DESCRIPTOR_SET).ok()?.get_message_by_name("parlance.v1.Agent")
});

/// What the engine can offer an agent, for checks and defaults.
pub struct Offer {
    /// The voice ids it can speak with.
    pub voices: Vec<String>,
    /// Whether there is a language model.
    pub has_model: bool,
    /// Whether the transcriber is the offline one.
    pub offline: bool,
    /// What the transcriber can do.
    pub transcriber: Transcriber,
}

/// The settings as they are stored: the message's canonical JSON without what the server sets
/// and what has a column of its own.
pub fn to_settings(agent: &v1::Agent) -> Result<serde_json::Value, Refusal> {
    let bare = v1::Agent {
        name: String::new(),
        create_time: None,
        update_time: None,
        etag: String::new(),
        state: v1::AgentState::Unspecified.into(),
        labels: HashMap::new(),
        ..agent.clone()
    };
    let mut message = DynamicMessage::new(descriptor()?);
    message.transcode_from(&bare).map_err(|error| internal(&error))?;
    serde_json::to_value(&message).map_err(|error| internal(&error))
}

/// The message from its stored settings.
pub fn from_settings(settings: &serde_json::Value) -> Result<v1::Agent, Refusal> {
    let message = DynamicMessage::deserialize(descriptor()?, settings).map_err(|error| internal(&error))?;
    debug_assert_eq!(message.descriptor().name(), "Agent");
    message.transcode_to().map_err(|error| internal(&error))
}

/// Checks every field; the message then can be stored and called.
pub fn check(agent: &v1::Agent, offer: &Offer) -> Result<(), Refusal> {
    let mut bad = Violations::default();
    if agent.display_name.trim().is_empty() {
        bad.add("display_name", "is required");
    }
    bad.longest("display_name", &agent.display_name, NAME_MAX);
    bad.longest("description", &agent.description, TEXT_MAX);
    labels(&agent.labels, &mut bad);
    if v1::AgentState::try_from(agent.state).is_err() {
        bad.add("state", "must be ACTIVE or INACTIVE");
    }
    let voice = agent.voice.as_ref().map_or("", |voice| voice.voice_id.as_str());
    if !voice.is_empty() && !offer.voices.iter().any(|known| known == voice) {
        bad.add("voice.voice_id", format!("`{voice}` is not known; known are: {}", offer.voices.join(", ")));
    }
    turn_taking(agent.turn_taking.as_ref(), offer.offline, &mut bad);
    call_handling(agent.call_handling.as_ref(), &mut bad);
    if let Some(model) = &agent.language_model {
        bad.longest("language_model.system_prompt", &model.system_prompt, PROMPT_MAX);
    }
    if to_settings(agent)?.to_string().contains("\\u0000") {
        bad.add("agent", "holds a NUL character");
    }
    match &agent.flow {
        Some(wire) => {
            flow::flow(wire, &mut bad);
        }
        None if !offer.has_model => {
            bad.add(
                "flow",
                "is required: this engine has no language model, so an agent needs a flow to answer",
            );
        }
        None => {}
    }
    bad.check()
}

fn labels(labels: &HashMap<String, String>, bad: &mut Violations) {
    if labels.len() > LABELS_MAX {
        bad.add("labels", format!("has {} entries; at most {LABELS_MAX} are allowed", labels.len()));
    }
    for (key, value) in labels {
        let field = format!("labels[{key}]");
        let fits = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-');
        if !(1..=LABEL_MAX).contains(&key.len()) || !key.bytes().all(fits) {
            bad.add(field.clone(), "the key must match [a-z0-9_-]{1,63}");
        }
        bad.longest(field, value, LABEL_MAX);
    }
}

/// The state as it is kept; one that is not set is active.
pub fn state(wire: &v1::Agent) -> AgentState {
    match wire.state() {
        v1::AgentState::Unspecified | v1::AgentState::Active => AgentState::Active,
        v1::AgentState::Inactive => AgentState::Inactive,
    }
}

/// The state as the contract has it.
pub fn wire_state(state: AgentState) -> v1::AgentState {
    match state {
        AgentState::Active => v1::AgentState::Active,
        AgentState::Inactive => v1::AgentState::Inactive,
    }
}

/// The labels of a row.
pub fn wire_labels(labels: &serde_json::Value) -> HashMap<String, String> {
    let entries = labels.as_object().into_iter().flatten();
    entries.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect()
}

/// The policy of a call with this agent. The agent was checked when it was stored.
pub fn policy(agent: &v1::Agent, offer: &Offer, scene: Scene) -> Result<Policy, Refusal> {
    let mut bad = Violations::default();
    let responder = match &agent.flow {
        Some(wire) => Responder::Flow { flow: Arc::new(flow::flow(wire, &mut bad)) },
        None if offer.has_model => Responder::Model {
            system_prompt: agent
                .language_model
                .as_ref()
                .map_or(String::new(), |model| model.system_prompt.clone()),
        },
        None => {
            return Err(Refusal::WrongState {
                reason: v1::ErrorReason::NoLanguageModel,
                message: format!(
                    "agent `{}` has no flow and the engine has no language model",
                    agent.display_name
                ),
            });
        }
    };
    let policy = Policy {
        turn_taking: turn_taking(agent.turn_taking.as_ref(), offer.offline, &mut bad),
        call_handling: call_handling(agent.call_handling.as_ref(), &mut bad),
        transcriber: offer.transcriber.clone(),
        budgets: Budgets::default(),
        responder,
        tools: crate::tools::BUILT_IN.iter().map(tool_policy).collect(),
        scene,
    };
    bad.check().map(|()| policy)
}

fn tool_policy(tool: &crate::tools::BuiltIn) -> ToolPolicy {
    ToolPolicy {
        name: tool.name.to_owned(),
        effect: Effect::Effect,
        timeout: tool.timeout,
        say_while_running: None,
    }
}

fn turn_taking(wire: Option<&v1::TurnTaking>, offline: bool, bad: &mut Violations) -> TurnTaking {
    let mut settings = TurnTaking::default();
    if offline {
        settings.responsiveness = OFFLINE_RESPONSIVENESS;
    }
    let Some(wire) = wire else { return settings };
    if let Some(value) = wire.responsiveness {
        settings.responsiveness = share("turn_taking.responsiveness", value, bad);
    }
    if let Some(value) = wire.interruption_sensitivity {
        settings.interruption_sensitivity = share("turn_taking.interruption_sensitivity", value, bad);
    }
    if let Some(words) = wire.interrupt_min_words {
        if !(1..=10).contains(&words) {
            bad.add("turn_taking.interrupt_min_words", format!("is {words}; must be 1 to 10"));
        }
        settings.interrupt_min_words = words;
    }
    if !wire.backchannels.is_empty() {
        settings.backchannels = wire.backchannels.iter().map(|word| word.to_lowercase()).collect();
    }
    let protect = wire.protect_begin.as_ref();
    bounded("turn_taking.protect_begin", protect, (0, 30), &mut settings.protect_begin, bad);
    settings
}

fn call_handling(wire: Option<&v1::CallHandling>, bad: &mut Violations) -> CallHandling {
    let mut settings = CallHandling::default();
    let Some(wire) = wire else { return settings };
    settings.begin = match v1::FirstSpeaker::try_from(wire.first_speaker) {
        Ok(v1::FirstSpeaker::Unspecified | v1::FirstSpeaker::Agent) => Begin::Agent,
        Ok(v1::FirstSpeaker::Caller) => Begin::Caller,
        Err(_) => {
            bad.add("call_handling.first_speaker", "must be one of the named values");
            Begin::Agent
        }
    };
    for (field, text) in [
        ("call_handling.begin_message", &wire.begin_message),
        ("call_handling.reminder_text", &wire.reminder_text),
        ("call_handling.duration_warning", &wire.duration_warning),
    ] {
        bad.longest(field, text, TEXT_MAX);
    }
    settings.begin_message = given(&wire.begin_message);
    settings.duration_warning = given(&wire.duration_warning);
    if let Some(text) = given(&wire.reminder_text) {
        settings.reminder_text = text;
    }
    if let Some(max) = wire.reminder_max {
        if max > 10 {
            bad.add("call_handling.reminder_max", format!("is {max}; must be 0 to 10"));
        }
        settings.reminder_max = max;
    }
    let delay = wire.begin_delay.as_ref();
    bounded("call_handling.begin_delay", delay, (0, 10), &mut settings.begin_delay, bad);
    let after = wire.reminder_after.as_ref();
    bounded("call_handling.reminder_after", after, (1, 600), &mut settings.reminder_after, bad);
    let limit = wire.silence_limit.as_ref();
    bounded("call_handling.silence_limit", limit, (1, 3_600), &mut settings.silence_limit, bad);
    let longest = wire.max_duration.as_ref();
    bounded("call_handling.max_duration", longest, (10, 86_400), &mut settings.max_duration, bad);
    settings
}

fn share(field: &str, value: f64, bad: &mut Violations) -> f64 {
    if !(0.0..=1.0).contains(&value) {
        bad.add(field, format!("is {value}; must be 0 to 1"));
    }
    value
}

/// Takes a duration into `target` if one was given and it lies within `seconds`.
fn bounded(
    field: &str,
    given: Option<&prost_types::Duration>,
    seconds: (u64, u64),
    target: &mut Duration,
    bad: &mut Violations,
) {
    let Some(wire) = given else { return };
    let bounds = Duration::from_secs(seconds.0)..=Duration::from_secs(seconds.1);
    match length(wire).filter(|value| bounds.contains(value)) {
        Some(value) => *target = value,
        None => bad.add(field, format!("must be {} s to {} s", seconds.0, seconds.1)),
    }
}

fn given(text: &str) -> Option<String> {
    Some(text.to_owned()).filter(|text| !text.trim().is_empty())
}

/// The contract's description of an agent.
pub fn descriptor() -> Result<MessageDescriptor, Refusal> {
    AGENT.clone().ok_or_else(|| internal(&"the descriptor set has no Agent"))
}

/// Our own fault, with its cause in the log.
pub fn internal(error: &impl std::fmt::Display) -> Refusal {
    tracing::error!(%error, "agent settings could not be converted");
    Refusal::Internal
}
