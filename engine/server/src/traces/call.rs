//! From a call's events to its spans: call, turn, and in a turn where its time went.
//!
//! The times are those of the turn's [`Waterfall`], which the journal has too; nothing is measured here. The trace's
//! id is the call's own, so that who has the one finds the other, and a span's id follows from what it is: no state is
//! needed to name a parent. A step that was done before the decision (a speculative answer) shows with no width.

use std::collections::BTreeMap;

use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::trace::v1::span::{Event as Mark, SpanKind};
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{Span, Status};
use parlance_conversation::{CallTime, EndReason, Event, ToolOutcome, Waterfall};
use parlance_providers::notes::Note;
use parlance_store::CallId;

use super::export::Traces;
use crate::convert::event::word;

/// Turns that may wait for their answer; the oldest is told without one.
const OPEN_MAX: usize = 32;

/// What a span is of: with the number the whole of its id.
#[derive(Clone, Copy)]
enum Of {
    Call,
    Turn(u32),
    Step(u32, u8),
    Tool(u32),
    Provider(u32),
}

impl Of {
    /// Differs within a call.
    fn number(self) -> u64 {
        let (kind, number, step) = match self {
            Self::Call => (0, 0, 0),
            Self::Turn(turn) => (1, turn, 0),
            Self::Step(turn, step) => (2, turn, step),
            Self::Tool(invocation) => (3, invocation, 0),
            Self::Provider(note) => (4, note, 0),
        };
        (kind << 56) | (u64::from(number) << 8) | u64::from(step)
    }
}

/// A turn whose answer was not heard yet.
struct OpenTurn {
    from: CallTime,
    decided: Option<CallTime>,
    wait: Option<String>,
    reason: Option<String>,
    reopened: i64,
}

struct OpenTool {
    name: String,
    turn: u32,
    from: CallTime,
}

/// The trace of one live call.
pub struct CallTrace {
    traces: Traces,
    trace: [u8; 16],
    began_ns: u64,
    agent: String,
    turns: BTreeMap<u32, OpenTurn>,
    tools: BTreeMap<u32, OpenTool>,
    turn: u32,
    answered: i64,
    noted: u32,
}

impl CallTrace {
    /// Of a call whose clock shows zero now.
    pub fn begin(traces: Traces, call: CallId, agent: &str) -> Self {
        let began_ns = u64::try_from(jiff::Timestamp::now().as_nanosecond()).unwrap_or_default();
        Self {
            traces,
            trace: *call.0.as_bytes(),
            began_ns,
            agent: agent.to_owned(),
            turns: BTreeMap::new(),
            tools: BTreeMap::new(),
            turn: 0,
            answered: 0,
            noted: 0,
        }
    }

    /// Takes an event, and gives to the exporter what it completes.
    pub fn told(&mut self, now: CallTime, event: &Event) {
        let mut done = Vec::new();
        match event {
            Event::TurnStarted { turn, at } => self.turn_started(turn.0, *at, &mut done),
            Event::Waiting { turn, why, .. } => self.open(turn.0, now).wait = Some(word(why)),
            Event::TurnEnded { turn, reason, .. } => {
                let open = self.open(turn.0, now);
                (open.decided, open.reason) = (Some(now), Some(word(reason)));
            }
            Event::TurnReopened { turn, .. } => self.open(turn.0, now).reopened += 1,
            Event::ToolStarted { invocation, tool, .. } => {
                let open = OpenTool { name: tool.clone(), turn: self.turn, from: now };
                self.tools.insert(invocation.0, open);
            }
            Event::ToolEnded { invocation, outcome, .. } => {
                if let Some(open) = self.tools.remove(&invocation.0) {
                    done.push(self.tool(invocation.0, &open, now, &outcome_word(outcome)));
                }
            }
            Event::Waterfall(times) => self.answered(times, now, &mut done),
            _ => {}
        }
        self.traces.send(done);
    }

