//! OpenAI and everything that speaks like it: where it is, how one is known there, and what its errors mean.
//!
//! Source of the wire facts: the types of openai-python 3.52, and `providers.md`, 2.

pub(super) mod chat;
pub(super) mod responses;

use std::sync::Arc;

use serde_json::Value;

use super::answering::Dialect;
use super::bodies::{is_too_long, of_kind, said, too_long, unwrapped};
use super::over_http::OverHttp;
use super::{LanguageModel, Request};
use crate::account::Account;
use crate::openai_server::{Endpoint, Server};
use crate::wire::http::{Http, Refused};
use crate::{Error, ErrorKind};

/// Whose account it is.
const VENDOR: &str = "openai";
/// The header with the id of a request.
const ID_HEADER: &str = "x-request-id";

/// A model that is asked at `path` with this body. OpenAI and the other vendors want a key; a server of one's own may want
/// none.
fn open(
    dialect: &'static Dialect,
    account: &Account,
    path: &'static str,
    body: fn(&Endpoint, &str, &Request) -> Value,
) -> Result<Arc<dyn LanguageModel>, Error> {
    let (endpoint, name) = (Endpoint::of(account), dialect.name);
    if account.key.is_empty() && endpoint.server != Server::Other {
        let message = "no key; set OPENAI_API_KEY, or the organisation's key";
        return Err(Error::new(name, ErrorKind::Unauthorized, message));
    }
    let http = Http::new(name, &endpoint.headers(account))?;
    let ask = move |model: &str, request: &Request| Ok((endpoint.at(path), body(&endpoint, model, request)));
    Ok(OverHttp::open(dialect, http, Endpoint::of(account).at("/models"), ask))
}

/// How hard the model shall think: not at all where it can be told so, because thoughts cost the caller seconds of
/// silence. `None` where it does not think, or nobody knows.
fn effort(server: Server, model: &str) -> Option<&'static str> {
    if !matches!(server, Server::OpenAi | Server::Azure) {
        return None;
    }
    let chats = model.contains("-chat");
    match model.strip_prefix("gpt-")? {
        version if chats || version.starts_with('4') || version.starts_with('3') => None,
        version if version == "5" || version.starts_with("5-") => Some("minimal"),
        _ => Some("none"),
    }
}

/// What an HTTP refusal means.
fn refused(name: &'static str, refused: &Refused) -> Error {
    let parsed = refused.json();
    let said = said(&refused.body, &parsed);
    let error = meaning(name, refused.status, &unwrapped(&parsed)["error"], &said);
    error.retry_after(refused.retry_after()).with_request_id(refused.header(ID_HEADER))
}

/// What an error told within an answer means.
fn inside(name: &'static str, error: &Value) -> Error {
    let text = error.as_str().or_else(|| error["message"].as_str()).unwrap_or("an error without a message");
    let code = error["code"].as_u64().or_else(|| error["code"].as_str()?.parse().ok());
    let status = code.and_then(|code| u16::try_from(code).ok()).filter(|code| (400..600).contains(code));
    let by_type = match error["type"].as_str().unwrap_or_default() {
        "invalid_request_error" => 400,
        "authentication_error" => 401,
        "rate_limit_error" | "rate_limit_exceeded" | "requests" | "tokens" => 429,
        _ if error["code"] == "rate_limit_exceeded" => 429,
        _ => 500,
    };
    meaning(name, status.unwrap_or(by_type), error, text)
}

fn meaning(name: &'static str, status: u16, error: &Value, said: &str) -> Error {
    let is = |sign: &str| error["code"] == sign || error["type"] == sign;
    if is("insufficient_quota") || is("billing_hard_limit_reached") || is("billing_not_active") {
        return of_kind(name, ErrorKind::OutOfCredit, said, "top up the account; a retry does not help");
    }
    if is("context_length_exceeded") || status == 413 || status == 400 && is_too_long(said) {
        return too_long(name, said);
    }
    if is("content_filter") || is("content_policy_violation") {
        return of_kind(name, ErrorKind::Empty, said, "the vendor's filter refused the context");
    }
    if is("invalid_api_key") {
        // Not the vendor's words, which hold the first and last letters of the key.
        return Error::of_status(name, 401, "the key is not valid");
    }
    if is("model_not_found") {
        return of_kind(name, ErrorKind::Invalid, said, "name a model that the account may use");
    }
    if status == 404 {
        return of_kind(
            name,
            ErrorKind::Invalid,
            &format!("HTTP 404: {said}"),
            "check the base URL and the model",
        );
    }
    Error::of_status(name, status, said)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::registry::Open;

    #[test]
    fn a_key_is_needed_at_openai_and_not_at_a_server_of_ones_own() {
        let opened = |base_url: Option<&str>| {
            let account = Account { base_url: base_url.map(str::to_owned), ..Account::default() };
            let Open::Llm(open) = chat::SERVICE.open else { panic!("it is a model") };
            open(&account).err().map(|error| error.kind)
        };
        assert_eq!(opened(None), Some(ErrorKind::Unauthorized));
        assert_eq!(opened(Some("http://localhost:8000/v1")), None);
    }

    #[test]
    fn models_that_think_are_told_not_to() {
        let efforts =
            ["gpt-4.1-mini", "gpt-5-mini", "gpt-5.4-mini", "gpt-6-luna", "gpt-5.2-chat-latest", "llama"];
        let expected = [None, Some("minimal"), Some("none"), Some("none"), None, None];
        assert_eq!(efforts.map(|model| effort(Server::OpenAi, model)), expected);
        assert_eq!(effort(Server::Other, "gpt-5.4-mini"), None);
    }

    #[test]
    fn errors_mean_what_their_codes_say() {
        let kind =
            |status, code: &str, said: &str| meaning("openai", status, &json!({"code": code}), said).kind;
        assert_eq!(kind(429, "insufficient_quota", "no"), ErrorKind::OutOfCredit);
        assert_eq!(kind(429, "rate_limit_exceeded", "slow down"), ErrorKind::RateLimited);
        assert_eq!(kind(400, "context_length_exceeded", "no"), ErrorKind::Invalid);
        assert_eq!(kind(401, "invalid_api_key", "no"), ErrorKind::Unauthorized);
        assert_eq!(kind(503, "", "overloaded"), ErrorKind::Unavailable);
        let masked =
            meaning("openai", 401, &json!({"code": "invalid_api_key"}), "Incorrect API key: sk-ab***yz");
        assert!(!masked.message.contains("sk-ab"), "{masked}");
        let long = meaning("openai", 400, &json!({}), "This model's maximum context length is 8192 tokens");
        assert!(long.message.contains("token budget"), "{long}");
        assert_eq!(inside("openai", &json!("model crashed")).kind, ErrorKind::Unavailable);
        assert_eq!(inside("openai", &json!({"code": 429, "message": "x"})).kind, ErrorKind::RateLimited);
    }
}
