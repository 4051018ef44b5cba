//! `parlance talk`: a typed conversation.
//!
//! A person's lines are sent as they come, also into the agent's words: typing interrupts. A script's lines
//! (`--say`, or standard input that is no terminal) wait until the agent has finished.

use std::collections::VecDeque;
use std::io::{BufRead, IsTerminal, stdin};
use std::process::ExitCode;
use std::time::Duration;

use parlance_proto::v1::session_start::Target;
use parlance_proto::v1::voice_session_request::Request;
use parlance_proto::v1::voice_session_response::Response;
use parlance_proto::v1::{CallEnded, SessionStart, TypedText};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout};

use super::call::{Detail, Screen};
use super::connect::{ConnectArgs, connect, resource_name, variable};
use super::floor::Floor;
use super::line::{Line, declined};
use super::{Error, describe, opening};
use crate::output::outln;

/// Quiet after which the agent counts as finished.
const QUIET: Duration = Duration::from_millis(300);
/// Quiet after which a script goes on although the agent did not answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// Longest wait for the engine's last words after hanging up.
const GOODBYE_WITHIN: Duration = Duration::from_secs(5);

/// Arguments of `parlance talk`.
#[derive(Debug, clap::Args)]
pub struct TalkArgs {
    #[command(flatten)]
    connect: ConnectArgs,
    /// The agent to talk to.
    #[arg(long)]
    agent: String,
    /// Say this instead of what is typed; repeat for more. Each is sent when the agent has finished.
    #[arg(long, value_name = "TEXT")]
    say: Vec<String>,
    /// A value for {{NAME}} in the agent's texts.
    #[arg(long = "var", value_parser = variable, value_name = "NAME=VALUE")]
    variables: Vec<(String, String)>,
}

/// Holds the conversation.
///
/// # Errors
/// What kept it from being held or finished.
pub async fn run(args: TalkArgs) -> Result<ExitCode, Error> {
    let engine = connect(&args.connect).await?;
    let start = SessionStart {
        target: Some(Target::Agent(resource_name("agents", &args.agent))),
        dynamic_variables: args.variables.iter().cloned().collect(),
        text_only: true,
        include_details: true,
        ..Default::default()
    };
    let by_person = args.say.is_empty() && stdin().is_terminal();
    let listens = opening::agent_listens(&engine, &resource_name("agents", &args.agent)).await;
    let (line, ready) = Line::open(&engine, start).await?;
    outln!("{} with {}: {}", ready.call, ready.agent, ready.providers);
    let lines = if args.say.is_empty() { typed_lines() } else { script(args.say) };
    let ended = Talk::new(line, by_person, listens).hold(lines).await?;
    Ok(if describe::is_normal(ended.reason()) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Lines of standard input. A plain thread reads them: one that waits for a line must not keep the process.
fn typed_lines() -> mpsc::Receiver<String> {
    let (sender, lines) = mpsc::channel(16);
    std::thread::spawn(move || {
        for line in stdin().lock().lines().map_while(Result::ok) {
            if !line.trim().is_empty() && sender.blocking_send(line).is_err() {
                return;
            }
        }
    });
    lines
}

fn script(say: Vec<String>) -> mpsc::Receiver<String> {
    let (sender, lines) = mpsc::channel(say.len().max(1));
    for line in say {
        // There is room for all of them.
        let _ = sender.try_send(line);
    }
    lines
}

/// A typed conversation under way.
#[derive(Debug)]
struct Talk {
    line: Line,
    floor: Floor,
    screen: Screen,
    by_person: bool,
    /// What is to be said when the agent has finished.
    waiting: VecDeque<String>,
    /// When something last happened.
    quiet_since: Instant,
    began: Instant,
    ended: Option<CallEnded>,
}

impl Talk {
    fn new(line: Line, by_person: bool, agent_listens: bool) -> Self {
        let now = Instant::now();
        Self {
            line,
            floor: Floor::new(agent_listens),
            screen: Screen::new(Detail::Words { caller: !by_person }),
            by_person,
            waiting: VecDeque::new(),
            quiet_since: now,
            began: now,
            ended: None,
        }
    }

    async fn hold(mut self, mut lines: mpsc::Receiver<String>) -> Result<CallEnded, Error> {
        let mut more = true;
        // One for the whole call: a new one each time round would miss what comes between two.
        let mut interrupted = std::pin::pin!(tokio::signal::ctrl_c());
        loop {
            let turn_at = self.turn_at();
            tokio::select! {
                response = self.line.next() => match response? {
                    Some(response) => self.take(&response),
                    None => return self.end(),
                },
                line = lines.recv(), if more && self.waiting.is_empty() => match line {
                    Some(line) => self.waiting.push_back(line),
                    None if self.by_person => return self.break_off().await,
                    None => more = false,
                },
                () = sleep_until(turn_at), if !self.waiting.is_empty() || !more => match self.waiting.pop_front() {
                    Some(line) => self.say(line)?,
                    None => return self.hang_up().await,
                },
                _ = &mut interrupted => return self.break_off().await,
            }
        }
    }

    /// When this side may speak, or leave: a person at any time, a script when the agent has answered.
    fn turn_at(&self) -> Instant {
        match (self.by_person, self.floor.is_given()) {
            (true, _) => self.quiet_since,
            (false, true) => self.quiet_since + QUIET,
            (false, false) => self.quiet_since + PATIENCE,
        }
    }

    fn say(&mut self, text: String) -> Result<(), Error> {
        self.floor.spoke();
        self.quiet_since = Instant::now();
        self.line.send(Request::Text(TypedText { text }))
    }

    fn take(&mut self, response: &Response) {
        self.floor.note(response);
        self.quiet_since = Instant::now();
        match response {
            Response::Ended(ended) => self.ended = Some(ended.clone()),
            // If the line is gone, the next message says so.
            Response::ToolCall(call) => drop(self.line.send(declined(call))),
            _ => {}
        }
        let at_ms = i64::try_from(self.began.elapsed().as_millis()).unwrap_or(i64::MAX);
        self.screen.show(response, at_ms);
    }

    /// A script has said all, and the agent has finished.
    async fn hang_up(mut self) -> Result<CallEnded, Error> {
        self.line.hang_up();
        self.last_words().await
    }

    /// A person leaves, whatever is being said.
    async fn break_off(mut self) -> Result<CallEnded, Error> {
        self.line.break_off();
        self.last_words().await
    }

    async fn last_words(mut self) -> Result<CallEnded, Error> {
        let last_words = async {
            while let Some(response) = self.line.next().await? {
                self.take(&response);
            }
            Ok::<_, Error>(())
        };
        let late = |_| Error::Broken("it did not end the call within 5 s of the hang-up".to_owned());
        timeout(GOODBYE_WITHIN, last_words).await.map_err(late)??;
        self.end()
    }

    fn end(self) -> Result<CallEnded, Error> {
        self.ended.ok_or_else(|| Error::Broken("it stopped without saying why".to_owned()))
    }
}
