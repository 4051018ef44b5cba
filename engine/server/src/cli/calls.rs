//! `parlance calls`: the calls there were, one of them as a timeline, and what can be done to a live one.
//!
//! Only asks and prints; how a call reads is [`super::timeline`]'s to decide.

use std::process::ExitCode;

use parlance_proto::v1::control_call_request::Control;
use parlance_proto::v1::{
    Call, CallState, ControlCallRequest, EndCallRequest, EndReason, GetCallRequest, GetTranscriptRequest,
    ListCallsRequest, Say,
};

use super::connect::{ConnectArgs, Engine, connect, resource_name};
use super::terminal::Paint;
use super::{Error, describe, timeline, watch};
use crate::output::outln;

/// The commands under `parlance calls`.
#[derive(Debug, clap::Subcommand)]
pub enum CallsCommand {
    /// List calls, newest first.
    List(ListArgs),
    /// Show one call: what was said, and why the agent waited, held and cut.
    Show(ShowArgs),
    /// Watch a call as it goes, from its beginning to its end.
    Watch(ShowArgs),
    /// Let the agent of a live call say something.
    Say(SayArgs),
    /// End a call now.
    End(ShowArgs),
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

/// Arguments of `parlance calls show`, `watch` and `end`.
#[derive(Debug, clap::Args)]
pub struct ShowArgs {
    #[command(flatten)]
    connect: ConnectArgs,
    #[command(flatten)]
    which: Which,
}

/// Arguments of `parlance calls say`.
#[derive(Debug, clap::Args)]
pub struct SayArgs {
    #[command(flatten)]
    connect: ConnectArgs,
    #[command(flatten)]
    which: Which,
    /// The words, up to 2,000 characters.
    #[arg(long, value_name = "WORDS")]
    text: String,
    /// The caller can't interrupt it.
    #[arg(long)]
    protected: bool,
}

/// One call.
#[derive(Debug, clap::Args)]
struct Which {
    /// The call: its id, or `calls/ID`.
    #[arg(required_unless_present = "last")]
    call: Option<String>,
    /// The newest call.
    #[arg(long, conflicts_with = "call")]
    last: bool,
}

impl Which {
    /// Its resource name.
    async fn name(self, engine: &Engine) -> Result<String, Error> {
        if let Some(call) = self.call {
            return Ok(resource_name("calls", &call));
        }
        let newest = newest(engine, String::new(), 1).await?.pop().map(|call| call.name);
        newest.ok_or_else(|| Error::Usage("there is no call yet".to_owned()))
    }
}

/// Carries out one of them.
///
/// # Errors
/// What kept it from being asked or answered.
pub async fn run(command: CallsCommand) -> Result<ExitCode, Error> {
    match command {
        CallsCommand::List(args) => list(args).await,
        CallsCommand::Show(args) => show(args).await,
        CallsCommand::Watch(args) => {
            let engine = connect(&args.connect).await?;
            let call = args.which.name(&engine).await?;
            watch::watch(&engine, call).await
        }
        CallsCommand::Say(args) => say(args).await,
        CallsCommand::End(args) => end(args).await,
    }
}

async fn list(args: ListArgs) -> Result<ExitCode, Error> {
    let engine = connect(&args.connect).await?;
    let agent = args.agent.map(|agent| resource_name("agents", &agent)).unwrap_or_default();
    let calls = newest(&engine, agent, args.limit).await?;
    if calls.is_empty() {
        outln!("no calls yet");
    }
    for call in &calls {
        outln!("{}", timeline::call_line(call));
    }
    Ok(ExitCode::SUCCESS)
}

async fn show(args: ShowArgs) -> Result<ExitCode, Error> {
    let engine = connect(&args.connect).await?;
    let name = args.which.name(&engine).await?;
    let request = GetCallRequest { name: name.clone() };
    let call = engine.calls().get_call(request).await?.into_inner().call.unwrap_or_default();
    let request = GetTranscriptRequest { call: name, include_events: true };
    let transcript = engine.calls().get_transcript(request).await?.into_inner();
    let paint = Paint::for_stdout();
    for line in timeline::header(&call, paint) {
        outln!("{line}");
    }
    for line in timeline::lines(&transcript.entries, &transcript.events, paint) {
        outln!("{line}");
    }
    for line in timeline::tool_lines(&call) {
        outln!("{line}");
    }
    Ok(ExitCode::SUCCESS)
}

async fn say(args: SayArgs) -> Result<ExitCode, Error> {
    let engine = connect(&args.connect).await?;
    let say = Say { text: args.text, protected: args.protected };
    let request = ControlCallRequest {
        name: args.which.name(&engine).await?,
        control: Some(Control::Say(say)),
        ..Default::default()
    };
    engine.calls().control_call(request).await?;
    Ok(ExitCode::SUCCESS)
}

async fn end(args: ShowArgs) -> Result<ExitCode, Error> {
    let engine = connect(&args.connect).await?;
    let request = EndCallRequest { name: args.which.name(&engine).await?, ..Default::default() };
    let name = request.name.clone();
    engine.calls().end_call(request).await?;
    outln!("{name} ends");
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
