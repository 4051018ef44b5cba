//! HTTP tools: what a service is sent, what a model is told of it, and where no request goes.

use std::time::Duration;

use parlance_proto::v1;
use parlance_proto::v1::tool::Kind;
use parlance_tests::caller::typing_start;
use parlance_tests::service::Service;
use parlance_tests::{Caller, House, details, tools};
use serde_json::{Value, json};

const SOON: Duration = Duration::from_secs(20);
/// What an operator says who lets tools reach the test's own services.
const OPEN: [&str; 3] = ["--tool-plain-http", "--tool-private-addresses", "127.0.0.0/8"];

fn with(tool: v1::Tool, change: impl FnOnce(&mut v1::HttpTool)) -> v1::Tool {
    let Some(Kind::Http(mut http)) = tool.kind.clone() else { panic!("it is an HTTP tool") };
    change(&mut http);
    v1::Tool { kind: Some(Kind::Http(http)), ..tool }
}

fn text() -> Value {
    json!({"type": "string"})
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_gets_the_arguments_where_the_tool_says_and_the_model_its_answer() {
    let house = House::scripted_with(&OPEN, None).await;
    let service = Service::answering(200, "application/json", r#"{"price": 7, "noise": [1]}"#).await;
    let url = format!("http://{}/menu/{{dish}}?day={{day}}", service.address);
    let look =
        tools::http("look_up", &url, json!({"dish": text(), "day": text(), "guests": {"type": "integer"}}));
    let look = with(look, |http| {
        http.method = v1::HttpMethod::Get.into();
        http.headers.insert("X-Asked-By".into(), "parlance".into());
        http.result_fields = vec!["/price".into()];
    });
    let look = v1::Tool {
        effect: v1::ToolEffect::None.into(),
        say_while_running: "Let me look".into(),
        say_after: "I have it".into(),
        ..look
    };
    let order = tools::http("order", &format!("http://{}/orders", service.address), json!({"dish": text()}));
    let order = with(order, |http| http.body = r#"{"what": "{dish}", "note": "for {dish}"}"#.into());
    let agent = house.hires(tools::agent(vec![look, order])).await;
    let mut caller = Caller::dials(&house, typing_start(&agent)).await;
    let run =
        tools::run(&mut caller, "look_up", json!({"dish": "soup & salad", "day": "fri", "guests": "4"}))
            .await;
    assert_eq!(tools::json_of(&run.result), json!({"price": 7}), "{run:?}");
    let run = tools::run(&mut caller, "order", json!({"dish": "soup"})).await;
    assert_eq!(run.state(), v1::ToolState::Succeeded);
    caller.agent_is_quiet().await;
    let said = caller.texts(v1::Speaker::Agent);
    assert!(
        said.iter().any(|text| text.starts_with("Let me look") && text.contains("I have it")),
        "{said:?}"
    );
    let asked = service.asked();
    assert_eq!(asked[0].line, "GET /menu/soup%20%26%20salad?day=fri&guests=4");
    assert_eq!((asked[0].header("x-asked-by"), asked[0].body.as_str()), ("parlance", ""));
    assert_eq!(asked[1].line, "POST /orders");
    let body: Value = serde_json::from_str(&asked[1].body).expect("it is JSON");
    assert_eq!(body, json!({"what": "soup", "note": "for soup"}));
    let keys: Vec<&str> = asked.iter().map(|asked| asked.header("idempotency-key")).collect();
    assert!(!keys[0].is_empty() && keys[0] != keys[1], "{keys:?}");
    assert!(caller.ready.call.ends_with(keys[1].split('/').next().expect("a key has a call")), "{keys:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_secret_reaches_the_service_and_nothing_else_and_a_signature_can_be_checked() {
    let flags: Vec<&str> =
        OPEN.into_iter().chain(["--tool-secrets", "CRM=hush-hush-17, SIGN=whsec"]).collect();
    let house = House::scripted_with(&flags, None).await;
    let service = Service::answering(200, "application/json", r#"{"echo": "Bearer hush-hush-17"}"#).await;
    let tool = tools::http("ask", &format!("http://{}/", service.address), json!({"a": {"type": "integer"}}));
    let tool = with(tool, |http| {
        http.headers.insert("Authorization".into(), "Bearer ${secret:CRM}".into());
        http.signing_secret = "SIGN".into();
    });
    let operator = house.operator().await;
    let (agent, id) = (Some(tools::agent(vec![tool.clone()])), format!("signs-{}", service.address.port()));
    let request = v1::CreateAgentRequest { agent, agent_id: id.clone(), ..Default::default() };
    operator.agents().create_agent(request).await.expect("it is valid");
    let start = typing_start(&format!("agents/{id}"));
    let mut caller = Caller::tries(operator.voice(), start).await.expect("it begins");
    let run = tools::run(&mut caller, "ask", json!({"a": 1})).await;
    assert_eq!(tools::json_of(&run.result), json!({"echo": "Bearer [secret]"}), "{run:?}");
    let asked = &service.asked()[0];
    assert_eq!(asked.header("authorization"), "Bearer hush-hush-17");
    let signature = asked.header("parlance-signature");
    let (seconds, signed) = signature
        .strip_prefix("t=")
        .and_then(|rest| rest.split_once(",v1="))
        .expect("it is as the contract says");
    let now = jiff::Timestamp::now().as_second();
    assert!((now - seconds.parse::<i64>().expect("it is a time")).abs() < 120, "{signature}");
    assert!(signed.len() == 64 && signed.bytes().all(|byte| byte.is_ascii_hexdigit()), "{signature}");
    let request = v1::GetTranscriptRequest { call: caller.ready.call.clone(), include_events: true };
    let kept = operator.calls().get_transcript(request).await.expect("it is there").into_inner();
    assert!(!format!("{kept:?}{:?}", caller.seen).contains("hush-hush"), "a secret is told to nobody");
    // Another organisation's tool of the same words has no such secret.
    let stranger = house.hires(tools::agent(vec![tool])).await;
    let mut caller = Caller::dials(&house, typing_start(&stranger)).await;
    let run = tools::run(&mut caller, "ask", json!({"a": 1})).await;
    assert!(run.reason.contains("there is no secret CRM"), "{run:?}");
    assert_eq!(service.asked().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_secret_that_a_service_writes_in_another_way_is_told_to_nobody_either() {
    let flags: Vec<&str> = OPEN.into_iter().chain(["--tool-secrets", "CRM=hush/hush-17"]).collect();
    let house = House::scripted_with(&flags, None).await;
    let answer = r#"{"escaped": "Bearer hush\/hush-17", "coded": "\u0068ush/hush-17", "hush/hush-17": 1}"#;
    let service = Service::answering(200, "application/json", answer).await;
    let sorry = Service::answering(400, "text/plain", "no: hush/\u{1}hush-17").await;
    let with_key = |name: &str, service: &Service| {
        let tool = tools::http(name, &format!("http://{}/", service.address), json!({}));
        with(tool, |http| drop(http.headers.insert("X-Key".into(), "${secret:CRM}".into())))
    };
    let tools_ = vec![with_key("ask", &service), with_key("fails", &sorry)];
    let operator = house.operator().await;
    let (agent, id) = (Some(tools::agent(tools_)), format!("hides-{}", service.address.port()));
    let request = v1::CreateAgentRequest { agent, agent_id: id.clone(), ..Default::default() };
    operator.agents().create_agent(request).await.expect("it is valid");
    let start = typing_start(&format!("agents/{id}"));
    let mut caller = Caller::tries(operator.voice(), start).await.expect("it begins");
    let run = tools::run(&mut caller, "ask", json!({})).await;
    let told = json!({"escaped": "Bearer [secret]", "coded": "[secret]", "[secret]": 1});
    assert_eq!(tools::json_of(&run.result), told, "{run:?}");
    let run = tools::run(&mut caller, "fails", json!({})).await;
    assert_eq!(run.reason, "the service answered 400: no: [secret]");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_try_of_a_run_is_the_same_request() {
    let house = House::scripted_with(&OPEN, None).await;
    let busy = Service::answering(503, "text/plain", "busy").await;
    let tool = tools::http("ask", &format!("http://{}/", busy.address), json!({"a": {"type": "integer"}}));
    let tool = v1::Tool { effect: v1::ToolEffect::Idempotent.into(), ..tool };
    let agent = house.hires(tools::agent(vec![tool])).await;
    let mut caller = Caller::dials(&house, typing_start(&agent)).await;
    let run = tools::run(&mut caller, "ask", json!({"a": 1})).await;
    assert_eq!(run.reason, "the service answered 503: busy");
    let sent: Vec<(String, String)> = busy
        .asked()
        .into_iter()
        .map(|asked| (asked.header("idempotency-key").to_owned(), asked.body))
        .collect();
    assert_eq!(sent.len(), 3);
    assert!(!sent[0].0.is_empty() && sent.iter().all(|one| *one == sent[0]), "{sent:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_argument_stays_in_its_place_whatever_it_holds() {
    let house = House::scripted_with(&OPEN, None).await;
    let service = Service::answering(200, "application/json", "{}").await;
    let url = format!("http://{}/orders/{{id}}/lines", service.address);
    let get = with(tools::http("get", &url, json!({"id": text(), "q": text()})), |http| {
        http.method = v1::HttpMethod::Get.into();
        http.headers.insert("X-Name".into(), "{q}".into());
    });
    let form = with(tools::http("form", &url, json!({"id": text(), "q": text()})), |http| {
        http.body = "q={q}&fixed=1".into();
    });
    let agent = house.hires(tools::agent(vec![get, form])).await;
    let mut caller = Caller::dials(&house, typing_start(&agent)).await;
    for up in ["..", "."] {
        let run = tools::run(&mut caller, "get", json!({"id": up, "q": ""})).await;
        assert!(run.reason.starts_with("not sent: "), "{run:?}");
    }
    let evil = "a/../..\\?x=1#y\r\nX-Evil: 1\r\n\r\nGET / HTTP/1.1";
    tools::run(&mut caller, "get", json!({"id": evil, "q": evil})).await;
    tools::run(&mut caller, "form", json!({"id": "1", "q": "2&fixed=3\r\n"})).await;
    let asked = service.asked();
    assert_eq!(asked.len(), 2, "{asked:?}");
    let path = "a%2F..%2F..%5C%3Fx%3D1%23y%0D%0AX-Evil%3A%201%0D%0A%0D%0AGET%20%2F%20HTTP%2F1.1";
    assert!(asked[0].line.starts_with(&format!("GET /orders/{path}/lines?q=a%2F")), "{}", asked[0].line);
    assert_eq!((asked[0].header("x-evil"), asked[0].header("x-name")), ("", "{q}"));
    assert_eq!(asked[1].body, "q=2%26fixed%3D3%0D%0A&fixed=1");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_operators_word_no_private_address_is_reached_by_number_or_by_name() {
    let house = House::scripted_with(&["--tool-plain-http"], None).await;
    let service = Service::answering(200, "text/plain", "you are in").await;
    let by_number =
        tools::agent(vec![tools::http("ask", &format!("http://{}/", service.address), json!({}))]);
    let request = v1::CreateAgentRequest { agent: Some(by_number), ..Default::default() };
    let refused = house.client.agents().create_agent(request).await.expect_err("it is a private address");
    details::assert_bad_fields(&refused, &["tools[0].http.url"]);
    let by_name = format!("http://localhost:{}/", service.address.port());
    let agent = house.hires(tools::agent(vec![tools::http("ask", &by_name, json!({}))])).await;
    let mut caller = Caller::dials(&house, typing_start(&agent)).await;
    let run = tools::run(&mut caller, "ask", json!({})).await;
    assert!(run.state() == v1::ToolState::Failed && run.reason.contains("private"), "{run:?}");
    assert!(service.asked().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failures_redirects_and_silence_are_told_and_the_call_goes_on() {
    let house = House::scripted_with(&OPEN, None).await;
    let gone = Service::answering(410, "text/plain", "the shop has closed").await;
    let elsewhere = Service::answering(302, "text/plain", "").await;
    let mute = Service::mute().await;
    let to = |service: &Service| format!("http://{}/", service.address);
    let hurried = v1::Tool {
        timeout: Some(prost_types::Duration { seconds: 0, nanos: 300_000_000 }),
        ..tools::http("wait", &to(&mute), json!({}))
    };
    let tools_ = vec![
        tools::http("gone", &to(&gone), json!({})),
        tools::http("moved", &to(&elsewhere), json!({})),
        hurried,
    ];
    let agent = house.hires(tools::agent(tools_)).await;
    let mut caller = Caller::dials(&house, typing_start(&agent)).await;
    let run = tools::run(&mut caller, "gone", json!({})).await;
    assert_eq!(run.reason, "the service answered 410: the shop has closed");
    let run = tools::run(&mut caller, "moved", json!({})).await;
    assert!(run.reason.contains("not followed"), "{run:?}");
    assert_eq!(elsewhere.asked().len(), 1);
    let run = tools::run(&mut caller, "wait", json!({})).await;
    assert_eq!(run.state(), v1::ToolState::TimedOut);
    assert!(tools::answer(&mut caller, "are you there").await.contains("are you there"));
    caller.controls(v1::session_control::Control::End(v1::End {}));
    caller.ends(SOON).await.1.expect("an end that was asked for is no error");
    let call = house.ended_call(&caller.ready.call).await;
    let states: Vec<v1::ToolState> = call.tool_invocations.iter().map(|run| run.state()).collect();
    assert_eq!(states, [v1::ToolState::Failed, v1::ToolState::Failed, v1::ToolState::TimedOut]);
    house.is_empty().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_test_of_an_agent_runs_its_tools_only_when_that_is_asked_for() {
    let house = House::scripted_with(&OPEN, None).await;
    let service = Service::answering(200, "application/json", r#"{"real": true}"#).await;
    let tool = tools::http("ask", &format!("http://{}/", service.address), json!({"a": {"type": "integer"}}));
    let agent = house.hires(tools::agent(vec![tool])).await;
    for (run_tools, given) in [(false, json!({"a": 1})), (true, json!({"real": true}))] {
        let request = v1::TestAgentRequest {
            target: Some(v1::test_agent_request::Target::Agent(agent.clone())),
            messages: vec![r#"@tool ask {"a": 1}"#.into()],
            run_tools,
            ..Default::default()
        };
        let mut told = house.client.agents().test_agent(request).await.expect("it is valid").into_inner();
        let mut runs = Vec::new();
        while let Some(event) = told.message().await.expect("it goes well") {
            if let Some(v1::test_agent_response::Event::Tool(run)) = event.event {
                runs.push((run.ran, tools::json_of(&run.result)));
            }
        }
        assert_eq!(runs, [(run_tools, given)]);
        assert_eq!(service.asked().len(), usize::from(run_tools));
    }
}
