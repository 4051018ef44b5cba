//! The loop of the hall: takes facts in order, hands them to the conversation, carries out what it says.
//!
//! Never awaits what it starts: everybody answers through the inbox. One look round each turn of the loop
//! sends the frames that are due and tells how far the far end has played.

use std::collections::VecDeque;
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use parlance_conversation::{
    Action, AgentState, CallTime, CallerState, Control, Conversation, DropReason, EndReason, Event, Input,
    InvocationId, Now, ReplyId,
};
use parlance_media::g711::Law;
use parlance_proto::v1::session_control::Control as WireControl;
use parlance_proto::v1::voice_session_request::Request;
use parlance_proto::v1::voice_session_response::Response;
use parlance_proto::v1::{self, VoiceSessionRequest};
use parlance_providers::{llm, tts};
use tonic::{Code, Status, Streaming};

use super::allowance::Allowance;
use super::caller_audio::{AHEAD_MAX, CallerAudio};
use super::clock::Clock;
use super::facts;
use super::far_end::FarEnd;
use super::inbox::{Inbox, Post, Posted};
use super::journal::{CLOSE_WAIT, Closing, Record};
use super::notes::PassedOver;
use super::playout::{Playout, Progress};
use super::record::Recording;
use super::requests::Requests;
use super::telling::CallJournal;
use super::usage::{Names, Tally};
use super::voice::Voice;
use crate::convert::{event, length, tools};
use crate::metrics::Metrics;
use crate::prices::Prices;
use crate::status::{Refusal, Violations};
use crate::tools::Toolbox;
use crate::tools::client::Answer;
use crate::traces::call::CallTrace;

/// A client that closed its side gets the answer under way, but no more than this.
const LAST_ANSWER: Duration = Duration::from_secs(20);
/// The hall looks round at least so often, whatever happens.
const LOOK_ROUND: Duration = Duration::from_secs(1);
/// How soon it looks again while the far end has no room.
const STALLED_LOOK: Duration = Duration::from_millis(20);
const TYPED_MAX: usize = 4_000;
const SAY_MAX: usize = 2_000;
const AUDIO_MAX: usize = 65_536;

/// What the client asked for at the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// No audio will come.
    pub text_only: bool,
    /// Interims, turns and waterfalls are wanted.
    pub details: bool,
}

/// One live call.
pub struct Session {
    pub(super) clock: Clock,
    pub(super) conversation: Conversation,
    pub(super) inbox: Inbox,
    pub(super) post: Post,
    pub(super) far_end: FarEnd,
    pub(super) caller_audio: CallerAudio,
    pub(super) playout: Playout,
    pub(super) voice: Voice,
    pub(super) model: Option<Arc<dyn llm::LanguageModel>>,
    pub(super) requests: Requests,
    pub(super) toolbox: Toolbox,
    pub(super) journal: CallJournal,
    pub(super) recording: Option<Recording>,
    pub(super) options: Options,
    pub(super) metrics: Arc<Metrics>,
    pub(super) trace: Option<CallTrace>,
    pub(super) facts: VecDeque<Input>,
    pub(super) ended: Option<EndReason>,
    pub(super) tally: Tally,
    pub(super) prices: Arc<Prices>,
    pub(super) names: Names,
    pub(super) passed_over: PassedOver,
    pub(super) asking: llm::Request,
    pub(super) key_terms: Vec<String>,
    actions: Vec<Action>,
    heard: Vec<Input>,
    allowance: Allowance,
    hung_up: Option<CallTime>,
    refusal: Option<Status>,
}

/// The parts a session is put together from.
pub struct Parts {
    /// Starts now.
    pub clock: Clock,
    /// Decides.
    pub conversation: Conversation,
    /// Where everybody answers.
    pub inbox: Inbox,
    /// The sending side of the stream.
    pub far_end: FarEnd,
    /// The caller's audio.
    pub caller_audio: CallerAudio,
    /// The agent's audio.
    pub playout: Playout,
    /// The agent's voice.
    pub voice: Voice,
    /// The language model, if the engine has one.
    pub model: Option<Arc<dyn llm::LanguageModel>>,
    /// Runs tools.
    pub toolbox: Toolbox,
    /// Notes everything.
    pub journal: CallJournal,
    /// Records, unless it shall not.
    pub recording: Option<Recording>,
    /// What the client asked for.
    pub options: Options,
    /// Counts.
    pub metrics: Arc<Metrics>,
    /// What providers cost.
    pub prices: Arc<Prices>,
    /// What the providers are called.
    pub names: Names,
    /// What the model is asked beside the conversation.
    pub asking: llm::Request,
    /// What the agent always listens for.
    pub key_terms: Vec<String>,
}

