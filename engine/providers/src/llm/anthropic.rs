//! Anthropic's messages, streamed.
//!
//! The version is pinned to one that still takes a temperature; models that don't are asked without. Sources: the
//! types of anthropic-python 2.11, and `providers.md`, 5.

use std::sync::Arc;

use serde_json::{Value, json};

use super::answering::{Dialect, Progress, Reader, Spare};
use super::bodies::{count, is_too_long, of_kind, rounded, said, too_long};
use super::calls::{Fragment, Fragments, replayed};
use super::context::{Turn, dialogue};
use super::over_http::OverHttp;
use super::telling::Telling;
use super::{LanguageModel, Request, ToolCall, ToolSpec, Usage};
use crate::account::Account;
use crate::registry::{Open, Service};
use crate::wire::http::{Http, Refused};
use crate::{Error, ErrorKind};

const NAME: &str = "anthropic";
const PUBLIC: &str = "https://api.anthropic.com";
const VERSION: &str = "2023-06-01";
/// The vendor wants a limit always; spoken answers are far shorter.
const MAX_TOKENS: u32 = 1_024;

/// The registry's line.
pub const SERVICE: Service =
    Service { name: NAME, vendor: NAME, about: "answers by Anthropic's messages", open: Open::Llm(open) };

static DIALECT: Dialect = Dialect {
    name: NAME,
    id_header: "request-id",
    refused,
    reader: || Box::<Answer>::default(),
    spares: &[Spare { word: "temperature", inside: "", name: "temperature", instead: "" }],
};

fn open(account: &Account) -> Result<Arc<dyn LanguageModel>, Error> {
    if account.key.is_empty() {
        let message = "no key; set ANTHROPIC_API_KEY, or the organisation's key";
        return Err(Error::new(NAME, ErrorKind::Unauthorized, message));
    }
    let headers = [("x-api-key", account.key.reveal().to_owned()), ("anthropic-version", VERSION.to_owned())];
    let base = account.base(PUBLIC).trim_end_matches("/v1").to_owned();
    let warm_url = format!("{base}/v1/models?limit=1");
    let ask = move |model: &str, request: &Request| Ok((format!("{base}/v1/messages"), body(model, request)));
    Ok(OverHttp::open(&DIALECT, Http::new(NAME, &headers)?, warm_url, ask))
}

fn body(model: &str, request: &Request) -> Value {
    let (instructions, turns) = dialogue(&request.messages);
    let mut body = json!({"model": model, "max_tokens": request.max_tokens.unwrap_or(MAX_TOKENS), "stream": true,
        "messages": messages(&turns)});
    let mut system: Vec<_> = instructions.iter().map(|text| json!({"type": "text", "text": text})).collect();
    // The first stays the same from turn to turn, and so do the tools, which come before it.
    if let Some(first) = system.first_mut() {
        first["cache_control"] = json!({"type": "ephemeral"});
        body["system"] = system.into();
    }
    if !request.tools.is_empty() {
        let tool = |tool: &ToolSpec| json!({"name": tool.name, "description": tool.description, "input_schema": tool.parameters});
        body["tools"] = request.tools.iter().map(tool).collect();
    }
    if let Some(temperature) = request.temperature {
        // Its scale ends at 1.
        body["temperature"] = rounded(temperature.clamp(0.0, 1.0));
    }
    body
}

