//! Quotas: how many calls of an organisation may live at once, and how many may be made in a minute.
//!
//! Counted in the transaction that makes a call or takes it live, under a lock on the organisation's row, so that of
//! two calls for the last place one gets it. An organisation without a quota takes no lock. Time is the database's.

use std::time::Duration;

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Nullable};
use diesel_async::RunQueryDsl;

use crate::calls::CallState;
use crate::schema::{calls, organisations};
use crate::{Error, Result, Scope, Work};

/// When a place may be free again; nobody knows how long calls last.
const SESSION_RETRY: Duration = Duration::from_secs(5);

/// Refuses if as many calls live as may. A look beforehand: [`crate::calls::mark_started`] decides.
///
/// # Errors
/// [`Error::QuotaExceeded`].
pub async fn check_sessions(scope: &Scope) -> Result<()> {
    scope.run(|conn| Box::pin(async move { admit_session(conn).await })).await
}

/// Refuses if as many calls live as may; else nobody else is admitted until the transaction ends.
pub(crate) async fn admit_session(conn: &mut Work<'_>) -> Result<()> {
    let row = organisations::table.filter(organisations::sessions_max.gt(0));
    let quota = row.select(organisations::sessions_max).for_no_key_update();
    let Some(most) = quota.first::<i32>(conn).await.optional()? else { return Ok(()) };
    let live = calls::table.filter(calls::state.eq(CallState::Ongoing)).count();
    if live.get_result::<i64>(conn).await? < i64::from(most) {
        return Ok(());
    }
    Err(Error::QuotaExceeded {
        message: format!("{most} calls of this organisation live already, and it may have no more at once"),
        retry_after: SESSION_RETRY,
    })
}

#[derive(QueryableByName)]
struct Recent {
    #[diesel(sql_type = BigInt)]
    made: i64,
    /// Milliseconds until the oldest of them no longer counts.
    #[diesel(sql_type = Nullable<BigInt>)]
    wait_ms: Option<i64>,
}

const RECENT: &str = "SELECT count(*) AS made,
    (extract(epoch FROM min(create_time) + interval '60 seconds' - clock_timestamp()) * 1000)::bigint AS wait_ms
    FROM calls WHERE create_time > clock_timestamp() - interval '60 seconds'";

/// Refuses if as many calls were made in the last 60 s as may; else nobody else is admitted until the transaction
/// ends.
pub(crate) async fn admit_call(conn: &mut Work<'_>) -> Result<()> {
    let row = organisations::table.filter(organisations::calls_per_minute.gt(0));
    let quota = row.select(organisations::calls_per_minute).for_no_key_update();
    let Some(most) = quota.first::<i32>(conn).await.optional()? else { return Ok(()) };
    let recent: Recent = diesel::sql_query(RECENT).get_result(conn).await?;
    if recent.made < i64::from(most) {
        return Ok(());
    }
    let wait_ms = recent.wait_ms.and_then(|ms| u64::try_from(ms).ok()).unwrap_or_default();
    Err(Error::QuotaExceeded {
        message: format!("this organisation made {} calls in the last 60 s and may make {most}", recent.made),
        retry_after: Duration::from_millis(wait_ms.max(100)),
    })
}
