//! `faults`: each fault of a provider in the middle of a call, and what the caller noticed of it.
//!
//! Prints fault × kind → the longest silence, words lost, words heard twice, and who answered in the end. The words are
//! counted in the audio the caller's side received. Every call has an engine of its own; some run side by side.

use clap::Parser;
use parlance_tests::trial::{self, Kind, Outcome, Trial};
use tokio::task::JoinSet;

/// What each fault of a provider in mid-call costs the caller.
#[derive(Parser)]
struct Flags {
    /// Only these kinds: transcriber, model, voice.
    #[arg(long)]
    kind: Vec<String>,
    /// Only faults whose name contains this.
    #[arg(long, default_value = "")]
    fault: String,
    /// Calls at once.
    #[arg(long, default_value_t = 4)]
    at_once: usize,
}

#[tokio::main]
async fn main() {
    let flags = Flags::parse();
    let mut failed = false;
    for kind in Kind::ALL {
        if !flags.kind.is_empty() && !flags.kind.iter().any(|wanted| wanted == kind.word()) {
            continue;
        }
        println!("{} (stated budget {:.1} s)", kind.word(), kind.budget().as_secs_f64());
        println!(
            "  {:<26}{:>10}{:>7}{:>9}  {:<10}who took over",
            "fault", "silence", "lost", "doubled", "goes on"
        );
        let trials: Vec<Trial> =
            trial::all_of(kind).into_iter().filter(|trial| trial.name.contains(&flags.fault)).collect();
        for (trial, outcome) in all(trials, flags.at_once.max(1)).await {
            let Outcome { silence, lost, doubled, goes_on, switched } = &outcome;
            let ms = format!("{} ms", silence.as_millis());
            let goes_on = if *goes_on { "yes" } else { "NO" };
            println!("  {:<26}{ms:>10}{lost:>7}{doubled:>9}  {goes_on:<10}{switched}", trial.name);
            failed |= outcome.fault(kind).is_some();
        }
        println!();
    }
    std::process::exit(i32::from(failed));
}

/// The outcomes, in the order of the trials.
async fn all(trials: Vec<Trial>, at_once: usize) -> Vec<(Trial, Outcome)> {
    let mut outcomes = Vec::new();
    let mut waiting = trials.into_iter().enumerate();
    let mut running = JoinSet::new();
    loop {
        while running.len() < at_once
            && let Some((index, trial)) = waiting.next()
        {
            running.spawn(async move { (index, trial.clone(), trial::hold(&trial).await) });
        }
        match running.join_next().await {
            Some(Ok(outcome)) => outcomes.push(outcome),
            Some(Err(error)) => eprintln!("a call failed: {error}"),
            None => break,
        }
    }
    outcomes.sort_by_key(|outcome| outcome.0);
    outcomes.into_iter().map(|(_, trial, outcome)| (trial, outcome)).collect()
}
