//! Slot values: typed, and written twice: for machines (tool arguments) and for people (prompts).
//!
//! The readable form is text ("Friday, May 22", "7:00 PM"); `normalize_for_speech` makes words of it.

use jiff::civil::{Date, Time, Weekday};
use serde_json::json;

use super::{SlotKind, dates, phones, times};

/// The value of a slot.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    YesNo(bool),
    Party(u8),
    Date {
        date: Date,
        /// The weekday the caller said, if the date is none.
        contradicts: Option<Weekday>,
    },
    Time(Time),
    Name(String),
    Phone(String),
    Option(String),
}

impl Value {
    /// For tool arguments: `4`, `"2026-05-23"`, `"19:00"`, `"5550198"`, `"John Smith"`, `true`.
    pub fn machine(&self) -> serde_json::Value {
        match self {
            Self::YesNo(yes) => json!(yes),
            Self::Party(people) => json!(people),
            Self::Date { date, .. } => json!(date.to_string()),
            Self::Time(time) => json!(format!("{:02}:{:02}", time.hour(), time.minute())),
            Self::Name(text) | Self::Phone(text) | Self::Option(text) => json!(text),
        }
    }

    /// The other way round, for a slot of that kind.
    pub fn from_machine(value: &serde_json::Value, kind: &SlotKind) -> Option<Self> {
        let text = || value.as_str().map(str::to_owned);
        let value = match kind {
            SlotKind::YesNo => Self::YesNo(value.as_bool()?),
            SlotKind::PartySize => Self::Party(value.as_u64()?.try_into().ok()?),
            SlotKind::Date => Self::Date { date: value.as_str()?.parse().ok()?, contradicts: None },
            SlotKind::Time => Self::Time(value.as_str()?.parse().ok()?),
            SlotKind::PersonName => Self::Name(text()?),
            SlotKind::Phone => Self::Phone(text()?),
            SlotKind::Option { .. } => Self::Option(text()?),
        };
        value.suits(kind).then_some(value)
    }

    /// For prompts: "4", "Friday, May 22", "7:00 PM", "555-0198".
    pub fn readable(&self) -> String {
        match self {
            Self::YesNo(yes) => if *yes { "yes" } else { "no" }.to_owned(),
            Self::Party(people) => people.to_string(),
            Self::Date { date, .. } => dates::readable(*date),
            Self::Time(time) => times::readable(*time),
            Self::Phone(digits) => phones::readable(digits),
            Self::Name(text) | Self::Option(text) => text.clone(),
        }
    }

    /// Whether it can be the value of a slot of that kind.
    pub fn suits(&self, kind: &SlotKind) -> bool {
        match (self, kind) {
            (Self::YesNo(_), SlotKind::YesNo)
            | (Self::Party(_), SlotKind::PartySize)
            | (Self::Date { .. }, SlotKind::Date)
            | (Self::Time(_), SlotKind::Time)
            | (Self::Name(_), SlotKind::PersonName)
            | (Self::Phone(_), SlotKind::Phone) => true,
            (Self::Option(text), SlotKind::Option { options }) => options.contains(text),
            _ => false,
        }
    }

    /// Whether "not X" with this X means that value: "not Friday" is said of any Friday.
    pub fn is_negated_by(&self, not: &Self) -> bool {
        match (self, not) {
            (Self::Date { date: this, .. }, Self::Date { date: not, .. }) => {
                this == not || this.weekday() == not.weekday()
            }
            _ => self == not,
        }
    }
}
