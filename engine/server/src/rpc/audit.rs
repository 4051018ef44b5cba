//! `AuditService`: reads the audit log.

mod list;

use std::sync::Arc;

use parlance_proto::v1;
use parlance_proto::v1::audit_service_server::AuditService;
use parlance_store::audit_log::{self, AuditEntry};
use tonic::{Request, Response, Status};

use super::{auth, page};
use crate::convert::{api_key, timestamp};
use crate::engine::Engine;

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
        let scope = auth::scope(&self.engine.store, &request)?;
        let request = request.into_inner();
        let filter = list::filter(&request)?;
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
