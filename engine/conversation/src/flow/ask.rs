//! The form: fills slots from what the caller says, asks for what is missing, reads back, corrects.
//!
//! One sentence may fill many slots. The last value of a slot wins; "not X" takes X away. What the
//! words mean is decided in `hear`; where the flow goes on is decided in `run`. Enter at
//! [`Desk::enter`] and [`Desk::answer`].

use std::collections::BTreeSet;

use super::hear::{self, Found, Mention, Scope};
use super::known::Known;
use super::slots::Value;
use super::words::{Word, words};
use super::{Ask, Slot, SlotKind, dates, names, phones, side};

const MISSED: &str = "Sorry, I didn't get that.";
const NO_SUCH_DAY: &str = "Sorry, that day is over or does not exist.";
const WHAT_TO_CHANGE: &str = "What should I change?";

/// Words that go with an answer and say nothing.
const FILLERS: [&str; 16] = [
    "um", "uh", "er", "oh", "well", "so", "and", "just", "it's", "it", "is", "please", "thanks", "thank",
    "you", "sorry",
];

/// What the last question was.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) enum Asked {
    /// The form's own prompt: anything may come.
    #[default]
    Open,
    /// This slot's prompt.
    Slot(String),
    /// Whether all is right.
    ReadBack,
    /// What is wrong.
    Change,
}

/// Where the form stands.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Form {
    pub asked: Asked,
    /// The last question, to be asked again.
    pub question: String,
    misses: u32,
    /// Optional slots the caller did not want to fill.
    declined: BTreeSet<String>,
    /// "in the evening", said before the hour.
    part_of_day: Option<i64>,
    /// The beginning of a telephone number.
    digits: String,
}

/// What the form wants next.
#[derive(Debug, PartialEq)]
pub(super) enum Move {
    /// Say this and listen.
    Listen(String),
    /// All filled and confirmed.
    Done,
    /// The caller wants out or can't be understood.
    Leave,
}

/// A form being worked on.
pub(super) struct Desk<'a> {
    pub ask: &'a Ask,
    pub form: &'a mut Form,
    pub known: &'a mut Known,
}

/// What an answer did to the slots.
#[derive(Default)]
struct Changes {
    /// Slots that got a value they did not have.
    filled: Vec<String>,
    /// Of these, the ones that had another before; said back at once.
    corrected: Vec<String>,
    /// Something was understood that fills no slot yet.
    progress: bool,
}

