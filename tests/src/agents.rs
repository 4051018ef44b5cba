//! The agents the tests call: the restaurant of the examples, and small ones for single promises.

use std::time::Duration;

use parlance_proto::v1::flow_node::Kind;
use parlance_proto::v1::{Agent, AskNode, CallHandling, EndNode, Flow, FlowNode, SayNode, Slot, SlotKind};

/// `examples/agents/restaurant.yaml`, which takes a booking.
///
/// # Panics
/// When the example is no agent.
pub fn restaurant() -> Agent {
    let text = include_str!("../../examples/agents/restaurant.yaml");
    crate::json::message("Agent", serde_yaml_ng::Deserializer::from_str(text))
}

/// An agent that says `greeting`, asks for a number of people, and says goodbye when it knows it.
pub fn counter_of_guests(greeting: &str) -> Agent {
    let say = SayNode { text: greeting.into(), next: "guests".into() };
    let slot = Slot {
        name: "party".into(),
        kind: SlotKind::PartySize.into(),
        prompt: "For how many people?".into(),
        required: true,
        options: Vec::new(),
    };
    let ask = AskNode {
        slots: vec![slot],
        next: "goodbye".into(),
        on_failure: "goodbye".into(),
        retries: 10,
        ..Default::default()
    };
    let end = EndNode { text: "Thank you. Goodbye.".into() };
    let nodes = [("hello", Kind::Say(say)), ("guests", Kind::Ask(ask)), ("goodbye", Kind::End(end))];
    Agent { display_name: "Guests".into(), flow: Some(flow("hello", nodes)), ..Default::default() }
}

/// An agent without a flow, for engines with the scripted model: it says `greeting` and then echoes.
pub fn echo(greeting: &str) -> Agent {
    let call_handling = Some(CallHandling { begin_message: greeting.into(), ..Default::default() });
    Agent { display_name: "Echo".into(), call_handling, ..Default::default() }
}

/// A flow of these nodes that begins at `start`.
pub fn flow<const N: usize>(start: &str, nodes: [(&str, Kind); N]) -> Flow {
    let nodes = nodes.into_iter().map(|(id, kind)| (id.to_owned(), FlowNode { kind: Some(kind) }));
    Flow { start: start.into(), nodes: nodes.collect() }
}

/// A duration as the contract has it.
///
/// # Panics
/// Never for lengths of a call.
pub fn duration(length: Duration) -> prost_types::Duration {
    length.try_into().expect("a call is shorter than an age")
}
