//! Refusals that take more than a bad request: a database that is away or damaged, an engine that stops, a flood.

use parlance_proto::v1::voice_session_request::Request;
use parlance_proto::v1::{GetAgentRequest, ListAgentsRequest, TypedText};
use parlance_tests::caller::{request, typing_start};
use parlance_tests::details::assert_refused;
use parlance_tests::{Caller, House, agents, database};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status};
use tonic_types::StatusExt;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_without_a_flow_needs_a_language_model() {
    let house = House::offline().await;
    let name = house.hires(agents::counter_of_guests("Hello.")).await;
    // As if it had been made while the engine had a model.
    database::execute(
        database::url(),
        &format!(
            "UPDATE parlance.agents SET settings = settings - 'flow' WHERE organisation_id = '{}'",
            house.scope.organisation()
        ),
    )
    .await;
    let refused = Caller::tries(house.client.voice(), typing_start(&name)).await;
    assert_refused(
        &refused.err().expect("nothing could answer"),
        Code::FailedPrecondition,
        "NO_LANGUAGE_MODEL",
    );
    let target = Some(parlance_proto::v1::test_agent_request::Target::Agent(name));
    let request = parlance_proto::v1::TestAgentRequest { target, ..Default::default() };
    let refused = house.client.agents().test_agent(request).await.expect_err("nothing could answer");
    assert_refused(&refused, Code::FailedPrecondition, "NO_LANGUAGE_MODEL");
    house.is_empty().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_engine_that_drains_sends_new_sessions_elsewhere() {
    let house = House::scripted().await;
    let agent = house.hires(agents::echo("Hello")).await;
    house.running.engine.refuse_calls();
    let refused = Caller::tries(house.client.voice(), typing_start(&agent)).await;
    let refused = refused.err().expect("it takes no more calls");
    assert_refused(&refused, Code::Unavailable, "DRAINING");
    assert!(refused.get_details_retry_info().is_some(), "{refused:?}");
    house.is_empty().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_floods_is_ended_and_told_the_limit() {
    let house = House::scripted().await;
    let agent = house.hires(agents::echo("Hello")).await;
    let (requests, outgoing) = mpsc::channel(64);
    requests.try_send(request(Request::Start(typing_start(&agent)))).expect("a new channel has room");
    for _ in 0..50 {
        let text = TypedText { text: "hello".into() };
        requests.try_send(request(Request::Text(text))).expect("it has room for these");
    }
    let mut incoming = house
        .client
        .voice()
        .voice_session(ReceiverStream::new(outgoing))
        .await
        .expect("it begins well")
        .into_inner();
    let refused: Status = loop {
        match incoming.message().await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("the flood was taken"),
            Err(status) => break status,
        }
    };
    assert_refused(&refused, Code::ResourceExhausted, "TOO_MANY_MESSAGES");
    assert!(refused.get_details_retry_info().is_some(), "{refused:?}");
    house.is_empty().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_is_away_is_unavailable_and_worth_another_try() {
    let url = database::another("refusals").await;
    let house = House::leasing(&url, "15s").await;
    house.client.agents().list_agents(ListAgentsRequest::default()).await.expect("it is there");
    let cut = "ALTER DATABASE refusals ALLOW_CONNECTIONS false;
               SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'refusals'";
    database::execute(database::url(), cut).await;
    let refused = house.client.agents().list_agents(ListAgentsRequest::default()).await;
    let refused = refused.expect_err("nobody answers");
    assert_refused(&refused, Code::Unavailable, "UNAVAILABLE");
    assert!(refused.get_details_retry_info().is_some(), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_that_nobody_can_read_is_internal_and_tells_no_cause() {
    let house = House::scripted().await;
    let name = house.hires(agents::echo("Hello")).await;
    database::execute(
        database::url(),
        &format!(
            "UPDATE parlance.agents SET settings = '{{\"flow\": \"damaged\"}}' WHERE organisation_id = '{}'",
            house.scope.organisation()
        ),
    )
    .await;
    let refused = house.client.agents().get_agent(GetAgentRequest { name }).await.expect_err("it is damaged");
    assert_refused(&refused, Code::Internal, "INTERNAL");
    assert!(!refused.message().contains("damaged") && !refused.message().contains("flow"), "{refused:?}");
}
