//! Google's Gemini, streamed: `streamGenerateContent` with server-sent events.
//!
//! A model that thinks signs its function calls and takes none back without: the signature travels in
//! [`ToolCall::signature`]. Sources: the types of python-genai 3.4, and `providers.md`, 4.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::answering::{Asker, Dialect, Progress, Reader, Spare};
use super::bodies::{count, is_too_long, of_kind, rounded, said, too_long, unwrapped};
use super::calls::{fresh_id, replayed};
use super::context::{Turn, dialogue};
use super::telling::Telling;
use super::{LanguageModel, Request, Response, Sink, ToolCall, ToolSpec, Usage};
use crate::account::Account;
use crate::models::default_of;
use crate::registry::{Open, Service};
use crate::wire::http::{Http, Refused};
use crate::{Error, ErrorKind};

const NAME: &str = "gemini";
const PUBLIC: &str = "https://generativelanguage.googleapis.com";
/// The vendor takes it instead of a signature, for calls its model did not make.
pub(super) const NO_SIGNATURE: &str = "skip_thought_signature_validator";

/// The registry's line.
pub const SERVICE: Service = Service {
    name: NAME,
    vendor: NAME,
    about: "answers by Google's Gemini",
    open: Open::Llm(|account| Ok(Arc::new(Gemini::open(account)?))),
};

static DIALECT: Dialect = Dialect {
    name: NAME,
    id_header: "x-request-id",
    refused,
    reader: || Box::<Answer>::default(),
    spares: &[
        Spare { word: "hinking", inside: "/generationConfig", name: "thinkingConfig", instead: "" },
        Spare { word: "temperature", inside: "/generationConfig", name: "temperature", instead: "" },
    ],
};

/// Gemini, on one account.
struct Gemini {
    /// With the version.
    base: String,
    asker: Asker,
}

impl Gemini {
    fn open(account: &Account) -> Result<Self, Error> {
        if account.key.is_empty() {
            let message = "no key; set GEMINI_API_KEY, or the organisation's key";
            return Err(Error::new(NAME, ErrorKind::Unauthorized, message));
        }
        let base = account.base(PUBLIC);
        let base = if base.ends_with("/v1beta") { base.to_owned() } else { format!("{base}/v1beta") };
        let http = Http::new(NAME, &[("x-goog-api-key", account.key.reveal().to_owned())])?;
        let asker = Asker::new(&DIALECT, http, format!("{base}/models?pageSize=1"));
        Ok(Self { base, asker })
    }
}

impl LanguageModel for Gemini {
    fn name(&self) -> &'static str {
        NAME
    }

    fn warm(&self) {
        self.asker.warm();
    }

    fn respond(&self, request: Request, sink: Sink) -> Result<Response, Error> {
        let model = request.model.clone().unwrap_or_else(|| default_of(NAME).to_owned());
        let model = model.trim_start_matches("models/").to_owned();
        if !model.chars().all(|letter| letter.is_ascii_alphanumeric() || "-._".contains(letter)) {
            return Err(Error::new(NAME, ErrorKind::Invalid, format!("`{model}` is no id of a model")));
        }
        let url = format!("{}/models/{model}:streamGenerateContent?alt=sse", self.base);
        let body = body(&model, &request);
        self.asker.respond(url, model, body, sink)
    }
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

fn refused(refused: &Refused) -> Error {
    let parsed = refused.json();
    let said = said(&refused.body, &parsed);
    let error = meaning(refused.status, &unwrapped(&parsed)["error"], &said);
    let wait = refused.retry_after().or(error.retry_after);
    error.retry_after(wait).with_request_id(refused.header("x-request-id"))
}

fn meaning(status: u16, error: &Value, said: &str) -> Error {
    let detail = |kind: &str| {
        let details = error["details"].as_array().into_iter().flatten();
        let mut of_kind =
            details.filter(|detail| detail["@type"].as_str().is_some_and(|it| it.ends_with(kind)));
        of_kind.next()
    };
    let wait = detail("RetryInfo").and_then(|info| seconds(info["retryDelay"].as_str()?));
    let is_bad_key = detail("ErrorInfo").is_some_and(|info| info["reason"] == "API_KEY_INVALID");
    if is_bad_key || said.contains("API_KEY_INVALID") || said.contains("API key not valid") {
        return of_kind(NAME, ErrorKind::Unauthorized, said, "check the key");
    }
    // Only what is used up for the day or for good is not worth a wait.
    let is_lasting =
        |violation: &Value| violation["quotaId"].as_str().is_some_and(|id| id.contains("PerDay"));
    let violations = detail("QuotaFailure").and_then(|failure| failure["violations"].as_array());
    if status == 429
        && (violations.is_some_and(|all| all.iter().any(is_lasting)) || said.contains("credits are depleted"))
    {
        return of_kind(NAME, ErrorKind::OutOfCredit, said, "raise the quota or enable billing");
    }
    if error["status"] == "FAILED_PRECONDITION" {
        return of_kind(NAME, ErrorKind::Unauthorized, said, "check the account's region and billing");
    }
    if status == 400 && is_too_long(said) {
        return too_long(NAME, said);
    }
    Error::of_status(NAME, status, said).retry_after(wait)
}

