//! Organisations' own accounts: their keys out of the vault, and the providers these open, kept for a while.
//!
//! What is kept is looked at again after [`FRESH`], because another engine may have set or deleted a key; as long as the
//! rows are the same the opened providers stay, with their warm connections.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use parlance_providers::account::{Account, AccountId, Secret};
use parlance_providers::chain::Health;
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
pub type Accounts = HashMap<String, (Account, AccountId)>;

/// Which key there is of which vendor.
type Rows = HashMap<String, ProviderKeyId>;

struct Kept {
    rows: Rows,
    services: Option<Arc<Services>>,
    looked: Instant,
}

/// The keys of all organisations.
pub struct OwnKeys {
    vault: Arc<Vault>,
    health: Arc<Health>,
    kept: Mutex<HashMap<OrganisationId, Kept>>,
}

impl OwnKeys {
    /// Kept in this vault. How its vendor has done on a key is forgotten in `health` with the key.
    pub fn new(vault: Arc<Vault>, health: Arc<Health>) -> Self {
        Self { vault, health, kept: Mutex::default() }
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
        let ids: Rows = rows.iter().map(|row| (row.vendor.clone(), row.id)).collect();
        let replaced = match self.lock().get_mut(&organisation) {
            Some(kept) if kept.rows == ids => {
                kept.looked = Instant::now();
                return Ok(kept.services.clone());
            }
            Some(kept) => gone(&kept.rows, &ids),
            None => Vec::new(),
        };
        // Another engine has replaced or deleted them.
        replaced.into_iter().for_each(|id| self.health.forget(&account_id(id)));
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
    /// As [`provider_keys::list`] and [`provider_keys::set`].
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
        let old = self.row_of(scope, vendor).await?;
        let row = provider_keys::set(scope, new).await?;
        self.forget(scope.organisation(), old);
        Ok(Some(row))
    }

    /// Deletes a key; whether there was one.
    ///
    /// # Errors
    /// As [`provider_keys::list`] and [`provider_keys::delete`].
    pub async fn delete(&self, scope: &Scope, vendor: &str) -> Result<bool> {
        let old = self.row_of(scope, vendor).await?;
        let was_there = provider_keys::delete(scope, vendor).await?;
        self.forget(scope.organisation(), old);
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
            let account = Account { key: key.unwrap_or_default(), base_url: None };
            accounts.insert(row.vendor.clone(), (account, account_id(row.id)));
        }
        accounts
    }

    /// The key there is of a vendor, whether its providers are open or not.
    async fn row_of(&self, scope: &Scope, vendor: &str) -> Result<Option<ProviderKeyId>> {
        let rows = provider_keys::list(scope).await?;
        Ok(rows.iter().find(|row| row.vendor == vendor).map(|row| row.id))
    }

    /// The rows are looked at anew, and how the vendor has done on the old key is forgotten.
    fn forget(&self, organisation: OrganisationId, old: Option<ProviderKeyId>) {
        self.lock().remove(&organisation);
        old.into_iter().for_each(|id| self.health.forget(&account_id(id)));
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<OrganisationId, Kept>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An account is known by its key's row: a key that is set again is another row, and a row says nothing of its key.
fn account_id(row: ProviderKeyId) -> AccountId {
    AccountId::own(row.0)
}

/// The keys that are not there any more.
fn gone(before: &Rows, now: &Rows) -> Vec<ProviderKeyId> {
    before.iter().filter(|(vendor, id)| now.get(*vendor) != Some(id)).map(|(_, id)| *id).collect()
}

/// The last four characters, where they give nothing away.
fn hint(key: &str) -> String {
    let start = key.len().saturating_sub(4);
    if key.len() < HINT_FROM { String::new() } else { key.get(start..).unwrap_or_default().to_owned() }
}

#[cfg(test)]
mod tests {
    use parlance_providers::chain::{self, Budgets, Setup, State, Thinking};
    use parlance_providers::llm::{LanguageModel, Request, Response, Sink};
    use parlance_providers::{Error, ErrorKind};

    use super::*;

    /// A model whose key is blocked.
    struct Blocked;

    impl LanguageModel for Blocked {
        fn name(&self) -> &'static str {
            "openai"
        }

        fn respond(&self, _: Request, _: Sink) -> std::result::Result<Response, Error> {
            Err(Error::new(self.name(), ErrorKind::Unauthorized, "the key is blocked"))
        }
    }

    fn rows(rows: &[(&str, ProviderKeyId)]) -> Rows {
        rows.iter().map(|(vendor, id)| ((*vendor).to_owned(), *id)).collect()
    }

    #[tokio::test]
    async fn how_a_vendor_did_on_one_key_is_held_against_no_other_and_forgotten_with_it() {
        let health = Arc::<Health>::default();
        let keys = OwnKeys::new(Arc::default(), health.clone());
        let [old, theirs, new] = [(); 3].map(|()| ProviderKeyId::new());
        let states = |id: ProviderKeyId| -> Vec<State> {
            health.look(&account_id(id)).iter().map(|look| look.state).collect()
        };
        let mut answers = Vec::new();
        for account in [old, theirs].map(account_id) {
            let (notes, budgets) = (parlance_providers::notes::nobody(), Budgets::default());
            let setup = Setup { health: health.clone(), notes, budgets };
            let thinking = Thinking { provider: Arc::new(Blocked), model: None, account };
            let line = chain::llm(vec![thinking], setup).expect("it has one");
            answers.push(line.respond(Request::default(), Arc::new(drop)));
        }
        let began = Instant::now();
        while [old, theirs].iter().any(|id| states(*id) != [State::Open]) {
            assert!(began.elapsed() < Duration::from_secs(20), "{:?} {:?}", states(old), states(theirs));
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert!(states(new).is_empty() && health.look(&AccountId::ENGINE).is_empty());
        let organisation = OrganisationId::new();
        keys.forget(organisation, Some(new));
        assert_eq!(states(old), [State::Open], "another vendor's key");
        // None of its providers is open any more: it has called too long ago, or its key was set a moment before.
        keys.forget(organisation, Some(old));
        assert_eq!((states(old), states(theirs)), (vec![], vec![State::Open]));
    }

    #[test]
    fn a_key_that_was_replaced_or_deleted_elsewhere_is_noticed() {
        let [same, old, deleted, new] = [(); 4].map(|()| ProviderKeyId::new());
        let before = rows(&[("deepgram", same), ("openai", old), ("cartesia", deleted)]);
        let now = rows(&[("deepgram", same), ("openai", new), ("anthropic", new)]);
        let mut gone = gone(&before, &now);
        gone.sort_by_key(|id| id.0);
        let mut expected = [old, deleted];
        expected.sort_by_key(|id| id.0);
        assert_eq!(gone, expected);
    }
}
