//! The load driver itself: a short run holds its calls, counts its turns and leaves nothing behind.
//!
//! Judges no figure: on a busy machine in a debug build they mean nothing. `make bench` is for those.

use std::path::Path;
use std::process::Command;

#[test]
fn five_calls_take_turns_for_five_seconds_and_every_figure_is_there() {
    let load = Path::new(env!("CARGO_BIN_EXE_load"));
    parlance_tests::program::path();
    let run = Command::new(load)
        .args(["--calls", "5", "--seconds", "5", "--json"])
        .output()
        .expect("the driver can be started");
    let complaint = String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success(), "{complaint}");
    let figures: serde_json::Value = serde_json::from_slice(&run.stdout).expect("it prints JSON");
    assert_eq!(figures["errors"], serde_json::json!({}));
    assert_eq!(figures["complaints"], serde_json::json!([]));
    let turns = figures["own_share_ms"]["count"].as_u64();
    assert!(turns >= Some(5), "each caller has a turn: {figures}");
    assert!(figures["pacing_jitter_ms"]["count"].as_u64() > Some(50), "{figures}");
    for figure in ["cpu_ms_per_call_second", "rss_mib_per_call"] {
        assert!(figures[figure].is_number(), "{figure}: {figures}");
    }
}

/// At once, against stand-ins.
const CALLS: u64 = 3;

#[test]
fn against_stand_ins_answers_begun_early_are_kept_and_nobody_waits_for_a_socket() {
    let load = Path::new(env!("CARGO_BIN_EXE_load"));
    parlance_tests::program::path();
    let run = Command::new(load)
        .args([
            "--stand-ins",
            "--calls",
            &CALLS.to_string(),
            "--seconds",
            "8",
            "--responsiveness",
            "0.5",
            "--json",
        ])
        .output()
        .expect("the driver can be started");
    let complaint = String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success(), "{complaint}");
    let figures: serde_json::Value = serde_json::from_slice(&run.stdout).expect("it prints JSON");
    for (number, transcriber) in ["deepgram", "deepgram-flux"].into_iter().enumerate() {
        let pair = &figures["pairs"][number];
        assert_eq!(pair["transcriber"], transcriber);
        for run in ["off", "on"] {
            let run = &pair[run];
            assert_eq!(run["errors"], serde_json::json!({}), "{run}");
            assert_eq!(run["provider_failures"], 0, "{run}");
            let mut whose = run["handshakes_of"].as_object().expect("they are counted").clone();
            // An answer that is cut takes its connection with it, and the next may come before another is open.
            let model = whose.remove("openai").map_or(0, |count| count.as_u64().unwrap_or(u64::MAX));
            assert!(whose.is_empty() && model <= CALLS, "{run}");
            assert!(run["total_ms"]["count"].as_u64() >= Some(3), "each caller has a turn: {run}");
        }
        assert_eq!(pair["off"]["speculations"]["started"], 0, "{pair}");
        assert!(pair["on"]["speculations"]["kept"].as_u64() > Some(0), "{pair}");
        assert!(pair["on"]["tokens"].as_u64() > Some(0), "{pair}");
    }
}
