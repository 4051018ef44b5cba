//! The call's clock: monotonic time since the call's first moment. The only clock of a session.

use parlance_conversation::CallTime;
use tokio::time::Instant;

/// Monotonic call time.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    started: Instant,
}

impl Clock {
    /// Starts at zero, now.
    pub fn start() -> Self {
        Self { started: Instant::now() }
    }

    /// Now.
    pub fn now(self) -> CallTime {
        CallTime::from_micros(self.started.elapsed().as_micros() as u64)
    }

    /// The moment of the runtime's clock that is `at`.
    pub fn instant(self, at: CallTime) -> Instant {
        self.started + std::time::Duration::from_micros(at.as_micros())
    }
}
