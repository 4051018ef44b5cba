//! Calls and what hangs on them: rows of the store in the contract's words.

use std::collections::BTreeMap;

use parlance_conversation::{CallTime, EndReason, Entry, ReplyId, Speaker, TurnId};
use parlance_proto::v1;
use parlance_store::{calls, invocations, journal, transcripts};

use super::{duration, event, json, offset, timestamp, usage};

/// A call, without its tool runs.
pub fn call(row: &calls::Call) -> v1::Call {
    let call_type = match row.call_type {
        calls::CallType::Web => v1::CallType::Web,
        calls::CallType::Phone => v1::CallType::Unspecified,
    };
    v1::Call {
        name: format!("calls/{}", row.id),
        agent: format!("agents/{}", row.agent_id),
        r#type: call_type.into(),
        state: state(row.state).into(),
        dynamic_variables: variables(row),
        create_time: Some(timestamp(row.create_time)),
        start_time: row.start_time.map(timestamp),
        end_time: row.end_time.map(timestamp),
        end_reason: row.end_reason.as_deref().map_or(v1::EndReason::Unspecified, end_reason).into(),
        end_message: row.end_message.clone().unwrap_or_default(),
        recording_uri: row.recording_path.clone().unwrap_or_default(),
        tool_invocations: Vec::new(),
        metadata: Some(json::to_struct(&row.metadata)),
        labels: serde_json::from_value(row.labels.clone()).unwrap_or_default(),
        direction: match row.direction {
            calls::Direction::Inbound => v1::CallDirection::Inbound,
            calls::Direction::Outbound => v1::CallDirection::Outbound,
        }
        .into(),
        from_number: row.from_number.clone().unwrap_or_default(),
        to_number: row.to_number.clone().unwrap_or_default(),
        duration: row.start_time.zip(row.end_time).map(lasted),
        etag: row.etag.clone(),
        usage: row.usage.as_ref().and_then(usage::usage),
        cost: row.cost.as_ref().and_then(usage::cost),
        extracted_variables: Some(json::to_struct(&row.extracted_variables)),
    }
}

/// How long it lasted; nothing if the clock was set back in between.
fn lasted((start, end): (jiff::Timestamp, jiff::Timestamp)) -> prost_types::Duration {
    duration(std::time::Duration::try_from(end.duration_since(start)).unwrap_or_default())
}

/// The values for an agent's texts that a call was made with.
pub fn variables(row: &calls::Call) -> BTreeMap<String, String> {
    serde_json::from_value(row.dynamic_variables.clone()).unwrap_or_default()
}

/// Where a call stands.
pub fn state(state: calls::CallState) -> v1::CallState {
    match state {
        calls::CallState::Created => v1::CallState::Created,
        calls::CallState::Ongoing => v1::CallState::Ongoing,
        calls::CallState::Ended => v1::CallState::Ended,
    }
}

/// A tool run; its number in the call is the end of its idempotency key.
pub fn invocation(row: &invocations::Invocation, call: &calls::Call) -> v1::ToolInvocation {
    use invocations::InvocationState as State;
    let state = match row.state {
        State::Pending | State::Running => v1::ToolState::Running,
        State::Succeeded => v1::ToolState::Succeeded,
        State::Failed => v1::ToolState::Failed,
        State::Unknown => v1::ToolState::TimedOut,
    };
    let result = row.result.as_ref();
    let reason = result.and_then(|result| result.get("reason")).and_then(|reason| reason.as_str());
    let since_start = |at: jiff::Timestamp| {
        let start = call.start_time.unwrap_or(call.create_time);
        let micros = u64::try_from(at.duration_since(start).as_micros()).unwrap_or(0);
        offset(CallTime::from_micros(micros))
    };
    v1::ToolInvocation {
        invocation_id: run_number(&row.idempotency_key),
        tool: row.tool.clone(),
        arguments: Some(json::to_struct(&row.arguments)),
        state: state.into(),
        result: result.filter(|_| row.state == State::Succeeded).map(json::to_struct),
        reason: reason.filter(|_| row.state == State::Failed).unwrap_or_default().to_owned(),
        start_offset: Some(since_start(row.create_time)),
        end_offset: row.finish_time.map(since_start),
    }
}

/// The key under which a call's run of that number happens once.
pub fn run_key(call: parlance_store::CallId, number: u32) -> String {
    format!("{call}/{number}")
}

/// The number in such a key; 0 for a key that somebody else has made.
pub fn run_number(key: &str) -> u32 {
    key.rsplit_once('/').and_then(|(_, number)| number.parse().ok()).unwrap_or(0)
}

/// A text without what Postgres refuses: the character NUL becomes the replacement character.
pub fn storable(text: &str) -> String {
    text.replace('\0', "\u{FFFD}")
}

