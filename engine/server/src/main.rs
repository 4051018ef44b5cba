//! The binary `parlance`: reads the command line and hands the command to its room.

use std::process::ExitCode;

use clap::Parser;
use parlance::config::Config;
use parlance::{cli, run};

/// A headless voice engine.
#[derive(Debug, Parser)]
#[command(name = "parlance", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Run the engine.
    Serve(Config),
    /// Bring the database to this version and stop.
    Migrate(Config),
    #[command(flatten)]
    Client(cli::Command),
}

#[tokio::main]
async fn main() -> ExitCode {
    // Only the first provider installed counts, and nobody installs one before us.
    rustls::crypto::ring::default_provider().install_default().ok();
    let done = match Arguments::parse().command {
        Command::Serve(config) => run::serve(config).await.map_err(|error| error.to_string()),
        Command::Migrate(config) => run::migrate(&config).await.map_err(|error| error.to_string()),
        Command::Client(command) => cli::run(command).await.map_err(|error| error.to_string()),
    };
    match done {
        Ok(code) => code,
        Err(error) => {
            eprintln!("parlance: {error}");
            ExitCode::FAILURE
        }
    }
}
