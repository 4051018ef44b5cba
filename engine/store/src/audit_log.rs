//! The audit log: which key changed what, append-only, newest first.

use diesel::pg::Pg;
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::lists::within;
use crate::page::foreign_token;
use crate::schema::audit_log;
use crate::time::PgTime;
use crate::{AuditEntryId, KeyId, Page, PageRequest, Range, Result, Scope};

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
    /// Only those that fulfil all of these too.
    pub conditions: Vec<AuditCondition>,
    /// The oldest first.
    pub ascending: bool,
}

/// What an entry must fulfil.
#[derive(Debug, Clone, PartialEq)]
pub enum AuditCondition {
    /// It was called with this key.
    Key(KeyId),
    /// It is a call of this RPC, by its path.
    Method(String),
    /// This is the name of what was changed.
    Resource(String),
    /// It was noted in this time.
    Created(Range),
}

type Entries<'a> = audit_log::BoxedQuery<'a, Pg>;

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

/// A page of the log, newest first unless the filter has another order.
///
/// # Errors
/// [`Error::Invalid`](crate::Error::Invalid) for a page token that is not of this list with this filter and
/// order.
pub async fn list(scope: &Scope, filter: &AuditFilter, page: &PageRequest) -> Result<Page<AuditEntry>> {
    let mark = format!("audit log {filter:?}");
    let after = page.after(&mark)?;
    let after: Option<AuditEntryId> = after.map(|id| id.parse().map_err(|_| foreign_token())).transpose()?;
    let rows = scope
        .run(|conn| {
            Box::pin(async move {
                let query = in_order(matching(filter), after, filter.ascending).limit(page.rows());
                Ok(query.select(AuditEntry::as_select()).load(conn).await?)
            })
        })
        .await?;
    Ok(page.page(rows, &mark, |entry: &AuditEntry| entry.id.to_string()))
}

/// The ids are in the order of the noting.
fn in_order(query: Entries<'_>, after: Option<AuditEntryId>, ascending: bool) -> Entries<'_> {
    match (after, ascending) {
        (None, true) => query.order(audit_log::id),
        (None, false) => query.order(audit_log::id.desc()),
        (Some(last), true) => query.filter(audit_log::id.gt(last)).order(audit_log::id),
        (Some(last), false) => query.filter(audit_log::id.lt(last)).order(audit_log::id.desc()),
    }
}

fn matching(filter: &AuditFilter) -> Entries<'_> {
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
    filter.conditions.iter().fold(query, |query, condition| match condition {
        AuditCondition::Key(key) => query.filter(audit_log::key_id.eq(key)),
        AuditCondition::Method(method) => query.filter(audit_log::method.eq(method)),
        AuditCondition::Resource(resource) => query.filter(audit_log::resource.eq(resource)),
        AuditCondition::Created(range) => within!(query, audit_log::create_time, range),
    })
}
