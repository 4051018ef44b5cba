//! OpenAI's speech: one request, its sound as the body comes or as server-sent events. No times, no cancel.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State as Of};
use axum::response::Response;
use axum::routing::post;
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::json;

use super::speech::{Encoding, Format, speak};
use crate::llm::openai;
use crate::sse::{self, Call, Event, Refusal, Reply};
use crate::{Fault, Plan, Service, State};

/// Characters in one request.
const TEXT_LIMIT: usize = 4_096;
/// The only format of `pcm`.
const FORMAT: Format = Format { encoding: Encoding::Linear16, rate_hz: 24_000 };

/// The route of this file.
pub fn routes() -> Router<Arc<State>> {
    Router::new().route("/openai/v1/audio/speech", post(synthesize))
}

async fn synthesize(Of(state): Of<Arc<State>>, request: Request) -> Response {
    sse::answer(state, Service::OpenaiSpeech, &Speech, request).await
}

struct Speech;

impl sse::Dialect for Speech {
    fn key(&self, call: &Call) -> String {
        call.bearer()
    }

    fn reply(&self, plan: &Plan, call: &Call) -> Result<Reply, Refusal> {
        let field = |name: &str| call.body[name].as_str();
        let model = sse::existing_model(field("model"))?;
        let invalid = |reason: &str| Refusal::Invalid(reason.to_owned());
        let input = field("input").ok_or_else(|| invalid("input is required"))?;
        if input.chars().count() > TEXT_LIMIT {
            return Err(invalid("input is longer than 4096 characters"));
        }
        if call.body["voice"].is_null() {
            return Err(invalid("voice is required"));
        }
        let (content_type, header) = match field("response_format") {
            Some("pcm") => ("audio/pcm", None),
            Some("wav") => ("audio/wav", Some(FORMAT.wav_header())),
            _ => return Err(invalid("stand-ins have the response_formats pcm and wav")),
        };
        let pieces = speak(if plan.fault == Some(Fault::Empty) { "" } else { input }, FORMAT).into_iter();
        if field("stream_format") != Some("sse") {
            let header = header.map(|header| Event { is_output: false, ..Event::bytes(header) });
            let sound = pieces.map(|piece| Event::bytes(piece.audio));
            let events = header.into_iter().chain(sound).collect();
            return Ok(Reply::Bytes { content_type, events, error: None, unknown: None });
        }
        if model.starts_with("tts-1") {
            return Err(invalid("stream_format sse is not supported by this model"));
        }
        let words = input.split_whitespace().count();
        let delta = |audio: Vec<u8>| json!({"type": "speech.audio.delta", "audio": BASE64.encode(audio)});
        let header = header.map(|header| Event::frame(delta(header)));
        let usage = json!({"input_tokens": words, "output_tokens": words * 20, "total_tokens": words * 21});
        let done = Event::frame(json!({"type": "speech.audio.done", "usage": usage}));
        let sound = pieces.map(|piece| Event::output(delta(piece.audio)));
        Ok(Reply::Stream(header.into_iter().chain(sound).chain([done]).collect()))
    }

    fn refuse(&self, refusal: &Refusal) -> Response {
        openai::refuse(refusal)
    }

    fn error(&self) -> Event {
        Event::frame(
            json!({"error": {"message": "The server failed.", "type": "server_error", "code": null}}),
        )
    }

    fn unknown(&self) -> Event {
        Event::frame(json!({"type": "speech.mood", "mood": "calm"}))
    }

    fn id_header(&self) -> Option<&'static str> {
        Some("x-request-id")
    }
}
