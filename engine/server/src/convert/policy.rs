//! The policy a call with an agent runs by: the contract's settings, parsed once, with every wrong one named.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parlance_conversation::{
    Begin, Budgets, CallHandling, DtmfCollection, Policy, Responder, Scene, TurnTaking,
};
use parlance_proto::v1;

use super::agent::Offer;
use super::{flow, length};
use crate::status::{Refusal, Violations};

const TEXT_MAX: usize = 2_000;
const FILLERS_MAX: usize = 10;
const FILLER_MAX: usize = 200;
const VARIABLES_MAX: usize = 100;
const VARIABLE_MAX: usize = 1_000;
/// Who an agent is that is told nothing else.
const PERSONA: &str = include_str!("../../../../VOICE_AGENT_SYSTEM_PROMPT.md");
/// Responsiveness of an agent that names none, when the transcriber answers at once and revises nothing
/// (design, section 6: it waits longer).
const OFFLINE_RESPONSIVENESS: f64 = 0.3;

/// The policy of a call with this agent. The agent was checked when it was stored.
pub fn policy(agent: &v1::Agent, offer: &Offer, scene: Scene) -> Result<Policy, Refusal> {
    let mut bad = Violations::default();
    let responder = match &agent.flow {
        Some(wire) => Responder::Flow { flow: Arc::new(flow::flow(wire, Some(agent), &mut bad)) },
        None if offer.has_model => {
            let own = agent.language_model.as_ref().map_or("", |model| model.system_prompt.as_str());
            let prompt = if own.trim().is_empty() { PERSONA } else { own };
            Responder::Model { system_prompt: scene.fill(prompt) }
        }
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
        turn_taking: turn_taking(agent, offer, &mut bad),
        call_handling: said(call_handling(agent.call_handling.as_ref(), &mut bad), &scene),
        transcriber: offer.transcriber.clone(),
        budgets: budgets(agent, offer, &mut bad),
        responder,
        tools: super::tools::set(agent).policies(),
        scene,
    };
    bad.check().map(|()| policy)
}

/// What the engine says itself, with its variables filled in.
fn said(settings: CallHandling, scene: &Scene) -> CallHandling {
    let fill = |text: &String| scene.fill(text);
    CallHandling {
        begin_message: settings.begin_message.as_ref().map(fill).filter(|text| !text.is_empty()),
        duration_warning: settings.duration_warning.as_ref().map(fill).filter(|text| !text.is_empty()),
        reminder_text: fill(&settings.reminder_text),
        goodbye_text: fill(&settings.goodbye_text),
        apology_text: fill(&settings.apology_text),
        ..settings
    }
}

/// Checks the settings that make the policy, whatever the responder.
pub fn check(agent: &v1::Agent, offer: &Offer, bad: &mut Violations) {
    turn_taking(agent, offer, bad);
    budgets(agent, offer, bad);
    call_handling(agent.call_handling.as_ref(), bad);
    variables("default_dynamic_variables", &agent.default_dynamic_variables, bad);
}

/// Where and when a call takes place: `given` values go before the agent's own.
pub fn scene(
    agent: &v1::Agent,
    started: jiff::civil::DateTime,
    given: impl IntoIterator<Item = (String, String)>,
) -> Scene {
    let own = agent.default_dynamic_variables.iter().map(|(name, value)| (name.clone(), value.clone()));
    Scene { started, variables: own.chain(given).collect() }
}

/// Checks values for an agent's texts.
pub fn variables(field: &str, variables: &BTreeMap<String, String>, bad: &mut Violations) {
    if variables.len() > VARIABLES_MAX {
        bad.add(field, format!("has {} entries; at most {VARIABLES_MAX} are allowed", variables.len()));
    }
    for (key, value) in variables {
        let fits = (1..=63).contains(&key.len())
            && key.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_'));
        if !fits {
            bad.add(format!("{field}[{key}]"), "the key must match [a-z0-9_]{1,63}");
        }
        bad.longest(format!("{field}[{key}]"), value, VARIABLE_MAX);
    }
}

