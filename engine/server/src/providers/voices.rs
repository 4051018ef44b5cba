//! Voice ids of agents: which provider and which of its voices one means.

use std::sync::Arc;

use parlance_providers::tts::{TextToSpeech, voices};

use super::services::Opened;

/// Voices named in the message about an unknown one.
const NAMED_MAX: usize = 40;

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

    /// What `id` means: a listed voice, or what names, aliases and the look of ids tell.
    ///
    /// # Errors
    /// What is wrong with it, completing a field's name.
    pub fn resolve(&self, id: &str) -> Result<Meant, String> {
        let (prefix, rest) = id.split_once(['/', ':']).unwrap_or_default();
        let own = |name: &str, voices: &Arc<dyn TextToSpeech>| match prefix == name {
            true if rest.is_empty() || lists(voices, rest) => Some(rest),
            _ => lists(voices, id).then_some(id),
        };
        let listed = self.providers.iter().find_map(|(name, voices)| Some((*name, own(name, voices)?)));
        if let Some((provider, voice)) = listed {
            return Ok(Meant::Voice { provider, voice: voice.to_owned() });
        }
        let names: Vec<&str> = self.providers.iter().map(|(name, _)| *name).collect();
        let found = if names.is_empty() { None } else { voices::resolve(id, &names).ok() };
        if let Some(choice) = found
            && let Some((provider, voices)) = self.providers.iter().find(|(name, _)| *name == choice.service)
            && (voices.takes_unlisted_voices() || lists(voices, &choice.voice))
        {
            return Ok(Meant::Voice { provider, voice: choice.voice });
        }
        let elsewhere = voices::resolve(id, &[]);
        let is_there = |service: &str| names.contains(&service);
        match elsewhere {
            Ok(choice) if !is_there(&choice.service) => Ok(Meant::NotConfigured(choice.service)),
            Ok(_) => Err(self.unknown(id, &[])),
            Err(unknown) => Err(self.unknown(id, &unknown.nearest)),
        }
    }

    fn unknown(&self, id: &str, nearest: &[String]) -> String {
        let known = self.providers.iter().flat_map(|(_, voices)| voices.voices());
        let known: Vec<String> = known.map(|voice| voice.id).take(NAMED_MAX).collect();
        let near = match nearest {
            [] => String::new(),
            names => format!("near it are {}; ", names.join(", ")),
        };
        format!("`{id}` is not known; {near}known are: {}", known.join(", "))
    }
}

fn lists(voices: &Arc<dyn TextToSpeech>, id: &str) -> bool {
    voices.voices().iter().any(|voice| voice.id == id)
}
