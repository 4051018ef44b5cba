//! Deepgram's speech: the Aura WebSocket and the REST request.
//!
//! Text is spoken when it is flushed and not before: that a full sentence may be spoken earlier is nowhere promised,
//! so a client that waits for it must not pass here. Sound has no id and no times; it comes in the order of the text.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Query, Request, State as Of};
use axum::response::Response;
use axum::routing::get;
use hyper::Uri;
use parlance_media::g711::Law;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};
use tokio_tungstenite::tungstenite::Message;
use uuid::Uuid;

use super::speech::{Encoding, Format, speak};
use super::talk::{Kind, Queue, Say, Talker, talk};
use crate::events;
use crate::sse::{self, Call, Event, Refusal, Reply};
use crate::stt::deepgram;
use crate::{Fault, Plan, Service, State, socket};

/// More flushes than these in [`WINDOW`] are dropped with a warning.
const FLUSHES: usize = 20;
const WINDOW: Duration = Duration::from_secs(60);
/// Characters in one REST request.
const TEXT_LIMIT: usize = 2_000;

/// The routes of this file.
pub fn routes() -> Router<Arc<State>> {
    Router::new().route("/deepgram/v1/speak", get(open).post(synthesize))
}

#[derive(Debug, Default, serde::Deserialize)]
struct Asked {
    model: Option<String>,
    encoding: Option<String>,
    sample_rate: Option<f64>,
    container: Option<String>,
}

async fn synthesize(Of(state): Of<Arc<State>>, request: Request) -> Response {
    sse::answer(state, Service::DeepgramSpeak, &Rest, request).await
}

async fn open(Of(state): Of<Arc<State>>, request: Request) -> Response {
    let turn = state.begin(Service::DeepgramSpeak, &request.uri().to_string());
    sleep(Duration::from_millis(turn.plan.handshake_ms)).await;
    let id = Uuid::new_v4().to_string();
    if let Some(refused) = deepgram::refusal(&turn, &request, &id) {
        return refused;
    }
    let (format, asked) = match asked(request.uri()).and_then(|asked| Ok((format(&asked)?, asked))) {
        Ok(format) => format,
        Err(refusal) => return deepgram::refuse(&refusal, &id),
    };
    let talker = Aura::new(&asked, &id, format, turn.plan.fault == Some(Fault::Empty));
    let headers = deepgram::accepted(&request, &id);
    socket::accept(request, headers, |socket| talk(socket, turn, dialect(), talker))
}

fn dialect() -> events::Dialect {
    let error = json!({"type": "Error", "code": "NET-0001", "description": "Speech was not made in time."});
    events::Dialect {
        unknown: json!({"type": "SpeechMood", "mood": "calm"}).to_string(),
        error: vec![error.to_string()],
        error_close: Some((1011, "NET-0001: speech was not made in time")),
        flap: (1011, "NET-0000: the server can't go on"),
    }
}

fn asked(uri: &Uri) -> Result<Asked, Refusal> {
    match Query::try_from_uri(uri) {
        Ok(Query(asked)) => Ok(asked),
        Err(error) => Err(Refusal::Invalid(error.to_string())),
    }
}

/// The REST request.
struct Rest;

impl sse::Dialect for Rest {
    fn key(&self, call: &Call) -> String {
        let key = call.header("authorization");
        key.strip_prefix("Token ").or_else(|| key.strip_prefix("Bearer ")).unwrap_or_default().to_owned()
    }

    fn reply(&self, plan: &Plan, call: &Call) -> Result<Reply, Refusal> {
        let uri = format!("/?{}", call.query).parse::<Uri>();
        let asked = asked(&uri.map_err(|error| Refusal::Invalid(error.to_string()))?)?;
        let text =
            call.body["text"].as_str().ok_or_else(|| Refusal::Invalid("text is required".to_owned()))?;
        if text.chars().count() > TEXT_LIMIT {
            return Err(Refusal::Invalid("at most 2000 characters are spoken at once".to_owned()));
        }
        let format = format(&asked)?;
        let (content_type, header) = match (asked.container.as_deref(), format.encoding) {
            (Some("none"), Encoding::Linear16) => ("audio/l16", Vec::new()),
            (Some("none") | None, Encoding::G711(_)) => ("audio/basic", Vec::new()),
            // A client that asks for linear16 and for no container gets 44 bytes that are no sound.
            (None | Some("wav"), _) => ("audio/wav", format.wav_header()),
            _ => return Err(Refusal::Invalid("stand-ins have the containers none and wav".to_owned())),
        };
        let text = if plan.fault == Some(Fault::Empty) { "" } else { text };
        let header = (!header.is_empty()).then(|| Event { is_output: false, ..Event::bytes(header) });
        let sound = speak(text, format).into_iter().map(|piece| Event::bytes(piece.audio));
        let events = header.into_iter().chain(sound).collect();
        Ok(Reply::Bytes { content_type, events, error: None, unknown: None })
    }

