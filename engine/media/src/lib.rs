//! Media: everything the engine does to samples, as plain functions and structs.
//!
//! Holds the codecs ([`g711`], [`mod@format`]), rate conversion ([`resample`]), framing on the call's audio
//! clock ([`framer`]), hearing ([`ears`] over [`vad`] and [`tone`]), pacing arithmetic ([`pacer`]) and WAV
//! in and out ([`wav`], [`recording`]). It decides nothing about turns, reads no clock and does no I/O but
//! WAV files. A caller's frame takes the path [`mod@format`] → [`resample`] → [`framer`] → [`ears`]; the
//! agent's takes it backwards through [`pacer`].
//!
//! Two conventions hold everywhere. Times are call audio time in microseconds (`_us`), counted from the
//! first sample of the call. A `&mut Vec` argument is appended to and never cleared, so that one buffer
//! serves a call for its whole life and the 20 ms path does not allocate.

pub mod ears;
pub mod format;
pub mod framer;
pub mod g711;
pub mod level;
pub mod pacer;
pub mod recording;
pub mod resample;
pub mod tone;
pub mod vad;
pub mod wav;

/// Length of one frame, the unit in which audio moves through the engine: 20 ms, in microseconds.
pub const FRAME_US: u64 = 20_000;

/// Rate of all audio inside the engine that is listened to or recorded, in hertz.
pub const EAR_RATE_HZ: u32 = 16_000;

/// Samples of one frame at [`EAR_RATE_HZ`].
pub const EAR_FRAME_SAMPLES: usize = 320;

/// How many samples a 20 ms frame has at `rate_hz` (exact for every rate the engine speaks, 22 050 included).
#[must_use]
pub const fn frame_samples(rate_hz: u32) -> usize {
    (rate_hz / 50) as usize
}

/// The duration of `samples` at `rate_hz` in whole microseconds, rounded down.
#[must_use]
pub const fn samples_to_us(samples: u64, rate_hz: u32) -> u64 {
    samples * 1_000_000 / rate_hz as u64
}

/// The number of the sample that is nearest to `at_us` at `rate_hz`.
#[must_use]
pub const fn us_to_samples(at_us: u64, rate_hz: u32) -> u64 {
    (at_us * rate_hz as u64 + 500_000) / 1_000_000
}
