//! OpenAI chat completions, streamed and whole; also what any compatible server speaks, at the same base URL.
//!
//! Shapes from the types of openai 3.52.0 (`types/chat`); the rules of a conversation with tools as the service keeps
//! them: every call is answered by a tool message before anything else is said.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State as Of};
use axum::response::Response;
use axum::routing::post;
use serde_json::{Value, json};

use super::model::{self, Answer, Asked, Said};
use super::openai::{fragments, now_s, refuse, text_of};
use crate::sse::{Call, Dialect, Event, Refusal, Reply, existing_model};
use crate::{Plan, Service, State};

pub fn routes() -> Router<Arc<State>> {
    Router::new().route("/openai/v1/chat/completions", post(completions))
}

async fn completions(Of(state): Of<Arc<State>>, request: Request) -> Response {
    crate::sse::answer(state, Service::OpenaiChat, &Chat, request).await
}

struct Chat;

impl Dialect for Chat {
    fn key(&self, call: &Call) -> String {
        call.bearer()
    }

    fn reply(&self, plan: &Plan, call: &Call) -> Result<Reply, Refusal> {
        let body = &call.body;
        let model = existing_model(body["model"].as_str())?;
        let asked = asked(body)?;
        let answer = model::answer(plan, &asked);
        let head =
            Head { id: format!("chatcmpl-{}", call.number), created: now_s(), model: model.to_owned() };
        if body["stream"] == true {
            let with_usage = body["stream_options"]["include_usage"] == true;
            return Ok(Reply::Stream(head.stream(&answer, call.number, with_usage)));
        }
        Ok(Reply::Whole(head.whole(&answer, call.number)))
    }

    fn refuse(&self, refusal: &Refusal) -> Response {
        refuse(refusal)
    }

    fn error(&self) -> Event {
        let error = json!({"message": "The server is overloaded.", "type": "server_error", "param": null, "code": null});
        Event::frame(json!({"error": error}))
    }

    fn unknown(&self) -> Event {
        Event::frame(json!({"object": "chat.completion.surprise", "choices": [], "surprise": {"level": 1}}))
    }

    fn id_header(&self) -> Option<&'static str> {
        Some("x-request-id")
    }
}

fn asked(body: &Value) -> Result<Asked, Refusal> {
    let messages = body["messages"].as_array().filter(|messages| !messages.is_empty());
    let messages = messages.ok_or_else(|| Refusal::Invalid("messages is required".to_owned()))?;
    let mut said = Vec::new();
    let mut open: Vec<&str> = Vec::new();
    for message in messages {
        let role = message["role"].as_str().unwrap_or_default();
        if role != "tool" {
            all_answered(&open)?;
        }
        let text = text_of(&message["content"]);
        said.push(match role {
            "system" | "developer" => Said::System(text),
            "user" => Said::User(text),
            "assistant" => {
                open = calls(message)?;
                Said::Assistant { text, called: !open.is_empty() }
            }
            "tool" => {
                let id = message["tool_call_id"].as_str().unwrap_or_default();
                let at = open.iter().position(|open| *open == id).ok_or_else(|| {
                    Refusal::Invalid(format!("the tool message answers `{id}`, which no call before it has"))
                })?;
                open.remove(at);
                Said::Result(text)
            }
            other => return Err(Refusal::Invalid(format!("there is no role `{other}`"))),
        });
    }
    all_answered(&open)?;
    let tools = body["tools"].as_array().into_iter().flatten().filter(|_| body["tool_choice"] != "none");
    let tools = tools.filter_map(|tool| Some(tool["function"]["name"].as_str()?.to_owned())).collect();
    let words_max = body["max_completion_tokens"].as_u64().or(body["max_tokens"].as_u64());
    Ok(Asked { said, tools, words_max })
}

fn all_answered(open: &[&str]) -> Result<(), Refusal> {
    match open {
        [] => Ok(()),
        open => Err(Refusal::Invalid(format!("tool messages are missing for the calls {}", open.join(", ")))),
    }
}

/// The ids of an assistant message's calls.
fn calls(message: &Value) -> Result<Vec<&str>, Refusal> {
    let calls = message["tool_calls"].as_array().into_iter().flatten();
    calls
        .map(|call| {
            let is_whole = call["function"]["name"].is_string() && call["function"]["arguments"].is_string();
            let id = call["id"].as_str().filter(|_| is_whole);
            id.ok_or_else(|| {
                Refusal::Invalid("a tool call has an id, a name, and arguments as text".to_owned())
            })
        })
        .collect()
}

/// What every chunk repeats.
struct Head {
    id: String,
    created: u64,
    model: String,
}

impl Head {
    fn stream(&self, answer: &Answer, number: u32, with_usage: bool) -> Vec<Event> {
        let chunk = |choices: Value, usage: Value| {
            let mut chunk = json!({"id": self.id, "object": "chat.completion.chunk", "created": self.created,
                "model": self.model, "service_tier": "default", "choices": choices});
            if with_usage {
                chunk["usage"] = usage;
            }
            chunk
        };
        let delta = |delta: Value, reason: Option<&str>| {
            chunk(json!([{"index": 0, "delta": delta, "finish_reason": reason}]), Value::Null)
        };
        let mut events = vec![Event::frame(delta(json!({"role": "assistant", "content": ""}), None))];
        events.extend(answer.words.iter().map(|word| Event::output(delta(json!({"content": word}), None))));
        for (index, (name, arguments)) in answer.calls.iter().enumerate() {
            let first = json!({"index": index, "id": call_id(number, index), "type": "function",
                "function": {"name": name, "arguments": ""}});
            events.push(Event::output(delta(json!({"tool_calls": [first]}), None)));
            events.extend(fragments(&arguments.to_string()).iter().map(|piece| {
                let more = json!({"index": index, "function": {"arguments": piece}});
                Event::output(delta(json!({"tool_calls": [more]}), None))
            }));
        }
        events.push(Event::frame(delta(json!({}), Some(finish_reason(answer)))));
        if with_usage {
            events.push(Event::frame(chunk(json!([]), usage(answer))));
        }
        events.push(Event::frame("[DONE]"));
        events
    }

    fn whole(&self, answer: &Answer, number: u32) -> Value {
        let text = answer.text();
        let content = if text.is_empty() && !answer.calls.is_empty() { Value::Null } else { text.into() };
        let mut message = json!({"role": "assistant", "content": content, "refusal": null});
        if !answer.calls.is_empty() {
            let calls = answer.calls.iter().enumerate().map(|(index, (name, arguments))| {
                json!({"id": call_id(number, index), "type": "function",
                    "function": {"name": name, "arguments": arguments.to_string()}})
            });
            message["tool_calls"] = calls.collect();
        }
        let choice = json!({"index": 0, "message": message, "finish_reason": finish_reason(answer)});
        json!({"id": self.id, "object": "chat.completion", "created": self.created, "model": self.model,
            "choices": [choice], "usage": usage(answer)})
    }
}

fn call_id(number: u32, index: usize) -> String {
    format!("call_{number}_{index}")
}

fn finish_reason(answer: &Answer) -> &'static str {
    match answer {
        Answer { is_cut: true, .. } => "length",
        Answer { calls, .. } if !calls.is_empty() => "tool_calls",
        _ => "stop",
    }
}

fn usage(answer: &Answer) -> Value {
    let (words_in, words_out) = (answer.words_in, answer.words_out());
    json!({"prompt_tokens": words_in, "completion_tokens": words_out, "total_tokens": words_in + words_out,
        "prompt_tokens_details": {"cached_tokens": 0}, "completion_tokens_details": {"reasoning_tokens": 0}})
}
