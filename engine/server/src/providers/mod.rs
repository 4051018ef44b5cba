//! The providers of the engine: opened once for each account, and put in line for a call.
//!
//! Decides which providers there are for an organisation, and in which order a call tries them; how one goes on where
//! another fails is the chain's business, and how a vendor is spoken to the vendor's file's. Knows vendors by the
//! registry only. Enter at [`Providers::of`], then [`Services::line_up`] and [`Providers::for_call`].

mod converters;
mod for_call;
mod line_up;
mod nobody;
pub mod own_keys;
mod services;
mod voices;

use std::sync::Arc;

use parlance_providers::account::AccountId;
use parlance_providers::audio::Converters;
use parlance_providers::chain::Health;
use parlance_providers::registry::{Choice, Script, Stack};
use parlance_store::Scope;

use crate::config::Config;
use crate::config::Providers as Mode;
use crate::config::vendors::Vendors;
use crate::status::Refusal;
use crate::vault::Vault;

pub use for_call::{ForCall, Settings, asking};
pub use line_up::{LineUp, transcriber};
use own_keys::{Accounts, OwnKeys};
pub use services::{Opened, Services};
pub use voices::Voices;

/// Everything about providers that calls share.
pub struct Providers {
    engine_wide: Arc<Services>,
    own_keys: OwnKeys,
    /// What this machine has, and what is set for vendors; `None` where keys of vendors count for nothing.
    parts: Option<(Option<Stack>, Arc<Vendors>)>,
    health: Arc<Health>,
    converters: Converters,
    why: Vec<String>,
}

impl Providers {
    /// Opens what `config` names.
    ///
    /// # Errors
    /// When nobody is left to listen or to speak; the message holds the command that brings somebody.
    pub fn open(config: &Config, vault: Arc<Vault>) -> Result<Self, parlance_providers::Error> {
        let vendors = Arc::new(config.vendors.clone());
        let (engine_wide, why) = match config.providers {
            Mode::Auto => Self::auto(vendors.clone())?,
            Mode::Offline => Self::local(&Choice::Offline)?,
            Mode::Script => Self::local(&Choice::Script(Script::default()))?,
        };
        let parts = (config.providers == Mode::Auto).then(|| (engine_wide.this_machine(), vendors));
        let health = Arc::<Health>::default();
        Ok(Self {
            engine_wide: Arc::new(engine_wide),
            own_keys: OwnKeys::new(vault, health.clone()),
            parts,
            health,
            converters: converters::of_media(),
            why,
        })
    }

    /// Keys of vendors count for nothing here: what is chosen must not depend on what else is set.
    fn local(choice: &Choice) -> Result<(Services, Vec<String>), parlance_providers::Error> {
        let stack = Stack::new(choice)?;
        let why = stack.why.clone();
        Ok((Services::local(stack), why))
    }

    fn auto(vendors: Arc<Vendors>) -> Result<(Services, Vec<String>), parlance_providers::Error> {
        let local = Stack::new(&Choice::Offline);
        let account = |vendor: &str| (vendors.account(vendor), AccountId::ENGINE);
        let services = Services::open(vendors.clone(), account, local.clone().ok());
        match local {
            Err(missing) if !services.can_hold_a_call() => Err(missing),
            // Nobody else is there: said as `offline` says it.
            Ok(stack) if !services.has_vendors() => Ok((services, stack.why)),
            _ => {
                let why = services.why();
                Ok((services, why))
            }
        }
    }

    /// The providers for calls of an organisation.
    ///
    /// # Errors
    /// When its keys can't be read.
    pub async fn of(&self, scope: &Scope) -> Result<Arc<Services>, Refusal> {
        let Some((local, vendors)) = &self.parts else { return Ok(self.engine_wide.clone()) };
        let open = |own: Accounts| {
            let account = |vendor: &str| match own.get(vendor) {
                Some(account) => account.clone(),
                None => (vendors.account(vendor), AccountId::ENGINE),
            };
            Services::open(vendors.clone(), account, local.clone())
        };
        let own = self.own_keys.services(scope, open).await?;
        Ok(own.unwrap_or_else(|| self.engine_wide.clone()))
    }

    /// Organisations' own keys of vendors.
    pub fn own_keys(&self) -> &OwnKeys {
        &self.own_keys
    }

    /// The providers on the engine's own accounts.
    pub fn engine_wide(&self) -> &Arc<Services> {
        &self.engine_wide
    }

    /// One line for each kind of provider: who works, and why.
    pub fn why(&self) -> &[String] {
        &self.why
    }

    /// How providers have done lately.
    pub fn health(&self) -> &Arc<Health> {
        &self.health
    }
}
