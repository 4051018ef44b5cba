//! The unit of work: one transaction that knows its organisation from the first statement to the last.
//!
//! The organisation is set for the transaction only, so a connection goes back to the pool knowing none.
//! A task that is dropped in mid-transaction loses its connection with it: the pool throws away what is not
//! at rest. Enter at [`Scope::run`]; the functions of the aggregates take a [`Scope`] and do just that.

use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};

use diesel_async::pooled_connection::bb8::PooledConnection;
use diesel_async::{AnsiTransactionManager, AsyncPgConnection, TransactionManager};
use futures_util::future::BoxFuture;

use crate::pool::Pool;
use crate::{Error, OrganisationId, Result};

/// A transaction under way, to be used like a connection.
///
/// `'env` is how long the things live that the work borrows from outside. Boxed futures over this type are taken
/// instead of `async` closures: those make rustc's incremental builds fail now and then (unstable fingerprints).
pub struct Work<'env> {
    conn: PooledConnection<'static, AsyncPgConnection>,
    borrows: PhantomData<&'env ()>,
}

impl Deref for Work<'_> {
    type Target = AsyncPgConnection;
    fn deref(&self) -> &AsyncPgConnection {
        &self.conn
    }
}

impl DerefMut for Work<'_> {
    fn deref_mut(&mut self) -> &mut AsyncPgConnection {
        &mut self.conn
    }
}

/// The rows of one organisation. Cheap to clone; holds no connection until it runs something.
#[derive(Clone)]
pub struct Scope {
    pool: Pool,
    organisation: OrganisationId,
}

impl Scope {
    pub(crate) fn new(pool: Pool, organisation: OrganisationId) -> Self {
        Self { pool, organisation }
    }

    /// The organisation whose rows are in reach.
    pub fn organisation(&self) -> OrganisationId {
        self.organisation
    }

    /// Runs `work` in one transaction: committed when it gives `Ok`, rolled back when it gives `Err`.
    /// Written as `scope.run(|conn| Box::pin(async move { … }))`.
    ///
    /// # Errors
    /// Those of `work`, [`Error::Unavailable`] when no connection came free within 5 s, and [`Error::Unsure`] when
    /// the connection broke while committing: make the work repeatable.
    pub async fn run<'env, T, F>(&self, work: F) -> Result<T>
    where
        F: for<'w> FnOnce(&'w mut Work<'env>) -> BoxFuture<'w, Result<T>> + Send,
        T: Send,
    {
        // One round trip for both. A UUID's text is hex and dashes, so it can be part of the statement.
        let begin = format!("BEGIN; SELECT set_config('app.organization', '{}', true)", self.organisation);
        transact(&self.pool, &begin, work).await
    }
}

/// A commit that was refused was not done; one that was not answered may have been.
fn unsure(error: diesel::result::Error) -> Error {
    match Error::from(error) {
        Error::Unavailable(cause) => Error::Unsure(cause),
        other => other,
    }
}

/// Runs `work` in a transaction that belongs to no organisation and so sees no rows of any.
pub(crate) async fn run_without_organisation<'env, T, F>(pool: &Pool, work: F) -> Result<T>
where
    F: for<'w> FnOnce(&'w mut Work<'env>) -> BoxFuture<'w, Result<T>> + Send,
    T: Send,
{
    transact(pool, "BEGIN", work).await
}

async fn transact<'env, T, F>(pool: &Pool, begin: &str, work: F) -> Result<T>
where
    F: for<'w> FnOnce(&'w mut Work<'env>) -> BoxFuture<'w, Result<T>> + Send,
    T: Send,
{
    let conn = pool.get_owned().await.map_err(|error| Error::Unavailable(error.to_string()))?;
    let mut unit = Work { conn, borrows: PhantomData };
    AnsiTransactionManager::begin_transaction_sql(&mut *unit.conn, begin).await?;
    match work(&mut unit).await {
        Ok(done) => {
            AnsiTransactionManager::commit_transaction(&mut *unit.conn).await.map_err(unsure)?;
            Ok(done)
        }
        Err(failure) => {
            // A failed roll-back leaves the connection broken, and the pool drops it; the first error says more.
            if let Err(error) = AnsiTransactionManager::rollback_transaction(&mut *unit.conn).await {
                tracing::debug!(%error, "could not roll back");
            }
            Err(failure)
        }
    }
}
