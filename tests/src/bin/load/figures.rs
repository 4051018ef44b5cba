//! The figures: percentiles, what they are called, and how they are printed.

use std::collections::BTreeMap;
use std::fmt;

use crate::call::Outcome;
use crate::process::Sample;
use crate::turn::{Delays, STAGES, Share};

/// Where most, nearly all and all of some lengths lie, milliseconds.
#[derive(Debug, Clone, Copy, Default, serde::Serialize)]
pub struct Spread {
    /// How many there were.
    pub count: usize,
    /// Half of them are no longer.
    pub p50: f64,
    /// 95 % of them are no longer.
    pub p95: f64,
    /// 99 % of them are no longer.
    pub p99: f64,
    /// The longest.
    pub max: f64,
}

impl Spread {
    /// The spread of `values`, in whatever order; nought of none.
    pub fn of(values: impl IntoIterator<Item = f64>) -> Self {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let at = |share: f64| {
            let rank = (values.len() as f64 * share).ceil() as usize;
            values.get(rank.saturating_sub(1)).copied().unwrap_or_default()
        };
        Self { count: values.len(), p50: at(0.5), p95: at(0.95), p99: at(0.99), max: at(1.0) }
    }
}

/// What the processes used.
#[derive(Debug, Clone, Copy, serde::Serialize)]
pub struct Usage {
    /// The engine with no call, after one was held and ended.
    pub before: Sample,
    /// The engine at the end of the window, all calls running.
    pub during: Sample,
    /// The engine some seconds after all calls ended.
    pub after: Sample,
    /// The engine's CPU in the window, seconds.
    pub engine_cpu_seconds: f64,
    /// Postgres's, all its processes.
    pub postgres_cpu_seconds: f64,
    /// The driver's own.
    pub driver_cpu_seconds: f64,
    /// Length of the window, seconds.
    pub window_seconds: f64,
}

/// Everything that was measured.
#[derive(Debug, serde::Serialize)]
pub struct Figures {
    /// Calls at once.
    pub calls: u32,
    /// Whether the callers told what they played.
    pub reports_playback: bool,
    /// Whether the engine recorded the calls.
    pub recording: bool,
    /// The scripted providers' delays.
    pub delays_ms: Delays,
    /// The engine's own share of a turn by the client's clock.
    pub own_share_ms: Spread,
    /// The same by the engine's waterfall.
    pub own_share_by_engine_ms: Spread,
    /// By how much the client's figure is longer, turn by turn.
    pub client_minus_engine_ms: Spread,
    /// By how much the engine's voice detector puts the end of the clips later than they have it, without a call: each clip in several places of the room's tone.
    pub voice_end_placed_late_ms: Spread,
    /// The whole turn by the client's clock, nothing taken out.
    pub turn_ms: Spread,
    /// The endpointing wait.
    pub endpointing_wait_ms: Spread,
    /// The engine's share by stage.
    pub stages_ms: BTreeMap<&'static str, Spread>,
    /// How far from 20 ms the agent's frames came apart, early or late.
    pub pacing_jitter_ms: Spread,
    /// Silences in the middle of a reply.
    pub underruns_ms: Spread,
    /// How late the driver's own frames left.
    pub driver_late_ms: Spread,
    /// CPU-milliseconds of the engine a call and second.
    pub cpu_ms_per_call_second: f64,
    /// Growth of the engine's resident memory a call, MiB.
    pub rss_mib_per_call: f64,
    /// What was used.
    pub usage: Usage,
    /// What went wrong, and how often.
    pub errors: BTreeMap<String, u32>,
    /// What the engine logged at level warn and worse.
    pub complaints: Vec<String>,
}

/// What a run was.
#[derive(Debug, Clone, Copy)]
pub struct Setting {
    /// Calls at once.
    pub calls: u32,
    /// Whether the callers told what they played.
    pub reports: bool,
    /// Whether the engine recorded.
    pub recording: bool,
    /// The scripted providers' delays.
    pub delays: Delays,
    /// How late the detector puts the ends of the clips.
    pub voice_end_placed_late_ms: Spread,
}

