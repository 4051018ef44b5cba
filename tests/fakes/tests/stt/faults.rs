//! Every planned fault at every transcriber, as a client meets it.

use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use parlance_fakes::{Fakes, Fault, Plan, Service};
use parlance_media::resample::Resampler;
use serde_json::{Value, json};

use super::client::{Client, End, linear16, saw, words};
use super::{WORDS, said};

const SOCKETS: [(Service, &str); 5] = [
    (
        Service::DeepgramListen,
        "/deepgram/v1/listen?model=nova-3&encoding=linear16&sample_rate=16000&interim_results=true",
    ),
    (Service::DeepgramFlux, "/deepgram/v2/listen?model=flux-general-en&encoding=linear16&sample_rate=16000"),
    (Service::OpenaiRealtime, "/openai/v1/realtime?intent=transcription"),
    (
        Service::ElevenlabsScribe,
        "/elevenlabs/v1/speech-to-text/realtime?model_id=scribe_v2_realtime&commit_strategy=vad&vad_silence_threshold_secs=0.5",
    ),
    (Service::CartesiaStt, "/cartesia/stt/websocket?model=ink-whisper&encoding=pcm_s16le&sample_rate=16000"),
];

/// Opens a connection with this fault and says all words.
async fn speak(service: Service, path: &str, fault: Fault) -> (Fakes, Client) {
    let fakes = Fakes::start().await.unwrap();
    fakes.plan(service, Plan { fault: Some(fault), ..words() });
    let mut client = Client::open(&fakes, path).await;
    say(service, &mut client).await;
    (fakes, client)
}

async fn say(service: Service, client: &mut Client) {
    let audio = said(&[0, 1, 2, 3, 4]);
    match service {
        Service::OpenaiRealtime => {
            let mut faster = Vec::new();
            Resampler::new(16_000, 24_000).unwrap().process(&audio, &mut faster);
            for frame in faster.chunks(960) {
                let audio = STANDARD.encode(linear16(frame));
                client.text(json!({"type": "input_audio_buffer.append", "audio": audio}).to_string()).await;
            }
        }
        Service::ElevenlabsScribe => {
            for frame in audio.chunks(640) {
                let audio = STANDARD.encode(linear16(frame));
                client
                    .text(json!({"message_type": "input_audio_chunk", "audio_base_64": audio}).to_string())
                    .await;
            }
        }
        _ => client.audio(&linear16(&audio), 1_280).await,
    }
}

/// The text of a transcript that is settled.
fn settled(message: &Value) -> Option<&str> {
    let is_settled = message["is_final"] == true
        || message["event"] == "EndOfTurn"
        || message["message_type"] == "committed_transcript"
        || message["type"] == "conversation.item.input_audio_transcription.completed";
    let text = ["/channel/alternatives/0/transcript", "/transcript", "/text"];
    text.iter().find_map(|pointer| message.pointer(pointer)).filter(|_| is_settled)?.as_str()
}

/// Whether a message is a transcript with words, settled or not.
fn has_words(message: &Value) -> bool {
    let pointers = ["/channel/alternatives/0/transcript", "/transcript", "/text", "/delta"];
    pointers
        .iter()
        .any(|pointer| message.pointer(pointer).and_then(Value::as_str).is_some_and(|text| !text.is_empty()))
}

/// Messages until all words were settled.
async fn all_words(client: &mut Client) -> Vec<Value> {
    let mut came: Vec<Value> = Vec::new();
    loop {
        came.push(client.next().await.expect("the words come before the end"));
        let heard: Vec<&str> = came.iter().filter_map(settled).flat_map(str::split_whitespace).collect();
        if heard.len() >= WORDS.len() {
            assert_eq!(heard, WORDS);
            return came;
        }
    }
}

#[tokio::test]
async fn a_refusal_has_its_status_and_the_next_connection_goes_well() {
    for (service, path) in SOCKETS {
        let statuses = [
            (Fault::Unauthorized, 401),
            (Fault::RateLimited { retry_after_s: 2 }, 429),
            (Fault::ServerError, 500),
            (Fault::Quota, quota(service)),
        ];
        for (fault, status) in statuses {
            let fakes = Fakes::start().await.unwrap();
            fakes.plan(service, Plan { fault: Some(fault), ..words() }.times(1));
            let refused = Client::try_open(&fakes, path, "a-good-key").await.err();
            assert_eq!(refused.map(|(status, _)| status), Some(status), "{service:?}");
            Client::open(&fakes, path).await;
        }
        let fakes = Fakes::start().await.unwrap();
        for wrong in ["a-bad-key", ""] {
            let refused = Client::try_open(&fakes, path, wrong).await.err();
            assert_eq!(refused.map(|(status, _)| status), Some(401), "{service:?}");
        }
    }
}

fn quota(service: Service) -> u16 {
    match service {
        Service::ElevenlabsScribe => 401,
        Service::OpenaiRealtime => 429,
        _ => 402,
    }
}

