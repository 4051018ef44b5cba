//! Answers: from a decided turn to a reply with its text in segments (E6, A2, A4).
//!
//! A flow answers at once with a [`Step`]; a model is asked and streams its text, or has begun already
//! (`speculation`). Also takes an answer back when the turn was not over. Does not decide when it may be
//! heard. Enter at [`Conversation::turn_ended`].

use std::time::Duration;

use crate::agent::Agent;
use crate::caller::{Token, join};
use crate::conversation::Call;
use crate::flow::{Step, Then, normalize_for_speech, segments::Segmenter};
use crate::guide::{Ended, Guide};
use crate::listening::caller_entry;
use crate::reply::{After, Reply, Source};
use crate::speculation::{Flight, FlightEnd};
use crate::{
    Action, CallTime, Conversation, Deadline, DropReason, Effect, Event, Expectation, HoldReason, Message,
    Policy, ReplyId, ReplyKind, ReplyOutcome, Responder, SpeculationDrop, TurnEndReason, TurnId, Waterfall,
};

/// E6: with at most this much of the reply heard, the turn can be opened again.
const HARDLY_HEARD: Duration = Duration::from_millis(600);
/// E6: at most so often in one turn.
const JOINS_MAX: u32 = 2;
/// A4: told to a model that had nothing to say.
const NUDGE: &str = "Your last answer was empty. Answer the caller now, in one short sentence.";

/// A turn that was decided.
#[derive(Debug, Clone)]
pub(crate) struct CallerTurn {
    pub id: TurnId,
    pub sequence: u32,
    pub tokens: Vec<Token>,
    pub started: CallTime,
    pub last_voice: Option<CallTime>,
    pub wait_until: Option<CallTime>,
    pub settled: Option<CallTime>,
    pub joins: u32,
    pub reason: TurnEndReason,
}

impl CallerTurn {
    pub(crate) fn is_spoken(&self) -> bool {
        !matches!(self.reason, TurnEndReason::Typed | TurnEndReason::Dtmf)
    }
}

/// The newest answered turn, with what is needed to take the answer back (E6).
#[derive(Debug, Clone)]
pub(crate) struct Decided {
    turn: CallerTurn,
    reply: Option<ReplyId>,
    guide: Option<Guide>,
    expectation: Expectation,
    /// What its reply said first, for another (A1).
    owed: String,
    /// A tool with an effect has started since: no way back.
    pub effect_started: bool,
}

impl Conversation {
    /// A turn is decided: told, remembered, and answered now or when the floor is free (B6).
    pub(crate) fn turn_ended(&mut self, turn: CallerTurn) {
        let end = turn.last_voice.unwrap_or(self.now.clock);
        self.tell(Event::TurnEnded { turn: turn.id, reason: turn.reason, last_voice: turn.last_voice });
        let entry =
            caller_entry(turn.id, turn.sequence, &turn.tokens, (turn.started, end), !turn.is_spoken());
        self.tell(Event::Said(entry));
        self.caller_was_here(end);
        self.ending_is_off();
        if self.can_answer() {
            self.respond(turn);
        } else {
            self.queue(turn);
            self.act(Action::Expect(self.expectation.clone()));
        }
    }

    /// Nothing but thanks and goodbyes wait to be answered: they go with the agent's own goodbye (A6).
    pub(crate) fn take_queued_closing(&mut self) -> bool {
        let waits = self.queued.as_ref().map(|turn| join(&turn.tokens));
        if self.speech.is_some() || !waits.is_some_and(|text| self.is_closing_word(&text)) {
            return false;
        }
        if let Some(turn) = self.queued.take() {
            self.history.caller(turn.id, join(&turn.tokens));
        }
        true
    }

    fn queue(&mut self, mut turn: CallerTurn) {
        if let Some(mut before) = self.queued.take() {
            before.tokens.append(&mut turn.tokens);
            turn.tokens = before.tokens;
        }
        self.queued = Some(turn);
    }

    /// The floor is the agent's, and no tool must be waited for.
    fn can_answer(&self) -> bool {
        self.agent.is_listening() && !self.tools_block()
    }

    /// The next thing to say, when nobody has the floor.
    pub(crate) fn take_the_floor(&mut self) {
        if self.is_over() || !self.can_answer() {
            return;
        }
        if let Some(turn) = self.queued.take() {
            self.respond(turn);
        } else if self.call == Call::Live && self.is_caller_quiet() {
            self.say_next();
        }
    }

    fn respond(&mut self, turn: CallerTurn) {
        if self.call == Call::Opening {
            self.owe_greeting();
        }
        self.start_flow_again();
        let text = join(&turn.tokens);
        let begun = self.take_speculation(turn.id, &text);
        self.history.caller(turn.id, text.clone()); // after the reply it waited for (H4)
        let waterfall = Waterfall {
            turn: Some(turn.id),
            last_voice: Some(turn.last_voice.unwrap_or(turn.started)),
            wait_until: turn.wait_until,
            settled: turn.settled,
            decided: Some(self.now.clock),
            ..Waterfall::default()
        };
        let (guide, expectation) = (self.guide.clone(), self.expectation.clone());
        let owed = self.owed.clone();
        self.decided = Some(Decided { turn, reply: None, guide, expectation, owed, effect_started: false });
        match self.guide.as_mut().map(|guide| guide.run.answer(&text)) {
            Some(step) => self.take_step(step, ReplyKind::Answer, Some(waterfall)),
            None => self.ask_model(Some(waterfall), begun),
        }
    }

