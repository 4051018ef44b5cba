//! Sentences that are spoken by one HTTP request each: their task, their outer bound, their end.
//!
//! Enter at [`Requested::start`]. Dropping what it gives ends the request, which is how HTTP is cancelled.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::Instant;

use super::Speech;
use super::sentence::{BETWEEN, FIRST_AUDIO, Sentence};
use crate::running::Running;
use crate::wire::handshakes::watched;
use crate::wire::http::Http;
use crate::{Error, ErrorKind};

/// A sentence's request; dropping it ends it.
pub(super) struct Requested {
    cancelled: Arc<AtomicBool>,
    _running: Running,
}

impl Requested {
    /// Speaks `sentence` as `speak` does, and tells its end.
    pub fn start<F>(
        runtime: &Handle,
        sentence: Sentence,
        speak: impl FnOnce(Sentence) -> F + Send + 'static,
    ) -> Result<Speech, Error>
    where
        F: Future<Output = (Sentence, Result<(), Error>)> + Send,
    {
        let cancelled = sentence.cancelled();
        let task = runtime.spawn(watched(async move {
            match speak(sentence).await {
                (sentence, Ok(())) => sentence.finish(),
                (sentence, Err(error)) => sentence.fail(error),
            }
        }));
        Ok(Box::new(Self { cancelled, _running: Running(task) }))
    }
}

impl Drop for Requested {
    fn drop(&mut self) {
        self.cancelled.store(true, Ordering::Release);
    }
}

/// Opens a connection in the background that the first sentence finds warm.
pub(super) fn warm(provider: &'static str, http: &Http, url: String) -> Result<Running, Error> {
    let runtime = Handle::try_current()
        .map_err(|error| Error::new(provider, ErrorKind::Unavailable, error.to_string()))?;
    let http = http.clone();
    Ok(Running(runtime.spawn(watched(async move { http.warm(&url).await }))))
}

/// How long the next piece of a request that began then is waited for.
pub(super) fn patience(began: Instant, sentence: &Sentence) -> Duration {
    if sentence.has_sounded() { BETWEEN } else { FIRST_AUDIO.saturating_sub(began.elapsed()) }
}

/// Nothing came for that long.
pub(super) fn silent(provider: &str, began: Instant, sentence: &Sentence) -> Error {
    let message = if sentence.has_sounded() {
        format!("the audio stopped in mid-sentence, for {} s", BETWEEN.as_secs())
    } else {
        format!("no audio within {} s", began.elapsed().as_secs())
    };
    Error::new(provider, ErrorKind::TimedOut, message)
}
