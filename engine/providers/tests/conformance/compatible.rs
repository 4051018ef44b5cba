//! What servers compatible with a vendor do that the vendor does not: parameters refused by name, answers that come
//! whole, streams without an end, connections that are kept or not. Each is a server of fixed answers.

use std::collections::BTreeSet;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use parlance_providers::account::{Account, Secret};
use parlance_providers::llm::{self, Event, LanguageModel, Message, Request, Role};
use parlance_providers::registry::Open;
use parlance_providers::{Error, ErrorKind};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::unbounded_channel;
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(20);
/// What ends a body in chunks.
const BODY_END: &str = "0\r\n\r\n";

/// A request that came.
#[derive(Debug, Clone)]
struct Came {
    /// Which connection it came on, from 0.
    connection: usize,
    /// Method, path and headers.
    head: String,
    body: Value,
}

/// A server that gives its answers in turn, whatever is asked.
struct Server {
    base: String,
    came: Arc<Mutex<Vec<Came>>>,
}

impl Server {
    async fn of(answers: &[String]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let answers: Arc<Mutex<VecDeque<String>>> = Arc::new(Mutex::new(answers.iter().cloned().collect()));
        let came = Arc::new(Mutex::new(Vec::new()));
        let noted = Arc::clone(&came);
        tokio::spawn(async move {
            for connection in 0.. {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(serve(connection, stream, Arc::clone(&answers), Arc::clone(&noted)));
            }
        });
        Self { base, came }
    }

    fn came(&self) -> Vec<Came> {
        self.came.lock().unwrap().clone()
    }

    fn bodies(&self) -> Vec<Value> {
        self.came().into_iter().map(|came| came.body).collect()
    }

    fn model(&self, name: &str, path: &str, key: &str) -> Arc<dyn LanguageModel> {
        let account = Account { key: Secret::new(key), base_url: Some(format!("{}{path}", self.base)) };
        let service = llm::SERVICES.iter().find(|service| service.name == name).unwrap();
        let Open::Llm(open) = service.open else { panic!("{name} is no language model") };
        open(&account).unwrap()
    }
}

async fn serve(
    connection: usize,
    stream: TcpStream,
    answers: Arc<Mutex<VecDeque<String>>>,
    came: Arc<Mutex<Vec<Came>>>,
) {
    let mut stream = BufReader::new(stream);
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if stream.read_line(&mut head).await.unwrap_or(0) == 0 {
                return;
            }
        }
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
        let mut body = vec![0; length.unwrap_or(0)];
        stream.read_exact(&mut body).await.unwrap();
        let body = serde_json::from_slice(&body).unwrap_or_default();
        came.lock().unwrap().push(Came { connection, head, body });
        let Some(answer) = answers.lock().unwrap().pop_front() else { return };
        let (now, later) =
            answer.split_at(answer.len() - if answer.ends_with(BODY_END) { BODY_END.len() } else { 0 });
        stream.write_all(now.as_bytes()).await.unwrap();
        if !later.is_empty() {
            // As over a network, in a packet of its own.
            tokio::time::sleep(Duration::from_millis(20)).await;
            stream.write_all(later.as_bytes()).await.unwrap();
        }
        if answer.contains("connection: close") {
            return;
        }
    }
}

fn answer(status: u16, content_type: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 {status} So\r\ncontent-type: {content_type}\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}

fn refusal(message: &str) -> String {
    answer(400, "application/json", &json!({"error": {"message": message}}).to_string())
}

/// In chunks, as servers stream: their body has an end of its own, after the last event.
fn stream(events: &[Value], end: &str) -> String {
    let events: String = events.iter().map(|event| format!("data: {event}\n\n")).collect();
    let body = events + end;
    format!(
        "HTTP/1.1 200 So\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n\
         {:x}\r\n{body}\r\n{BODY_END}",
        body.len()
    )
}

fn chunk(text: &str, reason: Option<&str>) -> Value {
    json!({"choices": [{"delta": {"content": text}, "finish_reason": reason}]})
}

fn hello() -> String {
    stream(&[chunk("Hello", None), chunk("", Some("stop"))], "data: [DONE]\n\n")
}

