//! The vendors' stand-ins as a process of their own: how slow they are, and what they noted.
//!
//! Their delays are those that a caller of the vendors would meet, as far as anybody wrote them down; what is an
//! assumption says so. A stand-in draws each delay from its range by a seed, so that a run can be repeated. Enter at
//! [`StandIns::start`].

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use parlance_fakes::{Plan, Seen, Sent, Service};
use serde::de::DeserializeOwned;

use crate::engine::{beside_us, terminate};

/// Seed of all delays.
const SEED: u64 = 20_261_121;
/// How long a request to their control routes may take; what they noted is megabytes.
const CONTROL_MAX: Duration = Duration::from_secs(30);

/// A delay, what it is for, and where the figure comes from.
#[derive(Debug, Clone, Copy, serde::Serialize)]
pub struct Delay {
    /// What takes so long.
    pub what: &'static str,
    /// The shortest, milliseconds.
    pub from_ms: u64,
    /// The longest, milliseconds.
    pub to_ms: u64,
    /// Where it comes from.
    pub source: &'static str,
}

/// From a finalize to the transcript.
pub const TRANSCRIPT: Delay = Delay {
    what: "Deepgram, finalize to final",
    from_ms: 150,
    to_ms: 350,
    source: "350 is the p99 that Pipecat 1.14 reckons with; 150 is assumed",
};
/// From the audio that shows it to what Flux says of it.
pub const TURNS: Delay = Delay {
    what: "Deepgram Flux, audio to message",
    from_ms: 50,
    to_ms: 150,
    source: "assumed; it takes 250 ms of silence for a probable end, at 0.8 350 ms for an end",
};
/// From a request to the first token.
pub const FIRST_TOKEN: Delay = Delay {
    what: "OpenAI chat, request to first token",
    from_ms: 350,
    to_ms: 600,
    source: "assumed, for a small model over a warm connection",
};
/// From token to token.
pub const TOKEN: Delay = Delay {
    what: "OpenAI chat, token to token",
    from_ms: 15,
    to_ms: 25,
    source: "assumed: 50 tokens a second",
};
/// From a sentence to its first audio.
pub const FIRST_AUDIO: Delay = Delay {
    what: "ElevenLabs, text to first audio",
    from_ms: 150,
    to_ms: 250,
    source: "the vendor names about 75 for the model alone; the rest is assumed for the network",
};
/// From one piece of audio to the next.
pub const AUDIO: Delay = Delay {
    what: "ElevenLabs, piece to piece of 100 ms",
    from_ms: 20,
    to_ms: 40,
    source: "assumed: three times as fast as it is heard",
};
/// A handshake of a socket: none may lie in a turn.
pub const HANDSHAKE: Delay = Delay {
    what: "Deepgram and ElevenLabs, opening a socket",
    from_ms: 150,
    to_ms: 150,
    source: "assumed: TCP, TLS and upgrade over 40 ms there and back",
};
/// All of them.
pub const DELAYS: [Delay; 7] = [TRANSCRIPT, TURNS, FIRST_TOKEN, TOKEN, FIRST_AUDIO, AUDIO, HANDSHAKE];

/// What the model answers, in turn: nothing that makes the next turn's wait another one.
const ANSWERS: [&str; 4] = [
    "Certainly, I have noted that for you. Is there anything else that I can do?",
    "Of course, that is no trouble at all. I have put it into the book.",
    "Thank you, we are looking forward to it. Just tell me if anything changes.",
    "Very well, I will pass it on to the kitchen. They are glad to hear it early.",
];

/// Running stand-ins. Dropped, they are stopped.
pub struct StandIns {
    child: Child,
    address: SocketAddr,
    /// The variables that lead an engine to them.
    pub variables: Vec<(String, String)>,
    /// When their clock stood at nought.
    started: Instant,
}

