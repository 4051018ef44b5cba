//! Times of characters become times of words.
//!
//! Decides where a word begins and ends, across messages that cut words anywhere. Enter at [`Letters`].

use serde_json::Value;

use super::WordTime;

/// No sentence has a later time, microseconds; what a vendor tells beyond is cut to it.
const TIME_MAX_US: f64 = 3.6e9;

/// A vendor's time in units of so many microseconds; 0 where it is none.
pub(super) fn told_us(value: &Value, unit_us: f64) -> u64 {
    (value.as_f64().unwrap_or_default() * unit_us).clamp(0.0, TIME_MAX_US).round() as u64
}

/// From where a vendor counts the times in a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Counted {
    /// From the message's own audio: a running offset is added.
    FromTheMessage,
    /// From the sentence's first sample. A message that begins clearly before the end of the one before it counts from
    /// itself all the same.
    FromTheSentence,
}

/// Times are rounded, and letters overlap a little: only what lies farther back than this begins anew.
const OVERLAP_US: u64 = 50_000;

/// A character and its time, microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Letter {
    pub character: char,
    pub start_us: u64,
    pub end_us: u64,
}

/// The characters of one sentence, message by message.
#[derive(Debug)]
pub(super) struct Letters {
    counted: Counted,
    offset_us: u64,
    end_us: u64,
    word: Option<WordTime>,
}

impl Letters {
    /// None so far.
    pub fn new(counted: Counted) -> Self {
        Self { counted, offset_us: 0, end_us: 0, word: None }
    }

    /// The next message's characters; gives the words that end in it.
    pub fn push(&mut self, letters: impl IntoIterator<Item = Letter>) -> Vec<WordTime> {
        let mut words = Vec::new();
        let mut is_first = true;
        for letter in letters {
            let begins_anew =
                self.counted == Counted::FromTheMessage || letter.start_us + OVERLAP_US < self.end_us;
            if std::mem::take(&mut is_first) {
                self.offset_us = if begins_anew { self.end_us } else { 0 };
            }
            let (start_us, end_us) = (letter.start_us + self.offset_us, letter.end_us + self.offset_us);
            self.end_us = self.end_us.max(end_us);
            if letter.character.is_whitespace() {
                words.extend(self.word.take());
                continue;
            }
            let word = self.word.get_or_insert_with(|| WordTime { text: String::new(), start_us, end_us });
            word.text.push(letter.character);
            word.end_us = word.end_us.max(end_us);
        }
        words
    }

    /// Time passes whose characters are not known.
    pub fn pass(&mut self, us: u64) {
        self.end_us += us;
    }

    /// No more come: the last word.
    pub fn end(&mut self) -> Option<WordTime> {
        self.word.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LETTER_US: u64 = 100_000;

    fn letters(text: &str, start_us: u64) -> Vec<Letter> {
        let at = |index: usize| start_us + index as u64 * LETTER_US;
        let letter =
            |(index, character)| Letter { character, start_us: at(index), end_us: at(index) + LETTER_US };
        text.chars().enumerate().map(letter).collect()
    }

    fn words(letters: &mut Letters, messages: &[Vec<Letter>]) -> Vec<(String, u64, u64)> {
        let mut words: Vec<_> = messages.iter().flat_map(|message| letters.push(message.clone())).collect();
        words.extend(letters.end());
        words.into_iter().map(|word| (word.text, word.start_us, word.end_us)).collect()
    }

    #[test]
    fn words_are_the_same_however_messages_cut_them_and_from_where_times_count() {
        let text = "नमस्ते to all, friends";
        let expected = words(&mut Letters::new(Counted::FromTheSentence), &[letters(text, 0)]);
        assert_eq!(expected.len(), 4);
        assert_eq!(expected[0], ("नमस्ते".to_owned(), 0, 6 * LETTER_US));
        let characters: Vec<_> = text.chars().collect();
        for cut in 1..characters.len() {
            let (head, tail): (String, String) =
                (characters[..cut].iter().collect(), characters[cut..].iter().collect());
            let own = [letters(&head, 0), letters(&tail, 0)];
            assert_eq!(words(&mut Letters::new(Counted::FromTheMessage), &own), expected, "cut at {cut}");
            assert_eq!(words(&mut Letters::new(Counted::FromTheSentence), &own), expected, "cut at {cut}");
            let whole = [letters(&head, 0), letters(&tail, cut as u64 * LETTER_US)];
            assert_eq!(words(&mut Letters::new(Counted::FromTheSentence), &whole), expected, "cut at {cut}");
        }
    }

    #[test]
    fn a_message_that_overlaps_the_one_before_by_a_rounding_still_counts_from_the_sentence() {
        let mut all = Letters::new(Counted::FromTheSentence);
        all.push(letters("to ", 0));
        let words = all.push(letters("be ", 3 * LETTER_US - 20_000));
        assert_eq!((words[0].start_us, words[0].end_us), (280_000, 480_000));
    }

    #[test]
    fn a_message_without_characters_moves_those_after_it() {
        let mut all = Letters::new(Counted::FromTheMessage);
        all.push(letters("a ", 0));
        all.pass(LETTER_US);
        assert_eq!(all.push(letters("b ", 0))[0].start_us, 3 * LETTER_US);
    }
}
