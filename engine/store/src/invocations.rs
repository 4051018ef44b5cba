//! Tool invocations: written before the tool runs, so that no effect happens unrecorded or twice.
//!
//! [`begin`] first, [`mark_running`] right before the effect, [`finish`] after it. After a crash a row left
//! `pending` surely had no effect and one left `running` may have had. Who has lost the call begins nothing.

use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::ownership::{Owner, fence};
use crate::schema::tool_invocations as invocations;
use crate::tenancy::Work;
use crate::text_enum::text_enum;
use crate::time::{PgTime, PgTimeOrNull};
use crate::{CallId, Error, InvocationId, Result, Scope};

text_enum!(
    /// How far an invocation has come.
    InvocationState {
        /// Written down; nothing has happened yet.
        Pending = "pending",
        /// The effect is under way.
        Running = "running",
        /// Done, with a result.
        Succeeded = "succeeded",
        /// Not done, and the result says why.
        Failed = "failed",
        /// Nobody can say whether the effect happened, as after a time-out.
        Unknown = "unknown",
    }
);

/// One run of a tool in a call.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Queryable, Selectable)]
#[diesel(table_name = invocations, check_for_backend(diesel::pg::Pg))]
pub struct Invocation {
    /// Its id.
    pub id: InvocationId,
    /// The call it belongs to.
    pub call_id: CallId,
    /// The same key never runs twice in an organisation.
    pub idempotency_key: String,
    /// The tool's name.
    pub tool: String,
    /// What it was given.
    pub arguments: Value,
    /// How far it has come.
    pub state: InvocationState,
    /// What it gave, or why it failed.
    pub result: Option<Value>,
    /// When it was written down.
    #[diesel(deserialize_as = PgTime)]
    pub create_time: Timestamp,
    /// When it was over.
    #[diesel(deserialize_as = PgTimeOrNull)]
    pub finish_time: Option<Timestamp>,
}

/// An invocation to be written down.
#[derive(Debug, Clone)]
pub struct NewInvocation {
    /// The call it belongs to.
    pub call_id: CallId,
    /// The same key never runs twice in an organisation.
    pub idempotency_key: String,
    /// The tool's name.
    pub tool: String,
    /// What it will be given.
    pub arguments: Value,
}

/// What [`begin`] found.
#[derive(Debug, Clone, PartialEq)]
pub enum Begun {
    /// Written down now: run it.
    New(Invocation),
    /// Written down before under this key: don't run it, look at its state and result.
    Known(Invocation),
}

/// Writes an invocation down as `pending`. When this returns `Ok`, the row is safe on disk.
///
/// # Errors
/// [`Error::NotFound`] when there is no such call, [`Error::Fenced`] when it is not `owner`'s.
pub async fn begin(scope: &Scope, owner: Owner, new: NewInvocation) -> Result<Begun> {
    let key = new.idempotency_key;
    let row = (
        invocations::id.eq(InvocationId::new()),
        invocations::organisation_id.eq(scope.organisation()),
        invocations::call_id.eq(new.call_id),
        invocations::idempotency_key.eq(key.clone()),
        invocations::tool.eq(new.tool),
        invocations::arguments.eq(new.arguments),
        invocations::state.eq(InvocationState::Pending),
    );
    let begun: Result<Begun> = scope
        .run(|conn| {
            Box::pin(async move {
                fence(conn, new.call_id, owner).await?;
                let insert = diesel::insert_into(invocations::table).values(row).on_conflict_do_nothing();
                let made = insert.returning(Invocation::as_returning()).get_result(conn).await.optional()?;
                if let Some(made) = made {
                    return Ok(Begun::New(made));
                }
                let known = invocations::idempotency_key.eq(key);
                let query = invocations::table.filter(known).select(Invocation::as_select());
                Ok(Begun::Known(query.first(conn).await?))
            })
        })
        .await;
    begun.map_err(|e| e.about("call"))
}

