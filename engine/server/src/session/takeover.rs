//! Who speaks on where a voice broke in mid-sentence, told as one switch.
//!
//! A chain tells a switch itself where one fails before it was any use: it knows both. A voice that breaks in
//! mid-sentence it tells as failed only, because the conversation alone knows which words are missing, and the
//! sentence that says them is a new one to the chain. So the two ends are put together here: who failed last, and who
//! is the next to be heard.

use parlance_providers::Error;
use parlance_providers::notes::Note;
use parlance_providers::registry::Kind;

/// Whom a voice that takes over follows.
#[derive(Debug, Default)]
pub struct Takeover {
    /// The last voice that failed, while nobody has spoken since.
    failed: Option<(&'static str, Error)>,
    /// The voice that broke in a sentence whose rest is to be said by another.
    broke: Option<(&'static str, Error)>,
}

impl Takeover {
    /// The sentence being spoken broke.
    pub fn broke(&mut self) {
        self.broke = self.failed.take().or(self.broke.take());
    }

    /// Takes note, and gives the switch that the chain could not tell, if this ends one.
    pub fn note(&mut self, note: &Note) -> Option<Note> {
        let next = match note {
            Note::Failed { kind: Kind::Tts, provider, error } => {
                self.failed = Some((*provider, error.clone()));
                return None;
            }
            Note::Used { kind: Kind::Tts, provider, .. } => *provider,
            // The one that was asked next failed too: it is told what comes after it.
            Note::Switched { kind: Kind::Tts, from, .. } => *from,
            _ => return None,
        };
        self.failed = None;
        let (from, error) = self.broke.take()?;
        // Asked anew in vain it was no takeover.
        let in_vain = from == next && matches!(note, Note::Switched { .. });
        (!in_vain).then_some(Note::Switched { kind: Kind::Tts, from, to: next, error })
    }
}

#[cfg(test)]
mod tests {
    use parlance_providers::ErrorKind;
    use parlance_providers::llm::Usage;

    use super::*;

    fn error(of: &'static str) -> Error {
        Error::new(of, ErrorKind::TimedOut, "silent in mid-sentence")
    }

    fn failed(provider: &'static str) -> Note {
        Note::Failed { kind: Kind::Tts, provider, error: error(provider) }
    }

    fn used(kind: Kind, provider: &'static str) -> Note {
        Note::Used { kind, provider, model: String::new(), usage: Usage::default(), characters: 9 }
    }

    fn switched(from: &'static str, to: &'static str) -> Note {
        Note::Switched { kind: Kind::Tts, from, to, error: error(from) }
    }

    fn after_a_break() -> Takeover {
        let mut takeover = Takeover::default();
        assert_eq!(takeover.note(&used(Kind::Tts, "one")), None);
        assert_eq!(takeover.note(&failed("one")), None);
        takeover.broke();
        takeover
    }

    #[test]
    fn who_speaks_after_a_voice_broke_in_mid_sentence_took_over_from_it_once() {
        let mut takeover = after_a_break();
        assert_eq!(takeover.note(&used(Kind::Llm, "model")), None);
        assert_eq!(takeover.note(&used(Kind::Tts, "two")), Some(switched("one", "two")));
        assert_eq!(takeover.note(&used(Kind::Tts, "one")), None, "its return is another story");
        assert_eq!(after_a_break().note(&used(Kind::Tts, "one")), Some(switched("one", "one")), "asked anew");
    }

    #[test]
    fn where_the_next_voice_fails_too_each_step_is_told() {
        let mut takeover = after_a_break();
        takeover.note(&failed("two"));
        assert_eq!(takeover.note(&switched("two", "three")), Some(switched("one", "two")));
        assert_eq!(takeover.note(&used(Kind::Tts, "three")), None, "the chain has told it");
        let mut takeover = after_a_break();
        takeover.note(&failed("one"));
        assert_eq!(takeover.note(&switched("one", "two")), None, "the chain tells this one");
    }

    #[test]
    fn a_voice_that_fails_before_it_is_heard_is_the_chains_to_tell() {
        let mut takeover = Takeover::default();
        takeover.note(&failed("one"));
        assert_eq!(takeover.note(&switched("one", "two")), None);
        takeover.broke();
        assert_eq!(takeover.note(&used(Kind::Tts, "two")), None, "what broke then was no provider");
    }
}
