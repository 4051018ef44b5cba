//! What was asked, without a flow to say it (E1): read from the agent's last heard sentence.
//!
//! Decides which sort of answer a written sentence wants; knows no state. Enter at [`asked_by`].

use crate::Expectation;
use crate::flow::SlotKind;
use crate::words::{ends_question, normal};

/// Words that begin a question to be answered with yes or no.
const YES_NO: &[&str] = &[
    "is", "are", "was", "were", "do", "does", "did", "can", "could", "will", "would", "shall", "should",
    "have", "has", "may", "am",
];

/// E1: what a sentence of the agent asks for, without a flow to say it.
pub(crate) fn asked_by(sentence: &str) -> Expectation {
    let words = normal(sentence);
    let has =
        |any: &[&str]| any.iter().any(|wanted| words.iter().any(|word| *word == normal(wanted).join(" ")));
    if !ends_question(sentence) && !has(&["please", "tell", "give"]) {
        return Expectation::default();
    }
    if let Some(options) = options_of(sentence) {
        return Expectation {
            slots: vec![SlotKind::Option { options: options.clone() }],
            options,
            jsgf: None,
        };
    }
    let kind = if has(&["phone", "telephone", "number", "card"]) {
        SlotKind::Phone
    } else if has(&["name"]) {
        SlotKind::PersonName
    } else if has(&["date", "day"]) {
        SlotKind::Date
    } else if words.first().is_some_and(|first| YES_NO.iter().any(|word| normal(word).first() == Some(first)))
    {
        SlotKind::YesNo
    } else {
        return Expectation::default();
    };
    Expectation { slots: vec![kind], ..Expectation::default() }
}

/// "Friday or Saturday?" lists its options.
fn options_of(sentence: &str) -> Option<Vec<String>> {
    let words: Vec<&str> = sentence.split_whitespace().collect();
    let or = words.iter().position(|word| word.eq_ignore_ascii_case("or"))?;
    let plain = |word: &&str| word.trim_matches(|c: char| !c.is_alphanumeric()).to_owned();
    let (before, after) = (words[..or].last().map(plain)?, words[or + 1..].last().map(plain)?);
    (words.len() - or <= 3 && !before.is_empty() && !after.is_empty()).then(|| vec![before, after])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sentence_of_the_agent_says_what_it_asks_for() {
        let kind = |sentence: &str| asked_by(sentence).slots.first().cloned();
        let options = vec!["Friday".to_owned(), "Saturday".to_owned()];
        assert_eq!(kind("Would you like Friday or Saturday?"), Some(SlotKind::Option { options }));
        assert_eq!(kind("What is your phone number?"), Some(SlotKind::Phone));
        assert_eq!(kind("Please tell me your name."), Some(SlotKind::PersonName));
        assert_eq!(kind("Is that correct?"), Some(SlotKind::YesNo));
        assert_eq!(kind("I have a table at seven."), None);
    }
}
