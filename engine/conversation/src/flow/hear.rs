//! Hearing: which values and intents are in a caller's words.
//!
//! Every phrase of the table is tried at every word; of all that match, the set is taken that
//! explains the most words with the fewest phrases ("at eight ten people" is eight o'clock and ten
//! people). Words that belong to nothing are passed over. What is done with it is decided in `ask`.
//! Enter at [`hear`].

use jiff::civil::Date;

use super::phrase::Match;
use super::slots::Value;
use super::table::table;
use super::words::Word;
use super::{SlotKind, dates, names, party, phones, times};

/// What is listened for.
pub(super) struct Scope<'a> {
    /// The kinds of the form's slots.
    pub kinds: Vec<&'a SlotKind>,
    /// The kind just asked for: a bare "four" is of this kind.
    pub asked: Option<&'a SlotKind>,
    /// The day of the call.
    pub today: Date,
}

/// Something understood.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Found {
    Value(Value),
    Time(times::Said),
    /// A date that does not exist or is over.
    NoSuchDay,
    /// "in the evening", alone.
    PartOfDay(i64),
    /// Fewer digits than a telephone number has.
    SomeDigits(String),
    /// "the time", of a slot to be changed.
    Field(SlotKind),
    Yes,
    No,
    Nod,
    Person,
    Cancel,
    Again,
}

/// Where it was said.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Mention {
    pub found: Found,
    pub start: usize,
    pub end: usize,
    /// "not" came right before it.
    pub negated: bool,
    /// How much it explains; decides between readings.
    weight: usize,
}

/// Weight of a word that belongs to a phrase.
const WORD: usize = 10;
/// Weight of a word that can be a name: anything can, so that others go first.
const NAME_WORD: usize = 9;
/// Weight of a bare value, whatever its length; more than it costs to be a phrase at all.
const BARE: usize = 5;
/// What every phrase costs: few are better than many.
const PHRASE: usize = 4;
/// What may stand between "not" and a value.
const LEADS: [&str; 10] = ["on", "at", "around", "about", "for", "the", "in", "this", "next", "a"];
const INTENTS: [(&str, Found); 6] = [
    ("yes", Found::Yes),
    ("no", Found::No),
    ("nod", Found::Nod),
    ("person", Found::Person),
    ("cancel", Found::Cancel),
    ("again", Found::Again),
];

/// What was said, in order.
pub(super) fn hear(words: &[Word], scope: &Scope) -> Vec<Mention> {
    let mut best: Vec<(usize, Option<Mention>)> = vec![(0, None); words.len() + 1];
    for start in (0..words.len()).rev() {
        best[start] = (best[start + 1].0, None);
        for mention in scope.candidates(words, start) {
            let total = mention.weight + best[mention.end].0;
            if total > best[start].0 {
                best[start] = (total, Some(mention));
            }
        }
    }
    let mut heard = Vec::new();
    let mut at = 0;
    while at < words.len() {
        match best[at].1.take() {
            Some(mention) => {
                at = mention.end;
                heard.push(mention);
            }
            None => at += 1,
        }
    }
    heard
}

