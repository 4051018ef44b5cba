//! Voices of agents: the contract's message checked, and the manner a call speaks in.

use parlance_proto::v1;

use super::agent::Offer;
use crate::session::manner::Manner;
use crate::status::Violations;

const FALLBACKS_MAX: usize = 10;
const PRONUNCIATIONS_MAX: usize = 200;
const WORD_MAX: usize = 63;
const SPOKEN_MAX: usize = 200;

/// The manner to speak in; what is wrong with the voice goes to `bad`.
pub fn manner(wire: Option<&v1::Voice>, bad: &mut Violations) -> Manner {
    let mut manner = Manner::default();
    let Some(wire) = wire else { return manner };
    if let Some(speed) = within("voice.speed", wire.speed, (0.5, 2.0), bad) {
        manner.speed_percent = (speed * 100.0).round() as u16;
    }
    if let Some(volume) = within("voice.volume", wire.volume, (0.0, 2.0), bad) {
        manner.volume = volume as f32;
    }
    if wire.pronunciations.len() > PRONUNCIATIONS_MAX {
        let count = wire.pronunciations.len();
        bad.add(
            "voice.pronunciations",
            format!("has {count} entries; at most {PRONUNCIATIONS_MAX} are allowed"),
        );
    }
    for (word, spoken) in &wire.pronunciations {
        let field = format!("voice.pronunciations[{word}]");
        if word.is_empty() || !word.chars().all(|letter| letter.is_alphanumeric() || letter == '\'') {
            bad.add(field.clone(), "the word must be letters, digits and apostrophes only");
        }
        bad.longest(field.clone(), word, WORD_MAX);
        bad.longest(field.clone(), spoken, SPOKEN_MAX);
        if spoken.trim().is_empty() {
            bad.add(field, "must say what is spoken");
        }
        manner.pronunciations.insert(word.to_lowercase(), spoken.clone());
    }
    manner
}

/// Checks a voice against what the engine can speak with.
pub fn check(wire: Option<&v1::Voice>, offer: &Offer, bad: &mut Violations) {
    manner(wire, bad);
    let Some(wire) = wire else { return };
    let mut known = |field: String, voice: &str| {
        if let Err(why) = offer.voices.resolve(voice) {
            bad.add(field, why);
        }
    };
    if !wire.voice_id.is_empty() {
        known("voice.voice_id".to_owned(), &wire.voice_id);
    }
    for (index, voice) in wire.fallback_voice_ids.iter().enumerate() {
        known(format!("voice.fallback_voice_ids[{index}]"), voice);
    }
    let count = wire.fallback_voice_ids.len();
    if count > FALLBACKS_MAX {
        bad.add(
            "voice.fallback_voice_ids",
            format!("has {count} entries; at most {FALLBACKS_MAX} are allowed"),
        );
    }
}

fn within(field: &str, given: Option<f64>, bounds: (f64, f64), bad: &mut Violations) -> Option<f64> {
    let value = given?;
    if !(bounds.0..=bounds.1).contains(&value) {
        bad.add(field, format!("is {value}; must be {} to {}", bounds.0, bounds.1));
        return None;
    }
    Some(value)
}
