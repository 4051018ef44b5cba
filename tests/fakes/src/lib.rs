//! Stand-ins for the speech and language services the engine speaks with, on one loopback port.
//!
//! Each service speaks its vendor's protocol as the vendor's own client library expects it (the suite runs those
//! libraries against it) and nothing of ours. What a connection shall do beside the happy path is planned by
//! service: [`Fakes::plan`] in process, `POST /control/plan` from outside. Everything that came is noted and can be
//! looked at: [`Fakes::seen`], `GET /control/seen`; so can what was sent, and when: `GET /control/sent`. A vendor is one file and one line in [`routes`].
//!
//! Base URLs are `http://HOST:PORT/VENDOR`, with `VENDOR` of `deepgram`, `openai/v1`, `elevenlabs`, `gemini`,
//! `anthropic` and `cartesia`. Any key is taken, except that `bad` and `wrong` in it are refused as the vendor
//! refuses a wrong key.

pub mod code;
mod control;
pub mod events;
pub mod http;
pub mod llm;
pub mod plan;
pub mod serve;
pub mod socket;
pub mod sse;
pub mod stt;
mod tts;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use axum::Router;
use tokio::task::JoinHandle;

pub use plan::{Fault, Plan, Service};

/// Something a client did.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Seen {
    /// At which service.
    pub service: Service,
    /// Which connection or request of that service, from 1.
    pub connection: u32,
    /// Milliseconds after the fakes were started.
    pub at_ms: u64,
    /// What: `open` (with path and query), `text` (a message, or a request's body), `binary` (its length in bytes),
    /// `close` (the client closed in order), `gone` (the client let go in any other way), `closed` (the connection is
    /// over in order, whoever closed it).
    pub what: String,
    /// The message, the path, the length.
    pub detail: String,
}

/// A piece of output a service sent: a transcript, a piece of text, of a tool call or of audio.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Sent {
    /// Which service.
    pub service: Service,
    /// On which connection or in answer to which request of that service, from 1.
    pub connection: u32,
    /// When what it answers had come, microseconds after the fakes were started.
    pub asked_us: u64,
    /// When it was sent.
    pub sent_us: u64,
    /// Whether it is the first one of an answer.
    pub is_first: bool,
    /// Its beginning, where it is text.
    pub detail: String,
}

/// The longest beginning that is kept of what was sent, bytes.
const DETAIL_MAX: usize = 500;

/// What all services share.
pub struct State {
    started: Instant,
    plans: Mutex<HashMap<Service, Plan>>,
    connections: Mutex<HashMap<Service, u32>>,
    seen: Mutex<Vec<Seen>>,
    sent: Mutex<Vec<Sent>>,
    seed: AtomicU64,
    /// Lines of the plan that were heard in whole recordings.
    lines: AtomicUsize,
}

/// One connection or request, with what is planned for it.
pub struct Turn {
    /// The service.
    pub service: Service,
    /// Its number, from 1.
    pub connection: u32,
    /// What is planned for it; its fault is gone from the plan once it was given out `times` times.
    pub plan: Plan,
    state: Arc<State>,
}

impl State {
    fn new() -> Self {
        Self {
            started: Instant::now(),
            plans: Mutex::default(),
            connections: Mutex::default(),
            seen: Mutex::default(),
            sent: Mutex::default(),
            seed: AtomicU64::default(),
            lines: AtomicUsize::new(0),
        }
    }

    /// Plans what the next connections of a service do.
    pub fn plan(&self, service: Service, mut plan: Plan) {
        if plan.seed == 0 {
            plan.seed = self.seed.load(Ordering::Relaxed);
        }
        locked(&self.plans).insert(service, plan);
    }

    /// Begins a connection or request; `path` is with its query.
    pub fn begin(self: &Arc<Self>, service: Service, path: &str) -> Turn {
        let connection = {
            let mut connections = locked(&self.connections);
            let count = connections.entry(service).or_default();
            *count += 1;
            *count
        };
        let plan = locked(&self.plans).entry(service).or_default().take();
        let turn = Turn { service, connection, plan, state: Arc::clone(self) };
        turn.note("open", path);
        turn
    }

