//! What probes and scrapers get from the port of the API, without a key.

use std::net::SocketAddr;
use std::time::Duration;

use clap::Parser;
use parlance::config::Config;
use parlance::serve;
use parlance_proto::v1;
use parlance_tests::caller::typing_start;
use parlance_tests::{Caller, House, agents, database};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const SOON: Duration = Duration::from_secs(20);

#[derive(Parser)]
struct Flags {
    #[command(flatten)]
    config: Config,
}

/// An answer in plain HTTP.
struct Answer {
    code: u16,
    text: String,
}

impl Answer {
    fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error} in {}", self.text))
    }

    /// The value of a metric, by its name with labels.
    #[track_caller]
    fn metric(&self, name: &str) -> f64 {
        let value = self.text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        let value = value.unwrap_or_else(|| panic!("no {name} in\n{}", self.text));
        value.parse().unwrap_or_else(|error| panic!("{name} is `{value}`: {error}"))
    }
}

async fn get(house: &House, path: &str) -> Answer {
    get_from(house.running.address, path).await
}

async fn get_from(address: SocketAddr, path: &str) -> Answer {
    let mut stream = TcpStream::connect(address).await.expect("the engine listens");
    let request = format!("GET {path} HTTP/1.1\r\nhost: engine\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("it takes a request");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("it answers in text");
    let (head, text) = answer.split_once("\r\n\r\n").expect("a head, then the text");
    let code = head.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status line");
    Answer { code, text: text.to_owned() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn health_and_readiness_are_told_to_probes_that_have_no_key() {
    let house = House::scripted().await;
    let health = get(&house, "/health").await;
    assert_eq!((health.code, &health.json()["status"]), (200, &"ok".into()));
    let instance = &house.running.engine.instance;
    assert_eq!(health.json()["instance"], instance.as_str());
    assert_eq!(get(&house, "/health?nonce=a-1").await.json()["nonce"], "a-1");
    let odd = get(&house, "/health?nonce=%3Cscript%3E").await;
    assert_eq!((odd.code, odd.json().get("nonce")), (200, None), "only what is surely harmless is repeated");
    let ready = get(&house, "/ready").await;
    let told = ready.json();
    assert_eq!((ready.code, &told["status"], &told["database"]), (200, &"ready".into(), &"ok".into()));
    assert!(told["providers"]["stt"].is_string(), "{told}");
    assert_eq!(told["load"]["calls_live"], 0);
    assert_eq!(get(&house, "/healthz").await.code, 404);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_engine_that_takes_no_more_calls_is_alive_but_not_ready() {
    let house = House::scripted().await;
    house.running.engine.refuse_calls();
    let ready = get(&house, "/ready").await;
    assert_eq!((ready.code, &ready.json()["status"]), (503, &"draining".into()));
    assert_eq!(get(&house, "/health").await.code, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_engine_without_its_database_is_alive_but_not_ready() {
    let folder = database::new_folder();
    let folder_name = folder.to_str().expect("temporary folders are named in UTF-8");
    // No --database-url: a Postgres that no other test needs.
    let flags =
        ["test", "--host", "127.0.0.1", "--port", "0", "--providers", "script", "--data-dir", folder_name];
    let running = match serve::start(Flags::parse_from(flags).config).await {
        Ok(running) => running,
        Err(error) => panic!("this test needs an engine, which could not {error}"),
    };
    assert_eq!(get_from(running.address, "/ready").await.code, 200);
    running.engine.store.close().await.expect("its Postgres stops");
    let ready = get_from(running.address, "/ready").await;
    let told = ready.json();
    assert_eq!((ready.code, &told["status"]), (503, &"database_away".into()));
    assert_eq!(told["database"], "away");
    assert_eq!(get_from(running.address, "/health").await.code, 200);
    running.stop(Duration::ZERO, std::future::pending()).await.expect("nothing was left to write");
    std::fs::remove_dir_all(&folder).expect("the folder is the test's own");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_shows_in_the_metrics_and_never_by_name() {
    let house = House::scripted().await;
    let agent = house.hires(agents::echo("Hello")).await;
    let mut caller = Caller::dials(&house, typing_start(&agent)).await;
    caller.agent_finishes().await;
    caller.types("what goes in comes out");
    caller.agent_finishes().await;
    let during = get(&house, "/metrics").await;
    assert_eq!(
        (during.metric("parlance_calls_live"), during.metric("parlance_calls_started_total")),
        (1.0, 1.0)
    );
    assert_eq!(get(&house, "/ready").await.json()["load"]["calls_live"], 1);
    caller.controls(v1::session_control::Control::End(v1::End {}));
    caller.ends(SOON).await.1.expect("an end that was asked for is no error");
    let call = caller.ready.call.clone();
    house.is_empty().await;
    let after = get(&house, "/metrics").await;
    assert_eq!(after.metric("parlance_calls_live"), 0.0);
    assert_eq!(after.metric("parlance_calls_ended_total{reason=\"client_ended\"}"), 1.0);
    assert_eq!(after.metric("parlance_calls_ended_total{reason=\"silence\"}"), 0.0);
    assert_eq!(after.metric("parlance_turns_total"), 1.0);
    assert_eq!(after.metric("parlance_engine_share_seconds_count"), 1.0);
    assert_eq!(after.metric("parlance_turn_seconds_bucket{le=\"+Inf\"}"), 1.0);
    assert_eq!(after.metric("parlance_journal_entries_waiting"), 0.0, "a closed call is written");
    assert_eq!(after.metric("parlance_journal_entries_lost_total"), 0.0);
    assert_eq!(after.metric("parlance_recording_blocks_lost_total"), 0.0);
    let id = call.trim_start_matches("calls/");
    assert!(!after.text.contains(id), "{}", after.text);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_guide_names_every_metric_with_its_kind_and_no_other() {
    let house = House::scripted().await;
    let page = get(&house, "/metrics").await.text;
    let printed = page.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    let guide = include_str!("../../../docs/operating.md");
    let told = guide.lines().filter_map(|line| line.strip_prefix("| `parlance_")?.split_once("` | "));
    let told = told.filter_map(|(name, rest)| Some((format!("parlance_{name}"), rest.split_once(" | ")?.0)));
    let told: std::collections::BTreeMap<String, &str> = told.collect();
    let printed = printed.map(|(name, kind)| (name.to_owned(), kind));
    assert_eq!(told, printed.collect());
}
