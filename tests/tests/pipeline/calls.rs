//! One whole call for each provider and for combinations of them, with WAV audio in.

use std::time::Duration;

use parlance_fakes::Service;
use parlance_proto::v1::{Agent, AudioEncoding, AudioFormat, SessionStart, Speaker};
use parlance_tests::pipeline::{Pipeline, received, served_by, speech, word};
use parlance_tests::{Caller, caller};

/// Who listens, who answers, who speaks; and the format of the caller's line.
type Combination = (&'static str, &'static str, &'static str, Line);

#[derive(Debug, Clone, Copy, PartialEq)]
enum Line {
    Wide,
    MuLaw,
}

/// Every provider at least once, every transcriber and voice on both lines where that makes a difference.
const COMBINATIONS: [Combination; 18] = [
    ("deepgram", "openai", "elevenlabs", Line::Wide),
    ("deepgram", "openai", "elevenlabs", Line::MuLaw),
    ("deepgram", "gemini", "elevenlabs", Line::MuLaw),
    ("deepgram", "gemini", "deepgram", Line::Wide),
    ("deepgram", "anthropic", "cartesia", Line::Wide),
    ("deepgram", "openai-responses", "deepgram", Line::MuLaw),
    ("deepgram-flux", "openai", "elevenlabs", Line::Wide),
    ("deepgram-flux", "anthropic", "cartesia", Line::MuLaw),
    ("deepgram-flux", "gemini", "elevenlabs-http", Line::Wide),
    ("openai", "openai", "openai", Line::Wide),
    ("openai", "openai-responses", "openai", Line::MuLaw),
    ("openai-realtime", "openai", "openai", Line::Wide),
    ("openai-realtime", "openai-responses", "elevenlabs", Line::MuLaw),
    ("elevenlabs", "anthropic", "elevenlabs", Line::Wide),
    ("elevenlabs", "gemini", "elevenlabs-http", Line::MuLaw),
    ("cartesia", "anthropic", "cartesia", Line::Wide),
    ("cartesia", "openai", "deepgram", Line::MuLaw),
    ("deepgram", "anthropic", "openai", Line::MuLaw),
];

/// Dials with this line.
fn on(line: Line, agent: &str) -> SessionStart {
    let format = match line {
        Line::Wide => AudioFormat { encoding: AudioEncoding::Pcm16.into(), sample_rate_hz: 16_000 },
        Line::MuLaw => AudioFormat { encoding: AudioEncoding::Mulaw.into(), sample_rate_hz: 8_000 },
    };
    SessionStart { input_format: Some(format), output_format: Some(format), ..caller::start(agent) }
}

/// Two turns: what the caller says comes back word by word, in the transcript and in the caller's ear.
async fn whole_call(
    pipeline: &Pipeline,
    (listens, answers, speaks, line): Combination,
) -> Result<(), String> {
    let name = format!("agents/{listens}-{answers}-{speaks}-{line:?}").to_lowercase();
    let agent = Agent { name, ..served_by(&[listens], &[answers], &[speaks]) };
    let agent = pipeline.house.hires(agent).await;
    let mut caller = Caller::dials(&pipeline.house, on(line, &agent)).await;
    for turn in [0..6, 20..26] {
        caller.begins_to_say_samples("words", &speech(turn.clone()));
        caller.until_said().await;
        let wanted: Vec<usize> = turn.clone().collect();
        let came = |caller: &Caller| -> Vec<usize> {
            received(caller).into_iter().filter(|word| turn.contains(word)).collect()
        };
        for _ in 0..30 {
            caller.waits(Duration::from_millis(500)).await;
            if came(&caller).len() >= wanted.len() {
                break;
            }
        }
        let came = came(&caller);
        if came != wanted {
            return Err(format!("{came:?} came of {wanted:?}:\n{}", caller.history()));
        }
    }
    let said: Vec<String> = caller.texts(Speaker::Caller);
    let words = said.join(" ").to_lowercase();
    let words: Vec<&str> = words.split_whitespace().map(|word| word.trim_end_matches('.')).collect();
    let wanted: Vec<String> = (0..6).chain(20..26).map(word).collect();
    if words != wanted {
        return Err(format!("the transcript has {words:?}"));
    }
    let switches = caller.switches();
    if !switches.is_empty() {
        return Err(format!("others had to take over: {switches:?}"));
    }
    caller.hangs_up();
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_whole_call_is_held_with_every_provider_and_with_eighteen_combinations_of_them() {
    let pipeline = std::sync::Arc::new(Pipeline::open().await);
    let mut faults = Vec::new();
    for some in COMBINATIONS.chunks(6) {
        let mut calls = tokio::task::JoinSet::new();
        for combination in some.iter().copied() {
            let pipeline = std::sync::Arc::clone(&pipeline);
            calls.spawn(async move { (combination, whole_call(&pipeline, combination).await) });
        }
        while let Some(call) = calls.join_next().await {
            let (combination, outcome) = call.expect("a call ends in order");
            faults.extend(outcome.err().map(|fault| format!("{combination:?}: {fault}")));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n\n"));
    // The caller's mu-law went to the transcriber as it was, and the voice was asked for mu-law.
    let asked = |service, what: &str| {
        pipeline.fakes.seen(service).iter().any(|seen| seen.what == "open" && seen.detail.contains(what))
    };
    assert!(
        asked(Service::DeepgramListen, "encoding=mulaw")
            && asked(Service::DeepgramListen, "encoding=linear16")
    );
    assert!(asked(Service::DeepgramFlux, "encoding=mulaw"));
    assert!(asked(Service::ElevenlabsMulti, "ulaw_8000") && asked(Service::DeepgramSpeak, "encoding=mulaw"));
}
