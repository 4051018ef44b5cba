//! Google's Gemini, streamed: `streamGenerateContent` with server-sent events.
//!
//! Here is what is asked; [`answer`] reads what comes. A model that thinks signs its function calls and takes none back
//! without: the signature travels in [`ToolCall::signature`]. Sources: the types of python-genai 3.4, and `providers.md`, 4.

mod answer;

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::answering::{Dialect, Spare};
use super::bodies::rounded;
use super::calls::replayed;
use super::context::{Turn, dialogue};
use super::over_http::OverHttp;
use super::{LanguageModel, Request, ToolCall, ToolSpec};
use crate::account::Account;
use crate::registry::{Open, Service};
use crate::wire::http::Http;
use crate::{Error, ErrorKind};

const NAME: &str = "gemini";
const PUBLIC: &str = "https://generativelanguage.googleapis.com";
/// The vendor takes it instead of a signature, for calls its model did not make.
pub(super) const NO_SIGNATURE: &str = "skip_thought_signature_validator";

/// The registry's line.
pub const SERVICE: Service =
    Service { name: NAME, vendor: NAME, about: "answers by Google's Gemini", open: Open::Llm(open) };

static DIALECT: Dialect = Dialect {
    name: NAME,
    id_header: "x-request-id",
    refused: answer::refused,
    reader: || Box::<answer::Answer>::default(),
    spares: &[
        Spare { word: "hinking", inside: "/generationConfig", name: "thinkingConfig", instead: "" },
        Spare { word: "temperature", inside: "/generationConfig", name: "temperature", instead: "" },
    ],
};

fn open(account: &Account) -> Result<Arc<dyn LanguageModel>, Error> {
    if account.key.is_empty() {
        let message = "no key; set GEMINI_API_KEY, or the organisation's key";
        return Err(Error::new(NAME, ErrorKind::Unauthorized, message));
    }
    let base = account.base(PUBLIC);
    let base = if base.ends_with("/v1beta") { base.to_owned() } else { format!("{base}/v1beta") };
    let http = Http::new(NAME, &[("x-goog-api-key", account.key.reveal().to_owned())])?;
    let warm_url = format!("{base}/models?pageSize=1");
    Ok(OverHttp::open(&DIALECT, http, warm_url, move |model, request| {
        let model = model.trim_start_matches("models/");
        if !model.chars().all(|letter| letter.is_ascii_alphanumeric() || "-._".contains(letter)) {
            return Err(Error::new(NAME, ErrorKind::Invalid, format!("`{model}` is no id of a model")));
        }
        let url = format!("{base}/models/{model}:streamGenerateContent?alt=sse");
        Ok((url, body(model, request)))
    }))
}

fn body(model: &str, request: &Request) -> Value {
    let (instructions, turns) = dialogue(&request.messages);
    let mut body = json!({"contents": turns.iter().flat_map(contents).collect::<Vec<_>>()});
    if !instructions.is_empty() {
        let parts: Vec<_> = instructions.iter().map(|text| json!({"text": text})).collect();
        body["systemInstruction"] = json!({"parts": parts});
    }
    if !request.tools.is_empty() {
        let tool = |tool: &ToolSpec| json!({"name": tool.name, "description": tool.description, "parametersJsonSchema": tool.parameters});
        body["tools"] = json!([{"functionDeclarations": request.tools.iter().map(tool).collect::<Vec<_>>()}]);
    }
    let mut config = Map::new();
    if let Some(temperature) = request.temperature {
        config.insert("temperature".to_owned(), rounded(temperature));
    }
    if let Some(max) = request.max_tokens {
        config.insert("maxOutputTokens".to_owned(), max.into());
    }
    if let Some(thinking) = thinking(model) {
        config.insert("thinkingConfig".to_owned(), thinking);
    }
    if !config.is_empty() {
        body["generationConfig"] = config.into();
    }
    body
}

