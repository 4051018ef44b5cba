//! What a stand-in for a language model says, the same for every vendor.
//!
//! Vendors turn a request into [`Asked`] and an [`Answer`] into their events. [`answer`] decides the words and the tool
//! calls, from the plan and the request alone: the same request gets the same answer, whichever vendor is asked.

use serde_json::Value;

use crate::{Fault, Plan};

/// In a system, developer or user message: the answer was broken off after the words in « » that follow.
pub const CUT_OFF: &str = "You were cut off";

/// What a request says, in order.
#[derive(Debug, Clone, PartialEq)]
pub enum Said {
    /// A system or developer message, or a system prompt.
    System(String),
    /// The user.
    User(String),
    /// The model itself.
    Assistant {
        /// Its words.
        text: String,
        /// Whether it called tools.
        called: bool,
    },
    /// What a tool gave back.
    Result(String),
}

/// What a request asks for.
#[derive(Debug, Default)]
pub struct Asked {
    /// The conversation.
    pub said: Vec<Said>,
    /// The tools it offers; a model calls no others.
    pub tools: Vec<String>,
    /// The longest answer, words.
    pub words_max: Option<u64>,
}

/// What a model answers.
#[derive(Debug, Default)]
pub struct Answer {
    /// The text, a word each, with the white space before it.
    pub words: Vec<String>,
    /// Tool calls after it: name and arguments.
    pub calls: Vec<(String, Value)>,
    /// Whether it was cut at `words_max`.
    pub is_cut: bool,
    /// Words of the request.
    pub words_in: usize,
}

impl Answer {
    /// The whole text.
    pub fn text(&self) -> String {
        self.words.concat()
    }

    /// Words of the answer and of its calls' arguments: a stand-in's tokens.
    pub fn words_out(&self) -> usize {
        self.words.len()
            + self.calls.iter().map(|(_, arguments)| count(&arguments.to_string())).sum::<usize>()
    }
}

/// The answer to a request: the planned tool calls that fit, else the line whose turn it is.
pub fn answer(plan: &Plan, asked: &Asked) -> Answer {
    let words_in = asked.said.iter().map(|said| count(said.text())).sum();
    if plan.fault == Some(Fault::Empty) {
        return Answer { words_in, ..Answer::default() };
    }
    let (text, calls) = wanted(plan, asked);
    let mut words = words(&text);
    if let Some(already) = broken_off(&asked.said) {
        words = remaining(words, already);
    }
    let words_max = asked.words_max.map_or(usize::MAX, |max| usize::try_from(max).unwrap_or(usize::MAX));
    let is_cut = words.len() > words_max;
    words.truncate(words_max);
    Answer { words, calls: if is_cut { Vec::new() } else { calls }, is_cut, words_in }
}

/// Text and calls as if nothing had been said of them yet.
fn wanted(plan: &Plan, asked: &Asked) -> (String, Vec<(String, Value)>) {
    let is_ask = |said: &Said| matches!(said, Said::User(text) if !text.contains(CUT_OFF));
    let last = asked.said.iter().rposition(is_ask);
    let user = last.map_or("", |last| asked.said[last].text());
    let after = &asked.said[last.map_or(0, |last| last + 1)..];
    if !after.iter().any(|said| matches!(said, Said::Result(_))) {
        let fits =
            plan.tools.iter().filter(|tool| user.contains(&tool.when) && asked.tools.contains(&tool.name));
        let calls: Vec<_> = fits.clone().map(|tool| (tool.name.clone(), tool.arguments.clone())).collect();
        if !calls.is_empty() {
            let say: Vec<_> = fits.map(|tool| tool.say.as_str()).filter(|say| !say.is_empty()).collect();
            return (say.join(" "), calls);
        }
    }
    if plan.lines.is_empty() {
        return (format!("You said: {user}"), Vec::new());
    }
    // Up to the user's last message: what a client keeps of a broken-off answer does not count as a turn.
    let before = &asked.said[..last.unwrap_or(asked.said.len())];
    let is_turn = |said: &&Said| matches!(said, Said::Assistant { text, called: false } if !text.is_empty());
    let turns = before.iter().filter(is_turn).count();
    (plan.lines[turns % plan.lines.len()].clone(), Vec::new())
}

/// The words already said, if the request asks to go on with an answer that was broken off: a system or developer
/// message, or the last user message, that contains [`CUT_OFF`] and then the words in « ».
fn broken_off(said: &[Said]) -> Option<&str> {
    let last_user = said.iter().rposition(|said| matches!(said, Said::User(_)));
    let is_instruction =
        |(at, said): &(usize, &Said)| matches!(said, Said::System(_)) || Some(*at) == last_user;
    let instructions = said.iter().enumerate().filter(is_instruction);
    instructions.rev().find_map(|(_, said)| {
        let (_, after) = said.text().split_once(CUT_OFF)?;
        let (_, quoted) = after.split_once('«')?;
        quoted.rsplit_once('»').map(|(already, _)| already)
    })
}

/// The rule by which a fallback goes on where another model was broken off, so that a test can judge it word by word:
/// what comes in the line after the words already said, wherever in it they first stand. A line that does not contain
/// them is said whole, as a model would that can make nothing of them.
fn remaining(mut line: Vec<String>, already: &str) -> Vec<String> {
    let said: Vec<_> = already.split_whitespace().collect();
    let bare: Vec<_> = line.iter().map(|word| word.trim()).collect();
    let at = bare.windows(said.len().max(1)).position(|window| window == said);
    let Some(at) = at else { return line };
    line.drain(..at + said.len());
    if let Some(first) = line.first_mut() {
        *first = first.trim_start().to_owned();
    }
    line
}

/// Words with the white space before each, as models cut text.
fn words(text: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut in_word = true;
    for letter in text.chars() {
        let begins = letter.is_whitespace() && in_word;
        match words.last_mut() {
            Some(word) if !begins => word.push(letter),
            _ => words.push(letter.into()),
        }
        in_word = !letter.is_whitespace();
    }
    words
}

fn count(text: &str) -> usize {
    text.split_whitespace().count()
}

impl Said {
    fn text(&self) -> &str {
        match self {
            Self::System(text) | Self::User(text) | Self::Assistant { text, .. } | Self::Result(text) => text,
        }
    }
}
