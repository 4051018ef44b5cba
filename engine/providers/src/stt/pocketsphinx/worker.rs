//! The thread that listens for one call, so that decoding never holds up the call itself.
//!
//! Decides what happens when the thread can't keep up: the stream fails, aloud, before a sample is
//! lost. Enter at [`Worker::start`].

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};

use super::NAME;
use super::decoder::Decoder;
use super::listening::Listening;
use crate::audio::Audio;
use crate::stt::{Control, Event, Listener, Settings, Sink};
use crate::{Error, ErrorKind};

/// Messages that may wait: 10 s of 20 ms frames. Loading and the longest decode take under 1 s.
const WAITING_MAX: usize = 512;

enum Message {
    Audio(Box<[i16]>),
    Control(Control),
}

/// The call's end of the thread. Dropping it ends the thread after the chunk it is at.
pub(super) struct Worker {
    /// `None` once the stream failed.
    messages: Option<SyncSender<Message>>,
    is_dropped: Arc<AtomicBool>,
    sink: Sink,
}

impl Worker {
    /// Starts a thread that loads a decoder and then listens.
    pub(super) fn start(settings: Settings, sink: Sink) -> Result<Self, Error> {
        let (messages, waiting) = sync_channel(WAITING_MAX);
        let is_dropped = Arc::new(AtomicBool::new(false));
        let emit = {
            let (sink, is_dropped) = (Arc::clone(&sink), Arc::clone(&is_dropped));
            move |event| {
                if !is_dropped.load(Ordering::Acquire) {
                    sink(event);
                }
            }
        };
        let run = move || {
            if let Err(error) = listen(&settings, &waiting, emit.clone()) {
                emit(Event::Failed(error));
            }
        };
        std::thread::Builder::new().name(NAME.to_owned()).spawn(run).map_err(|error| {
            Error::new(NAME, ErrorKind::Unavailable, format!("no thread to listen in: {error}"))
        })?;
        Ok(Self { messages: Some(messages), is_dropped, sink })
    }

    fn post(&mut self, message: Message) {
        let Some(messages) = &self.messages else { return };
        match messages.try_send(message) {
            Ok(()) => {}
            // The thread has ended, and told why.
            Err(TrySendError::Disconnected(_)) => self.messages = None,
            Err(TrySendError::Full(_)) => {
                self.messages = None;
                self.is_dropped.store(true, Ordering::Release);
                let message = "this machine is too busy to keep up with the caller";
                (self.sink)(Event::Failed(Error::new(NAME, ErrorKind::Unavailable, message)));
            }
        }
    }
}

impl Listener for Worker {
    fn hear(&mut self, audio: Audio<'_>) {
        // It declares no other format.
        if let Audio::Pcm16(samples) = audio {
            self.post(Message::Audio(samples.into()));
        }
    }

    fn control(&mut self, control: Control) {
        self.post(Message::Control(control));
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.is_dropped.store(true, Ordering::Release);
    }
}

fn listen(
    settings: &Settings,
    waiting: &Receiver<Message>,
    emit: impl Fn(Event) + Send + 'static,
) -> Result<(), Error> {
    let mut listening = Listening::new(Decoder::load()?, &settings.expectation, Box::new(emit))?;
    while let Ok(message) = waiting.recv() {
        match message {
            Message::Audio(samples) => listening.hear(&samples)?,
            Message::Control(control) => listening.control(control)?,
        }
    }
    Ok(())
}
