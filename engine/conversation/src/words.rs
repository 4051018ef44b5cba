//! Words: what kind of words these are, as far as turn-taking cares (B2, B3, E1).
//!
//! Decides whether words take the floor, only accompany, or ask for more; knows no time and no
//! state. Enter at [`classify`] and [`ends_open`].

use crate::flow::normalize_for_speech;

/// What words do to the floor; the gentlest reading comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// There are none.
    Nothing,
    /// Only accompany: backchannels, fillers.
    Backchannel,
    /// May still become an accompaniment: a beginning of one.
    Undecided,
    /// Take the floor.
    Words,
}

/// Fillers accompany wherever backchannels do.
const FILLERS: &[&str] = &["uh", "um", "er", "erm", "ah", "oh"];

/// Asks whether anybody is there; never takes back a turn that is being answered (E6).
pub(crate) const PRESENCE: &[&str] = &[
    "hello",
    "hi",
    "hey",
    "hello hello",
    "are you there",
    "are you still there",
    "anybody there",
    "anyone there",
];

/// Words after which another must come: conjunctions, prepositions, articles, copulas, possessives, fillers.
const OPEN_ENDED: &[&str] = &[
    "and", "or", "but", "so", "because", "if", "when", "then", "which", "while", "as", "than", "to", "for",
    "at", "on", "in", "of", "from", "with", "by", "about", "around", "under", "into", "until", "between",
    "the", "a", "an", "this", "is", "are", "was", "were", "be", "am", "it's", "i'm", "that's", "my", "your",
    "our", "his", "her", "their", "its", "uh", "um", "er", "erm", "i'd", "i'll", "i", "we",
];

/// Lower-case words without punctuation; hyphens part, and long-drawn letters count once ("mhmm", "okaay").
pub(crate) fn normal(text: &str) -> Vec<String> {
    text.split(|c: char| c.is_whitespace() || c == '-' || c == '–')
        .map(normal_word)
        .filter(|w| !w.is_empty())
        .collect()
}

fn normal_word(word: &str) -> String {
    let mut plain = String::new();
    for c in word.chars().flat_map(char::to_lowercase).map(|c| if c == '’' { '\'' } else { c }) {
        let drawn = c.is_alphabetic() && plain.ends_with(c);
        if (c.is_alphanumeric() || c == '\'') && !drawn {
            plain.push(c);
        }
    }
    plain.trim_matches('\'').to_owned()
}

/// Sounds that say nothing. "oh" is not one: it is a digit, too.
const EMPTY: &[&str] = &["uh", "um", "er", "erm", "ah", "hm", "hmm"];

/// What words say, for comparing (S2): without case, marks and sounds that say nothing, numbers spelled out.
pub(crate) fn telling(text: &str) -> Vec<String> {
    let spelled = normalize_for_speech(text);
    let words = spelled.split(|c: char| c.is_whitespace() || c == '-' || c == '–').map(telling_word);
    words.filter(|word| !word.is_empty() && !EMPTY.contains(&word.as_str())).collect()
}

fn telling_word(word: &str) -> String {
    let small = word.chars().flat_map(char::to_lowercase).map(|c| if c == '’' { '\'' } else { c });
    // Signs that belong to a letter of their script are no marks.
    let kept: String = small.filter(|c| c.is_alphanumeric() || *c == '\'' || is_sign(*c)).collect();
    kept.trim_matches('\'').to_owned()
}

/// Combining signs that count as no letter: accents, and the viramas and nuktas of Indic scripts.
fn is_sign(c: char) -> bool {
    let brahmic = ('\u{0900}'..='\u{0dff}').contains(&c) && !matches!(c, '।' | '॥' | '॰');
    ('\u{0300}'..='\u{036f}').contains(&c) || brahmic
}

