//! The caller audio of the repository as the ears get it: 16 kHz frames, with what the manifest says of them.

use std::path::{Path, PathBuf};

use parlance_media::ears::{Ears, Heard};
use parlance_media::resample::Resampler;
use parlance_media::{EAR_FRAME_SAMPLES, EAR_RATE_HZ, FRAME_US, wav};
use serde::Deserialize;

/// What the manifest says of a clip.
#[derive(Deserialize)]
pub struct Clip {
    pub file: String,
    pub tags: Vec<String>,
    /// Stretches of speech, begin and end in milliseconds.
    #[allow(dead_code, reason = "the tests of tones ask for the tags only")]
    pub speech_ms: Vec<(u64, u64)>,
}

impl Clip {
    pub fn is(&self, tag: &str) -> bool {
        self.tags.iter().any(|own| own.starts_with(tag))
    }

    /// The clip at 16 kHz, mu-law clips raised from 8 kHz, with 200 ms of silence after it.
    pub fn samples(&self) -> Vec<i16> {
        let clip = wav::read(&folder().join(&self.file)).unwrap();
        let mut resampler = Resampler::new(clip.sample_rate_hz, EAR_RATE_HZ).unwrap();
        let mut samples = Vec::new();
        resampler.process(&clip.into_mono(), &mut samples);
        samples.resize(samples.len() + 3_200, 0);
        samples
    }
}

/// All clips.
pub fn manifest() -> Vec<Clip> {
    let text = std::fs::read_to_string(folder().join("manifest.json")).unwrap();
    let clips: Vec<Clip> = serde_json::from_str(&text).unwrap();
    assert!(clips.len() >= 66);
    clips
}

/// What fresh ears hear in `samples`, each with the end of the frame that told it.
pub fn listen(samples: &[i16]) -> Vec<(u64, Heard)> {
    let (mut ears, mut heard, mut told) = (Ears::new(), Vec::new(), Vec::new());
    let (frames, _) = samples.as_chunks::<EAR_FRAME_SAMPLES>();
    for (number, frame) in frames.iter().enumerate() {
        let at_us = number as u64 * FRAME_US;
        ears.push(at_us, frame, &mut heard);
        told.extend(heard.drain(..).map(|heard| (at_us + FRAME_US, heard)));
    }
    told
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/audio")
}
