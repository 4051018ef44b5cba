//! Barge-in (B): caller voice holds the agent, words take the floor, anything else gives it back.
//!
//! Judges the caller's undecided speech against what the agent does. Knows no waits for the end of a
//! turn. Enter at [`Conversation::judge_speech`]. Holding is cheap and undone at the cut word, so it
//! comes at once; interrupting is not, so it waits for words.

use std::time::Duration;

use crate::agent::Agent;
use crate::caller::Caller;
use crate::conversation::Call;
use crate::words::{Kind, PRESENCE, classify, normal};
use crate::{
    Action, AgentState, CallTime, Conversation, Deadline, DropReason, Event, HoldOutcome, HoldReason,
    ReplyKind, ReplyOutcome,
};

/// B2: voice alone takes the floor after this long, where no words can be had.
const LONG_VOICE: Duration = Duration::from_millis(1_200);
/// A radio must not keep the agent held: voice without words ends a hold after this.
const HELD_MAX: Duration = Duration::from_millis(5_000);
/// B3: after so many false holds a reply is held on words only.
const FALSE_HOLDS_MAX: u32 = 2;
/// B7: both began at once.
const AT_ONCE: Duration = Duration::from_millis(300);
/// B10: voice took the floor and no words came: the reply goes on.
const WORDLESS_FLOOR: Duration = Duration::from_millis(1_000);
/// A provider's start of turn holds this long for words to come.
const PROVIDER_HOLD: Duration = Duration::from_millis(1_200);

/// What the undecided speech is, as far as can be said now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Open,
    Noise,
    Backchannel,
    Words,
}

impl Conversation {
    /// Judges the caller's undecided speech in the state the agent is in.
    pub(crate) fn judge_speech(&mut self) {
        if self.speech.as_ref().is_none_or(|speech| speech.is_turn()) {
            return self.judge_hold_without_question();
        }
        let verdict = self.verdict();
        match self.agent {
            Agent::Listening => self.judge_while_listening(verdict),
            Agent::Thinking(_) => self.judge_while_thinking(verdict),
            Agent::Speaking(_) | Agent::Held(..) => self.judge_while_speaking(verdict),
        }
    }

    /// Nothing is undecided: a turn takes the floor, and no speech at all gives it back.
    fn judge_hold_without_question(&mut self) {
        self.drop_emptied_turn();
        let held = matches!(self.agent, Agent::Held(..));
        if held && self.speech.is_some() {
            self.cut(HoldReason::Words);
        } else if held && self.deadlines.get(Deadline::HoldOutcome).is_none() {
            self.resume(HoldReason::NoWords);
        }
    }

    /// A turn whose words were all taken back is none (E2).
    fn drop_emptied_turn(&mut self) {
        let emptied = self.speech.as_ref().is_some_and(|speech| !speech.has_words());
        if emptied && self.is_conclusive() {
            self.drop_speech(DropReason::Late);
        }
    }

    fn verdict(&self) -> Verdict {
        let Some(speech) = &self.speech else { return Verdict::Open };
        let words = normal(&speech.new_text());
        let enough = words.len() >= self.policy.turn_taking.interrupt_min_words as usize;
        let kind = classify(&words, self.quiet_phrases(speech.begun_while));
        match (kind, self.is_conclusive()) {
            (Kind::Words, _) if enough || self.agent.is_listening() => Verdict::Words,
            (Kind::Words | Kind::Backchannel, true) => Verdict::Backchannel,
            (Kind::Undecided, true) if enough => Verdict::Words,
            (Kind::Undecided, true) => Verdict::Backchannel,
            (Kind::Nothing, true) => Verdict::Noise,
            (_, false) => Verdict::Open,
        }
    }

    /// Voice has ended and all of it was listened to, or that takes too long (E3).
    fn is_conclusive(&self) -> bool {
        match self.caller {
            Caller::Speaking { .. } => false,
            Caller::Silent => true,
            Caller::Paused { last } => {
                self.hearing.is_sure_of(last) || self.now.clock >= self.concludes_by(last)
            }
        }
    }

