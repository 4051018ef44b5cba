//! Voice ids of agents: which provider and which of its voices one means.

use std::sync::Arc;

use parlance_providers::registry::{Kind, services};
use parlance_providers::tts::TextToSpeech;

use super::services::Opened;

/// Voices named in the message about an unknown one.
const NAMED_MAX: usize = 40;
/// Names of the voices' providers that need no account.
const LOCAL: [&str; 3] = ["flite", "espeak-ng", "script"];

/// The voices that can be named.
#[derive(Clone, Default)]
pub struct Voices {
    providers: Vec<(&'static str, Arc<dyn TextToSpeech>)>,
}

/// What a voice id means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Meant {
    /// This voice of this provider; empty: its default.
    Voice {
        /// The provider's registered name.
        provider: &'static str,
        /// The voice's id with it.
        voice: String,
    },
    /// A voice of a provider that nobody has an account with.
    NotConfigured(String),
}

impl Voices {
    /// The voices of these providers, in the order in which an id is looked for.
    pub(super) fn of(opened: &[Opened<dyn TextToSpeech>]) -> Self {
        Self { providers: opened.iter().map(|it| (it.name, it.provider.clone())).collect() }
    }

    /// What `id` means.
    ///
    /// # Errors
    /// What is wrong with it, completing a field's name.
    pub fn resolve(&self, id: &str) -> Result<Meant, String> {
        if let Some((name, voice)) = id.split_once('/').or_else(|| id.split_once(':'))
            && let Some(known) = known_providers().find(|known| *known == name)
        {
            let Some((provider, voices)) = self.providers.iter().find(|(name, _)| *name == known) else {
                return Ok(Meant::NotConfigured(known.to_owned()));
            };
            let fits = voice.is_empty() || voices.takes_unlisted_voices() || lists(voices, voice);
            let found = Meant::Voice { provider, voice: voice.to_owned() };
            return if fits { Ok(found) } else { Err(self.unknown(id)) };
        }
        let listed = self.providers.iter().find(|(_, voices)| lists(voices, id));
        let any = || self.providers.iter().find(|(_, voices)| voices.takes_unlisted_voices());
        match listed.or_else(any) {
            Some((provider, _)) => Ok(Meant::Voice { provider, voice: id.to_owned() }),
            None => Err(self.unknown(id)),
        }
    }

    fn unknown(&self, id: &str) -> String {
        let known: Vec<String> = self
            .providers
            .iter()
            .flat_map(|(_, voices)| voices.voices())
            .map(|voice| voice.id)
            .take(NAMED_MAX)
            .collect();
        format!("`{id}` is not known; known are: {}", known.join(", "))
    }
}

fn lists(voices: &Arc<dyn TextToSpeech>, id: &str) -> bool {
    voices.voices().iter().any(|voice| voice.id == id)
}

fn known_providers() -> impl Iterator<Item = &'static str> {
    let vendors = services().filter(|service| service.kind() == Kind::Tts).map(|service| service.name);
    vendors.chain(LOCAL)
}
