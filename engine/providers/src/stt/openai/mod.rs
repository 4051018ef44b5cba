//! OpenAI, and servers compatible with it: what the two ways to transcribe have in common.
//!
//! [`buffered`] posts each voiced stretch as a file, [`realtime`] streams over a WebSocket. To both only voice is sent:
//! these models hear words in silence.

pub mod buffered;
pub mod realtime;

mod voiced;

use serde_json::Value;

use crate::wire::http::Refused;
use crate::{Error, ErrorKind};

/// The bare language, which is all that is taken; `None` where the caller mixes them.
fn language(tag: &str) -> Option<String> {
    let bare = tag.split(['-', '_']).next().unwrap_or_default().to_ascii_lowercase();
    (!bare.is_empty() && bare != "multi").then_some(bare)
}

/// Models that take terms as such; others take a text they should continue.
fn takes_keywords(model: &str) -> bool {
    model.starts_with("gpt-transcribe") || model.starts_with("gpt-live-transcribe")
}

fn refused(provider: &str, refused: &Refused) -> Error {
    let error = match meaning(provider, refused.status, &refused.json()["error"]) {
        Some(error) => Error { message: format!("HTTP {}: {}", refused.status, error.message), ..error },
        None => Error::of_status(provider, refused.status, &refused.body),
    };
    error.retry_after(refused.retry_after()).with_request_id(refused.header("x-request-id"))
}

/// What an error object inside an answer or a stream says; `None` if it is none.
fn failure(provider: &str, error: &Value) -> Option<Error> {
    meaning(provider, 500, error)
}

fn meaning(provider: &str, status: u16, error: &Value) -> Option<Error> {
    let said = match error["message"].as_str().or(error.as_str())? {
        // Not the vendor's words, which hold the first and last letters of the key.
        _ if is_of_key(error) => "the key is not valid",
        said => said,
    };
    let said: String = said.chars().take(300).collect();
    let kind = kind_of(status, error);
    let fix = match kind {
        ErrorKind::Unauthorized => "; check the key and what it may do",
        ErrorKind::OutOfCredit => "; top up the account",
        _ => "",
    };
    Some(Error::new(provider, kind, format!("{said}{fix}")))
}

fn is_of_key(error: &Value) -> bool {
    error["code"] == "invalid_api_key" || error["type"] == "invalid_api_key"
}

/// The code says more than the status: a used-up quota comes as 429 too.
fn kind_of(status: u16, error: &Value) -> ErrorKind {
    let code = error["code"].as_str().or(error["type"].as_str()).unwrap_or_default();
    match (code, error["type"].as_str().unwrap_or_default()) {
        ("insufficient_quota", _) | (_, "insufficient_quota") => ErrorKind::OutOfCredit,
        ("invalid_api_key", _) | (_, "authentication_error") => ErrorKind::Unauthorized,
        ("rate_limit_exceeded", _) => ErrorKind::RateLimited,
        ("model_not_found" | "invalid_model", _) => ErrorKind::Invalid,
        (_, "server_error") => ErrorKind::Unavailable,
        (_, "invalid_request_error") if status >= 500 => ErrorKind::Invalid,
        _ => Error::of_status("", status, "").kind,
    }
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderMap;

    use super::*;

    #[test]
    fn a_used_up_quota_is_told_from_too_many_requests_though_both_are_429() {
        let kind = |status, body: &str| {
            let answer = Refused { status, headers: HeaderMap::new(), body: body.to_owned() };
            refused("openai", &answer).kind
        };
        let quota = r#"{"error":{"message":"m","type":"insufficient_quota","param":null,"code":"insufficient_quota"}}"#;
        assert_eq!(kind(429, quota), ErrorKind::OutOfCredit);
        let rate = r#"{"error":{"message":"m","type":"requests","code":"rate_limit_exceeded"}}"#;
        assert_eq!(kind(429, rate), ErrorKind::RateLimited);
        let key = r#"{"error":{"message":"m","type":"invalid_request_error","code":"invalid_api_key"}}"#;
        assert_eq!(kind(401, key), ErrorKind::Unauthorized);
        let masked =
            serde_json::json!({"message": "Incorrect API key provided: sk-ab*yz", "code": "invalid_api_key"});
        let told = failure("openai", &masked).unwrap();
        assert_eq!(told.kind, ErrorKind::Unauthorized);
        assert!(told.message.contains("not valid") && !told.message.contains("sk-ab"), "{told}");
        assert_eq!(
            kind(400, r#"{"error":{"message":"m","type":"invalid_request_error"}}"#),
            ErrorKind::Invalid
        );
        assert_eq!(kind(503, "<html>"), ErrorKind::Unavailable);
        let body = r#"{"error":"no such token"}"#.to_owned();
        let other = refused("openai", &Refused { status: 401, headers: HeaderMap::new(), body });
        assert_eq!(other.kind, ErrorKind::Unauthorized);
        assert!(other.message.contains("no such token; check the key"), "{other}");
    }

    #[test]
    fn only_the_bare_language_is_named() {
        assert_eq!(language("en-IN").as_deref(), Some("en"));
        assert_eq!(language("multi"), None);
    }
}
