//! Two nodes on one database: a call on the one is watched, controlled and ended through the other.

use std::time::Duration;

use parlance::cli::connect;
use parlance_proto::v1;
use parlance_proto::v1::control_call_request::Control;
use parlance_proto::v1::{CallEvent, EndReason, Speaker, TurnEventType};
use parlance_store::calls::{self, CallEnd, CallState};
use parlance_store::ownership::Lease;
use parlance_store::{CallId, NodeId, commands, notices};
use parlance_tests::caller::typing_start;
use parlance_tests::details::{assert_bad_fields, assert_refused};
use parlance_tests::{Caller, House, Watcher, agents, database};
use tonic::{Code, Status};

const SOON: Duration = Duration::from_secs(20);

async fn control(client: &connect::Engine, call: &str, control: Option<Control>) -> Result<(), Status> {
    let request = v1::ControlCallRequest { name: call.into(), control, ..Default::default() };
    client.calls().control_call(request).await.map(drop)
}

fn say(text: &str) -> Option<Control> {
    Some(Control::Say(v1::Say { text: text.into(), protected: false }))
}

fn interrupt() -> Option<Control> {
    Some(Control::Interrupt(v1::Interrupt {}))
}

async fn end(client: &connect::Engine, call: &str) -> Result<(), Status> {
    let request = v1::EndCallRequest { name: call.into(), ..Default::default() };
    client.calls().end_call(request).await.map(drop)
}

