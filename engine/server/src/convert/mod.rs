//! The contract's words for ours: one file per noun, in both directions where both are needed.

pub mod agent;
pub mod api_key;
pub mod appointment;
pub mod call;
pub mod event;
pub mod flow;
pub mod json;
pub mod organisation;
pub mod phone_number;
pub mod policy;
pub mod provider;
pub mod providers;
pub mod resource;
pub mod tools;
pub mod usage;
pub mod voice;

use parlance_conversation::CallTime;
use prost_types::{Duration, Timestamp};

/// A moment of the call as an offset from its first sample.
pub fn offset(at: CallTime) -> Duration {
    let micros = at.as_micros();
    Duration { seconds: (micros / 1_000_000) as i64, nanos: (micros % 1_000_000) as i32 * 1_000 }
}

/// A length of time.
pub fn duration(length: std::time::Duration) -> Duration {
    Duration { seconds: length.as_secs() as i64, nanos: length.subsec_nanos() as i32 }
}

/// A length of time from the wire; `None` if it is negative or malformed.
pub fn length(duration: &Duration) -> Option<std::time::Duration> {
    let nanos = u32::try_from(duration.nanos).ok().filter(|nanos| *nanos < 1_000_000_000)?;
    Some(std::time::Duration::new(u64::try_from(duration.seconds).ok()?, nanos))
}

/// A moment in the world.
pub fn timestamp(at: jiff::Timestamp) -> Timestamp {
    Timestamp { seconds: at.as_second(), nanos: at.subsec_nanosecond() }
}

/// A moment in the world from the wire; `None` if it is malformed or not in the years 1 to 9999.
pub fn moment(wire: &Timestamp) -> Option<jiff::Timestamp> {
    const YEAR_1: i64 = -62_135_596_800;
    let nanos = Some(wire.nanos).filter(|nanos| (0..1_000_000_000).contains(nanos))?;
    jiff::Timestamp::new(wire.seconds, nanos).ok().filter(|at| at.as_second() >= YEAR_1)
}