    fn refuse(&self, refusal: &Refusal) -> Response {
        deepgram::refuse(refusal, &Uuid::new_v4().to_string())
    }

    fn error(&self) -> Event {
        Event::frame(json!({"err_code": "INTERNAL_SERVER_ERROR", "err_msg": "Something went wrong."}))
    }

    fn unknown(&self) -> Event {
        Event::frame("")
    }
}

fn format(asked: &Asked) -> Result<Format, Refusal> {
    let rate_hz = asked.sample_rate.map_or(0, |rate| rate as u32);
    let (encoding, default_hz, rates): (_, _, &[u32]) = match asked.encoding.as_deref() {
        None | Some("linear16") => {
            (Encoding::Linear16, 24_000, &[8_000, 16_000, 24_000, 32_000, 44_100, 48_000])
        }
        Some("mulaw") => (Encoding::G711(Law::Mu), 8_000, &[8_000, 16_000]),
        Some("alaw") => (Encoding::G711(Law::A), 8_000, &[8_000, 16_000]),
        Some(other) => {
            let reason = format!("stand-ins speak linear16, mulaw and alaw, not {other}");
            return Err(Refusal::Invalid(reason));
        }
    };
    match rate_hz {
        0 => Ok(Format { encoding, rate_hz: default_hz }),
        _ if rates.contains(&rate_hz) => Ok(Format { encoding, rate_hz }),
        _ => Err(Refusal::Invalid(format!("a sample_rate of {rate_hz} does not go with this encoding"))),
    }
}

/// The rules of one Aura socket.
struct Aura {
    queue: Queue,
    format: Format,
    is_mute: bool,
    buffer: String,
    flushes: VecDeque<Instant>,
    flushed: u32,
    cleared: u32,
}

impl Aura {
    fn new(asked: &Asked, id: &str, format: Format, is_mute: bool) -> Self {
        let mut queue = Queue::default();
        let model = asked.model.as_deref().unwrap_or("aura-asteria-en");
        queue.tell(
            "",
            &json!({
                "type": "Metadata", "request_id": id, "model_name": model, "model_version": "2025-04-07.0",
                "model_uuid": "5a4e1a0b-0a3c-4c2f-9f6d-2f9d2c1f7e11",
            }),
        );
        let (buffer, flushes) = (String::new(), VecDeque::new());
        Self { queue, format, is_mute, buffer, flushes, flushed: 0, cleared: 0 }
    }

    fn flush(&mut self, now: Instant) {
        while self.flushes.front().is_some_and(|at| now.duration_since(*at) >= WINDOW) {
            self.flushes.pop_front();
        }
        if self.flushes.len() >= FLUSHES {
            self.queue.tell(
                "",
                &json!({
                    "type": "Warning", "code": "EXCESSIVE_FLUSH",
                    "description": "No more flushes are processed until the 60 seconds have passed.",
                }),
            );
            return;
        }
        self.flushes.push_back(now);
        let text = std::mem::take(&mut self.buffer);
        for piece in speak(if self.is_mute { "" } else { &text }, self.format) {
            let message = Message::binary(piece.audio);
            self.queue.push(Say { of: String::new(), kind: Kind::Audio, kept: false, message });
        }
        let flushed = Message::text(json!({"type": "Flushed", "sequence_id": self.flushed}).to_string());
        self.queue.push(Say { of: String::new(), kind: Kind::Beside, kept: false, message: flushed });
        self.flushed += 1;
    }

    fn clear(&mut self) {
        self.buffer.clear();
        self.queue.cut("");
        self.queue.tell("", &json!({"type": "Cleared", "sequence_id": self.cleared}));
        self.cleared += 1;
    }
}

impl Talker for Aura {
    fn hear(&mut self, message: &str, now: Instant) {
        let message: Value = serde_json::from_str(message).unwrap_or_default();
        match (message["type"].as_str(), message["text"].as_str()) {
            (Some("Speak"), Some(text)) => self.buffer.push_str(text),
            (Some("Flush"), _) => self.flush(now),
            (Some("Clear"), _) => self.clear(),
            (Some("Close"), _) => {
                self.queue.clear();
                self.queue.close(1000, "");
            }
            _ => self.queue.close(1008, "DATA-0000: the message could not be understood"),
        }
    }

    fn queue(&mut self) -> &mut Queue {
        &mut self.queue
    }
}
