//! The recogniser's grammar for one question of a form.
//!
//! Built of the rules of the phrase table, printed as they are matched. Small on purpose: a grammar
//! accepts what it does not know as something it does, so dates and times are in it only while they
//! are wanted or, behind words of correction, where they can be corrected. Enter at [`grammar`].

use std::collections::BTreeSet;
use std::fmt::Write;
use std::sync::Arc;

use super::ask::{Asked, Form};
use super::known::Known;
use super::phrase::parse;
use super::table::table;
use super::words::plain;
use super::{Ask, Slot, SlotKind};

/// What may be said now, as JSGF with one public rule.
pub(super) fn grammar(ask: &Ask, form: &Form, known: &Known) -> Arc<str> {
    let now = Situation::of(ask, form, known);
    let mut rules = Rules::default();
    now.values(&mut rules);
    now.bare(&mut rules);
    now.corrections(&mut rules);
    now.confirmation(&mut rules);
    for phrase in ask.side_answers.iter().flat_map(|side| &side.phrases) {
        rules.answer(&plain(phrase).join(" "));
    }
    for always in ["<person>", "<cancel>", "<again>", "<nod>"] {
        rules.answer(always);
    }
    rules.print()
}

struct Situation<'a> {
    open: bool,
    reviewing: bool,
    asked: Option<&'a Slot>,
    /// Kinds that are still wanted.
    wanted: Vec<&'a SlotKind>,
    /// Kinds that have a value.
    filled: Vec<&'a SlotKind>,
}

impl<'a> Situation<'a> {
    fn of(ask: &'a Ask, form: &Form, known: &Known) -> Self {
        let reviewing = matches!(form.asked, Asked::ReadBack | Asked::Change);
        let asked = ask.slots.iter().find(|slot| form.asked == Asked::Slot(slot.name.clone()));
        let is_asked = |slot: &Slot| asked.is_some_and(|asked| asked.name == slot.name);
        let is_filled = |slot: &&Slot| known.slots.contains_key(&slot.name);
        Self {
            open: form.asked == Asked::Open,
            reviewing,
            asked,
            wanted: ask
                .slots
                .iter()
                .filter(|slot| is_asked(slot) || !is_filled(slot))
                .map(|slot| &slot.kind)
                .collect(),
            filled: ask.slots.iter().filter(is_filled).map(|slot| &slot.kind).collect(),
        }
    }

    fn wants(&self, kind: &SlotKind) -> bool {
        self.wanted.contains(&kind)
    }

    fn has(&self, kind: &SlotKind) -> bool {
        self.wanted.contains(&kind) || self.filled.contains(&kind)
    }

    fn asks(&self, kind: &SlotKind) -> bool {
        match self.asked {
            Some(slot) => slot.kind == *kind,
            None => self.open && self.wanted.first() == Some(&kind),
        }
    }

