//! The one place that knows both our errors and gRPC's: every failure becomes a status with details here.
//!
//! Each status carries an `ErrorInfo` whose reason is a word of the contract's `ErrorReason`, and field violations
//! where fields are to blame. A reason has one code, always: [`code`]. Causes are logged, not sent.

use std::time::Duration;

use parlance_proto::v1::{ErrorReason, KeyScope};
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
    /// The key lacks a scope.
    ScopeMissing {
        /// The scope that is needed.
        needed: KeyScope,
    },
    /// The request id was used for another request.
    RequestIdReused,
    /// The same request is under way.
    RequestInProgress,
    /// The request makes no sense in this state, or to this key.
    WrongState {
        /// Which of the contract's reasons.
        reason: ErrorReason,
        /// For people, with the fix.
        message: String,
    },
    /// A limit was reached.
    Exhausted {
        /// Which of the contract's reasons.
        reason: ErrorReason,
        /// For people: the limit.
        message: String,
        /// When another try may succeed.
        retry_after: Duration,
    },
    /// A server behind us did not answer; worth another try.
    Unavailable {
        /// For people.
        message: String,
    },
    /// The engine that the call lives on did not answer.
    OwnerUnreachable {
        /// The call's resource name.
        call: String,
    },
    /// The database broke off in the middle: the request may have been carried out.
    Unsure,
    /// This engine is shutting down.
    Draining,
    /// Nothing came in time.
    TooLate {
        /// For people.
        message: String,
    },
    /// Our own fault; the cause was logged.
    Internal,
}

impl Refusal {
    /// There is nothing to encrypt a key or a secret with.
    pub fn master_key_missing() -> Self {
        Self::WrongState {
            reason: ErrorReason::MasterKeyMissing,
            message: "the engine has nothing to encrypt keys with: set PARLANCE_MASTER_KEY to the output of \
                      `openssl rand -base64 32` and start it again"
                .to_owned(),
        }
    }
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

    /// Whether this very field is named already.
    pub fn names(&self, field: &str) -> bool {
        self.0.iter().any(|(named, _)| named == field)
    }

    /// The wrong fields, each with why.
    pub fn entries(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(field, why)| (field.as_str(), why.as_str()))
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
            parlance_store::Error::QuotaExceeded { message, retry_after } => {
                Refusal::Exhausted { reason: ErrorReason::QuotaExceeded, message, retry_after }
            }
            parlance_store::Error::Unsure(cause) => {
                tracing::warn!(%cause, "database broke off while committing");
                Refusal::Unsure
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
        let (reason, message) = describe(&refusal);
        let code = code(reason);
        let mut details = ErrorDetails::new();
        details.set_error_info(word(reason), DOMAIN, std::collections::HashMap::new());
        if let Refusal::Invalid(violations) = &refusal {
            for (field, why) in &violations.0 {
                details.add_bad_request_violation(field, why);
            }
        }
        if let Some(delay) = retry_after(&refusal) {
            details.set_retry_info(Some(delay));
        }
        Status::with_error_details(code, message, details)
    }
}

/// A reason as `ErrorInfo` has it.
pub fn word(reason: ErrorReason) -> &'static str {
    reason.as_str_name().trim_start_matches("ERROR_REASON_")
}

