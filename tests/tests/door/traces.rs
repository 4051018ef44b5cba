//! Spans as a collector gets them: real protobuf over real HTTP, one tree a call, and no call held up without one.

use std::collections::BTreeMap;
use std::time::Duration;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use parlance_proto::v1;
use parlance_tests::caller::typing_start;
use parlance_tests::{Caller, House, agents};
use prost::Message;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

const SOON: Duration = Duration::from_secs(20);

/// A collector in a few lines: takes each request whole and decodes it.
struct Collector {
    address: String,
    requests: mpsc::UnboundedReceiver<(String, ExportTraceServiceRequest)>,
}

impl Collector {
    async fn opens() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = format!("http://{}", listener.local_addr().expect("it is bound"));
        let (sender, requests) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                if sender.send(take(stream).await).is_err() {
                    return;
                }
            }
        });
        Self { address, requests }
    }

    /// Spans by name until there is a root, and what was said of the service.
    async fn tree(&mut self) -> (Vec<Span>, BTreeMap<String, String>) {
        let mut spans: Vec<Span> = Vec::new();
        let mut about = BTreeMap::new();
        while !spans.iter().any(|span| span.parent_span_id.is_empty()) {
            let next = tokio::time::timeout(SOON, self.requests.recv()).await;
            let (head, request) = next.expect("the root comes soon").expect("the collector lives");
            assert!(head.starts_with("POST /v1/traces HTTP/1.1"), "{head}");
            assert!(head.contains("content-type: application/x-protobuf"), "{head}");
            assert!(head.contains("x-team: voice"), "{head}");
            for resource in request.resource_spans {
                let attributes = resource.resource.expect("it says whose they are").attributes;
                about.extend(attributes.into_iter().map(|pair| (pair.key, text(pair.value))));
                spans.extend(resource.scope_spans.into_iter().flat_map(|scope| scope.spans));
            }
        }
        (spans, about)
    }
}

fn text(value: Option<opentelemetry_proto::tonic::common::v1::AnyValue>) -> String {
    match value.and_then(|value| value.value) {
        Some(Value::StringValue(text)) => text,
        other => panic!("{other:?} is no text"),
    }
}

async fn take(mut stream: TcpStream) -> (String, ExportTraceServiceRequest) {
    let mut bytes = Vec::new();
    let (head, from) = loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break (
                String::from_utf8_lossy(&bytes[..end]).to_lowercase().replacen("post", "POST", 1),
                end + 4,
            );
        }
        assert!(stream.read_buf(&mut bytes).await.expect("it can be read") > 0, "a request has a head");
    };
    let head = head.replacen("http/1.1", "HTTP/1.1", 1);
    let length =
        head.lines().find_map(|line| line.strip_prefix("content-length: ")).expect("it has a length");
    let length: usize = length.parse().expect("a number");
    while bytes.len() < from + length {
        assert!(
            stream.read_buf(&mut bytes).await.expect("it can be read") > 0,
            "the body is as long as it says"
        );
    }
    let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    stream.write_all(answer).await.expect("it takes an answer");
    let request = ExportTraceServiceRequest::decode(&bytes[from..from + length]).expect("it is OTLP");
    (head, request)
}

/// One typed turn, then the client's end; the call's id and when it was.
async fn one_turn(house: &House) -> (uuid_bytes::Id, [u64; 2]) {
    let now = || u64::try_from(jiff::Timestamp::now().as_nanosecond()).expect("after 1970");
    let before = now();
    let agent = house.hires(agents::echo("Hello")).await;
    let mut caller = Caller::dials(house, typing_start(&agent)).await;
    caller.agent_finishes().await;
    caller.types("what goes in comes out");
    caller.agent_finishes().await;
    caller.controls(v1::session_control::Control::End(v1::End {}));
    let call = caller.ready.call.clone();
    caller.ends(SOON).await.1.expect("an end that was asked for is no error");
    (uuid_bytes::of(&call), [before, now()])
}

/// The id of a call as a trace has it.
mod uuid_bytes {
    pub type Id = Vec<u8>;

    pub fn of(call: &str) -> Id {
        let hex = call.trim_start_matches("calls/").replace('-', "");
        let pairs = hex.as_bytes().chunks(2);
        pairs
            .map(|pair| {
                let pair = std::str::from_utf8(pair).expect("hex is ASCII");
                u8::from_str_radix(pair, 16).expect("an id is hex")
            })
            .collect()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_gets_a_tree_for_each_call_whose_id_is_the_calls_and_whose_times_are_the_waterfalls() {
    let mut collector = Collector::opens().await;
    let address = collector.address.clone() + "/";
    let flags = ["--otlp-endpoint", &address, "--otlp-headers", "x-team=voice"];
    let house = House::scripted_with(&flags, None).await;
    let (call, [before, after]) = one_turn(&house).await;
    let (spans, about) = collector.tree().await;

    assert_eq!(
        (about["service.name"].as_str(), about["service.instance.id"].is_empty()),
        ("parlance", false)
    );
    assert!(spans.iter().all(|span| span.trace_id == call), "the trace's id is the call's");
    let named = |name: &str| {
        let found: Vec<&Span> = spans.iter().filter(|span| span.name == name).collect();
        assert_eq!(
            found.len(),
            1,
            "`{name}` in {:?}",
            spans.iter().map(|span| &span.name).collect::<Vec<_>>()
        );
        found[0]
    };
    let (root, turn) = (named("call"), named("turn"));
    assert_eq!(turn.parent_span_id, root.span_id);
    let steps = ["first text", "first clause", "first audio", "first frame out", "heard"].map(named);
    for step in [&steps[..], &[named("endpointing wait")]].concat() {
        assert_eq!(step.parent_span_id, turn.span_id, "{}", step.name);
        assert!(step.start_time_unix_nano >= turn.start_time_unix_nano, "{}", step.name);
        assert!(step.end_time_unix_nano <= turn.end_time_unix_nano, "{}", step.name);
    }
    assert!(before <= root.start_time_unix_nano && root.end_time_unix_nano <= after, "{root:?}");
    let between = |span: &Span| span.end_time_unix_nano - span.start_time_unix_nano;
    assert!(between(turn) <= between(root));

    let name = format!("calls/{}", hex(&call));
    let told = house.transcript(&name).await.events;
    let waterfall = told.into_iter().find_map(|event| match event.event {
        Some(v1::call_event::Event::Waterfall(times)) => Some(times),
        _ => None,
    });
    let times = waterfall.expect("the turn was answered");
    let since_call = |at: u64| at - root.start_time_unix_nano;
    for (step, at) in steps.iter().zip([
        times.first_text,
        times.first_segment,
        times.first_audio,
        times.first_frame,
        times.heard,
    ]) {
        let at = at.expect("it happened");
        let at = at.seconds as u64 * 1_000_000_000 + at.nanos as u64;
        assert_eq!(since_call(step.end_time_unix_nano), at, "{} as the journal has it", step.name);
    }
}

fn hex(id: &[u8]) -> String {
    let hex: String = id.iter().map(|byte| format!("{byte:02x}")).collect();
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_that_is_away_costs_spans_that_are_counted_and_no_call() {
    // Port 1 is closed.
    let house = House::scripted_with(&["--otlp-endpoint", "http://127.0.0.1:1"], None).await;
    one_turn(&house).await;
    house.is_empty().await;
    let give_up = tokio::time::Instant::now() + SOON;
    while house.running.engine.backlog().spans_dropped < 2 {
        assert!(tokio::time::Instant::now() < give_up, "lost spans are counted");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(house.running.engine.backlog().spans_sent, 0);
}
