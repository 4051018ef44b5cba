//! A small session that plays a call in simulated time: voices, plays, reports, runs tools.
//!
//! Steps through the call in 10 ms; every deadline is met at its exact time. What the conversation
//! did is kept as one line an action, with its time, for tests to look through.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use parlance_conversation::*;
use serde::Serialize;

/// One step of simulated time, milliseconds.
const STEP: u64 = 10;

/// Audio of one reply at the far end.
#[derive(Debug, Default)]
struct Playout {
    segments: Vec<(SegmentId, u64)>,
    /// Segments whose audio is there.
    voiced: usize,
    released: bool,
    held: bool,
    started: bool,
    drained: bool,
    position: u64,
    reported: u64,
}

impl Playout {
    fn audio(&self) -> u64 {
        self.segments[..self.voiced].iter().map(|(_, length)| length).sum()
    }
}

/// What the model answers.
#[derive(Debug, Clone)]
pub struct Answer {
    pub delay: u64,
    pub text: String,
    pub tools: Vec<(String, serde_json::Value)>,
}

/// A call being played.
pub struct Session {
    pub conversation: Conversation,
    pub clock: u64,
    pub lines: Vec<(u64, String)>,
    pub actions: Vec<(u64, Action)>,
    pub facts: Vec<(Now, Input)>,
    pub answers: VecDeque<Answer>,
    /// Instead of these: what the model answers to a context, always the same.
    pub answers_by: Option<fn(&[Message]) -> Answer>,
    /// From text to audio.
    pub voice_delay: Option<u64>,
    /// How much later each further segment of a reply is.
    pub voice_gap: u64,
    /// Length of speech.
    pub per_letter: u64,
    /// How long a tool runs; `None`: never ends.
    pub tool_delay: Option<u64>,
    pub tool_outcome: ToolOutcome,
    /// Whether the caller's audio arrives.
    pub audio_stopped_at: Option<u64>,
    inbox: BTreeMap<(u64, u64), Input>,
    posted: u64,
    /// Deadlines that were met.
    pub fired: BTreeSet<Deadline>,
    /// States that were seen after a fact.
    pub states: BTreeSet<StateView>,
    playouts: BTreeMap<ReplyId, Playout>,
}

pub fn ms(at: u64) -> CallTime {
    CallTime::from_millis(at)
}

impl Session {
    /// A call that has begun at zero, with the far end ready.
    pub fn new(policy: Policy) -> Self {
        Self::of(Conversation::new(policy), 0)
    }

    /// A call that goes on from some moment.
    pub fn of(conversation: Conversation, clock: u64) -> Self {
        let mut session = Self {
            conversation,
            clock,
            lines: Vec::new(),
            actions: Vec::new(),
            facts: Vec::new(),
            answers: VecDeque::new(),
            answers_by: None,
            voice_delay: Some(200),
            voice_gap: 0,
            per_letter: 60,
            tool_delay: Some(300),
            tool_outcome: ToolOutcome::Succeeded { result: serde_json::json!({}) },
            audio_stopped_at: None,
            inbox: BTreeMap::new(),
            posted: 0,
            fired: BTreeSet::new(),
            states: BTreeSet::new(),
            playouts: BTreeMap::new(),
        };
        session.post(clock, Input::CallStarted);
        session.post(clock, Input::FarEndReady);
        session
    }

    /// Posts a fact for a time to come.
    pub fn post(&mut self, at: u64, input: Input) -> &mut Self {
        self.posted += 1;
        self.inbox.insert((at, self.posted), input);
        self
    }

    /// Voice from one time to another, as the detector notices it.
    pub fn voice(&mut self, from: u64, to: u64) -> &mut Self {
        self.post(from + 50, Input::CallerVoiceStarted { at: ms(from) });
        self.post(to + 80, Input::CallerVoiceEnded { last: ms(to) })
    }

    /// Speech with voice, an interim for every word, and a slice once it has ended.
    pub fn says(&mut self, from: u64, to: u64, text: &str) -> &mut Self {
        self.voice(from, to);
        self.words(from, to, text)
    }

    /// The words of speech, without voice.
    pub fn words(&mut self, from: u64, to: u64, text: &str) -> &mut Self {
        let all: Vec<&str> = text.split_whitespace().collect();
        let each = (to - from) / all.len() as u64;
        let word = |i: usize| WordTime {
            text: all[i].to_owned(),
            start: ms(from + each * i as u64),
            end: ms(from + each * (i as u64 + 1)),
        };
        let words: Vec<WordTime> = (0..all.len()).map(word).collect();
        for count in 1..all.len() {
            let covers = from + each * count as u64 + 20;
            let part = (all[..count].join(" "), words[..count].to_vec());
            self.transcript(covers + 80, TranscriptKind::Interim, part, Some(covers));
        }
        self.transcript(to + 150, TranscriptKind::Slice, (text.to_owned(), words), Some(to + 100))
    }

