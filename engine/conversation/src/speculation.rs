//! Speculation (S): an answer that is begun before the caller's turn is decided.
//!
//! Decides when one is begun (S1), what it may do until the decision (S3) and whether the decided turn keeps it (S2).
//! It is a reply nobody else knows: the agent still listens, so nothing of it can be released, and its tools wait.
//! Whether it still fits is seen from the state after each fact, so that no order of facts leaves one behind. A miss
//! or a failure before the decision only throws it away, because the decision asks again. Enter at
//! [`Conversation::watch_speculation`]; the decision at [`Conversation::take_speculation`].

use std::time::Duration;

use crate::caller::{Caller, Speech, Standing};
use crate::conversation::Call;
use crate::flow::normalize_for_speech;
use crate::reply::{Reply, Source};
use crate::words::telling;
use crate::{
    Action, CallTime, Conversation, Deadline, DropReason, Event, ReplyId, ReplyKind, Responder, SegmentId,
    SpeculationCue, SpeculationDrop, ToolRequest, TurnId, TurnSignal, WaitReason, Waterfall, WordTime,
};

/// S1: an interim that covers the last voiced sample is trusted when it has stood for so long.
const STABLE: Duration = Duration::from_millis(100);
/// S1: at most so many in one turn.
const TRIES_MAX: u32 = 3;

/// What is known for speculating, and the reply in flight.
#[derive(Debug, Clone, Default)]
pub(crate) struct Speculation {
    flight: Option<Box<Flight>>,
    /// How many were begun in which turn.
    tries: Option<(TurnId, u32)>,
    /// The words of the turn that is going on.
    seen: Seen,
    /// The words of which turn at the provider's eager end, while it stands.
    eager: Option<(TurnId, Vec<String>)>,
    /// The words of an end of this turn that was taken back: nothing is begun on them again.
    resumed: Option<(TurnId, Vec<String>)>,
}

#[derive(Debug, Clone, Default)]
struct Seen {
    text: String,
    words: Vec<String>,
    since: CallTime,
}

/// A speculative reply.
#[derive(Debug, Clone)]
pub(crate) struct Flight {
    pub reply: Reply,
    turn: TurnId,
    words: Vec<String>,
    /// The context it was asked with.
    revision: u64,
    /// S3: segments after the first are not voiced before the decision.
    pub waiting: Vec<String>,
    /// How the model ended.
    pub end: Option<FlightEnd>,
}

/// What the model did last.
#[derive(Debug, Clone)]
pub(crate) enum FlightEnd {
    Finished,
    /// It wants tools; they wait for the decision.
    Tools(Vec<ToolRequest>),
}

impl Speculation {
    /// The speculative reply, if it has this id and may still grow.
    fn on(&mut self, id: ReplyId) -> Option<&mut Flight> {
        self.flight.as_deref_mut().filter(|flight| flight.reply.id == id)
    }

    pub(crate) fn is_on(&self, id: ReplyId) -> bool {
        self.flight.as_ref().is_some_and(|flight| flight.reply.id == id)
    }

    pub(crate) fn is_in_flight(&self) -> bool {
        self.flight.is_some()
    }

    fn tries(&self, of: TurnId) -> u32 {
        self.tries.filter(|(turn, _)| *turn == of).map_or(0, |(_, tries)| tries)
    }
}

impl Conversation {
    /// Throws away what no longer fits, and begins what can be begun.
    pub(crate) fn watch_speculation(&mut self) {
        self.deadlines.clear(Deadline::Speculate);
        if !self.policy.turn_taking.speculation && !self.speculation.is_in_flight() {
            return;
        }
        self.note_words();
        if let Some(why) = self.misfit() {
            self.drop_speculation(why);
        }
        match self.cue() {
            Some((at, cue)) if at <= self.now.clock => self.speculate(cue),
            Some((at, _)) => self.deadlines.set(Deadline::Speculate, at),
            None => {}
        }
    }

    fn note_words(&mut self) {
        let text = self.speech.as_ref().filter(|speech| speech.is_turn()).map(Speech::text);
        let (text, seen) = (text.unwrap_or_default(), &mut self.speculation.seen);
        if text != seen.text {
            let words = telling(&text);
            if words != seen.words {
                seen.since = self.now.clock;
            }
            (seen.text, seen.words) = (text, words);
        }
    }

    /// Whether a model would answer the turn that is going on, and nothing before it.
    fn can_speculate(&self) -> bool {
        self.policy.turn_taking.speculation
            && self.call == Call::Live
            && self.agent.is_listening()
            && !self.tools_block()
            && self.guide.is_none()
            && self.queued.is_none()
            && self.owed.is_empty()
    }

