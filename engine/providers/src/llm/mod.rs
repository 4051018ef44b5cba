//! Language models: a context in, text and tool calls out.
//!
//! Here is what all of them have in common for those who ask; a vendor's folder knows how it is asked. What vendors
//! share: [`answering`] runs an answer over HTTP, [`telling`] passes it on, [`context`] and [`calls`] put right what
//! goes in and what comes out.

mod answering;
mod anthropic;
mod bodies;
mod calls;
mod context;
mod gemini;
mod openai;
mod over_http;
mod telling;
mod thinking;

use std::sync::Arc;

use crate::Error;
use crate::registry::Service;

/// The language models with a vendor behind them. One line each.
pub const SERVICES: &[Service] =
    &[openai::chat::SERVICE, openai::responses::SERVICE, anthropic::SERVICE, gemini::SERVICE];

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
    /// Arguments as the model gave them: an object. A string holds what is none, as where the model was cut off in
    /// the middle of them: the tool is not to be run, and the model to be told.
    pub arguments: serde_json::Value,
    /// What the vendor wants back with the call, opaque (Gemini's thought signature). Absent: nothing.
    #[serde(default)]
    pub signature: Option<String>,
}

/// A tool the model may ask for.
#[derive(Debug, Clone, PartialEq)]
pub struct ToolSpec {
    /// Its name: letters, digits, `_` and `-`, at most 64.
    pub name: String,
    /// What it does and when to use it.
    pub description: String,
    /// What it takes: a JSON schema of an object.
    pub parameters: serde_json::Value,
}

/// What is asked of the model.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Request {
    /// The vendor's id of the model; `None` for the default in [`crate::models`].
    pub model: Option<String>,
    /// The conversation so far, oldest first.
    pub messages: Vec<Message>,
    /// The tools it may ask for.
    pub tools: Arc<[ToolSpec]>,
    /// How freely it chooses words, 0 to 2; `None` for the model's own. Left out where the model takes none.
    pub temperature: Option<f32>,
    /// Most tokens of the answer; `None` for the vendor's own limit.
    pub max_tokens: Option<u32>,
    /// The same for all requests of a conversation, where a vendor can use it to find its cache again. Tells nothing
    /// about the caller.
    pub conversation: Option<String>,
}

/// Tokens of one answer, where the vendor counts them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Tokens read, those from the vendor's cache among them.
    pub input_tokens: Option<u32>,
    /// Tokens of those that came from the vendor's cache, which cost less.
    pub cached_tokens: Option<u32>,
    /// Tokens written, those of thoughts among them.
    pub output_tokens: Option<u32>,
}

/// What a model tells while it answers.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// The next words. Empty ones say that a tool call is being written, which is told when it is whole.
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

    /// Opens a connection that the next answer finds warm, at once and without telling how it went.
    fn warm(&self) {}

    /// Starts an answer and returns at once. Dropping the result cancels it.
    fn respond(&self, request: Request, sink: Sink) -> Result<Response, Error>;
}

/// An answer under way; dropping it cancels the work.
pub type Response = Box<dyn Send>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_service_has_a_default_model() {
        for service in SERVICES {
            assert!(!crate::models::default_of(service.kind(), service.name).is_empty(), "{}", service.name);
        }
    }
}
