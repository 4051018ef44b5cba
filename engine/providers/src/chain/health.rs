//! How providers have done lately: breakers and latencies, shared by all calls of the engine.
//!
//! A breaker opens at once after a failure that only a person can mend, and after three others in a row; then the
//! provider is left alone for a while that doubles from time to time, and one request at a time tries whether it is
//! back. By account, because one key can be blocked while another works, and what was measured on one says little of
//! another. Who asks holds a [`Pass`]; what becomes of a request that began before the breaker opened neither closes it
//! nor opens it longer.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::phrases::Phrases;
use crate::account::AccountId;
use crate::notes::Stage;
use crate::registry::Kind;
use crate::{Error, ErrorKind};

/// Failures in a row that open the breaker.
const FAILURES: u32 = 3;
/// Times in a row that one was outrun by another that began later, without anything from it: as good as a failure.
const OUTRUN: u32 = 5;
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
/// Accounts that are remembered as gone: what a call still does on one of them is not kept.
const GONE_MAX: usize = 1_000;
/// With fewer times nothing is learnt.
const TIMES_MIN: usize = 8;

/// How all providers have done lately, by account.
#[derive(Debug, Default)]
pub struct Health {
    records: Mutex<Records>,
    phrases: Phrases,
}

#[derive(Debug, Default)]
struct Records {
    of: HashMap<Used, Record>,
    /// Accounts that nobody begins a call on any more, oldest first.
    gone: VecDeque<AccountId>,
}

/// A provider as it is used: on whose account, what for, and its registered name.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Used {
    pub account: AccountId,
    pub kind: Kind,
    pub provider: &'static str,
}

#[derive(Debug, Default)]
struct Record {
    failures: u32,
    /// How often in a row it was outrun.
    outrun: u32,
    /// How often the breaker has opened without a success since.
    opened: u32,
    opened_at: Option<Instant>,
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
    /// Every provider that was used on this account, by kind and name.
    pub fn look(&self, account: &AccountId) -> Vec<Look> {
        let now = Instant::now();
        let records = self.records();
        let ours = records.of.iter().filter(|(used, _)| used.account == *account);
        let mut looks: Vec<Look> =
            ours.map(|(used, record)| record.look(used.kind, used.provider, now)).collect();
        looks.sort_by_key(|look| (look.kind, look.provider));
        looks
    }

    /// For a request that may go to it now. Where the breaker has been open long enough, it is the one trial.
    pub(super) fn pass(self: &Arc<Self>, used: Used) -> Option<Pass> {
        self.pass_at(Instant::now(), used)
    }

    fn pass_at(self: &Arc<Self>, now: Instant, used: Used) -> Option<Pass> {
        let is_trial = self.with(&used, |record| {
            let is_free = record.is_free(now);
            let is_trial = is_free && record.open_until.is_some();
            if is_trial {
                record.trial_since = Some(now);
            }
            is_free.then_some(is_trial)
        })?;
        Some(Pass { health: Arc::clone(self), used, began: now, is_trial })
    }

    /// For a request that goes to it whatever its breaker says, since nobody else is left.
    pub(super) fn pass_anyway(self: &Arc<Self>, used: Used) -> Pass {
        Pass { health: Arc::clone(self), used, began: Instant::now(), is_trial: false }
    }

    /// Whether a request may go to it now, without taking a trial.
    pub(super) fn is_free(&self, used: &Used) -> bool {
        self.with(used, |record| record.is_free(Instant::now()))
    }

    /// Until when its breaker is open; `None` where it is not.
    pub(super) fn open_until(&self, used: &Used) -> Option<Instant> {
        self.with(used, |record| record.open_until)
    }

    pub(super) fn took(&self, used: &Used, stage: Stage, time: Duration) {
        self.with(used, |record| {
            let times = record.times.entry(stage).or_default();
            if times.len() == TIMES {
                times.pop_front();
            }
            times.push_back(time);
        });
    }

    /// The 95th percentile of a stage; `None` until enough were measured.
    pub(super) fn usual(&self, used: &Used, stage: Stage) -> Option<Duration> {
        self.with(used, |record| {
            let times = record.times.get(&stage).filter(|times| times.len() >= TIMES_MIN)?;
            Some(latency(stage, times).p95)
        })
    }

    /// What voices have said before.
    pub(super) fn phrases(&self) -> &Phrases {
        &self.phrases
    }

    /// Forgets how providers have done on an organisation's account, because its key was replaced or deleted. What calls
    /// that are under way still do on it is not kept.
    pub fn forget(&self, account: &AccountId) {
        let mut records = self.records();
        records.of.retain(|used, _| used.account != *account);
        if records.gone.len() == GONE_MAX {
            records.gone.pop_front();
        }
        records.gone.push_back(account.clone());
    }

    fn with<T>(&self, used: &Used, work: impl FnOnce(&mut Record) -> T) -> T {
        let mut records = self.records();
        if let Some(record) = records.of.get_mut(used) {
            return work(record);
        }
        if records.gone.contains(&used.account) {
            return work(&mut Record::default());
        }
        work(records.of.entry(used.clone()).or_default())
    }

