//! `CallService`: calls made, joined, ended, listed and read.

use std::time::Duration;

use parlance_proto::v1::session_start::Target;
use parlance_proto::v1::{
    Call, CallState, CreateCallRequest, EndCallRequest, EndReason, GetCallRequest, GetTranscriptRequest,
    ListCallsRequest, SessionStart, Speaker, call_event,
};
use parlance_tests::caller::typing_start;
use parlance_tests::details::{assert_bad_fields, assert_refused};
use parlance_tests::{Caller, House, agents};
use tonic::{Code, Status};

const SOON: Duration = Duration::from_secs(20);

async fn announce(house: &House, agent: &str, variables: &[(&str, &str)]) -> Call {
    let dynamic_variables =
        variables.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect();
    let call = Call { agent: agent.into(), dynamic_variables, ..Default::default() };
    let made =
        house.client.calls().create_call(CreateCallRequest { call: Some(call), ..Default::default() }).await;
    made.expect("the call is valid").into_inner().call.expect("the answer holds it")
}

fn joining(call: &Call) -> SessionStart {
    SessionStart { target: Some(Target::Call(call.name.clone())), ..typing_start("") }
}

async fn get(house: &House, name: &str) -> Call {
    let request = GetCallRequest { name: name.into() };
    house.client.calls().get_call(request).await.expect("it is there").into_inner().call.unwrap_or_default()
}

