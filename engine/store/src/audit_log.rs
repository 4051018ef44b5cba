//! The audit log: which key changed what, append-only, newest first.

use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::page::foreign_token;
use crate::schema::audit_log;
use crate::time::PgTime;
use crate::{AuditEntryId, KeyId, Page, PageRequest, Result, Scope};

/// One administrative call that was carried out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Queryable, Selectable)]
#[diesel(table_name = audit_log, check_for_backend(diesel::pg::Pg))]
pub struct AuditEntry {
    /// Its id; later entries have greater ones.
    pub id: AuditEntryId,
    /// The key it was called with. That key may be revoked.
    pub key_id: KeyId,
    /// The RPC's path.
    pub method: String,
    /// The name of what was changed.
    pub resource: String,
    /// The request's id, if it had one.
    pub request_id: String,
    /// When.
    #[diesel(deserialize_as = PgTime)]
    pub create_time: Timestamp,
}

/// What is to be noted.
#[derive(Debug, Clone)]
pub struct NewAuditEntry {
    /// The key it was called with.
    pub key_id: KeyId,
    /// The RPC's path.
    pub method: &'static str,
    /// The name of what was changed.
    pub resource: String,
    /// The request's id, if it had one.
    pub request_id: String,
}

/// Which entries to list.
#[derive(Debug, Clone, Default)]
pub struct AuditFilter {
    /// Only calls with this key.
    pub key_id: Option<KeyId>,
    /// Only calls of this RPC, by its path.
    pub method: Option<String>,
    /// Only those noted then or later.
    pub since: Option<Timestamp>,
    /// Only those noted before then.
    pub before: Option<Timestamp>,
}

/// Notes a call that was carried out.
///
/// # Errors
/// [`Error::Unavailable`](crate::Error::Unavailable) when the database can't be reached.
pub async fn append(scope: &Scope, new: NewAuditEntry) -> Result<()> {
    let row = (
        audit_log::id.eq(AuditEntryId::new()),
        audit_log::organisation_id.eq(scope.organisation()),
        audit_log::key_id.eq(new.key_id),
        audit_log::method.eq(new.method),
        audit_log::resource.eq(new.resource),
        audit_log::request_id.eq(new.request_id),
    );
    let insert = diesel::insert_into(audit_log::table).values(row);
    scope.run(|conn| Box::pin(async move { Ok(insert.execute(conn).await.map(drop)?) })).await
}

/// A page of the log, newest first.
///
/// # Errors
/// [`Error::Invalid`](crate::Error::Invalid) for a page token that is not of this list.
pub async fn list(scope: &Scope, filter: &AuditFilter, page: &PageRequest) -> Result<Page<AuditEntry>> {
    let mark = format!("audit log {filter:?}");
    let after = page.after(&mark)?;
    let after: Option<AuditEntryId> = after.map(|id| id.parse().map_err(|_| foreign_token())).transpose()?;
    let rows = scope
        .run(|conn| {
            Box::pin(async move {
                let mut query = matching(filter);
                if let Some(after) = after {
                    query = query.filter(audit_log::id.lt(after));
                }
                let query = query.order(audit_log::id.desc()).limit(page.rows());
                Ok(query.select(AuditEntry::as_select()).load(conn).await?)
            })
        })
        .await?;
    Ok(page.page(rows, &mark, |entry: &AuditEntry| entry.id.to_string()))
}

fn matching(filter: &AuditFilter) -> audit_log::BoxedQuery<'_, diesel::pg::Pg> {
    let mut query = audit_log::table.into_boxed();
    if let Some(key) = filter.key_id {
        query = query.filter(audit_log::key_id.eq(key));
    }
    if let Some(method) = &filter.method {
        query = query.filter(audit_log::method.eq(method));
    }
    if let Some(since) = filter.since {
        query = query.filter(audit_log::create_time.ge(PgTime(since)));
    }
    if let Some(before) = filter.before {
        query = query.filter(audit_log::create_time.lt(PgTime(before)));
    }
    query
}
