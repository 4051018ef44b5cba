//! What the engine counts, and how Prometheus reads it.
//!
//! Counts only what operators act on, and never by call, agent or organisation: labels that grow without bound
//! sink a Prometheus. What other parts hold already (live calls, what waits) is asked for when it is read, as a
//! [`Backlog`]. Enter at [`Metrics::told`] and [`Metrics::text`].

pub mod providers;

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use parlance_conversation::{CallTime, EndReason, Event, SpeculationDrop, Waterfall};
use parlance_providers::llm::Usage;

use crate::convert::event::word;

/// Upper bounds of the engine's own share of a turn, microseconds.
const SHARE_BOUNDS: [u64; 9] = [1_000, 5_000, 10_000, 20_000, 50_000, 100_000, 200_000, 500_000, 1_000_000];
/// Upper bounds of a whole turn, microseconds.
const TURN_BOUNDS: [u64; 9] =
    [250_000, 500_000, 750_000, 1_000_000, 1_500_000, 2_000_000, 3_000_000, 5_000_000, 10_000_000];
/// What becomes of a speculation, beside the reasons why one is dropped.
const STARTED: &str = "started";
const KEPT: &str = "kept";

/// Counted since the start.
pub struct Metrics {
    started: AtomicU64,
    ended: Mutex<BTreeMap<String, u64>>,
    turns: AtomicU64,
    turn: Histogram,
    share: Histogram,
    speculations: Mutex<BTreeMap<String, u64>>,
    tokens_thrown_away: AtomicU64,
    /// What providers note.
    pub providers: providers::Providers,
}

/// What is so at this moment, or counted elsewhere.
#[derive(Debug, Clone, Copy, Default)]
pub struct Backlog {
    /// Calls under way.
    pub calls_live: u64,
    /// Journal entries that wait for Postgres.
    pub journal_waiting: u64,
    /// Journal entries lost since the start.
    pub journal_lost: u64,
    /// Blocks of recordings lost since the start.
    pub recording_lost: u64,
    /// Spans the collector of traces took since the start.
    pub spans_sent: u64,
    /// Spans that found no place or no collector since the start.
    pub spans_dropped: u64,
    /// Calls that another node took, or ended, since the start.
    pub calls_lost: u64,
    /// Journal entries of such calls that were not written.
    pub entries_fenced: u64,
    /// Calls of lost nodes that were closed here since the start.
    pub lost_calls_closed: u64,
}

impl Default for Metrics {
    fn default() -> Self {
        // At 0 before they happen, so that the first one is seen as a rise.
        let ended = EndReason::ALL.iter().map(|reason| (word(reason), 0)).collect();
        Self {
            started: AtomicU64::default(),
            ended: Mutex::new(ended),
            turns: AtomicU64::default(),
            turn: Histogram::new(TURN_BOUNDS),
            share: Histogram::new(SHARE_BOUNDS),
            speculations: Mutex::new(speculations()),
            tokens_thrown_away: AtomicU64::default(),
            providers: providers::Providers::default(),
        }
    }
}

impl Metrics {
    /// A call began.
    pub fn call_started(&self) {
        self.started.fetch_add(1, Ordering::Relaxed);
    }

    /// A call ended.
    pub fn call_ended(&self, reason: EndReason) {
        let mut ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        *ended.entry(word(&reason)).or_default() += 1;
    }

    /// A model's answer, or what there was of it, is heard by nobody: a dropped speculation, one that was cancelled.
    pub fn threw_away(&self, usage: Usage) {
        let tokens = usage.input_tokens.unwrap_or(0) + usage.output_tokens.unwrap_or(0);
        self.tokens_thrown_away.fetch_add(tokens.into(), Ordering::Relaxed);
    }

    /// Counts what a conversation told.
    pub fn told(&self, event: &Event) {
        match event {
            Event::TurnEnded { .. } => {
                self.turns.fetch_add(1, Ordering::Relaxed);
            }
            Event::SpeculationStarted { .. } => self.speculated(STARTED),
            Event::SpeculationKept { .. } => self.speculated(KEPT),
            Event::SpeculationDropped { why, .. } => self.speculated(&dropped(*why)),
            Event::Waterfall(times) => {
                if let Some(us) = answered_after(times) {
                    self.turn.add(us);
                }
                if let Some(us) = own_share(times) {
                    self.share.add(us);
                }
            }
            _ => {}
        }
    }

    fn speculated(&self, outcome: &str) {
        let mut counts = self.speculations.lock().unwrap_or_else(PoisonError::into_inner);
        *counts.entry(outcome.to_owned()).or_default() += 1;
    }

