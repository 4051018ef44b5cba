//! Organisations' own accounts: their keys out of the vault, and the providers these open, kept for a while.
//!
//! What is kept is looked at again after [`FRESH`], because another engine may have set or deleted a key; as long as the
//! rows are the same the opened providers stay, with their warm connections.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use parlance_providers::account::{Account, Secret};
use parlance_providers::chain::Health;
use parlance_providers::registry::services;
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
    /// Kept in this vault. How a key's vendor has done is forgotten in `health` with the key.
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
        let changed = match self.lock().get_mut(&organisation) {
            Some(kept) if kept.rows == ids => {
                kept.looked = Instant::now();
                return Ok(kept.services.clone());
            }
            Some(kept) => changed(&kept.rows, &ids),
            None => Vec::new(),
        };
        // Another engine has set or deleted them.
        changed.iter().for_each(|vendor| self.forget_health(organisation, vendor));
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
        self.forget(scope.organisation(), vendor);
        Ok(Some(row))
    }

    /// Deletes a key; whether there was one.
    ///
    /// # Errors
    /// As [`provider_keys::delete`].
    pub async fn delete(&self, scope: &Scope, vendor: &str) -> Result<bool> {
        let was_there = provider_keys::delete(scope, vendor).await?;
        self.forget(scope.organisation(), vendor);
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

    fn forget(&self, organisation: OrganisationId, vendor: &str) {
        self.lock().remove(&organisation);
        self.forget_health(organisation, vendor);
    }

    /// A key that was blocked says nothing of the next one.
    fn forget_health(&self, organisation: OrganisationId, vendor: &str) {
        let names: Vec<&str> =
            services().filter(|service| service.vendor == vendor).map(|service| service.name).collect();
        self.health.forget(&organisation.to_string(), &names);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<OrganisationId, Kept>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The vendors whose keys are not the same.
fn changed(before: &Rows, now: &Rows) -> Vec<String> {
    let vendors = before.keys().chain(now.keys());
    vendors.filter(|vendor| before.get(*vendor) != now.get(*vendor)).cloned().collect()
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
    struct Blocked(&'static str);

    impl LanguageModel for Blocked {
        fn name(&self) -> &'static str {
            self.0
        }

        fn respond(&self, _: Request, _: Sink) -> std::result::Result<Response, Error> {
            Err(Error::new(self.0, ErrorKind::Unauthorized, "the key is blocked"))
        }
    }

    fn model_of(vendor: &str) -> &'static str {
        let model = |service: &&parlance_providers::registry::Service| {
            service.vendor == vendor && service.kind() == parlance_providers::registry::Kind::Llm
        };
        services().find(model).expect("it has a model").name
    }

    #[tokio::test]
    async fn a_vendor_that_refused_an_organisations_key_is_asked_again_when_the_key_is_another() {
        let health = Arc::<Health>::default();
        let keys = OwnKeys::new(Arc::default(), health.clone());
        let (ours, theirs) = (OrganisationId::new(), OrganisationId::new());
        let states = |of: OrganisationId| -> Vec<State> {
            health.look(&of.to_string()).iter().map(|look| look.state).collect()
        };
        let mut answers = Vec::new();
        for organisation in [ours, theirs].map(|id| id.to_string()) {
            let (notes, budgets) = (parlance_providers::notes::nobody(), Budgets::default());
            let setup = Setup { organisation, health: health.clone(), notes, budgets };
            let provider: Arc<dyn LanguageModel> = Arc::new(Blocked(model_of("openai")));
            let line = chain::llm(vec![Thinking { provider, model: None }], setup).expect("it has one");
            answers.push(line.respond(Request::default(), Arc::new(drop)));
        }
        let began = Instant::now();
        while [ours, theirs].iter().any(|of| states(*of) != [State::Open]) {
            assert!(began.elapsed() < Duration::from_secs(20), "{:?} {:?}", states(ours), states(theirs));
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        keys.forget(ours, "anthropic");
        assert_eq!(states(ours), [State::Open], "another vendor's key");
        keys.forget(ours, "openai");
        assert_eq!((states(ours), states(theirs)), (vec![State::Well], vec![State::Open]));
    }

    #[test]
    fn a_key_that_was_set_replaced_or_deleted_elsewhere_is_noticed() {
        let [same, old, new] = [(); 3].map(|()| ProviderKeyId::new());
        let rows = |rows: &[(&str, ProviderKeyId)]| -> Rows {
            rows.iter().map(|(vendor, id)| ((*vendor).to_owned(), *id)).collect()
        };
        let before = rows(&[("deepgram", same), ("openai", old), ("cartesia", old)]);
        let now = rows(&[("deepgram", same), ("openai", new), ("anthropic", new)]);
        let mut changed = changed(&before, &now);
        changed.sort();
        changed.dedup();
        assert_eq!(changed, ["anthropic", "cartesia", "openai"]);
    }
}
