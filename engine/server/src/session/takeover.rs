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
    /// Whose taking over was told when it was heard, until somebody fails or speaks again.
    told: Option<&'static str>,
}

impl Takeover {
    /// The sentence being spoken broke.
    pub fn broke(&mut self) {
        self.broke = self.failed.take().or(self.broke.take());
    }

    /// Something was said to its end, also if from what is kept: whoever speaks from here on follows nobody.
    pub fn spoke(&mut self) {
        *self = Self::default();
    }

    /// What is to be told of a note: before it the switch that the chain could not tell, if this ends one, and not the
    /// note itself where it is a switch that was told so.
    pub fn told(&mut self, note: Note) -> impl Iterator<Item = Note> + use<> {
        let (next, was_told) = match &note {
            Note::Failed { kind: Kind::Tts, provider, error } => {
                self.failed = Some((*provider, error.clone()));
                self.told = None;
                (None, false)
            }
            Note::Used { kind: Kind::Tts, provider, .. } => (Some(*provider), false),
            // A hedge that is heard after the one it was to outrun has failed: the chain tells the switch after its use.
            Note::Switched { kind: Kind::Tts, to, .. } if self.told == Some(to) => (None, true),
            // The one that was asked next failed too: it is told what comes after it.
            Note::Switched { kind: Kind::Tts, from, .. } => (Some(*from), false),
            _ => (None, false),
        };
        let switch = next.and_then(|next| self.taken_over(next));
        if let (Note::Used { kind: Kind::Tts, provider, .. }, true) = (&note, switch.is_some()) {
            self.told = Some(*provider);
        }
        switch.into_iter().chain((!was_told).then_some(note))
    }

    /// The switch to this one; none if nobody broke, or it goes on itself.
    fn taken_over(&mut self, to: &'static str) -> Option<Note> {
        (self.failed, self.told) = (None, None);
        let (from, error) = self.broke.take()?;
        (from != to).then_some(Note::Switched { kind: Kind::Tts, from, to, error })
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

    /// What is told of a note beside itself.
    fn beside(takeover: &mut Takeover, note: Note) -> Vec<Note> {
        let mut told: Vec<Note> = takeover.told(note.clone()).collect();
        assert_eq!(told.pop(), Some(note));
        told
    }

    fn after_a_break() -> Takeover {
        let mut takeover = Takeover::default();
        assert_eq!(beside(&mut takeover, used(Kind::Tts, "one")), []);
        assert_eq!(beside(&mut takeover, failed("one")), []);
        takeover.broke();
        takeover
    }

    #[test]
    fn who_speaks_after_a_voice_broke_in_mid_sentence_took_over_from_it_once() {
        let mut takeover = after_a_break();
        assert_eq!(beside(&mut takeover, used(Kind::Llm, "model")), []);
        assert_eq!(beside(&mut takeover, used(Kind::Tts, "two")), [switched("one", "two")]);
        assert_eq!(beside(&mut takeover, used(Kind::Tts, "one")), [], "its return is another story");
    }

    #[test]
    fn a_voice_that_goes_on_itself_took_over_from_nobody() {
        let mut takeover = after_a_break();
        assert_eq!(beside(&mut takeover, used(Kind::Tts, "one")), []);
        assert_eq!(beside(&mut takeover, used(Kind::Tts, "two")), [], "it is over");
    }

    #[test]
    fn a_break_is_forgotten_when_something_was_said_to_its_end_since() {
        let mut takeover = after_a_break();
        takeover.spoke();
        assert_eq!(beside(&mut takeover, used(Kind::Tts, "two")), []);
    }

    #[test]
    fn where_the_next_voice_fails_too_each_step_is_told() {
        let mut takeover = after_a_break();
        assert_eq!(beside(&mut takeover, failed("two")), []);
        assert_eq!(beside(&mut takeover, switched("two", "three")), [switched("one", "two")]);
        assert_eq!(beside(&mut takeover, used(Kind::Tts, "three")), [], "the chain has told it");
        let mut takeover = after_a_break();
        assert_eq!(beside(&mut takeover, failed("one")), []);
        assert_eq!(beside(&mut takeover, switched("one", "two")), [], "the chain tells this one");
    }

    #[test]
    fn a_hedge_that_takes_over_is_told_once_though_the_chain_tells_it_too() {
        let mut takeover = after_a_break();
        assert_eq!(beside(&mut takeover, failed("two")), []);
        assert_eq!(beside(&mut takeover, used(Kind::Tts, "three")), [switched("one", "three")]);
        assert_eq!(takeover.told(switched("two", "three")).count(), 0);
        assert_eq!(beside(&mut takeover, failed("one")), []);
        assert_eq!(beside(&mut takeover, switched("one", "three")), [], "that is another one");
    }

    #[test]
    fn a_voice_that_fails_before_it_is_heard_is_the_chains_to_tell() {
        let mut takeover = Takeover::default();
        assert_eq!(beside(&mut takeover, failed("one")), []);
        assert_eq!(beside(&mut takeover, switched("one", "two")), []);
        takeover.broke();
        assert_eq!(beside(&mut takeover, used(Kind::Tts, "two")), [], "what broke then was no provider");
    }
}
