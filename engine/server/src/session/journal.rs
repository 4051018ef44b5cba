//! The journal of live calls: what went in and what was decided, written by one task at most a second late.
//!
//! The hall hands entries over without waiting; they wait in memory, bounded, while Postgres is away and
//! are written in order when it is back. A call is closed through the same queue, so its end never
//! overtakes its last entries. Turning a fact into JSON happens here, not in the hall.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parlance_conversation::{EndReason, Event, Input, Now};
use parlance_store::{CallId, OrganisationId, Store};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, MissedTickBehavior};

/// Entries that may wait for Postgres, all calls together: a minute of a hundred busy calls.
const WAITING_MAX: usize = 200_000;
/// How often waiting entries are written.
const FLUSH_EVERY: Duration = Duration::from_millis(500);
/// The kind of entries that say what went in.
pub const FACT: &str = "fact";
/// The kind of entries that say what was decided and told.
pub const TOLD: &str = "told";
/// Pause after Postgres refused a batch.
const RETRY_EVERY: Duration = Duration::from_secs(1);

/// Whose entry it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct CallKey {
    /// The call's organisation.
    pub organisation: OrganisationId,
    /// The call.
    pub call: CallId,
}

/// One entry, as the hall hands it over.
pub struct Entry {
    /// Place in its call's journal.
    pub offset: u64,
    /// When it was handled.
    pub now: Now,
    /// What.
    pub record: Record,
}

/// A fact or a decision.
pub enum Record {
    /// What went in.
    Fact(Input),
    /// What was decided and told.
    Told(Event),
}

/// How a call is closed.
pub struct Closing {
    /// Why it ended.
    pub reason: EndReason,
    /// More, for people.
    pub message: String,
    /// Where its recording lies.
    pub recording: Option<String>,
}

enum Item {
    Entry(CallKey, Entry),
    Close(CallKey, Closing, oneshot::Sender<()>),
    Flush(oneshot::Sender<()>),
}

/// Where halls hand their entries over.
#[derive(Clone)]
pub struct Journal {
    sender: mpsc::Sender<Item>,
    waiting: Arc<AtomicU64>,
    lost: Arc<AtomicU64>,
}

impl Journal {
    /// Starts the writing task; it ends when every `Journal` is gone and all is written.
    pub fn start(store: Store) -> (Self, tokio::task::JoinHandle<()>) {
        let (sender, receiver) = mpsc::channel(WAITING_MAX);
        let waiting = Arc::<AtomicU64>::default();
        let batch = Batch { waiting: waiting.clone(), ..Batch::default() };
        let writer = tokio::spawn(Writer { store, receiver, batch }.run());
        (Self { sender, waiting, lost: Arc::default() }, writer)
    }

    /// Hands an entry over. Never waits; when the bound is reached the entry is lost and counted.
    pub fn append(&self, key: CallKey, entry: Entry) {
        // Counted first: the writer may have it, and take it off again, before this returns.
        self.waiting.fetch_add(1, Ordering::Relaxed);
        if self.sender.try_send(Item::Entry(key, entry)).is_err() {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
            let lost = self.lost.fetch_add(1, Ordering::Relaxed);
            if lost.is_multiple_of(1_000) {
                tracing::error!(lost = lost + 1, "journal entries lost: the database is away for too long");
            }
        }
    }

    /// Closes a call after its last entry. Resolves when Postgres has it, or gives up waiting after `limit`
    /// (the writer goes on trying).
    pub async fn close(&self, key: CallKey, closing: Closing, limit: Duration) {
        let (done, wait) = oneshot::channel();
        if self.sender.send(Item::Close(key, closing, done)).await.is_ok() {
            // An error here is only the time-out; the writer keeps the item.
            tokio::time::timeout(limit, wait).await.ok();
        }
    }
}

impl Journal {
    /// Entries handed over and not yet in Postgres.
    pub fn waiting(&self) -> u64 {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Entries lost because too many waited, since the start.
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    /// Resolves when everything handed over so far is written, or after `limit`.
    pub async fn flush(&self, limit: Duration) {
        let (done, wait) = oneshot::channel();
        if self.sender.send(Item::Flush(done)).await.is_ok() {
            tokio::time::timeout(limit, wait).await.ok();
        }
    }
}

#[derive(Default)]
struct Batch {
    entries: BTreeMap<CallKey, Vec<Entry>>,
    closings: Vec<(CallKey, Closing, oneshot::Sender<()>)>,
    flushed: Vec<oneshot::Sender<()>>,
    waiting: Arc<AtomicU64>,
}

impl Batch {
    /// Lets a call's entries go: they are written, or can't be.
    fn settled(&mut self, key: CallKey) {
        let entries = self.entries.remove(&key).map_or(0, |entries| entries.len() as u64);
        self.waiting.fetch_sub(entries, Ordering::Relaxed);
    }

    fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.closings.is_empty() && self.flushed.is_empty()
    }

    fn add(&mut self, item: Item) {
        match item {
            Item::Entry(key, entry) => self.entries.entry(key).or_default().push(entry),
            Item::Close(key, closing, done) => self.closings.push((key, closing, done)),
            Item::Flush(done) => self.flushed.push(done),
        }
    }
}

struct Writer {
    store: Store,
    receiver: mpsc::Receiver<Item>,
    batch: Batch,
}

impl Writer {
    async fn run(mut self) {
        let mut tick = tokio::time::interval_at(Instant::now() + FLUSH_EVERY, FLUSH_EVERY);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                item = self.receiver.recv() => match item {
                    Some(item) => {
                        let closes = matches!(item, Item::Close(..) | Item::Flush(..));
                        self.batch.add(item);
                        if closes {
                            self.flush().await;
                        }
                    }
                    None => break,
                },
                _ = tick.tick() => self.flush().await,
            }
        }
        self.flush().await;
    }

    /// Writes everything that waits; tries again for ever, because the entries behind it must not overtake.
    async fn flush(&mut self) {
        while let Ok(item) = self.receiver.try_recv() {
            self.batch.add(item);
        }
        while !self.batch.is_empty() {
            match write::batch(&self.store, &mut self.batch).await {
                Ok(()) => return,
                Err(error) => {
                    tracing::warn!(%error, "journal waits for the database");
                    tokio::time::sleep(RETRY_EVERY).await;
                }
            }
        }
    }
}

#[path = "journal_write.rs"]
mod write;
