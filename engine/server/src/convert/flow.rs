//! Flows: the contract's graph as the conversation's, with every problem named by its field.

use std::collections::BTreeMap;

use parlance_conversation::EndReason;
use parlance_conversation::flow::{Ask, Fault, Flow, Node, Problem, SideAnswer, Slot, SlotKind};
use parlance_proto::v1;
use parlance_proto::v1::flow_node::Kind;
use parlance_providers::near;

use crate::status::Violations;
use crate::tools::mcp;

const NODES_MAX: usize = 200;
const TEXT_MAX: usize = 2_000;

/// The conversation's flow. Every problem is added to `bad`, under `flow.…`, in one pass: what can't be read stands
/// in the graph as something harmless, so that the rest of the graph is judged all the same.
///
/// Its tools may be those of `agent`, beside the one that every flow has.
pub fn flow(wire: &v1::Flow, agent: Option<&v1::Agent>, bad: &mut Violations) -> Flow {
    if wire.nodes.len() > NODES_MAX {
        bad.add("flow.nodes", format!("has {} nodes; at most {NODES_MAX} are allowed", wire.nodes.len()));
    }
    let mut nodes = BTreeMap::new();
    for (id, node) in wire.nodes.iter().collect::<BTreeMap<_, _>>() {
        let path = format!("flow.nodes[{id}]");
        if !is_word(id) {
            bad.add(path.clone(), "the id must match [a-z0-9_]{1,63}");
        }
        let node = match &node.kind {
            Some(kind) => self::node(kind, agent, &path, bad),
            None => {
                bad.add(path, "needs one of say, ask, tool, end");
                Node::End { text: String::new(), reason: EndReason::AgentEnded }
            }
        };
        nodes.insert(id.clone(), node);
    }
    let flow = Flow { start: wire.start.clone(), nodes };
    graph(wire, &flow, bad);
    flow
}

fn graph(wire: &v1::Flow, flow: &Flow, bad: &mut Violations) {
    let Err(problems) = flow.validate() else { return };
    let holes = wire.nodes.values().any(|node| node.kind.is_none()) || !wire.nodes.contains_key(&wire.start);
    for problem in problems {
        let place = place(wire, &problem);
        let guessed = match &problem.fault {
            // A name that is no slot may be a dynamic variable of the call: only the call can tell.
            Fault::UnknownVariable(_) => true,
            // The way may lead through the node that can't be read, or begin where nobody knows.
            Fault::Unreachable => holes,
            _ => false,
        };
        if !guessed && !bad.names(&place) {
            bad.add(place, problem.fault.to_string());
        }
    }
}

/// Where in the message a problem of the graph lies.
fn place(wire: &v1::Flow, problem: &Problem) -> String {
    let kind = match wire.nodes.get(&problem.node).and_then(|node| node.kind.as_ref()) {
        Some(Kind::Say(_)) => "say",
        Some(Kind::Ask(_)) => "ask",
        Some(Kind::Tool(_)) => "tool",
        Some(Kind::End(_)) => "end",
        None => return format!("flow.{}", problem.field),
    };
    let path = format!("flow.nodes[{}].{kind}.{}", problem.node, problem.field);
    path.trim_end_matches('.').to_owned()
}

fn node(kind: &Kind, agent: Option<&v1::Agent>, path: &str, bad: &mut Violations) -> Node {
    match kind {
        Kind::Say(say) => {
            bad.longest(format!("{path}.say.text"), &say.text, TEXT_MAX);
            Node::Say { text: say.text.clone(), next: say.next.clone() }
        }
        Kind::Ask(ask) => Node::Ask(self::ask(ask, &format!("{path}.ask"), bad)),
        Kind::Tool(tool) => self::tool(tool, agent, &format!("{path}.tool"), bad),
        Kind::End(end) => {
            bad.longest(format!("{path}.end.text"), &end.text, TEXT_MAX);
            Node::End { text: end.text.clone(), reason: EndReason::AgentEnded }
        }
    }
}

