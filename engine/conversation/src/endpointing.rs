//! Endpointing (E): when a silent caller has finished the turn.
//!
//! Takes the silence so far, the words so far and what was asked; gives one deadline, and closes the
//! turn when it is due. Starts no reply. Enter at [`Conversation::watch_turn_end`]. It waits longer
//! after "and" or half a phone number, because cutting a caller off costs more than 400 ms of quiet.

use std::time::Duration;

use crate::answer::CallerTurn;
use crate::asked::asked_by;
use crate::caller::{Caller, Speech, Standing};
use crate::flow::Completeness;
use crate::words::{ends_open, ends_sentence};
use crate::{
    CallTime, Conversation, Deadline, Event, Expectation, Responder, TurnEndReason, TurnSignal, WaitReason,
};

/// E1: the wait is never shorter or longer than this.
const WAIT_MIN: Duration = Duration::from_millis(250);
const WAIT_MAX: Duration = Duration::from_millis(3_000);
/// E3: finalize is asked for this long after the voice ended.
pub(crate) const FINALIZE_AFTER: Duration = Duration::from_millis(100);
/// E3: settlement may take this much longer than the provider's 95th percentile.
const SETTLE_GRACE: Duration = Duration::from_millis(300);
/// E3: a watermark that lies so far behind the voice when it should have settled does not move any more.
const MUTE_GAP: Duration = Duration::from_millis(500);
/// E5: a provider that decides turns is waited for at least this long after the last voiced sample. Flux by itself
/// gives up after 5 s, which is long for a caller whose transcriber is stuck.
const PROVIDER_WAIT: Duration = Duration::from_millis(2_000);
/// E9: voice without new words for this much longer than the wait is no speech.
const WORDLESS: Duration = Duration::from_millis(600);

impl Conversation {
    /// Everything the caller said up to the last voiced sample has been listened to.
    pub(crate) fn is_settled(&self, last: CallTime) -> bool {
        if self.policy.transcriber.watermark {
            self.hearing.has_covered(last)
        } else {
            self.now.clock >= last + self.hearing.lag
        }
    }

    /// When the words are taken as they are, settled or not.
    pub(crate) fn settles_by(&self, last: CallTime) -> CallTime {
        match self.policy.transcriber.watermark {
            true => last + FINALIZE_AFTER + self.hearing.lag + SETTLE_GRACE,
            false => last + self.hearing.lag,
        }
    }

    /// When no word, or only a backchannel, is taken for all there is. An interim may have listened past
    /// the voice and still find a word in it, so its watermark alone is given the usual lag.
    pub(crate) fn concludes_by(&self, last: CallTime) -> CallTime {
        let (settles, usual) = (self.settles_by(last), last + FINALIZE_AFTER + self.hearing.lag);
        let listened = self.policy.transcriber.watermark && self.is_settled(last);
        if listened { usual } else { settles }
    }

    /// Sets the one deadline at which the speech that is going on is decided.
    pub(crate) fn watch_turn_end(&mut self) {
        let due = match (&self.speech, self.caller) {
            (Some(speech), Caller::Speaking { .. }) => self.wordless_due(speech),
            (Some(speech), Caller::Paused { last }) if speech.is_turn() => Some(self.turn_due(speech, last)),
            (Some(_), Caller::Paused { last }) => Some(self.concludes_by(last)),
            (Some(_), Caller::Silent) | (None, _) => None,
        };
        self.note_settlement();
        match due {
            Some(due) => self.deadlines.set(Deadline::EndOfTurn, due),
            None => self.deadlines.clear(Deadline::EndOfTurn),
        }
        if let Some(due) = due {
            self.tell_waiting(due);
        }
        if self.speech.is_none() && matches!(self.caller, Caller::Paused { .. }) {
            self.caller = Caller::Silent;
            self.deadlines.clear(Deadline::Finalize);
        }
    }

    fn note_settlement(&mut self) {
        let Caller::Paused { last } = self.caller else {
            self.speech.iter_mut().for_each(|speech| speech.settled = None);
            return;
        };
        let (settled, clock) = (self.is_settled(last), self.now.clock);
        if let Some(speech) = &mut self.speech {
            speech.settled = settled.then(|| speech.settled.unwrap_or(clock));
        }
    }

    /// E1, E3.
    fn turn_due(&self, speech: &Speech, last: CallTime) -> CallTime {
        let due = last + self.patience(speech, self.is_settled(last)).0;
        if self.is_settled(last) {
            return due;
        }
        // A transcriber that fell behind is mute, not slow: who replaces it hears the rest of the words.
        let transcriber = &self.policy.transcriber;
        let mute = transcriber.watermark && !self.hearing.has_covered(last - MUTE_GAP);
        let recovers = if mute { transcriber.recovery } else { Duration::ZERO };
        due.max(self.settles_by(last)).max(last + recovers)
    }

    /// E9: voice goes on, the transcriber listens on, and no word comes.
    fn wordless_due(&self, speech: &Speech) -> Option<CallTime> {
        if !speech.is_turn() || !speech.has_words() {
            return None;
        }
        let due = speech.newest_word + self.patience(speech, false).0 + WORDLESS;
        let listening = !self.policy.transcriber.watermark || self.hearing.has_covered(due);
        (listening || due > self.now.clock).then_some(due)
    }