impl Session {
    /// Puts a session together.
    pub fn new(parts: Parts) -> Self {
        let post = parts.inbox.post();
        Self {
            clock: parts.clock,
            conversation: parts.conversation,
            inbox: parts.inbox,
            post,
            far_end: parts.far_end,
            caller_audio: parts.caller_audio,
            playout: parts.playout,
            voice: parts.voice,
            model: parts.model,
            requests: Requests::default(),
            toolbox: parts.toolbox,
            journal: parts.journal,
            recording: parts.recording,
            options: parts.options,
            metrics: parts.metrics,
            trace: None,
            facts: VecDeque::new(),
            ended: None,
            tally: Tally::default(),
            prices: parts.prices,
            names: parts.names,
            passed_over: PassedOver::default(),
            asking: parts.asking,
            key_terms: parts.key_terms,
            actions: Vec::new(),
            heard: Vec::new(),
            allowance: Allowance::default(),
            hung_up: None,
            refusal: None,
        }
    }

    /// Has the call's spans sent too.
    #[must_use]
    pub fn traced(self, trace: Option<CallTrace>) -> Self {
        Self { trace, ..self }
    }

    /// Holds the conversation to its end. Everything the call owned is let go when this returns.
    pub async fn run(mut self, mut incoming: Streaming<VoiceSessionRequest>, ready: Response) {
        self.far_end.tell(self.clock.now(), ready);
        self.feed(Input::CallStarted);
        self.feed(Input::FarEndReady);
        let mut closed = std::pin::pin!(self.far_end.closed());
        let mut alarm = std::pin::pin!(tokio::time::sleep(Duration::ZERO));
        while !self.conversation.is_over() {
            self.look_round();
            alarm.as_mut().reset(self.clock.instant(self.next_wake()));
            tokio::select! {
                biased;
                posted = self.inbox.next() => self.posted(posted),
                () = &mut closed => self.feed(Input::FarEndLost { reason: EndReason::FarEndLost }),
                message = incoming.message(), if self.reads() => self.received(message),
                // Deadlines are looked at in the next round, so that a flood of messages can't starve them.
                () = &mut alarm => {}
            }
        }
        drop(incoming);
        Box::pin(self.finish()).await;
    }

    pub(super) fn now(&self) -> Now {
        let clock = self.clock.now();
        let audio_counts = self.caller_audio.has_begun() && !self.options.text_only && self.hung_up.is_none();
        Now { clock, audio: if audio_counts { self.caller_audio.until() } else { clock } }
    }

    /// Hands a fact over, with the playout's exact position before it, and whatever comes of it.
    pub(super) fn feed(&mut self, input: Input) {
        if let Some(progress) = self.playout.progress(self.clock.now(), true) {
            self.facts.push_back(played(progress, self.clock.now()));
        }
        self.facts.push_back(input);
        self.hand_over();
    }

    fn hand_over(&mut self) {
        while let Some(fact) = self.facts.pop_front() {
            self.handle(fact);
        }
    }

    fn handle(&mut self, fact: Input) {
        if self.conversation.is_over() {
            return;
        }
        let now = self.now();
        self.journal.note(now, Record::Fact(fact.clone()));
        let mut actions = std::mem::take(&mut self.actions);
        self.conversation.handle(now, fact, &mut actions);
        for action in actions.drain(..) {
            self.carry_out(action);
        }
        self.actions = actions;
    }