async fn ask(model: &dyn LanguageModel) -> Result<String, Error> {
    let (told, mut events) = unbounded_channel();
    let message = |role, text: &str| Message {
        role,
        text: text.to_owned(),
        tool_calls: Vec::new(),
        tool_call_id: None,
    };
    let request = Request {
        messages: vec![message(Role::System, "Brief."), message(Role::Caller, "Hi")],
        temperature: Some(0.5),
        max_tokens: Some(99),
        ..Request::default()
    };
    let _response = model.respond(request, Arc::new(move |event| drop(told.send(event))))?;
    let mut words = String::new();
    loop {
        match timeout(PATIENCE, events.recv())
            .await
            .expect("something is told in time")
            .expect("an end is told")
        {
            Event::Text(text) => words.push_str(&text),
            Event::ToolCalls(_) => {}
            Event::Finished { .. } => return Ok(words),
            Event::Failed(error) => return Err(error),
        }
    }
}

#[tokio::test]
async fn a_parameter_that_is_refused_by_name_is_left_out_then_and_from_then_on() {
    let temperature = refusal("Unsupported value: 'temperature' does not support 0.5 with this model.");
    let limit = refusal("Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead.");
    let server = Server::of(&[temperature, limit, hello(), hello()]).await;
    let model = server.model("openai", "/v1", "");
    assert_eq!(ask(&*model).await.unwrap(), "Hello");
    assert_eq!(ask(&*model).await.unwrap(), "Hello");
    let bodies = server.bodies();
    assert_eq!((&bodies[0]["temperature"], &bodies[0]["max_tokens"]), (&json!(0.5), &json!(99)));
    for body in &bodies[2..] {
        assert_eq!((&body["temperature"], &body["max_tokens"]), (&Value::Null, &Value::Null), "{body}");
        assert_eq!(body["max_completion_tokens"], 99);
    }
    assert_eq!(bodies.len(), 4);
}

#[tokio::test]
async fn vendors_with_parameters_elsewhere_leave_them_out_too() {
    let refused = || refusal("temperature: this model does not have it");
    let chunk = json!({"candidates": [{"content": {"parts": [{"text": "Hello"}]}, "finishReason": "STOP"}]});
    let server = Server::of(&[refused(), stream(&[chunk], "")]).await;
    assert_eq!(ask(&*server.model("gemini", "", "k")).await.unwrap(), "Hello");
    assert_eq!(server.bodies()[0]["generationConfig"]["temperature"], 0.5);
    assert!(server.bodies()[1]["generationConfig"]["temperature"].is_null());

    let events = [
        json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hello"}}),
        json!({"type": "message_stop"}),
    ];
    let server = Server::of(&[refused(), stream(&events, "")]).await;
    assert_eq!(ask(&*server.model("anthropic", "", "k")).await.unwrap(), "Hello");
    assert!(server.bodies()[0]["temperature"].is_number() && server.bodies()[1]["temperature"].is_null());
    assert!(server.came()[0].head.contains("anthropic-version: 2023-06-01"), "{:?}", server.came()[0]);
}

#[tokio::test]
async fn a_refusal_that_stays_is_told_after_one_try_for_each_parameter() {
    let refused = || refusal("temperature is not what is wrong");
    let server = Server::of(&[refused(), refused(), refused()]).await;
    let error = ask(&*server.model("openai", "/v1", "")).await.unwrap_err();
    assert_eq!((error.kind, server.bodies().len()), (ErrorKind::Invalid, 2), "{error}");
}

#[tokio::test]
async fn an_answer_that_comes_whole_is_told_as_one_that_streams() {
    let whole =
        json!({"choices": [{"message": {"content": "<think>so</think>Hello"}, "finish_reason": "stop"}]});
    let server = Server::of(&[answer(200, "application/json; charset=utf-8", &whole.to_string())]).await;
    assert_eq!(ask(&*server.model("openai", "/v1", "")).await.unwrap(), "Hello");
    let error = json!({"error": "the model crashed"});
    let server = Server::of(&[answer(200, "application/json", &error.to_string())]).await;
    assert_eq!(ask(&*server.model("openai", "/v1", "")).await.unwrap_err().kind, ErrorKind::Unavailable);
}

