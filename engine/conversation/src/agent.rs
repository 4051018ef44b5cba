//! The agent: listening, thinking, speaking or held, and the one reply it is on.
//!
//! An answer bearing another reply's id is old and is dropped: that one comparison replaces flags
//! and locks. Decides nothing else. Enter at [`Agent`].

use crate::reply::Reply;
use crate::{AgentState, CallTime, ReplyId};

/// What the agent does.
#[derive(Debug, Clone)]
pub(crate) enum Agent {
    /// It is the caller's floor.
    Listening,
    /// The reply is being made and was not released.
    Thinking(Box<Reply>),
    /// The reply was released.
    Speaking(Box<Reply>),
    /// The reply is held since then (B1).
    Held(Box<Reply>, CallTime),
}

impl Agent {
    pub(crate) fn state(&self) -> AgentState {
        match self {
            Agent::Listening => AgentState::Listening,
            Agent::Thinking(_) => AgentState::Thinking,
            Agent::Speaking(_) => AgentState::Speaking,
            Agent::Held(..) => AgentState::Held,
        }
    }

    pub(crate) fn reply(&self) -> Option<&Reply> {
        match self {
            Agent::Listening => None,
            Agent::Thinking(reply) | Agent::Speaking(reply) | Agent::Held(reply, _) => Some(reply),
        }
    }

    pub(crate) fn reply_mut(&mut self) -> Option<&mut Reply> {
        match self {
            Agent::Listening => None,
            Agent::Thinking(reply) | Agent::Speaking(reply) | Agent::Held(reply, _) => Some(reply),
        }
    }

    /// The reply with this id, if it is the current one.
    pub(crate) fn on(&mut self, id: ReplyId) -> Option<&mut Reply> {
        self.reply_mut().filter(|reply| reply.id == id)
    }

    /// Leaves the reply; the agent listens.
    pub(crate) fn leave(&mut self) -> Option<Box<Reply>> {
        match std::mem::replace(self, Agent::Listening) {
            Agent::Listening => None,
            Agent::Thinking(reply) | Agent::Speaking(reply) | Agent::Held(reply, _) => Some(reply),
        }
    }

    pub(crate) fn is_listening(&self) -> bool {
        matches!(self, Agent::Listening)
    }
}
