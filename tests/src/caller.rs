//! A caller in real time: speaks clips through the public RPC, listens, and keeps everything that came.
//!
//! One beat is 20 ms: a frame of the caller goes out (a clip's, else silence), a frame of the agent is played,
//! progress is reported. Between beats messages are taken. The caller does nothing by itself: a test says
//! "when the agent has finished, say this clip". All waits go through [`Caller::until`].

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use parlance_media::format::{AudioFormat, Encoding};
use parlance_media::frame_samples;
use parlance_proto::v1;
use parlance_proto::v1::voice_session_request::Request;
use parlance_proto::v1::voice_session_response::Response;
use parlance_proto::v1::{SessionStart, TurnEventType, VoiceSessionRequest, VoiceSessionResponse};
use tokio::sync::mpsc;
use tokio::time::{Instant, Interval, MissedTickBehavior};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

use crate::loudspeaker::Loudspeaker;
use crate::{House, clips};

/// How long an agent may take to finish what it says.
const AGENT_FINISHES_WITHIN: Duration = Duration::from_secs(40);
/// Beats of quiet after which the agent counts as finished.
const QUIET_BEATS: usize = 20;
/// Requests that may wait for the connection.
const CHANNEL: usize = 1_024;

/// Something that came, and when.
#[derive(Debug, Clone)]
pub struct Seen {
    /// Milliseconds since the session was opened.
    pub at_ms: u64,
    /// What.
    pub response: Response,
}

/// A clip that was said.
#[derive(Debug, Clone)]
pub struct Said {
    /// Its file.
    pub file: String,
    /// The sent sample it begins with, counted from the first of the call.
    pub first_sample: usize,
    /// Milliseconds since the session was opened when it began.
    pub at_ms: u64,
}

/// A caller on the line.
pub struct Caller {
    /// What `ready` said.
    pub ready: v1::SessionReady,
    /// All that came but audio and marks.
    pub seen: Vec<Seen>,
    /// Audio that came, without its bytes: reply, sequence, position, and when.
    pub frames: Vec<(u64, v1::AgentAudio)>,
    /// The loudspeaker.
    pub loudspeaker: Loudspeaker,
    /// The clips said.
    pub said: Vec<Said>,
    /// How the stream ended: the status, or OK.
    pub end: Option<Result<(), Status>>,
    requests: Option<mpsc::Sender<VoiceSessionRequest>>,
    incoming: Streaming<VoiceSessionResponse>,
    input: AudioFormat,
    speaks: bool,
    reports: bool,
    mouth: VecDeque<i16>,
    sent: usize,
    began: Instant,
    beat: Interval,
    last_seq: u64,
    floor: Floor,
}

/// Whose turn it is, by what was told.
#[derive(Default)]
struct Floor {
    replies: BTreeSet<u32>,
    tools: BTreeSet<u32>,
    /// Replies that ended since the caller last said something.
    answers: usize,
    quiet_beats: usize,
}

/// A start that calls `agent` with everything told and reported.
pub fn start(agent: &str) -> SessionStart {
    SessionStart {
        target: Some(v1::session_start::Target::Agent(agent.into())),
        reports_playback: true,
        include_details: true,
        ..Default::default()
    }
}

/// The same, for a caller who types.
pub fn typing_start(agent: &str) -> SessionStart {
    SessionStart { text_only: true, reports_playback: false, ..start(agent) }
}

/// A request as it goes out.
pub fn request(request: Request) -> VoiceSessionRequest {
    VoiceSessionRequest { request: Some(request) }
}

/// A piece of the caller's audio.
pub fn audio(data: impl Into<Bytes>) -> VoiceSessionRequest {
    request(Request::Audio(v1::CallerAudio { data: data.into() }))
}

impl Caller {
    /// Dials, and waits for `ready`.
    ///
    /// # Panics
    /// When the call is refused.
    pub async fn dials(house: &House, start: SessionStart) -> Self {
        Self::tries(house.client.voice(), start).await.unwrap_or_else(|status| panic!("refused: {status:?}"))
    }