#[tokio::test]
async fn a_stream_may_end_without_its_last_word_but_not_without_its_end() {
    let complete = stream(&[chunk("Hello", None), chunk("", Some("stop"))], "");
    let server = Server::of(&[complete]).await;
    assert_eq!(ask(&*server.model("openai", "/v1", "")).await.unwrap(), "Hello");
    let cut = stream(&[chunk("Hello", None)], "");
    let server = Server::of(&[cut]).await;
    assert_eq!(ask(&*server.model("openai", "/v1", "")).await.unwrap_err().kind, ErrorKind::Unavailable);
}

#[tokio::test]
async fn a_complete_answer_whose_connection_hangs_or_breaks_is_complete() {
    let events: String =
        [chunk("Hello", None), chunk("", Some("stop"))].map(|event| format!("data: {event}\n\n")).concat();
    let longer = "HTTP/1.1 200 So\r\ncontent-type: text/event-stream\r\ncontent-length: 99999\r\n";
    for end in ["", "connection: close\r\n"] {
        let server = Server::of(&[format!("{longer}{end}\r\n: a comment\n\n{events}")]).await;
        assert_eq!(ask(&*server.model("openai", "/v1", "")).await.unwrap(), "Hello");
    }
}

#[tokio::test]
async fn a_web_page_is_no_answer_and_no_text_of_an_error() {
    let page = "<html><body>Bad gateway</body></html>";
    let server = Server::of(&[answer(200, "text/html", page), answer(502, "text/html", page)]).await;
    let model = server.model("openai", "/v1", "");
    let error = ask(&*model).await.unwrap_err();
    assert!(error.kind == ErrorKind::Protocol && error.message.contains("base URL"), "{error}");
    let error = ask(&*model).await.unwrap_err();
    assert!(error.kind == ErrorKind::Unavailable && !error.message.contains('<'), "{error}");
}

