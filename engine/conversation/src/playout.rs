//! Playout: when a reply may be heard, how far it was, and when it is over (B7, H1–H4).
//!
//! Takes what the voice and the far end report; gives release, transcript entries and the end of
//! the reply. Interruptions are decided in `barge_in`. Enter at [`Conversation::played_up_to`].

use std::time::Duration;

use crate::agent::Agent;
use crate::caller::Caller;
use crate::conversation::Call;
use crate::heard::{Place, text_of};
use crate::reply::{After, Reply, Source};
use crate::{
    Action, CallTime, Conversation, Deadline, DropReason, EndReason, Entry, Event, ReplyId, ReplyKind,
    ReplyOutcome, SegmentId, Speaker, WordTime,
};

/// B7: the caller's voice keeps a reply back at most this long.
const RELEASE_WAIT_MAX: Duration = Duration::from_millis(1_500);
/// H3: while held, playout can't run ahead of real time; marks returned by a clear would.
const HELD_SLACK: Duration = Duration::from_millis(40);

impl Conversation {
    pub(crate) fn audio_ready(
        &mut self,
        id: ReplyId,
        segment: SegmentId,
        length: Duration,
        words: Vec<WordTime>,
        finished: bool,
    ) {
        if self.speculation.is_on(id) {
            return self.speculative_audio(id, segment, length, words, finished);
        }
        let now = self.now.clock;
        let filler = self.filler.as_deref_mut().filter(|filler| filler.id == id);
        let is_filler = filler.is_some();
        let Some(reply) = filler.or(self.agent.on(id)) else {
            if finished {
                self.dropped("audio", DropReason::OldReply);
            }
            return;
        };
        let grown = reply.voiced(segment, length, words, finished);
        if let (true, Some(waterfall)) = (grown, &mut reply.waterfall) {
            waterfall.first_audio.get_or_insert(now);
        }
        if is_filler {
            return;
        }
        if grown {
            self.take_back_late_filler();
            self.deadlines.clear(Deadline::FirstAudio);
            self.deadlines.clear(Deadline::StalledAudio);
        }
        self.watch_goodbye();
    }

    pub(crate) fn playout_started(&mut self, id: ReplyId, at: CallTime) {
        if let Some(waterfall) = self.agent.on(id).and_then(|reply| reply.waterfall.as_mut()) {
            waterfall.first_frame.get_or_insert(at);
        }
    }

    /// B7: first audio is not released while the caller's voice is on.
    pub(crate) fn release_when_ready(&mut self) {
        let Agent::Thinking(reply) = &self.agent else { return };
        if !reply.has_audio() || self.is_over() {
            return;
        }
        let filler = self.filler.as_ref().map(|filler| filler.remaining());
        let free = filler.is_none() && !matches!(self.caller, Caller::Speaking { .. });
        if free {
            self.release();
        } else if self.deadlines.get(Deadline::Release).is_none() {
            let wait = RELEASE_WAIT_MAX + filler.unwrap_or_default();
            self.deadlines.set(Deadline::Release, self.after(wait));
        }
    }

    pub(crate) fn release(&mut self) {
        self.deadlines.clear(Deadline::Release);
        self.cancel_filler();
        let agent = std::mem::replace(&mut self.agent, Agent::Listening);
        let Agent::Thinking(reply) = agent else { return self.agent = agent };
        let id = reply.id;
        self.agent = Agent::Speaking(reply);
        self.deadlines.clear(Deadline::Filler);
        self.act(Action::ReleaseReply { reply: id });
        self.watch_goodbye();
    }

    pub(crate) fn played_up_to(&mut self, id: ReplyId, position: Duration, at: CallTime) {
        let position = match &self.agent {
            Agent::Held(reply, _) => position.min(reply.position + at.since(reply.played_at) + HELD_SLACK),
            _ => position,
        };
        let (Agent::Speaking(reply) | Agent::Held(reply, _)) = &mut self.agent else { return };
        if reply.id != id || position < reply.position && at <= reply.played_at {
            return;
        }
        let position = position.min(reply.audio());
        reply.played(position, at);
        self.playing.note(reply, at);
        if position > Duration::ZERO {
            self.is_heard(at);
        }
    }

