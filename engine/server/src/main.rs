//! The binary `parlance`: reads the command line and hands the command to its room.

use std::process::ExitCode;

use clap::Parser;
use parlance::cli;

/// A headless voice engine.
#[derive(Debug, Parser)]
#[command(name = "parlance", version)]
struct Arguments {
    #[command(subcommand)]
    command: cli::Command,
}

#[tokio::main]
async fn main() -> ExitCode {
    match cli::run(Arguments::parse().command).await {
        Ok(code) => code,
        Err(error) => {
            eprintln!("parlance: {error}");
            ExitCode::FAILURE
        }
    }
}
