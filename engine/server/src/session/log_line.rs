//! What a call says in the log: a line when it began and ended, one for each turn answered, each tool and each failure.
//!
//! Every line carries the call's id, and none the words of anybody. A turn's figures are those of its waterfall.
//! What else a conversation tells stands in the journal; at `debug` nothing more is here, for it would be all twice.

use parlance_conversation::{CallTime, Event, ToolOutcome, Waterfall};
use parlance_store::CallId;

use crate::convert::event::word;

/// Writes the event's line, if it has one.
pub fn told(call: CallId, event: &Event) {
    match event {
        Event::Waterfall(times) => answered(call, times),
        Event::ToolStarted { invocation, tool, .. } => {
            tracing::info!(%call, tool, invocation = invocation.0, "tool started");
        }
        Event::ToolEnded { invocation, tool, outcome } => {
            let invocation = invocation.0;
            match outcome {
                ToolOutcome::Succeeded { .. } => tracing::info!(%call, tool, invocation, "tool succeeded"),
                // Its reason can be said to the caller and may repeat the caller's words: the journal has it.
                ToolOutcome::Failed { .. } => tracing::warn!(%call, tool, invocation, "tool failed"),
                ToolOutcome::TimedOut => tracing::warn!(%call, tool, invocation, "tool took too long"),
            }
        }
        Event::ProviderFailed { kind, message } => {
            tracing::warn!(%call, provider = word(kind), message, "provider failed");
        }
        _ => {}
    }
}

fn answered(call: CallId, times: &Waterfall) {
    let turn = times.turn.map_or(0, |turn| turn.0);
    let reply = times.reply.map_or(0, |reply| reply.0);
    match (between(times.last_voice, times.first_frame), between(times.last_voice, times.decided)) {
        (Some(total_ms), Some(wait_ms)) => {
            tracing::info!(%call, turn, reply, total_ms, wait_ms, "turn answered");
        }
        (Some(total_ms), None) => tracing::info!(%call, turn, reply, total_ms, "turn answered"),
        (None, _) => tracing::info!(%call, turn, "turn ended without an answer"),
    }
}

fn between(from: Option<CallTime>, to: Option<CallTime>) -> Option<u64> {
    Some(to?.since(from?).as_millis() as u64)
}
