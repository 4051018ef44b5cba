//! What each protocol promises beside its vendor's client: settled words once, pauses, turns, commits, patience.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use parlance_fakes::{Fakes, Plan, Service};
use serde_json::{Value, json};
use tokio::time::sleep;

use super::client::{Client, End, all, linear16, words};
use super::{WORDS, clip, said};

const LISTEN: &str =
    "/deepgram/v1/listen?model=nova-3&encoding=linear16&sample_rate=16000&interim_results=true";
const FLUX: &str = "/deepgram/v2/listen?model=flux-general-en&encoding=linear16&sample_rate=16000";
const SCRIBE: &str =
    "/elevenlabs/v1/speech-to-text/realtime?model_id=scribe_v2_realtime&audio_format=pcm_16000";
const INK: &str = "/cartesia/stt/websocket?model=ink-2&encoding=pcm_s16le&sample_rate=16000";
const REALTIME: &str = "/openai/v1/realtime?intent=transcription";

async fn fakes(service: Service, plan: Plan) -> Fakes {
    let fakes = Fakes::start().await.unwrap();
    fakes.plan(service, plan);
    fakes
}

fn lines(lines: &[&str]) -> Plan {
    Plan { lines: lines.iter().map(|line| (*line).to_owned()).collect(), ..Plan::default() }
}