    /// The transcriber has listened up to here and heard nothing.
    pub fn listened(&mut self, at: u64, covers: u64) -> &mut Self {
        self.transcript(at, TranscriptKind::Interim, (String::new(), Vec::new()), Some(covers))
    }

    /// Words without times.
    pub fn plain(&mut self, at: u64, kind: TranscriptKind, text: &str, covers: Option<u64>) -> &mut Self {
        self.transcript(at, kind, (text.to_owned(), Vec::new()), covers)
    }

    fn transcript(
        &mut self,
        at: u64,
        kind: TranscriptKind,
        (text, words): (String, Vec<WordTime>),
        covers: Option<u64>,
    ) -> &mut Self {
        self.post(at, Input::Transcript(Transcript { kind, text, words, covers_until: covers.map(ms) }))
    }

    /// The model's next answer, this long after it was asked.
    pub fn answer(&mut self, delay: u64, text: &str) -> &mut Self {
        self.answers.push_back(Answer { delay, text: text.into(), tools: Vec::new() });
        self
    }

    /// The model's next answer: words, then a tool.
    pub fn answer_with_tool(&mut self, delay: u64, text: &str, tool: &str) -> &mut Self {
        let tools = vec![(tool.to_owned(), serde_json::json!({}))];
        self.answers.push_back(Answer { delay, text: text.into(), tools });
        self
    }

    /// Plays the call up to this time.
    pub fn run(&mut self, until: u64) -> &mut Self {
        while self.clock <= until && !self.conversation.is_over() {
            self.meet_deadlines();
            self.play();
            while let Some(entry) = self.inbox.first_entry().filter(|entry| entry.key().0 <= self.clock) {
                let input = entry.remove();
                self.report_positions(self.clock);
                self.hand(self.clock, input);
            }
            self.clock = self.next_step().max(self.clock + STEP).min(until.max(self.clock + STEP));
        }
        self
    }

    /// Nothing happens before this.
    fn next_step(&self) -> u64 {
        let plays =
            |playout: &Playout| playout.released && !playout.held && !playout.drained && playout.voiced > 0;
        if self.playouts.values().any(plays) {
            return self.clock + STEP;
        }
        let posted = self.inbox.keys().next().map(|(at, _)| *at);
        let due = self.conversation.next_deadline().into_iter().chain(self.conversation.audio_wanted());
        let next = due.map(CallTime::as_millis).chain(posted).min();
        next.map_or(u64::MAX, |next| next.next_multiple_of(STEP))
    }

    fn audio(&self, clock: u64) -> u64 {
        self.audio_stopped_at.map_or(clock, |stopped| clock.min(stopped))
    }

    fn meet_deadlines(&mut self) {
        for _ in 0..100 {
            let exact = |due: CallTime| due.as_micros().div_ceil(1_000);
            let wanted =
                self.conversation.audio_wanted().map(exact).filter(|due| *due <= self.audio(self.clock));
            let due = self.conversation.next_deadline().map(exact).filter(|due| *due <= self.clock);
            let Some(first) = wanted.into_iter().chain(due).min() else { return };
            let at = first.max(self.clock.saturating_sub(STEP - 1));
            self.report_positions(at);
            let fact = if wanted == Some(first) { Input::CallerAudioReached } else { Input::DeadlineReached };
            self.hand(at, fact);
        }
        panic!("a deadline is due again and again: {:?}", self.lines.last());
    }

    /// Hands a fact over and does what it brings.
    pub fn hand(&mut self, clock: u64, input: Input) {
        let now = Now { clock: ms(clock), audio: ms(self.audio(clock)) };
        self.facts.push((now, input.clone()));
        if let Input::AudioReady { reply, segment, .. } = &input {
            self.take_audio(*reply, *segment);
        }
        let late = now.clock >= now.audio + Duration::from_millis(200);
        let due =
            self.conversation.waits().filter(|(_, due)| now.clock >= *due && (now.audio >= *due || late));
        self.fired.extend(due.map(|(deadline, _)| deadline));
        let mut actions = Vec::new();
        self.conversation.handle(now, input, &mut actions);
        self.states.insert(self.conversation.state());
        for action in actions {
            self.lines.push((clock, show(&action)));
            self.actions.push((clock, action.clone()));
            self.carry_out(clock, action);
        }
    }

