//! The keys that were seen lately: whose they are, how fast they may ask, when they were used.
//!
//! A key is looked up again after [`FRESH`], so that one revoked on another node is refused within seconds; one
//! revoked here is forgotten at once. A key's rate is a bucket that fills by the second and holds two seconds.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use parlance_proto::v1::ErrorReason;
use parlance_store::keys::{self, KeyOwner};
use parlance_store::{KeyId, Store};
use tokio::sync::Semaphore;

use crate::status::Refusal;

/// How long what is known of a key is believed.
const FRESH: Duration = Duration::from_secs(5);
/// How often a key's last use is written, at most.
const TOUCH_EVERY: Duration = Duration::from_secs(60);
/// Keys that are remembered; beyond that those not asked for lately are dropped.
const KNOWN_MAX: usize = 10_000;
/// Look-ups at once.
const LOOKUPS_AT_ONCE: usize = 4;

/// A key that was found.
pub struct KnownKey {
    /// Whose it is and what it may do.
    pub owner: KeyOwner,
    state: Mutex<State>,
}

struct State {
    checked: Instant,
    touched: Option<Instant>,
    tokens: f64,
    filled: Instant,
}

impl KnownKey {
    fn new(owner: KeyOwner, rate: u32) -> Self {
        let now = Instant::now();
        let tokens = f64::from(rate) * 2.0;
        Self { owner, state: Mutex::new(State { checked: now, touched: None, tokens, filled: now }) }
    }

    /// Takes one request out of the bucket of `rate` a second, or says when there will be one.
    pub fn take(&self, rate: u32, now: Instant) -> Result<(), Refusal> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let per_second = f64::from(rate.max(1));
        let passed = now.saturating_duration_since(state.filled).as_secs_f64();
        state.tokens = (state.tokens + passed * per_second).min(per_second * 2.0);
        state.filled = now;
        if state.tokens >= 1.0 {
            state.tokens -= 1.0;
            return Ok(());
        }
        Err(Refusal::Exhausted {
            reason: ErrorReason::RateLimited,
            message: format!("this key may send {rate} requests a second"),
            retry_after: Duration::from_secs_f64((1.0 - state.tokens) / per_second),
        })
    }

    /// Writes that the key was used now, unless that was written lately. Waits for nothing.
    pub fn touch(&self, store: &Store) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.touched.is_some_and(|touched| touched.elapsed() < TOUCH_EVERY) {
            return;
        }
        state.touched = Some(Instant::now());
        let (scope, key) = (store.scope(self.owner.organisation), self.owner.key_id);
        tokio::spawn(async move {
            if let Err(error) = keys::touch(&scope, key).await {
                tracing::debug!(%error, "a key's last use was not written");
            }
        });
    }

    fn is_fresh(&self) -> bool {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).checked.elapsed() < FRESH
    }
}

/// The keys that were seen lately, by their secrets' hashes.
pub struct KnownKeys {
    rate: u32,
    /// Look-ups at once, so that a flood of keys nobody has leaves the database's connections to others.
    lookups: Semaphore,
    /// Counts revocations: what was looked up before one may not be remembered after it.
    revocations: AtomicU64,
    keys: Mutex<HashMap<Vec<u8>, Arc<KnownKey>>>,
}

impl KnownKeys {
    /// Each key may send `rate` requests a second.
    pub fn new(rate: u32) -> Self {
        let lookups = Semaphore::new(LOOKUPS_AT_ONCE);
        Self { rate, lookups, revocations: AtomicU64::new(0), keys: Mutex::default() }
    }

    /// Requests a key may send a second.
    pub fn rate(&self) -> u32 {
        self.rate
    }

    /// The key of a secret; none if it is unknown or revoked.
    pub async fn find(&self, store: &Store, secret: &str) -> Result<Option<Arc<KnownKey>>, Refusal> {
        let hash = keys::hash(secret);
        let known = self.lock().get(&hash).cloned();
        if let Some(known) = known.as_ref().filter(|known| known.is_fresh()) {
            return Ok(Some(known.clone()));
        }
        let Ok(_turn) = self.lookups.acquire().await else { return Err(Refusal::Internal) };
        let revocations = self.revocations.load(Ordering::SeqCst);
        let Some(owner) = keys::find(store, secret).await? else {
            self.lock().remove(&hash);
            return Ok(None);
        };
        let key = match known {
            // The same bucket, so that a look-up gives nobody more than the rate.
            Some(known) if known.owner == owner => known,
            _ => Arc::new(KnownKey::new(owner, self.rate)),
        };
        key.state.lock().unwrap_or_else(PoisonError::into_inner).checked = Instant::now();
        let mut keys = self.lock();
        if keys.len() >= KNOWN_MAX {
            keys.retain(|_, key| key.is_fresh());
        }
        if keys.len() < KNOWN_MAX && self.revocations.load(Ordering::SeqCst) == revocations {
            keys.insert(hash, key.clone());
        }
        Ok(Some(key))
    }

    /// Forgets a key that was revoked.
    pub fn forget(&self, id: KeyId) {
        let mut keys = self.lock();
        self.revocations.fetch_add(1, Ordering::SeqCst);
        keys.retain(|_, key| key.owner.key_id != id);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Vec<u8>, Arc<KnownKey>>> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use parlance_store::OrganisationId;

    fn key(rate: u32) -> KnownKey {
        let owner =
            KeyOwner { key_id: KeyId::new(), organisation: OrganisationId::new(), scopes: Vec::new() };
        KnownKey::new(owner, rate)
    }

    #[test]
    fn a_key_may_ask_two_seconds_worth_at_once_and_its_rate_from_then_on() {
        let key = key(10);
        let now = Instant::now();
        assert!((0..20).all(|_| key.take(10, now).is_ok()));
        let Err(Refusal::Exhausted { reason, retry_after, .. }) = key.take(10, now) else {
            panic!("the bucket is empty");
        };
        assert_eq!(reason, ErrorReason::RateLimited);
        assert!(retry_after <= Duration::from_millis(100), "{retry_after:?}");
        let later = now + Duration::from_millis(500);
        assert_eq!((0..10).filter(|_| key.take(10, later).is_ok()).count(), 5);
    }
}
