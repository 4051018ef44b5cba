//! A call's socket to a voice: opened before the first sentence, kept, opened anew when it is gone.
//!
//! Decides what becomes of sentences when a socket breaks: one of which nothing was told yet is spoken again on a fresh
//! socket, once; one that has sounded has failed. A socket the vendor closed while nobody spoke is opened again for the
//! next sentence. What is said on the wire is the [`Dialect`]'s. One task owns the socket. Enter at [`Line::open`].

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use reqwest::header::HeaderMap;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout};

use super::sentence::{BETWEEN, FIRST_AUDIO, Sentence, WHOLE};
use super::{Speech, WordTime};
use crate::wire::handshakes::Watch;
use crate::wire::http::{Failure, Refused};
use crate::wire::socket::{Limits, Received, Socket};
use crate::{Error, ErrorKind};

/// Orders that may wait for the task.
const ORDERS_MAX: usize = 64;
/// A vendor that has room for no sentence though none is spoken is given up after so long.
const ROOM_WITHIN: Duration = Duration::from_secs(2);
/// A farewell is sent within this.
const FAREWELL_WITHIN: Duration = Duration::from_millis(500);

/// Names a sentence on its line.
pub(super) type Id = u64;

/// What a vendor told.
#[derive(Debug)]
pub(super) enum Told {
    /// The next bytes of a sentence.
    Audio(Id, Vec<u8>),
    /// Times of its next words.
    Words(Id, Vec<WordTime>),
    /// It is complete.
    Finished(Id),
    /// It broke, the socket did not.
    Failed(Id, Error),
    /// The socket is no good any more.
    Broken(Error),
}

/// How a vendor speaks on a socket. It is told of every sentence it speaks until that is finished or cancelled.
pub(super) trait Dialect: Send + 'static {
    /// The service's registered name.
    fn provider(&self) -> &'static str;
    /// Where the socket is, with its query.
    fn address(&self) -> Result<String, Error>;
    /// What goes with the upgrade; may hold the key.
    fn headers(&self) -> Vec<(&'static str, String)>;
    /// What a refused upgrade means.
    fn refused(&self, refused: &Refused) -> Error;
    /// A fresh socket is open: all that was before is over.
    fn opened(&mut self);
    /// Whether another sentence may be spoken now.
    fn has_room(&self) -> bool;
    /// The messages that make it speak.
    fn speak(&mut self, id: Id, text: &str) -> Vec<String>;
    /// The messages that stop it.
    fn cancel(&mut self, id: Id) -> Vec<String>;
    /// What a message tells. [`Received::Closed`] does not come here.
    fn heard(&mut self, received: Received) -> Vec<Told>;
    /// What keeps an idle socket open, and how often.
    fn keep_alive(&self) -> Option<(Duration, String)> {
        None
    }
    /// What is said before the socket is closed.
    fn farewell(&self) -> Option<String> {
        None
    }
}

enum Order {
    Speak(Box<Job>),
    Cancel(Id),
}

struct Job {
    id: Id,
    text: String,
    sentence: Sentence,
    asked: Instant,
    is_second_try: bool,
    /// Is told of a handshake that the sentence waited for.
    watch: Option<Watch>,
    /// Counts as long as it is not done.
    counted: Counted,
}

impl Job {
    /// It is done: no longer counted when its end is told, because the next sentence may be asked for right then.
    fn done(self) -> Sentence {
        drop(self.counted);
        self.sentence
    }
}

struct Active {
    job: Job,
    began: Instant,
    due: Instant,
}

/// One of the sentences of a line.
struct Counted(Arc<AtomicUsize>);

impl Counted {
    fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::AcqRel);
        Self(Arc::clone(count))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// The way to a line's task; dropping it closes the socket.
pub(super) struct Line {
    provider: &'static str,
    orders: mpsc::Sender<Order>,
    load: Arc<AtomicUsize>,
    next_id: Id,
}

