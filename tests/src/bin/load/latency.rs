//! The figures of the turns against stand-ins, and how the runs without and with speculation are printed side by side.

use std::collections::BTreeMap;
use std::fmt;

use crate::figures::Spread;
use crate::path::{PROVIDERS, Transcriber};
use crate::stand_ins::Delay;

/// What the seeds say of themselves, milliseconds: quoted for scale, not measured.
const SEEDS_MS: [u32; 2] = [1_500, 2_000];

/// Everything that was measured.
#[derive(Debug, serde::Serialize)]
pub struct Comparison {
    /// Calls at once.
    pub calls: u32,
    /// Length of each run's window.
    pub seconds: u32,
    /// What the stand-ins were planned to take.
    pub delays_ms: Vec<Delay>,
    /// Each transcriber and responsiveness.
    pub pairs: Vec<Pair>,
}

/// Two runs that differ in speculation alone.
#[derive(Debug, serde::Serialize)]
pub struct Pair {
    /// Who listened.
    pub transcriber: Transcriber,
    /// How quick the agents were, 0 to 1.
    pub responsiveness: f64,
    /// Without speculation.
    pub off: Latency,
    /// With it.
    pub on: Latency,
}

/// One run.
#[derive(Debug, serde::Serialize)]
pub struct Latency {
    /// From the caller's last voiced sample to the first frame of the answer at the client.
    pub total_ms: Spread,
    /// The wait and all providers one after another; where the transcriber decides, it is the wait.
    pub one_after_another_ms: Spread,
    /// Turns that were answered sooner than that.
    pub sooner: usize,
    /// The decision, then model and voice: without what the transcriber takes within the wait.
    pub after_decision_ms: Spread,
    /// Turns that were answered sooner than that too.
    pub sooner_than_after_decision: usize,
    /// The endpointing wait; empty where the transcriber decides.
    pub endpointing_wait_ms: Spread,
    /// What each provider took, by the stand-ins' notes.
    pub providers_ms: BTreeMap<&'static str, Spread>,
    /// Their sum, turn by turn.
    pub providers_sum_ms: Spread,
    /// Turns that were answered sooner than that.
    pub sooner_than_providers: usize,
    /// What is left for the engine.
    pub own_share_ms: Spread,
    /// Turns whose answer was begun before the decision.
    pub turns_begun_early: usize,
    /// Silences in the middle of a reply.
    pub underruns_ms: Spread,
    /// How late the driver's own frames left.
    pub driver_late_ms: Spread,
    /// By the engine's counters, the call that warms it included.
    pub speculations: Speculations,
    /// Tokens read and written for answers that nobody heard.
    pub tokens_thrown_away: u64,
    /// All tokens.
    pub tokens: u64,
    /// Connections that a caller had to wait for.
    pub handshakes_in_turn: u64,
    /// The same by whose they were.
    pub handshakes_of: BTreeMap<String, u64>,
    /// Failures of providers.
    pub provider_failures: u64,
    /// What went wrong, and how often.
    pub errors: BTreeMap<String, u32>,
    /// What the engine logged at level warn and worse.
    pub complaints: Vec<String>,
}

/// What became of answers begun early.
#[derive(Debug, serde::Serialize)]
pub struct Speculations {
    /// Begun.
    pub started: u64,
    /// Kept at the decision.
    pub kept: u64,
    /// Thrown away, by reason.
    pub dropped: BTreeMap<String, u64>,
}

impl Latency {
    fn share_thrown_away(&self) -> f64 {
        self.tokens_thrown_away as f64 * 100.0 / self.tokens.max(1) as f64
    }

    fn errors(&self) -> u32 {
        self.errors.values().sum()
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(to, "\nagainst stand-ins of Deepgram, OpenAI and ElevenLabs, each with seeded delays;")?;
        writeln!(
            to,
            "{} calls at once, {} s without speculation, {} s with it\n",
            self.calls, self.seconds, self.seconds
        )?;
        writeln!(to, "planned delays, milliseconds")?;
        for Delay { what, from_ms, to_ms, source } in &self.delays_ms {
            let range = if from_ms == to_ms { from_ms.to_string() } else { format!("{from_ms}-{to_ms}") };
            writeln!(to, "  {what:42} {range:>8}  {source}")?;
        }
        self.pairs.iter().try_for_each(|pair| write!(to, "\n{pair}"))
    }
}