impl Desk<'_> {
    /// The form's beginning.
    pub fn enter(&mut self) -> Move {
        *self.form = Form::default();
        for name in &self.ask.forget {
            self.known.slots.remove(name);
        }
        let prompt = self.known.text(&self.ask.prompt);
        if !prompt.is_empty() && self.missing().is_some() {
            self.form.asked = Asked::Open;
            self.form.question.clone_from(&prompt);
            return Move::Listen(prompt);
        }
        self.question(&prompt)
    }

    /// The form in the middle, where nothing is forgotten: the open question.
    pub fn enter_again(&mut self) -> Move {
        let untouched = !self.ask.slots.iter().any(|slot| self.known.slots.contains_key(&slot.name));
        if untouched { self.enter() } else { self.question("") }
    }

    /// A caller's turn.
    pub fn answer(&mut self, text: &str) -> Move {
        let all = words(text);
        let (side, rest) = match side::find(&all, &self.ask.side_answers) {
            Some((answer, rest)) => (Some(self.known.text(&answer.answer)), rest),
            None => (None, all),
        };
        let heard = hear::hear(&rest, &self.scope());
        if heard.iter().any(|mention| matches!(mention.found, Found::Person | Found::Cancel)) {
            return Move::Leave;
        }
        let changes = self.take(&heard, &rest, side.is_some());
        if !changes.filled.is_empty() || changes.progress {
            self.form.misses = 0;
            let before = join(&side.unwrap_or_default(), &self.acknowledgement(&changes));
            return self.question(&before);
        }
        if let Some(side) = side {
            return Move::Listen(join(&side, &self.form.question));
        }
        self.judge(&heard)
    }

    /// The kinds of the slots that may be answered now, and whether the form is at its read-back.
    pub fn open_slots(&self) -> Vec<&Slot> {
        let open = |slot: &&Slot| match &self.form.asked {
            Asked::Open => !self.known.slots.contains_key(&slot.name) && slot.required,
            Asked::Slot(name) => slot.name == *name,
            Asked::ReadBack | Asked::Change => false,
        };
        self.ask.slots.iter().filter(open).collect()
    }

    fn scope(&self) -> Scope<'_> {
        Scope {
            kinds: self.ask.slots.iter().map(|slot| &slot.kind).collect(),
            asked: self.open_slots().first().map(|slot| &slot.kind),
            today: self.known.today,
        }
    }

    /// An answer that changed nothing.
    fn judge(&mut self, heard: &[Mention]) -> Move {
        let said = |wanted: &Found| heard.iter().any(|mention| mention.found == *wanted);
        let verdict = heard.iter().rev().find_map(|mention| match (&mention.found, mention.negated) {
            (Found::Yes, true) | (Found::No, false) => Some(false),
            (Found::Yes, false) => Some(true),
            _ => None,
        });
        if let Some(slot) = self.field_to_change(heard) {
            return self.ask_for(&slot, "");
        }
        match (&self.form.asked, verdict) {
            (Asked::ReadBack, Some(true)) => Move::Done,
            (Asked::ReadBack, None) if said(&Found::Nod) => Move::Done,
            (Asked::ReadBack, Some(false)) => {
                self.form.asked = Asked::Change;
                WHAT_TO_CHANGE.clone_into(&mut self.form.question);
                Move::Listen(WHAT_TO_CHANGE.to_owned())
            }
            (Asked::Change, Some(false)) => self.question(""),
            (Asked::Open, Some(true)) => self.question(""),
            (Asked::Slot(name), Some(false)) if self.is_optional(name) => {
                self.form.declined.insert(name.clone());
                self.question("")
            }
            _ if said(&Found::Again) || said(&Found::Nod) => Move::Listen(self.form.question.clone()),
            _ if has_value(heard) && self.form.asked == Asked::ReadBack => self.question(""),
            _ => self.miss(if said(&Found::NoSuchDay) { NO_SUCH_DAY } else { MISSED }),
        }
    }

    fn miss(&mut self, why: &str) -> Move {
        self.form.misses += 1;
        if self.form.misses >= self.ask.retries.max(1) {
            return Move::Leave;
        }
        Move::Listen(join(why, &self.form.question))
    }

    /// The next question: a missing slot, the read-back, or none.
    fn question(&mut self, before: &str) -> Move {
        if let Some(slot) = self.missing() {
            return self.ask_for(&slot, before);
        }
        let read_back = self.known.text(&self.ask.read_back);
        if read_back.is_empty() {
            return Move::Done;
        }
        self.form.asked = Asked::ReadBack;
        self.form.question.clone_from(&read_back);
        Move::Listen(join(&join(before, &self.contradiction()), &read_back))
    }

    fn ask_for(&mut self, slot: &Slot, before: &str) -> Move {
        let mut prompt = self.known.text(&slot.prompt);
        if slot.kind == SlotKind::Phone && !self.form.digits.is_empty() {
            prompt = format!("{}, and then?", phones::readable(&self.form.digits));
        }
        self.form.asked = Asked::Slot(slot.name.clone());
        self.form.question.clone_from(&prompt);
        Move::Listen(join(before, &prompt))
    }

    fn missing(&self) -> Option<Slot> {
        let open = |slot: &&Slot| {
            let wanted =
                slot.required || (!slot.prompt.is_empty() && !self.form.declined.contains(&slot.name));
            wanted && !self.known.slots.contains_key(&slot.name)
        };
        let mut slots = self.ask.slots.iter().filter(open);
        slots.clone().find(|slot| slot.required).or_else(|| slots.next()).cloned()
    }

    fn is_optional(&self, name: &str) -> bool {
        self.ask.slots.iter().any(|slot| slot.name == name && !slot.required)
    }

    fn field_to_change(&self, heard: &[Mention]) -> Option<Slot> {
        let kind = heard.iter().find_map(|mention| match &mention.found {
            Found::Field(kind) => Some(kind),
            _ => None,
        })?;
        let filled = |slot: &&Slot| slot.kind == *kind && self.known.slots.contains_key(&slot.name);
        self.ask.slots.iter().find(filled).cloned()
    }

    /// "May 23 is a Saturday", when the caller said another weekday.
    fn contradiction(&self) -> String {
        let wrong = self.known.slots.values().find_map(|value| match value {
            Value::Date { date, contradicts: Some(said) } => Some((*date, *said)),
            _ => None,
        });
        wrong.map_or_else(String::new, |(date, said)| {
            let (real, said) = (dates::weekday_name(date.weekday()), dates::weekday_name(said));
            format!("That day is a {real}, not a {said}.")
        })
    }

    fn acknowledgement(&self, changes: &Changes) -> String {
        let read_back_comes = self.missing().is_none() && !self.ask.read_back.is_empty();
        if read_back_comes || changes.corrected.is_empty() {
            return String::new();
        }
        let values = changes.corrected.iter().filter_map(|name| self.known.slots.get(name));
        let values: Vec<String> = values.map(Value::readable).collect();
        format!("Okay, {}.", values.join(", "))
    }
}

