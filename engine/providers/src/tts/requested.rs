//! Sentences that are spoken by one HTTP request each: their task, their outer bound, their end.
//!
//! Enter at [`Requested::start`]. Dropping what it gives ends the request, which is how HTTP is cancelled.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::runtime::Handle;
use tokio::time::{Instant, timeout};

use super::Speech;
use super::sentence::{BETWEEN, FIRST_AUDIO, Sentence, WHOLE};
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
    /// Speaks `sentence` as `speak` does, and tells its end, which comes in time whatever the vendor sends.
    pub fn start(
        runtime: &Handle,
        mut sentence: Sentence,
        speak: impl for<'a> FnOnce(&'a mut Sentence) -> BoxFuture<'a, Result<(), Error>> + Send + 'static,
    ) -> Result<Speech, Error> {
        let cancelled = sentence.cancelled();
        let task = runtime.spawn(watched(async move {
            let spoken = timeout(WHOLE, speak(&mut sentence)).await;
            match spoken.unwrap_or_else(|_| Err(sentence.took_too_long())) {
                Ok(()) => sentence.finish(),
                Err(error) => sentence.fail(error),
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

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use tokio::sync::mpsc::unbounded_channel;

    use super::*;
    use crate::audio::AudioFormat;
    use crate::tts::Event;

    #[tokio::test(start_paused = true)]
    async fn a_sentence_whose_audio_trickles_for_ever_has_an_end() {
        let (told, mut events) = unbounded_channel();
        let sink = Arc::new(move |event| drop(told.send(event)));
        let sentence = Sentence::new("a vendor", AudioFormat::PCM_16K, sink);
        let began = Instant::now();
        let _speech = Requested::start(&Handle::current(), sentence, |sentence| {
            async move {
                loop {
                    sentence.audio(&[1, 0])?;
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
            }
            .boxed()
        })
        .unwrap();
        let error = loop {
            match timeout(2 * WHOLE, events.recv()).await.unwrap().unwrap() {
                Event::Failed(error) => break error,
                event => assert!(matches!(event, Event::Audio(_)), "{event:?}"),
            }
        };
        assert_eq!((error.kind, began.elapsed()), (ErrorKind::TimedOut, WHOLE));
    }
}
