//! Deepgram Aura: nothing without a flush, and not too many of those.

use super::*;
use parlance_fakes::Service::DeepgramSpeak;

fn speak(text: &str) -> Value {
    json!({"type": "Speak", "text": text})
}

fn flush() -> Value {
    json!({"type": "Flush"})
}

#[tokio::test]
async fn text_is_joined_as_it_is_and_spoken_at_the_flush() {
    let fakes = Fakes::start().await.expect("a port");
    let mut client = Client::open(&fakes, DEEPGRAM).await;
    assert!(is_type("Metadata")(&client.next().await));
    client.say(speak("word1 word")).await;
    client.say(speak("2. ")).await;
    assert_eq!(client.next_within(NOTHING).await, None);
    client.say(flush()).await;
    client.say(speak("word3 ")).await;
    client.say(flush()).await;
    let first = client.until(is_type("Flushed")).await;
    let second = client.until(is_type("Flushed")).await;
    assert_eq!((words_of(&first), words_of(&second)), (vec![1, 2], vec![3]));
    assert_eq!(second.last(), Some(&Got::Json(json!({"type": "Flushed", "sequence_id": 1}))));
}

#[tokio::test]
async fn clearing_stops_audio_but_for_what_is_on_its_way() {
    let fakes = Fakes::start().await.expect("a port");
    fakes.plan(DeepgramSpeak, paced());
    let mut client = Client::open(&fakes, DEEPGRAM).await;
    client.say(speak(&LONG.repeat(100))).await;
    client.say(flush()).await;
    client.until(|got| sound_of(got).is_some()).await;
    client.say(json!({"type": "Clear"})).await;
    let late = client.until(is_type("Cleared")).await;
    assert!(late.iter().any(|got| sound_of(got).is_some()), "nothing was on its way: {late:?}");
    assert!(late.len() < 100, "{} of about 300 messages came", late.len());
    client.say(speak("word2 ")).await;
    client.say(flush()).await;
    assert_eq!(words_of(&client.until(is_type("Flushed")).await), [2]);
}

#[tokio::test]
async fn the_twenty_first_flush_of_a_minute_is_dropped_with_a_warning() {
    let fakes = Fakes::start().await.expect("a port");
    let mut client = Client::open(&fakes, DEEPGRAM).await;
    for _ in 0..20 {
        client.say(flush()).await;
        client.until(is_type("Flushed")).await;
    }
    client.say(speak("word1 ")).await;
    client.say(flush()).await;
    assert!(is_type("Warning")(&client.next().await));
    assert_eq!(client.next_within(NOTHING).await, None);
}

#[tokio::test]
async fn closing_does_not_wait_for_audio() {
    let fakes = Fakes::start().await.expect("a port");
    fakes.plan(DeepgramSpeak, paced());
    let mut client = Client::open(&fakes, DEEPGRAM).await;
    client.say(speak(&LONG.repeat(100))).await;
    client.say(flush()).await;
    client.say(json!({"type": "Close"})).await;
    let all = client.until(is_end).await;
    assert_eq!(all.last(), Some(&Got::Closed(1000, String::new())));
    assert!(all.len() < 100, "{} of about 300 messages came", all.len());
}

#[tokio::test]
async fn what_can_not_be_understood_closes_the_socket() {
    let fakes = Fakes::start().await.expect("a port");
    let mut client = Client::open(&fakes, DEEPGRAM).await;
    client.say(json!({"type": "Sing"})).await;
    let all = client.until(is_end).await;
    assert!(matches!(all.last(), Some(Got::Closed(1008, why)) if why.starts_with("DATA-")), "{all:?}");
}

#[tokio::test]
async fn a_rate_that_does_not_go_with_the_encoding_is_refused() {
    let fakes = Fakes::start().await.expect("a port");
    for query in ["encoding=mulaw&sample_rate=24000", "encoding=linear16&sample_rate=11025", "encoding=mp3"] {
        let refused = Client::open_with(&fakes, &format!("/deepgram/v1/speak?{query}"), "good").await;
        assert_eq!(refused.err(), Some(400), "{query}");
    }
}
