//! Keys: rows of the store in the contract's words. A secret has no place here.

use parlance_proto::v1;
use parlance_store::KeyId;
use parlance_store::keys::ApiKey;

use super::timestamp;
use crate::rpc::auth;

/// The resource name of a key.
pub fn name(id: KeyId) -> String {
    format!("apiKeys/{id}")
}

/// A key.
pub fn api_key(row: &ApiKey) -> v1::ApiKey {
    v1::ApiKey {
        name: name(row.id),
        display_name: row.display_name.clone(),
        scopes: row.scopes.iter().filter_map(|scope| auth::scope_of(scope)).map(i32::from).collect(),
        prefix: row.prefix.clone(),
        create_time: Some(timestamp(row.create_time)),
        last_use_time: row.last_use_time.map(timestamp),
        revoke_time: row.revoke_time.map(timestamp),
    }
}
