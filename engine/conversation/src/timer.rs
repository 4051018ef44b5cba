//! Deadlines: every wait the conversation knows, in one enum. In every state at least one runs.

use serde::{Deserialize, Serialize};

/// A wait with an answer for when it is missed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Deadline {
    /// A1: the agent begins.
    Begin,
    /// E1: the caller's turn ends. Counted from audio.
    EndOfTurn,
    /// E3: ask the transcriber to finalize. Counted from audio.
    Finalize,
    /// S1: start a speculative reply.
    Speculate,
    /// B1: voice long enough to hold. Counted from audio.
    Hold,
    /// B2, B3, B10: a hold or an interruption without words must end somehow.
    HoldOutcome,
    /// B7: the release of a reply's first audio waits for the caller's voice to end.
    Release,
    /// A3: first token of the model.
    FirstToken,
    /// A3: first audio of the voice.
    FirstAudio,
    /// A3: audio stalled within a reply.
    StalledAudio,
    /// A3: say a filler.
    Filler,
    /// A5: a tool's time-out.
    Tool,
    /// A7: remind a silent caller.
    Reminder,
    /// A7: give up on a silent caller.
    Silence,
    /// A6: the goodbye must have been heard.
    Goodbye,
    /// E7: half a DTMF collection.
    DtmfCollect,
    /// A9: warn before the longest duration.
    DurationWarning,
    /// A9: the longest duration.
    MaxDuration,
}