/// Messages whose roles alternate; results of tools come first in theirs, all of one message together.
fn messages(turns: &[Turn<'_>]) -> Vec<Value> {
    let mut messages: Vec<(&str, Vec<Value>)> = Vec::new();
    let mut push = |role: &'static str, blocks: Vec<Value>| match messages.last_mut() {
        Some((last, content)) if *last == role => content.extend(blocks),
        _ => messages.push((role, blocks)),
    };
    for turn in turns {
        match turn {
            Turn::Instruction(text) | Turn::Caller(text) => {
                push("user", vec![json!({"type": "text", "text": text})])
            }
            Turn::Agent { text, calls } => {
                let words = (!text.is_empty()).then(|| json!({"type": "text", "text": text}));
                let made = calls.iter().map(|(call, _)| {
                    json!({"type": "tool_use", "id": plain(&call.id), "name": call.name,
                        "input": replayed(&call.arguments)})
                });
                push("assistant", words.into_iter().chain(made).collect());
                if !calls.is_empty() {
                    let result = |(call, result): &(&ToolCall, &str)| json!({"type": "tool_result", "tool_use_id": plain(&call.id), "content": result});
                    push("user", calls.iter().map(result).collect());
                }
            }
        }
    }
    messages.into_iter().map(|(role, content)| json!({"role": role, "content": content})).collect()
}

/// Ids that other vendors made may have letters that this one refuses.
fn plain(id: &str) -> String {
    let plain = |letter: char| if letter.is_ascii_alphanumeric() || letter == '-' { letter } else { '_' };
    id.chars().map(plain).collect()
}

fn refused(refused: &Refused) -> Error {
    let parsed = refused.json();
    let said = said(&refused.body, &parsed);
    let id = refused.header("request-id").or_else(|| parsed["request_id"].as_str());
    meaning(refused.status, &parsed["error"], &said).retry_after(refused.retry_after()).with_request_id(id)
}

fn meaning(status: u16, error: &Value, said: &str) -> Error {
    let is_spent = error["details"]["error_code"].as_str().is_some_and(|code| code.contains("spend_limit"));
    if is_spent || said.contains("credit balance") {
        return of_kind(NAME, ErrorKind::OutOfCredit, said, "top up the account or raise its limit");
    }
    if status == 413 || status == 400 && is_too_long(said) {
        return too_long(NAME, said);
    }
    Error::of_status(NAME, status, said)
}

/// What an error told within the stream means.
fn inside(error: &Value) -> Error {
    let status = match error["type"].as_str().unwrap_or_default() {
        "invalid_request_error" => 400,
        "authentication_error" => 401,
        "billing_error" => 402,
        "permission_error" => 403,
        "not_found_error" => 404,
        "request_too_large" => 413,
        "rate_limit_error" => 429,
        "timeout_error" => 504,
        "overloaded_error" => 529,
        _ => 500,
    };
    meaning(status, error, error["message"].as_str().unwrap_or("an error without a message"))
}

/// One answer as it comes.
#[derive(Default)]
struct Answer {
    calls: Fragments,
    usage: Usage,
    reason: Option<String>,
}

impl Answer {
    fn block(&mut self, index: u64, block: &Value, telling: &mut Telling) {
        match block["type"].as_str().unwrap_or_default() {
            "text" => telling.text(block["text"].as_str().unwrap_or_default()),
            "tool_use" => {
                let text = |name: &str| block[name].as_str().unwrap_or_default();
                let fragment = Fragment { index, id: text("id"), name: text("name"), signature: None };
                // In a stream the input is empty here and comes in pieces.
                let input = block["input"].as_object().filter(|input| !input.is_empty());
                self.calls.push(&fragment, input.map_or(&Value::Null, |_| &block["input"]));
            }
            _ => {}
        }
    }

    /// Counts are of the whole so far: later ones replace earlier ones, and missing ones don't.
    fn used(&mut self, usage: &Value) {
        let count = |name: &str| count(&usage[name]);
        if let Some(fresh) = count("input_tokens") {
            let (written, read) = (count("cache_creation_input_tokens"), count("cache_read_input_tokens"));
            self.usage.input_tokens = Some(fresh + written.unwrap_or(0) + read.unwrap_or(0));
            self.usage.cached_tokens = read;
        }
        self.usage.output_tokens = count("output_tokens").or(self.usage.output_tokens);
    }

    fn ended(&mut self, reason: &Value) {
        if let Some(reason) = reason.as_str() {
            self.reason = Some(reason.to_owned());
        }
    }
}

