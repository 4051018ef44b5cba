//! Resuming a call: what it had come to, folded from its journal's decisions, and a conversation that goes on from
//! there ("Resume after a lost engine").
//!
//! Never re-runs inputs: a newer program may decide otherwise. What was said counts as far as it was heard, the flow
//! stands where it was told to stand, tools that ended have ended, and one that was begun and has no end is shown as
//! "outcome unknown" and not run again. Enter at [`Past::learn`], then [`Conversation::resumed`].

use std::collections::BTreeMap;

use serde_json::Value;

use crate::conversation::Ids;
use crate::flow::Node;
use crate::guide::FirstStep;
use crate::{
    Conversation, Entry, Event, InvocationId, Policy, ReplyId, Responder, Speaker, ToolOutcome, ToolRequest,
    TurnId,
};

/// What a model is told when a call goes on after an interruption that was ours.
pub(crate) const RESUMED: &str =
    "The line was interrupted for a moment. Say so in a few words and go on where the call was.";

/// What a call had come to.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Past {
    /// In the order of their first telling.
    items: Vec<Item>,
    said: BTreeMap<u32, Entry>,
    runs: BTreeMap<InvocationId, PastRun>,
    flow: Option<(String, Value)>,
    /// The run that was asked for at the node where the flow stands.
    at_node: Option<InvocationId>,
    last_turn: u32,
    last_reply: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Item {
    Said(u32),
    Run(InvocationId),
}

/// A run of a tool, by the journal or by its row.
#[derive(Debug, Clone, PartialEq)]
pub struct PastRun {
    /// The run.
    pub invocation: InvocationId,
    /// Tool name.
    pub tool: String,
    /// Arguments, a JSON object.
    pub arguments: Value,
    /// How it ended; none if nobody knows.
    pub outcome: Option<ToolOutcome>,
}

impl PastRun {
    /// What is shown of it: without an end the outcome is unknown.
    fn shown(&self) -> ToolOutcome {
        self.outcome.clone().unwrap_or(ToolOutcome::TimedOut)
    }
}

impl Past {
    /// Takes a decision of the journal, in order.
    pub fn learn(&mut self, told: &Event) {
        match told {
            Event::TurnStarted { turn, .. } | Event::TurnEnded { turn, .. } => self.turn(*turn),
            Event::ReplyStarted { reply, .. } | Event::SpeculationStarted { reply, .. } => self.reply(*reply),
            Event::Said(entry) => {
                if self.said.insert(entry.sequence, entry.clone()).is_none() {
                    self.items.push(Item::Said(entry.sequence));
                }
                entry.turn.into_iter().for_each(|turn| self.turn(turn));
                entry.reply.into_iter().for_each(|reply| self.reply(reply));
            }
            Event::FlowMoved { node, slots } => {
                self.flow = Some((node.clone(), slots.clone()));
                self.at_node = None;
            }
            Event::ToolStarted { invocation, tool, arguments } => {
                let (tool, arguments) = (tool.clone(), arguments.clone());
                self.began(PastRun { invocation: *invocation, tool, arguments, outcome: None });
            }
            Event::ToolEnded { invocation, outcome, .. } => {
                if let Some(run) = self.runs.get_mut(invocation) {
                    run.outcome = Some(outcome.clone());
                }
            }
            _ => {}
        }
    }

    /// Takes the row of a run, after all of the journal: rows are written at once, the journal a little later. A row
    /// whose run the journal does not know was begun after its last entry.
    pub fn ran(&mut self, row: PastRun) {
        match self.runs.get_mut(&row.invocation) {
            Some(run) => run.outcome = row.outcome.or(run.outcome.take()),
            None => self.began(row),
        }
    }

