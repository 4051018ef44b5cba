//! Who may do what, how fast, and what a repeated request does.

use std::time::Duration;

use parlance_proto::v1::{
    Agent, CreateAgentRequest, CreateCallRequest, DeleteAgentRequest, GetAgentRequest, ListAgentsRequest,
    ListCallsRequest,
};
use parlance_store::PageRequest;
use parlance_store::audit_log::{self, AuditFilter};
use parlance_tests::caller::typing_start;
use parlance_tests::details::{assert_bad_fields, assert_refused};
use parlance_tests::{Caller, House, agents};
use tonic::{Code, Status};
use tonic_types::StatusExt;

fn creation(id: &str, greeting: &str, request_id: &str) -> CreateAgentRequest {
    CreateAgentRequest {
        agent_id: id.into(),
        agent: Some(agents::echo(greeting)),
        request_id: request_id.into(),
    }
}

async fn create(house: &House, request: CreateAgentRequest) -> Result<Agent, Status> {
    let answer = house.client.agents().create_agent(request).await?;
    Ok(answer.into_inner().agent.expect("the answer holds it"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_request_sent_again_is_done_once_and_answered_the_same() {
    let house = House::scripted().await;
    let first = create(&house, creation("", "Hello", "one")).await.expect("it is valid");
    let again = create(&house, creation("", "Hello", "one")).await.expect("it was done");
    assert_eq!(first, again);
    let page =
        house.client.agents().list_agents(ListAgentsRequest::default()).await.expect("they are listed");
    assert_eq!(page.into_inner().agents.len(), 1);
    let delete = DeleteAgentRequest { name: first.name, request_id: "two".into(), ..Default::default() };
    for _ in 0..2 {
        house.client.agents().delete_agent(delete.clone()).await.expect("once deleted, twice answered");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_id_used_for_another_request_is_refused() {
    let house = House::scripted().await;
    create(&house, creation("desk", "Hello", "one")).await.expect("it is valid");
    let other = create(&house, creation("other", "Hello", "one")).await.expect_err("it is another request");
    assert_refused(&other, Code::InvalidArgument, "REQUEST_ID_REUSED");
    let delete =
        DeleteAgentRequest { name: "agents/desk".into(), request_id: "one".into(), ..Default::default() };
    let other = house.client.agents().delete_agent(delete).await.expect_err("it is another method");
    assert_refused(&other, Code::InvalidArgument, "REQUEST_ID_REUSED");
    let long = create(&house, creation("x", "Hello", &"x".repeat(65))).await.expect_err("it is too long");
    assert_bad_fields(&long, &["request_id"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_request_may_be_sent_again_with_its_id() {
    let house = House::scripted().await;
    let name = create(&house, creation("desk", "Hello", "")).await.expect("it is valid").name;
    let taken = create(&house, creation("desk", "Hello", "one")).await.expect_err("the id is taken");
    assert_refused(&taken, Code::AlreadyExists, "ALREADY_EXISTS");
    let delete = DeleteAgentRequest { name, ..Default::default() };
    house.client.agents().delete_agent(delete).await.expect("it is there");
    create(&house, creation("desk", "Hello", "one")).await.expect("now the id is free");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_twenty_equal_requests_at_once_one_is_done() {
    let house = House::scripted().await;
    let agent = house.hires(agents::echo("Hello")).await;
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let mut calls = house.client.calls();
        let call = parlance_proto::v1::Call { agent: agent.clone(), ..Default::default() };
        let request = CreateCallRequest { call: Some(call), request_id: "one".into() };
        tasks.spawn(async move { calls.create_call(request).await });
    }
    for outcome in tasks.join_all().await {
        if let Err(status) = outcome {
            assert_refused(&status, Code::Aborted, "REQUEST_IN_PROGRESS");
            let retry = status.get_details_retry_info().and_then(|info| info.retry_delay);
            assert!(retry.is_some(), "{status:?}");
        }
    }
    let calls = house.client.calls().list_calls(ListCallsRequest::default()).await.expect("they are listed");
    assert_eq!(calls.into_inner().calls.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_id_of_one_organisation_is_nothing_to_another() {
    let house = House::scripted().await;
    create(&house, creation("desk", "Hello", "one")).await.expect("it is valid");
    let stranger = house.stranger().await;
    let made =
        stranger.agents().create_agent(creation("desk", "Hello", "one")).await.expect("it is new there");
    let name = made.into_inner().agent.expect("the answer holds it").name;
    let got = stranger.agents().get_agent(GetAgentRequest { name }).await;
    got.expect("it was done for the stranger");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_without_the_scope_is_told_which_it_lacks() {
    let house = House::scripted().await;
    let reader = house.with_scopes(&["read_only"]).await;
    reader.agents().list_agents(ListAgentsRequest::default()).await.expect("it may read");
    let refused = reader.agents().create_agent(creation("desk", "Hello", "")).await.expect_err("it may not");
    assert_refused(&refused, Code::PermissionDenied, "SCOPE_MISSING");
    assert!(refused.message().contains("AGENTS"), "{refused:?}");
    let speaker = house.with_scopes(&["sessions"]).await;
    let refused = speaker.agents().list_agents(ListAgentsRequest::default()).await.expect_err("it may not");
    assert_refused(&refused, Code::PermissionDenied, "SCOPE_MISSING");
    let agent = house.hires(agents::echo("Hello")).await;
    let call = Caller::tries(speaker.voice(), typing_start(&agent)).await;
    drop(call.expect("it may hold conversations"));
    let refused = Caller::tries(reader.voice(), typing_start(&agent)).await;
    assert_refused(&refused.err().expect("it may not"), Code::PermissionDenied, "SCOPE_MISSING");
    house.is_empty().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_asks_too_fast_is_told_when_to_ask_again_and_others_do_not_feel_it() {
    let house = House::scripted_with(&["--requests-per-second", "5"], None).await;
    let mut refused = None;
    for _ in 0..100 {
        refused = house.client.agents().list_agents(ListAgentsRequest::default()).await.err();
        if refused.is_some() {
            break;
        }
    }
    let refused = refused.expect("a hundred in a row are too fast");
    assert_refused(&refused, Code::ResourceExhausted, "RATE_LIMITED");
    let retry = refused.get_details_retry_info().and_then(|info| info.retry_delay).expect("it says when");
    assert!(retry <= Duration::from_secs(1), "{retry:?}");
    let other = house.with_scopes(&["read_only"]).await;
    other.agents().list_agents(ListAgentsRequest::default()).await.expect("another key has its own rate");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_audit_log_says_which_key_changed_what_but_not_what_failed() {
    let house = House::scripted().await;
    let name = create(&house, creation("desk", "Hello", "one")).await.expect("it is valid").name;
    create(&house, creation("desk", "Hello", "two")).await.expect_err("the id is taken");
    let page = audit_log::list(&house.scope, &AuditFilter::default(), &PageRequest::default()).await;
    let log = page.expect("it can be read").items;
    let lines: Vec<_> = log
        .iter()
        .map(|entry| (entry.method.as_str(), entry.resource.as_str(), entry.request_id.as_str()))
        .collect();
    assert_eq!(lines, [("/parlance.v1.AgentService/CreateAgent", name.as_str(), "one")]);
}
