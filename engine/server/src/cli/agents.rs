//! `parlance agents`: agents from files, and as files.
//!
//! An agent file is the `Agent` of the contract as YAML. `apply` makes the engine's agent equal to the file: what
//! the file does not set is set back to its default, so that the file alone says what the agent is.

mod rehearse;
pub mod templates;

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use parlance_proto::v1::{
    Agent, AgentState, CreateAgentRequest, DeleteAgentRequest, GetAgentRequest, ListAgentsRequest,
    UpdateAgentRequest,
};
use tonic::Code;

use super::connect::{ConnectArgs, Engine, connect, resource_name};
use super::{Error, message_json};
use crate::output::{out, outln};

/// What the server sets; a file's word on it does not count.
const SERVER_SET: [&str; 4] = ["name", "create_time", "update_time", "etag"];

/// The commands under `parlance agents`.
#[derive(Debug, clap::Subcommand)]
pub enum AgentsCommand {
    /// Create an agent from a file, or change it to what the file says.
    Apply(ApplyArgs),
    /// Create an agent from a template that comes with the program.
    New(templates::NewArgs),
    /// List agents.
    List(ListArgs),
    /// Print an agent in the form that `apply` takes.
    Get(OneArgs),
    /// Delete an agent. Its calls are kept.
    Delete(OneArgs),
    /// Hold a typed conversation with an agent, without a call: the caller's lines come from standard input.
    Test(rehearse::TestArgs),
}

/// Arguments of `parlance agents apply`.
#[derive(Debug, clap::Args)]
pub struct ApplyArgs {
    #[command(flatten)]
    connect: ConnectArgs,
    /// The agent's YAML or JSON file; `-` reads standard input.
    #[arg(short, long, value_name = "FILE")]
    file: PathBuf,
}

/// Arguments of `parlance agents list`.
#[derive(Debug, clap::Args)]
pub struct ListArgs {
    #[command(flatten)]
    connect: ConnectArgs,
}

/// Arguments of the commands about one agent.
#[derive(Debug, clap::Args)]
pub struct OneArgs {
    #[command(flatten)]
    connect: ConnectArgs,
    /// The agent: its id, or `agents/ID`.
    agent: String,
}

/// Carries out one of them.
///
/// # Errors
/// What is wrong with the file, or what the engine refused.
pub async fn run(command: AgentsCommand) -> Result<ExitCode, Error> {
    match command {
        AgentsCommand::Apply(args) => apply(args).await?,
        AgentsCommand::List(args) => list(args).await?,
        AgentsCommand::Get(args) => {
            let engine = connect(&args.connect).await?;
            let name = resource_name("agents", &args.agent);
            let agent = engine.agents().get_agent(GetAgentRequest { name }).await?.into_inner().agent;
            out!("{}", to_yaml(&agent.unwrap_or_default())?);
        }
        AgentsCommand::Delete(args) => {
            let engine = connect(&args.connect).await?;
            let name = resource_name("agents", &args.agent);
            let request = DeleteAgentRequest { name: name.clone(), ..Default::default() };
            engine.agents().delete_agent(request).await?;
            outln!("deleted {name}");
        }
        AgentsCommand::New(args) => return templates::run(args).await,
        AgentsCommand::Test(args) => return rehearse::run(args).await,
    }
    Ok(ExitCode::SUCCESS)
}

async fn apply(args: ApplyArgs) -> Result<(), Error> {
    let agent = parse(&args.file, &read(&args.file)?)?;
    let engine = connect(&args.connect).await?;
    let found = match engine.agents().get_agent(GetAgentRequest { name: agent.name.clone() }).await {
        Ok(response) => response.into_inner().agent,
        Err(status) if status.code() == Code::NotFound => None,
        Err(status) => return Err(status.into()),
    };
    let name = agent.name.clone();
    match found {
        None => {
            let agent_id = name.trim_start_matches("agents/").to_owned();
            engine
                .agents()
                .create_agent(CreateAgentRequest { agent_id, agent: Some(agent), ..Default::default() })
                .await?;
            outln!("created {name}");
        }
        Some(found) if bare(&found) == bare(&agent) => outln!("{name} is as the file says"),
        Some(_) => {
            let update_mask = Some(prost_types::FieldMask { paths: settable_fields()? });
            engine
                .agents()
                .update_agent(UpdateAgentRequest { agent: Some(agent), update_mask, ..Default::default() })
                .await?;
            outln!("changed {name}");
        }
    }
    Ok(())
}

async fn list(args: ListArgs) -> Result<(), Error> {
    let engine = connect(&args.connect).await?;
    let agents = all(&engine).await?;
    if agents.is_empty() {
        outln!("no agents yet: make one with `parlance agents new --template restaurant`");
    }
    for agent in agents {
        let state = if agent.state() == AgentState::Inactive { " (inactive)" } else { "" };
        outln!("{:<40} {}{state}", agent.name, agent.display_name);
    }
    Ok(())
}

async fn all(engine: &Engine) -> Result<Vec<Agent>, Error> {
    let mut agents = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = ListAgentsRequest { page_size: 200, page_token, ..Default::default() };
        let page = engine.agents().list_agents(request).await?.into_inner();
        agents.extend(page.agents);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return Ok(agents);
        }
    }
}

fn read(path: &Path) -> Result<String, Error> {
    let text = if path.as_os_str() == "-" {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).map(|_| text)
    } else {
        std::fs::read_to_string(path)
    };
    text.map_err(|source| Error::File { path: path.to_owned(), source })
}

