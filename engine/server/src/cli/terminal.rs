//! How text looks on a terminal and in a file: colours, times, wrapped lines.
//!
//! Colours only where a terminal shows them and nobody asked for none (`NO_COLOR`); a file or a pipe gets plain
//! text of the same layout.

use std::io::{IsTerminal, stdout};

use prost_types::Duration as ProtoDuration;

/// Columns that printed text keeps to.
pub const WIDTH: usize = 100;

/// What a piece of text is, from which its colour follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    /// The caller's words.
    Caller,
    /// The agent's words.
    Agent,
    /// What matters less.
    Quiet,
    /// Trouble.
    Bad,
    /// What went well.
    Good,
}

/// Whether to colour.
#[derive(Debug, Clone, Copy)]
pub struct Paint {
    on: bool,
}

impl Paint {
    /// Colours if standard output is a terminal and `NO_COLOR` is not set.
    #[must_use]
    pub fn for_stdout() -> Self {
        Self { on: stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none() }
    }

    /// No colours.
    #[cfg(test)]
    #[must_use]
    pub const fn plain() -> Self {
        Self { on: false }
    }

    /// `text` in the colour of `tone`.
    #[must_use]
    pub fn paint(self, tone: Tone, text: &str) -> String {
        let code = match tone {
            Tone::Caller => "36",
            Tone::Agent => "33",
            Tone::Quiet => "2",
            Tone::Bad => "31",
            Tone::Good => "32",
        };
        if self.on { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

/// Milliseconds of a proto duration; an absent one is 0.
#[must_use]
pub fn millis(duration: Option<&ProtoDuration>) -> i64 {
    duration.map_or(0, |d| d.seconds * 1_000 + i64::from(d.nanos) / 1_000_000)
}

/// A time on the call's clock, such as `1:03.4`.
#[must_use]
pub fn clock(millis: i64) -> String {
    let tenths = (millis.max(0) + 50) / 100;
    format!("{}:{:02}.{}", tenths / 600, tenths / 10 % 60, tenths % 10)
}

/// `text` in lines of at most `width` columns, broken between words; at least one line.
#[must_use]
pub fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let full = lines
            .last()
            .is_some_and(|line| !line.is_empty() && line.chars().count() + 1 + word.chars().count() > width);
        if full {
            lines.push(String::new());
        }
        if let Some(line) = lines.last_mut() {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_written_in_minutes_seconds_and_tenths() {
        assert_eq!(clock(0), "0:00.0");
        assert_eq!(clock(63_449), "1:03.4");
        assert_eq!(clock(59_960), "1:00.0");
    }

    #[test]
    fn wrapped_lines_keep_every_word_and_the_width() {
        let lines = wrap("a table for four on friday at seven", 12);
        assert_eq!(lines.join(" "), "a table for four on friday at seven");
        assert!(lines.iter().all(|line| line.len() <= 12), "{lines:?}");
    }
}