    fn look_round(&mut self) {
        let now = self.clock.now();
        self.record_played(now);
        while let Some(progress) = self.playout.pump(now, &mut self.far_end) {
            // Not by `feed`: the position it puts first lies some microseconds behind this very start.
            self.facts.push_back(played(progress, now));
            self.hand_over();
        }
        while let Some(progress) = self.playout.progress(now, false) {
            self.feed(played(progress, now));
        }
        self.far_end.drain(now);
        self.stand_in(now);
        if self.conversation.audio_wanted().is_some_and(|wanted| wanted <= self.caller_audio.until()) {
            self.feed(Input::CallerAudioReached);
        }
        if self.conversation.next_deadline().is_some_and(|due| due <= now) {
            self.feed(Input::DeadlineReached);
        }
        if self.inbox.overflowed() {
            self.feed(Input::FarEndLost { reason: EndReason::Overloaded });
        }
        if self.far_end.is_lost(now) {
            self.feed(Input::FarEndLost { reason: EndReason::FarEndLost });
        }
        if let Some(since) = self.hung_up
            && (self.is_idle() || now.since(since) > LAST_ANSWER)
        {
            self.feed(Input::FarEndLost { reason: EndReason::CallerHungUp });
        }
    }

    fn is_idle(&self) -> bool {
        let view = self.conversation.state();
        view.caller == CallerState::Silent && view.agent == AgentState::Listening
    }

    fn next_wake(&self) -> CallTime {
        let now = self.clock.now();
        let stalled = self.far_end.is_stalled().then(|| now + STALLED_LOOK);
        let reading =
            (!self.reads() && self.hung_up.is_none()).then(|| self.caller_audio.until() - AHEAD_MAX / 2);
        [
            self.conversation.next_deadline(),
            self.playout.next_wake(now),
            self.caller_audio.next_wake().filter(|_| self.hung_up.is_none()),
            stalled,
            reading,
        ]
        .into_iter()
        .flatten()
        .fold(now + LOOK_ROUND, CallTime::min)
    }

    /// Whether the next message of the client is wanted now: not while its audio runs ahead of real time.
    fn reads(&self) -> bool {
        self.hung_up.is_none() && self.caller_audio.until() <= self.clock.now() + AHEAD_MAX
    }

    fn posted(&mut self, posted: Posted) {
        match posted {
            Posted::Heard(event) => {
                if let Some(fact) = facts::heard(event, self.caller_audio.start()) {
                    self.feed(fact);
                }
            }
            Posted::Model { reply, request, event } => {
                if let llm::Event::Finished { usage } = &event {
                    self.tally.answered(reply, *usage);
                }
                if self.requests.told(reply, request, &event) {
                    self.feed(facts::modelled(reply, event));
                }
            }
            Posted::Voice { reply, segment, event } => self.voiced(reply, segment, event),
            Posted::Provider(note) => self.noted(note),
            Posted::Tool { invocation, outcome } => self.feed(Input::ToolFinished { invocation, outcome }),
            Posted::ToolCall(call) => self.far_end.tell(self.clock.now(), Response::ToolCall(call)),
            Posted::Control(control) => self.feed(Input::Control(control)),
            Posted::End(reason) => self.feed(Input::Control(Control::End { reason })),
        }
    }

    fn voiced(&mut self, reply: ReplyId, segment: parlance_conversation::SegmentId, event: tts::Event) {
        if !self.voice.speaks(reply, segment) {
            return;
        }
        let ready = |length, words, finished| Input::AudioReady { reply, segment, length, words, finished };
        match event {
            tts::Event::Audio(sound) => {
                let (mut samples, rate_hz) = decoded(sound);
                self.voice.raise(&mut samples);
                match self.playout.collect(reply, segment, &samples, rate_hz) {
                    Ok(length) => self.feed(ready(length, Vec::new(), false)),
                    Err(error) => {
                        tracing::error!(%error, "a voice's audio can't be played");
                        // The chain lets no such audio pass. Said again it would be the same: nobody else is asked.
                        self.voice_broke(format!("the voice's audio can't be played: {error}"), false);
                    }
                }
            }
            tts::Event::Words(words) => {
                let length = self.playout.length_of(reply, segment);
                self.feed(ready(length, facts::segment_words(words), false));
            }
            tts::Event::Finished => {
                let length = self.playout.finish_segment(reply, segment);
                let failure = self.voice.finished();
                self.voice_failed(failure);
                self.feed(ready(length, Vec::new(), true));
            }
            tts::Event::Failed(error) => self.voice_broke(error.to_string(), true),
        }
    }

