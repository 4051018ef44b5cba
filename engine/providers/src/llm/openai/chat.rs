//! Chat completions, streamed: OpenAI's, and any compatible server's (vLLM, Ollama, Groq, LiteLLM, Azure).
//!
//! Reads what servers really send: several calls in one chunk, one number for all calls, arguments as an object, a
//! finish of `stop` with calls, a delta of null, counts on every chunk, comments, no `[DONE]`, thoughts in the text.
//! Source: the types of openai-python 3.52, and `providers.md`, 2.1.

use serde_json::{Value, json};

use super::{Endpoint, ID_HEADER, Server, VENDOR, effort, inside};
use crate::Error;
use crate::llm::answering::{Dialect, Progress, Reader, Spare};
use crate::llm::bodies::{count, rounded};
use crate::llm::calls::{Fragment, Fragments, replayed};
use crate::llm::context::{Turn, dialogue, turns};
use crate::llm::gemini::NO_SIGNATURE;
use crate::llm::telling::Telling;
use crate::llm::{Message, Request, ToolCall, Usage};
use crate::registry::{Open, Service};

const NAME: &str = "openai";

/// The registry's line.
pub const SERVICE: Service = Service {
    name: NAME,
    vendor: VENDOR,
    about: "answers by chat completions: OpenAI, or any compatible server at another address",
    open: Open::Llm(|account| super::open(&DIALECT, account, "/chat/completions", body)),
};

const fn spare(name: &'static str, instead: &'static str) -> Spare {
    Spare { word: name, inside: "", name, instead }
}

static DIALECT: Dialect = Dialect {
    name: NAME,
    id_header: ID_HEADER,
    refused: |refused| super::refused(NAME, refused),
    reader: || Box::<Answer>::default(),
    spares: &[
        spare("reasoning_effort", ""),
        spare("temperature", ""),
        // The old name and the new one: each server knows at least one of them.
        spare("max_tokens", "max_completion_tokens"),
        spare("max_completion_tokens", "max_tokens"),
        spare("stream_options", ""),
    ],
};

fn body(endpoint: &Endpoint, model: &str, request: &Request) -> Value {
    let is_openai = endpoint.server == Server::OpenAi;
    let messages = if endpoint.server == Server::Other {
        plainest(&request.messages)
    } else {
        turns(&request.messages).iter().flat_map(|turn| messages(turn, endpoint.server)).collect()
    };
    let mut body = json!({"model": model, "messages": messages, "stream": true,
        "stream_options": {"include_usage": true}});
    if !request.tools.is_empty() {
        let tool = |tool: &crate::llm::ToolSpec| {
            json!({"type": "function", "function": {"name": tool.name, "description": tool.description,
                "parameters": tool.parameters}})
        };
        body["tools"] = request.tools.iter().map(tool).collect();
    }
    if let Some(temperature) = request.temperature {
        body["temperature"] = rounded(temperature);
    }
    if let Some(max) = request.max_tokens {
        let name = if endpoint.server == Server::Other { "max_tokens" } else { "max_completion_tokens" };
        body[name] = max.into();
    }
    if let Some(effort) = effort(endpoint.server, model) {
        body["reasoning_effort"] = effort.into();
    }
    if is_openai {
        // Padding against eavesdroppers who measure packets costs as much again as the words.
        body["stream_options"]["include_obfuscation"] = false.into();
        if let Some(conversation) = &request.conversation {
            body["prompt_cache_key"] = conversation.as_str().into();
        }
    }
    body
}

/// The context in the shape that the templates of open models take: one system message, at the beginning; then the
/// user and the assistant in turn, the user first and last.
fn plainest(context: &[Message]) -> Vec<Value> {
    let (instructions, turns) = dialogue(context);
    let mut all = match &instructions[..] {
        [] => Vec::new(),
        several => messages(&Turn::Instruction(&several.join("\n\n")), Server::Other),
    };
    for message in turns.iter().flat_map(|turn| messages(turn, Server::Other)) {
        let is_more = |last: &&mut Value| last["role"] == message["role"] && message["role"] != "tool";
        match all.last_mut().filter(is_more) {
            // Only words can come before more of the same role: calls are followed by their results.
            Some(last) => {
                let texts =
                    [&last["content"], &message["content"]].map(|text| text.as_str().unwrap_or_default());
                last["content"] = texts.join("\n").trim().into();
                if message["tool_calls"].is_array() {
                    last["tool_calls"] = message["tool_calls"].clone();
                }
            }
            None => all.push(message),
        }
    }
    all
}

