//! OpenAI Responses, streamed and whole.
//!
//! Shapes from the types of openai 3.52.0 (`types/responses`). The official client passes an `error` event of the
//! stream on as an event and raises nothing, unlike that of chat completions.

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
    Router::new().route("/openai/v1/responses", post(responses))
}

async fn responses(Of(state): Of<Arc<State>>, request: Request) -> Response {
    crate::sse::answer(state, Service::OpenaiResponses, &Responses, request).await
}

struct Responses;

impl Dialect for Responses {
    fn key(&self, call: &Call) -> String {
        call.bearer()
    }

    fn reply(&self, plan: &Plan, call: &Call) -> Result<Reply, Refusal> {
        let body = &call.body;
        let model = existing_model(body["model"].as_str())?;
        if let Some(id) = body["previous_response_id"].as_str() {
            return Err(Refusal::Invalid(format!("no response `{id}` is kept")));
        }
        let answer = model::answer(plan, &asked(body)?);
        let mut stream = Stream::new(call, model);
        stream.write(&answer);
        Ok(if body["stream"] == true { Reply::Stream(stream.events) } else { Reply::Whole(stream.response) })
    }

    fn refuse(&self, refusal: &Refusal) -> Response {
        refuse(refusal)
    }

    fn error(&self) -> Event {
        let error = json!({"type": "error", "sequence_number": 0, "code": "server_error",
            "message": "The server is overloaded.", "param": null});
        Event::frame(error).named()
    }

    fn unknown(&self) -> Event {
        Event::frame(json!({"type": "response.surprise", "sequence_number": 0, "surprise": {"level": 1}}))
            .named()
    }

    fn id_header(&self) -> Option<&'static str> {
        Some("x-request-id")
    }
}

fn asked(body: &Value) -> Result<Asked, Refusal> {
    let mut said: Vec<_> =
        body["instructions"].as_str().map(|text| Said::System(text.to_owned())).into_iter().collect();
    let mut open: Vec<&str> = Vec::new();
    match &body["input"] {
        Value::String(text) => said.push(Said::User(text.clone())),
        Value::Array(items) if !items.is_empty() => {
            for item in items {
                take(item, &mut said, &mut open)?;
            }
        }
        _ => return Err(Refusal::Invalid("input is required".to_owned())),
    }
    if let [id, ..] = open[..] {
        return Err(Refusal::Invalid(format!("there is no output for the function call {id}")));
    }
    let tools = body["tools"].as_array().into_iter().flatten().filter(|_| body["tool_choice"] != "none");
    let tools = tools.filter_map(|tool| Some(tool["name"].as_str()?.to_owned())).collect();
    Ok(Asked { said, tools, words_max: body["max_output_tokens"].as_u64() })
}

/// One item of the input. Unlike a chat's messages, outputs may come anywhere after their calls.
fn take<'a>(item: &'a Value, said: &mut Vec<Said>, open: &mut Vec<&'a str>) -> Result<(), Refusal> {
    let id = item["call_id"].as_str().unwrap_or_default();
    match item["type"].as_str().unwrap_or("message") {
        "message" => {
            let text = text_of(&item["content"]);
            said.push(match item["role"].as_str() {
                Some("system" | "developer") => Said::System(text),
                Some("user") => Said::User(text),
                Some("assistant") => Said::Assistant { text, called: false },
                other => {
                    return Err(Refusal::Invalid(format!(
                        "there is no role `{}`",
                        other.unwrap_or_default()
                    )));
                }
            });
        }
        "function_call" => {
            if id.is_empty() || !item["name"].is_string() || !item["arguments"].is_string() {
                let why = "a function call has a call_id, a name, and arguments as text";
                return Err(Refusal::Invalid(why.to_owned()));
            }
            open.push(id);
            // Words before a call are an item of their own here, and part of the same turn.
            match said.last_mut() {
                Some(Said::Assistant { called, .. }) => *called = true,
                _ => said.push(Said::Assistant { text: String::new(), called: true }),
            }
        }
        "function_call_output" => {
            let Some(at) = open.iter().position(|open| *open == id) else {
                return Err(Refusal::Invalid(format!("there is no function call {id} for this output")));
            };
            open.remove(at);
            said.push(Said::Result(text_of(&item["output"])));
        }
        // Reasoning and whatever else the service gave out may come back.
        _ => {}
    }
    Ok(())
}

/// The events of an answer, and the response as it grows.
struct Stream {
    number: u32,
    response: Value,
    events: Vec<Event>,
}

