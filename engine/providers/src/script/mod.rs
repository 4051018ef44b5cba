//! The scripted vendor: three providers that say what they are told, when they are told.
//!
//! For tests and load figures: each answers after a fixed delay on tokio's clock (which a test may
//! pause) and costs next to no CPU, so what is measured is the engine. They listen to no audio and
//! understand no text. They work only inside a tokio runtime. Enter at [`ScriptedStt`],
//! [`ScriptedLlm`] and [`ScriptedTts`].

mod llm;
mod stt;
mod tts;

pub use llm::{Answers, ScriptedLlm};
pub use stt::ScriptedStt;
pub use tts::{SAMPLE_RATE_HZ, ScriptedTts, WORD_MS};

use tokio::runtime::Handle;

use crate::{Error, ErrorKind};

pub(crate) const NAME: &str = "script";

/// The runtime that the timers run in.
fn runtime() -> Result<Handle, Error> {
    Handle::try_current().map_err(|error| Error::new(NAME, ErrorKind::Unavailable, error.to_string()))
}
