//! What the stand-ins promise.

mod code;
mod llm;
mod python;
mod stt;
mod tts;
