//! How the store fails: one error for the crate, with a variant only where somebody acts on it.
//!
//! Decides which failures of Postgres are worth another try. Maps nothing to the wire.

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
    /// No such row, or it belongs to another organisation: the two look alike on purpose.
    #[error("find it: no such {0}")]
    NotFound(&'static str),
    /// The id (or another value that must be unique) is taken.
    #[error("create it: {0} exists already")]
    AlreadyExists(&'static str),
    /// The row is not in the state the caller believed: a stale etag, or a step that came too late.
    #[error("change it: {0}")]
    Conflict(&'static str),
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
        matches!(self, Self::Unavailable(_))
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

/// Diesel passes no SQLSTATE on, so a server that stops, starts or has no slot left is known by its words.
fn is_going_away(message: &str) -> bool {
    ["terminating connection", "the database system is", "canceling statement", "sorry, too many clients"]
        .iter()
        .any(|start| message.starts_with(start))
}
