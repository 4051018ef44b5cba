//! Events of a conversation in the contract's words: the same for the live stream and the journal.

use parlance_conversation::{CallTime, EndReason, Entry, Event, Speaker, ToolOutcome, Waterfall, WordTime};
use parlance_proto::v1;
use parlance_proto::v1::call_event::Event as Wire;
use serde::Serialize;

use super::{duration, json, offset};

/// The event as clients see it; `None` for what is for the journal alone.
pub fn wire(event: &Event) -> Option<Wire> {
    use v1::TurnEventType as Type;
    Some(match event {
        Event::TurnStarted { turn, .. } => turn_event(Type::CallerStarted, "", turn.0, 0, None),
        Event::Waiting { turn, until, why } => {
            turn_event(Type::Waiting, &word(why), turn.0, 0, Some(offset(*until)))
        }
        Event::TurnEnded { turn, reason, .. } => {
            turn_event(Type::CallerEnded, &word(reason), turn.0, 0, None)
        }
        Event::TurnReopened { turn, reply } => turn_event(Type::Reopened, "", turn.0, reply.0, None),
        Event::ReplyStarted { reply, kind, turn } => {
            turn_event(Type::ReplyStarted, &word(kind), turn.map_or(0, |turn| turn.0), reply.0, None)
        }
        Event::ReplyEnded { reply, outcome } => {
            turn_event(Type::ReplyEnded, &word(outcome), 0, reply.0, None)
        }
        Event::Held { reply, position, .. } => {
            turn_event(Type::Held, "voice", 0, reply.0, Some(duration(*position)))
        }
        Event::HoldEnded { reply, outcome, reason } => {
            let kind = match outcome {
                parlance_conversation::HoldOutcome::Interrupted => Type::Interrupted,
                parlance_conversation::HoldOutcome::Resumed => Type::Resumed,
            };
            turn_event(kind, &word(reason), 0, reply.0, None)
        }
        Event::Dropped { what, why } => {
            turn_event(Type::Dropped, &format!("{}: {what}", word(why)), 0, 0, None)
        }
        Event::DeadlineMissed { deadline, answer } => {
            turn_event(Type::DeadlineMissed, &format!("{}: {answer}", word(deadline)), 0, 0, None)
        }
        Event::Said(entry) => Wire::Transcript(transcript_entry(entry)),
        Event::ToolStarted { invocation, tool, arguments } => Wire::Tool(v1::ToolEvent {
            invocation_id: invocation.0,
            tool: tool.clone(),
            state: v1::ToolState::Running.into(),
            arguments: Some(json::to_struct(arguments)),
            result: None,
            reason: String::new(),
        }),
        Event::ToolEnded { invocation, tool, outcome } => Wire::Tool(tool_ended(invocation.0, tool, outcome)),
        Event::Waterfall(times) => Wire::Waterfall(waterfall(times)),
        Event::ProviderFailed { kind, message } => Wire::Error(v1::SessionError {
            reason: format!("{}_failed", word(kind)),
            message: message.clone(),
        }),
        Event::ProviderSwitched { kind, from, to, reason } => Wire::Provider(v1::ProviderSwitch {
            kind: word(kind),
            from: from.clone(),
            to: to.clone(),
            reason: reason.clone(),
        }),
        Event::Ended { reason } => {
            Wire::Ended(v1::CallEnded { reason: end_reason(*reason).into(), message: String::new() })
        }
        Event::CallerInterim { .. }
        | Event::ProviderTurn { .. }
        | Event::SpeculationStarted { .. }
        | Event::SpeculationKept { .. }
        | Event::SpeculationDropped { .. }
        | Event::FlowMoved { .. } => {
            return None;
        }
    })
}

/// Whether clients see the event at all.
pub fn is_public(event: &Event) -> bool {
    !matches!(
        event,
        Event::CallerInterim { .. }
            | Event::ProviderTurn { .. }
            | Event::SpeculationStarted { .. }
            | Event::SpeculationKept { .. }
            | Event::SpeculationDropped { .. }
            | Event::FlowMoved { .. }
    )
}

/// An entry of the journal as clients see it; `None` for what is for the journal alone.
pub fn call_event(place: u64, at: CallTime, told: &Event) -> Option<v1::CallEvent> {
    Some(v1::CallEvent { offset: place, at: Some(offset(at)), event: Some(wire(told)?) })
}

/// An utterance of the transcript.
pub fn transcript_entry(entry: &Entry) -> v1::TranscriptEntry {
    let speaker = match entry.speaker {
        Speaker::Caller => v1::Speaker::Caller,
        Speaker::Agent => v1::Speaker::Agent,
    };
    v1::TranscriptEntry {
        sequence: entry.sequence,
        speaker: speaker.into(),
        text: entry.text.clone(),
        unheard_text: entry.unheard.clone(),
        start_offset: Some(offset(entry.start)),
        end_offset: Some(offset(entry.end)),
        words: timed_words(&entry.words),
        estimated: entry.estimated,
        interrupted_offset: entry.interrupted_at.map(offset),
        typed: entry.typed,
        turn_id: entry.turn.map_or(0, |turn| turn.0),
        reply_id: entry.reply.map_or(0, |reply| reply.0),
    }
}

