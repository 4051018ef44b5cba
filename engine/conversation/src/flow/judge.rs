//! Whether the words so far are the answer that was asked for (E1).
//!
//! Decides from the expectation alone, so that the turn machine can ask with any words at any time.
//! A phrase of the table that has begun and not ended is a value being dictated. Enter at
//! [`Expectation::judge`](crate::Expectation::judge).

use jiff::civil::date;

use super::hear::{Found, Mention, Scope, hear};
use super::slots::Value;
use super::table::table;
use super::words::{Word, plain, words};
use super::{SlotKind, names};

/// How far an answer has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Completeness {
    /// Yes or no, a listed option, or every value asked for.
    Complete,
    /// A value is being dictated and is not complete: "five five five", "on Saturday the".
    Partial,
    /// Nothing of what was asked, or only some of it.
    Open,
}

/// What a correction may bring at a read-back.
const CORRECTABLE: [SlotKind; 6] = [
    SlotKind::YesNo,
    SlotKind::PartySize,
    SlotKind::Date,
    SlotKind::Time,
    SlotKind::PersonName,
    SlotKind::Phone,
];

impl crate::Expectation {
    /// Judges a caller's words, settled or not. Without slots and options it is always open.
    pub fn judge(&self, text: &str) -> Completeness {
        let words = words(text);
        if self.options.iter().any(|option| contains(&words, &plain(option))) {
            return Completeness::Complete;
        }
        let Some(asked) = self.slots.first().filter(|_| !words.is_empty()) else { return Completeness::Open };
        let confirming = *asked == SlotKind::YesNo;
        let kinds = if confirming { CORRECTABLE.iter().collect() } else { self.slots.iter().collect() };
        // Any day will do: whether a value is complete does not depend on it.
        let scope = Scope { kinds, asked: Some(asked), today: date(2026, 1, 1) };
        let heard = hear(&words, &scope);
        if is_begun(&words, &heard, &scope) {
            return Completeness::Partial;
        }
        let complete = match confirming {
            true => heard.iter().any(|mention| !mention.negated && answers_a_read_back(&mention.found)),
            false => self.slots.iter().all(|kind| has(&heard, &words, kind)),
        };
        if complete { Completeness::Complete } else { Completeness::Open }
    }
}

fn answers_a_read_back(found: &Found) -> bool {
    !matches!(found, Found::PartOfDay(_))
}

fn has(heard: &[Mention], words: &[Word], kind: &SlotKind) -> bool {
    let valued = heard.iter().any(|mention| match &mention.found {
        Found::Value(Value::Name(name)) => *kind == SlotKind::PersonName && name.contains(' '),
        Found::Value(value) => value.suits(kind),
        Found::Time(_) => *kind == SlotKind::Time,
        _ => false,
    });
    // A given name alone may go on: it gets the usual wait.
    valued || *kind == SlotKind::PersonName && words.len() > 1 && names::length(words, 0) == words.len()
}

fn is_begun(words: &[Word], heard: &[Mention], scope: &Scope) -> bool {
    let confirming = scope.asked == Some(&SlotKind::YesNo);
    // "my name" names a value to be changed at a read-back; elsewhere "is" and the name will follow.
    let stands = |mention: &&Mention| confirming || !matches!(mention.found, Found::Field(_));
    let last = heard.iter().rfind(|mention| mention.end == words.len()).filter(stands);
    let hanging = match last {
        Some(mention) if mention.negated => true,
        Some(Mention { found: Found::SomeDigits(_), .. }) => true,
        Some(Mention { found: Found::Value(Value::Date { .. }), .. }) => {
            ends_in(words, &["twenty", "thirty"])
        }
        _ => confirming && ends_in(words, &["wait", "actually", "not", "but", "sorry"]),
    };
    let covered_from = last.map_or(words.len(), |mention| mention.start);
    // "I'd like to book a table" is a sentence, though "for four" may follow.
    let may_end_here = ends_in(words, &["table"]);
    hanging || !may_end_here && (0..covered_from).any(|start| begins(words, start, scope))
}

/// Whether the words from `start` are the beginning of a phrase that was asked for.
fn begins(words: &[Word], start: usize, scope: &Scope) -> bool {
    let begun = |rule: &str| table().is_beginning_of(rule, words, start);
    let introduced =
        |rule: &str| table().matches(rule, words, start).iter().any(|way| way.end == words.len());
    scope.kinds.iter().any(|kind| match kind {
        SlotKind::YesNo => ["yes", "change_to"].iter().any(|rule| begun(rule)) || introduced("change_to"),
        SlotKind::PartySize => ["party", "party_for"].iter().any(|rule| begun(rule)),
        SlotKind::Date => begun("date"),
        SlotKind::Time => begun("time"),
        SlotKind::PersonName => begun("name_intro") || introduced("name_intro"),
        SlotKind::Phone => begun("phone_intro") || introduced("phone_intro"),
        SlotKind::Option { .. } => false,
    })
}

fn contains(words: &[Word], wanted: &[String]) -> bool {
    let texts: Vec<&String> = words.iter().map(|word| &word.text).collect();
    !wanted.is_empty() && texts.windows(wanted.len()).any(|window| window.iter().copied().eq(wanted.iter()))
}

fn ends_in(words: &[Word], list: &[&str]) -> bool {
    words.last().is_some_and(|word| list.contains(&word.text.as_str()))
}
