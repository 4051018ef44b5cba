//! The vendors' own Python clients stream, are refused and are cut, and raise what their users catch.
//!
//! A stand-in that only our client speaks with proves nothing.

use std::path::Path;

use parlance_fakes::Fakes;
use parlance_media::g711::Law;
use parlance_media::resample::Resampler;

use super::{WORDS, said};
use crate::python;

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
    let audio = said(&[0, 1, 2, 3, 4]);
    let bytes: Vec<u8> = audio.iter().flat_map(|sample| sample.to_le_bytes()).collect();
    let (mut telephone, mut mu_law) = (Vec::new(), Vec::new());
    Resampler::new(16_000, 8_000).unwrap().process(&audio, &mut telephone);
    Law::Mu.encode(&telephone, &mut mu_law);
    let variables = [
        ("PARLANCE_AUDIO", file(case, "pcm", &bytes)),
        ("PARLANCE_MU_LAW", file(case, "ulaw", &mu_law)),
        ("PARLANCE_WORDS", WORDS.join(" ")),
    ];
    python::run("stt.py", &[&format!("http://{}", fakes.address()), case], &variables).await;
}

fn file(case: &str, kind: &str, bytes: &[u8]) -> String {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("stt-{case}.{kind}"));
    std::fs::write(&path, bytes).unwrap();
    path.display().to_string()
}
