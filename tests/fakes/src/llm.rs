//! The language models: a file for each protocol, what they say ([`model`]). How it is streamed, and how it fails, is
//! for [`crate::sse`] to say.

mod anthropic;
mod gemini;
pub mod model;
pub(crate) mod openai;
mod openai_chat;
mod openai_responses;

use std::sync::Arc;

use axum::Router;

use crate::State;

/// Every language model's path.
pub fn routes() -> Router<Arc<State>> {
    Router::new()
        .merge(openai::routes())
        .merge(openai_chat::routes())
        .merge(openai_responses::routes())
        .merge(gemini::routes())
        .merge(anthropic::routes())
}
