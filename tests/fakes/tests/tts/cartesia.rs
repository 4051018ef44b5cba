//! Cartesia: contexts, buffers and word times.

use super::*;
use parlance_fakes::Service::CartesiaTts;

fn message(context: &str, transcript: &str, more: Value) -> Value {
    let mut message = json!({
        "context_id": context, "transcript": transcript, "model_id": "sonic-3", "voice": {"id": "v"},
        "output_format": {"container": "raw", "encoding": "pcm_mulaw", "sample_rate": 8000},
        "add_timestamps": true, "max_buffer_delay_ms": 0, "continue": true,
    });
    for (name, value) in more.as_object().expect("fields") {
        message[name] = value.clone();
    }
    message
}

fn last() -> Value {
    json!({"continue": false})
}

fn is_error(got: &Got) -> bool {
    is_type("error")(got)
}

#[tokio::test]
async fn transcripts_are_joined_as_they_are() {
    let fakes = Fakes::start().await.expect("a port");
    let mut client = Client::open(&fakes, CARTESIA).await;
    client.say(message("a", "word1 word", json!({}))).await;
    client.say(message("a", "7. ", json!({}))).await;
    client.say(message("a", "", last())).await;
    assert_eq!(words_of(&client.until(is_type("done")).await), [1, 7]);
}

#[tokio::test]
async fn word_times_count_from_the_start_of_the_context_and_never_go_back() {
    let fakes = Fakes::start().await.expect("a port");
    let mut client = Client::open(&fakes, CARTESIA).await;
    client.say(message("a", "word1 word2. ", json!({}))).await;
    client.say(message("a", "word3 word4.", last())).await;
    let all = client.until(is_type("done")).await;
    let (mut words, mut times) = (Vec::new(), Vec::new());
    for got in &all {
        let Got::Json(json) = got else { continue };
        let list = |name: &str| json["word_timestamps"][name].as_array().cloned().unwrap_or_default();
        words.extend(list("words").iter().map(|word| word.as_str().expect("a word").to_owned()));
        for (start, end) in list("start").iter().zip(list("end")) {
            times.extend([start.as_f64().expect("seconds"), end.as_f64().expect("seconds")]);
        }
    }
    assert_eq!(words, ["word1", "word2.", "word3", "word4."]);
    assert_eq!(times.len(), 8);
    assert!(times.is_sorted(), "{times:?}");
    let bytes: usize = all.iter().filter_map(sound_of).map(|sound| sound.len()).sum();
    assert!(times[7] > 1.0 && times[7] <= bytes as f64 / 8_000.0, "{times:?} in {bytes} bytes");
}

#[tokio::test]
async fn text_waits_for_the_buffer_delay() {
    let fakes = Fakes::start().await.expect("a port");
    let mut client = Client::open(&fakes, CARTESIA).await;
    let began = std::time::Instant::now();
    client.say(message("a", "word1 ", json!({"max_buffer_delay_ms": 500}))).await;
    let first = client.next().await;
    assert!(sound_of(&first).is_some(), "{first:?}");
    assert!(began.elapsed() >= Duration::from_millis(500), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_flush_is_numbered_and_told() {
    let fakes = Fakes::start().await.expect("a port");
    let mut client = Client::open(&fakes, CARTESIA).await;
    for number in [1, 2] {
        client.say(message("a", "word1 word2", json!({"flush": true, "max_buffer_delay_ms": 5_000}))).await;
        let all = client.until(is_type("flush_done")).await;
        assert_eq!(words_of(&all), [1, 2]);
        assert!(
            all.iter().all(|got| matches!(got, Got::Json(json) if json["flush_id"] == number)),
            "{all:?}"
        );
    }
    client.say(message("a", "", last())).await;
    assert_eq!(client.until(is_type("done")).await.len(), 1);
}

#[tokio::test]
async fn a_cancelled_context_stops_but_for_the_audio_on_its_way_and_others_go_on() {
    let fakes = Fakes::start().await.expect("a port");
    fakes.plan(CartesiaTts, paced());
    let mut client = Client::open(&fakes, CARTESIA).await;
    client.say(message("a", &LONG.repeat(100), json!({}))).await;
    client.until(|got| sound_of(got).is_some()).await;
    client.say(json!({"context_id": "a", "cancel": true})).await;
    client.say(message("b", "word2 word3", last())).await;
    let all = client.until(is_type("done")).await;
    let of = |context: &str| {
        let wanted = |got: &&Got| matches!(got, Got::Json(json) if json["context_id"] == context);
        all.iter().filter(wanted).cloned().collect::<Vec<_>>()
    };
    let late = of("a");
    assert!(late.iter().any(|got| sound_of(got).is_some()), "nothing was on its way: {all:?}");
    assert!(late.len() < 100, "{} of about 300 messages came", late.len());
    assert!(!late.iter().any(is_type("done")));
    assert_eq!(words_of(&of("b")), [2, 3]);
}

#[tokio::test]
async fn what_a_context_began_with_can_not_change() {
    let fakes = Fakes::start().await.expect("a port");
    let mut client = Client::open(&fakes, CARTESIA).await;
    client.say(message("a", "word1. ", json!({}))).await;
    client.say(message("a", "word2. ", json!({"voice": {"id": "other"}}))).await;
    assert!(client.until(is_error).await.iter().any(|got| sound_of(got).is_some()));
    client.say(message("b", "", last())).await;
    assert!(is_error(&client.next().await), "nothing to say");
    client.say(json!({"transcript": "word1"})).await;
    assert!(is_error(&client.next().await), "no context");
}

#[tokio::test]
async fn a_context_is_forgotten_a_second_after_its_last_sound() {
    let fakes = Fakes::start().await.expect("a port");
    let mut client = Client::open(&fakes, CARTESIA).await;
    client.say(message("a", "word1. ", json!({}))).await;
    while client.next_within(Duration::from_millis(1_500)).await.is_some() {}
    client.say(message("a", "word2. ", json!({"voice": {"id": "other"}}))).await;
    let all = client.until(is_type("timestamps")).await;
    let times = all.last().cloned();
    assert!(
        matches!(times, Some(Got::Json(json)) if json["word_timestamps"]["start"] == json!([0.0])),
        "{all:?}"
    );
}

#[tokio::test]
async fn a_version_is_required() {
    let fakes = Fakes::start().await.expect("a port");
    assert_eq!(Client::open_with(&fakes, "/cartesia/tts/websocket", "good").await.err(), Some(400));
}
