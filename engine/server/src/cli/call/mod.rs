//! `parlance call`: a fake caller with recorded audio, in real time, through the public RPC.
//!
//! Sends one frame every 20 ms from the first to the last moment of the call, silence included, as a telephone
//! does; plays what the agent says on a loudspeaker of its own ([`speaker`]) and reports honestly how far. When
//! to speak is [`caller`]'s to decide. Both run on the frames' own clock; this file alone has the real one.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use parlance_media::format::{AudioFormat, Encoding};
use parlance_proto::v1;
use parlance_proto::v1::session_start::Target;
use parlance_proto::v1::voice_session_request::Request;
use parlance_proto::v1::voice_session_response::Response;
use parlance_proto::v1::{AudioEncoding, CallEnded, CallerAudio, SessionReady, SessionStart};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at, timeout};

use self::caller::{Caller, Heard, Move};
use self::clip::{Clip, ClipArg};
use self::recording::Recording;
pub(super) use self::screen::{Detail, INDENT, Screen, entry_lines};
use self::speaker::Speaker;
use super::connect::{ConnectArgs, connect, resource_name, variable};
use super::floor::Floor;
use super::line::{Line, declined};
use super::terminal::Tone;
use super::{Error, describe, message_json, opening};
use crate::output::{errln, outln};

mod caller;
mod clip;
mod recording;
mod screen;
mod speaker;

const FRAME: Duration = Duration::from_millis(20);
/// Longest wait for the engine's last words after hanging up.
const GOODBYE_WITHIN: Duration = Duration::from_secs(5);

/// Arguments of `parlance call`.
#[derive(Debug, clap::Args)]
pub struct CallArgs {
    #[command(flatten)]
    connect: ConnectArgs,
    /// The agent to call.
    #[arg(long)]
    agent: String,
    /// What the caller says: a WAV file, said when the agent has finished; or FILE@MS, said MS
    /// milliseconds after the agent's next audio begins to play. Repeat for more.
    #[arg(long = "wav", required = true, num_args = 1.., value_name = "FILE[@MS]")]
    clips: Vec<ClipArg>,
    /// Save the call as a stereo WAV file: caller left, agent right as played.
    #[arg(long, value_name = "FILE")]
    save: Option<PathBuf>,
    /// How the caller's audio is sent: pcm16, mulaw or alaw, and its rate in hertz.
    #[arg(long, default_value = "pcm16@16000", value_parser = audio_format, value_name = "CODEC@RATE")]
    input_format: AudioFormat,
    /// How the agent's audio shall come; as --input-format.
    #[arg(long, default_value = "pcm16@16000", value_parser = audio_format, value_name = "CODEC@RATE")]
    output_format: AudioFormat,
    /// Hang up after so many seconds of quiet once all is said.
    #[arg(long, default_value_t = 6.0, value_name = "SECONDS")]
    linger: f32,
    /// A value for {{NAME}} in the agent's texts.
    #[arg(long = "var", value_parser = variable, value_name = "NAME=VALUE")]
    variables: Vec<(String, String)>,
    /// Print what the engine sends as JSON, a message a line, without the audio.
    #[arg(long)]
    json: bool,
}

