//! Agents told apart: state, labels, filters, orders.

use parlance_proto::v1::{self, Agent, AgentState, ListAgentsRequest, UpdateAgentRequest};
use parlance_tests::caller::typing_start;
use parlance_tests::details::{assert_bad_fields, assert_refused};
use parlance_tests::{House, agents};
use tonic::Code;

async fn names(house: &House, filter: &str, order_by: &str) -> Vec<String> {
    let (mut found, mut page_token) = (Vec::new(), String::new());
    loop {
        let request =
            ListAgentsRequest { page_size: 2, page_token, filter: filter.into(), order_by: order_by.into() };
        let page = house.client.agents().list_agents(request).await.expect("a page").into_inner();
        found
            .extend(page.agents.into_iter().map(|agent| agent.name.trim_start_matches("agents/").to_owned()));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return found;
        }
    }
}

/// Four agents; `d` is inactive, `a` was changed last.
async fn staff(house: &House) {
    for (id, display_name, team) in
        [("b", "Bella", "desk"), ("a", "Anna", "desk"), ("c", "100%", ""), ("d", "Dora", "late")]
    {
        let labels = if team.is_empty() { Default::default() } else { [("team".into(), team.into())].into() };
        let state = if id == "d" { AgentState::Inactive } else { AgentState::Unspecified };
        let agent = Agent {
            name: format!("agents/{id}"),
            display_name: display_name.into(),
            labels,
            state: state.into(),
            ..agents::echo("Hello")
        };
        house.hires(agent).await;
    }
    change(
        house,
        Agent { name: "agents/a".into(), description: "Answers first.".into(), ..Default::default() },
    )
    .await;
}

