//! What can be seen of a conversation from outside: who is doing what. Decides nothing.

use serde::{Deserialize, Serialize};

/// The three states of a call, for logs and tests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct StateView {
    /// The caller.
    pub caller: CallerState,
    /// The agent.
    pub agent: AgentState,
    /// The call.
    pub call: CallState,
}

/// What the caller does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CallerState {
    /// No voice, and nothing undecided.
    Silent,
    /// Voice is on.
    Speaking,
    /// Voice has ended; what it was is not decided.
    Paused,
}

/// What the agent does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AgentState {
    /// Nothing: it is the caller's floor.
    Listening,
    /// A reply is being made; none of it may be heard yet.
    Thinking,
    /// A reply is being heard.
    Speaking,
    /// A reply is held, because the caller may want the floor.
    Held,
}

/// How far the call is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CallState {
    /// Nobody has begun.
    Opening,
    /// Under way.
    Live,
    /// The last words are being said.
    Closing,
    /// Ended.
    Over,
}
