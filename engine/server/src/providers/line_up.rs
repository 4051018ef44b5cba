//! Who serves a call with an agent: the providers it names, or those there are, best first.
//!
//! What is named but not configured is passed over, because a key may come and go; nobody left at all is refused before
//! there is a call. The offline transcriber stands behind vendors only where a flow tells it what it may hear.

use parlance_conversation::Transcriber;
use parlance_proto::v1;
use parlance_providers::chain::{Listening, Speaking, Thinking};
use parlance_providers::models;
use parlance_providers::registry::{Kind, services};
use std::time::Duration;

use super::services::{Opened, Services, defaults};
use super::voices::{Meant, Voices};
use crate::convert::agent::{Known, Offer};
use crate::convert::provider::wire_kind;
use crate::status::Refusal;

/// What callers speak where an agent does not say.
const LANGUAGE: &str = "en-US";

/// The providers of a call, each kind in the order in which they are tried.
#[derive(Clone)]
pub struct LineUp {
    pub(super) listening: Vec<Listening>,
    pub(super) thinking: Vec<Thinking>,
    pub(super) speaking: Vec<Speaking>,
    vendor_thinks: bool,
    offline: bool,
    flow: bool,
    voices: Voices,
    known: Known,
}

impl Services {
    /// Who serves a call with this agent.
    ///
    /// # Errors
    /// PROVIDER_MISSING when it names providers and none of them is configured.
    pub fn line_up(&self, agent: &v1::Agent) -> Result<LineUp, Refusal> {
        let transcribers = self.transcribers_of(agent);
        let models = self.models_of(agent);
        let speaking = self.speakers_of(agent);
        let named = |choices: &[v1::ProviderChoice]| {
            let names: Vec<&str> = choices.iter().map(|choice| choice.provider.as_str()).collect();
            names.join(", ")
        };
        if transcribers.is_empty() {
            let listening = agent.listening.clone().unwrap_or_default();
            return Err(missing("listening.transcribers", &named(&listening.transcribers)));
        }
        let model = agent.language_model.clone().unwrap_or_default();
        if agent.flow.is_none() && models.is_empty() && !model.models.is_empty() {
            return Err(missing("language_model.models", &named(&model.models)));
        }
        if speaking.is_empty() {
            return Err(missing("voice", "no voice"));
        }
        Ok(LineUp {
            offline: transcribers.first().is_some_and(|(first, _)| first.name == "pocketsphinx"),
            vendor_thinks: models.first().is_some_and(|(first, _)| first.vendor.is_some()),
            listening: transcribers
                .into_iter()
                .map(|(it, model)| Listening {
                    provider: it.provider.clone(),
                    model,
                    account: it.account.clone(),
                })
                .collect(),
            thinking: models
                .into_iter()
                .map(|(it, model)| Thinking {
                    provider: it.provider.clone(),
                    model,
                    account: it.account.clone(),
                })
                .collect(),
            speaking,
            flow: agent.flow.is_some(),
            voices: Voices::of(&self.tts),
            known: self.known(),
        })
    }

    /// What agents can be checked against, whatever they name.
    pub fn offer(&self) -> Offer {
        Offer {
            voices: Voices::of(&self.tts),
            known: self.known(),
            has_model: self.has_model(),
            offline: self.stt.first().is_some_and(|it| it.vendor.is_none()),
            ..Offer::default()
        }
    }

