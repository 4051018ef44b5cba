//! `AgentService`: what can be kept, changed and refused.

use std::collections::BTreeSet;

use parlance_proto::v1::flow_node::Kind;
use parlance_proto::v1::{
    Agent, AgentState, AskNode, CallHandling, CreateAgentRequest, DeleteAgentRequest, Flow, GetAgentRequest,
    ListAgentsRequest, SayNode, Slot, SlotKind, ToolNode, TurnTaking, UpdateAgentRequest, Voice,
};
use parlance_tests::details::{assert_bad_fields, assert_refused, fields};
use parlance_tests::{House, agents};
use tonic::{Code, Status};

fn mask(paths: &[&str]) -> Option<prost_types::FieldMask> {
    Some(prost_types::FieldMask { paths: paths.iter().map(ToString::to_string).collect() })
}

fn creation(agent: Agent) -> CreateAgentRequest {
    CreateAgentRequest { agent: Some(agent), ..Default::default() }
}

async fn refusal_of(house: &House, agent: Agent) -> Status {
    house.client.agents().create_agent(creation(agent)).await.expect_err("the agent is not valid")
}

async fn get(house: &House, name: &str) -> Result<Agent, Status> {
    let request = GetAgentRequest { name: name.into() };
    house
        .client
        .agents()
        .get_agent(request)
        .await
        .map(|response| response.into_inner().agent.unwrap_or_default())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_comes_back_as_it_was_given_with_name_times_and_etag() {
    let house = House::scripted().await;
    let given = Agent { name: String::new(), voice: None, ..agents::restaurant() };
    let made = house.client.agents().create_agent(creation(given.clone())).await.expect("it is valid");
    let made = made.into_inner().agent.expect("the answer holds it");
    assert_eq!(made.name, "agents/trattoria-luna", "the id is made from the display name");
    assert!(made.create_time.is_some() && made.update_time.is_some() && !made.etag.is_empty(), "{made:?}");
    let bare = Agent {
        name: String::new(),
        create_time: None,
        update_time: None,
        etag: String::new(),
        ..made.clone()
    };
    assert_eq!(bare, Agent { state: AgentState::Active.into(), ..given });
    assert_eq!(get(&house, &made.name).await.expect("it is there"), made);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_taken_id_is_already_exists() {
    let house = House::scripted().await;
    house.hires(Agent { name: "agents/echo".into(), ..agents::echo("Hello") }).await;
    let refused = house.client.agents().create_agent(creation(agents::echo("Hello"))).await;
    assert_refused(&refused.expect_err("the id is taken"), Code::AlreadyExists, "ALREADY_EXISTS");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_in_pages_has_every_agent_once_and_oldest_first() {
    let house = House::scripted().await;
    let wanted: Vec<String> = (0..5).map(|n| format!("agents/number-{n}")).collect();
    for name in &wanted {
        house.hires(Agent { name: name.clone(), ..agents::echo("Hello") }).await;
    }
    let (mut found, mut page_token) = (Vec::new(), String::new());
    loop {
        let request = ListAgentsRequest { page_size: 2, page_token, ..Default::default() };
        let page = house.client.agents().list_agents(request).await.expect("a page").into_inner();
        assert!(page.agents.len() <= 2);
        found.extend(page.agents.into_iter().map(|agent| agent.name));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    assert_eq!(found, wanted);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_pages_are_refused_by_field() {
    let house = House::scripted().await;
    let list =
        async |request| house.client.agents().list_agents(request).await.expect_err("it is a bad page");
    let negative = ListAgentsRequest { page_size: -1, ..Default::default() };
    assert_bad_fields(&list(negative).await, &["page_size"]);
    let foreign = ListAgentsRequest { page_size: 0, page_token: "the third".into(), ..Default::default() };
    assert_bad_fields(&list(foreign).await, &["page_token"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_update_changes_what_its_mask_names_and_clears_what_is_absent() {
    let house = House::scripted().await;
    let patient = TurnTaking { responsiveness: Some(0.1), ..Default::default() };
    let name = house.hires(Agent { turn_taking: Some(patient), ..agents::echo("Hello") }).await;
    let change = Agent { name: name.clone(), display_name: "Renamed".into(), ..Default::default() };
    let update = |paths: &[&str]| UpdateAgentRequest {
        agent: Some(change.clone()),
        update_mask: mask(paths),
        ..Default::default()
    };
    let client = || house.client.agents();
    client().update_agent(update(&["display_name"])).await.expect("a valid change");
    let renamed = get(&house, &name).await.expect("it is there");
    assert_eq!((renamed.display_name.as_str(), renamed.turn_taking), ("Renamed", Some(patient_again())));
    client().update_agent(update(&["turn_taking"])).await.expect("a valid change");
    let cleared = get(&house, &name).await.expect("it is there");
    assert_eq!((cleared.display_name.as_str(), cleared.turn_taking), ("Renamed", None));
    assert_ne!(cleared.etag, renamed.etag);
    let refused = client().update_agent(update(&["colour"])).await.expect_err("there is no such field");
    assert_bad_fields(&refused, &["update_mask"]);
}

fn patient_again() -> TurnTaking {
    TurnTaking { responsiveness: Some(0.1), ..Default::default() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_update_without_a_mask_takes_the_fields_that_are_set() {
    let house = House::scripted().await;
    let name = house.hires(agents::echo("Hello")).await;
    let voice = Some(Voice { voice_id: "hum".into(), ..Default::default() });
    let change = Agent { name: name.clone(), voice: voice.clone(), ..Default::default() };
    let request = UpdateAgentRequest { agent: Some(change), update_mask: None, ..Default::default() };
    house.client.agents().update_agent(request).await.expect("a valid change");
    let changed = get(&house, &name).await.expect("it is there");
    assert_eq!((changed.display_name.as_str(), changed.voice), ("Echo", voice));
    assert!(changed.call_handling.is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_race_is_aborted_for_updates_and_deletions() {
    let house = House::scripted().await;
    let name = house.hires(agents::echo("Hello")).await;
    let old = get(&house, &name).await.expect("it is there");
    let rename = |display_name: &str, etag: &str| UpdateAgentRequest {
        agent: Some(Agent {
            name: name.clone(),
            display_name: display_name.into(),
            etag: etag.into(),
            ..Default::default()
        }),
        update_mask: mask(&["display_name"]),
        ..Default::default()
    };
    house.client.agents().update_agent(rename("First", &old.etag)).await.expect("the etag is fresh");
    let lost = house.client.agents().update_agent(rename("Second", &old.etag)).await;
    assert_refused(&lost.expect_err("the etag is old"), Code::Aborted, "ETAG_MISMATCH");
    let stale =
        DeleteAgentRequest { name: name.clone(), etag: old.etag, allow_missing: false, ..Default::default() };
    let lost = house.client.agents().delete_agent(stale).await;
    assert_refused(&lost.expect_err("the etag is old"), Code::Aborted, "ETAG_MISMATCH");
    assert_eq!(get(&house, &name).await.expect("it is there").display_name, "First");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deleted_agent_is_gone_and_deleting_it_again_is_not_found_unless_allowed() {
    let house = House::scripted().await;
    let name = house.hires(agents::echo("Hello")).await;
    let deletion = |allow_missing| DeleteAgentRequest {
        name: name.clone(),
        etag: String::new(),
        allow_missing,
        ..Default::default()
    };
    house.client.agents().delete_agent(deletion(false)).await.expect("it is there");
    assert_refused(&get(&house, &name).await.expect_err("it is gone"), Code::NotFound, "NOT_FOUND");
    let again = house.client.agents().delete_agent(deletion(false)).await;
    assert_refused(&again.expect_err("it is gone"), Code::NotFound, "NOT_FOUND");
    house.client.agents().delete_agent(deletion(true)).await.expect("a missing one is allowed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_bad_field_is_named_at_once() {
    let house = House::scripted().await;
    let agent = Agent {
        display_name: "x".repeat(201),
        voice: Some(Voice { voice_id: "baritone".into(), ..Default::default() }),
        turn_taking: Some(TurnTaking {
            responsiveness: Some(1.5),
            interruption_sensitivity: Some(-0.1),
            interrupt_min_words: Some(0),
            ..Default::default()
        }),
        call_handling: Some(CallHandling {
            reminder_max: Some(11),
            begin_message: "x".repeat(2_001),
            max_duration: Some(agents::duration(std::time::Duration::from_secs(9))),
            ..Default::default()
        }),
        ..Default::default()
    };
    let refused = refusal_of(&house, agent).await;
    assert_bad_fields(
        &refused,
        &[
            "display_name",
            "voice.voice_id",
            "turn_taking.responsiveness",
            "turn_taking.interruption_sensitivity",
            "turn_taking.interrupt_min_words",
            "call_handling.reminder_max",
            "call_handling.begin_message",
            "call_handling.max_duration",
        ],
    );
    assert!(refused.message().contains("hum"), "the known voices are listed: {}", refused.message());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_without_a_flow_is_refused_by_an_engine_without_a_language_model() {
    let house = House::offline().await;
    assert_bad_fields(&refusal_of(&house, agents::echo("Hello")).await, &["flow"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn problems_of_a_flow_are_named_by_their_node() {
    let house = House::scripted().await;
    let say = |next: &str| Kind::Say(SayNode { text: "Hello".into(), next: next.into() });
    let lost = |start: &str, kind: SlotKind, tool: &str| {
        let prompt = "Who?".into();
        let slot = Slot { name: "who".into(), kind: kind.into(), prompt, required: true, options: vec![] };
        let ask = AskNode {
            slots: vec![slot],
            next: "a".into(),
            on_failure: "nowhere".into(),
            ..Default::default()
        };
        let tool =
            ToolNode { tool: tool.into(), next: "a".into(), on_failure: "a".into(), ..Default::default() };
        let nodes = [("a", say("b")), ("b", Kind::Ask(ask)), ("c", Kind::Tool(tool))];
        Agent { display_name: "Lost".into(), flow: Some(agents::flow(start, nodes)), ..Default::default() }
    };
    // Fields and graph are judged in one pass: what can't be read hides nothing else.
    let unreadable = refusal_of(&house, lost("begin", SlotKind::Unspecified, "fly")).await;
    assert_bad_fields(
        &unreadable,
        &[
            "flow.start",
            "flow.nodes[a].say.next",
            "flow.nodes[b].ask.next",
            "flow.nodes[b].ask.slots[0].kind",
            "flow.nodes[b].ask.on_failure",
            "flow.nodes[c].tool.tool",
        ],
    );
    let astray = refusal_of(&house, lost("begin", SlotKind::PersonName, "book_appointment")).await;
    assert_refused(&astray, Code::InvalidArgument, "INVALID_FIELD");
    let named: BTreeSet<String> = fields(&astray).into_iter().collect();
    let names = |wanted: &[&str]| named.iter().any(|field| wanted.iter().all(|part| field.contains(part)));
    assert!(names(&["start"]), "the start leads nowhere: {named:?}");
    assert!(names(&["nodes[b]", "on_failure"]), "b.on_failure leads nowhere: {named:?}");
    let empty = Agent { display_name: "Empty".into(), flow: Some(Flow::default()), ..Default::default() };
    let named = fields(&refusal_of(&house, empty).await);
    assert!(!named.is_empty() && named.iter().all(|field| field.starts_with("flow")), "{named:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_that_are_none_are_refused_by_field() {
    let house = House::scripted().await;
    for name in ["", "echo", "agents/", "agents/ÜBER", "calls/echo", "agents/a/b"] {
        assert_bad_fields(&get(&house, name).await.expect_err("no name of an agent"), &["name"]);
    }
    let request = CreateAgentRequest {
        agent_id: "No Id".into(),
        agent: Some(agents::echo("Hello")),
        ..Default::default()
    };
    let refused = house.client.agents().create_agent(request).await.expect_err("no id");
    assert_bad_fields(&refused, &["agent_id"]);
    let nothing = CreateAgentRequest::default();
    let refused = house.client.agents().create_agent(nothing).await.expect_err("no agent");
    assert_bad_fields(&refused, &["agent"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_organisation_finds_none_of_it() {
    let house = House::scripted().await;
    let name = house.hires(agents::echo("Hello")).await;
    let stranger = house.stranger().await;
    let not_found = |status: Status| assert_refused(&status, Code::NotFound, "NOT_FOUND");
    let get = GetAgentRequest { name: name.clone() };
    not_found(stranger.agents().get_agent(get).await.expect_err("not theirs"));
    let change = Agent { name: name.clone(), display_name: "Mine".into(), ..Default::default() };
    let update = UpdateAgentRequest { agent: Some(change), update_mask: None, ..Default::default() };
    not_found(stranger.agents().update_agent(update).await.expect_err("not theirs"));
    let delete = DeleteAgentRequest { name: name.clone(), ..Default::default() };
    not_found(stranger.agents().delete_agent(delete).await.expect_err("not theirs"));
    let list = stranger.agents().list_agents(ListAgentsRequest::default()).await.expect("an empty page");
    assert_eq!(list.into_inner().agents, []);
    let theirs = Agent { display_name: "Echo".into(), ..agents::echo("Mine") };
    stranger.agents().create_agent(creation(theirs)).await.expect("the same id is free for them");
}
