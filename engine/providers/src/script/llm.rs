//! A model that answers from its script, word by word, and asks for tools where the script says so.
//!
//! In an answer a line `@tool NAME {…}` is no text: the tool is asked for with these arguments when the other lines, and
//! what follows the arguments, have been told. What stands there and is no JSON is given as a text, so that mistakes can
//! be played too.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::{NAME, runtime};
use crate::Error;
use crate::llm::{Event, LanguageModel, Request, Response, Role, Sink, ToolCall, Usage};
use crate::running::Running;

/// What a line begins with that asks for a tool.
const CALL: &str = "@tool ";

/// What a scripted model answers.
#[derive(Debug, Clone)]
pub enum Answers {
    /// The line after as many as the agent has answered in the context; after the last line comes
    /// the first again. So calls don't disturb each other.
    Lines(Arc<[String]>),
    /// `You said: ` and the caller's last message; `@tools` gives the names of the tools it was told of. If that message
    /// has lines that begin with `@tool`, it asks for those tools, and says what they gave.
    Echo,
}

/// Tells its first word after a delay and the others at an interval; then that it finished, with
/// one token a word, read and written.
#[derive(Debug, Clone)]
pub struct ScriptedLlm {
    answers: Answers,
    first_token: Duration,
    token_interval: Duration,
}

impl ScriptedLlm {
    /// Gives `answers`; both delays may be nought.
    pub fn new(answers: Answers, first_token: Duration, token_interval: Duration) -> Self {
        Self { answers, first_token, token_interval }
    }

    fn answer_to(&self, request: &Request) -> String {
        match &self.answers {
            Answers::Lines(lines) => {
                // Words and the calls that go with them are one answer.
                let messages = &request.messages;
                let with_call =
                    |at: usize| messages.get(at + 1).is_some_and(|next| !next.tool_calls.is_empty());
                let whole = |at: usize| messages[at].role == Role::Agent && !with_call(at);
                let answered = (0..messages.len()).filter(|at| whole(*at)).count();
                lines.get(answered % lines.len().max(1)).cloned().unwrap_or_default()
            }
            Answers::Echo => echo(request),
        }
    }
}

fn echo(request: &Request) -> String {
    let messages = &request.messages;
    let asked = messages.iter().rposition(|message| message.role == Role::Caller);
    let said = asked.map_or("", |at| messages[at].text.as_str());
    let given: Vec<&str> = messages[asked.unwrap_or(0)..]
        .iter()
        .filter(|message| message.role == Role::Tool)
        .map(|message| message.text.as_str())
        .collect();
    if !given.is_empty() {
        return format!("It gave: {}", given.join(" and "));
    }
    match said.trim() {
        "@tools" => {
            let names: Vec<&str> = request.tools.iter().map(|tool| tool.name.as_str()).collect();
            format!("Tools: {}.", names.join(", "))
        }
        asked if asked.starts_with(CALL) => asked.to_owned(),
        _ => format!("You said: {said}"),
    }
}

/// The words of an answer, and the tools it asks for.
fn parts(answer: &str) -> (String, Vec<ToolCall>) {
    let (mut words, mut calls) = (Vec::new(), Vec::new());
    for line in answer.lines() {
        let Some(call) = line.strip_prefix(CALL) else {
            words.push(line);
            continue;
        };
        let (name, rest) = call.trim().split_once(' ').unwrap_or((call.trim(), "{}"));
        let mut values = serde_json::Deserializer::from_str(rest).into_iter::<serde_json::Value>();
        let arguments = match values.next() {
            Some(Ok(arguments)) => {
                words.push(rest[values.byte_offset()..].trim());
                arguments
            }
            _ => rest.into(),
        };
        let (id, name) = (format!("call_{}", calls.len()), name.to_owned());
        calls.push(ToolCall { id, name, arguments, signature: None });
    }
    words.retain(|line| !line.is_empty());
    (words.join("\n"), calls)
}

impl LanguageModel for ScriptedLlm {
    fn name(&self) -> &'static str {
        NAME
    }

    fn respond(&self, request: Request, sink: Sink) -> Result<Response, Error> {
        let (answer, calls) = parts(&self.answer_to(&request));
        let read =
            request.messages.iter().map(|message| message.text.split_whitespace().count() as u32).sum();
        let (first, interval) = (Instant::now() + self.first_token, self.token_interval);
        let tell = runtime()?.spawn(async move {
            let mut at = first;
            let mut tokens = 0;
            for word in answer.split_inclusive(' ') {
                sleep_until(at).await;
                sink(Event::Text(word.to_owned()));
                at += interval;
                tokens += 1;
            }
            if tokens == 0 {
                sleep_until(first).await;
            }
            if !calls.is_empty() {
                sink(Event::ToolCalls(calls));
            }
            let usage = Usage { input_tokens: Some(read), output_tokens: Some(tokens), ..Usage::default() };
            sink(Event::Finished { usage });
        });
        Ok(Box::new(Running(tell)))
    }
}
