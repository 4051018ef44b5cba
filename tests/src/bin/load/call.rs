//! One fake call: speaks a clip, waits for the answer, lets it finish, speaks the next, until its time is up.
//!
//! Frame `n` leaves `n` x 20 ms after the first one, and its first sample counts as spoken at that moment: the
//! same reckoning as the engine's, whose audio clock starts with the first frame's arrival.

use std::time::{Duration, Instant};

use parlance_proto::v1::session_control::Control;
use parlance_proto::v1::voice_service_client::VoiceServiceClient;
use parlance_proto::v1::voice_session_request::Request;
use parlance_proto::v1::voice_session_response::Response;
use parlance_proto::v1::{
    AgentAudio, CallerAudio, End, SessionControl, SessionStart, TurnEventType, VoiceSessionRequest,
    VoiceSessionResponse, session_start,
};
use tokio::sync::mpsc::{Sender, channel};
use tokio::time::{Interval, interval_at, timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::Channel;

use crate::clip::Sounds;
use crate::ear::{Ear, milliseconds};
use crate::turn::Turn;

/// Length of a frame.
const FRAME: Duration = Duration::from_millis(20);
/// Frames that may wait for the connection; more means that the driver does not keep up.
const QUEUE: usize = 25;
/// Quiet after the answer before the caller goes on.
const PAUSE: Duration = Duration::from_millis(300);
/// A caller who hears nothing for so long speaks again, and counts an error.
const PATIENCE: Duration = Duration::from_secs(8);
/// How long the beginning and the end of a session may take.
const ANSWER_MAX: Duration = Duration::from_secs(10);

/// What a call shall do.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Which of the calls; it decides where in the list of clips this caller begins.
    pub number: usize,
    /// Who answers, `agents/{agent}`.
    pub agent: String,
    /// `Bearer` and the key.
    pub authorization: MetadataValue<Ascii>,
    /// What can be said.
    pub sounds: Sounds,
    /// Whether it tells what it played.
    pub reports: bool,
    /// Only what happens from here on counts.
    pub counts_from: Instant,
    /// When it hangs up.
    pub until: Instant,
}

/// What became of a call.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Its turns.
    pub turns: Vec<Turn>,
    /// What was heard of the agent.
    pub ear: Ear,
    /// How late its own frames left, milliseconds.
    pub late_ms: Vec<f64>,
    /// What went wrong, one short text each.
    pub errors: Vec<String>,
}

#[derive(Debug, Clone, Copy)]
enum Phase {
    /// Hears the agent out.
    Listening { over: bool },
    /// Says a clip; the number of its next frame.
    Speaking { clip: usize, frame: usize },
    /// Waits for the answer to what was said, or for the greeting.
    Waiting { since: Instant, voice_end: Option<Instant> },
}

struct Caller {
    plan: Plan,
    requests: Sender<VoiceSessionRequest>,
    start: Instant,
    frames: u32,
    phase: Phase,
    said: usize,
    seq: u64,
    counts: bool,
    unexplained: Vec<(u32, Instant, Instant)>,
    outcome: Outcome,
}

/// Holds one call to its end.
pub async fn hold(plan: Plan, channel: Channel) -> Outcome {
    match open(&plan, channel).await {
        Ok((requests, responses)) => Caller::new(plan, requests).run(responses).await,
        Err(error) => Outcome { errors: vec![error], ..Outcome::default() },
    }
}

type Opened = (Sender<VoiceSessionRequest>, Streaming<VoiceSessionResponse>);

async fn open(plan: &Plan, to: Channel) -> Result<Opened, String> {
    let (requests, stream) = channel(QUEUE);
    let start = SessionStart {
        target: Some(session_start::Target::Agent(plan.agent.clone())),
        reports_playback: plan.reports,
        include_details: true,
        ..SessionStart::default()
    };
    let first = VoiceSessionRequest { request: Some(Request::Start(start)) };
    requests.try_send(first).map_err(|_| "the session's queue is full".to_owned())?;
    let mut request = tonic::Request::new(ReceiverStream::new(stream));
    request.metadata_mut().insert("authorization", plan.authorization.clone());
    let mut client = VoiceServiceClient::new(to);
    let opened = timeout(ANSWER_MAX, client.voice_session(request)).await;
    let opened = opened.map_err(|_| "no answer to start".to_owned())?;
    Ok((requests, opened.map_err(|status| status_text(&status))?.into_inner()))
}

impl Caller {
    fn new(plan: Plan, requests: Sender<VoiceSessionRequest>) -> Self {
        let start = Instant::now();
        let phase = Phase::Waiting { since: start, voice_end: None };
        let (said, outcome) = (plan.number, Outcome::default());
        let unexplained = Vec::new();
        Self { plan, requests, start, frames: 0, phase, said, seq: 0, counts: false, unexplained, outcome }
    }

    async fn run(mut self, mut responses: Streaming<VoiceSessionResponse>) -> Outcome {
        match timeout(ANSWER_MAX, responses.message()).await {
            Ok(Ok(Some(VoiceSessionResponse { seq: 1, response: Some(Response::Ready(_)) }))) => self.seq = 1,
            other => return self.failed(format!("no ready: {other:?}")),
        }
        self.start = Instant::now();
        self.phase = Phase::Waiting { since: self.start, voice_end: None };
        let mut ticks = interval_at(self.start.into(), FRAME);
        while Instant::now() < self.plan.until {
            if !self.step(&mut responses, &mut ticks).await {
                return self.failed("the session ended early".to_owned());
            }
        }
        let end = Request::Control(SessionControl { control: Some(Control::End(End {})) });
        self.send(end);
        let ended = async { while self.step(&mut responses, &mut ticks).await {} };
        if timeout(ANSWER_MAX, ended).await.is_err() {
            return self.failed("no end after the end was asked for".to_owned());
        }
        self.outcome
    }