/// Says that the effect begins now.
///
/// # Errors
/// [`Error::NotFound`] when there is none, [`Error::Conflict`] when it is not `pending`: of two tasks that want
/// to run it, one may. [`Error::Fenced`] when its call is not `owner`'s any more.
pub async fn mark_running(scope: &Scope, owner: Owner, id: InvocationId) -> Result<()> {
    let row = invocations::table.find(id);
    let changed: Result<usize> = scope
        .run(|conn| {
            Box::pin(async move {
                // The call before its runs, as everybody locks them.
                let call: CallId = row.select(invocations::call_id).first(conn).await?;
                fence(conn, call, owner).await?;
                let row = row.filter(invocations::state.eq(InvocationState::Pending));
                let change = invocations::state.eq(InvocationState::Running);
                Ok(diesel::update(row).set(change).execute(conn).await?)
            })
        })
        .await;
    match changed.map_err(|e| e.about("invocation"))? {
        1 => Ok(()),
        _ => Err(Error::Conflict("the invocation was begun before")),
    }
}

/// Says how it went. `result` is the tool's answer, or what went wrong.
///
/// # Errors
/// [`Error::Invalid`] when `state` is no end, [`Error::NotFound`] when there is none, [`Error::Conflict`] when it
/// was over before.
pub async fn finish(
    scope: &Scope,
    id: InvocationId,
    state: InvocationState,
    result: Value,
) -> Result<Invocation> {
    if matches!(state, InvocationState::Pending | InvocationState::Running) {
        return Err(Error::invalid("state", "must be succeeded, failed or unknown"));
    }
    let changed: Option<Invocation> = scope
        .run(|conn| {
            Box::pin(async move {
                let row = invocations::table.filter(invocations::id.eq(id));
                let row = row.filter(invocations::finish_time.is_null());
                let change = (
                    invocations::state.eq(state),
                    invocations::result.eq(&result),
                    invocations::finish_time.eq(diesel::dsl::now),
                );
                let update = diesel::update(row).set(change).returning(Invocation::as_returning());
                Ok(update.get_result(conn).await.optional()?)
            })
        })
        .await?;
    match changed {
        Some(done) => Ok(done),
        None => get(scope, id).await.and(Err(Error::Conflict("the invocation was over before"))),
    }
}

/// Closes the runs of a call whose owner is gone: what was begun may have happened, what was only written down has not.
pub(crate) async fn close_unfinished(conn: &mut Work<'_>, call: CallId, why: Option<&str>) -> Result<()> {
    let result = serde_json::json!({ "reason": why.unwrap_or("the call is over") });
    let closed = [
        (InvocationState::Running, InvocationState::Unknown),
        (InvocationState::Pending, InvocationState::Failed),
    ];
    for (was, becomes) in closed {
        let rows =
            invocations::table.filter(invocations::call_id.eq(call)).filter(invocations::state.eq(was));
        let change = (
            invocations::state.eq(becomes),
            invocations::result.eq(&result),
            invocations::finish_time.eq(diesel::dsl::now),
        );
        diesel::update(rows).set(change).execute(conn).await?;
    }
    Ok(())
}

/// The invocation with that id.
///
/// # Errors
/// [`Error::NotFound`] when there is none.
pub async fn get(scope: &Scope, id: InvocationId) -> Result<Invocation> {
    let found: Result<Invocation> = scope
        .run(|conn| {
            Box::pin(async move {
                Ok(invocations::table.find(id).select(Invocation::as_select()).first(conn).await?)
            })
        })
        .await;
    found.map_err(|e| e.about("invocation"))
}

/// The invocations of a call, oldest first.
///
/// # Errors
/// [`Error::Unavailable`] when the database can't be reached.
pub async fn list(scope: &Scope, call: CallId) -> Result<Vec<Invocation>> {
    scope
        .run(|conn| {
            Box::pin(async move {
                let query = invocations::table.filter(invocations::call_id.eq(call)).order(invocations::id);
                Ok(query.select(Invocation::as_select()).load(conn).await?)
            })
        })
        .await
}
