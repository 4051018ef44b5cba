//! The load driver: many fake callers at once against a real engine, and what that costs.
//!
//! Starts `parlance serve --providers script` as a child process, holds all calls from this one process over
//! a few HTTP/2 connections, and prints figures; it judges nothing. Enter at [`measure::run`]. With `--stand-ins` it
//! does the same with the vendors' own protocols, spoken by stand-ins with realistic delays: [`vendors::run`].
//!
//! **The engine's own share of a turn** is what is left of the caller's wait when everybody else's part is
//! taken out ([`turn`] does the sum):
//!
//! ```text
//!   first agent frame at the client's socket  -  last voiced sample at the client's microphone
//! - the endpointing wait            waterfall: wait_until - last_voice
//! - what the transcriber still took after that wait          at most its fixed delay
//! - the model's first token, and its further words up to the first clause   fixed delays
//! - the voice's first audio               none: the same answer again is said from what is kept
//! ```
//!
//! The first line is taken on this process's clock, the wait from the turn's waterfall. The same sum with the
//! engine's own `first_frame - last_voice` is the cross-check: it lacks the socket, and where the two differ by
//! more, the engine's detector put the last voiced sample later than it was. So that there is one, each clip is
//! cut off sharply at its last loud sample, and how late the detector puts that is printed too ([`clip`]).
//!
//! The driver shares the machine with the engine: it prints its own CPU and how late its own frames left.

mod call;
mod clip;
mod ear;
mod engine;
mod figures;
mod latency;
mod measure;
mod path;
mod process;
mod sentences;
mod stand_ins;
mod turn;
mod vendors;

use std::fmt::Display;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use serde::Serialize;

/// Measures an engine under load, with scripted providers of fixed delays or with stand-ins for vendors.
#[derive(Debug, Clone, Parser)]
#[command(name = "load")]
pub struct Arguments {
    /// Calls at once, 1 to 1000. Default 50, with stand-ins 20.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub calls: Option<u32>,
    /// Seconds to measure while all calls run, 1 to 3600.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=3_600))]
    pub seconds: u32,
    /// HTTP/2 connections the calls share, 1 to 100.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub connections: u32,
    /// Callers that do not tell what they played: the engine estimates it.
    #[arg(long)]
    pub no_reports: bool,
    /// Let the engine make no recordings.
    #[arg(long)]
    pub no_recording: bool,
    /// Measure against stand-ins of Deepgram, OpenAI and ElevenLabs with realistic delays, without speculation and
    /// with it, instead of scripted providers.
    #[arg(long)]
    pub stand_ins: bool,
    /// How quick the agents are with stand-ins, 0 to 1, one pair of runs each: the wait is 1200 - 1000 x this.
    #[arg(long, value_delimiter = ',', default_values_t = [0.8, 0.5], value_parser = responsiveness)]
    pub responsiveness: Vec<f64>,
    /// Who listens with stand-ins, one after another; where it decides turns itself, with the first responsiveness alone.
    #[arg(long, value_delimiter = ',', default_values = ["deepgram", "deepgram-flux"])]
    pub transcribers: Vec<path::Transcriber>,
    /// Print the figures as JSON instead of a table.
    #[arg(long)]
    pub json: bool,
    /// The engine's program. Default: `parlance` beside this program.
    #[arg(long)]
    pub engine: Option<PathBuf>,
}

/// One thread: the driver must leave the cores to the engine, and its clock is read in one place at a time.
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let printed = match arguments.stand_ins {
        false => measure::run(&arguments).await.map(|figures| shown(&arguments, &figures)),
        true => vendors::run(&arguments).await.map(|figures| shown(&arguments, &figures)),
    };
    match printed {
        Ok(figures) => println!("{}", figures.trim_end()),
        Err(error) => {
            eprintln!("load: {error}");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

/// As a table, or as JSON on one line.
fn shown(arguments: &Arguments, figures: &(impl Display + Serialize)) -> String {
    match arguments.json {
        true => serde_json::to_string(figures).unwrap_or_else(|error| format!("{{\"error\":\"{error}\"}}")),
        false => figures.to_string(),
    }
}

fn responsiveness(text: &str) -> Result<f64, String> {
    let value: f64 = text.parse().map_err(|_| "is no number".to_owned())?;
    (0.0..=1.0).contains(&value).then_some(value).ok_or_else(|| "must be 0 to 1".to_owned())
}
