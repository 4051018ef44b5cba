//! The one place that knows both our errors and gRPC's: every failure becomes a status with details here.
//!
//! Each status carries an `ErrorInfo` whose reason is a stable upper-snake-case word, and field violations
//! where fields are to blame. Causes are logged, not sent.

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

/// The domain of our `ErrorInfo`s.
const DOMAIN: &str = "parlance";

/// Why a request is refused.
#[derive(Debug, Clone, PartialEq)]
pub enum Refusal {
    /// No key, or none that is known.
    Unauthenticated,
    /// Fields are wrong.
    Invalid(Violations),
    /// There is nothing of that name.
    NotFound {
        /// The resource name that was asked for.
        name: String,
    },
    /// The id is taken.
    AlreadyExists {
        /// The resource name that is taken.
        name: String,
    },
    /// It changed since it was read.
    EtagMismatch {
        /// The resource name.
        name: String,
    },
    /// The request makes no sense in this state.
    WrongState {
        /// Stable reason, upper snake case.
        reason: &'static str,
        /// For people, with the fix.
        message: String,
    },
    /// A server behind us did not answer; worth another try.
    Unavailable {
        /// For people.
        message: String,
    },
    /// More than a client may send.
    TooMany {
        /// For people: the limit.
        message: String,
    },
    /// Nothing came in time.
    TooLate {
        /// For people.
        message: String,
    },
    /// Our own fault; the cause was logged.
    Internal,
}

/// Fields that are wrong, each with why.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Violations(Vec<(String, String)>);

impl Violations {
    /// One wrong field.
    pub fn one(field: impl Into<String>, why: impl Into<String>) -> Self {
        Self(vec![(field.into(), why.into())])
    }

    /// Adds a wrong field.
    pub fn add(&mut self, field: impl Into<String>, why: impl Into<String>) {
        self.0.push((field.into(), why.into()));
    }

    /// Adds the field if `text` has more than `max` characters, or one that no database keeps.
    pub fn longest(&mut self, field: impl Into<String>, text: &str, max: usize) {
        let length = text.chars().count();
        if length > max {
            self.add(field, format!("has {length} characters; at most {max} are allowed"));
        } else if text.contains('\0') {
            self.add(field, "holds a NUL character");
        }
    }

    /// Whether all is well.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// `Ok` if all is well.
    pub fn check(self) -> Result<(), Refusal> {
        if self.is_empty() { Ok(()) } else { Err(Refusal::Invalid(self)) }
    }
}

impl From<Violations> for Refusal {
    fn from(violations: Violations) -> Self {
        Refusal::Invalid(violations)
    }
}

impl From<parlance_store::Error> for Refusal {
    fn from(error: parlance_store::Error) -> Self {
        match error {
            parlance_store::Error::Unavailable(cause) => {
                tracing::warn!(%cause, "database unavailable");
                Refusal::Unavailable { message: "the database did not answer; try again".to_owned() }
            }
            other => {
                tracing::error!(error = %other, "request failed in the store");
                Refusal::Internal
            }
        }
    }
}

impl From<Refusal> for Status {
    fn from(refusal: Refusal) -> Self {
        let (code, reason, message) = describe(&refusal);
        let mut details = ErrorDetails::new();
        details.set_error_info(reason, DOMAIN, std::collections::HashMap::new());
        if let Refusal::Invalid(violations) = &refusal {
            for (field, why) in &violations.0 {
                details.add_bad_request_violation(field, why);
            }
        }
        if matches!(code, Code::Unavailable | Code::ResourceExhausted) {
            details.set_retry_info(Some(std::time::Duration::from_secs(1)));
        }
        Status::with_error_details(code, message, details)
    }
}

fn describe(refusal: &Refusal) -> (Code, &'static str, String) {
    match refusal {
        Refusal::Unauthenticated => (
            Code::Unauthenticated,
            "INVALID_KEY",
            "no valid key: send `authorization: Bearer <key>` metadata; `parlance serve` prints where the key \
             file is"
                .to_owned(),
        ),
        Refusal::Invalid(violations) => {
            let fields: Vec<String> = violations.0.iter().map(|(field, why)| format!("{field}: {why}")).collect();
            (Code::InvalidArgument, "INVALID_FIELD", fields.join("; "))
        }
        Refusal::NotFound { name } => (Code::NotFound, "NOT_FOUND", format!("there is no {name}")),
        Refusal::AlreadyExists { name } => (Code::AlreadyExists, "ALREADY_EXISTS", format!("{name} exists already")),
        Refusal::EtagMismatch { name } => {
            (Code::Aborted, "ETAG_MISMATCH", format!("{name} has changed since it was read: get it again"))
        }
        Refusal::WrongState { reason, message } => (Code::FailedPrecondition, reason, message.clone()),
        Refusal::Unavailable { message } => (Code::Unavailable, "UNAVAILABLE", message.clone()),
        Refusal::TooMany { message } => (Code::ResourceExhausted, "TOO_MANY_MESSAGES", message.clone()),
        Refusal::TooLate { message } => (Code::DeadlineExceeded, "TOO_LATE", message.clone()),
        Refusal::Internal => {
            (Code::Internal, "INTERNAL", "the engine failed; the cause is in its log".to_owned())
        }
    }
}
