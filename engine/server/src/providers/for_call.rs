//! A call's own providers: the line-up of each kind behind one face, with the call's settings and budgets.

use std::sync::Arc;
use std::time::Duration;

use parlance_conversation::{Budgets as Waits, TurnTaking};
use parlance_media::format::{AudioFormat as Wire, Encoding};
use parlance_proto::v1;
use parlance_providers::audio::AudioFormat;
use parlance_providers::chain::{self, Budgets, Setup};
use parlance_providers::llm::{self, LanguageModel};
use parlance_providers::notes::Notes;
use parlance_providers::stt::{self, Listener, SpeechToText};
use parlance_providers::tts;
use parlance_store::OrganisationId;

use super::Providers;
use super::line_up::{LineUp, language, transcriber};
use super::nobody::Nobody;
use crate::session::manner::Manner;
use crate::session::usage::Names;
use crate::status::Refusal;

/// A fresh stream may take so long to listen to what the one before did not.
const CATCH_UP: Duration = Duration::from_millis(2_500);

/// What a call asks of its providers.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Whose call it is.
    pub organisation: OrganisationId,
    /// The agent.
    pub agent: v1::Agent,
    /// What the caller sends.
    pub input: Wire,
    /// What the caller plays.
    pub output: Wire,
}

/// The providers of one call.
pub struct ForCall {
    /// Who listens.
    pub transcriber: Arc<dyn SpeechToText>,
    /// Who answers; `None` where the flow does.
    pub model: Option<Arc<dyn LanguageModel>>,
    line_up: LineUp,
    setup: Setup,
    settings: Settings,
}

impl Providers {
    /// The providers of a call; what they note goes to `notes`.
    ///
    /// # Errors
    /// PROVIDER_MISSING when a kind has nobody.
    pub fn for_call(&self, line_up: &LineUp, settings: Settings, notes: Notes) -> Result<ForCall, Refusal> {
        let setup = Setup {
            organisation: String::new(),
            health: self.health().clone(),
            notes,
            budgets: budgets(&settings.agent),
        };
        let whose = |own: bool| if own { settings.organisation.to_string() } else { String::new() };
        let [listens, _, speaks] = line_up.own.map(whose);
        let transcriber =
            chain::stt(line_up.listening.clone(), self.converters.clone(), hedged(&setup, listens, false))
                .map_err(missing)?;
        let model = self.model(line_up, settings.organisation, &settings.agent, setup.notes.clone())?;
        let hedging = settings.agent.voice.as_ref().is_some_and(|voice| voice.hedging);
        let setup = hedged(&setup, speaks, hedging);
        Ok(ForCall { transcriber, model, line_up: line_up.clone(), setup, settings })
    }

    /// Who answers for this agent; `None` where the flow does.
    ///
    /// # Errors
    /// PROVIDER_MISSING when no model can be opened.
    pub fn model(
        &self,
        line_up: &LineUp,
        organisation: OrganisationId,
        agent: &v1::Agent,
        notes: Notes,
    ) -> Result<Option<Arc<dyn LanguageModel>>, Refusal> {
        if line_up.thinking.is_empty() {
            return Ok(None);
        }
        let whose = if line_up.own[1] { organisation.to_string() } else { String::new() };
        let hedging = agent.language_model.as_ref().is_some_and(|model| model.hedging);
        let budgets = Budgets { hedging, ..budgets(agent) };
        let setup = Setup { organisation: whose, health: self.health().clone(), notes, budgets };
        chain::llm(line_up.thinking.clone(), setup).map(Some).map_err(missing)
    }
}

impl ForCall {
    /// What they are called that are tried first.
    pub fn names(&self) -> Names {
        let line_up = &self.line_up;
        Names { transcriber: line_up.transcriber(), model: line_up.model(), voice: line_up.voice() }
    }

    /// What the conversation must know of the transcriber.
    pub fn hearing(&self) -> parlance_conversation::Transcriber {
        let recovery = self.setup.budgets.mute + CATCH_UP;
        parlance_conversation::Transcriber { recovery, ..transcriber(&self.transcriber.capabilities()) }
    }

