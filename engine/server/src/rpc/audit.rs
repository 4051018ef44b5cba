//! `AuditService`: reads the audit log.

use std::sync::Arc;

use parlance_proto::v1::audit_service_server::AuditService;
use parlance_proto::{Method, v1};
use parlance_store::audit_log::{self, AuditEntry, AuditFilter};
use tonic::{Request, Response, Status};

use super::{auth, name, page};
use crate::convert::{api_key, moment, timestamp};
use crate::engine::Engine;
use crate::status::{Refusal, Violations};

/// The service.
pub struct Audit {
    engine: Arc<Engine>,
}

impl Audit {
    /// The log is kept by `engine`'s store.
    pub fn new(engine: Arc<Engine>) -> Self {
        Self { engine }
    }
}

#[tonic::async_trait]
impl AuditService for Audit {
    async fn list_audit_entries(
        &self,
        request: Request<v1::ListAuditEntriesRequest>,
    ) -> Result<Response<v1::ListAuditEntriesResponse>, Status> {
        let scope = auth::scope(&self.engine.store, &request).await?;
        let request = request.into_inner();
        let filter = filter(&request)?;
        let wanted = page::request(request.page_size, request.page_token)?;
        let page = audit_log::list(&scope, &filter, &wanted).await.map_err(page::refused)?;
        Ok(Response::new(v1::ListAuditEntriesResponse {
            audit_entries: page.items.iter().map(entry).collect(),
            next_page_token: page.next_token.unwrap_or_default(),
        }))
    }
}

fn entry(row: &AuditEntry) -> v1::AuditEntry {
    v1::AuditEntry {
        name: format!("auditEntries/{}", row.id),
        api_key: api_key::name(row.key_id),
        method: row.method.clone(),
        resource: row.resource.clone(),
        request_id: row.request_id.clone(),
        create_time: Some(timestamp(row.create_time)),
    }
}

fn filter(request: &v1::ListAuditEntriesRequest) -> Result<AuditFilter, Refusal> {
    let mut bad = Violations::default();
    if !request.method.is_empty() && Method::of(&request.method).is_none() {
        bad.add("method", "must be an RPC, such as /parlance.v1.AgentService/DeleteAgent");
    }
    let mut time = |field: &str, wire: Option<&prost_types::Timestamp>| {
        let at = wire.map(moment);
        if at == Some(None) {
            bad.add(field, "must be a time in the years 1 to 9999");
        }
        at.flatten()
    };
    let since = time("since", request.since.as_ref());
    let before = time("before", request.before.as_ref());
    if let (Some(since), Some(before)) = (since, before)
        && before <= since
    {
        bad.add("before", "must be after since");
    }
    let key_id = name::optional_api_key("api_key", &request.api_key, &mut bad);
    let method = Some(request.method.clone()).filter(|method| !method.is_empty());
    bad.check().map(|()| AuditFilter { key_id, method, since, before })
}
