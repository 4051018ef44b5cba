//! Begin, silence and end: what the agent says of its own accord (A1, A6, A7, A9).
//!
//! Greets, reminds a silent caller, warns, says goodbye and ends. Decides nothing about turns.
//! Enter at [`Conversation::begin`] and [`Conversation::watch_silence`].

use std::time::Duration;

use crate::agent::Agent;
use crate::conversation::{Call, Saying};
use crate::flow::{Step, Then};
use crate::past::RESUMED;
use crate::reply::{After, Source};
use crate::{
    Begin, CallTime, Conversation, Deadline, DropReason, EndReason, Expectation, HoldReason, ReplyKind,
    SpeculationDrop,
};

/// A6: the goodbye may take this much longer than its audio.
const GOODBYE_GRACE: Duration = Duration::from_secs(2);
/// A9: the warning comes this long before the end.
const WARNING_BEFORE: Duration = Duration::from_secs(30);
/// What may wait to be said, so that who asks faster than anybody speaks fills no memory.
const SAYS_MAX: usize = 16;

impl Conversation {
    pub(crate) fn call_started(&mut self) {
        let max = self.policy.call_handling.max_duration;
        // The clock of a resumed call goes on, and so does its longest duration.
        let end = if self.resumed { CallTime::ZERO } else { self.now.clock } + max;
        self.deadlines.set(Deadline::MaxDuration, end);
        if self.policy.call_handling.duration_warning.is_some() && max > WARNING_BEFORE {
            self.deadlines.set(Deadline::DurationWarning, end - WARNING_BEFORE);
        }
    }

    pub(crate) fn far_end_ready(&mut self) {
        if self.call == Call::Opening {
            self.deadlines.set(Deadline::Begin, self.after(self.policy.call_handling.begin_delay));
        }
    }

    /// A1.
    pub(crate) fn begin(&mut self) {
        if self.call != Call::Opening {
            return;
        }
        let agent_first = self.resumed || self.policy.call_handling.begin == Begin::Agent;
        let step = self.opening_step();
        if self.resumed && self.guide.is_none() {
            return self.resume_model();
        }
        let caller_speaks = self.speech.as_ref().is_some_and(|speech| speech.is_turn());
        if agent_first && caller_speaks {
            self.owe(&step.say); // the greeting and the answer become one reply
        } else if agent_first {
            return self.take_step(step, ReplyKind::Greeting, None);
        }
        self.tell_flow();
        if let Then::Listen(expectation) = step.then {
            self.expect(expectation);
        }
    }

    /// The first words, and the call is live.
    fn opening_step(&mut self) -> Step {
        self.call = Call::Live;
        self.deadlines.clear(Deadline::Begin);
        self.quiet_since = self.now.clock;
        let message = self.policy.call_handling.begin_message.clone().filter(|_| !self.resumed);
        let message = message.unwrap_or_default();
        let listen = Step { say: message, then: Then::Listen(Expectation::default()) };
        self.guide.as_mut().map_or(listen, |guide| guide.begin())
    }

    fn resume_model(&mut self) {
        let reply = self.begin_reply(ReplyKind::Answer, Source::Model, None);
        self.start_model(reply, Some(RESUMED));
    }

    /// A1: the caller was quicker: the greeting goes before the answer.
    pub(crate) fn owe_greeting(&mut self) {
        let agent_first = self.policy.call_handling.begin == Begin::Agent;
        let step = self.opening_step();
        if agent_first {
            self.owe(&step.say);
        }
        if let Then::Listen(expectation) = step.then {
            self.expectation = expectation;
        }
    }

    /// A greeting, or a flow's word on what was done, that nobody heard goes before the answer.
    pub(crate) fn owe_unheard(&mut self) {
        let Some(reply) = self.agent.reply() else { return };
        let owed = match reply.kind {
            ReplyKind::Greeting => true,
            ReplyKind::AfterTool => self.guide.is_some(), // a model sees the result in its context
            _ => false,
        };
        if owed && reply.heard_from.is_none() {
            let (_, text) = reply.heard_text();
            self.owe(&text);
        }
    }

    /// Said first in the next reply.
    pub(crate) fn owe(&mut self, text: &str) {
        self.owed = [self.owed.as_str(), text].join(" ").trim().to_owned();
    }

    /// The caller gave words: nobody needs to be reminded (A7).
    pub(crate) fn caller_was_here(&mut self, at: CallTime) {
        self.quiet_since = self.quiet_since.max(at);
        self.reminders = 0;
    }

    /// A7: waits for the caller while nothing else goes on. Noise does not reset it.
    pub(crate) fn watch_silence(&mut self) {
        self.deadlines.clear(Deadline::Reminder);
        self.deadlines.clear(Deadline::Silence);
        let idle = self.agent.is_listening()
            && self.is_caller_quiet()
            && !self.tool_runs()
            && self.remainder.is_none()
            && self.digits.is_empty();
        if self.call != Call::Live || !idle {
            return;
        }
        let handling = &self.policy.call_handling;
        if self.reminders < handling.reminder_max {
            self.deadlines.set(Deadline::Reminder, self.quiet_since + handling.reminder_after);
        } else {
            self.deadlines.set(Deadline::Silence, self.quiet_since + handling.silence_limit);
        }
    }

