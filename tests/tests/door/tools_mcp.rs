//! Tools of MCP servers: a server by the protocol's own Python SDK, run as a process.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use parlance_proto::v1;
use parlance_tests::caller::typing_start;
use parlance_tests::service::Service;
use parlance_tests::{Caller, House, tools};
use serde_json::json;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::{Instant, timeout};

/// The first run of the suite fetches the SDK.
const INSTALLED: Duration = Duration::from_secs(1_200);
const BEGUN: Duration = Duration::from_secs(60);
const OPEN: [&str; 3] = ["--tool-plain-http", "--tool-private-addresses", "127.0.0.0/8"];

/// The server of `tests/fakes/python/mcp_server.py`, which wants this key. It ends with the value.
struct Menu {
    process: Child,
    url: String,
}

impl Menu {
    async fn open(key: &str) -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let install = Command::new(root.join("scripts/python-clients.sh")).status();
        let installed = timeout(INSTALLED, install).await.expect("it ends").expect("it starts");
        assert!(installed.success(), "the Python SDK could not be installed");
        let mut process = Command::new(root.join("target/python-clients/bin/python"))
            .arg(root.join("tests/fakes/python/mcp_server.py"))
            .arg(key)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("it starts");
        let mut said = BufReader::new(process.stdout.take().expect("it is piped"));
        let mut port = String::new();
        let told = timeout(BEGUN, said.read_line(&mut port)).await.expect("it begins soon");
        told.expect("it tells its port");
        Self { process, url: format!("http://127.0.0.1:{}/mcp", port.trim()) }
    }
}

fn server(name: &str, url: &str, key: &str) -> v1::McpServer {
    let headers = [("Authorization".to_owned(), format!("Bearer {key}"))].into();
    v1::McpServer { name: name.into(), url: url.into(), headers, ..Default::default() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_tools_of_a_server_are_the_agents_by_its_name_and_run_there() {
    let menu = Menu::open("sesame").await;
    let house = House::scripted_with(&OPEN, None).await;
    let mcp_servers = vec![server("menu", &menu.url, "sesame")];
    let agent = house.hires(v1::Agent { mcp_servers, ..tools::agent(Vec::new()) }).await;
    let mut caller = Caller::dials(&house, typing_start(&agent)).await;
    let told = tools::answer(&mut caller, "@tools").await;
    for name in ["price", "greet", "fail"] {
        assert!(told.contains("menu") && told.contains(name), "{told}");
    }
    let run = tools::run(&mut caller, "menu__price", json!({"dish": "soup", "guests": "3"})).await;
    assert_eq!(tools::json_of(&run.result)["price"], json!(21), "{run:?}");
    let run = tools::run(&mut caller, "menu__greet", json!({"name": "Ada"})).await;
    assert!(tools::json_of(&run.result).to_string().contains("Hello Ada"), "{run:?}");
    let run = tools::run(&mut caller, "menu__fail", json!({})).await;
    assert!(run.state() == v1::ToolState::Failed && run.reason.contains("kitchen is closed"), "{run:?}");
    let run = tools::run(&mut caller, "menu__price", json!({"guests": 3})).await;
    assert_eq!(run.reason, "not run: `dish` is missing");
    drop(menu.process);
    let run = tools::run(&mut caller, "menu__greet", json!({"name": "Ada"})).await;
    assert!(run.state() != v1::ToolState::Succeeded, "{run:?}");
    let answer = tools::answer(&mut caller, "go on").await;
    assert!(answer.contains("go on"), "{answer}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_the_tools_that_are_allowed_are_offered_and_a_wrong_key_offers_none() {
    let menu = Menu::open("sesame").await;
    let house = House::scripted_with(&OPEN, None).await;
    let some = v1::McpServer { allowed_tools: vec!["greet".into()], ..server("some", &menu.url, "sesame") };
    let mcp_servers = vec![some, server("none", &menu.url, "wrong")];
    let agent = house.hires(v1::Agent { mcp_servers, ..tools::agent(Vec::new()) }).await;
    let mut caller = Caller::dials(&house, typing_start(&agent)).await;
    let told = tools::answer(&mut caller, "@tools").await;
    assert!(told.contains("greet") && !told.contains("price") && !told.contains("none"), "{told}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_does_not_answer_costs_a_call_three_seconds_once_and_its_tools() {
    let mute = Service::mute().await;
    let house = House::scripted_with(&OPEN, None).await;
    let mcp_servers = vec![server("mute", &format!("http://{}/mcp", mute.address), "sesame")];
    let agent = house.hires(v1::Agent { mcp_servers, ..tools::agent(Vec::new()) }).await;
    let began = Instant::now();
    let mut caller = Caller::dials(&house, typing_start(&agent)).await;
    assert!(began.elapsed() >= Duration::from_secs(3), "it is waited for");
    assert_eq!(tools::answer(&mut caller, "@tools").await, "Tools: .");
    let asked = mute.asked().len();
    Caller::dials(&house, typing_start(&agent)).await;
    assert_eq!(mute.asked().len(), asked, "it is left alone for a while");
}
