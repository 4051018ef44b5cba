//! A transcriber behind a WebSocket: one task that owns the socket, fed by a listener that never waits.
//!
//! Decides when a stream is open, silent, overfull, stale and over; what is said on it is a vendor's [`Dialect`]. It
//! connects once: what replaces a broken stream and feeds it the audio again is the chain. Enter at [`listen`].

mod line;
mod owed;
mod timeline;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use reqwest::Url;
use reqwest::header::HeaderMap;
use serde_json::Value;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until};

pub(super) use line::{Line, OverSocket};
pub(super) use owed::Owed;
pub(super) use timeline::Timeline;

use super::{Control, Event, Listener, Sink};
use crate::audio::{Audio, AudioFormat, OwnedAudio, little_endian};
use crate::wire::http::{Failure, Refused};
use crate::wire::socket::{Limits, Received, Socket};
use crate::{Error, ErrorKind};

/// Stretches of audio and controls that may wait: 80 s of 20 ms each, so that what was heard during a long outage can be
/// fed again at once. A vendor that merely reads too slowly is found out by the bound of each send long before.
const WAITING_MAX: usize = 4_096;
/// From the upgrade to the vendor's word that it takes the stream. A refused option can be answered with silence.
const ACCEPTED_WITHIN: Duration = Duration::from_secs(5);
/// While the caller's voice is on, a stream on which nothing comes is left alone at least so long. The rest of a word
/// may be on its way through a bad network: silence put into the middle of it would cost the word. A session stands in
/// for audio that is missing longer itself.
const SILENT_IN_VOICE: Duration = Duration::from_secs(2);

/// Something to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outgoing {
    Text(String),
    Binary(Vec<u8>),
}

/// What a dialect wants done.
#[derive(Debug, Default)]
pub(super) struct Out {
    /// To be sent, in order.
    pub messages: Vec<Outgoing>,
    /// To be told, in order.
    pub told: Vec<Event>,
}

impl Out {
    pub fn text(&mut self, text: impl Into<String>) {
        self.messages.push(Outgoing::Text(text.into()));
    }

    pub fn json(&mut self, message: &Value) {
        self.text(message.to_string());
    }

    pub fn binary(&mut self, bytes: Vec<u8>) {
        self.messages.push(Outgoing::Binary(bytes));
    }

    pub fn tell(&mut self, event: Event) {
        self.told.push(event);
    }
}

/// How one vendor is spoken to: a state machine without a clock or a socket.
pub(super) trait Dialect: Send + 'static {
    /// What every stream has.
    fn line(&self) -> &Line;

    /// The upgrade was answered, the first time or (see [`Self::is_stale`]) again.
    fn upgraded(&mut self, headers: &HeaderMap, out: &mut Out);

    /// How much audio is handed over at once, where the vendor wants more than comes.
    fn chunk_ms(&self) -> u32 {
        0
    }

    /// The next audio, as bytes of the stream's format.
    fn audio(&mut self, bytes: Vec<u8>, out: &mut Out);

    /// Something beside the audio, behind all that was fed before it.
    fn control(&mut self, control: Control, out: &mut Out);

    /// What the vendor said.
    fn message(&mut self, message: &Value, out: &mut Out) -> Result<(), Error>;

    /// Nothing has been sent for so long; [`Self::silence`] is called then, again and again. While the caller's voice is
    /// on it is called no sooner than after [`SILENT_IN_VOICE`].
    fn silent_after(&self) -> Option<Duration> {
        None
    }

    /// Keeps a stream alive on which nothing is sent.
    fn silence(&mut self, _out: &mut Out) {}

    /// What a refused upgrade means.
    fn refused(&self, refused: &Refused) -> Error;

    /// What it means that the vendor has closed the stream.
    fn closed(&self, code: Option<u16>, reason: &str) -> Error {
        closed(self.line().provider, code, reason)
    }

    /// What is said before the stream is closed.
    fn goodbye(&self) -> Option<Outgoing> {
        None
    }

    /// Whether a stream of this age shall be replaced by a fresh one now, since nobody would notice.
    fn is_stale(&self, _age: Duration) -> bool {
        false
    }
}

/// A close that nobody asked for.
pub(super) fn closed(provider: &str, code: Option<u16>, reason: &str) -> Error {
    let how = match (code, reason) {
        (None, _) => "it cut the connection".to_owned(),
        (Some(code), "") => format!("it closed the stream ({code})"),
        (Some(code), reason) => format!("it closed the stream ({code}: {reason})"),
    };
    Error::new(provider, ErrorKind::Unavailable, how)
}

/// An address with its query.
///
/// # Errors
/// [`ErrorKind::Invalid`] when the base is no address.
pub(super) fn address(provider: &str, base: &str, query: &[(&str, String)]) -> Result<String, Error> {
    let mut url = Url::parse(base).map_err(|error| {
        let message = format!("its address can't be read ({error}); check the base URL");
        Error::new(provider, ErrorKind::Invalid, message)
    })?;
    url.query_pairs_mut().extend_pairs(query);
    Ok(url.into())
}

