//! What the stand-ins promise.

mod code;
mod stt;
