//! The binary `parlance`: reads the settings and the command line and hands the command to its room.

#![deny(clippy::print_stdout, clippy::print_stderr)]

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{ArgMatches, CommandFactory, FromArgMatches, Parser};
use parlance::config::Config;
use parlance::settings::show::{self, ShowArgs};
use parlance::settings::{self, Settings, Surroundings};
use parlance::{cli, output, run};

/// A headless voice engine.
#[derive(Debug, Parser)]
#[command(name = "parlance", version)]
struct Arguments {
    /// File with settings. Default: parlance.toml in the working directory, if it is there.
    #[arg(long, global = true, env = settings::FILE_VARIABLE, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Run the engine.
    Serve(Config),
    /// Bring the database to this version and stop.
    Migrate(Config),
    /// Print every setting, its value and where it comes from. Secrets are hidden.
    Config(ShowArgs),
    #[command(flatten)]
    Client(cli::Command),
}

#[tokio::main]
async fn main() -> ExitCode {
    // Only the first provider installed counts, and nobody installs one before us.
    rustls::crypto::ring::default_provider().install_default().ok();
    let done = match read() {
        Ok(read) => obey(read).await,
        Err(error) => Err(error.to_string()),
    };
    match done {
        Ok(code) => code,
        Err(error) => {
            output::print_error(format_args!("parlance: {error}\n"));
            ExitCode::FAILURE
        }
    }
}

/// What was typed, with what file, `.env` and environment add to it.
struct Read {
    settings: Settings,
    matches: ArgMatches,
}

fn read() -> Result<Read, settings::Error> {
    let surroundings = Surroundings::of_process();
    let settings = Settings::read(&Arguments::command(), &surroundings)?;
    // Prints help and mistakes by itself and ends there.
    let matches = settings.apply(Arguments::command())?.get_matches();
    Ok(Read { settings, matches })
}

async fn obey(Read { settings, matches }: Read) -> Result<ExitCode, String> {
    let arguments = Arguments::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    match arguments.command {
        Command::Serve(config) => {
            run::serve(config, settings.misspelt()).await.map_err(|error| error.to_string())
        }
        Command::Migrate(config) => run::migrate(&config).await.map_err(|error| error.to_string()),
        Command::Config(_) => {
            if let Some((_, matches)) = matches.subcommand() {
                output::print(format_args!("{}", show::text(&settings, matches)));
            }
            for misspelt in settings.misspelt() {
                output::print_error(format_args!("parlance: {misspelt}\n"));
            }
            Ok(ExitCode::SUCCESS)
        }
        Command::Client(command) => {
            cli::run(command, settings.misspelt()).await.map_err(|error| error.to_string())
        }
    }
}
