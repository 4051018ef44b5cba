//! How providers have done lately: breakers and latencies, shared by all calls of the engine.
//!
//! A breaker opens at once after a failure that only a person can mend, and after three others in a row; then the
//! provider is left alone for a while that doubles from time to time, and one request at a time tries whether it is
//! back. By organisation, because a key of one can be blocked while another's works.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::phrases::Phrases;
use crate::notes::Stage;
use crate::registry::Kind;
use crate::{Error, ErrorKind};

/// Failures in a row that open the breaker.
const FAILURES: u32 = 3;
/// How long an open breaker stays so at first; it doubles with every trial that fails.
const CLOSED_FOR: Duration = Duration::from_secs(5);
/// And at most so long.
const CLOSED_FOR_MAX: Duration = Duration::from_secs(120);
/// After a failure that somebody has to mend: somebody may have.
const CLOSED_FOR_PERMANENT: Duration = Duration::from_secs(300);
/// A trial nobody told the outcome of is forgotten after this.
const TRIAL_MAX: Duration = Duration::from_secs(30);
/// So many of the last times are kept.
const TIMES: usize = 256;
/// With fewer times nothing is learnt.
const TIMES_MIN: usize = 8;

/// How all providers have done lately, by organisation.
#[derive(Debug, Default)]
pub struct Health {
    records: Mutex<HashMap<Key, Record>>,
    phrases: Phrases,
}

type Key = (String, Kind, &'static str);

#[derive(Debug, Default)]
struct Record {
    failures: u32,
    /// How often the breaker has opened without a success since.
    opened: u32,
    open_until: Option<Instant>,
    trial_since: Option<Instant>,
    last_error: Option<Error>,
    times: HashMap<Stage, VecDeque<Duration>>,
}

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
    /// How many were measured, among the last 256.
    pub count: usize,
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
    /// Its last failure; `None` if it has not failed since it last worked.
    pub last_error: Option<Error>,
    /// How long it will not be asked; `None` unless the breaker is open.
    pub closed_for: Option<Duration>,
    /// Its times, by stage; those that were never measured are missing.
    pub latencies: Vec<Latency>,
}

impl Health {
    /// Every provider that was used for this organisation (or, empty, on the engine's own accounts), by kind and name.
    pub fn look(&self, organisation: &str) -> Vec<Look> {
        let now = Instant::now();
        let records = self.records();
        let ours = records.iter().filter(|((of, ..), _)| of == organisation);
        let mut looks: Vec<Look> =
            ours.map(|((_, kind, provider), record)| record.look(*kind, provider, now)).collect();
        looks.sort_by_key(|look| (look.kind, look.provider));
        looks
    }

    /// Whether a request may go to it now. Where the breaker has been open long enough, a yes takes the one trial.
    pub(super) fn may_try(&self, organisation: &str, kind: Kind, provider: &'static str) -> bool {
        self.may_try_at(Instant::now(), organisation, kind, provider)
    }

    fn may_try_at(&self, now: Instant, organisation: &str, kind: Kind, provider: &'static str) -> bool {
        self.with(organisation, kind, provider, |record| match record.open_until {
            None => true,
            Some(until) if now < until => false,
            Some(_) if record.trial_since.is_some_and(|since| now - since < TRIAL_MAX) => false,
            Some(_) => {
                record.trial_since = Some(now);
                true
            }
        })
    }

    /// Whether its breaker is open, without taking a trial.
    pub(super) fn is_open(&self, organisation: &str, kind: Kind, provider: &'static str) -> bool {
        let now = Instant::now();
        self.with(organisation, kind, provider, |record| record.open_until.is_some_and(|until| now < until))
    }

    pub(super) fn succeeded(&self, organisation: &str, kind: Kind, provider: &'static str) {
        self.with(organisation, kind, provider, |record| {
            *record = Record { times: std::mem::take(&mut record.times), ..Record::default() };
        });
    }

    pub(super) fn failed(&self, organisation: &str, kind: Kind, provider: &'static str, error: &Error) {
        self.failed_at(Instant::now(), organisation, kind, provider, error);
    }

    fn failed_at(&self, now: Instant, organisation: &str, kind: Kind, provider: &'static str, error: &Error) {
        self.with(organisation, kind, provider, |record| {
            record.failures += 1;
            let was_trial = record.trial_since.take().is_some();
            record.last_error = Some(error.clone());
            let limited = error.kind == ErrorKind::RateLimited;
            // An order that nobody can carry out says nothing about the provider.
            let counts = error.kind != ErrorKind::Invalid;
            if counts && (error.kind.is_permanent() || limited || was_trial || record.failures >= FAILURES) {
                let doubled = CLOSED_FOR * 2_u32.pow(record.opened.min(10));
                let usual = doubled.min(CLOSED_FOR_MAX);
                let wait = match error.retry_after {
                    Some(asked) if limited => asked.clamp(Duration::from_secs(1), CLOSED_FOR_PERMANENT),
                    _ if error.kind.is_permanent() => CLOSED_FOR_PERMANENT,
                    _ => usual,
                };
                record.opened += 1;
                record.open_until = Some(now + wait);
            }
        });
    }

