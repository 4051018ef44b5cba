//! Decisions in words: what a turn event, a tool or an end says to a person.
//!
//! The stable word of the contract stays in brackets, so that what is read here can be searched for there. A
//! reason this table does not know is shown as it came: an older client must not hide what a newer engine says.

use parlance_proto::v1::{
    CallEnded, EndReason, ProviderSwitch, ToolCall, ToolEvent, ToolState, TurnEvent, TurnEventType,
};

use super::message_json::fields;
use super::terminal::{clock, millis};

/// What was decided and why; `at_ms` is when, on the call's clock.
#[must_use]
pub fn turn(event: &TurnEvent, at_ms: i64) -> String {
    let until = millis(event.until.as_ref());
    let what = match event.r#type() {
        TurnEventType::Unspecified => "something was decided".to_owned(),
        TurnEventType::CallerStarted => format!("the caller begins turn {}", event.turn_id),
        TurnEventType::Waiting if event.until.is_some() => {
            format!("waits {} ms more", (until - at_ms).max(0))
        }
        TurnEventType::Waiting => "waits".to_owned(),
        TurnEventType::CallerEnded => format!("the caller's turn {} is over", event.turn_id),
        TurnEventType::Reopened => format!(
            "the caller had not finished turn {}: reply {} is taken back and the words are joined",
            event.turn_id, event.reply_id
        ),
        TurnEventType::ReplyStarted => format!("the agent begins reply {}", event.reply_id),
        TurnEventType::ReplyEnded => format!("reply {} is over", event.reply_id),
        TurnEventType::Held if event.until.is_some() => {
            format!("holds reply {} at {}: the caller makes a sound", event.reply_id, clock(until))
        }
        TurnEventType::Held => format!("holds reply {}: the caller makes a sound", event.reply_id),
        TurnEventType::Interrupted => format!("cuts reply {}: the caller has the floor", event.reply_id),
        TurnEventType::Resumed => format!("goes on with reply {}", event.reply_id),
        TurnEventType::Dropped => return dropped(&event.reason),
        TurnEventType::DeadlineMissed => return missed(&event.reason),
    };
    with_reason(what, event)
}

/// `late: words` and the like: why, and what was not taken into account.
fn dropped(reason: &str) -> String {
    let (why, what) = reason.split_once(": ").unwrap_or((reason, "what came"));
    match words(TurnEventType::Dropped, why) {
        Some(words) => format!("takes no account of {what}: {words} ({why})"),
        None => format!("takes no account of {what} ({why})"),
    }
}

/// `first_token: the apology` and the like: which wait, and what was done.
fn missed(reason: &str) -> String {
    let (wait, answer) = reason.split_once(": ").unwrap_or((reason, ""));
    let what = format!("the wait for {} is over", wait.replace('_', " "));
    if answer.is_empty() { what } else { format!("{what}: {answer}") }
}

/// Adds the reason: in words where there are some, and as the contract spells it.
fn with_reason(what: String, event: &TurnEvent) -> String {
    let reason = event.reason.as_str();
    if reason.is_empty() {
        return what;
    }
    match words(event.r#type(), reason) {
        Some(words) => format!("{what}: {words} ({reason})"),
        None => format!("{what} ({reason})"),
    }
}

/// What a reason means for this sort of event.
fn words(kind: TurnEventType, reason: &str) -> Option<&'static str> {
    Some(match (kind, reason) {
        (TurnEventType::Waiting, "value_complete") => "the answer is complete",
        (TurnEventType::Waiting, "finished_sentence") => "the sentence is finished",
        (TurnEventType::Waiting, "ordinary") => "the caller may go on",
        (TurnEventType::Waiting, "not_settled") => "the words are not certain yet",
        (TurnEventType::Waiting, "open_ended") => "the last word wants another",
        (TurnEventType::Waiting, "provider") => "the transcriber has not heard the end",
        (TurnEventType::Waiting, "value_incomplete") => "the answer is not complete",
        (TurnEventType::CallerEnded, "silence") => "silence for as long as was waited",
        (TurnEventType::CallerEnded, "provider") => "the transcriber heard the end",
        (TurnEventType::CallerEnded, "value_complete") => "the answer is complete",
        (TurnEventType::CallerEnded, "typed") => "it was typed",
        (TurnEventType::CallerEnded, "dtmf") => "it was dialled",
        (TurnEventType::CallerEnded, "max_wait") => "no more words came",
        (TurnEventType::ReplyStarted, "greeting") => "the greeting",
        (TurnEventType::ReplyStarted, "answer") => "the answer",
        (TurnEventType::ReplyStarted, "after_tool") => "what the tool's result makes it say",
        (TurnEventType::ReplyStarted, "filler") => "to bridge a wait",
        (TurnEventType::ReplyStarted, "reminder") => "the caller is silent",
        (TurnEventType::ReplyStarted, "apology") => "everything else failed",
        (TurnEventType::ReplyStarted, "say") => "the client asked for it",
        (TurnEventType::ReplyStarted, "warning") => "the call is about to be too long",
        (TurnEventType::ReplyStarted, "goodbye") => "the last words",
        (TurnEventType::ReplyEnded, "heard") => "heard to its end",
        (TurnEventType::ReplyEnded, "interrupted") => "the rest is not said",
        (TurnEventType::ReplyEnded, "cancelled") => "nothing of it was heard",
        (TurnEventType::ReplyEnded, "empty") => "there was nothing to say",
        (TurnEventType::ReplyEnded, "failed") => "the model or the voice failed",
        (TurnEventType::Interrupted | TurnEventType::Resumed, reason) => hold_outcome(reason)?,
        (TurnEventType::Dropped, "old_reply") => "it belongs to a reply that is over",
        (TurnEventType::Dropped, "late") => "that stretch of audio was judged already",
        (TurnEventType::Dropped, "backchannel") => "it only said that the caller listens",
        (TurnEventType::Dropped, "echo") => "the agent heard itself",
        (TurnEventType::Dropped, "call_over") => "the call is over",
        _ => return None,
    })
}

