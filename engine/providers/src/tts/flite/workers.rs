//! The threads that speak: two for the whole process, with one queue.
//!
//! A sentence costs 5-10 % of its length in CPU, so two threads keep up with twenty speakers; more
//! would only take the cores away from listening. Enter at [`Workers::start`].

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};

use super::NAME;
use super::ffi::{Library, Voice};
use super::synthesis::synthesise;
use super::words::Words;
use crate::tts::{Event, Sink};
use crate::{Error, ErrorKind};

const THREADS: usize = 2;
/// Sentences that may wait; beyond that the machine is overloaded and a fallback does better.
const WAITING_MAX: usize = 64;

/// A sentence to be spoken.
pub(super) struct Job {
    pub(super) text: String,
    pub(super) voice: Voice,
    pub(super) speed_percent: u16,
    pub(super) sink: Sink,
    pub(super) is_cancelled: Arc<AtomicBool>,
}

/// The threads' queue. They end when the last clone is dropped.
#[derive(Clone)]
pub(super) struct Workers {
    jobs: SyncSender<Job>,
}

impl Workers {
    /// Starts the threads.
    pub(super) fn start(library: &'static Library) -> Result<Self, Error> {
        let (jobs, waiting) = sync_channel(WAITING_MAX);
        let waiting = Arc::new(Mutex::new(waiting));
        for number in 1..=THREADS {
            let waiting = Arc::clone(&waiting);
            std::thread::Builder::new()
                .name(format!("flite-{number}"))
                .spawn(move || run(library, &waiting))
                .map_err(|error| unavailable(format!("no thread to speak in: {error}")))?;
        }
        Ok(Self { jobs })
    }

    /// Queues a sentence; never waits.
    pub(super) fn post(&self, job: Job) -> Result<(), Error> {
        self.jobs.try_send(job).map_err(|error| match error {
            TrySendError::Full(_) => unavailable("too many sentences wait to be spoken"),
            TrySendError::Disconnected(_) => unavailable("the speaking threads have ended"),
        })
    }
}

fn run(library: &'static Library, waiting: &Mutex<Receiver<Job>>) {
    loop {
        let job = waiting.lock().unwrap_or_else(PoisonError::into_inner).recv();
        match job {
            Ok(job) => speak(library, &job),
            Err(_) => return,
        }
    }
}

fn speak(library: &'static Library, job: &Job) {
    let is_heard = || !job.is_cancelled.load(Ordering::Acquire);
    let mut tell = |event| {
        is_heard() && {
            (job.sink)(event);
            is_heard()
        }
    };
    if job.is_cancelled.load(Ordering::Acquire) {
        return;
    }
    let words = Words::of(&job.text);
    let done = if words.is_silent() {
        tell(Event::Words(words.timed(&[])));
        Ok(())
    } else {
        synthesise(library, job.voice, &words, job.speed_percent, &mut tell)
    };
    match done {
        Ok(()) => tell(Event::Finished),
        Err(error) => tell(Event::Failed(error)),
    };
}

fn unavailable(message: impl Into<String>) -> Error {
    Error::new(NAME, ErrorKind::Unavailable, message)
}