    /// Takes what a provider noted: a step's time is a span of the turn it was in, a switch a mark on the call's way.
    pub fn noted(&mut self, now: CallTime, note: &Note) {
        let (name, provider, from) = match note {
            Note::Took { kind, provider, stage, time, in_turn: true } => {
                let from = CallTime::from_micros(
                    now.as_micros().saturating_sub(u64::try_from(time.as_micros()).unwrap_or(u64::MAX)),
                );
                (format!("{} {}", word(kind), word(stage)), (*provider).to_owned(), from)
            }
            Note::Switched { kind, from, to, .. } | Note::WentBack { kind, from, to } => {
                (format!("{} switched", word(kind)), format!("{from} to {to}"), now)
            }
            _ => return,
        };
        self.noted += 1;
        let parent = if self.turn > 0 { Of::Turn(self.turn) } else { Of::Call };
        let mut span = self.span(Of::Provider(self.noted), Some(parent), &name, (from, now));
        span.attributes.push(text("parlance.provider", &provider));
        self.traces.send(vec![span]);
    }

    /// The call is over: what is still open is closed, and the root told.
    pub fn ended(mut self, now: CallTime, reason: EndReason) {
        let mut done = Vec::new();
        for (number, open) in std::mem::take(&mut self.turns) {
            done.push(self.turn_alone(number, &open));
        }
        for (number, open) in std::mem::take(&mut self.tools) {
            done.push(self.tool(number, &open, now, "unknown"));
        }
        let mut root = self.span(Of::Call, None, "call", (CallTime::ZERO, now));
        root.kind = SpanKind::Server.into();
        root.attributes.push(text("parlance.agent", &self.agent));
        root.attributes.push(text("parlance.end_reason", &word(&reason)));
        root.attributes.push(number("parlance.turns_answered", self.answered));
        root.status = failure(matches!(
            reason,
            EndReason::ProviderFailed | EndReason::Overloaded | EndReason::EngineLost
        ));
        done.push(root);
        self.traces.send(done);
    }

    fn turn_started(&mut self, turn: u32, at: CallTime, done: &mut Vec<Span>) {
        self.open(turn, at);
        if self.turns.len() > OPEN_MAX
            && let Some((oldest, open)) = self.turns.pop_first()
        {
            done.push(self.turn_alone(oldest, &open));
        }
    }

    fn open(&mut self, turn: u32, at: CallTime) -> &mut OpenTurn {
        self.turn = self.turn.max(turn);
        let new = || OpenTurn { from: at, decided: None, wait: None, reason: None, reopened: 0 };
        self.turns.entry(turn).or_insert_with(new)
    }

    /// The turn and its steps: each from where the one before ended.
    fn answered(&mut self, times: &Waterfall, now: CallTime, done: &mut Vec<Span>) {
        let Some(turn) = times.turn.map(|turn| turn.0) else { return };
        self.open(turn, times.last_voice.unwrap_or(now));
        let Some(open) = self.turns.remove(&turn) else { return };
        self.answered += 1;
        let from = times.last_voice.map_or(open.from, |last| last.min(open.from));
        let steps = [
            ("caller speaks", times.last_voice),
            ("endpointing wait", times.decided),
            ("first text", times.first_text),
            ("first clause", times.first_segment),
            ("first audio", times.first_audio),
            // Audio made ahead of the decision waits for it.
            ("", times.decided),
            ("first frame out", times.first_frame),
            ("heard", times.heard),
        ];
        let (mut reached, mut last) = (from, from);
        let mut spans = Vec::new();
        for (place, (name, until)) in (0_u8..).zip(steps) {
            let Some(until) = until else { continue };
            if !name.is_empty() {
                let id = Of::Step(turn, place);
                let mut span = self.span(id, Some(Of::Turn(turn)), name, (reached.min(until), until));
                if name == "endpointing wait" {
                    span.attributes.extend(open.wait.as_deref().map(|why| text("parlance.wait_reason", why)));
                    let marks = [("wait over", times.wait_until), ("words settled", times.settled)];
                    span.events =
                        marks.iter().filter_map(|(name, at)| Some(self.mark(name, (*at)?))).collect();
                }
                spans.push(span);
            }
            reached = if name.is_empty() { reached.max(until) } else { until };
            last = last.max(until);
        }
        let mut span = self.turn_span(turn, &open, (from, last));
        span.attributes.extend(times.reply.map(|reply| number("parlance.reply", i64::from(reply.0))));
        done.push(span);
        done.append(&mut spans);
    }