    /// A party in its usual words. "For seven" is a time where the time was asked for.
    fn party(&self) -> &'static str {
        if self.asks(&SlotKind::Time) { "<party>" } else { "(<party> | <party_for>)" }
    }

    /// The values still wanted, many in one sentence.
    fn values(&self, rules: &mut Rules) {
        if let Some(when) = self.when() {
            rules.rule("when", when);
        }
        let party = self.party();
        let wanted = match (self.wants(&SlotKind::PartySize), rules.has("when")) {
            (true, true) => format!("{party} [<when>] | <when> [{party}]"),
            (true, false) => party.to_owned(),
            (false, true) => "<when>".to_owned(),
            (false, false) => String::new(),
        };
        if !wanted.is_empty() {
            rules.rule("wanted", wanted);
            rules.answer(if self.open {
                "[<wanting>] [a table] <wanted> [<wish>]"
            } else {
                "<wanted> [<wish>]"
            });
        }
        if self.open && self.wants(&SlotKind::PartySize) {
            rules.answer("<wanting> a table [<wish>]");
        }
        if self.wants(&SlotKind::PersonName) {
            rules.answer("<name_intro> [<name>]");
        }
        if self.wants(&SlotKind::Phone) {
            rules.answer("<phone_intro> [<digits>]");
        }
    }

    fn when(&self) -> Option<String> {
        let (date, time) = (self.has(&SlotKind::Date), self.has(&SlotKind::Time));
        let wanted = self.wants(&SlotKind::Date) || self.wants(&SlotKind::Time);
        let rule = match (date, time) {
            // Who is asked for the time may say the day again.
            (true, true) => "<date> [<time> | <part_of_day>] | <time> [<date>] | <part_of_day>",
            (true, false) => "<date>",
            (false, true) => "<time> | <part_of_day>",
            (false, false) => return None,
        };
        wanted.then(|| rule.to_owned())
    }

    /// What is a value only because it was asked for.
    fn bare(&self, rules: &mut Rules) {
        for (kind, bare) in [
            (SlotKind::PartySize, "<party_bare> [please]"),
            (SlotKind::Date, "<date_bare>"),
            (SlotKind::Time, "<time_bare>"),
            (SlotKind::PersonName, "<name>"),
            (SlotKind::Phone, "<digits>"),
        ] {
            if self.asks(&kind) {
                rules.answer(bare);
            }
        }
        for kind in &self.wanted {
            if let SlotKind::Option { options } = kind {
                options.iter().for_each(|option| rules.answer(&plain(option).join(" ")));
            }
        }
    }

    /// Another value for a slot that has one. Only at the read-back without words of correction. The
    /// whole opening sentence may come again: not knowing it, a recogniser hears something worse.
    fn corrections(&self, rules: &mut Rules) {
        let has_time = self.has(&SlotKind::Time);
        let party = self.party();
        let when = match (self.has(&SlotKind::Date), has_time) {
            (true, true) => " [<date>] [<time>]",
            (true, false) => " [<date>]",
            (false, true) => " [<time>]",
            (false, false) => "",
        };
        let mut swaps = Vec::new();
        for (kind, swap) in [
            (SlotKind::PartySize, format!("[not {party}] {party}{when}")),
            (SlotKind::Date, format!("[not <date>] <date>{}", if has_time { " [<time>]" } else { "" })),
            (SlotKind::Time, "[not <time>] <time>".to_owned()),
        ] {
            // "Can we make it eight fifteen" is also said by who was asked for the time: a grammar without it
            // hears "may fifteenth".
            if self.filled.contains(&&kind) || self.asks(&kind) {
                swaps.push(swap);
            }
        }
        let leads = "<oops> | <change_to> | <wanting> [a table]";
        if !swaps.is_empty() {
            rules.rule("swap", swaps.join(" | "));
            let leads = if self.reviewing { format!("[{leads}]") } else { format!("({leads})") };
            rules.answer(&format!("{leads} <swap> [instead]"));
        }
        if self.reviewing && self.filled.contains(&&SlotKind::PersonName) {
            rules.answer("[<oops>] <name_intro> <name>");
        }
        if self.reviewing && self.filled.contains(&&SlotKind::Phone) {
            rules.answer("[<oops>] <phone_intro> <digits>");
        }
    }

    fn confirmation(&self, rules: &mut Rules) {
        // Also where neither is an answer: better heard as a yes than as a date.
        rules.answer("<yes> | <no>");
        if !self.reviewing {
            return;
        }
        let fields = self.filled.iter().filter_map(|kind| match kind {
            SlotKind::PartySize => Some("<field_party>"),
            SlotKind::Date => Some("<field_date>"),
            SlotKind::Time => Some("<field_time>"),
            SlotKind::PersonName => Some("<field_name>"),
            SlotKind::Phone => Some("<field_phone>"),
            SlotKind::YesNo | SlotKind::Option { .. } => None,
        });
        let fields: Vec<&str> = fields.collect();
        if !fields.is_empty() {
            rules.rule("field", fields.join(" | "));
            rules.answer("[change | can we change] <field>");
        }
    }
}

#[derive(Default)]
struct Rules {
    answers: Vec<String>,
    own: Vec<(&'static str, String)>,
}

impl Rules {
    fn answer(&mut self, right_side: &str) {
        let right_side = right_side.to_owned();
        if !right_side.is_empty() && !self.answers.contains(&right_side) {
            self.answers.push(right_side);
        }
    }

    fn rule(&mut self, name: &'static str, right_side: String) {
        self.own.push((name, right_side));
    }

    fn has(&self, name: &str) -> bool {
        self.own.iter().any(|(own, _)| *own == name)
    }

    /// Prints the rules and all rules of the table that they need.
    fn print(&self) -> Arc<str> {
        let mut out =
            format!("#JSGF V1.0;\ngrammar flow;\npublic <answer> = {};\n", self.answers.join(" | "));
        let mut needed = Vec::new();
        self.answers.iter().for_each(|side| parse(side).refers_to(&mut needed));
        for (name, right_side) in &self.own {
            // Writing to a string does not fail.
            let _ = writeln!(out, "<{name}> = {right_side};");
            parse(right_side).refers_to(&mut needed);
        }
        let mut printed: BTreeSet<String> = self.own.iter().map(|(name, _)| (*name).to_owned()).collect();
        while let Some(name) = needed.pop() {
            if !printed.insert(name.clone()) {
                continue;
            }
            if let Some((right_side, refers)) = table().printed(&name) {
                let _ = writeln!(out, "<{name}> = {right_side};");
                needed.extend(refers);
            }
        }
        out.into()
    }
}
