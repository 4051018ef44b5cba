//! What is counted of providers: their times by stage, failures, switches, and work that nobody heard.
//!
//! Labels are registered names and the words of small enumerations, so they stay few. Enter at [`Providers::noted`].

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use parlance_providers::llm::Usage;
use parlance_providers::notes::{Note, Stage};

use super::{Histogram, Page};
use crate::convert::event::word;

/// Upper bounds of a stage's time, microseconds.
const BOUNDS: [u64; 9] =
    [20_000, 50_000, 100_000, 200_000, 400_000, 800_000, 1_500_000, 3_000_000, 10_000_000];

/// Counted since the start.
#[derive(Default)]
pub struct Providers(Mutex<Counts>);

#[derive(Default)]
struct Counts {
    times: BTreeMap<String, Histogram>,
    handshakes: BTreeMap<String, u64>,
    failures: BTreeMap<String, u64>,
    switches: BTreeMap<String, u64>,
    hedges: BTreeMap<String, u64>,
    work: BTreeMap<String, u64>,
    thrown_away: BTreeMap<String, u64>,
}

impl Providers {
    /// Counts a provider's note.
    pub fn noted(&self, note: &Note) {
        let mut counts = self.lock();
        match note {
            Note::Took { kind, provider, stage, time, in_turn } => {
                let of = labels(&[("kind", &word(kind)), ("provider", provider)]);
                if *stage == Stage::Connect && *in_turn {
                    *counts.handshakes.entry(of).or_default() += 1;
                }
                let of = labels(&[("kind", &word(kind)), ("provider", provider), ("stage", &word(stage))]);
                let us = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
                counts.times.entry(of).or_insert_with(|| Histogram::new(BOUNDS)).add(us);
            }
            Note::Failed { kind, provider, error } => {
                let of =
                    labels(&[("kind", &word(kind)), ("provider", provider), ("error", &word(&error.kind))]);
                *counts.failures.entry(of).or_default() += 1;
            }
            Note::Switched { kind, from, to, .. } | Note::WentBack { kind, from, to } => {
                let of = labels(&[("kind", &word(kind)), ("from", from), ("to", to)]);
                *counts.switches.entry(of).or_default() += 1;
            }
            Note::Hedged { kind, winner, loser } => {
                let of = labels(&[("kind", &word(kind)), ("winner", winner), ("loser", loser)]);
                *counts.hedges.entry(of).or_default() += 1;
            }
            Note::Used { provider, usage, characters, .. } => {
                add(&mut counts.work, provider, *usage, *characters);
            }
            Note::ThrownAway { provider, usage, characters, .. } => {
                add(&mut counts.thrown_away, provider, *usage, *characters);
            }
        }
    }

    /// Everything in Prometheus's text format.
    pub(super) fn text(&self, page: &mut Page) {
        let counts = self.lock();
        let name = "parlance_provider_seconds";
        page.head(name, "histogram", "Times of providers, by stage: connect, first_output, whole.");
        for (of, histogram) in &counts.times {
            page.buckets(name, of, histogram);
        }
        for (name, about, counts) in [
            (
                "parlance_provider_handshakes_in_turn_total",
                "Connections that a caller had to wait for.",
                &counts.handshakes,
            ),
            ("parlance_provider_failures_total", "Failures of providers, by error.", &counts.failures),
            ("parlance_provider_switches_total", "Providers that went on for another.", &counts.switches),
            ("parlance_provider_hedges_total", "Second tries that were quicker.", &counts.hedges),
            ("parlance_provider_work_total", "Paid work: tokens and characters.", &counts.work),
            ("parlance_provider_work_thrown_away_total", "Paid work that nobody heard.", &counts.thrown_away),
        ] {
            page.head(name, "counter", about);
            for (of, count) in counts {
                page.line(name, of, *count);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn add(work: &mut BTreeMap<String, u64>, provider: &str, usage: Usage, characters: u64) {
    for (unit, quantity) in [
        ("input_tokens", u64::from(usage.input_tokens.unwrap_or(0))),
        ("output_tokens", u64::from(usage.output_tokens.unwrap_or(0))),
        ("characters", characters),
    ] {
        if quantity > 0 {
            *work.entry(labels(&[("provider", provider), ("unit", unit)])).or_default() += quantity;
        }
    }
}

fn labels(all: &[(&str, &str)]) -> String {
    let all: Vec<String> = all.iter().map(|(name, value)| format!("{name}=\"{value}\"")).collect();
    all.join(",")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use parlance_providers::registry::Kind;
    use parlance_providers::{Error, ErrorKind};

    use super::*;
    use crate::metrics::{Backlog, Metrics};

    #[test]
    fn a_handshake_that_a_caller_waited_for_is_counted_and_one_before_the_turn_only_timed() {
        let metrics = Metrics::default();
        for in_turn in [false, true] {
            metrics.providers.noted(&Note::Took {
                kind: Kind::Tts,
                provider: "elevenlabs",
                stage: Stage::Connect,
                time: Duration::from_millis(150),
                in_turn,
            });
        }
        let error = Error::new("elevenlabs", ErrorKind::RateLimited, "too many");
        metrics.providers.noted(&Note::Failed { kind: Kind::Tts, provider: "elevenlabs", error });
        let usage = Usage { input_tokens: Some(7), ..Usage::default() };
        metrics.providers.noted(&Note::ThrownAway {
            kind: Kind::Llm,
            provider: "openai",
            usage,
            characters: 0,
        });
        let text = metrics.text(&Backlog::default());
        for line in [
            "parlance_provider_handshakes_in_turn_total{kind=\"tts\",provider=\"elevenlabs\"} 1",
            "parlance_provider_seconds_count{kind=\"tts\",provider=\"elevenlabs\",stage=\"connect\"} 2",
            "parlance_provider_seconds_bucket{kind=\"tts\",provider=\"elevenlabs\",stage=\"connect\",le=\"0.1\"} 0",
            "parlance_provider_seconds_bucket{kind=\"tts\",provider=\"elevenlabs\",stage=\"connect\",le=\"0.2\"} 2",
            "parlance_provider_failures_total{kind=\"tts\",provider=\"elevenlabs\",error=\"rate_limited\"} 1",
            "parlance_provider_work_thrown_away_total{provider=\"openai\",unit=\"input_tokens\"} 7",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
    }
}