    fn ask_model(&mut self, waterfall: Option<Waterfall>, begun: Option<Box<Flight>>) {
        self.expect(Expectation::default());
        if let Some(flight) = begun {
            return self.keep_speculation(*flight, waterfall);
        }
        let reply = self.begin_reply(ReplyKind::Answer, Source::Model, waterfall);
        let owed = std::mem::take(&mut self.owed);
        self.speak(&owed);
        self.start_model(reply, None);
    }

    /// Starts the model on this reply, once more after its tools (A5) or an empty answer (A4).
    pub(crate) fn start_model(&mut self, reply: ReplyId, nudge: Option<&str>) {
        let Responder::Model { system_prompt } = &self.policy.responder else {
            // A flow took over in the middle of the reply: no more comes of the model.
            return self.agent.on(reply).into_iter().for_each(|reply| reply.source = Source::Complete);
        };
        let mut context = self.history.messages(system_prompt, self.policy.budgets.context_tokens);
        context.extend(nudge.map(|text| Message::System { text: text.to_owned() }));
        self.act(Action::StartReply { reply, context, speculative: false });
        self.deadlines.set(Deadline::FirstToken, self.after(self.policy.budgets.first_token));
    }

    /// What a flow wants said and done, as a reply of its own.
    pub(crate) fn take_step(&mut self, step: Step, kind: ReplyKind, waterfall: Option<Waterfall>) {
        self.tell_flow();
        let say = [std::mem::take(&mut self.owed), step.say].join(" ").trim().to_owned();
        if say.is_empty() && matches!(step.then, Then::Listen(_)) {
            waterfall.into_iter().for_each(|waterfall| self.tell(Event::Waterfall(waterfall)));
            return self.go_on(step.then);
        }
        self.begin_reply(kind, Source::Complete, waterfall);
        self.speak(&say);
        self.go_on(step.then);
    }

    /// A step that goes on with the reply there is: what is said after a tool (A5).
    pub(crate) fn continue_step(&mut self, step: Step) {
        self.tell_flow();
        if let Some(reply) = self.agent.reply_mut() {
            reply.source = Source::Complete;
        }
        self.speak(&step.say);
        self.go_on(step.then);
    }

    pub(crate) fn go_on(&mut self, then: Then) {
        match then {
            Then::Listen(expectation) => self.expect(expectation),
            Then::RunTool { tool, arguments } => {
                self.expect(Expectation::default());
                self.run_flow_tool(tool, arguments);
            }
            Then::End(reason) => {
                self.guide.iter_mut().for_each(|guide| guide.ended = Some(Ended::Said));
                self.expect(Expectation::default());
                self.begin_ending(reason);
            }
        }
    }

    /// A reply begins; nothing of it may be heard before its release.
    pub(crate) fn begin_reply(
        &mut self,
        kind: ReplyKind,
        source: Source,
        waterfall: Option<Waterfall>,
    ) -> ReplyId {
        self.drop_speculation(SpeculationDrop::Overtaken);
        let id = self.ids.reply();
        let turn = waterfall.as_ref().and_then(|waterfall| waterfall.turn);
        let mut reply = Reply::new(id, kind, turn, source);
        reply.waterfall = waterfall.map(|waterfall| Waterfall { reply: Some(id), ..waterfall });
        self.enter_reply(reply);
        id
    }

    /// The agent is on this reply from now on.
    pub(crate) fn enter_reply(&mut self, reply: Reply) {
        let (id, kind, turn) = (reply.id, reply.kind, reply.turn);
        if let (ReplyKind::Answer, Some(decided)) = (kind, &mut self.decided) {
            decided.reply = Some(id);
        }
        self.agent = Agent::Thinking(Box::new(reply));
        self.remainder = None;
        self.tell(Event::ReplyStarted { reply: id, kind, turn });
        self.watch_for_filler(kind);
    }

    /// Says all of this text in the current reply.
    pub(crate) fn speak(&mut self, text: &str) {
        let mut segmenter = Segmenter::new();
        let mut segments = segmenter.push(text);
        segments.extend(segmenter.finish());
        segments.into_iter().for_each(|segment| self.synthesize(segment));
    }

    pub(crate) fn synthesize(&mut self, text: String) {
        let now = self.now.clock;
        let Some(reply) = self.agent.reply_mut() else { return };
        if let Some(waterfall) = &mut reply.waterfall {
            waterfall.first_text.get_or_insert(now);
            waterfall.first_segment.get_or_insert(now);
        }
        let spoken = normalize_for_speech(&text);
        if spoken.trim().is_empty() {
            return; // only marks
        }
        let silent = !reply.has_audio() || reply.drained;
        let (id, segment) = (reply.id, reply.add_segment(text, spoken.clone()));
        self.act(Action::Synthesize { reply: id, segment, text: spoken });
        if silent && self.deadlines.get(Deadline::FirstAudio).is_none() {
            self.deadlines.set(Deadline::FirstAudio, self.after(self.policy.budgets.first_audio));
        }
    }

