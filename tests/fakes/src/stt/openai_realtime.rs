//! OpenAI's realtime transcription sessions: `/v1/realtime?intent=transcription`.
//!
//! Turns are committed by the client or, with `turn_detection`, by pauses. Models that stream tell deltas while audio
//! comes and take no `turn_detection`; the others tell them after the commit.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State as Of};
use axum::response::Response;
use axum::routing::any;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::header::{HeaderMap, HeaderValue};
use parlance_media::g711::Law;
use serde_json::{Value, json};
use uuid::Uuid;

use super::ear::{Ear, Encoding, Step, Word};
use super::{Asked, Out, Protocol, begin, converse, openai_transcribe};
use crate::events::{Dialect, Wire};
use crate::{Plan, Service, State, socket};

/// A commit of less audio is refused.
const LITTLE_US: u64 = 100_000;

pub(super) fn routes() -> Router<Arc<State>> {
    Router::new().route("/openai/v1/realtime", any(realtime))
}

async fn realtime(Of(state): Of<Arc<State>>, request: Request) -> Response {
    let (turn, asked) = begin(&state, Service::OpenaiRealtime, request.uri()).await;
    if let Some(refused) = openai_transcribe::refusal(&turn, &request) {
        return refused;
    }
    let session = Box::new(Session::new(&asked, &turn.plan));
    let mut headers = HeaderMap::new();
    if let Ok(id) = HeaderValue::from_str(&name("req")) {
        headers.insert("x-request-id", id);
    }
    socket::accept(request, headers, move |socket| converse(Wire::new(socket, turn, dialect()), session))
}

fn dialect() -> Dialect {
    let message = "The server had an error while processing your request.";
    Dialect {
        unknown: json!({"type": "session.weather", "event_id": "event_unknown"}).to_string(),
        error: vec![error("server_error", None, message, None).to_string()],
        error_close: None,
        flap: (1011, "internal error"),
    }
}

struct Session {
    ear: Ear,
    plan: Plan,
    /// Whether the address named a model: a conversation, which takes no transcription settings.
    conversation: bool,
    id: String,
    settings: Value,
    /// Silence that ends a turn, with `turn_detection`.
    vad_us: Option<u64>,
    streams: bool,
    item: String,
    previous: Option<String>,
    words: Vec<Word>,
    /// Words told in deltas.
    told: usize,
    committed_us: u64,
    speaking: bool,
}

impl Session {
    fn new(asked: &Asked, plan: &Plan) -> Self {
        let conversation = asked.get("model").is_some() || asked.get("intent") != Some("transcription");
        let kind = if conversation { "realtime" } else { "transcription" };
        Self {
            ear: Ear::new(Encoding::Linear16, 24_000, plan),
            plan: plan.clone(),
            conversation,
            id: name("sess"),
            settings: json!({"type": kind, "audio": {"input": {
                "format": {"type": "audio/pcm", "rate": 24_000},
                "transcription": null,
                "noise_reduction": null,
                "turn_detection": {"type": "server_vad", "threshold": 0.5, "prefix_padding_ms": 300, "silence_duration_ms": 500},
            }}}),
            vad_us: Some(500_000),
            streams: false,
            item: name("item"),
            previous: None,
            words: Vec::new(),
            told: 0,
            committed_us: 0,
            speaking: false,
        }
    }

    fn update(&mut self, wanted: &Value, event_id: Option<&str>, out: &mut Out) {
        if wanted["type"] == "transcription" && self.conversation {
            let message =
                "Passing a transcription session update event to a realtime session is not allowed.";
            return out.tell(&error("invalid_request_error", Some("invalid_model"), message, event_id));
        }
        let input = &wanted["audio"]["input"];
        let model = input["transcription"]["model"].as_str().unwrap_or_default();
        let streams = ["gpt-realtime-whisper", "gpt-live-transcribe"].contains(&model);
        if streams && !input["turn_detection"].is_null() {
            let message = format!("Turn detection is not supported for {model}.");
            return out.tell(&error("invalid_request_error", Some("invalid_value"), &message, event_id));
        }
        match &input["format"] {
            Value::Null => {}
            format => match encoding(format) {
                // Nothing that was heard so far is lost by it: settings come before audio.
                Some((encoding, rate_hz)) => {
                    self.ear = Ear::with(encoding, rate_hz, &self.plan, self.ear.lines())
                }
                None => {
                    let message = "Supported are audio/pcm at 24000, audio/pcmu and audio/pcma.";
                    return out.tell(&error(
                        "invalid_request_error",
                        Some("invalid_value"),
                        message,
                        event_id,
                    ));
                }
            },
        }
        self.streams = streams;
        let input = input.as_object().cloned().unwrap_or_default();
        if let Some(detection) = input.get("turn_detection") {
            self.vad_us = match detection["type"].as_str() {
                None => None,
                // Eagerness caps the wait at 8, 4 or 2 s; what ends a turn sooner is a guess at the words.
                Some("semantic_vad") => Some(800_000),
                Some(_) => Some(detection["silence_duration_ms"].as_u64().unwrap_or(500) * 1_000),
            };
        } else if streams {
            self.vad_us = None;
        }
        for (key, value) in input {
            self.settings["audio"]["input"][key] = value;
        }
        self.tell_session("session.updated", out);
    }

    fn tell_session(&self, kind: &str, out: &mut Out) {
        let mut session = self.settings.clone();
        session["id"] = json!(self.id);
        session["object"] = json!("realtime.transcription_session");
        out.tell(&json!({"type": kind, "event_id": name("event"), "session": session}));
    }