/// What came can't be understood.
pub(super) fn garbled(provider: &str, what: &str) -> Error {
    Error::new(provider, ErrorKind::Protocol, format!("what it sent can't be understood: {what}"))
}

/// Opens a stream and answers to `sink`.
///
/// # Errors
/// [`ErrorKind::Unavailable`] outside a tokio runtime.
pub(super) fn listen<D: Dialect>(
    dialect: D,
    format: AudioFormat,
    sink: Sink,
) -> Result<Box<dyn Listener>, Error> {
    let runtime = Handle::try_current()
        .map_err(|error| Error::new(dialect.line().provider, ErrorKind::Unavailable, error.to_string()))?;
    let (orders, waiting) = mpsc::channel(WAITING_MAX);
    let (overfull, ended) = oneshot::channel();
    let dropped = Arc::new(AtomicBool::new(false));
    let width = if format == AudioFormat::MuLaw { 1 } else { 2 };
    let chunk = dialect.chunk_ms() as usize * format.sample_rate_hz() as usize / 1_000 * width;
    let stream = Stream {
        dialect,
        waiting,
        ended,
        sink,
        dropped: Arc::clone(&dropped),
        chunk,
        pending: Vec::new(),
        opened: false,
        is_voiced: false,
    };
    runtime.spawn(stream.run());
    Ok(Box::new(Feed { orders, overfull: Some(overfull), dropped }))
}

enum Order {
    Hear(OwnedAudio),
    Control(Control),
}

/// The listener's side. Dropping it ends the stream.
struct Feed {
    orders: mpsc::Sender<Order>,
    overfull: Option<oneshot::Sender<()>>,
    dropped: Arc<AtomicBool>,
}

impl Feed {
    fn order(&mut self, order: Order) {
        if let Err(mpsc::error::TrySendError::Full(_)) = self.orders.try_send(order)
            && let Some(overfull) = self.overfull.take()
        {
            // Fails when the stream is over, which has been told then.
            let _ = overfull.send(());
        }
    }
}

impl Listener for Feed {
    fn hear(&mut self, audio: Audio<'_>) {
        self.order(Order::Hear(match audio {
            Audio::Pcm16(samples) => OwnedAudio::Pcm16(samples.to_vec()),
            Audio::MuLaw(bytes) => OwnedAudio::MuLaw(bytes.to_vec()),
        }));
    }

    fn control(&mut self, control: Control) {
        self.order(Order::Control(control));
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.dropped.store(true, Ordering::Release);
    }
}

struct Stream<D> {
    dialect: D,
    waiting: mpsc::Receiver<Order>,
    /// Resolves when the listener is dropped (an error) or has nowhere to put what it hears.
    ended: oneshot::Receiver<()>,
    sink: Sink,
    dropped: Arc<AtomicBool>,
    chunk: usize,
    pending: Vec<u8>,
    opened: bool,
    /// Whether the caller's voice is on in what was taken so far.
    is_voiced: bool,
}

/// Why a socket is given up.
enum Over {
    Dropped,
    Stale,
    Failed(Error),
}

impl From<Error> for Over {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

impl<D: Dialect> Stream<D> {
    async fn run(mut self) {
        loop {
            let (over, socket) = match self.open().await {
                Ok(mut socket) => (self.talk(&mut socket).await, Some(socket)),
                Err(over) => (over, None),
            };
            let stale = matches!(over, Over::Stale);
            let goodbye = self.dialect.goodbye().filter(|_| !matches!(over, Over::Failed(_)));
            if let Over::Failed(error) = over {
                self.tell(Event::Failed(error.with_request_id(self.dialect.line().request_id.as_deref())));
            }
            if let Some(socket) = socket {
                tokio::spawn(close(socket, goodbye));
            }
            if !stale {
                return;
            }
        }
    }

    fn tell(&self, event: Event) {
        if !self.dropped.load(Ordering::Acquire) {
            (self.sink)(event);
        }
    }

    async fn open(&mut self) -> Result<Socket, Over> {
        let Line { provider, url, headers, .. } = self.dialect.line().clone();
        let opening = Box::pin(Socket::open(provider, &url, &headers, Limits::default()));
        let opened = tokio::select! {
            biased;
            ended = &mut self.ended => return Err(self.end(ended.is_err())),
            opened = opening => opened,
        };
        match opened {
            Ok(socket) => Ok(socket),
            Err(Failure::Refused(refused)) => Err(Over::Failed(self.dialect.refused(&refused))),
            Err(Failure::Broken(error)) => Err(Over::Failed(error)),
        }
    }

    async fn talk(&mut self, socket: &mut Socket) -> Over {
        match self.talk_until_over(socket).await {
            Ok(never) => match never {},
            Err(over) => over,
        }
    }