#[tokio::test]
async fn a_drop_and_a_broken_frame_cut_the_connection_in_mid_stream() {
    for (service, path) in SOCKETS {
        let (_fakes, mut client) = speak(service, path, Fault::Drop { after: 2 }).await;
        let (came, end) = client.rest().await;
        assert_eq!(end, End::Cut, "{service:?}");
        assert_eq!(came.iter().filter(|message| has_words(message)).count(), 2, "{service:?}");

        let (_fakes, mut client) = speak(service, path, Fault::Malformed { after: 1 }).await;
        let (came, end) = client.rest().await;
        assert!(came.last().unwrap().is_string(), "{service:?} sent what is no JSON");
        assert_eq!(end, End::Cut, "{service:?}");
    }
}

#[tokio::test]
async fn silence_answers_pings_and_a_half_open_connection_does_not() {
    for (service, path) in SOCKETS {
        let (_fakes, mut client) = speak(service, path, Fault::Silence { after: 1 }).await;
        client.until(has_words).await;
        assert!(client.answers_ping().await, "{service:?}");
        assert!(client.is_mute().await, "{service:?}");

        let (_fakes, mut client) = speak(service, path, Fault::HalfOpen { after: 1 }).await;
        client.until(has_words).await;
        assert!(!client.answers_ping().await, "{service:?}");
        assert!(client.is_mute().await, "{service:?}");
    }
}

#[tokio::test]
async fn a_blocked_send_is_never_read() {
    for (service, path) in SOCKETS {
        let (fakes, mut client) = speak(service, path, Fault::BlockedSend).await;
        assert!(!client.answers_ping().await, "{service:?}");
        assert!(!saw(&fakes, service, "binary") && !saw(&fakes, service, "text"), "{service:?}");
    }
}

#[tokio::test]
async fn an_unknown_message_and_messages_in_pieces_lose_no_word() {
    for (service, path) in SOCKETS {
        let (_fakes, mut client) = speak(service, path, Fault::UnknownType { after: 1 }).await;
        let came = all_words(&mut client).await.len();
        let (_fakes, mut client) = speak(service, path, Fault::Fragment).await;
        assert_eq!(
            all_words(&mut client).await.len(),
            came - 1,
            "{service:?}: one message is the unknown one"
        );
    }
}

#[tokio::test]
async fn an_error_inside_is_told_in_the_vendors_words() {
    for (service, path) in SOCKETS {
        let (_fakes, mut client) = speak(service, path, Fault::ErrorInside { after: 1 }).await;
        let is_error = |message: &Value| {
            [&message["type"], &message["message_type"]]
                .iter()
                .any(|kind| kind.as_str().is_some_and(|kind| kind.to_lowercase().contains("error")))
        };
        let (came, _) = client.until(is_error).await;
        assert_eq!(came.iter().filter(|message| has_words(message)).count(), 1, "{service:?}");
        assert!(is_error(came.last().unwrap()), "{service:?}");
    }
}

#[tokio::test]
async fn an_empty_connection_ends_in_order_and_without_a_word() {
    let (service, path) = SOCKETS[0];
    let (_fakes, mut client) = speak(service, path, Fault::Empty).await;
    client.text(r#"{"type":"CloseStream"}"#).await;
    let (came, end) = client.rest().await;
    assert_eq!(end, End::Closed(1000, String::new()));
    assert!(!came.iter().any(has_words));
    assert_eq!(came.last().unwrap()["type"], "Metadata");

    let (service, path) = SOCKETS[4];
    let (_fakes, mut client) = speak(service, path, Fault::Empty).await;
    client.text("close").await;
    assert!(!client.rest().await.0.iter().any(has_words));
}

#[tokio::test]
async fn a_flapping_service_accepts_and_closes_each_time() {
    for (service, path) in SOCKETS {
        let fakes = Fakes::start().await.unwrap();
        fakes.plan(service, Plan::failing(Fault::Flap));
        for _ in 0..3 {
            let (_, end) = Client::open(&fakes, path).await.rest().await;
            assert!(matches!(end, End::Closed(1011, _)), "{service:?}: {end:?}");
        }
    }
}

#[tokio::test]
async fn a_slow_first_word_is_late_by_what_is_planned_and_the_others_follow() {
    let (service, path) = SOCKETS[0];
    let begun = Instant::now();
    let (_fakes, mut client) = speak(service, path, Fault::SlowFirstByte { ms: 700 }).await;
    client.until(has_words).await;
    assert!(begun.elapsed() >= Duration::from_millis(700));
    all_words(&mut client).await;
}

#[tokio::test]
async fn what_a_client_does_is_noted() {
    let (service, path) = SOCKETS[0];
    let fakes = Fakes::start().await.unwrap();
    fakes.plan(service, words());
    let mut client = Client::open(&fakes, path).await;
    client.text(r#"{"type":"KeepAlive"}"#).await;
    client.text(r#"{"type":"CloseStream"}"#).await;
    client.rest().await;
    drop(client);
    let seen: Vec<_> = fakes.seen(service).into_iter().map(|seen| (seen.what, seen.detail)).collect();
    assert_eq!(seen[0], ("open".to_owned(), path.to_owned()));
    assert_eq!(seen[1], ("text".to_owned(), r#"{"type":"KeepAlive"}"#.to_owned()));
}
