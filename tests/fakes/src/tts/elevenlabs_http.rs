//! ElevenLabs' speech over HTTP, plain and with timestamps, and its lists of voices and models.
//!
//! Formats without samples (mp3, opus) are refused: stand-ins have no such coder. The lists know a wrong key but no
//! plan, so that a warm-up does not use up what is planned for a synthesis.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Query, Request, State as Of};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, http::HeaderMap};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use hyper::Uri;
use parlance_media::g711::Law;
use serde_json::{Value, json};

use super::speech::{Encoding, Format, Piece, speak};
use crate::sse::{self, Call, Event, Refusal, Reply};
use crate::{Fault, Plan, Service, State, http};

/// Characters in one request, of the models that take most.
const TEXT_LIMIT: usize = 40_000;

/// Some voices: name, id, language, accent.
const VOICES: [(&str, &str, &str, &str); 5] = [
    ("Rachel", "21m00Tcm4TlvDq8ikWAM", "en", "american"),
    ("Adam", "pNInz6obpgDQGcFmaJgB", "en", "american"),
    ("Antoni", "ErXwobaYiN019PkySvjV", "en", "american"),
    ("Charlotte", "XB0fDUnXU5powFXDhCwa", "en", "swedish"),
    ("George", "JBFqnCBsd6RMkjVDRZzb", "en", "british"),
];

/// The routes of this file.
pub fn routes() -> Router<Arc<State>> {
    Router::new()
        .route("/elevenlabs/v1/text-to-speech/{voice}", post(synthesize))
        .route("/elevenlabs/v1/text-to-speech/{voice}/stream", post(synthesize))
        .route("/elevenlabs/v1/text-to-speech/{voice}/stream/with-timestamps", post(synthesize))
        .route("/elevenlabs/v1/models", get(models))
        .route("/elevenlabs/v1/voices", get(voices))
        .route("/elevenlabs/v2/voices", get(voices_by_page))
}

async fn synthesize(Of(state): Of<Arc<State>>, request: Request) -> Response {
    sse::answer(state, Service::ElevenlabsHttp, &Requests, request).await
}

/// The format of an `output_format`.
///
/// # Errors
/// For one that stand-ins can't speak.
pub fn format(name: Option<&str>) -> Result<Format, Refusal> {
    let name = name.unwrap_or("mp3_44100_128");
    let pcm = name.strip_prefix("pcm_").and_then(|rate| rate.parse().ok());
    let (encoding, rate_hz) = match (name, pcm) {
        ("ulaw_8000", _) => (Encoding::G711(Law::Mu), 8_000),
        ("alaw_8000", _) => (Encoding::G711(Law::A), 8_000),
        (_, Some(rate @ (8_000 | 16_000 | 22_050 | 24_000 | 32_000 | 44_100 | 48_000))) => {
            (Encoding::Linear16, rate)
        }
        _ => return Err(Refusal::Invalid("invalid_output_format".to_owned())),
    };
    Ok(Format { encoding, rate_hz })
}

#[derive(Debug, serde::Deserialize)]
struct Asked {
    output_format: Option<String>,
}

/// Requests over HTTP. A broken rule is told by its `status`.
pub struct Requests;

impl sse::Dialect for Requests {
    fn key(&self, call: &Call) -> String {
        call.header("xi-api-key").to_owned()
    }

    fn reply(&self, plan: &Plan, call: &Call) -> Result<Reply, Refusal> {
        if plan.fault == Some(Fault::UnusualActivity) {
            return Err(Refusal::Invalid("detected_unusual_activity".to_owned()));
        }
        let uri = format!("/?{}", call.query).parse::<Uri>().unwrap_or_default();
        let asked = Query::<Asked>::try_from_uri(&uri);
        let format = format(asked.ok().and_then(|Query(asked)| asked.output_format).as_deref())?;
        let text =
            call.body["text"].as_str().ok_or_else(|| Refusal::Invalid("invalid_request".to_owned()))?;
        let voice = call.path.split('/').nth(4).unwrap_or_default();
        if voice.contains("unknown") {
            return Err(Refusal::Invalid("voice_not_found".to_owned()));
        }
        if text.chars().count() > TEXT_LIMIT {
            return Err(Refusal::Invalid("max_character_limit_exceeded".to_owned()));
        }
        let pieces = speak(if plan.fault == Some(Fault::Empty) { "" } else { text }, format);
        if !call.path.ends_with("/with-timestamps") {
            let events = pieces.into_iter().map(|piece| Event::bytes(piece.audio)).collect();
            let content_type =
                if format.encoding == Encoding::Linear16 { "audio/pcm" } else { "audio/basic" };
            return Ok(Reply::Bytes { content_type, events, error: None, unknown: None });
        }
        let mut began_ms = 0;
        let mut events = Vec::new();
        for piece in &pieces {
            events.push(Event::bytes(line(&json!({
                "audio_base64": BASE64.encode(&piece.audio),
                "alignment": alignment(piece, began_ms),
                "normalized_alignment": alignment(piece, began_ms),
            }))));
            began_ms += piece.for_ms;
        }
        let error =
            Some(line(&json!({"detail": {"status": "system_busy", "message": "The system is busy."}})));
        let unknown = Some(line(&json!({"voice_activity": {"level": 3}})));
        Ok(Reply::Bytes { content_type: "application/json", events, error, unknown })
    }