impl Line {
    /// Starts to open the socket and returns at once.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`] outside a tokio runtime.
    pub fn open(dialect: impl Dialect) -> Result<Self, Error> {
        let provider = dialect.provider();
        let runtime = Handle::try_current()
            .map_err(|error| Error::new(provider, ErrorKind::Unavailable, error.to_string()))?;
        let (orders, incoming) = mpsc::channel(ORDERS_MAX);
        let load = Arc::default();
        let task = Task {
            dialect,
            orders: incoming,
            load: Arc::clone(&load),
            opening: Watch::current(),
            socket: None,
            connected: None,
            waiting: VecDeque::new(),
            active: Vec::new(),
            no_room_since: None,
            last_sent: Instant::now(),
            last_heard: Instant::now(),
            request_id: None,
        };
        runtime.spawn(task.run());
        Ok(Self { provider, orders, load, next_id: 0 })
    }

    /// Sentences that are spoken or wait.
    pub fn load(&self) -> usize {
        self.load.load(Ordering::Acquire)
    }

    /// Speaks; dropping the result cancels it.
    ///
    /// # Errors
    /// [`ErrorKind::RateLimited`] when too many sentences wait.
    pub fn speak(&mut self, text: String, sentence: Sentence) -> Result<Speech, Error> {
        self.next_id += 1;
        let (id, cancelled) = (self.next_id, sentence.cancelled());
        let counted = Counted::new(&self.load);
        let (asked, watch) = (Instant::now(), Watch::current());
        let job = Job { id, text, sentence, asked, is_second_try: false, watch, counted };
        if self.orders.try_send(Order::Speak(Box::new(job))).is_err() {
            let message = format!("{ORDERS_MAX} sentences wait already");
            return Err(Error::new(self.provider, ErrorKind::RateLimited, message));
        }
        Ok(Box::new(Cancel { id, cancelled, orders: self.orders.downgrade() }))
    }
}

/// Cancels a sentence when dropped; does not keep the line open.
struct Cancel {
    id: Id,
    cancelled: Arc<AtomicBool>,
    orders: mpsc::WeakSender<Order>,
}

impl Drop for Cancel {
    fn drop(&mut self) {
        self.cancelled.store(true, Ordering::Release);
        if let Some(orders) = self.orders.upgrade() {
            // If there is no room now, the task sees the mark.
            drop(orders.try_send(Order::Cancel(self.id)));
        }
    }
}

struct Task<D> {
    dialect: D,
    orders: mpsc::Receiver<Order>,
    load: Arc<AtomicUsize>,
    /// Who opened the line; is told of the first handshake if no sentence waited for it.
    opening: Option<Watch>,
    socket: Option<Socket>,
    /// When the socket was open, and how long that took.
    connected: Option<(Instant, Duration)>,
    waiting: VecDeque<Job>,
    active: Vec<Active>,
    no_room_since: Option<Instant>,
    last_sent: Instant,
    last_heard: Instant,
    /// The vendor's id of the upgrade.
    request_id: Option<String>,
}

/// Headers in which vendors name a request.
const REQUEST_IDS: [&str; 4] = ["x-trace-id", "dg-request-id", "x-request-id", "request-id"];

fn request_id(headers: &HeaderMap) -> Option<String> {
    let id = REQUEST_IDS.iter().find_map(|name| headers.get(*name)?.to_str().ok());
    id.map(str::to_owned)
}

impl<D: Dialect> Task<D> {
    async fn run(mut self) {
        self.connect().await;
        loop {
            self.speak_waiting().await;
            let due = self.due();
            let order = match &mut self.socket {
                None => self.orders.recv().await,
                Some(socket) => tokio::select! {
                    biased;
                    order = self.orders.recv() => order,
                    received = socket.next() => {
                        self.heard(received).await;
                        continue;
                    }
                    () = sleep_until(due) => {
                        self.overdue().await;
                        continue;
                    }
                },
            };
            match order {
                Some(order) => self.take(order).await,
                None => return self.end().await,
            }
        }
    }

    async fn take(&mut self, order: Order) {
        match order {
            Order::Speak(job) => self.waiting.push_back(*job),
            Order::Cancel(id) => {
                self.waiting.retain(|job| job.id != id);
                if let Some(index) = self.active.iter().position(|active| active.job.id == id) {
                    self.active.swap_remove(index);
                    self.cancel(id).await;
                }
            }
        }
    }

