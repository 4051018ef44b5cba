//! Tools: the contract's messages checked, and the tools a call runs by.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use parlance_conversation::{Effect, ToolOutcome, ToolPolicy};
use parlance_proto::v1;
use parlance_proto::v1::tool::Kind as Wire;
use parlance_providers::llm::ToolSpec;
use reqwest::header::HeaderName;
use reqwest::{Method, Url};
use serde_json::{Value, json};

use super::{json as wire_json, length};
use crate::status::{Refusal, Violations};
use crate::tools::addresses::Addresses;
use crate::tools::built_in::BuiltIn;
use crate::tools::http::{ANSWER_MAX, HttpTool};
use crate::tools::mcp::Server;
use crate::tools::{Kind, OF_FLOWS, Tool, ToolSet, schema, secrets, template};

const TOOLS_MAX: usize = 32;
const SERVERS_MAX: usize = 8;
const ALLOWED_MAX: usize = 64;
const HEADERS_MAX: usize = 20;
const FIELDS_MAX: usize = 50;
const TEXT_MAX: usize = 2_000;
const SAY_MAX: usize = 500;
const BODY_MAX: usize = 8_000;
const TIMEOUT: Duration = Duration::from_secs(10);
const TIMEOUTS: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(60));
/// Headers that are the engine's own.
const OWN_HEADERS: [&str; 6] =
    ["host", "content-length", "transfer-encoding", "connection", "idempotency-key", "parlance-signature"];

/// Headers that are the Model Context Protocol's own.
const MCP_HEADERS: [&str; 5] =
    ["accept", "content-type", "mcp-session-id", "mcp-protocol-version", "last-event-id"];

/// Checks an agent's tools and servers; `addresses` are those that tools may reach.
pub fn check(agent: &v1::Agent, addresses: &Addresses, bad: &mut Violations) {
    tools("tools", &agent.tools, bad);
    for (index, tool) in agent.tools.iter().enumerate() {
        if let Some(Wire::Http(http)) = &tool.kind {
            address(&format!("tools[{index}].http.url"), &http.url, addresses, bad);
        }
    }
    servers(agent, bad);
    for (index, server) in agent.mcp_servers.iter().enumerate() {
        address(&format!("mcp_servers[{index}].url"), &server.url, addresses, bad);
    }
}

/// The tools of a call with this agent, which was checked, but for those of MCP servers.
pub fn set(agent: &v1::Agent) -> ToolSet {
    let mut unread = Violations::default();
    let mut set = ToolSet::new(tools("tools", &agent.tools, &mut unread));
    if agent.flow.is_some() {
        set.add(vec![Tool { offered: false, ..built_in(OF_FLOWS) }]);
    }
    set
}

/// The names of an agent's tools that a flow may run.
pub fn names(agent: &v1::Agent) -> Vec<String> {
    let mut unread = Violations::default();
    let read = tools("tools", &agent.tools, &mut unread);
    let names = read.into_iter().map(|tool| tool.spec.name);
    names.filter(|name| *name != BuiltIn::EndCall.name() && *name != OF_FLOWS.name()).collect()
}

/// The tools that a client brings; what is wrong goes to `bad`.
pub fn of_client(wire: &[v1::Tool], own: &ToolSet, bad: &mut Violations) -> Vec<Tool> {
    let mut wire = wire.to_vec();
    for (index, tool) in wire.iter_mut().enumerate() {
        let field = format!("start.client_tools[{index}]");
        match tool.kind {
            None => tool.kind = Some(Wire::Client(v1::ClientTool {})),
            Some(Wire::Client(_)) => {}
            Some(_) => bad.add(field.clone(), "must be a client's: `kind` is `client` or not set"),
        }
        if own.get(&tool.name).is_some() {
            bad.add(format!("{field}.name"), format!("`{}` is a tool of the agent", tool.name));
        }
    }
    tools("start.client_tools", &wire, bad)
}

