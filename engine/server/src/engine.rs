//! The engine: everything that calls share, opened once and closed once.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parlance_conversation::EndReason;
use parlance_store::ownership::Lease;
use parlance_store::private_cluster::ClusterConfig;
use parlance_store::{
    Database, DatabaseUrl, NodeId, OrganisationId, Store, StoreConfig, keys, organisations,
};
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

use crate::bus::Bus;
use crate::config::Config;
use crate::config::outside::Outside;
use crate::key_file::KeyFile;
use crate::leases::{self, Keeper};
use crate::metrics::{Backlog, Metrics};
use crate::prices::Prices;
use crate::providers::Providers;
use crate::rpc::agent::TestPlaces;
use crate::rpc::known_keys::KnownKeys;
use crate::session::journal::{CLOSE_WAIT, CallKey, Closing, Journal, Unwritten};
use crate::session::live::LiveCalls;
use crate::session::ownership::Ownership;
use crate::session::record::Recorder;
use crate::status::Refusal;
use crate::tools::addresses::Addresses;
use crate::tools::booking_backend::{self, BookingBackend};
use crate::tools::{OwnSecrets, Reach};
use crate::traces::export::{Collector, Traces};
use crate::unjoined;
use crate::vault::{self, Vault};

/// How long the last calls may take to let go when the engine closes: their recordings, ends and last messages.
const CALLS_WAIT: Duration = Duration::from_secs(15);
/// How long tools under way may take when the engine closes.
const TOOLS_WAIT: Duration = Duration::from_secs(10);
/// How long the journal may take when the engine closes.
const JOURNAL_WAIT: Duration = Duration::from_secs(10);
/// How long the last spans may take when the engine closes.
const TRACES_WAIT: Duration = Duration::from_secs(3);

