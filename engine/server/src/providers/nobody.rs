//! A transcriber for calls without audio: it hears nothing, so that no vendor keeps a stream open for nobody.

use parlance_providers::audio::Audio;
use parlance_providers::stt::{Control, Listener};

/// Hears nothing.
pub struct Nobody;

impl Listener for Nobody {
    fn hear(&mut self, _: Audio<'_>) {}

    fn control(&mut self, _: Control) {}
}
