//! Google's Gemini, streamed and whole.
//!
//! Shapes from the types of google-genai 3.4.0, which asks for `v1` where older clients ask for `v1beta`. A model that
//! thinks signs its function calls, and the service takes no call back without its signature; of calls made side by
//! side, the first carries it. Lines end in CR LF, as the service ends them (not verified), which readers of
//! server-sent events must bear.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State as Of};
use axum::response::Response;
use axum::routing::post;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

use super::model::{self, Answer, Asked, Said};
use crate::sse::{Call, Dialect, Event, Refusal, Reply, existing_model, refused};
use crate::{Plan, Service, State};

/// What the service takes instead of a signature, for calls that it did not make.
const NO_SIGNATURE: &str = "skip_thought_signature_validator";

pub fn routes() -> Router<Arc<State>> {
    let models = |version: &str| format!("/gemini/{version}/models/{{model}}");
    Router::new().route(&models("v1beta"), post(generate)).route(&models("v1"), post(generate))
}

async fn generate(Of(state): Of<Arc<State>>, request: Request) -> Response {
    crate::sse::answer(state, Service::GeminiStream, &Gemini, request).await
}

/// The signature on a call of this function.
pub fn signature(name: &str) -> String {
    BASE64_STANDARD.encode(format!("what was thought before {name}"))
}

struct Gemini;

impl Dialect for Gemini {
    fn key(&self, call: &Call) -> String {
        let in_query = call.query.split('&').find_map(|pair| pair.strip_prefix("key="));
        let key = call.header("x-goog-api-key");
        if key.is_empty() { in_query.unwrap_or_default().to_owned() } else { key.to_owned() }
    }

    fn reply(&self, plan: &Plan, call: &Call) -> Result<Reply, Refusal> {
        let (_, last) = call.path.rsplit_once('/').unwrap_or_default();
        let (model, method) = last.split_once(':').unwrap_or((last, ""));
        let model = existing_model(Some(model))?;
        let answer = model::answer(plan, &asked(&call.body)?);
        let chunks = chunks(&answer, call.number, model);
        match method {
            "streamGenerateContent" if call.query.split('&').any(|pair| pair == "alt=sse") => {
                Ok(Reply::Stream(
                    chunks.into_iter().map(|(chunk, is_output)| event(&chunk, is_output)).collect(),
                ))
            }
            "streamGenerateContent" => Ok(Reply::Whole(chunks.into_iter().map(|(chunk, _)| chunk).collect())),
            "generateContent" => Ok(Reply::Whole(whole(&answer, call.number, model))),
            other => Err(Refusal::NoModel(format!("{model}:{other}"))),
        }
    }

    fn refuse(&self, refusal: &Refusal) -> Response {
        let kind = |name: &str| format!("type.googleapis.com/google.rpc.{name}");
        let (status, name, message, details) = match refusal {
            // Not 401: that is for tokens of users.
            Refusal::Unauthorized => {
                let detail = json!({"@type": kind("ErrorInfo"), "reason": "API_KEY_INVALID", "domain": "googleapis.com"});
                (400, "INVALID_ARGUMENT", "The API key is not valid.".to_owned(), vec![detail])
            }
            Refusal::Quota => {
                let violation =
                    json!({"quotaId": "GenerateRequestsPerDayPerProjectPerModel", "quotaValue": "0"});
                let detail = json!({"@type": kind("QuotaFailure"), "violations": [violation]});
                let message = "The quota is used up; see the plan and the billing details.".to_owned();
                (429, "RESOURCE_EXHAUSTED", message, vec![detail])
            }
            Refusal::RateLimited { retry_after_s } => {
                let detail = json!({"@type": kind("RetryInfo"), "retryDelay": format!("{retry_after_s}s")});
                (429, "RESOURCE_EXHAUSTED", "Too many requests in this minute.".to_owned(), vec![detail])
            }
            Refusal::ServerError => {
                (500, "INTERNAL", "An internal error has occurred.".to_owned(), Vec::new())
            }
            Refusal::Invalid(why) => (400, "INVALID_ARGUMENT", why.clone(), Vec::new()),
            Refusal::NoModel(model) => {
                (404, "NOT_FOUND", format!("models/{model} is not found."), Vec::new())
            }
        };
        let mut error = json!({"code": status, "message": message, "status": name});
        if !details.is_empty() {
            error["details"] = details.into();
        }
        refused(status, &[], &json!({"error": error}))
    }

    fn error(&self) -> Event {
        let error = json!({"code": 503, "message": "The model is overloaded.", "status": "UNAVAILABLE"});
        event(&json!({"error": error}), false)
    }

    fn unknown(&self) -> Event {
        event(&json!({"surprise": {"level": 1}}), false)
    }
}

fn event(data: &Value, is_output: bool) -> Event {
    Event { is_output, line_end: "\r\n", ..Event::frame(data) }
}

fn asked(body: &Value) -> Result<Asked, Refusal> {
    let system = text_of(&body["systemInstruction"]);
    let mut said = if system.is_empty() { Vec::new() } else { vec![Said::System(system)] };
    let contents = body["contents"].as_array().filter(|contents| !contents.is_empty());
    let contents = contents.ok_or_else(|| Refusal::Invalid("contents is not specified".to_owned()))?;
    let mut open: Vec<&str> = Vec::new();
    for content in contents {
        take(content, &mut said, &mut open)?;
    }
    if !open.is_empty() {
        return Err(Refusal::Invalid("function response parts are missing after function calls".to_owned()));
    }
    let is_none = body["toolConfig"]["functionCallingConfig"]["mode"] == "NONE";
    let tools = body["tools"].as_array().into_iter().flatten().filter(|_| !is_none);
    let tools = tools.filter_map(|tool| tool["functionDeclarations"].as_array()).flatten();
    let tools = tools.filter_map(|tool| Some(tool["name"].as_str()?.to_owned())).collect();
    Ok(Asked { said, tools, words_max: body["generationConfig"]["maxOutputTokens"].as_u64() })
}