    fn carry_out(&mut self, now: u64, action: Action) {
        match action {
            Action::StartReply { reply, context, .. } => self.ask_model(now, reply, &context),
            Action::Synthesize { reply, segment, text } => self.voice_text(now, reply, segment, &text),
            Action::ReleaseReply { reply } => self.playouts.entry(reply).or_default().released = true,
            Action::HoldPlayout { reply } => self.playouts.entry(reply).or_default().held = true,
            Action::ResumePlayout { reply, from } => {
                let playout = self.playouts.entry(reply).or_default();
                playout.held = false;
                playout.position = from.as_millis() as u64;
                playout.drained = false;
            }
            Action::FlushPlayout { reply } | Action::CancelReply { reply } => {
                drop(self.playouts.remove(&reply))
            }
            Action::RunTool { invocation, .. } => {
                if let Some(delay) = self.tool_delay {
                    let outcome = self.tool_outcome.clone();
                    self.post(now + delay, Input::ToolFinished { invocation, outcome });
                }
            }
            Action::Expect(_) | Action::FinalizeTranscript | Action::EndCall { .. } | Action::Tell(_) => {}
        }
    }

    fn ask_model(&mut self, now: u64, reply: ReplyId, context: &[Message]) {
        let answer = self.answers_by.map(|answer| answer(context)).or_else(|| self.answers.pop_front());
        let Some(answer) = answer else { return };
        let at = now + answer.delay;
        if !answer.text.is_empty() {
            self.post(at, Input::ReplyText { reply, text: answer.text });
        }
        if answer.tools.is_empty() {
            self.post(at, Input::ReplyFinished { reply });
        } else {
            let call = |(i, (tool, arguments)): (usize, (String, serde_json::Value))| ToolRequest {
                call_id: format!("c{i}"),
                tool,
                arguments,
                signature: Some(format!("sig{i}")),
            };
            let calls = answer.tools.into_iter().enumerate().map(call).collect();
            self.post(at, Input::ReplyWantsTools { reply, calls });
        }
    }

    fn voice_text(&mut self, now: u64, reply: ReplyId, segment: SegmentId, text: &str) {
        let length = text.chars().count() as u64 * self.per_letter;
        let playout = self.playouts.entry(reply).or_default();
        let gap = self.voice_gap * playout.segments.len() as u64;
        playout.segments.push((segment, length));
        if let Some(delay) = self.voice_delay {
            let length = Duration::from_millis(length);
            let ready = Input::AudioReady { reply, segment, length, words: Vec::new(), finished: true };
            self.post(now + delay + gap, ready);
        }
    }

    fn take_audio(&mut self, reply: ReplyId, segment: SegmentId) {
        let Some(playout) = self.playouts.get_mut(&reply) else { return };
        if let Some(index) = playout.segments.iter().position(|(id, _)| *id == segment) {
            playout.voiced = playout.voiced.max(index + 1);
            playout.drained = false;
        }
    }

    fn play(&mut self) {
        let mut facts = Vec::new();
        let at = ms(self.clock);
        for (reply, playout) in &mut self.playouts {
            if !playout.released || playout.held || playout.audio() == 0 {
                continue;
            }
            if !playout.started {
                playout.started = true;
                facts.push(Input::PlayoutStarted { reply: *reply, at });
                continue;
            }
            playout.position = (playout.position + STEP).min(playout.audio());
            if playout.position >= playout.reported + 100 || playout.position < playout.reported {
                playout.reported = playout.position;
                facts.push(Input::PlayedUpTo {
                    reply: *reply,
                    position: Duration::from_millis(playout.position),
                    at,
                });
            }
            if playout.position == playout.audio() && !playout.drained {
                playout.drained = true;
                facts.push(Input::PlayoutDrained { reply: *reply, at });
            }
        }
        facts.into_iter().for_each(|fact| self.hand(self.clock, fact));
    }

    /// The session reports the position before any other fact.
    fn report_positions(&mut self, clock: u64) {
        let playing = self.playouts.iter().filter(|(_, playout)| playout.started && !playout.held);
        let facts: Vec<Input> = playing
            .map(|(reply, playout)| Input::PlayedUpTo {
                reply: *reply,
                position: Duration::from_millis(playout.position),
                at: ms(clock),
            })
            .collect();
        facts.into_iter().for_each(|fact| self.hand(clock, fact));
    }

    /// When a line that begins so was first written; panics if it never was.
    pub fn when(&self, begins: &str) -> u64 {
        self.find(begins).unwrap_or_else(|| panic!("no line begins {begins:?} in\n{}", self.text()))
    }

    pub fn find(&self, begins: &str) -> Option<u64> {
        self.lines.iter().find(|(_, line)| line.starts_with(begins)).map(|(at, _)| *at)
    }

    pub fn count(&self, begins: &str) -> usize {
        self.lines.iter().filter(|(_, line)| line.starts_with(begins)).count()
    }