    pub(crate) fn reply_text(&mut self, id: ReplyId, text: &str) {
        if self.speculation.is_on(id) {
            return self.speculative_text(id, text);
        }
        let now = self.now.clock;
        let Some(reply) = self.agent.on(id).filter(|reply| reply.source == Source::Model) else {
            return self.dropped("reply text", DropReason::OldReply);
        };
        if let Some(waterfall) = &mut reply.waterfall {
            waterfall.first_text.get_or_insert(now);
        }
        let segments = reply.segmenter.push(text);
        self.deadlines.clear(Deadline::FirstToken);
        segments.into_iter().for_each(|segment| self.synthesize(segment));
    }

    pub(crate) fn reply_finished(&mut self, id: ReplyId) {
        if self.speculation.is_on(id) {
            return self.speculative_end(id, FlightEnd::Finished);
        }
        let Some(reply) = self.agent.on(id) else {
            return self.dropped("end of reply", DropReason::OldReply);
        };
        if reply.source != Source::Model {
            return; // a model that wants tools tells its end after them
        }
        reply.source = Source::Complete;
        let rest = reply.segmenter.finish();
        self.deadlines.clear(Deadline::FirstToken);
        rest.into_iter().for_each(|segment| self.synthesize(segment));
        self.fill_empty_reply();
    }

    /// A4: an empty reply is asked for once more, then a configured sentence is said.
    fn fill_empty_reply(&mut self) {
        let Some(reply) =
            self.agent.reply_mut().filter(|reply| reply.is_empty() && reply.after == After::Listen)
        else {
            return;
        };
        let (id, asked_again) = (reply.id, std::mem::replace(&mut reply.nudged, true));
        if asked_again {
            let sentence = self.policy.call_handling.apology_text.clone();
            self.speak(&sentence);
        } else {
            reply.source = Source::Model;
            self.start_model(id, Some(NUDGE));
        }
    }

    /// E6: the reply was hardly heard and nothing was done yet that can't be taken back.
    pub(crate) fn can_rejoin(&self) -> bool {
        let (Some(decided), Some(reply)) = (&self.decided, self.agent.reply()) else { return false };
        decided.reply == Some(reply.id)
            && decided.turn.is_spoken()
            && decided.turn.joins < JOINS_MAX
            && !decided.effect_started
            && matches!(self.call, Call::Live)
            && (reply.furthest < HARDLY_HEARD || reply.heard_count(&reply.places()) == 0)
    }

    /// E6: the turn before was not over. Its reply is cancelled, its words and these become one turn.
    pub(crate) fn rejoin(&mut self, reason: HoldReason) {
        let Some(decided) = self.decided.take() else { return };
        let Some(reply) = decided.reply else { return };
        if let Some(reply) = self.agent.reply_mut() {
            reply.waterfall = None; // the turn's waterfall comes when it is answered
            self.owed = if reply.heard_from.is_none() { decided.owed } else { String::new() };
        }
        self.cut(reason);
        let turn = decided.turn;
        self.guide = decided.guide;
        self.tell_flow();
        self.history.reopen(turn.id);
        let standing = crate::caller::Standing::Turn { id: turn.id, sequence: turn.sequence };
        if let Some(speech) = &mut self.speech {
            speech.rejoin(turn.tokens, turn.started, standing, turn.joins + 1);
        }
        self.tell(Event::TurnReopened { turn: turn.id, reply });
        let text = self.speech.as_ref().map(|speech| speech.text()).unwrap_or_default();
        self.tell(Event::CallerInterim { turn: turn.id, text, words: Vec::new() });
        if decided.expectation != self.expectation {
            self.expect(decided.expectation);
        }
    }

    /// A tool with an effect began: the turn stays as it was decided (E6).
    pub(crate) fn note_effect(&mut self, effect: Effect) {
        if let (Effect::Effect, Some(decided)) = (effect, &mut self.decided) {
            decided.effect_started = true;
        }
    }

    /// New policy, from the next decision on. A run goes on with its flow; another flow begins anew.
    pub(crate) fn change_settings(&mut self, policy: Policy) {
        self.drop_speculation(SpeculationDrop::Overtaken); // it was asked by the old ones
        if policy.responder != self.policy.responder {
            self.guide = Guide::new(&policy);
            if self.call != Call::Opening {
                self.guide.as_mut().map(|guide| guide.run.begin());
            }
        }
        self.policy = policy;
    }

    /// The reply is over without a word.
    pub(crate) fn reply_without_words(&mut self) {
        let Some(reply) = self.agent.leave() else { return };
        let outcome = if reply.segments.is_empty() { ReplyOutcome::Empty } else { ReplyOutcome::Failed };
        self.reply_is_over(*reply, outcome, None);
    }
}
