//! `ApiKeyService`: creates, reads and revokes keys. A secret leaves in one answer and stays nowhere.

mod list;

use std::sync::Arc;

use parlance_proto::v1;
use parlance_proto::v1::api_key_service_server::ApiKeyService;
use parlance_store::keys::{self, NewKey, Revocation};
use parlance_store::{Error as StoreError, KeyId, Scope};
use tonic::{Request, Response, Status};

use super::organisation::{is_operator, operator_only};
use super::perform::{Done, perform};
use super::{auth, name, page};
use crate::convert::{api_key as convert, organisation};
use crate::engine::Engine;
use crate::status::{Refusal, Violations};

const NAME_MAX: usize = 200;

/// The service.
pub struct ApiKeys {
    engine: Arc<Engine>,
}

impl ApiKeys {
    /// Keys are kept by `engine`'s store.
    pub fn new(engine: Arc<Engine>) -> Self {
        Self { engine }
    }
}

#[tonic::async_trait]
impl ApiKeyService for ApiKeys {
    async fn create_api_key(
        &self,
        request: Request<v1::CreateApiKeyRequest>,
    ) -> Result<Response<v1::CreateApiKeyResponse>, Status> {
        let engine = self.engine.clone();
        perform(&self.engine, request, |scope, request| async move { create(&engine, scope, request).await })
            .await
    }

    async fn get_api_key(
        &self,
        request: Request<v1::GetApiKeyRequest>,
    ) -> Result<Response<v1::GetApiKeyResponse>, Status> {
        let scope = auth::scope(&self.engine.store, &request)?;
        let id = name::api_key("name", &request.get_ref().name)?;
        let row = keys::get(&scope, id).await.map_err(|error| missing(error, id))?;
        Ok(Response::new(v1::GetApiKeyResponse { api_key: Some(convert::api_key(&row)) }))
    }

    async fn list_api_keys(
        &self,
        request: Request<v1::ListApiKeysRequest>,
    ) -> Result<Response<v1::ListApiKeysResponse>, Status> {
        let scope = auth::scope(&self.engine.store, &request)?;
        let request = request.into_inner();
        let filter = list::filter(&request)?;
        let wanted = page::request(request.page_size, request.page_token)?;
        let page = keys::list(&scope, &filter, &wanted).await.map_err(page::refused)?;
        Ok(Response::new(v1::ListApiKeysResponse {
            api_keys: page.items.iter().map(convert::api_key).collect(),
            next_page_token: page.next_token.unwrap_or_default(),
        }))
    }

    async fn revoke_api_key(
        &self,
        request: Request<v1::RevokeApiKeyRequest>,
    ) -> Result<Response<v1::RevokeApiKeyResponse>, Status> {
        let engine = self.engine.clone();
        perform(&self.engine, request, |scope, request| async move {
            let id = name::api_key("name", &request.name)?;
            let revoked = revoke(&engine, &scope, id).await?;
            Ok(Done::new(request.name, v1::RevokeApiKeyResponse { api_key: Some(revoked) }))
        })
        .await
    }
}

async fn create(
    engine: &Engine,
    own: Scope,
    request: v1::CreateApiKeyRequest,
) -> Result<Done<v1::CreateApiKeyResponse>, Refusal> {
    let wire = request.api_key.ok_or_else(|| Violations::one("api_key", "is required"))?;
    let mut bad = Violations::default();
    bad.longest("api_key.display_name", &wire.display_name, NAME_MAX);
    let scopes = scopes(&wire, &mut bad);
    bad.check()?;
    let whose = match request.organisation.as_str() {
        "" => None,
        given => name::organisation("organisation", given)?,
    };
    let scope = match whose.filter(|whose| *whose != own.organisation()) {
        None => own,
        Some(other) if is_operator(&own) => engine.store.scope(other),
        Some(_) => return Err(operator_only("make keys of another organisation")),
    };
    let new = NewKey { display_name: &wire.display_name, scopes: &scopes };
    let made = keys::create_named(&scope, new).await.map_err(|error| match error {
        StoreError::NotFound(_) => Refusal::NotFound { name: organisation::name(scope.organisation()) },
        other => other.into(),
    })?;
    // What is kept for a repeated request holds no secret.
    let kept = v1::CreateApiKeyResponse { api_key: Some(convert::api_key(&made.key)), secret: String::new() };
    let answer = v1::CreateApiKeyResponse { secret: made.secret, ..kept.clone() };
    Ok(Done { kept: Some(kept), ..Done::new(convert::name(made.key.id), answer) })
}

/// The names of the scopes, each once.
fn scopes(wire: &v1::ApiKey, bad: &mut Violations) -> Vec<String> {
    if wire.scopes.is_empty() {
        bad.add("api_key.scopes", "must have at least one");
    }
    let mut names: Vec<String> = Vec::new();
    for (index, scope) in wire.scopes.iter().enumerate() {
        let name = v1::KeyScope::try_from(*scope).map(auth::scope_name).unwrap_or_default();
        if name.is_empty() {
            bad.add(format!("api_key.scopes[{index}]"), "must be one of the named scopes");
        } else if !names.iter().any(|known| known == name) {
            names.push(name.to_owned());
        }
    }
    names
}

async fn revoke(engine: &Engine, scope: &Scope, id: KeyId) -> Result<v1::ApiKey, Refusal> {
    match keys::revoke(scope, id).await.map_err(|error| missing(error, id))? {
        Revocation::Made(row) => {
            engine.known_keys.forget(id);
            Ok(convert::api_key(&row))
        }
        Revocation::LastAdmin => Err(Refusal::WrongState {
            reason: v1::ErrorReason::LastAdminKey,
            message: format!(
                "{} is the organisation's last key with the scope ADMIN: make another first",
                convert::name(id)
            ),
        }),
    }
}

fn missing(error: StoreError, id: KeyId) -> Refusal {
    match error {
        StoreError::NotFound(_) => Refusal::NotFound { name: convert::name(id) },
        other => other.into(),
    }
}