/// The code of a reason. There is no other place that chooses one.
pub fn code(reason: ErrorReason) -> Code {
    match reason {
        ErrorReason::InvalidKey => Code::Unauthenticated,
        ErrorReason::ScopeMissing | ErrorReason::OperatorOnly => Code::PermissionDenied,
        ErrorReason::InvalidField | ErrorReason::RequestIdReused => Code::InvalidArgument,
        ErrorReason::NotFound => Code::NotFound,
        ErrorReason::AlreadyExists => Code::AlreadyExists,
        ErrorReason::EtagMismatch | ErrorReason::RequestInProgress => Code::Aborted,
        ErrorReason::RateLimited
        | ErrorReason::TooManySessions
        | ErrorReason::QuotaExceeded
        | ErrorReason::TooManyMessages
        | ErrorReason::TooManyWatchers => Code::ResourceExhausted,
        ErrorReason::TooLate => Code::DeadlineExceeded,
        ErrorReason::Unavailable | ErrorReason::Draining | ErrorReason::OwnerUnreachable => Code::Unavailable,
        ErrorReason::Unspecified | ErrorReason::Internal => Code::Internal,
        ErrorReason::StartExpected
        | ErrorReason::SecondStart
        | ErrorReason::CallTaken
        | ErrorReason::CallOver
        | ErrorReason::CallLive
        | ErrorReason::RecordingKept
        | ErrorReason::CallNotLive
        | ErrorReason::ProviderMissing
        | ErrorReason::NoLanguageModel
        | ErrorReason::AppointmentCancelled
        | ErrorReason::TimePast
        | ErrorReason::TimeClosed
        | ErrorReason::TimeTaken
        | ErrorReason::AgentInactive
        | ErrorReason::LastAdminKey
        | ErrorReason::ResourceInUse
        | ErrorReason::MasterKeyMissing => Code::FailedPrecondition,
    }
}

/// When the same request may succeed, if waiting is all it takes.
fn retry_after(refusal: &Refusal) -> Option<Duration> {
    match refusal {
        Refusal::Exhausted { retry_after, .. } => Some(*retry_after),
        Refusal::Unsure => Some(parlance_store::requests::CLAIM_LASTS),
        Refusal::Unavailable { .. }
        | Refusal::OwnerUnreachable { .. }
        | Refusal::Draining
        | Refusal::RequestInProgress => Some(Duration::from_secs(1)),
        _ => None,
    }
}

fn describe(refusal: &Refusal) -> (ErrorReason, String) {
    match refusal {
        Refusal::Unauthenticated => (
            ErrorReason::InvalidKey,
            "no valid key: send `authorization: Bearer <key>` metadata; `parlance serve` prints where the key \
             file is"
                .to_owned(),
        ),
        Refusal::ScopeMissing { needed } => {
            let needed = needed.as_str_name().trim_start_matches("KEY_SCOPE_");
            (ErrorReason::ScopeMissing, format!("this key lacks the scope {needed}: use another, or an ADMIN key"))
        }
        Refusal::Invalid(violations) => {
            let fields: Vec<String> = violations.0.iter().map(|(field, why)| format!("{field}: {why}")).collect();
            (ErrorReason::InvalidField, fields.join("; "))
        }
        Refusal::NotFound { name } => (ErrorReason::NotFound, format!("there is no {name}")),
        Refusal::AlreadyExists { name } => (ErrorReason::AlreadyExists, format!("{name} exists already")),
        Refusal::EtagMismatch { name } => {
            (ErrorReason::EtagMismatch, format!("{name} has changed since it was read: get it again"))
        }
        Refusal::RequestIdReused => (
            ErrorReason::RequestIdReused,
            "request_id: was used for another request within 24 h; a new request needs a new one".to_owned(),
        ),
        Refusal::RequestInProgress => (
            ErrorReason::RequestInProgress,
            "request_id: the same request is under way; ask again in a moment".to_owned(),
        ),
        Refusal::WrongState { reason, message } | Refusal::Exhausted { reason, message, .. } => {
            (*reason, message.clone())
        }
        Refusal::Unavailable { message } => (ErrorReason::Unavailable, message.clone()),
        Refusal::OwnerUnreachable { call } => (
            ErrorReason::OwnerUnreachable,
            format!("the engine that {call} lives on did not answer in time and nothing was done; try again"),
        ),
        Refusal::Unsure => (
            ErrorReason::Unavailable,
            "the database broke off in the middle: look whether it was done before you send it again".to_owned(),
        ),
        Refusal::Draining => (ErrorReason::Draining, "this engine is shutting down; try another".to_owned()),
        Refusal::TooLate { message } => (ErrorReason::TooLate, message.clone()),
        Refusal::Internal => {
            (ErrorReason::Internal, "the engine failed; the cause is in its log".to_owned())
        }
    }
}
