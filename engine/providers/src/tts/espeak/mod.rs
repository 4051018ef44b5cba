//! espeak-ng: a rough but very quick voice, as a program of its own for each sentence.
//!
//! It is under the GPL, so it is never linked: text goes to its standard input, a WAV stream comes
//! from its standard output. It tells no word times; the engine estimates them. Dropping a
//! sentence kills its program. Enter at [`Espeak`]; the stream's head is read in `wav`.

pub(super) mod wav;

use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};
use tokio::runtime::Handle;
use tokio::sync::Semaphore;

use super::{EachAlone, Event, Request, Settings, Sink, Sound, Speaker, Speech, TextToSpeech, VoiceInfo};
use crate::running::Running;
use crate::{Error, ErrorKind, soname};

pub(crate) const NAME: &str = "espeak-ng";

/// The Debian package that brings the program.
pub(crate) const PACKAGE: &str = "espeak-ng";

const PROGRAM: &str = "espeak-ng";
/// Its id and language.
const VOICES: [(&str, &str); 3] = [("en-us", "en-US"), ("en-gb", "en-GB"), ("en-gb-scotland", "en-GB")];
const SAMPLE_RATE_HZ: u32 = 22_050;
/// Words a minute; its own default of 175 is hard to follow over a telephone.
const WORDS_A_MINUTE: u32 = 155;
/// The longest text of one request, bytes.
const TEXT_MAX: usize = 2_000;
/// A sentence takes 50 ms; a program that takes this long hangs.
const TIME_MAX: Duration = Duration::from_secs(10);
/// Programs at once, at most; further sentences wait their turn.
const PROGRAMS_MAX: usize = 8;
/// Bytes a chunk: 150 ms.
const CHUNK_BYTES: usize = SAMPLE_RATE_HZ as usize * 2 * 150 / 1000;

/// The espeak-ng program, speaking English at 22,050 Hz. Speaks only inside a tokio runtime.
#[derive(Debug, Clone)]
pub struct Espeak {
    turns: Arc<Semaphore>,
}

impl Espeak {
    /// Looks for the program on the path.
    ///
    /// # Errors
    /// [`ErrorKind::NotInstalled`], with the command that brings it.
    pub fn new() -> Result<Self, Error> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        if !std::env::split_paths(&path).any(|folder| folder.join(PROGRAM).is_file()) {
            return Err(soname::missing(NAME, "the program espeak-ng is not on the path", PACKAGE));
        }
        Ok(Self { turns: Arc::new(Semaphore::new(PROGRAMS_MAX)) })
    }
}

impl TextToSpeech for Espeak {
    fn name(&self) -> &'static str {
        NAME
    }

    fn voices(&self) -> Vec<VoiceInfo> {
        VOICES.map(|(id, language)| VoiceInfo::plain(id, language)).to_vec()
    }

    fn open(&self, settings: Settings) -> Result<Box<dyn Speaker>, Error> {
        voice(&settings.voice)?;
        let espeak = self.clone();
        Ok(Box::new(EachAlone::new(settings, move |request, sink| espeak.say(request, sink))))
    }
}

fn voice(wanted: &str) -> Result<&'static str, Error> {
    let ids = VOICES.map(|(id, _)| id);
    let found = ids.into_iter().find(|id| wanted.is_empty() || wanted == *id);
    found.ok_or_else(|| {
        let message = format!("there is no voice `{wanted}`; it has: {}", ids.join(", "));
        Error::new(NAME, ErrorKind::Invalid, message)
    })
}