    pub(super) fn took(
        &self,
        organisation: &str,
        kind: Kind,
        provider: &'static str,
        stage: Stage,
        time: Duration,
    ) {
        self.with(organisation, kind, provider, |record| {
            let times = record.times.entry(stage).or_default();
            if times.len() == TIMES {
                times.pop_front();
            }
            times.push_back(time);
        });
    }

    /// The 95th percentile of a stage; `None` until enough were measured.
    pub(super) fn usual(
        &self,
        organisation: &str,
        kind: Kind,
        provider: &'static str,
        stage: Stage,
    ) -> Option<Duration> {
        self.with(organisation, kind, provider, |record| {
            let times = record.times.get(&stage).filter(|times| times.len() >= TIMES_MIN)?;
            Some(latency(stage, times).p95)
        })
    }

    /// What voices have said before.
    pub(super) fn phrases(&self) -> &Phrases {
        &self.phrases
    }

    fn with<T>(
        &self,
        organisation: &str,
        kind: Kind,
        provider: &'static str,
        work: impl FnOnce(&mut Record) -> T,
    ) -> T {
        work(self.records().entry((organisation.to_owned(), kind, provider)).or_default())
    }

    fn records(&self) -> MutexGuard<'_, HashMap<Key, Record>> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Record {
    fn look(&self, kind: Kind, provider: &'static str, now: Instant) -> Look {
        let closed_for = self.open_until.map(|until| until.saturating_duration_since(now));
        let state = match (closed_for, self.failures) {
            (Some(_), _) => State::Open,
            (None, 0) => State::Well,
            (None, _) => State::Shaky,
        };
        let mut latencies: Vec<Latency> =
            self.times.iter().map(|(stage, times)| latency(*stage, times)).collect();
        latencies.sort_by_key(|latency| latency.stage);
        Look { kind, provider, state, last_error: self.last_error.clone(), closed_for, latencies }
    }
}

/// `times` is not empty.
fn latency(stage: Stage, times: &VecDeque<Duration>) -> Latency {
    let mut sorted: Vec<Duration> = times.iter().copied().collect();
    sorted.sort();
    let at = |share: usize| sorted[(sorted.len() * share).div_ceil(100).clamp(1, sorted.len()) - 1];
    Latency { stage, count: sorted.len(), p50: at(50), p95: at(95) }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Clock(Health, Instant);

    impl Clock {
        fn new() -> Self {
            Self(Health::default(), Instant::now())
        }

        fn pass(&mut self, ms: u64) {
            self.1 += Duration::from_millis(ms);
        }

        fn is_asked(&self) -> bool {
            self.0.may_try_at(self.1, "", Kind::Llm, "a")
        }

        fn fails(&self, kind: ErrorKind) {
            self.fails_with(&Error::new("a", kind, "no"));
        }

        fn fails_with(&self, error: &Error) {
            self.0.failed_at(self.1, "", Kind::Llm, "a", error);
        }
    }

    #[test]
    fn three_failures_in_a_row_close_a_provider_for_five_seconds_then_one_request_tries_it() {
        let mut clock = Clock::new();
        (0..2).for_each(|_| clock.fails(ErrorKind::Unavailable));
        assert!(clock.is_asked());
        clock.0.succeeded("", Kind::Llm, "a");
        (0..3).for_each(|_| clock.fails(ErrorKind::TimedOut));
        assert!(!clock.is_asked());
        assert!(clock.0.may_try_at(clock.1, "another organisation", Kind::Llm, "a"));
        clock.pass(5_001);
        assert_eq!((clock.is_asked(), clock.is_asked()), (true, false), "one trial");
        clock.fails(ErrorKind::TimedOut);
        clock.pass(5_001);
        assert!(!clock.is_asked(), "now it is left alone for ten");
        clock.pass(5_000);
        assert!(clock.is_asked());
        clock.0.succeeded("", Kind::Llm, "a");
        assert_eq!(clock.0.look("")[0].state, State::Well);
    }

    #[test]
    fn what_only_a_person_can_mend_closes_at_once_and_a_rate_limit_for_as_long_as_is_asked() {
        let mut clock = Clock::new();
        clock.fails(ErrorKind::OutOfCredit);
        clock.pass(299_000);
        assert!(!clock.is_asked());
        let mut clock = Clock::new();
        let limited = Error::new("a", ErrorKind::RateLimited, "slow");
        clock.fails_with(&limited.retry_after(Some(Duration::from_secs(7))));
        clock.pass(6_900);
        assert!(!clock.is_asked());
        clock.pass(200);
        assert!(clock.is_asked());
        let clock = Clock::new();
        (0..9).for_each(|_| clock.fails(ErrorKind::Invalid));
        assert!(clock.is_asked(), "a request nobody can serve is no fault of the provider");
    }

    #[test]
    fn half_of_the_times_are_no_longer_than_the_median() {
        let times = (1..=100).map(Duration::from_millis).collect();
        let latency = latency(Stage::Whole, &times);
        assert_eq!((latency.p50.as_millis(), latency.p95.as_millis()), (50, 95));
    }
}
