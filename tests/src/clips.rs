//! What callers say: the recorded clips of `tests/audio`, whose manifest says what is in each.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use parlance_media::resample::Resampler;

/// Rate of the WAV clips, hertz.
pub const RATE_HZ: u32 = 16_000;

#[derive(serde::Deserialize)]
struct Described {
    file: String,
    speech_ms: Vec<(u64, u64)>,
}

static MANIFEST: LazyLock<Vec<Described>> = LazyLock::new(|| {
    let text = std::fs::read_to_string(folder().join("manifest.json")).expect("the manifest is there");
    serde_json::from_str(&text).expect("the manifest is a list of clips")
});

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("audio")
}

/// The samples of a WAV clip, mono at [`RATE_HZ`].
///
/// # Panics
/// When there is no such clip.
pub fn samples(file: &str) -> Vec<i16> {
    let clip = parlance_media::wav::read(&folder().join(file)).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!((clip.sample_rate_hz, clip.channels.len()), (RATE_HZ, 1), "{file}");
    clip.into_mono()
}

/// The clip at another rate.
///
/// # Panics
/// When there is no such clip or nothing converts to that rate.
pub fn samples_at(file: &str, rate_hz: u32) -> Vec<i16> {
    at_rate(&samples(file), rate_hz)
}

/// Samples at [`RATE_HZ`] at another rate.
///
/// # Panics
/// When nothing converts to that rate.
pub fn at_rate(samples: &[i16], rate_hz: u32) -> Vec<i16> {
    let mut converted = Vec::new();
    Resampler::new(RATE_HZ, rate_hz).expect("a rate of the engine").process(samples, &mut converted);
    converted
}

/// Where speech lies in a clip, milliseconds.
///
/// # Panics
/// When the manifest does not know the clip.
pub fn speech_ms(file: &str) -> &'static [(u64, u64)] {
    let described = MANIFEST.iter().find(|clip| clip.file == file);
    &described.unwrap_or_else(|| panic!("the manifest does not know {file}")).speech_ms
}
