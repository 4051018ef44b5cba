//! Flows: the contract's graph as the conversation's, with every problem named by its field.

use std::collections::BTreeMap;

use parlance_conversation::EndReason;
use parlance_conversation::flow::{Ask, Fault, Flow, Node, Problem, SideAnswer, Slot, SlotKind};
use parlance_proto::v1;
use parlance_proto::v1::flow_node::Kind;

use crate::status::Violations;

const NODES_MAX: usize = 200;
const TEXT_MAX: usize = 2_000;

/// The conversation's flow. Problems are added to `bad`, under `flow.…`.
pub fn flow(wire: &v1::Flow, bad: &mut Violations) -> Flow {
    if wire.nodes.len() > NODES_MAX {
        bad.add("flow.nodes", format!("has {} nodes; at most {NODES_MAX} are allowed", wire.nodes.len()));
    }
    let mut nodes = BTreeMap::new();
    for (id, node) in &wire.nodes {
        let path = format!("flow.nodes[{id}]");
        if !is_word(id) {
            bad.add(path.clone(), "the id must match [a-z0-9_]{1,63}");
        }
        match &node.kind {
            Some(kind) => {
                nodes.insert(id.clone(), self::node(kind, &path, bad));
            }
            None => bad.add(path, "needs one of say, ask, tool, end"),
        }
    }
    let flow = Flow { start: wire.start.clone(), nodes };
    // What can't be read comes first: a graph with holes has problems that are none.
    if bad.is_empty()
        && let Err(problems) = flow.validate()
    {
        // A name that is no slot may be a dynamic variable of the call: only the call can tell.
        for problem in problems.iter().filter(|problem| !matches!(problem.fault, Fault::UnknownVariable(_))) {
            bad.add(place(wire, problem), problem.fault.to_string());
        }
    }
    flow
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

fn node(kind: &Kind, path: &str, bad: &mut Violations) -> Node {
    match kind {
        Kind::Say(say) => {
            bad.longest(format!("{path}.say.text"), &say.text, TEXT_MAX);
            Node::Say { text: say.text.clone(), next: say.next.clone() }
        }
        Kind::Ask(ask) => Node::Ask(self::ask(ask, &format!("{path}.ask"), bad)),
        Kind::Tool(tool) => Node::Tool {
            tool: tool.tool.clone(),
            arguments: tool.arguments.clone().into_iter().collect(),
            say: Some(tool.say.clone()).filter(|say| !say.is_empty()),
            next: tool.next.clone(),
            on_failure: tool.on_failure.clone(),
        },
        Kind::End(end) => {
            bad.longest(format!("{path}.end.text"), &end.text, TEXT_MAX);
            Node::End { text: end.text.clone(), reason: EndReason::AgentEnded }
        }
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
        .filter_map(|(index, slot)| self::slot(slot, &format!("{path}.slots[{index}]"), bad))
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

fn slot(slot: &v1::Slot, path: &str, bad: &mut Violations) -> Option<Slot> {
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
            return None;
        }
        Ok(v1::SlotKind::Unspecified) | Err(_) => {
            bad.add(format!("{path}.kind"), "must be one of the named slot kinds");
            return None;
        }
    };
    Some(Slot { name: slot.name.clone(), kind, prompt: slot.prompt.clone(), required: slot.required })
}