    /// H4: the first heard sample gives the entry its place, and the turn its waterfall.
    fn is_heard(&mut self, at: CallTime) {
        self.quiet_since = self.quiet_since.max(at);
        let Some(reply) = self.agent.reply_mut() else { return };
        let from = at - reply.position;
        if reply.heard_from.is_none() {
            reply.heard_from = Some(from);
            let waterfall = reply.waterfall.take();
            reply.sequence = Some(self.ids.sequence());
            if let Some(mut waterfall) = waterfall {
                // A far end that rounds its position up must not be heard before it was sent anything.
                waterfall.heard = Some(from.max(waterfall.first_frame.unwrap_or(from)));
                self.tell(Event::Waterfall(waterfall));
            }
        }
        self.tell_heard_segments();
    }

    /// Tells the entry again whenever another segment was heard to its end.
    fn tell_heard_segments(&mut self) {
        let Some(reply) = self.agent.reply_mut() else { return };
        let places = reply.places();
        let heard = reply.heard_count(&places);
        let ends =
            |i: usize| i == 0 || places.get(i).is_none_or(|place| place.segment != places[i - 1].segment);
        if heard > reply.told && ends(heard) && reply.segments[places[heard - 1].segment].finished {
            reply.told = heard;
            let entry = agent_entry(reply, &places[..heard], String::new(), None);
            self.tell(Event::Said(entry));
        }
    }

    pub(crate) fn playout_drained(&mut self, id: ReplyId, at: CallTime) {
        if self.filler.as_ref().is_some_and(|filler| filler.id == id) {
            return self.filler_drained();
        }
        let (Agent::Speaking(reply) | Agent::Held(reply, _)) = &mut self.agent else { return };
        if reply.id != id {
            return;
        }
        reply.played(reply.audio(), at);
        reply.drained = true;
        let (waits_for_text, complete) = (reply.segments.iter().all(|s| s.finished), reply.is_complete());
        let source = reply.source;
        self.playing.note(reply, at);
        self.is_heard(at);
        match source {
            _ if complete => {}
            Source::Tools if waits_for_text => {}
            _ if waits_for_text => {
                self.deadlines.set(Deadline::FirstToken, self.after(self.policy.budgets.first_token))
            }
            _ => self.deadlines.set(Deadline::StalledAudio, self.after(self.policy.budgets.stalled_audio)),
        }
    }

    /// A reply ends when all of it was played, or as far as it was to be (B4, A9).
    pub(crate) fn end_reply_when_played(&mut self) {
        match &self.agent {
            Agent::Thinking(reply) if reply.is_complete() && !reply.has_audio() => self.reply_without_words(),
            Agent::Speaking(reply) if reply.is_played() && !self.is_goodbye_disputed() => {
                let Some(reply) = self.agent.leave() else { return };
                self.reply_is_over(*reply, ReplyOutcome::Heard, None);
            }
            Agent::Speaking(reply) if reply.cut_at.is_some_and(|end| reply.position >= end) => {
                self.stop_at_cut()
            }
            _ => {}
        }
    }

    /// The sentence was let finish; what is left is not said.
    fn stop_at_cut(&mut self) {
        let Some(reply) = self.agent.leave() else { return };
        self.act(Action::FlushPlayout { reply: reply.id });
        self.act(Action::CancelReply { reply: reply.id });
        self.drop_waiting_tools(reply.id);
        let at = self.now.clock;
        self.reply_is_over(*reply, ReplyOutcome::Interrupted, Some(at));
    }