/// The servers of an agent that was checked.
pub fn servers(agent: &v1::Agent, bad: &mut Violations) -> Vec<Server> {
    let wire = &agent.mcp_servers;
    most("mcp_servers", wire.len(), SERVERS_MAX, bad);
    let mut names = BTreeSet::new();
    let read = wire.iter().enumerate().map(|(index, server)| {
        let field = |name: &str| format!("mcp_servers[{index}].{name}");
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        if !(1..=32).contains(&server.name.len()) || !server.name.bytes().all(fits) {
            bad.add(field("name"), "must match [a-zA-Z0-9-]{1,32}");
        } else if !names.insert(&server.name) {
            bad.add(field("name"), format!("`{}` is taken by another server", server.name));
        }
        headers(&field("headers"), &server.headers, bad);
        for name in server.headers.keys().filter(|name| MCP_HEADERS.contains(&name.to_lowercase().as_str())) {
            bad.add(format!("{}[{name}]", field("headers")), "is the protocol's own");
        }
        named_secrets(&field("url"), &server.url, bad);
        most(&field("allowed_tools"), server.allowed_tools.len(), ALLOWED_MAX, bad);
        Server {
            name: server.name.clone(),
            url: server.url.clone(),
            headers: server.headers.clone(),
            allowed_tools: server.allowed_tools.clone(),
            timeout: timeout(&field("timeout"), server.timeout.as_ref(), bad),
            effect: Some(effect(&field("effect"), server.effect, bad)).filter(|_| server.effect != 0),
        }
    });
    read.collect()
}

/// What a client says came of its tool. A result that can't be taken is a failure of the tool, told as one: it came from
/// whatever the client asked, and the caller goes on talking.
///
/// # Errors
/// When it says nothing.
pub fn outcome(wire: v1::ToolResult) -> Result<ToolOutcome, Refusal> {
    use v1::tool_result::Outcome;
    let failed = |why: String| Ok(ToolOutcome::Failed { reason: format!("the client's result {why}") });
    match wire.outcome {
        Some(Outcome::Result(result)) => {
            let Some(result) = wire_json::from_struct(&result) else {
                return failed("holds a number that JSON does not have".to_owned());
            };
            let bytes = result.to_string().len();
            if bytes > ANSWER_MAX {
                return failed(format!("has {bytes} bytes as JSON; at most {ANSWER_MAX} are taken"));
            }
            Ok(ToolOutcome::Succeeded { result })
        }
        Some(Outcome::Error(reason)) => {
            Ok(ToolOutcome::Failed { reason: reason.chars().take(TEXT_MAX).collect() })
        }
        None => Err(Violations::one("tool_result", "needs one of result, error").into()),
    }
}

fn tools(field: &str, wire: &[v1::Tool], bad: &mut Violations) -> Vec<Tool> {
    most(field, wire.len(), TOOLS_MAX, bad);
    let mut names = BTreeSet::new();
    let mut read = Vec::with_capacity(wire.len());
    for (index, tool) in wire.iter().enumerate() {
        let field = format!("{field}[{index}]");
        let Some(tool) = self::tool(&field, tool, bad) else { continue };
        if !names.insert(tool.spec.name.clone()) {
            bad.add(format!("{field}.name"), format!("`{}` is taken by another tool", tool.spec.name));
        }
        read.push(tool);
    }
    read
}

