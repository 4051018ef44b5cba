//! OpenAI's Responses, streamed: items in, items out, nothing kept at the vendor.
//!
//! Source: the types of openai-python 3.52 (`types/responses`), and `providers.md`, 2.2.

use serde_json::{Value, json};

use super::{Endpoint, ID_HEADER, Server, VENDOR, effort, inside};
use crate::Error;
use crate::llm::answering::{Dialect, Progress, Reader, Spare};
use crate::llm::bodies::{count, rounded};
use crate::llm::calls::{Fragment, Fragments, replayed};
use crate::llm::context::{Turn, turns};
use crate::llm::telling::Telling;
use crate::llm::{Request, ToolCall, ToolSpec, Usage};
use crate::registry::{Open, Service};

const NAME: &str = "openai-responses";

/// The registry's line.
pub const SERVICE: Service = Service {
    name: NAME,
    vendor: VENDOR,
    about: "answers by OpenAI's Responses, or a server that speaks them at another address",
    open: Open::Llm(|account| super::open(&DIALECT, account, "/responses", body)),
};

static DIALECT: Dialect = Dialect {
    name: NAME,
    id_header: ID_HEADER,
    refused: |refused| super::refused(NAME, refused),
    reader: || Box::<Answer>::default(),
    spares: &[
        Spare { word: "reasoning", inside: "", name: "reasoning", instead: "" },
        Spare { word: "temperature", inside: "", name: "temperature", instead: "" },
    ],
};

fn body(endpoint: &Endpoint, model: &str, request: &Request) -> Value {
    let turns = turns(&request.messages);
    let leading = turns.iter().take_while(|turn| matches!(turn, Turn::Instruction(_))).count();
    let (instructions, dialogue) = turns.split_at(leading);
    let text =
        |turn: &Turn<'_>| if let Turn::Instruction(text) = turn { (*text).to_owned() } else { String::new() };
    let instructions: Vec<_> = instructions.iter().map(text).collect();
    let input: Vec<_> = dialogue.iter().flat_map(items).collect();
    let mut body = json!({"model": model, "input": input, "stream": true, "store": false});
    if !instructions.is_empty() {
        body["instructions"] = instructions.join("\n\n").into();
    }
    if !request.tools.is_empty() {
        let tool = |tool: &ToolSpec| {
            json!({"type": "function", "name": tool.name, "description": tool.description,
                "parameters": tool.parameters, "strict": false})
        };
        body["tools"] = request.tools.iter().map(tool).collect();
    }
    if let Some(temperature) = request.temperature {
        body["temperature"] = rounded(temperature);
    }
    if let Some(max) = request.max_tokens {
        body["max_output_tokens"] = max.into();
    }
    if let Some(effort) = effort(endpoint.server, model) {
        body["reasoning"] = json!({ "effort": effort });
    }
    if endpoint.server == Server::OpenAi {
        body["stream_options"] = json!({"include_obfuscation": false});
        if let Some(conversation) = &request.conversation {
            body["prompt_cache_key"] = conversation.as_str().into();
        }
    }
    body
}

fn items(turn: &Turn<'_>) -> Vec<Value> {
    match turn {
        Turn::Instruction(text) => vec![json!({"role": "system", "content": text})],
        Turn::Caller(text) => vec![json!({"role": "user", "content": text})],
        Turn::Agent { text, calls } => {
            let words = (!text.is_empty()).then(|| json!({"role": "assistant", "content": text}));
            let made = calls.iter().map(|(call, _)| {
                json!({"type": "function_call", "call_id": call.id, "name": call.name,
                    "arguments": replayed(&call.arguments).to_string()})
            });
            let results = calls.iter().map(|(call, result)| {
                json!({"type": "function_call_output", "call_id": call.id, "output": result})
            });
            words.into_iter().chain(made).chain(results).collect()
        }
    }
}

/// One answer as it comes.
#[derive(Default)]
struct Answer {
    calls: Fragments,
    usage: Usage,
    reason: Option<String>,
}

