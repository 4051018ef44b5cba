//! The tools that come with the engine, asked for by a model; and what no tool may be asked for.

use std::time::Duration;

use parlance_proto::v1::{self, BuiltInTool};
use parlance_tests::caller::typing_start;
use parlance_tests::{Caller, House, agents, details, tools};
use serde_json::json;
use tonic::Code;

const SOON: Duration = Duration::from_secs(20);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_model_is_told_of_the_agents_tools_and_of_no_others() {
    let house = House::scripted().await;
    let all = (1..=6).filter_map(|number| BuiltInTool::try_from(number).ok()).map(tools::built_in);
    let agent = house.hires(tools::agent(all.collect())).await;
    let mut caller = Caller::dials(&house, typing_start(&agent)).await;
    let told = tools::answer(&mut caller, "@tools").await.replace(['_', ' '], "");
    for name in ["getcurrenttime", "bookappointment", "endcall", "transfercall", "pressdigits", "sendsms"] {
        assert!(told.contains(name), "{told}");
    }
    let bare = house.hires(v1::Agent { display_name: "Bare".into(), ..agents::echo("Hello") }).await;
    let mut caller = Caller::dials(&house, typing_start(&bare)).await;
    assert_eq!(tools::answer(&mut caller, "@tools").await, "Tools: .");
    let run = tools::run(&mut caller, "book_appointment", json!({})).await;
    assert_eq!(run.reason, "There is no tool called book_appointment.");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_time_is_that_of_the_agents_zone() {
    let house = House::scripted().await;
    let agent = house.hires(tools::agent(vec![tools::built_in(BuiltInTool::GetCurrentTime)])).await;
    let mut caller = Caller::dials(&house, typing_start(&agent)).await;
    let run = tools::run(&mut caller, "get_current_time", json!({})).await;
    let told = tools::json_of(&run.result);
    let iso = told["iso"].as_str().expect("it is told").to_owned();
    let at: jiff::Timestamp = iso.parse().expect("it is a time");
    assert!(at.duration_until(jiff::Timestamp::now()).as_secs() < 120, "{iso}");
    let local = at.in_tz("Europe/Berlin").expect("the zone is known");
    assert_eq!(told["date"], local.date().to_string());
    let run = tools::run(&mut caller, "get_current_time", json!({"time_zone": "Narnia"})).await;
    assert!(run.state() == v1::ToolState::Failed && run.reason.contains("Narnia"), "{run:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_does_not_fit_the_schema_is_told_in_words_and_neither_run_nor_stored() {
    let house = House::scripted().await;
    let agent = house.hires(tools::agent(vec![tools::built_in(BuiltInTool::BookAppointment)])).await;
    let mut caller = Caller::dials(&house, typing_start(&agent)).await;
    let run =
        tools::run(&mut caller, "book_appointment", json!({"date": "2030-05-23", "party_size": "many"}))
            .await;
    assert_eq!(run.state(), v1::ToolState::Failed);
    for why in ["`time` is missing", "`customer_name` is missing", "`party_size` must be of type integer"] {
        assert!(run.reason.contains(why), "{}", run.reason);
    }
    let run = tools::run(&mut caller, "no_such_tool", json!({})).await;
    assert!(run.reason.contains("no tool called no_such_tool"), "{run:?}");
    let booking =
        json!({"date": "2030-05-23", "time": "19:00", "party_size": "2", "customer_name": "Ada King"});
    let run = tools::run(&mut caller, "book_appointment", booking).await;
    assert_eq!(run.state(), v1::ToolState::Succeeded, "{run:?}");
    caller.controls(v1::session_control::Control::End(v1::End {}));
    caller.ends(SOON).await.1.expect("an end that was asked for is no error");
    let call = house.ended_call(&caller.ready.call).await;
    let stored: Vec<&str> = call.tool_invocations.iter().map(|run| run.tool.as_str()).collect();
    assert_eq!(stored, ["book_appointment"], "only what was run has a row");
    assert_eq!(house.appointments(&call.name).await.len(), 1);
    house.is_empty().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn extracted_values_are_kept_with_the_call_and_a_later_one_replaces_the_one_before() {
    let house = House::scripted().await;
    let extract = v1::Tool {
        name: "note_order".into(),
        parameters: Some(parlance::convert::json::to_struct(&json!({
            "type": "object",
            "properties": {"size": {"type": "string"}, "count": {"type": "integer"}},
        }))),
        ..tools::built_in(BuiltInTool::ExtractVariables)
    };
    let agent = house.hires(tools::agent(vec![extract])).await;
    let mut caller = Caller::dials(&house, typing_start(&agent)).await;
    tools::run(&mut caller, "note_order", json!({"size": "large", "count": 2})).await;
    tools::run(&mut caller, "note_order", json!({"size": "small", "colour": "red"})).await;
    let request = v1::GetCallRequest { name: caller.ready.call.clone() };
    let live = house.client.calls().get_call(request).await.expect("it lives").into_inner().call;
    let kept = tools::json_of(&live.expect("the answer holds it").extracted_variables);
    assert_eq!(kept, json!({"size": "small", "count": 2}));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_needs_a_telephone_is_refused_with_the_reason() {
    let house = House::scripted().await;
    let needy = [BuiltInTool::TransferCall, BuiltInTool::PressDigits, BuiltInTool::SendSms];
    let agent = house.hires(tools::agent(needy.into_iter().map(tools::built_in).collect())).await;
    let mut caller = Caller::dials(&house, typing_start(&agent)).await;
    for (tool, arguments) in [
        ("transfer_call", json!({"to": "+4930123456"})),
        ("press_digits", json!({"digits": "12#"})),
        ("send_sms", json!({"text": "See you"})),
    ] {
        let run = tools::run(&mut caller, tool, arguments).await;
        assert!(run.state() == v1::ToolState::Failed && run.reason.contains("telephone leg"), "{run:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn end_call_ends_the_call_when_its_goodbye_was_heard() {
    let house = House::scripted().await;
    let agent = house.hires(tools::agent(vec![tools::built_in(BuiltInTool::EndCall)])).await;
    let mut caller = Caller::dials(&house, typing_start(&agent)).await;
    caller.agent_finishes().await;
    caller.types("@tool end_call {} Goodbye then");
    let (ended, status) = caller.ends(SOON).await;
    status.expect("a call that the agent ends ends well");
    assert_eq!(ended.reason(), v1::EndReason::AgentEnded, "{}", caller.history());
    assert_eq!(caller.texts(v1::Speaker::Agent).last().map(String::as_str), Some("Goodbye then"));
    house.is_empty().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tool_that_makes_no_sense_is_refused_by_field() {
    let house = House::scripted().await;
    let http = tools::http("ask", "https://api.example.com/{id}", json!({"name": {"type": "string"}}));
    let bad = v1::Agent {
        tools: vec![
            v1::Tool { name: "two words".into(), ..http.clone() },
            v1::Tool {
                name: "a__b".into(),
                timeout: Some(prost_types::Duration { seconds: 61, nanos: 0 }),
                ..http
            },
            v1::Tool::default(),
            tools::built_in(BuiltInTool::EndCall),
            tools::built_in(BuiltInTool::EndCall),
            tools::built_in(BuiltInTool::ExtractVariables),
            tools::http("inside", "https://169.254.169.254/latest", json!({})),
            tools::http("plain", "http://api.example.com/", json!({})),
            tools::http("anywhere", "https://{host}.example.com/", json!({"host": {"type": "string"}})),
            tools::http("slash", "https:///{host}/", json!({"host": {"type": "string"}})),
            tools::http("one", "https:/{host}/a", json!({"host": {"type": "string"}})),
            tools::http("looks", "https://api.example.com/", json!({"code": {"pattern": "(?=a)"}})),
            tools::http("never", "https://api.example.com/", json!({"n": {"minimum": 2, "maximum": 1}})),
        ],
        mcp_servers: vec![v1::McpServer {
            name: "crm".into(),
            url: "https://10.0.0.1/mcp".into(),
            headers: [("Mcp-Session-Id".to_owned(), "1".to_owned())].into(),
            ..Default::default()
        }],
        ..tools::agent(Vec::new())
    };
    let request = v1::CreateAgentRequest { agent: Some(bad), ..Default::default() };
    let refused = house.client.agents().create_agent(request).await.expect_err("nothing of it fits");
    details::assert_bad_fields(
        &refused,
        &[
            "tools[0].http.url",
            "tools[0].name",
            "tools[1].timeout",
            "tools[1].http.url",
            "tools[1].name",
            "tools[2]",
            "tools[4].name",
            "tools[5].parameters",
            "tools[6].http.url",
            "tools[7].http.url",
            "tools[8].http.url",
            "tools[9].http.url",
            "tools[10].http.url",
            "tools[11].parameters.properties.code.pattern",
            "tools[12].parameters.properties.n.minimum",
            "mcp_servers[0].headers[Mcp-Session-Id]",
            "mcp_servers[0].url",
        ],
    );
    assert_eq!(refused.code(), Code::InvalidArgument);
}