fn tool(field: &str, wire: &v1::Tool, bad: &mut Violations) -> Option<Tool> {
    let at = |name: &str| format!("{field}.{name}");
    bad.longest(at("description"), &wire.description, TEXT_MAX);
    bad.longest(at("say_while_running"), &wire.say_while_running, SAY_MAX);
    bad.longest(at("say_after"), &wire.say_after, SAY_MAX);
    let timeout = timeout(&at("timeout"), wire.timeout.as_ref(), bad);
    let effect = effect(&at("effect"), wire.effect, bad);
    let mut tool = match &wire.kind {
        None => {
            bad.add(field, "needs one of built_in, http, client");
            return None;
        }
        Some(Wire::BuiltIn(which)) => {
            let known = v1::BuiltInTool::try_from(*which).ok().and_then(BuiltIn::of);
            let Some(which) = known else {
                bad.add(at("built_in"), "must be one of the named tools");
                return None;
            };
            let mut tool = built_in(which);
            let may_differ = which == BuiltIn::ExtractVariables;
            if !wire.name.is_empty() && wire.name != which.name() && !may_differ {
                bad.add(at("name"), format!("must be `{}` or empty", which.name()));
            }
            if wire.effect != 0 && effect != which.effect() {
                bad.add(at("effect"), "is set by the engine for a built-in tool");
            }
            match (&wire.parameters, may_differ) {
                (Some(_), false) => bad.add(at("parameters"), "are the engine's own for this tool"),
                (given, true) => {
                    tool.spec.parameters = parameters(&at("parameters"), given.as_ref(), bad);
                    if schema::parameters(&tool.spec.parameters).is_empty() {
                        bad.add(at("parameters"), "must name the values to keep as `properties`");
                    }
                }
                (None, false) => {}
            }
            tool
        }
        Some(kind) => {
            let spec = ToolSpec {
                name: String::new(),
                description: String::new(),
                parameters: parameters(&at("parameters"), wire.parameters.as_ref(), bad),
            };
            let kind = match kind {
                Wire::Http(wire) => Kind::Http(Arc::new(http(&at("http"), wire, &spec.parameters, bad))),
                Wire::Client(_) | Wire::BuiltIn(_) => Kind::Client,
            };
            Tool { spec, policy: policy(effect), offered: true, kind }
        }
    };
    tool.spec.name = if wire.name.is_empty() { tool.spec.name } else { wire.name.clone() };
    if !is_name(&tool.spec.name) {
        bad.add(at("name"), "must match [a-zA-Z0-9_-]{1,64} and hold no `__`");
    }
    if matches!(tool.kind, Kind::Http(_) | Kind::Client) && tool.spec.name == BuiltIn::EndCall.name() {
        bad.add(at("name"), "`end_call` is the engine's own");
    }
    if !wire.description.trim().is_empty() {
        tool.spec.description.clone_from(&wire.description);
    }
    tool.policy = ToolPolicy {
        name: tool.spec.name.clone(),
        timeout,
        say_while_running: given(&wire.say_while_running),
        say_after: given(&wire.say_after),
        ..tool.policy
    };
    Some(tool)
}

fn built_in(which: BuiltIn) -> Tool {
    let spec = ToolSpec {
        name: which.name().to_owned(),
        description: which.description().to_owned(),
        parameters: which.parameters(),
    };
    let policy = ToolPolicy { name: spec.name.clone(), ..policy(which.effect()) };
    Tool { spec, policy, offered: true, kind: Kind::BuiltIn(which) }
}

fn policy(effect: Effect) -> ToolPolicy {
    ToolPolicy { name: String::new(), effect, timeout: TIMEOUT, say_while_running: None, say_after: None }
}

fn parameters(field: &str, wire: Option<&prost_types::Struct>, bad: &mut Violations) -> Value {
    let none = json!({"type": "object", "properties": {}});
    let Some(wire) = wire.filter(|wire| !wire.fields.is_empty()) else { return none };
    let Some(schema) = wire_json::from_struct(wire) else {
        bad.add(field, "holds a number that JSON does not have");
        return none;
    };
    match schema::problem(&schema) {
        Some(why) => bad.add(field, why),
        None => {
            for (place, why) in schema::faults(&schema) {
                bad.add(format!("{field}.{place}").trim_end_matches('.'), why);
            }
        }
    }
    schema
}

fn http(field: &str, wire: &v1::HttpTool, schema: &Value, bad: &mut Violations) -> HttpTool {
    let at = |name: &str| format!("{field}.{name}");
    let method = match v1::HttpMethod::try_from(wire.method) {
        Ok(v1::HttpMethod::Unspecified | v1::HttpMethod::Post) => Method::POST,
        Ok(v1::HttpMethod::Get) => Method::GET,
        Ok(v1::HttpMethod::Put) => Method::PUT,
        Ok(v1::HttpMethod::Patch) => Method::PATCH,
        Ok(v1::HttpMethod::Delete) => Method::DELETE,
        Err(_) => {
            bad.add(at("method"), "must be one of GET, POST, PUT, PATCH, DELETE");
            Method::POST
        }
    };
    let known = schema::parameters(schema);
    for (name, text) in [("url", &wire.url), ("body", &wire.body)] {
        for place in template::arguments(text).filter(|place| !known.contains(place)) {
            bad.add(at(name), format!("`{{{place}}}` names no parameter"));
        }
        named_secrets(&at(name), text, bad);
    }
    bad.longest(at("body"), &wire.body, BODY_MAX);
    if !wire.signing_secret.is_empty() && !secrets::is_name(&wire.signing_secret) {
        bad.add(at("signing_secret"), format!("must match {}", secrets::NAMES));
    }
    most(&at("result_fields"), wire.result_fields.len(), FIELDS_MAX, bad);
    for (index, pointer) in wire.result_fields.iter().enumerate() {
        if !pointer.starts_with('/') {
            bad.add(
                format!("{}[{index}]", at("result_fields")),
                "must be a JSON pointer such as /data/0/price",
            );
        }
    }
    HttpTool {
        method,
        url: wire.url.clone(),
        headers: headers(&at("headers"), &wire.headers, bad),
        body: wire.body.clone(),
        signing_secret: given(&wire.signing_secret),
        result_fields: wire.result_fields.clone(),
    }
}

