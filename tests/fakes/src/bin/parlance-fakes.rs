//! The stand-ins as a program: `parlance-fakes --port 9900`, planned by flags or `POST /control/plan`.
//!
//! What it prints is an environment: every line can stand in a `.env` file, and the engine that reads it talks to the
//! stand-ins and to nobody else.

use std::net::{Ipv4Addr, SocketAddr};
use std::str::FromStr;

use clap::Parser;
use parlance_fakes::{Fakes, Plan, Service};

/// What may follow the flags in the help text.
const AFTER: &str = r#"A plan is JSON; every field of it may be left out:
  {"fault": {"fault": "drop", "after": 3}, "times": 1, "skip": 2, "handshake_ms": 40, "first_ms": 350,
   "interval_ms": 33, "jitter_ms": 10, "first_jitter_ms": 250, "seed": 7, "lines": ["Hello."], "words": ["one", "two"],
   "tools": [{"when": "table", "name": "book", "arguments": {"guests": 4}, "say": "One moment."}]}

Services:
  deepgram_listen deepgram_flux deepgram_speak openai_chat openai_responses openai_transcribe openai_realtime
  openai_speech elevenlabs_multi elevenlabs_http elevenlabs_scribe gemini_stream anthropic_messages cartesia_tts
  cartesia_stt

Faults, those in the first line with {"after": EVENTS}:
  silence drop half_open malformed unknown_type error_inside
  slow_first_byte {"ms"} rate_limited {"retry_after_s"} blocked_send unauthorized quota server_error empty flap
  unusual_activity fragment

While it runs:
  curl HOST:PORT/control/plan -H 'content-type: application/json' -d '{"service": "openai_chat", "lines": ["Hi."]}'
  curl 'HOST:PORT/control/seen?service=openai_chat'
  curl 'HOST:PORT/control/sent?service=openai_chat'

They understand nobody: a transcriber hears each stretch of voice as the next of its plan's `lines`, or as `hello`, and a
model says its `lines`, or what it was told."#;

/// Vendors: the name in variables, the path of their base URL.
const VENDORS: [(&str, &str); 6] = [
    ("DEEPGRAM", "deepgram"),
    ("OPENAI", "openai/v1"),
    ("ELEVENLABS", "elevenlabs"),
    ("GEMINI", "gemini"),
    ("ANTHROPIC", "anthropic"),
    ("CARTESIA", "cartesia"),
];

/// Stand-ins for Deepgram, OpenAI, ElevenLabs, Gemini, Anthropic and Cartesia on one loopback port.
///
/// Prints the variables that lead the engine and the vendors' own clients to them, then serves until Ctrl-C.
#[derive(Parser)]
#[command(name = "parlance-fakes", after_help = AFTER)]
struct Flags {
    /// Port; 0 takes a free one.
    #[arg(long, default_value_t = 9900)]
    port: u16,
    /// What a service does, until it is planned otherwise: openai_chat='{"interval_ms": 33}'. May be repeated.
    #[arg(long = "plan", value_name = "SERVICE=JSON")]
    plans: Vec<Planned>,
    /// Seed of the jitter in plans that have none: the same seed, the same delays.
    #[arg(long, default_value_t = 0)]
    seed: u64,
}

#[derive(Clone)]
struct Planned {
    service: Service,
    plan: Plan,
}

impl FromStr for Planned {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (service, plan) = text.split_once('=').ok_or("SERVICE=JSON is expected")?;
        let named = serde_json::from_value(service.into());
        let service = named.map_err(|_| format!("there is no service `{service}`; --help lists them"))?;
        let plan = serde_json::from_str(plan).map_err(|error| format!("no plan: {error}"))?;
        Ok(Self { service, plan })
    }
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let flags = Flags::parse();
    let fakes = Fakes::start_on(SocketAddr::from((Ipv4Addr::LOCALHOST, flags.port))).await?;
    fakes.seed(flags.seed);
    for Planned { service, plan } in flags.plans {
        fakes.plan(service, plan);
    }
    println!("# http://{}", fakes.address());
    for (variable, path) in VENDORS {
        println!("{variable}_BASE_URL={}", fakes.base(path));
        println!("{variable}_API_KEY=stand-in");
    }
    tokio::signal::ctrl_c().await
}
