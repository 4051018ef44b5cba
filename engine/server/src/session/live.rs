//! The calls that live in this process, so that the API can end one.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};

use parlance_conversation::EndReason;
use parlance_store::CallId;

use super::inbox::{Post, Posted};

/// Inboxes of live calls by call id.
#[derive(Default)]
pub struct LiveCalls {
    posts: RwLock<HashMap<CallId, Post>>,
}

impl LiveCalls {
    /// Takes a call in. False if that call lives already.
    pub fn enter(&self, call: CallId, post: Post) -> bool {
        let mut posts = self.posts.write().unwrap_or_else(PoisonError::into_inner);
        match posts.entry(call) {
            std::collections::hash_map::Entry::Occupied(_) => false,
            std::collections::hash_map::Entry::Vacant(place) => {
                place.insert(post);
                true
            }
        }
    }

    /// Lets a call go.
    pub fn leave(&self, call: CallId) {
        self.posts.write().unwrap_or_else(PoisonError::into_inner).remove(&call);
    }

    /// Asks a call to end. False if it does not live here.
    pub fn end(&self, call: CallId, reason: EndReason) -> bool {
        let posts = self.posts.read().unwrap_or_else(PoisonError::into_inner);
        let Some(post) = posts.get(&call) else { return false };
        post.post(Posted::End(reason));
        true
    }

    /// Asks every call to end.
    pub fn end_all(&self, reason: EndReason) {
        for post in self.posts.read().unwrap_or_else(PoisonError::into_inner).values() {
            post.post(Posted::End(reason));
        }
    }

    /// How many calls live here.
    pub fn count(&self) -> usize {
        self.posts.read().unwrap_or_else(PoisonError::into_inner).len()
    }
}
