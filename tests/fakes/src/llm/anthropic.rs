//! Anthropic messages, streamed and whole.
//!
//! Shapes from the types of anthropic 2.11.0, and its table of error classes: 402 is `billing_error`. That client
//! sends the key as a bearer token and version 2026-10-21, and knows messages of role `system` in mid-conversation.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State as Of};
use axum::response::Response;
use axum::routing::post;
use serde_json::{Value, json};

use super::model::{self, Answer, Asked, Said};
use super::openai::{fragments, text_of};
use crate::sse::{Call, Dialect, Event, Refusal, Reply, existing_model, refused};
use crate::{Plan, Service, State};

/// The versions that `anthropic-version` may name; from the second on there are no sampling parameters.
const VERSIONS: [&str; 2] = ["2023-06-01", "2026-10-21"];

pub fn routes() -> Router<Arc<State>> {
    Router::new().route("/anthropic/v1/messages", post(messages))
}

async fn messages(Of(state): Of<Arc<State>>, request: Request) -> Response {
    crate::sse::answer(state, Service::AnthropicMessages, &Messages, request).await
}

struct Messages;

impl Dialect for Messages {
    fn key(&self, call: &Call) -> String {
        let key = call.header("x-api-key");
        if key.is_empty() { call.bearer() } else { key.to_owned() }
    }

    fn reply(&self, plan: &Plan, call: &Call) -> Result<Reply, Refusal> {
        let body = &call.body;
        let version = call.header("anthropic-version");
        if !VERSIONS.contains(&version) {
            return Err(Refusal::Invalid("anthropic-version: the header is required".to_owned()));
        }
        let sampling = ["temperature", "top_p", "top_k"].into_iter().find(|name| !body[name].is_null());
        if let Some(name) = sampling.filter(|_| version == VERSIONS[1]) {
            return Err(Refusal::Invalid(format!("{name}: version {version} does not have it")));
        }
        let model = existing_model(body["model"].as_str())?;
        let answer = model::answer(plan, &asked(body)?);
        let message = message(&answer, call.number, model);
        Ok(if body["stream"] == true {
            Reply::Stream(stream(&answer, message))
        } else {
            Reply::Whole(message)
        })
    }

    fn refuse(&self, refusal: &Refusal) -> Response {
        let (status, kind, message) = match refusal {
            Refusal::Unauthorized => (401, "authentication_error", "the API key is not valid"),
            Refusal::Quota => (402, "billing_error", "there is no credit left"),
            Refusal::RateLimited { .. } => {
                (429, "rate_limit_error", "the requests of this minute are used up")
            }
            Refusal::ServerError => (500, "api_error", "the server failed"),
            Refusal::Invalid(why) => (400, "invalid_request_error", why.as_str()),
            Refusal::NoModel(model) => (404, "not_found_error", model.as_str()),
        };
        let body = json!({"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_refused"});
        match refusal {
            Refusal::RateLimited { retry_after_s } => {
                refused(status, &[("retry-after", retry_after_s.to_string())], &body)
            }
            _ => refused(status, &[], &body),
        }
    }

    fn error(&self) -> Event {
        let error = json!({"type": "overloaded_error", "message": "Overloaded"});
        Event::frame(json!({"type": "error", "error": error})).named()
    }

    fn unknown(&self) -> Event {
        Event::frame(json!({"type": "surprise", "surprise": {"level": 1}})).named()
    }

    fn id_header(&self) -> Option<&'static str> {
        Some("request-id")
    }
}

fn asked(body: &Value) -> Result<Asked, Refusal> {
    let words_max = body["max_tokens"].as_u64().filter(|max| *max > 0);
    let words_max = words_max.ok_or_else(|| Refusal::Invalid("max_tokens: is required".to_owned()))?;
    let system = text_of(&body["system"]);
    let mut said = if system.is_empty() { Vec::new() } else { vec![Said::System(system)] };
    let messages = body["messages"].as_array().map_or(&[][..], Vec::as_slice);
    // The vendor has kept the first of these rules long, and prefill is refused by newer models.
    if messages.first().is_none_or(|first| first["role"] != "user") {
        return Err(Refusal::Invalid("messages: the first one is of the user".to_owned()));
    }
    if messages.last().is_some_and(|last| last["role"] == "assistant") {
        return Err(Refusal::Invalid("messages: this model does not go on with its own message".to_owned()));
    }
    let mut open = Vec::new();
    for message in messages {
        take(message, &mut said, &mut open)?;
    }
    let tools =
        body["tools"].as_array().into_iter().flatten().filter(|_| body["tool_choice"]["type"] != "none");
    let tools = tools.filter_map(|tool| Some(tool["name"].as_str()?.to_owned())).collect();
    Ok(Asked { said, tools, words_max: Some(words_max) })
}