    async fn talk_until_over(&mut self, socket: &mut Socket) -> Result<std::convert::Infallible, Over> {
        let began = Instant::now();
        let mut last_sent = began;
        let mut out = Out::default();
        self.dialect.upgraded(&socket.headers, &mut out);
        loop {
            if self.carry_out(&mut out, socket).await? {
                last_sent = Instant::now();
            }
            if self.dialect.is_stale(began.elapsed()) {
                return Err(Over::Stale);
            }
            let accepted = self.dialect.line().accepted;
            let due = if accepted {
                self.silent_after().map(|after| last_sent + after)
            } else {
                Some(began + ACCEPTED_WITHIN)
            };
            tokio::select! {
                biased;
                ended = &mut self.ended => return Err(self.end(ended.is_err())),
                received = socket.next() => self.received(received?, &mut out)?,
                order = self.waiting.recv(), if accepted => match order {
                    Some(order) => self.obey(order, &mut out),
                    None => return Err(Over::Dropped),
                },
                () = until(due) => self.waited(accepted, &mut out)?,
            }
        }
    }

    /// When something is due on a stream on which nothing comes.
    fn silent_after(&self) -> Option<Duration> {
        let after = self.dialect.silent_after()?;
        Some(if self.is_voiced { after.max(SILENT_IN_VOICE) } else { after })
    }

    fn end(&self, dropped: bool) -> Over {
        if dropped {
            return Over::Dropped;
        }
        let message = "it takes audio more slowly than the caller speaks";
        Over::Failed(Error::new(self.dialect.line().provider, ErrorKind::Unavailable, message))
    }

    /// Sends and tells; whether something was sent.
    async fn carry_out(&mut self, out: &mut Out, socket: &mut Socket) -> Result<bool, Error> {
        if !self.opened && self.dialect.line().accepted {
            self.opened = true;
            self.tell(Event::Opened);
        }
        for event in out.told.drain(..) {
            self.tell(event);
        }
        let sends = !out.messages.is_empty();
        for message in out.messages.drain(..) {
            match message {
                Outgoing::Text(text) => socket.send_text(text).await?,
                Outgoing::Binary(bytes) => socket.send_binary(bytes).await?,
            }
        }
        Ok(sends)
    }

    fn received(&mut self, received: Received, out: &mut Out) -> Result<(), Error> {
        let provider = self.dialect.line().provider;
        let message: Result<Value, _> = match &received {
            Received::Text(text) => serde_json::from_str(text),
            Received::Binary(bytes) => serde_json::from_slice(bytes),
            Received::Closed { code, reason } => return Err(self.dialect.closed(*code, reason)),
        };
        match message {
            Ok(message) if message.is_object() => self.dialect.message(&message, out),
            Ok(_) => Err(garbled(provider, "a message that is no object")),
            Err(error) => Err(garbled(provider, &format!("no JSON ({error})"))),
        }
    }

    fn obey(&mut self, order: Order, out: &mut Out) {
        match order {
            Order::Hear(OwnedAudio::Pcm16(samples)) => self.pending.extend(little_endian(&samples)),
            Order::Hear(OwnedAudio::MuLaw(bytes)) => self.pending.extend(bytes),
            Order::Control(control) => {
                match control {
                    Control::VoiceStarted(_) => self.is_voiced = true,
                    Control::VoiceEnded(_) => self.is_voiced = false,
                    Control::Finalize | Control::NextTurn(_) => {}
                }
                self.hand_over(out);
                return self.dialect.control(control, out);
            }
        }
        if self.pending.len() >= self.chunk.max(1) {
            self.hand_over(out);
        }
    }

    fn hand_over(&mut self, out: &mut Out) {
        if self.pending.is_empty() {
            return;
        }
        let bytes = std::mem::take(&mut self.pending);
        let chunk = if self.chunk == 0 { bytes.len() } else { self.chunk };
        for bytes in bytes.chunks(chunk) {
            self.dialect.audio(bytes.to_vec(), out);
        }
    }

    fn waited(&mut self, accepted: bool, out: &mut Out) -> Result<(), Error> {
        if !accepted {
            let message = format!(
                "it answered the upgrade, but did not accept the stream within {} s; check model and language",
                ACCEPTED_WITHIN.as_secs()
            );
            return Err(Error::new(self.dialect.line().provider, ErrorKind::TimedOut, message));
        }
        self.hand_over(out);
        self.dialect.silence(out);
        Ok(())
    }
}

async fn until(due: Option<Instant>) {
    match due {
        Some(due) => sleep_until(due).await,
        None => std::future::pending().await,
    }
}

async fn close(mut socket: Socket, goodbye: Option<Outgoing>) {
    let said = match goodbye {
        Some(Outgoing::Text(text)) => socket.send_text(text).await,
        Some(Outgoing::Binary(bytes)) => socket.send_binary(bytes).await,
        None => Ok(()),
    };
    if said.is_ok() {
        socket.close().await;
    }
}

#[cfg(test)]
mod tests;
