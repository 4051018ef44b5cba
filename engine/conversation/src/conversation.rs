//! The conversation of one call: takes facts and time, gives actions.
//!
//! Every fact goes to the file of its rule; after each fact and each due deadline [`review`]
//! looks at the whole state once: whose floor is it, is the turn over, may the reply be heard,
//! is anybody still there. Deciding from the state, not from the order of facts, is what makes
//! late, doubled and crossing facts harmless. Enter at [`Conversation::handle`].
//!
//! [`review`]: Conversation::review

use std::collections::VecDeque;
use std::time::Duration;

use crate::agent::Agent;
use crate::answer::{CallerTurn, Decided};
use crate::caller::{Caller, Hearing, Speech};
use crate::context::History;
use crate::deadlines::Deadlines;
use crate::echo::Playing;
use crate::guide::Guide;
use crate::reply::Reply;
use crate::speculation::Speculation;
use crate::tools::ToolRun;
use crate::{
    Action, CallState, CallTime, CallerState, Control, Deadline, DropReason, EndReason, Event, Expectation,
    HoldReason, Input, InvocationId, Now, Policy, ReplyId, SpeculationDrop, StateView, TurnId,
};

/// One call's conversation.
#[derive(Debug, Clone)]
pub struct Conversation {
    pub(crate) policy: Policy,
    pub(crate) now: Now,
    pub(crate) deadlines: Deadlines,
    actions: Vec<Action>,
    pub(crate) ids: Ids,
    pub(crate) call: Call,
    /// It goes on with a call that another process began.
    pub(crate) resumed: bool,
    pub(crate) caller: Caller,
    pub(crate) hearing: Hearing,
    /// The caller's speech that is not decided.
    pub(crate) speech: Option<Speech>,
    /// The newest turn that was answered: E6 may open it again.
    pub(crate) decided: Option<Decided>,
    /// At most one decided turn waits for the floor (B6).
    pub(crate) queued: Option<CallerTurn>,
    pub(crate) agent: Agent,
    /// The reply before: what was heard of it may still be answered (B4).
    pub(crate) previous: Option<Box<Reply>>,
    pub(crate) filler: Option<Box<Reply>>,
    /// An answer begun before the decision (S).
    pub(crate) speculation: Speculation,
    pub(crate) fillers_said: usize,
    pub(crate) guide: Option<Guide>,
    pub(crate) tools: Vec<ToolRun>,
    pub(crate) history: History,
    /// What the caller's next answer may be.
    pub(crate) expectation: Expectation,
    /// Words that the next reply says first: a greeting or a result that was not heard.
    pub(crate) owed: String,
    /// B10: what is left of a reply that voice alone cut.
    pub(crate) remainder: Option<Box<Reply>>,
    pub(crate) says: VecDeque<Saying>,
    pub(crate) digits: String,
    pub(crate) playing: Playing,
    /// A7: end of what was last heard of either.
    pub(crate) quiet_since: CallTime,
    pub(crate) reminders: u32,
    /// Whether any audio or text of the caller came.
    pub(crate) caller_came: bool,
    /// A3: failures in a row.
    pub(crate) failures: u32,
    /// A6: an ending can be cancelled once.
    pub(crate) ending_cancelled: bool,
    /// When the turn's end was last said to be due, so that it is told only when it changes.
    pub(crate) waiting_told: Option<(TurnId, CallTime)>,
}

/// How far the call is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Call {
    Opening,
    Live,
    /// A6: the last words are said, then it ends for this reason.
    Closing {
        reason: EndReason,
        cancellable: bool,
    },
    Over,
}

/// A reply of its own that waits for the floor.
#[derive(Debug, Clone)]
pub(crate) struct Saying {
    pub text: String,
    pub protected: bool,
    pub kind: crate::ReplyKind,
}

/// The newest of each id.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ids {
    turn: u32,
    reply: u32,
    invocation: u32,
    sequence: u32,
}

