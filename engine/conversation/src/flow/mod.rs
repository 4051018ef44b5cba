//! Flows: a small graph that answers a caller without a model.
//!
//! [`Flow`] is the graph as it is written; [`Run`] is one call's way through it. The turn machine
//! gives a run the caller's settled words and gets a [`Step`]: what to say, and what to do after.
//! A run is cheap to clone, so that a wrongly split turn can be taken back (E6).
//!
//! Inside: `run` walks the graph, `ask` fills a form, `hear` finds values in words by the phrase
//! `table`, `jsgf` prints the same table for the recogniser, `judge` tells a complete answer (E1).
//! [`segments`] and [`normalize_for_speech`] make what is said sayable (A2).

mod ask;
mod dates;
mod graph;
mod hear;
mod jsgf;
mod judge;
mod known;
mod markup;
mod names;
mod normalize;
mod numbers;
mod party;
mod phones;
mod phrase;
mod run;
pub mod segments;
mod side;
mod slots;
mod table;
mod template;
mod times;
mod words;

use std::collections::BTreeMap;

pub use graph::{Fault, Problem};
pub use judge::Completeness;
pub use normalize::normalize_for_speech;
pub use run::Run;
use serde::{Deserialize, Serialize};
pub(crate) use template::fill;

use crate::EndReason;

/// A flow as it is written.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Flow {
    /// Where it begins.
    pub start: String,
    /// The nodes by id.
    pub nodes: BTreeMap<String, Node>,
}

/// One node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Node {
    /// Say something and go on at once.
    Say {
        /// Template: `{{variable}}` and `{{slot}}` are filled in.
        text: String,
        /// The next node.
        next: String,
    },
    /// Ask until the required slots are filled, read them back, take corrections.
    Ask(Ask),
    /// Run a tool.
    Tool {
        /// Tool name.
        tool: String,
        /// Argument name to template.
        arguments: BTreeMap<String, String>,
        /// Said before it starts, if anything.
        say: Option<String>,
        /// Next when it succeeded; its result is `{{result.field}}`.
        next: String,
        /// Next when it failed; `{{reason}}` is what it said.
        on_failure: String,
    },
    /// Say goodbye and end the call (A6).
    End {
        /// Last words; a template.
        text: String,
        /// The call's end reason; the agent ended it.
        reason: EndReason,
    },
}

/// A form: slots to fill, in one go or one by one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Ask {
    /// Said on entry; templates. Empty: straight to the first missing slot's prompt.
    #[serde(default)]
    pub prompt: String,
    /// What is wanted, in the order it is asked for.
    pub slots: Vec<Slot>,
    /// Read-back of what was understood; a yes goes on, a correction is taken, a no asks what to change.
    /// Empty: no read-back.
    #[serde(default)]
    pub read_back: String,
    /// Next when all is filled (and confirmed).
    pub next: String,
    /// Answers to questions outside the form: keyword list to text (said, then the question again).
    #[serde(default)]
    pub side_answers: Vec<SideAnswer>,
    /// Times an answer may be misunderstood in a row before `on_failure`. Default 3; at least 1.
    #[serde(default = "three")]
    pub retries: u32,
    /// Next when the caller can't be understood or asks for a person or to cancel.
    pub on_failure: String,
    /// Slots emptied on entry, so that they are asked for anew (a refused time). Default none.
    #[serde(default)]
    pub forget: Vec<String>,
}

/// A question callers ask in between ("what time do you close on Sunday").
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SideAnswer {
    /// What they say, as sentences. Met when three quarters of a sentence's telling words come in its
    /// order; printed word for word into the recogniser's grammar.
    pub phrases: Vec<String>,
    /// What is answered; a template.
    pub answer: String,
}

/// One value wanted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Slot {
    /// Its name in templates and tool arguments.
    pub name: String,
    /// What sort of value.
    pub kind: SlotKind,
    /// Asked when it is missing; a template.
    #[serde(default)]
    pub prompt: String,
    /// Whether the form is incomplete without it. Default true. One that is not required is asked for
    /// last, if it has a prompt, and a "no" leaves it empty.
    #[serde(default = "yes")]
    pub required: bool,
}

fn three() -> u32 {
    3
}

fn yes() -> bool {
    true
}

/// What sort of value a slot holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "slot", rename_all = "snake_case")]
pub enum SlotKind {
    /// Yes or no.
    YesNo,
    /// A number of people, 1 to 99.
    PartySize,
    /// A calendar date.
    Date,
    /// A time of day.
    Time,
    /// A person's name.
    PersonName,
    /// A telephone number.
    Phone,
    /// One of a list.
    Option {
        /// The list.
        options: Vec<String>,
    },
}

/// What a flow wants done after the caller's words, a tool's result or the beginning.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// What to say; may be empty.
    pub say: String,
    /// What to do after.
    pub then: Then,
}

/// What comes after the words of a step.
#[derive(Debug, Clone, PartialEq)]
pub enum Then {
    /// Listen for an answer.
    Listen(crate::Expectation),
    /// Run a tool, then come back with its outcome.
    RunTool {
        /// Tool name.
        tool: String,
        /// Arguments, a JSON object.
        arguments: serde_json::Value,
    },
    /// Let the words be heard, then end the call (A6).
    End(EndReason),
}
