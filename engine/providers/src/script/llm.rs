//! A model that answers from its script, word by word.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::{NAME, runtime};
use crate::Error;
use crate::llm::{Event, LanguageModel, Request, Response, Role, Sink, Usage};
use crate::running::Running;

/// What a scripted model answers.
#[derive(Debug, Clone)]
pub enum Answers {
    /// The line after as many as the agent has answered in the context; after the last line comes
    /// the first again. So calls don't disturb each other.
    Lines(Arc<[String]>),
    /// `You said: ` and the caller's last message.
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
                let answered = request.messages.iter().filter(|message| message.role == Role::Agent).count();
                lines.get(answered % lines.len().max(1)).cloned().unwrap_or_default()
            }
            Answers::Echo => {
                let said = request.messages.iter().rev().find(|message| message.role == Role::Caller);
                format!("You said: {}", said.map_or("", |message| &message.text))
            }
        }
    }
}

impl LanguageModel for ScriptedLlm {
    fn name(&self) -> &'static str {
        NAME
    }

    fn respond(&self, request: Request, sink: Sink) -> Result<Response, Error> {
        let answer = self.answer_to(&request);
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
            let usage = Usage { input_tokens: Some(read), output_tokens: Some(tokens), ..Usage::default() };
            sink(Event::Finished { usage });
        });
        Ok(Box::new(Running(tell)))
    }
}
