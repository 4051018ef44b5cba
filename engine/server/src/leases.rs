//! Keeps this node's calls: renews their leases, and closes the calls of nodes that are lost.
//!
//! Renews five times a lease, so that some may fail. Sweeps only right after a renewal, and tells the database since
//! when it has had answers without a gap longer than half a lease: who was cut off, or stood still, must not take
//! its own absence for that of the others. A fresh process so waits for two leases before it closes what its
//! predecessor left. What is judged, and how, is in the database (`close_lost_calls`). Enter at [`keep`].

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use parlance_store::ownership::{self, Watch};
use parlance_store::{Error, Store};
use tokio::task::AbortHandle;
use tokio::time::MissedTickBehavior;

use crate::session::ownership::Ownership;

/// Renewals in one lease.
const RENEWALS: u32 = 5;
/// A renewal must be answered within this part of a lease, or it is given up for the next.
const ANSWER_PART: u32 = 3;
/// So must a sweep, which holds the next renewal up.
const SWEEP_PART: u32 = 5;

/// The task that keeps leases. Dropped, it ends.
pub struct Keeper {
    task: AbortHandle,
    closed: Arc<AtomicU64>,
}

impl Keeper {
    /// Renews no more.
    pub fn stop(&self) {
        self.task.abort();
    }

    /// How many calls of lost nodes were closed here.
    pub fn closed(&self) -> u64 {
        self.closed.load(Ordering::Relaxed)
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Starts the task.
pub fn keep(store: Store, ownership: Arc<Ownership>) -> Keeper {
    let closed = Arc::<AtomicU64>::default();
    let mut round = Round { store, ownership, watch: None, closed: closed.clone() };
    let task = tokio::spawn(async move { round.run().await }).abort_handle();
    Keeper { task, closed }
}

struct Round {
    store: Store,
    ownership: Arc<Ownership>,
    watch: Option<Watch>,
    closed: Arc<AtomicU64>,
}

impl Round {
    async fn run(&mut self) {
        let length = self.ownership.lease().length;
        let mut tick = tokio::time::interval(length / RENEWALS);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut failing, mut sweep_failing) = (false, false);
        loop {
            tick.tick().await;
            let renewed = within(length / ANSWER_PART, self.renew()).await;
            match &renewed {
                Err(error) if !failing => tracing::warn!(%error, "leases can't be renewed; calls go on"),
                Ok(_) if failing => tracing::info!("leases are renewed again"),
                _ => {}
            }
            failing = renewed.is_err();
            let Ok(watch) = renewed else { continue };
            let swept = within(length / SWEEP_PART, self.sweep(watch)).await;
            match &swept {
                Err(error) if !sweep_failing => {
                    tracing::warn!(%error, "calls of lost engines can't be closed; leases are renewed");
                }
                Ok(()) if sweep_failing => tracing::info!("calls of lost engines are closed again"),
                _ => {}
            }
            sweep_failing = swept.is_err();
        }
    }

    /// Renews the leases of this node's calls.
    async fn renew(&mut self) -> Result<Watch, Error> {
        let lease = self.ownership.lease();
        let asked = self.ownership.calls();
        let renewed = ownership::renew(&self.store, lease.node, &asked).await?;
        self.ownership.renewed(&asked, &renewed);
        let watch = watched(self.watch, renewed.seen, lease.length);
        self.watch = Some(watch);
        Ok(watch)
    }

    /// Closes the calls of nodes that are lost.
    async fn sweep(&self, watch: Watch) -> Result<(), Error> {
        let lost = ownership::close_lost(&self.store, self.ownership.lease(), watch).await?;
        // Counted first: telling may take too long.
        for lost in &lost {
            self.closed.fetch_add(1, Ordering::Relaxed);
            let node = lost.node.map_or("none that is known".to_owned(), |node| node.to_string());
            tracing::warn!(call = %lost.call, organisation = %lost.organisation, node, "call of a lost engine closed");
        }
        if !lost.is_empty() {
            // Who watches them waits for their end; without word it looks by itself, some seconds later.
            let calls: Vec<_> = lost.iter().map(|lost| lost.call).collect();
            self.store.tell_written(&calls).await.ok();
        }
        Ok(())
    }
}

/// The outcome of `work`, if it comes in time.
async fn within<T>(limit: Duration, work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    let done = tokio::time::timeout(limit, work).await;
    done.unwrap_or_else(|_| Err(Error::Unavailable("no answer in time".to_owned())))
}

/// The watch after an answer of the database: it begins anew after a gap, and when the database's clock went back.
fn watched(before: Option<Watch>, seen: Timestamp, lease: Duration) -> Watch {
    let gap = |watch: &Watch| Duration::try_from(seen.duration_since(watch.last)).ok();
    match before.filter(|watch| gap(watch).is_some_and(|gap| gap <= lease / 2)) {
        Some(watch) => Watch { last: seen, ..watch },
        None => Watch { since: seen, last: seen },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEASE: Duration = Duration::from_secs(10);

    fn at(second: i64) -> Timestamp {
        Timestamp::UNIX_EPOCH + jiff::SignedDuration::from_secs(second)
    }

    #[test]
    fn a_watch_goes_on_with_each_answer_and_begins_anew_after_half_a_lease_without_one() {
        let first = watched(None, at(0), LEASE);
        let second = watched(Some(first), at(5), LEASE);
        assert_eq!(second, Watch { since: at(0), last: at(5) });
        let after_a_gap = watched(Some(second), at(11), LEASE);
        assert_eq!(after_a_gap, Watch { since: at(11), last: at(11) });
    }

    #[test]
    fn a_clock_of_the_database_that_goes_back_begins_the_watch_anew() {
        let first = watched(None, at(100), LEASE);
        assert_eq!(watched(Some(first), at(99), LEASE), Watch { since: at(99), last: at(99) });
    }
}
