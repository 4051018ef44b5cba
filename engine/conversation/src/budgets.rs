//! Budgets (A3): what is done when the model or the voice is slow or fails.
//!
//! Each wait may be missed once; then the reply has failed: an apology once, and the end of the call
//! when it happens again and again. Fallback and hedging are the providers'. Enter at
//! [`Conversation::first_token_missed`].

use crate::agent::Agent;
use crate::caller::Caller;
use crate::heard::{Place, text_of};
use crate::reply::{Reply, Source};
use crate::{
    Action, Conversation, Deadline, EndReason, Event, HoldOutcome, HoldReason, ProviderKind, ReplyId,
    ReplyKind, ReplyOutcome, SpeculationDrop,
};

impl Conversation {
    pub(crate) fn first_token_missed(&mut self) {
        if self.speculation.is_in_flight() {
            return self.drop_speculation(SpeculationDrop::TooSlow);
        }
        if self.model_writes() {
            self.wait_missed(Deadline::FirstToken, self.policy.budgets.first_token);
        }
    }

    pub(crate) fn audio_missed(&mut self, deadline: Deadline) {
        if self.speculation.is_in_flight() {
            return self.drop_speculation(SpeculationDrop::TooSlow);
        }
        let wait = match deadline {
            Deadline::FirstAudio => self.policy.budgets.first_audio,
            _ => self.policy.budgets.stalled_audio,
        };
        self.wait_missed(deadline, wait);
    }

    fn wait_missed(&mut self, deadline: Deadline, wait: std::time::Duration) {
        let Some(reply) = self.agent.reply_mut() else { return };
        reply.missed += 1;
        let last = reply.missed > 1;
        let answer = if last { "given up" } else { "waited for once more" };
        self.tell(Event::DeadlineMissed { deadline, answer: answer.into() });
        if last {
            let kind = match deadline {
                Deadline::FirstToken => ProviderKind::LanguageModel,
                _ => ProviderKind::TextToSpeech,
            };
            self.fail_reply(kind);
        } else {
            self.deadlines.set(deadline, self.after(wait));
        }
    }

    /// The reply can't go on.
    fn fail_reply(&mut self, kind: ProviderKind) {
        let held = matches!(self.agent, Agent::Held(..));
        let thinking = matches!(self.agent, Agent::Thinking(_));
        let Some(reply) = self.agent.leave() else { return };
        let id = reply.id;
        if !thinking {
            self.act(Action::FlushPlayout { reply: id });
        }
        self.act(Action::CancelReply { reply: id });
        if held {
            let (outcome, reason) = (HoldOutcome::Interrupted, HoldReason::TimedOut);
            self.tell(Event::HoldEnded { reply: id, outcome, reason });
        }
        self.drop_waiting_tools(id);
        self.reply_is_over(*reply, ReplyOutcome::Failed, None);
        self.after_failure(kind);
    }

    /// Apologise once and listen; too many in a row end the call.
    pub(crate) fn after_failure(&mut self, kind: ProviderKind) {
        if self.is_over() || !self.agent.is_listening() {
            return;
        }
        self.failures += 1;
        if self.failures >= self.policy.budgets.failures_max.max(1) {
            return self.close(failed(kind));
        }
        let apology = self.policy.call_handling.apology_text.clone();
        self.say_and_ask_again(&apology, ReplyKind::Apology);
    }

    pub(crate) fn provider_failed(
        &mut self,
        kind: ProviderKind,
        reply: Option<ReplyId>,
        message: String,
        fallback_left: bool,
    ) {
        self.tell(Event::ProviderFailed { kind, message });
        if reply.is_some_and(|id| self.speculation.is_on(id)) {
            if kind == ProviderKind::TextToSpeech || !fallback_left {
                self.drop_speculation(SpeculationDrop::Failed);
            }
            return;
        }
        let current = reply.is_none_or(|id| self.agent.on(id).is_some());
        match kind {
            ProviderKind::TextToSpeech if fallback_left && current => self.voice_again(),
            ProviderKind::LanguageModel if !fallback_left && current && self.model_writes() => {
                self.fail_reply(kind)
            }
            ProviderKind::TextToSpeech if !fallback_left && current => self.end(failed(kind)),
            ProviderKind::SpeechToText if !fallback_left => self.close(failed(kind)),
            ProviderKind::SpeechToText | ProviderKind::LanguageModel | ProviderKind::TextToSpeech => {}
        }
    }

