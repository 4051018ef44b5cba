//! The load driver: many fake callers at once against a real engine, and what that costs.
//!
//! Starts `parlance serve --providers script` as a child process, holds all calls from this one process over
//! a few HTTP/2 connections, and prints figures; it judges nothing. Enter at [`measure::run`].
//!
//! **The engine's own share of a turn** is what is left of the caller's wait when everybody else's part is
//! taken out ([`turn`] does the sum):
//!
//! ```text
//!   first agent frame at the client's socket  -  last voiced sample at the client's microphone
//! - the endpointing wait            waterfall: wait_until - last_voice
//! - what the transcriber still took after that wait          at most its fixed delay
//! - the model's first token, and its further words up to the first clause   fixed delays
//! - the voice's first audio                                                 fixed delay
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
mod measure;
mod process;
mod turn;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

/// Measures an engine under load, with scripted providers of fixed delays.
#[derive(Debug, Clone, Parser)]
#[command(name = "load")]
pub struct Arguments {
    /// Calls at once, 1 to 1000.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub calls: u32,
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
    match measure::run(&arguments).await {
        Ok(figures) if arguments.json => println!("{}", figures.json()),
        Ok(figures) => print!("{figures}"),
        Err(error) => {
            eprintln!("load: {error}");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}
