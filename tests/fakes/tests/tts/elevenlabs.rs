//! ElevenLabs: contexts, buffers, keys and clocks of its sockets.

use super::*;
use parlance_fakes::Service::ElevenlabsMulti;
use tokio_tungstenite::tungstenite::http;

fn text(context: &str, text: &str) -> Value {
    json!({"text": text, "context_id": context})
}

fn flushed(context: &str, text: &str) -> Value {
    json!({"text": text, "context_id": context, "flush": true})
}

fn close(context: &str) -> Value {
    json!({"context_id": context, "close_context": true})
}

fn is_final(got: &Got) -> bool {
    matches!(got, Got::Json(json) if json["isFinal"] == true)
}

fn error_of(all: &[Got]) -> (&str, u16) {
    match all {
        [.., Got::Json(error), Got::Closed(code, _)] => (error["error"].as_str().expect("an error"), *code),
        other => panic!("no error and close: {other:?}"),
    }
}

#[tokio::test]
async fn flushed_text_is_spoken_and_ends_with_its_context_though_that_is_closed_meanwhile() {
    let fakes = Fakes::start().await.expect("a port");
    fakes.plan(ElevenlabsMulti, Plan { interval_ms: 20, ..Plan::default() });
    let mut client = Client::open(&fakes, ELEVENLABS).await;
    client.say(text("a", " ")).await;
    client.say(flushed("a", "word1 word2 word3 ")).await;
    client.say(close("a")).await;
    let all = client.until(is_final).await;
    assert_eq!(words_of(&all), [1, 2, 3]);
    assert!(all.iter().all(|got| matches!(got, Got::Json(json) if json["contextId"] == "a")), "{all:?}");
}

#[tokio::test]
async fn contexts_are_spoken_side_by_side() {
    let fakes = Fakes::start().await.expect("a port");
    fakes.plan(ElevenlabsMulti, Plan { first_ms: 300, ..Plan::default() });
    let mut client = Client::open(&fakes, ELEVENLABS).await;
    for (context, said) in [("a", LONG.repeat(40)), ("b", LONG.to_owned())] {
        client.say(text(context, " ")).await;
        client.say(flushed(context, &said)).await;
        client.say(close(context)).await;
    }
    let all = client.until(is_final).await;
    assert!(
        matches!(all.last(), Some(Got::Json(json)) if json["contextId"] == "b"),
        "the long one came first"
    );
    assert!(matches!(client.until(is_final).await.last(), Some(Got::Json(json)) if json["contextId"] == "a"));
}

#[tokio::test]
async fn pieces_without_a_space_between_them_are_one_word() {
    let fakes = Fakes::start().await.expect("a port");
    let mut client = Client::open(&fakes, ELEVENLABS).await;
    client.say(text("a", " ")).await;
    client.say(text("a", "word1")).await;
    client.say(flushed("a", "7 word2 ")).await;
    client.say(close("a")).await;
    assert_eq!(words_of(&client.until(is_final).await), [17, 2]);
}

#[tokio::test]
async fn text_waits_for_the_schedule_and_is_forgotten_with_its_context() {
    let fakes = Fakes::start().await.expect("a port");
    let mut client = Client::open(&fakes, ELEVENLABS).await;
    client.say(json!({"text": " ", "context_id": "a", "generation_config": {"chunk_length_schedule": [50, 200]}})).await;
    client.say(text("a", "word1 word2 ")).await;
    assert_eq!(client.next_within(NOTHING).await, None, "50 characters aren't there yet");
    client.say(text("a", "word3 word4 word5 word6 word7 word8 wo")).await;
    let mut all = Vec::new();
    while words_of(&all).len() < 8 {
        all.push(client.next().await);
    }
    client.say(text("a", "rd9 ")).await;
    client.say(close("a")).await;
    all.extend(client.until(is_final).await);
    assert_eq!(words_of(&all), [1, 2, 3, 4, 5, 6, 7, 8], "word9 was waiting for 200 characters");
}