    fn model_writes(&self) -> bool {
        self.agent.reply().is_some_and(|reply| reply.source == Source::Model)
    }

    /// The fallback voice goes on from the first word there is no audio of; one word may come twice.
    fn voice_again(&mut self) {
        let Some(reply) = self.agent.reply_mut() else { return };
        let Some(first) = reply.segments.iter().position(|segment| !segment.finished) else { return };
        let audio: std::time::Duration = reply.segments[..=first].iter().map(|segment| segment.length).sum();
        let places = reply.places();
        let voiced = places.iter().filter(|place| place.segment == first && place.end <= audio).count();
        let own: Vec<Place> = places.into_iter().filter(|place| place.segment == first).collect();
        let mut again = vec![text_of(&own[voiced..])];
        again.extend(reply.segments[first + 1..].iter().map(|segment| segment.text.clone()));
        reply.keep_voiced(first, voiced);
        again.into_iter().filter(|text| !text.is_empty()).for_each(|text| self.speak(&text));
    }

    pub(crate) fn watch_for_filler(&mut self, kind: ReplyKind) {
        if matches!(kind, ReplyKind::Answer | ReplyKind::AfterTool) && !self.policy.budgets.fillers.is_empty()
        {
            self.deadlines.set(Deadline::Filler, self.after(self.policy.budgets.filler_after));
        }
    }

    /// A filler bridges the wait; it is no part of the reply and not in the context.
    pub(crate) fn say_filler(&mut self) {
        let Agent::Thinking(reply) = &self.agent else { return };
        if reply.has_audio() || matches!(self.caller, Caller::Speaking { .. }) {
            return;
        }
        let fillers = &self.policy.budgets.fillers;
        let Some(text) = fillers.get(self.fillers_said % fillers.len().max(1)).cloned() else { return };
        self.fillers_said += 1;
        let id = self.ids.reply();
        let mut filler = Reply::new(id, ReplyKind::Filler, None, Source::Complete);
        let segment = filler.add_segment(text.clone(), text.clone());
        self.filler = Some(Box::new(filler));
        self.tell(Event::DeadlineMissed { deadline: Deadline::Filler, answer: "filler said".into() });
        self.tell(Event::ReplyStarted { reply: id, kind: ReplyKind::Filler, turn: None });
        self.act(Action::Synthesize { reply: id, segment, text });
        self.act(Action::ReleaseReply { reply: id });
    }

    /// A filler that has no audio yet is not needed once the reply has.
    pub(crate) fn take_back_late_filler(&mut self) {
        if self.filler.as_ref().is_some_and(|filler| !filler.has_audio()) {
            self.cancel_filler();
        }
    }

    pub(crate) fn filler_drained(&mut self) {
        if let Some(filler) = self.filler.take_if(|filler| filler.is_complete()) {
            self.tell(Event::ReplyEnded { reply: filler.id, outcome: ReplyOutcome::Heard });
        }
    }

    pub(crate) fn cancel_filler(&mut self) {
        let Some(filler) = self.filler.take() else { return };
        self.act(Action::FlushPlayout { reply: filler.id });
        self.act(Action::CancelReply { reply: filler.id });
        self.tell(Event::ReplyEnded { reply: filler.id, outcome: ReplyOutcome::Cancelled });
    }
}

/// Why a call ends whose provider of this kind has failed for good.
fn failed(kind: ProviderKind) -> EndReason {
    match kind {
        ProviderKind::SpeechToText => EndReason::SpeechToTextFailed,
        ProviderKind::LanguageModel => EndReason::LanguageModelFailed,
        ProviderKind::TextToSpeech => EndReason::TextToSpeechFailed,
    }
}
