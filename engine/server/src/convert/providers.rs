//! Which providers an agent names, checked against those there are.

use parlance_proto::v1;
use parlance_providers::near;

use super::agent::Offer;
use crate::status::Violations;

const CHOICES_MAX: usize = 5;
const MODEL_MAX: usize = 200;
const LANGUAGE_MAX: usize = 35;
const TERMS_MAX: usize = 100;
const TERM_MAX: usize = 100;
const STYLE_MAX: usize = 500;

/// Checks everything an agent says about providers but its budgets, which are the policy's.
pub fn check(agent: &v1::Agent, offer: &Offer, bad: &mut Violations) {
    if let Some(listening) = &agent.listening {
        let known = &offer.known.transcribers;
        choices("listening.transcribers", &listening.transcribers, known, bad);
        language("listening.language", &listening.language, bad);
        let count = listening.key_terms.len();
        if count > TERMS_MAX {
            bad.add("listening.key_terms", format!("has {count} entries; at most {TERMS_MAX} are allowed"));
        }
        for (index, term) in listening.key_terms.iter().enumerate() {
            let field = format!("listening.key_terms[{index}]");
            bad.longest(field.clone(), term, TERM_MAX);
            if term.trim().is_empty() {
                bad.add(field, "is empty");
            }
        }
    }
    if let Some(model) = &agent.language_model {
        choices("language_model.models", &model.models, &offer.known.models, bad);
        if model.temperature.is_some_and(|value| !(0.0..=2.0).contains(&value)) {
            let value = model.temperature.unwrap_or_default();
            bad.add("language_model.temperature", format!("is {value}; must be 0 to 2"));
        }
        number("language_model.max_tokens", model.max_tokens, (1, 100_000), bad);
        number("language_model.context_tokens", model.context_tokens, (500, 1_000_000), bad);
    }
    if let Some(voice) = &agent.voice {
        bad.longest("voice.model", &voice.model, MODEL_MAX);
        bad.longest("voice.style", &voice.style, STYLE_MAX);
        language("voice.language", &voice.language, bad);
        if voice.language == "multi" {
            bad.add("voice.language", "must be one language");
        }
    }
}

fn choices(field: &str, wire: &[v1::ProviderChoice], known: &[&'static str], bad: &mut Violations) {
    if wire.len() > CHOICES_MAX {
        bad.add(field, format!("has {} entries; at most {CHOICES_MAX} are allowed", wire.len()));
    }
    for (index, choice) in wire.iter().enumerate() {
        let at = |name: &str| format!("{field}[{index}].{name}");
        if !known.contains(&choice.provider.as_str()) {
            bad.add(at("provider"), near::unknown(&choice.provider, known));
        }
        bad.longest(at("model"), &choice.model, MODEL_MAX);
    }
}

/// A BCP 47 tag by its shape: a language of two or three letters and parts of one to eight letters and digits.
fn language(field: &str, tag: &str, bad: &mut Violations) {
    if tag.is_empty() || tag == "multi" {
        return;
    }
    let mut parts = tag.split('-');
    let first = parts.next().unwrap_or_default();
    let language = (2..=3).contains(&first.len()) && first.bytes().all(|byte| byte.is_ascii_alphabetic());
    let part =
        |part: &str| (1..=8).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if tag.len() > LANGUAGE_MAX || !language || !parts.all(part) {
        bad.add(field, format!("`{tag}` is no language: give a tag such as en-US or hi"));
    }
}

fn number(field: &str, value: Option<u32>, (least, most): (u32, u32), bad: &mut Violations) {
    if let Some(value) = value.filter(|value| !(least..=most).contains(value)) {
        bad.add(field, format!("is {value}; must be {least} to {most}"));
    }
}
