//! The store as a whole: which database, opened and brought to this version; and how it is closed.
//!
//! Enter at [`Store::open`]. A private cluster belongs to whoever opened it last: [`Store::close`] stops it
//! unless another process uses it still. Dropped without closing (a crash), the server goes on and the next
//! start adopts it.

use std::sync::{Arc, Mutex, PoisonError};

use futures_util::future::BoxFuture;

use crate::audit::{self, TenancyAudit};
use crate::connect::DatabaseUrl;
use crate::migrate::{self, Migrated};
use crate::notices::{self, Listening, Notice};
use crate::pool::{self, Pool};
use crate::private_cluster::{ClusterConfig, ClusterError, PrivateCluster};
use crate::tenancy::{self, Scope, Work};
use crate::{CallId, Error, OrganisationId, Result, organisations};

/// Which Postgres to use.
#[derive(Debug, Clone)]
pub enum Database {
    /// One that somebody else runs (`DATABASE_URL`).
    Url(DatabaseUrl),
    /// One of our own, started when needed.
    Private(ClusterConfig),
}

/// How to open a store.
#[derive(Debug, Clone)]
pub struct StoreConfig {
    /// Which Postgres.
    pub database: Database,
    /// Connections at most, at least 1; leases have two more of their own. 16 is enough for hundreds of calls; each costs the server some 10 MB.
    pub pool_size: u32,
}

impl StoreConfig {
    /// `database` with a pool of 16.
    pub fn new(database: Database) -> Self {
        Self { database, pool_size: 16 }
    }
}

/// An open, migrated database. Clones share its pools.
#[derive(Clone)]
pub struct Store {
    pool: Pool,
    lease_pool: Pool,
    url: DatabaseUrl,
    migrated: Migrated,
    cluster: Arc<Mutex<Option<PrivateCluster>>>,
}

impl Store {
    /// Starts the private cluster if that is chosen, migrates, opens the pool and makes the default organisation
    /// where it is missing. Needs a multi-threaded tokio runtime.
    ///
    /// # Errors
    /// [`Error::Cluster`] when the private cluster can't start, [`Error::Unavailable`] when the database can't be
    /// reached, [`Error::Setup`] when it is not fit: the message says what to do.
    pub async fn open(config: StoreConfig) -> Result<Self> {
        let (cluster, url) = match config.database {
            Database::Url(url) => (None, url),
            Database::Private(cluster) => {
                let cluster = blocking(move || PrivateCluster::start(&cluster)).await?;
                let url = DatabaseUrl::parse(cluster.url(), false)?;
                (Some(cluster), url)
            }
        };
        let opened = open_database(&url, config.pool_size).await;
        match (opened, cluster) {
            (Ok((pool, lease_pool, migrated)), cluster) => {
                Ok(Self { pool, lease_pool, url, migrated, cluster: Arc::new(Mutex::new(cluster)) })
            }
            (Err(error), Some(cluster)) => {
                blocking(move || cluster.stop()).await?;
                Err(error)
            }
            (Err(error), None) => Err(error),
        }
    }

    /// Migrates the database and nothing more, as `parlance migrate` does. A private cluster is stopped again.
    ///
    /// # Errors
    /// As [`Store::open`].
    pub async fn migrate(database: Database) -> Result<Migrated> {
        match database {
            Database::Url(url) => migrate::migrate(&url).await,
            Database::Private(config) => {
                let cluster = blocking(move || PrivateCluster::start(&config)).await?;
                let url = DatabaseUrl::parse(cluster.url(), false)?;
                let migrated = migrate::migrate(&url).await;
                blocking(move || cluster.stop()).await?;
                migrated
            }
        }
    }

    /// The rows of `organisation`. Asks the database nothing yet.
    pub fn scope(&self, organisation: OrganisationId) -> Scope {
        Scope::new(self.pool.clone(), organisation)
    }