impl Figures {
    /// Puts the outcomes of all calls together.
    pub fn new(setting: Setting, outcomes: &[Outcome], usage: Usage, complaints: Vec<String>) -> Self {
        let turns = outcomes.iter().flat_map(|call| &call.turns);
        let shares: Vec<Option<Share>> = turns.map(|turn| turn.share(&setting.delays)).collect();
        let incomplete = shares.iter().filter(|share| share.is_none()).count();
        let shares: Vec<Share> = shares.into_iter().flatten().collect();
        let spread = |of: &dyn Fn(&Share) -> f64| Spread::of(shares.iter().map(of));
        let stages = (0..STAGES.len()).map(|n| (STAGES[n], spread(&|share| share.stages[n]))).collect();
        let calls = f64::from(setting.calls);
        let grown = usage.during.rss_mib - usage.before.rss_mib;
        Self {
            calls: setting.calls,
            reports_playback: setting.reports,
            recording: setting.recording,
            delays_ms: setting.delays,
            own_share_ms: spread(&|share| share.client),
            own_share_by_engine_ms: spread(&|share| share.engine),
            client_minus_engine_ms: spread(&|share| share.client - share.engine),
            voice_end_placed_late_ms: setting.voice_end_placed_late_ms,
            turn_ms: spread(&|share| share.total),
            endpointing_wait_ms: spread(&|share| share.wait),
            stages_ms: stages,
            pacing_jitter_ms: Spread::of(
                outcomes.iter().flat_map(|call| call.ear.jitter_ms.iter().map(|ms| ms.abs())),
            ),
            underruns_ms: Spread::of(outcomes.iter().flat_map(|call| call.ear.underruns_ms.iter().copied())),
            driver_late_ms: Spread::of(outcomes.iter().flat_map(|call| call.late_ms.iter().copied())),
            cpu_ms_per_call_second: usage.engine_cpu_seconds * 1_000.0 / (calls * usage.window_seconds),
            rss_mib_per_call: grown / calls,
            usage,
            errors: errors(outcomes, incomplete),
            complaints,
        }
    }
}

/// What went wrong, and how often.
pub fn errors(outcomes: &[Outcome], incomplete: usize) -> BTreeMap<String, u32> {
    let mut errors = BTreeMap::new();
    for call in outcomes {
        for error in &call.errors {
            *errors.entry(error.clone()).or_default() += 1;
        }
        if call.ear.misnumbered > 0 {
            *errors.entry("audio frames out of number".to_owned()).or_default() += call.ear.misnumbered;
        }
    }
    if incomplete > 0 {
        errors
            .insert("waterfalls that lack a time".to_owned(), u32::try_from(incomplete).unwrap_or(u32::MAX));
    }
    errors
}

impl fmt::Display for Figures {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let used = &self.usage;
        let (reports, recording) = (yes(self.reports_playback), yes(self.recording));
        writeln!(to, "{} calls at once for {:.0} s", self.calls, used.window_seconds)?;
        writeln!(
            to,
            "playback reports {reports}, recording {recording}, turns counted {}\n",
            self.turn_ms.count
        )?;
        writeln!(to, "{:38} {:>8} {:>8} {:>8} {:>8}", "milliseconds", "p50", "p95", "p99", "max")?;
        row(to, "engine's own share of a turn", &self.own_share_ms)?;
        row(to, "  the same by the engine's waterfall", &self.own_share_by_engine_ms)?;
        row(to, "  client's figure minus engine's", &self.client_minus_engine_ms)?;
        row(to, "  detector puts a clip's end late by", &self.voice_end_placed_late_ms)?;
        for stage in STAGES {
            row(to, &format!("    {stage}"), &self.stages_ms[stage])?;
        }
        row(to, "whole turn, as the caller waits", &self.turn_ms)?;
        row(to, "  of it the endpointing wait", &self.endpointing_wait_ms)?;
        row(to, "pacing jitter", &self.pacing_jitter_ms)?;
        row(to, &format!("underruns ({})", self.underruns_ms.count), &self.underruns_ms)?;
        row(to, "driver's own frames late", &self.driver_late_ms)?;
        let share = |seconds: f64| seconds / used.window_seconds * 100.0;
        writeln!(to, "\nCPU-ms a call-second   {:.1}", self.cpu_ms_per_call_second)?;
        writeln!(
            to,
            "CPU of one core        engine {:.0} %, Postgres {:.0} %, this driver {:.0} %",
            share(used.engine_cpu_seconds),
            share(used.postgres_cpu_seconds),
            share(used.driver_cpu_seconds)
        )?;
        writeln!(to, "memory a call          {:.2} MiB (RSS)", self.rss_mib_per_call)?;
        for (when, at) in [("before", used.before), ("with all calls", used.during), ("after", used.after)] {
            writeln!(
                to,
                "  {when:20} RSS {:.1} MiB, PSS {:.1} MiB, {} threads, {} files",
                at.rss_mib, at.pss_mib, at.threads, at.files
            )?;
        }
        writeln!(to, "errors                 {}", self.errors.values().sum::<u32>())?;
        self.errors.iter().try_for_each(|(error, count)| writeln!(to, "  {count:5} x {error}"))?;
        writeln!(to, "warnings of the engine {}", self.complaints.len())?;
        self.complaints.iter().take(5).try_for_each(|line| writeln!(to, "  {line}"))
    }
}

fn row(to: &mut fmt::Formatter<'_>, name: &str, spread: &Spread) -> fmt::Result {
    let Spread { p50, p95, p99, max, .. } = spread;
    writeln!(to, "{name:38} {p50:8.1} {p95:8.1} {p99:8.1} {max:8.1}")
}

fn yes(it_is: bool) -> &'static str {
    if it_is { "on" } else { "off" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_occurred() {
        let spread = Spread::of((1..=200).rev().map(f64::from));
        assert_eq!((spread.p50, spread.p95, spread.p99, spread.max), (100.0, 190.0, 198.0, 200.0));
        assert_eq!(Spread::of([7.0]).p50, 7.0);
        assert_eq!(Spread::of([]).count, 0);
    }
}