impl Scope<'_> {
    fn wants(&self, kind: &SlotKind) -> bool {
        self.kinds.contains(&kind)
    }

    fn asks(&self, kind: &SlotKind) -> bool {
        self.asked == Some(kind)
    }

    fn candidates(&self, words: &[Word], start: usize) -> Vec<Mention> {
        let mut out = Candidates { words, start, found: Vec::new() };
        for (rule, found) in &INTENTS {
            out.rule(rule, 0, |_| Some(found.clone()));
        }
        if self.wants(&SlotKind::PartySize) {
            self.parties(&mut out);
        }
        if self.wants(&SlotKind::Date) {
            self.dates(&mut out);
        }
        if self.wants(&SlotKind::Time) {
            self.times(&mut out);
        }
        if self.wants(&SlotKind::PersonName) {
            self.names(&mut out);
        }
        if self.wants(&SlotKind::Phone) {
            self.phones(&mut out);
        }
        self.options(&mut out);
        out.found
    }

    fn parties(&self, out: &mut Candidates) {
        let read = |way: &Match| party::read(&way.captures).map(|people| Found::Value(Value::Party(people)));
        out.rule("party", 1, read);
        if !self.asks(&SlotKind::Time) {
            out.rule("party_for", 0, read);
        }
        if self.asks(&SlotKind::PartySize) {
            out.bare("party_bare", read);
        }
        out.rule("field_party", 0, |_| Some(Found::Field(SlotKind::PartySize)));
    }

    fn dates(&self, out: &mut Candidates) {
        let read = |way: &Match| {
            Some(match dates::read(&way.captures, self.today) {
                Some(said) => Found::Value(Value::Date { date: said.date, contradicts: said.contradicts }),
                None => Found::NoSuchDay,
            })
        };
        out.rule("date", 1, read);
        if self.asks(&SlotKind::Date) {
            out.bare("date_bare", read);
        }
        out.rule("field_date", 0, |_| Some(Found::Field(SlotKind::Date)));
    }

    fn times(&self, out: &mut Candidates) {
        let read = |way: &Match| times::read(&way.captures).map(Found::Time);
        out.rule("time", 1, read);
        if self.asks(&SlotKind::Time) {
            out.bare("time_bare", read);
        }
        out.rule("part_of_day", 0, |way| {
            let part = way.captures.iter().find(|(rule, _)| *rule == "daypart");
            Some(Found::PartOfDay(part.map_or(times::EVENING, |(_, part)| *part)))
        });
        out.rule("field_time", 0, |_| Some(Found::Field(SlotKind::Time)));
    }

    fn names(&self, out: &mut Candidates) {
        let mut intros = table().matches("name_intro", out.words, out.start);
        if self.asks(&SlotKind::PersonName) {
            intros.extend(table().matches("name_intro_asked", out.words, out.start));
        }
        for intro in intros {
            for length in 1..=names::length(out.words, intro.end) {
                let end = intro.end + length;
                let name = names::proper(&out.words[intro.end..end]);
                let weight = (intro.end - out.start) * WORD + length * NAME_WORD;
                out.push(end, weight, Found::Value(Value::Name(name)));
            }
        }
        out.rule("field_name", 0, |_| Some(Found::Field(SlotKind::PersonName)));
    }

    fn phones(&self, out: &mut Candidates) {
        let (asked, start) = (self.asks(&SlotKind::Phone), out.start);
        out.rule("phone_introduced", 1, |way| {
            let digits = phones::read(&way.captures);
            match phones::is_complete(&digits) {
                true => Some(Found::Value(Value::Phone(digits))),
                false => Some(Found::SomeDigits(digits)),
            }
        });
        // "Six oh eight" is a time as well: the one asked for wins.
        out.rule("digits", if asked { 2 } else { 1 }, |way| {
            let digits = phones::read(&way.captures);
            // "eight fifteen" is rather a time, "I have one" no number: a begun one is told digit by digit.
            let one_by_one = way.captures.iter().all(|(rule, _)| *rule != "pair");
            let begun = one_by_one && (way.end > start + 1 || start == 0);
            match phones::is_complete(&digits) {
                true => Some(Found::Value(Value::Phone(digits))),
                false => (asked && begun).then_some(Found::SomeDigits(digits)),
            }
        });
        out.rule("field_phone", 0, |_| Some(Found::Field(SlotKind::Phone)));
    }

    fn options(&self, out: &mut Candidates) {
        let lists = self.kinds.iter().filter_map(|kind| match kind {
            SlotKind::Option { options } => Some(options),
            _ => None,
        });
        for option in lists.flatten() {
            let wanted = super::words::plain(option);
            let here = out.words[out.start..].iter().map(|word| &word.text);
            if !wanted.is_empty() && here.take(wanted.len()).eq(wanted.iter()) {
                let end = out.start + wanted.len();
                out.push(end, wanted.len() * WORD + 1, Found::Value(Value::Option(option.clone())));
            }
        }
    }
}

struct Candidates<'a> {
    words: &'a [Word],
    start: usize,
    found: Vec<Mention>,
}

impl Candidates<'_> {
    fn rule(&mut self, rule: &str, bonus: usize, read: impl Fn(&Match) -> Option<Found>) {
        for way in table().matches(rule, self.words, self.start) {
            if let Some(found) = read(&way) {
                self.push(way.end, (way.end - self.start) * WORD + bonus, found);
            }
        }
    }

    /// What has a meaning only because it was asked for explains less than any other phrase.
    fn bare(&mut self, rule: &str, read: impl Fn(&Match) -> Option<Found>) {
        for way in table().matches(rule, self.words, self.start) {
            if let Some(found) = read(&way) {
                self.push(way.end, BARE + (way.end - self.start), found);
            }
        }
    }

    /// What is negated had better be short: "not on Tuesday May twenty seventh" says which day it is, not only which it is not.
    fn push(&mut self, end: usize, weight: usize, found: Found) {
        let mut before = self.words[..self.start].iter().rev().map(|word| word.text.as_str());
        let negated = before.find(|word| !LEADS.contains(word)) == Some("not");
        let cost = if negated { PHRASE + 2 * (end - self.start) } else { PHRASE };
        let weight = weight.saturating_sub(cost);
        self.found.push(Mention { found, start: self.start, end, negated, weight });
    }
}
