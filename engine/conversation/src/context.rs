//! The context: what a model is shown of the call so far.
//!
//! Callers' turns as they were decided, replies as far as they were heard (H2), tools that ran with
//! their results whatever was heard (H5). Calls that were made together stand in a row, their results behind them.
//! What is too long is shortened in `shortening`. Enter at [`History::messages`].

use serde_json::{Value, json};

use crate::shortening::shortened;
use crate::{InvocationId, Message, ReplyId, ToolOutcome, ToolRequest, TurnId};

/// What happened, in order.
#[derive(Debug, Clone, Default)]
pub(crate) struct History {
    items: Vec<Item>,
    batch: u32,
    revision: u64,
}

#[derive(Debug, Clone, PartialEq)]
enum Item {
    Caller {
        turn: TurnId,
        text: String,
    },
    /// A part of a reply; the text of a reply that is not over is what it is going to say.
    Agent {
        reply: ReplyId,
        part: usize,
        text: String,
    },
    Tool(ToolItem),
}

#[derive(Debug, Clone, PartialEq)]
struct ToolItem {
    invocation: InvocationId,
    /// Calls that were made together have the same, and stand in a row.
    batch: u32,
    call_id: String,
    tool: String,
    arguments: Value,
    signature: Option<String>,
    result: Option<Value>,
}

impl History {
    /// Grows with every change, so that a context once given can be known for old.
    pub(crate) fn revision(&self) -> u64 {
        self.revision
    }

    pub(crate) fn caller(&mut self, turn: TurnId, text: String) {
        self.revision += 1;
        self.items.push(Item::Caller { turn, text });
    }

    /// E6: the turn is open again; it comes back as one message.
    pub(crate) fn reopen(&mut self, reopened: TurnId) {
        self.revision += 1;
        self.items.retain(|item| !matches!(item, Item::Caller { turn, .. } if *turn == reopened));
    }

    /// Sets a part of a reply; an empty one is taken out.
    pub(crate) fn agent(&mut self, reply: ReplyId, part: usize, text: String) {
        self.revision += 1;
        let same =
            |item: &Item| matches!(item, Item::Agent { reply: r, part: p, .. } if *r == reply && *p == part);
        match (self.items.iter().position(same), text.is_empty()) {
            (Some(at), true) => drop(self.items.remove(at)),
            (Some(at), false) => self.items[at] = Item::Agent { reply, part, text },
            (None, true) => {}
            (None, false) => self.items.push(Item::Agent { reply, part, text }),
        }
    }

    /// Where the parts of this reply begin, by segment.
    pub(crate) fn parts(&self, of: ReplyId) -> Vec<usize> {
        let part = |item: &Item| match item {
            Item::Agent { reply, part, .. } if *reply == of => Some(*part),
            _ => None,
        };
        self.items.iter().filter_map(part).collect()
    }

    /// Calls from now on are made together, until this is said again.
    pub(crate) fn begin_batch(&mut self) {
        self.batch += 1;
    }

    pub(crate) fn tool_called(&mut self, invocation: InvocationId, call: &ToolRequest) {
        self.revision += 1;
        self.items.push(Item::Tool(ToolItem {
            invocation,
            batch: self.batch,
            call_id: if call.call_id.is_empty() { invocation.to_string() } else { call.call_id.clone() },
            tool: call.tool.clone(),
            arguments: call.arguments.clone(),
            signature: call.signature.clone(),
            result: None,
        }));
    }

    pub(crate) fn tool_ended(&mut self, ended: InvocationId, outcome: &ToolOutcome) {
        self.revision += 1;
        for item in &mut self.items {
            if let Item::Tool(call) = item
                && call.invocation == ended
            {
                call.result = Some(shown(outcome));
            }
        }
    }

    /// The context for a model, in at most about so many tokens (0: any). A tool that still runs is shown as running.
    pub(crate) fn messages(&self, system: &str, tokens_max: u32) -> Vec<Message> {
        let mut turns = vec![Vec::new()];
        for together in self.items.chunk_by(together) {
            if let [Item::Caller { .. }] = together {
                turns.push(Vec::new());
            }
            if let Some(turn) = turns.last_mut() {
                turn.extend(together.iter().map(Item::message));
                turn.extend(together.iter().filter_map(Item::result));
            }
        }
        shortened(system, turns, tokens_max)
    }
}

/// Whether they are calls that were made together: their results come behind all of them.
fn together(one: &Item, next: &Item) -> bool {
    matches!((one, next), (Item::Tool(one), Item::Tool(next)) if one.batch == next.batch)
}

impl Item {
    fn message(&self) -> Message {
        match self.clone() {
            Item::Caller { text, .. } => Message::Caller { text },
            Item::Agent { text, .. } => Message::Agent { text },
            Item::Tool(ToolItem { call_id, tool, arguments, signature, .. }) => {
                Message::ToolCall { call_id, tool, arguments, signature }
            }
        }
    }

    fn result(&self) -> Option<Message> {
        let Item::Tool(call) = self else { return None };
        let result = call.result.clone().unwrap_or_else(|| json!({ "status": "still running" }));
        Some(Message::ToolResult { call_id: call.call_id.clone(), tool: call.tool.clone(), result })
    }
}

fn shown(outcome: &ToolOutcome) -> Value {
    match outcome {
        ToolOutcome::Succeeded { result } => result.clone(),
        ToolOutcome::Failed { reason } => json!({ "error": reason }),
        ToolOutcome::TimedOut => json!({ "error": "timed out; the outcome is unknown" }),
    }
}
