//! A speaking WebSocket: what a vendor's rules queue is sent event by event, at the plan's pace and with its faults.
//!
//! A vendor is a [`Talker`]: messages and time in, a [`Queue`] out. What waits there can be taken back, what went on
//! to [`crate::events`] can't. Enter at [`talk`].

use std::collections::VecDeque;
use std::future::pending;

use serde_json::Value;
use tokio::time::{Instant, sleep_until};
use tokio_tungstenite::tungstenite::Message;

use crate::events::{Came, Dialect, Events, Wire};
use crate::socket::Socket;
use crate::{Fault, Turn};

/// Messages that can't be taken back, beside the one that waits for its time: what is late when a context is closed.
const ON_THE_WAY: usize = 1;

/// A vendor's rules on one connection.
pub trait Talker: Send + 'static {
    /// Takes a text message of the client.
    fn hear(&mut self, message: &str, now: Instant);
    /// When [`Talker::pass`] wants to be called, if it does.
    fn due(&self) -> Option<Instant> {
        None
    }
    /// Does what time brings.
    fn pass(&mut self, _now: Instant) {}
    /// Learns that this is on its way.
    fn sent(&mut self, _said: &Say, _now: Instant) {}
    /// Forgets what the vendor forgets when it tells a planned error and does not close.
    fn fail(&mut self) {}
    /// What waits to be sent.
    fn queue(&mut self) -> &mut Queue;
}

/// What a message is, for pace, faults and cancellation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// Sound: an event in the words of [`crate::Fault`].
    Audio,
    /// Sent at once, but forgotten with the sound it is about.
    Beside,
    /// Sent at once.
    Note,
    /// The end of the connection, with a code and a reason.
    Close(u16, String),
}

/// A message to be sent.
#[derive(Debug, Clone, PartialEq)]
pub struct Say {
    /// The context it belongs to; empty where a vendor has none.
    pub of: String,
    /// What it is.
    pub kind: Kind,
    /// Whether it is still sent when its context is closed.
    pub kept: bool,
    /// The frame.
    pub message: Message,
}

/// Messages, each context's in order. Contexts take turns, as they are spoken side by side; what belongs to none comes
/// behind all that was queued before it.
#[derive(Debug, Default)]
pub struct Queue {
    says: VecDeque<Say>,
    /// Whose turn it was.
    last: String,
}

impl Queue {
    /// Queues a message.
    pub fn push(&mut self, say: Say) {
        self.says.push_back(say);
    }

    /// Queues a message that is no sound.
    pub fn note(&mut self, of: &str, message: Message) {
        self.push(Say { of: of.to_owned(), kind: Kind::Note, kept: true, message });
    }

    /// Queues a JSON message that is no sound.
    pub fn tell(&mut self, of: &str, message: &Value) {
        self.note(of, Message::text(message.to_string()));
    }

    /// Queues the end of the connection.
    pub fn close(&mut self, code: u16, reason: &str) {
        let kind = Kind::Close(code, reason.to_owned());
        self.push(Say { of: String::new(), kind, kept: true, message: Message::Close(None) });
    }

    /// Forgets the sound of a context that is not kept. What is on its way already still comes: that is how late
    /// audio of a closed context comes to be.
    pub fn cut(&mut self, of: &str) {
        self.says.retain(|say| say.of != of || say.kept);
    }

    /// From now on what waits of a context is kept.
    pub fn keep(&mut self, of: &str) {
        self.says.iter_mut().filter(|say| say.of == of).for_each(|say| say.kept = true);
    }

    fn front(&self) -> Option<&Say> {
        self.says.get(self.turn())
    }

    fn pop(&mut self) {
        if let Some(said) = self.says.remove(self.turn()) {
            self.last = said.of;
        }
    }

    /// Where the next message is: of the context that comes after the last one's, if there is another.
    fn turn(&self) -> usize {
        let named = || self.says.iter().enumerate().take_while(|(_, say)| !say.of.is_empty());
        let after = named().filter(|(_, say)| say.of > self.last).min_by(|a, b| a.1.of.cmp(&b.1.of));
        after.or_else(|| named().min_by(|a, b| a.1.of.cmp(&b.1.of))).map_or(0, |(index, _)| index)
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.says.clear();
    }
}

/// Talks until the connection ends.
pub async fn talk(socket: Socket, turn: Turn, dialect: Dialect, mut talker: impl Talker) {
    // The error is told behind this sound, or before the first.
    let last_sound = match (&turn.plan.fault, &dialect.error_close) {
        (Some(Fault::ErrorInside { after }), None) => Some((*after).max(1)),
        _ => None,
    };
    let mut sounds = 0;
    let mut wire = Wire::with_room(socket, turn, dialect, ON_THE_WAY);
    let events = wire.events();
    // The next sound is the first of an answer.
    let mut opens = true;
    loop {
        let due = talker.due();
        let next = talker.queue().front().cloned();
        opens |= next.is_none();
        if let Some(Say { kind: Kind::Close(code, reason), .. }) = &next {
            return wire.close(Some((*code, reason.as_str()))).await;
        }
        tokio::select! {
            biased;
            came = wire.next() => match came {
                Some(Came::Text(text)) => talker.hear(&text, Instant::now()),
                Some(Came::Binary(_)) => {}
                None => return,
            },
            () = until(due) => talker.pass(Instant::now()),
            said = put(&events, next, opens) => {
                talker.queue().pop();
                talker.sent(&said, Instant::now());
                if said.kind == Kind::Audio {
                    opens = false;
                    sounds += 1;
                    if last_sound == Some(sounds) {
                        talker.fail();
                    }
                }
            }
        }
    }
}

async fn until(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => pending().await,
    }
}

/// Hands it on once there is room; what is dropped before that was not handed on.
async fn put(events: &Events, next: Option<Say>, opens: bool) -> Say {
    let Some(say) = next else { return pending().await };
    let message = say.message.clone();
    match say.kind {
        Kind::Audio if opens => events.answer(message).await,
        Kind::Audio => events.say(message).await,
        _ => events.tell(message).await,
    }
    say
}
