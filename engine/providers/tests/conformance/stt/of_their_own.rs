//! What only some transcribers promise.

use std::time::Duration;

use parlance_fakes::{Fakes, Fault, Plan, Service};
use parlance_providers::ErrorKind;
use tokio::time::{Instant, sleep};

use super::call::{Call, SOON, names, spoken_us, words};
use super::{CARTESIA, DEEPGRAM, ELEVENLABS, FLUX, OPENAI, REALTIME, Row};

async fn ready(row: &Row, plan: Plan) -> (Fakes, Call) {
    let fakes = Fakes::start().await.unwrap();
    fakes.plan(row.stand_in, plan);
    let call = Call::open(row, &fakes);
    (fakes, call)
}

fn texts(fakes: &Fakes, service: Service) -> Vec<String> {
    fakes.seen(service).into_iter().filter(|seen| seen.what == "text").map(|seen| seen.detail).collect()
}

#[tokio::test]
async fn a_deepgram_stream_without_audio_is_kept_alive_in_text() {
    let (fakes, mut call) = ready(&DEEPGRAM, words()).await;
    call.say(&[0]);
    call.until(|told| !told.text().is_empty()).await;
    let deadline = Instant::now() + SOON;
    while !texts(&fakes, DEEPGRAM.stand_in).iter().any(|text| text.contains("KeepAlive")) {
        assert!(Instant::now() < deadline, "{:?}", texts(&fakes, DEEPGRAM.stand_in));
        sleep(Duration::from_millis(50)).await;
    }
    call.say(&[1]);
    let told = call.until(|told| told.text().len() == 1).await;
    assert_eq!(told.text(), names(&[1]));
    let empty = fakes.seen(DEEPGRAM.stand_in).iter().any(|seen| seen.what == "binary" && seen.detail == "0");
    assert!(!empty, "an empty binary message is the end of the stream");
}

#[tokio::test]
async fn flux_ends_a_turn_though_audio_stops_and_later_words_keep_their_times() {
    let (_fakes, mut call) = ready(&FLUX, words()).await;
    let rate = 16_000;
    let one = parlance_fakes::code::tune(0, rate);
    call.hear(&one);
    let told = call.until(|told| told.turns_ended == 1).await;
    assert_eq!(told.text(), names(&[0]));
    // Only what was fed counts as time, however much silence the vendor got.
    let began_us = call.say(&[1]);
    let told = call.until(|told| told.turns_ended == 1).await;
    let [word] = told.words()[..] else { panic!("{told:?}") };
    assert_eq!(word.text, names(&[1])[0]);
    assert!(word.start_us.abs_diff(began_us) < 15_000, "{word:?} is not at {began_us}");
    assert!(told.covers_us() <= call.fed_us, "{told:?}");
}

#[tokio::test]
async fn flux_is_fed_eighty_milliseconds_at_a_time() {
    let (fakes, mut call) = ready(&FLUX, words()).await;
    call.say(&[0, 1]);
    call.until(|told| told.turns_ended == 1).await;
    let lengths: Vec<_> =
        fakes.seen(FLUX.stand_in).into_iter().filter(|seen| seen.what == "binary").collect();
    let whole = lengths.iter().filter(|seen| seen.detail == "2560").count();
    // What is asked of a stream in between goes out behind what was fed before it, whole or not.
    assert!(whole + 4 >= lengths.len(), "{whole} of {}", lengths.len());
}

#[tokio::test]
async fn openai_is_sent_no_silence() {
    for row in [&OPENAI, &REALTIME] {
        let (fakes, mut call) = ready(row, words()).await;
        call.silence(20_000_000);
        call.say(&[0, 1]);
        let told = call.until(|told| told.text().len() == 2).await;
        assert_eq!(told.text(), names(&[0, 1]), "{}", row.name);
        let sent: usize = fakes.seen(row.stand_in).iter().map(sent_bytes).sum();
        let rate = if row.stream { 24_000 } else { 16_000 };
        let voiced = (spoken_us(2) * 2 * rate / 1_000_000) as usize;
        assert!(sent >= voiced && sent < 2 * rate as usize * 2, "{}: {sent} bytes", row.name);
    }
}

/// Bytes of audio in a message.
fn sent_bytes(seen: &parlance_fakes::Seen) -> usize {
    match seen.what.as_str() {
        "binary" => seen.detail.parse().unwrap(),
        "text" if seen.detail.contains("input_audio_buffer.append") => seen.detail.len() * 3 / 4,
        _ => 0,
    }
}

#[tokio::test]
async fn elevenlabs_takes_two_commits_within_a_moment() {
    let (fakes, mut call) = ready(&ELEVENLABS, words()).await;
    call.say(&[0, 1]);
    call.until(|told| told.text().len() == 2).await;
    for _ in 0..3 {
        call.silence(60_000);
        call.tell(parlance_providers::stt::Control::Finalize);
    }
    let fed_us = call.fed_us;
    let told = call.until(|told| told.covers_us() >= fed_us || !told.failures.is_empty()).await;
    assert_eq!(told.failures, []);
    let began_us = call.say(&[2]);
    let told = call.until(|told| !told.text().is_empty()).await;
    let [word] = told.words()[..] else { panic!("{told:?}") };
    assert!(word.start_us.abs_diff(began_us) < 15_000, "{word:?} is not at {began_us}");
    let commits = texts(&fakes, ELEVENLABS.stand_in);
    assert_eq!(commits.iter().filter(|text| text.contains(r#""commit":true"#)).count(), 5);
}

#[tokio::test]
async fn elevenlabs_blocked_account_is_told_with_what_to_do() {
    let plan = Plan { fault: Some(Fault::UnusualActivity), ..words() };
    let (_fakes, mut call) = ready(&ELEVENLABS, plan).await;
    let error = call.fails_with(&[ErrorKind::Blocked]).await;
    assert!(error.message.contains("paid plan"), "{error}");
}

#[tokio::test]
async fn a_finalize_with_nothing_to_settle_is_answered_all_the_same() {
    for row in [&OPENAI, &REALTIME, &ELEVENLABS, &CARTESIA] {
        let (_fakes, mut call) = ready(row, words()).await;
        call.silence(1_000_000);
        call.tell(parlance_providers::stt::Control::Finalize);
        call.tell(parlance_providers::stt::Control::Finalize);
        let told = call.until(|told| told.covers_us() == 1_000_000 || !told.failures.is_empty()).await;
        assert_eq!((told.covers_us(), told.text().len()), (1_000_000, 0), "{}: {told:?}", row.name);
    }
}
