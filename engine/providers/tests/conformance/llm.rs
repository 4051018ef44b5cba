//! What every language model's client must do. A vendor's run is one line in [`rows`].
//!
//! The clients' bounds are outer ones of half a minute; so all that wait for one do it at the same time, in one test.

use std::sync::Arc;
use std::time::Duration;

use parlance_fakes::plan::ToolPlan;
use parlance_fakes::{Fakes, Fault, Plan, Seen, Service};
use parlance_providers::account::{Account, Secret};
use parlance_providers::llm::{
    self, Event, LanguageModel, Message, Request, Response, Role, ToolCall, ToolSpec,
};
use parlance_providers::registry::Open;
use parlance_providers::{Error, ErrorKind};
use serde_json::{Value, json};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::task::JoinSet;
use tokio::time::timeout;

/// Far more than anything takes on a slow machine.
const PATIENCE: Duration = Duration::from_secs(20);
/// Longer than any bound of the clients.
const LONG_PATIENCE: Duration = Duration::from_secs(90);

/// One vendor's service and its stand-in.
struct Row {
    /// The registered name.
    name: &'static str,
    service: Service,
    /// Where the stand-in is.
    base: &'static str,
    /// Whether the vendor's errors carry an id of the request.
    has_request_id: bool,
    /// Whether the vendor signs its calls and wants them back signed.
    signs_calls: bool,
}

fn rows() -> [Row; 4] {
    let row = |name, service, base, has_request_id, signs_calls| Row {
        name,
        service,
        base,
        has_request_id,
        signs_calls,
    };
    [
        row("openai", Service::OpenaiChat, "openai/v1", true, false),
        row("openai-responses", Service::OpenaiResponses, "openai/v1", true, false),
        row("anthropic", Service::AnthropicMessages, "anthropic", true, false),
        row("gemini", Service::GeminiStream, "gemini", false, true),
    ]
}

/// A stand-in with a plan, and a client for it.
struct Stage {
    row: Row,
    fakes: Fakes,
    model: Arc<dyn LanguageModel>,
}

/// An answer under way.
struct Answering {
    events: UnboundedReceiver<Event>,
    response: Option<Response>,
}

/// An answer that has ended.
#[derive(Debug, Default)]
struct Answer {
    words: String,
    calls: Vec<ToolCall>,
    usage: Option<llm::Usage>,
    failed: Option<Error>,
}

impl Answer {
    fn take(&mut self, event: Event) {
        match event {
            Event::Text(text) => self.words.push_str(&text),
            Event::ToolCalls(calls) => self.calls.extend(calls),
            Event::Finished { usage } => self.usage = Some(usage),
            Event::Failed(error) => self.failed = Some(error),
        }
    }

    #[track_caller]
    fn error(self, row: &str) -> Error {
        assert!(self.usage.is_none(), "{row} finished: {}", self.words);
        self.failed.unwrap_or_else(|| panic!("{row} did not fail"))
    }
}

impl Answering {
    async fn next(&mut self) -> Option<Event> {
        timeout(PATIENCE, self.events.recv()).await.expect("something is told in time")
    }

    /// All that is told, to the end of the answer.
    async fn all(self) -> Answer {
        self.all_within(PATIENCE).await
    }

    async fn all_within(mut self, patience: Duration) -> Answer {
        let mut answer = Answer::default();
        while let Some(event) = timeout(patience, self.events.recv()).await.expect("every wait has an end") {
            answer.take(event);
        }
        answer
    }
}

impl Stage {
    async fn of(row: Row, plan: Plan) -> Self {
        Self::with_key(row, plan, "a-key").await
    }

    async fn with_key(row: Row, plan: Plan, key: &str) -> Self {
        let fakes = Fakes::start().await.unwrap();
        fakes.plan(row.service, plan);
        let account = Account { key: Secret::new(key), base_url: Some(fakes.base(row.base)) };
        let service = llm::SERVICES.iter().find(|service| service.name == row.name).unwrap();
        let Open::Llm(open) = service.open else { panic!("{} is no language model", row.name) };
        Self { model: open(&account).unwrap(), row, fakes }
    }

    fn ask(&self, request: Request) -> Answering {
        let (told, events) = unbounded_channel();
        let response = self.model.respond(request, Arc::new(move |event| drop(told.send(event)))).unwrap();
        Answering { events, response: Some(response) }
    }

    async fn answer(&self, request: Request) -> Answer {
        self.ask(request).all().await
    }

    /// The bodies of the requests that came, in order.
    fn bodies(&self) -> Vec<Value> {
        let seen = self.fakes.seen(self.row.service).into_iter().filter(|seen| seen.what == "text");
        seen.map(|seen| serde_json::from_str(&seen.detail).unwrap()).collect()
    }