/// Why the engine could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database.
    #[error(transparent)]
    Store(#[from] parlance_store::Error),
    /// A provider that is needed.
    #[error(transparent)]
    Provider(#[from] parlance_providers::Error),
    /// The master keys.
    #[error(transparent)]
    MasterKeys(#[from] vault::Error),
    /// The booking backend.
    #[error(transparent)]
    Booking(#[from] booking_backend::Error),
    /// What tools send requests with.
    #[error("make a client for tools: {0}")]
    Tools(reqwest::Error),
    /// A file or folder of ours.
    #[error("use {path}: {cause}")]
    File {
        /// Which.
        path: String,
        /// What the system said.
        cause: std::io::Error,
    },
}

/// What became of the first key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FirstKey {
    /// Made now and saved in the key file.
    Made(String),
    /// The key file holds one that this database knows.
    Known,
    /// This database has keys, but the key file holds none of them.
    Elsewhere,
}

/// Everything that calls share.
pub struct Engine {
    /// This process among all that share the database.
    pub node: NodeId,
    /// The database.
    pub store: Store,
    /// Who listens, thinks and speaks.
    pub providers: Providers,
    /// Where calls note what happens.
    pub journal: Journal,
    /// Writes recordings, unless that is off.
    pub recorder: Option<Recorder>,
    /// Where recordings lie, whether or not any are made now.
    pub recordings: PathBuf,
    /// What providers cost.
    pub prices: Arc<Prices>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Where spans go, if a collector is set.
    pub traces: Option<Traces>,
    /// Tells this run of this engine from every other; random, and no secret.
    pub instance: String,
    /// Calls that live here.
    pub live: Arc<LiveCalls>,
    /// How other nodes' calls are reached, and ours by them.
    pub bus: Bus,
    /// Places for sessions.
    pub places: Arc<Semaphore>,
    /// Places for tests of agents.
    pub tests: Arc<TestPlaces>,
    /// The keys seen lately.
    pub known_keys: KnownKeys,
    /// Calls that are this node's, from their taking to their written end.
    pub ownership: Arc<Ownership>,
    /// Their tasks.
    pub calls: TaskTracker,
    /// Tool runs under way: they may outlive their call and need the store to the end.
    pub tools: TaskTracker,
    /// What tools need beside the call.
    pub reach: Reach,
    /// Organisations' secrets that tools name.
    pub tool_secrets: Arc<OwnSecrets>,
    /// What became of the first key.
    pub first_key: FirstKey,
    leases: Keeper,
    refusing: AtomicBool,
    unjoined: unjoined::Watch,
}

impl Engine {
    /// Opens the store, the providers and the data folder.
    pub async fn open(config: &Config) -> Result<Self, Error> {
        let data_dir = data_dir(&config.data_dir)?;
        let vault = Arc::new(Vault::open(&config.master_keys)?);
        let providers = Providers::open(config, vault.clone())?;
        let booking = config.booking_base_url.as_deref().map(BookingBackend::open).transpose()?;
        let addresses = Addresses::new(config.tools.private_addresses.clone(), config.tools.plain_http);
        let tool_secrets = Arc::new(OwnSecrets::new(vault, config.tools.secrets.clone()));
        let reach = Reach::open(booking, addresses, tool_secrets.clone()).map_err(Error::Tools)?;
        let store = Store::open(StoreConfig::new(database(config)?)).await?;
        let recordings = data_dir.join("recordings");
        let (first_key, recorder) = match on_disk(config, &store, &recordings).await {
            Ok(made) => made,
            Err(error) => {
                // A private Postgres would be left behind; why the start failed is what counts.
                store.close().await.ok();
                return Err(error);
            }
        };
        let node = NodeId::new();
        let live = Arc::<LiveCalls>::default();
        let ownership = Arc::new(Ownership::new(Lease { node, length: config.lease }, live.clone()));
        let leases = leases::keep(store.clone(), ownership.clone());
        let (journal, writer) = Journal::start(store.clone(), ownership.clone());
        let calls = TaskTracker::new();
        calls.spawn(async move {
            if let Err(error) = writer.await {
                tracing::error!(%error, "the journal's writer failed");
            }
        });
        let refusing = AtomicBool::new(false);
        let bus = Bus::start(&store, live.clone());
        let places = Arc::new(Semaphore::new(config.max_sessions as usize));
        let known_keys = KnownKeys::new(config.requests_per_second);
        let metrics = Arc::<Metrics>::default();
        let join_within = Duration::from_secs(config.join_seconds);
        let unjoined = unjoined::watch(store.clone(), metrics.clone(), join_within);
        let tools = TaskTracker::new();
        let instance = uuid::Uuid::new_v4().to_string();
        let traces = traces(&config.outside, &instance);
        Ok(Self {
            node,
            store,
            providers,
            journal,
            recorder,
            recordings,
            prices: Arc::new(config.prices.clone()),
            metrics,
            traces,
            instance,
            live,
            bus,
            places,
            tests: Arc::default(),
            known_keys,
            ownership,
            calls,
            tools,
            reach,
            tool_secrets,
            first_key,
            leases,
            refusing,
            unjoined,
        })
    }

    /// Refuses new calls from now on.
    pub fn refuse_calls(&self) {
        self.refusing.store(true, Ordering::Relaxed);
    }

    /// Whether new calls are refused.
    pub fn refuses_calls(&self) -> bool {
        self.refusing.load(Ordering::Relaxed)
    }

    /// What lives and waits here at this moment, and what was lost.
    pub fn backlog(&self) -> Backlog {
        Backlog {
            calls_live: self.live.count() as u64,
            journal_waiting: self.journal.waiting(),
            journal_lost: self.journal.lost(),
            recording_lost: self.recorder.as_ref().map_or(0, Recorder::lost),
            spans_sent: self.traces.as_ref().map_or(0, Traces::sent),
            spans_dropped: self.traces.as_ref().map_or(0, Traces::dropped),
            calls_lost: self.ownership.calls_lost(),
            entries_fenced: self.ownership.entries_fenced(),
            lost_calls_closed: self.leases.closed(),
        }
    }

    /// Resolves when no call lives here any more.
    pub async fn wait_for_calls(&self) {
        while self.live.count() > 0 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// The civil date and time in `time_zone` or (empty) at the organisation, so that "Friday" means a date.
    pub async fn civil_now(
        &self,
        organisation: OrganisationId,
        time_zone: &str,
    ) -> Result<jiff::civil::DateTime, Refusal> {
        let time_zone = match time_zone {
            "" => organisations::get(&self.store.scope(organisation)).await?.time_zone,
            own => own.to_owned(),
        };
        let now = jiff::Timestamp::now().in_tz(&time_zone).map_err(|error| {
            tracing::error!(%error, time_zone, "the time zone is not known");
            Refusal::Internal
        })?;
        Ok(now.datetime())
    }

    /// Closes a call whose session could not be opened.
    pub async fn close_unopened(&self, key: CallKey) {
        let message = "the session could not be opened".to_owned();
        let at = jiff::Timestamp::now();
        let closing = Closing { at, reason: EndReason::ProviderFailed, message, recording: None, used: None };
        self.journal.close(key, closing, CLOSE_WAIT).await;
    }

    /// Ends what still lives, also a call that is only being opened, and waits for it, bounded.
    pub async fn end_calls(&self) {
        let ended = async {
            while self.live.count() > 0 {
                self.live.end_all(EndReason::Drained);
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        if tokio::time::timeout(CALLS_WAIT, ended).await.is_err() {
            tracing::error!(calls = self.live.count(), "calls did not end; their rows stay open");
        }
    }

    /// Ends the calls that are left, waits for them, their tools and their journal, then closes the store.
    /// Each wait is bounded; together they take half a minute at most.
    ///
    /// # Errors
    /// What of the journal could not be written; the store is closed all the same.
    pub async fn close(&self) -> Result<(), Unwritten> {
        self.refuse_calls();
        self.end_calls().await;
        self.tools.close();
        if tokio::time::timeout(TOOLS_WAIT, self.tools.wait()).await.is_err() {
            tracing::error!(runs = self.tools.len(), "tool runs did not end; their outcome is unknown");
        }
        if let Some(traces) = &self.traces {
            traces.close(TRACES_WAIT).await;
        }
        let flushed = self.journal.flush(JOURNAL_WAIT).await;
        if let Err(left) = &flushed {
            tracing::error!(
                entries = left.entries,
                ends = left.ends,
                "the journal could not be written to its end"
            );
        }
        self.unjoined.stop();
        self.bus.stop();
        self.leases.stop();
        if let Err(error) = self.store.close().await {
            tracing::warn!(%error, "the database was not stopped in order");
        }
        flushed
    }
}

/// What the engine keeps in its data folder beside the database: the first key, and recordings unless they are off.
async fn on_disk(
    config: &Config,
    store: &Store,
    recordings: &Path,
) -> Result<(FirstKey, Option<Recorder>), Error> {
    let first_key = first_key(store, &config.key_file()).await?;
    let start = || Recorder::start(recordings).map_err(|cause| file_error(recordings, cause));
    let recorder = (!config.no_recording).then(start).transpose()?;
    Ok((first_key, recorder))
}

fn data_dir(wanted: &Path) -> Result<PathBuf, Error> {
    std::fs::create_dir_all(wanted).map_err(|cause| file_error(wanted, cause))?;
    wanted.canonicalize().map_err(|cause| file_error(wanted, cause))
}

/// The variables of collectors are everybody's: what is wrong with them costs the traces, not the engine.
fn traces(outside: &Outside, instance: &str) -> Option<Traces> {
    let started = Collector::of(outside).and_then(|collector| {
        let start =
            |collector| Traces::start(collector, instance).map_err(|error| format!("could not {error}"));
        collector.map(start).transpose()
    });
    started.unwrap_or_else(|why| {
        tracing::warn!("no traces are sent: {why}");
        None
    })
}

/// Which database this configuration means.
pub fn database(config: &Config) -> Result<Database, Error> {
    Ok(match &config.database_url {
        Some(url) => Database::Url(DatabaseUrl::parse(url, false)?),
        None => {
            let cluster = ClusterConfig::new(data_dir(&config.data_dir)?.join("postgres"));
            Database::Private(ClusterConfig { binaries: config.postgres_bin.clone(), ..cluster })
        }
    })
}

/// Makes the default organisation's first key at first start and keeps it where the client side finds it.
async fn first_key(store: &Store, path: &Path) -> Result<FirstKey, Error> {
    let kept = std::fs::read_to_string(path).unwrap_or_default();
    if keys::find(store, kept.trim()).await?.is_some() {
        return Ok(FirstKey::Known);
    }
    // Before the key is made: once it is committed nobody can have its secret again.
    let file = KeyFile::prepare(path).map_err(|cause| file_error(path, cause))?;
    let scope = store.scope(OrganisationId::DEFAULT);
    match keys::create_first(&scope, &["admin".to_owned()]).await? {
        Some(made) => {
            file.save(&made.secret).map_err(|cause| file_error(path, cause))?;
            Ok(FirstKey::Made(made.secret))
        }
        None => Ok(FirstKey::Elsewhere),
    }
}

fn file_error(path: &Path, cause: std::io::Error) -> Error {
    Error::File { path: path.display().to_string(), cause }
}
