//! What ElevenLabs' refusals mean. It answers 401 for three different things and closes sockets with 1008 for nearly
//! everything, so the name in the body counts, not the number.

use std::time::Duration;

use serde_json::Value;

use crate::wire::http::Refused;
use crate::{Error, ErrorKind};

/// A refused request or upgrade.
pub fn of(service: &'static str, voice: &str, refused: &Refused) -> Error {
    let body = refused.json();
    let detail = &body["detail"];
    let name = detail["status"].as_str().or(detail["code"].as_str()).unwrap_or_default();
    let said = detail["message"].as_str().or(detail.as_str()).unwrap_or_default();
    let error = named(service, voice, name, said).unwrap_or_else(|| {
        let said = if said.is_empty() { refused.body.as_str() } else { said };
        Error::of_status(service, refused.status, said)
    });
    let wait = refused.retry_after();
    let id = refused.header("x-trace-id").or(refused.header("request-id"));
    error.retry_after(wait).with_request_id(id)
}

/// An error told inside a stream or before a close.
pub fn told(service: &'static str, voice: &str, name: &str, said: &str) -> Error {
    named(service, voice, name, said).unwrap_or_else(|| {
        let said: String = said.chars().take(300).collect();
        Error::new(service, ErrorKind::Unavailable, format!("{name}: {said}"))
    })
}

/// An error object in the middle of a stream of JSON.
pub fn in_stream(service: &'static str, voice: &str, detail: &Value) -> Error {
    let name = detail["status"].as_str().or(detail["code"].as_str()).unwrap_or("error");
    told(service, voice, name, detail["message"].as_str().or(detail.as_str()).unwrap_or_default())
}

fn named(service: &'static str, voice: &str, name: &str, said: &str) -> Option<Error> {
    let (kind, message) = match name {
        "detected_unusual_activity" => (
            ErrorKind::Blocked,
            "the free tier is blocked for this network (detected_unusual_activity): use a paid plan or another \
             voice provider"
                .to_owned(),
        ),
        "quota_exceeded" | "insufficient_credits" => (
            ErrorKind::OutOfCredit,
            "the credits are used up (quota_exceeded): top up the account or wait for its next month".to_owned(),
        ),
        "invalid_api_key" | "missing_permissions" | "needs_authorization" | "authentication_required" => {
            (ErrorKind::Unauthorized, format!("the key is refused ({name}): check ELEVENLABS_API_KEY"))
        }
        "voice_not_found" | "voice_id_does_not_exist" | "invalid_voice_id" => {
            (ErrorKind::Invalid, format!("there is no voice `{voice}`; list the account's voices"))
        }
        "model_not_found" | "invalid_model_id" | "max_character_limit_exceeded" | "invalid_output_format" => {
            (ErrorKind::Invalid, format!("{name}: {}", short(said)))
        }
        "too_many_concurrent_requests" | "concurrent_limit_exceeded" | "rate_limit_exceeded" => {
            (ErrorKind::RateLimited, "the plan allows no more sentences at once".to_owned())
        }
        "system_busy" => (ErrorKind::RateLimited, "the vendor is overloaded (system_busy)".to_owned()),
        "input_timeout_exceeded" => (ErrorKind::Unavailable, "it closed the idle socket".to_owned()),
        "max_active_conversations" => {
            (ErrorKind::Unavailable, "more than five sentences are open on the socket".to_owned())
        }
        _ => return None,
    };
    let wait = (name == "system_busy").then_some(Duration::from_secs(1));
    Some(Error::new(service, kind, message).retry_after(wait))
}

fn short(said: &str) -> String {
    said.chars().take(300).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(status: u16, body: &str) -> Error {
        let mut headers = reqwest::header::HeaderMap::new();
        headers.insert("x-trace-id", "t-1".parse().unwrap());
        headers.insert("retry-after", "3".parse().unwrap());
        of("elevenlabs", "Nobody", &Refused { status, headers, body: body.to_owned() })
    }

    #[test]
    fn the_name_of_a_refusal_counts_and_not_its_status() {
        let cases = [
            (401, "invalid_api_key", ErrorKind::Unauthorized),
            (401, "quota_exceeded", ErrorKind::OutOfCredit),
            (401, "detected_unusual_activity", ErrorKind::Blocked),
            (400, "voice_not_found", ErrorKind::Invalid),
            (429, "too_many_concurrent_requests", ErrorKind::RateLimited),
            (429, "system_busy", ErrorKind::RateLimited),
            (500, "something_new", ErrorKind::Unavailable),
        ];
        for (status, name, kind) in cases {
            let error = refusal(status, &format!(r#"{{"detail":{{"status":"{name}","message":"words"}}}}"#));
            assert_eq!(error.kind, kind, "{name}");
            assert_eq!(error.request_id.as_deref(), Some("t-1"));
            assert_eq!(error.retry_after, Some(Duration::from_secs(3)));
        }
        let missing = refusal(400, r#"{"detail":{"status":"voice_not_found","message":""}}"#);
        assert!(missing.message.contains("`Nobody`"), "{missing}");
    }

    #[test]
    fn bodies_of_any_shape_are_taken() {
        assert_eq!(refusal(422, r#"{"detail":[{"loc":["body"],"msg":"bad"}]}"#).kind, ErrorKind::Invalid);
        assert_eq!(refusal(401, r#"{"detail":"no key"}"#).kind, ErrorKind::Unauthorized);
        assert_eq!(refusal(503, "<html>").kind, ErrorKind::Unavailable);
        assert_eq!(refusal(402, "").kind, ErrorKind::OutOfCredit);
    }
}