/// As few thoughts as the model can do with, because they cost the caller seconds of silence. `None` where it has none.
fn thinking(model: &str) -> Option<Value> {
    let version = model.strip_prefix("gemini-")?;
    if version.starts_with("2.5-flash") {
        return Some(json!({"thinkingBudget": 0}));
    }
    if version.starts_with("2.5-pro") {
        return Some(json!({"thinkingBudget": 128}));
    }
    let is_older = version.starts_with('1') || version.starts_with('2');
    let level = if version.contains("flash") { "MINIMAL" } else { "LOW" };
    (!is_older).then(|| json!({ "thinkingLevel": level }))
}

fn contents(turn: &Turn<'_>) -> Vec<Value> {
    match turn {
        Turn::Instruction(text) | Turn::Caller(text) => {
            vec![json!({"role": "user", "parts": [{"text": text}]})]
        }
        Turn::Agent { text, calls } => {
            let words = (!text.is_empty()).then(|| json!({"text": text}));
            let made = calls.iter().enumerate().map(|(at, (call, _))| made(call, at));
            let parts: Vec<_> = words.into_iter().chain(made).collect();
            let mut contents = vec![json!({"role": "model", "parts": parts})];
            if !calls.is_empty() {
                let results: Vec<_> = calls.iter().map(|(call, result)| answered(call, result)).collect();
                contents.push(json!({"role": "user", "parts": results}));
            }
            contents
        }
    }
}

/// Of calls made together only the first is signed.
fn made(call: &ToolCall, at: usize) -> Value {
    let mut part =
        json!({"functionCall": {"id": call.id, "name": call.name, "args": replayed(&call.arguments)}});
    let unsigned = (at == 0).then_some(NO_SIGNATURE);
    if let Some(signature) = call.signature.as_deref().or(unsigned) {
        part["thoughtSignature"] = signature.into();
    }
    part
}

/// The result has to be an object, with the keys that the vendor's documentation gives.
fn answered(call: &ToolCall, result: &str) -> Value {
    let value = serde_json::from_str(result).unwrap_or_else(|_| Value::from(result));
    let fits =
        value.as_object().is_some_and(|object| object.contains_key("output") || object.contains_key("error"));
    let response = if fits { value } else { json!({ "output": value }) };
    json!({"functionResponse": {"id": call.id, "name": call.name, "response": response}})
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::llm::Role;
    use crate::llm::context::tests::{called, result, said};

    #[test]
    fn calls_go_back_signed_and_results_as_objects() {
        let mut both = called("Wait.", &["a", "b"]);
        let messages = |both| {
            vec![
                said(Role::System, "Brief."),
                said(Role::Caller, "Hi"),
                both,
                result("a", "4"),
                result("b", "{\"error\":\"x\"}"),
            ]
        };
        let asked =
            |both| body("gemini-3.8-flash", &Request { messages: messages(both), ..Request::default() });
        let body = asked(both.clone());
        assert_eq!(body["contents"][1]["parts"][1]["thoughtSignature"], NO_SIGNATURE);
        assert!(body["contents"][1]["parts"][2]["thoughtSignature"].is_null());
        let results = &body["contents"][2]["parts"];
        assert_eq!(results[0]["functionResponse"]["response"], json!({"output": 4}));
        assert_eq!(results[1]["functionResponse"]["response"], json!({"error": "x"}));
        assert_eq!(body["systemInstruction"]["parts"][0]["text"], "Brief.");
        both.tool_calls[0].signature = Some("sig".to_owned());
        assert_eq!(asked(both)["contents"][1]["parts"][1]["thoughtSignature"], "sig");
    }

    #[test]
    fn models_think_as_little_as_they_can() {
        let models =
            ["gemini-2.0-flash", "gemini-2.5-flash", "gemini-3.8-flash", "gemini-3-pro-preview", "tuned"];
        let expected = [
            None,
            Some(json!({"thinkingBudget": 0})),
            Some(json!({"thinkingLevel": "MINIMAL"})),
            Some(json!({"thinkingLevel": "LOW"})),
            None,
        ];
        assert_eq!(models.map(thinking), expected);
    }
}
