//! A typed conversation without a call: the same decisions, no audio, no rows, and a clock that skips every wait.
//!
//! What a session would wait for in real time is answered at once: words to be spoken count as spoken, what is
//! spoken as heard. Only the language model and tools that are run take their real time. The caller's next
//! message is given when the agent listens. Enter at [`Rehearsal::run`].

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use parlance_conversation::{
    Action, AgentState, CallState, CallTime, CallerState, Control, Conversation, EndReason, Entry, Event,
    Input, InvocationId, Message, Now, Policy, ProviderKind, ReplyId, Speaker, ToolOutcome,
};
use parlance_proto::v1;
use parlance_proto::v1::call_event::Event as Wire;
use parlance_proto::v1::test_agent_response::Event as Told;
use parlance_providers::llm;
use serde_json::Value;
use tokio::sync::mpsc;
use tonic::Status;

use super::carry_out::model_messages;
use super::clock::Clock;
use super::facts;
use super::inbox::{Inbox, Posted};
use super::requests::Requests;
use crate::convert::{event, json};
use crate::tools::TestRuns;

/// How long the voice is taken to speak a letter.
const PER_LETTER: Duration = Duration::from_millis(65);
/// The longest wait for the model or a tool without a look round.
const WAIT_MAX: Duration = Duration::from_secs(10);
/// A conversation takes some tens of steps a message: one that takes more goes in a circle.
const STEPS_MAX: usize = 50_000;
/// Steps after which others have their turn: where nothing is waited for, nothing else could end it in time.
const STEPS_AT_ONCE: usize = 64;

/// What the client of a test is given.
pub type Outgoing = Result<v1::TestAgentResponse, Status>;

/// How a rehearsal ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The conversation came to its end.
    Ended(EndReason),
    /// The messages are used up and the agent waits for more.
    Listening,
    /// Nobody takes what is told any more.
    Gone,
}

/// One typed conversation.
pub struct Rehearsal {
    conversation: Conversation,
    clock: Clock,
    skipped: Duration,
    facts: VecDeque<Input>,
    messages: VecDeque<String>,
    inbox: Inbox,
    model: Option<Arc<dyn llm::LanguageModel>>,
    asking: llm::Request,
    requests: Requests,
    runs: Option<TestRuns>,
    tools: HashMap<InvocationId, (String, Value)>,
    audio: HashMap<ReplyId, Audio>,
    /// What the agent is saying: told once it is complete.
    saying: Option<Entry>,
    outgoing: mpsc::Sender<Outgoing>,
    waiting: Vec<Told>,
    ended: Option<EndReason>,
}

/// How much of a reply there is to hear, and was heard.
#[derive(Default)]
struct Audio {
    length: Duration,
    played: Duration,
    released: bool,
}

impl Rehearsal {
    /// A conversation by `policy` with a caller who types `messages`; a model is `asking` for all its answers. Tools are run by `runs`, or not at all.
    pub fn new(
        policy: Policy,
        messages: Vec<String>,
        model: Option<Arc<dyn llm::LanguageModel>>,
        asking: llm::Request,
        runs: Option<TestRuns>,
        outgoing: mpsc::Sender<Outgoing>,
    ) -> Self {
        Self {
            conversation: Conversation::new(policy),
            clock: Clock::start(),
            skipped: Duration::ZERO,
            facts: VecDeque::from([Input::CallStarted, Input::FarEndReady]),
            messages: messages.into(),
            inbox: Inbox::default(),
            model,
            asking,
            requests: Requests::default(),
            runs,
            tools: HashMap::new(),
            audio: HashMap::new(),
            saying: None,
            outgoing,
            waiting: Vec::new(),
            ended: None,
        }
    }

    /// The messages that were not given.
    pub fn messages_left(&self) -> usize {
        self.messages.len()
    }