/// One message. `open` are the ids of calls that the next message must give the results of, all and first.
fn take(message: &Value, said: &mut Vec<Said>, open: &mut Vec<String>) -> Result<(), Refusal> {
    let blocks = message["content"].as_array().map_or(&[][..], Vec::as_slice);
    let of_type = |kind: &'static str| blocks.iter().filter(move |block| block["type"] == kind);
    let text = match &message["content"] {
        Value::String(text) => text.clone(),
        _ => of_type("text").filter_map(|block| block["text"].as_str()).collect(),
    };
    let mut due = std::mem::take(open);
    match message["role"].as_str() {
        Some("user") => {
            let results = of_type("tool_result").count();
            for block in blocks.iter().take_while(|block| block["type"] == "tool_result") {
                let id = block["tool_use_id"].as_str().unwrap_or_default();
                let Some(at) = due.iter().position(|due| due == id) else {
                    let why = format!("messages: no tool_use of the message before has the id `{id}`");
                    return Err(Refusal::Invalid(why));
                };
                due.remove(at);
                said.push(Said::Result(text_of(&block["content"])));
            }
            if blocks.iter().take_while(|block| block["type"] == "tool_result").count() < results {
                return Err(Refusal::Invalid("messages: tool_result comes before anything else".to_owned()));
            }
            if !text.is_empty() || results == 0 {
                said.push(Said::User(text));
            }
        }
        Some("assistant") => {
            *open = of_type("tool_use").filter_map(|block| Some(block["id"].as_str()?.to_owned())).collect();
            if of_type("tool_use").any(|block| !block["id"].is_string() || !block["input"].is_object()) {
                let why = "messages: a tool_use has an id, a name, and an object as input";
                return Err(Refusal::Invalid(why.to_owned()));
            }
            said.push(Said::Assistant { text, called: !open.is_empty() });
        }
        Some("system") => said.push(Said::System(text)),
        other => {
            let why = format!("messages: there is no role `{}`", other.unwrap_or_default());
            return Err(Refusal::Invalid(why));
        }
    }
    if due.is_empty() {
        return Ok(());
    }
    Err(Refusal::Invalid(format!("messages: tool_result is missing for {}", due.join(", "))))
}

fn message(answer: &Answer, number: u32, model: &str) -> Value {
    let mut content = Vec::new();
    if !answer.words.is_empty() {
        content.push(json!({"type": "text", "text": answer.text()}));
    }
    content.extend(answer.calls.iter().enumerate().map(|(index, (name, input))| {
        let input = if input.is_null() { json!({}) } else { input.clone() };
        json!({"type": "tool_use", "id": format!("toolu_{number}_{index}"), "name": name, "input": input})
    }));
    let reason = match answer {
        Answer { is_cut: true, .. } => "max_tokens",
        Answer { calls, .. } if !calls.is_empty() => "tool_use",
        _ => "end_turn",
    };
    json!({"id": format!("msg_{number}"), "type": "message", "role": "assistant", "model": model,
        "content": content, "stop_reason": reason, "stop_sequence": null, "usage": {
            "input_tokens": answer.words_in, "output_tokens": answer.words_out(),
            "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0}})
}

/// The same message bit by bit.
fn stream(answer: &Answer, message: Value) -> Vec<Event> {
    let mut begun = message.clone();
    begun["content"] = json!([]);
    begun["stop_reason"] = Value::Null;
    begun["usage"]["output_tokens"] = 1.into();
    let mut events = vec![frame(json!({"type": "message_start", "message": begun}))];
    for (index, block) in message["content"].as_array().into_iter().flatten().enumerate() {
        let is_text = block["type"] == "text";
        let mut empty = block.clone();
        if is_text {
            empty["text"] = "".into();
        } else {
            empty["input"] = json!({});
        }
        events.push(frame(json!({"type": "content_block_start", "index": index, "content_block": empty})));
        if index == 0 {
            events.push(frame(json!({"type": "ping"})));
        }
        let pieces = match is_text {
            true => answer.words.clone(),
            // The first piece is empty, as the service has it.
            false => [vec![String::new()], fragments(&block["input"].to_string())].concat(),
        };
        events.extend(pieces.iter().map(|piece| {
            let delta = match is_text {
                true => json!({"type": "text_delta", "text": piece}),
                false => json!({"type": "input_json_delta", "partial_json": piece}),
            };
            Event::output(json!({"type": "content_block_delta", "index": index, "delta": delta})).named()
        }));
        events.push(frame(json!({"type": "content_block_stop", "index": index})));
    }
    let delta = json!({"stop_reason": message["stop_reason"], "stop_sequence": null});
    let usage = json!({"output_tokens": answer.words_out()});
    events.push(frame(json!({"type": "message_delta", "delta": delta, "usage": usage})));
    events.push(frame(json!({"type": "message_stop"})));
    events
}

fn frame(data: Value) -> Event {
    Event::frame(data).named()
}