#[tokio::test]
async fn in_auto_mode_every_message_is_spoken_at_once() {
    let fakes = Fakes::start().await.expect("a port");
    let mut client = Client::open(&fakes, &format!("{ELEVENLABS}&auto_mode=true")).await;
    client.say(text("a", " ")).await;
    client.say(text("a", "word5 word6. ")).await;
    let mut all = Vec::new();
    while words_of(&all) != [5, 6] {
        all.push(client.next().await);
    }
}

#[tokio::test]
async fn a_closed_context_stops_but_for_the_audio_on_its_way() {
    let fakes = Fakes::start().await.expect("a port");
    fakes.plan(ElevenlabsMulti, paced());
    let mut client = Client::open(&fakes, ELEVENLABS).await;
    // Begun by the schedule, not by a flush.
    client
        .say(json!({"text": " ", "context_id": "a", "generation_config": {"chunk_length_schedule": [50]}}))
        .await;
    client.say(text("a", &LONG.repeat(100))).await;
    let first = client.next().await;
    assert!(sound_of(&first).is_some(), "{first:?}");
    client.say(close("a")).await;
    let late = client.until(is_final).await;
    assert!(late.iter().any(|got| sound_of(got).is_some()), "nothing was on its way: {late:?}");
    assert!(late.len() < 100, "{} of about 300 messages came", late.len());
}

#[tokio::test]
async fn five_contexts_may_be_open_and_one_counts_until_its_end_was_told() {
    let fakes = Fakes::start().await.expect("a port");
    let mut client = Client::open(&fakes, ELEVENLABS).await;
    for context in ["a", "b", "c", "d", "e"] {
        client.say(text(context, " ")).await;
    }
    client.say(close("a")).await;
    client.until(is_final).await;
    client.say(text("f", " ")).await;
    assert_eq!(client.next_within(NOTHING).await, None, "five are open again");
    client.say(text("g", " ")).await;
    assert_eq!(error_of(&client.until(is_end).await), ("max_active_conversations", 1008));
}

#[tokio::test]
async fn alignment_begins_anew_in_each_message_and_is_as_long_as_its_audio() {
    let fakes = Fakes::start().await.expect("a port");
    let mut client = Client::open(&fakes, ELEVENLABS).await;
    client.say(text("a", " ")).await;
    client.say(flushed("a", "नमस्ते, word1 — a ")).await;
    client.say(close("a")).await;
    let all = client.until(is_final).await;
    let mut spoken = String::new();
    let messages = all.iter().filter_map(|got| match got {
        Got::Json(json) => Some((json, sound_of(got)?)),
        _ => None,
    });
    for (message, audio) in messages {
        let times = &message["alignment"];
        let list = |name: &str| times[name].as_array().expect("a list").clone();
        let [starts, lengths] = ["charStartTimesMs", "charDurationsMs"]
            .map(|name| list(name).iter().map(|ms| ms.as_u64().expect("ms")).collect::<Vec<_>>());
        assert_eq!(starts[0], 0);
        let ends: Vec<_> = starts.iter().zip(&lengths).map(|(start, length)| start + length).collect();
        assert_eq!(starts[1..], ends[..ends.len() - 1], "each begins where the one before ends");
        assert_eq!(ends.last(), Some(&(audio.len() as u64 / 8)));
        spoken.extend(list("chars").iter().map(|char| char.as_str().expect("a character").to_owned()));
    }
    assert_eq!(spoken, " नमस्ते, word1 — a ");
}

#[tokio::test]
async fn settings_that_come_late_or_change_close_the_socket() {
    let fakes = Fakes::start().await.expect("a port");
    let settings =
        |context: &str| json!({"text": " ", "context_id": context, "voice_settings": {"stability": 0.5}});
    // A keep-alive that comes first opens the context without settings.
    for first in [text("a", ""), text("a", " ")] {
        let mut client = Client::open(&fakes, ELEVENLABS).await;
        client.say(settings("b")).await;
        client.say(settings("b")).await;
        client.say(json!({"text": ""})).await;
        client.say(first).await;
        client.say(settings("a")).await;
        let end = client.until(is_end).await;
        assert!(
            matches!(end.last(), Some(Got::Closed(1008, why)) if why.contains("voice_settings")),
            "{end:?}"
        );
    }
}

