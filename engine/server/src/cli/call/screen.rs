//! What a person sees of a running call: the words as they come, tools, holds, the waterfall of each turn.
//!
//! On a terminal the running words are rewritten in place; a file or a pipe gets only what stands. An agent's
//! entry grows while it is heard, so its line is printed once its reply has ended.

use std::collections::BTreeMap;
use std::io::{IsTerminal, Write, stdout};

use parlance_proto::v1::voice_session_response::Response;
use parlance_proto::v1::{Speaker, TranscriptEntry, TranscriptUpdate, TurnEvent, TurnEventType, Waterfall};

use super::super::terminal::{Paint, Tone, WIDTH, clock, millis, wrap};
use super::super::{describe, waterfall};
use crate::output::{out, outln};

/// Column at which words begin: time and speaker stand before it.
pub const INDENT: usize = 16;

/// How much of a call is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Detail {
    /// Words, tools, trouble and the end.
    Words {
        /// The caller's words too; a person who has just typed them sees them already.
        caller: bool,
    },
    /// Also holds, cuts and the waterfall of each turn.
    All,
}

/// A live transcript.
#[derive(Debug)]
pub struct Screen {
    detail: Detail,
    paint: Paint,
    in_place: bool,
    /// A running line stands on the terminal and must be wiped before the next.
    dirty: bool,
    /// The agent's entries that may still grow, by reply.
    growing: BTreeMap<u32, TranscriptEntry>,
}

impl Screen {
    /// A screen on standard output.
    #[must_use]
    pub fn new(detail: Detail) -> Self {
        let in_place = stdout().is_terminal();
        Self { detail, paint: Paint::for_stdout(), in_place, dirty: false, growing: BTreeMap::new() }
    }

    /// Shows a message; `at_ms` is when it came, on the client's idea of the call's clock.
    pub fn show(&mut self, response: &Response, at_ms: i64) {
        match response {
            Response::Transcript(update) => self.transcript(update, at_ms),
            Response::Turn(turn) => self.turn(turn, at_ms),
            Response::Tool(event) => self.remark(at_ms, "tool", Tone::Good, &describe::tool(event)),
            Response::ToolCall(call) => {
                self.remark(at_ms, "tool", Tone::Quiet, &describe::tool_call(call));
            }
            Response::Waterfall(times) => self.waterfall(times),
            Response::Error(error) => {
                self.remark(at_ms, "fault", Tone::Bad, &format!("{} ({})", error.message, error.reason));
            }
            Response::Provider(switch) => {
                self.remark(at_ms, "fault", Tone::Bad, &describe::provider(switch));
            }
            Response::Ended(ended) => {
                self.finish();
                self.remark(at_ms, "end", Tone::Quiet, &describe::ended(ended));
            }
            Response::Ready(_) | Response::Audio(_) | Response::Clear(_) | Response::Mark(_) => {}
        }
    }

    /// A line about the call that is no words of either.
    pub fn remark(&mut self, at_ms: i64, who: &str, tone: Tone, text: &str) {
        self.wipe();
        for (n, line) in wrap(text, WIDTH - INDENT).iter().enumerate() {
            let head = if n == 0 { format!("{:>7}  {who:<7}", clock(at_ms)) } else { " ".repeat(INDENT) };
            outln!("{}{}", pad(&head), self.paint.paint(tone, line));
        }
    }

    /// Prints what has not been printed for want of an end.
    pub fn finish(&mut self) {
        for entry in std::mem::take(&mut self.growing).into_values() {
            self.entry(&entry);
        }
        self.wipe();
    }

