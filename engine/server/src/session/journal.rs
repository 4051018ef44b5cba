//! The journal of live calls: what went in and what was decided, written by one task at most a second late.
//!
//! The hall hands entries over without waiting; they wait in memory, bounded for each call and for all, while
//! Postgres is away and are written in order when it is back. A call is closed through the same queue, so its end
//! never overtakes its last entries. What belongs to a call that another node has taken is dropped. Turning a fact into JSON happens in the writing task, not in the hall.
//! Enter at [`Journal::start`]; a call notes through its own [`CallLine`].

mod write;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use parlance_conversation::{EndReason, Event, Input, Now};
use parlance_store::calls::Used;
use parlance_store::ownership::Owner;
use parlance_store::{CallId, OrganisationId, Store};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, MissedTickBehavior};

use super::ownership::Ownership;
use write::Shelf;

/// Entries that may wait for Postgres, all calls together: a minute of a hundred busy calls.
const WAITING_MAX: usize = 200_000;
/// Entries of one call that may wait: ten minutes of a busy one. The rest of the room is for the others.
const WAITING_MAX_OF_CALL: usize = 20_000;
/// How often waiting entries are written.
const FLUSH_EVERY: Duration = Duration::from_millis(500);
/// How long the end of a call waits for Postgres to have it before those concerned are told anyway.
pub const CLOSE_WAIT: Duration = Duration::from_secs(2);
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
    /// Who holds it and may write. Nobody writes nothing, and ends it only if no session has
    /// begun.
    pub owner: Owner,
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
    /// When it ended, taken by whoever closes it: the row may be written much later.
    pub at: jiff::Timestamp,
    /// Why it ended.
    pub reason: EndReason,
    /// More, for people.
    pub message: String,
    /// Where its recording lies.
    pub recording: Option<String>,
    /// What it used and cost; none if it never began.
    pub used: Option<Used>,
}

/// What a flush left unwritten.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("write {entries} journal entries and {ends} ends of calls")]
pub struct Unwritten {
    /// Journal entries.
    pub entries: usize,
    /// Ends of calls.
    pub ends: usize,
}

enum Item {
    Entry(Arc<Line>, Entry),
    Close(CallKey, Closing, oneshot::Sender<()>),
    Flush(oneshot::Sender<()>),
}

/// What waits, all calls together.
#[derive(Default)]
struct Waiting {
    entries: AtomicUsize,
    ends: AtomicUsize,
    /// Entries that found no place, ever.
    lost: AtomicU64,
}

/// One call's share of what waits.
struct Line {
    key: CallKey,
    waiting: AtomicUsize,
    lost: AtomicU64,
    all: Arc<Waiting>,
}

impl Line {
    /// Takes a place for an entry; none when this call or all together have had their share.
    fn enter(&self) -> bool {
        if self.waiting.load(Ordering::Relaxed) >= WAITING_MAX_OF_CALL
            || self.all.entries.load(Ordering::Relaxed) >= WAITING_MAX
        {
            return false;
        }
        self.waiting.fetch_add(1, Ordering::Relaxed);
        self.all.entries.fetch_add(1, Ordering::Relaxed);
        true
    }

    fn leave(&self, entries: usize) {
        self.waiting.fetch_sub(entries, Ordering::Relaxed);
        self.all.entries.fetch_sub(entries, Ordering::Relaxed);
    }
}

/// Where calls are closed, and where each gets its line.
#[derive(Clone)]
pub struct Journal {
    // Unbounded, so that nobody ever waits to hand over: entries are bounded by their count, ends by the calls.
    sender: mpsc::UnboundedSender<Item>,
    waiting: Arc<Waiting>,
    ownership: Arc<Ownership>,
}

impl Journal {
    /// Starts the writing task; it ends when every `Journal` and [`CallLine`] is gone and all is written.
    pub fn start(store: Store, ownership: Arc<Ownership>) -> (Self, tokio::task::JoinHandle<()>) {
        Self::start_on(store, ownership)
    }

    fn start_on(shelf: impl Shelf, ownership: Arc<Ownership>) -> (Self, tokio::task::JoinHandle<()>) {
        let (sender, receiver) = mpsc::unbounded_channel();
        let waiting = Arc::<Waiting>::default();
        let batch = Batch::new(waiting.clone(), ownership.clone());
        let writer = tokio::spawn(Writer { shelf, receiver, batch }.run());
        (Self { sender, waiting, ownership }, writer)
    }

    /// The line of a call; one for each call, or its bound counts for nothing.
    pub fn for_call(&self, key: CallKey) -> CallLine {
        let line =
            Line { key, waiting: AtomicUsize::new(0), lost: AtomicU64::new(0), all: self.waiting.clone() };
        CallLine { sender: self.sender.clone(), line: Arc::new(line) }
    }