    /// Holds the conversation to its end. May be dropped at any moment: then it is over.
    pub async fn run(&mut self) -> Outcome {
        for step in 1..=STEPS_MAX {
            if step % STEPS_AT_ONCE == 0 {
                tokio::task::yield_now().await;
            }
            self.hand_over();
            for told in std::mem::take(&mut self.waiting) {
                let response = v1::TestAgentResponse { event: Some(told) };
                if self.outgoing.send(Ok(response)).await.is_err() {
                    return Outcome::Gone;
                }
            }
            if let Some(reason) = self.ended {
                return Outcome::Ended(reason);
            }
            if self.outgoing.is_closed() {
                return Outcome::Gone;
            }
            // As a call would: what was lost may be what it waits for.
            if self.inbox.overflowed() {
                return Outcome::Ended(EndReason::Overloaded);
            }
            if !self.step().await {
                return Outcome::Listening;
            }
        }
        Outcome::Ended(EndReason::Overloaded)
    }

    /// Finds the next fact. False: there is nothing left to wait for but the caller, who has no more to say.
    async fn step(&mut self) -> bool {
        if let Some(fact) = self.heard() {
            self.facts.push_back(fact);
            return true;
        }
        if !self.requests.is_empty() || !self.tools.is_empty() {
            self.wait().await;
            return true;
        }
        let view = self.conversation.state();
        let listens = view.agent == AgentState::Listening && view.caller == CallerState::Silent;
        if listens && view.call == CallState::Live {
            let Some(text) = self.messages.pop_front() else { return false };
            self.facts.push_back(Input::TypedText { text });
            return true;
        }
        match self.conversation.next_deadline() {
            Some(due) => {
                self.skip_to(due);
                self.facts.push_back(Input::DeadlineReached);
            }
            // Nobody will ever come back to it.
            None => self.facts.push_back(Input::Control(Control::End { reason: EndReason::Overloaded })),
        }
        true
    }

    /// Waits for the model or a tool, as long as the conversation does.
    async fn wait(&mut self) {
        let left = self.conversation.next_deadline().map_or(WAIT_MAX, |due| due.since(self.now()));
        match tokio::time::timeout(left.min(WAIT_MAX), self.inbox.next()).await {
            Ok(posted) => self.posted(posted),
            Err(_) => self.facts.push_back(Input::DeadlineReached),
        }
    }

    fn posted(&mut self, posted: Posted) {
        match posted {
            Posted::Model { reply, request, event } => {
                if self.requests.told(reply, request, &event) {
                    self.facts.push_back(facts::modelled(reply, event));
                }
            }
            Posted::Tool { invocation, outcome } => self.tool_ended(invocation, outcome, true),
            Posted::Provider(_)
            | Posted::Heard(_)
            | Posted::Voice { .. }
            | Posted::ToolCall(_)
            | Posted::End(_)
            | Posted::Control(_) => {}
        }
    }

    /// What is released and not yet heard is heard now.
    fn heard(&mut self) -> Option<Input> {
        let (reply, audio) =
            self.audio.iter_mut().find(|(_, audio)| audio.released && audio.played < audio.length)?;
        let (reply, rest) = (*reply, audio.length - audio.played);
        audio.played = audio.length;
        self.skipped += rest;
        Some(Input::PlayoutDrained { reply, at: self.now() })
    }

    fn now(&self) -> CallTime {
        self.clock.now() + self.skipped
    }

    fn skip_to(&mut self, due: CallTime) {
        self.skipped += due.since(self.now());
    }

    fn hand_over(&mut self) {
        while let Some(fact) = self.facts.pop_front() {
            let clock = self.now();
            let mut actions = Vec::new();
            self.conversation.handle(Now { clock, audio: clock }, fact, &mut actions);
            for action in actions {
                self.carry_out(action);
            }
        }
    }

