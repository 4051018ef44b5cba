//! An answer as it is told to whoever asked: words at once, tool calls together, and one end.

use super::thinking::Filter;
use super::{Event, Sink, ToolCall, Usage};
use crate::{Error, ErrorKind};

/// Tells one answer.
pub(super) struct Telling {
    provider: &'static str,
    sink: Sink,
    filter: Filter,
    has_words: bool,
    has_calls: bool,
}

impl Telling {
    /// Tells it there.
    pub fn new(provider: &'static str, sink: Sink) -> Self {
        Self { provider, sink, filter: Filter::default(), has_words: false, has_calls: false }
    }

    /// The next words, as the vendor gave them. Thoughts among them are left out, and white space before the first.
    pub fn text(&mut self, text: &str) {
        let text = self.filter.push(text);
        self.tell(text);
    }

    /// A piece of a tool call came; the call itself is told when it is whole.
    pub fn calling(&self) {
        (self.sink)(Event::Text(String::new()));
    }

    /// All tool calls of the answer, once, after its words.
    pub fn calls(&mut self, calls: Vec<ToolCall>) {
        let rest = self.filter.end();
        self.tell(rest);
        if !calls.is_empty() {
            self.has_calls = true;
            (self.sink)(Event::ToolCalls(calls));
        }
    }

    /// The answer is complete. One without words and calls is a failure; `why` says what the vendor said of it.
    pub fn finished(&mut self, usage: Usage, why: Option<&str>) {
        if self.has_words || self.has_calls {
            return (self.sink)(Event::Finished { usage });
        }
        let why = why.map(|why| format!(": {why}")).unwrap_or_default();
        self.failed(Error::new(self.provider, ErrorKind::Empty, format!("an answer without a word{why}")));
    }

    /// It broke.
    pub fn failed(&self, error: Error) {
        (self.sink)(Event::Failed(error));
    }

    fn tell(&mut self, text: String) {
        let text = if self.has_words { text } else { text.trim_start().to_owned() };
        if !text.is_empty() {
            self.has_words = true;
            (self.sink)(Event::Text(text));
        }
    }
}
