//! What an agent's calls were like: the span that is meant, and what counts as success.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use parlance_conversation::EndReason;
use parlance_proto::v1;
use parlance_store::{Scope, agent_stats, agents};

use crate::convert::{duration, event, moment, timestamp};
use crate::rpc::name;
use crate::status::{Refusal, Violations};

/// The span that is meant when none is given.
const USUAL: SignedDuration = SignedDuration::from_hours(24);
const LONGEST: SignedDuration = SignedDuration::from_hours(24 * 366);
/// A conversation that came to an end by somebody's will. What was said in it is not judged.
const SUCCESSES: [EndReason; 4] =
    [EndReason::AgentEnded, EndReason::CallerHungUp, EndReason::ClientEnded, EndReason::ApiEnded];

/// The statistics that are asked for.
pub async fn get(scope: &Scope, request: v1::GetAgentStatsRequest) -> Result<v1::AgentStats, Refusal> {
    let id = name::agent("name", &request.name)?;
    let (start, end) = span(&request, Timestamp::now())?;
    agents::get(scope, &id).await.map_err(|error| super::missing(error, &id))?;
    let successes = SUCCESSES.map(|reason| event::word(&reason));
    let stats = agent_stats::get(scope, &id, (start, end), &successes).await?;
    let ms = |ms: i32| duration(Duration::from_millis(u64::try_from(ms).unwrap_or_default()));
    Ok(v1::AgentStats {
        start_time: Some(timestamp(start)),
        end_time: Some(timestamp(end)),
        calls_handled: stats.calls,
        calls_successful: stats.successful,
        success_rate: (stats.calls > 0).then(|| stats.successful as f64 / stats.calls as f64),
        mean_duration: stats.mean_seconds.map(|mean| duration(Duration::from_secs_f64(mean.max(0.0)))),
        turns: stats.turns,
        turn_latency_p50: stats.latency_p50_ms.map(ms),
        turn_latency_p95: stats.latency_p95_ms.map(ms),
    })
}

fn span(request: &v1::GetAgentStatsRequest, now: Timestamp) -> Result<(Timestamp, Timestamp), Violations> {
    let mut bad = Violations::default();
    let mut read = |field: &str, given: Option<&prost_types::Timestamp>| {
        let at = given.map(moment);
        if at == Some(None) {
            bad.add(field, "is no moment of the years 1 to 9999");
        }
        at.flatten()
    };
    let start = read("start_time", request.start_time.as_ref());
    let end = read("end_time", request.end_time.as_ref()).unwrap_or(now);
    let start = start.unwrap_or_else(|| end.saturating_sub(USUAL).unwrap_or(Timestamp::MIN));
    if start >= end {
        bad.add("end_time", "must be after start_time");
    } else if end.duration_since(start) > LONGEST {
        bad.add("end_time", "must be at most 366 days after start_time");
    }
    if bad.is_empty() { Ok((start, end)) } else { Err(bad) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().expect("a test names a moment")
    }

    fn asked(start: Option<&str>, end: Option<&str>) -> Result<(Timestamp, Timestamp), Violations> {
        let wire = |text: &str| timestamp(at(text));
        let (start_time, end_time) = (start.map(wire), end.map(wire));
        let request = v1::GetAgentStatsRequest { start_time, end_time, ..Default::default() };
        span(&request, at("2026-05-23T12:00:00Z"))
    }

    #[test]
    fn a_span_that_is_not_given_is_the_last_day() {
        let (day, now) = (at("2026-05-22T12:00:00Z"), at("2026-05-23T12:00:00Z"));
        assert_eq!(asked(None, None), Ok((day, now)));
        assert_eq!(asked(Some("2026-05-01T00:00:00Z"), None), Ok((at("2026-05-01T00:00:00Z"), now)));
        let before = (at("2026-04-30T00:00:00Z"), at("2026-05-01T00:00:00Z"));
        assert_eq!(asked(None, Some("2026-05-01T00:00:00Z")), Ok(before));
    }

    #[test]
    fn a_span_that_ends_before_it_begins_or_is_too_long_is_refused() {
        for start in ["2026-05-23T12:00:00Z", "2027-01-01T00:00:00Z", "2020-01-01T00:00:00Z"] {
            assert!(asked(Some(start), None).is_err_and(|bad| bad.names("end_time")), "{start}");
        }
    }
}
