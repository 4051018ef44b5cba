//! The program `parlance-fakes`: its flags, what it prints, its control route.

use std::collections::HashMap;
use std::process::Stdio;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper_util::rt::TokioIo;
use parlance_fakes::{Fault, Plan, Service};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::time::timeout;

const ENDS: Duration = Duration::from_secs(20);

/// A running program with what it printed.
struct Program {
    /// Ends with this.
    _child: Child,
    address: String,
    variables: HashMap<String, String>,
}

fn command(flags: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_parlance-fakes"));
    command.args(flags).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    command
}

impl Program {
    async fn start(flags: &[&str]) -> Self {
        let mut child = command(&[&["--port", "0"], flags].concat()).spawn().expect("it starts");
        let mut lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
        let mut printed = Vec::new();
        while printed.len() < 13 {
            let line = timeout(ENDS, lines.next_line()).await.expect("it prints").expect("text");
            printed.push(line.expect("it goes on"));
        }
        let variables = printed[1..].iter().map(|line| line.split_once('=').expect("NAME=VALUE"));
        let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let address = printed[0].strip_prefix("# http://").expect("an address").to_owned();
        Self { _child: child, address, variables }
    }

    async fn send(&self, method: &str, path: &str, key: &str, body: &Value) -> (u16, String) {
        let stream = TcpStream::connect(&self.address).await.expect("it listens");
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.expect("HTTP");
        tokio::spawn(connection);
        let request = Request::builder().method(method).uri(path).header("host", &self.address);
        let request = request.header("content-type", "application/json").header("authorization", key);
        let request = request.body(Full::<Bytes>::from(body.to_string())).expect("a request");
        let response = timeout(ENDS, sender.send_request(request)).await.expect("an answer").expect("HTTP");
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.expect("whole").to_bytes();
        (status, String::from_utf8_lossy(&body).into_owned())
    }

    /// What the model says.
    async fn chat(&self) -> (u16, String) {
        let body = json!({"model": "m", "messages": [{"role": "user", "content": "hello"}]});
        let key = format!("Bearer {}", self.variables["OPENAI_API_KEY"]);
        let (status, body) = self.send("POST", "/openai/v1/chat/completions", &key, &body).await;
        let body: Value = serde_json::from_str(&body).expect("JSON");
        (status, body["choices"][0]["message"]["content"].as_str().unwrap_or_default().to_owned())
    }
}

#[tokio::test]
async fn it_prints_the_variables_that_lead_there() {
    let program = Program::start(&[]).await;
    let url = |path: &str| format!("http://{}/{path}", program.address);
    for (vendor, path) in [
        ("DEEPGRAM", "deepgram"),
        ("OPENAI", "openai/v1"),
        ("ELEVENLABS", "elevenlabs"),
        ("GEMINI", "gemini"),
        ("ANTHROPIC", "anthropic"),
        ("CARTESIA", "cartesia"),
    ] {
        assert_eq!(program.variables[&format!("{vendor}_BASE_URL")], url(path));
        assert!(program.variables.contains_key(&format!("{vendor}_API_KEY")));
    }
    assert_eq!(program.chat().await, (200, "You said: hello".into()));
}