    /// Waits until the stand-in has noted this.
    async fn sees(&self, what: impl Fn(&Seen) -> bool) {
        let looked = timeout(PATIENCE, async {
            while !self.fakes.seen(self.row.service).iter().any(&what) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
        looked.await.unwrap_or_else(|_| panic!("{}: the stand-in never saw it", self.row.name));
    }
}

fn said(role: Role, text: &str) -> Message {
    Message { role, text: text.to_owned(), tool_calls: Vec::new(), tool_call_id: None }
}

fn asking(text: &str) -> Request {
    let messages = vec![said(Role::System, "Be brief."), said(Role::Caller, text)];
    Request { messages, temperature: Some(0.4), max_tokens: Some(200), ..Request::default() }
}

fn saying(line: &str) -> Plan {
    Plan { lines: vec![line.to_owned()], ..Plan::default() }
}

fn failing(fault: Fault) -> Plan {
    Plan { lines: vec!["one two three four five six".to_owned()], ..Plan::failing(fault) }
}

/// Asks each vendor under this fault.
async fn answers_under(fault: Fault) -> Vec<(Row, Answer)> {
    let mut answers = Vec::new();
    for row in rows() {
        let stage = Stage::of(row, failing(fault.clone())).await;
        let answer = stage.answer(asking("hello")).await;
        answers.push((stage.row, answer));
    }
    answers
}

#[tokio::test]
async fn an_answer_is_told_word_by_word_with_its_tokens() {
    for row in rows() {
        let stage = Stage::of(row, Plan { interval_ms: 5, ..saying("It is four degrees in Oslo.") }).await;
        let mut answering = stage.ask(asking("How cold is it?"));
        assert_eq!(answering.next().await, Some(Event::Text("It".to_owned())), "{}", stage.row.name);
        let rest = answering.all().await;
        assert_eq!(rest.words, " is four degrees in Oslo.", "{}", stage.row.name);
        let usage = rest.usage.unwrap_or_else(|| panic!("{}: {:?}", stage.row.name, rest.failed));
        assert!(usage.input_tokens.is_some_and(|tokens| tokens > 3), "{}: {usage:?}", stage.row.name);
        assert_eq!(usage.output_tokens, Some(6), "{}", stage.row.name);
        let body = stage.bodies().remove(0).to_string();
        assert!(body.contains("0.4") && body.contains("200"), "{}: {body}", stage.row.name);
    }
}

#[tokio::test]
async fn calls_made_together_are_told_and_their_results_are_answered() {
    for row in rows() {
        let tool = |name: &str, arguments: Value| ToolPlan {
            when: "weather".to_owned(),
            name: name.to_owned(),
            arguments,
            say: String::new(),
        };
        let tools = vec![
            ToolPlan {
                say: "One moment.".to_owned(),
                ..tool("get_weather", json!({"city": "ओस्लो", "days": 2}))
            },
            tool("get_time", json!({})),
        ];
        let stage = Stage::of(row, Plan { tools, ..saying("Cold, and late.") }).await;
        let name = stage.row.name;
        let spec = |name: &str| ToolSpec {
            name: name.to_owned(),
            description: format!("Does {name}."),
            parameters: json!({"type": "object", "properties": {"city": {"type": "string"}}}),
        };
        let mut request = asking("the weather, please");
        request.tools = [spec("get_weather"), spec("get_time")].into();

        let answer = stage.answer(request.clone()).await;
        assert_eq!(answer.words, "One moment.", "{name}: {:?}", answer.failed);
        assert!(answer.usage.is_some(), "{name}");
        let calls: Vec<_> = answer.calls.iter().map(|call| (call.name.as_str(), &call.arguments)).collect();
        let expected = [("get_weather", &json!({"city": "ओस्लो", "days": 2})), ("get_time", &json!({}))];
        assert_eq!(calls, expected, "{name}");
        assert!(answer.calls[0].id != answer.calls[1].id, "{name}");
        assert_eq!(answer.calls[0].signature.is_some(), stage.row.signs_calls, "{name}");

        let asked = Message { tool_calls: answer.calls.clone(), ..said(Role::Agent, &answer.words) };
        request.messages.push(asked);
        for (call, result) in answer.calls.iter().zip([r#"{"degrees":4}"#, "late"]) {
            request
                .messages
                .push(Message { tool_call_id: Some(call.id.clone()), ..said(Role::Tool, result) });
        }
        let answer = stage.answer(request.clone()).await;
        assert_eq!(answer.words, "Cold, and late.", "{name}: {:?}", answer.failed);

        if let Some(signature) =
            request.messages.iter().flat_map(|it| &it.tool_calls).find_map(|it| it.signature.as_ref())
        {
            assert!(stage.bodies()[1].to_string().contains(signature), "{name} got its call back unsigned");
        }

        // Another vendor's call has no signature of this one, and one that was interrupted has no result.
        for message in &mut request.messages {
            message.tool_calls.iter_mut().for_each(|call| call.signature = None);
        }
        request.messages.pop();
        let answer = stage.answer(request).await;
        assert_eq!(answer.words, "Cold, and late.", "{name}: {:?}", answer.failed);
    }
}

#[tokio::test]
async fn a_slow_first_word_is_waited_for() {
    for (row, answer) in answers_under(Fault::SlowFirstByte { ms: 300 }).await {
        assert_eq!(answer.words, "one two three four five six", "{}: {:?}", row.name, answer.failed);
    }
}

#[tokio::test]
async fn silence_a_half_open_connection_and_a_request_nobody_reads_are_time_outs_after_the_words_that_came() {
    let faults = [
        (Fault::Silence { after: 3 }, "one two three"),
        (Fault::HalfOpen { after: 3 }, "one two three"),
        (Fault::BlockedSend, ""),
    ];
    let mut waits = JoinSet::new();
    for row in faults.iter().flat_map(|(fault, words)| rows().map(|row| (row, fault.clone(), *words))) {
        waits.spawn(async move {
            let (row, fault, words) = row;
            let stage = Stage::of(row, failing(fault.clone())).await;
            let answer = stage.ask(asking("hello")).all_within(LONG_PATIENCE).await;
            assert_eq!(answer.words, words, "{} under {fault:?}", stage.row.name);
            assert_eq!(answer.error(stage.row.name).kind, ErrorKind::TimedOut, "{fault:?}");
        });
    }
    assert_eq!(waits.len(), 3 * rows().len());
    waits.join_all().await;
}

#[tokio::test]
async fn a_connection_that_breaks_in_mid_answer_is_a_failure_after_the_words_that_came() {
    for (row, answer) in answers_under(Fault::Drop { after: 3 }).await {
        assert_eq!(answer.words, "one two three", "{}", row.name);
        assert_eq!(answer.error(row.name).kind, ErrorKind::Unavailable, "{}", row.name);
    }
}

#[tokio::test]
async fn a_wrong_key_is_unauthorized_and_told_nobody() {
    for row in rows() {
        let stage = Stage::with_key(row, Plan::default(), "wrong-key").await;
        let error = stage.answer(asking("hello")).await.error(stage.row.name);
        assert_eq!(error.kind, ErrorKind::Unauthorized, "{error}");
        assert!(error.message.contains("check the key"), "{error}");
        assert!(!format!("{error:?}").contains("wrong-key"), "{error:?}");
    }
}

#[tokio::test]
async fn a_used_up_quota_is_out_of_credit_and_not_a_rate_limit() {
    for (row, answer) in answers_under(Fault::Quota).await {
        let error = answer.error(row.name);
        assert_eq!(error.kind, ErrorKind::OutOfCredit, "{error}");
    }
}

#[tokio::test]
async fn a_rate_limit_says_how_long_to_wait_and_is_not_waited_for_here() {
    for row in rows() {
        let stage = Stage::of(row, failing(Fault::RateLimited { retry_after_s: 7 })).await;
        let error = stage.answer(asking("hello")).await.error(stage.row.name);
        let expected = (ErrorKind::RateLimited, Some(Duration::from_secs(7)));
        assert_eq!((error.kind, error.retry_after), expected, "{error}");
        assert_eq!(stage.bodies().len(), 1, "{}", stage.row.name);
    }
}

#[tokio::test]
async fn a_server_error_is_unavailable_with_the_requests_id_and_is_not_retried_here() {
    for row in rows() {
        let stage = Stage::of(row, failing(Fault::ServerError).times(1)).await;
        let error = stage.answer(asking("hello")).await.error(stage.row.name);
        assert_eq!(error.kind, ErrorKind::Unavailable, "{error}");
        assert_eq!(error.request_id.is_some(), stage.row.has_request_id, "{error}");
        assert_eq!(stage.bodies().len(), 1, "{}", stage.row.name);
        assert!(stage.answer(asking("hello")).await.usage.is_some(), "{}", stage.row.name);
    }
}

#[tokio::test]
async fn an_event_that_is_no_json_is_a_protocol_error_after_the_words_that_came() {
    for (row, answer) in answers_under(Fault::Malformed { after: 3 }).await {
        assert_eq!(answer.words, "one two three", "{}", row.name);
        assert_eq!(answer.error(row.name).kind, ErrorKind::Protocol, "{}", row.name);
    }
}

#[tokio::test]
async fn an_event_of_a_type_nobody_knows_is_passed_over() {
    for (row, answer) in answers_under(Fault::UnknownType { after: 3 }).await {
        assert_eq!(answer.words, "one two three four five six", "{}: {:?}", row.name, answer.failed);
        assert!(answer.usage.is_some(), "{}", row.name);
    }
}

#[tokio::test]
async fn an_error_within_a_successful_response_is_a_failure_before_and_after_words() {
    for after in [0, 3] {
        for (row, answer) in answers_under(Fault::ErrorInside { after }).await {
            assert_eq!(answer.words.split_whitespace().count(), after as usize, "{}", row.name);
            let error = answer.error(row.name);
            assert_eq!(error.kind, ErrorKind::Unavailable, "{error}");
            assert_eq!(error.request_id.is_some(), row.has_request_id, "{error}");
        }
    }
}

#[tokio::test]
async fn an_answer_of_nothing_is_a_failure() {
    for (row, answer) in answers_under(Fault::Empty).await {
        assert_eq!(answer.error(row.name).kind, ErrorKind::Empty, "{}", row.name);
    }
}

#[tokio::test]
async fn letters_stay_whole_wherever_the_bytes_are_cut() {
    let line = "नमस्ते, कल शाम चार बजे ठीक है? 😀 Great.";
    for row in rows() {
        let plan = Plan { fault: Some(Fault::Fragment), ..saying(line) };
        let stage = Stage::of(row, plan).await;
        let answer = stage.answer(asking("क्या कल हो सकता है?")).await;
        assert_eq!(answer.words, line, "{}: {:?}", stage.row.name, answer.failed);
        let body = stage.bodies().remove(0).to_string();
        assert!(body.contains("क्या कल हो सकता है?"), "{}: {body}", stage.row.name);
    }
}

#[tokio::test]
async fn an_answer_that_is_dropped_ends_the_request() {
    for row in rows() {
        let stage = Stage::of(row, Plan { interval_ms: 20, ..saying(&"word ".repeat(2_000)) }).await;
        let mut answering = stage.ask(asking("hello"));
        answering.next().await;
        answering.response = None;
        stage.sees(|seen| seen.what == "gone").await;
        while let Some(event) = answering.next().await {
            assert!(matches!(event, Event::Text(_)), "{}: {event:?}", stage.row.name);
        }
    }
}

#[tokio::test]
async fn a_long_conversation_is_asked_whole_and_in_order() {
    for row in rows() {
        let stage = Stage::of(row, Plan::default()).await;
        let mut messages = vec![said(Role::System, "Be brief."), said(Role::Agent, "Hello, how can I help?")];
        for turn in 0..20 {
            messages.push(said(Role::Caller, &format!("question {turn}")));
            messages.push(said(Role::Agent, &format!("answer {turn}")));
        }
        messages.push(said(Role::Caller, "and now?"));
        let answer = stage.answer(Request { messages, ..Request::default() }).await;
        assert_eq!(answer.words, "You said: and now?", "{}: {:?}", stage.row.name, answer.failed);
        let body = stage.bodies().remove(0).to_string();
        let places: Vec<_> = (0..20)
            .flat_map(|turn| [format!("\"question {turn}\""), format!("\"answer {turn}\"")])
            .map(|text| body.find(&text).unwrap_or_else(|| panic!("{}: no {text}", stage.row.name)))
            .collect();
        assert!(places.is_sorted(), "{}: {places:?}", stage.row.name);
    }
}

#[tokio::test]
async fn the_agent_can_speak_first_and_speak_again() {
    for row in rows() {
        let stage = Stage::of(row, saying("Hello there.")).await;
        let first = Request { messages: vec![said(Role::System, "Greet the caller.")], ..Request::default() };
        let answer = stage.answer(first).await;
        assert_eq!(answer.words, "Hello there.", "{}: {:?}", stage.row.name, answer.failed);
        let messages = vec![said(Role::System, "Greet the caller."), said(Role::Agent, "Hello there.")];
        let answer = stage.answer(Request { messages, ..Request::default() }).await;
        assert_eq!(answer.words, "Hello there.", "{}: {:?}", stage.row.name, answer.failed);
    }
}

#[tokio::test]
async fn an_answer_that_reaches_its_limit_is_finished_with_what_was_said() {
    for row in rows() {
        let stage = Stage::of(row, saying("one two three four five six")).await;
        let answer = stage.answer(Request { max_tokens: Some(2), ..asking("hello") }).await;
        assert_eq!(answer.words, "one two", "{}: {:?}", stage.row.name, answer.failed);
        assert!(answer.usage.is_some(), "{}", stage.row.name);
    }
}

#[tokio::test]
async fn a_model_that_does_not_exist_is_invalid() {
    for row in rows() {
        let stage = Stage::of(row, Plan::default()).await;
        let error = stage.answer(Request { model: Some("missing-1".to_owned()), ..asking("hi") }).await;
        assert_eq!(error.error(stage.row.name).kind, ErrorKind::Invalid, "{}", stage.row.name);
    }
}
