//! What OpenAI's HTTP endpoints have in common: the key, the errors, the list of models.
//!
//! Bodies as the client's error classes read them (openai 3.52.0: `error.message`, `type`, `param`, `code`).

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};

use crate::State;
use crate::http::is_wrong;
use crate::sse::{Refusal, refused};

/// The models of the list. Requests may name any other.
const MODELS: [&str; 2] = ["stand-in", "stand-in-mini"];

pub fn routes() -> Router<Arc<State>> {
    Router::new().route("/openai/v1/models", get(models))
}

/// A refusal as OpenAI says it.
pub fn refuse(refusal: &Refusal) -> Response {
    let says = |message: &str, kind: &str, code: Option<&str>| json!({"error": {"message": message, "type": kind, "param": null, "code": code}});
    let invalid = "invalid_request_error";
    match refusal {
        Refusal::Unauthorized => {
            refused(401, &[], &says("The API key is not valid.", invalid, Some("invalid_api_key")))
        }
        Refusal::Quota => {
            let code = "insufficient_quota";
            refused(429, &[], &says("Nothing is left of the quota; see the plan.", code, Some(code)))
        }
        Refusal::RateLimited { retry_after_s } => {
            let headers = [
                ("retry-after", retry_after_s.to_string()),
                ("x-ratelimit-limit-requests", "60".to_owned()),
                ("x-ratelimit-remaining-requests", "0".to_owned()),
                ("x-ratelimit-reset-requests", format!("{retry_after_s}s")),
            ];
            let code = Some("rate_limit_exceeded");
            refused(429, &headers, &says("The requests of this minute are used up.", "requests", code))
        }
        Refusal::ServerError => {
            refused(500, &[], &says("The server failed; it is worth a retry.", "server_error", None))
        }
        Refusal::Invalid(why) => refused(400, &[], &says(why, invalid, None)),
        Refusal::NoModel(model) => {
            let message = format!("There is no model `{model}`.");
            refused(404, &[], &says(&message, invalid, Some("model_not_found")))
        }
    }
}

/// Seconds since 1970, as `created` has them.
pub fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// The text of a message's content: a string, a list of parts with text, or nothing.
pub fn text_of(content: &Value) -> String {
    match content {
        Value::String(text) => text.clone(),
        Value::Array(parts) => parts.iter().filter_map(|part| part["text"].as_str()).collect(),
        _ => String::new(),
    }
}

/// Pieces of a call's arguments, as they come in a stream: some letters each, wherever a name or a value is cut.
pub fn fragments(arguments: &str) -> Vec<String> {
    let letters: Vec<_> = arguments.chars().collect();
    letters.chunks(7).map(|piece| piece.iter().collect()).collect()
}

/// Not planned and not noted: clients ask for it to warm a connection or to find out whether a key is right.
async fn models(request: Request) -> Response {
    let key = request.headers().get("authorization").and_then(|value| value.to_str().ok());
    if is_wrong(key.and_then(|key| key.strip_prefix("Bearer ")).unwrap_or_default()) {
        return refuse(&Refusal::Unauthorized);
    }
    let data = MODELS.map(|id| json!({"id": id, "object": "model", "created": 0, "owned_by": "parlance"}));
    Json(json!({"object": "list", "data": data})).into_response()
}
