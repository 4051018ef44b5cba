//! Which words of a partial result to believe: those that stood unchanged in two looks.
//!
//! A recogniser revises its guesses while it hears; a word that flickers must not interrupt the
//! agent. Enter at [`Stable`].

use crate::stt::Word;

/// What the last look saw and what was last told.
#[derive(Debug, Default)]
pub(super) struct Stable {
    seen: Vec<String>,
    told: Vec<String>,
}

impl Stable {
    /// A new utterance: nothing has stood yet. What was told before still is.
    pub(super) fn restart(&mut self) {
        self.seen.clear();
    }

    /// The leading words of `words` that the look before saw as well.
    pub(super) fn stood(&mut self, mut words: Vec<Word>) -> Vec<Word> {
        let seen = std::mem::replace(&mut self.seen, texts(&words));
        let same = words.iter().zip(&seen).take_while(|(word, seen)| word.text == **seen).count();
        words.truncate(same);
        words
    }

    /// Whether `words` say more or other than what was told last.
    pub(super) fn is_news(&self, words: &[Word]) -> bool {
        !self.told.starts_with(&texts(words))
    }

    /// `words` are what was told last.
    pub(super) fn told(&mut self, words: &[Word]) {
        self.told = texts(words);
    }
}

fn texts(words: &[Word]) -> Vec<String> {
    words.iter().map(|word| word.text.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<Word> {
        let word = |text: &str| Word { text: text.to_owned(), start_us: 0, end_us: 0 };
        text.split_whitespace().map(word).collect()
    }

    #[test]
    fn only_words_seen_twice_in_the_same_place_stand() {
        let mut stable = Stable::default();
        assert!(stable.stood(words("book a")).is_empty());
        assert_eq!(stable.stood(words("book the table")).len(), 1);
        assert_eq!(stable.stood(words("book the table for")).len(), 3);
    }

    #[test]
    fn a_shorter_repetition_is_no_news() {
        let mut stable = Stable::default();
        stable.told(&words("my name is"));
        assert!(!stable.is_news(&words("my name")));
        assert!(!stable.is_news(&words("my name is")));
        assert!(stable.is_news(&words("my name is John")));
        assert!(stable.is_news(&words("no")));
    }
}
