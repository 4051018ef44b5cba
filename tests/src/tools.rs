//! Agents with tools, and what becomes of a tool that the scripted model is told to ask for.

use std::time::Duration;

use parlance_proto::v1;
use parlance_proto::v1::tool::Kind;
use parlance_proto::v1::voice_session_response::Response;
use serde_json::{Value, json};

use crate::{Caller, agents};

const SOON: Duration = Duration::from_secs(20);

/// An agent without a flow that may run these tools.
pub fn agent(tools: Vec<v1::Tool>) -> v1::Agent {
    v1::Agent { tools, time_zone: "Europe/Berlin".into(), ..agents::echo("Hello") }
}

/// A tool of the engine.
pub fn built_in(which: v1::BuiltInTool) -> v1::Tool {
    v1::Tool { kind: Some(Kind::BuiltIn(which.into())), ..Default::default() }
}

/// A tool that sends a request to `url` and takes these parameters, as `{"name": {"type": …}}`.
pub fn http(name: &str, url: &str, properties: Value) -> v1::Tool {
    let http = v1::HttpTool { url: url.to_owned(), ..Default::default() };
    v1::Tool {
        name: name.to_owned(),
        description: "Asks a service.".to_owned(),
        parameters: Some(parameters(properties)),
        kind: Some(Kind::Http(http)),
        ..Default::default()
    }
}

/// The schema of an object with these properties, all of which are required.
pub fn parameters(properties: Value) -> prost_types::Struct {
    let required: Vec<&String> = properties.as_object().into_iter().flat_map(|them| them.keys()).collect();
    let schema = json!({"type": "object", "required": required, "properties": properties});
    parlance::convert::json::to_struct(&schema)
}

/// A struct as JSON.
///
/// # Panics
/// When it holds a number that JSON does not have.
pub fn json_of(wire: &Option<prost_types::Struct>) -> Value {
    let wire = wire.clone().unwrap_or_default();
    parlance::convert::json::from_struct(&wire).expect("it came from JSON")
}

/// The ends of tools that came so far.
pub fn ends(caller: &Caller) -> Vec<v1::ToolEvent> {
    let told = caller.seen.iter().filter_map(|seen| match &seen.response {
        Response::Tool(tool) if tool.state() != v1::ToolState::Running => Some(tool.clone()),
        _ => None,
    });
    told.collect()
}

/// Has the scripted model ask for a tool, and gives its end.
///
/// # Panics
/// When it does not end soon.
pub async fn run(caller: &mut Caller, tool: &str, arguments: Value) -> v1::ToolEvent {
    let before = ends(caller).len();
    caller.agent_is_quiet().await;
    caller.types(&format!("@tool {tool} {arguments}"));
    caller.until(&format!("the end of {tool}"), SOON, |caller| ends(caller).len() > before).await;
    ends(caller).pop().expect("it has ended")
}

/// What the agent says to `line`.
///
/// # Panics
/// When it says nothing.
pub async fn answer(caller: &mut Caller, line: &str) -> String {
    caller.agent_is_quiet().await;
    caller.types(line);
    caller.agent_finishes().await;
    caller.texts(v1::Speaker::Agent).pop().expect("it has said something")
}
