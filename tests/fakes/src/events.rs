//! A client's WebSocket with the planned delays and faults in it: the one place where events are counted and go wrong.
//!
//! A stand-in reads with [`Wire::next`] and writes with [`Events`]: `answer` and `say` for what the plan delays, counts
//! and lets fail (transcripts, chunks of audio), `tell` for the protocol's own messages (greetings, acknowledgements).
//! It need not look at the fault itself but for [`Fault::Empty`] and what is refused before the upgrade.
//!
//! A fault after n events strikes right behind the n-th; one after 0 in the place of the first.

use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};
use tokio_tungstenite::tungstenite::{Error, Message};

use crate::socket::Socket;
use crate::{Fault, Plan, Sending, Turn};

/// Messages that may wait to be sent; a client that does not read stops a stand-in there.
const WAITING_MAX: usize = 1_024;
/// How long a closed connection waits for the client to close it too.
const GOODBYE: Duration = Duration::from_secs(1);
/// How long a connection is held that is neither read nor written.
const HELD: Duration = Duration::from_secs(600);

/// How a vendor says what every vendor can say.
pub struct Dialect {
    /// A well-formed message of a type nobody knows.
    pub unknown: String,
    /// An error inside the stream, message by message.
    pub error: Vec<String>,
    /// The close frame behind it, where the vendor closes.
    pub error_close: Option<(u16, &'static str)>,
    /// The close frame of a server that can't go on.
    pub flap: (u16, &'static str),
}

/// What a client sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Came {
    /// A text frame.
    Text(String),
    /// A binary frame.
    Binary(Bytes),
}

/// A client's connection. Dropping it cuts the connection without a close frame.
pub struct Wire {
    /// What is planned for it, and where it is noted what the client does.
    pub turn: Turn,
    incoming: SplitStream<Socket>,
    events: Events,
    line: watch::Receiver<Line>,
}

/// The way to the client; clones share it.
#[derive(Clone)]
pub struct Events(mpsc::Sender<Item>);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Line {
    Open,
    Closing,
    HalfOpen,
    Cut,
}

struct Item {
    at: Instant,
    what: What,
}

enum What {
    Event { message: Message, opens: bool },
    Own(Message),
    Close(Option<CloseFrame>),
}

impl Wire {
    /// Takes an accepted socket over.
    pub fn new(socket: Socket, turn: Turn, dialect: Dialect) -> Self {
        Self::with_room(socket, turn, dialect, WAITING_MAX)
    }

    /// The same, but writing to it waits while so many messages wait to be sent: for who may have to take back what
    /// was not sent yet.
    pub fn with_room(socket: Socket, turn: Turn, dialect: Dialect, waiting_max: usize) -> Self {
        let (sink, incoming) = socket.split();
        let (sender, items) = mpsc::channel(waiting_max);
        let (line_is, line) = watch::channel(Line::Open);
        let writer = Writer {
            sink,
            line: line_is,
            dialect,
            plan: turn.plan.clone(),
            connection: turn.connection,
            sending: turn.sending(),
            sent: 0,
            last_due: Instant::now(),
            mute: false,
        };
        tokio::spawn(writer.write(items));
        Self { turn, incoming, events: Events(sender), line }
    }

    /// The way to the client.
    pub fn events(&self) -> Events {
        self.events.clone()
    }

    /// What the client sends next; none when the connection is over. Safe to cancel.
    pub async fn next(&mut self) -> Option<Came> {
        loop {
            let line = *self.line.borrow_and_update();
            match line {
                Line::Open if self.turn.plan.fault == Some(Fault::BlockedSend) => self.held().await?,
                Line::Open => tokio::select! {
                    came = self.incoming.next() => match self.took(came) {
                        Some(Some(came)) => return Some(came),
                        Some(None) => {}
                        None => {
                            self.goodbye().await;
                            return None;
                        }
                    },
                    changed = self.line.changed() => changed.ok()?,
                },
                Line::HalfOpen => self.held().await?,
                Line::Closing => {
                    self.goodbye().await;
                    return None;
                }
                Line::Cut => return None,
            }
        }
    }

    /// Closes with a code and a reason, or without, behind what waits to be sent, and waits until the client is gone.
    pub async fn close(mut self, code: Option<(u16, &str)>) {
        self.events.put(What::Close(code.map(|(code, reason)| frame(code, reason)))).await;
        while self.next().await.is_some() {}
    }

    /// A message of the client, none if it is not for the stand-in; `None` when it was the last.
    fn took(&self, came: Option<Result<Message, Error>>) -> Option<Option<Came>> {
        match came {
            Some(Ok(Message::Text(text))) => {
                self.turn.note("text", &text);
                Some(Some(Came::Text(text.to_string())))
            }
            Some(Ok(Message::Binary(bytes))) => {
                self.turn.note("binary", &bytes.len().to_string());
                Some(Some(Came::Binary(bytes)))
            }
            Some(Ok(Message::Close(close))) => {
                self.turn.note("close", &close.map(|close| close.code.to_string()).unwrap_or_default());
                None
            }
            Some(Ok(_)) => Some(None),
            Some(Err(_)) | None => {
                self.turn.note("gone", "");
                None
            }
        }
    }

    /// Reads nothing until the line changes; ends what is held too long.
    async fn held(&mut self) -> Option<()> {
        timeout(HELD, self.line.changed()).await.ok()?.ok()
    }

    /// Reads on until the client has closed as well: a socket dropped with unread bytes would lose the close frame.
    async fn goodbye(&mut self) {
        let rest = async { while let Some(Ok(_)) = self.incoming.next().await {} };
        drop(timeout(GOODBYE, rest).await);
        self.turn.note("closed", "");
    }
}

impl Events {
    /// The first event of an answer: `first_ms` after now.
    pub async fn answer(&self, message: impl Into<Message>) {
        self.put(What::Event { message: message.into(), opens: true }).await;
    }