    /// How many entries wait to be written, all calls together.
    pub fn waiting(&self) -> u64 {
        self.waiting.entries.load(Ordering::Relaxed) as u64
    }

    /// How many entries were lost since the start.
    pub fn lost(&self) -> u64 {
        self.waiting.lost.load(Ordering::Relaxed)
    }

    /// Closes a call after its last entry. Resolves when Postgres has it, or gives up waiting after `limit`
    /// (the writer goes on trying).
    pub async fn close(&self, key: CallKey, closing: Closing, limit: Duration) {
        let (done, wait) = oneshot::channel();
        if key.owner != Owner::NOBODY {
            self.ownership.closing(key.call);
        }
        self.waiting.ends.fetch_add(1, Ordering::Relaxed);
        if self.sender.send(Item::Close(key, closing, done)).is_ok() {
            // An error here is only the time-out; the writer keeps the item.
            tokio::time::timeout(limit, wait).await.ok();
        }
    }

    /// Resolves when everything handed over so far is written.
    ///
    /// # Errors
    /// What still waits after `limit`.
    pub async fn flush(&self, limit: Duration) -> Result<(), Unwritten> {
        let (done, wait) = oneshot::channel();
        if self.sender.send(Item::Flush(done)).is_ok()
            && let Ok(Ok(())) = tokio::time::timeout(limit, wait).await
        {
            return Ok(());
        }
        Err(Unwritten {
            entries: self.waiting.entries.load(Ordering::Relaxed),
            ends: self.waiting.ends.load(Ordering::Relaxed),
        })
    }
}

/// Where one call hands its entries over.
pub struct CallLine {
    sender: mpsc::UnboundedSender<Item>,
    line: Arc<Line>,
}

impl CallLine {
    /// Hands an entry over. Never waits; when a bound is reached the entry is lost and counted.
    pub fn append(&self, entry: Entry) {
        let offset = entry.offset;
        if self.line.enter() && self.sender.send(Item::Entry(self.line.clone(), entry)).is_ok() {
            return;
        }
        self.line.all.lost.fetch_add(1, Ordering::Relaxed);
        if self.line.lost.fetch_add(1, Ordering::Relaxed) == 0 {
            let call = self.line.key.call;
            tracing::error!(%call, offset, "journal entries are lost from here: too many wait for the database");
        }
    }
}

impl Drop for CallLine {
    fn drop(&mut self) {
        let lost = self.line.lost.load(Ordering::Relaxed);
        if lost > 0 {
            tracing::error!(call = %self.line.key.call, lost, "journal entries of the call were lost");
        }
    }
}

/// What waits of one call.
struct Lane {
    line: Arc<Line>,
    entries: Vec<Entry>,
}

struct Batch {
    lanes: BTreeMap<CallKey, Lane>,
    closings: Vec<(CallKey, Closing, oneshot::Sender<()>)>,
    flushed: Vec<oneshot::Sender<()>>,
    /// Calls of which there is something new to see, to be told to every node.
    news: BTreeSet<CallId>,
    waiting: Arc<Waiting>,
    ownership: Arc<Ownership>,
}

impl Batch {
    fn new(waiting: Arc<Waiting>, ownership: Arc<Ownership>) -> Self {
        let (lanes, news) = Default::default();
        Self { lanes, closings: Vec::new(), flushed: Vec::new(), news, waiting, ownership }
    }

    fn is_empty(&self) -> bool {
        self.lanes.is_empty() && self.closings.is_empty() && self.flushed.is_empty()
    }

    fn add(&mut self, item: Item) {
        match item {
            Item::Entry(line, entry) => {
                let lane = self.lanes.entry(line.key).or_insert_with(|| Lane { line, entries: Vec::new() });
                lane.entries.push(entry);
            }
            Item::Close(key, closing, done) => self.closings.push((key, closing, done)),
            Item::Flush(done) => self.flushed.push(done),
        }
    }
}

struct Writer<S> {
    shelf: S,
    receiver: mpsc::UnboundedReceiver<Item>,
    batch: Batch,
}

impl<S: Shelf> Writer<S> {
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
    /// What comes in meanwhile is taken along: one call in trouble holds up no other.
    async fn flush(&mut self) {
        loop {
            while let Ok(item) = self.receiver.try_recv() {
                self.batch.add(item);
            }
            if self.batch.is_empty() {
                return;
            }
            if let Err(error) = write::batch(&self.shelf, &mut self.batch).await {
                tracing::warn!(%error, "journal waits for the database");
                tokio::time::sleep(RETRY_EVERY).await;
            }
        }
    }
}