    /// Everything in Prometheus's text format.
    pub fn text(&self, backlog: &Backlog) -> String {
        let mut page = Page::default();
        page.plain("parlance_calls_live", "gauge", "Calls under way.", backlog.calls_live);
        let started = self.started.load(Ordering::Relaxed);
        page.plain("parlance_calls_started_total", "counter", "Calls begun.", started);
        let ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner).clone();
        page.by("reason", "parlance_calls_ended_total", "Calls ended, by reason.", &ended);
        let turns = self.turns.load(Ordering::Relaxed);
        page.plain(
            "parlance_turns_total",
            "counter",
            "Callers' turns ended; one reopened counts again.",
            turns,
        );
        page.histogram(
            "parlance_turn_seconds",
            "From the caller's last voice to the answer's first frame.",
            &self.turn,
        );
        let share = "The engine's own part of that: deciding late and sending; no wait, no provider.";
        page.histogram("parlance_engine_share_seconds", share, &self.share);
        let speculations = self.speculations.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let about = "Answers begun before the turn was decided, and what became of them.";
        page.by("outcome", "parlance_speculations_total", about, &speculations);
        let about = "Tokens read and written for answers that were cancelled or dropped.";
        let tokens = self.tokens_thrown_away.load(Ordering::Relaxed);
        page.plain("parlance_tokens_thrown_away_total", "counter", about, tokens);
        self.providers.text(&mut page);
        let waiting = "Journal entries that wait for the database.";
        page.plain("parlance_journal_entries_waiting", "gauge", waiting, backlog.journal_waiting);
        let lost = "Journal entries lost because too many waited.";
        page.plain("parlance_journal_entries_lost_total", "counter", lost, backlog.journal_lost);
        let lost = "Blocks of recordings lost because the disk did not keep up.";
        page.plain("parlance_recording_blocks_lost_total", "counter", lost, backlog.recording_lost);
        let sent = "Spans the collector of traces took.";
        page.plain("parlance_trace_spans_sent_total", "counter", sent, backlog.spans_sent);
        let dropped = "Spans lost because too many waited or the collector was away.";
        page.plain("parlance_trace_spans_dropped_total", "counter", dropped, backlog.spans_dropped);
        let lost = "Calls lost to another node, because their leases were not renewed in time.";
        page.plain("parlance_calls_lost_total", "counter", lost, backlog.calls_lost);
        let fenced = "Journal entries not written because their call was lost to another node.";
        page.plain("parlance_journal_entries_fenced_total", "counter", fenced, backlog.entries_fenced);
        let closed = "Calls of lost nodes closed by this one.";
        page.plain("parlance_lost_calls_closed_total", "counter", closed, backlog.lost_calls_closed);
        page.0
    }
}

/// Every outcome at 0, so that the first one is seen as a rise.
fn speculations() -> BTreeMap<String, u64> {
    let dropped = SpeculationDrop::ALL.map(dropped);
    let all = [STARTED.to_owned(), KEPT.to_owned()].into_iter().chain(dropped);
    all.map(|outcome| (outcome, 0)).collect()
}

fn dropped(why: SpeculationDrop) -> String {
    format!("dropped_{}", word(&why))
}

/// From the caller's last voice to the first frame of the answer, microseconds.
fn answered_after(times: &Waterfall) -> Option<u64> {
    Some(between(times.last_voice?, times.first_frame?))
}

/// How much of a turn is the engine's own doing, microseconds: the decision after the wait was over and the words
/// were settled, and the first frame after there was audio for it. Model and voice are the providers' time.
fn own_share(times: &Waterfall) -> Option<u64> {
    let (decided, frame) = (times.decided?, times.first_frame?);
    let possible = [times.last_voice, times.wait_until, times.settled].into_iter().flatten().max()?;
    // Audio made ahead of the decision waits for it, not for the engine.
    let sendable = times.first_audio?.max(decided);
    Some(between(possible, decided) + between(sendable, frame))
}

/// 0 if `to` lies before `from`: a decision may cut a wait short.
fn between(from: CallTime, to: CallTime) -> u64 {
    to.as_micros().saturating_sub(from.as_micros())
}

/// Counts by upper bound, as Prometheus wants them; the last place is for what is above all bounds.
struct Histogram {
    bounds: [u64; 9],
    counts: [AtomicU64; 10],
    sum: AtomicU64,
}

impl Histogram {
    fn new(bounds: [u64; 9]) -> Self {
        Self { bounds, counts: Default::default(), sum: AtomicU64::default() }
    }

    fn add(&self, us: u64) {
        let place = self.bounds.partition_point(|bound| *bound < us);
        self.counts[place].fetch_add(1, Ordering::Relaxed);
        self.sum.fetch_add(us, Ordering::Relaxed);
    }
}

/// The text as it grows. Writing to a `String` can't fail.
#[derive(Default)]
struct Page(String);

impl Page {
    fn head(&mut self, name: &str, kind: &str, about: &str) {
        writeln!(self.0, "# HELP {name} {about}\n# TYPE {name} {kind}").ok();
    }

    fn plain(&mut self, name: &str, kind: &str, about: &str, value: u64) {
        self.head(name, kind, about);
        writeln!(self.0, "{name} {value}").ok();
    }

