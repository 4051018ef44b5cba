//! The calls this node holds: from the moment their rows are taken until their ends are written.
//!
//! Decides when a call counts as lost, and then tells its session to end; knows no clock and no database (renewing
//! is the business of [`leases`](crate::leases)). A call stays held while its end waits in the journal, so that
//! nobody closes it meanwhile; one whose session broke is let go and closed by whoever sees its lease lapse.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use parlance_conversation::EndReason;
use parlance_store::CallId;
use parlance_store::ownership::{Lease, Owner, Renewed};

use super::live::LiveCalls;

/// The calls of this node.
pub struct Ownership {
    lease: Lease,
    held: Mutex<BTreeMap<CallId, Held>>,
    live: Arc<LiveCalls>,
    calls_lost: AtomicU64,
    entries_fenced: AtomicU64,
}

struct Held {
    epoch: i64,
    /// Its end waits to be written; the session is over or about to be.
    closing: bool,
}

impl Ownership {
    /// A node that holds calls by this lease, and none yet. Sessions are found in `live`.
    pub fn new(lease: Lease, live: Arc<LiveCalls>) -> Self {
        let (calls_lost, entries_fenced) = Default::default();
        Self { lease, held: Mutex::default(), live, calls_lost, entries_fenced }
    }

    /// By which lease calls are taken.
    pub fn lease(&self) -> Lease {
        self.lease
    }

    /// This node has taken a call.
    pub fn took(&self, call: CallId, epoch: i64) -> Owner {
        self.held().insert(call, Held { epoch, closing: false });
        Owner { node: self.lease.node, epoch }
    }

    /// The end of a call waits to be written.
    pub fn closing(&self, call: CallId) {
        if let Some(held) = self.held().get_mut(&call) {
            held.closing = true;
        }
    }

    /// The session of a call is gone. Without an end that waits to be written, nobody speaks for the call any more.
    pub fn left(&self, call: CallId) {
        let mut held = self.held();
        if held.get(&call).is_some_and(|held| !held.closing) {
            held.remove(&call);
        }
    }

    /// The end of a call is written, or never will be.
    pub fn closed(&self, call: CallId) {
        self.held().remove(&call);
    }

    /// The calls held now.
    pub fn calls(&self) -> Vec<CallId> {
        self.held().keys().copied().collect()
    }

    /// What became of the calls that were `asked` for. A call whose end waits is left to the journal, because the
    /// end may have been written by then.
    pub fn renewed(&self, asked: &[CallId], renewed: &Renewed) {
        let lost: Vec<CallId> = {
            let held = self.held();
            let is_lost = |call: &&CallId| {
                held.get(call)
                    .is_some_and(|held| !held.closing && renewed.kept.get(call) != Some(&held.epoch))
            };
            asked.iter().filter(is_lost).copied().collect()
        };
        lost.into_iter().for_each(|call| self.lost(call));
    }

    /// Entries of a call were not written, because it has another owner or is over.
    pub fn fenced(&self, call: CallId, entries: usize) {
        self.entries_fenced.fetch_add(entries as u64, Ordering::Relaxed);
        self.lost(call);
    }

    fn lost(&self, call: CallId) {
        // Once for each call: what comes later finds it gone.
        if self.held().remove(&call).is_none() {
            return;
        }
        self.calls_lost.fetch_add(1, Ordering::Relaxed);
        tracing::warn!(%call, "the call has another owner or is over: nothing more of it is written here");
        self.live.end(call, EndReason::EngineLost);
    }

    /// How many calls this node has lost to another.
    pub fn calls_lost(&self) -> u64 {
        self.calls_lost.load(Ordering::Relaxed)
    }

    /// How many journal entries were not written because their calls were lost.
    pub fn entries_fenced(&self) -> u64 {
        self.entries_fenced.load(Ordering::Relaxed)
    }

    fn held(&self) -> MutexGuard<'_, BTreeMap<CallId, Held>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use parlance_store::{NodeId, OrganisationId};

    use super::*;
    use crate::session::inbox::{Inbox, Posted};

    fn ownership() -> Ownership {
        let lease = Lease { node: NodeId::new(), length: Duration::from_secs(15) };
        Ownership::new(lease, Arc::default())
    }

    fn renewed<const N: usize>(kept: [(CallId, i64); N]) -> Renewed {
        Renewed { seen: jiff::Timestamp::now(), kept: kept.into() }
    }

    #[tokio::test]
    async fn a_call_that_was_not_renewed_is_lost_once_and_its_session_is_told() {
        let ownership = ownership();
        let (call, other) = (CallId::new(), CallId::new());
        let mut inbox = Inbox::default();
        ownership.live.enter(OrganisationId::DEFAULT, call, inbox.post());
        ownership.took(call, 1);
        ownership.took(other, 4);
        let asked = ownership.calls();
        ownership.renewed(&asked, &renewed([(other, 4)]));
        assert!(matches!(inbox.next().await, Posted::End(EndReason::EngineLost)));
        ownership.fenced(call, 3);
        assert_eq!((ownership.calls_lost(), ownership.entries_fenced()), (1, 3));
        assert_eq!(ownership.calls(), [other]);
    }

    #[test]
    fn a_call_that_somebody_else_took_meanwhile_is_lost_though_this_node_has_it_again() {
        let ownership = ownership();
        let call = CallId::new();
        ownership.took(call, 1);
        ownership.renewed(&[call], &renewed([(call, 3)]));
        assert_eq!(ownership.calls(), []);
    }

    #[test]
    fn a_call_taken_or_closing_while_leases_were_renewed_is_not_lost() {
        let ownership = ownership();
        let (taken, closing) = (CallId::new(), CallId::new());
        ownership.took(closing, 1);
        let asked = ownership.calls();
        ownership.closing(closing);
        ownership.took(taken, 1);
        ownership.renewed(&asked, &renewed([]));
        assert_eq!((ownership.calls().len(), ownership.calls_lost()), (2, 0));
    }

    #[test]
    fn a_call_is_held_until_its_end_is_written_but_not_after_its_session_broke() {
        let ownership = ownership();
        let (ended, broken) = (CallId::new(), CallId::new());
        ownership.took(ended, 1);
        ownership.took(broken, 1);
        ownership.closing(ended);
        ownership.left(ended);
        ownership.left(broken);
        assert_eq!(ownership.calls(), [ended]);
        ownership.closed(ended);
        assert_eq!((ownership.calls(), ownership.calls_lost()), (vec![], 0));
    }
}
