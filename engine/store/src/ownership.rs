//! Who holds a live call: one node at a time, under a lease that it renews and an epoch that tells it from others.
//!
//! All times are the database's: a node's own clock decides nothing. [`fence`] is what every write of a live call
//! passes first, in its own transaction; [`renew`] keeps a node's calls; [`close_lost`] ends those that nobody
//! renews any more. The rules of that are in the migration that made the functions.

use std::collections::BTreeMap;
use std::time::Duration;

use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Integer, Nullable, Text, Timestamptz, Uuid};
use diesel_async::RunQueryDsl;
use jiff::Timestamp;

use crate::calls::CallState;
use crate::schema::calls;
use crate::tenancy::Work;
use crate::time::PgTime;
use crate::{CallId, Error, NodeId, OrganisationId, Result, Store};

/// What a call that is closed by [`close_lost`] says of its end.
const LOST_MESSAGE: &str = "the engine that held the call stopped renewing its lease";

/// A node's claim on a call: what it writes counts for as long as this is what the row says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Owner {
    /// The node.
    pub node: NodeId,
    /// The how manieth owner of the call it is.
    pub epoch: i64,
}

impl Owner {
    /// Who holds nothing.
    pub const NOBODY: Self = Self { node: NodeId(uuid::Uuid::nil()), epoch: 0 };
}

/// A call that a node wants to take, and for how long at a time.
#[derive(Debug, Clone, Copy)]
pub struct Lease {
    /// The node.
    pub node: NodeId,
    /// How long the call is safe after each renewal. Whole milliseconds, at least one, below 24 days.
    pub length: Duration,
}

impl Lease {
    pub(crate) fn ms(self) -> Result<i32> {
        let ms = i32::try_from(self.length.as_millis()).ok().filter(|ms| *ms > 0);
        ms.ok_or_else(|| Error::invalid("lease", "must be at least 1 ms and less than 24 days"))
    }
}

/// What a renewal found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Renewed {
    /// The database's time.
    pub seen: Timestamp,
    /// The calls that are still the node's, with their epochs.
    pub kept: BTreeMap<CallId, i64>,
}

/// How long a node has had answers from the database without a gap, in the database's time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Watch {
    /// The first answer.
    pub since: Timestamp,
    /// The last one.
    pub last: Timestamp,
}

/// A call that was closed because its owner is lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lost {
    /// Whose call it was.
    pub organisation: OrganisationId,
    /// The call.
    pub call: CallId,
    /// The node that held it; none for a call of a version that knew no owners.
    pub node: Option<NodeId>,
}

/// Locks the rows of calls against a change of owner until the end of the transaction, in the order of their ids so
/// that two who do this never wait for one another; gives the owners of those that are live.
pub(crate) async fn owners(conn: &mut Work<'_>, ids: &[CallId]) -> Result<BTreeMap<CallId, Owner>> {
    let rows = calls::table.filter(calls::id.eq_any(ids)).filter(calls::state.eq(CallState::Ongoing));
    let rows = rows.select((calls::id, calls::owner_node, calls::owner_epoch)).order(calls::id).for_share();
    let found: Vec<(CallId, Option<NodeId>, i64)> = rows.load(conn).await?;
    let owned = found.into_iter().filter_map(|(id, node, epoch)| Some((id, Owner { node: node?, epoch })));
    Ok(owned.collect())
}

/// Passes if `owner` holds the live call, and keeps it so until the end of the transaction.
pub(crate) async fn fence(conn: &mut Work<'_>, call: CallId, owner: Owner) -> Result<()> {
    match owners(conn, &[call]).await?.get(&call) {
        Some(holder) if *holder == owner => Ok(()),
        _ => Err(why_fenced(conn, call).await),
    }
}

/// Whether a call that `owner` can't write to is fenced off or not there at all.
pub(crate) async fn why_fenced(conn: &mut Work<'_>, call: CallId) -> Error {
    let found = calls::table.find(call).select(calls::id).first::<CallId>(conn).await;
    found.map_or_else(|error| Error::from(error).about("call"), |_| Error::Fenced)
}

#[derive(QueryableByName)]
struct RenewedRow {
    #[diesel(sql_type = Timestamptz)]
    seen: PgTime,
    #[diesel(sql_type = Nullable<Uuid>)]
    call_id: Option<CallId>,
    #[diesel(sql_type = Nullable<BigInt>)]
    epoch: Option<i64>,
}

/// Renews the leases of those of `held` that are still `node`'s, of all organisations at once. With none held it
/// just asks the database for its time.
///
/// # Errors
/// [`Error::Unavailable`] when the database can't be reached.
pub async fn renew(store: &Store, node: NodeId, held: &[CallId]) -> Result<Renewed> {
    const RENEW: &str = "SELECT clock_timestamp() AS seen, r.call_id, r.epoch
                         FROM (SELECT 1) once LEFT JOIN renew_leases($1, $2) r ON true";
    let rows: Vec<RenewedRow> = store
        .run_for_leases(|conn| {
            Box::pin(async move {
                let query = diesel::sql_query(RENEW).bind::<Uuid, _>(node).bind::<Array<Uuid>, _>(held);
                Ok(query.load(conn).await?)
            })
        })
        .await?;
    let seen = rows.iter().map(|row| row.seen.0).next();
    let seen = seen.ok_or_else(|| Error::Unavailable("the database told no time".to_owned()))?;
    let kept = rows.into_iter().filter_map(|row| Some((row.call_id?, row.epoch?))).collect();
    Ok(Renewed { seen, kept })
}

#[derive(QueryableByName)]
struct LostRow {
    #[diesel(sql_type = Uuid)]
    organisation_id: OrganisationId,
    #[diesel(sql_type = Uuid)]
    call_id: CallId,
    #[diesel(sql_type = Nullable<Uuid>)]
    lost_node: Option<NodeId>,
}

/// Ends the calls whose owners let their leases lapse and did not come back within the grace, as `engine_lost`; with
/// their unfinished tool runs. Of nodes that do this at once each call is given to one. At most 100 a time.
/// The watch of `sweeper` must have no gap longer than half its own lease.
///
/// # Errors
/// [`Error::Unavailable`] when the database can't be reached.
pub async fn close_lost(store: &Store, sweeper: Lease, watch: Watch) -> Result<Vec<Lost>> {
    const CLOSE: &str =
        "SELECT organisation_id, call_id, lost_node FROM close_lost_calls($1, $2, $3, $4, $5)";
    let lease_ms = sweeper.ms()?;
    let rows: Vec<LostRow> = store
        .run_for_leases(|conn| {
            Box::pin(async move {
                let query = diesel::sql_query(CLOSE)
                    .bind::<Uuid, _>(sweeper.node)
                    .bind::<Integer, _>(lease_ms)
                    .bind::<Timestamptz, _>(PgTime(watch.since))
                    .bind::<Timestamptz, _>(PgTime(watch.last))
                    .bind::<Text, _>(LOST_MESSAGE);
                Ok(query.load(conn).await?)
            })
        })
        .await?;
    let lost =
        |row: LostRow| Lost { organisation: row.organisation_id, call: row.call_id, node: row.lost_node };
    Ok(rows.into_iter().map(lost).collect())
}
