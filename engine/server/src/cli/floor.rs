//! Whether the agent is done: no reply under way and no tool running.
//!
//! A client that speaks by itself must not take a pause between two sentences, or the time a booking takes, for
//! the end of the agent's turn. Only the turn events tell; so sessions here ask for details.

use std::collections::BTreeSet;

use parlance_proto::v1::voice_session_response::Response;
use parlance_proto::v1::{ToolState, TurnEventType};

/// What the agent has under way, from what the engine has sent so far.
#[derive(Debug, Default)]
pub struct Floor {
    replies: BTreeSet<u32>,
    tools: BTreeSet<u32>,
    ended_replies: u32,
}

impl Floor {
    /// Takes note of a message.
    pub fn note(&mut self, response: &Response) {
        match response {
            Response::Turn(turn) if turn.r#type() == TurnEventType::ReplyStarted => {
                self.replies.insert(turn.reply_id);
            }
            Response::Turn(turn) if turn.r#type() == TurnEventType::ReplyEnded => {
                self.replies.remove(&turn.reply_id);
                self.ended_replies += 1;
            }
            Response::Tool(tool) if tool.state() == ToolState::Running => {
                self.tools.insert(tool.invocation_id);
            }
            Response::Tool(tool) => {
                self.tools.remove(&tool.invocation_id);
            }
            _ => {}
        }
    }

    /// Nothing is under way. Says nothing about audio that is still being played.
    #[must_use]
    pub fn is_free(&self) -> bool {
        self.replies.is_empty() && self.tools.is_empty()
    }

    /// How many replies have ended so far.
    #[must_use]
    pub const fn ended_replies(&self) -> u32 {
        self.ended_replies
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use parlance_proto::v1::{ToolEvent, TurnEvent};

    fn turn(kind: TurnEventType, reply_id: u32) -> Response {
        Response::Turn(TurnEvent { r#type: kind.into(), reply_id, ..Default::default() })
    }

    fn tool(state: ToolState) -> Response {
        Response::Tool(ToolEvent { invocation_id: 1, state: state.into(), ..Default::default() })
    }

    #[test]
    fn a_running_tool_keeps_the_floor_after_the_reply_has_ended() {
        let mut floor = Floor::default();
        floor.note(&turn(TurnEventType::ReplyStarted, 1));
        floor.note(&tool(ToolState::Running));
        floor.note(&turn(TurnEventType::ReplyEnded, 1));
        assert!(!floor.is_free());
        floor.note(&tool(ToolState::Succeeded));
        assert!(floor.is_free());
        assert_eq!(floor.ended_replies(), 1);
    }
}
