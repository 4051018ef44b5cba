//! Server-sent events, as they come: any line end, cut anywhere, comments between.
//!
//! Source: <https://html.spec.whatwg.org/multipage/server-sent-events.html>, section "Parsing an event stream".

use std::collections::VecDeque;
use std::time::Duration;

use reqwest::Response;

use super::http;
use crate::{Error, ErrorKind};

/// More than this without an end of an event is no event stream, bytes.
const EVENT_MAX: usize = 4 << 20;

/// One event.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SseEvent {
    /// Its name; empty where none was given.
    pub name: String,
    /// Its data lines, joined.
    pub data: String,
}

/// Finds events in bytes.
#[derive(Debug, Default)]
pub struct Parser {
    line: Vec<u8>,
    event: SseEvent,
    has_data: bool,
    after_cr: bool,
    ready: VecDeque<SseEvent>,
}

impl Parser {
    /// Takes the next bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            let follows_cr = std::mem::replace(&mut self.after_cr, byte == b'\r');
            match byte {
                b'\n' if follows_cr => {}
                b'\r' | b'\n' => self.line_ended(),
                _ => self.line.push(byte),
            }
        }
    }

    /// The next whole event.
    pub fn take(&mut self) -> Option<SseEvent> {
        self.ready.pop_front()
    }

    /// Bytes held for an event that has not ended.
    pub fn held(&self) -> usize {
        self.line.len() + self.event.data.len()
    }

    /// No more bytes come: an event whose closing empty line is missing counts too, since servers forget it.
    pub fn end(&mut self) {
        if !self.line.is_empty() {
            self.line_ended();
        }
        self.event_ended();
    }

    fn line_ended(&mut self) {
        let line = std::mem::take(&mut self.line);
        if line.is_empty() {
            return self.event_ended();
        }
        let line = String::from_utf8_lossy(&line);
        let line = line.strip_prefix('\u{feff}').unwrap_or(&line);
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => value.clone_into(&mut self.event.name),
            "data" => {
                if std::mem::replace(&mut self.has_data, true) {
                    self.event.data.push('\n');
                }
                self.event.data.push_str(value);
            }
            _ => {} // a comment, an id, a wait: nothing for us
        }
    }

    fn event_ended(&mut self) {
        let event = std::mem::take(&mut self.event);
        if std::mem::take(&mut self.has_data) {
            self.ready.push_back(event);
        }
    }
}

/// A response's events.
#[derive(Debug)]
pub struct Events {
    provider: &'static str,
    response: Response,
    parser: Parser,
    ended: bool,
}

impl Events {
    /// Reads them off this response.
    pub fn of(provider: &'static str, response: Response) -> Self {
        Self { provider, response, parser: Parser::default(), ended: false }
    }

    /// The next event; `None` when the body has ended in order.
    ///
    /// # Errors
    /// [`ErrorKind::TimedOut`] when no byte comes for `idle_max`, [`ErrorKind::Unavailable`] when the connection
    /// breaks, [`ErrorKind::Protocol`] when an event has no end.
    pub async fn next(&mut self, idle_max: Duration) -> Result<Option<SseEvent>, Error> {
        loop {
            if let Some(event) = self.parser.take() {
                return Ok(Some(event));
            }
            if self.ended {
                return Ok(None);
            }
            match tokio::time::timeout(idle_max, self.response.chunk()).await {
                Ok(Ok(Some(bytes))) => self.parser.push(&bytes),
                Ok(Ok(None)) => {
                    self.ended = true;
                    self.parser.end();
                }
                Ok(Err(error)) => return Err(http::broken(self.provider, &error)),
                Err(_) => {
                    let message = format!("silent for {} ms in mid-answer", idle_max.as_millis());
                    return Err(Error::new(self.provider, ErrorKind::TimedOut, message));
                }
            }
            if self.parser.held() > EVENT_MAX {
                let message = format!("an event of more than {EVENT_MAX} bytes");
                return Err(Error::new(self.provider, ErrorKind::Protocol, message));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events(pieces: &[&[u8]]) -> Vec<(String, String)> {
        let mut parser = Parser::default();
        pieces.iter().for_each(|piece| parser.push(piece));
        parser.end();
        std::iter::from_fn(|| parser.take()).map(|event| (event.name, event.data)).collect()
    }

    const STREAM: &str =
        ": hello\r\nevent: a\r\ndata: {\"x\":\r\ndata:\"नमस्ते\"}\r\n\r\ndata: [DONE]\n\nid: 7\n\ndata";

    #[test]
    fn events_are_the_same_wherever_the_bytes_are_cut_and_whatever_ends_lines() {
        let whole = events(&[STREAM.as_bytes()]);
        let expected = [("a", "{\"x\":\n\"नमस्ते\"}"), ("", "[DONE]"), ("", "")];
        assert_eq!(whole, expected.map(|(name, data)| (name.to_owned(), data.to_owned())));
        for cut in 0..STREAM.len() {
            assert_eq!(
                events(&[&STREAM.as_bytes()[..cut], &STREAM.as_bytes()[cut..]]),
                whole,
                "cut at {cut}"
            );
        }
        assert_eq!(events(&[STREAM.replace("\r\n", "\r").as_bytes()]), whole);
    }
}
