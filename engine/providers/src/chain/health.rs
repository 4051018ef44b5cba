//! How providers have done lately: breakers and latencies, shared by all calls of the engine.

use std::time::Duration;

use crate::Error;
use crate::notes::Stage;
use crate::registry::Kind;

/// How all providers have done lately, by organisation.
#[derive(Debug, Default)]
pub struct Health {}

/// Whether a provider is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It works, or nobody knows otherwise.
    Well,
    /// It has failed lately, but is still asked.
    Shaky,
    /// It is not asked until the breaker lets one try through.
    Open,
}

/// Measured times of one stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Latency {
    /// The stage.
    pub stage: Stage,
    /// How many were measured, among the last ones.
    pub count: u64,
    /// Half of them took no longer.
    pub p50: Duration,
    /// 95 of 100 took no longer.
    pub p95: Duration,
}

/// How one provider has done lately.
#[derive(Debug, Clone)]
pub struct Look {
    /// What it is for.
    pub kind: Kind,
    /// Its registered name.
    pub provider: &'static str,
    /// Whether it is asked.
    pub state: State,
    /// Its last failure.
    pub last_error: Option<Error>,
    /// Until when it is not asked, from now; `None` unless the breaker is open.
    pub closed_for: Option<Duration>,
    /// Its times, by stage; those that were never measured are missing.
    pub latencies: Vec<Latency>,
}

impl Health {
    /// Every provider that was used for this organisation (or, empty, on the engine's own accounts), by kind and name.
    pub fn look(&self, _organisation: &str) -> Vec<Look> {
        Vec::new()
    }
}
