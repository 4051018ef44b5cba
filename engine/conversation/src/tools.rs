//! Tools (A5): what runs, what waits, what is told of it.
//!
//! Runs up to four side by side, gives each its time-out, and goes on with the reply that asked when
//! all of its tools have ended. A tool that started has started: its result stays whatever was heard
//! (H5). Runs nothing itself. Enter at [`Conversation::reply_wants_tools`].

use serde_json::Value;

use crate::conversation::Call;
use crate::flow::segments::Segmenter;
use crate::flow::{Step, Then};
use crate::guide::Guide;
use crate::reply::{After, Reply, Source};
use crate::speculation::FlightEnd;
use crate::{
    Action, CallTime, Conversation, Deadline, DropReason, Effect, EndReason, Event, InvocationId, ReplyId,
    ReplyKind, ToolOutcome, ToolPolicy, ToolRequest,
};

/// A5: side by side.
const SIDE_BY_SIDE: usize = 4;
/// For a tool the agent does not describe.
const TIMEOUT: std::time::Duration = std::time::Duration::from_secs(10);
/// Told to a model that gave anything but an object; nothing was run.
const NOT_AN_OBJECT: &str = "not run: the arguments must be a JSON object";
/// Told to a model that asks for tools again and again.
const NO_MORE_TOOLS: &str =
    "You have called tools often enough. Answer the caller now with what you know, without calling a tool.";
/// Why its next call is not run.
const NOT_ANY_MORE: &str = "not run: tools were called too often for one answer";
/// The model's way to hang up (A6); not a tool that runs.
const END_CALL: &str = "end_call";

/// A tool that was asked for and has not ended.
#[derive(Debug, Clone)]
pub(crate) struct ToolRun {
    invocation: InvocationId,
    /// The reply that asked.
    reply: ReplyId,
    tool: String,
    arguments: Value,
    effect: Effect,
    stage: Stage,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Waiting,
    Running { due: CallTime },
}

impl ToolRun {
    fn due(&self) -> Option<CallTime> {
        match self.stage {
            Stage::Running { due } => Some(due),
            Stage::Waiting => None,
        }
    }
}

impl Conversation {
    pub(crate) fn reply_wants_tools(&mut self, id: ReplyId, calls: Vec<ToolRequest>) {
        if self.speculation.is_on(id) {
            return self.speculative_end(id, FlightEnd::Tools(calls));
        }
        let Some(reply) = self.agent.on(id).filter(|reply| reply.source == Source::Model) else {
            return self.dropped("tool request", DropReason::OldReply);
        };
        let rest = reply.segmenter.finish();
        reply.source = Source::Complete;
        self.deadlines.clear(Deadline::FirstToken);
        rest.into_iter().for_each(|text| self.speak(&text));
        let (endings, calls): (Vec<_>, Vec<_>) = calls.into_iter().partition(|call| call.tool == END_CALL);
        let asked = !calls.is_empty();
        if asked && self.tools_are_spent() {
            self.refuse_tools(calls, endings.is_empty());
        } else {
            self.record_so_far();
            self.say_while_running(&calls);
            if asked {
                self.await_tools();
            }
            self.history.begin_batch();
            for call in calls {
                self.ask_for_tool(id, call);
            }
            self.launch_tools();
        }
        if !endings.is_empty() {
            self.begin_ending(EndReason::AgentEnded);
        }
        let waits = self.agent.on(id).is_some_and(|reply| reply.source == Source::Tools);
        if waits && !self.is_over() && !self.tools.iter().any(|run| run.reply == id) {
            self.model_goes_on(id); // all of them were mistakes
        }
    }

    /// Whether the model of this reply has asked for tools as often as it may. Counts this time.
    fn tools_are_spent(&mut self) -> bool {
        let most = self.policy.budgets.tool_rounds_max.max(1);
        let Some(reply) = self.agent.reply_mut() else { return false };
        reply.tool_rounds += 1;
        reply.tool_rounds > most
    }

    /// It was told to answer: nothing is run, and the caller hears something at least.
    fn refuse_tools(&mut self, calls: Vec<ToolRequest>, goes_on: bool) {
        for ToolRequest { tool, .. } in calls {
            let invocation = self.ids.invocation();
            let outcome = ToolOutcome::Failed { reason: NOT_ANY_MORE.into() };
            self.tell(Event::ToolEnded { invocation, tool, outcome });
        }
        if goes_on && self.agent.reply().is_some_and(|reply| reply.segments.len() == reply.recorded) {
            let sentence = self.policy.call_handling.apology_text.clone();
            self.speak(&sentence);
        }
    }

    fn await_tools(&mut self) {
        if let Some(reply) = self.agent.reply_mut() {
            reply.source = Source::Tools;
        }
    }

    /// What was said so far stands before the tool in the context.
    fn record_so_far(&mut self) {
        let Some(reply) = self.agent.reply_mut() else { return };
        let (id, begin) = (reply.id, reply.recorded);
        reply.recorded = reply.segments.len();
        let text: Vec<&str> = reply.segments[begin..].iter().map(|segment| segment.text.as_str()).collect();
        let text: Vec<&str> = text.into_iter().filter(|text| !text.is_empty()).collect();
        let text = text.join(" ");
        self.history.agent(id, begin, text);
    }

