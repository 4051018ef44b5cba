//! Agents: the contract's message and the JSON it is stored as.
//!
//! Everything a client can get wrong about an agent is found here or in the files of its parts, and named by its
//! field. The policy a call runs by is made in [`super::policy`].

use std::collections::BTreeMap;
use std::sync::LazyLock;

use parlance_conversation::Transcriber;
use parlance_proto::v1;
use parlance_store::agents::AgentState;
use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor, ReflectMessage};

use super::{flow, policy, providers, tools, voice};
use crate::providers::Voices;
use crate::status::{Refusal, Violations};
use crate::tools::addresses::Addresses;

const NAME_MAX: usize = 200;
const TEXT_MAX: usize = 2_000;
const PROMPT_MAX: usize = 32_000;
const LABELS_MAX: usize = 64;
const LABEL_MAX: usize = 63;

/// The fields that the server sets; a client's word on them does not count.
pub const SERVER_SET: [&str; 4] = ["name", "create_time", "update_time", "etag"];

static AGENT: LazyLock<Option<MessageDescriptor>> = LazyLock::new(|| {
    DescriptorPool::decode(parlance_proto::DESCRIPTOR_SET).ok()?.get_message_by_name("parlance.v1.Agent")
});

/// What the engine can offer an agent, for checks and defaults.
#[derive(Clone, Default)]
pub struct Offer {
    /// The voices it can speak with.
    pub voices: Voices,
    /// The names of providers it may choose.
    pub known: Known,
    /// Whether there is a language model.
    pub has_model: bool,
    /// Whether the transcriber is the offline one.
    pub offline: bool,
    /// Whether answers are begun speculatively where the agent does not say.
    pub speculates: bool,
    /// Whether the transcriber decides turns itself.
    pub decides_turns: bool,
    /// What the transcriber can do.
    pub transcriber: Transcriber,
    /// How many models are tried, one after another.
    pub models: usize,
    /// How many voices are tried, one after another.
    pub speakers: usize,
}

/// Registered names of providers.
#[derive(Debug, Clone, Default)]
pub struct Known {
    /// Those that listen.
    pub transcribers: Vec<&'static str>,
    /// Those that answer.
    pub models: Vec<&'static str>,
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
        labels: BTreeMap::new(),
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
pub fn check(agent: &v1::Agent, offer: &Offer, addresses: &Addresses) -> Result<(), Refusal> {
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
    voice::check(agent.voice.as_ref(), offer, &mut bad);
    providers::check(agent, offer, &mut bad);
    policy::check(agent, offer, &mut bad);
    tools::check(agent, addresses, &mut bad);
    zone(&agent.time_zone, &mut bad);
    if v1::StorageLevel::try_from(agent.privacy.unwrap_or_default().storage).is_err() {
        bad.add("privacy.storage", "must be EVERYTHING or NO_TRANSCRIPT");
    }
    if let Some(model) = &agent.language_model {
        bad.longest("language_model.system_prompt", &model.system_prompt, PROMPT_MAX);
    }
    if to_settings(agent)?.to_string().contains("\\u0000") {
        bad.add("agent", "holds a NUL character");
    }
    match &agent.flow {
        Some(wire) => {
            flow::flow(wire, Some(agent), &mut bad);
        }
        None if !offer.has_model
            && agent.language_model.as_ref().is_none_or(|model| model.models.is_empty()) =>
        {
            bad.add(
                "flow",
                "is required: this engine has no language model, so an agent needs a flow to answer",
            );
        }
        None => {}
    }
    bad.check()
}

fn labels(labels: &BTreeMap<String, String>, bad: &mut Violations) {
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

fn zone(name: &str, bad: &mut Violations) {
    if !name.is_empty() && jiff::tz::TimeZone::get(name).is_err() {
        bad.add("time_zone", format!("`{name}` is no time zone: give an IANA name such as Europe/Berlin"));
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
pub fn wire_labels(labels: &serde_json::Value) -> BTreeMap<String, String> {
    let entries = labels.as_object().into_iter().flatten();
    entries.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect()
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