    /// What does not take the floor now: backchannels; while thinking "hello?" (E6); closings in a goodbye (A6).
    fn quiet_phrases(&self, begun_while: AgentState) -> impl Iterator<Item = &str> {
        let thinking = begun_while == AgentState::Thinking || self.agent.state() == AgentState::Thinking;
        let closing = matches!(self.call, Call::Closing { .. });
        let presence = PRESENCE.iter().copied().filter(move |_| thinking);
        let closings = self.policy.call_handling.closings.iter().map(String::as_str).filter(move |_| closing);
        self.policy.turn_taking.backchannels.iter().map(String::as_str).chain(presence).chain(closings)
    }

    /// B5: words are judged in the state of their time; what began in silence is a turn.
    fn judge_while_listening(&mut self, verdict: Verdict) {
        let Some(speech) = &self.speech else { return };
        let late = speech.begun_while != AgentState::Listening;
        let answers = late
            && self.previous.as_ref().is_some_and(|reply| reply.question_at(speech.reply_position).is_some());
        match verdict {
            Verdict::Words => self.accept_speech(),
            Verdict::Open | Verdict::Backchannel if !late && speech.has_words() => self.accept_speech(),
            Verdict::Backchannel if answers => self.accept_speech(),
            Verdict::Backchannel => self.drop_speech(DropReason::Backchannel),
            Verdict::Noise => self.drop_speech(DropReason::Late),
            Verdict::Open => {}
        }
    }

    /// E6: backchannels, "hello?" and noise never cancel a reply that is being made.
    fn judge_while_thinking(&mut self, verdict: Verdict) {
        match verdict {
            Verdict::Open => {}
            Verdict::Noise => self.drop_speech(DropReason::Late),
            Verdict::Backchannel => self.drop_speech(DropReason::Backchannel),
            Verdict::Words => self.take_floor_by_words(HoldReason::Words),
        }
    }

    fn judge_while_speaking(&mut self, verdict: Verdict) {
        let Some(reply) = self.agent.reply() else { return };
        if reply.cut_at.is_some() && verdict != Verdict::Noise {
            let has_words = self.speech.as_ref().is_some_and(|speech| speech.has_words());
            if has_words {
                self.accept_speech();
            }
            return;
        }
        match verdict {
            Verdict::Open => {}
            Verdict::Words => self.take_floor_by_words(HoldReason::Words),
            Verdict::Backchannel => self.backchannel(),
            Verdict::Noise => {
                let echo = self.speech.as_ref().is_some_and(|speech| speech.echo);
                self.drop_speech(DropReason::Late);
                self.resume(if echo { HoldReason::Echo } else { HoldReason::NoWords });
            }
        }
    }

    /// Words came while the agent has the floor.
    fn take_floor_by_words(&mut self, reason: HoldReason) {
        if matches!(self.call, Call::Closing { cancellable: false, .. }) {
            self.drop_speech(DropReason::CallOver);
            return self.resume(HoldReason::Words);
        }
        let thinking = matches!(self.agent, Agent::Thinking(_));
        if self.can_rejoin() {
            self.rejoin(reason);
        } else if thinking && self.tools_block() || self.is_protected() {
            self.accept_speech();
        } else {
            self.owe_unheard();
            self.cut(reason);
            self.ending_is_off();
            self.accept_speech();
        }
    }

    /// B3: it accompanies and the agent goes on, unless it answers a question (B4).
    fn backchannel(&mut self) {
        let position = self.speech.as_ref().map(|speech| speech.reply_position);
        let question = self.agent.reply().zip(position).and_then(|(reply, position)| {
            let position = if position.is_zero() { reply.position } else { position };
            reply.question_at(position)
        });
        let closing = matches!(self.call, Call::Closing { .. });
        match question.filter(|_| !closing && !self.is_protected()) {
            None => {
                self.drop_speech(DropReason::Backchannel);
                self.resume(HoldReason::Backchannel);
            }
            Some(end) => self.answer_question(end),
        }
    }