/// Makes the call.
///
/// # Errors
/// What kept it from being made or finished.
pub async fn run(args: CallArgs) -> Result<ExitCode, Error> {
    let rate_hz = args.input_format.sample_rate_hz();
    let clips = args.clips.iter().map(|clip| Clip::load(clip, rate_hz)).collect::<Result<Vec<_>, _>>()?;
    let engine = connect(&args.connect).await?;
    let agent_hz = args.output_format.sample_rate_hz();
    let recording = args.save.as_ref().map(|path| Recording::begin(path, rate_hz, agent_hz)).transpose()?;
    let listens = opening::agent_listens(&engine, &resource_name("agents", &args.agent)).await;
    let (line, ready) = Line::open(&engine, start(&args)).await?;
    let caller = Caller::new(clips, parlance_media::frame_samples(rate_hz), linger_ms(&args), listens);
    let mut call = Call::new(&args, caller, line, recording);
    call.greet(&ready);
    let outcome = call.hold().await;
    if let Some(recording) = call.recording.take() {
        recording.finish()?;
    }
    let ended = outcome?;
    call.sum_up(&args);
    let all_said = call.caller.unsaid() == 0;
    Ok(if describe::is_normal(ended.reason()) && all_said { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn linger_ms(args: &CallArgs) -> u32 {
    (args.linger.clamp(0.0, 3_600.0) * 1_000.0) as u32
}

fn start(args: &CallArgs) -> SessionStart {
    SessionStart {
        target: Some(Target::Agent(resource_name("agents", &args.agent))),
        input_format: Some(proto_format(args.input_format)),
        output_format: Some(proto_format(args.output_format)),
        dynamic_variables: args.variables.iter().cloned().collect(),
        reports_playback: true,
        include_details: true,
        ..Default::default()
    }
}

/// A call under way.
struct Call {
    line: Line,
    caller: Caller,
    speaker: Speaker,
    floor: Floor,
    recording: Option<Recording>,
    screen: Screen,
    json: bool,
    input_format: AudioFormat,
    output_format: AudioFormat,
    /// Frames so far: the call's clock as this side knows it.
    frames: u32,
    ended: Option<CallEnded>,
}

impl Call {
    fn new(args: &CallArgs, caller: Caller, line: Line, recording: Option<Recording>) -> Self {
        let (input_format, output_format) = (args.input_format, args.output_format);
        Self {
            line,
            caller,
            speaker: Speaker::new(output_format),
            floor: Floor::default(),
            recording,
            screen: Screen::new(Detail::All),
            json: args.json,
            input_format,
            output_format,
            frames: 0,
            ended: None,
        }
    }

    /// Holds the conversation to its end.
    async fn hold(&mut self) -> Result<CallEnded, Error> {
        let mut frames = frame_clock();
        // One for the whole call: a new one each time round would miss what comes between two.
        let mut interrupted = std::pin::pin!(tokio::signal::ctrl_c());
        loop {
            tokio::select! {
                _ = frames.tick() => {
                    if self.frame()? == Move::HangsUp {
                        self.line.hang_up();
                        return self.last_words().await;
                    }
                }
                response = self.line.next() => match response? {
                    Some(response) => self.take(&response)?,
                    None => return self.end(),
                },
                _ = &mut interrupted => {
                    self.line.break_off();
                    return self.last_words().await;
                }
            }
        }
    }

    /// One frame in each direction.
    fn frame(&mut self) -> Result<Move, Error> {
        self.frames += 1;
        let mut agent = Vec::new();
        let count = parlance_media::frame_samples(self.output_format.sample_rate_hz());
        let played = self.speaker.play(count, &mut agent);
        for report in played.reports {
            self.line.send(Request::Playback(report))?;
        }
        let mut said = Vec::new();
        let free = self.floor.is_free() && self.speaker.is_silent();
        let moved = self.caller.frame(Heard { agent: played.agent_samples > 0, free }, &mut said);
        if let Move::Begins(name) = &moved
            && !self.json
        {
            self.screen.remark(self.at_ms(), "", Tone::Quiet, &format!("the caller says {name}"));
        }
        if let Some(recording) = &mut self.recording {
            recording.add(&said, &agent)?;
        }
        let mut data = Vec::new();
        self.input_format.encode(&said, &mut data);
        self.line.send(Request::Audio(CallerAudio { data: data.into() }))?;
        Ok(moved)
    }

    fn take(&mut self, response: &Response) -> Result<(), Error> {
        self.floor.note(response);
        match response {
            Response::Audio(audio) => {
                self.speaker.take(audio).map_err(|error| Error::Broken(error.to_string()))?;
            }
            Response::Mark(mark) => self.speaker.mark(mark.reply_id, mark.position.as_ref()),
            Response::Clear(clear) => {
                if let Some(heard) = self.speaker.clear(clear.reply_id) {
                    self.line.send(Request::Playback(heard))?;
                }
            }
            Response::ToolCall(call) => self.line.send(declined(call))?,
            Response::Ended(ended) => self.ended = Some(ended.clone()),
            _ => {}
        }
        self.print(response)
    }

    fn print(&mut self, response: &Response) -> Result<(), Error> {
        if !self.json {
            let at_ms = self.at_ms();
            self.screen.show(response, at_ms);
        } else if !matches!(response, Response::Audio(_)) {
            outln!("{}", response_json(response)?);
        }
        Ok(())
    }

    /// Waits for the engine's last words after this side has hung up.
    async fn last_words(&mut self) -> Result<CallEnded, Error> {
        let last_words = async {
            while let Some(response) = self.line.next().await? {
                self.take(&response)?;
            }
            Ok::<_, Error>(())
        };
        let late = |_| Error::Broken("it did not end the call within 5 s of the hang-up".to_owned());
        timeout(GOODBYE_WITHIN, last_words).await.map_err(late)??;
        self.end()
    }

    fn end(&mut self) -> Result<CallEnded, Error> {
        self.ended.clone().ok_or_else(|| Error::Broken("it stopped without saying why".to_owned()))
    }

    fn at_ms(&self) -> i64 {
        i64::from(self.frames) * 20
    }

    fn greet(&mut self, ready: &SessionReady) {
        if !self.json {
            outln!("{} with {}: {}", ready.call, ready.agent, ready.providers);
        }
    }

    fn sum_up(&mut self, args: &CallArgs) {
        let unsaid = self.caller.unsaid();
        if unsaid > 0 {
            errln!("the call was over before {unsaid} of {} clips were said", args.clips.len());
        }
        if self.json {
            return;
        }
        let seconds = self.speaker.played_ms() as f64 / 1_000.0;
        outln!("the agent was heard for {seconds:.1} s, with {} gaps", self.speaker.gaps());
        if let Some(path) = &args.save {
            outln!("recording: {} (caller left, agent right)", path.display());
        }
    }
}

/// Ticks every 20 ms; a late tick is followed by the ones it held up, so that no time is lost.
fn frame_clock() -> Interval {
    let mut frames = interval_at(Instant::now() + FRAME, FRAME);
    frames.set_missed_tick_behavior(MissedTickBehavior::Burst);
    frames
}

/// A message of the engine as one line of JSON.
fn response_json(response: &Response) -> Result<serde_json::Value, Error> {
    let message = v1::VoiceSessionResponse { seq: 0, response: Some(response.clone()) };
    message_json::to_json("VoiceSessionResponse", &message)
}

fn proto_format(format: AudioFormat) -> v1::AudioFormat {
    let encoding = match format.encoding() {
        Encoding::Pcm16Le => AudioEncoding::Pcm16,
        Encoding::MuLaw => AudioEncoding::Mulaw,
        Encoding::ALaw => AudioEncoding::Alaw,
    };
    v1::AudioFormat { encoding: encoding.into(), sample_rate_hz: format.sample_rate_hz() }
}

/// `mulaw@8000`, or a codec alone at its usual rate.
fn audio_format(text: &str) -> Result<AudioFormat, String> {
    let (codec, rate) = text.split_once('@').map_or((text, None), |(codec, rate)| (codec, Some(rate)));
    let (encoding, usual_hz) = match codec {
        "pcm16" => (Encoding::Pcm16Le, 16_000),
        "mulaw" => (Encoding::MuLaw, 8_000),
        "alaw" => (Encoding::ALaw, 8_000),
        _ => return Err(format!("`{codec}` is no codec: use pcm16, mulaw or alaw")),
    };
    let rate_hz = match rate {
        Some(rate) => rate.parse().map_err(|_| format!("`{rate}` is no rate in hertz"))?,
        None => usual_hz,
    };
    AudioFormat::new(encoding, rate_hz).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_format_is_a_codec_and_a_rate_and_a_wrong_one_is_explained() {
        let format = audio_format("mulaw@8000").expect("it is spoken");
        assert_eq!((format.encoding(), format.sample_rate_hz()), (Encoding::MuLaw, 8_000));
        assert!(audio_format("opus").expect_err("not spoken").contains("use pcm16"));
        assert!(audio_format("mulaw@16000").is_err());
    }
}
