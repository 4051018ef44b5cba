//! Language models: a context in, text and tool calls out.

use std::sync::Arc;

use crate::Error;

/// Who said a message of the context.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Instructions.
    System,
    /// The caller.
    Caller,
    /// The agent: what was heard of it.
    Agent,
    /// A tool's result.
    Tool,
}

/// One message of the context.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Message {
    /// Who said it.
    pub role: Role,
    /// The words, or a tool's result as JSON.
    pub text: String,
    /// The calls an agent message made, together; each is answered by a tool message, in their order.
    pub tool_calls: Vec<ToolCall>,
    /// For a tool's result: which call it answers.
    pub tool_call_id: Option<String>,
}

/// A tool the model wants run.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct ToolCall {
    /// The model's id of the call, to pair it with its result.
    pub id: String,
    /// The tool's name.
    pub name: String,
    /// Arguments as the model gave them.
    pub arguments: serde_json::Value,
    /// What the vendor wants back with the call, opaque (Gemini's thought signature). Absent: nothing.
    #[serde(default)]
    pub signature: Option<String>,
}

/// What is asked of the model.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// The conversation so far, oldest first.
    pub messages: Vec<Message>,
}

/// Tokens of one answer, where the vendor counts them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Tokens read.
    pub input_tokens: Option<u32>,
    /// Tokens written.
    pub output_tokens: Option<u32>,
}

/// What a model tells while it answers.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// The next words.
    Text(String),
    /// Tools it wants run before it goes on.
    ToolCalls(Vec<ToolCall>),
    /// The answer is complete.
    Finished {
        /// What it used.
        usage: Usage,
    },
    /// It broke; nothing more will come.
    Failed(Error),
}

/// Where events go. Must never block.
pub type Sink = Arc<dyn Fn(Event) + Send + Sync>;

/// A language-model vendor.
pub trait LanguageModel: Send + Sync {
    /// The registered name.
    fn name(&self) -> &'static str;

    /// Starts an answer and returns at once. Dropping the result cancels it.
    fn respond(&self, request: Request, sink: Sink) -> Result<Response, Error>;
}

/// An answer under way; dropping it cancels the work.
pub type Response = Box<dyn Send>;