/// Asks until a request came on a connection that fits; when one goes back to its pool can't be seen from outside.
async fn asks_until(server: &Server, model: &dyn LanguageModel, fits: impl Fn(&[Came]) -> bool) {
    let asked = timeout(PATIENCE, async {
        while !fits(&server.came()) {
            ask(model).await.unwrap();
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    asked.await.unwrap_or_else(|_| panic!("no connection was used again"));
}

#[tokio::test]
async fn a_warm_connection_is_the_one_the_answers_use() {
    let models = answer(200, "application/json", "{\"data\": []}");
    let server = Server::of(&[vec![models], vec![hello(); 1_000]].concat()).await;
    let model = server.model("openai", "/v1", "");
    model.warm();
    let warmed = timeout(PATIENCE, async {
        while server.came().is_empty() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    });
    warmed.await.expect("the connection is opened");
    assert!(server.came()[0].head.starts_with("GET /v1/models"), "{:?}", server.came()[0]);
    asks_until(&server, &*model, |came| came[1..].iter().any(|came| came.connection == 0)).await;
}

#[tokio::test]
async fn calls_that_begin_together_get_a_connection_each() {
    let models = answer(200, "application/json", "{\"data\": []}");
    let server = Server::of(&vec![models; 10]).await;
    let model = server.model("openai", "/v1", "");
    // One request for the first call, which tells that a connection carries one at a time; for the others two and three, and two spare ones.
    for wanted in [1, 5, 10] {
        model.warm();
        let warmed = timeout(PATIENCE, async {
            while server.came().len() < wanted {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        });
        warmed.await.expect("connections are opened");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let connections: BTreeSet<_> = server.came().iter().map(|came| came.connection).collect();
    assert!(connections.len() >= 3, "{connections:?}");
}

#[tokio::test]
async fn a_connection_is_used_again_after_an_answer() {
    let server = Server::of(&vec![hello(); 1_000]).await;
    let model = server.model("openai", "/v1", "");
    asks_until(&server, &*model, |came| came.iter().filter(|came| came.connection == 0).count() > 1).await;
}

#[tokio::test]
async fn a_connection_that_an_answer_was_cut_on_is_replaced_before_the_next() {
    let endless = "HTTP/1.1 200 So\r\ncontent-type: text/event-stream\r\ncontent-length: 99999\r\n\r\n";
    let endless = format!("{endless}data: {}\n\n", chunk("Hello", None));
    let server = Server::of(&[endless, answer(200, "application/json", "{}")]).await;
    let model = server.model("openai", "/v1", "");
    let (told, mut events) = unbounded_channel();
    let response = model.respond(Request::default(), Arc::new(move |event| drop(told.send(event)))).unwrap();
    assert_eq!(timeout(PATIENCE, events.recv()).await.unwrap(), Some(Event::Text("Hello".to_owned())));
    drop(response);
    let warmed = timeout(PATIENCE, async {
        while server.came().len() < 2 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    });
    warmed.await.expect("another connection is opened");
    let again = server.came().remove(1);
    assert!(again.connection == 1 && again.head.starts_with("GET /v1/models"), "{again:?}");
}

#[tokio::test]
async fn a_connection_that_an_answer_was_cut_on_before_it_began_is_replaced_too() {
    let models = answer(200, "application/json", "{}");
    let server = Server::of(&[hello(), "HTTP/1.1 200 So\r\n".to_owned(), models]).await;
    let model = server.model("openai", "/v1", "");
    ask(&*model).await.unwrap();
    let came = async |count: usize| {
        let seen = timeout(PATIENCE, async {
            while server.came().len() < count {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        });
        seen.await.expect("requests come");
        server.came().remove(count - 1)
    };
    let response = model.respond(Request::default(), Arc::new(drop)).unwrap();
    let cut = came(2).await;
    drop(response);
    let again = came(3).await;
    assert!(again.connection != cut.connection && again.head.starts_with("GET /v1/models"), "{again:?}");
}

#[tokio::test]
async fn after_a_cut_there_are_as_many_connections_again_as_answers_were_made_side_by_side() {
    let stuck = "HTTP/1.1 200 So\r\n".to_owned();
    let slow =
        "HTTP/1.1 200 So\r\ncontent-type: application/json\r\ncontent-length: 99999\r\n\r\n{".to_owned();
    let models = answer(200, "application/json", "{}");
    let server = Server::of(&[vec![hello(), slow, stuck], vec![models; 4]].concat()).await;
    let model = server.model("openai", "/v1", "");
    ask(&*model).await.unwrap();
    let respond = || model.respond(Request::default(), Arc::new(drop)).unwrap();
    let came = async |count: usize| {
        let seen = timeout(PATIENCE, async {
            while server.came().len() < count {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        });
        seen.await.expect("requests come");
        server.came()
    };
    let first = respond();
    came(2).await;
    let second = respond();
    came(3).await;
    drop((first, second));
    let again = came(5).await.split_off(3);
    assert!(again.iter().all(|came| came.head.starts_with("GET /v1/models")), "{again:?}");
    assert_ne!(again[0].connection, again[1].connection);
}

#[tokio::test]
async fn a_server_of_ones_own_is_asked_without_a_key_and_with_the_one_it_was_given() {
    let server = Server::of(&[hello(), hello()]).await;
    ask(&*server.model("openai", "/v1", "")).await.unwrap();
    ask(&*server.model("openai", "/v1", "s3")).await.unwrap();
    let heads = server.came().into_iter().map(|came| came.head).collect::<Vec<_>>();
    assert!(!heads[0].contains("authorization"), "{}", heads[0]);
    assert!(heads[1].contains("authorization: Bearer s3"), "{}", heads[1]);
}

#[tokio::test]
async fn a_context_that_is_too_long_is_invalid_with_advice() {
    let refused = refusal("This model's maximum context length is 8192 tokens, however you requested 9000.");
    let server = Server::of(&[refused]).await;
    let error = ask(&*server.model("openai", "/v1", "")).await.unwrap_err();
    assert!(error.kind == ErrorKind::Invalid && error.message.contains("token budget"), "{error}");
}

#[tokio::test]
async fn a_key_that_a_server_repeats_is_not_told() {
    let key = "sk-0123456789abcdef";
    let refused =
        |message: &str| answer(401, "application/json", &json!({"error": {"message": message}}).to_string());
    let server = Server::of(&[refused(&format!("Received API key = {key}, which is unknown"))]).await;
    let error = ask(&*server.model("openai", "/v1", key)).await.unwrap_err();
    assert!(error.kind == ErrorKind::Unauthorized && error.message.contains("which is unknown"), "{error}");
    assert!(!format!("{error:?}").contains("0123"), "{error:?}");
}
