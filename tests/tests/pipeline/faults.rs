//! Each fault of a provider in the middle of a call: the call goes on, no word is lost, the silence is bounded.

use parlance_tests::trial::{self, Kind};
use tokio::task::JoinSet;

/// Calls of a kind at once, at most.
const AT_ONCE: usize = 8;

async fn every_fault_of(kind: Kind) {
    let mut waiting = trial::all_of(kind).into_iter();
    let mut running = JoinSet::new();
    let mut faults = Vec::new();
    loop {
        while running.len() < AT_ONCE
            && let Some(trial) = waiting.next()
        {
            running.spawn(async move { (trial.name, trial::hold(&trial).await) });
        }
        let Some(held) = running.join_next().await else { break };
        let (name, outcome) = held.expect("a call ends in order");
        if let Some(fault) = outcome.fault(kind) {
            faults.push(format!("{name}: {fault} ({outcome:?})"));
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transcriber_that_fails_in_mid_call_costs_no_word() {
    every_fault_of(Kind::Stt).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_model_that_fails_in_mid_answer_costs_no_word() {
    every_fault_of(Kind::Llm).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_voice_that_fails_in_mid_sentence_costs_no_word_and_repeats_at_most_one() {
    every_fault_of(Kind::Tts).await;
}