impl StandIns {
    /// Starts them on a free port; the transcriber hears `words` by their numbers.
    ///
    /// # Errors
    /// A sentence.
    pub fn start(words: Vec<String>) -> Result<Self, String> {
        let program = beside_us("parlance-fakes")?;
        let mut command = Command::new(&program);
        command.args(["--port", "0", "--seed", &SEED.to_string()]);
        for (service, plan) in plans(words) {
            let name = serde_json::to_value(service).map_err(|error| error.to_string())?;
            let plan = serde_json::to_string(&plan).map_err(|error| error.to_string())?;
            command.arg("--plan").arg(format!("{}={plan}", name.as_str().unwrap_or_default()));
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        let child =
            command.spawn().map_err(|error| format!("could not start {}: {error}", program.display()))?;
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut stand_ins = Self { child, address, variables: Vec::new(), started: Instant::now() };
        stand_ins.read_variables()?;
        stand_ins.started = stand_ins.clock()?;
        Ok(stand_ins)
    }

    fn read_variables(&mut self) -> Result<(), String> {
        let output = self.child.stdout.take().ok_or("the stand-ins have no output")?;
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            if let Some(address) = line.strip_prefix("# http://") {
                self.address = address.parse().map_err(|_| format!("`{address}` is no address"))?;
            } else if let Some((name, value)) = line.split_once('=') {
                self.variables.push((name.to_owned(), value.to_owned()));
                // The last one of all vendors.
                if name == "CARTESIA_API_KEY" {
                    return Ok(());
                }
            }
        }
        Err("the stand-ins ended at once".to_owned())
    }

    /// When their clock stood at nought, right to half of a loopback round trip.
    fn clock(&self) -> Result<Instant, String> {
        let before = Instant::now();
        let now = self.answered("deepgram_flux")?.now_us;
        let middle = before + before.elapsed() / 2;
        middle.checked_sub(Duration::from_micros(now)).ok_or_else(|| "the stand-ins' clock is odd".to_owned())
    }

    /// A moment on their clock, microseconds.
    pub fn us(&self, at: Instant) -> u64 {
        u64::try_from(at.saturating_duration_since(self.started).as_micros()).unwrap_or(u64::MAX)
    }

    /// Everything that a client did at a service.
    ///
    /// # Errors
    /// A sentence.
    pub fn seen(&self, service: &str) -> Result<Vec<Seen>, String> {
        self.look(&format!("/control/seen?service={service}"))
    }

    /// Every piece of output a service sent.
    ///
    /// # Errors
    /// A sentence.
    pub fn sent(&self, service: &str) -> Result<Vec<Sent>, String> {
        Ok(self.answered(service)?.sent)
    }

    fn answered(&self, service: &str) -> Result<Answered, String> {
        self.look(&format!("/control/sent?service={service}"))
    }

    fn look<T: DeserializeOwned>(&self, path: &str) -> Result<T, String> {
        let text = http_get(self.address, path)?;
        serde_json::from_str(&text).map_err(|error| format!("the stand-ins told nonsense: {error}"))
    }
}

impl Drop for StandIns {
    fn drop(&mut self) {
        terminate(self.child.id());
        self.child.wait().ok();
    }
}

#[derive(serde::Deserialize)]
struct Answered {
    now_us: u64,
    sent: Vec<Sent>,
}

/// A page in plain HTTP.
///
/// # Errors
/// A sentence.
pub fn http_get(address: SocketAddr, path: &str) -> Result<String, String> {
    let get = || -> std::io::Result<String> {
        let mut stream = TcpStream::connect_timeout(&address, CONTROL_MAX)?;
        stream.set_read_timeout(Some(CONTROL_MAX))?;
        stream.write_all(
            format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n").as_bytes(),
        )?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    };
    let answer = get().map_err(|error| format!("could not read {path} of {address}: {error}"))?;
    match answer.split_once("\r\n\r\n") {
        Some((head, body)) if head.split(' ').nth(1) == Some("200") => Ok(body.to_owned()),
        _ => Err(format!("{path} of {address} was refused")),
    }
}

/// What each is planned to do. The first event of an answer takes both jitters, so one is less by the other.
fn plans(words: Vec<String>) -> [(Service, Plan); 4] {
    let plan = |first: Delay, next: Delay| Plan {
        first_ms: first.from_ms,
        first_jitter_ms: first.to_ms - first.from_ms - (next.to_ms - next.from_ms),
        interval_ms: next.from_ms,
        jitter_ms: next.to_ms - next.from_ms,
        ..Plan::default()
    };
    let still = Delay { from_ms: 0, to_ms: 0, ..TRANSCRIPT };
    let answers = ANSWERS.map(str::to_owned).to_vec();
    let handshake_ms = HANDSHAKE.from_ms;
    [
        (Service::DeepgramListen, Plan { words: words.clone(), handshake_ms, ..plan(TRANSCRIPT, still) }),
        (Service::DeepgramFlux, Plan { words, handshake_ms, ..plan(TURNS, still) }),
        (Service::OpenaiChat, Plan { lines: answers, ..plan(FIRST_TOKEN, TOKEN) }),
        (Service::ElevenlabsMulti, Plan { handshake_ms, ..plan(FIRST_AUDIO, AUDIO) }),
    ]
}