    fn turn_under_way(&self) -> Option<(TurnId, &Speech)> {
        let speech = self.speech.as_ref().filter(|speech| speech.has_words())?;
        match speech.standing {
            Standing::Turn { id, .. } => Some((id, speech)),
            Standing::Unjudged => None,
        }
    }

    /// Why the reply in flight can't become the answer any more.
    fn misfit(&self) -> Option<SpeculationDrop> {
        let flight = self.speculation.flight.as_deref()?;
        let same_turn = self.turn_under_way().is_some_and(|(turn, _)| turn == flight.turn);
        if !self.can_speculate() || !same_turn || flight.revision != self.history.revision() {
            return Some(SpeculationDrop::Overtaken);
        }
        (flight.words != self.speculation.seen.words).then_some(SpeculationDrop::Words)
    }

    /// S1: when to begin, and on what.
    fn cue(&self) -> Option<(CallTime, SpeculationCue)> {
        let (turn, speech) = self.turn_under_way()?;
        let state = &self.speculation;
        let spent = state.is_in_flight() || state.tries(turn) >= TRIES_MAX;
        if spent || !self.can_speculate() || state.seen.words.is_empty() {
            return None;
        }
        let are = |noted: &Option<(TurnId, Vec<String>)>| {
            noted.as_ref().is_some_and(|(of, words)| *of == turn && *words == state.seen.words)
        };
        if are(&state.eager) {
            return Some((self.now.clock, SpeculationCue::EagerEnd));
        }
        if self.provider_decides() && state.tries(turn) + 1 >= TRIES_MAX {
            return None; // the last is left for the probable end that it tells itself
        }
        let Caller::Paused { last } = self.caller else { return None };
        // Words that ask for more will become others.
        let more = matches!(self.wait(speech, true).1, WaitReason::OpenEnded | WaitReason::ValueIncomplete);
        if more || are(&state.resumed) {
            return None;
        }
        let (at, cue) = if self.hearing.is_sure_of(last) {
            (self.now.clock, SpeculationCue::Settled)
        } else if !self.policy.transcriber.watermark {
            (last + self.hearing.lag, SpeculationCue::Settled)
        } else {
            (speech.settled?.max(state.seen.since) + STABLE, SpeculationCue::StableInterim)
        };
        let decided = self.deadlines.get(Deadline::EndOfTurn)?;
        (at < decided).then_some((at, cue))
    }

    fn speculate(&mut self, cue: SpeculationCue) {
        let Responder::Model { system_prompt } = &self.policy.responder else { return };
        let Some((turn, speech)) = self.turn_under_way() else { return };
        let mut history = self.history.clone();
        history.caller(turn, speech.text());
        let context = history.messages(system_prompt, self.policy.budgets.context_tokens);
        let id = self.ids.reply();
        let mut reply = Reply::new(id, ReplyKind::Answer, Some(turn), Source::Model);
        reply.waterfall = Some(Waterfall::default());
        let words = self.speculation.seen.words.clone();
        let revision = self.history.revision();
        let flight = Flight { reply, turn, words, revision, waiting: Vec::new(), end: None };
        self.speculation.tries = Some((turn, self.speculation.tries(turn) + 1));
        self.speculation.flight = Some(Box::new(flight));
        self.tell(Event::SpeculationStarted { reply: id, turn, cue });
        self.act(Action::StartReply { reply: id, context, speculative: true });
        self.deadlines.set(Deadline::FirstToken, self.after(self.policy.budgets.first_token));
    }

    /// S2: the turn is decided; gives the reply that was begun for it, if it still fits.
    pub(crate) fn take_speculation(&mut self, decided: TurnId, text: &str) -> Option<Box<Flight>> {
        let flight = self.speculation.flight.as_deref()?;
        let same = flight.turn == decided && flight.revision == self.history.revision();
        let why = if !same || !self.can_speculate() {
            SpeculationDrop::Overtaken
        } else if flight.words != telling(text) {
            SpeculationDrop::Words
        } else {
            return self.speculation.flight.take();
        };
        self.drop_speculation(why);
        None
    }

