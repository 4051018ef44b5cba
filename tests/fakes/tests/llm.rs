//! The stand-ins for language models: what the tests ask them and how they read the answer.

mod answers;
mod clients;
mod faults;
mod tools;

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use parlance_fakes::{Fakes, Seen, Service};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Longer than anything takes that ends.
const ENDS: Duration = Duration::from_secs(20);
/// Long enough to see that nothing comes.
const NOTHING: Duration = Duration::from_millis(300);

const VENDORS: [Vendor; 4] = [
    Vendor { service: Service::OpenaiChat, path: "/openai/v1/chat/completions" },
    Vendor { service: Service::OpenaiResponses, path: "/openai/v1/responses" },
    Vendor { service: Service::GeminiStream, path: "/gemini/v1beta/models/m:streamGenerateContent?alt=sse" },
    Vendor { service: Service::AnthropicMessages, path: "/anthropic/v1/messages" },
];

/// A vendor's protocol, as far as all tests need it.
#[derive(Clone, Copy)]
struct Vendor {
    service: Service,
    path: &'static str,
}

impl Vendor {
    /// A request with a conversation of `role: text`, and these tools offered.
    fn body(&self, said: &[(&str, &str)], tools: &[&str]) -> Value {
        let schema = json!({"type": "object", "properties": {}});
        let messages =
            || -> Value { said.iter().map(|(role, text)| json!({"role": role, "content": text})).collect() };
        match self.service {
            Service::OpenaiChat => {
                let tool = |name: &&str| json!({"type": "function", "function": {"name": name, "parameters": schema}});
                json!({"model": "m", "stream": true, "stream_options": {"include_usage": true}, "messages": messages(),
                    "tools": tools.iter().map(tool).collect::<Value>(), "a_field_of_tomorrow": 1})
            }
            Service::OpenaiResponses => {
                let tool = |name: &&str| json!({"type": "function", "name": name, "parameters": schema});
                json!({"model": "m", "stream": true, "input": messages(), "a_field_of_tomorrow": 1,
                    "tools": tools.iter().map(tool).collect::<Value>()})
            }
            Service::AnthropicMessages => {
                let tool = |name: &&str| json!({"name": name, "input_schema": schema});
                json!({"model": "m", "stream": true, "max_tokens": 1_000, "messages": messages(),
                    "tools": tools.iter().map(tool).collect::<Value>(), "a_field_of_tomorrow": 1})
            }
            _ => {
                let role = |role: &str| if role == "assistant" { "model" } else { "user" };
                let content =
                    |(by, text): &(&str, &str)| json!({"role": role(by), "parts": [{"text": text}]});
                let (system, rest): (Vec<_>, Vec<_>) = said.iter().partition(|(role, _)| *role == "system");
                let parts: Value = system.iter().map(|(_, text)| json!({"text": text})).collect();
                json!({"systemInstruction": {"parts": parts}, "a_field_of_tomorrow": 1,
                    "contents": rest.iter().map(content).collect::<Value>(),
                    "tools": [{"functionDeclarations": tools.iter().map(|name| json!({"name": name})).collect::<Value>()}]})
            }
        }
    }

    /// What a user says, with nothing before it.
    fn hello(&self) -> Value {
        self.body(&[("user", "hello")], &[])
    }

    async fn ask(&self, fakes: &Fakes, body: &Value) -> Response<Incoming> {
        self.ask_with(fakes, "a-key", self.path, body.to_string()).await
    }

    async fn ask_with(&self, fakes: &Fakes, key: &str, path: &str, body: String) -> Response<Incoming> {
        let request = Request::post(path)
            .header("host", fakes.address().to_string())
            .header("content-type", "application/json")
            .header("anthropic-version", "2026-10-21");
        let request = match self.service {
            Service::GeminiStream => request.header("x-goog-api-key", key),
            Service::AnthropicMessages => request.header("x-api-key", key),
            _ => request.header("authorization", format!("Bearer {key}")),
        };
        send(fakes, request.body(Full::from(body)).expect("a request")).await
    }

