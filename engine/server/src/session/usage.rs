//! What a call uses, counted where it happens and put together at its end.
//!
//! The pipes count their own samples and characters; here are the rest and the sum. Enter at [`Session::used`].

use parlance_providers::llm;
use parlance_store::calls::Used;
use serde::{Deserialize, Serialize};

use super::run::Session;
use crate::prices::{Quantity, Unit};

/// What a call used, in the form it is stored in.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// The caller's audio as it came, microseconds.
    pub audio_in_us: u64,
    /// Audio given to the transcriber, microseconds.
    pub speech_to_text_us: u64,
    /// Characters given to voices.
    pub text_to_speech_characters: u64,
    /// Tokens the model read, if it said so.
    pub language_model_input_tokens: Option<u64>,
    /// Tokens the model wrote, if it said so.
    pub language_model_output_tokens: Option<u64>,
    /// Tools started.
    pub tool_runs: u32,
}

/// What is counted here while the call runs.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    input_tokens: Option<u64>,
    output_tokens: Option<u64>,
    tool_runs: u32,
}

impl Tally {
    /// An answer of the model is complete.
    pub fn answered(&mut self, usage: llm::Usage) {
        add(&mut self.input_tokens, usage.input_tokens);
        add(&mut self.output_tokens, usage.output_tokens);
    }

    /// A tool is started.
    pub fn tool_started(&mut self) {
        self.tool_runs += 1;
    }
}

fn add(sum: &mut Option<u64>, more: Option<u32>) {
    if let Some(more) = more {
        *sum = Some(sum.unwrap_or(0) + u64::from(more));
    }
}

impl Session {
    /// What the call has used so far, and what that costs.
    pub(super) fn used(&self) -> Used {
        let usage = Usage {
            audio_in_us: self.caller_audio.received_us(),
            speech_to_text_us: self.caller_audio.listened_us(),
            text_to_speech_characters: self.voice.spoken().map(|(_, characters)| characters).sum(),
            language_model_input_tokens: self.tally.input_tokens,
            language_model_output_tokens: self.tally.output_tokens,
            tool_runs: self.tally.tool_runs,
        };
        let cost = self.prices.cost(self.quantities(&usage));
        Used {
            usage: serde_json::to_value(&usage).unwrap_or_default(),
            cost: cost.and_then(|cost| serde_json::to_value(cost).ok()),
        }
    }

    /// The same by provider, without what was not used.
    fn quantities(&self, usage: &Usage) -> Vec<Quantity> {
        let of = |provider: &str, unit, quantity| Quantity { provider: provider.to_owned(), unit, quantity };
        let model = self.model.as_ref().map_or("", |model| model.name());
        let mut all = vec![of(self.transcriber, Unit::SpeechToText, usage.speech_to_text_us)];
        all.extend(self.voice.spoken().map(|(name, characters)| of(name, Unit::TextToSpeech, characters)));
        let (input, output) = (usage.language_model_input_tokens, usage.language_model_output_tokens);
        all.push(of(model, Unit::LanguageModelInput, input.unwrap_or(0)));
        all.push(of(model, Unit::LanguageModelOutput, output.unwrap_or(0)));
        all.retain(|used| used.quantity > 0);
        all
    }
}
