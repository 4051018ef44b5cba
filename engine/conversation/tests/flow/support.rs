//! The demo agent's flow, and a call through it.

use std::collections::BTreeMap;
use std::sync::Arc;

use parlance_conversation::flow::{Flow, Run, Step, Then};
use parlance_conversation::{EndReason, Expectation, Scene};
use serde_json::Value;

/// The flow of the demo restaurant.
pub fn restaurant() -> Arc<Flow> {
    #[derive(serde::Deserialize)]
    struct Agent {
        flow: Flow,
    }
    let text = include_str!("restaurant.yaml");
    let agent: Agent = serde_yaml_ng::from_str(text).expect("the example agent is valid YAML");
    Arc::new(agent.flow)
}

/// Wednesday at noon.
pub fn scene() -> Scene {
    Scene { started: jiff::civil::date(2026, 5, 20).at(12, 0, 0, 0), variables: BTreeMap::new() }
}

/// A call: says things and keeps the last step.
#[derive(Clone)]
pub struct Call {
    pub run: Run,
    pub step: Step,
}

impl Call {
    pub fn new() -> Self {
        Self::of(restaurant())
    }

    pub fn of(flow: Arc<Flow>) -> Self {
        let mut run = Run::new(flow, &scene());
        let step = run.begin();
        Self { run, step }
    }

    /// A call in which all this was said.
    pub fn after(turns: &[&str]) -> Self {
        let mut call = Self::new();
        turns.iter().for_each(|turn| call.says(turn));
        call
    }

    pub fn says(&mut self, words: &str) {
        self.step = self.run.answer(words);
    }

    pub fn slot(&self, name: &str) -> Value {
        self.run.slots()[name].clone()
    }

    /// What is listened for.
    pub fn expects(&self) -> &Expectation {
        match &self.step.then {
            Then::Listen(expectation) => expectation,
            other => panic!("listens for nothing: {other:?}"),
        }
    }

    pub fn jsgf(&self) -> String {
        self.expects().jsgf.as_deref().expect("a grammar").to_owned()
    }

    /// The tool that was asked for.
    pub fn tool(&self) -> (&str, &Value) {
        match &self.step.then {
            Then::RunTool { tool, arguments } => (tool, arguments),
            other => panic!("no tool was asked for: {other:?}, {:?}", self.step.say),
        }
    }

    pub fn has_ended(&self) -> bool {
        self.step.then == Then::End(EndReason::AgentEnded)
    }
}
