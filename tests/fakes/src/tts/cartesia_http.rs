//! Cartesia's speech by one request for all bytes, its voices, and what its requests have in common: key, version,
//! format, errors.
//!
//! The list of voices knows a wrong key but no plan, so that a warm-up does not use up what is planned for a synthesis.

use std::sync::Arc;

use axum::extract::{Query, Request, State as Of};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use hyper::{HeaderMap, Uri};
use parlance_media::g711::Law;
use serde_json::{Value, json};
use uuid::Uuid;

use super::speech::{Encoding, Format, speak};
use crate::sse::{self, Call, Event, Refusal, Reply};
use crate::{Fault, Plan, Service, State, http};

/// Some voices: name, id, language.
const VOICES: [(&str, &str, &str); 3] = [
    ("Katie", "f786b574-daa5-4673-aa0c-cbe3e8534c02", "en"),
    ("Griffin", "c99d36f3-5ffd-4253-803a-535c1bc9c306", "en"),
    ("Arushi", "95d51f79-c397-46f9-b49a-23763d3eaa2d", "hi"),
];

/// The routes of this file.
pub fn routes() -> Router<Arc<State>> {
    Router::new().route("/cartesia/tts/bytes", post(synthesize)).route("/cartesia/voices", get(voices))
}

async fn synthesize(Of(state): Of<Arc<State>>, request: Request) -> Response {
    sse::answer(state, Service::CartesiaTts, &Requests, request).await
}

/// What a request shows of who it comes from, in headers or, from browsers, in the query.
pub struct Access {
    /// The key; empty when there is none.
    pub key: String,
    /// Whether it says which version of the interface it means.
    pub has_version: bool,
}

/// What this request shows.
pub fn access(headers: &HeaderMap, uri: &Uri) -> Access {
    #[derive(Default, serde::Deserialize)]
    struct Asked {
        access_token: Option<String>,
        cartesia_version: Option<String>,
    }
    let asked = Query::<Asked>::try_from_uri(uri).map(|Query(asked)| asked).unwrap_or_default();
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let bearer = header("authorization").and_then(|value| value.strip_prefix("Bearer "));
    let key = header("x-api-key").or(bearer).map(str::to_owned).or(asked.access_token).unwrap_or_default();
    // Any date: the client's own (cartesia 4.2 sends 2026-08-14) is newer than the documentation's.
    let has_version = header("cartesia-version").is_some() || asked.cartesia_version.is_some();
    Access { key, has_version }
}

/// The encoding and rate of an `output_format`.
///
/// # Errors
/// For one that Cartesia has not.
pub fn format(asked: &Value) -> Result<Format, &'static str> {
    let encoding = match asked["encoding"].as_str() {
        Some("pcm_s16le") => Encoding::Linear16,
        Some("pcm_f32le") => Encoding::Float32,
        Some("pcm_mulaw") => Encoding::G711(Law::Mu),
        Some("pcm_alaw") => Encoding::G711(Law::A),
        _ => return Err("output_format.encoding is not one of pcm_s16le, pcm_f32le, pcm_mulaw and pcm_alaw"),
    };
    match asked["sample_rate"].as_u64() {
        Some(rate @ (8_000 | 16_000 | 22_050 | 24_000 | 44_100 | 48_000)) => {
            Ok(Format { encoding, rate_hz: rate as u32 })
        }
        _ => Err("output_format.sample_rate is not one of 8000, 16000, 22050, 24000, 44100 and 48000"),
    }
}

/// An error as it is told on the socket and in bodies.
pub fn failure(context: Option<&str>, status: u16, code: &str, message: &str) -> Value {
    let mut error = json!({
        "type": "error", "done": true, "status_code": status, "error_code": code, "title": code,
        "message": message, "request_id": Uuid::new_v4(),
    });
    if let Some(context) = context {
        error["context_id"] = context.into();
    }
    error
}

/// The request for all bytes.
pub struct Requests;

