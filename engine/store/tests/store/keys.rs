//! Keys: shown once, found by their secret before the organisation is known.

use parlance_store::keys::{self, NewApiKey};
use parlance_store::{Scope, Store};

use crate::setup::{Setup, as_login, execute, in_both_setups, new_organisation};

pub async fn new_key(scope: &Scope) -> NewApiKey {
    keys::create(scope, &["sessions".to_owned(), "calls".to_owned()]).await.unwrap()
}

in_both_setups! {
    async fn a_secret_leads_to_its_organisation_and_scopes(store: Store) {
        let scope = new_organisation(&store).await;
        let new = new_key(&scope).await;
        assert!(new.secret.starts_with(&new.key.prefix));
        let owner = keys::find(&store, &new.secret).await.unwrap().unwrap();
        assert_eq!((owner.key_id, owner.organisation), (new.key.id, scope.organisation()));
        assert_eq!(owner.scopes, ["sessions", "calls"]);
    }

    async fn whatever_is_no_key_leads_nowhere(store: Store) {
        let new = new_key(&new_organisation(&store).await).await;
        let almost = &new.secret[..new.secret.len() - 1];
        for secret in ["", "pk_", almost, &new.key.prefix, "' OR true --", "\0", &"x".repeat(100_000)] {
            assert_eq!(keys::find(&store, secret).await.unwrap(), None);
        }
    }

    async fn a_revoked_key_leads_nowhere(store: Store) {
        // Revoking has no function yet, and the engine no right to it: the owner does it here.
        let scope = new_organisation(&store).await;
        let new = new_key(&scope).await;
        assert!(keys::find(&store, &new.secret).await.unwrap().is_some());
        let set = format!("SET app.organization = '{}'", scope.organisation());
        let revoke = format!("UPDATE parlance.api_keys SET revoke_time = now() WHERE id = '{}'", new.key.id);
        for setup in [Setup::PrivateCluster, Setup::OrdinaryOwner] {
            as_login(setup.url().await, &[&set, &revoke]).await.unwrap(); // it is in one of the two
        }
        assert_eq!(keys::find(&store, &new.secret).await.unwrap(), None);
    }

    async fn the_first_key_is_made_once_however_many_ask(store: Store) {
        let scope = new_organisation(&store).await;
        let asked = (0..4).map(|_| {
            let scope = scope.clone();
            tokio::spawn(async move { keys::create_first(&scope, &["admin".to_owned()]).await.unwrap() })
        });
        let mut made = 0;
        for task in asked.collect::<Vec<_>>() {
            made += usize::from(task.await.unwrap().is_some());
        }
        assert_eq!(made, 1);
    }

    async fn the_secret_is_kept_nowhere(store: Store) {
        let scope = new_organisation(&store).await;
        let new = new_key(&scope).await;
        assert!(!format!("{new:?}").contains(&new.secret));
        let search = format!("SELECT FROM api_keys k WHERE to_jsonb(k)::text LIKE '%{}%'", &new.secret[20..]);
        assert_eq!(execute(&scope, &search).await.unwrap(), 0);
    }
}