    fn carry_out(&mut self, action: Action) {
        match action {
            Action::StartReply { reply, context, .. } => self.start_reply(reply, context),
            Action::CancelReply { reply } | Action::FlushPlayout { reply } => {
                self.requests.cancel(reply);
                self.audio.remove(&reply);
            }
            Action::ReleaseReply { reply } => {
                self.audio.entry(reply).or_default().released = true;
                self.facts.push_back(Input::PlayoutStarted { reply, at: self.now() });
            }
            Action::Synthesize { reply, segment, text } => {
                let length = PER_LETTER * (text.chars().count() as u32 + 1);
                self.audio.entry(reply).or_default().length += length;
                let words = Vec::new();
                self.facts.push_back(Input::AudioReady { reply, segment, length, words, finished: true });
            }
            Action::RunTool { invocation, tool, arguments, .. } => self.run_tool(invocation, tool, arguments),
            Action::EndCall { reason } => {
                self.flush_said();
                self.ended = Some(reason);
            }
            Action::Tell(event) => self.tell(event),
            Action::HoldPlayout { .. }
            | Action::ResumePlayout { .. }
            | Action::FinalizeTranscript
            | Action::Expect(_) => {}
        }
    }

    fn start_reply(&mut self, reply: ReplyId, context: Vec<Message>) {
        let post = self.inbox.post();
        let id = self.requests.make_id();
        let sink: llm::Sink = Arc::new(move |event| post.post(Posted::Model { reply, request: id, event }));
        let request = llm::Request { messages: model_messages(context), ..self.asking.clone() };
        let started = match &self.model {
            Some(model) => model.respond(request, sink).map_err(|error| error.to_string()),
            None => Err("the engine has no language model".to_owned()),
        };
        match started {
            Ok(response) => self.requests.begun(reply, id, response),
            Err(message) => self.facts.push_back(Input::ProviderFailed {
                kind: ProviderKind::LanguageModel,
                reply: Some(reply),
                message,
                fallback_left: false,
            }),
        }
    }

    fn run_tool(&mut self, invocation: InvocationId, tool: String, arguments: Value) {
        self.tools.insert(invocation, (tool.clone(), arguments.clone()));
        match self.runs.as_ref().filter(|runs| runs.runs(&tool)) {
            Some(runs) => runs.run(invocation, tool, arguments, self.inbox.post()),
            None => self.tool_ended(invocation, ToolOutcome::Succeeded { result: arguments }, false),
        }
    }

    fn tool_ended(&mut self, invocation: InvocationId, outcome: ToolOutcome, ran: bool) {
        self.tool_over(invocation, &outcome, ran);
        self.facts.push_back(Input::ToolFinished { invocation, outcome });
    }

    /// Tells a run that is over, once.
    fn tool_over(&mut self, invocation: InvocationId, outcome: &ToolOutcome, ran: bool) {
        let Some((tool, arguments)) = self.tools.remove(&invocation) else { return };
        self.flush_said();
        let ended = event::tool_ended(invocation.0, &tool, outcome);
        self.waiting.push(Told::Tool(v1::TestToolRun {
            tool,
            arguments: Some(json::to_struct(&arguments)),
            ran,
            state: ended.state,
            result: ended.result,
            reason: ended.reason,
        }));
    }

    fn tell(&mut self, event: Event) {
        match event {
            // It was given up: what it gives later nobody waits for.
            Event::ToolEnded { invocation, outcome, .. } => self.tool_over(invocation, &outcome, true),
            Event::Said(entry) if entry.speaker == Speaker::Agent => {
                // Told again with more of it; the last one stands.
                if self.saying.as_ref().is_some_and(|before| before.sequence != entry.sequence) {
                    self.flush_said();
                }
                self.saying = Some(entry);
            }
            Event::Said(entry) => {
                self.flush_said();
                self.waiting.push(Told::Transcript(event::transcript_entry(&entry)));
            }
            Event::ReplyEnded { reply, .. } => {
                self.audio.remove(&reply);
                self.flush_said();
            }
            other @ Event::ProviderFailed { .. } => {
                if let Some(Wire::Error(error)) = event::wire(&other) {
                    self.waiting.push(Told::Error(error));
                }
            }
            _ => {}
        }
    }

    fn flush_said(&mut self) {
        let said = self.saying.take();
        self.waiting.extend(said.map(|entry| Told::Transcript(event::transcript_entry(&entry))));
    }
}
