//! The unit of work: one transaction that knows its organisation from the first statement to the last.
//!
//! The organisation is set for the transaction only, so a connection goes back to the pool knowing none.
//! A task that is dropped in mid-transaction loses its connection with it: the pool throws away what is not
//! at rest. Enter at [`Scope::run`]; the functions of the aggregates take a [`Scope`] and do just that.

use diesel_async::{AnsiTransactionManager, AsyncPgConnection, TransactionManager};

use crate::pool::Pool;
use crate::{Error, OrganisationId, Result};

/// A connection inside a transaction.
pub type Connection = AsyncPgConnection;

/// What [`Scope::run`] takes: an `async` closure over a connection whose future may move between threads.
///
/// Never implement it: `async |conn| …` does. It exists because stable Rust has no other way to say so.
pub trait AsyncWork<Argument, Output>:
    AsyncFnOnce(Argument) -> Output + FnOnce(Argument) -> <Self as AsyncWork<Argument, Output>>::Future
{
    /// The future the closure returns.
    type Future: Future<Output = Output>;
}

impl<Work, Argument, Output, Running> AsyncWork<Argument, Output> for Work
where
    Work: AsyncFnOnce(Argument) -> Output + FnOnce(Argument) -> Running,
    Running: Future<Output = Output>,
{
    type Future = Running;
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
    ///
    /// # Errors
    /// Those of `work`, and [`Error::Unavailable`] when no connection came free within 5 s. An error while
    /// committing leaves it open whether the work was done: make the work repeatable.
    pub async fn run<T, Work>(&self, work: Work) -> Result<T>
    where
        for<'c> Work: AsyncFnOnce(&'c mut Connection) -> Result<T>
            + AsyncWork<&'c mut Connection, Result<T>, Future: Send>
            + Send,
        T: Send,
    {
        // One round trip for both. A UUID's text is hex and dashes, so it can be part of the statement.
        let begin = format!("BEGIN; SELECT set_config('app.organization', '{}', true)", self.organisation);
        transact(&self.pool, &begin, work).await
    }
}

/// Runs `work` in a transaction that belongs to no organisation and so sees no rows of any.
pub(crate) async fn run_without_organisation<T, Work>(pool: &Pool, work: Work) -> Result<T>
where
    for<'c> Work: AsyncFnOnce(&'c mut Connection) -> Result<T>
        + AsyncWork<&'c mut Connection, Result<T>, Future: Send>
        + Send,
    T: Send,
{
    transact(pool, "BEGIN", work).await
}

async fn transact<T, Work>(pool: &Pool, begin: &str, work: Work) -> Result<T>
where
    for<'c> Work: AsyncFnOnce(&'c mut Connection) -> Result<T>
        + AsyncWork<&'c mut Connection, Result<T>, Future: Send>
        + Send,
    T: Send,
{
    let mut conn = pool.get().await.map_err(|error| Error::Unavailable(error.to_string()))?;
    AnsiTransactionManager::begin_transaction_sql(&mut *conn, begin).await?;
    match work(&mut conn).await {
        Ok(done) => {
            AnsiTransactionManager::commit_transaction(&mut *conn).await?;
            Ok(done)
        }
        Err(failure) => {
            // A failed roll-back leaves the connection broken, and the pool drops it; the first error says more.
            if let Err(error) = AnsiTransactionManager::rollback_transaction(&mut *conn).await {
                tracing::debug!(%error, "could not roll back");
            }
            Err(failure)
        }
    }
}
