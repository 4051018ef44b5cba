//! What an agent's calls were like: counts, lengths and how long callers waited, over a span of time.
//!
//! Only calls that went live and have ended count, by when they went live. The waits are those of the journal's
//! waterfalls, read from an index that holds nothing else: percentiles of a hundred thousand calls need no entry.

use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Double, Integer, Nullable, Text, Timestamptz};
use diesel_async::RunQueryDsl;
use jiff::Timestamp;

use crate::time::PgTime;
use crate::{AgentId, Result, Scope};

/// What an agent's calls were like.
#[derive(Debug, Clone, PartialEq)]
pub struct AgentStats {
    /// Calls that went live and have ended.
    pub calls: i64,
    /// Those of them that ended for one of the reasons asked for.
    pub successful: i64,
    /// Their mean length, seconds; none without calls.
    pub mean_seconds: Option<f64>,
    /// Turns of callers that were answered.
    pub turns: i64,
    /// Half of the callers' waits were no longer, milliseconds; none without turns.
    pub latency_p50_ms: Option<i32>,
    /// 95 of 100 waits were no longer, milliseconds; none without turns.
    pub latency_p95_ms: Option<i32>,
}

#[derive(QueryableByName)]
struct Calls {
    #[diesel(sql_type = BigInt)]
    calls: i64,
    #[diesel(sql_type = BigInt)]
    successful: i64,
    #[diesel(sql_type = Nullable<Double>)]
    mean_seconds: Option<f64>,
}

#[derive(QueryableByName)]
struct Turns {
    #[diesel(sql_type = BigInt)]
    turns: i64,
    #[diesel(sql_type = Nullable<Integer>)]
    p50: Option<i32>,
    #[diesel(sql_type = Nullable<Integer>)]
    p95: Option<i32>,
}

const CALLS: &str = "\
    SELECT count(*) AS calls, count(*) FILTER (WHERE end_reason = ANY ($4)) AS successful, \
           avg(extract(epoch FROM end_time - start_time))::float8 AS mean_seconds \
    FROM calls WHERE agent_id = $1 AND start_time >= $2 AND start_time < $3 AND state = 'ended'";

/// The nearest rank. Equal waits are counted first, so that nothing large is sorted.
const TURNS: &str = "\
    WITH counted AS ( \
        SELECT turn_latency_ms AS ms, count(*) AS n FROM calls JOIN journal ON journal.call_id = calls.id \
        WHERE agent_id = $1 AND start_time >= $2 AND start_time < $3 AND state = 'ended' \
          AND turn_latency_ms IS NOT NULL \
        GROUP BY turn_latency_ms \
    ), ranked AS ( \
        SELECT ms, sum(n) OVER (ORDER BY ms) AS upto, sum(n) OVER () AS total FROM counted \
    ) \
    SELECT coalesce(max(total), 0)::bigint AS turns, min(ms) FILTER (WHERE upto >= total * 0.50) AS p50, \
           min(ms) FILTER (WHERE upto >= total * 0.95) AS p95 \
    FROM ranked";

/// What the calls of an agent were like that went live from `start` on and before `end`.
///
/// # Errors
/// [`crate::Error::Unavailable`] when the database can't be reached.
pub async fn get(
    scope: &Scope,
    agent: &AgentId,
    (start, end): (Timestamp, Timestamp),
    successes: &[String],
) -> Result<AgentStats> {
    scope
        .run(|conn| {
            Box::pin(async move {
                let calls: Calls = diesel::sql_query(CALLS)
                    .bind::<Text, _>(agent)
                    .bind::<Timestamptz, _>(PgTime(start))
                    .bind::<Timestamptz, _>(PgTime(end))
                    .bind::<Array<Text>, _>(successes)
                    .get_result(conn)
                    .await?;
                let turns: Turns = diesel::sql_query(TURNS)
                    .bind::<Text, _>(agent)
                    .bind::<Timestamptz, _>(PgTime(start))
                    .bind::<Timestamptz, _>(PgTime(end))
                    .get_result(conn)
                    .await?;
                Ok(AgentStats {
                    calls: calls.calls,
                    successful: calls.successful,
                    mean_seconds: calls.mean_seconds,
                    turns: turns.turns,
                    latency_p50_ms: turns.p50,
                    latency_p95_ms: turns.p95,
                })
            })
        })
        .await
}