    fn records(&self) -> MutexGuard<'_, Records> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Leave to ask a provider. What becomes of the request is told here; a trial of which nothing is told, because nobody
/// wanted the answer any more, is free for the next request.
#[derive(Debug)]
pub(super) struct Pass {
    health: Arc<Health>,
    used: Used,
    began: Instant,
    is_trial: bool,
}

impl Pass {
    /// It did what it was asked for.
    pub(super) fn worked(&mut self) {
        let (began, is_trial) = (self.began, std::mem::take(&mut self.is_trial));
        self.health.with(&self.used, |record| {
            // Of a time before it broke.
            let counts = is_trial || record.opened_at.is_none_or(|at| began >= at);
            if counts {
                *record = Record { times: std::mem::take(&mut record.times), ..Record::default() };
            }
        });
    }

    /// Another that was asked later answered sooner, so that this one is not waited for. That is no failure: but one that
    /// is always outrun and never heard from is slower than the others or mute, and every request waits for it first.
    pub(super) fn was_outrun(&mut self) {
        self.was_outrun_at(Instant::now());
    }

    fn was_outrun_at(&mut self, now: Instant) {
        let (provider, is_trial) = (self.used.provider, std::mem::take(&mut self.is_trial));
        self.health.with(&self.used, |record| {
            record.outrun += 1;
            // A trial that is outrun has not shown that it is back.
            if is_trial || record.outrun >= OUTRUN {
                let message = format!("outrun by another {} times in a row", record.outrun);
                record.outrun = 0;
                record.failures = record.failures.max(FAILURES - 1);
                record.failed(now, &Error::new(provider, ErrorKind::TimedOut, message), is_trial);
            }
        });
    }

    /// It was heard from first, whatever becomes of the rest.
    pub(super) fn was_heard(&mut self) {
        self.health.with(&self.used, |record| record.outrun = 0);
    }

    /// It did not.
    pub(super) fn failed(&mut self, error: &Error) {
        self.failed_at(Instant::now(), error);
    }

    fn failed_at(&mut self, now: Instant, error: &Error) {
        let is_trial = std::mem::take(&mut self.is_trial);
        self.health.with(&self.used, |record| record.failed(now, error, is_trial));
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        if self.is_trial {
            self.health.with(&self.used, |record| {
                record.trial_since.take_if(|since| *since == self.began);
            });
        }
    }
}

impl Record {
    fn is_free(&self, now: Instant) -> bool {
        let is_open = self.open_until.is_some_and(|until| now < until);
        let is_tried = self.trial_since.is_some_and(|since| now - since < TRIAL_MAX);
        self.open_until.is_none() || !(is_open || is_tried)
    }

    fn failed(&mut self, now: Instant, error: &Error, is_trial: bool) {
        self.last_error = Some(error.clone());
        if is_trial {
            self.trial_since = None;
        }
        // An order that nobody can carry out says nothing about the provider.
        if error.kind == ErrorKind::Invalid {
            return;
        }
        self.failures += 1;
        let (permanent, limited) = (error.kind.is_permanent(), error.kind == ErrorKind::RateLimited);
        let wait = match error.retry_after {
            Some(asked) if limited => asked.clamp(Duration::from_secs(1), CLOSED_FOR_PERMANENT),
            _ if permanent => CLOSED_FOR_PERMANENT,
            _ => (CLOSED_FOR * 2_u32.pow(self.opened.min(10))).min(CLOSED_FOR_MAX),
        };
        // Many calls fail together: that is one outage, not many.
        if let Some(until) = self.open_until.filter(|until| now < *until && !is_trial) {
            if permanent || limited {
                self.open_until = Some(until.max(now + wait));
            }
        } else if permanent || limited || is_trial || self.failures >= FAILURES {
            self.opened += 1;
            (self.opened_at, self.open_until) = (Some(now), Some(now + wait));
        }
    }

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

    struct Clock(Arc<Health>, Instant);

    fn used(account: AccountId) -> Used {
        Used { account, kind: Kind::Llm, provider: "a" }
    }

    impl Clock {
        fn new() -> Self {
            Self(Arc::default(), Instant::now())
        }

        fn pass(&mut self, ms: u64) {
            self.1 += Duration::from_millis(ms);
        }

        fn ask(&self) -> Option<Pass> {
            self.0.pass_at(self.1, used(AccountId::ENGINE))
        }

        fn is_asked(&self) -> bool {
            self.ask().is_some()
        }

        fn fails(&self, kind: ErrorKind) {
            self.fails_with(&Error::new("a", kind, "no"));
        }

        fn fails_with(&self, error: &Error) {
            let anyway = || self.0.pass_anyway(used(AccountId::ENGINE));
            self.ask().unwrap_or_else(anyway).failed_at(self.1, error);
        }
    }

