//! `parlance agents test`: what an agent makes of the lines of a file, without a call.
//!
//! All lines are read first: the agent is given the next one when it listens.

use std::path::PathBuf;
use std::process::ExitCode;

use parlance_proto::v1::test_agent_request::Target;
use parlance_proto::v1::test_agent_response::Event;
use parlance_proto::v1::{Speaker, TestAgentRequest, TestEnded, TestOutcome, TestToolRun, ToolState};

use super::{ConnectArgs, Error, connect, message_json, resource_name};
use crate::output::outln;

/// Arguments of `parlance agents test`.
#[derive(Debug, clap::Args)]
pub struct TestArgs {
    #[command(flatten)]
    connect: ConnectArgs,
    /// The agent: its id, or `agents/ID`.
    #[arg(required_unless_present = "file", conflicts_with = "file")]
    agent: Option<String>,
    /// An agent file to test instead of a stored agent.
    #[arg(short, long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Run tools for good: what they book is booked.
    #[arg(long)]
    run_tools: bool,
}

/// Tests. The exit code is 0 if the agent ended the conversation or listens, 1 if the test was not finished.
pub async fn run(args: TestArgs) -> Result<ExitCode, Error> {
    let target = match (&args.file, &args.agent) {
        (Some(path), _) => Target::Draft(super::parse(path, &super::read(path)?)?),
        (None, agent) => Target::Agent(resource_name("agents", agent.as_deref().unwrap_or_default())),
    };
    let engine = connect(&args.connect).await?;
    let lines = super::read(std::path::Path::new("-"))?;
    let messages = lines.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect();
    let request =
        TestAgentRequest { target: Some(target), messages, run_tools: args.run_tools, ..Default::default() };
    let mut stream = engine.agents().test_agent(request).await?.into_inner();
    let mut over = None;
    while let Some(response) = stream.message().await? {
        match response.event {
            Some(Event::Ended(ended)) => over = Some(ended),
            Some(event) => outln!("{}", line(&event)),
            None => {}
        }
    }
    let over = over.ok_or_else(|| Error::Broken("the test was cut off".to_owned()))?;
    outln!("{}", end(&over));
    let finished = over.outcome() != TestOutcome::TimedOut;
    Ok(if finished { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn line(event: &Event) -> String {
    match event {
        Event::Transcript(entry) => {
            let who = if entry.speaker() == Speaker::Agent { "agent " } else { "caller" };
            format!("{who}  {}", entry.text)
        }
        Event::Tool(run) => {
            format!(
                "  tool  {}({}): {}",
                run.tool,
                message_json::fields(run.arguments.as_ref()),
                outcome(run)
            )
        }
        Event::Error(error) => format!(" error  {}: {}", error.reason, error.message),
        Event::Ended(_) => String::new(),
    }
}

fn outcome(run: &TestToolRun) -> String {
    match (run.ran, run.state()) {
        (false, _) => "not run".to_owned(),
        (true, ToolState::Succeeded) => "done".to_owned(),
        (true, ToolState::TimedOut) => "no answer in time".to_owned(),
        (true, _) => format!("failed: {}", run.reason),
    }
}

fn end(ended: &TestEnded) -> String {
    let left = match ended.messages_left {
        0 => String::new(),
        left => format!(", {left} lines left"),
    };
    match ended.outcome() {
        TestOutcome::CallEnded => {
            let reason = ended.end_reason().as_str_name().trim_start_matches("END_REASON_").to_lowercase();
            format!("   end  {reason}{left}")
        }
        TestOutcome::Listening => "   end  the agent listens".to_owned(),
        TestOutcome::TimedOut | TestOutcome::Unspecified => format!("   end  after 60 s, unfinished{left}"),
    }
}
