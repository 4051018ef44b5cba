//! OpenAI's transcription of whole recordings, `POST /v1/audio/transcriptions`: JSON, or events with `stream`.
//!
//! Takes WAV files. A request's lines go on where the service's last request ended, as each request is one utterance.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{DefaultBodyLimit, Request, State as Of};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::StatusCode;
use serde_json::{Value, json};
use tokio::time::sleep;
use uuid::Uuid;

use super::ear::{Ear, Encoding, Lines, Word, seconds, text_of};
use super::{begin, credential, header};
use crate::http::{Pieces, cut, is_wrong, streamed};
use crate::{Fault, Plan, Service, State, Turn};

const FILE_MAX_BYTES: usize = 25 << 20;
/// How long a request is held that is neither read nor answered.
const HELD: Duration = Duration::from_secs(600);

pub(super) fn routes() -> Router<Arc<State>> {
    Router::new()
        .route("/openai/v1/audio/transcriptions", post(transcribe))
        .layer(DefaultBodyLimit::max(FILE_MAX_BYTES))
}

/// The refusal that is planned or deserved, if any.
pub(super) fn refusal(turn: &Turn, request: &Request) -> Option<Response> {
    let said = match turn.plan.fault {
        Some(Fault::Unauthorized) => unauthorized(),
        Some(Fault::Quota) => {
            let message = "You exceeded your current quota, please check your plan and billing details.";
            let code = "insufficient_quota";
            refused(StatusCode::TOO_MANY_REQUESTS, code, code, message)
        }
        Some(Fault::RateLimited { retry_after_s }) => {
            let message = "Rate limit reached for requests.";
            let mut limited =
                refused(StatusCode::TOO_MANY_REQUESTS, "requests", "rate_limit_exceeded", message);
            limited.headers_mut().insert("retry-after", retry_after_s.into());
            limited
        }
        Some(Fault::ServerError) => {
            let message = "The server had an error while processing your request.";
            refused(StatusCode::INTERNAL_SERVER_ERROR, "server_error", "server_error", message)
        }
        _ => return is_wrong(credential(request, &["bearer"])).then(unauthorized),
    };
    Some(said)
}

fn unauthorized() -> Response {
    let message = "Incorrect API key provided.";
    refused(StatusCode::UNAUTHORIZED, "invalid_request_error", "invalid_api_key", message)
}

fn bad_request(message: &str) -> Response {
    refused(StatusCode::BAD_REQUEST, "invalid_request_error", "invalid_value", message)
}

fn refused(status: StatusCode, kind: &str, code: &str, message: &str) -> Response {
    let headers = [("x-request-id", format!("req_{}", Uuid::new_v4().simple()))];
    let body = json!({"error": {"message": message, "type": kind, "param": null, "code": code}});
    (status, headers, Json(body)).into_response()
}

async fn transcribe(Of(state): Of<Arc<State>>, request: Request) -> Response {
    let (turn, _) = begin(&state, Service::OpenaiTranscribe, request.uri()).await;
    if let Some(refused) = refusal(&turn, &request) {
        return refused;
    }
    if turn.plan.fault == Some(Fault::BlockedSend) {
        sleep(HELD).await;
        return bad_request("The request timed out.");
    }
    let boundary =
        header(&request, "content-type").split_once("boundary=").map(|(_, boundary)| boundary.to_owned());
    let Some(boundary) = boundary else { return bad_request("multipart/form-data is expected.") };
    let Ok(body) = request.into_body().collect().await else {
        turn.note("gone", "");
        return bad_request("The body could not be read.");
    };
    let body = body.to_bytes();
    let form = Form::parse(&body, boundary.trim_matches('"'));
    turn.note("binary", &form.file.len().to_string());
    let fields: serde_json::Map<_, _> =
        form.fields.iter().map(|(key, value)| (key.clone(), json!(value))).collect();
    turn.note("text", &Value::Object(fields).to_string());
    let Some(model) = form.get("model") else { return bad_request("you must provide a model parameter") };
    let Ok(clip) = parlance_media::wav::parse(form.file) else {
        return bad_request("Audio file might be corrupted or unsupported");
    };
    let mut ear =
        Ear::with(Encoding::Linear16, clip.sample_rate_hz, &turn.plan, Lines::new(&turn.plan, state.lines()));
    ear.push_samples(&clip.into_mono());
    let mut words = Vec::new();
    while let Some(step) = ear.step() {
        words.extend(step.words);
    }
    words.extend(ear.flush());
    state.heard_lines(ear.lines().heard());
    let reply = Reply {
        words,
        length_us: ear.now_us(),
        stream: form.get("stream") == Some("true") && model != "whisper-1",
    };
    let mut response = reply.answer(turn, form.get("response_format").unwrap_or("json"));
    // The vendor names every request, not only those it refuses.
    if let Ok(id) = format!("req_{}", Uuid::new_v4().simple()).parse() {
        response.headers_mut().insert("x-request-id", id);
    }
    response
}

struct Reply {
    words: Vec<Word>,
    length_us: u64,
    stream: bool,
}

