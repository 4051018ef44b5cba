//! Calls: the record of a conversation from its making to its end.
//!
//! A call is `created`, then `ongoing`, then `ended`, and never goes back. It keeps the agent's id and name as
//! they were, because the agent may be changed or deleted. Why calls end is the session's business: the reason
//! is text here. [`list`] has what they are found by, [`change`] what is done to them beside their course.

mod change;
mod list;

use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_types::{Bool, Integer, Nullable, Timestamptz};
use diesel_async::RunQueryDsl;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::ownership::{Lease, Owner};
use crate::schema::calls;
use crate::text_enum::text_enum;
use crate::time::{PgTime, PgTimeOrNull};
use crate::{AgentId, CallId, Error, NodeId, Result, Scope, etag, invocations, quotas};

pub use change::{CallUpdate, Deletion, close_unjoined, delete, extract, update};
pub use list::{CallCondition, CallFilter, CallOrder, CallTime, Comparison, list, plan};

text_enum!(
    /// How the caller is connected.
    CallType {
        /// From a program or browser, through our own API.
        Web = "web",
        /// Over the telephone network.
        Phone = "phone",
    }
);

text_enum!(
    /// Who began the call.
    Direction {
        /// The other party called us.
        Inbound = "inbound",
        /// We called the other party.
        Outbound = "outbound",
    }
);

text_enum!(
    /// How far a call has come.
    CallState {
        /// Announced; nobody is connected yet.
        Created = "created",
        /// Live.
        Ongoing = "ongoing",
        /// Over, with a reason.
        Ended = "ended",
    }
);

/// A call.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Queryable, Selectable)]
#[diesel(table_name = calls, check_for_backend(diesel::pg::Pg))]
pub struct Call {
    /// Its id; later calls have greater ones.
    pub id: CallId,
    /// The agent's id when the call was made. That agent may be gone.
    pub agent_id: AgentId,
    /// The agent's name when the call was made.
    pub agent_display_name: String,
    /// How the caller is connected.
    pub call_type: CallType,
    /// Who began it.
    pub direction: Direction,
    /// How far it has come.
    pub state: CallState,
    /// When it was announced.
    #[diesel(deserialize_as = PgTime)]
    pub create_time: Timestamp,
    /// When it went live; none if it never did.
    #[diesel(deserialize_as = PgTimeOrNull)]
    pub start_time: Option<Timestamp>,
    /// When it ended.
    #[diesel(deserialize_as = PgTimeOrNull)]
    pub end_time: Option<Timestamp>,
    /// Why it ended, by a fixed name.
    pub end_reason: Option<String>,
    /// Why it ended, in words, where there is more to say.
    pub end_message: Option<String>,
    /// Values for this call alone, such as the caller's name.
    pub dynamic_variables: Value,
    /// Where the recording lies, as the recorder names it.
    pub recording_path: Option<String>,
    /// The node that holds it, or held it last.
    pub owner_node: Option<NodeId>,
    /// The how manieth owner that is; 0 when there never was one.
    pub owner_epoch: i64,
    /// What clients keep with it: a JSON object.
    pub metadata: Value,
    /// What clients find it by: a JSON object of texts.
    pub labels: Value,
    /// The number that called, with its `+`.
    pub from_number: Option<String>,
    /// The number that was called, with its `+`.
    pub to_number: Option<String>,
    /// Differs after every change of metadata or labels.
    pub etag: String,
    /// What it used, in the engine's own JSON.
    pub usage: Option<Value>,
    /// What that cost, in the engine's own JSON.
    pub cost: Option<Value>,
    /// What tools have kept of what was said: a JSON object.
    pub extracted_variables: Value,
}

/// A call to be made.
#[derive(Debug, Clone)]
pub struct NewCall {
    /// The agent that will speak.
    pub agent_id: AgentId,
    /// Its name now.
    pub agent_display_name: String,
    /// How the caller is connected.
    pub call_type: CallType,
    /// Who begins it.
    pub direction: Direction,
    /// Values for this call alone: a JSON object.
    pub dynamic_variables: Value,
    /// What a client keeps with it: a JSON object.
    pub metadata: Value,
    /// What a client finds it by: a JSON object of texts.
    pub labels: Value,
    /// The number that calls, with its `+`.
    pub from_number: Option<String>,
    /// The number that is called, with its `+`.
    pub to_number: Option<String>,
}

