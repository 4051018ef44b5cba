//! More sessions at once than the engine takes: those that find no place are told so and leave nothing behind.

use std::time::Duration;

use parlance_tests::caller::typing_start;
use parlance_tests::details::assert_refused;
use parlance_tests::{Caller, House, agents};
use tokio::sync::Barrier;
use tonic::{Code, Status};
use tonic_types::StatusExt;

const SESSIONS: usize = 1_000;
const LIMIT: usize = 100;
/// Streams a connection may hold are bounded, so several connections share the sessions.
const CONNECTIONS: usize = 10;
/// How much more resident memory a second crowd may leave than the first: the allocator's own.
const MEMORY_LEFT_MAX: u64 = 32 * 1024 * 1024;

#[test]
fn of_a_thousand_sessions_at_once_just_the_hundred_that_fit_begin_and_all_is_given_back() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.expect("a runtime can be had").block_on(async {
        let limit = LIMIT.to_string();
        let rate = ["--max-sessions", &limit, "--requests-per-second", "100000"];
        let house = House::scripted_with(&rate, None).await;
        let agent = house.hires(agents::echo("Hello")).await;
        // The first crowd fills the caches that stay: connections to the database, allocator, thread stacks.
        crowd(&house, &agent).await;
        let before = held(&house);
        crowd(&house, &agent).await;
        let give_up = tokio::time::Instant::now() + Duration::from_secs(20);
        loop {
            let after = held(&house);
            let memory_left = after.memory.saturating_sub(before.memory);
            if after.tasks <= before.tasks && after.files <= before.files && memory_left <= MEMORY_LEFT_MAX {
                println!("{before:?} before, {after:?} after");
                break;
            }
            assert!(tokio::time::Instant::now() < give_up, "{before:?} before, {after:?} after");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
}

/// Opens all sessions at once and lets those that began end.
async fn crowd(house: &House, agent: &str) {
    let together = std::sync::Arc::new(Barrier::new(SESSIONS));
    let mut doors = Vec::new();
    for _ in 0..CONNECTIONS {
        doors.push(house.another_client().await);
    }
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..SESSIONS {
        let (voice, start) = (doors[number % CONNECTIONS].voice(), typing_start(agent));
        let together = together.clone();
        tasks.spawn(async move {
            together.wait().await;
            Caller::tries(voice, start).await
        });
    }
    let outcomes = tasks.join_all().await;
    let (began, refused): (Vec<_>, Vec<_>) = outcomes.into_iter().partition(Result::is_ok);
    assert_eq!((began.len(), refused.len()), (LIMIT, SESSIONS - LIMIT));
    refused.into_iter().filter_map(Result::err).for_each(|status| assert_no_place(&status));
    drop(began);
    house.is_empty().await;
}

#[track_caller]
fn assert_no_place(status: &Status) {
    assert_refused(status, Code::ResourceExhausted, "TOO_MANY_SESSIONS");
    let delay = status.get_details_retry_info().and_then(|info| info.retry_delay);
    assert!(delay > Some(Duration::ZERO), "{status:?}");
}

/// What the process holds: clients and engine are both in it.
#[derive(Debug)]
struct Held {
    tasks: usize,
    files: usize,
    memory: u64,
}

fn held(house: &House) -> Held {
    let files = std::fs::read_dir("/proc/self/fd").expect("Linux lists them").count();
    let pages = std::fs::read_to_string("/proc/self/statm").expect("Linux tells it");
    let pages: u64 =
        pages.split(' ').nth(1).and_then(|pages| pages.parse().ok()).expect("the second is a number");
    Held { tasks: house.running.engine.calls.len(), files, memory: pages * 4_096 }
}
