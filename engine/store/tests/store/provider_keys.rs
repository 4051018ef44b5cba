//! Organisations' own keys of vendors: one a vendor, and nobody else's.

use parlance_store::provider_keys::{self, NewProviderKey, ProviderKey};
use parlance_store::{ProviderKeyId, Scope, Store};

use crate::setup::{in_both_setups, new_organisation};

pub async fn new_key(scope: &Scope, vendor: &str) -> ProviderKey {
    let new = NewProviderKey {
        id: ProviderKeyId::new(),
        vendor: vendor.into(),
        sealed: vec![1, 2, 3],
        master_key: "0011".into(),
        hint: "wxyz".into(),
    };
    provider_keys::set(scope, new).await.unwrap()
}

in_both_setups! {
    async fn a_key_set_again_takes_the_place_of_the_one_before(store: Store) {
        let scope = new_organisation(&store).await;
        let first = new_key(&scope, "deepgram").await;
        let openai = new_key(&scope, "openai").await;
        let second = new_key(&scope, "deepgram").await;
        assert_ne!(first.id, second.id, "its ciphertext is bound to its id");
        assert_eq!(provider_keys::list(&scope).await.unwrap(), [second.clone(), openai]);
        assert!(!provider_keys::reseal(&scope, first.id, &[9], "22").await.unwrap(), "it is gone");
        assert!(provider_keys::reseal(&scope, second.id, &[9], "22").await.unwrap());
        let resealed = provider_keys::list(&scope).await.unwrap().swap_remove(0);
        assert_eq!((resealed.sealed, resealed.master_key.as_str()), (vec![9], "22"));
    }

    async fn a_key_is_deleted_once_and_only_by_its_organisation(store: Store) {
        let (scope, other) = (new_organisation(&store).await, new_organisation(&store).await);
        new_key(&scope, "deepgram").await;
        assert!(!provider_keys::delete(&other, "deepgram").await.unwrap());
        assert!(provider_keys::delete(&scope, "deepgram").await.unwrap());
        assert!(!provider_keys::delete(&scope, "deepgram").await.unwrap());
        assert!(provider_keys::list(&scope).await.unwrap().is_empty());
    }
}
