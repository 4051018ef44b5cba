//! Client tools: declared when a session starts, asked for on its stream, answered there.

use std::time::Duration;

use parlance_proto::v1;
use parlance_proto::v1::tool_result::Outcome;
use parlance_proto::v1::voice_session_request::Request;
use parlance_proto::v1::voice_session_response::Response;
use parlance_tests::caller::typing_start;
use parlance_tests::{Caller, House, details, tools};
use serde_json::{Value, json};

const SOON: Duration = Duration::from_secs(20);

fn of_client(name: &str) -> v1::Tool {
    v1::Tool {
        name: name.into(),
        description: "Opens a page before the caller.".into(),
        parameters: Some(tools::parameters(json!({"page": {"type": "string"}}))),
        ..Default::default()
    }
}

async fn dials(house: &House, client_tools: Vec<v1::Tool>) -> Caller {
    let agent = house.hires(tools::agent(Vec::new())).await;
    dials_to(house, &agent, client_tools).await
}

async fn dials_to(house: &House, agent: &str, client_tools: Vec<v1::Tool>) -> Caller {
    Caller::dials(house, v1::SessionStart { client_tools, ..typing_start(agent) }).await
}

fn calls(caller: &Caller) -> Vec<v1::ToolCall> {
    let asked = caller.seen.iter().filter_map(|seen| match &seen.response {
        Response::ToolCall(call) => Some(call.clone()),
        _ => None,
    });
    asked.collect()
}

/// Has the model ask for the client's tool and waits until the client is asked.
async fn asked(caller: &mut Caller, arguments: Value) -> v1::ToolCall {
    asked_for(caller, "open_page", arguments).await
}

async fn asked_for(caller: &mut Caller, tool: &str, arguments: Value) -> v1::ToolCall {
    let before = calls(caller).len();
    caller.agent_is_quiet().await;
    caller.types(&format!("@tool {tool} {arguments}"));
    caller.until("the client's tool", SOON, |caller| calls(caller).len() > before).await;
    calls(caller).pop().expect("it was asked for")
}

fn answers(caller: &mut Caller, invocation_id: u32, outcome: Outcome) {
    caller.sends(Request::ToolResult(v1::ToolResult { invocation_id, outcome: Some(outcome) }));
}