    /// B4: the question is let finish and counts as asked; nothing is said after it.
    fn answer_question(&mut self, end: Duration) {
        let Some(reply) = self.agent.reply_mut() else { return };
        if end <= reply.position {
            self.cut(HoldReason::Answer);
        } else {
            reply.cut_at = Some(end);
            self.resume(HoldReason::Answer);
        }
        self.accept_speech();
    }

    /// B1: the caller's voice is on since `at`.
    pub(crate) fn caller_is_heard(&mut self, at: CallTime) {
        self.cancel_filler();
        match &self.agent {
            Agent::Listening => self.deadlines.clear(Deadline::HoldOutcome),
            Agent::Thinking(_) => {}
            Agent::Held(..) => self.deadlines.set(Deadline::HoldOutcome, at + LONG_VOICE),
            Agent::Speaking(reply) => {
                let began = reply.heard_from.unwrap_or(self.now.clock);
                let at_once = at.since(began) <= AT_ONCE;
                let wait = match at_once {
                    true => Duration::ZERO,
                    false => Duration::from_secs_f64(0.16 * (1.0 - self.sensitivity())),
                };
                self.deadlines.set(Deadline::Hold, at + wait);
            }
        }
    }

    pub(crate) fn caller_falls_silent(&mut self, last: CallTime) {
        self.deadlines.clear(Deadline::Hold);
        if self.remainder.is_some() {
            self.deadlines.set(Deadline::HoldOutcome, last + WORDLESS_FLOOR);
        } else {
            self.deadlines.clear(Deadline::HoldOutcome); // settlement decides, or its limit (E3)
        }
    }

    /// A provider's start of turn counts as voice; its words decide (B2).
    pub(crate) fn provider_hears_voice(&mut self) {
        if self.caller == Caller::Silent && matches!(self.agent, Agent::Speaking(_)) {
            self.hold();
        }
    }

    fn sensitivity(&self) -> f64 {
        self.policy.turn_taking.interruption_sensitivity.clamp(0.0, 1.0)
    }

    /// B6: the reply, or this part of it, can't be interrupted.
    pub(crate) fn is_protected(&self) -> bool {
        let Some(reply) = self.agent.reply() else { return false };
        let begins =
            reply.kind == ReplyKind::Greeting && reply.position < self.policy.turn_taking.protect_begin;
        let ends = matches!(self.call, Call::Closing { cancellable: false, .. });
        reply.protected || self.sensitivity() == 0.0 || begins || ends
    }

    /// B1: stops the playout at once and keeps the rest, until it is known what the voice was.
    pub(crate) fn hold(&mut self) {
        if self.is_protected() {
            return;
        }
        let now = self.now.clock;
        let Agent::Speaking(reply) = &self.agent else { return };
        let at_once = reply.heard_from.is_none_or(|from| now.since(from) <= AT_ONCE);
        if reply.cut_at.is_some() || reply.false_holds >= FALSE_HOLDS_MAX && !at_once {
            return;
        }
        let due = match self.caller {
            Caller::Speaking { since } => since + LONG_VOICE,
            Caller::Silent | Caller::Paused { .. } => now + PROVIDER_HOLD,
        };
        self.start_hold();
        self.deadlines.set(Deadline::HoldOutcome, due.max(now));
    }

    fn start_hold(&mut self) {
        let now = self.now.clock;
        let agent = std::mem::replace(&mut self.agent, Agent::Listening);
        let Agent::Speaking(reply) = agent else { return self.agent = agent };
        let (id, position) = (reply.id, reply.position);
        self.agent = Agent::Held(reply, now);
        self.deadlines.clear(Deadline::StalledAudio);
        self.act(Action::HoldPlayout { reply: id });
        self.tell(Event::Held { reply: id, at: now, position });
    }

    /// The transcriber gives no words while the caller speaks: it has no interims, or it is mute.
    fn hears_no_words(&self, since: CallTime) -> bool {
        let can = &self.policy.transcriber;
        !can.interims || can.watermark && !self.hearing.has_covered(since)
    }

