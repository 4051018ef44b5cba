//! What keeps a command from doing its work, in words for the person at the terminal.
//!
//! Each message is one sentence that ends in the fix where there is one. A refusal by the engine keeps its own
//! words; only the codes that have a fix on this side get a variant of their own.

use std::path::PathBuf;

use tonic::{Code, Status};
use tonic_types::StatusExt;

/// Why a command could not be carried out.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No server at the endpoint.
    #[error("nothing answers at {endpoint}: start the engine with `parlance serve`, or give --endpoint")]
    NothingAnswers {
        /// Where was asked.
        endpoint: String,
    },
    /// There is a server, but its certificate does not prove that it is the right one.
    #[error(
        "{endpoint} can't be trusted: {why}; for an authority of your own give --ca-file, and use a name that the certificate holds"
    )]
    NotTrusted {
        /// Where was asked.
        endpoint: String,
        /// What is wrong with it.
        why: String,
    },
    /// The endpoint is no address this client can use.
    #[error("`{endpoint}` is no endpoint: write it as http://HOST:PORT or https://HOST:PORT")]
    BadEndpoint {
        /// As it was given.
        endpoint: String,
    },
    /// No key was given and no key file found.
    #[error("no API key: {} does not hold one; give --key, set PARLANCE_API_KEY, or point --data-dir at the engine's data folder", looked_at.display())]
    NoKey {
        /// The key file that was tried.
        looked_at: PathBuf,
    },
    /// The engine did not take the key.
    #[error(
        "the engine refused the API key: give the key of this engine with --key, or point --data-dir at its data folder"
    )]
    KeyRefused,
    /// The engine said no.
    #[error("{0}")]
    Refused(String),
    /// The connection broke, or the engine stopped in the middle.
    #[error("the connection to the engine broke: {0}")]
    Broken(String),
    /// A file could not be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// An argument or a file does not make sense.
    #[error("{0}")]
    Usage(String),
}

impl From<Status> for Error {
    fn from(status: Status) -> Self {
        match status.code() {
            Code::Unauthenticated => Self::KeyRefused,
            Code::Unavailable => Self::Broken(status.message().to_owned()),
            _ => Self::Refused(refusal(&status)),
        }
    }
}

/// The status in one line, with the fields it complains about.
fn refusal(status: &Status) -> String {
    let mut text = match status.message() {
        "" => format!("the engine answered {:?}", status.code()),
        message => message.to_owned(),
    };
    if let Some(bad) = status.get_details_bad_request() {
        for violation in bad.field_violations {
            if !text.contains(&violation.description) || !text.contains(&violation.field) {
                text.push_str(&format!("\n  {}: {}", violation.field, violation.description));
            }
        }
    }
    text
}