/// How a call ended.
#[derive(Debug, Clone)]
pub struct CallEnd {
    /// When.
    pub at: Timestamp,
    /// Why, by a fixed name such as `caller_hung_up`.
    pub reason: String,
    /// Why, in words.
    pub message: Option<String>,
    /// Where the recording lies; none leaves it as it is.
    pub recording_path: Option<String>,
    /// What it used and cost, if that is known.
    pub used: Option<Used>,
}

/// What a call used, and what that cost where there are prices, in the engine's own JSON.
#[derive(Debug, Clone, PartialEq, AsChangeset)]
#[diesel(table_name = calls)]
pub struct Used {
    /// What it used.
    pub usage: Value,
    /// What that cost.
    pub cost: Option<Value>,
}

/// Announces a call, in state `created`.
///
/// # Errors
/// [`Error::QuotaExceeded`] when the organisation may make no more at the moment, [`Error::Unavailable`] when the
/// database can't be reached.
pub async fn create(scope: &Scope, new: NewCall) -> Result<Call> {
    let row = (
        calls::id.eq(CallId::new()),
        calls::organisation_id.eq(scope.organisation()),
        calls::agent_id.eq(new.agent_id),
        calls::agent_display_name.eq(new.agent_display_name),
        calls::call_type.eq(new.call_type),
        calls::direction.eq(new.direction),
        calls::state.eq(CallState::Created),
        calls::dynamic_variables.eq(new.dynamic_variables),
        calls::metadata.eq(new.metadata),
        calls::labels.eq(new.labels),
        calls::from_number.eq(new.from_number),
        calls::to_number.eq(new.to_number),
        calls::etag.eq(etag::new()),
    );
    let insert = diesel::insert_into(calls::table).values(row).returning(Call::as_returning());
    scope
        .run(|conn| {
            Box::pin(async move {
                quotas::admit_call(conn).await?;
                Ok(insert.get_result(conn).await?)
            })
        })
        .await
}

/// The call with that id.
///
/// # Errors
/// [`Error::NotFound`] when there is none.
pub async fn get(scope: &Scope, id: CallId) -> Result<Call> {
    let found: Result<Call> = scope
        .run(|conn| {
            Box::pin(async move { Ok(calls::table.find(id).select(Call::as_select()).first(conn).await?) })
        })
        .await;
    found.map_err(|e| e.about("call"))
}

/// Takes a call live for a node, with a lease from the database's now.
///
/// # Errors
/// [`Error::NotFound`] when there is none, [`Error::Conflict`] when it has been live before or has ended: of two
/// sessions that want the same call, one gets it. [`Error::QuotaExceeded`] when as many live as may.
pub async fn mark_started(scope: &Scope, id: CallId, lease: Lease, at: Timestamp) -> Result<Call> {
    let lease_ms = lease.ms()?;
    let changed: Option<Call> = scope
        .run(|conn| {
            Box::pin(async move {
                quotas::admit_session(conn).await?;
                let row = calls::table.filter(calls::id.eq(id)).filter(calls::state.eq(CallState::Created));
                let expires = sql::<Nullable<Timestamptz>>("clock_timestamp() + interval '1 ms' * ");
                let change = (
                    calls::state.eq(CallState::Ongoing),
                    calls::start_time.eq(PgTime(at)),
                    calls::owner_node.eq(lease.node),
                    calls::owner_epoch.eq(calls::owner_epoch + 1),
                    calls::lease_expire_time.eq(expires.bind::<Integer, _>(lease_ms)),
                    calls::lease_ms.eq(lease_ms),
                );
                let update = diesel::update(row).set(change).returning(Call::as_returning());
                Ok(update.get_result(conn).await.optional()?)
            })
        })
        .await?;
    match changed {
        Some(call) => Ok(call),
        None => get(scope, id).await.and(Err(Error::Conflict("the call was started before"))),
    }
}

/// Ends a call, whoever holds it: for a hand from outside, as no node may do that to another. One that has ended stays as it is and is given back: the first reason counts.
///
/// # Errors
/// [`Error::NotFound`] when there is none.
pub async fn mark_ended(scope: &Scope, id: CallId, end: CallEnd) -> Result<Call> {
    match write_end(scope, id, None, &end).await? {
        Some(call) => Ok(call),
        None => get(scope, id).await,
    }
}