    fn voice_broke(&mut self, message: String, another_may: bool) {
        if let Some(mut failure) = self.voice.failed(message) {
            failure.fallback_left &= another_may;
            self.feed(super::carry_out::no_voice(failure));
        }
    }

    fn received(&mut self, message: Result<Option<VoiceSessionRequest>, Status>) {
        match message {
            Ok(Some(VoiceSessionRequest { request: Some(request) })) => self.requested(request),
            Ok(Some(VoiceSessionRequest { request: None })) => {
                self.refuse(
                    Violations::one(
                        "request",
                        "is required: one of audio, text, playback, control, tool_result",
                    )
                    .into(),
                );
            }
            Ok(None) => {
                self.hung_up = Some(self.clock.now());
                self.stand_in(self.clock.now() + Duration::from_secs(2));
            }
            // A status with a source is the transport's: the far end reset the stream or vanished.
            Err(status) if status.source().is_none() && status.code() != Code::Cancelled => {
                self.refuse_with(status);
            }
            Err(_) => self.feed(Input::FarEndLost { reason: EndReason::FarEndLost }),
        }
    }

    fn requested(&mut self, request: Request) {
        if !self.allowance.allows(self.clock.now(), &request) {
            let message =
                "too many messages beside the audio: text and control at most 10 a second, all others 100"
                    .to_owned();
            let (reason, retry_after) = (v1::ErrorReason::TooManyMessages, Duration::from_secs(1));
            return self.refuse(Refusal::Exhausted { reason, message, retry_after });
        }
        match request {
            Request::Audio(_) if self.options.text_only => {
                self.refuse(Violations::one("audio", "the session was started with `text_only`").into());
            }
            Request::Audio(audio) => self.heard_bytes(&audio.data),
            Request::Text(typed) => self.typed(typed.text),
            Request::Playback(progress) => self.played(progress),
            Request::Control(control) => self.controlled(control),
            Request::ToolResult(result) => self.tool_answered(result),
            Request::Start(_) => self.refuse(Refusal::WrongState {
                reason: v1::ErrorReason::SecondStart,
                message: "start: this session has begun; open another stream for another call".to_owned(),
            }),
        }
    }

    fn heard_bytes(&mut self, bytes: &[u8]) {
        if bytes.len() > AUDIO_MAX {
            let why = format!("has {} bytes; at most {AUDIO_MAX} are allowed in a message", bytes.len());
            return self.refuse(Violations::one("audio.data", why).into());
        }
        if !self.caller_audio.has_begun() {
            self.feed(Input::CallerAudioStarted);
        }
        let mut heard = std::mem::take(&mut self.heard);
        let recording = &mut self.recording;
        let taken = self.caller_audio.take(self.clock.now(), bytes, &mut heard, |at, samples| {
            if let Some(recording) = recording {
                recording.caller(at, samples);
            }
        });
        for fact in heard.drain(..) {
            self.feed(fact);
        }
        self.heard = heard;
        if let Err(error) = taken {
            self.refuse(Violations::one("audio.data", format!("could not {error}")).into());
        }
    }

    fn stand_in(&mut self, now: CallTime) {
        let mut heard = std::mem::take(&mut self.heard);
        let recording = &mut self.recording;
        self.caller_audio.stand_in(now, &mut heard, |at, samples| {
            if let Some(recording) = recording {
                recording.caller(at, samples);
            }
        });
        for fact in heard.drain(..) {
            self.feed(fact);
        }
        self.heard = heard;
    }

    fn typed(&mut self, text: String) {
        let mut bad = Violations::default();
        bad.longest("text.text", &text, TYPED_MAX);
        if text.trim().is_empty() {
            bad.add("text.text", "is empty");
        }
        match bad.check() {
            Ok(()) => self.feed(Input::TypedText { text }),
            Err(refusal) => self.refuse(refusal),
        }
    }

    fn played(&mut self, progress: v1::PlaybackProgress) {
        let Some(position) = progress.position.as_ref().and_then(length) else {
            return self.refuse(Violations::one("playback.position", "must be set and not negative").into());
        };
        let now = self.clock.now();
        if !self.playout.reported(now, ReplyId(progress.reply_id), position) {
            let why = "lies behind what was sent of that reply";
            self.refuse(Violations::one("playback.position", why).into());
        }
    }