#[tokio::test]
async fn a_context_without_text_runs_out_and_a_keep_alive_starts_its_clock_anew() {
    let fakes = Fakes::start().await.expect("a port");
    let mut client = Client::open(&fakes, &format!("{ELEVENLABS}&inactivity_timeout=3")).await;
    client.say(text("a", " ")).await;
    let began = std::time::Instant::now();
    assert_eq!(client.next_within(Duration::from_millis(1_500)).await, None);
    client.say(text("a", "")).await;
    let all = client.until(is_end).await;
    assert!(began.elapsed() >= Duration::from_millis(4_500), "{:?}", began.elapsed());
    assert_eq!(error_of(&all), ("input_timeout_exceeded", 1008));
    assert!(matches!(&all[0], Got::Json(error) if error["context_id"] == "a"), "{all:?}");
}

#[tokio::test]
async fn a_key_may_come_in_the_first_message_and_a_wrong_one_is_told_on_the_socket() {
    let fakes = Fakes::start().await.expect("a port");
    let without_key = |path: &str| http::Request::builder().uri(format!("ws://{}{path}", fakes.address()));
    for (key, is_right) in [("good", true), ("bad", false), ("", false)] {
        let mut request = fakes.base("x").replace("http", "ws").into_client_request().expect("a request");
        *request.uri_mut() = without_key(ELEVENLABS_SINGLE).body(()).expect("a request").uri().clone();
        let mut client = Client(connect_async(request).await.expect("the upgrade").0);
        client.say(json!({"text": " ", "xi_api_key": key})).await;
        if is_right {
            client.say(json!({"text": "word4 "})).await;
            client.say(json!({"text": ""})).await;
            let all = client.until(is_end).await;
            assert_eq!(words_of(&all), [4]);
            assert_eq!(all.last(), Some(&Got::Closed(1000, String::new())));
        } else {
            assert_eq!(error_of(&client.until(is_end).await), ("invalid_api_key", 1008));
        }
    }
}

#[tokio::test]
async fn the_single_socket_begins_with_a_space_and_ends_with_nothing() {
    let fakes = Fakes::start().await.expect("a port");
    let mut client = Client::open(&fakes, ELEVENLABS_SINGLE).await;
    client.say(json!({"text": "word1 "})).await;
    assert_eq!(error_of(&client.until(is_end).await), ("invalid_input_message", 1008));

    let mut client = Client::open(&fakes, ELEVENLABS_SINGLE).await;
    client.say(json!({"text": " "})).await;
    client.say(json!({"text": "word1 word2"})).await;
    client.say(json!({"text": ""})).await;
    let all = client.until(is_end).await;
    assert_eq!(words_of(&all), [1, 2]);
    let [.., last, Got::Closed(1000, _)] = all.as_slice() else { panic!("{all:?}") };
    assert_eq!(*last, Got::Json(json!({"audio": null, "isFinal": true})));
}

#[tokio::test]
async fn a_socket_closes_behind_what_was_flushed() {
    let fakes = Fakes::start().await.expect("a port");
    let mut client = Client::open(&fakes, ELEVENLABS).await;
    client.say(text("a", " ")).await;
    client.say(flushed("a", "word1 word2 ")).await;
    client.say(json!({"close_socket": true})).await;
    let all = client.until(is_end).await;
    assert_eq!(words_of(&all), [1, 2]);
    assert_eq!(all.last(), Some(&Got::Closed(1000, String::new())));
}

#[tokio::test]
async fn what_is_not_in_the_schema_closes_the_socket() {
    let fakes = Fakes::start().await.expect("a port");
    for message in [json!([1]), json!({"context_id": "a"}), json!({"flush": true})] {
        let mut client = Client::open(&fakes, ELEVENLABS).await;
        client.say(message).await;
        assert_eq!(error_of(&client.until(is_end).await), ("invalid_input_message", 1008));
    }
}