impl Answer {
    /// A function call, begun or complete.
    fn item(&mut self, index: &Value, item: &Value) {
        if item["type"] != "function_call" {
            return;
        }
        let index = index.as_u64().unwrap_or_default();
        let text = |name: &str| item[name].as_str().unwrap_or_default();
        let fragment = Fragment { index, id: text("call_id"), name: text("name"), signature: None };
        self.calls.push(&fragment, &Value::Null);
        if !text("arguments").is_empty() {
            self.calls.replace(index, text("arguments"));
        }
    }

    /// The response at its end.
    fn ended(&mut self, response: &Value) -> Result<Progress, Error> {
        if response["error"].is_object() {
            return Err(inside(NAME, &response["error"]));
        }
        if response["status"] == "failed" || response["status"] == "cancelled" {
            return Err(inside(NAME, &json!({"message": "the answer failed, and no reason was given"})));
        }
        let usage = &response["usage"];
        self.usage = Usage {
            input_tokens: count(&usage["input_tokens"]),
            cached_tokens: count(&usage["input_tokens_details"]["cached_tokens"]),
            output_tokens: count(&usage["output_tokens"]),
        };
        self.reason = response["incomplete_details"]["reason"].as_str().map(str::to_owned);
        Ok(Progress::Done)
    }
}

impl Reader for Answer {
    fn take(&mut self, data: &Value, telling: &mut Telling) -> Result<Progress, Error> {
        let index = data["output_index"].as_u64().unwrap_or_default();
        match data["type"].as_str().unwrap_or_default() {
            "response.output_text.delta" | "response.refusal.delta" => {
                telling.text(data["delta"].as_str().unwrap_or_default());
            }
            "response.output_item.added" | "response.output_item.done" => {
                self.item(&data["output_index"], &data["item"]);
            }
            "response.function_call_arguments.delta" => {
                let fragment = Fragment { index, ..Fragment::default() };
                self.calls.push(&fragment, &data["delta"]);
                telling.calling();
            }
            "response.function_call_arguments.done" => {
                if let Some(arguments) = data["arguments"].as_str() {
                    self.calls.replace(index, arguments);
                }
            }
            "response.completed" | "response.incomplete" | "response.failed" | "response.cancelled" => {
                return self.ended(&data["response"]);
            }
            "error" if data["error"].is_null() => return Err(inside(NAME, data)),
            _ if !data["error"].is_null() => return Err(inside(NAME, &data["error"])),
            _ => {}
        }
        Ok(Progress::More)
    }

    fn whole(&mut self, data: &Value, telling: &mut Telling) -> Result<(), Error> {
        if data["type"] == "error" {
            return self.take(data, telling).map(drop);
        }
        self.ended(data)?;
        for (index, item) in data["output"].as_array().into_iter().flatten().enumerate() {
            self.item(&index.into(), item);
            let parts =
                item["content"].as_array().into_iter().flatten().filter(|_| item["type"] == "message");
            for part in parts {
                let text = part["text"].as_str().or_else(|| part["refusal"].as_str());
                telling.text(text.unwrap_or_default());
            }
        }
        Ok(())
    }

    fn calls(&mut self) -> Vec<ToolCall> {
        self.calls.take()
    }

    fn usage(&self) -> Usage {
        self.usage
    }

