//! The recorded clips the speech tests listen to, and where speech lies in them.
//!
//! Read from `tests/audio` at the workspace root: 16 kHz WAV files and a `manifest.json`.

use std::path::PathBuf;

fn path(file: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/audio").join(file)
}

/// The samples of a mono 16-bit 16 kHz clip.
pub fn samples(file: &str) -> Vec<i16> {
    let bytes = std::fs::read(path(file)).unwrap_or_else(|error| panic!("tests/audio/{file}: {error}"));
    let data = bytes.windows(4).position(|name| name == b"data").expect("a WAV file has a data chunk") + 8;
    bytes[data..].chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])).collect()
}

/// Where speech lies in a clip, milliseconds.
pub fn speech_ms(file: &str) -> Vec<(u64, u64)> {
    let manifest = std::fs::read(path("manifest.json")).expect("tests/audio/manifest.json is there");
    let manifest: serde_json::Value = serde_json::from_slice(&manifest).expect("the manifest is JSON");
    let entry = manifest.as_array().and_then(|clips| clips.iter().find(|clip| clip["file"] == file));
    let spans = entry.expect("the clip is in the manifest")["speech_ms"].as_array().expect("a list").clone();
    spans.iter().map(|span| (span[0].as_u64().expect("ms"), span[1].as_u64().expect("ms"))).collect()
}
