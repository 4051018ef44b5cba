//! Typed text and digits (E7, B9): whole turns that end at once.
//!
//! They take the floor like words do. Words the caller was just saying go with a typed turn, because
//! it is one person who says both. Enter at [`Conversation::whole_turn`].

use crate::agent::Agent;
use crate::answer::CallerTurn;
use crate::caller::{Caller, Speech, Standing, Token};
use crate::conversation::Call;
use crate::words::{Kind, classify, normal};
use crate::{CallTime, Conversation, Deadline, DropReason, Event, HoldReason, TurnEndReason};

impl Conversation {
    pub(crate) fn typed(&mut self, text: &str) {
        let text = text.trim();
        if text.is_empty() {
            return;
        }
        if matches!(self.call, Call::Closing { .. }) && self.is_closing_word(text) {
            return self.dropped(text, DropReason::Backchannel);
        }
        self.whole_turn(text, TurnEndReason::Typed);
    }

    /// A6: "thanks, bye" goes with a goodbye.
    pub(crate) fn is_closing_word(&self, text: &str) -> bool {
        let closings = self.policy.call_handling.closings.iter().chain(&self.policy.turn_taking.backchannels);
        classify(&normal(text), closings.map(String::as_str)) != Kind::Words
    }

    fn whole_turn(&mut self, text: &str, reason: TurnEndReason) {
        if matches!(self.call, Call::Closing { cancellable: false, .. }) {
            return self.dropped(text, DropReason::CallOver);
        }
        self.take_floor_by_client();
        let now = self.now.clock;
        let spoken = self.spoken_so_far();
        let mut tokens = spoken.as_ref().map(Speech::tokens).unwrap_or_default();
        tokens.extend(text.split_whitespace().map(|word| Token { text: word.to_owned(), span: None }));
        let (id, sequence) = match spoken.as_ref().map(|speech| speech.standing) {
            Some(Standing::Turn { id, sequence }) => (id, sequence),
            Some(Standing::Unjudged) | None => self.new_turn(now),
        };
        self.turn_ended(CallerTurn {
            id,
            sequence,
            tokens,
            started: spoken.map_or(now, |speech| speech.started),
            last_voice: None,
            wait_until: None,
            settled: Some(now),
            joins: 0,
            reason,
        });
    }

    fn new_turn(&mut self, at: CallTime) -> (crate::TurnId, u32) {
        let (turn, sequence) = (self.ids.turn(), self.ids.sequence());
        self.tell(Event::TurnStarted { turn, at });
        (turn, sequence)
    }

    /// The spoken turn that the typed text closes; words that were no turn yet are dropped.
    fn spoken_so_far(&mut self) -> Option<Speech> {
        let speech = self.speech.as_ref().filter(|speech| speech.has_words())?;
        if !speech.is_turn() {
            self.drop_speech(DropReason::Backchannel);
            return None;
        }
        let speech = self.speech.take()?;
        self.hearing.judged(&speech);
        if matches!(self.caller, Caller::Paused { .. }) {
            self.caller = Caller::Silent;
        }
        self.deadlines.clear(Deadline::EndOfTurn);
        self.deadlines.clear(Deadline::Finalize);
        Some(speech)
    }

    fn take_floor_by_client(&mut self) {
        let thinking = matches!(self.agent, Agent::Thinking(_));
        if thinking && self.tools_block() || self.is_protected() {
            return;
        }
        self.owe_unheard();
        self.cut(HoldReason::Client);
    }

    /// A digit: collected until the terminator, the most digits or the wait for the next one.
    pub(crate) fn digit(&mut self, digit: char, at: CallTime) {
        if matches!(self.call, Call::Closing { cancellable: false, .. }) {
            return self.dropped(digit, DropReason::CallOver);
        }
        self.caller_was_here(at);
        if self.policy.turn_taking.digit_interrupts
            && matches!(self.agent, Agent::Speaking(_) | Agent::Held(..))
        {
            self.take_floor_by_client();
            self.ending_is_off();
        }
        let rule = &self.policy.turn_taking.dtmf;
        let (ends, most, wait) = (digit == rule.terminator, rule.max_digits.max(1) as usize, rule.timeout);
        if !ends {
            self.digits.push(digit);
        }
        if ends || self.digits.len() >= most {
            self.digits_complete();
        } else {
            self.deadlines.set(Deadline::DtmfCollect, self.after(wait));
        }
    }

    /// The collection is a turn; half of one after the wait, too.
    pub(crate) fn digits_complete(&mut self) {
        self.deadlines.clear(Deadline::DtmfCollect);
        let digits = std::mem::take(&mut self.digits);
        if !digits.is_empty() {
            self.whole_turn(&digits, TurnEndReason::Dtmf);
        }
    }
}
