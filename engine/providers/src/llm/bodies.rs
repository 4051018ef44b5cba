//! What requests and refusals of all vendors have in common: numbers, and an error's words and meaning.

use serde_json::Value;

use crate::{Error, ErrorKind};

/// A count of tokens.
pub(super) fn count(value: &Value) -> Option<u32> {
    value.as_u64().and_then(|count| u32::try_from(count).ok())
}

/// 0.7 as 0.7, not as 0.699999988079071.
pub(super) fn rounded(temperature: f32) -> Value {
    let rounded = (f64::from(temperature) * 1_000.0).round() / 1_000.0;
    rounded.into()
}

/// What an error's body says, whatever its shape: the vendor's own, that of a proxy before it, or plain text.
pub(super) fn said(body: &str, parsed: &Value) -> String {
    let error = &unwrapped(parsed)["error"];
    let texts = [&error["message"], error, &unwrapped(parsed)["message"], &unwrapped(parsed)["detail"]];
    match texts.into_iter().find_map(Value::as_str) {
        Some(text) => text.to_owned(),
        // A page of a proxy says nothing that helps.
        None if body.trim_start().starts_with('<') => String::new(),
        None => body.trim().to_owned(),
    }
}

/// Errors come within an array on some paths.
pub(super) fn unwrapped(parsed: &Value) -> &Value {
    parsed.as_array().and_then(|all| all.first()).unwrap_or(parsed)
}

/// Whether it says that the context is longer than the model takes.
pub(super) fn is_too_long(said: &str) -> bool {
    let said = said.to_lowercase();
    [
        "context length",
        "context window",
        "maximum context",
        "too long",
        "maximum number of tokens",
        "too many tokens",
    ]
    .iter()
    .any(|sign| said.contains(sign))
}

/// The context is longer than the model takes.
pub(super) fn too_long(name: &str, said: &str) -> Error {
    let said: String = said.chars().take(300).collect();
    let fix = "give the agent's context a smaller token budget, or take a model that reads more";
    Error::new(name, ErrorKind::Invalid, format!("the context is longer than the model takes: {said}; {fix}"))
}

/// Another error's kind, with the fix.
pub(super) fn of_kind(name: &str, kind: ErrorKind, said: &str, fix: &str) -> Error {
    let said: String = said.chars().take(300).collect();
    Error::new(name, kind, format!("{said}; {fix}"))
}