/// One content. `open` are the names of the calls that the next content must answer.
fn take<'a>(content: &'a Value, said: &mut Vec<Said>, open: &mut Vec<&'a str>) -> Result<(), Refusal> {
    let parts = content["parts"].as_array().filter(|parts| !parts.is_empty());
    let parts = parts.ok_or_else(|| Refusal::Invalid("a content has parts".to_owned()))?;
    let text = text_of(content);
    let results: Vec<_> =
        parts.iter().map(|part| &part["functionResponse"]).filter(|it| !it.is_null()).collect();
    let mut due = std::mem::take(open);
    match content["role"].as_str().unwrap_or("user") {
        "user" => {
            for result in &results {
                let name = result["name"].as_str().unwrap_or_default();
                let at = due.iter().position(|due| *due == name).filter(|_| result["response"].is_object());
                let Some(at) = at else {
                    let why = format!("`{name}` answers no function call before it, or not with an object");
                    return Err(Refusal::Invalid(why));
                };
                due.remove(at);
                said.push(Said::Result(result["response"].to_string()));
            }
            if !text.is_empty() || results.is_empty() {
                said.push(Said::User(text));
            }
        }
        "model" => {
            let calls: Vec<_> = parts.iter().filter(|part| !part["functionCall"].is_null()).collect();
            if let Some(first) = calls.first() {
                is_signed(first)?;
                if !matches!(said.last(), Some(Said::User(_) | Said::Result(_))) {
                    let why = "a function call comes right after a user's content or a function response";
                    return Err(Refusal::Invalid(why.to_owned()));
                }
            }
            open.extend(calls.iter().filter_map(|part| part["functionCall"]["name"].as_str()));
            said.push(Said::Assistant { text, called: !calls.is_empty() });
        }
        other => return Err(Refusal::Invalid(format!("the roles are user and model, not `{other}`"))),
    }
    if due.is_empty() {
        return Ok(());
    }
    Err(Refusal::Invalid("there must be as many function responses as there were function calls".to_owned()))
}

fn is_signed(call: &Value) -> Result<(), Refusal> {
    let name = call["functionCall"]["name"].as_str().unwrap_or_default();
    match call["thoughtSignature"].as_str() {
        Some(signed) if signed == signature(name) || signed == NO_SIGNATURE => Ok(()),
        // A client may put bytes into the other alphabet of base64.
        Some(signed) if signed.replace('-', "+").replace('_', "/") == signature(name) => Ok(()),
        Some(_) => {
            Err(Refusal::Invalid(format!("the thought_signature of the function call {name} is not valid")))
        }
        None => Err(Refusal::Invalid(format!("the function call {name} is missing a thought_signature"))),
    }
}

fn text_of(content: &Value) -> String {
    let parts = content["parts"].as_array().into_iter().flatten().filter(|part| part["thought"] != true);
    parts.filter_map(|part| part["text"].as_str()).collect()
}

/// The chunks of an answer, and whether each is output. Usage is cumulative; function calls come whole, in one chunk,
/// and end with STOP like anything else.
fn chunks(answer: &Answer, number: u32, model: &str) -> Vec<(Value, bool)> {
    let mut written = 0;
    let mut chunks: Vec<(Value, bool)> = Vec::new();
    for word in &answer.words {
        written += 1;
        chunks.push((chunk(number, model, json!([{"text": word}]), None, usage(answer, written)), true));
    }
    if !answer.calls.is_empty() {
        written = answer.words_out();
        chunks.push((chunk(number, model, calls(answer, number), None, usage(answer, written)), true));
    }
    let parts = if written == 0 { json!([]) } else { json!([{"text": ""}]) };
    chunks.push((chunk(number, model, parts, Some(finish_reason(answer)), usage(answer, written)), false));
    chunks
}

fn whole(answer: &Answer, number: u32, model: &str) -> Value {
    let mut parts = calls(answer, number);
    if let (Some(parts), false) = (parts.as_array_mut(), answer.words.is_empty()) {
        parts.insert(0, json!({"text": answer.text()}));
    }
    chunk(number, model, parts, Some(finish_reason(answer)), usage(answer, answer.words_out()))
}

fn chunk(number: u32, model: &str, parts: Value, reason: Option<&str>, usage: Value) -> Value {
    let mut candidate = json!({"index": 0, "content": {"role": "model", "parts": parts}});
    if let Some(reason) = reason {
        candidate["finishReason"] = reason.into();
    }
    json!({"candidates": [candidate], "usageMetadata": usage, "modelVersion": model,
        "responseId": format!("response-{number}")})
}

fn calls(answer: &Answer, number: u32) -> Value {
    let part = |(index, (name, args)): (usize, &(String, Value))| {
        let args = if args.is_null() { json!({}) } else { args.clone() };
        let call = json!({"id": format!("fc-{number}-{index}"), "name": name, "args": args});
        match index {
            0 => json!({"functionCall": call, "thoughtSignature": signature(name)}),
            _ => json!({"functionCall": call}),
        }
    };
    answer.calls.iter().enumerate().map(part).collect()
}

fn finish_reason(answer: &Answer) -> &'static str {
    if answer.is_cut { "MAX_TOKENS" } else { "STOP" }
}

fn usage(answer: &Answer, written: usize) -> Value {
    let words_in = answer.words_in;
    json!({"promptTokenCount": words_in, "candidatesTokenCount": written, "totalTokenCount": words_in + written})
}