/// A protobuf duration: `19s`, `0.5s`.
fn seconds(text: &str) -> Option<Duration> {
    let seconds = text.strip_suffix('s')?.parse::<f64>().ok()?;
    (0.0..1e7).contains(&seconds).then(|| Duration::from_secs_f64(seconds))
}

/// One answer as it comes.
#[derive(Default)]
struct Answer {
    calls: Vec<ToolCall>,
    usage: Usage,
    reason: Option<String>,
}

impl Answer {
    fn part(&mut self, part: &Value, telling: &mut Telling) {
        if part["thought"] == true {
            return;
        }
        if let Some(text) = part["text"].as_str() {
            telling.text(text);
        }
        let call = &part["functionCall"];
        if let Some(name) = call["name"].as_str() {
            let id = call["id"].as_str().filter(|id| !id.is_empty()).map_or_else(fresh_id, str::to_owned);
            let arguments = if call["args"].is_null() { json!({}) } else { call["args"].clone() };
            let signature = part["thoughtSignature"].as_str().map(str::to_owned);
            self.calls.push(ToolCall { id, name: name.to_owned(), arguments, signature });
        }
    }

    /// Counts are of the whole so far, in every chunk.
    fn used(&mut self, usage: &Value) {
        if !usage.is_object() {
            return;
        }
        let (words, thoughts) = (count(&usage["candidatesTokenCount"]), count(&usage["thoughtsTokenCount"]));
        self.usage = Usage {
            input_tokens: count(&usage["promptTokenCount"]),
            cached_tokens: count(&usage["cachedContentTokenCount"]),
            output_tokens: words.map(|words| words + thoughts.unwrap_or(0)).or(thoughts),
        };
    }
}

impl Reader for Answer {
    fn take(&mut self, data: &Value, telling: &mut Telling) -> Result<Progress, Error> {
        let data = unwrapped(data);
        if let error @ Value::Object(_) = &data["error"] {
            let status = error["code"].as_u64().and_then(|code| u16::try_from(code).ok()).unwrap_or(500);
            return Err(meaning(
                status,
                error,
                error["message"].as_str().unwrap_or("an error without a message"),
            ));
        }
        self.used(&data["usageMetadata"]);
        if let Some(reason) = data["promptFeedback"]["blockReason"].as_str() {
            self.reason = Some(format!("the context was blocked: {reason}"));
            return Ok(Progress::Ending);
        }
        let candidate = &data["candidates"][0];
        for part in candidate["content"]["parts"].as_array().into_iter().flatten() {
            self.part(part, telling);
        }
        match candidate["finishReason"].as_str() {
            Some(reason) if reason != "FINISH_REASON_UNSPECIFIED" => {
                let why =
                    candidate["finishMessage"].as_str().map(|why| format!(" ({why})")).unwrap_or_default();
                self.reason = Some(format!("{reason}{why}"));
                Ok(Progress::Ending)
            }
            _ => Ok(Progress::More),
        }
    }

    /// Without `alt=sse` a stream is an array of its chunks.
    fn whole(&mut self, data: &Value, telling: &mut Telling) -> Result<(), Error> {
        match data {
            Value::Array(chunks) => chunks.iter().try_for_each(|chunk| self.take(chunk, telling).map(drop)),
            chunk => self.take(chunk, telling).map(drop),
        }
    }