/// Makes every text and every name in it [`storable`].
pub fn make_storable(json: &mut serde_json::Value) {
    use serde_json::Value;
    match json {
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
        Value::String(text) => {
            if text.contains('\0') {
                *text = storable(text);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(make_storable),
        Value::Object(fields) => {
            fields.values_mut().for_each(make_storable);
            if fields.keys().any(|name| name.contains('\0')) {
                *fields = std::mem::take(fields)
                    .into_iter()
                    .map(|(name, value)| (storable(&name), value))
                    .collect();
            }
        }
    }
}

/// What the journal says was told, as clients see it; `None` for facts and what is for the journal alone.
pub fn journal_event(row: &journal::JournalEntry) -> Option<v1::CallEvent> {
    if row.kind != crate::session::journal::TOLD {
        return None;
    }
    let told: parlance_conversation::Event = serde_json::from_value(row.payload.clone()).ok()?;
    let at = CallTime::from_micros(u64::try_from(row.at_us).ok()?);
    event::call_event(u64::try_from(row.offset).ok()?, at, &told)
}

/// An utterance as it is kept.
pub fn transcript_row(entry: &Entry) -> transcripts::TranscriptEntry {
    let mut words = serde_json::to_value(&entry.words).unwrap_or_default();
    make_storable(&mut words);
    transcripts::TranscriptEntry {
        sequence: i32::try_from(entry.sequence).unwrap_or(i32::MAX),
        role: match entry.speaker {
            Speaker::Caller => transcripts::Role::Caller,
            Speaker::Agent => transcripts::Role::Agent,
        },
        turn_id: entry.turn.map(|turn| turn.0 as i32),
        reply_id: entry.reply.map(|reply| reply.0 as i32),
        text: storable(&entry.text),
        unheard_text: storable(&entry.unheard),
        start_us: entry.start.as_micros() as i64,
        end_us: entry.end.as_micros() as i64,
        words,
        words_estimated: entry.estimated,
        interrupted_us: entry.interrupted_at.map(|at| at.as_micros() as i64),
        typed: entry.typed,
    }
}

/// An utterance from its row.
pub fn entry(row: &transcripts::TranscriptEntry) -> Entry {
    let at = |us: i64| CallTime::from_micros(us.unsigned_abs());
    Entry {
        sequence: row.sequence.unsigned_abs(),
        speaker: match row.role {
            transcripts::Role::Caller => Speaker::Caller,
            transcripts::Role::Agent => Speaker::Agent,
        },
        turn: row.turn_id.map(|turn| TurnId(turn.unsigned_abs())),
        reply: row.reply_id.map(|reply| ReplyId(reply.unsigned_abs())),
        text: row.text.clone(),
        unheard: row.unheard_text.clone(),
        start: at(row.start_us),
        end: at(row.end_us),
        words: serde_json::from_value(row.words.clone()).unwrap_or_default(),
        estimated: row.words_estimated,
        interrupted_at: row.interrupted_us.map(at),
        typed: row.typed,
    }
}

fn end_reason(word: &str) -> v1::EndReason {
    let reason: Result<EndReason, _> = serde_json::from_value(serde_json::Value::String(word.to_owned()));
    reason.map_or(v1::EndReason::Unspecified, event::end_reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(key: &str, state: invocations::InvocationState) -> invocations::Invocation {
        invocations::Invocation {
            id: parlance_store::InvocationId::new(),
            call_id: parlance_store::CallId::new(),
            idempotency_key: key.to_owned(),
            tool: "book_appointment".to_owned(),
            arguments: serde_json::json!({}),
            state,
            result: None,
            create_time: jiff::Timestamp::UNIX_EPOCH,
            finish_time: None,
        }
    }

    fn web_call() -> calls::Call {
        calls::Call {
            id: parlance_store::CallId::new(),
            agent_id: parlance_store::AgentId::parse("bella").expect("it is an id"),
            agent_display_name: String::new(),
            call_type: calls::CallType::Web,
            direction: calls::Direction::Inbound,
            state: calls::CallState::Ongoing,
            create_time: jiff::Timestamp::UNIX_EPOCH,
            start_time: None,
            end_time: None,
            end_reason: None,
            end_message: None,
            dynamic_variables: serde_json::json!({}),
            recording_path: None,
            owner_node: None,
            owner_epoch: 0,
            metadata: serde_json::json!({}),
            labels: serde_json::json!({}),
            from_number: None,
            to_number: None,
            etag: String::new(),
            usage: None,
            cost: None,
            extracted_variables: serde_json::json!({}),
        }
    }

    #[test]
    fn a_run_keeps_the_number_it_had_in_the_call() {
        let key = run_key(parlance_store::CallId::new(), 7);
        let wire = invocation(&run(&key, invocations::InvocationState::Succeeded), &web_call());
        assert_eq!(wire.invocation_id, 7);
    }

    #[test]
    fn a_run_of_unknown_outcome_timed_out() {
        let wire = invocation(&run("c/1", invocations::InvocationState::Unknown), &web_call());
        assert_eq!(wire.state(), v1::ToolState::TimedOut);
    }

    #[test]
    fn no_nul_is_left_anywhere_in_what_is_stored() {
        let mut json = serde_json::json!({"a\0": ["b\0", {"c": "\0"}], "d": 1});
        make_storable(&mut json);
        let clean = serde_json::json!({"a\u{FFFD}": ["b\u{FFFD}", {"c": "\u{FFFD}"}], "d": 1});
        assert_eq!(json, clean);
    }
}