/// Filling.
impl Desk<'_> {
    fn take(&mut self, heard: &[Mention], words: &[Word], had_side_question: bool) -> Changes {
        let mut changes = Changes::default();
        let asked = self.open_slots().first().map(|slot| slot.kind.clone());
        let mut taken = BTreeSet::new();
        for mention in heard {
            if let Found::PartOfDay(part) = mention.found {
                self.form.part_of_day = Some(part);
                changes.progress |= self.form.asked != Asked::ReadBack && self.is_missing(&SlotKind::Time);
            }
        }
        for mention in heard {
            let Some(value) = self.value(&mention.found, &mut changes) else { continue };
            if mention.negated {
                self.take_away(&value, &mut changes);
            } else {
                self.put(value, &mut taken, &mut changes);
            }
        }
        let asked = asked.filter(|_| !had_side_question);
        if let Some(value) = asked.and_then(|asked| bare_answer(&asked, heard, words)) {
            self.put(value, &mut taken, &mut changes);
        }
        changes
    }

    /// The value something understood stands for; remembers what is only a part of one.
    fn value(&mut self, found: &Found, changes: &mut Changes) -> Option<Value> {
        match found {
            Found::Value(value) => {
                if matches!(value, Value::Phone(_)) {
                    self.form.digits.clear();
                }
                Some(value.clone())
            }
            Found::Time(said) => said.resolve(self.form.part_of_day).map(Value::Time),
            Found::SomeDigits(more) => {
                self.form.digits.push_str(more);
                changes.progress = true;
                if phones::is_complete(&self.form.digits) {
                    return Some(Value::Phone(std::mem::take(&mut self.form.digits)));
                }
                if self.form.digits.len() > phones::LONGEST {
                    self.form.digits.clear();
                }
                None
            }
            _ => None,
        }
    }

    /// Puts a value where it belongs: the slot asked for, an empty one, or the last of its kind.
    fn put(&mut self, value: Value, taken: &mut BTreeSet<String>, changes: &mut Changes) {
        let asked = self.open_slots().first().map(|slot| slot.name.clone());
        let fitting: Vec<&Slot> = self.ask.slots.iter().filter(|slot| value.suits(&slot.kind)).collect();
        let slot = fitting
            .iter()
            .find(|slot| asked.as_ref() == Some(&slot.name) && !taken.contains(&slot.name))
            .or_else(|| fitting.iter().find(|slot| !self.known.slots.contains_key(&slot.name)))
            .or_else(|| fitting.last());
        let Some(name) = slot.map(|slot| slot.name.clone()) else { return };
        let before = self.known.slots.insert(name.clone(), value.clone());
        taken.insert(name.clone());
        if before.as_ref() != Some(&value) && !changes.filled.contains(&name) {
            changes.filled.push(name.clone());
            if before.is_some() {
                changes.corrected.push(name);
            }
        }
    }

    /// "not Friday": takes Friday out again.
    fn take_away(&mut self, value: &Value, changes: &mut Changes) {
        let name =
            self.known.slots.iter().find(|(_, held)| held.is_negated_by(value)).map(|(name, _)| name.clone());
        let Some(name) = name.filter(|name| self.ask.slots.iter().any(|slot| slot.name == *name)) else {
            return;
        };
        self.known.slots.remove(&name);
        changes.corrected.push(name);
        changes.progress = true;
    }

    fn is_missing(&self, kind: &SlotKind) -> bool {
        self.ask.slots.iter().any(|slot| slot.kind == *kind && !self.known.slots.contains_key(&slot.name))
    }
}

/// What is a value only because it was asked for: yes and no, and a bare name.
fn bare_answer(asked: &SlotKind, heard: &[Mention], words: &[Word]) -> Option<Value> {
    match asked {
        SlotKind::YesNo => heard.iter().rev().find_map(|mention| match mention.found {
            Found::Yes | Found::Nod => Some(Value::YesNo(!mention.negated)),
            Found::No => Some(Value::YesNo(false)),
            _ => None,
        }),
        SlotKind::PersonName => {
            let is_name = |mention: &Mention| matches!(mention.found, Found::Value(Value::Name(_)));
            let is_other =
                |mention: &Mention| !matches!(mention.found, Found::Value(_) | Found::Time(_) | Found::Again);
            let other = heard.iter().any(|mention| is_name(mention) || is_other(mention));
            if other { None } else { bare_name(heard, words).map(Value::Name) }
        }
        _ => None,
    }
}

/// The words that belong to nothing else, if they are one name and nothing more.
fn bare_name(heard: &[Mention], words: &[Word]) -> Option<String> {
    let covered = |at: &usize| heard.iter().any(|mention| (mention.start..mention.end).contains(at));
    let free: Vec<usize> =
        (0..words.len()).filter(|at| !covered(at) && !FILLERS.contains(&words[*at].text.as_str())).collect();
    let (first, last) = (*free.first()?, *free.last()?);
    let is_one_name = last - first + 1 == free.len() && names::length(words, first) >= free.len();
    is_one_name.then(|| names::proper(&words[first..=last]))
}

fn has_value(heard: &[Mention]) -> bool {
    heard.iter().any(|mention| matches!(mention.found, Found::Value(_) | Found::Time(_)))
}

fn join(first: &str, second: &str) -> String {
    [first, second].iter().filter(|text| !text.is_empty()).copied().collect::<Vec<_>>().join(" ")
}