/// Words with their call times.
pub fn timed_words(words: &[WordTime]) -> Vec<v1::TimedWord> {
    words
        .iter()
        .map(|word| v1::TimedWord {
            text: word.text.clone(),
            start_offset: Some(offset(word.start)),
            end_offset: Some(offset(word.end)),
        })
        .collect()
}

/// Why a call ended.
pub fn end_reason(reason: EndReason) -> v1::EndReason {
    match reason {
        EndReason::AgentEnded => v1::EndReason::AgentEnded,
        EndReason::CallerHungUp => v1::EndReason::CallerHungUp,
        EndReason::ClientEnded => v1::EndReason::ClientEnded,
        EndReason::ApiEnded => v1::EndReason::ApiEnded,
        EndReason::FarEndLost => v1::EndReason::FarEndLost,
        EndReason::Silence => v1::EndReason::Silence,
        EndReason::MaxDuration => v1::EndReason::MaxDuration,
        EndReason::ProviderFailed => v1::EndReason::ProviderFailed,
        EndReason::BadInput => v1::EndReason::BadInput,
        EndReason::Overloaded => v1::EndReason::Overloaded,
        EndReason::Drained => v1::EndReason::Drained,
        EndReason::EngineLost => v1::EndReason::EngineLost,
        EndReason::SpeechToTextFailed => v1::EndReason::SpeechToTextFailed,
        EndReason::LanguageModelFailed => v1::EndReason::LanguageModelFailed,
        EndReason::TextToSpeechFailed => v1::EndReason::TextToSpeechFailed,
        EndReason::NoAudio => v1::EndReason::NoAudio,
        EndReason::CallerNeverJoined => v1::EndReason::CallerNeverJoined,
    }
}

/// Why a call ended, from the wire; none if it is not set.
pub fn end_reason_of(wire: v1::EndReason) -> Option<EndReason> {
    EndReason::ALL.into_iter().find(|reason| end_reason(*reason) == wire)
}

/// The stable lower-snake-case word of an enum value, as its serde form has it.
pub fn word(value: &impl Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => word,
        _ => String::new(),
    }
}

fn turn_event(
    kind: v1::TurnEventType,
    reason: &str,
    turn_id: u32,
    reply_id: u32,
    until: Option<prost_types::Duration>,
) -> Wire {
    Wire::Turn(v1::TurnEvent { r#type: kind.into(), reason: reason.to_owned(), turn_id, reply_id, until })
}

/// The end of a tool run.
pub fn tool_ended(invocation_id: u32, tool: &str, outcome: &ToolOutcome) -> v1::ToolEvent {
    let (state, result, reason) = match outcome {
        ToolOutcome::Succeeded { result } => {
            (v1::ToolState::Succeeded, Some(json::to_struct(result)), String::new())
        }
        ToolOutcome::Failed { reason } => (v1::ToolState::Failed, None, reason.clone()),
        ToolOutcome::TimedOut => (v1::ToolState::TimedOut, None, "no answer in time".to_owned()),
    };
    v1::ToolEvent {
        invocation_id,
        tool: tool.to_owned(),
        state: state.into(),
        arguments: None,
        result,
        reason,
    }
}

fn waterfall(times: &Waterfall) -> v1::Waterfall {
    let at = |time: Option<CallTime>| time.map(offset);
    v1::Waterfall {
        turn_id: times.turn.map_or(0, |turn| turn.0),
        reply_id: times.reply.map_or(0, |reply| reply.0),
        last_voice: at(times.last_voice),
        wait_until: at(times.wait_until),
        settled: at(times.settled),
        decided: at(times.decided),
        first_text: at(times.first_text),
        first_segment: at(times.first_segment),
        first_audio: at(times.first_audio),
        first_frame: at(times.first_frame),
        heard: at(times.heard),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every value the contract has, by its number.
    fn of_the_contract() -> Vec<v1::EndReason> {
        (1..100).map_while(|number| v1::EndReason::try_from(number).ok()).collect()
    }

    #[test]
    fn every_end_reason_is_the_same_word_in_the_contract_the_journal_and_the_rows() {
        let all = EndReason::ALL;
        assert_eq!(all.map(end_reason).to_vec(), of_the_contract(), "in step, and in this order");
        for reason in all {
            let wire = end_reason(reason);
            assert_eq!(end_reason_of(wire), Some(reason));
            assert_eq!(wire.as_str_name(), format!("END_REASON_{}", word(&reason).to_uppercase()));
            let row: EndReason = serde_json::from_value(word(&reason).into()).expect("rows hold its word");
            assert_eq!(row, reason);
        }
        assert_eq!(end_reason_of(v1::EndReason::Unspecified), None);
    }
}
