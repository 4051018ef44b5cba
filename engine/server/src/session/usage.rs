//! What a call uses, counted where it happens and put together at its end.
//!
//! The pipes count their own samples and characters; here are the rest and the sum. Who was paid for what is told by
//! the providers' notes; where a model notes nothing, the first one is taken to have done it all. Who listened is told
//! by the notes of who takes over. Enter at [`Session::used`].

use std::collections::BTreeMap;

use parlance_conversation::ReplyId;
use parlance_providers::llm;
use parlance_providers::notes::Note;
use parlance_providers::registry::Kind;
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
    /// As noted, by provider: tokens read and written, characters spoken.
    noted: BTreeMap<(&'static str, Unit), u64>,
    /// The last complete answer.
    last: Option<(ReplyId, llm::Usage)>,
    /// Who listened until how much had been listened to in all, microseconds; in order. `None` is the first one.
    listened: Vec<(Option<&'static str>, u64)>,
    /// Who listens now.
    transcriber: Option<&'static str>,
}

impl Tally {
    /// An answer of the model is complete.
    pub fn answered(&mut self, reply: ReplyId, usage: llm::Usage) {
        self.last = Some((reply, usage));
        add(&mut self.input_tokens, usage.input_tokens);
        add(&mut self.output_tokens, usage.output_tokens);
    }

    /// What a reply's complete answer took, if it was the last one to be complete.
    pub fn of_reply(&self, reply: ReplyId) -> Option<llm::Usage> {
        self.last.filter(|(of, _)| *of == reply).map(|(_, usage)| usage)
    }

    /// A provider has noted something, when so much had been listened to, microseconds. What was paid for counts,
    /// whether or not it was used.
    pub fn noted(&mut self, note: &Note, listened_us: u64) {
        match note {
            Note::Used { kind, provider, usage, characters, .. }
            | Note::ThrownAway { kind, provider, usage, characters } => {
                let mut count = |unit, quantity: Option<u64>| {
                    if let Some(quantity) = quantity {
                        *self.noted.entry((*provider, unit)).or_default() += quantity;
                    }
                };
                match kind {
                    Kind::Llm => {
                        count(Unit::LanguageModelInput, usage.input_tokens.map(u64::from));
                        count(Unit::LanguageModelOutput, usage.output_tokens.map(u64::from));
                    }
                    Kind::Tts => count(Unit::TextToSpeech, Some(*characters)),
                    Kind::Stt => {}
                }
            }
            Note::Switched { kind: Kind::Stt, to, .. } | Note::WentBack { kind: Kind::Stt, to, .. } => {
                self.listened.push((self.transcriber.replace(to), listened_us));
            }
            Note::Switched { .. }
            | Note::WentBack { .. }
            | Note::Took { .. }
            | Note::Failed { .. }
            | Note::Hedged { .. } => {}
        }
    }

    /// Who has listened how long of so much in all, microseconds; `first` is the one that is tried first.
    fn listened(&self, first: &str, all_us: u64) -> Vec<Quantity> {
        let mut by_provider: BTreeMap<&str, u64> = BTreeMap::new();
        let mut before = 0;
        for (provider, until) in self.listened.iter().copied().chain([(self.transcriber, all_us)]) {
            *by_provider.entry(provider.unwrap_or(first)).or_default() += until.saturating_sub(before);
            before = until;
        }
        let unit = Unit::SpeechToText;
        let quantity =
            |(provider, quantity): (&str, u64)| Quantity { provider: provider.to_owned(), unit, quantity };
        by_provider.into_iter().map(quantity).collect()
    }

    /// How much of a unit was noted, by provider; `None` if nobody noted any.
    fn of(&self, unit: Unit) -> Option<Vec<Quantity>> {
        let of_unit = self.noted.iter().filter(|((_, of), _)| *of == unit);
        let quantities: Vec<Quantity> = of_unit
            .map(|((provider, unit), quantity)| Quantity {
                provider: (*provider).to_owned(),
                unit: *unit,
                quantity: *quantity,
            })
            .collect();
        (!quantities.is_empty()).then_some(quantities)
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
        let sum = |unit| self.tally.of(unit).map(|all| all.iter().map(|one| one.quantity).sum::<u64>());
        let usage = Usage {
            audio_in_us: self.caller_audio.received_us(),
            speech_to_text_us: self.caller_audio.listened_us(),
            // Voices always note what they take; a call spoken from kept phrases took nothing.
            text_to_speech_characters: sum(Unit::TextToSpeech).unwrap_or(0),
            language_model_input_tokens: sum(Unit::LanguageModelInput).or(self.tally.input_tokens),
            language_model_output_tokens: sum(Unit::LanguageModelOutput).or(self.tally.output_tokens),
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
        let noted = |unit, provider: &str, quantity| {
            let one = Quantity { provider: provider.to_owned(), unit, quantity };
            self.tally.of(unit).unwrap_or_else(|| vec![one])
        };
        let names = self.names;
        let (input, output) = (usage.language_model_input_tokens, usage.language_model_output_tokens);
        let mut all = self.tally.listened(names.transcriber, usage.speech_to_text_us);
        all.extend(self.tally.of(Unit::TextToSpeech).unwrap_or_default());
        all.extend(noted(Unit::LanguageModelInput, names.model, input.unwrap_or(0)));
        all.extend(noted(Unit::LanguageModelOutput, names.model, output.unwrap_or(0)));
        all.retain(|used| used.quantity > 0);
        all
    }
}

/// The names of those that are tried first.
#[derive(Debug, Clone, Copy)]
pub struct Names {
    /// Who listens.
    pub transcriber: &'static str,
    /// Who answers; empty where the flow does.
    pub model: &'static str,
    /// Who speaks.
    pub voice: &'static str,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_two_voices_were_paid_for_is_told_apart_and_what_was_thrown_away_was_paid_for_too() {
        let mut tally = Tally::default();
        let used = |provider, characters| Note::Used {
            kind: Kind::Tts,
            provider,
            model: String::new(),
            usage: llm::Usage::default(),
            characters,
        };
        let away = Note::ThrownAway {
            kind: Kind::Tts,
            provider: "one",
            usage: llm::Usage::default(),
            characters: 5,
        };
        for note in [used("one", 10), used("two", 7), away] {
            tally.noted(&note, 0);
        }
        let of = tally.of(Unit::TextToSpeech).expect("it was noted");
        let of: Vec<(&str, u64)> = of.iter().map(|one| (one.provider.as_str(), one.quantity)).collect();
        assert_eq!(of, [("one", 15), ("two", 7)]);
        assert_eq!(tally.of(Unit::LanguageModelInput), None, "nobody noted any");
    }
    #[test]
    fn each_transcriber_is_paid_for_the_time_it_listened() {
        let error = parlance_providers::Error::new("one", parlance_providers::ErrorKind::TimedOut, "mute");
        let switched = Note::Switched { kind: Kind::Stt, from: "one", to: "two", error };
        let went_back = Note::WentBack { kind: Kind::Stt, from: "two", to: "one" };
        let mut tally = Tally::default();
        let paid = |tally: &Tally| -> Vec<(String, u64)> {
            let listened = tally.listened("one", 90_000);
            listened.into_iter().map(|one| (one.provider, one.quantity)).collect()
        };
        assert_eq!(paid(&tally), [("one".to_owned(), 90_000)]);
        tally.noted(&switched, 20_000);
        assert_eq!(paid(&tally), [("one".to_owned(), 20_000), ("two".to_owned(), 70_000)]);
        tally.noted(&went_back, 80_000);
        assert_eq!(paid(&tally), [("one".to_owned(), 30_000), ("two".to_owned(), 60_000)]);
    }
}
