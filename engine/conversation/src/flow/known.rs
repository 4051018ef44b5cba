//! What a run knows: slots, the scene's variables, the last tool's result; and how texts are filled in.

use std::collections::BTreeMap;

use jiff::civil::Date;
use serde_json::{Map, Value as Json};

use super::slots::Value;
use super::template;
use crate::{Scene, ToolOutcome};

/// Said when a tool broke without a reason.
const NO_REASON: &str = "that could not be done";
/// Said when a tool did not answer.
const TOO_LATE: &str = "that took too long";

/// Everything texts and arguments are filled in from.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Known {
    pub slots: BTreeMap<String, Value>,
    /// `reason` and `result.*` of the last tool.
    facts: BTreeMap<String, String>,
    variables: BTreeMap<String, String>,
    /// The day of the call.
    pub today: Date,
}

impl Known {
    pub fn new(scene: &Scene) -> Self {
        Self {
            slots: BTreeMap::new(),
            facts: BTreeMap::new(),
            variables: scene.variables.clone(),
            today: scene.started.date(),
        }
    }

    /// A text for people.
    pub fn text(&self, template: &str) -> String {
        template::fill(template, |name| self.readable(name))
    }

    /// The arguments of a tool. A slot keeps its type; one that is not filled is left out.
    pub fn arguments(&self, templates: &BTreeMap<String, String>) -> Json {
        let mut arguments = Map::new();
        for (name, template) in templates {
            match template::single_variable(template) {
                Some(variable) => {
                    if let Some(value) = self.machine(variable) {
                        arguments.insert(name.clone(), value);
                    }
                }
                None => {
                    let text = template::fill(template, |name| self.machine(name).as_ref().map(plain));
                    arguments.insert(name.clone(), Json::String(text));
                }
            }
        }
        Json::Object(arguments)
    }

    /// Takes what a tool left.
    pub fn take_outcome(&mut self, outcome: &ToolOutcome) {
        self.facts.clear();
        match outcome {
            ToolOutcome::Succeeded { result } => flatten("result", result, &mut self.facts),
            ToolOutcome::Failed { reason } => {
                let reason = reason.trim().trim_end_matches('.');
                let reason = if reason.is_empty() { NO_REASON } else { reason };
                self.facts.insert("reason".into(), reason.to_owned());
            }
            ToolOutcome::TimedOut => {
                self.facts.insert("reason".into(), TOO_LATE.to_owned());
            }
        }
    }

    /// The filled slots in machine form.
    pub fn slots_json(&self) -> Json {
        Json::Object(self.slots.iter().map(|(name, value)| (name.clone(), value.machine())).collect())
    }

    fn readable(&self, name: &str) -> Option<String> {
        let slot = self.slots.get(name).map(Value::readable);
        slot.or_else(|| self.facts.get(name).or_else(|| self.variables.get(name)).cloned())
    }

    fn machine(&self, name: &str) -> Option<Json> {
        let slot = self.slots.get(name).map(Value::machine);
        slot.or_else(|| self.facts.get(name).or_else(|| self.variables.get(name)).cloned().map(Json::String))
    }
}

fn flatten(path: &str, value: &Json, facts: &mut BTreeMap<String, String>) {
    match value {
        Json::Object(fields) => {
            fields.iter().for_each(|(name, value)| flatten(&format!("{path}.{name}"), value, facts));
        }
        Json::Null => {}
        _ => {
            facts.insert(path.to_owned(), plain(value));
        }
    }
}

fn plain(value: &Json) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
