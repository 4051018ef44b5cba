//! Where a broken answer goes on: another model is told what was said already, and what it says again is left out.
//!
//! Works on whole words: a word that was cut in the middle was never given on ([`Words`]). Enter at [`Joint`].

use crate::llm::{Message, Role};

/// The other model may begin with so many of the last words that were said.
const OVERLAP_MAX: usize = 8;

/// Gives text on in whole words: the rest of a word may be in the next piece, or never come.
#[derive(Debug, Default)]
pub(super) struct Words {
    held: String,
}

impl Words {
    /// What can be given on now.
    pub(super) fn push(&mut self, text: &str) -> String {
        self.held.push_str(text);
        let ends = |letter: &char| letter.is_whitespace() || is_without_spaces(*letter);
        let last = self.held.char_indices().rfind(|(_, letter)| ends(letter));
        let whole = last.map_or(0, |(at, letter)| at + letter.len_utf8());
        // What is so long is no word.
        let whole = if whole == 0 && self.held.chars().count() > 40 { self.held.len() } else { whole };
        let rest = self.held.split_off(whole);
        std::mem::replace(&mut self.held, rest)
    }

    /// The answer is over: the last word is whole.
    pub(super) fn finish(&mut self) -> String {
        std::mem::take(&mut self.held)
    }
}

/// What the next model is asked, so that it goes on.
pub(super) fn go_on(messages: &[Message], said: &str) -> Vec<Message> {
    let said = said.trim();
    let text = format!(
        "You were cut off. The caller has already heard you say: «{said}» Go on from there, without repeating it and \
         without a word about the interruption."
    );
    let mut messages = messages.to_vec();
    messages.push(Message { role: Role::System, text, tool_calls: Vec::new(), tool_call_id: None });
    messages
}

/// Leaves out of an answer what was said before it.
#[derive(Debug)]
pub(super) struct Joint {
    /// The words said, as they are compared.
    said: Vec<String>,
    state: State,
}

#[derive(Debug)]
enum State {
    /// Words of the new answer that are not decided on.
    Undecided(Vec<String>),
    /// It began from the start: so many of the said words have come again.
    Again(usize),
    /// What comes is new.
    New,
}

impl Joint {
    /// After these words.
    pub(super) fn new(said: &str) -> Self {
        let said: Vec<String> = units(said.trim()).map(compared).collect();
        let state = if said.is_empty() { State::New } else { State::Undecided(Vec::new()) };
        Self { said, state }
    }

    /// Takes whole words; gives what is new of them.
    pub(super) fn push(&mut self, text: &str) -> String {
        if matches!(self.state, State::New) {
            return text.to_owned();
        }
        let mut new = String::new();
        for word in units(text) {
            new.push_str(&self.take(word));
        }
        new
    }

    /// The answer is over.
    pub(super) fn finish(&mut self) -> String {
        match std::mem::replace(&mut self.state, State::New) {
            State::Undecided(words) => self.without_overlap(&words),
            State::Again(_) | State::New => String::new(),
        }
    }

    fn take(&mut self, word: &str) -> String {
        match std::mem::replace(&mut self.state, State::New) {
            State::New => word.to_owned(),
            State::Again(so_far) if self.said.get(so_far).is_some_and(|said| *said == compared(word)) => {
                self.state = State::Again(so_far + 1);
                String::new()
            }
            State::Again(_) => spaced(word),
            State::Undecided(mut words) => {
                words.push(word.to_owned());
                let begun: Vec<String> = words.iter().map(|word| compared(word)).collect();
                let from_start = self.said.starts_with(&begun);
                let enough = words.len() >= OVERLAP_MAX.min(self.said.len());
                if from_start && enough {
                    self.state = State::Again(words.len());
                    return String::new();
                }
                if from_start || (!enough && self.overlaps(&begun)) {
                    self.state = State::Undecided(words);
                    return String::new();
                }
                self.without_overlap(&words)
            }
        }
    }

    /// Whether the said words could end with a longer stretch that begins like this.
    fn overlaps(&self, begun: &[String]) -> bool {
        let last = &self.said[self.said.len().saturating_sub(OVERLAP_MAX)..];
        last.windows(begun.len()).any(|window| window == begun)
    }