    fn refuse(&self, refusal: &Refusal) -> Response {
        let (status, name, reason) = match refusal {
            Refusal::Unauthorized => (401, "invalid_api_key", "Invalid API key"),
            Refusal::Quota => (401, "quota_exceeded", "This request exceeds your quota."),
            Refusal::RateLimited { .. } => {
                (429, "too_many_concurrent_requests", "Too many concurrent requests.")
            }
            Refusal::ServerError => (500, "internal_server_error", "Something went wrong."),
            Refusal::Invalid(name) if name == "detected_unusual_activity" => {
                (401, name.as_str(), "Unusual activity detected. Free Tier usage disabled.")
            }
            Refusal::Invalid(name) => (400, name.as_str(), "The request breaks a rule."),
            Refusal::NoModel(_) => (400, "model_not_found", "A model with this id does not exist."),
        };
        let mut headers = vec![("x-trace-id", uuid::Uuid::new_v4().to_string())];
        if let Refusal::RateLimited { retry_after_s } = refusal {
            headers.push(("retry-after", retry_after_s.to_string()));
        }
        sse::refused(status, &headers, &json!({"detail": {"status": name, "message": reason}}))
    }

    fn error(&self) -> Event {
        Event::frame(json!({"detail": {"status": "system_busy", "message": "The system is busy."}}))
    }

    fn unknown(&self) -> Event {
        Event::frame("")
    }
}

/// One of the JSON objects of a stream with timestamps, a line each: so the client reads them (elevenlabs 2.78,
/// `text_to_speech/raw_client.py`, `iter_lines`).
fn line(object: &Value) -> Bytes {
    format!("{object}\n").into()
}

/// Times in seconds from the start of the stream.
fn alignment(piece: &Piece, began_ms: u32) -> Value {
    let seconds = |ms: u32| f64::from(began_ms + ms) / 1_000.0;
    let characters = piece.characters.iter();
    let starts: Vec<_> = characters.clone().map(|char| seconds(char.start_ms)).collect();
    let ends: Vec<_> = characters.clone().map(|char| seconds(char.start_ms + char.for_ms)).collect();
    json!({
        "characters": characters.map(|char| char.character).collect::<Vec<_>>(),
        "character_start_times_seconds": starts,
        "character_end_times_seconds": ends,
    })
}

async fn models(headers: HeaderMap) -> Response {
    let model = |id: &str| json!({"model_id": id, "name": id, "can_do_text_to_speech": true});
    list(&headers, |_| ["eleven_flash_v2_5", "eleven_multilingual_v2"].map(model).into())
}

async fn voices(headers: HeaderMap) -> Response {
    list(&headers, |voices| json!({"voices": voices}))
}

#[derive(Debug, serde::Deserialize)]
struct Page {
    search: Option<String>,
}

async fn voices_by_page(Query(page): Query<Page>, headers: HeaderMap) -> Response {
    let wanted = page.search.unwrap_or_default().to_lowercase();
    list(&headers, |voices| {
        let has_name = |voice: &Value| {
            let name = voice["name"].as_str().unwrap_or_default().to_lowercase();
            name.contains(&wanted)
        };
        let voices: Vec<_> = voices.into_iter().filter(has_name).collect();
        json!({"total_count": voices.len(), "has_more": false, "next_page_token": null, "voices": voices})
    })
}

fn list(headers: &HeaderMap, page: impl FnOnce(Vec<Value>) -> Value) -> Response {
    let key = headers.get("xi-api-key").and_then(|value| value.to_str().ok()).unwrap_or_default();
    if http::is_wrong(key) {
        return sse::Dialect::refuse(&Requests, &Refusal::Unauthorized);
    }
    let voice = |(name, id, language, accent): &(&str, &str, &str, &str)| {
        json!({
            "voice_id": id, "name": name, "category": "premade",
            "labels": {"language": language, "accent": accent},
            "preview_url": format!("https://storage.example/previews/{id}.mp3"),
        })
    };
    Json(page(VOICES.iter().map(voice).collect())).into_response()
}