/// What was said of answers that nobody waited for: they have a number, other than the engine's own word of a time-out that the
/// conversation knew before.
fn dropped(caller: &Caller) -> Vec<String> {
    let turns = caller.turns(v1::TurnEventType::Dropped);
    turns.iter().map(|(_, turn)| turn.reason.clone()).filter(|why| why.contains("tool result ")).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_is_asked_for_its_tool_and_the_model_is_told_its_answer() {
    let house = House::scripted().await;
    let mut caller = dials(&house, vec![of_client("open_page")]).await;
    let call = asked(&mut caller, json!({"page": "menu"})).await;
    assert_eq!((call.tool.as_str(), tools::json_of(&call.arguments)), ("open_page", json!({"page": "menu"})));
    assert_eq!(call.timeout, Some(prost_types::Duration { seconds: 10, nanos: 0 }));
    let result = parlance::convert::json::to_struct(&json!({"opened": true}));
    answers(&mut caller, call.invocation_id, Outcome::Result(result));
    caller.until("the end of the tool", SOON, |caller| tools::ends(caller).len() == 1).await;
    assert_eq!(tools::json_of(&tools::ends(&caller)[0].result), json!({"opened": true}));
    let call = asked(&mut caller, json!({"page": "wine"})).await;
    answers(&mut caller, call.invocation_id, Outcome::Error("there is no such page".into()));
    caller.until("the end of the tool", SOON, |caller| tools::ends(caller).len() == 2).await;
    assert_eq!(tools::ends(&caller)[1].reason, "there is no such page");
    let run = tools::run(&mut caller, "open_page", json!({})).await;
    assert_eq!(run.reason, "not run: `page` is missing");
    assert_eq!(calls(&caller).len(), 2, "what does not fit is not asked for");
    caller.controls(v1::session_control::Control::End(v1::End {}));
    caller.ends(SOON).await.1.expect("an end that was asked for is no error");
    let kept = house.ended_call(&caller.ready.call).await.tool_invocations;
    let states: Vec<v1::ToolState> = kept.iter().map(|run| run.state()).collect();
    assert_eq!(states, [v1::ToolState::Succeeded, v1::ToolState::Failed]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_nobody_waits_for_is_dropped_and_said_to_be() {
    let house = House::scripted().await;
    let hurried = v1::Tool {
        timeout: Some(prost_types::Duration { seconds: 0, nanos: 300_000_000 }),
        ..of_client("open_page")
    };
    let mut caller = dials(&house, vec![hurried, of_client("show_page")]).await;
    let done = || Outcome::Result(prost_types::Struct::default());
    answers(&mut caller, 7, done());
    caller.until("word of the drop", SOON, |caller| dropped(caller) == ["not_asked: tool result 7"]).await;
    let call = asked(&mut caller, json!({"page": "menu"})).await;
    caller.until("the time-out", SOON, |caller| tools::ends(caller).len() == 1).await;
    assert_eq!(tools::ends(&caller)[0].state(), v1::ToolState::TimedOut);
    answers(&mut caller, call.invocation_id, done());
    caller.until("word of the drop", SOON, |caller| dropped(caller).len() == 2).await;
    assert_eq!(dropped(&caller)[1], format!("late: tool result {}", call.invocation_id));
    // Twice: the first answer counts.
    let call = asked_for(&mut caller, "show_page", json!({"page": "menu"})).await;
    for opened in [1, 2] {
        let result = parlance::convert::json::to_struct(&json!({ "opened": opened }));
        answers(&mut caller, call.invocation_id, Outcome::Result(result));
    }
    caller.until("word of the drop", SOON, |caller| dropped(caller).len() == 3).await;
    assert_eq!(dropped(&caller)[2], format!("late: tool result {}", call.invocation_id));
    caller.until("the end of the tool", SOON, |caller| tools::ends(caller).len() == 2).await;
    assert_eq!(tools::json_of(&tools::ends(&caller)[1].result), json!({"opened": 1}));
    assert!(tools::answer(&mut caller, "go on").await.contains("go on"));
    caller.controls(v1::session_control::Control::End(v1::End {}));
    caller.ends(SOON).await.1.expect("an end that was asked for is no error");
    let kept = house.ended_call(&caller.ready.call).await.tool_invocations;
    let states: Vec<v1::ToolState> = kept.iter().map(|run| run.state()).collect();
    assert_eq!(states, [v1::ToolState::TimedOut, v1::ToolState::Succeeded], "a late answer changes nothing");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_is_far_too_large_fails_its_run_and_the_call_goes_on() {
    let house = House::scripted().await;
    let mut caller = dials(&house, vec![of_client("open_page")]).await;
    let call = asked(&mut caller, json!({"page": "menu"})).await;
    let large = parlance::convert::json::to_struct(&json!({"page": "x".repeat(1_048_576)}));
    answers(&mut caller, call.invocation_id, Outcome::Result(large));
    caller.until("the end of the tool", SOON, |caller| tools::ends(caller).len() == 1).await;
    let end = tools::ends(&caller).remove(0);
    let why = "the client's result has 1048587 bytes as JSON; at most 65536 are taken";
    assert_eq!((end.state(), end.reason.as_str()), (v1::ToolState::Failed, why));
    assert!(tools::answer(&mut caller, "go on").await.contains("go on"));
    let call = asked(&mut caller, json!({"page": "menu"})).await;
    answers(&mut caller, call.invocation_id, Outcome::Error("no ".repeat(10_000)));
    caller.until("the end of the tool", SOON, |caller| tools::ends(caller).len() == 2).await;
    let end = tools::ends(&caller).remove(1);
    assert_eq!((end.state(), end.reason.chars().count()), (v1::ToolState::Failed, 2_000));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_to_a_run_of_an_earlier_session_is_nobodys() {
    let house = House::scripted().await;
    let agent = house.hires(tools::agent(Vec::new())).await;
    let mut before = dials_to(&house, &agent, vec![of_client("open_page")]).await;
    let call = asked(&mut before, json!({"page": "menu"})).await;
    before.controls(v1::session_control::Control::End(v1::End {}));
    before.ends(SOON).await.1.expect("an end that was asked for is no error");
    let mut after = dials_to(&house, &agent, vec![of_client("open_page")]).await;
    answers(&mut after, call.invocation_id, Outcome::Result(prost_types::Struct::default()));
    let expected = format!("not_asked: tool result {}", call.invocation_id);
    after.until("word of the drop", SOON, |caller| dropped(caller) == [expected.as_str()]).await;
    let call = asked(&mut after, json!({"page": "menu"})).await;
    answers(&mut after, call.invocation_id, Outcome::Result(prost_types::Struct::default()));
    after.until("the end of the tool", SOON, |caller| tools::ends(caller).len() == 1).await;
    assert_eq!(tools::ends(&after)[0].state(), v1::ToolState::Succeeded);
    let kept = house.ended_call(&before.ready.call).await.tool_invocations;
    assert_eq!(kept[0].state(), v1::ToolState::TimedOut, "it was asked for, and may have been done");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_leaves_with_a_tool_under_way_leaves_nothing_behind() {
    let house = House::scripted().await;
    let slow =
        v1::Tool { timeout: Some(prost_types::Duration { seconds: 60, nanos: 0 }), ..of_client("open_page") };
    let mut caller = dials(&house, vec![slow]).await;
    asked(&mut caller, json!({"page": "menu"})).await;
    caller.controls(v1::session_control::Control::End(v1::End {}));
    caller.ends(SOON).await.1.expect("an end that was asked for is no error");
    house.is_empty().await;
    let kept = house.ended_call(&caller.ready.call).await.tool_invocations;
    assert_eq!(kept[0].state(), v1::ToolState::TimedOut, "it was asked for, and may have been done");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn client_tools_that_are_none_or_are_the_agents_are_refused_by_field() {
    let house = House::scripted().await;
    let time = tools::built_in(v1::BuiltInTool::GetCurrentTime);
    let agent = house.hires(tools::agent(vec![time])).await;
    let end = tools::built_in(v1::BuiltInTool::EndCall);
    let client_tools = vec![end, of_client("get_current_time"), of_client("two words")];
    let start = v1::SessionStart { client_tools, ..typing_start(&agent) };
    let refused = Caller::tries(house.client.voice(), start).await.err().expect("they make no sense");
    let fields = ["start.client_tools[0]", "start.client_tools[1].name", "start.client_tools[2].name"];
    details::assert_bad_fields(&refused, &fields);
    house.is_empty().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_makes_no_sense_ends_the_session_by_field() {
    let house = House::scripted().await;
    let mut caller = dials(&house, vec![of_client("open_page")]).await;
    let empty = v1::ToolResult { invocation_id: 1, outcome: None };
    caller.sends(Request::ToolResult(empty));
    let refused = caller.ends(SOON).await.1.expect_err("it says nothing");
    details::assert_bad_fields(&refused, &["tool_result"]);
}