/// An agent from the text of its file.
///
/// # Errors
/// A usage error that names the file and what in it is wrong.
pub fn parse(path: &Path, text: &str) -> Result<Agent, Error> {
    let agent: Agent = message_json::from_yaml("Agent", text)
        .map_err(|error| Error::Usage(format!("{}: {error}", path.display())))?;
    if agent.name.strip_prefix("agents/").is_none_or(str::is_empty) {
        let path = path.display();
        return Err(Error::Usage(format!(
            "{path}: `name` must be agents/ID, such as `name: agents/restaurant`"
        )));
    }
    Ok(agent)
}

/// The agent without what the server sets.
fn bare(agent: &Agent) -> Agent {
    // A state that a file leaves out is the default; the engine says it always.
    let state = match agent.state() {
        AgentState::Active => AgentState::Unspecified,
        other => other,
    };
    let state = state.into();
    Agent { create_time: None, update_time: None, etag: String::new(), state, ..agent.clone() }
}

/// Every top-level field a client may set.
fn settable_fields() -> Result<Vec<String>, Error> {
    let names =
        message_json::descriptor("Agent")?.fields().map(|field| field.name().to_owned()).collect::<Vec<_>>();
    Ok(names.into_iter().filter(|name| !SERVER_SET.contains(&name.as_str())).collect())
}

/// The agent as a file that `apply` takes.
fn to_yaml(agent: &Agent) -> Result<String, Error> {
    message_json::to_yaml("Agent", &bare(agent))
}

#[cfg(test)]
mod tests {
    use super::*;
    use parlance_proto::v1::flow_node::Kind;

    const EXAMPLE: &str = include_str!("../../../../examples/agents/restaurant.yaml");

    fn parsed(text: &str) -> Result<Agent, String> {
        parse(Path::new("agent.yaml"), text).map_err(|error| error.to_string())
    }

    #[test]
    fn the_example_is_an_agent_whose_nodes_all_lead_somewhere() {
        let agent = parsed(EXAMPLE).expect("the example is valid");
        let flow = agent.flow.expect("it has a flow");
        let targets =
            flow.nodes.values().flat_map(|node| match node.kind.as_ref().expect("a node has a kind") {
                Kind::Say(say) => vec![&say.next],
                Kind::Ask(ask) => vec![&ask.next, &ask.on_failure],
                Kind::Tool(tool) => vec![&tool.next, &tool.on_failure],
                Kind::End(_) => vec![],
            });
        for target in targets.chain([&flow.start]) {
            assert!(flow.nodes.contains_key(target), "there is no node `{target}`");
        }
    }

    #[test]
    fn an_agent_printed_and_read_again_is_the_same() {
        let agent = parsed(EXAMPLE).expect("the example is valid");
        let yaml = to_yaml(&agent).expect("it has a YAML form");
        assert_eq!(parsed(&yaml).expect("that form is valid"), agent);
        assert!((0..10).all(|_| to_yaml(&agent).expect("it still has") == yaml), "each print is the same");
    }

    #[test]
    fn both_spellings_of_a_field_are_taken() {
        let snake = parsed("name: agents/a\ndisplay_name: A\nturn_taking: {responsiveness: 0.5}");
        let camel = parsed("name: agents/a\ndisplayName: A\nturnTaking: {responsiveness: 0.5}");
        assert_eq!(snake.expect("valid"), camel.expect("valid"));
    }

    #[test]
    fn a_wrong_field_is_named_with_its_line() {
        let error = parsed("name: agents/a\nvoice:\n  voize_id: slt\n").expect_err("there is no such field");
        assert!(error.contains("voize_id") && error.contains("line 3"), "{error}");
        let error = parsed("name: agents/a\ndisplay_name: [1]\n").expect_err("a list is no text");
        assert!(error.contains("display_name") && error.contains("line 2"), "{error}");
        assert!(!error.contains("did you mean"), "{error}");
    }

    #[test]
    fn a_misspelt_field_or_value_is_answered_with_the_one_that_was_meant() {
        for (text, meant) in [
            ("dispaly_name: A", "display_name"),
            ("displayNmae: A", "displayName"),
            ("voice: {voize_id: slt}", "voice_id"),
            ("listening: {transcribers: [{provider: deepgram}, {modell: nova-3}]}", "model"),
            ("flow: {start: a, nodes: {a: {sya: {text: Hello}}}}", "say"),
            ("state: ACTVE", "AGENT_STATE_ACTIVE"),
            ("state: AGENT_STATE_INACTIV", "AGENT_STATE_INACTIVE"),
        ] {
            let error = parsed(&format!("name: agents/a\n{text}")).expect_err(text);
            assert!(error.ends_with(&format!(" (did you mean `{meant}`?)")), "{error}");
        }
        let error = parsed("name: agents/a\nwhatever: 1\n").expect_err("there is no such field");
        assert!(!error.contains("did you mean"), "{error}");
    }

    #[test]
    fn a_file_without_a_name_says_how_to_write_one() {
        assert!(parsed("display_name: A").expect_err("no name").contains("name: agents/restaurant"));
    }

    #[test]
    fn applying_sets_every_field_but_the_servers_own() {
        let fields = settable_fields().expect("the contract has an agent");
        assert!(fields.contains(&"flow".to_owned()) && !fields.contains(&"etag".to_owned()), "{fields:?}");
    }
}