    fn say_while_running(&mut self, calls: &[ToolRequest]) {
        if self.agent.reply().is_none_or(|reply| !reply.segments.is_empty()) {
            return;
        }
        let says =
            |call: &ToolRequest| self.tool_policy(&call.tool).and_then(|tool| tool.say_while_running.clone());
        if let Some(text) = calls.iter().find_map(says) {
            self.speak(&text);
            self.record_so_far();
        }
    }

    /// A flow's tool: its words were spoken already.
    pub(crate) fn run_flow_tool(&mut self, tool: String, arguments: Value) {
        let Some(id) = self.agent.reply().map(|reply| reply.id) else { return };
        self.record_so_far();
        self.await_tools();
        let call = ToolRequest::of(&tool, &arguments);
        self.say_while_running(std::slice::from_ref(&call));
        self.history.begin_batch();
        let invocation = self.ask_for_tool(id, call);
        if let Some(guide) = &mut self.guide {
            guide.awaiting = Some(invocation);
        }
        self.launch_tools();
    }

    fn tool_policy(&self, name: &str) -> Option<&ToolPolicy> {
        self.policy.tools.iter().find(|tool| tool.name == name)
    }

    fn ask_for_tool(&mut self, reply: ReplyId, mut call: ToolRequest) -> InvocationId {
        let invocation = self.ids.invocation();
        if call.arguments.is_null() {
            call.arguments = Value::Object(serde_json::Map::new()); // some write "no arguments" so
        }
        self.history.tool_called(invocation, &call);
        let ToolRequest { tool, arguments, .. } = call;
        if !arguments.is_object() {
            let outcome = ToolOutcome::Failed { reason: NOT_AN_OBJECT.into() };
            self.history.tool_ended(invocation, &outcome);
            self.tell(Event::ToolEnded { invocation, tool, outcome });
            return invocation;
        }
        let effect = self.tool_policy(&tool).map_or(Effect::Effect, |tool| tool.effect);
        self.tools.push(ToolRun { invocation, reply, tool, arguments, effect, stage: Stage::Waiting });
        invocation
    }

    fn launch_tools(&mut self) {
        while self.tools.iter().filter(|run| run.due().is_some()).count() < SIDE_BY_SIDE {
            let now = self.now.clock;
            let Some(next) = self.tools.iter().position(|run| run.stage == Stage::Waiting) else { break };
            let timeout = self.tool_policy(&self.tools[next].tool).map_or(TIMEOUT, |tool| tool.timeout);
            self.tools[next].stage = Stage::Running { due: now + timeout };
            let ToolRun { invocation, tool, arguments, effect, .. } = self.tools[next].clone();
            self.note_effect(effect);
            self.tell(Event::ToolStarted { invocation, tool: tool.clone(), arguments: arguments.clone() });
            self.act(Action::RunTool { invocation, tool, arguments, effect });
        }
        self.watch_tools();
    }

    fn watch_tools(&mut self) {
        match self.tools.iter().filter_map(ToolRun::due).min() {
            Some(due) => self.deadlines.set(Deadline::Tool, due),
            None => self.deadlines.clear(Deadline::Tool),
        }
    }

    /// The time-out of every tool that is due.
    pub(crate) fn tool_due(&mut self) {
        let now = self.now.clock;
        let late: Vec<InvocationId> = {
            let due = self.tools.iter().filter(|run| run.due().is_some_and(|due| due <= now));
            due.map(|run| run.invocation).collect()
        };
        for invocation in late {
            self.tell(Event::DeadlineMissed { deadline: Deadline::Tool, answer: "told as timed out".into() });
            self.tool_ended(invocation, ToolOutcome::TimedOut);
        }
    }

    pub(crate) fn tool_finished(&mut self, invocation: InvocationId, outcome: ToolOutcome) {
        let running = self.tools.iter().any(|run| run.invocation == invocation && run.due().is_some());
        match outcome {
            outcome if running => self.tool_ended(invocation, outcome),
            // That its time is up is no news.
            ToolOutcome::TimedOut => {}
            _ => self.dropped(format!("tool result {}", invocation.0), DropReason::Late),
        }
    }

    fn tool_ended(&mut self, invocation: InvocationId, outcome: ToolOutcome) {
        let Some(at) = self.tools.iter().position(|run| run.invocation == invocation) else { return };
        let run = self.tools.remove(at);
        self.history.tool_ended(invocation, &outcome);
        self.tell(Event::ToolEnded { invocation, tool: run.tool.clone(), outcome: outcome.clone() });
        self.say_after(&run, &outcome);
        self.launch_tools();
        if self.tools.iter().any(|other| other.reply == run.reply) || self.is_over() {
            return;
        }
        let Some(guide) = &mut self.guide else { return self.model_goes_on(run.reply) };
        if guide.awaiting == Some(invocation) {
            guide.awaiting = None;
            let step = guide.run.tool_finished(&outcome);
            self.flow_goes_on(run.reply, step);
        } else if let Some(reply) = self.agent.on(run.reply) {
            reply.source = Source::Complete; // the flow was taken back to before this tool, or is another
        }
    }

