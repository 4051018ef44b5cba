//! One call's way through a flow.
//!
//! Walks from node to node until something is to be waited for: an answer, a tool, the end. What an
//! answer means is decided in `ask`. Enter at [`Run::begin`], [`Run::answer`], [`Run::tool_finished`].

use std::sync::Arc;

use super::ask::{Asked, Desk, Form, Move};
use super::known::Known;
use super::slots::Value;
use super::{Ask, Flow, Node, SlotKind, Step, Then, jsgf};
use crate::{EndReason, Expectation, Scene, ToolOutcome};

/// One call's way through a flow. Cheap to clone: a wrongly split turn is taken back by going on
/// with the clone made before it.
///
/// The flow should have passed [`Flow::validate`]. A run of one that has not ends the call where a
/// node is missing or the way never comes to a question.
#[derive(Debug, Clone)]
pub struct Run {
    flow: Arc<Flow>,
    node: String,
    known: Known,
    form: Form,
    /// The question to repeat, and what may be answered.
    listening: Option<(String, Expectation)>,
}

impl Run {
    /// A run that has not begun.
    pub fn new(flow: Arc<Flow>, scene: &Scene) -> Run {
        let node = flow.start.clone();
        Run { flow, node, known: Known::new(scene), form: Form::default(), listening: None }
    }

    /// The first words of the flow.
    pub fn begin(&mut self) -> Step {
        let start = self.flow.start.clone();
        self.walk(start, String::new())
    }

    /// Puts a new run where another one was told to stand, with what it knew. Values that do not fit their slots are
    /// left out, and so asked for again.
    pub(crate) fn stand_at(&mut self, node: String, slots: &serde_json::Value, last: Option<&ToolOutcome>) {
        self.node = node;
        let asks = self.flow.nodes.values().filter_map(|node| match node {
            Node::Ask(ask) => Some(ask),
            _ => None,
        });
        for slot in asks.flat_map(|ask| &ask.slots) {
            let value = slots.get(&slot.name).and_then(|value| Value::from_machine(value, &slot.kind));
            if let Some(value) = value {
                self.known.slots.insert(slot.name.clone(), value);
            }
        }
        last.into_iter().for_each(|outcome| self.known.take_outcome(outcome));
    }

    /// The first step from where the run was put: the open question, or what stands at the node.
    pub(crate) fn go_on(&mut self) -> Step {
        let flow = Arc::clone(&self.flow);
        match flow.nodes.get(&self.node) {
            Some(Node::Ask(ask)) => {
                let verdict = self.desk(ask).enter_again();
                self.follow(ask, verdict, String::new())
            }
            Some(_) => self.walk(self.node.clone(), String::new()),
            None => self.begin(),
        }
    }

    /// The settled words of a caller's turn, spoken or typed. While a tool runs, or after the end,
    /// words change nothing: the step says nothing and listens (or ends) as before.
    pub fn answer(&mut self, text: &str) -> Step {
        let flow = Arc::clone(&self.flow);
        match flow.nodes.get(&self.node) {
            Some(Node::Ask(ask)) => {
                let verdict = self.desk(ask).answer(text);
                self.follow(ask, verdict, String::new())
            }
            _ => self.repeat(),
        }
    }

    /// The outcome of the tool that the last step asked for.
    pub fn tool_finished(&mut self, outcome: &ToolOutcome) -> Step {
        let flow = Arc::clone(&self.flow);
        let Some(Node::Tool { next, on_failure, .. }) = flow.nodes.get(&self.node) else {
            return self.repeat();
        };
        self.known.take_outcome(outcome);
        let succeeded = matches!(outcome, ToolOutcome::Succeeded { .. });
        self.walk(if succeeded { next } else { on_failure }.clone(), String::new())
    }

    /// The last question again. Nothing to say where none was asked.
    pub fn repeat(&self) -> Step {
        match (&self.listening, self.flow.nodes.get(&self.node)) {
            (Some((question, expectation)), _) => {
                Step { say: question.clone(), then: Then::Listen(expectation.clone()) }
            }
            (None, Some(Node::End { text, reason })) => {
                Step { say: self.known.text(text), then: Then::End(*reason) }
            }
            (None, _) => Step { say: String::new(), then: Then::Listen(Expectation::default()) },
        }
    }

    /// The node the run is at.
    pub fn node(&self) -> &str {
        &self.node
    }

    /// The filled slots, a JSON object in machine form: `{"party": 4, "date": "2026-05-22"}`.
    pub fn slots(&self) -> serde_json::Value {
        self.known.slots_json()
    }

    /// Goes on from `node` until something is to be waited for; `said` is what was said on the way.
    fn walk(&mut self, mut node: String, mut said: String) -> Step {
        let flow = Arc::clone(&self.flow);
        self.listening = None;
        // A way that is longer than twice the nodes goes in a circle.
        for _ in 0..=flow.nodes.len() * 2 {
            self.node.clone_from(&node);
            match flow.nodes.get(&node) {
                Some(Node::Say { text, next }) => {
                    append(&mut said, &self.known.text(text));
                    node.clone_from(next);
                }
                Some(Node::Ask(ask)) => match self.desk(ask).enter() {
                    Move::Done => node.clone_from(&ask.next),
                    verdict => return self.follow(ask, verdict, said),
                },
                Some(Node::Tool { tool, arguments, say, .. }) => {
                    append(&mut said, &self.known.text(say.as_deref().unwrap_or_default()));
                    let arguments = self.known.arguments(arguments);
                    return Step { say: said, then: Then::RunTool { tool: tool.clone(), arguments } };
                }
                Some(Node::End { text, reason }) => {
                    append(&mut said, &self.known.text(text));
                    return Step { say: said, then: Then::End(*reason) };
                }
                None => break,
            }
        }
        Step { say: said, then: Then::End(EndReason::AgentEnded) }
    }

    fn follow(&mut self, ask: &Ask, verdict: Move, mut said: String) -> Step {
        match verdict {
            Move::Listen(text) => {
                append(&mut said, &text);
                let expectation = self.expectation(ask);
                self.listening = Some((self.form.question.clone(), expectation.clone()));
                Step { say: said, then: Then::Listen(expectation) }
            }
            Move::Done => self.walk(ask.next.clone(), said),
            Move::Leave => self.walk(ask.on_failure.clone(), said),
        }
    }

    fn expectation(&mut self, ask: &Ask) -> Expectation {
        let jsgf = Some(jsgf::grammar(ask, &self.form, &self.known));
        let slots: Vec<SlotKind> = match self.form.asked {
            Asked::ReadBack | Asked::Change => vec![SlotKind::YesNo],
            _ => self.desk(ask).open_slots().into_iter().map(|slot| slot.kind.clone()).collect(),
        };
        let options = slots.first().map_or_else(Vec::new, |kind| match kind {
            SlotKind::Option { options } => options.clone(),
            _ => Vec::new(),
        });
        Expectation { slots, options, jsgf }
    }

    fn desk<'a>(&'a mut self, ask: &'a Ask) -> Desk<'a> {
        Desk { ask, form: &mut self.form, known: &mut self.known }
    }
}

fn append(said: &mut String, more: &str) {
    if !said.is_empty() && !more.is_empty() {
        said.push(' ');
    }
    said.push_str(more);
}