    fn reason(&self) -> Option<&str> {
        self.reason.as_deref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;
    use crate::account::Account;
    use crate::llm::answering::tests::{told, told_whole, words};
    use crate::llm::context::tests::{called, result, said};
    use crate::llm::{Event, Role};

    fn completed() -> Value {
        json!({"type": "response.completed", "response": {"status": "completed", "error": null,
            "usage": {"input_tokens": 9, "input_tokens_details": {"cached_tokens": 4}, "output_tokens": 3}}})
    }

    #[test]
    fn words_and_calls_are_told_and_thoughts_and_unknown_events_are_not() {
        let events = [
            json!({"type": "response.created", "response": {"status": "in_progress", "error": null}}),
            json!({"type": "response.reasoning_text.delta", "delta": "hm"}),
            json!({"type": "response.output_text.delta", "output_index": 0, "delta": "One moment."}),
            json!({"type": "response.surprise", "level": 1}),
            json!({"type": "response.output_item.added", "output_index": 1,
                "item": {"type": "function_call", "id": "fc_1", "call_id": "a", "name": "one", "arguments": ""}}),
            json!({"type": "response.output_item.added", "output_index": 2,
                "item": {"type": "function_call", "id": "fc_2", "call_id": "b", "name": "two", "arguments": ""}}),
            json!({"type": "response.function_call_arguments.delta", "output_index": 1, "delta": "{\"x\""}),
            json!({"type": "response.function_call_arguments.delta", "output_index": 1, "delta": ":1}"}),
            json!({"type": "response.function_call_arguments.done", "output_index": 1, "arguments": "{\"x\":1}"}),
            json!({"type": "response.output_item.done", "output_index": 2,
                "item": {"type": "function_call", "id": "fc_2", "call_id": "b", "name": "two", "arguments": "{}"}}),
            completed(),
        ];
        let told = told(Answer::default(), &events).unwrap();
        assert_eq!(words(&told), "One moment.");
        let Event::ToolCalls(calls) = &told[1] else { panic!("{told:?}") };
        let calls: Vec<_> = calls.iter().map(|call| (call.id.as_str(), &call.arguments)).collect();
        assert_eq!(calls, [("a", &json!({"x": 1})), ("b", &json!({}))]);
        let usage = Usage { input_tokens: Some(9), cached_tokens: Some(4), output_tokens: Some(3) };
        assert_eq!(told.last(), Some(&Event::Finished { usage }));
    }

    #[test]
    fn failures_are_told_in_every_place_they_come_in() {
        let quota = json!({"code": "insufficient_quota", "message": "none left"});
        let failed = json!({"type": "response.failed", "response": {"status": "failed", "error": quota}});
        let flat = json!({"type": "error", "code": "server_error", "message": "overloaded", "param": null});
        let nested = json!({"type": "error", "error": quota});
        let kinds = [failed, flat, nested].map(|event| told(Answer::default(), &[event]).unwrap_err().kind);
        assert_eq!(kinds, [ErrorKind::OutOfCredit, ErrorKind::Unavailable, ErrorKind::OutOfCredit]);
    }

    #[test]
    fn an_answer_that_comes_whole_counts_as_one_that_streams() {
        let whole = json!({"status": "completed", "output": [
            {"type": "reasoning", "content": [{"type": "reasoning_text", "text": "hm"}]},
            {"type": "message", "content": [{"type": "output_text", "text": "नमस्ते"}]},
            {"type": "function_call", "call_id": "a", "name": "one", "arguments": "{}"}]});
        let told = told_whole(Answer::default(), &whole).unwrap();
        assert_eq!(words(&told), "नमस्ते");
        assert!(matches!(&told[1], Event::ToolCalls(calls) if calls[0].id == "a"), "{told:?}");
    }

    #[test]
    fn a_request_has_instructions_apart_and_every_output_after_its_call() {
        let messages = vec![
            said(Role::System, "Brief."),
            said(Role::Caller, "Hi"),
            called("Wait.", &["a"]),
            result("a", "1"),
            said(Role::System, "In Hindi."),
        ];
        let request = Request { messages, max_tokens: Some(50), ..Request::default() };
        let endpoint =
            Endpoint::of(&Account { base_url: Some("http://localhost/v1".to_owned()), ..Account::default() });
        assert_eq!(
            body(&endpoint, "m", &request),
            json!({"model": "m", "stream": true, "store": false, "instructions": "Brief.", "max_output_tokens": 50,
                "input": [
                    {"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Wait."},
                    {"type": "function_call", "call_id": "a", "name": "tool_a", "arguments": "{\"of\":\"a\"}"},
                    {"type": "function_call_output", "call_id": "a", "output": "1"},
                    {"role": "system", "content": "In Hindi."}]})
        );
    }
}