    /// Opens the socket. When that fails, so have those who have waited for it.
    async fn connect(&mut self) {
        let began = Instant::now();
        let opened = match self.dialect.address() {
            Ok(address) => {
                let headers = self.dialect.headers();
                Socket::open(self.dialect.provider(), &address, &headers, Limits::default()).await
            }
            Err(error) => Err(Failure::Broken(error)),
        };
        match opened {
            Ok(socket) => {
                self.dialect.opened();
                self.request_id = request_id(&socket.headers);
                (self.last_sent, self.last_heard) = (Instant::now(), Instant::now());
                (self.socket, self.no_room_since) = (Some(socket), None);
                self.connected = Some((Instant::now(), began.elapsed()));
                let opening = self.opening.take().filter(|_| self.load.load(Ordering::Acquire) == 0);
                if let Some(watch) = opening {
                    watch.tell(began.elapsed());
                }
            }
            Err(failure) => {
                let error = match failure {
                    Failure::Refused(refused) => self.dialect.refused(&refused),
                    Failure::Broken(error) => error,
                };
                let failed = Instant::now();
                while let Ok(order) = self.orders.try_recv() {
                    self.take(order).await;
                }
                while let Some(job) = self.waiting.pop_front_if(|job| job.asked <= failed) {
                    job.done().fail(error.clone());
                }
            }
        }
    }

    /// Gives the vendor what it has room for, over a fresh socket if there is none.
    async fn speak_waiting(&mut self) {
        loop {
            self.waiting.retain(|job| !job.sentence.is_cancelled());
            if self.waiting.is_empty() {
                self.no_room_since = None;
                return;
            }
            if self.socket.is_none() {
                self.connect().await;
                continue;
            }
            if !self.dialect.has_room() {
                self.no_room_since = self.no_room_since.or(Some(Instant::now()));
                return;
            }
            self.no_room_since = None;
            let Some(job) = self.waiting.pop_front() else { return };
            if let (Some(watch), Some((at, took))) = (&job.watch, self.connected)
                && job.asked < at
            {
                watch.tell(took);
            }
            let messages = self.dialect.speak(job.id, &job.text);
            let began = Instant::now();
            self.active.push(Active { job, began, due: began + FIRST_AUDIO });
            self.send(messages).await;
        }
    }

    async fn send(&mut self, messages: Vec<String>) {
        for message in messages {
            let Some(socket) = &mut self.socket else { return };
            self.last_sent = Instant::now();
            if let Err(error) = socket.send_text(message).await {
                self.broke(&error);
            }
        }
    }

    async fn cancel(&mut self, id: Id) {
        let messages = self.dialect.cancel(id);
        self.send(messages).await;
    }

    async fn heard(&mut self, received: Result<Received, Error>) {
        self.last_heard = Instant::now();
        let told = match received {
            Ok(Received::Closed { code, reason }) => vec![Told::Broken(self.closed(code, &reason))],
            Ok(received) => self.dialect.heard(received),
            Err(error) => vec![Told::Broken(error)],
        };
        for told in told {
            match told {
                Told::Audio(id, bytes) => {
                    let taken = self.active_of(id).map(|active| active.job.sentence.audio(&bytes));
                    if let Some(Err(error)) = taken
                        && let Some(job) = self.ended(id)
                    {
                        job.done().fail(self.named(error));
                        self.cancel(id).await;
                    }
                }
                Told::Words(id, words) => {
                    if let Some(active) = self.active_of(id) {
                        active.job.sentence.words(words);
                    }
                }
                Told::Finished(id) => {
                    if let Some(job) = self.ended(id) {
                        job.done().finish();
                    }
                }
                Told::Failed(id, error) => {
                    if let Some(job) = self.ended(id) {
                        job.done().fail(self.named(error));
                    }
                }
                Told::Broken(error) => self.broke(&error),
            }
        }
    }

