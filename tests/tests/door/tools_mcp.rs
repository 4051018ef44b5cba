//! Tools of MCP servers: a server by the protocol's own Python SDK, run as a process.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use std::{env, fs};

use parlance_proto::v1;
use parlance_tests::caller::typing_start;
use parlance_tests::service::Service;
use parlance_tests::{Caller, House, tools};
use serde_json::json;
use tokio::io::{AsyncBufReadExt, BufReader, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

/// The first run of the suite fetches the SDK.
const INSTALLED: Duration = Duration::from_secs(1_200);
const BEGUN: Duration = Duration::from_secs(60);
const SOON: Duration = Duration::from_secs(20);
const OPEN: [&str; 3] = ["--tool-plain-http", "--tool-private-addresses", "127.0.0.0/8"];

/// The server of `tests/fakes/python/mcp_server.py`, which wants this key, behind an address that stays when the process
/// ends and another takes its place. It ends with the value.
struct Menu {
    process: Child,
    key: &'static str,
    folder: PathBuf,
    relay: Relay,
    url: String,
}

impl Menu {
    async fn open(key: &'static str) -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let install = Command::new(root.join("scripts/python-clients.sh")).status();
        let installed = timeout(INSTALLED, install).await.expect("it ends").expect("it starts");
        assert!(installed.success(), "the Python SDK could not be installed");
        let relay = Relay::open().await;
        let url = format!("http://{}/mcp", relay.address);
        let folder = env::temp_dir().join(format!("parlance-menu-{}", relay.address.port()));
        fs::create_dir_all(&folder).expect("there is room");
        let (process, port) = Self::starts(key, &folder).await;
        relay.leads_to(port);
        Self { process, key, folder, relay, url }
    }

    /// A process, and its port.
    async fn starts(key: &str, folder: &Path) -> (Child, u16) {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let mut process = Command::new(root.join("target/python-clients/bin/python"))
            .arg(root.join("tests/fakes/python/mcp_server.py"))
            .args([key.as_ref(), folder.as_os_str()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("it starts");
        let mut said = BufReader::new(process.stdout.take().expect("it is piped"));
        let mut port = String::new();
        let told = timeout(BEGUN, said.read_line(&mut port)).await.expect("it begins soon");
        told.expect("it tells its port");
        (process, port.trim().parse().expect("it is a port"))
    }

    /// Another process takes its place, and knows nothing of what the one before was asked.
    async fn restarts(&mut self) {
        let (next, port) = Self::starts(self.key, &self.folder).await;
        // In this order: what the one before was asked shall not be answered by it any more.
        self.relay.leads_to(port);
        let mut before = std::mem::replace(&mut self.process, next);
        before.kill().await.expect("it was there");
        self.holds(false);
    }

    /// Runs that begin do not end.
    fn holds(&self, hold: bool) {
        let file = self.folder.join("hold");
        if hold { fs::write(file, "").expect("there is room") } else { drop(fs::remove_file(file)) }
    }

    /// The next who wants a session gets no answer.
    fn is_mute_once(&self) {
        fs::write(self.folder.join("mute"), "").expect("there is room");
    }

    /// What was run, a word and a dish each.
    fn runs(&self) -> Vec<String> {
        let runs = fs::read_to_string(self.folder.join("runs")).unwrap_or_default();
        runs.lines().map(str::to_owned).collect()
    }

    /// Waits until so many runs have begun.
    async fn has_begun(&self, runs: usize) {
        let began = Instant::now();
        while self.runs().len() < runs {
            assert!(began.elapsed() < BEGUN, "it does not begin: {:?}", self.runs());
            sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Drop for Menu {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.folder).ok();
    }
}

/// A port that leads to another, which may change: what goes on over it then ends.
struct Relay {
    address: SocketAddr,
    to: watch::Sender<u16>,
    listens: JoinHandle<()>,
}

impl Relay {
    async fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let address = listener.local_addr().expect("it is bound");
        let (to, target) = watch::channel(0);
        let listens = tokio::spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                let mut target = target.clone();
                tokio::spawn(async move {
                    let port = *target.borrow_and_update();
                    let Ok(mut far) = TcpStream::connect(("127.0.0.1", port)).await else { return };
                    tokio::select! {
                        _ = copy_bidirectional(&mut near, &mut far) => {}
                        _ = target.changed() => {}
                    }
                });
            }
        });
        Self { address, to, listens }
    }

    /// Nobody listens from here on.
    async fn closes(&mut self) {
        self.listens.abort();
        (&mut self.listens).await.ok();
        self.leads_to(0);
    }

    fn leads_to(&self, port: u16) {
        self.to.send_replace(port);
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
    drop(menu);
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

/// Has the model ask for `tool`, and restarts the server when the run has begun there.
async fn broken_off(menu: &mut Menu, caller: &mut Caller, tool: &str) -> v1::ToolEvent {
    let (ended, begun) = (tools::ends(caller).len(), menu.runs().len());
    menu.holds(true);
    caller.agent_is_quiet().await;
    caller.types(&format!(r#"@tool {tool} {{"dish": "soup"}}"#));
    menu.has_begun(begun + 1).await;
    menu.restarts().await;
    caller.until("the end of the run", SOON, |caller| tools::ends(caller).len() > ended).await;
    tools::ends(caller).pop().expect("it has ended")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_a_restart_breaks_off_is_made_again_only_where_that_does_no_harm() {
    let mut menu = Menu::open("sesame").await;
    let house = House::scripted_with(&OPEN, None).await;
    let strict = v1::McpServer {
        effect: v1::ToolEffect::Effect.into(),
        // Another address for the engine, so that it has a session of its own.
        url: menu.url.replace("/mcp", "/mcp?strict"),
        ..server("strict", "", "sesame")
    };
    let mcp_servers = vec![server("menu", &menu.url, "sesame"), strict];
    let agent = house.hires(v1::Agent { mcp_servers, ..tools::agent(Vec::new()) }).await;
    let mut caller = Caller::dials(&house, typing_start(&agent)).await;

    let run = broken_off(&mut menu, &mut caller, "menu__look").await;
    assert_eq!(run.state(), v1::ToolState::Succeeded, "it only reads: {run:?}");
    assert_eq!(menu.runs(), ["look soup", "look soup"]);
    let run = broken_off(&mut menu, &mut caller, "menu__reserve").await;
    assert_eq!(run.state(), v1::ToolState::Succeeded, "twice is once: {run:?}");
    assert_eq!(menu.runs().len(), 4);
    let run = broken_off(&mut menu, &mut caller, "menu__order").await;
    assert_eq!(run.state(), v1::ToolState::TimedOut, "it may have been done: {run:?}");
    assert_eq!(menu.runs().len(), 5, "it is ordered once");
    let run = broken_off(&mut menu, &mut caller, "strict__look").await;
    assert_eq!(run.state(), v1::ToolState::TimedOut, "the agent's word goes before the server's: {run:?}");
    assert_eq!(menu.runs().len(), 6);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_the_server_has_lost_is_opened_anew_and_the_run_is_made_once() {
    let mut menu = Menu::open("sesame").await;
    let house = House::scripted_with(&OPEN, None).await;
    let mcp_servers = vec![server("menu", &menu.url, "sesame")];
    let agent = house.hires(v1::Agent { mcp_servers, ..tools::agent(Vec::new()) }).await;
    let mut caller = Caller::dials(&house, typing_start(&agent)).await;
    for times in 1..=2 {
        menu.restarts().await;
        let run = tools::run(&mut caller, "menu__order", json!({"dish": "soup"})).await;
        assert_eq!(run.state(), v1::ToolState::Succeeded, "{run:?}");
        assert_eq!(menu.runs().len(), times);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_says_nothing_when_a_session_is_opened_is_asked_again_and_the_run_is_made_once() {
    let mut menu = Menu::open("sesame").await;
    let house = House::scripted_with(&OPEN, None).await;
    let mcp_servers = vec![server("menu", &menu.url, "sesame")];
    let agent = house.hires(v1::Agent { mcp_servers, ..tools::agent(Vec::new()) }).await;
    let mut caller = Caller::dials(&house, typing_start(&agent)).await;
    menu.is_mute_once();
    menu.restarts().await;
    let run = tools::run(&mut caller, "menu__order", json!({"dish": "soup"})).await;
    assert_eq!(run.state(), v1::ToolState::Succeeded, "{run:?}");
    assert_eq!(menu.runs(), ["order soup"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_nobody_can_be_reached_a_run_has_failed_and_nothing_was_done() {
    let house = House::scripted_with(&OPEN, None).await;
    let mut menu = Menu::open("sesame").await;
    let mcp_servers = vec![server("menu", &menu.url, "sesame")];
    let agent = house.hires(v1::Agent { mcp_servers, ..tools::agent(Vec::new()) }).await;
    let mut caller = Caller::dials(&house, typing_start(&agent)).await;
    menu.relay.closes().await;
    let run = tools::run(&mut caller, "menu__order", json!({"dish": "soup"})).await;
    assert_eq!((run.state(), run.reason.as_str()), (v1::ToolState::Failed, "the server can't be reached"));
    assert!(menu.runs().is_empty());
}