fn turn_taking(agent: &v1::Agent, offer: &Offer, bad: &mut Violations) -> TurnTaking {
    let trusts = agent.listening.as_ref().and_then(|listening| listening.trust_provider_turns);
    let mut settings = TurnTaking {
        trust_provider_turns: trusts.unwrap_or(offer.decides_turns),
        speculation: offer.speculates,
        ..TurnTaking::default()
    };
    if offer.offline {
        settings.responsiveness = OFFLINE_RESPONSIVENESS;
    }
    let Some(wire) = agent.turn_taking.as_ref() else { return settings };
    settings.speculation = wire.speculation.unwrap_or(settings.speculation);
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
    if let Some(wire) = &wire.dtmf {
        settings.digit_interrupts = wire.interrupts.unwrap_or(settings.digit_interrupts);
        settings.dtmf = dtmf(wire, bad);
    }
    settings
}

fn dtmf(wire: &v1::Dtmf, bad: &mut Violations) -> DtmfCollection {
    let mut settings = DtmfCollection::default();
    let mut keys = wire.termination_key.chars();
    match (keys.next(), keys.next()) {
        (None, _) => {}
        (Some(key @ ('0'..='9' | '*' | '#' | 'A'..='D')), None) => settings.terminator = key,
        _ => bad.add("turn_taking.dtmf.termination_key", "must be one of 0-9, *, #, A-D"),
    }
    if let Some(limit) = wire.digit_limit {
        if !(1..=50).contains(&limit) {
            bad.add("turn_taking.dtmf.digit_limit", format!("is {limit}; must be 1 to 50"));
        }
        settings.max_digits = limit;
    }
    let timeout = wire.timeout.as_ref();
    within("turn_taking.dtmf.timeout", timeout, (500, 30_000), &mut settings.timeout, bad);
    settings
}

fn budgets(agent: &v1::Agent, offer: &Offer, bad: &mut Violations) -> Budgets {
    let mut settings = Budgets::default();
    let mut mute = Duration::ZERO;
    provider_budgets(agent.budgets.as_ref(), &mut settings, &mut mute, bad);
    let mut settings = settings.around(offer.models as u32, offer.speakers as u32);
    if let Some(tokens) = agent.language_model.as_ref().and_then(|model| model.context_tokens) {
        settings.context_tokens = tokens;
    }
    let Some(wire) = agent.turn_taking.as_ref() else { return settings };
    if wire.fillers.len() > FILLERS_MAX {
        let count = wire.fillers.len();
        bad.add("turn_taking.fillers", format!("has {count} entries; at most {FILLERS_MAX} are allowed"));
    }
    for (index, filler) in wire.fillers.iter().enumerate() {
        let field = format!("turn_taking.fillers[{index}]");
        bad.longest(field.clone(), filler, FILLER_MAX);
        if filler.trim().is_empty() {
            bad.add(field, "is empty");
        }
    }
    settings.fillers.clone_from(&wire.fillers);
    let after = wire.filler_after.as_ref();
    within("turn_taking.filler_after", after, (200, 10_000), &mut settings.filler_after, bad);
    settings
}

