//! The conformance suite: what every vendor's client must do, on the happy path and under every fault, against a
//! stand-in that speaks the vendor's protocol. A vendor's run is one line in its kind's file.

mod compatible;
mod llm;
mod stt;
mod tts;
