//! Facts: everything the conversation can be told. One enum, readable on one page.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{CallTime, EndReason, InvocationId, ReplyId, SegmentId};

/// A fact. Late ones (an old reply, an unknown segment) are dropped by id.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "fact", rename_all = "snake_case")]
pub enum Input {
    /// The session runs. The first fact of every call.
    CallStarted,
    /// The far end can hear us from now on.
    FarEndReady,
    /// The far end is gone for good: hung up, vanished, broken.
    FarEndLost {
        /// Why, as the typed end reason of the call.
        reason: EndReason,
    },
    /// The first of the caller's audio came, voice or not.
    CallerAudioStarted,
    /// Voice began at `at` (estimated onset).
    CallerVoiceStarted {
        /// Estimated onset.
        at: CallTime,
    },
    /// Voice ended: `last` is the last voiced sample. Known at most 100 ms after it.
    CallerVoiceEnded {
        /// Last voiced sample.
        last: CallTime,
    },
    /// The caller's audio has now been received up to [`crate::Conversation::audio_wanted`].
    CallerAudioReached,
    /// Words from the transcriber.
    Transcript(Transcript),
    /// The transcriber's own opinion about the turn.
    ProviderTurn {
        /// The opinion.
        signal: TurnSignal,
    },
    /// More text of a reply a model is making.
    ReplyText {
        /// The reply.
        reply: ReplyId,
        /// The next piece of text.
        text: String,
    },
    /// The model has said all of this reply.
    ReplyFinished {
        /// The reply.
        reply: ReplyId,
    },
    /// The model wants tools run before it goes on.
    ReplyWantsTools {
        /// The reply.
        reply: ReplyId,
        /// The tools, side by side.
        calls: Vec<ToolRequest>,
    },
    /// A tool run has ended, one way or another.
    ToolFinished {
        /// The run.
        invocation: InvocationId,
        /// How it ended.
        outcome: ToolOutcome,
    },
    /// Audio of a segment is ready to be played. Comes once per chunk; lengths grow.
    AudioReady {
        /// The reply.
        reply: ReplyId,
        /// The segment.
        segment: SegmentId,
        /// Length of the segment's audio so far.
        length: Duration,
        /// Times within the segment of the words that are new since the last report of it, if the voice gives them; in
        /// order, each word once. They may come before or after the audio they stand in.
        words: Vec<WordTime>,
        /// No more audio will come for this segment.
        finished: bool,
    },
    /// The first frame of a reply left for the far end.
    PlayoutStarted {
        /// The reply.
        reply: ReplyId,
        /// When.
        at: CallTime,
    },
    /// The far end has played this reply up to `position` (reply audio time: all its segments joined).
    PlayedUpTo {
        /// The reply.
        reply: ReplyId,
        /// Position in the reply’s audio.
        position: Duration,
        /// When.
        at: CallTime,
    },
    /// All audio there was for this reply has been played; more may come if it is not finished.
    PlayoutDrained {
        /// The reply.
        reply: ReplyId,
        /// When.
        at: CallTime,
    },
    /// A DTMF digit: `0`-`9`, `*`, `#`, `A`-`D`.
    Digit {
        /// The digit.
        digit: char,
        /// When.
        at: CallTime,
    },
    /// A typed turn.
    TypedText {
        /// The words.
        text: String,
    },
    /// A control message of the client.
    Control(Control),
    /// A provider failed for good within its part of the call.
    ProviderFailed {
        /// Which kind.
        kind: ProviderKind,
        /// The reply it failed on, if one.
        reply: Option<ReplyId>,
        /// What the provider said.
        message: String,
        /// Whether another provider goes on, by itself: then this is only told.
        fallback_left: bool,
    },
    /// Another provider answers from now on: a fallback, or the first one again. Only told.
    ProviderSwitched {
        /// Which kind.
        kind: ProviderKind,
        /// The name of the provider before.
        from: String,
        /// The name of the one that answers now.
        to: String,
        /// Why, for people.
        reason: String,
    },
    /// Another stream of a transcriber listens now, from an earlier place of the caller's audio on: what was
    /// not settled comes again.
    TranscriberReplaced {
        /// What this one can do.
        transcriber: crate::Transcriber,
        /// Where it begins.
        from: CallTime,
    },
    /// `next_deadline` has come.
    DeadlineReached,
}

/// Words heard. Turn text = slices + the latest interim.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Transcript {
    /// Slice (settled for good) or interim (replaces the interim before).
    pub kind: TranscriptKind,
    /// The words, joined for reading; may be empty.
    pub text: String,
    /// Words with call times, where the provider gives them.
    pub words: Vec<WordTime>,
    /// How far into the caller's audio the provider has listened. `None` where it can't tell.
    pub covers_until: Option<CallTime>,
}

/// Whether a transcript is settled for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TranscriptKind {
    /// Replaces the interim before; may still be revised (but counts as settled by its watermark).
    Interim,
    /// To be appended; never revised.
    Slice,
}

/// A word with its place: in call time for the caller, in segment audio time for the agent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WordTime {
    /// The word.
    pub text: String,
    /// Where it begins.
    pub start: CallTime,
    /// Where it ends.
    pub end: CallTime,
}

/// See `Input::ProviderTurn`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TurnSignal {
    /// The caller began to speak: counts as voice.
    Start,
    /// Probably ended: may start a speculative reply.
    EagerEnd,
    /// The eager end was wrong.
    Resumed,
    /// Ended.
    End,
}

/// What a model asked for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ToolRequest {
    /// The model's id of the call, returned with the result.
    pub call_id: String,
    /// Tool name.
    pub tool: String,
    /// Arguments, a JSON object. Anything else is told to the model as a mistake and not run.
    pub arguments: serde_json::Value,
    /// What the vendor wants back with the call, opaque (Gemini's thought signature). Absent: nothing.
    #[serde(default)]
    pub signature: Option<String>,
}

impl ToolRequest {
    /// A call that no model made: it gets its invocation's id.
    pub(crate) fn of(tool: &str, arguments: &serde_json::Value) -> Self {
        let (tool, arguments) = (tool.to_owned(), arguments.clone());
        Self { call_id: String::new(), tool, arguments, signature: None }
    }
}

/// How a tool run ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum ToolOutcome {
    /// It did what was asked.
    Succeeded {
        /// What it gave, a JSON value.
        result: serde_json::Value,
    },
    /// It refused or broke; `reason` can be said to the caller.
    Failed {
        /// Why.
        reason: String,
    },
    /// It did not answer in time.
    TimedOut,
}

/// What a client may ask for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "control", rename_all = "snake_case")]
pub enum Control {
    /// Stop the agent now, as if the caller's words had.
    Interrupt,
    /// Say this as a reply of its own; `protected` can't be interrupted.
    Say {
        /// The words.
        text: String,
        /// Whether it can’t be interrupted.
        protected: bool,
    },
    /// Put new policy in force from the next decision on.
    Settings(Box<crate::Policy>),
    /// End the call now.
    End {
        /// Why.
        reason: EndReason,
    },
}

/// Which provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProviderKind {
    /// Speech to text.
    SpeechToText,
    /// Language model.
    LanguageModel,
    /// Text to speech.
    TextToSpeech,
}
