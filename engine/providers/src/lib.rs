//! The workshop: speech to text, language models and text to speech, one folder per kind.
//!
//! Decides how a vendor is spoken to and nothing about the conversation. A provider is opened for
//! one call (or one reply, or one sentence), is fed without ever blocking its caller, and answers
//! by calling the sink it was given; dropping what `open`, `respond` or `speak` returned cancels
//! the work. Enter at [`stt::SpeechToText`], [`llm::LanguageModel`] and [`tts::TextToSpeech`];
//! [`registry`] says which of them work on this machine.
//!
//! What this room must not know: the wire contract, the database, audio processing, turn-taking.

pub mod account;
pub mod audio;
pub mod chain;
pub mod llm;
pub mod models;
pub mod near;
pub mod notes;
pub mod registry;
pub mod script;
pub mod stt;
pub mod tts;
pub mod wire;

mod error;
mod openai_server;
mod running;
mod soname;

pub use error::{Error, ErrorKind};
