//! A context within its budget: the oldest turns are left out whole, and what their tools did is told in a note.
//!
//! A turn is the caller's message with all that followed it, so that a call never stands without its result. The
//! instructions and the newest turn stay, whatever they cost. Tokens are estimated, because every model counts its
//! own way. Enter at [`shortened`].

use crate::Message;

/// Tokens of a message beside its words: its role and its marks.
const PER_MESSAGE: u32 = 4;
/// The newest results are told of those that are left out, each with so many characters.
const RESULTS_MAX: usize = 20;
const RESULT_CHARS_MAX: usize = 160;

/// The instructions and as many of the newest turns as fit; 0: all. The first of `turns` is what came before the
/// caller's first.
pub(crate) fn shortened(system: &str, turns: Vec<Vec<Message>>, tokens_max: u32) -> Vec<Message> {
    let system = Message::System { text: system.to_owned() };
    let costs: Vec<u32> = turns.iter().map(|turn| turn.iter().map(tokens).sum()).collect();
    let last = turns.len().saturating_sub(1);
    let (mut count, mut note) = (0, None);
    let mut cost = tokens(&system) + costs.iter().sum::<u32>();
    while tokens_max > 0 && count < last && cost + note.as_ref().map_or(0, tokens) > tokens_max {
        cost -= costs[count];
        count += 1;
        // The note is long to make and is not looked at before the turns alone fit.
        note = (cost <= tokens_max || count == last).then(|| self::note(&turns[..count])).flatten();
    }
    let mut messages = vec![system];
    messages.extend(note);
    messages.extend(turns.into_iter().skip(count).flatten());
    messages
}

/// What is told of the turns that are left out; nothing if nothing stands in them.
fn note(left_out: &[Vec<Message>]) -> Option<Message> {
    let result = |message: &Message| match message {
        Message::ToolResult { tool, result, .. } => Some(format!("{tool}: {}", brief(&result.to_string()))),
        _ => None,
    };
    left_out.iter().flatten().next()?;
    let newest = left_out.iter().flatten().rev().filter_map(result).take(RESULTS_MAX);
    let mut results: Vec<String> = newest.collect();
    results.reverse();
    let mut text = String::from("The beginning of this call is left out here to save room.");
    if !results.is_empty() {
        text.push_str(" Tools that ran in it and what they gave; do not run them again for the same: ");
        text.push_str(&results.join("; "));
        text.push('.');
    }
    Some(Message::System { text })
}

fn brief(text: &str) -> String {
    match text.char_indices().nth(RESULT_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// About how many tokens a message costs.
pub(crate) fn tokens(message: &Message) -> u32 {
    let words = match message {
        Message::System { text } | Message::Caller { text } | Message::Agent { text } => text_tokens(text),
        Message::ToolCall { call_id, tool, arguments, signature } => {
            let signature = signature.as_deref().map_or(0, text_tokens);
            text_tokens(call_id) + text_tokens(tool) + text_tokens(&arguments.to_string()) + signature
        }
        Message::ToolResult { call_id, result, .. } => {
            text_tokens(call_id) + text_tokens(&result.to_string())
        }
    };
    words + PER_MESSAGE
}

/// Four characters a token in Latin script, one and a half in others.
fn text_tokens(text: &str) -> u32 {
    let latin = |c: &char| *c < '\u{0250}' || ('\u{2000}'..='\u{206f}').contains(c);
    let (latin, other): (Vec<char>, Vec<char>) = text.chars().partition(latin);
    ((latin.len() * 3 + other.len() * 8).div_ceil(12)) as u32
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn caller(text: &str) -> Message {
        Message::Caller { text: text.into() }
    }

    fn call(id: &str) -> Message {
        let (call_id, tool) = (id.into(), "book".into());
        Message::ToolCall { call_id, tool, arguments: json!({ "day": "Friday" }), signature: None }
    }

    fn result(id: &str) -> Message {
        Message::ToolResult { call_id: id.into(), tool: "book".into(), result: json!({ "table": id }) }
    }

    fn cost(messages: &[Message]) -> u32 {
        messages.iter().map(tokens).sum()
    }

    #[test]
    fn latin_letters_are_four_a_token_and_others_one_and_a_half() {
        assert_eq!(text_tokens("abcdefgh"), 2);
        assert_eq!(text_tokens("नमस्ते"), 4);
        assert_eq!(text_tokens(""), 0);
    }

    #[test]
    fn the_oldest_turns_are_left_out_whole_and_their_tools_are_told() {
        let greeting = vec![Message::Agent { text: "Welcome. How can I help you?".into() }];
        let first = vec![caller("Book Friday."), call("a"), call("b"), result("a"), result("b")];
        let second = vec![caller("And what is on the menu?")];
        let all = vec![greeting, first, second.clone()];
        assert_eq!(shortened("Be brief.", all.clone(), 8_000).len(), 8, "all of it fits");
        assert_eq!(shortened("Be brief.", all.clone(), 0).len(), 8, "no limit");
        let messages = shortened("Be brief.", all, 70);
        let [Message::System { .. }, Message::System { text }, rest @ ..] = messages.as_slice() else {
            panic!("{messages:?}");
        };
        assert!(text.contains(r#"book: {"table":"a"}; book: {"table":"b"}."#), "{text}");
        assert_eq!(rest, second);
    }

    #[test]
    fn the_newest_turn_stays_even_if_it_does_not_fit() {
        let long = caller(&"word ".repeat(400));
        let turns = vec![vec![], vec![caller("Hello.")], vec![long.clone(), call("a"), result("a")]];
        let messages = shortened("Be brief.", turns, 50);
        assert_eq!(messages[2..], [long, call("a"), result("a")]);
    }

    fn turn() -> impl Strategy<Value = Vec<Message>> {
        (0_usize..60, 0_usize..4, any::<bool>()).prop_map(|(words, calls, hindi)| {
            let text = if hindi { "शब्द " } else { "word " }.repeat(words);
            let ids = (0..calls).map(|i| i.to_string());
            let calls = ids.clone().map(|id| call(&id)).chain(ids.map(|id| result(&id)));
            std::iter::once(caller(&text)).chain(calls).collect()
        })
    }

    proptest! {
        #[test]
        fn a_context_is_within_its_budget_or_is_the_newest_turn_alone(
            turns in prop::collection::vec(turn(), 1..12),
            tokens_max in 1_u32..2_000,
        ) {
            let all = [vec![vec![]], turns].concat();
            let messages = shortened("Be brief.", all.clone(), tokens_max);
            let last = all.last().cloned().unwrap_or_default();
            prop_assert!(messages.ends_with(&last));
            let whole: Vec<Message> = all.concat();
            let told = messages.iter().skip(1).filter(|m| matches!(m, Message::System { .. })).count();
            let kept = &messages[1 + told..];
            prop_assert!(whole.ends_with(kept), "what is kept is the end, in order");
            prop_assert!(matches!(kept[0], Message::Caller { .. }), "it begins with a turn");
            prop_assert_eq!(told, usize::from(kept.len() < whole.len()), "what is left out is told");
            prop_assert!(cost(&messages) <= tokens_max || kept == last.as_slice());
        }
    }
}
