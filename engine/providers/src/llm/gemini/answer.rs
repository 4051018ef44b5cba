//! What Gemini answers: chunks of a candidate, signed function calls, blocked contexts, and errors with details.

use std::time::Duration;

use serde_json::{Value, json};

use super::NAME;
use crate::llm::answering::{Progress, Reader};
use crate::llm::bodies::{count, is_too_long, of_kind, said, too_long, unwrapped};
use crate::llm::calls::fresh_id;
use crate::llm::telling::Telling;
use crate::llm::{ToolCall, Usage};
use crate::wire::http::Refused;
use crate::{Error, ErrorKind};

pub(super) fn refused(refused: &Refused) -> Error {
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
pub(super) struct Answer {
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
    use crate::llm::Event;
    use crate::llm::answering::tests::{told, told_whole, words};

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