/// How long each provider may take; the transcriber's own wait goes to `mute`.
pub fn provider_budgets(
    wire: Option<&v1::ProviderBudgets>,
    settings: &mut Budgets,
    mute: &mut Duration,
    bad: &mut Violations,
) {
    let Some(wire) = wire else { return };
    let token = wire.first_token.as_ref();
    within("budgets.first_token", token, (500, 30_000), &mut settings.first_token, bad);
    let audio = wire.first_audio.as_ref();
    within("budgets.first_audio", audio, (200, 30_000), &mut settings.first_audio, bad);
    let stalled = wire.stalled_audio.as_ref();
    within("budgets.stalled_audio", stalled, (200, 10_000), &mut settings.stalled_audio, bad);
    within("budgets.mute", wire.mute.as_ref(), (1_000, 30_000), mute, bad);
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
        ("call_handling.goodbye_text", &wire.goodbye_text),
        ("call_handling.apology_text", &wire.apology_text),
    ] {
        bad.longest(field, text, TEXT_MAX);
    }
    settings.begin_message = given(&wire.begin_message);
    settings.duration_warning = given(&wire.duration_warning);
    for (text, target) in [
        (&wire.reminder_text, &mut settings.reminder_text),
        (&wire.goodbye_text, &mut settings.goodbye_text),
        (&wire.apology_text, &mut settings.apology_text),
    ] {
        *target = given(text).unwrap_or_else(|| target.clone());
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
    within(field, given, (seconds.0 * 1_000, seconds.1 * 1_000), target, bad);
}

/// The same in milliseconds.
fn within(
    field: &str,
    given: Option<&prost_types::Duration>,
    ms: (u64, u64),
    target: &mut Duration,
    bad: &mut Violations,
) {
    let Some(wire) = given else { return };
    let bounds = Duration::from_millis(ms.0)..=Duration::from_millis(ms.1);
    match length(wire).filter(|value| bounds.contains(value)) {
        Some(value) => *target = value,
        None => {
            let seconds = |ms: u64| ms as f64 / 1_000.0;
            bad.add(field, format!("must be {} s to {} s", seconds(ms.0), seconds(ms.1)));
        }
    }
}

fn given(text: &str) -> Option<String> {
    Some(text.to_owned()).filter(|text| !text.trim().is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(agent: &v1::Agent, given: &[(&str, &str)]) -> Policy {
        let offer = Offer { has_model: true, models: 2, ..Offer::default() };
        let given = given.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let scene = scene(agent, jiff::civil::date(2026, 5, 20).at(12, 0, 0, 0), given);
        policy(agent, &offer, scene).expect("the agent is valid")
    }

    fn prompt(policy: Policy) -> String {
        match policy.responder {
            Responder::Model { system_prompt } => system_prompt,
            Responder::Flow { .. } => panic!("it has no flow"),
        }
    }

    #[test]
    fn variables_are_filled_into_instructions_and_into_what_the_engine_says_itself() {
        let agent = v1::Agent {
            language_model: Some(v1::LanguageModel {
                system_prompt: "You are {{ name }} of {{shop}}{{nobody}}.".to_owned(),
                ..Default::default()
            }),
            call_handling: Some(v1::CallHandling {
                begin_message: "{{shop}}, hello {{caller}}".to_owned(),
                ..Default::default()
            }),
            default_dynamic_variables: [("name", "Ada"), ("shop", "Luna"), ("caller", "you")]
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into(),
            ..Default::default()
        };
        // A value is a value: what looks like a variable in it is none.
        let policy = told(&agent, &[("caller", "{{shop}}")]);
        assert_eq!(policy.call_handling.begin_message.as_deref(), Some("Luna, hello {{shop}}"));
        assert_eq!(prompt(policy), "You are Ada of Luna.");
    }

    #[test]
    fn an_agent_that_is_told_nothing_is_the_engines_own_persona() {
        let persona = prompt(told(&v1::Agent::default(), &[]));
        assert_eq!(persona, PERSONA.trim());
        assert!(persona.contains("twenty words"), "{persona}");
    }

    #[test]
    fn the_conversation_waits_longer_than_all_models_of_the_row_together() {
        let budgets = v1::ProviderBudgets {
            first_token: Some(prost_types::Duration { seconds: 1, nanos: 0 }),
            ..Default::default()
        };
        let agent = v1::Agent { budgets: Some(budgets), ..Default::default() };
        let budgets = told(&agent, &[]).budgets;
        assert!(budgets.first_token > Duration::from_secs(2), "{budgets:?}");
        assert_eq!(budgets.stalled_audio, Budgets::default().stalled_audio, "it has one voice");
    }
}