    #[test]
    fn three_failures_in_a_row_close_a_provider_for_five_seconds_then_one_request_tries_it() {
        let mut clock = Clock::new();
        (0..2).for_each(|_| clock.fails(ErrorKind::Unavailable));
        clock.ask().unwrap().worked();
        (0..3).for_each(|_| clock.fails(ErrorKind::TimedOut));
        assert!(!clock.is_asked());
        assert!(clock.0.pass_at(clock.1, used(AccountId::own("another"))).is_some());
        clock.pass(5_001);
        let trial = clock.ask();
        assert!(trial.is_some() && clock.ask().is_none(), "one trial");
        trial.unwrap().failed_at(clock.1, &Error::new("a", ErrorKind::TimedOut, "no"));
        clock.pass(5_001);
        assert!(!clock.is_asked(), "now it is left alone for ten");
        clock.pass(5_000);
        clock.ask().unwrap().worked();
        assert_eq!(clock.0.look(&AccountId::ENGINE)[0].state, State::Well);
    }

    #[test]
    fn a_trial_that_nobody_waits_for_any_more_is_free_for_the_next_request() {
        let mut clock = Clock::new();
        (0..3).for_each(|_| clock.fails(ErrorKind::TimedOut));
        clock.pass(5_001);
        drop(clock.ask().unwrap());
        assert!(clock.is_asked());
    }

    #[test]
    fn many_calls_that_fail_together_close_a_provider_no_longer_than_one() {
        let mut clock = Clock::new();
        let under_way: Vec<_> = (0..50).map(|_| clock.ask().unwrap()).collect();
        for mut request in under_way {
            request.failed_at(clock.1, &Error::new("a", ErrorKind::TimedOut, "no"));
        }
        clock.pass(5_001);
        assert!(clock.is_asked());
    }

    #[test]
    fn an_answer_that_was_asked_for_before_the_breaker_opened_does_not_close_it() {
        let mut clock = Clock::new();
        let mut old = clock.ask().unwrap();
        clock.pass(1);
        clock.fails(ErrorKind::OutOfCredit);
        old.worked();
        assert!(!clock.is_asked());
        clock.pass(1);
        let mut last_resort = clock.0.pass_anyway(used(AccountId::ENGINE));
        last_resort.began = clock.1;
        last_resort.worked();
        assert!(clock.is_asked(), "one that was asked since and works is back");
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
        clock.fails(ErrorKind::Unavailable);
        assert!(clock.is_asked(), "requests nobody can serve are no fault of the provider");
    }

    #[test]
    fn accounts_of_the_same_vendor_are_told_apart_and_one_whose_key_is_gone_leaves_nothing_behind() {
        let clock = Clock::new();
        let [old, new] = ["the old row", "the new row"].map(AccountId::own);
        let pass = |account: &AccountId| clock.0.pass_at(clock.1, used(account.clone()));
        let refused = Error::new("a", ErrorKind::Unauthorized, "no");
        let mut under_way = pass(&old).unwrap();
        pass(&old).unwrap().failed_at(clock.1, &refused);
        clock.0.took(&used(old.clone()), Stage::Whole, Duration::from_secs(1));
        assert!(pass(&old).is_none(), "its breaker is open");
        assert!(clock.is_asked() && pass(&new).is_some(), "neither the engine's nor the next one's");
        assert!(clock.0.look(&new)[0].latencies.is_empty());
        clock.0.forget(&old);
        under_way.failed_at(clock.1, &refused);
        clock.0.took(&used(old.clone()), Stage::Whole, Duration::from_secs(1));
        assert!(clock.0.look(&old).is_empty(), "what a call still does on it is not kept");
        assert!(pass(&new).is_some());
        assert_eq!(clock.0.look(&new)[0].last_error, None);
    }

    #[test]
    fn one_that_is_outrun_five_times_and_never_heard_from_is_left_alone() {
        let mut clock = Clock::new();
        let outrun = |clock: &Clock| clock.ask().unwrap().was_outrun_at(clock.1);
        (0..4).for_each(|_| outrun(&clock));
        assert_eq!(clock.0.look(&AccountId::ENGINE)[0].state, State::Well, "slow is not broken");
        clock.ask().unwrap().worked();
        (0..4).for_each(|_| outrun(&clock));
        assert!(clock.is_asked());
        outrun(&clock);
        assert!(!clock.is_asked());
        clock.pass(5_001);
        outrun(&clock);
        assert!(!clock.is_asked(), "a trial that was outrun has failed");
        clock.pass(10_001);
        assert!(clock.is_asked());
    }

    #[test]
    fn one_that_was_heard_from_and_interrupted_is_not_counted_as_always_outrun() {
        let clock = Clock::new();
        for _ in 0..3 {
            (0..4).for_each(|_| clock.ask().unwrap().was_outrun_at(clock.1));
            clock.ask().unwrap().was_heard();
        }
        assert_eq!(clock.0.look(&AccountId::ENGINE)[0].state, State::Well);
    }

    #[test]
    fn half_of_the_times_are_no_longer_than_the_median() {
        let times = (1..=100).map(Duration::from_millis).collect();
        let latency = latency(Stage::Whole, &times);
        assert_eq!((latency.p50.as_millis(), latency.p95.as_millis()), (50, 95));
    }
}