    /// The reply in flight becomes the answer: everything goes on as if it had been begun by the decision.
    pub(crate) fn keep_speculation(&mut self, flight: Flight, waterfall: Option<Waterfall>) {
        let Flight { mut reply, turn, waiting, end, .. } = flight;
        let id = reply.id;
        let early = reply.waterfall.take().unwrap_or_default();
        reply.waterfall = waterfall.map(|times| Waterfall {
            reply: Some(id),
            first_text: early.first_text,
            first_segment: early.first_segment,
            first_audio: early.first_audio,
            ..times
        });
        self.tell(Event::SpeculationKept { reply: id, turn });
        self.enter_reply(reply);
        waiting.into_iter().for_each(|segment| self.synthesize(segment));
        match end {
            Some(FlightEnd::Finished) => self.reply_finished(id),
            Some(FlightEnd::Tools(calls)) => self.reply_wants_tools(id, calls),
            None => {}
        }
    }

    /// S2: cancelled unheard. The agent listens, so the waits for model and voice are this reply's.
    pub(crate) fn drop_speculation(&mut self, why: SpeculationDrop) {
        let Some(flight) = self.speculation.flight.take() else { return };
        let (reply, turn) = (flight.reply.id, flight.turn);
        self.deadlines.clear(Deadline::FirstToken);
        self.deadlines.clear(Deadline::FirstAudio);
        if matches!(why, SpeculationDrop::TooSlow | SpeculationDrop::Failed) {
            self.speculation.tries = Some((turn, TRIES_MAX));
        }
        self.act(Action::CancelReply { reply });
        self.tell(Event::SpeculationDropped { reply, turn, why });
    }

    /// S1, E5: the provider's eager end, and its taking back.
    pub(crate) fn note_provider_turn(&mut self, signal: TurnSignal) {
        self.note_words();
        let turn = self.turn_under_way().map(|(turn, _)| turn);
        let words = turn.map(|turn| (turn, self.speculation.seen.words.clone()));
        match signal {
            TurnSignal::EagerEnd => self.speculation.eager = words,
            TurnSignal::Resumed => {
                self.drop_speculation(SpeculationDrop::Resumed);
                self.speculation.eager = None;
                self.speculation.resumed = words;
            }
            TurnSignal::Start | TurnSignal::End => {}
        }
    }

    /// S3: the first segment is voiced, the others wait.
    pub(crate) fn speculative_text(&mut self, id: ReplyId, text: &str) {
        let now = self.now.clock;
        let Some(flight) = self.speculation.on(id).filter(|flight| flight.end.is_none()) else {
            return self.dropped("reply text", DropReason::OldReply);
        };
        if let Some(waterfall) = &mut flight.reply.waterfall {
            waterfall.first_text.get_or_insert(now);
        }
        let segments = flight.reply.segmenter.push(text);
        self.deadlines.clear(Deadline::FirstToken);
        segments.into_iter().for_each(|segment| self.speculative_segment(id, segment));
    }

    pub(crate) fn speculative_end(&mut self, id: ReplyId, end: FlightEnd) {
        let Some(flight) = self.speculation.on(id) else {
            return self.dropped("end of reply", DropReason::OldReply);
        };
        if flight.end.is_some() {
            return; // a model that wants tools tells its end after them
        }
        flight.end = Some(end);
        let rest = flight.reply.segmenter.finish();
        self.deadlines.clear(Deadline::FirstToken);
        rest.into_iter().for_each(|segment| self.speculative_segment(id, segment));
    }

    fn speculative_segment(&mut self, id: ReplyId, text: String) {
        let now = self.now.clock;
        let Some(flight) = self.speculation.on(id) else { return };
        let spoken = normalize_for_speech(&text);
        if spoken.trim().is_empty() {
            return; // only marks
        }
        if !flight.reply.segments.is_empty() {
            return flight.waiting.push(text);
        }
        if let Some(waterfall) = &mut flight.reply.waterfall {
            waterfall.first_segment.get_or_insert(now);
        }
        let segment = flight.reply.add_segment(text, spoken.clone());
        self.act(Action::Synthesize { reply: id, segment, text: spoken });
        self.deadlines.set(Deadline::FirstAudio, self.after(self.policy.budgets.first_audio));
    }

    pub(crate) fn speculative_audio(
        &mut self,
        id: ReplyId,
        segment: SegmentId,
        length: Duration,
        words: Vec<WordTime>,
        finished: bool,
    ) {
        let now = self.now.clock;
        let Some(flight) = self.speculation.on(id) else { return };
        if flight.reply.voiced(segment, length, words, finished) {
            if let Some(waterfall) = &mut flight.reply.waterfall {
                waterfall.first_audio.get_or_insert(now);
            }
            self.deadlines.clear(Deadline::FirstAudio);
        }
    }
}
