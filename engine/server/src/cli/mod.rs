//! The client half of the binary: what `parlance` does to a running engine through its public API.
//!
//! Nothing here reaches into the engine: every command but [`doctor`] and [`health`] goes through the same RPCs and the same
//! key as anybody's client, so that what works here works for them. Enter at [`run`]. A command is a clap
//! `Args` struct and one async function in the file of its name; what they share is small: [`connect`] (where the
//! engine is and who asks), [`opening`] and [`floor`] (does the agent
//! greet, is it done?), [`describe`] and [`waterfall`] (decisions in words and
//! bars), [`message_json`] (messages as JSON and YAML), [`terminal`] (colours, times).

use std::process::ExitCode;

pub mod agents;
pub mod call;
pub mod calls;
pub mod connect;
mod describe;
pub mod doctor;
mod error;
mod floor;
pub mod health;
pub mod keys;
mod line;
mod message_json;
mod opening;
pub mod providers;
#[cfg(test)]
mod scripted;
pub mod secrets;
mod spending;
pub mod talk;
mod terminal;
#[cfg(test)]
mod tests;
mod timeline;
mod watch;
mod waterfall;

pub use error::Error;

use crate::settings::misspelt::Misspelt;

/// The commands that talk to an engine, or look for one.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Call an agent with recorded audio, in real time, as a caller would.
    Call(call::CallArgs),
    /// Talk to an agent by typing.
    Talk(talk::TalkArgs),
    /// List calls, show why a call went as it did, watch, steer and end live ones.
    #[command(subcommand)]
    Calls(calls::CallsCommand),
    /// Create, change, show and delete agents.
    #[command(subcommand)]
    Agents(agents::AgentsCommand),
    /// Make, list and revoke API keys.
    #[command(subcommand)]
    Keys(keys::KeysCommand),
    /// List providers, their health and voices; set your organisation's own keys of vendors.
    #[command(subcommand)]
    Providers(providers::ProvidersCommand),
    /// Set, list and delete the secrets that your organisation's tools name.
    #[command(subcommand)]
    Secrets(secrets::SecretsCommand),
    /// Say what is missing on this machine, and the command that brings it.
    Doctor(doctor::DoctorArgs),
    /// Ask a running engine how it is; the exit code says whether well. For probes.
    Health(health::HealthArgs),
}

/// Carries out one command. The exit code is 0 only if what was asked for happened: for a call, that it ended
/// normally and every clip was played. [`doctor`] tells what is `misspelt` among the settings.
///
/// # Errors
/// Whatever kept the command from being tried or finished; its text is one sentence for people, with the fix.
pub async fn run(command: Command, misspelt: &[Misspelt]) -> Result<ExitCode, Error> {
    match command {
        Command::Call(args) => call::run(args).await,
        Command::Talk(args) => talk::run(args).await,
        Command::Calls(command) => calls::run(command).await,
        Command::Agents(command) => agents::run(command).await,
        Command::Keys(command) => keys::run(command).await,
        Command::Providers(command) => providers::run(command).await,
        Command::Secrets(command) => secrets::run(command).await,
        Command::Doctor(args) => doctor::run(args, misspelt).await,
        Command::Health(args) => health::run(args).await,
    }
}
