//! A context as vendors want it: every tool call with its result, nothing empty, and where a vendor insists, the
//! caller first and last.
//!
//! Vendors refuse a whole request for one call without a result, and calls are cut and contexts shortened; so what is
//! missing is filled in here and what belongs to nothing is left out.

use super::{Message, Role, ToolCall};

/// Stands for the result of a call that has none.
pub(super) const NO_RESULT: &str = r#"{"error":"the call was interrupted before there was a result"}"#;
/// Stands for the caller where the agent speaks first.
const CALL_BEGINS: &str = "(The call begins.)";
/// Stands for the caller where the agent speaks again.
const NOTHING_SAID: &str = "(The caller says nothing.)";

/// A piece of a context.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Turn<'a> {
    /// Instructions.
    Instruction(&'a str),
    /// The caller's words.
    Caller(&'a str),
    /// The agent's words, and the tools it called.
    Agent {
        /// May be empty where it called tools.
        text: &'a str,
        /// Each call with its result.
        calls: Vec<(&'a ToolCall, &'a str)>,
    },
}

/// The context with every call beside its result, and never of instructions alone: servers want something to answer.
pub(super) fn turns(messages: &[Message]) -> Vec<Turn<'_>> {
    let with_later = messages.iter().enumerate().map(|(at, message)| (message, &messages[at + 1..]));
    let mut turns: Vec<_> = with_later.filter_map(|(message, later)| turn(message, later)).collect();
    if turns.iter().all(|turn| matches!(turn, Turn::Instruction(_))) {
        turns.push(Turn::Caller(CALL_BEGINS));
    }
    turns
}

fn turn<'a>(message: &'a Message, later: &'a [Message]) -> Option<Turn<'a>> {
    let text = if message.text.trim().is_empty() { "" } else { message.text.as_str() };
    let result = |call: &ToolCall| {
        let answers =
            |later: &&Message| later.role == Role::Tool && later.tool_call_id.as_ref() == Some(&call.id);
        later.iter().find(answers).map_or(NO_RESULT, |result| result.text.as_str())
    };
    let calls: Vec<_> = message.tool_calls.iter().map(|call| (call, result(call))).collect();
    match message.role {
        Role::Agent if !calls.is_empty() || !text.is_empty() => Some(Turn::Agent { text, calls }),
        Role::System if !text.is_empty() => Some(Turn::Instruction(text)),
        Role::Caller if !text.is_empty() => Some(Turn::Caller(text)),
        // A tool's result is taken with its call.
        _ => None,
    }
}

/// The context for vendors with instructions beside the dialogue, in which the caller is first and last. Instructions
/// that come after the agent's last words stand there for the caller: they are what it is to answer.
pub(super) fn dialogue(messages: &[Message]) -> (Vec<&str>, Vec<Turn<'_>>) {
    let all = turns(messages);
    let is_instruction = |turn: &Turn<'_>| matches!(turn, Turn::Instruction(_));
    let is_answered = |turn: &Turn<'_>| matches!(turn, Turn::Agent { calls, .. } if calls.is_empty());
    let tail = all.iter().rposition(|turn| !is_instruction(turn)).filter(|at| is_answered(&all[*at]));
    let (mut instructions, mut dialogue) = (Vec::new(), Vec::new());
    for (at, turn) in all.into_iter().enumerate() {
        match turn {
            Turn::Instruction(text) if tail.is_some_and(|tail| at > tail) => {
                dialogue.push(Turn::Caller(text))
            }
            Turn::Instruction(text) => instructions.push(text),
            turn => dialogue.push(turn),
        }
    }
    if !matches!(dialogue.first(), Some(Turn::Caller(_))) {
        dialogue.insert(0, Turn::Caller(CALL_BEGINS));
    }
    if dialogue.last().is_some_and(is_answered) {
        dialogue.push(Turn::Caller(NOTHING_SAID));
    }
    (instructions, dialogue)
}

#[cfg(test)]
pub(super) mod tests {
    use serde_json::json;

    use super::*;

    pub fn said(role: Role, text: &str) -> Message {
        Message { role, text: text.to_owned(), tool_calls: Vec::new(), tool_call_id: None }
    }

    pub fn called(text: &str, ids: &[&str]) -> Message {
        let call = |id: &&str| ToolCall {
            id: (*id).to_owned(),
            name: format!("tool_{id}"),
            arguments: json!({"of": id}),
            signature: None,
        };
        Message { tool_calls: ids.iter().map(call).collect(), ..said(Role::Agent, text) }
    }

    pub fn result(id: &str, text: &str) -> Message {
        Message { tool_call_id: Some(id.to_owned()), ..said(Role::Tool, text) }
    }

    #[test]
    fn every_call_has_a_result_and_every_result_a_call() {
        let messages = [
            said(Role::Caller, "both"),
            called("", &["a", "b"]),
            result("b", "2"),
            result("gone", "3"),
            said(Role::Agent, "  "),
        ];
        let calls = vec![(&messages[1].tool_calls[0], NO_RESULT), (&messages[1].tool_calls[1], "2")];
        assert_eq!(turns(&messages), [Turn::Caller("both"), Turn::Agent { text: "", calls }]);
    }

    #[test]
    fn the_caller_is_first_and_last_in_a_dialogue() {
        let greeting = [said(Role::System, "Be brief."), said(Role::Agent, "Hello!")];
        let hello = Turn::Agent { text: "Hello!", calls: Vec::new() };
        let expected = vec![Turn::Caller(CALL_BEGINS), hello.clone(), Turn::Caller(NOTHING_SAID)];
        assert_eq!(dialogue(&greeting), (vec!["Be brief."], expected));
        assert_eq!(dialogue(&[]).1, [Turn::Caller(CALL_BEGINS)]);
        assert_eq!(turns(&greeting[..1]), [Turn::Instruction("Be brief."), Turn::Caller(CALL_BEGINS)]);
    }

    #[test]
    fn instructions_after_the_agents_last_words_are_what_it_answers_and_others_stand_apart() {
        let reminder =
            [said(Role::Caller, "Hi"), said(Role::Agent, "Hello!"), said(Role::System, "Ask again.")];
        let (instructions, turns) = dialogue(&reminder);
        assert!(instructions.is_empty());
        assert_eq!(turns.last(), Some(&Turn::Caller("Ask again.")));

        let between =
            [said(Role::Agent, "Hello!"), said(Role::System, "In Hindi."), said(Role::Caller, "Hi")];
        assert_eq!(dialogue(&between).0, ["In Hindi."]);
        let after_tool = [said(Role::Caller, "Hi"), called("", &["a"]), said(Role::System, "Go on.")];
        assert_eq!(dialogue(&after_tool).0, ["Go on."]);
    }
}