    /// Runs `work` in a transaction of no organisation: it sees no rows and may call the few functions meant
    /// for it, such as the look-up of a key.
    ///
    /// # Errors
    /// As [`Scope::run`].
    pub async fn run_without_organisation<'env, T, F>(&self, work: F) -> Result<T>
    where
        F: for<'w> FnOnce(&'w mut Work<'env>) -> BoxFuture<'w, Result<T>> + Send,
        T: Send,
    {
        tenancy::run_without_organisation(&self.pool, work).await
    }

    /// The same on connections of its own, for leases: they must be renewed however busy the others are.
    pub(crate) async fn run_for_leases<'env, T, F>(&self, work: F) -> Result<T>
    where
        F: for<'w> FnOnce(&'w mut Work<'env>) -> BoxFuture<'w, Result<T>> + Send,
        T: Send,
    {
        tenancy::run_without_organisation(&self.lease_pool, work).await
    }

    /// Looks at the engine's own rights and at what is seen without an organisation. For `doctor` and tests.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when the database can't be reached.
    pub async fn tenancy_audit(&self) -> Result<TenancyAudit> {
        audit::audit(&self.pool).await
    }

    /// Asks the database for a sign of life, for health checks.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when there is none within 5 s.
    pub async fn ping(&self) -> Result<()> {
        // A checked-out connection has just answered a query of the pool's own.
        let conn = self.pool.get().await.map_err(|error| Error::Unavailable(error.to_string()))?;
        drop(conn);
        Ok(())
    }

    /// Hears what the nodes on this database tell one another, until the value given back is dropped. `hear` is
    /// called for each notice, in order, and must not block.
    pub fn listen(&self, hear: impl Fn(Notice) + Send + Sync + 'static) -> Listening {
        notices::listen(self.url.clone(), hear)
    }

    /// Tells every node, this one too, that the journals of these calls have grown or that the calls are over.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when the database can't be reached.
    pub async fn tell_written(&self, calls: &[CallId]) -> Result<()> {
        let mut conn = self.pool.get().await.map_err(|error| Error::Unavailable(error.to_string()))?;
        for calls in calls.chunks(notices::CALLS_PER_NOTICE) {
            notices::tell(&mut conn, &Notice::Written(calls.to_vec())).await?;
        }
        Ok(())
    }

    /// What opening the store changed in the database.
    pub fn migrated(&self) -> &Migrated {
        &self.migrated
    }

    /// Where the database is, without its password.
    pub fn place(&self) -> String {
        self.url.to_string()
    }

    /// The address of the private cluster, for `psql`; none for a database that somebody else runs.
    pub fn private_url(&self) -> Option<String> {
        let cluster = self.cluster.lock().unwrap_or_else(PoisonError::into_inner);
        cluster.as_ref().map(|cluster| cluster.url().to_owned())
    }

    /// Stops the private cluster, unless another process uses it still. Work through this store or a clone of
    /// it fails afterwards. Does nothing for a database that somebody else runs, nor a second time.
    ///
    /// # Errors
    /// [`Error::Cluster`] when the server did not stop.
    pub async fn close(&self) -> Result<()> {
        let cluster = self.cluster.lock().unwrap_or_else(PoisonError::into_inner).take();
        match cluster {
            Some(cluster) => blocking(move || cluster.stop()).await,
            None => Ok(()),
        }
    }
}

async fn open_database(url: &DatabaseUrl, pool_size: u32) -> Result<(Pool, Pool, Migrated)> {
    let migrated = migrate::migrate(url).await?;
    let pool = pool::open(url.clone(), pool_size).await?;
    let lease_pool = pool::open_for_leases(url.clone()).await?;
    organisations::ensure_default(&Scope::new(pool.clone(), OrganisationId::DEFAULT)).await?;
    Ok((pool, lease_pool, migrated))
}

/// Starting and stopping a server is plain blocking work of up to some seconds.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ClusterError> + Send + 'static,
) -> Result<T> {
    let done = tokio::task::spawn_blocking(work).await;
    Ok(done.map_err(|error| Error::Setup(error.to_string()))??)
}