impl Reader for Answer {
    fn take(&mut self, data: &Value, telling: &mut Telling) -> Result<Progress, Error> {
        let index = data["index"].as_u64().unwrap_or_default();
        match data["type"].as_str().unwrap_or_default() {
            "message_start" => self.used(&data["message"]["usage"]),
            "content_block_start" => self.block(index, &data["content_block"], telling),
            "content_block_delta" => match data["delta"]["type"].as_str().unwrap_or_default() {
                "text_delta" => telling.text(data["delta"]["text"].as_str().unwrap_or_default()),
                "input_json_delta" => {
                    let fragment = Fragment { index, ..Fragment::default() };
                    self.calls.push(&fragment, &data["delta"]["partial_json"]);
                    telling.calling();
                }
                _ => {}
            },
            "message_delta" => {
                self.used(&data["usage"]);
                self.ended(&data["delta"]["stop_reason"]);
                if self.reason.is_some() {
                    return Ok(Progress::Ending);
                }
            }
            "message_stop" => return Ok(Progress::Done),
            "error" => return Err(inside(&data["error"])),
            _ => {}
        }
        Ok(Progress::More)
    }

    fn whole(&mut self, data: &Value, telling: &mut Telling) -> Result<(), Error> {
        if data["type"] == "error" {
            return Err(inside(&data["error"]));
        }
        self.used(&data["usage"]);
        for (index, block) in data["content"].as_array().into_iter().flatten().enumerate() {
            self.block(index as u64, block, telling);
        }
        self.ended(&data["stop_reason"]);
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
    use crate::llm::answering::tests::{told, told_whole, words};
    use crate::llm::context::tests::{called, result, said};
    use crate::llm::{Event, Message, Role};

    fn asked(messages: Vec<Message>) -> Value {
        body("m", &Request { messages, ..Request::default() })
    }

    #[test]
    fn words_and_calls_are_told_and_counts_replaced() {
        let events = [
            json!({"type": "message_start", "message": {"usage": {"input_tokens": 25, "output_tokens": 1,
                "cache_creation_input_tokens": 10, "cache_read_input_tokens": 100}}}),
            json!({"type": "content_block_start", "index": 0, "content_block": {"type": "thinking", "thinking": ""}}),
            json!({"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": "hm"}}),
            json!({"type": "content_block_start", "index": 1, "content_block": {"type": "text", "text": ""}}),
            json!({"type": "ping"}),
            json!({"type": "content_block_delta", "index": 1, "delta": {"type": "text_delta", "text": "Let me check."}}),
            json!({"type": "content_block_stop", "index": 1}),
            json!({"type": "content_block_start", "index": 2,
                "content_block": {"type": "tool_use", "id": "toolu_1", "name": "one", "input": {}}}),
            json!({"type": "content_block_delta", "index": 2, "delta": {"type": "input_json_delta", "partial_json": ""}}),
            json!({"type": "content_block_delta", "index": 2,
                "delta": {"type": "input_json_delta", "partial_json": "{\"x\":1}"}}),
            json!({"type": "content_block_start", "index": 3,
                "content_block": {"type": "tool_use", "id": "toolu_2", "name": "two", "input": {}}}),
            json!({"type": "surprise"}),
            json!({"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {"output_tokens": 41}}),
            json!({"type": "message_stop"}),
        ];
        let told = told(Answer::default(), &events).unwrap();
        assert_eq!(words(&told), "Let me check.");
        let Event::ToolCalls(calls) = &told[1] else { panic!("{told:?}") };
        let calls: Vec<_> = calls.iter().map(|call| (call.id.as_str(), &call.arguments)).collect();
        assert_eq!(calls, [("toolu_1", &json!({"x": 1})), ("toolu_2", &json!({}))]);
        let usage = Usage { input_tokens: Some(135), cached_tokens: Some(100), output_tokens: Some(41) };
        assert_eq!(told.last(), Some(&Event::Finished { usage }));
    }

    #[test]
    fn an_answer_that_comes_whole_counts_as_one_that_streams() {
        let whole = json!({"type": "message", "stop_reason": "tool_use", "content": [
            {"type": "text", "text": "Hello"}, {"type": "tool_use", "id": "a", "name": "one", "input": {"x": 1}}]});
        let told = told_whole(Answer::default(), &whole).unwrap();
        assert_eq!(words(&told), "Hello");
        assert!(
            matches!(&told[1], Event::ToolCalls(calls) if calls[0].arguments == json!({"x": 1})),
            "{told:?}"
        );
    }

    #[test]
    fn errors_mean_what_their_types_say() {
        let kind = |kind: &str| inside(&json!({"type": kind, "message": "m"})).kind;
        assert_eq!(kind("overloaded_error"), ErrorKind::Unavailable);
        assert_eq!(kind("billing_error"), ErrorKind::OutOfCredit);
        assert_eq!(kind("authentication_error"), ErrorKind::Unauthorized);
        let spent =
            json!({"type": "rate_limit_error", "details": {"error_code": "enforced_spend_limit_reached"}});
        assert_eq!(meaning(429, &spent, "m").kind, ErrorKind::OutOfCredit);
        let long = meaning(400, &json!({}), "prompt is too long: 210000 tokens > 200000 maximum");
        assert!(long.kind == ErrorKind::Invalid && long.message.contains("token budget"), "{long}");
        let refusal = json!({"type": "message_delta", "delta": {"stop_reason": "refusal"}, "usage": {}});
        let told = told(Answer::default(), &[refusal]).unwrap();
        assert!(matches!(&told[..], [Event::Failed(error)] if error.kind == ErrorKind::Empty), "{told:?}");
    }

    #[test]
    fn roles_alternate_from_the_user_to_the_user_and_results_come_first() {
        let body = asked(vec![
            said(Role::System, "Brief."),
            said(Role::Agent, "Hello!"),
            said(Role::Caller, "Both,"),
            said(Role::Caller, "please."),
            said(Role::Agent, "One moment."),
            called("", &["a:1", "b"]),
            said(Role::Caller, "Still there?"),
            result("b", "2"),
            said(Role::System, "In Hindi."),
        ]);
        assert_eq!(
            body["system"],
            json!([{"type": "text", "text": "Brief.", "cache_control": {"type": "ephemeral"}},
                {"type": "text", "text": "In Hindi."}])
        );
        let messages = body["messages"].as_array().unwrap();
        let roles: Vec<_> = messages.iter().map(|message| message["role"].as_str().unwrap()).collect();
        assert_eq!(roles, ["user", "assistant", "user", "assistant", "user"]);
        let kinds = |at: usize| {
            let blocks = messages[at]["content"].as_array().unwrap().iter();
            blocks.map(|block| block["type"].as_str().unwrap()).collect::<Vec<_>>()
        };
        assert_eq!(kinds(2), ["text", "text"]);
        assert_eq!(kinds(3), ["text", "tool_use", "tool_use"]);
        assert_eq!(kinds(4), ["tool_result", "tool_result", "text"]);
        assert_eq!(messages[3]["content"][1]["id"], messages[4]["content"][0]["tool_use_id"]);
        assert_eq!(messages[3]["content"][1]["id"], "a_1");
        assert_eq!(messages[4]["content"][1]["content"], "2");
    }

    #[test]
    fn a_limit_is_always_set_and_a_temperature_fits_the_scale() {
        let request = Request { temperature: Some(1.5), ..Request::default() };
        let body = body("m", &request);
        assert_eq!((&body["max_tokens"], &body["temperature"]), (&json!(MAX_TOKENS), &json!(1.0)));
        assert_eq!(asked(Vec::new())["messages"].as_array().map(Vec::len), Some(1));
    }
}