    /// B2, B3, B10: no words, and something must happen.
    pub(crate) fn hold_outcome_due(&mut self) {
        let Agent::Held(_, held) = &self.agent else { return self.continue_remainder() };
        let held = *held;
        match self.caller {
            Caller::Speaking { since } if self.hears_no_words(since) => self.cut_by_voice(),
            Caller::Speaking { since } if self.now.clock < since.max(held) + HELD_MAX => {
                self.deadlines.set(Deadline::HoldOutcome, since.max(held) + HELD_MAX);
            }
            Caller::Speaking { .. } | Caller::Silent | Caller::Paused { .. } => {
                self.resume(HoldReason::TimedOut)
            }
        }
    }

    /// B2: long voice has the floor; what was not heard is kept, should no words come (B10).
    fn cut_by_voice(&mut self) {
        let rest = self.agent.reply().cloned().map(Box::new);
        self.cut(HoldReason::LongVoice);
        self.remainder = rest;
    }

    /// B10: still no words: the agent goes on from the word that was cut.
    fn continue_remainder(&mut self) {
        let Some(rest) = self.remainder.take() else { return };
        if !self.agent.is_listening() || self.speech.as_ref().is_some_and(|speech| speech.has_words()) {
            return;
        }
        let (_, unheard) = rest.heard_text();
        if unheard.is_empty() {
            return;
        }
        self.drop_speech(DropReason::Late);
        self.begin_reply(ReplyKind::Answer, crate::reply::Source::Complete, None);
        if let Some(reply) = self.agent.reply_mut() {
            reply.after = rest.after;
        }
        self.speak(&unheard);
    }

    /// B3: the agent goes on at the start of the word that was cut.
    pub(crate) fn resume(&mut self, reason: HoldReason) {
        let agent = std::mem::replace(&mut self.agent, Agent::Listening);
        let Agent::Held(mut reply, _) = agent else { return self.agent = agent };
        let from = reply.cut_word_start();
        reply.drained &= from >= reply.position;
        reply.position = from;
        reply.played_at = self.now.clock;
        if reason != HoldReason::Answer {
            reply.false_holds += 1;
        }
        let id = reply.id;
        self.agent = Agent::Speaking(reply);
        self.deadlines.clear(Deadline::HoldOutcome);
        self.act(Action::ResumePlayout { reply: id, from });
        self.tell(Event::HoldEnded { reply: id, outcome: HoldOutcome::Resumed, reason });
        self.watch_goodbye();
    }

    /// Ends the current reply where it is (B10): flush, cancel, commit what was heard.
    pub(crate) fn cut(&mut self, reason: HoldReason) {
        let released = matches!(self.agent, Agent::Speaking(_) | Agent::Held(..));
        if released {
            self.start_hold_to_cut();
        }
        let Some(reply) = self.agent.leave() else { return self.cancel_filler() };
        let id = reply.id;
        if released {
            self.act(Action::FlushPlayout { reply: id });
        }
        self.act(Action::CancelReply { reply: id });
        if released {
            self.tell(Event::HoldEnded { reply: id, outcome: HoldOutcome::Interrupted, reason });
        }
        self.drop_waiting_tools(id);
        let at = self.now.clock;
        let outcome = match reply.heard_from {
            Some(_) => ReplyOutcome::Interrupted,
            None => ReplyOutcome::Cancelled,
        };
        self.reply_is_over(*reply, outcome, Some(at));
    }

    /// Every interruption is a hold that came true, so that all of them are told alike (B11).
    fn start_hold_to_cut(&mut self) {
        if matches!(self.agent, Agent::Speaking(_)) {
            self.start_hold();
        }
    }

    /// The client says stop: as words would.
    pub(crate) fn interrupt_by_client(&mut self) {
        if !matches!(self.call, Call::Closing { .. }) {
            self.cut(HoldReason::Client);
        }
    }

    /// When the caller's speech is over for all purposes, at the latest.
    pub(crate) fn is_caller_quiet(&self) -> bool {
        self.caller == Caller::Silent && self.speech.is_none() && self.queued.is_none()
    }

    /// A6: the goodbye was played, but the caller is saying something.
    pub(crate) fn is_goodbye_disputed(&self) -> bool {
        let closing = matches!(self.call, Call::Closing { cancellable: true, .. });
        closing && (self.caller != Caller::Silent || self.speech.is_some())
    }
}