    /// How many lines were heard in whole recordings.
    fn lines(&self) -> usize {
        self.lines.load(Ordering::Relaxed)
    }

    /// So many were, by now.
    fn heard_lines(&self, lines: usize) {
        self.lines.store(lines, Ordering::Relaxed);
    }

    /// Everything that came at a service, in order.
    pub fn seen(&self, service: Option<Service>) -> Vec<Seen> {
        let wanted = |seen: &&Seen| service.is_none_or(|service| seen.service == service);
        locked(&self.seen).iter().filter(wanted).cloned().collect()
    }

    /// Every piece of output of a service, in the order of sending.
    pub fn sent(&self, service: Option<Service>) -> Vec<Sent> {
        let wanted = |sent: &&Sent| service.is_none_or(|service| sent.service == service);
        locked(&self.sent).iter().filter(wanted).cloned().collect()
    }

    /// Microseconds after the start.
    pub fn now_us(&self) -> u64 {
        self.us(Instant::now())
    }

    fn us(&self, at: Instant) -> u64 {
        at.saturating_duration_since(self.started).as_micros() as u64
    }
}

impl Turn {
    /// Notes what the client did.
    pub fn note(&self, what: &str, detail: &str) {
        let at_ms = self.state.started.elapsed().as_millis() as u64;
        let (what, detail) = (what.to_owned(), detail.to_owned());
        let seen = Seen { service: self.service, connection: self.connection, at_ms, what, detail };
        locked(&self.state.seen).push(seen);
    }

    /// Where it is noted what the service sends.
    fn sending(&self) -> Sending {
        Sending { service: self.service, connection: self.connection, state: Arc::clone(&self.state) }
    }
}

/// Notes what is sent on one connection, or in answer to one request.
struct Sending {
    service: Service,
    connection: u32,
    state: Arc<State>,
}

impl Sending {
    /// Notes a piece of output that answers what had come at `asked`, and is sent now.
    fn note(&self, asked: Instant, is_first: bool, text: &str) {
        let detail = text[..text.floor_char_boundary(DETAIL_MAX)].to_owned();
        let (asked_us, sent_us) = (self.state.us(asked), self.state.now_us());
        let (service, connection) = (self.service, self.connection);
        let sent = Sent { service, connection, asked_us, sent_us, is_first, detail };
        locked(&self.state.sent).push(sent);
    }
}

/// Running stand-ins; they end when this is dropped.
pub struct Fakes {
    address: SocketAddr,
    state: Arc<State>,
    serving: JoinHandle<()>,
}

impl Fakes {
    /// Starts all of them on a free loopback port.
    ///
    /// # Errors
    /// When no port is free.
    pub async fn start() -> std::io::Result<Self> {
        Self::start_on(SocketAddr::from(([127, 0, 0, 1], 0))).await
    }

    /// Starts all of them there.
    ///
    /// # Errors
    /// When the address can't be listened on.
    pub async fn start_on(address: SocketAddr) -> std::io::Result<Self> {
        let listener = tokio::net::TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let state = Arc::new(State::new());
        let serving = tokio::spawn(serve::serve(listener, routes(Arc::clone(&state))));
        Ok(Self { address, state, serving })
    }

    /// Where they listen.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The base URL of a vendor, such as `openai/v1`.
    pub fn base(&self, vendor: &str) -> String {
        format!("http://{}/{vendor}", self.address)
    }

    /// The seed of later plans that have none (or 0).
    pub fn seed(&self, seed: u64) {
        self.state.seed.store(seed, Ordering::Relaxed);
    }

    /// Plans what the next connections of a service do.
    pub fn plan(&self, service: Service, plan: Plan) {
        self.state.plan(service, plan);
    }

    /// Everything that came at a service, in order.
    pub fn seen(&self, service: Service) -> Vec<Seen> {
        self.state.seen(Some(service))
    }
}

impl Drop for Fakes {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// Every path of every vendor. A vendor is one line.
fn routes(state: Arc<State>) -> Router {
    Router::new()
        .merge(control::routes())
        .merge(stt::routes())
        .merge(llm::routes())
        .merge(tts::routes())
        .with_state(state)
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
