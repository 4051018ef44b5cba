//! Cartesia's streaming transcription with manual finalize, `/stt/websocket`.
//!
//! Commands are bare words, `finalize` and `close`. A transcript is what came after the last final one, to be joined as
//! it is: its own leading space is part of it.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State as Of};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use axum::{Json, Router};
use hyper::StatusCode;
use hyper::header::HeaderMap;
use parlance_media::g711::Law;
use serde_json::{Value, json};
use uuid::Uuid;

use super::ear::{Ear, Encoding, Step, Word, seconds, text_of};
use super::{Asked, Out, Protocol, begin, converse, credential, header};
use crate::events::{Dialect, Wire};
use crate::http::is_wrong;
use crate::{Fault, Plan, Service, State, Turn, socket};

/// Least time between two transcripts that are not final.
const INTERIM_US: u64 = 200_000;
const PATIENCE: Duration = Duration::from_secs(180);

pub(super) fn routes() -> Router<Arc<State>> {
    Router::new().route("/cartesia/stt/websocket", any(websocket))
}

async fn websocket(Of(state): Of<Arc<State>>, request: Request) -> Response {
    let (turn, asked) = begin(&state, Service::CartesiaStt, request.uri()).await;
    if let Some(refused) = refusal(&turn, &request, &asked) {
        return refused;
    }
    let ink = match Ink::new(&asked, &turn.plan) {
        Ok(ink) => Box::new(ink),
        Err(message) => return refused(StatusCode::BAD_REQUEST, "Bad request", "invalid_request", &message),
    };
    socket::accept(request, HeaderMap::new(), move |socket| converse(Wire::new(socket, turn, dialect()), ink))
}

fn refusal(turn: &Turn, request: &Request, asked: &Asked) -> Option<Response> {
    let wrong = || refused(StatusCode::UNAUTHORIZED, "Unauthorized", "invalid_api_key", "Invalid API key.");
    let said = match turn.plan.fault {
        Some(Fault::Unauthorized) => wrong(),
        Some(Fault::Quota) => {
            refused(StatusCode::PAYMENT_REQUIRED, "Payment required", "quota_exceeded", "Out of credits.")
        }
        Some(Fault::RateLimited { retry_after_s }) => {
            let message = "Too many concurrent requests.";
            let mut limited =
                refused(StatusCode::TOO_MANY_REQUESTS, "Too many requests", "concurrency_limited", message);
            limited.headers_mut().insert("retry-after", retry_after_s.into());
            limited
        }
        Some(Fault::ServerError) => {
            let message = "Something went wrong.";
            refused(StatusCode::INTERNAL_SERVER_ERROR, "Internal server error", "internal_error", message)
        }
        _ => {
            if header(request, "cartesia-version").is_empty() && asked.get("cartesia_version").is_none() {
                let message = "The header Cartesia-Version is missing.";
                return Some(refused(StatusCode::BAD_REQUEST, "Bad request", "version_missing", message));
            }
            let keys = [header(request, "x-api-key"), credential(request, &["bearer"])];
            let key = keys.into_iter().chain(asked.get("access_token")).find(|key| !key.is_empty());
            return is_wrong(key.unwrap_or_default()).then(wrong);
        }
    };
    Some(said)
}

fn refused(status: StatusCode, title: &str, code: &str, message: &str) -> Response {
    (status, Json(error(status.as_u16(), title, code, message))).into_response()
}

fn error(status: u16, title: &str, code: &str, message: &str) -> Value {
    let id = Uuid::new_v4().to_string();
    json!({"type": "error", "status_code": status, "title": title, "error_code": code, "message": message, "request_id": id})
}

fn dialect() -> Dialect {
    let error = error(500, "Internal server error", "internal_error", "The model failed.");
    Dialect {
        unknown: json!({"type": "mood", "mood": "calm", "request_id": ""}).to_string(),
        error: vec![error.to_string()],
        error_close: None,
        flap: (1011, "internal error"),
    }
}