    /// A turn that was not answered.
    fn turn_alone(&self, turn: u32, open: &OpenTurn) -> Span {
        self.turn_span(turn, open, (open.from, open.decided.unwrap_or(open.from)))
    }

    fn turn_span(&self, turn: u32, open: &OpenTurn, times: (CallTime, CallTime)) -> Span {
        let mut span = self.span(Of::Turn(turn), Some(Of::Call), "turn", times);
        span.attributes.push(number("parlance.turn", i64::from(turn)));
        span.attributes.extend(open.reason.as_deref().map(|why| text("parlance.turn_end_reason", why)));
        if open.reopened > 0 {
            span.attributes.push(number("parlance.reopened", open.reopened));
        }
        span
    }

    fn tool(&self, invocation: u32, open: &OpenTool, until: CallTime, outcome: &str) -> Span {
        let parent = if open.turn == 0 { Of::Call } else { Of::Turn(open.turn) };
        let name = format!("tool {}", open.name);
        let mut span = self.span(Of::Tool(invocation), Some(parent), &name, (open.from, until));
        span.attributes.push(text("parlance.tool", &open.name));
        span.attributes.push(text("parlance.tool_outcome", outcome));
        span.status = failure(outcome != "succeeded");
        span
    }

    fn span(&self, of: Of, parent: Option<Of>, name: &str, (from, until): (CallTime, CallTime)) -> Span {
        Span {
            trace_id: self.trace.to_vec(),
            span_id: self.id(of),
            parent_span_id: parent.map(|parent| self.id(parent)).unwrap_or_default(),
            name: name.to_owned(),
            kind: SpanKind::Internal.into(),
            start_time_unix_nano: self.nanos(from),
            end_time_unix_nano: self.nanos(until.max(from)),
            attributes: vec![text("parlance.call", &uuid::Uuid::from_bytes(self.trace).to_string())],
            ..Default::default()
        }
    }

    /// The call's own random half, changed by what the span is: no two alike, in a call or between calls.
    fn id(&self, of: Of) -> Vec<u8> {
        let [_, _, _, _, _, _, _, _, random @ ..] = self.trace;
        // Zero alone is no id.
        (u64::from_be_bytes(random) ^ of.number()).max(1).to_be_bytes().to_vec()
    }

    fn mark(&self, name: &str, at: CallTime) -> Mark {
        Mark { time_unix_nano: self.nanos(at), name: name.to_owned(), ..Default::default() }
    }

    fn nanos(&self, at: CallTime) -> u64 {
        self.began_ns.saturating_add(at.as_micros().saturating_mul(1_000))
    }
}

fn outcome_word(outcome: &ToolOutcome) -> String {
    let word = match outcome {
        ToolOutcome::Succeeded { .. } => "succeeded",
        ToolOutcome::Failed { .. } => "failed",
        ToolOutcome::TimedOut => "timed_out",
    };
    word.to_owned()
}

/// An error without words: those of a tool may hold what a caller said.
fn failure(failed: bool) -> Option<Status> {
    failed.then(|| Status { code: StatusCode::Error.into(), message: String::new() })
}

/// An attribute.
pub(super) fn text(key: &str, value: &str) -> KeyValue {
    attribute(key, Value::StringValue(value.to_owned()))
}

fn number(key: &str, value: i64) -> KeyValue {
    attribute(key, Value::IntValue(value))
}

fn attribute(key: &str, value: Value) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }), ..Default::default() }
}

#[cfg(test)]
mod tests {
    use parlance_conversation::{InvocationId, ReplyId, TurnEndReason, TurnId};
    use tokio::sync::mpsc;

    use super::*;

    fn at(ms: u64) -> CallTime {
        CallTime::from_millis(ms)
    }

    struct Traced {
        trace: Option<CallTrace>,
        spans: mpsc::Receiver<Vec<Span>>,
        began: u64,
    }

    impl Traced {
        fn new() -> Self {
            let (traces, spans) = Traces::caught(64);
            let trace = CallTrace::begin(traces, CallId::new(), "bella");
            Self { began: trace.began_ns, trace: Some(trace), spans }
        }

        fn told(&mut self, ms: u64, event: Event) {
            self.trace.as_mut().expect("it goes on").told(at(ms), &event);
        }