    /// The registered names that agents may use, whether or not there is a key: all vendors', and what a machine can
    /// have. The script of tests is known only where it is there.
    fn known(&self) -> Known {
        let vendors = |kind: Kind| services().filter(move |service| service.kind() == kind).map(|it| it.name);
        let mut transcribers: Vec<_> = vendors(Kind::Stt).chain(["pocketsphinx"]).collect();
        let mut models: Vec<_> = vendors(Kind::Llm).collect();
        let also = |names: &mut Vec<&'static str>, name| {
            if !names.contains(&name) {
                names.push(name);
            }
        };
        self.stt.iter().for_each(|it| also(&mut transcribers, it.name));
        self.llm.iter().for_each(|it| also(&mut models, it.name));
        Known { transcribers, models }
    }

    fn transcribers_of(
        &self,
        agent: &v1::Agent,
    ) -> Vec<(&Opened<dyn parlance_providers::stt::SpeechToText>, Option<String>)> {
        let listening = agent.listening.clone().unwrap_or_default();
        let chosen = self.chosen(&self.stt, &listening.transcribers, Kind::Stt);
        if !listening.transcribers.is_empty() {
            return chosen;
        }
        let has_vendor = chosen.iter().any(|(it, _)| it.vendor.is_some());
        let understands = agent.flow.is_some() && language(agent).starts_with("en");
        let fits = |(it, _): &(&Opened<_>, _)| it.vendor.is_some() || !has_vendor || understands;
        chosen.into_iter().filter(fits).collect()
    }

    fn models_of(
        &self,
        agent: &v1::Agent,
    ) -> Vec<(&Opened<dyn parlance_providers::llm::LanguageModel>, Option<String>)> {
        if agent.flow.is_some() {
            return Vec::new();
        }
        let model = agent.language_model.clone().unwrap_or_default();
        self.chosen(&self.llm, &model.models, Kind::Llm)
    }

    /// The named ones that are there, or the defaults, each with its model.
    fn chosen<'a, P: ?Sized>(
        &self,
        all: &'a [Opened<P>],
        choices: &[v1::ProviderChoice],
        kind: Kind,
    ) -> Vec<(&'a Opened<P>, Option<String>)> {
        let set = |name: &str| self.settings.model(kind, name).map(str::to_owned);
        if choices.is_empty() {
            return defaults(all).map(|it| (it, set(it.name))).collect();
        }
        let found = choices.iter().filter_map(|choice| {
            let opened = all.iter().find(|it| it.name == choice.provider)?;
            let model = Some(choice.model.clone()).filter(|model| !model.is_empty());
            Some((opened, model.or_else(|| set(opened.name))))
        });
        found.collect()
    }

    /// Its own voice or the engine's default, then its fallbacks, then the defaults of the providers that are not
    /// among them.
    fn speakers_of(&self, agent: &v1::Agent) -> Vec<Speaking> {
        let voice = agent.voice.clone().unwrap_or_default();
        let voices = Voices::of(&self.tts);
        let named = |id: &String| match voices.resolve(id) {
            Ok(Meant::Voice { provider, voice }) => Some((provider, voice)),
            Ok(Meant::NotConfigured(_)) | Err(_) => None,
        };
        let mut wanted: Vec<(&'static str, String, Option<String>)> = Vec::new();
        let model = Some(voice.model.clone()).filter(|model| !model.is_empty());
        if voice.voice_id.is_empty() {
            wanted.extend(defaults(&self.tts).next().map(|it| (it.name, String::new(), model)));
        } else {
            wanted.extend(named(&voice.voice_id).map(|(provider, id)| (provider, id, model)));
        }
        let fallbacks = voice.fallback_voice_ids.iter().filter_map(named);
        wanted.extend(fallbacks.map(|(provider, id)| (provider, id, None)));
        for opened in defaults(&self.tts) {
            if !wanted.iter().any(|(provider, ..)| *provider == opened.name) {
                wanted.push((opened.name, String::new(), None));
            }
        }
        let speaking = wanted.into_iter().filter_map(|(name, id, model)| {
            let opened = self.tts.iter().find(|it| it.name == name)?;
            let set = || self.settings.model(Kind::Tts, name).map(str::to_owned);
            let voice = if id.is_empty() { self.default_voice(opened) } else { id };
            let (provider, account) = (opened.provider.clone(), opened.account.clone());
            Some(Speaking { provider, voice, model: model.or_else(set), account })
        });
        speaking.collect()
    }

    fn default_voice(&self, opened: &Opened<dyn parlance_providers::tts::TextToSpeech>) -> String {
        let set = self.settings.voice(opened.name).map(str::to_owned);
        // A vendor's own default depends on the language; it is left to it.
        let own = || opened.provider.voices().into_iter().next().map(|voice| voice.id);
        set.or_else(|| own().filter(|_| opened.vendor.is_none())).unwrap_or_default()
    }
}

