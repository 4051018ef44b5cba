//! What the fake callers say, cut into frames once and shared by all calls.
//!
//! A clip ends in the middle of its last loud 4 ms: synthetic voices fade out over 100 ms and more, and nobody
//! could say which of those samples was "the last voiced one". Room tone lies under everything the callers send,
//! so that a detector that skips digital silence gains nothing here, and one that follows the noise is not led
//! astray by a room that comes and goes.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parlance_media::vad::{VoiceDetector, VoiceEvent};
use parlance_media::{FRAME_US, wav};

/// Samples a second of everything the callers send.
pub const RATE_HZ: u32 = 16_000;
/// Samples of a frame of 20 ms.
pub const FRAME: usize = 320;
const STEP: usize = 64;
/// Places in the room's tone that each clip is tried in.
const PLACES: usize = 5;
/// Mean amplitude from which a step counts as loud: about -38 dBFS.
const LOUD: u32 = 400;
const CLIPS: [&str; 8] = [
    "u02_slt.wav",
    "u04_slt.wav",
    "u05_slt.wav",
    "u06_slt.wav",
    "u10_slt.wav",
    "u13_slt.wav",
    "u16_slt.wav",
    "u17_slt.wav",
];
/// Room tone.
pub const ROOM: &str = "roomtone_4s.wav";

/// One thing to say.
#[derive(Debug)]
pub struct Clip {
    /// Its frames, ready to send.
    pub frames: Vec<Bytes>,
    /// Where its last voiced sample lies, from the beginning of its first frame.
    pub voice_end: Duration,
    /// By how much the engine's voice detector puts that later, for [`PLACES`] places of the clip in the room's
    /// tone; negative if earlier, milliseconds.
    pub placed_late_ms: Vec<f64>,
}

/// Everything the callers can send.
#[derive(Debug, Clone)]
pub struct Sounds {
    /// What they say, in turn.
    pub clips: Arc<[Clip]>,
    /// What is heard of the room while they listen, in a circle.
    pub room: Arc<[Bytes]>,
}

impl Sounds {
    /// Reads them from the tests' audio folder.
    pub fn load() -> Result<Self, String> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("audio");
        let room = read(&folder.join(ROOM))?;
        let clips: Result<Vec<Clip>, String> =
            CLIPS.iter().map(|name| Ok(Clip::new(&read(&folder.join(name))?, &room))).collect();
        Ok(Self::new(clips?, &room))
    }

    /// These clips in this room.
    pub fn new(clips: Vec<Clip>, room: &[i16]) -> Self {
        let room: Vec<Bytes> = room.chunks_exact(FRAME).map(bytes_of).collect();
        Self { clips: clips.into(), room: room.into() }
    }
}

impl Clip {
    /// What is said, cut off at its end, in this room.
    pub fn new(samples: &[i16], room: &[i16]) -> Self {
        let is_loud = |step: &[i16]| {
            step.iter().map(|sample| u32::from(sample.unsigned_abs())).sum::<u32>() / STEP as u32 >= LOUD
        };
        let last = samples.chunks_exact(STEP).rposition(is_loud).unwrap_or(0);
        let end = last * STEP + STEP / 2;
        let voice = samples[..end.min(samples.len())].iter().copied().chain(std::iter::repeat(0));
        let length = end.next_multiple_of(FRAME);
        let mixed = voice.zip(room.iter().cycle()).map(|(voice, room)| voice.saturating_add(*room));
        let said: Vec<i16> = mixed.take(length).collect();
        let frames = said.chunks_exact(FRAME).map(bytes_of).collect();
        let voice_end_us = parlance_media::samples_to_us(end as u64, RATE_HZ);
        let placed_us = (0..PLACES).filter_map(|place| detected_end_us(&said, room, place));
        let placed_late_ms = placed_us.map(|us| (us as f64 - voice_end_us as f64) / 1_000.0).collect();
        Self { frames, voice_end: Duration::from_micros(voice_end_us), placed_late_ms }
    }
}

/// Where the detector puts the last voiced sample of `said`, in the middle of the room's tone.
fn detected_end_us(said: &[i16], room: &[i16], place: usize) -> Option<u64> {
    let mut room = room.iter().cycle().skip(room.len() / PLACES * place);
    let before: Vec<i16> = room.by_ref().take(RATE_HZ as usize).copied().collect();
    let after = room.take(RATE_HZ as usize / 2);
    let heard: Vec<i16> = before.iter().chain(said).chain(after).copied().collect();
    let mut detector = VoiceDetector::new();
    let frames = (0..).map(|frame| frame * FRAME_US).zip(heard.chunks_exact(FRAME));
    let ends = frames.filter_map(|(at_us, frame)| match detector.push(at_us, frame, true) {
        Some(VoiceEvent::Ended { last_voiced_us }) => Some(last_voiced_us),
        _ => None,
    });
    ends.last()?.checked_sub(1_000_000)
}

/// The samples of a file, one channel at [`RATE_HZ`].
pub fn read(path: &Path) -> Result<Vec<i16>, String> {
    let clip = wav::read(path).map_err(|error| format!("could not {error}: {}", path.display()))?;
    if clip.sample_rate_hz != RATE_HZ {
        return Err(format!(
            "{} has {} samples a second, not {RATE_HZ}",
            path.display(),
            clip.sample_rate_hz
        ));
    }
    Ok(clip.into_mono())
}

fn bytes_of(samples: &[i16]) -> Bytes {
    samples.iter().flat_map(|sample| sample.to_le_bytes()).collect()
}