    /// The next message or the next frame. False when the session is over.
    async fn step(&mut self, responses: &mut Streaming<VoiceSessionResponse>, ticks: &mut Interval) -> bool {
        tokio::select! {
            biased;
            message = responses.message() => match message {
                Ok(Some(message)) => self.told(Instant::now(), message),
                Ok(None) => return false,
                Err(status) => {
                    self.error(status_text(&status));
                    return false;
                }
            },
            _ = ticks.tick() => self.frame(Instant::now()),
        }
        true
    }

    fn told(&mut self, now: Instant, message: VoiceSessionResponse) {
        self.seq += 1;
        if message.seq != self.seq {
            self.error(format!("message {} came as number {}", message.seq, self.seq));
            self.seq = message.seq;
        }
        match message.response {
            Some(Response::Audio(audio)) => self.heard(now, &audio),
            Some(Response::Mark(mark)) => self.outcome.ear.mark(now, mark.reply_id, mark.position),
            Some(Response::Clear(_)) => self.outcome.ear.clear(now),
            Some(Response::Turn(turn)) if turn.r#type() == TurnEventType::ReplyEnded => self.reply_ended(),
            Some(Response::Waterfall(waterfall)) => {
                let found = self.unexplained.iter().position(|turn| turn.0 == waterfall.reply_id);
                if let Some((_, voice_end, first_frame)) =
                    found.map(|index| self.unexplained.swap_remove(index))
                {
                    self.outcome.turns.push(Turn { voice_end, first_frame, waterfall });
                }
            }
            Some(Response::Error(error)) => self.error(format!("session error {}", error.reason)),
            _ => {}
        }
    }

    fn heard(&mut self, now: Instant, audio: &AgentAudio) {
        if self.outcome.ear.hear(now, audio) {
            self.answered(now, audio.reply_id);
        }
    }

    /// The first frame of a reply came.
    fn answered(&mut self, now: Instant, reply: u32) {
        match self.phase {
            Phase::Waiting { voice_end: Some(voice_end), .. } if self.counts => {
                self.unexplained.push((reply, voice_end, now));
            }
            Phase::Speaking { .. } => self.error("the agent began while the caller spoke".to_owned()),
            _ => {}
        }
        if !matches!(self.phase, Phase::Speaking { .. }) {
            self.phase = Phase::Listening { over: false };
        }
    }

    fn reply_ended(&mut self) {
        if let Phase::Listening { over } = &mut self.phase {
            *over = true;
        }
    }

    /// 20 ms are over: sends the next frame and what was played.
    fn frame(&mut self, now: Instant) {
        if !self.counts && now >= self.plan.counts_from {
            self.counts = true;
            self.outcome.ear.jitter_ms.clear();
            self.outcome.ear.underruns_ms.clear();
        }
        let due = self.start + FRAME * self.frames;
        if self.counts {
            self.outcome.late_ms.push(milliseconds(now - due));
        }
        while let Some(progress) = self.outcome.ear.reached(now) {
            self.send(Request::Playback(progress));
        }
        self.decide(now, due);
        let data = self.sound(due);
        self.send(Request::Audio(CallerAudio { data }));
        self.frames += 1;
    }

    /// Whether the caller begins to speak with the frame of `due`.
    fn decide(&mut self, now: Instant, due: Instant) {
        let clip = self.said % self.plan.sounds.clips.len();
        let quiet = self.outcome.ear.quiet_for(now).unwrap_or_default();
        match self.phase {
            Phase::Listening { over } if (over && quiet >= PAUSE) || quiet >= PATIENCE => {
                self.said += 1;
                self.phase = Phase::Speaking { clip, frame: 0 };
            }
            Phase::Waiting { since, .. } if due.saturating_duration_since(since) >= PATIENCE => {
                self.error("no answer".to_owned());
                self.phase = Phase::Speaking { clip, frame: 0 };
            }
            _ => {}
        }
    }

    fn sound(&mut self, due: Instant) -> bytes::Bytes {
        let sounds = &self.plan.sounds;
        let Phase::Speaking { clip, frame } = self.phase else {
            return sounds.room[self.frames as usize % sounds.room.len()].clone();
        };
        let said = &sounds.clips[clip];
        let data = said.frames[frame].clone();
        self.phase = Phase::Speaking { clip, frame: frame + 1 };
        if frame + 1 == said.frames.len() {
            let voice_end = due - FRAME * u32::try_from(frame).unwrap_or(0) + said.voice_end;
            self.phase = Phase::Waiting { since: due, voice_end: Some(voice_end) };
        }
        data
    }

    fn send(&mut self, request: Request) {
        if self.requests.try_send(VoiceSessionRequest { request: Some(request) }).is_err() {
            self.error("a request found no room: the driver or the engine does not keep up".to_owned());
        }
    }

    fn error(&mut self, text: String) {
        self.outcome.errors.push(text);
    }

    fn failed(mut self, text: String) -> Outcome {
        self.error(text);
        self.outcome
    }
}

fn status_text(status: &tonic::Status) -> String {
    format!("{:?}: {}", status.code(), status.message())
}