    /// The lines appear in this order, others between.
    pub fn in_order(&self, wanted: &[&str]) -> &Self {
        let mut lines = self.lines.iter();
        for begins in wanted {
            let found = lines.any(|(_, line)| line.starts_with(begins));
            assert!(found, "{begins:?} is not where it should be in\n{}", self.text());
        }
        self
    }

    pub fn never(&self, begins: &str) -> &Self {
        assert_eq!(self.find(begins), None, "{begins:?} in\n{}", self.text());
        self
    }

    /// The context the model was given the last time.
    pub fn context(&self) -> Vec<Message> {
        let last = self.actions.iter().rev().find_map(|(_, action)| match action {
            Action::StartReply { context, .. } => Some(context[1..].to_vec()),
            _ => None,
        });
        last.unwrap_or_default()
    }

    pub fn text(&self) -> String {
        let shown: Vec<String> = self.lines.iter().map(|(at, line)| format!("{at:>7} {line}")).collect();
        shown.join("\n")
    }
}

fn name(value: impl Serialize) -> String {
    match serde_json::to_value(value).expect("plain data") {
        serde_json::Value::String(name) => name,
        other => other.to_string(),
    }
}

/// An action as one line.
pub fn show(action: &Action) -> String {
    match action {
        Action::StartReply { reply, speculative: false, .. } => format!("ask {reply}"),
        Action::StartReply { reply, speculative: true, .. } => format!("ask early {reply}"),
        Action::CancelReply { reply } => format!("cancel {reply}"),
        Action::ReleaseReply { reply } => format!("release {reply}"),
        Action::Synthesize { reply, text, .. } => format!("say {reply} {text}"),
        Action::HoldPlayout { reply } => format!("hold {reply}"),
        Action::ResumePlayout { reply, from } => format!("resume {reply} at {}", from.as_millis()),
        Action::FlushPlayout { reply } => format!("flush {reply}"),
        Action::RunTool { invocation, tool, arguments, .. } => format!("run {invocation} {tool} {arguments}"),
        Action::FinalizeTranscript => "finalize".into(),
        Action::Expect(expected) => format!("expect {}", name(&expected.slots)),
        Action::EndCall { reason } => format!("end {}", name(reason)),
        Action::Tell(event) => show_event(event),
    }
}

fn show_event(event: &Event) -> String {
    match event {
        Event::TurnStarted { turn, at } => format!("turn {turn} from {}", at.as_millis()),
        Event::CallerInterim { turn, text, .. } => format!("interim {turn} {text}"),
        Event::Waiting { turn, until, why } => format!("wait {turn} {} {}", until.as_millis(), name(why)),
        Event::TurnEnded { turn, reason, .. } => format!("ended {turn} {}", name(reason)),
        Event::TurnReopened { turn, reply } => format!("reopened {turn} {reply}"),
        Event::Said(entry) => {
            let cut = if entry.unheard.is_empty() { String::new() } else { format!(" | {}", entry.unheard) };
            format!("said {} {}: {}{cut}", entry.sequence, name(entry.speaker), entry.text)
        }
        Event::ReplyStarted { reply, kind, .. } => format!("reply {reply} {}", name(kind)),
        Event::ReplyEnded { reply, outcome } => format!("over {reply} {}", name(outcome)),
        Event::Held { reply, .. } => format!("held {reply}"),
        Event::HoldEnded { reply, outcome, reason } => {
            format!("unheld {reply} {} {}", name(outcome), name(reason))
        }
        Event::ProviderTurn { signal } => format!("provider {}", name(signal)),
        Event::SpeculationStarted { reply, turn, cue } => format!("guess {reply} {turn} {}", name(cue)),
        Event::SpeculationKept { reply, turn } => format!("guess kept {reply} {turn}"),
        Event::SpeculationDropped { reply, why, .. } => format!("guess dropped {reply} {}", name(why)),
        Event::ToolStarted { invocation, tool, .. } => format!("tool {invocation} {tool}"),
        Event::ToolEnded { invocation, outcome, .. } => format!("tool over {invocation} {}", name(outcome)),
        Event::Dropped { what, why } => format!("dropped {} {what}", name(why)),
        Event::DeadlineMissed { deadline, answer } => format!("missed {} {answer}", name(deadline)),
        Event::Waterfall(waterfall) => {
            format!("waterfall {}", waterfall.turn.map(|t| t.to_string()).unwrap_or_default())
        }
        Event::ProviderFailed { kind, .. } => format!("failed {}", name(kind)),
        Event::ProviderSwitched { kind, from, to, .. } => format!("switched {} {from} {to}", name(kind)),
        Event::FlowMoved { node, slots } => format!("node {node} {slots}"),
        Event::Ended { reason } => format!("ended call {}", name(reason)),
    }
}
