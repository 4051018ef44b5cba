//! Events: what the conversation tells to journal, stream and watchers, and the times of a turn. Commands nothing.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{CallTime, EndReason, InvocationId, ReplyId, TurnId, TurnSignal, WordTime};

/// What is told: to the journal, to the stream, to watchers. Decisions with their reasons.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// The caller began a turn: the first voice or words of it.
    TurnStarted {
        /// The turn.
        turn: TurnId,
        /// First voice of it, or the first word where there was none.
        at: CallTime,
    },
    /// The words of the running turn changed; not settled.
    CallerInterim {
        /// The turn.
        turn: TurnId,
        /// The words.
        text: String,
        /// Words with call times, where known.
        words: Vec<WordTime>,
    },
    /// The end of the turn is waited for: until when, and which row of E1 made it so long.
    Waiting {
        /// The turn.
        turn: TurnId,
        /// When it is over.
        until: CallTime,
        /// Why.
        why: WaitReason,
    },
    /// The caller's turn ended (E8).
    TurnEnded {
        /// The turn.
        turn: TurnId,
        /// Why.
        reason: TurnEndReason,
        /// Last voiced sample; none for typed turns.
        last_voice: Option<CallTime>,
    },
    /// E6: the turn before was not over; its reply is cancelled and the words are joined.
    TurnReopened {
        /// The turn.
        turn: TurnId,
        /// The reply that was cancelled.
        reply: ReplyId,
    },
    /// An entry of the transcript, in order of `sequence` (H4). An agent's entry is told again with
    /// the same sequence when more of it was heard; the last one stands.
    Said(Entry),
    /// A reply was begun.
    ReplyStarted {
        /// The reply.
        reply: ReplyId,
        /// Which kind.
        kind: ReplyKind,
        /// The turn it answers, if it answers one.
        turn: Option<TurnId>,
    },
    /// A reply ended.
    ReplyEnded {
        /// The reply.
        reply: ReplyId,
        /// How it ended.
        outcome: ReplyOutcome,
    },
    /// The agent holds (B1).
    Held {
        /// The reply.
        reply: ReplyId,
        /// When.
        at: CallTime,
        /// How far the reply was played.
        position: Duration,
    },
    /// A hold ended (B11).
    HoldEnded {
        /// The reply.
        reply: ReplyId,
        /// How it ended.
        outcome: HoldOutcome,
        /// Why.
        reason: HoldReason,
    },
    /// The provider's opinion of the turn, for the record.
    ProviderTurn {
        /// The opinion.
        signal: TurnSignal,
    },
    /// A speculative reply was begun (S1): it has no `ReplyStarted` until it is kept.
    SpeculationStarted {
        /// The reply.
        reply: ReplyId,
        /// The turn it would answer.
        turn: TurnId,
        /// What it was begun on.
        cue: SpeculationCue,
    },
    /// The speculative reply became the answer (S2); its `ReplyStarted` follows.
    SpeculationKept {
        /// The reply.
        reply: ReplyId,
        /// The turn it answers.
        turn: TurnId,
    },
    /// The speculative reply was cancelled unheard, and what it used is lost (S2). It has no `ReplyEnded`.
    SpeculationDropped {
        /// The reply.
        reply: ReplyId,
        /// The turn it would have answered.
        turn: TurnId,
        /// Why.
        why: SpeculationDrop,
    },
    /// A tool starts.
    ToolStarted {
        /// The run.
        invocation: InvocationId,
        /// Tool name.
        tool: String,
        /// Arguments, a JSON object.
        arguments: serde_json::Value,
    },
    /// A tool ended.
    ToolEnded {
        /// The run.
        invocation: InvocationId,
        /// Tool name.
        tool: String,
        /// How it ended.
        outcome: crate::ToolOutcome,
    },
    /// A fact was not taken, and why (late, of an old reply, echo, backchannel, noise).
    Dropped {
        /// The fact, or its words.
        what: String,
        /// Why.
        why: DropReason,
    },
    /// A wait was missed and answered.
    DeadlineMissed {
        /// The wait.
        deadline: crate::Deadline,
        /// What was done.
        answer: String,
    },
    /// The times of one turn (design: "A turn, in time").
    Waterfall(Waterfall),
    /// A provider failed.
    ProviderFailed {
        /// Which kind.
        kind: crate::ProviderKind,
        /// What the provider said.
        message: String,
    },
    /// Another provider answers from now on.
    ProviderSwitched {
        /// Which kind.
        kind: crate::ProviderKind,
        /// The name of the provider before.
        from: String,
        /// The name of the one that answers now.
        to: String,
        /// Why, for people.
        reason: String,
    },
    /// The flow moved to a node.
    FlowMoved {
        /// The node.
        node: String,
        /// What is filled, a JSON object.
        slots: serde_json::Value,
    },
    /// The call ended.
    Ended {
        /// Why.
        reason: EndReason,
    },
}

