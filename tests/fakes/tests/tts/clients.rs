//! The vendors' own Python clients speak with the stand-ins: sound comes whole, failures as the clients' own errors.

use super::*;
use crate::python;
use std::path::PathBuf;

const WORDS: &str = "word1 word22 word333 and grüße";

/// What `tests/fakes/python/tts.py` saw with one client.
struct Outcome {
    told: Value,
    folder: PathBuf,
}

impl Outcome {
    async fn of(client: &str) -> Self {
        let fakes = Fakes::start().await.expect("a port");
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("tts-{client}"));
        std::fs::create_dir_all(&folder).expect("a folder");
        let address = fakes.address().to_string();
        let said = python::run("tts.py", &[client, &address, folder.to_str().expect("a path")], &[]).await;
        Self { told: serde_json::from_str(&said).expect("JSON"), folder }
    }

    /// The words in the sound of a scenario, whose name ends in its format.
    fn words(&self, scenario: &str) -> Vec<u16> {
        assert!(self.told[scenario]["bytes"].is_u64(), "{scenario}: {}", self.told[scenario]);
        let bytes = std::fs::read(self.folder.join(scenario)).expect("a file of sound");
        let mut samples = Vec::new();
        let rate_hz = match scenario.split_once(".pcm") {
            Some((_, rate)) => {
                samples.extend(bytes.as_chunks().0.iter().map(|sample| i16::from_le_bytes(*sample)));
                rate.parse().expect("a rate")
            }
            None => {
                Law::Mu.decode(&bytes, &mut samples);
                8_000
            }
        };
        words_in(&samples, rate_hz)
    }

    fn assert_spoken(&self, scenarios: &[&str]) {
        for scenario in scenarios {
            assert_eq!(self.words(scenario), numbers(WORDS), "{scenario}");
        }
    }

    fn assert_raised(&self, scenario: &str, class: &str, status: impl Into<Value>) {
        assert_eq!(self.told[scenario], json!({"raised": class, "status": status.into()}), "{scenario}");
    }
}

#[tokio::test]
async fn deepgram_for_python_speaks_with_the_stand_in() {
    let outcome = Outcome::of("deepgram").await;
    outcome.assert_spoken(&["rest.pcm24000", "socket.ulaw8000"]);
    assert_eq!(outcome.told["socket_messages"], json!(["SpeakV1Metadata", "SpeakV1Flushed"]));
    outcome.assert_raised("rest_wrong_key", "deepgram.ApiError", 401);
    outcome.assert_raised("rest_rate_limited", "deepgram.ApiError", 429);
    outcome.assert_raised("rest_dropped", "httpx.RemoteProtocolError", Value::Null);
    // On sockets deepgram-sdk 7.17 has no errors of its own: it passes on those of `websockets`.
    outcome.assert_raised("socket_wrong_key", "websockets.InvalidStatus", 401);
    outcome.assert_raised("socket_rate_limited", "websockets.InvalidStatus", 429);
    outcome.assert_raised("socket_dropped", "websockets.ConnectionClosedError", Value::Null);
}

#[tokio::test]
async fn openai_for_python_speaks_with_the_stand_in() {
    let outcome = Outcome::of("openai").await;
    outcome.assert_spoken(&["speech.pcm24000", "events.pcm24000"]);
    outcome.assert_raised("wrong_key", "openai.AuthenticationError", 401);
    outcome.assert_raised("rate_limited", "openai.RateLimitError", 429);
    outcome.assert_raised("out_of_quota", "openai.RateLimitError", 429);
    outcome.assert_raised("dropped", "openai.APIConnectionError", Value::Null);
    // While a body is streamed openai 3.52 passes on what its HTTP client raises.
    outcome.assert_raised("dropped_while_streamed", "httpx2.RemoteProtocolError", Value::Null);
}

#[tokio::test]
async fn elevenlabs_for_python_speaks_with_the_stand_in() {
    let outcome = Outcome::of("elevenlabs").await;
    outcome.assert_spoken(&["stream.pcm16000", "timestamps.ulaw8000", "realtime.ulaw8000", "multi.pcm16000"]);
    let told = &outcome.told;
    assert_eq!(told["timestamps"]["text"], "word1 word22, word333 and Grüße.");
    assert_eq!(
        told["multi"],
        json!({"final": true, "context": "turn-1", "text": " word1 word22, word333 and Grüße. "})
    );
    assert_eq!(told["voices"][0], "Rachel");
    assert_eq!(told["voices_searched"], json!(["Rachel"]));
    // elevenlabs 2.78 has classes for some statuses, but raises them for none of these.
    for (scenario, status) in
        [("wrong_key", 401), ("unusual_activity", 401), ("out_of_quota", 401), ("rate_limited", 429)]
    {
        outcome.assert_raised(scenario, "elevenlabs.ApiError", status);
    }
    outcome.assert_raised("dropped", "httpx.RemoteProtocolError", Value::Null);
    outcome.assert_raised("realtime_wrong_key", "elevenlabs.ApiError", 1008);
    outcome.assert_raised("realtime_rate_limited", "websockets.InvalidStatus", 429);
    outcome.assert_raised("realtime_dropped", "elevenlabs.ApiError", 1006);
}

#[tokio::test]
async fn cartesia_for_python_speaks_with_the_stand_in() {
    let outcome = Outcome::of("cartesia").await;
    outcome.assert_spoken(&["request.pcm16000", "socket.ulaw8000"]);
    let times = &outcome.told["socket_times"];
    assert_eq!(times["words"], json!(["word1", "word22,", "word333", "and", "Grüße."]));
    assert_eq!(outcome.told["voices"], json!(["Katie", "Griffin", "Arushi"]));
    outcome.assert_raised("wrong_key", "cartesia.AuthenticationError", 401);
    outcome.assert_raised("out_of_quota", "cartesia.APIStatusError", 402);
    outcome.assert_raised("rate_limited", "cartesia.RateLimitError", 429);
    outcome.assert_raised("dropped", "cartesia.APIConnectionError", Value::Null);
    // On sockets cartesia 4.2 has no errors of its own: it passes on those of `websockets`.
    outcome.assert_raised("socket_wrong_key", "websockets.InvalidStatus", 401);
    outcome.assert_raised("socket_rate_limited", "websockets.InvalidStatus", 429);
    outcome.assert_raised("socket_dropped", "websockets.ConnectionClosedError", Value::Null);
}
