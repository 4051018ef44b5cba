//! What a vendor owes that settles words only when it is asked: answers in the order of the questions.
//!
//! Such a vendor tells no times with its interims; how far it has listened is then known by what was asked when.

use std::collections::VecDeque;

use crate::stt::{Event, Transcript, Word};

/// How far the listener's audio went at each question that is not answered yet.
#[derive(Debug, Default)]
pub(in crate::stt) struct Owed {
    asked: VecDeque<u64>,
    settled_us: u64,
    voice_us: u64,
    last_asked_us: Option<u64>,
}

impl Owed {
    /// The caller's voice began here: words that come now come from behind it.
    pub fn voice_started(&mut self, at_us: u64) {
        self.voice_us = at_us;
    }

    /// Whether there is anything to ask about audio up to here. What was asked for already is answered (with nothing)
    /// when no answer is owed.
    pub fn wants(&self, fed_us: u64, told: &mut Vec<Event>) -> bool {
        let fresh = self.last_asked_us.is_none_or(|last| fed_us > last) && fed_us > 0;
        if !fresh && self.asked.is_empty() {
            told.push(self.nothing(fed_us));
        }
        fresh
    }

    /// It was asked for everything up to here.
    pub fn ask(&mut self, fed_us: u64) {
        self.asked.push_back(fed_us);
        self.last_asked_us = Some(fed_us);
    }

    /// Whether an answer is owed.
    pub fn is_owed(&self) -> bool {
        !self.asked.is_empty()
    }

    /// The oldest question is answered. What comes unasked covers what it must: its own words.
    pub fn settle(&mut self, text: &str, words: Vec<Word>) -> Event {
        let until = words.last().map_or(self.settled_us, |word| word.end_us);
        self.settled_us = self.asked.pop_front().unwrap_or(until).max(self.settled_us);
        let covers_until_us = Some(self.settled_us);
        Event::Slice(Transcript { text: text.trim().to_owned(), words, covers_until_us })
    }

    /// Words that are not settled. They cover what is settled, and the beginning of the voice they come from.
    pub fn interim(&self, text: &str) -> Event {
        let covers_until_us = Some(self.settled_us.max(self.voice_us));
        Event::Interim(Transcript { text: text.trim().to_owned(), words: Vec::new(), covers_until_us })
    }

    /// How far the settled words cover the audio, microseconds.
    pub fn settled_us(&self) -> u64 {
        self.settled_us
    }

    fn nothing(&self, fed_us: u64) -> Event {
        Event::Interim(Transcript {
            text: String::new(),
            words: Vec::new(),
            covers_until_us: Some(fed_us.max(self.settled_us)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn covers(event: &Event) -> Option<u64> {
        match event {
            Event::Interim(transcript) | Event::Slice(transcript) => transcript.covers_until_us,
            _ => None,
        }
    }

    #[test]
    fn answers_cover_what_was_fed_when_they_were_asked_for() {
        let mut owed = Owed::default();
        let mut told = Vec::new();
        assert!(owed.wants(1_000, &mut told));
        owed.ask(1_000);
        owed.ask(2_000);
        assert_eq!(covers(&owed.settle(" one", Vec::new())), Some(1_000));
        owed.voice_started(2_500);
        assert_eq!(covers(&owed.interim("tw")), Some(2_500));
        assert_eq!(covers(&owed.settle("two", Vec::new())), Some(2_000));
        assert!(!owed.wants(2_000, &mut told));
        assert_eq!(told.iter().map(covers).collect::<Vec<_>>(), [Some(2_000)]);
    }
}