impl sse::Dialect for Requests {
    fn key(&self, call: &Call) -> String {
        access(&call.headers, &Uri::default()).key
    }

    fn reply(&self, plan: &Plan, call: &Call) -> Result<Reply, Refusal> {
        let invalid = |reason: &str| Refusal::Invalid(reason.to_owned());
        if call.header("cartesia-version").is_empty() {
            return Err(invalid("a Cartesia-Version is required"));
        }
        let transcript = call.body["transcript"].as_str().unwrap_or_default();
        if transcript.trim().is_empty() || call.body["model_id"].is_null() || call.body["voice"].is_null() {
            return Err(invalid("transcript, model_id and voice are required"));
        }
        let asked = &call.body["output_format"];
        let format = format(asked).map_err(invalid)?;
        let (content_type, header) = match asked["container"].as_str() {
            Some("raw") => ("audio/pcm", None),
            Some("wav") => ("audio/wav", Some(format.wav_header())),
            _ => return Err(invalid("stand-ins have the containers raw and wav")),
        };
        let header = header.map(|header| Event { is_output: false, ..Event::bytes(header) });
        let pieces = speak(if plan.fault == Some(Fault::Empty) { "" } else { transcript }, format);
        let sound = pieces.into_iter().map(|piece| Event::bytes(piece.audio));
        let events = header.into_iter().chain(sound).collect();
        Ok(Reply::Bytes { content_type, events, error: None, unknown: None })
    }

    fn refuse(&self, refusal: &Refusal) -> Response {
        let (status, code, message) = match refusal {
            Refusal::Unauthorized => (401, "unauthorized", "Invalid API key."),
            Refusal::Quota => (402, "quota_exceeded", "Credit limit reached."),
            Refusal::RateLimited { .. } => (429, "concurrency_limited", "Too many concurrent requests."),
            Refusal::ServerError => (500, "internal_error", "Something went wrong."),
            Refusal::Invalid(reason) => (400, "invalid_request", reason.as_str()),
            Refusal::NoModel(_) => (404, "model_not_found", "There is no such model."),
        };
        let mut headers = Vec::new();
        if let Refusal::RateLimited { retry_after_s } = refusal {
            headers.push(("retry-after", retry_after_s.to_string()));
        }
        sse::refused(status, &headers, &failure(None, status, code, message))
    }

    fn error(&self) -> Event {
        Event::frame(failure(None, 500, "internal_error", "Something went wrong."))
    }

    fn unknown(&self) -> Event {
        Event::frame("")
    }
}

#[derive(Debug, serde::Deserialize)]
struct Page {
    starting_after: Option<String>,
    limit: Option<usize>,
    q: Option<String>,
}

async fn voices(Query(page): Query<Page>, headers: HeaderMap) -> Response {
    if http::is_wrong(&access(&headers, &Uri::default()).key) {
        return sse::Dialect::refuse(&Requests, &Refusal::Unauthorized);
    }
    let wanted = page.q.unwrap_or_default().to_lowercase();
    let named = VOICES.iter().filter(|(name, id, _)| name.to_lowercase().contains(&wanted) || *id == wanted);
    let after: Vec<_> = match &page.starting_after {
        Some(last) => named.skip_while(|(_, id, _)| id != last).skip(1).collect(),
        None => named.collect(),
    };
    let limit = page.limit.unwrap_or(10).clamp(1, 100);
    let voice = |(name, id, language): &&(&str, &str, &str)| {
        json!({
            "id": id, "name": name, "language": language, "description": "A voice.", "tagline": "",
            "access": "public", "visibility": "all", "is_owner": false, "created_at": "2025-01-01T00:00:00Z",
            "locales": [{"locale": language, "is_native": true}],
        })
    };
    let data: Vec<_> = after.iter().take(limit).map(voice).collect();
    Json(json!({"data": data, "has_more": after.len() > limit})).into_response()
}
