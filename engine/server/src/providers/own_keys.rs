//! Organisations' own accounts: their keys out of the vault, and the providers these open, kept for a while.
//!
//! What is kept is looked at again after [`FRESH`], because another engine may have set or deleted a key; as long as the
//! rows are the same the opened providers stay, with their warm connections.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use parlance_providers::account::{Account, Secret};
use parlance_store::provider_keys::{self, NewProviderKey, ProviderKey};
use parlance_store::{OrganisationId, ProviderKeyId, Result, Scope};
use tokio::time::Instant;

use super::services::Services;
use crate::vault::{Belongs, Sealed, Vault};

/// How long the keys of an organisation are taken to be as they were.
const FRESH: Duration = Duration::from_secs(5);
/// Organisations whose providers are kept open; of more, those that called longest ago are let go.
const KEPT_MAX: usize = 1_000;
/// A key as short as that has no hint.
const HINT_FROM: usize = 16;

/// The accounts of one organisation, by vendor. One whose key can't be opened is there without a key: its organisation
/// shall not be served on somebody else's account.
pub type Accounts = HashMap<String, Account>;

struct Kept {
    rows: Vec<ProviderKeyId>,
    services: Option<Arc<Services>>,
    looked: Instant,
}

/// The keys of all organisations.
pub struct OwnKeys {
    vault: Arc<Vault>,
    kept: Mutex<HashMap<OrganisationId, Kept>>,
}

impl OwnKeys {
    /// Kept in this vault.
    pub fn new(vault: Arc<Vault>) -> Self {
        Self { vault, kept: Mutex::default() }
    }

    /// Whether keys can be kept at all.
    pub fn can_keep(&self) -> bool {
        self.vault.has_key()
    }

    /// The providers of an organisation, opened by `open` from its accounts where they have changed; `None` where it has
    /// no keys of its own.
    ///
    /// # Errors
    /// As [`provider_keys::list`].
    pub async fn services(
        &self,
        scope: &Scope,
        open: impl FnOnce(Accounts) -> Services,
    ) -> Result<Option<Arc<Services>>> {
        let organisation = scope.organisation();
        if let Some(kept) = self.lock().get(&organisation).filter(|kept| kept.looked.elapsed() < FRESH) {
            return Ok(kept.services.clone());
        }
        let rows = provider_keys::list(scope).await?;
        let ids: Vec<ProviderKeyId> = rows.iter().map(|row| row.id).collect();
        let same = self.lock().get_mut(&organisation).filter(|kept| kept.rows == ids).map(|kept| {
            kept.looked = Instant::now();
            kept.services.clone()
        });
        if let Some(services) = same {
            return Ok(services);
        }
        let services = match rows.is_empty() {
            true => None,
            false => Some(Arc::new(open(self.accounts(scope, &rows).await))),
        };
        let mut kept = self.lock();
        if kept.len() >= KEPT_MAX {
            let oldest =
                kept.iter().min_by_key(|(_, kept)| kept.looked).map(|(organisation, _)| *organisation);
            oldest.map(|organisation| kept.remove(&organisation));
        }
        let entry = Kept { rows: ids, services: services.clone(), looked: Instant::now() };
        kept.insert(organisation, entry);
        Ok(services)
    }

    /// Keeps a key; `None` without a master key.
    ///
    /// # Errors
    /// As [`provider_keys::set`].
    pub async fn set(&self, scope: &Scope, vendor: &str, key: &Secret) -> Result<Option<ProviderKey>> {
        let id = ProviderKeyId::new();
        let belongs = Belongs { organisation: scope.organisation(), whose: vendor, id: id.0 };
        let Some(sealed) = self.vault.seal(key, belongs) else { return Ok(None) };
        let new = NewProviderKey {
            id,
            vendor: vendor.to_owned(),
            sealed: sealed.bytes,
            master_key: sealed.master_key,
            hint: hint(key.reveal()),
        };
        let row = provider_keys::set(scope, new).await?;
        self.forget(scope.organisation());
        Ok(Some(row))
    }

    /// Deletes a key; whether there was one.
    ///
    /// # Errors
    /// As [`provider_keys::delete`].
    pub async fn delete(&self, scope: &Scope, vendor: &str) -> Result<bool> {
        let was_there = provider_keys::delete(scope, vendor).await?;
        self.forget(scope.organisation());
        Ok(was_there)
    }

    async fn accounts(&self, scope: &Scope, rows: &[ProviderKey]) -> Accounts {
        let mut accounts = Accounts::new();
        for row in rows {
            let belongs = Belongs { organisation: scope.organisation(), whose: &row.vendor, id: row.id.0 };
            let sealed = Sealed { bytes: row.sealed.clone(), master_key: row.master_key.clone() };
            let keep = |anew: Sealed| async move {
                provider_keys::reseal(scope, row.id, &anew.bytes, &anew.master_key).await
            };
            let key = self.vault.read(&sealed, belongs, keep).await;
            accounts.insert(row.vendor.clone(), Account { key: key.unwrap_or_default(), base_url: None });
        }
        accounts
    }

    fn forget(&self, organisation: OrganisationId) {
        self.lock().remove(&organisation);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<OrganisationId, Kept>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The last four characters, where they give nothing away.
fn hint(key: &str) -> String {
    let start = key.len().saturating_sub(4);
    if key.len() < HINT_FROM { String::new() } else { key.get(start..).unwrap_or_default().to_owned() }
}