/// Judges words against the phrases that do not take the floor.
pub(crate) fn classify<'a>(words: &[String], quiet: impl Iterator<Item = &'a str>) -> Kind {
    if words.is_empty() {
        return Kind::Nothing;
    }
    let phrases: Vec<Vec<String>> =
        quiet.chain(FILLERS.iter().copied()).map(normal).filter(|phrase| !phrase.is_empty()).collect();
    // From the end: what the words from each place on can be.
    let mut kinds = vec![Kind::Backchannel];
    for from in (0..words.len()).rev() {
        let rest = &words[from..];
        let whole = phrases.iter().filter(|phrase| rest.starts_with(phrase));
        let best = whole.map(|phrase| kinds[kinds.len() - phrase.len()]).min();
        let begun = phrases.iter().any(|phrase| begins(phrase, rest)).then_some(Kind::Undecided);
        kinds.push(best.into_iter().chain(begun).min().unwrap_or(Kind::Words));
    }
    kinds[words.len()]
}

/// Whether `phrase` may still come of `words`; the last word may be cut.
fn begins(phrase: &[String], words: &[String]) -> bool {
    let Some((last, before)) = words.split_last() else { return true };
    phrase.len() >= words.len()
        && phrase.starts_with(before)
        && phrase[before.len()].starts_with(last.as_str())
}

/// E1: the words ask for more to come.
pub(crate) fn ends_open(text: &str) -> bool {
    let text = text.trim_end();
    if text.ends_with(',') || text.ends_with('…') || text.ends_with("...") || text.ends_with('-') {
        return true;
    }
    let words = normal(text);
    words.last().is_some_and(|last| OPEN_ENDED.iter().any(|open| normal_word(open) == *last))
}

/// Whether a written sentence ends here.
pub(crate) fn ends_sentence(text: &str) -> bool {
    let text =
        text.trim_end_matches(|c: char| c.is_whitespace() || matches!(c, '"' | '”' | '’' | '\'' | ')'));
    !text.ends_with("...") && text.ends_with(['.', '?', '!', '。', '？', '！', '।', '؟'])
}

/// Whether a written question ends here.
pub(crate) fn ends_question(text: &str) -> bool {
    let text =
        text.trim_end_matches(|c: char| c.is_whitespace() || matches!(c, '"' | '”' | '’' | '\'' | ')'));
    text.ends_with(['?', '？', '؟'])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(text: &str) -> Kind {
        classify(&normal(text), ["mhm", "mm-hm", "yeah", "okay", "uh-huh", "I see"].into_iter())
    }

    #[test]
    fn accompaniment_is_told_from_words_that_take_the_floor() {
        for text in ["Mhmm.", "uh huh", "Yeah, okay", "mm-hm yeah", "okaay", "um"] {
            assert_eq!(kind(text), Kind::Backchannel, "{text}");
        }
        for text in ["ye", "I", "okay i", "uh hu"] {
            assert_eq!(kind(text), Kind::Undecided, "{text}");
        }
        for text in ["yeah but I", "no", "I seek", "stop", "okay so"] {
            assert_eq!(kind(text), Kind::Words, "{text}");
        }
        assert_eq!(kind(" ."), Kind::Nothing);
    }

    #[test]
    fn words_that_say_the_same_are_told_from_those_that_do_not() {
        for (one, other) in [
            ("A table for 4, please.", "um a table for four please"),
            ("At 7:30?", "at seven thirty"),
            ("My number is 555-0198", "my number is five five five zero one nine eight"),
            ("It’s me", "it's me"),
            ("कल शाम।", "कल शाम"),
        ] {
            assert_eq!(telling(one), telling(other), "{one} | {other}");
        }
        for (one, other) in [
            ("five one", "five oh one"),
            ("I can", "I can't"),
            ("turn it off", "turn it of"),
            ("Friday", "Friday or Saturday"),
            ("क्या", "कया"),
        ] {
            assert_ne!(telling(one), telling(other), "{one} | {other}");
        }
    }

    #[test]
    fn words_that_want_another_are_open_ended() {
        for text in ["my name is", "a table for", "to", "and um", "Friday,", "with my", "I'd"] {
            assert!(ends_open(text), "{text}");
        }
        for text in ["my name is John", "Friday", "four people"] {
            assert!(!ends_open(text), "{text}");
        }
    }
}
