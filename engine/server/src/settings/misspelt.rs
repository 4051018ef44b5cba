//! Variables that are nearly a vendor's setting: somebody meant one and mistyped it.
//!
//! The vendors' prefixes are everybody's, and other programs have variables of their own (`OPENAI_ORG_ID`). So an
//! unknown one is no error, and it is told only if it begins with a vendor's word and is at most two slips away from
//! a setting that begins so too. What only goes on behind a setting's name (`OPENAI_API_KEY_2`) is somebody's own.

use std::collections::BTreeMap;
use std::fmt;

use parlance_providers::near;

use super::Source;
use crate::config::vendors;

/// Farther away it may be another program's.
const SLIPS_MAX: usize = 2;

/// A variable that has no effect, and the one that was probably meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Misspelt {
    /// As it was written.
    pub name: String,
    /// Where it stands.
    pub place: Source,
    /// The setting.
    pub nearest: &'static str,
}

impl fmt::Display for Misspelt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, place, nearest } = self;
        write!(f, "`{name}` in {place} has no effect; did you mean `{nearest}`?")
    }
}

/// Those among the variables of a place. One that is empty says nothing.
pub fn among(place: &Source, found: &BTreeMap<String, String>) -> Vec<Misspelt> {
    let set = found.iter().filter(|(_, value)| !value.is_empty());
    let misspelt = set.filter_map(|(name, _)| {
        Some(Misspelt { name: name.clone(), place: place.clone(), nearest: meant(name)? })
    });
    misspelt.collect()
}

fn meant(name: &str) -> Option<&'static str> {
    let first = |name: &str| name.split('_').next().unwrap_or_default().to_uppercase();
    let goes_on = |setting: &str| {
        name.strip_prefix(setting)
            .is_some_and(|rest| rest.starts_with(|next: char| next == '_' || next.is_ascii_digit()))
    };
    let own = first(name);
    if vendors::variables().any(|setting| setting == name || goes_on(setting)) {
        return None;
    }
    let nearest = near::nearest(name, vendors::variables().filter(|setting| first(setting) == own))
        .into_iter()
        .next()?;
    (near::distance(name, nearest) <= SLIPS_MAX).then_some(nearest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_in_a_vendors_variable_is_noticed_and_the_nearest_setting_named() {
        for (name, setting) in [
            ("OPENAI_MODLE", "OPENAI_MODEL"),
            ("DEEPGRAM_APIKEY", "DEEPGRAM_API_KEY"),
            ("ELEVENLABS_VOICEID", "ELEVENLABS_VOICE_ID"),
            ("OPENAI_STT_MODELL", "OPENAI_STT_MODEL"),
            ("openai_api_key", "OPENAI_API_KEY"),
        ] {
            assert_eq!(meant(name), Some(setting), "{name}");
        }
    }

    #[test]
    fn what_other_programs_have_is_nobodys_business() {
        for name in [
            "OPENAI_API_KEY",
            "OPENAI_ORG_ID",
            "OPENAI_ORGANIZATION",
            "OPENAI_PROJECT",
            "OPENAI_API_BASE",
            "OPENAI_API_TYPE",
            "OPENAI_API_VERSION",
            "OPENAI_API_URL",
            "OPENAI_LOG",
            "OPENAI_ADMIN_KEY",
            "OPENAI_API_KEY_2",
            "ANTHROPIC_AUTH_TOKEN",
            "ANTHROPIC_SMALL_FAST_MODEL",
            "ANTHROPIC_DEFAULT_OPUS_MODEL",
            "GOOGLE_APPLICATION_CREDENTIALS",
            "GOOGLE_CLOUD_PROJECT",
            "GOOGLE_MAPS_API_KEY",
            "DEEPGRAM_PROJECT_ID",
            "DEEPGRAM_HOST",
            "GROQ_API_KEY",
            "PATH",
        ] {
            assert_eq!(meant(name), None, "{name}");
        }
    }
}