fn headers(
    field: &str,
    wire: &std::collections::BTreeMap<String, String>,
    bad: &mut Violations,
) -> Vec<(HeaderName, String)> {
    most(field, wire.len(), HEADERS_MAX, bad);
    let mut read = Vec::new();
    for (name, value) in wire {
        let field = format!("{field}[{name}]");
        bad.longest(field.clone(), value, TEXT_MAX);
        named_secrets(&field, value, bad);
        if value.chars().any(char::is_control) {
            bad.add(field.clone(), "holds a control character");
        }
        match name.parse::<HeaderName>() {
            Ok(name) if OWN_HEADERS.contains(&name.as_str()) => bad.add(field, "is the engine's own"),
            Ok(name) => read.push((name, value.clone())),
            Err(_) => bad.add(field, "is no name of a header"),
        }
    }
    read
}

/// Checks where requests go, as far as the address itself tells.
fn address(field: &str, text: &str, addresses: &Addresses, bad: &mut Violations) {
    bad.longest(field, text, TEXT_MAX);
    let after = text.split_once("://").map_or("", |(_, after)| after);
    let host = after.split(['/', '?', '#']).next().unwrap_or_default();
    if host.contains(['{', '$']) {
        return bad.add(field, "must name its host without placeholders");
    }
    let filled = |with: &str| -> String {
        let parts = template::parts(text).into_iter();
        parts.map(|part| if let template::Part::Text(text) = part { text } else { with }).collect()
    };
    match Url::parse(&filled("x")).and_then(|url| Ok((url, Url::parse(&filled("y"))?))) {
        // What an address makes of a slash too few or too many: the place would be the host.
        Ok((one, other)) if one.origin() != other.origin() => {
            bad.add(field, "must name its host without placeholders");
        }
        Ok((url, _)) => {
            if let Err(why) = addresses.allows_url(&url) {
                bad.add(field, why);
            }
        }
        Err(_) => bad.add(field, "must be a URL such as https://api.example.com/orders/{id}"),
    }
}

fn named_secrets(field: &str, text: &str, bad: &mut Violations) {
    for name in template::secrets(text).filter(|name| !secrets::is_name(name)) {
        bad.add(field, format!("`{name}` is no name of a secret: it must match {}", secrets::NAMES));
    }
}

fn timeout(field: &str, wire: Option<&prost_types::Duration>, bad: &mut Violations) -> Duration {
    let Some(wire) = wire else { return TIMEOUT };
    match length(wire).filter(|length| (TIMEOUTS.0..=TIMEOUTS.1).contains(length)) {
        Some(length) => length,
        None => {
            bad.add(field, "must be 0.1 s to 60 s");
            TIMEOUT
        }
    }
}

fn effect(field: &str, wire: i32, bad: &mut Violations) -> Effect {
    match v1::ToolEffect::try_from(wire) {
        Ok(v1::ToolEffect::None) => Effect::None,
        Ok(v1::ToolEffect::Idempotent) => Effect::Idempotent,
        Ok(v1::ToolEffect::Unspecified | v1::ToolEffect::Effect) => Effect::Effect,
        Err(_) => {
            bad.add(field, "must be one of NONE, IDEMPOTENT, EFFECT");
            Effect::Effect
        }
    }
}

fn most(field: &str, count: usize, most: usize, bad: &mut Violations) {
    if count > most {
        bad.add(field, format!("has {count} entries; at most {most} are allowed"));
    }
}

fn is_name(name: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    (1..=64).contains(&name.len()) && name.bytes().all(fits) && !name.contains("__")
}

fn given(text: &str) -> Option<String> {
    Some(text.to_owned()).filter(|text| !text.trim().is_empty())
}