    fn tell_waiting(&mut self, until: CallTime) {
        let Some(speech) = &self.speech else { return };
        let (Standing::Turn { id, .. }, Caller::Paused { last }) = (speech.standing, self.caller) else {
            return;
        };
        if self.waiting_told != Some((id, until)) {
            let why = self.patience(speech, self.is_settled(last)).1;
            self.waiting_told = Some((id, until));
            self.tell(Event::Waiting { turn: id, until, why });
        }
    }

    /// E5: a trusted provider has still to tell the end of what is being said.
    pub(crate) fn provider_decides(&self) -> bool {
        let trusted = self.policy.turn_taking.trust_provider_turns;
        trusted && self.policy.transcriber.turns && !self.hearing.ended
    }

    /// The wait of E1, or that of E5 while a trusted provider has still to tell the end.
    fn patience(&self, speech: &Speech, settled: bool) -> (Duration, WaitReason) {
        let (wait, why) = self.wait(speech, settled);
        match self.provider_decides() && why != WaitReason::ValueComplete {
            true => (wait.max(PROVIDER_WAIT), WaitReason::Provider),
            false => (wait, why),
        }
    }

    /// E1: the table. Value complete wins; else the most patient row that fits.
    pub(crate) fn wait(&self, speech: &Speech, settled: bool) -> (Duration, WaitReason) {
        let (text, asked) = (speech.text(), self.asked());
        let (given, asks) = (asked.judge(&text), !asked.slots.is_empty() || !asked.options.is_empty());
        let (factor, why) = if asks && settled && given == Completeness::Complete {
            (0.4, WaitReason::ValueComplete)
        } else if asks && given == Completeness::Partial {
            (2.5, WaitReason::ValueIncomplete)
        } else if ends_open(&text) {
            (2.0, WaitReason::OpenEnded)
        } else if !settled {
            (1.0, WaitReason::NotSettled)
        } else if !asks && ends_sentence(&text) {
            (0.6, WaitReason::FinishedSentence)
        } else {
            (1.0, WaitReason::Ordinary)
        };
        let base = (1_200.0 - 1_000.0 * self.policy.turn_taking.responsiveness.clamp(0.0, 1.0)) / 1_000.0;
        (Duration::from_secs_f64(base * factor).clamp(WAIT_MIN, WAIT_MAX), why)
    }

    /// What was asked: the flow's expectation; without a flow, what the agent's last heard sentence asks.
    fn asked(&self) -> Expectation {
        match self.policy.responder {
            Responder::Flow { .. } => self.expectation.clone(),
            Responder::Model { .. } => {
                let heard = self.agent.reply().or(self.previous.as_deref());
                heard.map(|reply| asked_by(&reply.last_sentence_heard())).unwrap_or_default()
            }
        }
    }

    pub(crate) fn end_of_turn_due(&mut self) {
        let Some(speech) = self.speech.as_ref().filter(|speech| speech.is_turn() && speech.has_words())
        else {
            return;
        };
        let reason = match self.caller {
            Caller::Paused { last } if self.is_settled(last) => match self.wait(speech, true).1 {
                WaitReason::ValueComplete => TurnEndReason::ValueComplete,
                _ => TurnEndReason::Silence,
            },
            Caller::Speaking { .. } if self.wordless_due(speech).is_none_or(|due| due > self.now.clock) => {
                return;
            }
            Caller::Paused { .. } | Caller::Speaking { .. } | Caller::Silent => TurnEndReason::MaxWait,
        };
        self.decide(reason);
    }

    /// E5.
    pub(crate) fn provider_turn(&mut self, signal: TurnSignal) {
        self.tell(Event::ProviderTurn { signal });
        self.note_provider_turn(signal);
        self.hearing.ended = signal == TurnSignal::End;
        let is_turn = self.speech.as_ref().is_some_and(|speech| speech.is_turn() && speech.has_words());
        match signal {
            TurnSignal::Start => self.provider_hears_voice(),
            TurnSignal::End if is_turn && self.policy.turn_taking.trust_provider_turns => {
                self.decide(TurnEndReason::Provider);
            }
            TurnSignal::End | TurnSignal::EagerEnd | TurnSignal::Resumed => {}
        }
    }

    /// Closes the turn (E8) and has it answered, now or when the floor is free.
    fn decide(&mut self, reason: TurnEndReason) {
        let Some(speech) = self.speech.take() else { return };
        let Standing::Turn { id, sequence } = speech.standing else { return };
        self.hearing.judged(&speech);
        let told = self.waiting_told.filter(|(turn, _)| *turn == id).map(|(_, until)| until);
        let wait_until = match reason {
            TurnEndReason::Provider => Some(self.now.clock), // nobody knew how long it would be
            _ => told,
        };
        if matches!(self.caller, Caller::Paused { .. }) {
            self.caller = Caller::Silent;
        }
        let last_voice = speech.last_voice.or(match self.caller {
            Caller::Speaking { .. } => Some(speech.newest_word),
            Caller::Silent | Caller::Paused { .. } => None,
        });
        self.deadlines.clear(Deadline::EndOfTurn);
        self.deadlines.clear(Deadline::Finalize);
        self.turn_ended(CallerTurn {
            id,
            sequence,
            tokens: speech.tokens(),
            started: speech.started,
            last_voice,
            wait_until,
            settled: speech.settled,
            joins: speech.joins,
            reason,
        });
    }
}
