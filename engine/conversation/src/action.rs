//! Commands: everything the conversation can ask for. What it tells is in `event`.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{Event, InvocationId, ReplyId, SegmentId};

/// A command. Carried out in order, at once, without waiting for its result.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "action", rename_all = "snake_case")]
pub enum Action {
    /// Ask the model for this reply.
    StartReply {
        /// Its id; the same again after its tools have ended.
        reply: ReplyId,
        /// What the model is shown.
        context: Vec<Message>,
        /// Whether it may still be thrown away unheard (S).
        speculative: bool,
    },
    /// Stop the model, the voice and the playout of this reply; forget its audio.
    CancelReply {
        /// The reply.
        reply: ReplyId,
    },
    /// The reply's audio may be heard from now on. Before it, audio is only collected.
    ReleaseReply {
        /// The reply.
        reply: ReplyId,
    },
    /// Make audio of this text. Segments of a reply are played in their order.
    Synthesize {
        /// The reply.
        reply: ReplyId,
        /// The segment.
        segment: SegmentId,
        /// As it is to be spoken.
        text: String,
    },
    /// Send no more audio of this reply; keep what is left. Clear the far end if it tells its position.
    HoldPlayout {
        /// The reply.
        reply: ReplyId,
    },
    /// Go on from this position of the reply's audio.
    ResumePlayout {
        /// The reply.
        reply: ReplyId,
        /// Position in the reply’s audio.
        from: Duration,
    },
    /// Throw away what is left of this reply and clear the far end.
    FlushPlayout {
        /// The reply.
        reply: ReplyId,
    },
    /// Run a tool. Its invocation must be durable before it starts.
    RunTool {
        /// The run.
        invocation: InvocationId,
        /// Tool name.
        tool: String,
        /// Arguments, a JSON object.
        arguments: serde_json::Value,
        /// Its effect class.
        effect: Effect,
    },
    /// Ask the transcriber for what it has, now.
    FinalizeTranscript,
    /// The caller's turn is closed (its words will not be revised), and this may come next.
    Expect(Expectation),
    /// End the call. The last command of every call.
    EndCall {
        /// Why.
        reason: EndReason,
    },
    /// Tell journal, stream and watchers.
    Tell(Event),
}

/// What the caller's next answer may be.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Expectation {
    /// The values asked for, in the order they are wanted.
    pub slots: Vec<crate::flow::SlotKind>,
    /// The listed options, if the answer is one of a list.
    pub options: Vec<String>,
    /// JSGF grammar of what may be said, for recognisers that need one.
    pub jsgf: Option<Arc<str>>,
}

/// What a tool does to the world; decides what may be repeated or run early.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// Only reads.
    None,
    /// May be repeated with the same key.
    Idempotent,
    /// Must happen at most once.
    Effect,
}

/// One message of a model's context.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "role", rename_all = "snake_case")]
pub enum Message {
    /// Instructions.
    System {
        /// The instructions.
        text: String,
    },
    /// A caller's turn.
    Caller {
        /// The caller’s words.
        text: String,
    },
    /// What was heard of a reply; ends in `…` where it was cut.
    Agent {
        /// The heard words.
        text: String,
    },
    /// A tool call the agent made.
    ToolCall {
        /// The model’s id of the call.
        call_id: String,
        /// Tool name.
        tool: String,
        /// Arguments, a JSON object.
        arguments: serde_json::Value,
        /// See [`crate::ToolRequest::signature`].
        #[serde(default)]
        signature: Option<String>,
    },
    /// Its result. Results stand behind all calls that were made together, in the order of the calls.
    ToolResult {
        /// The model’s id of the call.
        call_id: String,
        /// Tool name.
        tool: String,
        /// What it gave, a JSON value.
        result: serde_json::Value,
    },
}

/// Why a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EndReason {
    /// The agent said goodbye and hung up (`end_call`, or the flow's end).
    AgentEnded,
    /// The caller hung up (closed its side of the stream).
    CallerHungUp,
    /// The client asked for the end.
    ClientEnded,
    /// `EndCall` was called on the API.
    ApiEnded,
    /// The far end vanished: the connection broke, or it stopped reading.
    FarEndLost,
    /// Nobody spoke for the silence limit.
    Silence,
    /// The longest allowed call.
    MaxDuration,
    /// A provider could not be opened: the call never began.
    ProviderFailed,
    /// The client broke the protocol or sent bad audio.
    BadInput,
    /// The call could not keep up with its own inbox.
    Overloaded,
    /// The engine is shutting down.
    Drained,
    /// The engine was lost; written by whoever found out.
    EngineLost,
    /// The transcriber failed and no fallback was left.
    SpeechToTextFailed,
    /// The language model failed, or gave no answer, too often in a row.
    LanguageModelFailed,
    /// The voice failed, or gave no audio, and no fallback was left.
    TextToSpeechFailed,
    /// Nobody spoke for the silence limit, and none of the caller's audio ever came.
    NoAudio,
    /// Nobody joined the call in time; written by whoever found out.
    CallerNeverJoined,
}

impl EndReason {
    /// Every reason, for those who list them.
    pub const ALL: [Self; 17] = [
        Self::AgentEnded,
        Self::CallerHungUp,
        Self::ClientEnded,
        Self::ApiEnded,
        Self::FarEndLost,
        Self::Silence,
        Self::MaxDuration,
        Self::ProviderFailed,
        Self::BadInput,
        Self::Overloaded,
        Self::Drained,
        Self::EngineLost,
        Self::SpeechToTextFailed,
        Self::LanguageModelFailed,
        Self::TextToSpeechFailed,
        Self::NoAudio,
        Self::CallerNeverJoined,
    ];
}