fn messages(turn: &Turn<'_>, server: Server) -> Vec<Value> {
    match turn {
        Turn::Instruction(text) => vec![json!({"role": "system", "content": text})],
        Turn::Caller(text) => vec![json!({"role": "user", "content": text})],
        Turn::Agent { text, calls } if calls.is_empty() => {
            vec![json!({"role": "assistant", "content": text})]
        }
        Turn::Agent { text, calls } => {
            let content = if text.is_empty() { Value::Null } else { (*text).into() };
            let made: Vec<_> =
                calls.iter().enumerate().map(|(at, (call, _))| made(call, at, server)).collect();
            let results = calls
                .iter()
                .map(|(call, result)| json!({"role": "tool", "tool_call_id": call.id, "content": result}));
            let asked = json!({"role": "assistant", "content": content, "tool_calls": made});
            std::iter::once(asked).chain(results).collect()
        }
    }
}

fn made(call: &ToolCall, at: usize, server: Server) -> Value {
    let arguments = replayed(&call.arguments).to_string();
    let mut made =
        json!({"id": call.id, "type": "function", "function": {"name": call.name, "arguments": arguments}});
    if server == Server::Gemini {
        let unsigned = (at == 0).then_some(NO_SIGNATURE);
        if let Some(signature) = call.signature.as_deref().or(unsigned) {
            made["extra_content"] = json!({"google": {"thought_signature": signature}});
        }
    }
    made
}

/// One answer as it comes.
#[derive(Default)]
struct Answer {
    calls: Fragments,
    usage: Usage,
    reason: Option<String>,
}

impl Answer {
    /// A delta, or the message of an answer that came whole.
    fn delta(&mut self, delta: &Value, telling: &mut Telling) {
        for text in [&delta["content"], &delta["refusal"]] {
            match text {
                Value::String(text) => telling.text(text),
                Value::Array(parts) => {
                    let texts = parts.iter().filter(|part| part["type"] == "text");
                    texts.filter_map(|part| part["text"].as_str()).for_each(|text| telling.text(text));
                }
                _ => {}
            }
        }
        for (at, call) in delta["tool_calls"].as_array().into_iter().flatten().enumerate() {
            let function = &call["function"];
            let fragment = Fragment {
                index: call["index"].as_u64().unwrap_or(at as u64),
                id: call["id"].as_str().unwrap_or_default(),
                name: function["name"].as_str().unwrap_or_default(),
                signature: call["extra_content"]["google"]["thought_signature"].as_str(),
            };
            self.calls.push(&fragment, &function["arguments"]);
            telling.calling();
        }
    }

    fn choice(&mut self, data: &Value, key: &str, telling: &mut Telling) -> Result<Progress, Error> {
        if !data["error"].is_null() {
            return Err(inside(NAME, &data["error"]));
        }
        // Counts come last, or on every chunk: the latest are those of the whole.
        let usage = if data["usage"].is_object() { &data["usage"] } else { &data["x_groq"]["usage"] };
        if usage.is_object() {
            self.usage = Usage {
                input_tokens: count(&usage["prompt_tokens"]),
                cached_tokens: count(&usage["prompt_tokens_details"]["cached_tokens"]),
                output_tokens: count(&usage["completion_tokens"]),
            };
        }
        let choice = &data["choices"][0];
        self.delta(&choice[key], telling);
        match choice["finish_reason"].as_str() {
            Some(reason) if !reason.is_empty() => {
                self.reason = Some(reason.to_owned());
                Ok(Progress::Ending)
            }
            _ => Ok(Progress::More),
        }
    }
}

impl Reader for Answer {
    fn take(&mut self, data: &Value, telling: &mut Telling) -> Result<Progress, Error> {
        self.choice(data, "delta", telling)
    }

