//! How the store fails: one error for the crate, with a variant only where somebody acts on it.
//!
//! Decides which failures of Postgres are worth another try, and which the data itself causes. Maps nothing to
//! the wire.

use diesel::result::{ConnectionError, DatabaseErrorKind, Error as Diesel};

use crate::private_cluster::ClusterError;

/// Postgres says that a row is missing or doubled; which, the function knows that asked.
const ROW: &str = "row";

/// Why a piece of work with the store failed. The message completes "failed to …".
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database can't be reached or has no connection free within 5 s. The same work may succeed later.
    #[error("reach the database: {0}")]
    Unavailable(String),
    /// The connection broke while the work was committed: it may be done, or not.
    #[error("learn from the database whether it was done: {0}")]
    Unsure(String),
    /// No such row, or it belongs to another organisation: the two look alike on purpose.
    #[error("find it: no such {0}")]
    NotFound(&'static str),
    /// The id (or another value that must be unique) is taken.
    #[error("create it: {0} exists already")]
    AlreadyExists(&'static str),
    /// The row is not in the state the caller believed: a stale etag, or a step that came too late.
    #[error("change it: {0}")]
    Conflict(&'static str),
    /// The call is held by another node, or it is over: whoever wants to write to it has lost it. Nothing was written.
    #[error("write it: the call has another owner or is over")]
    Fenced,
    /// The organisation has used up a quota. The same work may succeed later.
    #[error("admit it: {message}")]
    QuotaExceeded {
        /// Which, for people.
        message: String,
        /// When another try makes sense.
        retry_after: std::time::Duration,
    },
    /// An argument that could never work. Nothing was written.
    #[error("accept {field}: {message}")]
    Invalid {
        /// The argument's name.
        field: &'static str,
        /// What is wrong with it, for a developer.
        message: String,
    },
    /// The database is there but not fit for us: a role is missing, TLS is refused, a migration failed.
    /// The message says what an administrator must do.
    #[error("set up the database: {0}")]
    Setup(String),
    /// The private cluster did not start or stop.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// Anything else the database said. A mistake of ours, or of the schema.
    #[error("run a query: {0}")]
    Query(Diesel),
}

impl Error {
    /// Whether the same work, done again unchanged, may succeed.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Unavailable(_) | Self::Unsure(_))
    }

    /// Whether the values given are to blame, so that the same work never succeeds however well the database is.
    /// Neither this nor retryable: a mistake of ours, or a trouble of the server that we don't know by name.
    pub fn is_caused_by_data(&self) -> bool {
        match self {
            Self::NotFound(_)
            | Self::AlreadyExists(_)
            | Self::Conflict(_)
            | Self::Fenced
            | Self::Invalid { .. } => true,
            Self::Unavailable(_)
            | Self::Unsure(_)
            | Self::QuotaExceeded { .. }
            | Self::Setup(_)
            | Self::Cluster(_) => false,
            Self::Query(Diesel::DatabaseError(kind, info)) => match kind {
                DatabaseErrorKind::NotNullViolation
                | DatabaseErrorKind::CheckViolation
                | DatabaseErrorKind::ExclusionViolation
                | DatabaseErrorKind::RestrictViolation => true,
                DatabaseErrorKind::Unknown => is_refused_value(info.message()),
                _ => false,
            },
            Self::Query(error) => matches!(error, Diesel::SerializationError(_) | Diesel::InvalidCString(_)),
        }
    }

    /// Names the row where only the database has spoken so far.
    pub(crate) fn about(self, what: &'static str) -> Self {
        match self {
            Self::NotFound(ROW) => Self::NotFound(what),
            Self::AlreadyExists(ROW) => Self::AlreadyExists(what),
            other => other,
        }
    }

    pub(crate) fn invalid(field: &'static str, message: impl Into<String>) -> Self {
        Self::Invalid { field, message: message.into() }
    }
}

impl From<Diesel> for Error {
    fn from(error: Diesel) -> Self {
        match &error {
            Diesel::NotFound => Self::NotFound(ROW),
            Diesel::BrokenTransactionManager => Self::Unavailable(error.to_string()),
            Diesel::DatabaseError(kind, info) => match kind {
                DatabaseErrorKind::ForeignKeyViolation => Self::NotFound(ROW),
                DatabaseErrorKind::UniqueViolation => Self::AlreadyExists(ROW),
                DatabaseErrorKind::ClosedConnection
                | DatabaseErrorKind::UnableToSendCommand
                | DatabaseErrorKind::SerializationFailure
                | DatabaseErrorKind::ReadOnlyTransaction => Self::Unavailable(info.message().to_owned()),
                DatabaseErrorKind::Unknown if is_going_away(info.message()) => {
                    Self::Unavailable(info.message().to_owned())
                }
                _ => Self::Query(error),
            },
            _ => Self::Query(error),
        }
    }
}

impl From<ConnectionError> for Error {
    fn from(error: ConnectionError) -> Self {
        Self::Unavailable(error.to_string())
    }
}

/// Diesel passes no SQLSTATE on, so a server that stops, starts, is full or has cut us off is known by its words.
fn is_going_away(message: &str) -> bool {
    const STARTS: &[&str] = &[
        "terminating connection",
        "the database system is",
        "sorry, too many clients",
        "remaining connection slots",
        "too many connections",
        // A time-out, a conflict with recovery, an operator.
        "canceling ",
        "deadlock detected",
        "could not obtain lock",
        "out of memory",
        "out of shared memory",
        "could not extend file",
        "could not write",
        "could not open file",
        "could not resize shared memory",
        "could not access status",
    ];
    STARTS.iter().any(|start| message.starts_with(start)) || message.contains("No space left on device")
}

/// The classes "data exception" and "program limit exceeded", as far as values of ours can bring them about.
fn is_refused_value(message: &str) -> bool {
    const STARTS: &[&str] = &[
        "unsupported Unicode escape sequence",
        "invalid byte sequence for encoding",
        "invalid input syntax",
        "invalid memory alloc request size",
        "value too long",
        "string too long",
        "total size of jsonb",
        "number of jsonb",
        "index row size",
        "division by zero",
        "row is too big",
    ];
    STARTS.iter().any(|start| message.starts_with(start)) || message.contains("out of range")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(kind: DatabaseErrorKind, message: &str) -> Error {
        Diesel::DatabaseError(kind, Box::new(message.to_owned())).into()
    }

    #[test]
    fn a_server_in_trouble_is_worth_another_try_and_blames_no_data() {
        for message in [
            "could not extend file \"base/5/16384\": No space left on device",
            "could not write to file \"pg_wal/xlogtemp.1\": No space left on device",
            "out of memory",
            "deadlock detected",
            "canceling statement due to conflict with recovery",
            "canceling autovacuum task",
            "terminating connection due to administrator command",
            "remaining connection slots are reserved for roles with the SUPERUSER attribute",
        ] {
            let error = said(DatabaseErrorKind::Unknown, message);
            assert!(error.is_retryable() && !error.is_caused_by_data(), "{message}");
        }
    }

    #[test]
    fn values_that_postgres_refuses_are_to_blame_themselves() {
        for message in [
            "unsupported Unicode escape sequence",
            "invalid byte sequence for encoding \"UTF8\": 0x00",
            "value \"99999999999\" is out of range for type integer",
        ] {
            let error = said(DatabaseErrorKind::Unknown, message);
            assert!(error.is_caused_by_data() && !error.is_retryable(), "{message}");
        }
        let of_rows = [
            DatabaseErrorKind::CheckViolation,
            DatabaseErrorKind::NotNullViolation,
            DatabaseErrorKind::ForeignKeyViolation,
            DatabaseErrorKind::UniqueViolation,
        ];
        for kind in of_rows {
            assert!(said(kind, "a row is refused").is_caused_by_data());
        }
    }

    #[test]
    fn a_trouble_nobody_has_named_blames_no_data() {
        assert!(!said(DatabaseErrorKind::Unknown, "permission denied for table journal").is_caused_by_data());
        assert!(!said(DatabaseErrorKind::Unknown, "cached plan must not change").is_caused_by_data());
    }
}
