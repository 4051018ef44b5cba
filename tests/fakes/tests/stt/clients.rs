//! The vendors' own Python clients stream, are refused and are cut, and raise what their users catch.
//!
//! Clients that can't be installed are a failure: a stand-in that only our client speaks with proves nothing.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use parlance_fakes::Fakes;
use parlance_media::g711::Law;
use parlance_media::resample::Resampler;
use tokio::process::Command;
use tokio::time::timeout;

use super::{WORDS, said};

/// The first run fetches the clients.
const INSTALLED: Duration = Duration::from_secs(1_200);
const DONE: Duration = Duration::from_secs(180);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deepgrams_client_hears_the_words_of_live_transcription_and_raises_its_errors() {
    run("deepgram_listen").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deepgrams_client_hears_the_turns_of_flux_and_raises_its_errors() {
    run("deepgram_flux").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn openais_client_hears_the_words_of_a_recording_and_raises_its_errors() {
    run("openai_transcribe").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn openais_client_hears_the_words_of_a_realtime_session_and_raises_its_errors() {
    run("openai_realtime").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn elevenlabs_client_hears_the_words_of_scribe_and_raises_its_errors() {
    run("elevenlabs_scribe").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cartesias_client_hears_the_words_and_raises_its_errors() {
    run("cartesia_stt").await;
}

async fn run(case: &str) {
    let fakes = Fakes::start().await.unwrap();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    output(Command::new(root.join("scripts/python-clients.sh")), INSTALLED).await;
    let audio = said(&[0, 1, 2, 3, 4]);
    let bytes: Vec<u8> = audio.iter().flat_map(|sample| sample.to_le_bytes()).collect();
    let (mut telephone, mut mu_law) = (Vec::new(), Vec::new());
    Resampler::new(16_000, 8_000).unwrap().process(&audio, &mut telephone);
    Law::Mu.encode(&telephone, &mut mu_law);
    let mut python = Command::new(root.join("target/python-clients/bin/python"));
    python.arg(root.join("tests/fakes/python/stt.py")).arg(format!("http://{}", fakes.address())).arg(case);
    python
        .env("PARLANCE_AUDIO", file(case, "pcm", &bytes))
        .env("PARLANCE_MU_LAW", file(case, "ulaw", &mu_law));
    python.env("PARLANCE_WORDS", WORDS.join(" "));
    output(python, DONE).await;
}

fn file(case: &str, kind: &str, bytes: &[u8]) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("stt-{case}.{kind}"));
    std::fs::write(&path, bytes).unwrap();
    path
}

async fn output(mut command: Command, within: Duration) {
    let run = command.stdin(Stdio::null()).kill_on_drop(true).output();
    let output = timeout(within, run).await.expect("it ends").expect("it starts");
    let [said, complained] =
        [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    assert!(output.status.success(), "{said}{complained}");
}
