//! Keys: shown once, found by their secret before the organisation is known.

use parlance_store::keys::{self, NewApiKey, Revocation};
use parlance_store::{PageRequest, Scope, Store};

use crate::setup::{execute, in_both_setups, new_organisation};

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

    async fn a_revoked_key_leads_nowhere_and_stays_in_the_list(store: Store) {
        let scope = new_organisation(&store).await;
        let (new, other) = (new_key(&scope).await, new_key(&scope).await);
        assert!(keys::find(&store, &new.secret).await.unwrap().is_some());
        let Revocation::Made(revoked) = keys::revoke(&scope, new.key.id).await.unwrap() else {
            panic!("it is no admin key");
        };
        assert!(revoked.revoke_time.is_some());
        assert_eq!(keys::find(&store, &new.secret).await.unwrap(), None);
        assert!(keys::find(&store, &other.secret).await.unwrap().is_some());
        let again = keys::revoke(&scope, new.key.id).await.unwrap();
        assert_eq!(again, Revocation::Made(revoked.clone()), "the first time counts");
        let first = keys::list(&scope, &Default::default(), &PageRequest { size: 1, token: None }).await.unwrap();
        let rest = keys::list(&scope, &Default::default(), &PageRequest { size: 1, token: first.next_token.clone() }).await.unwrap();
        assert_eq!((first.items, rest.items), (vec![revoked], vec![other.key]));
        assert_eq!(rest.next_token, None);
    }

    async fn of_two_admin_keys_that_are_revoked_at_once_one_stays(store: Store) {
        let scope = new_organisation(&store).await;
        let mut revoking = Vec::new();
        for _ in 0..2 {
            let key = keys::create(&scope, &["admin".to_owned(), "calls".to_owned()]).await.unwrap().key;
            let scope = scope.clone();
            revoking.push(async move { keys::revoke(&scope, key.id).await.unwrap() });
        }
        let second = revoking.pop().unwrap();
        let (one, other) = tokio::join!(revoking.pop().unwrap(), second);
        let last = [one, other].iter().filter(|it| **it == Revocation::LastAdmin).count();
        assert_eq!(last, 1);
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
