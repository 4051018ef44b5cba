//! GetAgentStats: what an agent's calls were like.

use std::time::Duration;

use parlance_proto::v1::{self, AgentStats, GetAgentStatsRequest, TurnEventType};
use parlance_tests::caller::typing_start;
use parlance_tests::details::{assert_bad_fields, assert_refused};
use parlance_tests::{Caller, House, agents};
use tonic::{Code, Status};

const SOON: Duration = Duration::from_secs(20);

async fn stats(house: &House, request: GetAgentStatsRequest) -> Result<AgentStats, Status> {
    let response = house.client.agents().get_agent_stats(request).await?;
    Ok(response.into_inner().stats.expect("the answer holds them"))
}

fn of(agent: &str) -> GetAgentStatsRequest {
    GetAgentStatsRequest { name: agent.into(), ..Default::default() }
}

fn moment(text: &str) -> Option<prost_types::Timestamp> {
    text.parse().ok()
}

/// A call with two answered turns that the client ends.
async fn two_turns(house: &House, agent: &str) {
    let mut caller = Caller::dials(house, typing_start(agent)).await;
    caller.agent_finishes().await;
    for line in ["one", "two"] {
        caller.types(line);
        caller.agent_finishes().await;
    }
    assert_eq!(caller.turns(TurnEventType::CallerEnded).len(), 2, "{}", caller.history());
    caller.controls(v1::session_control::Control::End(v1::End {}));
    caller.ends(SOON).await.1.expect("an end that was asked for is no error");
    house.ended_call(&caller.ready.call).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_ends_lengths_and_waits_are_counted_in_their_span() {
    let house = House::scripted().await;
    let agent = house.hires(agents::echo("Hello")).await;
    let none = stats(&house, of(&agent)).await.expect("an agent without calls has statistics");
    assert_eq!((none.calls_handled, none.turns, none.success_rate), (0, 0, None), "{none:?}");
    assert_eq!((none.mean_duration, none.turn_latency_p50, none.turn_latency_p95), (None, None, None));
    two_turns(&house, &agent).await;
    let lost = Caller::dials(&house, typing_start(&agent)).await;
    let name = lost.ready.call.clone();
    drop(lost);
    house.ended_call(&name).await;
    let live = Caller::dials(&house, typing_start(&agent)).await;
    let found = stats(&house, of(&agent)).await.expect("they are counted");
    assert_eq!((found.calls_handled, found.calls_successful, found.turns), (2, 1, 2), "{found:?}");
    assert_eq!(found.success_rate, Some(0.5));
    let length = |length: Option<prost_types::Duration>| -> Duration {
        length.expect("there were calls").try_into().expect("it is not negative")
    };
    // The scripted model and voice take 450 ms together.
    let (p50, p95) = (length(found.turn_latency_p50), length(found.turn_latency_p95));
    assert!(p50 >= Duration::from_millis(400) && p50 <= p95 && p95 < SOON, "{p50:?} {p95:?}");
    assert!(length(found.mean_duration) < SOON * 2, "{found:?}");
    let before = GetAgentStatsRequest { end_time: moment("2020-01-02T00:00:00Z"), ..of(&agent) };
    let before = stats(&house, before).await.expect("nothing was then");
    assert_eq!((before.calls_handled, before.turns), (0, 0));
    assert_eq!(before.start_time, moment("2020-01-01T00:00:00Z"));
    drop(live);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_span_that_makes_no_sense_and_an_agent_that_is_not_theirs_are_refused() {
    let house = House::scripted().await;
    let agent = house.hires(agents::echo("Hello")).await;
    let backwards = GetAgentStatsRequest {
        start_time: moment("2026-01-02T00:00:00Z"),
        end_time: moment("2026-01-01T00:00:00Z"),
        ..of(&agent)
    };
    assert_bad_fields(&stats(&house, backwards).await.expect_err("backwards"), &["end_time"]);
    let endless = GetAgentStatsRequest { start_time: moment("2001-01-01T00:00:00Z"), ..of(&agent) };
    assert_bad_fields(&stats(&house, endless).await.expect_err("too long"), &["end_time"]);
    assert_bad_fields(&stats(&house, of("echo")).await.expect_err("no name"), &["name"]);
    let absent = stats(&house, of("agents/nobody")).await.expect_err("nobody");
    assert_refused(&absent, Code::NotFound, "NOT_FOUND");
    let theirs = house.stranger().await.agents().get_agent_stats(of(&agent)).await;
    assert_refused(&theirs.expect_err("not theirs"), Code::NotFound, "NOT_FOUND");
}
