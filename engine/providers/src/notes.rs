//! What providers tell about themselves beside their work: for events, metrics, health and bills.

use std::sync::Arc;
use std::time::Duration;

use crate::Error;
use crate::llm::Usage;
use crate::registry::Kind;

/// A step of a provider's work whose time is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Opening a connection: DNS, TCP, TLS, upgrade.
    Connect,
    /// From a request to the first useful output: a word of text or a tool call, a sample of audio; for a transcriber
    /// from a finalize to the slice that answers it.
    FirstOutput,
    /// From a request to its end.
    Whole,
}

/// Something a provider did.
#[derive(Debug, Clone, PartialEq)]
pub enum Note {
    /// A step took so long.
    Took {
        /// What it is for.
        kind: Kind,
        /// Its registered name.
        provider: &'static str,
        /// The step.
        stage: Stage,
        /// Its time.
        time: Duration,
        /// Whether somebody waited for it: a handshake in mid-turn does, one before the first turn does not.
        in_turn: bool,
    },
    /// Another one goes on where one failed.
    Switched {
        /// What they are for.
        kind: Kind,
        /// Which failed.
        from: &'static str,
        /// Which goes on; the same name when a fresh connection of the same one does.
        to: &'static str,
        /// Why.
        error: Error,
    },
    /// A better one may be asked again and takes over; nobody failed.
    WentBack {
        /// What they are for.
        kind: Kind,
        /// Which stood in.
        from: &'static str,
        /// Which goes on.
        to: &'static str,
    },
    /// One failed, whether or not another goes on.
    Failed {
        /// What it is for.
        kind: Kind,
        /// Which.
        provider: &'static str,
        /// How.
        error: Error,
    },
    /// A second one was started beside a slow first, and this one was quicker.
    Hedged {
        /// What they are for.
        kind: Kind,
        /// Which was first to be useful.
        winner: &'static str,
        /// Which was cancelled.
        loser: &'static str,
    },
    /// Work that was paid for and not used.
    ThrownAway {
        /// What it is for.
        kind: Kind,
        /// Whose.
        provider: &'static str,
        /// Tokens of it, as far as the vendor told; else as estimated from the text.
        usage: Usage,
        /// Characters of text for a voice.
        characters: u64,
    },
    /// A provider did paid work that was used.
    Used {
        /// What it is for.
        kind: Kind,
        /// Whose.
        provider: &'static str,
        /// Its model, if it has several.
        model: String,
        /// Tokens of a language model.
        usage: Usage,
        /// Characters of text for a voice.
        characters: u64,
    },
}

/// Where notes go. Must never block.
pub type Notes = Arc<dyn Fn(Note) + Send + Sync>;

/// Nobody takes notes.
pub fn nobody() -> Notes {
    Arc::new(drop)
}
