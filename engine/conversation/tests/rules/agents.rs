//! The agents the scenarios call.

use std::sync::Arc;
use std::time::Duration;

use parlance_conversation::*;
use serde_json::json;

fn scene() -> Scene {
    let started = "2026-05-20T12:00:00".parse().expect("a date");
    Scene { started, variables: Default::default() }
}

/// An agent with a model; it greets only if the test says so.
pub fn model() -> Policy {
    let tool = |name: &str, effect| ToolPolicy {
        name: name.into(),
        effect,
        timeout: Duration::from_secs(10),
        say_while_running: None,
        say_after: None,
    };
    Policy {
        turn_taking: TurnTaking::default(),
        call_handling: CallHandling { begin: Begin::Caller, ..CallHandling::default() },
        transcriber: Transcriber::default(),
        budgets: Budgets::default(),
        responder: Responder::Model { system_prompt: "Be brief.".into() },
        tools: vec![tool("book", Effect::Effect), tool("look_up", Effect::None)],
        scene: scene(),
    }
}

/// An agent with a model that begins its answers early.
pub fn eager() -> Policy {
    let mut policy = model();
    policy.turn_taking.speculation = true;
    policy
}

/// An agent with a model that greets with these words.
pub fn greeting(words: &str) -> Policy {
    let mut policy = model();
    policy.call_handling.begin = Begin::Agent;
    policy.call_handling.begin_message = Some(words.into());
    policy
}

/// A flow: greets, asks for the day, books, says goodbye.
pub fn booking() -> Policy {
    let flow = json!({
        "start": "ask",
        "nodes": {
            "ask": {
                "kind": "ask",
                "prompt": "Hello. Friday or Saturday?",
                "slots": [{
                    "name": "day",
                    "kind": { "slot": "option", "options": ["Friday", "Saturday"] },
                    "prompt": "Friday or Saturday?",
                }],
                "read_back": "So {{day}}, is that right?",
                "next": "book",
                "on_failure": "sorry",
            },
            "book": {
                "kind": "tool",
                "tool": "book",
                "arguments": { "day": "{{day}}" },
                "say": "One moment please.",
                "next": "done",
                "on_failure": "sorry",
            },
            "done": { "kind": "end", "text": "Your table is booked. Goodbye.", "reason": "agent_ended" },
            "sorry": { "kind": "end", "text": "I can't do that. Goodbye.", "reason": "agent_ended" },
        },
    });
    let flow = serde_json::from_value(flow).expect("a flow");
    let mut policy = model();
    policy.call_handling.begin = Begin::Agent;
    policy.responder = Responder::Flow { flow: Arc::new(flow) };
    policy
}
