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
        Event::ProviderSwitched { kind, from, to, reason } => {
            tracing::warn!(%call, kind = word(kind), from, to, reason, "another provider goes on");
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

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use parlance_conversation::{InvocationId, ReplyId, TurnId};

    use super::*;

    #[derive(Clone, Default)]
    struct Page(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Page {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("nobody panicked").extend(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// What is logged at `info`.
    fn logged(call: CallId, events: &[Event]) -> Vec<String> {
        let page = Page::default();
        let writer = page.clone();
        let subscriber =
            tracing_subscriber::fmt().with_writer(move || writer.clone()).with_ansi(false).finish();
        tracing::subscriber::with_default(subscriber, || events.iter().for_each(|event| told(call, event)));
        let bytes = page.0.lock().expect("nobody panicked").clone();
        String::from_utf8(bytes).expect("a log is text").lines().map(str::to_owned).collect()
    }

    #[test]
    fn a_turn_and_a_tool_are_a_line_each_with_the_calls_id_and_nobodys_words() {
        let at = |ms| Some(CallTime::from_millis(ms));
        let turn = Waterfall {
            turn: Some(TurnId(3)),
            reply: Some(ReplyId(4)),
            last_voice: at(1_000),
            decided: at(1_400),
            first_frame: at(1_950),
            ..Default::default()
        };
        let (invocation, tool) = (InvocationId(1), "book_appointment".to_owned());
        let words = || "Maria Garcia".to_owned();
        let call = CallId::new();
        let lines = logged(
            call,
            &[
                Event::CallerInterim { turn: TurnId(3), text: words(), words: Vec::new() },
                Event::ToolStarted { invocation, tool: tool.clone(), arguments: words().into() },
                Event::ToolEnded { invocation, tool, outcome: ToolOutcome::Failed { reason: words() } },
                Event::Waterfall(turn),
            ],
        );
        assert_eq!(lines.len(), 3, "{lines:?}");
        assert!(lines.iter().all(|line| line.contains(&format!("call={call}"))), "{lines:?}");
        assert!(lines.iter().all(|line| !line.contains("Maria")), "{lines:?}");
        assert!(lines[0].contains("tool started") && lines[1].contains("WARN"), "{lines:?}");
        assert!(
            lines[2].contains("turn answered") && lines[2].contains("total_ms=950 wait_ms=400"),
            "{lines:?}"
        );
    }
}
