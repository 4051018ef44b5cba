//! The tools of one call: its agent's, its client's and those of MCP servers, each with what a model and the
//! conversation must know of it.

use std::sync::Arc;

use parlance_conversation::ToolPolicy;
use parlance_providers::llm::ToolSpec;

use super::built_in::BuiltIn;
use super::http::HttpTool;
use super::mcp::Remote;

/// One tool.
#[derive(Debug, Clone)]
pub struct Tool {
    /// What a model is told; its parameters are what arguments are checked against.
    pub spec: ToolSpec,
    /// What the conversation goes by.
    pub policy: ToolPolicy,
    /// Whether models are told of it.
    pub offered: bool,
    /// What runs.
    pub kind: Kind,
}

/// What runs.
#[derive(Debug, Clone)]
pub enum Kind {
    /// A part of the engine.
    BuiltIn(BuiltIn),
    /// An HTTP request.
    Http(Arc<HttpTool>),
    /// The program at the other end of the session.
    Client,
    /// A tool of an MCP server.
    Mcp(Arc<Remote>),
}

/// The tools of a call, by name.
#[derive(Debug, Clone, Default)]
pub struct ToolSet(Vec<Tool>);

impl ToolSet {
    /// These tools; of two with the same name the first counts.
    pub fn new(tools: Vec<Tool>) -> Self {
        let mut set = Self::default();
        set.add(tools);
        set
    }

    /// More tools; a name that is taken stays whose it is.
    pub fn add(&mut self, tools: Vec<Tool>) {
        for tool in tools {
            if self.get(&tool.spec.name).is_none() {
                self.0.push(tool);
            }
        }
    }

    /// The tool of that name.
    pub fn get(&self, name: &str) -> Option<&Tool> {
        self.0.iter().find(|tool| tool.spec.name == name)
    }

    /// What the conversation goes by.
    pub fn policies(&self) -> Vec<ToolPolicy> {
        self.0.iter().map(|tool| tool.policy.clone()).collect()
    }

    /// What a model is told.
    pub fn specs(&self) -> Arc<[ToolSpec]> {
        self.0.iter().filter(|tool| tool.offered).map(|tool| tool.spec.clone()).collect()
    }
}
