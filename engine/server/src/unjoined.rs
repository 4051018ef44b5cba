//! Calls that were announced and that nobody joined: they end after a bound, so that none waits for ever.
//!
//! Each node looks, for all organisations; of two that look at once one ends a call. Enter at [`watch`].

use std::sync::Arc;
use std::time::Duration;

use parlance_conversation::EndReason;
use parlance_store::{Store, calls};
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;

use crate::metrics::Metrics;

/// How often it is looked at most and at least; in between, ten times within the bound.
const LOOK_EVERY: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(60));

/// The watch; it ends with its value.
pub struct Watch(JoinHandle<()>);

impl Watch {
    /// Ends it, before the store is closed.
    pub fn stop(&self) {
        self.0.abort();
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Ends calls that nobody joined within `bound` of their making, from now on.
pub fn watch(store: Store, metrics: Arc<Metrics>, bound: Duration) -> Watch {
    let every = (bound / 10).clamp(LOOK_EVERY.0, LOOK_EVERY.1);
    Watch(tokio::spawn(async move {
        let mut tick = tokio::time::interval(every);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let message = format!("nobody joined it within {} s", bound.as_secs());
        loop {
            tick.tick().await;
            match calls::close_unjoined(&store, bound, &message).await {
                Ok(closed) if closed.is_empty() => {}
                Ok(closed) => {
                    tracing::info!(calls = closed.len(), "calls ended that nobody joined");
                    closed.iter().for_each(|_| metrics.call_ended(EndReason::CallerNeverJoined));
                    if let Err(error) = store.tell_written(&closed).await {
                        tracing::debug!(%error, "those who wait for the calls were not told of their end");
                    }
                }
                Err(error) => tracing::warn!(%error, "calls that nobody joined could not be looked for"),
            }
        }
    }))
}