    pub(crate) fn remind(&mut self) {
        self.reminders += 1;
        self.quiet_since = self.now.clock;
        let text = self.policy.call_handling.reminder_text.clone();
        self.say_and_ask_again(&text, ReplyKind::Reminder);
    }

    /// Says this, and the flow's last question again.
    pub(crate) fn say_and_ask_again(&mut self, text: &str, kind: ReplyKind) {
        let again = self.guide.as_ref().map(|guide| guide.run.repeat());
        let step = match again {
            Some(Step { say, then: then @ Then::Listen(_) }) => Step { say: format!("{text} {say}"), then },
            _ => Step { say: text.to_owned(), then: Then::Listen(Expectation::default()) },
        };
        self.take_step(step, kind, None);
    }

    /// The client wants this said; it waits for the floor.
    pub(crate) fn say(&mut self, text: String, protected: bool) {
        if self.says.len() >= SAYS_MAX {
            self.dropped("say", DropReason::TooMany);
            return;
        }
        self.says.push_back(Saying { text, protected, kind: ReplyKind::Say });
    }

    /// A9: said when the floor is free.
    pub(crate) fn warn_of_duration(&mut self) {
        if let Some(text) = self.policy.call_handling.duration_warning.clone() {
            self.says.push_back(Saying { text, protected: false, kind: ReplyKind::Warning });
        }
    }

    pub(crate) fn say_next(&mut self) {
        let Some(saying) = self.says.pop_front().filter(|saying| !saying.text.trim().is_empty()) else {
            return;
        };
        self.begin_reply(saying.kind, Source::Complete, None);
        if let Some(reply) = self.agent.reply_mut() {
            reply.protected = saying.protected;
        }
        self.speak(&saying.text);
    }

    /// A6: the current reply has the last words.
    pub(crate) fn begin_ending(&mut self, reason: EndReason) {
        self.call = Call::Closing { reason, cancellable: !self.ending_cancelled };
        let Some(reply) = self.agent.reply_mut() else { return self.end(reason) };
        reply.after = After::End(reason);
        if reply.is_empty() {
            return self.end(reason);
        }
        self.watch_goodbye();
    }

    /// What it is called when nobody has spoken for the silence limit.
    pub(crate) fn silence(&self) -> EndReason {
        let nobody = self.policy.call_handling.expects_audio && !self.caller_came;
        if nobody { EndReason::NoAudio } else { EndReason::Silence }
    }

    /// The engine itself ends the call: last words of its own, then the end.
    pub(crate) fn close(&mut self, reason: EndReason) {
        self.drop_speculation(SpeculationDrop::CallEnded);
        self.cut(HoldReason::CallEnded);
        self.drop_speech(DropReason::CallOver);
        self.queued = None;
        self.owed.clear();
        let text = self.policy.call_handling.goodbye_text.clone();
        if text.trim().is_empty() {
            return self.end(reason);
        }
        self.begin_reply(ReplyKind::Goodbye, Source::Complete, None);
        self.speak(&text);
        self.begin_ending(reason);
        if !matches!(reason, EndReason::Silence | EndReason::NoAudio) {
            self.call = Call::Closing { reason, cancellable: false };
        }
    }

    /// A6: at most the expected playout and 2 s.
    pub(crate) fn watch_goodbye(&mut self) {
        let Call::Closing { .. } = self.call else { return };
        let Some(reply) = self.agent.reply().filter(|reply| matches!(reply.after, After::End(_))) else {
            return;
        };
        let mut wait = reply.remaining() + GOODBYE_GRACE;
        if !reply.has_audio() {
            wait += self.policy.budgets.first_audio;
        }
        self.deadlines.set(Deadline::Goodbye, self.after(wait));
    }

    pub(crate) fn goodbye_due(&mut self) {
        match self.call {
            Call::Closing { reason, .. } => self.end(reason),
            Call::Opening | Call::Live if self.agent.reply().is_some() => self.close(EndReason::MaxDuration),
            Call::Opening | Call::Live | Call::Over => {}
        }
    }

    /// A6: the caller's words cancel the ending, once.
    pub(crate) fn ending_is_off(&mut self) {
        if matches!(self.call, Call::Closing { cancellable: true, .. }) {
            self.call = Call::Live;
            self.ending_cancelled = true;
            self.deadlines.clear(Deadline::Goodbye);
        }
    }

    /// A9: a sentence that is being said is let finish, then the goodbye.
    pub(crate) fn duration_reached(&mut self) {
        let now = self.now.clock;
        if matches!(self.call, Call::Closing { .. }) {
            return; // ending already, within the goodbye's own limit
        }
        let Agent::Speaking(reply) = &mut self.agent else { return self.close(EndReason::MaxDuration) };
        let end = reply.segment_end();
        let left = end.saturating_sub(reply.position);
        reply.cut_at = Some(end);
        reply.after = After::End(EndReason::MaxDuration);
        self.deadlines.set(Deadline::Goodbye, now + left + GOODBYE_GRACE);
    }
}