impl Ids {
    pub(crate) fn turn(&mut self) -> TurnId {
        self.turn += 1;
        TurnId(self.turn)
    }
    pub(crate) fn reply(&mut self) -> ReplyId {
        self.reply += 1;
        ReplyId(self.reply)
    }
    pub(crate) fn invocation(&mut self) -> InvocationId {
        self.invocation += 1;
        InvocationId(self.invocation)
    }
    /// Those that come after these.
    pub(crate) fn after(turn: u32, reply: u32, invocation: u32, sequence: u32) -> Self {
        Self { turn, reply, invocation, sequence }
    }
    pub(crate) fn sequence(&mut self) -> u32 {
        self.sequence += 1;
        self.sequence
    }
}

impl Conversation {
    /// A call that has not begun.
    pub fn new(policy: Policy) -> Self {
        Self {
            hearing: Hearing::new(policy.transcriber.lag_p95),
            guide: Guide::new(&policy),
            policy,
            now: Now::default(),
            deadlines: Deadlines::default(),
            actions: Vec::new(),
            ids: Ids::default(),
            call: Call::Opening,
            resumed: false,
            caller: Caller::Silent,
            speech: None,
            decided: None,
            queued: None,
            agent: Agent::Listening,
            previous: None,
            filler: None,
            speculation: Speculation::default(),
            fillers_said: 0,
            tools: Vec::new(),
            history: History::default(),
            expectation: Expectation::default(),
            owed: String::new(),
            remainder: None,
            says: VecDeque::new(),
            digits: String::new(),
            playing: Playing::default(),
            quiet_since: CallTime::ZERO,
            reminders: 0,
            caller_came: false,
            failures: 0,
            ending_cancelled: false,
            waiting_told: None,
        }
    }

    /// Takes a fact; `out` gets what is to be done, in order. Time that goes back is held.
    ///
    /// Deadlines that fell due are fired first, in their order and at their due time, so that a late
    /// wake-up and a busy inbox give the same history. After `EndCall` nothing comes any more.
    pub fn handle(&mut self, now: Now, input: Input, out: &mut Vec<Action>) {
        let now = Now { clock: now.clock.max(self.now.clock), audio: now.audio.max(self.now.audio) };
        self.fire_due(now);
        self.now = now;
        if !self.is_over() {
            self.take(input);
            self.review();
        }
        self.fire_due(now);
        self.now = now;
        out.append(&mut self.actions);
    }

    fn take(&mut self, input: Input) {
        match input {
            Input::CallStarted => self.call_started(),
            Input::FarEndReady => self.far_end_ready(),
            Input::FarEndLost { reason } => self.end(reason),
            Input::CallerAudioStarted => self.caller_came = true,
            Input::CallerVoiceStarted { at } => self.voice_started(at),
            Input::CallerVoiceEnded { last } => self.voice_ended(last),
            Input::CallerAudioReached | Input::DeadlineReached => {}
            Input::Transcript(transcript) => self.transcript(&transcript),
            Input::ProviderTurn { signal } => self.provider_turn(signal),
            Input::ReplyText { reply, text } => self.reply_text(reply, &text),
            Input::ReplyFinished { reply } => self.reply_finished(reply),
            Input::ReplyWantsTools { reply, calls } => self.reply_wants_tools(reply, calls),
            Input::ToolFinished { invocation, outcome } => self.tool_finished(invocation, outcome),
            Input::AudioReady { reply, segment, length, words, finished } => {
                self.audio_ready(reply, segment, length, words, finished);
            }
            Input::PlayoutStarted { reply, at } => self.playout_started(reply, at),
            Input::PlayedUpTo { reply, position, at } => self.played_up_to(reply, position, at),
            Input::PlayoutDrained { reply, at } => self.playout_drained(reply, at),
            Input::Digit { digit, at } => self.digit(digit, at),
            Input::TypedText { text } => {
                self.caller_came = true;
                self.typed(&text);
            }
            Input::Control(control) => self.control(control),
            Input::ProviderFailed { kind, reply, message, fallback_left } => {
                self.provider_failed(kind, reply, message, fallback_left);
            }
            Input::TranscriberReplaced { transcriber, from } => self.transcriber_replaced(transcriber, from),
            Input::ProviderSwitched { kind, from, to, reason } => {
                self.tell(Event::ProviderSwitched { kind, from, to, reason });
            }
        }
    }