#[tokio::test]
async fn listen_settles_each_word_once_and_a_pause_ends_the_speech() {
    let fakes = fakes(Service::DeepgramListen, words()).await;
    let path = format!("{LISTEN}&endpointing=300&utterance_end_ms=1000&vad_events=true");
    let mut client = Client::open(&fakes, &path).await;
    let mut audio = said(&[0, 1, 2]);
    audio.extend(said(&[3, 4]));
    client.audio(&linear16(&audio), 640).await;
    client.text(r#"{"type":"CloseStream"}"#).await;
    let (came, end) = client.rest().await;
    assert_eq!(end, End::Closed(1000, String::new()));
    let finals: Vec<&Value> = came.iter().filter(|message| message["is_final"] == true).collect();
    assert_eq!(transcripts(&finals), [WORDS[..3].join(" "), WORDS[3..].join(" ")]);
    assert!(finals.iter().all(|result| result["speech_final"] == true));
    let interims: Vec<&Value> = came.iter().filter(|message| message["is_final"] == false).collect();
    assert!(transcripts(&interims).contains(&WORDS[..2].join(" ")), "words come while they are said");
    let of = |kind: &str| came.iter().filter(|message| message["type"] == kind).count();
    assert_eq!((of("SpeechStarted"), of("UtteranceEnd"), of("Metadata")), (2, 2, 1));
    let end_of_first = finals[0]["start"].as_f64().unwrap() + finals[0]["duration"].as_f64().unwrap();
    assert!((end_of_first - finals[1]["start"].as_f64().unwrap()).abs() < 0.1, "slices follow one another");
}

#[tokio::test]
async fn audio_from_the_end_of_any_slice_on_has_the_words_that_were_not_settled_and_no_other() {
    let fakes = fakes(Service::DeepgramListen, Plan { words: vec!["zero".into()], ..Plan::default() }).await;
    let numbers: Vec<u16> = (0..60).collect();
    let audio = said(&numbers);
    let path = format!("{LISTEN}&endpointing=25");
    let settled = settled(&fakes, &path, &audio).await;
    assert!(settled.len() > 3, "long speech comes in several slices");
    let words: Vec<String> = settled.iter().flat_map(|(_, words)| words.clone()).collect();
    assert_eq!(words.len(), numbers.len());
    assert_eq!((words[0].as_str(), words[59].as_str()), ("zero", "word59"));
    let mut told = 0;
    for (end_s, heard) in &settled {
        told += heard.len();
        let rest = self::settled(&fakes, &path, &audio[(end_s * 16_000.0) as usize..]).await;
        let rest: Vec<String> = rest.into_iter().flat_map(|(_, words)| words).collect();
        assert_eq!(rest, words[told..], "after {end_s} s");
    }
}

/// Where each final slice ends, and its words.
async fn settled(fakes: &Fakes, path: &str, audio: &[i16]) -> Vec<(f64, Vec<String>)> {
    let mut client = Client::open(fakes, path).await;
    client.audio(&linear16(audio), 640).await;
    client.text(r#"{"type":"CloseStream"}"#).await;
    let (came, _) = client.rest().await;
    let finals = came.iter().filter(|message| message["is_final"] == true);
    let slice = |result: &Value| {
        let end_s = result["start"].as_f64().unwrap() + result["duration"].as_f64().unwrap();
        let words: Vec<String> =
            transcripts(&[result]).iter().flat_map(|text| text.split(' ')).map(str::to_owned).collect();
        (end_s, words)
    };
    finals.map(slice).collect()
}

#[tokio::test]
async fn the_same_audio_gives_the_same_messages_however_it_is_cut() {
    let fakes = fakes(Service::DeepgramListen, lines(&["यह एक परीक्षा है", "and so on"])).await;
    let mut told = Vec::new();
    for frame in [640, 3_200, 333] {
        let mut client =
            Client::open(&fakes, &format!("{LISTEN}&vad_events=true&utterance_end_ms=1000")).await;
        client.audio(&linear16(&clip("turns2_slt")), frame).await;
        client.text(r#"{"type":"CloseStream"}"#).await;
        let (mut came, _) = client.rest().await;
        for message in &mut came {
            message["metadata"].take();
            message["request_id"].take();
        }
        told.push(came);
    }
    assert!(told[0].len() > 5 && told[0] == told[1] && told[1] == told[2]);
}

#[tokio::test]
async fn finalize_settles_what_was_heard_and_has_no_answer_where_nothing_was() {
    let fakes = fakes(Service::DeepgramListen, words()).await;
    let mut client = Client::open(&fakes, &format!("{LISTEN}&endpointing=false")).await;
    client.text(r#"{"type":"Finalize"}"#).await;
    let audio = said(&[0, 1]);
    client.audio(&linear16(&audio[..audio.len() - 14_000]), 640).await;
    client.text(r#"{"type":"Finalize"}"#).await;
    let (came, _) = client.until(|message| message["from_finalize"] == true).await;
    assert_eq!(transcripts(&[came.last().unwrap()]), [WORDS[..2].join(" ")]);
    assert_eq!(came.iter().filter(|message| message["is_final"] == true).count(), 1);
    client.text("no JSON").await;
    let (came, _) = client.until(|message| message["type"] == "Error").await;
    assert_eq!(came.last().unwrap()["variant"], "SchemaError");
    client.text(r#"{"type":"CloseStream"}"#).await;
    let (came, _) = client.rest().await;
    assert!(transcripts(&came.iter().collect::<Vec<_>>()).is_empty(), "no word comes twice");
}

#[tokio::test]
async fn a_deepgram_connection_lives_ten_seconds_without_audio_and_on_with_keep_alives() {
    let fakes = fakes(Service::DeepgramListen, words()).await;
    let mut idle = Client::open(&fakes, LISTEN).await;
    let mut kept = Client::open(&fakes, LISTEN).await;
    for _ in 0..3 {
        kept.text(r#"{"type":"KeepAlive"}"#).await;
        sleep(Duration::from_secs(4)).await;
    }
    let (_, end) = idle.rest().await;
    assert!(matches!(end, End::Closed(1011, reason) if reason.contains("NET-0001")));
    kept.text(r#"{"type":"CloseStream"}"#).await;
    assert_eq!(kept.rest().await.1, End::Closed(1000, String::new()));
}

#[tokio::test]
async fn speech_without_codes_is_heard_as_the_plans_lines_one_for_each_stretch() {
    let fakes = fakes(Service::DeepgramListen, lines(&["मेरा नाम राज है", "that is right"])).await;
    let mut client = Client::open(&fakes, &format!("{LISTEN}&endpointing=300")).await;
    client.audio(&linear16(&clip("turns2_slt")), 640).await;
    client.text(r#"{"type":"CloseStream"}"#).await;
    let (came, _) = client.rest().await;
    let finals: Vec<&Value> = came.iter().filter(|message| message["is_final"] == true).collect();
    assert_eq!(transcripts(&finals), ["मेरा नाम राज है", "that is right"]);
}

#[tokio::test]
async fn what_is_asked_wrongly_is_refused_before_the_upgrade() {
    let fakes = Fakes::start().await.unwrap();
    let wrong = [
        "/deepgram/v1/listen?encoding=linear16&sample_rate=16000",
        "/deepgram/v1/listen?model=nova-3&encoding=linear16",
        "/deepgram/v1/listen?model=nova-3&utterance_end_ms=1000",
        "/deepgram/v1/listen?model=nova-3&keywords=a:2",
        "/deepgram/v2/listen?model=nova-3&encoding=linear16&sample_rate=16000",
        "/deepgram/v2/listen?model=flux-general-en&eot_threshold=0.5&eager_eot_threshold=0.6",
        "/elevenlabs/v1/speech-to-text/realtime?model_id=scribe_v2_realtime&audio_format=mp3",
        "/cartesia/stt/websocket?model=ink-2&encoding=pcm_s16le",
    ];
    for path in wrong {
        let refused = Client::try_open(&fakes, path, "a-good-key").await.err();
        assert_eq!(refused.map(|(status, _)| status), Some(400), "{path}");
    }
}

#[tokio::test]
async fn flux_tells_an_eager_end_only_when_asked_and_a_turn_ends_with_its_text() {
    let fakes = fakes(Service::DeepgramFlux, words()).await;
    let mut client = Client::open(&fakes, FLUX).await;
    client.audio(&linear16(&said(&[0, 1])), 2_560).await;
    let (came, _) = client.until(|message| message["event"] == "EndOfTurn").await;
    assert!(all(&came, ("event", "EagerEndOfTurn"), "/transcript").is_empty());

    let mut client = Client::open(&fakes, &format!("{FLUX}&eager_eot_threshold=0.3&eot_threshold=0.9")).await;
    let first = said(&[0, 1]);
    // A pause long enough for an eager end and too short for the turn's.
    client.audio(&linear16(&first[..first.len() - 16_000 + 4_800]), 2_560).await;
    client.audio(&linear16(&said(&[2])), 2_560).await;
    let (came, _) = client.until(|message| message["event"] == "EndOfTurn").await;
    let events: Vec<&str> = all(&came, ("type", "TurnInfo"), "/event");
    let told: Vec<&str> = events.into_iter().filter(|event| *event != "Update").collect();
    assert_eq!(told, ["StartOfTurn", "EagerEndOfTurn", "TurnResumed", "EagerEndOfTurn", "EndOfTurn"]);
    let eager = all(&came, ("event", "EagerEndOfTurn"), "/transcript");
    assert_eq!(eager, [WORDS[..2].join(" "), WORDS[..3].join(" ")]);
    assert_eq!(all(&came, ("event", "EndOfTurn"), "/transcript"), eager[1..]);
    let numbers: Vec<_> = came.iter().map(|message| message["sequence_id"].as_u64().unwrap()).collect();
    assert!(numbers.iter().enumerate().all(|(index, number)| *number == index as u64), "{numbers:?}");
    client.text(r#"{"type":"CloseStream"}"#).await;
    assert_eq!(client.rest().await.1, End::Closed(1005, String::new()), "a close without a code");
}

#[tokio::test]
async fn a_flux_turn_without_audio_hangs_and_can_be_forced_to_end() {
    let fakes = fakes(Service::DeepgramFlux, words()).await;
    let mut client = Client::open(&fakes, FLUX).await;
    let audio = said(&[0, 1]);
    client.audio(&linear16(&audio[..audio.len() - 15_000]), 2_560).await;
    client.until(|message| message["transcript"] == WORDS[..2].join(" ")).await;
    assert!(client.is_mute().await);
    client.text(r#"{"type":"ForceEndTurn"}"#).await;
    let (came, _) = client.until(|message| message["event"] == "EndOfTurn").await;
    assert_eq!(came.last().unwrap()["trigger"], "manual");
}

#[tokio::test]
async fn a_realtime_session_commits_by_pauses_and_its_items_follow_one_another() {
    let fakes = fakes(Service::OpenaiRealtime, words()).await;
    let mut client = Client::open(&fakes, REALTIME).await;
    client
        .text(session("gpt-4o-transcribe", json!({"type": "server_vad", "silence_duration_ms": 500})))
        .await;
    for words in [&[0, 1][..], &[2, 3, 4]] {
        append(&mut client, &said(words)).await;
    }
    let completed = |message: &Value| message["transcript"] == WORDS[2..].join(" ");
    let (came, _) = client.until(completed).await;
    let kind = "conversation.item.input_audio_transcription.completed";
    assert_eq!(all(&came, ("type", kind), "/transcript"), [WORDS[..2].join(" "), WORDS[2..].join(" ")]);
    let committed = ("type", "input_audio_buffer.committed");
    let (items, previous) = (all(&came, committed, "/item_id"), all(&came, committed, "/previous_item_id"));
    assert_eq!((items.len(), previous), (2, vec![items[0]]));
    assert_eq!(
        came.iter().filter(|message| message["type"] == "input_audio_buffer.speech_started").count(),
        2
    );
}

#[tokio::test]
async fn a_streaming_model_takes_no_turn_detection_and_tells_words_before_the_commit() {
    let fakes = fakes(Service::OpenaiRealtime, words()).await;
    let mut client = Client::open(&fakes, REALTIME).await;
    client.text(session("gpt-live-transcribe", json!({"type": "server_vad"}))).await;
    client.until(|message| message["type"] == "error").await;
    client.text(session("gpt-live-transcribe", Value::Null)).await;
    client.text(r#"{"type":"input_audio_buffer.commit"}"#).await;
    let (came, _) = client.until(|message| message["type"] == "error").await;
    assert_eq!(came.last().unwrap()["error"]["code"], "input_audio_buffer_commit_empty");
    append(&mut client, &said(&[0, 1])).await;
    client.until(|message| message["delta"] == format!(" {}", WORDS[1])).await;
    client.text(r#"{"type":"input_audio_buffer.commit"}"#).await;
    let (came, _) = client.until(|message| message["transcript"].is_string()).await;
    assert_eq!(came.last().unwrap()["transcript"], WORDS[..2].join(" "));
    let in_a_conversation = "/openai/v1/realtime?intent=transcription&model=gpt-realtime";
    let mut client = Client::open(&fakes, in_a_conversation).await;
    client.text(session("gpt-4o-transcribe", Value::Null)).await;
    let (came, _) = client.until(|message| message["type"] == "error").await;
    assert_eq!(came.last().unwrap()["error"]["code"], "invalid_model");
}

#[tokio::test]
async fn scribe_commits_by_pauses_or_by_hand_and_not_too_often() {
    let fakes = fakes(Service::ElevenlabsScribe, words()).await;
    let mut client =
        Client::open(&fakes, &format!("{SCRIBE}&commit_strategy=vad&vad_silence_threshold_secs=0.5")).await;
    for words in [&[0, 1][..], &[2, 3, 4]] {
        chunk(&mut client, &said(words), false).await;
    }
    let (came, _) =
        client.until(|message| message["text"] == WORDS[2..].join(" ") && is_committed(message)).await;
    let kind = ("message_type", "committed_transcript");
    assert_eq!(all(&came, kind, "/text"), [WORDS[..2].join(" "), WORDS[2..].join(" ")]);

    let mut client = Client::open(&fakes, SCRIBE).await;
    chunk(&mut client, &said(&[0, 1, 2]), true).await;
    let (came, _) = client.until(is_committed).await;
    assert_eq!(came.last().unwrap()["text"], WORDS[..3].join(" "));
    chunk(&mut client, &[0; 160], true).await;
    let (came, end) = client.rest().await;
    assert_eq!(came.last().unwrap()["message_type"], "commit_throttled");
    assert!(matches!(end, End::Closed(1008, _)));
}

#[tokio::test]
async fn the_finals_of_ink_joined_as_they_are_are_what_was_said() {
    let fakes = fakes(Service::CartesiaStt, words()).await;
    let mut client = Client::open(&fakes, INK).await;
    for words in [&[0, 1][..], &[2]] {
        client.audio(&linear16(&said(words)), 640).await;
        client.text("finalize").await;
    }
    client.text("close").await;
    let (came, end) = client.rest().await;
    let finals = came.iter().filter(|message| message["is_final"] == true);
    let joined: String = finals.filter_map(|message| message["text"].as_str()).collect();
    assert_eq!((joined, end), (WORDS[..3].join(" "), End::Closed(1000, String::new())));
    let of = |kind: &str| came.iter().filter(|message| message["type"] == kind).count();
    assert_eq!((of("flush_done"), of("done")), (2, 1));
}

fn transcripts(results: &[&Value]) -> Vec<String> {
    let transcript =
        |result: &&Value| result.pointer("/channel/alternatives/0/transcript")?.as_str().map(str::to_owned);
    results.iter().filter_map(transcript).filter(|transcript| !transcript.is_empty()).collect()
}

fn is_committed(message: &Value) -> bool {
    message["message_type"] == "committed_transcript"
}

fn session(model: &str, turn_detection: Value) -> String {
    let input = json!({"format": {"type": "audio/pcm", "rate": 24_000}, "transcription": {"model": model},
        "turn_detection": turn_detection});
    json!({"type": "session.update", "session": {"type": "transcription", "audio": {"input": input}}})
        .to_string()
}

/// Speech at 16 kHz, told at the 24 kHz that is all this service takes.
async fn append(client: &mut Client, audio: &[i16]) {
    let mut faster = Vec::new();
    parlance_media::resample::Resampler::new(16_000, 24_000).unwrap().process(audio, &mut faster);
    for frame in faster.chunks(480) {
        let audio = STANDARD.encode(linear16(frame));
        client.text(json!({"type": "input_audio_buffer.append", "audio": audio}).to_string()).await;
    }
}

async fn chunk(client: &mut Client, audio: &[i16], commit: bool) {
    let audio = STANDARD.encode(linear16(audio));
    let message = json!({"message_type": "input_audio_chunk", "audio_base_64": audio, "commit": commit, "sample_rate": 16_000});
    client.text(message.to_string()).await;
}