async fn change(house: &House, agent: Agent) -> Agent {
    let request = UpdateAgentRequest { agent: Some(agent), ..Default::default() };
    let changed = house.client.agents().update_agent(request).await.expect("a valid change");
    changed.into_inner().agent.expect("the answer holds the agent")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_filter_gives_the_agents_that_all_its_terms_hold_for() {
    let house = House::scripted().await;
    staff(&house).await;
    for (filter, found) in [
        ("", vec!["b", "a", "c", "d"]),
        ("state = ACTIVE", vec!["b", "a", "c"]),
        ("state != ACTIVE", vec!["d"]),
        ("state = AGENT_STATE_INACTIVE", vec!["d"]),
        ("labels.team = desk", vec!["b", "a"]),
        ("labels.team != desk", vec!["c", "d"]),
        ("labels : team", vec!["b", "a", "d"]),
        ("labels : team AND state = ACTIVE, display_name = \"Anna\"", vec!["a"]),
        ("display_name : \"NN\"", vec!["a"]),
        ("display_name : \"0%\"", vec!["c"]),
        ("display_name : \"_\"", vec![]),
        ("create_time < 2001-01-01T00:00:00Z", vec![]),
        ("update_time >= 2001-01-01T00:00:00Z", vec!["b", "a", "c", "d"]),
    ] {
        assert_eq!(names(&house, filter, "").await, found, "{filter}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_holds_across_pages_and_both_ways() {
    let house = House::scripted().await;
    staff(&house).await;
    for (order_by, found) in [
        ("create_time", ["b", "a", "c", "d"]),
        ("create_time desc", ["d", "c", "a", "b"]),
        ("update_time desc", ["a", "d", "c", "b"]),
        ("display_name", ["c", "a", "b", "d"]),
        ("display_name desc", ["d", "b", "a", "c"]),
    ] {
        assert_eq!(names(&house, "", order_by).await, found, "{order_by}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_filter_or_order_of_unknown_fields_is_refused_and_names_the_known_ones() {
    let house = House::scripted().await;
    staff(&house).await;
    let list = async |request: ListAgentsRequest| house.client.agents().list_agents(request).await;
    let filtered = |filter: &str| ListAgentsRequest { filter: filter.into(), ..Default::default() };
    for filter in [
        "voice = slt",
        "state = ASLEEP",
        "state < ACTIVE",
        "labels.a.b = c",
        "create_time > yesterday",
        "state = ACTIVE OR state = INACTIVE",
    ] {
        assert_bad_fields(&list(filtered(filter)).await.expect_err("no such filter"), &["filter"]);
    }
    let refused = list(filtered("voice = slt")).await.expect_err("no such field");
    assert!(refused.message().contains("display_name"), "{}", refused.message());
    let ordered = ListAgentsRequest { order_by: "voice".into(), ..Default::default() };
    let refused = list(ordered).await.expect_err("no such order");
    assert_bad_fields(&refused, &["order_by"]);
    assert!(refused.message().contains("update_time"), "{}", refused.message());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_token_belongs_to_its_filter_and_its_order() {
    let house = House::scripted().await;
    staff(&house).await;
    let first = ListAgentsRequest { page_size: 1, ..Default::default() };
    let page = house.client.agents().list_agents(first).await.expect("a page").into_inner();
    let page_token = page.next_page_token;
    for (filter, order_by) in [("state = ACTIVE", ""), ("", "display_name"), ("", "create_time desc")] {
        let (filter, order_by, page_token) = (filter.into(), order_by.into(), page_token.clone());
        let other = ListAgentsRequest { page_size: 1, page_token, filter, order_by };
        let refused = house.client.agents().list_agents(other).await.expect_err("a token of another list");
        assert_bad_fields(&refused, &["page_token"]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn description_labels_and_state_are_kept_changed_and_checked() {
    let house = House::scripted().await;
    staff(&house).await;
    let anna =
        change(&house, Agent { name: "agents/a".into(), display_name: "Ann".into(), ..Default::default() })
            .await;
    assert_eq!((anna.description.as_str(), anna.state()), ("Answers first.", AgentState::Active));
    assert_eq!(anna.labels["team"], "desk");
    let labels = [("team".to_owned(), "late".to_owned())].into();
    let anna = Agent { name: anna.name, labels, state: AgentState::Inactive.into(), ..Default::default() };
    let anna = change(&house, anna).await;
    assert_eq!((anna.labels["team"].as_str(), anna.state()), ("late", AgentState::Inactive));
    let mut labels: std::collections::BTreeMap<_, _> =
        (0..63).map(|n| (format!("l{n}"), "x".to_owned())).collect();
    labels.extend([("Team".to_owned(), "x".to_owned()), ("long".to_owned(), "x".repeat(64))]);
    let bad =
        Agent { name: anna.name, description: "x".repeat(2_001), labels, state: 9, ..Default::default() };
    let request = UpdateAgentRequest { agent: Some(bad), ..Default::default() };
    let refused = house.client.agents().update_agent(request).await.expect_err("nothing of it is valid");
    assert_bad_fields(&refused, &["description", "labels", "labels[Team]", "labels[long]", "state"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_inactive_agent_refuses_calls_until_it_is_active_again() {
    let house = House::scripted().await;
    let agent = house.hires(agents::echo("Hello")).await;
    let create = async || {
        let call = Some(v1::Call { agent: agent.clone(), ..Default::default() });
        let request = v1::CreateCallRequest { call, ..Default::default() };
        house.client.calls().create_call(request).await
    };
    let early = create().await.expect("it is active").into_inner().call.expect("a call");
    let asleep = Agent { name: agent.clone(), state: AgentState::Inactive.into(), ..Default::default() };
    change(&house, asleep).await;
    let refused = create().await.expect_err("it is inactive");
    assert_refused(&refused, Code::FailedPrecondition, "AGENT_INACTIVE");
    let target = v1::session_start::Target::Call(early.name.clone());
    for start in [typing_start(&agent), v1::SessionStart { target: Some(target), ..typing_start(&agent) }] {
        let refused = dial(&house, start).await.expect_err("it is inactive");
        assert_refused(&refused, Code::FailedPrecondition, "AGENT_INACTIVE");
    }
    let awake = Agent { name: agent.clone(), state: AgentState::Active.into(), ..Default::default() };
    change(&house, awake).await;
    create().await.expect("it is active again");
}

/// Opens a session and gives what came of it.
async fn dial(house: &House, start: v1::SessionStart) -> Result<(), tonic::Status> {
    let request = Some(v1::voice_session_request::Request::Start(start));
    let messages = tokio_stream::iter([v1::VoiceSessionRequest { request }]);
    house.client.voice().voice_session(messages).await.map(drop)
}