struct Ink {
    ear: Ear,
    id: String,
    language: String,
    /// Only `ink-whisper` settles words by itself, after so long a silence.
    silence_us: Option<u64>,
    words: Vec<Word>,
    /// Audio time of the last final transcript, and of the last one at all.
    final_us: u64,
    interim_us: u64,
    told: usize,
    /// Whether a word was final before.
    any: bool,
}

impl Ink {
    fn new(asked: &Asked, plan: &Plan) -> Result<Self, String> {
        let model = asked.get("model").ok_or("model is required")?;
        if !model.starts_with("ink-") {
            return Err(format!("model {model} does not exist"));
        }
        let encoding = match asked.get("encoding") {
            Some("pcm_s16le") => Encoding::Linear16,
            Some("pcm_mulaw") => Encoding::G711(Law::Mu),
            Some("pcm_alaw") => Encoding::G711(Law::A),
            other => return Err(format!("encoding {} is not supported", other.unwrap_or("missing"))),
        };
        let rate = asked.number("sample_rate", 8_000.0..=48_000.0)?.ok_or("sample_rate is required")?;
        let silence = asked.number("max_silence_duration_secs", 0.0..=60.0)?.unwrap_or(0.8);
        Ok(Self {
            ear: Ear::new(encoding, rate as u32, plan),
            id: Uuid::new_v4().to_string(),
            language: asked.get("language").unwrap_or("en").to_owned(),
            silence_us: model.starts_with("ink-whisper").then_some((silence * 1_000_000.0) as u64),
            words: Vec::new(),
            final_us: 0,
            interim_us: 0,
            told: 0,
            any: false,
        })
    }

    fn step(&mut self, step: Step, out: &mut Out) {
        self.words.extend(step.words);
        let paused = self.silence_us.zip(step.silent_us).is_some_and(|(after, silent)| silent >= after);
        if !self.words.is_empty() && paused {
            self.settle(out);
        } else if self.words.len() > self.told && step.now_us >= self.interim_us + INTERIM_US {
            (self.interim_us, self.told) = (step.now_us, self.words.len());
            let transcript = self.transcript(false);
            out.event(&transcript);
        }
    }

    fn settle(&mut self, out: &mut Out) {
        if !self.words.is_empty() {
            let transcript = self.transcript(true);
            out.event(&transcript);
            self.any = true;
            self.words.clear();
            self.told = 0;
        }
        self.final_us = self.ear.now_us();
    }

    fn transcript(&self, is_final: bool) -> Value {
        let space = if self.any { " " } else { "" };
        let words: Vec<_> = self
            .words
            .iter()
            .map(|word| json!({"word": word.text, "start": seconds(word.start_us), "end": seconds(word.end_us)}))
            .collect();
        json!({
            "type": "transcript",
            "request_id": self.id,
            "text": format!("{space}{}", text_of(&self.words)),
            "is_final": is_final,
            "duration": seconds(self.ear.now_us() - self.final_us),
            "language": self.language,
            "words": words,
        })
    }

    fn finalize(&mut self, out: &mut Out) {
        self.words.extend(self.ear.flush());
        self.settle(out);
    }
}

impl Protocol for Ink {
    fn binary(&mut self, bytes: &[u8], out: &mut Out) {
        self.ear.push(bytes);
        while let Some(step) = self.ear.step() {
            self.step(step, out);
        }
    }

    fn text(&mut self, text: &str, out: &mut Out) {
        match text.trim() {
            "finalize" => {
                self.finalize(out);
                out.tell(&json!({"type": "flush_done", "request_id": self.id}));
            }
            // `done` is what `close` was called before.
            "close" | "done" => {
                self.finalize(out);
                out.tell(&json!({"type": "done", "request_id": self.id}));
                out.close(Some((1000, "")));
            }
            other => {
                let message = format!("Unknown command: {other}");
                out.tell(&error(400, "Bad request", "invalid_request", &message));
            }
        }
    }

    fn patience(&self) -> Option<(Duration, (u16, &'static str))> {
        Some((PATIENCE, (1000, "idle")))
    }
}