    fn by(&mut self, label: &str, name: &str, about: &str, counts: &BTreeMap<String, u64>) {
        self.head(name, "counter", about);
        for (value, count) in counts {
            writeln!(self.0, "{name}{{{label}=\"{value}\"}} {count}").ok();
        }
    }

    fn histogram(&mut self, name: &str, about: &str, histogram: &Histogram) {
        self.head(name, "histogram", about);
        self.buckets(name, "", histogram);
    }

    /// The lines of a histogram that has these labels.
    fn buckets(&mut self, name: &str, labels: &str, histogram: &Histogram) {
        let (all, comma) = match labels {
            "" => (String::new(), ""),
            labels => (format!("{{{labels}}}"), ","),
        };
        let mut total = 0;
        let bounds = histogram.bounds.iter().map(|bound| seconds(*bound).to_string());
        for (bound, count) in bounds.chain(["+Inf".to_owned()]).zip(&histogram.counts) {
            total += count.load(Ordering::Relaxed);
            writeln!(self.0, "{name}_bucket{{{labels}{comma}le=\"{bound}\"}} {total}").ok();
        }
        let sum = seconds(histogram.sum.load(Ordering::Relaxed));
        writeln!(self.0, "{name}_sum{all} {sum}\n{name}_count{all} {total}").ok();
    }

    /// A count that has these labels.
    fn line(&mut self, name: &str, labels: &str, count: u64) {
        writeln!(self.0, "{name}{{{labels}}} {count}").ok();
    }
}

fn seconds(us: u64) -> f64 {
    us as f64 / 1_000_000.0
}

#[cfg(test)]
mod tests {
    use parlance_conversation::{ReplyId, SpeculationCue, TurnId};

    use super::*;

    fn at(ms: u64) -> Option<CallTime> {
        Some(CallTime::from_millis(ms))
    }

    fn spoken() -> Waterfall {
        Waterfall {
            last_voice: at(1_000),
            wait_until: at(1_400),
            settled: at(1_450),
            decided: at(1_453),
            first_text: at(1_800),
            first_segment: at(1_900),
            first_audio: at(2_000),
            first_frame: at(2_012),
            ..Default::default()
        }
    }

    #[test]
    fn the_wait_the_transcriber_the_model_and_the_voice_are_not_the_engines_share() {
        assert_eq!(own_share(&spoken()), Some(15_000), "3 ms to decide, 12 ms to send");
        let ahead = Waterfall { first_audio: at(1_200), first_frame: at(1_455), ..spoken() };
        assert_eq!(own_share(&ahead), Some(5_000), "audio made ahead waits for the decision");
        assert_eq!(own_share(&Waterfall { first_frame: None, ..spoken() }), None);
    }

    #[test]
    fn a_turn_is_counted_in_every_bucket_above_it() {
        let metrics = Metrics::default();
        metrics.told(&Event::Waterfall(spoken()));
        let text = metrics.text(&Backlog::default());
        for line in [
            "parlance_turn_seconds_bucket{le=\"1\"} 0",
            "parlance_turn_seconds_bucket{le=\"1.5\"} 1",
            "parlance_turn_seconds_bucket{le=\"+Inf\"} 1",
            "parlance_turn_seconds_sum 1.012",
            "parlance_engine_share_seconds_bucket{le=\"0.01\"} 0",
            "parlance_engine_share_seconds_bucket{le=\"0.02\"} 1",
            "parlance_engine_share_seconds_count 1",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
    }

    #[test]
    fn a_speculation_is_counted_when_it_begins_and_by_what_became_of_it() {
        let metrics = Metrics::default();
        let (reply, turn) = (ReplyId(1), TurnId(1));
        let cue = SpeculationCue::Settled;
        metrics.told(&Event::SpeculationStarted { reply, turn, cue });
        metrics.told(&Event::SpeculationDropped { reply, turn, why: SpeculationDrop::Words });
        metrics.threw_away(Usage { input_tokens: Some(40), output_tokens: Some(2), ..Usage::default() });
        let text = metrics.text(&Backlog::default());
        for line in [
            "parlance_speculations_total{outcome=\"started\"} 1",
            "parlance_speculations_total{outcome=\"kept\"} 0",
            "parlance_speculations_total{outcome=\"dropped_words\"} 1",
            "parlance_tokens_thrown_away_total 42",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
    }

    #[test]
    fn an_end_is_counted_by_its_reason_and_reasons_start_at_zero() {
        let metrics = Metrics::default();
        metrics.call_ended(EndReason::Silence);
        let text = metrics.text(&Backlog { journal_waiting: 7, ..Default::default() });
        assert!(text.contains("parlance_calls_ended_total{reason=\"silence\"} 1\n"), "{text}");
        assert!(text.contains("parlance_calls_ended_total{reason=\"agent_ended\"} 0\n"), "{text}");
        assert!(text.contains("\nparlance_journal_entries_waiting 7\n"), "{text}");
    }
}