/// One entry of the transcript.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// Order of speaking (H4), from 1, monotonic.
    pub sequence: u32,
    /// Who spoke.
    pub speaker: Speaker,
    /// The turn (caller) this is.
    pub turn: Option<TurnId>,
    /// The reply (agent) this is.
    pub reply: Option<ReplyId>,
    /// What was said and, for the agent, heard.
    pub text: String,
    /// What was to be said and not heard, if the reply was cut.
    pub unheard: String,
    /// When it started to be spoken or heard.
    pub start: CallTime,
    /// When the last of it was spoken or heard.
    pub end: CallTime,
    /// Words with call times (agent: the heard ones).
    pub words: Vec<WordTime>,
    /// Whether word times are estimated (H1).
    pub estimated: bool,
    /// Where the caller cut it.
    pub interrupted_at: Option<CallTime>,
    /// Whether the caller typed it or dialled it instead of speaking.
    pub typed: bool,
}

/// Who spoke.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Speaker {
    /// The caller.
    Caller,
    /// The agent.
    Agent,
}

/// What a speculative reply was begun on (S1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SpeculationCue {
    /// The provider's eager end of turn.
    EagerEnd,
    /// The words are settled.
    Settled,
    /// An interim that covers the last voiced sample has not changed for a while.
    StableInterim,
}

/// Why a speculative reply was thrown away (S2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SpeculationDrop {
    /// The caller's words became others.
    Words,
    /// The provider took its eager end back.
    Resumed,
    /// The turn was not answered, or something else came before the answer: a tool's end, new settings.
    Overtaken,
    /// The model or the voice missed its budget before the decision; it is asked again at the decision.
    TooSlow,
    /// The model or the voice failed before the decision; it is asked again at the decision.
    Failed,
    /// The call ended.
    CallEnded,
}

impl SpeculationDrop {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Words, Self::Resumed, Self::Overtaken, Self::TooSlow, Self::Failed, Self::CallEnded];
}

/// What a reply is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReplyKind {
    /// The greeting (A1).
    Greeting,
    /// The answer to a turn.
    Answer,
    /// What is said while a tool runs or after it.
    AfterTool,
    /// Bridges a wait (A3).
    Filler,
    /// "Are you still there?" (A7).
    Reminder,
    /// The apology when everything failed (A3).
    Apology,
    /// Asked for by the client (`say`).
    Say,
    /// The warning before the longest duration (A9).
    Warning,
    /// The last words (A6).
    Goodbye,
}

/// How a reply ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReplyOutcome {
    /// Heard to its end.
    Heard,
    /// Cut by the caller or the client.
    Interrupted,
    /// Cancelled before any of it was heard.
    Cancelled,
    /// Nothing to say.
    Empty,
    /// The model or the voice failed.
    Failed,
}

/// How a hold ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HoldOutcome {
    /// The caller has the floor.
    Interrupted,
    /// The agent went on.
    Resumed,
}

/// Why a hold ended as it did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HoldReason {
    /// Words of the caller.
    Words,
    /// Long voice, and no words can be had (B2).
    LongVoice,
    /// Only backchannels (B3).
    Backchannel,
    /// A backchannel that answers a question (B4).
    Answer,
    /// Voice without words (B3).
    NoWords,
    /// The words were the agent's own echo (B8).
    Echo,
    /// Typed text, a digit or a control message.
    Client,
    /// The hold's own deadline passed.
    TimedOut,
    /// The far end or the call ended.
    CallEnded,
}

/// Why the end of the turn is waited for so long: the row of E1 that fits, or E5.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WaitReason {
    /// The answer just asked for is complete.
    ValueComplete,
    /// A finished sentence, no open slot.
    FinishedSentence,
    /// Nothing special.
    Ordinary,
    /// The words are not settled yet.
    NotSettled,
    /// Ends in a word that wants another.
    OpenEnded,
    /// A value is being given and not complete.
    ValueIncomplete,
    /// The provider decides, and has not heard the end (E5).
    Provider,
}

/// Why a caller's turn ended (E8).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TurnEndReason {
    /// Silence for the wait.
    Silence,
    /// The provider's end of turn.
    Provider,
    /// The answer was complete.
    ValueComplete,
    /// Typed.
    Typed,
    /// Dialled.
    Dtmf,
    /// Voice goes on but brings no words (E9), or settlement never came (E3).
    MaxWait,
}

/// Why a fact was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DropReason {
    /// Belongs to a reply that is over.
    OldReply,
    /// Covers audio that was already judged.
    Late,
    /// Only a backchannel.
    Backchannel,
    /// The agent's own words.
    Echo,
    /// The call is closing or over.
    CallOver,
    /// As much waits already as may.
    TooMany,
    /// Answers what nobody asked.
    NotAsked,
}

/// The times of one turn on the call's clock; an absent one did not happen.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Waterfall {
    /// The caller's turn.
    pub turn: Option<TurnId>,
    /// The reply to it.
    pub reply: Option<ReplyId>,
    /// Last voiced sample of the caller (typed: when the text came).
    pub last_voice: Option<CallTime>,
    /// When the endpointing wait was due to end, counted from the audio: `decided` minus this is lateness.
    pub wait_until: Option<CallTime>,
    /// The transcript was settled.
    pub settled: Option<CallTime>,
    /// The end of the turn was decided.
    pub decided: Option<CallTime>,
    /// First text of the reply.
    pub first_text: Option<CallTime>,
    /// First segment given to the voice.
    pub first_segment: Option<CallTime>,
    /// First audio from the voice.
    pub first_audio: Option<CallTime>,
    /// First frame out.
    pub first_frame: Option<CallTime>,
    /// First sample heard, by the far end's own word or estimated.
    pub heard: Option<CallTime>,
}
