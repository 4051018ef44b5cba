//! A stored call as one timeline: what was said, and between it what was decided and why.
//!
//! Utterances stand where they began to be spoken or heard, decisions where they were made. Waits that only
//! repeat the one before are left out; nothing else is.

use parlance_proto::v1::call_event::Event;
use parlance_proto::v1::{
    Call, CallEvent, Speaker, TimedWord, ToolState, TranscriptEntry, TurnEvent, TurnEventType,
};
use prost_types::Timestamp;

use super::call::{INDENT, entry_lines};
use super::calls::standing;
use super::message_json::fields;
use super::terminal::{Paint, Tone, WIDTH, clock, millis, wrap};
use super::{describe, spending, waterfall};

/// One call in a list.
#[must_use]
pub fn call_line(call: &Call) -> String {
    let lasted = lasted_ms(call).map_or_else(String::new, clock);
    let began = call.start_time.as_ref().or(call.create_time.as_ref());
    format!("{}  {:<20} {:>7}  {:<24} {}", call.name, moment(began), lasted, call.agent, standing(call))
}

/// What stands above a call's timeline.
#[must_use]
pub fn header(call: &Call, paint: Paint) -> Vec<String> {
    let lasted = lasted_ms(call).map_or_else(String::new, |lasted| format!(", lasted {}", clock(lasted)));
    let mut lines = vec![
        format!("{} with {}", call.name, call.agent),
        format!("{}{lasted}: {}", moment(call.start_time.as_ref()), standing(call)),
    ];
    if !call.end_message.is_empty() {
        lines.push(call.end_message.clone());
    }
    lines.extend(spending::lines(call).iter().map(|line| paint.paint(Tone::Quiet, line)));
    if !call.recording_uri.is_empty() {
        lines.push(paint.paint(Tone::Quiet, &format!("recording: {}", call.recording_uri)));
    }
    lines.push(String::new());
    lines
}

/// The timeline.
#[must_use]
pub fn lines(entries: &[TranscriptEntry], events: &[CallEvent], paint: Paint) -> Vec<String> {
    let mut rows: Vec<(i64, Vec<String>)> =
        entries.iter().map(|entry| (millis(entry.start_offset.as_ref()), utterance(entry, paint))).collect();
    for (n, event) in events.iter().enumerate() {
        if !repeats(&events[n + 1..], event) {
            let at_ms = millis(event.at.as_ref());
            rows.push((at_ms, decision(event, at_ms, paint)));
        }
    }
    rows.sort_by_key(|(at_ms, _)| *at_ms);
    rows.into_iter().flat_map(|(_, lines)| lines).collect()
}

/// The tools a call ran, as they were stored.
#[must_use]
pub fn tool_lines(call: &Call) -> Vec<String> {
    let mut lines = Vec::new();
    for run in &call.tool_invocations {
        let outcome = match run.state() {
            ToolState::Unspecified | ToolState::Running => "no outcome is known".to_owned(),
            ToolState::Succeeded => format!("did it: {}", fields(run.result.as_ref())),
            ToolState::Failed => format!("could not: {}", run.reason),
            ToolState::TimedOut => "gave no answer in time".to_owned(),
        };
        lines.push(String::new());
        let mut head = format!("stored tool {}", run.invocation_id);
        for part in [format!("{}: {}", run.tool, fields(run.arguments.as_ref())), outcome] {
            for line in wrap(&part, WIDTH - INDENT) {
                lines.push(format!("{head:<INDENT$}{line}"));
                head.clear();
            }
        }
    }
    lines
}

/// An utterance with the times of its words.
fn utterance(entry: &TranscriptEntry, paint: Paint) -> Vec<String> {
    let mut lines = entry_lines(entry, paint);
    let words: Vec<_> = entry.words.iter().map(timed).collect();
    if !words.is_empty() {
        let note = if entry.estimated { "  (times are estimated)" } else { "" };
        for line in wrap(&format!("{}{note}", words.join(" ")), WIDTH - INDENT) {
            lines.push(format!("{:INDENT$}{}", "", paint.paint(Tone::Quiet, &line)));
        }
    }
    lines
}

fn timed(word: &TimedWord) -> String {
    let at_ms = millis(word.start_offset.as_ref());
    format!("{}@{}.{:02}", word.text.replace(' ', "_"), at_ms / 1_000, at_ms % 1_000 / 10)
}