fn tool(tool: &v1::ToolNode, agent: Option<&v1::Agent>, path: &str, bad: &mut Violations) -> Node {
    bad.longest(format!("{path}.say"), &tool.say, TEXT_MAX);
    let mut known = vec![crate::tools::OF_FLOWS.name().to_owned()];
    known.extend(agent.into_iter().flat_map(super::tools::names));
    let servers = agent.map_or(&[][..], |agent| &agent.mcp_servers);
    // Which tools a server has is known in a call alone, unless the agent says so.
    let unlisted = |server: &v1::McpServer| {
        server.allowed_tools.is_empty() && tool.tool.starts_with(&mcp::name_of(&server.name, ""))
    };
    known.extend(
        servers.iter().flat_map(|server| {
            server.allowed_tools.iter().map(|allowed| mcp::name_of(&server.name, allowed))
        }),
    );
    if !servers.iter().any(unlisted) && !known.contains(&tool.tool) {
        let known: Vec<&str> = known.iter().map(String::as_str).collect();
        bad.add(format!("{path}.tool"), near::unknown(&tool.tool, &known));
    }
    Node::Tool {
        tool: tool.tool.clone(),
        arguments: tool.arguments.clone().into_iter().collect(),
        say: Some(tool.say.clone()).filter(|say| !say.is_empty()),
        next: tool.next.clone(),
        on_failure: tool.on_failure.clone(),
    }
}

fn ask(ask: &v1::AskNode, path: &str, bad: &mut Violations) -> Ask {
    bad.longest(format!("{path}.prompt"), &ask.prompt, TEXT_MAX);
    bad.longest(format!("{path}.read_back"), &ask.read_back, TEXT_MAX);
    if ask.retries > 10 {
        bad.add(format!("{path}.retries"), "must be 1 to 10, or 0 for the default of 3");
    }
    let slots = ask
        .slots
        .iter()
        .enumerate()
        .map(|(index, slot)| self::slot(slot, &format!("{path}.slots[{index}]"), bad))
        .collect();
    Ask {
        prompt: ask.prompt.clone(),
        slots,
        read_back: ask.read_back.clone(),
        next: ask.next.clone(),
        side_answers: ask
            .side_answers
            .iter()
            .map(|side| SideAnswer { phrases: side.phrases.clone(), answer: side.answer.clone() })
            .collect(),
        retries: if ask.retries == 0 { 3 } else { ask.retries },
        on_failure: ask.on_failure.clone(),
        forget: ask.forget.clone(),
    }
}

fn is_word(id: &str) -> bool {
    (1..=63).contains(&id.len()) && id.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_'))
}

fn slot(slot: &v1::Slot, path: &str, bad: &mut Violations) -> Slot {
    if !is_word(&slot.name) {
        bad.add(format!("{path}.name"), "must match [a-z0-9_]{1,63}");
    }
    let kind = match v1::SlotKind::try_from(slot.kind) {
        Ok(v1::SlotKind::YesNo) => SlotKind::YesNo,
        Ok(v1::SlotKind::PartySize) => SlotKind::PartySize,
        Ok(v1::SlotKind::Date) => SlotKind::Date,
        Ok(v1::SlotKind::Time) => SlotKind::Time,
        Ok(v1::SlotKind::PersonName) => SlotKind::PersonName,
        Ok(v1::SlotKind::Phone) => SlotKind::Phone,
        Ok(v1::SlotKind::Option) if slot.options.len() >= 2 => {
            SlotKind::Option { options: slot.options.clone() }
        }
        Ok(v1::SlotKind::Option) => {
            bad.add(format!("{path}.options"), "needs at least two options");
            SlotKind::YesNo
        }
        Ok(v1::SlotKind::Unspecified) | Err(_) => {
            bad.add(format!("{path}.kind"), "must be one of the named slot kinds");
            SlotKind::YesNo
        }
    };
    Slot { name: slot.name.clone(), kind, prompt: slot.prompt.clone(), required: slot.required }
}

/// The problems of a flow as the contract has them, each with its node and the edge that leads nowhere.
pub fn problems(wire: &v1::Flow, bad: &Violations) -> Vec<v1::FlowProblem> {
    bad.entries()
        .map(|(field, why)| {
            let path = field.strip_prefix("flow.").unwrap_or_default();
            // The longest: an id that is none may hold anything.
            let node = wire.nodes.keys().filter(|id| path.starts_with(&format!("nodes[{id}]")));
            let node = node.max_by_key(|id| id.len()).cloned().unwrap_or_default();
            let last = path.rsplit('.').next().unwrap_or_default();
            let edge = matches!(last, "start" | "next" | "on_failure").then(|| last.to_owned());
            v1::FlowProblem {
                field: field.to_owned(),
                node,
                edge: edge.unwrap_or_default(),
                description: why.to_owned(),
            }
        })
        .collect()
}