    fn whole(&mut self, data: &Value, telling: &mut Telling) -> Result<(), Error> {
        self.choice(data, "message", telling).map(drop)
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
    use crate::llm::{Event, Role, ToolSpec};

    fn chunk(delta: Value, reason: Option<&str>) -> Value {
        json!({"choices": [{"index": 0, "delta": delta, "finish_reason": reason}]})
    }

    fn calls(events: &[Event]) -> Vec<(&str, &str, &Value)> {
        let calls = events
            .iter()
            .filter_map(|event| if let Event::ToolCalls(calls) = event { Some(calls) } else { None });
        calls.flatten().map(|call| (call.id.as_str(), call.name.as_str(), &call.arguments)).collect()
    }

    fn at(base: &str) -> Endpoint {
        Endpoint::of(&Account { base_url: Some(base.to_owned()), ..Account::default() })
    }

    #[test]
    fn words_are_told_as_they_come_and_thoughts_are_not() {
        let events = [
            json!({"choices": [], "prompt_filter_results": []}),
            chunk(json!({"role": "assistant", "content": ""}), None),
            chunk(json!({"reasoning_content": "hm", "content": null}), None),
            chunk(json!({"content": "<thi"}), None),
            chunk(json!({"content": "nk>so</think>\n\n"}), None),
            chunk(json!({"content": "It is"}), None),
            json!({"choices": [{"index": 0, "delta": null, "finish_reason": null}]}),
            chunk(json!({"content": " **four**."}), None),
            chunk(json!({}), Some("stop")),
            json!({"choices": [], "usage": {"prompt_tokens": 31, "completion_tokens": 7,
                "prompt_tokens_details": {"cached_tokens": 16}}}),
        ];
        let usage = Usage { input_tokens: Some(31), cached_tokens: Some(16), output_tokens: Some(7) };
        let expected = [
            Event::Text("It is".to_owned()),
            Event::Text(" **four**.".to_owned()),
            Event::Finished { usage },
        ];
        assert_eq!(told(Answer::default(), &events).unwrap(), expected);
    }

    #[test]
    fn calls_are_told_even_if_the_answer_ends_as_if_there_were_none() {
        let both = json!({"tool_calls": [
            {"index": 0, "id": "a", "function": {"name": "one", "arguments": {"x": 1}}},
            {"index": 0, "id": "b", "function": {"name": "two", "arguments": ""}}]});
        let events = [chunk(both, None), chunk(json!({}), Some("stop"))];
        let told = told(Answer::default(), &events).unwrap();
        assert_eq!(calls(&told), [("a", "one", &json!({"x": 1})), ("b", "two", &json!({}))]);
    }

    #[test]
    fn arguments_that_were_cut_off_are_told_as_text_and_go_back_within_an_object() {
        let call = json!({"tool_calls": [{"index": 0, "id": "a", "function": {"name": "one", "arguments": "{\"x\":"}}]});
        let told = told(Answer::default(), &[chunk(call, Some("length"))]).unwrap();
        assert_eq!(calls(&told), [("a", "one", &json!("{\"x\":"))]);
        let Some(Event::ToolCalls(calls)) = told.first() else { panic!("no calls") };
        assert_eq!(
            made(&calls[0], 0, Server::Other)["function"]["arguments"],
            r#"{"invalid_arguments":"{\"x\":"}"#
        );
    }

    #[test]
    fn an_answer_that_comes_whole_counts_as_one_that_streams() {
        let message = json!({"content": "Hello", "tool_calls": [
            {"id": "a", "function": {"name": "one", "arguments": "{}"}},
            {"id": "b", "function": {"name": "two", "arguments": "{}"}}]});
        let whole = json!({"choices": [{"message": message, "finish_reason": "tool_calls"}]});
        let told = told_whole(Answer::default(), &whole).unwrap();
        assert_eq!(words(&told), "Hello");
        assert_eq!(calls(&told).len(), 2);
    }

    #[test]
    fn errors_within_the_stream_and_answers_of_nothing_are_failures() {
        let error = json!({"error": {"message": "overloaded", "type": "server_error"}});
        assert_eq!(told(Answer::default(), &[error]).unwrap_err().kind, ErrorKind::Unavailable);
        let told = told(Answer::default(), &[chunk(json!({}), Some("content_filter"))]).unwrap();
        let [Event::Failed(error)] = &told[..] else { panic!("{told:?}") };
        assert_eq!(error.kind, ErrorKind::Empty);
        assert!(error.message.contains("content_filter"), "{error}");
    }

    #[test]
    fn a_request_holds_what_the_server_takes_and_no_more() {
        let tool = ToolSpec {
            name: "t".to_owned(),
            description: "d".to_owned(),
            parameters: json!({"type": "object"}),
        };
        let request = Request {
            messages: vec![
                said(Role::System, "Brief."),
                said(Role::Caller, "Hi"),
                called("", &["a"]),
                result("a", "1"),
            ],
            tools: [tool].into(),
            temperature: Some(0.7),
            max_tokens: Some(90),
            conversation: Some("c".to_owned()),
            ..Request::default()
        };
        let own = body(&at("http://localhost:8000/v1"), "m", &request);
        assert_eq!(
            own,
            json!({"model": "m", "stream": true, "stream_options": {"include_usage": true}, "temperature": 0.7,
                "max_tokens": 90,
                "messages": [
                    {"role": "system", "content": "Brief."}, {"role": "user", "content": "Hi"},
                    {"role": "assistant", "content": null, "tool_calls": [
                        {"id": "a", "type": "function", "function": {"name": "tool_a", "arguments": "{\"of\":\"a\"}"}}]},
                    {"role": "tool", "tool_call_id": "a", "content": "1"}],
                "tools": [{"type": "function",
                    "function": {"name": "t", "description": "d", "parameters": {"type": "object"}}}]})
        );
        let openai = body(&Endpoint::of(&Account::default()), "gpt-5.4-mini", &request);
        let extras =
            [&openai["max_completion_tokens"], &openai["prompt_cache_key"], &openai["reasoning_effort"]];
        assert_eq!(extras, [&json!(90), &json!("c"), &json!("none")]);
        assert_eq!(openai["stream_options"]["include_obfuscation"], false);
    }

    #[test]
    fn servers_of_open_models_get_one_system_message_and_roles_in_turn() {
        let context = vec![
            said(Role::System, "Brief."),
            said(Role::Agent, "Hello!"),
            said(Role::Caller, "Both,"),
            said(Role::Caller, "please."),
            said(Role::Agent, "One moment."),
            called("", &["a"]),
            result("a", "1"),
            said(Role::System, "In Hindi."),
        ];
        let request = Request { messages: context, ..Request::default() };
        let own = body(&at("http://localhost:8000/v1"), "m", &request);
        let messages = own["messages"].as_array().unwrap();
        let said: Vec<_> = messages.iter().map(|message| (&message["role"], &message["content"])).collect();
        let expected = [
            ("system", "Brief.\n\nIn Hindi."),
            ("user", "(The call begins.)"),
            ("assistant", "Hello!"),
            ("user", "Both,\nplease."),
            ("assistant", "One moment."),
            ("tool", "1"),
        ];
        assert_eq!(said.len(), expected.len());
        for ((role, content), expected) in said.into_iter().zip(expected) {
            assert_eq!((role.as_str().unwrap(), content.as_str().unwrap()), expected);
        }
        assert_eq!(messages[4]["tool_calls"][0]["id"], "a");
        let openai = body(&Endpoint::of(&Account::default()), "m", &request);
        assert_eq!(openai["messages"].as_array().unwrap().last().unwrap()["content"], "In Hindi.");
    }

    #[test]
    fn gemini_behind_openais_paths_gets_its_signatures_back() {
        let gemini = Server::Gemini;
        let call = ToolCall { signature: Some("s".to_owned()), ..called("", &["a"]).tool_calls[0].clone() };
        assert_eq!(made(&call, 0, gemini)["extra_content"]["google"]["thought_signature"], "s");
        let unsigned = ToolCall { signature: None, ..call.clone() };
        assert_eq!(made(&unsigned, 0, gemini)["extra_content"]["google"]["thought_signature"], NO_SIGNATURE);
        assert!(made(&unsigned, 1, gemini)["extra_content"].is_null());
        assert!(made(&call, 0, Server::Other)["extra_content"].is_null());
    }
}
