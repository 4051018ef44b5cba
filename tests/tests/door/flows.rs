//! Flows on their own: read, changed and judged beside the agent they belong to.

use parlance_proto::v1::flow_node::Kind;
use parlance_proto::v1::{
    Agent, AskNode, CreateAgentRequest, EndNode, Flow, FlowNode, FlowProblem, GetAgentRequest,
    GetFlowRequest, McpServer, SayNode, Slot, SlotKind, ToolNode, UpdateFlowRequest, ValidateFlowRequest,
};
use parlance_tests::details::{assert_bad_fields, assert_refused};
use parlance_tests::{House, agents, tools};
use serde_json::json;
use tonic::Code;

async fn problems(house: &House, flow: Flow) -> Vec<FlowProblem> {
    let request = ValidateFlowRequest { flow: Some(flow), ..Default::default() };
    house.client.agents().validate_flow(request).await.expect("a flow can be judged").into_inner().problems
}

fn update(agent: &str, flow: Option<Flow>, etag: &str) -> UpdateFlowRequest {
    UpdateFlowRequest { agent: agent.into(), flow, etag: etag.into(), ..Default::default() }
}

/// Three faults of fields and three of the graph.
fn broken() -> Flow {
    let say = SayNode { text: "Hello".into(), next: "nowhere".into() };
    let slot = Slot { name: "Who?".into(), kind: SlotKind::Option.into(), ..Default::default() };
    let ask = AskNode {
        slots: vec![slot],
        next: "greet".into(),
        on_failure: "bye".into(),
        retries: 11,
        ..Default::default()
    };
    agents::flow(
        "greet",
        [("greet", Kind::Say(say)), ("form", Kind::Ask(ask)), ("bye", Kind::End(EndNode::default()))],
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flow_is_read_and_changed_alone_and_the_rest_of_the_agent_stays() {
    let house = House::offline().await;
    let agent = house.hires(agents::restaurant()).await;
    let read = house.client.agents().get_flow(GetFlowRequest { agent: agent.clone() }).await;
    let read = read.expect("it has a flow").into_inner();
    assert_eq!(read.flow, agents::restaurant().flow);
    let other = agents::counter_of_guests("Hello").flow;
    let updated = house.client.agents().update_flow(update(&agent, other.clone(), &read.etag)).await;
    let updated = updated.expect("the etag is fresh").into_inner();
    assert_eq!(updated.flow, other);
    assert_ne!(updated.etag, read.etag);
    let whole = house.client.agents().get_agent(GetAgentRequest { name: agent.clone() }).await;
    let whole = whole.expect("it is there").into_inner().agent.expect("the answer holds it");
    assert_eq!((whole.flow, whole.etag), (other.clone(), updated.etag));
    assert_eq!(whole.display_name, agents::restaurant().display_name);
    let late = house.client.agents().update_flow(update(&agent, other, &read.etag)).await;
    assert_refused(&late.expect_err("the etag is old"), Code::Aborted, "ETAG_MISMATCH");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_problem_of_a_flow_is_named_in_one_pass_with_its_node_and_its_edge() {
    let house = House::offline().await;
    let found = problems(&house, broken()).await;
    let mut named: Vec<(&str, &str, &str)> =
        found.iter().map(|p| (p.field.as_str(), p.node.as_str(), p.edge.as_str())).collect();
    named.sort_unstable();
    assert_eq!(
        named,
        [
            ("flow.nodes[bye].end", "bye", ""),
            ("flow.nodes[form].ask", "form", ""),
            ("flow.nodes[form].ask.retries", "form", ""),
            ("flow.nodes[form].ask.slots[0].name", "form", ""),
            ("flow.nodes[form].ask.slots[0].options", "form", ""),
            ("flow.nodes[greet].say.next", "greet", "next"),
        ],
        "{found:?}"
    );
    assert!(found.iter().all(|problem| !problem.description.is_empty()));
    let agent = house.hires(agents::counter_of_guests("Hello")).await;
    let refused = house.client.agents().update_flow(update(&agent, Some(broken()), "")).await;
    let fields: Vec<&str> = named.iter().map(|(field, ..)| *field).collect();
    assert_bad_fields(&refused.expect_err("the same problems refuse it"), &fields);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_can_not_be_read_makes_no_other_node_look_lost() {
    let house = House::offline().await;
    let mut flow = agents::counter_of_guests("Hello").flow.expect("it has one");
    flow.nodes.insert("hello".into(), FlowNode { kind: None });
    let found = problems(&house, flow).await;
    let fields: Vec<&str> = found.iter().map(|problem| problem.field.as_str()).collect();
    assert_eq!(fields, ["flow.nodes[hello]"]);
    let start =
        problems(&house, Flow { start: "lost".into(), ..agents::restaurant().flow.unwrap_or_default() })
            .await;
    assert!(
        start
            .iter()
            .any(|problem| (problem.field.as_str(), problem.edge.as_str()) == ("flow.start", "start"))
    );
    assert_eq!(problems(&house, agents::restaurant().flow.expect("it has one")).await, []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_for_flows_that_make_no_sense_are_refused_by_field() {
    let house = House::scripted().await;
    let mut client = house.client.agents();
    let refused = client.validate_flow(ValidateFlowRequest::default()).await;
    assert_bad_fields(&refused.expect_err("no flow"), &["flow"]);
    let refused = client.update_flow(update("agents/echo", None, "")).await;
    assert_bad_fields(&refused.expect_err("no flow"), &["flow"]);
    let refused = client.update_flow(update("echo", Some(Flow::default()), "")).await;
    assert_bad_fields(&refused.expect_err("no name"), &["agent"]);
    let refused = client.get_flow(GetFlowRequest { agent: "echo".into() }).await;
    assert_bad_fields(&refused.expect_err("no name"), &["agent"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flow_that_is_not_there_or_not_theirs_is_not_found() {
    let house = House::scripted().await;
    let without = house.hires(Agent { name: "agents/echo".into(), ..agents::echo("Hello") }).await;
    let with = house.hires(agents::counter_of_guests("Hello")).await;
    let stranger = house.stranger().await;
    let flow = agents::counter_of_guests("Mine").flow;
    for (client, agent) in
        [(&house.client, without.as_str()), (&house.client, "agents/nobody"), (&stranger, &with)]
    {
        let refused = client.agents().get_flow(GetFlowRequest { agent: agent.into() }).await;
        assert_refused(&refused.expect_err("no such flow"), Code::NotFound, "NOT_FOUND");
    }
    for (client, agent) in [(&house.client, "agents/nobody"), (&stranger, with.as_str())] {
        let refused = client.agents().update_flow(update(agent, flow.clone(), "")).await;
        assert_refused(&refused.expect_err("no such agent"), Code::NotFound, "NOT_FOUND");
    }
}

/// A flow of one tool.
fn runs(tool: &str) -> Flow {
    let tool =
        ToolNode { tool: tool.into(), next: "bye".into(), on_failure: "bye".into(), ..Default::default() };
    agents::flow("run", [("run", Kind::Tool(tool)), ("bye", Kind::End(EndNode::default()))])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tool_that_the_agent_does_not_have_is_refused_and_the_nearest_is_named() {
    let house = House::offline().await;
    let crm = McpServer {
        name: "crm".into(),
        url: "https://crm.example.com/mcp".into(),
        allowed_tools: vec!["find customer".into()],
        ..Default::default()
    };
    let agent = Agent {
        tools: vec![tools::http("find_order", "https://shop.example.com/", json!({}))],
        mcp_servers: vec![crm.clone(), McpServer { allowed_tools: Vec::new(), name: "any".into(), ..crm }],
        ..agents::echo("Hello")
    };
    let client = house.client.agents();
    for tool in ["find_orders", "end_call", "crm__find_costumer", "nobody__find", ""] {
        let agent = Agent { flow: Some(runs(tool)), ..agent.clone() };
        let request = CreateAgentRequest { agent: Some(agent), ..Default::default() };
        let refused = client.clone().create_agent(request).await.expect_err("there is no such tool");
        assert_bad_fields(&refused, &["flow.nodes[run].tool.tool"]);
    }
    let name = house.hires(Agent { flow: Some(runs("find_order")), ..agent }).await;
    let judged = |agent: &str, tool: &str| {
        let request = ValidateFlowRequest { flow: Some(runs(tool)), agent: agent.into() };
        let mut client = client.clone();
        async move { client.validate_flow(request).await.map(|told| told.into_inner().problems) }
    };
    for tool in ["find_order", "book_appointment", "crm__find_customer", "any__thing"] {
        assert_eq!(judged(&name, tool).await.expect("it can be judged"), [], "{tool}");
    }
    let told = judged(&name, "find_orders").await.expect("it can be judged");
    let known = "known are: book_appointment, find_order, crm__find_customer";
    let why = format!("`find_orders` is not known (did you mean `find_order`?); {known}");
    assert_eq!(
        (told[0].field.as_str(), told[0].description.as_str()),
        ("flow.nodes[run].tool.tool", why.as_str())
    );
    assert_eq!(judged("", "find_order").await.expect("it can be judged").len(), 1, "it is of no agent");
    let refused = judged("agents/nobody", "find_order").await.expect_err("there is no such agent");
    assert_refused(&refused, Code::NotFound, "NOT_FOUND");
}