    fn active_of(&mut self, id: Id) -> Option<&mut Active> {
        let active = self.active.iter_mut().find(|active| active.job.id == id)?;
        active.due = Instant::now() + BETWEEN;
        Some(active)
    }

    fn ended(&mut self, id: Id) -> Option<Job> {
        let index = self.active.iter().position(|active| active.job.id == id)?;
        Some(self.active.swap_remove(index).job)
    }

    fn closed(&self, code: Option<u16>, reason: &str) -> Error {
        let code = code.map_or("without a code".to_owned(), |code| format!("with {code}"));
        let message = format!("it closed the socket {code} {reason}");
        Error::new(self.dialect.provider(), ErrorKind::Unavailable, message.trim_end())
    }

    /// With the id of the upgrade, where the vendor told none with the error.
    fn named(&self, error: Error) -> Error {
        match error.request_id {
            None => error.with_request_id(self.request_id.as_deref()),
            Some(_) => error,
        }
    }

    /// The socket is gone.
    fn broke(&mut self, error: &Error) {
        let error = self.named(error.clone());
        self.socket = None;
        self.no_room_since = None;
        let mut active: Vec<_> = self.active.drain(..).map(|active| active.job).collect();
        active.sort_by_key(|job| std::cmp::Reverse(job.id));
        let may_help = matches!(
            error.kind,
            ErrorKind::Unavailable | ErrorKind::TimedOut | ErrorKind::Protocol | ErrorKind::Empty
        );
        for mut job in active {
            if job.sentence.has_sounded() || job.is_second_try || !may_help {
                job.done().fail(error.clone());
            } else {
                job.is_second_try = true;
                self.waiting.push_front(job);
            }
        }
    }

    /// When something is to be done though nothing comes.
    fn due(&self) -> Instant {
        let active = self.active.iter().map(|active| active.due.min(active.began + WHOLE));
        let room = self.no_room_since.filter(|_| self.active.is_empty()).map(|since| since + ROOM_WITHIN);
        let alive = self.dialect.keep_alive().map(|(every, _)| self.last_sent + every);
        let far = Instant::now() + Duration::from_secs(3_600);
        active.chain(room).chain(alive).min().unwrap_or(far)
    }

    async fn overdue(&mut self) {
        let now = Instant::now();
        let late: Vec<Id> = self
            .active
            .iter()
            .filter(|active| now >= active.due.min(active.began + WHOLE))
            .map(|active| active.job.id)
            .collect();
        for id in late {
            let Some(index) = self.active.iter().position(|active| active.job.id == id) else { continue };
            let Active { job, began, .. } = self.active.swap_remove(index);
            let message = if job.sentence.has_sounded() {
                format!("the audio stopped in mid-sentence, for {} s", BETWEEN.as_secs())
            } else {
                format!("no audio within {} s", FIRST_AUDIO.as_secs())
            };
            let error = Error::new(self.dialect.provider(), ErrorKind::TimedOut, message);
            job.done().fail(self.named(error));
            self.cancel(id).await;
            // Also when the sentence had sounded: the next one would wait in vain on a socket that fell silent.
            if self.last_heard <= began || now >= self.last_heard + BETWEEN {
                let message = "it answers pings but nothing else";
                self.broke(&Error::new(self.dialect.provider(), ErrorKind::TimedOut, message));
            }
        }
        let has_room_never = self.no_room_since.is_some_and(|since| now >= since + ROOM_WITHIN);
        if has_room_never && self.active.is_empty() {
            let message = "it does not end what was cancelled";
            self.broke(&Error::new(self.dialect.provider(), ErrorKind::TimedOut, message));
        }
        if let Some((every, message)) = self.dialect.keep_alive()
            && now >= self.last_sent + every
        {
            self.send(vec![message]).await;
        }
    }

    /// Nobody wants it any more.
    async fn end(mut self) {
        let Some(mut socket) = self.socket.take() else { return };
        if let Some(farewell) = self.dialect.farewell() {
            drop(timeout(FAREWELL_WITHIN, socket.send_text(farewell)).await);
        }
        socket.close().await;
    }
}
