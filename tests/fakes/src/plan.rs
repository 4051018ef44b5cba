//! What a stand-in does: how long it takes, what it says, and how it fails. One enum of faults for all vendors.

use std::time::Duration;

/// A service that can be planned for. The names in requests to `/control` are in snake case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "the names are the vendors'")]
pub enum Service {
    DeepgramListen,
    DeepgramFlux,
    DeepgramSpeak,
    OpenaiChat,
    OpenaiResponses,
    OpenaiTranscribe,
    OpenaiRealtime,
    OpenaiSpeech,
    ElevenlabsMulti,
    ElevenlabsHttp,
    ElevenlabsScribe,
    GeminiStream,
    AnthropicMessages,
    CartesiaTts,
    CartesiaStt,
}

/// How a connection fails. `after` counts events the service has sent on it (transcripts, chunks of text or audio),
/// so that 0 means before the first.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(tag = "fault", rename_all = "snake_case")]
pub enum Fault {
    /// The handshake or the response's head comes at once, the first event after so much more time.
    SlowFirstByte {
        /// Milliseconds more.
        ms: u64,
    },
    /// Silence in mid-stream: no further event, while TCP and pongs stay alive.
    Silence {
        /// Events before it.
        after: u32,
    },
    /// The connection is cut without a close frame or a body's end.
    Drop {
        /// Events before it.
        after: u32,
    },
    /// Reads nothing and writes nothing any more, answers no ping, but does not close.
    HalfOpen {
        /// Events before it.
        after: u32,
    },
    /// Stops to read from the beginning, so that the client's sends block; events that need no input go on.
    BlockedSend,
    /// A wrong key, as the vendor says it (HTTP 401, or after the upgrade where the vendor does that).
    Unauthorized,
    /// Out of credit or quota, as the vendor says it: not to be retried.
    Quota,
    /// Too many requests: HTTP 429 with `retry-after` where the vendor sends it.
    RateLimited {
        /// Seconds to wait.
        retry_after_s: u32,
    },
    /// HTTP 500, as the vendor says it.
    ServerError,
    /// A frame that can't be parsed, in mid-stream; then the connection is cut.
    Malformed {
        /// Events before it.
        after: u32,
    },
    /// A well-formed message of a type nobody knows, in mid-stream; then it goes on.
    UnknownType {
        /// Events before it.
        after: u32,
    },
    /// An error told inside the stream, after HTTP 200 or an accepted upgrade.
    ErrorInside {
        /// Events before it.
        after: u32,
    },
    /// Nothing but a proper end: no words, no text, no audio.
    Empty,
    /// Accepts and closes after 50 ms.
    Flap,
    /// `detected_unusual_activity` (ElevenLabs only): HTTP 401 for good.
    UnusualActivity,
    /// Bytes come in the smallest pieces the transport has: SSE cut at every few bytes, messages in continuation frames.
    Fragment,
}

/// What the connections of a service do.
#[derive(Debug, Clone, Default, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Plan {
    /// How they fail.
    pub fault: Option<Fault>,
    /// So many connections fail, later ones don't. Absent: all of them.
    pub times: Option<u32>,
    /// So many connections go well before the first that fails.
    pub skip: u32,
    /// Milliseconds before the handshake is answered or a request's head is sent.
    pub handshake_ms: u64,
    /// Milliseconds from input to the first event of its answer.
    pub first_ms: u64,
    /// Milliseconds from event to event.
    pub interval_ms: u64,
    /// Up to so many milliseconds more for each of those, at random but the same for the same `seed`.
    pub jitter_ms: u64,
    /// Up to so many milliseconds more before the first event of an answer alone, at random for each answer, on top of
    /// `jitter_ms`.
    pub first_jitter_ms: u64,
    /// Seed of the jitter.
    pub seed: u64,
    /// Transcribers: what each voiced stretch without a code (`code`) is heard as, in turn, from the first again after
    /// the last; each connection begins with the first, while recordings that are posted go on where the last one ended.
    /// Where codes were heard, or only `words` are planned, a stretch under 600 ms is what is left of a code, and nothing. Models: what they answer, in turn (by the count of assistant messages in the request). Empty:
    /// transcribers hear `hello`, models answer `You said: ` and the last user message.
    pub lines: Vec<String>,
    /// Transcribers: the word for each code that is heard in the audio; a code beyond the list is `word` and its number.
    pub words: Vec<String>,
    /// Models: before they answer a user message that contains `when`, they call a tool.
    pub tools: Vec<ToolPlan>,
}

/// A tool call a model makes.
#[derive(Debug, Clone, Default, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ToolPlan {
    /// Made in answer to a user message that contains this and has no tool result after it. Empty: to any.
    pub when: String,
    /// The tool.
    pub name: String,
    /// Its arguments.
    pub arguments: serde_json::Value,
    /// Words before the call.
    pub say: String,
}

impl Plan {
    /// The plan with this fault.
    pub fn failing(fault: Fault) -> Self {
        Self { fault: Some(fault), ..Self::default() }
    }

    /// Only so many connections fail.
    #[must_use]
    pub fn times(self, times: u32) -> Self {
        Self { times: Some(times), ..self }
    }

    /// What the next connection does.
    pub(crate) fn take(&mut self) -> Self {
        let mut now = self.clone();
        if self.fault.is_none() {
            return now;
        }
        if self.skip > 0 {
            self.skip -= 1;
            now.fault = None;
        } else if let Some(times) = &mut self.times {
            if *times == 0 {
                now.fault = None;
            }
            *times = times.saturating_sub(1);
        }
        now
    }

    /// Before the first event of an answer, on a connection where so many were sent before.
    pub fn first(&self, connection: u32, sent: u32) -> Duration {
        let slow = if let Some(Fault::SlowFirstByte { ms }) = self.fault { ms } else { 0 };
        let more = self.random(self.first_jitter_ms, !connection, sent);
        Duration::from_millis(self.first_ms + slow + more + self.jitter(connection, 0))
    }

    /// Between the event of this number and the one before.
    pub fn interval(&self, connection: u32, event: u32) -> Duration {
        Duration::from_millis(self.interval_ms + self.jitter(connection, event))
    }

    fn jitter(&self, connection: u32, event: u32) -> u64 {
        self.random(self.jitter_ms, connection, event)
    }

    /// From 0 to `most`.
    fn random(&self, most: u64, connection: u32, event: u32) -> u64 {
        if most == 0 {
            return 0;
        }
        // SplitMix64: a good spread from any seed, and the same everywhere.
        let mut z =
            self.seed ^ (u64::from(connection) << 32 | u64::from(event)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % (most + 1)
    }
}
