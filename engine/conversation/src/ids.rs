//! Time and ids: the newtypes every fact and action is stamped with.

use std::fmt;
use std::ops::{Add, Sub};
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A moment of the call: microseconds since the call's first sample, monotonic.
///
/// The clock (`now`) and the audio (`at`) share this scale.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CallTime(u64);

impl CallTime {
    /// The call's first sample.
    pub const ZERO: CallTime = CallTime(0);

    /// From microseconds.
    pub const fn from_micros(micros: u64) -> Self {
        Self(micros)
    }

    /// From milliseconds.
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis * 1_000)
    }

    /// Microseconds since the call's first sample.
    pub const fn as_micros(self) -> u64 {
        self.0
    }

    /// Whole milliseconds since the call's first sample.
    pub const fn as_millis(self) -> u64 {
        self.0 / 1_000
    }

    /// How long since `earlier`; zero if `earlier` is later.
    pub fn since(self, earlier: CallTime) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for CallTime {
    type Output = CallTime;
    fn add(self, rhs: Duration) -> CallTime {
        CallTime(self.0.saturating_add(rhs.as_micros() as u64))
    }
}

impl Sub<Duration> for CallTime {
    type Output = CallTime;
    fn sub(self, rhs: Duration) -> CallTime {
        CallTime(self.0.saturating_sub(rhs.as_micros() as u64))
    }
}

impl fmt::Display for CallTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:03}s", self.0 / 1_000_000, self.0 / 1_000 % 1_000)
    }
}

/// The two clocks of a call at the moment a fact is handled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Now {
    /// Monotonic call time. Never goes back between two calls of `handle`.
    pub clock: CallTime,
    /// The caller's audio has been received (and listened to by the voice detector) up to here.
    pub audio: CallTime,
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub u32);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "{}"), self.0)
            }
        }
    };
}

id!(
    /// A reply of the agent. All outgoing work carries it; an answer bearing an old one is dropped.
    ReplyId, "r"
);
id!(
    /// A turn of the caller.
    TurnId, "t"
);
id!(
    /// A piece of a reply that is spoken as one: a clause or a sentence. Counts from 0 in its reply.
    SegmentId, "s"
);
id!(
    /// One run of a tool. Unique in its call; the idempotency key is made of the call and this.
    InvocationId, "i"
);