async fn end(house: &House, name: &str) -> Result<(), Status> {
    house.client.calls().end_call(EndCallRequest { name: name.into(), ..Default::default() }).await.map(drop)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_made_earlier_is_joined_with_its_variables_and_only_once() {
    let house = House::offline().await;
    let agent = house.hires(agents::counter_of_guests("Hello {{who}}.")).await;
    let call = announce(&house, &agent, &[("who", "Maria")]).await;
    assert_eq!((call.state(), call.agent.as_str()), (CallState::Created, agent.as_str()));
    let mut caller = Caller::dials(&house, joining(&call)).await;
    assert_eq!(caller.ready.call, call.name);
    assert_eq!(get(&house, &call.name).await.state(), CallState::Ongoing);
    let refused = Caller::tries(house.client.voice(), joining(&call)).await;
    assert_refused(&refused.err().expect("it is taken"), Code::FailedPrecondition, "CALL_TAKEN");
    caller.agent_finishes().await;
    assert!(caller.texts(Speaker::Agent)[0].contains("Hello Maria"), "{}", caller.history());
    end(&house, &call.name).await.expect("it lives");
    caller.ends(SOON).await.1.expect("an end that was asked for is no error");
    house.ended_call(&call.name).await;
    let refused = Caller::tries(house.client.voice(), joining(&call)).await;
    assert_refused(&refused.err().expect("it is over"), Code::FailedPrecondition, "CALL_TAKEN");
    house.is_empty().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ending_a_live_call_ends_its_session_and_a_second_time_is_refused() {
    let house = House::scripted().await;
    let agent = house.hires(agents::echo("Hello")).await;
    let mut caller = Caller::dials(&house, typing_start(&agent)).await;
    let name = caller.ready.call.clone();
    end(&house, &name).await.expect("it lives");
    let (ended, status) = caller.ends(SOON).await;
    status.expect("an ended call is no error");
    assert_eq!(ended.reason(), EndReason::ApiEnded);
    let call = house.ended_call(&name).await;
    assert_eq!(call.end_reason(), EndReason::ApiEnded);
    assert!(call.start_time.is_some() && call.end_time.is_some(), "{call:?}");
    let again = end(&house, &name).await.expect_err("it is over");
    assert_refused(&again, Code::FailedPrecondition, "CALL_OVER");
    house.is_empty().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_can_be_ended_before_anybody_joins_it() {
    let house = House::scripted().await;
    let agent = house.hires(agents::echo("Hello")).await;
    let call = announce(&house, &agent, &[]).await;
    end(&house, &call.name).await.expect("it waits");
    assert_eq!(house.ended_call(&call.name).await.end_reason(), EndReason::ApiEnded);
    house.is_empty().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lists_are_newest_first_and_filtered_by_agent_and_state() {
    let house = House::scripted().await;
    let one = house.hires(agents::echo("Hello")).await;
    let other =
        house.hires(parlance_proto::v1::Agent { name: "agents/other".into(), ..agents::echo("Hi") }).await;
    let (a, b, c) = (
        announce(&house, &one, &[]).await,
        announce(&house, &other, &[]).await,
        announce(&house, &one, &[]).await,
    );
    end(&house, &a.name).await.expect("it waits");
    house.ended_call(&a.name).await;
    let list = async |request: ListCallsRequest| {
        let page = house.client.calls().list_calls(request).await.expect("a page").into_inner();
        page.calls.into_iter().map(|call| call.name).collect::<Vec<_>>()
    };
    let all = ListCallsRequest::default();
    assert_eq!(list(all.clone()).await, [&*c.name, &*b.name, &*a.name]);
    assert_eq!(list(ListCallsRequest { agent: one.clone(), ..all.clone() }).await, [&*c.name, &*a.name]);
    let created = CallState::Created.into();
    assert_eq!(list(ListCallsRequest { state: created, ..all.clone() }).await, [&*c.name, &*b.name]);
    assert_eq!(list(ListCallsRequest { state: created, agent: other, ..all.clone() }).await, [&*b.name]);
    assert_eq!(list(ListCallsRequest { page_size: 1, ..all }).await, [&*c.name]);
    let foreign = ListCallsRequest { state: 99, ..Default::default() };
    let refused = house.client.calls().list_calls(foreign).await.expect_err("no such state");
    assert_bad_fields(&refused, &["state"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_stored_transcript_is_what_the_stream_told_and_events_say_why() {
    let house = House::scripted().await;
    let agent = house.hires(agents::echo("Hello")).await;
    let mut caller = Caller::dials(&house, typing_start(&agent)).await;
    caller.agent_finishes().await;
    caller.types("how are you");
    caller.agent_finishes().await;
    caller.hangs_up();
    caller.ends(SOON).await.1.expect("an end that was asked for is no error");
    let stored = house.transcript(&caller.ready.call).await;
    assert_eq!(stored.entries, caller.entries(), "{}", caller.history());
    let offsets: Vec<u64> = stored.events.iter().map(|event| event.offset).collect();
    assert!(offsets.is_sorted_by(|a, b| a < b), "{offsets:?}");
    let count = |wanted: fn(&call_event::Event) -> bool| {
        stored.events.iter().filter_map(|event| event.event.as_ref()).filter(|event| wanted(event)).count()
    };
    assert!(count(|event| matches!(event, call_event::Event::Turn(_))) >= 4, "{:?}", stored.events);
    assert_eq!(count(|event| matches!(event, call_event::Event::Waterfall(_))), 1, "{:?}", stored.events);
    assert_eq!(count(|event| matches!(event, call_event::Event::Ended(_))), 1, "{:?}", stored.events);
    let request = GetTranscriptRequest { call: caller.ready.call.clone(), include_events: false };
    let bare = house.client.calls().get_transcript(request).await.expect("it is there").into_inner();
    assert_eq!((bare.entries, bare.events), (stored.entries, Vec::new()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_can_not_be_made_is_refused_by_field() {
    let house = House::scripted().await;
    let create = async |call: Option<Call>| {
        house
            .client
            .calls()
            .create_call(CreateCallRequest { call, ..Default::default() })
            .await
            .expect_err("it is not valid")
    };
    assert_bad_fields(&create(None).await, &["call"]);
    assert_bad_fields(&create(Some(Call::default())).await, &["call.agent"]);
    let nobody = Call { agent: "agents/nobody".into(), ..Default::default() };
    assert_refused(&create(Some(nobody.clone())).await, Code::NotFound, "NOT_FOUND");
    let variables = [("Big".to_owned(), String::new()), ("long".to_owned(), "x".repeat(1_001))];
    let wild = Call { dynamic_variables: variables.into(), ..nobody };
    assert_bad_fields(
        &create(Some(wild)).await,
        &["call.dynamic_variables[Big]", "call.dynamic_variables[long]"],
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_organisation_finds_none_of_it() {
    let house = House::scripted().await;
    let agent = house.hires(agents::echo("Hello")).await;
    let call = announce(&house, &agent, &[]).await;
    let stranger = house.stranger().await;
    let not_found = |status: Status| assert_refused(&status, Code::NotFound, "NOT_FOUND");
    let name = || call.name.clone();
    not_found(stranger.calls().get_call(GetCallRequest { name: name() }).await.expect_err("not theirs"));
    not_found(
        stranger
            .calls()
            .end_call(EndCallRequest { name: name(), ..Default::default() })
            .await
            .expect_err("not theirs"),
    );
    let read = GetTranscriptRequest { call: name(), include_events: true };
    not_found(stranger.calls().get_transcript(read).await.expect_err("not theirs"));
    let create = CreateCallRequest {
        call: Some(Call { agent: agent.clone(), ..Default::default() }),
        ..Default::default()
    };
    not_found(stranger.calls().create_call(create).await.expect_err("the agent is not theirs"));
    not_found(Caller::tries(stranger.voice(), joining(&call)).await.err().expect("the call is not theirs"));
    not_found(
        Caller::tries(stranger.voice(), typing_start(&agent)).await.err().expect("the agent is not theirs"),
    );
    let list = stranger.calls().list_calls(ListCallsRequest::default()).await.expect("an empty page");
    assert_eq!(list.into_inner().calls, []);
    assert_eq!(get(&house, &call.name).await.state(), CallState::Created);
}
