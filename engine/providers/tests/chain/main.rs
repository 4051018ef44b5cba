//! What a chain of providers promises: who is asked when, that no word is lost or doubled, that the best comes back.

mod faults;
mod joint;
mod llm;
mod puppets;
mod stt;
mod tts;