    /// Starts to listen, and the format it is to be fed in.
    ///
    /// # Errors
    /// PROVIDER_MISSING when nobody can work on this machine.
    pub fn listen(
        &self,
        manner: &TurnTaking,
        sink: stt::Sink,
    ) -> Result<(Box<dyn Listener>, AudioFormat), Refusal> {
        let agent = &self.settings.agent;
        let leg_is_mu_law = self.settings.input.encoding() == Encoding::MuLaw;
        let untouched =
            leg_is_mu_law && self.transcriber.capabilities().format_for(true) == AudioFormat::MuLaw;
        let format = if untouched { AudioFormat::MuLaw } else { AudioFormat::PCM_16K };
        let key_terms = agent.listening.as_ref().map(|listening| listening.key_terms.clone());
        let settings = stt::Settings {
            language: language(agent),
            model: self.line_up.listening.first().and_then(|first| first.model.clone()),
            format,
            expectation: stt::Expectation { jsgf: None, key_terms: key_terms.unwrap_or_default() },
            eager_ends: manner.speculation,
            // In the range that 0 to 1 has.
            responsiveness_percent: (manner.responsiveness.clamp(0.0, 1.0) * 100.0).round() as u8,
        };
        Ok((self.transcriber.open(settings, sink).map_err(missing)?, format))
    }

    /// Listens to nobody.
    pub fn listen_to_nobody() -> (Box<dyn Listener>, AudioFormat) {
        (Box::new(Nobody), AudioFormat::PCM_16K)
    }

    /// Gets the voice ready, so that the first sentence waits for no handshake.
    ///
    /// # Errors
    /// PROVIDER_MISSING when nobody can speak so.
    pub fn speaker(&self, manner: &Manner) -> Result<Box<dyn tts::Speaker>, Refusal> {
        let agent = &self.settings.agent;
        let voice = agent.voice.clone().unwrap_or_default();
        let spoken = Some(voice.language).filter(|language| !language.is_empty());
        let heard = agent.listening.as_ref().map(|listening| listening.language.clone());
        let settings = tts::Settings {
            language: spoken.or(heard.filter(|language| language != "multi")).unwrap_or_default(),
            format: played(self.settings.output),
            speed_percent: manner.speed_percent,
            style: voice.style,
            ..tts::Settings::default()
        };
        chain::tts(self.line_up.speaking.clone(), settings, self.setup.clone()).map_err(missing)
    }
}

/// What a model is asked beside the conversation: the agent's settings for every answer of a call.
pub fn asking(agent: &v1::Agent, conversation: Option<String>) -> llm::Request {
    let model = agent.language_model.clone().unwrap_or_default();
    llm::Request {
        temperature: model.temperature.map(|temperature| temperature as f32),
        max_tokens: model.max_tokens,
        conversation,
        ..llm::Request::default()
    }
}

/// The format a voice is asked for: the leg's own where that is mu-law, else PCM at the leg's rate.
fn played(output: Wire) -> AudioFormat {
    match output.encoding() {
        Encoding::MuLaw => AudioFormat::MuLaw,
        Encoding::Pcm16Le | Encoding::ALaw => AudioFormat::Pcm16 { sample_rate_hz: output.sample_rate_hz() },
    }
}

/// How long each provider may take: the agent's word, else the chain's own.
fn budgets(agent: &v1::Agent) -> Budgets {
    let mut waits = Waits::default();
    let mut mute = Budgets::default().mute;
    // It was checked when it was stored.
    let mut unread = crate::status::Violations::default();
    crate::convert::policy::provider_budgets(agent.budgets.as_ref(), &mut waits, &mut mute, &mut unread);
    Budgets {
        first_token: waits.first_token,
        stalled_token: waits.first_token,
        first_audio: waits.first_audio,
        stalled_audio: waits.stalled_audio,
        mute,
        hedging: false,
    }
}

fn hedged(setup: &Setup, organisation: String, hedging: bool) -> Setup {
    Setup { organisation, budgets: Budgets { hedging, ..setup.budgets }, ..setup.clone() }
}

fn missing(error: parlance_providers::Error) -> Refusal {
    tracing::error!(%error, "a provider could not be opened");
    Refusal::WrongState { reason: v1::ErrorReason::ProviderMissing, message: error.to_string() }
}

#[cfg(test)]
mod tests {
    use parlance_providers::{Error, ErrorKind};

    use super::*;

    #[test]
    fn a_transcriber_that_can_not_be_opened_is_a_provider_missing() {
        let refused = missing(Error::new("broken", ErrorKind::NotInstalled, "no model lies here"));
        let status = tonic::Status::from(refused);
        let reason = tonic_types::StatusExt::get_details_error_info(&status).expect("it says why").reason;
        assert_eq!((status.code(), reason.as_str()), (tonic::Code::FailedPrecondition, "PROVIDER_MISSING"));
        assert!(status.message().contains("no model lies here"), "{status:?}");
    }
}