    /// Words for a tool that succeeded, at once and before its reply goes on; without that reply the result is told
    /// by whoever answers next.
    fn say_after(&mut self, run: &ToolRun, outcome: &ToolOutcome) {
        let text = self.tool_policy(&run.tool).and_then(|tool| tool.say_after.clone());
        let (Some(text), ToolOutcome::Succeeded { .. }) = (text, outcome) else { return };
        let waits = |reply: &mut Reply| reply.source == Source::Tools && reply.after == After::Listen;
        if !self.caller_has_turn() && self.agent.on(run.reply).is_some_and(waits) {
            self.speak(&text);
        }
    }

    /// B10: tools of a cut reply that have not started never will.
    pub(crate) fn drop_waiting_tools(&mut self, reply: ReplyId) {
        let waits = |run: &ToolRun| run.reply == reply && run.stage == Stage::Waiting;
        let waiting: Vec<InvocationId> =
            self.tools.iter().filter(|run| waits(run)).map(|run| run.invocation).collect();
        for invocation in waiting {
            self.tools.retain(|run| run.invocation != invocation);
            let outcome = ToolOutcome::Failed { reason: "not started: the caller interrupted".into() };
            self.history.tool_ended(invocation, &outcome);
        }
    }

    /// What is done can't be taken back, so its result is waited for before a turn is answered (E6).
    pub(crate) fn tools_block(&self) -> bool {
        let flow_waits = self.guide.as_ref().is_some_and(|guide| guide.awaiting.is_some());
        flow_waits || self.tools.iter().any(|run| run.effect == Effect::Effect && run.due().is_some())
    }

    pub(crate) fn tool_runs(&self) -> bool {
        !self.tools.is_empty()
    }

    /// The caller has more to say than the tool's result: one reply answers both.
    fn caller_has_turn(&self) -> bool {
        self.queued.is_some() || self.speech.as_ref().is_some_and(|speech| speech.is_turn())
    }

    fn flow_goes_on(&mut self, asked: ReplyId, step: Step) {
        let alive = self.agent.on(asked).is_some();
        let ends = matches!(step.then, Then::End(_));
        if self.caller_has_turn() && !(ends && self.take_queued_closing()) {
            self.give_up_waiting_reply(asked);
            let say = if ends { self.without_closings(&step.say) } else { step.say.clone() };
            self.owe(&say);
            self.tell_flow();
            match step.then {
                Then::RunTool { .. } => {
                    self.take_step(Step { say: String::new(), ..step }, ReplyKind::AfterTool, None)
                }
                Then::Listen(expectation) => self.expect(expectation),
                Then::End(_) => self.guide.iter_mut().for_each(Guide::is_overtaken), // as words cancel it (A6)
            }
        } else if alive {
            self.continue_step(step);
        } else if self.agent.is_listening() {
            self.take_step(step, ReplyKind::AfterTool, None);
        } else {
            self.owe(&step.say);
            self.go_on_unsaid(step.then);
        }
    }

    /// The words without the sentences that only say goodbye: the call goes on.
    fn without_closings(&self, text: &str) -> String {
        let mut segmenter = Segmenter::new();
        let mut sentences = segmenter.push(text);
        sentences.extend(segmenter.finish());
        sentences.retain(|sentence| !self.is_closing_word(sentence));
        sentences.join(" ")
    }

    /// Another reply has the floor: only what comes after the words is done.
    fn go_on_unsaid(&mut self, then: Then) {
        match then {
            Then::Listen(expectation) => self.expect(expectation),
            Then::RunTool { .. } | Then::End(_) => self.go_on(then),
        }
    }

    fn model_goes_on(&mut self, asked: ReplyId) {
        if self.caller_has_turn() {
            return self.give_up_waiting_reply(asked);
        }
        if let Some(reply) = self.agent.on(asked) {
            if reply.after != After::Listen || reply.source != Source::Tools {
                reply.source = Source::Complete;
                return;
            }
            reply.source = Source::Model;
            let spent = reply.tool_rounds >= self.policy.budgets.tool_rounds_max.max(1);
            self.record_so_far();
            return self.start_model(asked, spent.then_some(NO_MORE_TOOLS));
        }
        let free = self.agent.is_listening() && self.call == Call::Live && self.speech.is_none();
        if free {
            let reply = self.begin_reply(ReplyKind::AfterTool, Source::Model, None);
            self.start_model(reply, None);
        }
    }

    /// The reply that waited for its tools has nothing more to say of its own.
    fn give_up_waiting_reply(&mut self, asked: ReplyId) {
        let thinking = self.agent.state() == crate::AgentState::Thinking;
        let Some(reply) = self.agent.on(asked) else { return };
        reply.source = Source::Complete;
        if thinking {
            self.cut(crate::HoldReason::Words);
        }
    }
}