impl Espeak {
    /// Speaks; an empty voice means the default one. At most 2,000 bytes of text.
    fn say(&self, request: Request, sink: Sink) -> Result<Speech, Error> {
        let voice = voice(&request.voice)?;
        if request.text.trim().is_empty() {
            return Err(Error::new(NAME, ErrorKind::Invalid, "there is no text to speak"));
        }
        if request.text.len() > TEXT_MAX {
            let message = format!("the text is longer than {TEXT_MAX} bytes");
            return Err(Error::new(NAME, ErrorKind::Invalid, message));
        }
        let runtime = Handle::try_current().map_err(|error| unavailable(error.to_string()))?;
        let turns = Arc::clone(&self.turns);
        let task = runtime.spawn(async move {
            let spoken = tokio::time::timeout(TIME_MAX, run(&turns, voice, &request, &sink)).await;
            sink(match spoken {
                Ok(Ok(())) => Event::Finished,
                Ok(Err(error)) => Event::Failed(error),
                Err(_) => {
                    let message = format!("no end after {} s", TIME_MAX.as_secs());
                    Event::Failed(Error::new(NAME, ErrorKind::TimedOut, message))
                }
            });
        });
        Ok(Box::new(Running(task)))
    }
}

/// One program from its start to its end.
async fn run(turns: &Semaphore, voice: &str, request: &Request, sink: &Sink) -> Result<(), Error> {
    let _turn = turns.acquire().await.map_err(|error| unavailable(error.to_string()))?;
    let mut child = start(voice, request.speed_percent)?;
    let (spoken, ()) = tokio::join!(forward(&mut child.1, sink), give_text(child.2, &request.text));
    let sounded = spoken?;
    let status = child.0.wait().await.map_err(|error| unavailable(format!("no end of it: {error}")))?;
    if !status.success() {
        return Err(unavailable(format!("it ended with {status}")));
    }
    if sounded { Ok(()) } else { Err(unavailable("it gave no audio")) }
}

type Pipes = (Child, tokio::process::ChildStdout, tokio::process::ChildStdin);

fn start(voice: &str, speed_percent: u16) -> Result<Pipes, Error> {
    let speed = (WORDS_A_MINUTE * u32::from(speed_percent) / 100).to_string();
    let mut child = Command::new(PROGRAM)
        .args(["-v", voice, "-s", &speed, "--stdin", "--stdout"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| unavailable(format!("it could not be started: {error}")))?;
    match (child.stdout.take(), child.stdin.take()) {
        (Some(output), Some(input)) => Ok((child, output, input)),
        _ => Err(unavailable("it has no pipes")),
    }
}

/// A program that ends early closes the pipe; that is told by its status, not here.
async fn give_text(mut input: tokio::process::ChildStdin, text: &str) {
    if input.write_all(text.as_bytes()).await.is_ok() {
        let _ = input.shutdown().await;
    }
}

/// Hands the audio on as it comes. Returns whether there was any.
async fn forward(output: &mut tokio::process::ChildStdout, sink: &Sink) -> Result<bool, Error> {
    let mut pending = Vec::new();
    let mut head = None;
    let mut sounded = false;
    loop {
        let read = output.read_buf(&mut pending).await;
        let is_end = read.map_err(|error| unavailable(format!("its audio broke off: {error}")))? == 0;
        if head.is_none() {
            head = wav::head(&pending).map_err(unavailable)?;
            if let Some(head) = head {
                check(head)?;
                pending.drain(..head.length);
            }
        }
        // Bytes before the head is known are not audio.
        let least = if is_end { 2 } else { CHUNK_BYTES };
        while head.is_some() && pending.len() >= least {
            let chunk = pending.len().min(CHUNK_BYTES) & !1;
            sink(Event::Audio(Sound::pcm16(SAMPLE_RATE_HZ, wav::samples(&pending[..chunk]))));
            pending.drain(..chunk);
            sounded = true;
        }
        if is_end {
            return Ok(sounded);
        }
    }
}

fn check(head: wav::Head) -> Result<(), Error> {
    if (head.sample_rate_hz, head.channels, head.bits) == (SAMPLE_RATE_HZ, 1, 16) {
        return Ok(());
    }
    Err(unavailable(format!("its audio is of an unknown kind: {head:?}")))
}

fn unavailable(message: impl Into<String>) -> Error {
    Error::new(NAME, ErrorKind::Unavailable, message)
}