impl LineUp {
    /// What the agent's policy depends on.
    pub fn offer(&self) -> Offer {
        let can = self.listening.first().map(|first| first.provider.capabilities());
        let transcriber = can.as_ref().map(transcriber).unwrap_or_default();
        let decides_turns = can.is_some_and(|can| can.turns);
        Offer {
            voices: self.voices.clone(),
            known: self.known.clone(),
            has_model: !self.thinking.is_empty(),
            offline: self.offline,
            speculates: self.vendor_thinks && (transcriber.interims || decides_turns),
            decides_turns,
            transcriber,
            models: self.thinking.len(),
            speakers: self.speaking.len(),
        }
    }

    /// For people: transcribers, who answers, voices.
    pub fn line(&self) -> String {
        let join = |names: Vec<String>| names.join(" then ");
        let heard = join(self.listening.iter().map(|it| it.provider.name().to_owned()).collect());
        let answers = match self.thinking.as_slice() {
            [] => "flow".to_owned(),
            models => join(models.iter().map(|it| it.provider.name().to_owned()).collect()),
        };
        let voice = |it: &Speaking| format!("{}:{}", it.provider.name(), it.voice);
        format!("{heard}, {answers}, {}", join(self.speaking.iter().map(voice).collect()))
    }

    /// For programs.
    pub fn in_use(&self) -> Vec<v1::ProviderInUse> {
        let one = |kind: Kind, name: &str, model: &Option<String>, voice: &str| v1::ProviderInUse {
            kind: wire_kind(kind).into(),
            provider: name.to_owned(),
            model: model.clone().unwrap_or_else(|| models::default_of(kind, name).to_owned()),
            voice_id: voice.to_owned(),
        };
        let heard = self.listening.iter().map(|it| one(Kind::Stt, it.provider.name(), &it.model, ""));
        let thought = self.thinking.iter().map(|it| one(Kind::Llm, it.provider.name(), &it.model, ""));
        let spoken = self.speaking.iter().map(|it| one(Kind::Tts, it.provider.name(), &it.model, &it.voice));
        heard.chain(thought).chain(spoken).collect()
    }

    /// The name of the transcriber that is tried first.
    pub fn transcriber(&self) -> &'static str {
        self.listening.first().map_or("", |it| it.provider.name())
    }

    /// The name of the model that is tried first; empty where the flow answers.
    pub fn model(&self) -> &'static str {
        self.thinking.first().map_or("", |it| it.provider.name())
    }

    /// The name of the voice's provider that is tried first.
    pub fn voice(&self) -> &'static str {
        self.speaking.first().map_or("", |it| it.provider.name())
    }

    /// Whether a flow answers.
    pub fn has_flow(&self) -> bool {
        self.flow
    }
}

/// What callers of this agent speak.
pub(super) fn language(agent: &v1::Agent) -> String {
    let set = agent.listening.as_ref().map(|listening| listening.language.clone());
    set.filter(|language| !language.is_empty()).unwrap_or_else(|| LANGUAGE.to_owned())
}

/// What the conversation must know of a transcriber.
pub fn transcriber(can: &parlance_providers::stt::Capabilities) -> Transcriber {
    Transcriber {
        interims: can.interims,
        watermark: can.watermark,
        turns: can.turns,
        lag_p95: Duration::from_millis(u64::from(can.lag_ms_p95)),
        ..Transcriber::default()
    }
}

fn missing(field: &str, names: &str) -> Refusal {
    Refusal::WrongState {
        reason: v1::ErrorReason::ProviderMissing,
        message: format!(
            "{field}: {names} can't be used: set the key (and PARLANCE_PROVIDERS to auto, if it is not), or name another provider"
        ),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use parlance_providers::account::{Account, AccountId};
    use parlance_providers::registry::{Choice, Script, Stack};

    use super::*;

    #[test]
    fn the_script_of_tests_is_known_only_to_an_engine_that_was_started_with_it() {
        let usual = Services::open(Arc::default(), |_| (Account::default(), AccountId::ENGINE), None).known();
        assert!(usual.transcribers.contains(&"deepgram") && usual.transcribers.contains(&"pocketsphinx"));
        assert!(usual.models.contains(&"openai"), "a key may come");
        assert!(!usual.transcribers.contains(&"script") && !usual.models.contains(&"script"));
        let stack = Stack::new(&Choice::Script(Script::default())).expect("a script is always there");
        let scripted = Services::local(stack).known();
        assert!(scripted.transcribers.contains(&"script") && scripted.models.contains(&"script"));
    }
}
