//! Who watches calls on this node: how many may, and whom to wake when a journal has grown.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use parlance_proto::v1::ErrorReason;
use parlance_store::{CallId, OrganisationId};
use tokio::sync::watch;

use crate::status::Refusal;

/// Who may watch one call.
const PER_CALL: usize = 100;
/// Who may watch calls of one organisation on this node, so that it leaves room for others.
const PER_ORGANISATION: usize = 200;
/// Who may watch on this node, all calls together.
const IN_ALL: usize = 1_000;
/// When a place may be free again.
const PLACE_WAIT: Duration = Duration::from_secs(5);

/// Everybody who watches a call here.
#[derive(Default)]
pub struct Watchers {
    places: Mutex<Places>,
}

#[derive(Default)]
struct Places {
    taken: usize,
    by_organisation: HashMap<OrganisationId, usize>,
    by_call: HashMap<CallId, Watched>,
}

struct Watched {
    taken: usize,
    wake: watch::Sender<()>,
}

/// One watcher's place, let go when it is dropped.
pub struct Place {
    watchers: Arc<Watchers>,
    organisation: OrganisationId,
    call: CallId,
    wakes: watch::Receiver<()>,
}

impl Watchers {
    /// A place to watch `call` of `organisation` from.
    ///
    /// # Errors
    /// The refusal when all places are taken.
    pub fn take(self: &Arc<Self>, organisation: OrganisationId, call: CallId) -> Result<Place, Refusal> {
        let mut places = self.lock();
        let of_call = places.by_call.get(&call).map_or(0, |watched| watched.taken);
        if of_call >= PER_CALL {
            return Err(too_many(format!("calls/{call} has {PER_CALL} watchers, as many as it may")));
        }
        if places.by_organisation.get(&organisation).is_some_and(|own| *own >= PER_ORGANISATION) {
            return Err(too_many(format!(
                "this organisation has {PER_ORGANISATION} watchers on this engine, as many as it may"
            )));
        }
        if places.taken >= IN_ALL {
            return Err(too_many(format!(
                "this engine has {IN_ALL} watchers, as many as it takes; try another"
            )));
        }
        places.taken += 1;
        *places.by_organisation.entry(organisation).or_default() += 1;
        let watched =
            places.by_call.entry(call).or_insert_with(|| Watched { taken: 0, wake: watch::Sender::new(()) });
        watched.taken += 1;
        Ok(Place { watchers: self.clone(), organisation, call, wakes: watched.wake.subscribe() })
    }

    /// Wakes those who watch one of these calls.
    pub fn wake(&self, calls: &[CallId]) {
        let places = self.lock();
        for watched in calls.iter().filter_map(|call| places.by_call.get(call)) {
            watched.wake.send_replace(());
        }
    }

    /// Wakes all.
    pub fn wake_all(&self) {
        for watched in self.lock().by_call.values() {
            watched.wake.send_replace(());
        }
    }

    /// How many places are taken.
    pub fn count(&self) -> usize {
        self.lock().taken
    }

    fn lock(&self) -> MutexGuard<'_, Places> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// Resolves when the call's journal may have grown since this was last asked.
    pub async fn woken(&mut self) {
        if self.wakes.changed().await.is_err() {
            // Can't be: who waits here keeps the sender alive.
            std::future::pending::<()>().await;
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut places = self.watchers.lock();
        places.taken -= 1;
        if let Some(own) = places.by_organisation.get_mut(&self.organisation) {
            *own -= 1;
            if *own == 0 {
                places.by_organisation.remove(&self.organisation);
            }
        }
        if let Some(watched) = places.by_call.get_mut(&self.call) {
            watched.taken -= 1;
            if watched.taken == 0 {
                places.by_call.remove(&self.call);
            }
        }
    }
}

fn too_many(message: String) -> Refusal {
    Refusal::Exhausted { reason: ErrorReason::TooManyWatchers, message, retry_after: PLACE_WAIT }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_has_a_hundred_places_its_organisation_two_hundred_and_each_comes_free_again() {
        let watchers = Arc::<Watchers>::default();
        let (organisation, another) = (OrganisationId::new(), OrganisationId::new());
        let (one, other, third) = (CallId::new(), CallId::new(), CallId::new());
        let take = |call| watchers.take(organisation, call);
        let mut taken: Vec<Place> = (0..PER_CALL).map(|_| take(one).expect("there is room")).collect();
        assert!(take(one).is_err(), "the call is full");
        taken.extend((0..PER_CALL).map(|_| take(other).expect("there is room")));
        assert!(take(third).is_err(), "the organisation has all that it may");
        taken.push(watchers.take(another, CallId::new()).expect("another organisation has its own"));
        taken.remove(0);
        taken.push(take(third).expect("one has gone"));
        drop(taken);
        assert_eq!(watchers.count(), 0);
        assert!(watchers.lock().by_call.is_empty() && watchers.lock().by_organisation.is_empty());
    }

    #[test]
    fn the_engine_has_a_thousand_places() {
        let watchers = Arc::<Watchers>::default();
        let mut taken = Vec::new();
        while taken.len() < IN_ALL {
            let (organisation, call) = (OrganisationId::new(), CallId::new());
            taken.extend((0..PER_CALL).map(|_| watchers.take(organisation, call).expect("there is room")));
        }
        assert!(watchers.take(OrganisationId::new(), CallId::new()).is_err(), "the engine is full");
    }

    #[tokio::test]
    async fn a_wake_that_came_before_it_was_waited_for_is_not_lost() {
        let watchers = Arc::<Watchers>::default();
        let (organisation, call) = (OrganisationId::new(), CallId::new());
        let take = |call| watchers.take(organisation, call).expect("there is room");
        let (mut one, mut other) = (take(call), take(CallId::new()));
        watchers.wake(&[call]);
        one.woken().await;
        let waits = tokio::time::timeout(Duration::from_millis(1), other.woken()).await;
        assert!(waits.is_err(), "the other call's watcher sleeps on");
        watchers.wake_all();
        other.woken().await;
    }
}
