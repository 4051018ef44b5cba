//! ElevenLabs Scribe in real time: manual commits, or commits by pauses.
//!
//! Words are in a committed transcript exactly once; partial transcripts hold the whole segment so far. With
//! timestamps each commit is told twice, plain and with them, as the vendor does.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State as Of};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use axum::{Json, Router};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::StatusCode;
use hyper::header::HeaderMap;
use parlance_media::g711::Law;
use serde_json::{Value, json};
use uuid::Uuid;

use super::ear::{Ear, Encoding, Step, Word, seconds, text_of};
use super::{Asked, Out, Protocol, begin, converse, header};
use crate::events::{Dialect, Wire};
use crate::http::is_wrong;
use crate::{Fault, Plan, Service, State, Turn, socket};

/// Least audio between two commits; a commit of less ends the session.
const COMMIT_US: u64 = 300_000;
/// Least time between two partial transcripts.
const PARTIAL_US: u64 = 200_000;
/// How long a client may send nothing at all (that it is closed is known, after how long is not).
const PATIENCE: Duration = Duration::from_secs(20);

pub(super) fn routes() -> Router<Arc<State>> {
    Router::new().route("/elevenlabs/v1/speech-to-text/realtime", any(realtime))
}

async fn realtime(Of(state): Of<Arc<State>>, request: Request) -> Response {
    let (turn, asked) = begin(&state, Service::ElevenlabsScribe, request.uri()).await;
    if let Some(refused) = refusal(&turn, &request, &asked) {
        return refused;
    }
    let scribe = match Scribe::new(&asked, &turn.plan) {
        Ok(scribe) => Box::new(scribe),
        Err(message) => return refused(StatusCode::BAD_REQUEST, "invalid_request", &message),
    };
    socket::accept(request, HeaderMap::new(), move |socket| {
        converse(Wire::new(socket, turn, dialect()), scribe)
    })
}

fn refusal(turn: &Turn, request: &Request, asked: &Asked) -> Option<Response> {
    let wrong = || refused(StatusCode::UNAUTHORIZED, "invalid_api_key", "Invalid API key");
    let said = match turn.plan.fault {
        Some(Fault::Unauthorized) => wrong(),
        // Out of credits is a 401 here, no 402 and no 429.
        Some(Fault::Quota) => {
            refused(StatusCode::UNAUTHORIZED, "quota_exceeded", "This request exceeds your quota.")
        }
        Some(Fault::UnusualActivity) => {
            let message = "Unusual activity detected. Free Tier usage disabled.";
            refused(StatusCode::UNAUTHORIZED, "detected_unusual_activity", message)
        }
        Some(Fault::RateLimited { retry_after_s }) => {
            let message = "Too many concurrent requests.";
            let mut limited = refused(StatusCode::TOO_MANY_REQUESTS, "too_many_concurrent_requests", message);
            limited.headers_mut().insert("retry-after", retry_after_s.into());
            limited
        }
        Some(Fault::ServerError) => {
            refused(StatusCode::INTERNAL_SERVER_ERROR, "internal_server_error", "Something went wrong.")
        }
        _ => {
            let key = asked.get("token").unwrap_or_else(|| header(request, "xi-api-key"));
            return is_wrong(key).then(wrong);
        }
    };
    Some(said)
}

fn refused(status: StatusCode, name: &str, message: &str) -> Response {
    let headers = [("x-trace-id", Uuid::new_v4().simple().to_string())];
    (status, headers, Json(json!({"detail": {"status": name, "message": message}}))).into_response()
}

fn dialect() -> Dialect {
    let error = json!({"message_type": "transcriber_error", "error": "The transcriber failed."});
    Dialect {
        unknown: json!({"message_type": "mood", "mood": "calm"}).to_string(),
        error: vec![error.to_string()],
        error_close: Some((1008, "transcriber_error")),
        flap: (1011, "internal error"),
    }
}

struct Scribe {
    ear: Ear,
    config: Value,
    vad_us: Option<u64>,
    timestamps: bool,
    language: bool,
    words: Vec<Word>,
    /// Audio time of the last commit, and of the last partial transcript.
    committed_us: u64,
    partial_us: u64,
    /// Words in the last partial transcript.
    told: usize,
    began: bool,
}

