//! Organisations' own secrets: out of the vault, and kept in clear for a few seconds.
//!
//! What is kept is looked at again after [`FRESH`], because another engine may have set or deleted a secret. The operator's
//! settings stand behind the secrets of his organisation. Enter at [`OwnSecrets::find`](Secrets::find).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;
use parlance_providers::account::Secret;
use parlance_store::tool_secrets::{self, SealedToolSecret, ToolSecret};
use parlance_store::{OrganisationId, Result, Scope, ToolSecretId};
use tokio::time::Instant;

use super::secrets::{Error, OperatorSecrets, Secrets};
use crate::vault::{Belongs, Sealed, Vault};

/// How long a secret is taken to be as it was.
const FRESH: Duration = Duration::from_secs(5);
/// Secrets that are kept; more are read each time.
const KEPT_MAX: usize = 1_000;

struct Looked {
    value: Option<Secret>,
    at: Instant,
}

#[derive(Default)]
struct Kept {
    secrets: HashMap<(OrganisationId, String), Looked>,
    /// How many changes there were: what was read before one is not kept after it.
    changes: u64,
}

/// The secrets of all organisations.
pub struct OwnSecrets {
    vault: Arc<Vault>,
    operator: OperatorSecrets,
    kept: Mutex<Kept>,
}

impl OwnSecrets {
    /// Kept in this vault, before those that the operator has set for his organisation.
    pub fn new(vault: Arc<Vault>, operator: OperatorSecrets) -> Self {
        Self { vault, operator, kept: Mutex::default() }
    }

    /// Keeps a secret; `None` without a master key.
    ///
    /// # Errors
    /// As [`tool_secrets::set`].
    pub async fn set(&self, scope: &Scope, name: &str, value: &Secret) -> Result<Option<ToolSecret>> {
        let id = ToolSecretId::new();
        let whose = whose(name);
        let Some(sealed) = self.vault.seal(value, belongs(scope, &whose, id)) else { return Ok(None) };
        let new = SealedToolSecret { id, sealed: sealed.bytes, master_key: sealed.master_key };
        let row = tool_secrets::set(scope, name, new).await;
        self.forget(scope, name);
        row.map(Some)
    }

    /// Deletes a secret; whether there was one.
    ///
    /// # Errors
    /// As [`tool_secrets::delete`].
    pub async fn delete(&self, scope: &Scope, name: &str) -> Result<bool> {
        let was_there = tool_secrets::delete(scope, name).await;
        self.forget(scope, name);
        was_there
    }

    async fn own(&self, scope: &Scope, name: &str) -> Result<Option<Secret>, Error> {
        let key = (scope.organisation(), name.to_owned());
        let at = Instant::now();
        let changes = {
            let kept = self.lock();
            if let Some(looked) = kept.secrets.get(&key).filter(|looked| looked.at.elapsed() < FRESH) {
                return Ok(looked.value.clone());
            }
            kept.changes
        };
        let value = match tool_secrets::find(scope, name).await? {
            Some(row) => Some(self.unsealed(scope, name, row).await.ok_or(Error::Sealed)?),
            None => None,
        };
        let mut kept = self.lock();
        kept.secrets.retain(|_, looked| looked.at.elapsed() < FRESH);
        if kept.changes == changes && kept.secrets.len() < KEPT_MAX {
            kept.secrets.insert(key, Looked { value: value.clone(), at });
        }
        Ok(value)
    }

    async fn unsealed(&self, scope: &Scope, name: &str, row: SealedToolSecret) -> Option<Secret> {
        let SealedToolSecret { id, sealed, master_key } = row;
        let sealed = Sealed { bytes: sealed, master_key };
        let keep = |anew: Sealed| async move {
            tool_secrets::reseal(scope, id, &anew.bytes, &anew.master_key).await
        };
        self.vault.read(&sealed, belongs(scope, &whose(name), id), keep).await
    }

    fn forget(&self, scope: &Scope, name: &str) {
        let mut kept = self.lock();
        kept.changes += 1;
        kept.secrets.remove(&(scope.organisation(), name.to_owned()));
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Secrets for OwnSecrets {
    fn find<'a>(&'a self, scope: &'a Scope, name: &'a str) -> BoxFuture<'a, Result<Option<String>, Error>> {
        Box::pin(async move {
            match self.own(scope, name).await? {
                Some(secret) => Ok(Some(secret.reveal().to_owned())),
                None => self.operator.find(scope, name).await,
            }
        })
    }
}

/// No vendor is called so: neither opens where the other is expected.
fn whose(name: &str) -> String {
    format!("tool secret {name}")
}

fn belongs<'a>(scope: &Scope, whose: &'a str, id: ToolSecretId) -> Belongs<'a> {
    Belongs { organisation: scope.organisation(), whose, id: id.0 }
}
