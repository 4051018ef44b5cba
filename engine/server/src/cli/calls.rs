//! `parlance calls`: the calls there were, and one of them as a timeline.
//!
//! Only asks and prints; how a call reads is [`super::timeline`]'s to decide.

use std::process::ExitCode;

use parlance_proto::v1::{
    Call, CallState, EndReason, GetCallRequest, GetTranscriptRequest, ListCallsRequest,
};

use super::connect::{ConnectArgs, Engine, connect, resource_name};
use super::terminal::Paint;
use super::{Error, describe, timeline};

/// The commands under `parlance calls`.
#[derive(Debug, clap::Subcommand)]
pub enum CallsCommand {
    /// List calls, newest first.
    List(ListArgs),
    /// Show one call: what was said, and why the agent waited, held and cut.
    Show(ShowArgs),
}

/// Arguments of `parlance calls list`.
#[derive(Debug, clap::Args)]
pub struct ListArgs {
    #[command(flatten)]
    connect: ConnectArgs,
    /// Only calls of this agent.
    #[arg(long)]
    agent: Option<String>,
    /// How many.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(i32).range(1..=200))]
    limit: i32,
}

/// Arguments of `parlance calls show`.
#[derive(Debug, clap::Args)]
pub struct ShowArgs {
    #[command(flatten)]
    connect: ConnectArgs,
    /// The call: its id, or `calls/ID`.
    #[arg(required_unless_present = "last")]
    call: Option<String>,
    /// The newest call.
    #[arg(long, conflicts_with = "call")]
    last: bool,
}

/// Carries out one of them.
///
/// # Errors
/// What kept it from being asked or answered.
pub async fn run(command: CallsCommand) -> Result<ExitCode, Error> {
    match command {
        CallsCommand::List(args) => list(args).await,
        CallsCommand::Show(args) => show(args).await,
    }
}

async fn list(args: ListArgs) -> Result<ExitCode, Error> {
    let engine = connect(&args.connect).await?;
    let agent = args.agent.map(|agent| resource_name("agents", &agent)).unwrap_or_default();
    let calls = newest(&engine, agent, args.limit).await?;
    if calls.is_empty() {
        println!("no calls yet");
    }
    for call in &calls {
        println!("{}", timeline::call_line(call));
    }
    Ok(ExitCode::SUCCESS)
}

async fn show(args: ShowArgs) -> Result<ExitCode, Error> {
    let engine = connect(&args.connect).await?;
    let name = match args.call {
        Some(call) => resource_name("calls", &call),
        None => newest(&engine, String::new(), 1)
            .await?
            .pop()
            .map(|call| call.name)
            .ok_or_else(|| Error::Usage("there is no call yet".to_owned()))?,
    };
    let request = GetCallRequest { name: name.clone() };
    let call = engine.calls().get_call(request).await?.into_inner().call.unwrap_or_default();
    let request = GetTranscriptRequest { call: name, include_events: true };
    let transcript = engine.calls().get_transcript(request).await?.into_inner();
    let paint = Paint::for_stdout();
    for line in timeline::header(&call, paint) {
        println!("{line}");
    }
    for line in timeline::lines(&transcript.entries, &transcript.events, paint) {
        println!("{line}");
    }
    for line in timeline::tool_lines(&call) {
        println!("{line}");
    }
    Ok(ExitCode::SUCCESS)
}

async fn newest(engine: &Engine, agent: String, limit: i32) -> Result<Vec<Call>, Error> {
    let request = ListCallsRequest { page_size: limit, agent, ..Default::default() };
    Ok(engine.calls().list_calls(request).await?.into_inner().calls)
}

/// Where a call stands, in words.
pub(super) fn standing(call: &Call) -> &'static str {
    match call.state() {
        CallState::Unspecified => "unknown",
        CallState::Created => "waits for its session",
        CallState::Ongoing => "under way",
        CallState::Ended if call.end_reason() == EndReason::Unspecified => "over",
        CallState::Ended => describe::end(call.end_reason()),
    }
}