    fn calls(&mut self) -> Vec<ToolCall> {
        std::mem::take(&mut self.calls)
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
    use crate::llm::{Event, Role};

    fn chunk(parts: Value, reason: Option<&str>) -> Value {
        json!({"candidates": [{"index": 0, "content": {"role": "model", "parts": parts}, "finishReason": reason}],
            "usageMetadata": {"promptTokenCount": 20, "candidatesTokenCount": 6, "thoughtsTokenCount": 3,
                "cachedContentTokenCount": 8}})
    }

    #[test]
    fn words_and_signed_calls_are_told_and_thoughts_are_not() {
        let call =
            json!({"functionCall": {"id": "f", "name": "one", "args": {"x": 1}}, "thoughtSignature": "sig"});
        let events = [
            chunk(json!([{"text": "hm", "thought": true}, {"text": "It is"}]), None),
            chunk(json!([{"text": " 4°"}]), None),
            json!({"surprise": 1}),
            chunk(json!([call, {"functionCall": {"name": "two"}}]), None),
            chunk(json!([{"text": "", "thoughtSignature": "other"}]), Some("STOP")),
        ];
        let told = told(Answer::default(), &events).unwrap();
        assert_eq!(words(&told), "It is 4°");
        let Event::ToolCalls(calls) = &told[2] else { panic!("{told:?}") };
        assert_eq!((calls[0].id.as_str(), calls[0].signature.as_deref()), ("f", Some("sig")));
        assert_eq!((&calls[1].arguments, calls[1].signature.as_deref()), (&json!({}), None));
        assert!(!calls[1].id.is_empty());
        let usage = Usage { input_tokens: Some(20), cached_tokens: Some(8), output_tokens: Some(9) };
        assert_eq!(told.last(), Some(&Event::Finished { usage }));
    }

    #[test]
    fn blocked_and_filtered_answers_are_failures_that_say_why_unless_something_was_said() {
        let blocked = json!({"promptFeedback": {"blockReason": "SAFETY"}});
        for (event, sign) in
            [(blocked, "blocked: SAFETY"), (chunk(json!([]), Some("RECITATION")), "RECITATION")]
        {
            let told = told(Answer::default(), &[event]).unwrap();
            let [Event::Failed(error)] = &told[..] else { panic!("{told:?}") };
            assert!(error.kind == ErrorKind::Empty && error.message.contains(sign), "{error}");
        }
        let half = told(Answer::default(), &[chunk(json!([{"text": "Well,"}]), Some("SAFETY"))]).unwrap();
        assert!(matches!(half.last(), Some(Event::Finished { .. })), "{half:?}");
    }

    #[test]
    fn errors_come_alone_or_within_an_array_and_say_how_long_to_wait() {
        let limited = json!({"error": {"code": 429, "message": "slow down", "status": "RESOURCE_EXHAUSTED",
            "details": [{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "19.5s"}]}});
        for event in [limited.clone(), json!([limited])] {
            let error = told(Answer::default(), std::slice::from_ref(&event)).unwrap_err();
            assert_eq!(
                (error.kind, error.retry_after),
                (ErrorKind::RateLimited, Some(Duration::from_millis(19_500)))
            );
            assert_eq!(told_whole(Answer::default(), &event).unwrap_err().kind, ErrorKind::RateLimited);
        }
    }

    #[test]
    fn an_answer_that_comes_whole_counts_as_one_that_streams() {
        let chunks =
            json!([chunk(json!([{"text": "नम"}]), None), chunk(json!([{"text": "स्ते"}]), Some("STOP"))]);
        assert_eq!(words(&told_whole(Answer::default(), &chunks).unwrap()), "नमस्ते");
    }

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

    #[test]
    fn errors_mean_what_their_details_say() {
        let detail = |kind: &str, more: Value| {
            let mut detail = json!({"@type": format!("type.googleapis.com/google.rpc.{kind}")});
            detail.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            json!({"details": [detail]})
        };
        let key = detail("ErrorInfo", json!({"reason": "API_KEY_INVALID"}));
        assert_eq!(meaning(400, &key, "no").kind, ErrorKind::Unauthorized);
        let day = detail("QuotaFailure", json!({"violations": [{"quotaId": "RequestsPerDayPerProject"}]}));
        assert_eq!(meaning(429, &day, "no").kind, ErrorKind::OutOfCredit);
        let minute =
            detail("QuotaFailure", json!({"violations": [{"quotaId": "RequestsPerMinutePerProject"}]}));
        assert_eq!(meaning(429, &minute, "no").kind, ErrorKind::RateLimited);
        let long = meaning(
            400,
            &json!({}),
            "The input token count (9) exceeds the maximum number of tokens allowed (8).",
        );
        assert!(long.message.contains("token budget"), "{long}");
    }
}
