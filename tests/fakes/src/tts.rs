//! The speakers: a file for each protocol, how they speak ([`speech`]), and the loop that their sockets run in
//! ([`talk`]).
//!
//! A protocol is a state machine: messages and the time in, messages out. What fails, and when, is planned and done
//! elsewhere ([`crate::events`], [`crate::sse`]).

mod cartesia;
mod cartesia_http;
mod deepgram;
mod elevenlabs;
mod elevenlabs_http;
mod openai;
mod speech;
mod talk;

use std::sync::Arc;

use axum::Router;

use crate::State;

/// Every speaker's path.
pub fn routes() -> Router<Arc<State>> {
    Router::new()
        .merge(elevenlabs::routes())
        .merge(elevenlabs_http::routes())
        .merge(deepgram::routes())
        .merge(openai::routes())
        .merge(cartesia::routes())
        .merge(cartesia_http::routes())
}