/// Ends a call as its owner. What this owner has ended stays as it is and is given back.
///
/// # Errors
/// [`Error::NotFound`] when there is none, [`Error::Fenced`] when it is, or was at its end, another owner's.
pub async fn mark_ended_by(scope: &Scope, id: CallId, owner: Owner, end: CallEnd) -> Result<Call> {
    if let Some(call) = write_end(scope, id, Some(owner), &end).await? {
        return Ok(call);
    }
    let call = get(scope, id).await?;
    let is_ours = (call.owner_node, call.owner_epoch) == (Some(owner.node), owner.epoch);
    if is_ours { Ok(call) } else { Err(Error::Fenced) }
}

async fn write_end(scope: &Scope, id: CallId, owner: Option<Owner>, end: &CallEnd) -> Result<Option<Call>> {
    scope
        .run(|conn| {
            Box::pin(async move {
                let row = calls::table.filter(calls::id.eq(id)).filter(calls::state.ne(CallState::Ended));
                let change = (
                    calls::state.eq(CallState::Ended),
                    calls::end_time.eq(PgTime(end.at)),
                    calls::end_reason.eq(&end.reason),
                    calls::end_message.eq(&end.message),
                    end.recording_path.as_ref().map(|path| calls::recording_path.eq(path)),
                    &end.used,
                );
                let mut update = diesel::update(row).set(change).into_boxed();
                if let Some(owner) = owner {
                    update = update.filter(calls::owner_node.eq(owner.node));
                    update = update.filter(calls::owner_epoch.eq(owner.epoch));
                }
                Ok(update.returning(Call::as_returning()).get_result(conn).await.optional()?)
            })
        })
        .await
}

/// Ends a call that has not begun. False if it has, or is over: it stays as it is.
///
/// # Errors
/// [`Error::Unavailable`] when the database can't be reached.
pub async fn end_unbegun(scope: &Scope, id: CallId, end: &CallEnd) -> Result<bool> {
    scope
        .run(|conn| {
            Box::pin(async move {
                let row = calls::table.filter(calls::id.eq(id)).filter(calls::state.eq(CallState::Created));
                let change = (
                    calls::state.eq(CallState::Ended),
                    calls::end_time.eq(PgTime(end.at)),
                    calls::end_reason.eq(&end.reason),
                    calls::end_message.eq(&end.message),
                );
                Ok(diesel::update(row).set(change).execute(conn).await? == 1)
            })
        })
        .await
}

/// An owner that did not come back within its grace. As in `close_lost_calls`, by the owner's own lease.
const LEFT: &str = "COALESCE(lease_expire_time + lease_ms * interval '1 ms' < clock_timestamp() \
     AND pg_postmaster_start_time() + 2 * lease_ms * interval '1 ms' < clock_timestamp(), true)";

/// Ends a call that nobody holds: not begun, or left by an owner whose lease lapsed one more lease ago, with the
/// database up for two, so that it had time to come back; it is fenced off by this. False if the call is held or has
/// ended: it stays as it is. Its unfinished tool runs are closed with it.
///
/// # Errors
/// [`Error::Unavailable`] when the database can't be reached.
pub async fn end_unheld(scope: &Scope, id: CallId, end: &CallEnd) -> Result<bool> {
    scope
        .run(|conn| {
            Box::pin(async move {
                let lapsed = sql::<Bool>(LEFT);
                let left = calls::state.eq(CallState::Ongoing).and(lapsed);
                let row = calls::table.filter(calls::id.eq(id));
                let row = row.filter(calls::state.eq(CallState::Created).or(left));
                let change = (
                    calls::state.eq(CallState::Ended),
                    calls::end_time.eq(PgTime(end.at)),
                    calls::end_reason.eq(&end.reason),
                    calls::end_message.eq(&end.message),
                );
                let ended = diesel::update(row).set(change).execute(conn).await? == 1;
                if ended {
                    invocations::close_unfinished(conn, id, end.message.as_deref()).await?;
                }
                Ok(ended)
            })
        })
        .await
}
