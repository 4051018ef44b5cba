//! How a provider fails: one error for the three kinds, with the fix in words.

use std::time::Duration;

/// What sort of failure it was, for those who must choose between retry, fallback and giving up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorKind {
    /// A library, model file or program the provider needs is not installed. Permanent until fixed.
    NotInstalled,
    /// The request itself can't be served (unknown voice, unknown model, empty text). Permanent.
    Invalid,
    /// The key is wrong, or may not do this. Permanent until the key is changed.
    Unauthorized,
    /// The vendor has blocked the account (ElevenLabs `detected_unusual_activity`). Permanent until
    /// settled with the vendor.
    Blocked,
    /// Credit or quota is used up. Permanent until topped up; a retry costs time only.
    OutOfCredit,
    /// Too many requests or streams at once. Another try later may succeed.
    RateLimited,
    /// The provider is there but failed this time, or the connection broke. Another try may succeed.
    Unavailable,
    /// The provider did not answer within its budget.
    TimedOut,
    /// What came can't be understood.
    Protocol,
    /// It answered in order, but with nothing: no text, no audio.
    Empty,
}

impl ErrorKind {
    /// Whether the same request fails again until somebody changes something.
    pub fn is_permanent(self) -> bool {
        matches!(
            self,
            Self::NotInstalled | Self::Invalid | Self::Unauthorized | Self::Blocked | Self::OutOfCredit
        )
    }

    /// Whether every request fails, whatever is asked, until somebody changes something.
    pub fn is_of_the_account(self) -> bool {
        self.is_permanent() && self != Self::Invalid
    }
}

/// A provider's failure. The message completes "failed to …" and names the fix where there is one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, serde::Serialize, serde::Deserialize)]
#[error("{provider}: {message}")]
pub struct Error {
    /// The provider's registered name, such as `pocketsphinx`.
    pub provider: String,
    /// What sort of failure it was.
    pub kind: ErrorKind,
    /// What went wrong and, where known, what to do about it. Never holds a secret.
    pub message: String,
    /// The vendor asks to be left alone for so long.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<Duration>,
    /// The vendor's own id of the request, for its support.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
}

impl Error {
    /// An error of `kind` from `provider`.
    pub fn new(provider: &str, kind: ErrorKind, message: impl Into<String>) -> Self {
        let (provider, message) = (provider.to_owned(), message.into());
        Self { provider, kind, message, retry_after: None, request_id: None }
    }

    /// With the wait the vendor asks for.
    #[must_use]
    pub fn retry_after(self, wait: Option<Duration>) -> Self {
        Self { retry_after: wait, ..self }
    }

    /// With the vendor's id of the request; it is named in the message too.
    #[must_use]
    pub fn with_request_id(mut self, id: Option<&str>) -> Self {
        if let Some(id) = id.filter(|id| !id.is_empty()) {
            self.message = format!("{} (request {id})", self.message);
            self.request_id = Some(id.to_owned());
        }
        self
    }

    /// What an HTTP status means at most vendors; a vendor that means something else by it says so
    /// itself. `said` is the vendor's own message.
    pub fn of_status(provider: &str, status: u16, said: &str) -> Self {
        let kind = match status {
            401 | 403 => ErrorKind::Unauthorized,
            402 => ErrorKind::OutOfCredit,
            429 => ErrorKind::RateLimited,
            408 | 409 | 499 | 500..=599 => ErrorKind::Unavailable,
            _ => ErrorKind::Invalid,
        };
        let fix = match kind {
            ErrorKind::Unauthorized => "; check the key and what it may do",
            ErrorKind::OutOfCredit => "; top up the account",
            _ => "",
        };
        let said: String = said.chars().take(300).collect();
        let colon = if said.is_empty() { "" } else { ": " };
        Self::new(provider, kind, format!("HTTP {status}{colon}{said}{fix}"))
    }
}