    fn step(&mut self, step: Step, out: &mut Out) {
        self.words.extend(step.words);
        if let Some(onset_us) = step.onset_us
            && self.vad_us.is_some()
            && !self.speaking
        {
            self.speaking = true;
            out.tell(&json!({"type": "input_audio_buffer.speech_started", "event_id": name("event"),
                "audio_start_ms": onset_us / 1_000, "item_id": self.item}));
        }
        if self.streams {
            self.tell_deltas(out);
        }
        if let Some((after, silent)) = self.vad_us.zip(step.silent_us)
            && self.speaking
            && silent >= after
        {
            self.speaking = false;
            out.tell(&json!({"type": "input_audio_buffer.speech_stopped", "event_id": name("event"),
                "audio_end_ms": step.now_us / 1_000, "item_id": self.item}));
            self.commit(out);
        }
    }

    /// Words that no delta had yet; all deltas joined are the transcript.
    fn tell_deltas(&mut self, out: &mut Out) {
        for index in self.told..self.words.len() {
            let space = if index > 0 { " " } else { "" };
            out.event(&json!({"type": "conversation.item.input_audio_transcription.delta", "event_id": name("event"),
                "item_id": self.item, "content_index": 0, "delta": format!("{space}{}", self.words[index].text)}));
        }
        self.told = self.words.len();
    }

    fn commit(&mut self, out: &mut Out) {
        self.words.extend(self.ear.flush());
        let item = self.item.clone();
        out.tell(&json!({"type": "input_audio_buffer.committed", "event_id": name("event"),
            "item_id": item, "previous_item_id": self.previous}));
        for kind in ["conversation.item.added", "conversation.item.done"] {
            out.tell(&json!({"type": kind, "event_id": name("event"), "previous_item_id": self.previous,
                "item": {"id": item, "object": "realtime.item", "type": "message", "role": "user", "status": "completed",
                    "content": [{"type": "input_audio", "transcript": null}]}}));
        }
        self.tell_deltas(out);
        let heard_us = self.ear.now_us() - self.committed_us;
        out.event(&json!({"type": "conversation.item.input_audio_transcription.completed", "event_id": name("event"),
            "item_id": item, "content_index": 0, "transcript": super::ear::text_of(&self.words),
            "usage": {"type": "duration", "seconds": super::ear::seconds(heard_us)}}));
        self.begin_item(Some(item));
    }

    fn begin_item(&mut self, previous: Option<String>) {
        self.previous = previous;
        self.item = name("item");
        self.words.clear();
        self.told = 0;
        self.committed_us = self.ear.now_us();
    }

    fn append(&mut self, message: &Value, event_id: Option<&str>, out: &mut Out) {
        let Ok(audio) = STANDARD.decode(message["audio"].as_str().unwrap_or_default()) else {
            let message = "Invalid 'audio'. Expected base64-encoded audio bytes.";
            return out.tell(&error("invalid_request_error", Some("invalid_value"), message, event_id));
        };
        self.ear.push(&audio);
        while let Some(step) = self.ear.step() {
            self.step(step, out);
        }
    }
}

impl Protocol for Session {
    fn greet(&mut self, out: &mut Out) {
        self.tell_session("session.created", out);
    }

    fn binary(&mut self, _: &[u8], out: &mut Out) {
        out.tell(&error("invalid_request_error", None, "Binary messages are not supported.", None));
    }

    fn text(&mut self, text: &str, out: &mut Out) {
        let message: Value = serde_json::from_str(text).unwrap_or_default();
        let event_id = message["event_id"].as_str();
        match message["type"].as_str() {
            Some("session.update") => self.update(&message["session"], event_id, out),
            Some("input_audio_buffer.append") => self.append(&message, event_id, out),
            Some("input_audio_buffer.commit") if self.ear.now_us() < self.committed_us + LITTLE_US => {
                let message = "Error committing input audio buffer: buffer too small. Expected at least 100ms of audio.";
                let code = Some("input_audio_buffer_commit_empty");
                out.tell(&error("invalid_request_error", code, message, event_id));
            }
            Some("input_audio_buffer.commit") => {
                self.speaking = false;
                self.commit(out);
            }
            Some("input_audio_buffer.clear") => {
                let previous = self.previous.take();
                self.begin_item(previous);
                out.tell(&json!({"type": "input_audio_buffer.cleared", "event_id": name("event")}));
            }
            other => {
                let message = format!("Invalid value: '{}'.", other.unwrap_or_default());
                out.tell(&error("invalid_request_error", Some("invalid_value"), &message, event_id));
            }
        }
    }
}

fn encoding(format: &Value) -> Option<(Encoding, u32)> {
    match format["type"].as_str()? {
        "audio/pcm" if format["rate"].as_u64().is_none_or(|rate| rate == 24_000) => {
            Some((Encoding::Linear16, 24_000))
        }
        "audio/pcmu" => Some((Encoding::G711(Law::Mu), 8_000)),
        "audio/pcma" => Some((Encoding::G711(Law::A), 8_000)),
        _ => None,
    }
}

fn error(kind: &str, code: Option<&str>, message: &str, event_id: Option<&str>) -> Value {
    json!({"type": "error", "event_id": name("event"),
        "error": {"type": kind, "code": code, "message": message, "param": null, "event_id": event_id}})
}

fn name(kind: &str) -> String {
    format!("{kind}_{}", Uuid::new_v4().simple())
}