    /// A further event: `interval_ms` after the one before.
    pub async fn say(&self, message: impl Into<Message>) {
        self.put(What::Event { message: message.into(), opens: false }).await;
    }

    /// A message that is no event: behind those that wait, and neither delayed nor counted.
    pub async fn tell(&self, message: impl Into<Message>) {
        self.put(What::Own(message.into())).await;
    }

    async fn put(&self, what: What) {
        // Fails when the connection is over, which the reader learns by itself.
        drop(self.0.send(Item { at: Instant::now(), what }).await);
    }
}

struct Writer {
    sink: SplitSink<Socket, Message>,
    line: watch::Sender<Line>,
    dialect: Dialect,
    plan: Plan,
    connection: u32,
    sending: Sending,
    sent: u32,
    last_due: Instant,
    mute: bool,
}

/// Nothing more can be sent.
struct Over;

impl Writer {
    async fn write(mut self, mut items: mpsc::Receiver<Item>) {
        if self.plan.fault == Some(Fault::Flap) {
            sleep(Duration::from_millis(50)).await;
            let (code, reason) = self.dialect.flap;
            drop(self.close(Some(frame(code, reason))).await);
            return;
        }
        loop {
            let item = tokio::select! {
                item = items.recv() => item,
                () = self.line.closed() => None,
            };
            let Some(item) = item else { return };
            if self.put(item).await.is_err() {
                return;
            }
        }
    }

    async fn put(&mut self, item: Item) -> Result<(), Over> {
        match item.what {
            What::Own(message) => self.send(message).await,
            What::Close(close) => self.close(close).await,
            What::Event { message, opens } => {
                if self.sent == 0 {
                    self.strike().await?;
                }
                sleep_until(self.due(item.at, opens)).await;
                if !self.mute {
                    let text = message.to_text().unwrap_or_default();
                    self.sending.note(item.at.into_std(), opens || self.sent == 0, text);
                }
                self.send(message).await?;
                self.sent += 1;
                self.strike().await
            }
        }
    }

    fn due(&mut self, at: Instant, opens: bool) -> Instant {
        let slow = matches!(self.plan.fault, Some(Fault::SlowFirstByte { .. }));
        if slow && self.sent > 0 {
            self.plan.fault = None;
        }
        let interval = self.plan.interval(self.connection, self.sent);
        let behind = if self.sent == 0 { self.last_due } else { self.last_due + interval };
        let due = if opens || self.sent == 0 {
            behind.max(at + self.plan.first(self.connection, self.sent))
        } else {
            behind
        };
        self.last_due = due.max(Instant::now());
        self.last_due
    }

    /// The fault, if it is its turn. All but the unknown type end what can be sent.
    async fn strike(&mut self) -> Result<(), Over> {
        match self.plan.fault {
            Some(Fault::Silence { after }) if after == self.sent => self.mute = true,
            Some(Fault::Drop { after }) if after == self.sent => return self.cut(),
            Some(Fault::HalfOpen { after }) if after == self.sent => {
                self.line.send_replace(Line::HalfOpen);
                sleep(HELD).await;
                return self.cut();
            }
            Some(Fault::Malformed { after }) if after == self.sent => {
                self.send(Message::text(r#"{"type":"Res"#)).await?;
                return self.cut();
            }
            Some(Fault::UnknownType { after }) if after == self.sent => {
                self.plan.fault = None;
                self.send(Message::text(self.dialect.unknown.clone())).await?;
            }
            Some(Fault::ErrorInside { after }) if after == self.sent => {
                self.plan.fault = None;
                for error in std::mem::take(&mut self.dialect.error) {
                    self.send(Message::text(error)).await?;
                }
                if let Some((code, reason)) = self.dialect.error_close {
                    return self.close(Some(frame(code, reason))).await;
                }
            }
            _ => {}
        }
        Ok(())
    }

    async fn send(&mut self, message: Message) -> Result<(), Over> {
        if self.mute {
            return Ok(());
        }
        let sent = match (&self.plan.fault, message) {
            (Some(Fault::Fragment), Message::Text(text)) => {
                self.send_in_pieces(Data::Text, text.into()).await
            }
            (Some(Fault::Fragment), Message::Binary(bytes)) => self.send_in_pieces(Data::Binary, bytes).await,
            (_, message) => self.sink.send(message).await,
        };
        sent.or_else(|_| self.cut())
    }

    /// A message in ten frames, cut anywhere: also in the middle of a character.
    async fn send_in_pieces(&mut self, kind: Data, bytes: Bytes) -> Result<(), Error> {
        let length = (bytes.len() / 10).max(1);
        let pieces = bytes.len().div_ceil(length);
        for (index, piece) in bytes.chunks(length).enumerate() {
            let code = OpCode::Data(if index == 0 { kind } else { Data::Continue });
            let frame = Frame::message(Bytes::copy_from_slice(piece), code, index + 1 == pieces);
            self.sink.send(Message::Frame(frame)).await?;
        }
        Ok(())
    }

    async fn close(&mut self, close: Option<CloseFrame>) -> Result<(), Over> {
        if self.mute {
            return Ok(());
        }
        drop(self.sink.send(Message::Close(close)).await);
        self.line.send_replace(Line::Closing);
        // The sink stays until the reader is done, as it is half of the socket.
        self.line.closed().await;
        Err(Over)
    }

    fn cut(&self) -> Result<(), Over> {
        self.line.send_replace(Line::Cut);
        Err(Over)
    }
}

fn frame(code: u16, reason: &str) -> CloseFrame {
    CloseFrame { code: code.into(), reason: reason.to_owned().into() }
}