    fn without_overlap(&self, words: &[String]) -> String {
        let begun: Vec<String> = words.iter().map(|word| compared(word)).collect();
        let most = begun.len().min(self.said.len());
        let overlap = (0..=most).rev().find(|&length| self.said.ends_with(&begun[..length])).unwrap_or(0);
        // A single letter may follow itself within a word.
        let is_letter = overlap == 1 && begun[0].chars().all(is_without_spaces);
        let overlap = if is_letter { 0 } else { overlap };
        spaced(&words[overlap..].concat())
    }
}

/// A word as it is compared: case and marks don't count.
fn compared(word: &str) -> String {
    let letters: String =
        word.chars().filter(|letter| letter.is_alphanumeric()).flat_map(char::to_lowercase).collect();
    if letters.is_empty() { word.trim().to_owned() } else { letters }
}

/// Words with the space behind them, and the letters of scripts that put none.
fn units(text: &str) -> impl Iterator<Item = &str> {
    text.split_inclusive(char::is_whitespace).flat_map(|word| word.split_inclusive(is_without_spaces))
}

/// Letters and marks of scripts that put no spaces between words, so that there is nothing to wait for: Thai, Lao,
/// Burmese, Khmer, Chinese and Japanese. Korean has spaces.
fn is_without_spaces(letter: char) -> bool {
    matches!(letter,
        '\u{0E00}'..='\u{0EFF}' | '\u{1000}'..='\u{109F}' | '\u{1780}'..='\u{17FF}'
        | '\u{3000}'..='\u{30FF}' | '\u{31F0}'..='\u{31FF}' | '\u{3400}'..='\u{4DBF}' | '\u{4E00}'..='\u{9FFF}'
        | '\u{F900}'..='\u{FAFF}' | '\u{FF00}'..='\u{FF65}' | '\u{20000}'..='\u{3FFFF}')
}

fn spaced(text: &str) -> String {
    let text = text.trim_start();
    match text.chars().next() {
        None => String::new(),
        Some(first) if is_without_spaces(first) => text.to_owned(),
        Some(_) => format!(" {text}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn joined(said: &str, answer: &str) -> String {
        let (mut words, mut joint) = (Words::default(), Joint::new(said));
        let mut all = String::new();
        for letter in answer.chars() {
            let whole = words.push(&letter.to_string());
            all.push_str(&joint.push(&whole));
        }
        all.push_str(&joint.push(&words.finish()));
        all.push_str(&joint.finish());
        format!("{}{all}", said.trim_end())
    }

    #[test]
    fn an_answer_goes_on_whether_the_model_continues_repeats_the_end_or_begins_anew() {
        let said = "Your table for four is booked on Friday ";
        let whole = "Your table for four is booked on Friday at seven, John.";
        assert_eq!(joined(said, "at seven, John."), whole);
        assert_eq!(joined(said, "booked on Friday at seven, John."), whole);
        assert_eq!(joined(said, "on friday, at seven, John."), whole);
        assert_eq!(joined(said, whole), whole);
        assert_eq!(joined(said, "Anything else?"), format!("{} Anything else?", said.trim_end()));
        assert_eq!(joined(said, said), said.trim_end(), "nothing was left to be said");
        assert_eq!(joined("आपकी टेबल ", "टेबल बुक हो गई"), "आपकी टेबल बुक हो गई");
        assert_eq!(joined("", "Hello."), "Hello.");
        let (said, whole) = ("ご予約は金曜日で", "ご予約は金曜日ですね。すぐに");
        for answer in ["すね。すぐに", "曜日ですね。すぐに", whole] {
            assert_eq!(joined(said, answer), whole, "{answer}");
        }
        assert_eq!(joined("ご予約です", "すぐに"), "ご予約ですすぐに");
    }

    #[test]
    fn a_word_is_given_on_when_it_is_whole() {
        let mut words = Words::default();
        assert_eq!(
            (words.push("Your ta"), words.push("ble is"), words.finish()),
            ("Your ".into(), "table ".into(), "is".into())
        );
        assert_eq!(words.push(&"x".repeat(60)).chars().count(), 60);
    }

    #[test]
    fn scripts_without_spaces_are_given_on_letter_by_letter() {
        for text in ["ご予約は金曜日です。", "您的预订是星期五，七点。", "การจองของคุณ"]
        {
            let mut words = Words::default();
            assert_eq!(words.push(text), text);
        }
        let mut words = Words::default();
        assert_eq!(
            [words.push("はい、OK"), words.push("です"), words.push("예약은 금")].concat(),
            "はい、OKです예약은 "
        );
        assert_eq!(words.finish(), "금");
    }
}
