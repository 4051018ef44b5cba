//! The context: what a model is shown of the call so far.
//!
//! Callers' turns as they were decided, replies as far as they were heard (H2), tools that ran with
//! their results whatever was heard (H5). Enter at [`History::messages`].

use serde_json::{Value, json};

use crate::{InvocationId, Message, ReplyId, ToolOutcome, TurnId};

/// What happened, in order.
#[derive(Debug, Clone, Default)]
pub(crate) struct History {
    items: Vec<Item>,
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
    Tool {
        invocation: InvocationId,
        call_id: String,
        tool: String,
        arguments: Value,
        result: Option<Value>,
    },
}

impl History {
    pub(crate) fn caller(&mut self, turn: TurnId, text: String) {
        self.items.push(Item::Caller { turn, text });
    }

    /// E6: the turn is open again; it comes back as one message.
    pub(crate) fn reopen(&mut self, reopened: TurnId) {
        self.items.retain(|item| !matches!(item, Item::Caller { turn, .. } if *turn == reopened));
    }

    /// Sets a part of a reply; an empty one is taken out.
    pub(crate) fn agent(&mut self, reply: ReplyId, part: usize, text: String) {
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

    pub(crate) fn tool_called(
        &mut self,
        invocation: InvocationId,
        call_id: &str,
        tool: &str,
        arguments: &Value,
    ) {
        self.items.push(Item::Tool {
            invocation,
            call_id: call_id.to_owned(),
            tool: tool.to_owned(),
            arguments: arguments.clone(),
            result: None,
        });
    }

    pub(crate) fn tool_ended(&mut self, ended: InvocationId, outcome: &ToolOutcome) {
        for item in &mut self.items {
            if let Item::Tool { invocation, result, .. } = item
                && *invocation == ended
            {
                *result = Some(shown(outcome));
            }
        }
    }

    /// The context for a model. A tool that still runs is shown as running.
    pub(crate) fn messages(&self, system: &str) -> Vec<Message> {
        let mut messages = vec![Message::System { text: system.to_owned() }];
        for item in &self.items {
            match item.clone() {
                Item::Caller { text, .. } => messages.push(Message::Caller { text }),
                Item::Agent { text, .. } => messages.push(Message::Agent { text }),
                Item::Tool { call_id, tool, arguments, result, .. } => {
                    let result = result.unwrap_or_else(|| json!({ "status": "still running" }));
                    messages.push(Message::ToolCall {
                        call_id: call_id.clone(),
                        tool: tool.clone(),
                        arguments,
                    });
                    messages.push(Message::ToolResult { call_id, tool, result });
                }
            }
        }
        messages
    }
}

fn shown(outcome: &ToolOutcome) -> Value {
    match outcome {
        ToolOutcome::Succeeded { result } => result.clone(),
        ToolOutcome::Failed { reason } => json!({ "error": reason }),
        ToolOutcome::TimedOut => json!({ "error": "timed out; the outcome is unknown" }),
    }
}