/// Why a hold ended as it did.
fn hold_outcome(reason: &str) -> Option<&'static str> {
    Some(match reason {
        "words" => "the caller said words",
        "long_voice" => "the caller spoke for long and no words can be had",
        "backchannel" => "it only said that the caller listens",
        "answer" => "a short word that answers the question",
        "no_words" => "there were no words in it",
        "echo" => "the agent heard itself",
        "client" => "the client did something else",
        "timed_out" => "the hold lasted too long",
        "call_ended" => "the call ended",
        _ => return None,
    })
}

/// A tool's start or result.
#[must_use]
pub fn tool(event: &ToolEvent) -> String {
    let tool = &event.tool;
    match event.state() {
        ToolState::Unspecified | ToolState::Running => {
            format!("runs {tool}: {}", fields(event.arguments.as_ref()))
        }
        ToolState::Succeeded => format!("{tool} did it: {}", fields(event.result.as_ref())),
        ToolState::Failed => format!("{tool} could not: {}", event.reason),
        ToolState::TimedOut => format!("{tool} gave no answer in time"),
    }
}

/// A tool that this program was asked to run.
#[must_use]
pub fn tool_call(call: &ToolCall) -> String {
    format!("asks this program for {}, which runs no tools", call.tool)
}

/// Why a call ended.
#[must_use]
pub fn end(reason: EndReason) -> &'static str {
    match reason {
        EndReason::Unspecified => "no reason is known",
        EndReason::AgentEnded => "the agent said goodbye and hung up",
        EndReason::CallerHungUp => "the caller hung up",
        EndReason::ClientEnded => "the client ended it",
        EndReason::ApiEnded => "it was ended through the API",
        EndReason::FarEndLost => "the connection was lost",
        EndReason::Silence => "nobody spoke any more",
        EndReason::MaxDuration => "the longest allowed call was reached",
        EndReason::ProviderFailed => "a provider could not be opened",
        EndReason::BadInput => "the client sent something it must not",
        EndReason::Overloaded => "the engine could not keep up",
        EndReason::Drained => "the engine was shut down",
        EndReason::EngineLost => "the engine was lost",
        EndReason::SpeechToTextFailed => "the transcriber failed and no other was left",
        EndReason::LanguageModelFailed => "the language model failed too often",
        EndReason::TextToSpeechFailed => "the voice failed and no other was left",
        EndReason::NoAudio => "the caller's audio never came",
        EndReason::CallerNeverJoined => "nobody joined it in time",
    }
}

/// Who answers now instead of whom, and why.
#[must_use]
pub fn provider(switch: &ProviderSwitch) -> String {
    let kind = switch.kind.replace('_', " ");
    let (from, to) = (&switch.from, &switch.to);
    let who =
        if from == to { format!("{to} is asked anew") } else { format!("{to} goes on instead of {from}") };
    let why = if switch.reason.is_empty() { String::new() } else { format!(": {}", switch.reason) };
    format!("{kind}: {who}{why}")
}

/// The end with the engine's own remark, if it made one.
#[must_use]
pub fn ended(ended: &CallEnded) -> String {
    match ended.message.as_str() {
        "" => end(ended.reason()).to_owned(),
        message => format!("{} ({message})", end(ended.reason())),
    }
}

/// Whether a call that ended so went as calls should.
#[must_use]
pub const fn is_normal(reason: EndReason) -> bool {
    matches!(reason, EndReason::AgentEnded | EndReason::CallerHungUp | EndReason::ClientEnded)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(kind: TurnEventType, reason: &str, until_ms: i64) -> TurnEvent {
        TurnEvent {
            r#type: kind.into(),
            reason: reason.into(),
            turn_id: 2,
            reply_id: 3,
            until: Some(prost_types::Duration {
                seconds: until_ms / 1_000,
                nanos: (until_ms % 1_000) as i32 * 1_000_000,
            }),
        }
    }

    #[test]
    fn a_wait_says_how_long_it_will_be_and_why() {
        assert_eq!(
            turn(&event(TurnEventType::Waiting, "value_incomplete", 4_300), 3_400),
            "waits 900 ms more: the answer is not complete (value_incomplete)"
        );
    }

    #[test]
    fn a_hold_says_where_the_agent_was() {
        assert_eq!(
            turn(&event(TurnEventType::Held, "", 1_200), 9_000),
            "holds reply 3 at 0:01.2: the caller makes a sound"
        );
        assert_eq!(
            turn(&event(TurnEventType::Resumed, "backchannel", 0), 9_000),
            "goes on with reply 3: it only said that the caller listens (backchannel)"
        );
    }

    #[test]
    fn what_was_not_taken_into_account_is_told_with_the_reason() {
        assert_eq!(
            turn(&event(TurnEventType::Dropped, "backchannel: uh huh", 0), 0),
            "takes no account of uh huh: it only said that the caller listens (backchannel)"
        );
        assert_eq!(
            turn(&event(TurnEventType::DeadlineMissed, "first_token: the apology is said", 0), 0),
            "the wait for first token is over: the apology is said"
        );
    }

    #[test]
    fn a_reason_from_a_newer_engine_is_shown_as_it_came() {
        assert_eq!(
            turn(&event(TurnEventType::CallerEnded, "telepathy", 0), 0),
            "the caller's turn 2 is over (telepathy)"
        );
    }
}