    fn controlled(&mut self, control: v1::SessionControl) {
        match control.control {
            Some(WireControl::Interrupt(_)) => self.feed(Input::Control(Control::Interrupt)),
            Some(WireControl::End(_)) => {
                self.feed(Input::Control(Control::End { reason: EndReason::ClientEnded }));
            }
            Some(WireControl::Say(say)) => match sayable("control.say.text", &say.text) {
                Ok(()) => {
                    self.feed(Input::Control(Control::Say { text: say.text, protected: say.protected }));
                }
                Err(refusal) => self.refuse(refusal),
            },
            None => {
                self.refuse(Violations::one("control", "is required: one of interrupt, say, end").into());
            }
        }
    }

    fn tool_answered(&mut self, result: v1::ToolResult) {
        let invocation = InvocationId(result.invocation_id);
        let outcome = match tools::outcome(result) {
            Ok(outcome) => outcome,
            Err(refusal) => return self.refuse(refusal),
        };
        let why = match self.toolbox.answered(invocation, outcome) {
            Answer::Taken => return,
            Answer::Late => DropReason::Late,
            Answer::NotAsked => DropReason::NotAsked,
        };
        let what = format!("tool result {}", invocation.0);
        self.carry_out(Action::Tell(Event::Dropped { what, why }));
    }

    /// The client broke the contract: the call ends, and the stream with the status that says why.
    fn refuse(&mut self, refusal: Refusal) {
        self.refuse_with(refusal.into());
    }

    fn refuse_with(&mut self, status: Status) {
        self.refusal = Some(status);
        self.feed(Input::FarEndLost { reason: EndReason::BadInput });
    }

    /// Stores the end, then tells it.
    async fn finish(mut self) {
        let (now, at) = (self.clock.now(), jiff::Timestamp::now());
        self.toolbox.client_gone();
        self.record_played(now);
        let reason = self.ended.unwrap_or(EndReason::FarEndLost);
        let message = self.refusal.as_ref().map_or(String::new(), |status| status.message().to_owned());
        let recording = match self.recording.take() {
            Some(recording) => recording.finish().await,
            None => None,
        };
        while let Some(note) = self.inbox.note() {
            self.tally.noted(&note, self.caller_audio.listened_us());
        }
        let used = self.used();
        let (journal, key) = self.journal.into_parts();
        self.metrics.call_ended(reason);
        if let Some(trace) = self.trace.take() {
            trace.ended(now, reason);
        }
        let (why, seconds) = (event::word(&reason), now.as_micros() / 1_000_000);
        tracing::info!(call = %key.call, reason = why, seconds, "call ended");
        let closing = Closing { at, reason, message: message.clone(), recording, used: Some(used) };
        journal.close(key, closing, CLOSE_WAIT).await;
        let ended = v1::CallEnded { reason: event::end_reason(reason).into(), message };
        self.far_end.finish(Response::Ended(ended), self.refusal, CLOSE_WAIT).await;
    }
}

/// Whether an agent can be told to say this.
pub fn sayable(field: &str, text: &str) -> Result<(), Refusal> {
    let mut bad = Violations::default();
    bad.longest(field, text, SAY_MAX);
    if text.trim().is_empty() {
        bad.add(field, "is empty");
    }
    bad.check()
}

/// The samples and their rate. What comes as mu-law leaves as the same bytes on a mu-law leg: decoding is exact.
fn decoded(sound: tts::Sound) -> (Vec<i16>, u32) {
    match sound {
        tts::Sound::Pcm16 { sample_rate_hz, samples } => (samples, sample_rate_hz),
        tts::Sound::MuLaw(bytes) => {
            let mut samples = Vec::with_capacity(bytes.len());
            Law::Mu.decode(&bytes, &mut samples);
            (samples, 8_000)
        }
    }
}

fn played(progress: Progress, at: CallTime) -> Input {
    match progress {
        Progress::Started(reply) => Input::PlayoutStarted { reply, at },
        Progress::Played(reply, position) => Input::PlayedUpTo { reply, position, at },
        Progress::Drained(reply) => Input::PlayoutDrained { reply, at },
    }
}