/// A decision in words; nothing for an utterance, which stands elsewhere.
fn decision(event: &CallEvent, at_ms: i64, paint: Paint) -> Vec<String> {
    let (tone, text) = match &event.event {
        Some(Event::Turn(turn)) => (tone(turn), describe::turn(turn, at_ms)),
        Some(Event::Tool(tool)) => (Tone::Good, describe::tool(tool)),
        Some(Event::Error(error)) => (Tone::Bad, format!("{} ({})", error.message, error.reason)),
        Some(Event::Provider(switch)) => (Tone::Bad, describe::provider(switch)),
        Some(Event::Ended(ended)) => (Tone::Good, format!("the call is over: {}", describe::ended(ended))),
        Some(Event::Waterfall(times)) => {
            return waterfall::chart(times, paint)
                .iter()
                .map(|line| format!("{:INDENT$}{line}", ""))
                .collect();
        }
        Some(Event::Transcript(entry)) if entry.speaker() == Speaker::Unspecified => {
            (Tone::Quiet, entry.text.clone())
        }
        Some(Event::Transcript(_)) | None => return Vec::new(),
    };
    let mut head = format!("{:>7}", clock(at_ms));
    let mut lines = Vec::new();
    for line in wrap(&text, WIDTH - INDENT) {
        lines.push(format!("{head:<INDENT$}{}", paint.paint(tone, &line)));
        head.clear();
    }
    lines
}

fn tone(turn: &TurnEvent) -> Tone {
    match turn.r#type() {
        TurnEventType::Held
        | TurnEventType::Interrupted
        | TurnEventType::Reopened
        | TurnEventType::DeadlineMissed => Tone::Bad,
        _ => Tone::Quiet,
    }
}

/// Whether `event` is a wait that the next decision only prolongs for the same reason.
fn repeats(after: &[CallEvent], event: &CallEvent) -> bool {
    let Some(wait) = waiting(event) else { return false };
    let next = after.iter().find(|next| !matches!(next.event, Some(Event::Transcript(_))));
    next.and_then(waiting).is_some_and(|next| next.reason == wait.reason && next.turn_id == wait.turn_id)
}

fn waiting(event: &CallEvent) -> Option<&TurnEvent> {
    match &event.event {
        Some(Event::Turn(turn)) if turn.r#type() == TurnEventType::Waiting => Some(turn),
        _ => None,
    }
}

fn lasted_ms(call: &Call) -> Option<i64> {
    let (start, end) = (call.start_time.as_ref()?, call.end_time.as_ref()?);
    Some((end.seconds - start.seconds) * 1_000 + i64::from(end.nanos - start.nanos) / 1_000_000)
}

/// A moment in UTC to the second.
fn moment(at: Option<&Timestamp>) -> String {
    at.and_then(|at| jiff::Timestamp::new(at.seconds, 0).ok()).map_or_else(String::new, |at| at.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: i64) -> Option<prost_types::Duration> {
        Some(prost_types::Duration { seconds: millis / 1_000, nanos: (millis % 1_000) as i32 * 1_000_000 })
    }

    fn wait(at_ms: i64, until_ms: i64, reason: &str) -> CallEvent {
        let turn = TurnEvent {
            r#type: TurnEventType::Waiting.into(),
            reason: reason.into(),
            turn_id: 1,
            until: at(until_ms),
            ..Default::default()
        };
        CallEvent { at: at(at_ms), event: Some(Event::Turn(turn)), ..Default::default() }
    }

    fn said(at_ms: i64, text: &str) -> TranscriptEntry {
        let words =
            vec![TimedWord { text: text.into(), start_offset: at(at_ms), end_offset: at(at_ms + 300) }];
        TranscriptEntry {
            speaker: Speaker::Caller.into(),
            text: text.into(),
            start_offset: at(at_ms),
            words,
            ..Default::default()
        }
    }

    #[test]
    fn words_and_decisions_stand_in_the_order_of_their_times() {
        let events = [wait(3_400, 4_300, "value_incomplete"), wait(4_100, 4_500, "ordinary")];
        let lines = lines(&[said(4_050, "saturday"), said(1_000, "friday")], &events, Paint::plain());
        assert_eq!(
            lines,
            [
                " 0:01.0  caller friday",
                "                friday@1.00",
                " 0:03.4         waits 900 ms more: the answer is not complete (value_incomplete)",
                " 0:04.1  caller saturday",
                "                saturday@4.05",
                " 0:04.1         waits 400 ms more: the caller may go on (ordinary)",
            ]
        );
    }

    #[test]
    fn a_wait_prolonged_for_the_same_reason_is_shown_once() {
        let events = [
            wait(1_000, 1_900, "ordinary"),
            wait(1_200, 2_100, "ordinary"),
            wait(1_300, 3_000, "open_ended"),
        ];
        let lines = lines(&[], &events, Paint::plain());
        assert_eq!(lines.len(), 2, "{lines:?}");
        assert!(lines[0].contains("0:01.2") && lines[1].contains("open_ended"), "{lines:?}");
    }

    #[test]
    fn no_line_is_wider_than_a_hundred_columns() {
        let long = "word ".repeat(200);
        let lines = lines(&[said(0, long.trim())], &[], Paint::plain());
        let first = lines.iter().take_while(|line| !line.contains('@'));
        assert!(first.into_iter().all(|line| line.chars().count() <= WIDTH));
    }
}