    /// The status and the body of what is not a stream.
    async fn refused(&self, fakes: &Fakes, body: &Value) -> (StatusCode, Value) {
        let response = self.ask(fakes, body).await;
        let status = response.status();
        let body =
            timeout(ENDS, response.into_body().collect()).await.expect("it ends").expect("whole").to_bytes();
        (status, serde_json::from_slice(&body).expect("JSON"))
    }

    /// The words of the event, if it is of text.
    fn words(&self, event: &Value) -> Option<String> {
        let text = match self.service {
            Service::OpenaiChat => &event["choices"][0]["delta"]["content"],
            Service::OpenaiResponses if event["type"] == "response.output_text.delta" => &event["delta"],
            Service::OpenaiResponses => return None,
            Service::AnthropicMessages => &event["delta"]["text"],
            _ => &event["candidates"][0]["content"]["parts"][0]["text"],
        };
        text.as_str().filter(|text| !text.is_empty()).map(str::to_owned)
    }

    fn gone(&self, fakes: &Fakes) -> bool {
        fakes.seen(self.service).iter().any(|seen| seen.what == "gone")
    }
}

async fn send(fakes: &Fakes, request: Request<Full<Bytes>>) -> Response<Incoming> {
    let stream = TcpStream::connect(fakes.address()).await.expect("the fakes listen");
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.expect("HTTP");
    tokio::spawn(connection);
    timeout(ENDS, sender.send_request(request)).await.expect("an answer").expect("HTTP")
}

/// A body as it comes.
struct Reading {
    body: Incoming,
    text: Vec<u8>,
    pieces: Vec<usize>,
}

/// How a body ended.
#[derive(Debug, PartialEq)]
enum End {
    InOrder,
    Cut,
}

impl Reading {
    fn of(response: Response<Incoming>) -> Self {
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream; charset=utf-8");
        Self { body: response.into_body(), text: Vec::new(), pieces: Vec::new() }
    }

    /// One more piece, or how it ended.
    async fn piece(&mut self) -> Option<End> {
        match self.body.frame().await {
            Some(Ok(frame)) => {
                let piece = frame.into_data().expect("no trailers");
                self.text.extend_from_slice(&piece);
                self.pieces.push(piece.len());
                None
            }
            Some(Err(_)) => Some(End::Cut),
            None => Some(End::InOrder),
        }
    }

    async fn read_to_end(&mut self) -> End {
        let all = async {
            loop {
                if let Some(end) = self.piece().await {
                    return end;
                }
            }
        };
        timeout(ENDS, all).await.expect("the body ends")
    }

    /// Until so many words came.
    async fn read_words(&mut self, vendor: &Vendor, count: usize) {
        let some = async {
            while self.words(vendor).len() < count {
                assert_eq!(self.piece().await, None, "the body ended before");
            }
        };
        timeout(ENDS, some).await.expect("the words come");
    }

    /// Nothing more comes, and the body does not end.
    async fn stands_still(&mut self) {
        let more = timeout(NOTHING, self.piece()).await;
        assert!(more.is_err(), "{more:?} {}", String::from_utf8_lossy(&self.text));
    }

    /// The data of every event so far; what is not JSON is a string.
    fn events(&self) -> Vec<Value> {
        let text = String::from_utf8_lossy(&self.text).replace("\r\n", "\n");
        let whole = text.rsplit_once("\n\n").map_or("", |(whole, _)| whole);
        let data = whole.lines().filter_map(|line| line.strip_prefix("data: "));
        data.map(|data| serde_json::from_str(data).unwrap_or_else(|_| data.into())).collect()
    }

    fn words(&self, vendor: &Vendor) -> Vec<String> {
        self.events().iter().filter_map(|event| vendor.words(event)).collect()
    }
}

/// All of an answer.
async fn answer(fakes: &Fakes, vendor: &Vendor, body: &Value) -> Reading {
    let mut reading = Reading::of(vendor.ask(fakes, body).await);
    assert_eq!(reading.read_to_end().await, End::InOrder);
    reading
}

/// Something is seen, soon.
async fn until(what: impl Fn() -> bool) {
    let seen = async {
        while !what() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(ENDS, seen).await.expect("it is seen");
}

fn of(seen: &[Seen], what: &str) -> Vec<String> {
    seen.iter().filter(|seen| seen.what == what).map(|seen| seen.detail.clone()).collect()
}