    fn control(&mut self, control: Control) {
        match control {
            Control::Interrupt => self.interrupt_by_client(),
            Control::Say { text, protected } => self.say(text, protected),
            Control::Settings(policy) => self.change_settings(*policy),
            Control::End { reason } => self.end(reason),
        }
    }

    fn fire_due(&mut self, reached: Now) {
        while !self.is_over() {
            let Some((deadline, due)) = self.deadlines.next(reached) else { return };
            self.now.clock = self.now.clock.max(due);
            self.now.audio = self.now.audio.max(reached.audio.min(due));
            self.fire(deadline);
            self.review();
        }
    }

    fn fire(&mut self, deadline: Deadline) {
        match deadline {
            Deadline::Begin => self.begin(),
            Deadline::EndOfTurn => self.end_of_turn_due(),
            Deadline::Finalize => self.finalize(),
            Deadline::Speculate => {} // the review that follows begins it
            Deadline::Hold => self.hold(),
            Deadline::HoldOutcome => self.hold_outcome_due(),
            Deadline::Release => self.release(),
            Deadline::FirstToken => self.first_token_missed(),
            Deadline::FirstAudio | Deadline::StalledAudio => self.audio_missed(deadline),
            Deadline::Filler => self.say_filler(),
            Deadline::Tool => self.tool_due(),
            Deadline::Reminder => self.remind(),
            Deadline::Silence => self.close(self.silence()),
            Deadline::Goodbye => self.goodbye_due(),
            Deadline::DtmfCollect => self.digits_complete(),
            Deadline::DurationWarning => self.warn_of_duration(),
            Deadline::MaxDuration => self.duration_reached(),
        }
    }

    /// What follows from the state as it is now. Each step looks at what the one before left.
    fn review(&mut self) {
        if self.is_over() {
            return;
        }
        self.judge_speech();
        self.watch_turn_end();
        self.watch_speculation();
        self.release_when_ready();
        self.end_reply_when_played();
        self.take_the_floor();
        self.watch_silence();
    }

    /// When `handle` must be called with `DeadlineReached`, if no fact comes before.
    pub fn next_deadline(&self) -> Option<CallTime> {
        self.deadlines.wake(self.now)
    }

    /// Every wait that runs and when it is over, for logs and tests.
    pub fn waits(&self) -> impl Iterator<Item = (Deadline, CallTime)> {
        self.deadlines.all()
    }

    /// The earliest moment of the caller's audio that is waited for: tell when it was received.
    pub fn audio_wanted(&self) -> Option<CallTime> {
        self.deadlines.audio_wanted(self.now)
    }

    /// Whether the call has ended; nothing is decided any more.
    pub fn is_over(&self) -> bool {
        self.call == Call::Over
    }

    /// Who does what, for logs and tests.
    pub fn state(&self) -> StateView {
        let caller = match self.caller {
            Caller::Silent => CallerState::Silent,
            Caller::Speaking { .. } => CallerState::Speaking,
            Caller::Paused { .. } => CallerState::Paused,
        };
        let call = match self.call {
            Call::Opening => CallState::Opening,
            Call::Live => CallState::Live,
            Call::Closing { .. } => CallState::Closing,
            Call::Over => CallState::Over,
        };
        StateView { caller, agent: self.agent.state(), call }
    }

    pub(crate) fn act(&mut self, action: Action) {
        self.actions.push(action);
    }

    pub(crate) fn tell(&mut self, event: Event) {
        self.actions.push(Action::Tell(event));
    }

    pub(crate) fn dropped(&mut self, what: impl Into<String>, why: DropReason) {
        self.tell(Event::Dropped { what: what.into(), why });
    }

    pub(crate) fn after(&self, wait: Duration) -> CallTime {
        self.now.clock + wait
    }

    /// Ends the call now. What was heard and said so far is told; `EndCall` is the last command.
    pub(crate) fn end(&mut self, reason: EndReason) {
        if self.is_over() {
            return;
        }
        self.drop_speculation(SpeculationDrop::CallEnded);
        self.cut(HoldReason::CallEnded);
        self.tell_undecided_words();
        self.call = Call::Over;
        self.deadlines.clear_all();
        self.tell(Event::Ended { reason });
        self.act(Action::EndCall { reason });
    }
}
