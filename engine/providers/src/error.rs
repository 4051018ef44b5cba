//! How a provider fails: one error for the three kinds, with the fix in words.

/// What sort of failure it was, for those who must choose between retry, fallback and giving up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorKind {
    /// A library, model file or program the provider needs is not installed. Permanent until fixed.
    NotInstalled,
    /// The request itself can't be served (unknown voice, empty text, bad grammar). Permanent.
    Invalid,
    /// The provider is there but failed this time. Another try may succeed.
    Unavailable,
    /// The provider did not answer within its budget.
    TimedOut,
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
}

impl Error {
    /// An error of `kind` from `provider`.
    pub fn new(provider: &str, kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { provider: provider.to_owned(), kind, message: message.into() }
    }
}
