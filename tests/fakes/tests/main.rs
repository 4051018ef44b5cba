//! What the stand-ins promise.

mod code;
mod llm;
mod program;
mod python;
mod stt;
mod tts;