fn offsets(events: &[CallEvent]) -> Vec<u64> {
    events.iter().map(|event| event.offset).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_on_one_node_is_watched_with_resume_controlled_and_ended_through_another() {
    let house = House::scripted().await;
    let other = house.second_node().await;
    let agent = house.hires(agents::echo("Hello")).await;
    let mut caller = Caller::dials(&house, typing_start(&agent)).await;
    let call = caller.ready.call.clone();
    let mut watcher = Watcher::watches(&other.client, &call, 0).await;
    let greeted = watcher.until("the greeting", |watcher| watcher.has_said("Hello"));
    tokio::join!(caller.agent_finishes(), greeted);
    let (seen, mut told) = (watcher.last(), watcher.events.clone());
    drop(watcher);
    let resumed = tokio::spawn(Watcher::watches(&other.client, &call, seen).await.ends());

    control(&other.client, &call, say("The kitchen closes soon.")).await.expect("the call lives");
    caller.agent_finishes().await;
    let said = caller.texts(Speaker::Agent);
    assert!(said.iter().any(|text| text.contains("kitchen")), "{}", caller.history());

    control(&other.client, &call, say(&"And so on. ".repeat(20))).await.expect("the call lives");
    caller.hears(Duration::from_millis(500)).await;
    control(&other.client, &call, interrupt()).await.expect("the call lives");
    let cut = |caller: &Caller| {
        let ended = caller.turns(TurnEventType::ReplyEnded);
        ended.iter().any(|(_, turn)| turn.reason == "interrupted")
    };
    caller.until("the end of the interrupted reply", SOON, cut).await;

    end(&other.client, &call).await.expect("the call lives");
    let (ended, status) = caller.ends(SOON).await;
    status.expect("an end that was asked for is no error");
    assert_eq!(ended.reason(), EndReason::ApiEnded);
    let (rest, status) = resumed.await.expect("the watcher does not panic");
    status.expect("a watched call that ended ends well");
    told.extend(rest);
    house.ended_call(&call).await;
    let stored = house.transcript(&call).await.events;
    assert_eq!(offsets(&told), offsets(&stored), "without gaps or doubles");
    assert_eq!(told, stored);
    let again = end(&other.client, &call).await.expect_err("it is over");
    assert_refused(&again, Code::FailedPrecondition, "CALL_OVER");
    house.is_empty().await;
    other.is_empty().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_that_lost_their_listening_connections_are_reached_and_told_all_the_same() {
    let url = database::another("cut_listeners").await;
    let house = House::leasing(&url, "15s").await;
    let other = house.second_node().await;
    let agent = house.hires(agents::echo("Hello")).await;
    let mut caller = Caller::dials(&house, typing_start(&agent)).await;
    let call = caller.ready.call.clone();
    let watcher = tokio::spawn(Watcher::watches(&other.client, &call, 0).await.ends());
    caller.agent_finishes().await;
    let cut = format!(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
         WHERE application_name = '{}' AND datname = 'cut_listeners'",
        notices::LISTENER
    );
    database::execute(&url, &cut).await;
    control(&other.client, &call, say("We are cut off.")).await.expect("the call lives");
    caller.agent_finishes().await;
    assert!(caller.texts(Speaker::Agent).iter().any(|text| text.contains("cut off")), "{}", caller.history());
    database::execute(&url, &cut).await;
    end(&other.client, &call).await.expect("the call lives");
    assert_eq!(caller.ends(SOON).await.0.reason(), EndReason::ApiEnded);
    let (told, status) = watcher.await.expect("the watcher does not panic");
    status.expect("a watched call that ended ends well");
    assert_eq!(told, house.transcript(&call).await.events);
    house.is_empty().await;
    other.is_empty().await;
}

/// A call that some engine holds which nobody has heard of.
async fn held_by_a_ghost(house: &House, agent: &str, lease: Duration) -> CallId {
    let call = v1::Call { agent: agent.into(), ..Default::default() };
    let request = v1::CreateCallRequest { call: Some(call), ..Default::default() };
    let made = house.client.calls().create_call(request).await.expect("the call is valid").into_inner();
    let name = made.call.expect("the answer holds it").name;
    let id: CallId = name.trim_start_matches("calls/").parse().expect("a call's name holds its id");
    let lease = Lease { node: NodeId::new(), length: lease };
    calls::mark_started(&house.scope, id, lease, jiff::Timestamp::now()).await.expect("it waits");
    id
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_whose_engine_does_not_answer_is_left_alone_while_its_lease_runs() {
    let house = House::scripted().await;
    let agent = house.hires(agents::echo("Hello")).await;
    let id = held_by_a_ghost(&house, &agent, Duration::from_secs(600)).await;
    let name = format!("calls/{id}");
    let (ended, controlled) =
        tokio::join!(end(&house.client, &name), control(&house.client, &name, say("Hello?")));
    for refused in [ended.expect_err("nobody has it"), controlled.expect_err("nobody has it")] {
        assert_refused(&refused, Code::Unavailable, "OWNER_UNREACHABLE");
    }
    assert_eq!(calls::get(&house.scope, id).await.expect("it is there").state, CallState::Ongoing);
    let waiting = commands::waiting(&house.scope).await.expect("the store lists commands");
    assert_eq!(waiting, [], "what was given up is withdrawn");
    let (at, reason) = (jiff::Timestamp::now(), "api_ended".to_owned());
    let by_hand = CallEnd { at, reason, message: None, recording_path: None, used: None };
    calls::mark_ended(&house.scope, id, by_hand).await.expect("it is there");
    house.is_empty().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_whose_engine_let_its_lease_lapse_can_be_ended_and_its_watchers_are_told() {
    let house = House::scripted().await;
    let agent = house.hires(agents::echo("Hello")).await;
    let id = held_by_a_ghost(&house, &agent, Duration::from_millis(1)).await;
    let name = format!("calls/{id}");
    let watcher = tokio::spawn(Watcher::watches(&house.client, &name, 0).await.ends());
    end(&house.client, &name).await.expect("nobody holds it any more");
    assert_eq!(house.ended_call(&name).await.end_reason(), EndReason::ApiEnded);
    let (told, status) = watcher.await.expect("the watcher does not panic");
    status.expect("a watched call that ended ends well");
    let [CallEvent { offset: 1, event: Some(v1::call_event::Event::Ended(ended)), .. }] = &told[..] else {
        panic!("its end and nothing else was told: {told:?}")
    };
    assert_eq!(ended.reason(), EndReason::ApiEnded);
    house.is_empty().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_can_not_be_done_in_a_call_is_refused_with_its_reason() {
    let house = House::scripted().await;
    let agent = house.hires(agents::echo("Hello")).await;
    let client = &house.client;
    let call = v1::Call { agent, ..Default::default() };
    let request = v1::CreateCallRequest { call: Some(call), ..Default::default() };
    let made = client.calls().create_call(request).await.expect("the call is valid").into_inner();
    let name = made.call.expect("the answer holds it").name;
    let refused = control(client, &name, interrupt()).await.expect_err("nobody has joined it");
    assert_refused(&refused, Code::FailedPrecondition, "CALL_NOT_LIVE");
    end(client, &name).await.expect("it waits");
    let refused = control(client, &name, interrupt()).await.expect_err("it is over");
    assert_refused(&refused, Code::FailedPrecondition, "CALL_OVER");
    let unknown = format!("calls/{}", CallId::new());
    let stranger = house.stranger().await;
    for (client, name) in [(client, &unknown), (&stranger, &name)] {
        let refused = control(client, name, interrupt()).await.expect_err("not theirs");
        assert_refused(&refused, Code::NotFound, "NOT_FOUND");
    }
    for (name, what, field) in [
        ("calls/42", interrupt(), "name"),
        (&name, None, "control"),
        (&name, say("  "), "say.text"),
        (&name, say(&"x".repeat(2_001)), "say.text"),
    ] {
        assert_bad_fields(&control(client, name, what).await.expect_err("it is not valid"), &[field]);
    }
    house.is_empty().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_shuts_down_sends_its_watchers_to_another() {
    let house = House::scripted().await;
    let other = house.second_node().await;
    let agent = house.hires(agents::echo("Hello")).await;
    let mut caller = Caller::dials(&house, typing_start(&agent)).await;
    let call = caller.ready.call.clone();
    let mut watcher = Watcher::watches(&other.client, &call, 0).await;
    let greeted = watcher.until("the greeting", |watcher| watcher.has_said("Hello"));
    tokio::join!(caller.agent_finishes(), greeted);
    let watching = tokio::spawn(watcher.ends());
    other.running.stop(Duration::ZERO, std::future::ready(())).await.expect("it has nothing unwritten");
    let (mut told, status) = watching.await.expect("the watcher does not panic");
    assert_refused(&status.expect_err("the call goes on"), Code::Unavailable, "DRAINING");
    let seen = told.last().expect("the greeting was told").offset;
    let resumed = tokio::spawn(Watcher::watches(&house.client, &call, seen).await.ends());
    caller.hangs_up();
    caller.ends(SOON).await.1.expect("an end that was asked for is no error");
    let (rest, status) = resumed.await.expect("the watcher does not panic");
    status.expect("a watched call that ended ends well");
    told.extend(rest);
    assert_eq!(told, house.transcript(&call).await.events);
    house.is_empty().await;
}
