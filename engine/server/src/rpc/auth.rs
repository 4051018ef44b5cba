//! Who may come in: the bearer key of a request, looked up by its hash, says the organisation.

use parlance_store::{OrganisationId, Scope, Store};
use tonic::Request;
use tonic::metadata::MetadataMap;

use crate::status::Refusal;

/// The organisation whose key the request carries.
pub async fn organisation(store: &Store, metadata: &MetadataMap) -> Result<OrganisationId, Refusal> {
    let secret = metadata
        .get("authorization")
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.strip_prefix("Bearer ").or_else(|| value.strip_prefix("bearer ")))
        .ok_or(Refusal::Unauthenticated)?;
    let known = parlance_store::keys::find(store, secret.trim()).await?;
    known.map(|key| key.organisation).ok_or(Refusal::Unauthenticated)
}

/// The rows of the organisation whose key the request carries.
pub async fn scope<T>(store: &Store, request: &Request<T>) -> Result<Scope, Refusal> {
    Ok(store.scope(organisation(store, request.metadata()).await?))
}