impl Scribe {
    fn new(asked: &Asked, plan: &Plan) -> Result<Self, String> {
        let model = asked.get("model_id").ok_or("model_id is required")?;
        let format = asked.get("audio_format").unwrap_or("pcm_16000");
        let (encoding, rate_hz) = match format {
            "ulaw_8000" => (Encoding::G711(Law::Mu), 8_000),
            _ => {
                let rates = [8_000, 16_000, 22_050, 24_000, 44_100, 48_000];
                let rate = format.strip_prefix("pcm_").and_then(|rate| rate.parse().ok());
                let known = rate.filter(|rate| rates.contains(rate));
                (Encoding::Linear16, known.ok_or_else(|| format!("audio_format {format} is not supported"))?)
            }
        };
        let silence = asked.number("vad_silence_threshold_secs", 0.3..=3.0)?.unwrap_or(1.5);
        asked.number("vad_threshold", 0.1..=0.9)?;
        let strategy = asked.get("commit_strategy").unwrap_or("manual");
        let vad_us = match strategy {
            "manual" => None,
            "vad" => Some((silence * 1_000_000.0) as u64),
            other => return Err(format!("commit_strategy {other} is not supported")),
        };
        let config = json!({
            "model_id": model,
            "audio_format": format,
            "sample_rate": rate_hz,
            "language_code": asked.get("language_code"),
            "commit_strategy": strategy,
            "vad_silence_threshold_secs": silence,
            "include_timestamps": asked.is_true("include_timestamps"),
        });
        Ok(Self {
            ear: Ear::new(encoding, rate_hz, plan),
            config,
            vad_us,
            timestamps: asked.is_true("include_timestamps"),
            language: asked.is_true("include_language_detection"),
            words: Vec::new(),
            committed_us: 0,
            partial_us: 0,
            told: 0,
            began: false,
        })
    }

    fn step(&mut self, step: Step, out: &mut Out) {
        self.words.extend(step.words);
        if self.words.len() > self.told && step.now_us >= self.partial_us + PARTIAL_US {
            (self.partial_us, self.told) = (step.now_us, self.words.len());
            out.event(&json!({"message_type": "partial_transcript", "text": text_of(&self.words)}));
        }
        if let Some((after, silent)) = self.vad_us.zip(step.silent_us)
            && !self.words.is_empty()
            && silent >= after
        {
            self.commit(out);
        }
    }

    fn commit(&mut self, out: &mut Out) {
        self.words.extend(self.ear.flush());
        let text = text_of(&self.words);
        out.event(&json!({"message_type": "committed_transcript", "text": text}));
        if self.timestamps || self.language {
            let words: Vec<_> =
                self.words.iter().enumerate().flat_map(|(index, word)| timed(index, word)).collect();
            let mut timed = json!({"message_type": "committed_transcript_with_timestamps", "text": text});
            timed["language_code"] = json!("en");
            timed["words"] = json!(words);
            out.event(&timed);
        }
        self.words.clear();
        self.told = 0;
        self.committed_us = self.ear.now_us();
    }

    fn error(name: &str, message: &str, out: &mut Out) {
        out.tell(&json!({"message_type": name, "error": message}));
        out.close(Some((1008, "the session was ended, see the error")));
    }
}

impl Protocol for Scribe {
    fn greet(&mut self, out: &mut Out) {
        let id = Uuid::new_v4().simple().to_string();
        out.tell(&json!({"message_type": "session_started", "session_id": id, "config": self.config}));
    }

    fn binary(&mut self, _: &[u8], out: &mut Out) {
        Self::error("input_error", "binary messages are not supported", out);
    }

    fn text(&mut self, text: &str, out: &mut Out) {
        let message: Value = serde_json::from_str(text).unwrap_or_default();
        if message["message_type"] != "input_audio_chunk" {
            return Self::error("invalid_request", "message_type must be input_audio_chunk", out);
        }
        let Ok(audio) = STANDARD.decode(message["audio_base_64"].as_str().unwrap_or_default()) else {
            return Self::error("input_error", "audio_base_64 could not be decoded", out);
        };
        if self.began && message["previous_text"].is_string() {
            return Self::error("input_error", "previous_text is only taken with the first chunk", out);
        }
        self.began |= !audio.is_empty();
        self.ear.push(&audio);
        while let Some(step) = self.ear.step() {
            self.step(step, out);
        }
        if message["commit"] == true {
            if self.ear.now_us() < self.committed_us + COMMIT_US {
                return Self::error(
                    "commit_throttled",
                    "less than 0.3 s of audio since the last commit",
                    out,
                );
            }
            self.commit(out);
        }
    }

    fn patience(&self) -> Option<(Duration, (u16, &'static str))> {
        Some((PATIENCE, (1008, "insufficient_audio_activity")))
    }
}

/// A word, and the space before it if it is not the first.
fn timed(index: usize, word: &Word) -> Vec<Value> {
    let (start, end) = (seconds(word.start_us), seconds(word.end_us));
    let space = (index > 0)
        .then(|| json!({"text": " ", "start": start, "end": start, "type": "spacing", "logprob": 0.0}));
    let word = json!({"text": word.text, "start": start, "end": end, "type": "word", "logprob": -0.02});
    space.into_iter().chain([word]).collect()
}