        /// Name, its parent's name, from and until in milliseconds of the call.
        fn tree(&mut self, ms: u64) -> Vec<(String, String, u64, u64)> {
            self.trace.take().expect("it goes on").ended(at(ms), EndReason::AgentEnded);
            let mut spans = Vec::new();
            while let Ok(mut some) = self.spans.try_recv() {
                spans.append(&mut some);
            }
            let ids: std::collections::BTreeSet<_> = spans.iter().map(|span| span.span_id.clone()).collect();
            assert_eq!(ids.len(), spans.len(), "no two have one id");
            let name = |id: &[u8]| {
                let found = spans.iter().find(|span| span.span_id == id);
                found.map_or(String::new(), |span| span.name.clone())
            };
            let ms = |ns: u64| (ns - self.began) / 1_000_000;
            let line = |span: &Span| {
                let (from, until) = (ms(span.start_time_unix_nano), ms(span.end_time_unix_nano));
                (span.name.clone(), name(&span.parent_span_id), from, until)
            };
            spans.iter().map(line).collect()
        }
    }

    fn line(name: &str, parent: &str, from: u64, until: u64) -> (String, String, u64, u64) {
        (name.into(), parent.into(), from, until)
    }

    fn spoken() -> Waterfall {
        Waterfall {
            turn: Some(TurnId(1)),
            reply: Some(ReplyId(2)),
            last_voice: Some(at(1_000)),
            wait_until: Some(at(1_400)),
            settled: Some(at(1_380)),
            decided: Some(at(1_402)),
            first_text: Some(at(1_800)),
            first_segment: Some(at(1_900)),
            first_audio: Some(at(2_000)),
            first_frame: Some(at(2_012)),
            heard: Some(at(2_050)),
        }
    }

    #[test]
    fn a_turn_is_a_tree_of_steps_that_follow_one_another() {
        let mut call = Traced::new();
        call.told(200, Event::TurnStarted { turn: TurnId(1), at: at(150) });
        let reason = TurnEndReason::Silence;
        call.told(1_402, Event::TurnEnded { turn: TurnId(1), reason, last_voice: Some(at(1_000)) });
        let (invocation, tool) = (InvocationId(1), "book_appointment".to_owned());
        let arguments = serde_json::Value::Null;
        call.told(1_500, Event::ToolStarted { invocation, tool: tool.clone(), arguments });
        let outcome = ToolOutcome::TimedOut;
        call.told(1_600, Event::ToolEnded { invocation, tool, outcome });
        call.told(2_050, Event::Waterfall(spoken()));
        assert_eq!(
            call.tree(9_000),
            [
                line("tool book_appointment", "turn", 1_500, 1_600),
                line("turn", "call", 150, 2_050),
                line("caller speaks", "turn", 150, 1_000),
                line("endpointing wait", "turn", 1_000, 1_402),
                line("first text", "turn", 1_402, 1_800),
                line("first clause", "turn", 1_800, 1_900),
                line("first audio", "turn", 1_900, 2_000),
                line("first frame out", "turn", 2_000, 2_012),
                line("heard", "turn", 2_012, 2_050),
                line("call", "", 0, 9_000),
            ]
        );
    }

    #[test]
    fn work_done_before_the_decision_has_no_width_and_the_frame_counts_from_the_decision() {
        let mut call = Traced::new();
        let early = Waterfall {
            first_text: Some(at(1_100)),
            first_segment: Some(at(1_150)),
            first_audio: Some(at(1_300)),
            first_frame: Some(at(1_410)),
            heard: None,
            ..spoken()
        };
        call.told(1_500, Event::Waterfall(early));
        let tree = call.tree(2_000);
        assert!(tree.contains(&line("first text", "turn", 1_100, 1_100)), "{tree:?}");
        assert!(tree.contains(&line("first frame out", "turn", 1_402, 1_410)), "{tree:?}");
        assert!(tree.iter().all(|(name, ..)| name != "heard"), "{tree:?}");
    }

    #[test]
    fn a_turn_that_got_no_answer_is_told_with_the_call() {
        let mut call = Traced::new();
        call.told(200, Event::TurnStarted { turn: TurnId(1), at: at(150) });
        assert_eq!(call.tree(900), [line("turn", "call", 150, 150), line("call", "", 0, 900)]);
    }
}