    fn transcript(&mut self, update: &TranscriptUpdate, at_ms: i64) {
        let Some(entry) = &update.entry else { return };
        if entry.speaker() == Speaker::Agent {
            self.running(entry, at_ms);
            self.growing.insert(entry.reply_id, entry.clone());
        } else if self.detail == (Detail::Words { caller: false }) {
            // Stands on the terminal as it was typed.
        } else if update.r#final {
            self.entry(entry);
        } else {
            self.running(entry, at_ms);
        }
    }

    fn turn(&mut self, turn: &TurnEvent, at_ms: i64) {
        match turn.r#type() {
            TurnEventType::ReplyEnded => {
                if let Some(entry) = self.growing.remove(&turn.reply_id) {
                    self.entry(&entry);
                }
            }
            TurnEventType::Held
            | TurnEventType::Interrupted
            | TurnEventType::Resumed
            | TurnEventType::Reopened
            | TurnEventType::DeadlineMissed
                if self.detail == Detail::All =>
            {
                self.remark(at_ms, "", Tone::Quiet, &describe::turn(turn, at_ms));
            }
            _ => {}
        }
    }

    fn waterfall(&mut self, times: &Waterfall) {
        if self.detail != Detail::All {
            return;
        }
        self.wipe();
        for line in waterfall::chart(times, self.paint) {
            outln!("{}{line}", " ".repeat(INDENT));
        }
    }

    /// An utterance that stands.
    fn entry(&mut self, entry: &TranscriptEntry) {
        self.wipe();
        for line in entry_lines(entry, self.paint) {
            outln!("{line}");
        }
    }

    /// Words that may still change, on the last line of a terminal.
    fn running(&mut self, entry: &TranscriptEntry, at_ms: i64) {
        if !self.in_place {
            return;
        }
        let room = 79 - INDENT;
        let skip = entry.text.chars().count().saturating_sub(room);
        let tail: String = entry.text.chars().skip(skip).collect();
        let at_ms = entry.start_offset.as_ref().map_or(at_ms, |at| millis(Some(at)));
        out!("\r\x1b[2K{}{}", head(entry, at_ms), self.paint.paint(Tone::Quiet, &tail));
        // A terminal that cannot be written to shows nothing; the call goes on.
        let _ = stdout().flush();
        self.dirty = true;
    }

    fn wipe(&mut self) {
        if self.dirty {
            out!("\r\x1b[2K");
            self.dirty = false;
        }
    }
}

/// An utterance: time, speaker, words, and what of them was not heard.
#[must_use]
pub fn entry_lines(entry: &TranscriptEntry, paint: Paint) -> Vec<String> {
    let tone = if entry.speaker() == Speaker::Agent { Tone::Agent } else { Tone::Caller };
    let mut lines = Vec::new();
    let mut head = head(entry, millis(entry.start_offset.as_ref()));
    let mut add = |tone, text: &str| {
        for line in wrap(text, WIDTH - INDENT) {
            lines.push(format!("{head}{}", paint.paint(tone, &line)));
            head = " ".repeat(INDENT);
        }
    };
    if !entry.text.is_empty() || entry.unheard_text.is_empty() {
        add(tone, &entry.text);
    }
    if !entry.unheard_text.is_empty() {
        add(Tone::Quiet, &format!("[not heard: {}]", entry.unheard_text));
    }
    lines
}

/// Time and speaker before an utterance.
fn head(entry: &TranscriptEntry, at_ms: i64) -> String {
    let who = match entry.speaker() {
        Speaker::Agent => "agent",
        Speaker::Caller if entry.typed => "typed",
        Speaker::Caller | Speaker::Unspecified => "caller",
    };
    pad(&format!("{:>7}  {who:<7}", clock(at_ms)))
}

/// `head` filled up to the column where words begin.
fn pad(head: &str) -> String {
    format!("{head:<INDENT$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_utterance_that_was_cut_shows_what_was_not_heard() {
        let entry = TranscriptEntry {
            speaker: Speaker::Agent.into(),
            text: "We open at nine".into(),
            unheard_text: "and close at five.".into(),
            start_offset: Some(prost_types::Duration { seconds: 63, nanos: 400_000_000 }),
            ..Default::default()
        };
        assert_eq!(
            entry_lines(&entry, Paint::plain()),
            [" 1:03.4  agent  We open at nine", "                [not heard: and close at five.]"]
        );
    }
}