#[tokio::test]
async fn it_does_what_its_flags_and_then_what_the_control_route_say() {
    let chat = r#"openai_chat={"lines": ["by flag"], "fault": {"fault": "quota"}, "times": 1}"#;
    let program =
        Program::start(&["--plan", chat, "--plan", r#"anthropic_messages={}"#, "--seed", "7"]).await;
    assert_eq!(program.chat().await.0, 429);
    assert_eq!(program.chat().await, (200, "by flag".into()));

    let wanted = json!({"service": "openai_chat", "lines": ["by route"]});
    assert_eq!(program.send("POST", "/control/plan", "", &wanted).await.0, 200);
    assert_eq!(program.chat().await, (200, "by route".into()));
    let fault = json!({"service": "openai_chat", "fault": {"fault": "server_error"}});
    assert_eq!(program.send("POST", "/control/plan", "", &fault).await.0, 200);
    assert_eq!(program.chat().await.0, 500);
    for wrong in [json!({"service": "no_such"}), json!({"service": "openai_chat", "interval": 3}), json!([])]
    {
        assert_eq!(program.send("POST", "/control/plan", "", &wrong).await.0, 400, "{wrong}");
    }
    assert_eq!(program.chat().await.0, 500, "a wrong plan changes nothing");

    let (_, seen) = program.send("GET", "/control/seen?service=openai_chat", "", &Value::Null).await;
    let seen: Vec<Value> = serde_json::from_str(&seen).expect("JSON");
    let opened: Vec<_> = seen.iter().filter(|seen| seen["what"] == "open").collect();
    assert_eq!(opened.len(), 5);
    assert_eq!(opened[4]["connection"], 5);
    let (_, sent) = program.send("GET", "/control/sent?service=openai_chat", "", &Value::Null).await;
    let sent: Value = serde_json::from_str(&sent).expect("JSON");
    let first = &sent["sent"][0];
    assert_eq!(first["is_first"], true, "{sent}");
    let times = [&first["asked_us"], &first["sent_us"], &sent["now_us"]].map(|time| time.as_u64());
    assert!(times.iter().all(Option::is_some) && times.is_sorted(), "{times:?}");
}

#[tokio::test]
async fn its_delays_are_those_of_its_seed() {
    let hour = Plan { jitter_ms: 3_600_000, ..Plan::default() };
    let delay = |seed: u64| Plan { seed, ..hour.clone() }.first(1, 0);
    let quick = (1..).find(|seed| delay(*seed) < Duration::from_secs(1)).expect("there is one");
    let slow = (1..).find(|seed| delay(*seed) > Duration::from_secs(60)).expect("there is one");
    for (seed, answers) in [(quick, true), (slow, false)] {
        let flags = ["--plan", r#"openai_chat={"jitter_ms": 3600000}"#, "--seed", &seed.to_string()];
        let program = Program::start(&flags).await;
        let within = if answers { ENDS } else { Duration::from_secs(2) };
        assert_eq!(timeout(within, program.chat()).await.is_ok(), answers);
    }
}

#[tokio::test]
async fn it_refuses_plans_that_it_can_not_follow_and_says_why() {
    for (plan, why) in [
        ("openai_chat", "SERVICE=JSON"),
        ("no_such={}", "no service `no_such`"),
        ("openai_chat={", "no plan"),
        (r#"openai_chat={"fault": {"fault": "no_such"}}"#, "no_such"),
        (r#"openai_chat={"interval": 3}"#, "interval"),
    ] {
        let output =
            timeout(ENDS, command(&["--plan", plan]).output()).await.expect("it ends").expect("it starts");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && said.contains(why), "{plan}: {said}");
    }
}

#[tokio::test]
async fn its_help_names_every_service_and_every_fault() {
    let output = timeout(ENDS, command(&["--help"]).output()).await.expect("it ends").expect("it starts");
    let help = String::from_utf8_lossy(&output.stdout);
    let of_service = serde_json::from_str::<Service>(r#""none""#).expect_err("there is none").to_string();
    let of_fault =
        serde_json::from_str::<Fault>(r#"{"fault": "none"}"#).expect_err("there is none").to_string();
    // serde names them all, in backticks, behind the one that it does not know.
    let names: Vec<_> =
        [&of_service, &of_fault].into_iter().flat_map(|text| text.split('`').skip(3).step_by(2)).collect();
    assert!(names.contains(&"cartesia_stt") && names.contains(&"fragment"), "{names:?}");
    for name in names.into_iter().chain(["--port", "--plan", "--seed", "/control/seen"]) {
        assert!(help.contains(name), "{name} is not in the help");
    }
}
