//! Listening to a recording: where there is sound, and where in it known words lie.
//!
//! Words are found by the offline recogniser under a grammar of exactly those words, so it can only say when they
//! were spoken, which is all that is asked. Enter at [`sounds`] and [`align`].

use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use parlance_media::level::rms_dbfs;
use parlance_providers::audio::Audio;
use parlance_providers::stt::pocketsphinx::{PocketSphinx, unknown_words};
use parlance_providers::stt::{Control, Event, Expectation, Settings, SpeechToText, Word};

/// Rate of recordings, hertz.
const RATE_HZ: usize = 16_000;
/// Samples of one look: 5 ms.
const LOOK: usize = RATE_HZ / 200;
/// Louder than this is sound. A synthetic voice is silent between its words.
const SOUND_DBFS: f32 = -50.0;

/// A stretch of audio, milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stretch {
    /// Its first millisecond.
    pub start_ms: u64,
    /// The one after its last.
    pub end_ms: u64,
}

/// The stretches of sound; silences shorter than `gap_ms` are part of them.
pub fn sounds(samples: &[i16], gap_ms: u64) -> Vec<Stretch> {
    let mut found: Vec<Stretch> = Vec::new();
    for (look, samples) in samples.chunks(LOOK).enumerate() {
        if rms_dbfs(samples) <= SOUND_DBFS {
            continue;
        }
        let (start_ms, end_ms) = (look as u64 * 5, look as u64 * 5 + 5);
        match found.last_mut().filter(|last| start_ms - last.end_ms < gap_ms) {
            Some(last) => last.end_ms = end_ms,
            None => found.push(Stretch { start_ms, end_ms }),
        }
    }
    found
}

/// Where `words` lie in `samples`, which hold nothing else. `None` if the recogniser does not know how one of them
/// sounds, or finds them nowhere.
///
/// # Panics
/// When the recogniser is not installed; the message says what to install.
pub fn align(samples: &[i16], words: &[String]) -> Option<Vec<Word>> {
    let jsgf = format!("#JSGF V1.0; grammar said; public <said> = {};", words.join(" "));
    if !unknown_words(&jsgf).is_ok_and(|unknown| unknown.is_empty()) {
        return None;
    }
    let recogniser = PocketSphinx::new().unwrap_or_else(|error| panic!("this test needs {error}"));
    let (sender, events) = channel();
    let sender = Mutex::new(sender);
    let sink = Arc::new(move |event| {
        sender.lock().expect("no holder of this lock panics").send(event).ok();
    });
    let expectation = Expectation { jsgf: Some(jsgf.into()), key_terms: Vec::new() };
    let settings = Settings { expectation, ..Settings::default() };
    let mut listener = recogniser.open(settings, sink).expect("the grammar was checked");
    let end_us = (samples.len() * 1_000_000 / RATE_HZ) as u64;
    listener.hear(Audio::Pcm16(&samples[..LOOK]));
    listener.control(Control::VoiceStarted(0));
    samples[LOOK..].chunks(320).for_each(|frame| listener.hear(Audio::Pcm16(frame)));
    listener.control(Control::VoiceEnded(end_us));
    listener.control(Control::Finalize);
    listener.control(Control::NextTurn(Expectation::default()));
    loop {
        match events.recv_timeout(Duration::from_secs(20)).ok()? {
            Event::Slice(slice) if slice.words.len() == words.len() => return Some(slice.words),
            Event::Slice(_) | Event::Failed(_) => return None,
            Event::Opened | Event::Replaced { .. } | Event::Interim(_) | Event::Turn(_) => {}
        }
    }
}
