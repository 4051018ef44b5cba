//! The graph's own faults, found before a call meets them.
//!
//! Looks at the written flow only; whether a tool exists or a word can be recognised is checked where
//! tools and dictionaries are known. Enter at [`Flow::validate`].

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::{Ask, Flow, Node, SlotKind, template};

/// A fault of a flow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The node; empty if it is the flow itself.
    pub node: String,
    /// The field of the node, as it is written: `next`, `slots[2].prompt`.
    pub field: String,
    /// What is wrong.
    pub fault: Fault,
}

/// What is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// There is no node of that name.
    UnknownNode(String),
    /// No way leads to the node.
    Unreachable,
    /// The way goes in a circle without ever waiting for the caller.
    Endless,
    /// Nothing would be said.
    Empty,
    /// `{{name}}` is no slot, no variable of the call, not `reason` and not `result.…`.
    UnknownVariable(String),
    /// `{{` without `}}`.
    OpenBrace,
    /// There is no slot of that name in the form, or it is there twice.
    BadSlot(String),
    /// A list has nothing in it.
    NothingListed,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place =
            if self.node.is_empty() { "the flow".to_owned() } else { format!("node `{}`", self.node) };
        write!(f, "{place}, field `{}`: {}", self.field, self.fault)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::UnknownNode(name) => write!(f, "there is no node `{name}`"),
            Fault::Unreachable => write!(f, "no way leads here"),
            Fault::Endless => write!(f, "goes in a circle without waiting for the caller"),
            Fault::Empty => write!(f, "is empty"),
            Fault::UnknownVariable(name) => write!(f, "`{{{{{name}}}}}` is not known"),
            Fault::OpenBrace => write!(f, "`{{{{` is not closed"),
            Fault::BadSlot(name) => write!(f, "slot `{name}` is unknown or there twice"),
            Fault::NothingListed => write!(f, "lists nothing"),
        }
    }
}

impl Flow {
    /// Checks the graph. Variables that calls bring along are not known here: see [`Flow::validate_with`].
    ///
    /// # Errors
    /// Every fault found, in the order of the nodes.
    pub fn validate(&self) -> Result<(), Vec<Problem>> {
        self.validate_with(&[])
    }

    /// Checks the graph, knowing the names of the variables that calls bring along.
    ///
    /// # Errors
    /// Every fault found, in the order of the nodes.
    pub fn validate_with(&self, variables: &[&str]) -> Result<(), Vec<Problem>> {
        let mut check = Check { flow: self, known: self.slot_names(), problems: Vec::new() };
        check.known.extend(variables);
        if !self.nodes.contains_key(&self.start) {
            check.fault("", "start", Fault::UnknownNode(self.start.clone()));
        }
        for (name, node) in &self.nodes {
            check.node(name, node);
        }
        check.unreachable();
        check.circles();
        if check.problems.is_empty() { Ok(()) } else { Err(check.problems) }
    }

    fn slot_names(&self) -> BTreeSet<&str> {
        let asks = self.nodes.values().filter_map(|node| match node {
            Node::Ask(ask) => Some(ask),
            _ => None,
        });
        asks.flat_map(|ask| ask.slots.iter().map(|slot| slot.name.as_str())).collect()
    }
}

impl Node {
    /// Where it may lead, with the field that says so.
    fn exits(&self) -> Vec<(&'static str, &str)> {
        match self {
            Self::Say { next, .. } => vec![("next", next)],
            Self::Ask(Ask { next, on_failure, .. }) | Self::Tool { next, on_failure, .. } => {
                vec![("next", next), ("on_failure", on_failure)]
            }
            Self::End { .. } => Vec::new(),
        }
    }

    /// Where it may lead without waiting for anybody.
    fn passes_to(&self) -> Option<&str> {
        match self {
            Self::Say { next, .. } => Some(next),
            // Filled already and nothing to read back: it is passed through.
            Self::Ask(ask) if ask.read_back.is_empty() && ask.forget.is_empty() => Some(&ask.next),
            _ => None,
        }
    }
}