impl Stream {
    fn new(call: &Call, model: &str) -> Self {
        let body = &call.body;
        let or =
            |name: &str, otherwise: Value| if body[name].is_null() { otherwise } else { body[name].clone() };
        let response = json!({
            "id": format!("resp_{}", call.number), "object": "response", "created_at": now_s(), "model": model,
            "status": "in_progress", "error": null, "incomplete_details": null, "output": [], "usage": null,
            "instructions": body["instructions"], "metadata": or("metadata", json!({})),
            "parallel_tool_calls": or("parallel_tool_calls", true.into()), "temperature": body["temperature"],
            "tool_choice": or("tool_choice", "auto".into()), "tools": or("tools", json!([])), "top_p": body["top_p"],
        });
        Self { number: call.number, response, events: Vec::new() }
    }

    fn write(&mut self, answer: &Answer) {
        self.of_response("response.created");
        self.of_response("response.in_progress");
        if !answer.words.is_empty() {
            self.message(answer);
        }
        for (name, arguments) in &answer.calls {
            self.call(name, &arguments.to_string());
        }
        let (words_in, words_out) = (answer.words_in, answer.words_out());
        self.response["usage"] = json!({
            "input_tokens": words_in, "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
            "output_tokens": words_out, "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": words_in + words_out,
        });
        self.response["status"] = if answer.is_cut { "incomplete" } else { "completed" }.into();
        if answer.is_cut {
            self.response["incomplete_details"] = json!({"reason": "max_output_tokens"});
        }
        self.of_response(if answer.is_cut { "response.incomplete" } else { "response.completed" });
    }

    fn message(&mut self, answer: &Answer) {
        let (at, text) = (self.at(), answer.text());
        let id = format!("msg_{}_{at}", self.number);
        let item = |status: &str, content: Value| json!({"id": id, "type": "message", "role": "assistant", "status": status, "content": content});
        let part =
            |text: &str| json!({"type": "output_text", "text": text, "annotations": [], "logprobs": []});
        let of_part = |kind: &str, key: &str, value: Value| {
            let mut event = json!({"type": kind, "item_id": id, "output_index": at, "content_index": 0});
            event[key] = value;
            event
        };
        let of_text = |kind: &str, key: &str, text: &str| {
            let mut event = of_part(kind, key, text.into());
            event["logprobs"] = json!([]);
            event
        };
        self.frame(of_item("added", at, &item("in_progress", json!([]))));
        self.frame(of_part("response.content_part.added", "part", part("")));
        for word in &answer.words {
            self.output(of_text("response.output_text.delta", "delta", word));
        }
        self.frame(of_text("response.output_text.done", "text", &text));
        self.frame(of_part("response.content_part.done", "part", part(&text)));
        self.done(at, item("completed", json!([part(&text)])));
    }

    fn call(&mut self, name: &str, arguments: &str) {
        let at = self.at();
        let id = format!("fc_{}_{at}", self.number);
        let call_id = format!("call_{}_{at}", self.number);
        let item = |status: &str, arguments: &str| {
            json!({"id": id, "type": "function_call", "status": status, "call_id": call_id, "name": name,
                "arguments": arguments})
        };
        self.frame(of_item("added", at, &item("in_progress", "")));
        for piece in fragments(arguments) {
            let kind = "response.function_call_arguments.delta";
            self.output(json!({"type": kind, "item_id": id, "output_index": at, "delta": piece}));
        }
        let kind = "response.function_call_arguments.done";
        self.frame(
            json!({"type": kind, "item_id": id, "output_index": at, "name": name, "arguments": arguments}),
        );
        self.done(at, item("completed", arguments));
    }

    /// The index of the next item.
    fn at(&self) -> usize {
        self.response["output"].as_array().map_or(0, Vec::len)
    }

    fn done(&mut self, at: usize, item: Value) {
        self.frame(of_item("done", at, &item));
        if let Some(output) = self.response["output"].as_array_mut() {
            output.push(item);
        }
    }

    fn of_response(&mut self, kind: &str) {
        let event = json!({"type": kind, "response": self.response});
        self.frame(event);
    }

    fn frame(&mut self, mut event: Value) {
        event["sequence_number"] = self.events.len().into();
        self.events.push(Event::frame(event).named());
    }

    fn output(&mut self, mut event: Value) {
        event["sequence_number"] = self.events.len().into();
        self.events.push(Event::output(event).named());
    }
}

fn of_item(what: &str, at: usize, item: &Value) -> Value {
    json!({"type": format!("response.output_item.{what}"), "output_index": at, "item": item})
}
