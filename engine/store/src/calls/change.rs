//! What is done to calls beside their course: what clients keep with them, their deletion, and the end of those that
//! nobody joined.

use std::time::Duration;

use diesel::prelude::*;
use diesel::sql_types::{Integer, Jsonb, Text, Uuid};
use diesel_async::RunQueryDsl;
use futures_util::future::BoxFuture;
use serde_json::Value;

use super::{Call, CallState};
use crate::ownership::{Owner, fence};
use crate::schema::{appointments, calls};
use crate::{CallId, Error, Result, Scope, Store, etag};

/// A change of what clients keep with a call: what is none stays as it is.
#[derive(Debug, Clone, Default, AsChangeset)]
#[diesel(table_name = calls)]
pub struct CallUpdate {
    /// New metadata, a JSON object.
    pub metadata: Option<Value>,
    /// New labels, a JSON object of texts.
    pub labels: Option<Value>,
}

/// What became of a call that was to be deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Deletion {
    /// It is gone.
    Done,
    /// It is ongoing, and stays.
    Live,
    /// Its recording could not be removed, so it stays.
    RecordingKept,
}

/// Changes what clients keep with a call, in whatever state it is; with `expected`, only if that is still as it was.
///
/// # Errors
/// [`Error::NotFound`] when there is none, [`Error::Conflict`] when the etag is another by now.
pub async fn update(scope: &Scope, id: CallId, change: CallUpdate, expected: Option<&str>) -> Result<Call> {
    scope
        .run(|conn| {
            Box::pin(async move {
                let row = calls::table.filter(calls::id.eq(id));
                let found = row.select(calls::etag).for_no_key_update().first::<String>(conn).await;
                etag::check(found.optional()?.as_deref(), expected, "call")?;
                let update = diesel::update(row).set((&change, calls::etag.eq(etag::new())));
                Ok(update.returning(Call::as_returning()).get_result(conn).await?)
            })
        })
        .await
}

/// Deletes a call that is not ongoing, with all that hangs on it; appointments lose their reference to it. With
/// `expected`, only if its metadata and labels are still as they were.
///
/// `remove` takes its recording away and says whether it could. It is asked last, and the call can't change
/// meanwhile: a call that is refused keeps its recording.
///
/// # Errors
/// [`Error::NotFound`] when there is none, [`Error::Conflict`] when the etag is another by now.
pub async fn delete(
    scope: &Scope,
    id: CallId,
    expected: Option<&str>,
    remove: impl FnOnce(Option<String>) -> BoxFuture<'static, bool> + Send,
) -> Result<Deletion> {
    let deleted = scope
        .run(|conn| {
            Box::pin(async move {
                let row = calls::table.filter(calls::id.eq(id));
                let held = row.select(Call::as_select()).for_update().first::<Call>(conn).await.optional()?;
                etag::check(held.as_ref().map(|call| call.etag.as_str()), expected, "call")?;
                let Some(call) = held else { return Err(Error::NotFound("call")) };
                if call.state == CallState::Ongoing {
                    return Ok(Deletion::Live);
                }
                let booked = appointments::table.filter(appointments::call_id.eq(id));
                let kept = (
                    appointments::call_id.eq(None::<CallId>),
                    appointments::etag.eq(etag::new()),
                    appointments::update_time.eq(diesel::dsl::now),
                );
                diesel::update(booked).set(kept).execute(conn).await?;
                diesel::delete(row).execute(conn).await?;
                // An error takes the deletion back.
                if remove(call.recording_path).await { Ok(Deletion::Done) } else { Err(KEPT) }
            })
        })
        .await;
    match deleted {
        Err(Error::Conflict(why)) if why == KEPT_WHY => Ok(Deletion::RecordingKept),
        done => done,
    }
}

const KEPT_WHY: &str = "its recording could not be removed";
const KEPT: Error = Error::Conflict(KEPT_WHY);

#[derive(diesel::QueryableByName)]
struct Closed {
    #[diesel(sql_type = Uuid)]
    call_id: CallId,
}

/// Ends the calls of all organisations that nobody joined within `bound` of their making, as `caller_never_joined`;
/// gives them back, a
/// thousand at most.
///
/// # Errors
/// [`Error::Unavailable`] when the database can't be reached.
pub async fn close_unjoined(store: &Store, bound: Duration, message: &str) -> Result<Vec<CallId>> {
    let seconds = i32::try_from(bound.as_secs()).unwrap_or(i32::MAX);
    let closed: Vec<Closed> = store
        .run_without_organisation(|conn| {
            Box::pin(async move {
                let close = diesel::sql_query("SELECT call_id FROM close_unjoined_calls($1, $2)");
                Ok(close.bind::<Integer, _>(seconds).bind::<Text, _>(message).load(conn).await?)
            })
        })
        .await?;
    Ok(closed.into_iter().map(|closed| closed.call_id).collect())
}

/// Keeps values that were extracted from a call: those of the same names are replaced.
///
/// # Errors
/// [`Error::NotFound`] when there is none, [`Error::Fenced`] when it is not `owner`'s.
pub async fn extract(scope: &Scope, id: CallId, owner: Owner, values: Value) -> Result<()> {
    let extracted: Result<()> = scope
        .run(|conn| {
            Box::pin(async move {
                fence(conn, id, owner).await?;
                // In one statement, because tools run side by side.
                let more = "UPDATE calls SET extracted_variables = extracted_variables || $1 WHERE id = $2";
                diesel::sql_query(more).bind::<Jsonb, _>(values).bind::<Uuid, _>(id).execute(conn).await?;
                Ok(())
            })
        })
        .await;
    extracted.map_err(|error| error.about("call"))
}