impl fmt::Display for Pair {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { transcriber, responsiveness, off, on } = self;
        let decides = *transcriber == Transcriber::DeepgramFlux;
        let how = if decides { ", which decides turns" } else { "" };
        writeln!(to, "{}{how}, responsiveness {responsiveness}", transcriber.name())?;
        writeln!(to, "{:36} {:^26} {:^26}", "", "speculation off", "speculation on")?;
        let names = "     p50      p95      p99";
        writeln!(to, "{:36} {names} {names}", "milliseconds")?;
        row(to, "total: last voiced sample to heard", &off.total_ms, &on.total_ms)?;
        if !decides {
            row(to, "  endpointing wait", &off.endpointing_wait_ms, &on.endpointing_wait_ms)?;
        }
        for name in PROVIDERS {
            let shown = if decides && name == PROVIDERS[0] { "end of the turn told" } else { name };
            row(to, &format!("  {shown}"), &off.providers_ms[name], &on.providers_ms[name])?;
        }
        row(to, "  providers, sum", &off.providers_sum_ms, &on.providers_sum_ms)?;
        if !decides {
            row(to, "  wait + providers' sum", &off.one_after_another_ms, &on.one_after_another_ms)?;
            row(to, "  wait + model and voice alone", &off.after_decision_ms, &on.after_decision_ms)?;
        }
        row(to, "engine's own share", &off.own_share_ms, &on.own_share_ms)?;
        let [from, upto] = SEEDS_MS;
        writeln!(
            to,
            "{:36} {from} and {upto} (quoted for scale, not measured)",
            "  the seeds say of themselves"
        )?;
        row(to, "driver's own frames late", &off.driver_late_ms, &on.driver_late_ms)?;
        writeln!(to)?;
        let words = |to: &mut fmt::Formatter<'_>, name: &str, of: &dyn Fn(&Latency) -> String| {
            writeln!(to, "{name:36} {:>26} {:>26}", of(off), of(on))
        };
        words(to, "turns counted", &|run| run.total_ms.count.to_string())?;
        if !decides {
            words(to, "  sooner than wait + providers' sum", &|run| run.sooner.to_string())?;
            words(to, "  sooner than wait + model and voice", &|run| {
                run.sooner_than_after_decision.to_string()
            })?;
        }
        words(to, "  sooner than the providers' sum", &|run| run.sooner_than_providers.to_string())?;
        words(to, "  begun before the decision", &|run| run.turns_begun_early.to_string())?;
        words(to, "speculations started / kept", &|run| {
            format!("{} / {}", run.speculations.started, run.speculations.kept)
        })?;
        words(to, "  dropped", &|run| {
            let dropped = run.speculations.dropped.iter().map(|(why, count)| format!("{count} {why}"));
            Some(dropped.collect::<Vec<_>>().join(", ")).filter(|all| !all.is_empty()).unwrap_or("0".into())
        })?;
        words(to, "tokens thrown away", &|run| {
            format!("{} of {} ({:.1} %)", run.tokens_thrown_away, run.tokens, run.share_thrown_away())
        })?;
        words(to, "handshakes inside a turn", &|run| {
            let whose = run.handshakes_of.iter().map(|(whose, count)| format!("{count} of {whose}"));
            Some(whose.collect::<Vec<_>>().join(", ")).filter(|all| !all.is_empty()).unwrap_or("0".into())
        })?;
        words(to, "failures of providers", &|run| run.provider_failures.to_string())?;
        words(to, "underruns", &|run| run.underruns_ms.count.to_string())?;
        words(to, "errors", &|run| run.errors().to_string())?;
        words(to, "warnings of the engine", &|run| run.complaints.len().to_string())?;
        for (error, count) in off.errors.iter().chain(&on.errors) {
            writeln!(to, "  {count:5} x {error}")?;
        }
        off.complaints.iter().chain(&on.complaints).take(5).try_for_each(|line| writeln!(to, "  {line}"))
    }
}

fn row(to: &mut fmt::Formatter<'_>, name: &str, off: &Spread, on: &Spread) -> fmt::Result {
    let three = |spread: &Spread| format!("{:8.1} {:8.1} {:8.1}", spread.p50, spread.p95, spread.p99);
    writeln!(to, "{name:36} {} {}", three(off), three(on))
}