impl Reply {
    fn answer(self, turn: Turn, format: &str) -> Response {
        let text = text_of(&self.words);
        if self.stream {
            let mut events: Vec<String> = Vec::new();
            for (index, word) in self.words.iter().enumerate() {
                let space = if index > 0 { " " } else { "" };
                events.push(event(
                    &json!({"type": "transcript.text.delta", "delta": format!("{space}{}", word.text)}),
                ));
            }
            let usage = json!({"type": "tokens", "input_tokens": self.length_us / 100_000,
                "output_tokens": self.words.len(), "total_tokens": self.length_us / 100_000 + self.words.len() as u64});
            events.push(event(&json!({"type": "transcript.text.done", "text": text, "usage": usage})));
            let dialect = Dialect {
                unknown: event(&json!({"type": "transcript.text.mood", "mood": "calm"})),
                malformed: "data: {\"type\":\"transcript.te\n\n".to_owned(),
            };
            return streamed("text/event-stream", move |pieces| write(pieces, turn, events, dialect));
        }
        let seconds_heard = seconds(self.length_us);
        let body = match format {
            "text" => format!("{text}\n"),
            "verbose_json" => {
                let words: Vec<_> = self
                    .words
                    .iter()
                    .map(|word| json!({"word": word.text, "start": seconds(word.start_us), "end": seconds(word.end_us)}))
                    .collect();
                json!({"task": "transcribe", "language": "english", "duration": seconds_heard, "text": text, "words": words,
                    "segments": [], "usage": {"type": "duration", "seconds": seconds_heard}})
                .to_string()
            }
            "json" => {
                json!({"text": text, "usage": {"type": "duration", "seconds": seconds_heard}}).to_string()
            }
            other => return bad_request(&format!("response_format {other} is not supported here.")),
        };
        let mut unknown: Value = serde_json::from_str(&body).unwrap_or_default();
        unknown["mood"] = json!("calm");
        let dialect = Dialect { unknown: unknown.to_string(), malformed: body.chars().take(9).collect() };
        let content_type = if format == "text" { "text/plain; charset=utf-8" } else { "application/json" };
        streamed(content_type, move |pieces| write(pieces, turn, vec![body], dialect))
    }
}

struct Dialect {
    unknown: String,
    malformed: String,
}

/// Writes the events of a body with the planned delays and the planned fault.
async fn write(pieces: Pieces, turn: Turn, events: Vec<String>, dialect: Dialect) {
    let plan = turn.plan.clone();
    let error =
        json!({"error": {"message": "The server had an error.", "type": "server_error", "code": null}});
    let single = events.len() == 1 && !events[0].starts_with("data: ");
    let mut said = Vec::new();
    for (sent, text) in events.into_iter().enumerate() {
        let sent = sent as u32;
        sleep(if sent == 0 { plan.first(turn.connection, 0) } else { plan.interval(turn.connection, sent) })
            .await;
        match plan.fault {
            Some(Fault::Silence { after } | Fault::HalfOpen { after }) if strikes(after, sent, single) => {
                pieces.closed().await;
                return turn.note("gone", "");
            }
            Some(Fault::Drop { after }) if strikes(after, sent, single) => {
                return end(&pieces, &text, single).await;
            }
            Some(Fault::Malformed { after }) if strikes(after, sent, single) => {
                drop(pieces.send(Ok(Bytes::from(dialect.malformed))).await);
                return drop(pieces.send(Err(cut())).await);
            }
            Some(Fault::ErrorInside { after }) if strikes(after, sent, single) => {
                let told = if single { error.to_string() } else { event(&error) };
                return drop(pieces.send(Ok(Bytes::from(told))).await);
            }
            Some(Fault::UnknownType { after }) if strikes(after, sent, single) => {
                said.push(dialect.unknown.clone());
                if !single {
                    said.push(text);
                }
            }
            Some(Fault::Flap) => {
                sleep(Duration::from_millis(50)).await;
                return drop(pieces.send(Err(cut())).await);
            }
            _ => said.push(text),
        }
        for text in said.drain(..) {
            if send(&pieces, text, &plan).await.is_err() {
                return turn.note("gone", "");
            }
        }
    }
}

/// Whether a fault is due: before the event after so many, or, where a body is all in one, in it.
fn strikes(after: u32, sent: u32, single: bool) -> bool {
    single || after == sent
}

/// Half of what was to come, then the cut.
async fn end(pieces: &Pieces, text: &str, single: bool) {
    if single {
        let half: String = text.chars().take(text.chars().count() / 2).collect();
        drop(pieces.send(Ok(Bytes::from(half))).await);
    }
    drop(pieces.send(Err(cut())).await);
}

async fn send(pieces: &Pieces, text: String, plan: &Plan) -> Result<(), ()> {
    let bytes = Bytes::from(text);
    let length = if plan.fault == Some(Fault::Fragment) { 3 } else { bytes.len().max(1) };
    for piece in bytes.chunks(length) {
        pieces.send(Ok(Bytes::copy_from_slice(piece))).await.map_err(|_| ())?;
    }
    Ok(())
}

fn event(value: &Value) -> String {
    format!("data: {value}\n\n")
}

/// A form in parts: one file, and fields.
struct Form<'a> {
    fields: Vec<(String, String)>,
    file: &'a [u8],
}

impl<'a> Form<'a> {
    fn parse(body: &'a [u8], boundary: &str) -> Self {
        let mut form = Self { fields: Vec::new(), file: &[] };
        let mark = format!("--{boundary}");
        let mut rest = body;
        while let Some(start) = position(rest, mark.as_bytes()) {
            rest = &rest[start + mark.len()..];
            let Some(end) = position(rest, mark.as_bytes()) else { break };
            let part = rest[..end].strip_prefix(b"\r\n").unwrap_or(&rest[..end]);
            let Some(head) = position(part, b"\r\n\r\n") else { continue };
            let content = &part[head + 4..];
            let content = content.strip_suffix(b"\r\n").unwrap_or(content);
            let head = String::from_utf8_lossy(&part[..head]);
            let name = head
                .split_once("name=\"")
                .and_then(|(_, name)| name.split_once('"'))
                .map_or("", |(name, _)| name);
            if head.contains("filename=") {
                form.file = content;
            } else {
                form.fields.push((name.to_owned(), String::from_utf8_lossy(content).into_owned()));
            }
        }
        form
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

fn position(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}
