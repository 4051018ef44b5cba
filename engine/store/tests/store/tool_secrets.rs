//! Organisations' secrets that tools name: one a name, and nobody else's.

use parlance_store::tool_secrets::{self, SealedToolSecret, ToolSecret};
use parlance_store::{PageRequest, Scope, Store, ToolSecretId};

use crate::setup::{in_both_setups, new_organisation};

pub async fn new_secret(scope: &Scope, name: &str) -> ToolSecret {
    let sealed =
        SealedToolSecret { id: ToolSecretId::new(), sealed: vec![1, 2, 3], master_key: "0011".into() };
    tool_secrets::set(scope, name, sealed).await.unwrap()
}

in_both_setups! {
    async fn a_secret_set_again_takes_the_place_of_the_one_before(store: Store) {
        let scope = new_organisation(&store).await;
        let first = new_secret(&scope, "CRM").await;
        let before = tool_secrets::find(&scope, "CRM").await.unwrap().unwrap();
        let second = new_secret(&scope, "CRM").await;
        let after = tool_secrets::find(&scope, "CRM").await.unwrap().unwrap();
        assert_ne!(before.id, after.id, "its ciphertext is bound to its id");
        assert_eq!(second.create_time, first.create_time);
        assert!(second.update_time > first.update_time);
        assert!(!tool_secrets::reseal(&scope, before.id, &[9], "22").await.unwrap(), "it is gone");
        assert!(tool_secrets::reseal(&scope, after.id, &[9], "22").await.unwrap());
        let resealed = tool_secrets::find(&scope, "CRM").await.unwrap().unwrap();
        assert_eq!((resealed.sealed, resealed.master_key.as_str()), (vec![9], "22"));
        let whole = PageRequest::default();
        assert_eq!(tool_secrets::list(&scope, &whole).await.unwrap().items, [second], "its value was not set");
    }

    async fn a_secret_is_found_and_deleted_only_by_its_organisation(store: Store) {
        let (scope, other) = (new_organisation(&store).await, new_organisation(&store).await);
        new_secret(&scope, "CRM").await;
        assert_eq!(tool_secrets::find(&other, "CRM").await.unwrap(), None);
        assert!(!tool_secrets::delete(&other, "CRM").await.unwrap());
        assert!(tool_secrets::delete(&scope, "CRM").await.unwrap());
        assert!(!tool_secrets::delete(&scope, "CRM").await.unwrap());
        assert_eq!(tool_secrets::find(&scope, "CRM").await.unwrap(), None);
    }
}