    /// Commits what was heard and tells the end; the agent has left the reply already.
    pub(crate) fn reply_is_over(
        &mut self,
        mut reply: Reply,
        outcome: ReplyOutcome,
        interrupted: Option<CallTime>,
    ) {
        for deadline in [
            Deadline::HoldOutcome,
            Deadline::Hold,
            Deadline::Release,
            Deadline::FirstToken,
            Deadline::FirstAudio,
            Deadline::StalledAudio,
            Deadline::Filler,
            Deadline::Goodbye,
        ] {
            self.deadlines.clear(deadline);
        }
        self.cancel_filler();
        let interrupted = interrupted.filter(|_| reply.heard_from.is_some());
        self.commit(&reply, interrupted);
        if let Some(waterfall) = reply.waterfall.take() {
            self.tell(Event::Waterfall(waterfall));
        }
        self.tell(Event::ReplyEnded { reply: reply.id, outcome });
        if outcome == ReplyOutcome::Heard && reply.kind != ReplyKind::Apology {
            self.failures = 0;
        }
        if reply.heard_from.is_some() {
            self.quiet_since = self.quiet_since.max(reply.played_at);
        }
        let after = reply.after;
        self.previous = Some(Box::new(reply));
        let said = matches!(outcome, ReplyOutcome::Heard | ReplyOutcome::Empty | ReplyOutcome::Failed);
        match (self.call, after) {
            (Call::Closing { .. }, After::End(reason)) if said => self.end(reason),
            (Call::Live, After::End(EndReason::MaxDuration)) => self.close(EndReason::MaxDuration), // A9
            _ => {}
        }
    }

    /// H2: the context and the transcript get what was heard.
    fn commit(&mut self, reply: &Reply, interrupted: Option<CallTime>) {
        let places = reply.places();
        let heard = reply.heard_count(&places);
        let (_, unheard) = reply.heard_text();
        self.record_parts(reply, &places[..heard], !unheard.is_empty());
        if reply.sequence.is_some() && (heard > 0 || !unheard.is_empty()) {
            let news = heard != reply.told || interrupted.is_some() || !unheard.is_empty();
            if news {
                let entry = agent_entry(reply, &places[..heard], unheard, interrupted);
                self.tell(Event::Said(entry));
            }
        }
    }

    /// Each part stands where it was said: before and after the tools it called (H5).
    fn record_parts(&mut self, reply: &Reply, heard: &[Place], cut: bool) {
        if reply.kind == ReplyKind::Filler {
            return;
        }
        let mut begins = self.history.parts(reply.id);
        if !begins.contains(&reply.recorded) {
            begins.push(reply.recorded);
        }
        let last = heard.last().map_or(0, |place| place.segment);
        for (i, begin) in begins.iter().enumerate() {
            let end = begins.get(i + 1).copied().unwrap_or(usize::MAX);
            let part: Vec<Place> =
                heard.iter().filter(|p| (*begin..end).contains(&p.segment)).cloned().collect();
            let mut text = text_of(&part);
            if cut && !text.is_empty() && (*begin..end).contains(&last) {
                text.push('…');
            }
            self.history.agent(reply.id, *begin, text);
        }
    }
}

/// An agent's entry: the heard words with their call times.
fn agent_entry(reply: &Reply, heard: &[Place], unheard: String, interrupted_at: Option<CallTime>) -> Entry {
    let start = reply.heard_from.unwrap_or(reply.played_at);
    let word = |place: &Place| WordTime {
        text: place.text.clone(),
        start: reply.heard_at(place.start),
        end: reply.heard_at(place.start) + (place.end - place.start),
    };
    Entry {
        sequence: reply.sequence.unwrap_or_default(),
        speaker: Speaker::Agent,
        turn: reply.turn,
        reply: Some(reply.id),
        text: text_of(heard),
        unheard,
        start,
        end: reply.played_at.max(start),
        words: heard.iter().map(word).collect(),
        estimated: heard.iter().any(|place| place.estimated),
        interrupted_at,
        typed: false,
    }
}
