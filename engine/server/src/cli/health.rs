//! `parlance health`: asks a running engine how it is, for probes of containers that have no curl.
//!
//! Prints the engine's answer; the exit code is 0 only if it was a good one. Needs no key.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use super::Error;
use crate::outgoing::Outgoing;
use crate::output::outln;

/// Probes themselves wait only seconds.
const WITHIN: Duration = Duration::from_secs(4);

/// Arguments of `parlance health`.
#[derive(Debug, clap::Args)]
pub struct HealthArgs {
    /// Where the engine listens.
    #[arg(long, env = "PARLANCE_ENDPOINT", default_value = "http://127.0.0.1:8080", value_name = "URL")]
    endpoint: String,
    /// PEM file with the authority of the engine's certificate, if it is no public one.
    #[arg(long, env = "PARLANCE_CA_FILE", value_name = "FILE")]
    ca_file: Option<PathBuf>,
    /// Ask whether it should get new calls, and not only whether it lives.
    #[arg(long)]
    ready: bool,
}

/// Asks once.
///
/// # Errors
/// When nothing answers.
pub async fn run(args: HealthArgs) -> Result<ExitCode, Error> {
    let failed = |error: crate::outgoing::Error| Error::Usage(format!("could not {error}"));
    let outgoing = Outgoing::new(args.ca_file.as_deref()).map_err(failed)?;
    let page = if args.ready { "ready" } else { "health" };
    let address = format!("{}/{page}", args.endpoint.trim_end_matches('/'));
    let (status, text) = outgoing.get(&address, WITHIN).await.map_err(failed)?;
    outln!("{}", text.trim_end());
    Ok(if status.is_success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