struct Check<'a> {
    flow: &'a Flow,
    known: BTreeSet<&'a str>,
    problems: Vec<Problem>,
}

impl Check<'_> {
    fn fault(&mut self, node: &str, field: &str, fault: Fault) {
        self.problems.push(Problem { node: node.to_owned(), field: field.to_owned(), fault });
    }

    fn node(&mut self, name: &str, node: &Node) {
        for (field, next) in node.exits() {
            if !self.flow.nodes.contains_key(next) {
                self.fault(name, field, Fault::UnknownNode(next.to_owned()));
            }
        }
        match node {
            Node::Say { text, .. } => self.text(name, "text", text, true),
            // Who hangs up need not say anything.
            Node::End { text, .. } => self.text(name, "text", text, false),
            Node::Ask(ask) => self.ask(name, ask),
            Node::Tool { tool, arguments, say, .. } => {
                if tool.is_empty() {
                    self.fault(name, "tool", Fault::Empty);
                }
                self.text(name, "say", say.as_deref().unwrap_or_default(), false);
                for (argument, text) in arguments {
                    self.text(name, &format!("arguments.{argument}"), text, true);
                }
            }
        }
    }

    fn ask(&mut self, name: &str, ask: &Ask) {
        self.text(name, "prompt", &ask.prompt, false);
        self.text(name, "read_back", &ask.read_back, false);
        if ask.slots.is_empty() {
            self.fault(name, "slots", Fault::NothingListed);
        }
        let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
        for (at, slot) in ask.slots.iter().enumerate() {
            *seen.entry(&slot.name).or_default() += 1;
            self.text(name, &format!("slots[{at}].prompt"), &slot.prompt, slot.required);
            if slot.name.is_empty() || seen[slot.name.as_str()] > 1 {
                self.fault(name, &format!("slots[{at}].name"), Fault::BadSlot(slot.name.clone()));
            }
            if matches!(&slot.kind, SlotKind::Option { options } if options.is_empty()) {
                self.fault(name, &format!("slots[{at}].kind.options"), Fault::NothingListed);
            }
        }
        for (at, slot) in ask.forget.iter().enumerate().filter(|(_, slot)| !seen.contains_key(slot.as_str()))
        {
            self.fault(name, &format!("forget[{at}]"), Fault::BadSlot(slot.clone()));
        }
        for (at, side) in ask.side_answers.iter().enumerate() {
            self.text(name, &format!("side_answers[{at}].answer"), &side.answer, true);
            if side.phrases.is_empty() {
                self.fault(name, &format!("side_answers[{at}].phrases"), Fault::NothingListed);
            }
        }
    }

    fn text(&mut self, node: &str, field: &str, text: &str, wanted: bool) {
        if wanted && text.trim().is_empty() {
            self.fault(node, field, Fault::Empty);
        }
        for variable in template::variables(text) {
            let of_tool = variable == "reason" || variable.starts_with("result.");
            if !of_tool && !self.known.contains(variable) {
                self.fault(node, field, Fault::UnknownVariable(variable.to_owned()));
            }
        }
        if text.matches("{{").count() != text.matches("}}").count() {
            self.fault(node, field, Fault::OpenBrace);
        }
    }

    fn unreachable(&mut self) {
        let mut reached = BTreeSet::new();
        let mut to_go = vec![self.flow.start.as_str()];
        while let Some(name) = to_go.pop() {
            let Some(node) = self.flow.nodes.get(name).filter(|_| reached.insert(name)) else { continue };
            to_go.extend(node.exits().iter().map(|(_, next)| *next));
        }
        for name in self.flow.nodes.keys().filter(|name| !reached.contains(name.as_str())) {
            self.fault(name, "", Fault::Unreachable);
        }
    }

    fn circles(&mut self) {
        for (name, node) in &self.flow.nodes {
            let mut at = node.passes_to();
            for _ in 0..self.flow.nodes.len() {
                if at == Some(name) {
                    self.fault(name, "next", Fault::Endless);
                    break;
                }
                at = at.and_then(|next| self.flow.nodes.get(next)).and_then(Node::passes_to);
            }
        }
    }
}