    /// Dials over any client; a refusal comes back.
    ///
    /// # Errors
    /// The status of the refusal.
    ///
    /// # Panics
    /// When the first message is not `ready`.
    pub async fn tries(
        mut client: v1::voice_service_client::VoiceServiceClient<parlance::cli::connect::Authorised>,
        start: SessionStart,
    ) -> Result<Self, Status> {
        let (requests, outgoing) = mpsc::channel(CHANNEL);
        let (speaks, reports) = (!start.text_only, start.reports_playback);
        requests.try_send(request(Request::Start(start))).expect("a new channel has room");
        let mut incoming = client.voice_session(ReceiverStream::new(outgoing)).await?.into_inner();
        let began = Instant::now();
        let first = incoming.message().await?.and_then(|message| message.response);
        let Some(Response::Ready(ready)) = first else { panic!("`ready` comes first, not {first:?}") };
        let mut beat = tokio::time::interval(Duration::from_micros(parlance_media::FRAME_US));
        beat.set_missed_tick_behavior(MissedTickBehavior::Burst);
        let output = format(ready.output_format);
        Ok(Self {
            input: format(ready.input_format),
            loudspeaker: Loudspeaker::new(output),
            ready,
            seen: Vec::new(),
            frames: Vec::new(),
            said: Vec::new(),
            end: None,
            requests: Some(requests),
            incoming,
            speaks,
            reports,
            mouth: VecDeque::new(),
            sent: 0,
            began,
            beat,
            last_seq: 1,
            floor: Floor::default(),
        })
    }

    /// Goes on until `done`, in real time.
    ///
    /// # Panics
    /// When that takes longer than `within`, or the call ends before; the panic tells all that came.
    pub async fn until(&mut self, awaited: &str, within: Duration, mut done: impl FnMut(&Self) -> bool) {
        let give_up = Instant::now() + within;
        while !done(self) {
            let why = match (&self.end, Instant::now() > give_up) {
                (Some(end), _) => format!("the call ended ({end:?})"),
                (None, true) => format!("{} s passed", within.as_secs_f32()),
                (None, false) => {
                    self.step().await;
                    continue;
                }
            };
            panic!("{why} while {awaited} was awaited; what came:\n{}", self.history());
        }
    }

    /// Goes on for `length` whatever happens.
    pub async fn waits(&mut self, length: Duration) {
        let end = Instant::now() + length;
        while Instant::now() < end && self.end.is_none() {
            self.step().await;
        }
    }

    /// Waits until the agent has answered and said all, and what it said was played.
    ///
    /// # Panics
    /// See [`Caller::until`].
    pub async fn agent_finishes(&mut self) {
        self.until("the end of what the agent says", AGENT_FINISHES_WITHIN, |caller| {
            let floor = &caller.floor;
            let free = floor.replies.is_empty() && floor.tools.is_empty() && caller.mouth.is_empty();
            free && floor.answers > 0 && floor.quiet_beats >= QUIET_BEATS
        })
        .await;
        self.floor.answers = 0;
    }

    /// Waits until the agent has said something, now or before, and is silent.
    ///
    /// # Panics
    /// See [`Caller::until`].
    pub async fn agent_is_quiet(&mut self) {
        self.until("the agent's silence", AGENT_FINISHES_WITHIN, |caller| {
            let floor = &caller.floor;
            let free = floor.replies.is_empty() && floor.tools.is_empty() && floor.quiet_beats >= QUIET_BEATS;
            free && !caller.turns(TurnEventType::ReplyEnded).is_empty()
        })
        .await;
    }

    /// Waits until so much of a new reply was played.
    ///
    /// # Panics
    /// See [`Caller::until`].
    pub async fn hears(&mut self, length: Duration) -> u32 {
        let before = self.loudspeaker.played.last().map_or(0, |last| last.reply);
        let (mut reply, enough) = (0, length.as_micros() as u64);
        self.until("a piece of a reply", AGENT_FINISHES_WITHIN, |caller| {
            let last = caller.loudspeaker.played.last().filter(|last| last.reply != before);
            reply = last.map_or(0, |last| last.reply);
            last.is_some_and(|last| last.position_us >= enough)
        })
        .await;
        reply
    }

    /// Says a clip to its end.
    ///
    /// # Panics
    /// When there is no such clip, or the call ends meanwhile.
    pub async fn says(&mut self, file: &str) {
        self.begins_to_say(file);
        let within = Duration::from_secs(20);
        self.until(&format!("the end of our own clip {file}"), within, |caller| caller.mouth.is_empty())
            .await;
    }

    /// Begins to say a clip; it goes on with the beats.
    ///
    /// # Panics
    /// When there is no such clip.
    pub fn begins_to_say(&mut self, file: &str) {
        self.floor.answers = 0;
        let first_sample = self.sent + self.mouth.len();
        self.said.push(Said { file: file.into(), first_sample, at_ms: self.now_ms() });
        self.mouth.extend(clips::samples_at(file, self.input.sample_rate_hz()));
    }

