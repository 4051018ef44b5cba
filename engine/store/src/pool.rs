//! The engine's pool: every connection in it has laid down the rights of its login.
//!
//! Each connection does `SET ROLE parlance_engine` before anyone gets it, so row-level security holds even
//! where the login is a superuser. Limits on the server's side end a statement or transaction that a
//! cancelled task left behind.

use std::time::Duration;

use diesel::ConnectionError;
use diesel_async::pooled_connection::{AsyncDieselConnectionManager, ManagerConfig, bb8};
use diesel_async::{AsyncPgConnection, SimpleAsyncConnection};
use futures_util::FutureExt;

use crate::connect::DatabaseUrl;
use crate::{Error, Result};

pub(crate) type Pool = bb8::Pool<AsyncPgConnection>;

/// The role the engine works as: no login, no superuser, no BYPASSRLS, owner of nothing.
pub(crate) const ENGINE_ROLE: &str = "parlance_engine";
/// The schema all of our tables are in.
pub(crate) const SCHEMA: &str = "parlance";

const CHECKOUT_TIMEOUT: Duration = Duration::from_secs(5);
const IDLE_CONNECTIONS: u32 = 2;
/// One for the renewal, one for a sweep that is slow to let go of its own.
const LEASE_CONNECTIONS: u32 = 2;

/// The pool that everybody shares.
pub(crate) async fn open(url: DatabaseUrl, size: u32) -> Result<Pool> {
    open_with(url, size, IDLE_CONNECTIONS).await
}

/// The pool of leases alone, which no tenant's queries can use up. It connects when it is first used.
pub(crate) async fn open_for_leases(url: DatabaseUrl) -> Result<Pool> {
    open_with(url, LEASE_CONNECTIONS, 0).await
}

async fn open_with(url: DatabaseUrl, size: u32, idle: u32) -> Result<Pool> {
    let mut config = ManagerConfig::<AsyncPgConnection>::default();
    config.custom_setup = Box::new(move |_| {
        let url = url.clone();
        async move { engine_connection(&url).await }.boxed()
    });
    let connections = AsyncDieselConnectionManager::new_with_config("", config);
    bb8::Pool::builder()
        .max_size(size.max(1))
        .min_idle(idle.min(size.max(1)))
        .connection_timeout(CHECKOUT_TIMEOUT)
        .error_sink(Box::new(LogErrors))
        .build(connections)
        .await
        .map_err(|error| Error::Unavailable(error.to_string()))
}

async fn engine_connection(url: &DatabaseUrl) -> Result<AsyncPgConnection, ConnectionError> {
    let mut conn = url.connect().await.map_err(|e| ConnectionError::BadConnection(e.to_string()))?;
    let setup = format!(
        "SET ROLE {ENGINE_ROLE}; SET search_path TO {SCHEMA}; SET statement_timeout = '15s'; \
         SET idle_in_transaction_session_timeout = '30s'"
    );
    conn.batch_execute(&setup).await.map_err(ConnectionError::CouldntSetupConfiguration)?;
    Ok(conn)
}

/// bb8 tells a waiting task only that time ran out; the reason is logged here.
#[derive(Debug, Clone)]
struct LogErrors;

impl ::bb8::ErrorSink<diesel_async::pooled_connection::PoolError> for LogErrors {
    fn sink(&self, error: diesel_async::pooled_connection::PoolError) {
        tracing::warn!(%error, "a database connection could not be made or was lost");
    }

    fn boxed_clone(&self) -> Box<dyn ::bb8::ErrorSink<diesel_async::pooled_connection::PoolError>> {
        Box::new(self.clone())
    }
}
