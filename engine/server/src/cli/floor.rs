//! Whether the agent is done: no reply under way, no tool running, and what it was to say said.
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
    /// A reply has ended since this side last spoke, or none is to be expected.
    answered: bool,
}

impl Floor {
    /// The floor of a new call; `listens` where the agent waits for the caller's words.
    #[must_use]
    pub fn new(listens: bool) -> Self {
        Self { answered: listens, ..Self::default() }
    }

    /// Takes note of a message.
    pub fn note(&mut self, response: &Response) {
        match response {
            Response::Turn(turn) if turn.r#type() == TurnEventType::ReplyStarted => {
                self.replies.insert(turn.reply_id);
            }
            Response::Turn(turn) if turn.r#type() == TurnEventType::ReplyEnded => {
                self.replies.remove(&turn.reply_id);
                self.answered = true;
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

    /// This side said something that wants an answer.
    pub fn spoke(&mut self) {
        self.answered = false;
    }

    /// Nothing is under way, and the agent has answered; at the beginning: has greeted, if it does.
    #[must_use]
    pub fn is_given(&self) -> bool {
        self.answered && self.is_free()
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
        assert!(floor.is_given());
    }

    #[test]
    fn a_greeting_is_waited_for_only_from_an_agent_that_greets_and_an_answer_from_all() {
        assert!(!Floor::new(false).is_given());
        let mut floor = Floor::new(true);
        assert!(floor.is_given());
        floor.spoke();
        assert!(floor.is_free() && !floor.is_given());
        floor.note(&turn(TurnEventType::ReplyStarted, 1));
        floor.note(&turn(TurnEventType::ReplyEnded, 1));
        assert!(floor.is_given());
    }

    #[test]
    fn an_agent_that_was_to_listen_and_speaks_is_let_finish() {
        let mut floor = Floor::new(true);
        floor.note(&turn(TurnEventType::ReplyStarted, 1));
        assert!(!floor.is_given());
    }
}