    /// Begins to say these samples, mono at 16 kHz; they go on with the beats.
    ///
    /// # Panics
    /// When nothing converts them to what the engine is sent.
    pub fn begins_to_say_samples(&mut self, name: &str, samples: &[i16]) {
        self.floor.answers = 0;
        let first_sample = self.sent + self.mouth.len();
        self.said.push(Said { file: name.into(), first_sample, at_ms: self.now_ms() });
        self.mouth.extend(clips::at_rate(samples, self.input.sample_rate_hz()));
    }

    /// Goes on until all that was begun is said; gives how many samples were sent since the call began.
    ///
    /// # Panics
    /// When the call ends meanwhile.
    pub async fn until_said(&mut self) -> u64 {
        self.until("the end of our own words", Duration::from_secs(60), |caller| caller.mouth.is_empty())
            .await;
        self.sent as u64
    }

    /// Which providers took over from which, as the session told.
    pub fn switches(&self) -> Vec<String> {
        let switch = |seen: &Seen| match &seen.response {
            Response::Provider(switch) => Some(format!("{} -> {}", switch.from, switch.to)),
            _ => None,
        };
        self.seen.iter().filter_map(switch).collect()
    }

    /// Types a turn.
    ///
    /// # Panics
    /// When the call is over.
    pub fn types(&mut self, text: &str) {
        self.floor.answers = 0;
        self.sends(Request::Text(v1::TypedText { text: text.into() }));
    }

    /// Sends a control message.
    ///
    /// # Panics
    /// When the call is over.
    pub fn controls(&mut self, control: v1::session_control::Control) {
        self.sends(Request::Control(v1::SessionControl { control: Some(control) }));
    }

    /// Sends anything.
    ///
    /// # Panics
    /// When the engine has not read for a long time, or the caller hung up.
    pub fn sends(&mut self, what: Request) {
        let requests = self.requests.as_ref().expect("the caller has not hung up");
        if let Err(mpsc::error::TrySendError::Full(_)) = requests.try_send(request(what)) {
            panic!("the engine has read nothing for a long time; what came:\n{}", self.history());
        }
    }

    /// Closes the caller's side.
    pub fn hangs_up(&mut self) {
        self.requests = None;
    }

    /// Goes on to the end of the call; gives what `ended` said and the status of the stream.
    ///
    /// # Panics
    /// When it does not end within that time, or without `ended`.
    pub async fn ends(&mut self, within: Duration) -> (v1::CallEnded, Result<(), Status>) {
        let give_up = Instant::now() + within;
        while self.end.is_none() {
            let history = || self.history();
            assert!(Instant::now() < give_up, "the call does not end; what came:\n{}", history());
            self.step().await;
        }
        let ended = self.seen.iter().rev().find_map(|seen| match &seen.response {
            Response::Ended(ended) => Some(ended.clone()),
            _ => None,
        });
        let ended = ended.unwrap_or_else(|| panic!("no `ended` came:\n{}", self.history()));
        (ended, self.end.clone().expect("the loop ended"))
    }

    /// One message or one beat.
    async fn step(&mut self) {
        tokio::select! {
            biased;
            message = self.incoming.message(), if self.end.is_none() => match message {
                Ok(Some(message)) => self.takes(message),
                Ok(None) => self.end = Some(Ok(())),
                Err(status) => self.end = Some(Err(status)),
            },
            _ = self.beat.tick() => self.beats(),
        }
    }

