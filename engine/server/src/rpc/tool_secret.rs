//! `ToolSecretService`: the secrets that an organisation's tools name.
//!
//! A value comes in with one request and goes to the vault; no answer, log or audit entry has it.

use std::sync::Arc;

use parlance_proto::v1;
use parlance_proto::v1::tool_secret_service_server::ToolSecretService;
use parlance_providers::account::Secret;
use parlance_store::Scope;
use parlance_store::tool_secrets::{self, ToolSecret};
use tonic::{Request, Response, Status};

use super::perform::{Done, perform};
use super::{auth, page};
use crate::convert::timestamp;
use crate::engine::Engine;
use crate::status::{Refusal, Violations};
use crate::tools::secrets;

/// Bytes; a shorter one could not be taken out of a service's answer.
const VALUE_LENGTH: std::ops::RangeInclusive<usize> = secrets::SHORTEST..=8_192;

/// The service.
pub struct ToolSecrets {
    engine: Arc<Engine>,
}

impl ToolSecrets {
    /// Kept by `engine`.
    pub fn new(engine: Arc<Engine>) -> Self {
        Self { engine }
    }
}

#[tonic::async_trait]
impl ToolSecretService for ToolSecrets {
    async fn set_tool_secret(
        &self,
        request: Request<v1::SetToolSecretRequest>,
    ) -> Result<Response<v1::SetToolSecretResponse>, Status> {
        let engine = self.engine.clone();
        perform(&self.engine, request, |scope, request| async move { set(&engine, &scope, request).await })
            .await
    }

    async fn list_tool_secrets(
        &self,
        request: Request<v1::ListToolSecretsRequest>,
    ) -> Result<Response<v1::ListToolSecretsResponse>, Status> {
        let scope = auth::scope(&self.engine.store, &request)?;
        let request = request.into_inner();
        let wanted = page::request(request.page_size, request.page_token)?;
        let page = tool_secrets::list(&scope, &wanted).await.map_err(page::refused)?;
        Ok(Response::new(v1::ListToolSecretsResponse {
            tool_secrets: page.items.into_iter().map(shown).collect(),
            next_page_token: page.next_token.unwrap_or_default(),
        }))
    }

    async fn delete_tool_secret(
        &self,
        request: Request<v1::DeleteToolSecretRequest>,
    ) -> Result<Response<v1::DeleteToolSecretResponse>, Status> {
        let engine = self.engine.clone();
        perform(&self.engine, request, |scope, request| async move {
            let mut bad = Violations::default();
            check_name(&request.name, &mut bad);
            bad.check()?;
            let deleted = engine.tool_secrets.delete(&scope, &request.name).await;
            engine.reach.mcp.forget(scope.organisation());
            if !deleted? {
                return Err(Refusal::NotFound { name: resource(&request.name) });
            }
            Ok(Done::new(resource(&request.name), v1::DeleteToolSecretResponse {}))
        })
        .await
    }
}

async fn set(
    engine: &Engine,
    scope: &Scope,
    request: v1::SetToolSecretRequest,
) -> Result<Done<v1::SetToolSecretResponse>, Refusal> {
    let mut bad = Violations::default();
    check_name(&request.name, &mut bad);
    if !VALUE_LENGTH.contains(&request.value.len()) {
        bad.add("value", format!("must be {} to {} bytes", VALUE_LENGTH.start(), VALUE_LENGTH.end()));
    }
    bad.check()?;
    let kept = engine.tool_secrets.set(scope, &request.name, &Secret::new(request.value)).await;
    engine.reach.mcp.forget(scope.organisation());
    let row = kept?.ok_or_else(Refusal::master_key_missing)?;
    let answer = v1::SetToolSecretResponse { tool_secret: Some(shown(row)) };
    Ok(Done::new(resource(&request.name), answer))
}

fn check_name(name: &str, bad: &mut Violations) {
    if !secrets::is_name(name) {
        bad.add("name", format!("must match {}", secrets::NAMES));
    }
}

/// What the audit log calls it.
fn resource(name: &str) -> String {
    format!("toolSecrets/{name}")
}

fn shown(row: ToolSecret) -> v1::ToolSecret {
    v1::ToolSecret {
        name: row.name,
        create_time: Some(timestamp(row.create_time)),
        update_time: Some(timestamp(row.update_time)),
    }
}