    /// Whether anything was decided at all.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    fn began(&mut self, run: PastRun) {
        self.items.push(Item::Run(run.invocation));
        self.at_node = Some(run.invocation);
        self.runs.insert(run.invocation, run);
    }

    fn turn(&mut self, turn: TurnId) {
        self.last_turn = self.last_turn.max(turn.0);
    }

    fn reply(&mut self, reply: ReplyId) {
        self.last_reply = self.last_reply.max(reply.0);
    }

    fn ids(&self) -> Ids {
        let invocation = self.runs.keys().next_back().map_or(0, |run| run.0);
        let sequence = self.said.keys().next_back().copied().unwrap_or(0);
        Ids::after(self.last_turn, self.last_reply, invocation, sequence)
    }

    /// The node of a run that the flow was not told to stand at: it was begun after the journal's last entry.
    fn node_of(&self, nodes: &BTreeMap<String, Node>, run: &PastRun) -> Option<String> {
        let runs = |node: &Node| matches!(node, Node::Tool { tool, .. } if *tool == run.tool);
        let told = self.flow.as_ref().map(|(node, _)| node);
        if let Some(told) = told.filter(|told| nodes.get(*told).is_some_and(runs)) {
            return Some(told.clone());
        }
        let mut fitting = nodes.iter().filter(|(_, node)| runs(node)).map(|(id, _)| id.clone());
        fitting.next().filter(|_| fitting.next().is_none())
    }
}

impl Conversation {
    /// A call that goes on in another process. It is handed `CallStarted` and `FarEndReady` like a new one; the
    /// times of its facts go on from where the call was. A flow repeats its open question (or goes on from the end of
    /// the tool it waited for), a model is asked to go on; nobody is greeted again. Of an empty past comes a new call.
    pub fn resumed(mut policy: Policy, past: &Past) -> Self {
        if past.is_empty() {
            return Self::new(policy);
        }
        policy.call_handling.begin_delay = std::time::Duration::ZERO;
        let mut conversation = Self::new(policy);
        conversation.resumed = true;
        conversation.ids = past.ids();
        conversation.remember(past);
        conversation.resume_flow(past);
        conversation
    }

    fn remember(&mut self, past: &Past) {
        for item in &past.items {
            match item {
                Item::Said(sequence) => {
                    let Some(entry) = past.said.get(sequence) else { continue };
                    match (entry.speaker, entry.turn, entry.reply) {
                        (Speaker::Caller, Some(turn), _) => {
                            self.history.reopen(turn);
                            self.history.caller(turn, entry.text.clone());
                        }
                        (Speaker::Agent, _, Some(reply)) => self.history.agent(reply, 0, heard(entry)),
                        _ => {}
                    }
                }
                Item::Run(id) => {
                    let Some(run) = past.runs.get(id) else { continue };
                    self.history.begin_batch();
                    self.history.tool_called(run.invocation, &ToolRequest::of(&run.tool, &run.arguments));
                    self.history.tool_ended(run.invocation, &run.shown());
                }
            }
        }
    }

    fn resume_flow(&mut self, past: &Past) {
        let (Responder::Flow { flow }, Some((node, slots))) = (&self.policy.responder, &past.flow) else {
            return;
        };
        let pending = past.at_node.and_then(|id| past.runs.get(&id));
        let stands = pending.and_then(|run| Some((past.node_of(&flow.nodes, run)?, run.shown())));
        let last = past.runs.values().next_back().map(PastRun::shown);
        if let Some(guide) = &mut self.guide {
            let (node, first) = match stands {
                Some((node, outcome)) => (node, FirstStep::ToolFinished(outcome)),
                None => (node.clone(), FirstStep::GoOn),
            };
            guide.run.stand_at(node, slots, last.as_ref());
            guide.first = first;
        }
    }
}

/// The words of an entry as they stand in the context (H2).
fn heard(entry: &Entry) -> String {
    let cut = entry.interrupted_at.is_some() || !entry.unheard.is_empty();
    let mark = if cut && !entry.text.is_empty() { "…" } else { "" };
    format!("{}{mark}", entry.text)
}