    fn takes(&mut self, message: VoiceSessionResponse) {
        self.last_seq += 1;
        assert_eq!(message.seq, self.last_seq, "messages are numbered without gaps");
        let response = message.response.expect("a message says something");
        let at_ms = self.now_ms();
        match &response {
            Response::Audio(audio) => {
                self.loudspeaker.take(audio);
                self.frames.push((at_ms, audio.clone()));
                return;
            }
            Response::Mark(_) => return,
            Response::Clear(clear) => {
                let progress = self.loudspeaker.clear(clear.reply_id);
                self.reports_progress(progress);
            }
            Response::Turn(turn) => match turn.r#type() {
                TurnEventType::ReplyStarted => drop(self.floor.replies.insert(turn.reply_id)),
                TurnEventType::ReplyEnded => {
                    self.floor.replies.remove(&turn.reply_id);
                    self.floor.answers += 1;
                }
                _ => {}
            },
            Response::Tool(tool) if tool.state() == v1::ToolState::Running => {
                self.floor.tools.insert(tool.invocation_id);
            }
            Response::Tool(tool) => drop(self.floor.tools.remove(&tool.invocation_id)),
            _ => {}
        }
        self.seen.push(Seen { at_ms, response });
    }

    fn beats(&mut self) {
        let silent = self.loudspeaker.is_silent();
        self.floor.quiet_beats = if silent { self.floor.quiet_beats + 1 } else { 0 };
        let progress = self.loudspeaker.beat();
        self.reports_progress(progress);
        if !self.speaks || self.requests.is_none() || self.end.is_some() {
            return;
        }
        let count = frame_samples(self.input.sample_rate_hz());
        let spoke = !self.mouth.is_empty();
        let mut samples: Vec<i16> = self.mouth.drain(..count.min(self.mouth.len())).collect();
        if spoke && self.mouth.is_empty() {
            // A reply that ended under our own words is no answer to them.
            self.floor.answers = 0;
        }
        samples.resize(count, 0);
        self.sent += count;
        let mut data = Vec::new();
        self.input.encode(&samples, &mut data);
        self.sends(Request::Audio(v1::CallerAudio { data: data.into() }));
    }

    fn reports_progress(&mut self, progress: Option<v1::PlaybackProgress>) {
        if let Some(progress) = progress.filter(|_| self.reports && self.requests.is_some()) {
            self.sends(Request::Playback(progress));
        }
    }

    /// Milliseconds since the session was opened.
    pub fn now_ms(&self) -> u64 {
        self.began.elapsed().as_millis() as u64
    }

    /// Final entries of the transcript that came, the last state of each.
    pub fn entries(&self) -> Vec<v1::TranscriptEntry> {
        let mut entries: Vec<v1::TranscriptEntry> = Vec::new();
        for seen in &self.seen {
            let Response::Transcript(update) = &seen.response else { continue };
            let Some(entry) = update.entry.as_ref().filter(|_| update.r#final) else { continue };
            entries.retain(|other| other.sequence != entry.sequence);
            entries.push(entry.clone());
        }
        entries.sort_by_key(|entry| entry.sequence);
        entries
    }

    /// The texts of a speaker's final entries.
    pub fn texts(&self, speaker: v1::Speaker) -> Vec<String> {
        let spoken = self.entries().into_iter().filter(|entry| entry.speaker() == speaker);
        spoken.map(|entry| entry.text).collect()
    }

    /// The turn events of a kind, with their time.
    pub fn turns(&self, kind: TurnEventType) -> Vec<(u64, v1::TurnEvent)> {
        let turns = self.seen.iter().filter_map(|seen| match &seen.response {
            Response::Turn(turn) if turn.r#type() == kind => Some((seen.at_ms, turn.clone())),
            _ => None,
        });
        turns.collect()
    }

    /// When `clear` came for a reply.
    pub fn cleared_at_ms(&self, reply: u32) -> Option<u64> {
        let clear = self
            .seen
            .iter()
            .find(|seen| matches!(&seen.response, Response::Clear(clear) if clear.reply_id == reply));
        clear.map(|seen| seen.at_ms)
    }

    /// Everything that came and was said, a line each, for people.
    pub fn history(&self) -> String {
        let said = self.said.iter().map(|said| (said.at_ms, format!("we say {}", said.file)));
        let seen = self.seen.iter().filter_map(|seen| Some((seen.at_ms, describe(&seen.response)?)));
        let mut lines: Vec<(u64, String)> = said.chain(seen).collect();
        lines.sort_by_key(|line| line.0);
        lines.push((self.now_ms(), format!("{} frames of audio in all", self.frames.len())));
        lines.iter().map(|(at, line)| format!("{at:>7} ms  {line}\n")).collect()
    }
}

fn describe(response: &Response) -> Option<String> {
    Some(match response {
        Response::Transcript(update) => {
            let entry = update.entry.as_ref()?;
            let kind = if update.r#final { "" } else { " …" };
            let unheard = if entry.unheard_text.is_empty() { "" } else { " | unheard: " };
            format!("{:?}: {}{kind}{unheard}{}", entry.speaker(), entry.text, entry.unheard_text)
        }
        Response::Turn(turn) => format!(
            "{} {} turn {} reply {}",
            turn.r#type().as_str_name().trim_start_matches("TURN_EVENT_TYPE_"),
            turn.reason,
            turn.turn_id,
            turn.reply_id
        ),
        Response::Waterfall(_) => return None,
        Response::Tool(tool) => format!("tool {} {:?} {}", tool.tool, tool.state(), tool.reason),
        other => format!("{other:?}"),
    })
}

fn format(wire: Option<v1::AudioFormat>) -> AudioFormat {
    let wire = wire.expect("`ready` names the formats");
    let encoding = match wire.encoding() {
        v1::AudioEncoding::Mulaw => Encoding::MuLaw,
        v1::AudioEncoding::Alaw => Encoding::ALaw,
        _ => Encoding::Pcm16Le,
    };
    AudioFormat::new(encoding, wire.sample_rate_hz).expect("`ready` names a format there is")
}
