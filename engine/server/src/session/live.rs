//! The calls that live in this process, so that others can reach them.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use parlance_conversation::EndReason;
use parlance_store::{CallId, OrganisationId};
use tokio::sync::broadcast;

use super::inbox::{Post, Posted};
use super::onlookers::{Onlookers, Told};

/// Live calls by their id.
#[derive(Default)]
pub struct LiveCalls {
    calls: RwLock<HashMap<CallId, Live>>,
}

/// One of them.
struct Live {
    organisation: OrganisationId,
    post: Post,
    onlookers: Arc<Onlookers>,
}

impl LiveCalls {
    /// Takes a call in and gives the place for those who watch it. `None` if that call lives already.
    pub fn enter(&self, organisation: OrganisationId, call: CallId, post: Post) -> Option<Arc<Onlookers>> {
        let mut calls = self.calls.write().unwrap_or_else(PoisonError::into_inner);
        match calls.entry(call) {
            std::collections::hash_map::Entry::Occupied(_) => None,
            std::collections::hash_map::Entry::Vacant(place) => {
                let onlookers = Arc::<Onlookers>::default();
                place.insert(Live { organisation, post, onlookers: onlookers.clone() });
                Some(onlookers)
            }
        }
    }

    /// Lets a call go.
    pub fn leave(&self, call: CallId) {
        self.calls.write().unwrap_or_else(PoisonError::into_inner).remove(&call);
    }

    /// Posts to a call. False if it does not live here.
    pub fn post(&self, call: CallId, item: Posted) -> bool {
        let calls = self.read();
        let Some(live) = calls.get(&call) else { return false };
        live.post.post(item);
        true
    }

    /// Asks a call to end. False if it does not live here.
    pub fn end(&self, call: CallId, reason: EndReason) -> bool {
        self.post(call, Posted::End(reason))
    }

    /// Asks every call to end.
    pub fn end_all(&self, reason: EndReason) {
        for live in self.read().values() {
            live.post.post(Posted::End(reason));
        }
    }

    /// What a call tells from now on. `None` if it does not live here.
    pub fn watch(&self, call: CallId) -> Option<broadcast::Receiver<Arc<Told>>> {
        self.read().get(&call).map(|live| live.onlookers.join())
    }

    /// Whose call it is. `None` if it does not live here.
    pub fn organisation_of(&self, call: CallId) -> Option<OrganisationId> {
        self.read().get(&call).map(|live| live.organisation)
    }

    /// The organisations that have calls here.
    pub fn organisations(&self) -> BTreeSet<OrganisationId> {
        self.read().values().map(|live| live.organisation).collect()
    }

    /// How many calls live here.
    pub fn count(&self) -> usize {
        self.read().len()
    }

    fn read(&self) -> RwLockReadGuard<'_, HashMap<CallId, Live>> {
        self.calls.read().unwrap_or_else(PoisonError::into_inner)
    }
}
