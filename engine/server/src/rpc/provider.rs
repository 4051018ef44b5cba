//! `ProviderService`: which providers there are and how they do, their voices, and organisations' own keys.
//!
//! A key comes in with one request and goes to the vault; no answer, log or audit entry has it.

use std::sync::Arc;

use parlance_proto::v1;
use parlance_proto::v1::provider_service_server::ProviderService;
use parlance_providers::account::Secret;
use parlance_providers::near;
use parlance_providers::registry::{VENDORS, Vendor};
use parlance_store::{Scope, provider_keys};
use tonic::{Request, Response, Status};

use super::perform::{Done, perform};
use super::{auth, page};
use crate::convert::provider as convert;
use crate::engine::Engine;
use crate::status::{Refusal, Violations};

const KEY_LENGTH: std::ops::RangeInclusive<usize> = 8..=512;

/// The service.
pub struct Providers {
    engine: Arc<Engine>,
}

impl Providers {
    /// Of `engine`'s providers.
    pub fn new(engine: Arc<Engine>) -> Self {
        Self { engine }
    }
}

#[tonic::async_trait]
impl ProviderService for Providers {
    async fn list_providers(
        &self,
        request: Request<v1::ListProvidersRequest>,
    ) -> Result<Response<v1::ListProvidersResponse>, Status> {
        let scope = auth::scope(&self.engine.store, &request)?;
        let request = request.into_inner();
        let kind = v1::ProviderKind::try_from(request.kind)
            .map_err(|_| Refusal::from(Violations::one("kind", "must be one of the named kinds")))?;
        let wanted = page::request(request.page_size, request.page_token)?;
        let services = self.engine.providers.of(&scope).await?;
        let health = self.engine.providers.health();
        let mut all = convert::providers(&services, |account| health.look(account));
        all.retain(|provider| kind == v1::ProviderKind::Unspecified || provider.kind() == kind);
        let key = |provider: &v1::Provider| format!("{} {}", provider.kind, provider.provider);
        let page = wanted.cut(all, &format!("providers {kind:?}"), key).map_err(page::refused)?;
        Ok(Response::new(v1::ListProvidersResponse {
            providers: page.items,
            next_page_token: page.next_token.unwrap_or_default(),
        }))
    }

    async fn list_voices(
        &self,
        request: Request<v1::ListVoicesRequest>,
    ) -> Result<Response<v1::ListVoicesResponse>, Status> {
        let scope = auth::scope(&self.engine.store, &request)?;
        let request = request.into_inner();
        let wanted = page::request(request.page_size, request.page_token.clone())?;
        let services = self.engine.providers.of(&scope).await?;
        let known = convert::voice_providers(&services);
        if !request.provider.is_empty() && !known.contains(&request.provider.as_str()) {
            let why = near::unknown(&request.provider, &known);
            return Err(Refusal::from(Violations::one("provider", why)).into());
        }
        let mut all = convert::voices(&services);
        all.retain(|voice| request.provider.is_empty() || voice.provider == request.provider);
        all.retain(|voice| convert::speaks(voice, &request.language));
        let query = format!("voices {} {}", request.provider, request.language);
        let page = wanted.cut(all, &query, |voice| voice.voice_id.clone()).map_err(page::refused)?;
        Ok(Response::new(v1::ListVoicesResponse {
            voices: page.items,
            next_page_token: page.next_token.unwrap_or_default(),
        }))
    }

    async fn set_provider_key(
        &self,
        request: Request<v1::SetProviderKeyRequest>,
    ) -> Result<Response<v1::SetProviderKeyResponse>, Status> {
        let engine = self.engine.clone();
        perform(&self.engine, request, |scope, request| async move { set(&engine, &scope, request).await })
            .await
    }

    async fn list_provider_keys(
        &self,
        request: Request<v1::ListProviderKeysRequest>,
    ) -> Result<Response<v1::ListProviderKeysResponse>, Status> {
        let scope = auth::scope(&self.engine.store, &request)?;
        let rows = provider_keys::list(&scope).await.map_err(Refusal::from)?;
        let provider_keys = rows.iter().map(convert::provider_key).collect();
        Ok(Response::new(v1::ListProviderKeysResponse { provider_keys }))
    }

    async fn delete_provider_key(
        &self,
        request: Request<v1::DeleteProviderKeyRequest>,
    ) -> Result<Response<v1::DeleteProviderKeyResponse>, Status> {
        let engine = self.engine.clone();
        perform(&self.engine, request, |scope, request| async move {
            let vendor = vendor(&request.vendor)?;
            if !engine.providers.own_keys().delete(&scope, vendor.name).await? {
                return Err(Refusal::NotFound { name: format!("key of {}", vendor.name) });
            }
            Ok(Done::new(resource(vendor), v1::DeleteProviderKeyResponse {}))
        })
        .await
    }
}

async fn set(
    engine: &Engine,
    scope: &Scope,
    request: v1::SetProviderKeyRequest,
) -> Result<Done<v1::SetProviderKeyResponse>, Refusal> {
    let vendor = vendor(&request.vendor)?;
    let fits = KEY_LENGTH.contains(&request.key.len()) && request.key.bytes().all(|b| b.is_ascii_graphic());
    if !fits {
        let why = "must be 8 to 512 printable ASCII characters without blanks";
        return Err(Violations::one("key", why).into());
    }
    let kept = engine.providers.own_keys().set(scope, vendor.name, &Secret::new(request.key)).await?;
    let row = kept.ok_or_else(Refusal::master_key_missing)?;
    let answer = v1::SetProviderKeyResponse { provider_key: Some(convert::provider_key(&row)) };
    Ok(Done::new(resource(vendor), answer))
}

/// What the audit log calls it.
fn resource(vendor: &Vendor) -> String {
    format!("providerKeys/{}", vendor.name)
}

fn vendor(name: &str) -> Result<&'static Vendor, Refusal> {
    Vendor::of(name).ok_or_else(|| {
        let known: Vec<&str> = VENDORS.iter().map(|vendor| vendor.name).collect();
        Violations::one("vendor", near::unknown(name, &known)).into()
    })
}
