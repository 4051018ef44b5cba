//! What keeps a command from doing its work, in words for the person at the terminal.
//!
//! Each message is one sentence that ends in the fix where there is one. A refusal by the engine keeps its own
//! words; only the codes that have a fix on this side get a variant of their own.

use std::path::PathBuf;

use tonic::{Code, Status};
use tonic_types::StatusExt;

/// What the HTTP/2 library's own errors begin with.
const PROTOCOL: &str = "h2 protocol error: ";

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
        "the engine refused the API key: give the key of this engine with --key, or point --data-dir at its data folder (INVALID_KEY)"
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
        match (status.code(), status.message().strip_prefix(PROTOCOL)) {
            (Code::Unauthenticated, _) => Self::KeyRefused,
            // So ends the first request to a port that speaks TLS only.
            (_, Some("http2 error")) => Self::Broken(
                "it answers in no HTTP/2; if it has a certificate, write the endpoint as https://".to_owned(),
            ),
            (_, Some(why)) => Self::Broken(why.to_owned()),
            // With a reason it is the engine's word, for example that it drains.
            (Code::Unavailable, _) if reason(&status).is_none() => Self::Broken(status.message().to_owned()),
            _ => Self::Refused(refusal(&status)),
        }
    }
}

/// The engine's word for why it refused; each has a page in docs/errors.
fn reason(status: &Status) -> Option<String> {
    status.get_details_error_info().map(|info| info.reason).filter(|reason| !reason.is_empty())
}

/// The status in one line with its reason, and the fields it complains about.
fn refusal(status: &Status) -> String {
    let mut text = match status.message() {
        "" => format!("the engine answered {:?}", status.code()),
        message => message.to_owned(),
    };
    let said = text.clone();
    if let Some(reason) = reason(status) {
        text.push_str(&format!(" ({reason})"));
    }
    if let Some(bad) = status.get_details_bad_request() {
        for violation in bad.field_violations {
            if !said.contains(&violation.description) || !said.contains(&violation.field) {
                text.push_str(&format!("\n  {}: {}", violation.field, violation.description));
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use tonic_types::ErrorDetails;

    use super::*;

    fn refused(code: Code, message: &str, reason: &str) -> Status {
        let details = ErrorDetails::with_error_info(reason, "parlance", []);
        Status::with_error_details(code, message, details)
    }

    #[test]
    fn a_refusal_names_its_reason_so_that_its_page_can_be_found() {
        let error = Error::from(refused(Code::PermissionDenied, "this key lacks a scope", "SCOPE_MISSING"));
        assert_eq!(error.to_string(), "this key lacks a scope (SCOPE_MISSING)");
    }

    #[test]
    fn an_engine_that_drains_is_no_broken_connection() {
        let error = Error::from(refused(Code::Unavailable, "try another", "DRAINING"));
        assert_eq!(error.to_string(), "try another (DRAINING)");
        let error = Error::from(Status::unavailable("gone"));
        assert_eq!(error.to_string(), "the connection to the engine broke: gone");
    }

    #[test]
    fn plain_http_to_a_tls_port_is_told_with_the_fix() {
        let error = Error::from(Status::internal("h2 protocol error: http2 error"));
        assert!(error.to_string().ends_with("write the endpoint as https://"), "{error}");
    }
}
