//! What the transcribers promise.

mod client;
mod clients;
mod faults;
mod protocols;
mod recordings;

use std::path::Path;

use parlance_fakes::code::speech_with;
use parlance_media::wav;

/// Words with numbers from 0, as plans name them.
const WORDS: [&str; 5] = ["alpha", "नमस्ते", "charlie", "दुनिया", "echo"];

/// Speech at 16 kHz in which these words are, and a second of silence.
fn said(words: &[u16]) -> Vec<i16> {
    let mut audio = speech_with(words, &clip("u01_slt"));
    audio.resize(audio.len() + 16_000, 0);
    audio
}

fn clip(name: &str) -> Vec<i16> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../audio").join(name).with_extension("wav");
    wav::read(&path).unwrap().into_mono()
}
