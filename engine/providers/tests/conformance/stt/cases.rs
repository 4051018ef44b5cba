//! What is asked of every transcriber.

use std::time::Duration;

use parlance_fakes::{Fakes, Fault, Plan};
use parlance_providers::ErrorKind;

use super::Row;
use super::call::{Call, SOON, Told, names, spoken_us, words};

const ALL: [u16; 5] = [0, 1, 2, 3, 4];
/// A stand-in hears a tune to 5 ms, and vendors tell milliseconds.
const TOLERANCE_US: u64 = 15_000;

async fn planned(row: &Row, plan: Plan) -> Fakes {
    let fakes = Fakes::start().await.unwrap();
    fakes.plan(row.stand_in, plan);
    fakes
}

async fn failing(row: &Row, fault: Fault) -> Fakes {
    planned(row, Plan { fault: Some(fault), ..words() }).await
}

/// Says all words and hears that each was heard once, at its time.
async fn hears_all(row: &Row, call: &mut Call, said: &[u16]) -> Told {
    let began_us = call.say(said);
    let until_us = began_us + spoken_us(said.len());
    let told = call
        .until(|told| {
            let all = told.text().len() >= said.len() && told.covers_us() >= until_us;
            !told.failures.is_empty() || all && (!row.turns || told.turns_ended > 0)
        })
        .await;
    assert_eq!(told.failures, []);
    assert_eq!(told.text(), names(said), "{told:?}");
    assert!(told.covers_us() <= call.fed_us, "{} of {}", told.covers_us(), call.fed_us);
    if row.timed {
        let heard = told.words();
        assert_eq!(heard.iter().map(|word| word.text.as_str()).collect::<Vec<_>>(), names(said));
        for (index, word) in heard.iter().enumerate() {
            let start_us = began_us + spoken_us(index);
            assert!(word.start_us.abs_diff(start_us) <= TOLERANCE_US, "{word:?} is not at {start_us}");
            assert!(word.end_us > word.start_us && word.end_us <= start_us + spoken_us(1) + TOLERANCE_US);
        }
    }
    told
}

pub async fn words_are_told_once_each_at_their_times(row: &Row) {
    let fakes = planned(row, words()).await;
    let mut call = Call::open(row, &fakes);
    let told = hears_all(row, &mut call, &ALL).await;
    assert_eq!(told.opened, u32::from(row.stream));
    let every_one_covers =
        told.slices.iter().chain(&told.interims).all(|told| told.covers_until_us.is_some());
    assert!(every_one_covers, "{told:?}");
}

pub async fn a_second_turn_begins_where_the_first_ended(row: &Row) {
    // The upgrade takes its time, and nothing that is fed meanwhile is lost.
    let fakes = planned(row, Plan { handshake_ms: 400, ..words() }).await;
    let mut call = Call::open(row, &fakes);
    hears_all(row, &mut call, &ALL[..2]).await;
    call.next_turn();
    hears_all(row, &mut call, &[7, 8]).await;
    call.next_turn();
    hears_all(row, &mut call, &ALL[3..]).await;
}

pub async fn mu_law_goes_through_as_it_is(row: &Row) {
    let fakes = planned(row, words()).await;
    let mut call = Call::open_as(row, &fakes, super::call::KEY, true);
    hears_all(row, &mut call, &ALL).await;
    let named = ["mulaw", "ulaw_8000", "pcmu"];
    let asked = fakes.seen(row.stand_in);
    let says = asked.iter().any(|seen| named.iter().any(|name| seen.detail.contains(name)));
    assert_eq!(says, row.mu_law);
}

pub async fn a_slow_first_word_is_no_failure(row: &Row) {
    let fakes = failing(row, Fault::SlowFirstByte { ms: 1_500 }).await;
    hears_all(row, &mut Call::open(row, &fakes), &ALL).await;
}

pub async fn silence_in_mid_stream_brings_at_most_one_failure(row: &Row) {
    let fakes = failing(row, Fault::Silence { after: 1 }).await;
    let mut call = Call::open(row, &fakes);
    call.say(&ALL);
    let told = call.until_within(Duration::from_secs(2), |_| false).await;
    assert!(told.failures.len() <= 1 && told.late == 0 && told.replaced == 0, "{told:?}");
    assert!(told.text().len() < ALL.len(), "{told:?}");
}

pub async fn a_cut_in_mid_stream_is_one_failure(row: &Row) {
    let fakes = failing(row, Fault::Drop { after: 1 }).await;
    let mut call = Call::open(row, &fakes);
    call.say(&ALL);
    call.fails_with(&[ErrorKind::Unavailable]).await;
}

pub async fn a_wrong_key_is_refused_and_never_shown(row: &Row) {
    let fakes = planned(row, words()).await;
    let key = "sk-a-wrong-key";
    let mut call = Call::open_as(row, &fakes, key, false);
    call.say(&ALL);
    let error = call.fails_with(&[ErrorKind::Unauthorized]).await;
    assert!(!format!("{error:?}").contains(key), "{error:?}");
    assert!(error.message.contains("check the key"), "{error}");
}

pub async fn a_used_up_quota_is_told_from_too_many_requests(row: &Row) {
    let fakes = failing(row, Fault::Quota).await;
    let mut call = Call::open(row, &fakes);
    call.say(&ALL);
    let error = call.fails_with(&[ErrorKind::OutOfCredit]).await;
    assert!(error.message.contains("top up"), "{error}");
}

pub async fn too_many_requests_come_with_the_wait(row: &Row) {
    let fakes = failing(row, Fault::RateLimited { retry_after_s: 7 }).await;
    let mut call = Call::open(row, &fakes);
    call.say(&ALL);
    let error = call.fails_with(&[ErrorKind::RateLimited]).await;
    assert_eq!(error.retry_after, Some(Duration::from_secs(7)));
    assert!(error.request_id.is_some(), "{error:?}");
}

pub async fn a_server_error_may_pass(row: &Row) {
    let fakes = failing(row, Fault::ServerError).await;
    let mut call = Call::open(row, &fakes);
    call.say(&ALL);
    call.fails_with(&[ErrorKind::Unavailable]).await;
}

pub async fn a_broken_frame_is_one_failure(row: &Row) {
    let fakes = failing(row, Fault::Malformed { after: 1 }).await;
    let mut call = Call::open(row, &fakes);
    call.say(&ALL);
    call.fails_with(&[row.malformed]).await;
}

pub async fn an_unknown_message_is_ignored(row: &Row) {
    let fakes = failing(row, Fault::UnknownType { after: 1 }).await;
    hears_all(row, &mut Call::open(row, &fakes), &ALL).await;
}

pub async fn messages_in_pieces_are_put_together(row: &Row) {
    let fakes = failing(row, Fault::Fragment).await;
    hears_all(row, &mut Call::open(row, &fakes), &ALL).await;
}

pub async fn a_peer_that_is_gone_is_found_out(row: &Row) {
    let fakes = failing(row, Fault::HalfOpen { after: 1 }).await;
    let mut call = Call::open(row, &fakes);
    call.say(&ALL);
    call.fails_with(&[ErrorKind::TimedOut]).await;
}

pub async fn a_peer_that_does_not_read_is_found_out(row: &Row) {
    let fakes = failing(row, Fault::BlockedSend).await;
    let mut call = Call::open(row, &fakes);
    call.say(&ALL);
    call.fails_with(&[ErrorKind::TimedOut]).await;
}

pub async fn dropping_it_closes_the_stream(row: &Row) {
    // The answer to a posted stretch is awaited when it is dropped; a stream has told its first words.
    let first_ms = if row.stream { 0 } else { 2_000 };
    let fakes = planned(row, Plan { first_ms, ..words() }).await;
    let mut call = Call::open(row, &fakes);
    call.say(&ALL);
    if row.stream {
        call.until(|told| !told.interims.is_empty()).await;
    } else {
        seen(row, &fakes, "text").await;
    }
    call.listener = None;
    seen(row, &fakes, if row.stream { "close" } else { "gone" }).await;
    // The sink is let go: whatever was told, nothing more will be.
    let rest = call.until(|_| false).await;
    assert_eq!(rest.failures, []);
}

/// Waits until the stand-in has seen this.
async fn seen(row: &Row, fakes: &Fakes, what: &str) {
    let deadline = tokio::time::Instant::now() + SOON;
    while !fakes.seen(row.stand_in).iter().any(|seen| seen.what == what) {
        assert!(tokio::time::Instant::now() < deadline, "{what} never came: {:?}", fakes.seen(row.stand_in));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

pub async fn twelve_seconds_of_words_are_all_there(row: &Row) {
    let fakes = planned(row, words()).await;
    let many: Vec<u16> = (0..50).collect();
    hears_all(row, &mut Call::open(row, &fakes), &many).await;
}

pub async fn an_empty_result_is_no_failure(row: &Row) {
    let fakes = failing(row, Fault::Empty).await;
    let mut call = Call::open(row, &fakes);
    let until_us = call.say(&ALL) + spoken_us(ALL.len());
    let told = call.until(|told| told.covers_us() >= until_us || !told.failures.is_empty()).await;
    assert_eq!(told.failures, []);
    assert!(told.covers_us() >= until_us, "{told:?}");
    assert_eq!(told.text(), Vec::<&str>::new());
}

pub async fn an_error_inside_the_stream_is_one_failure(row: &Row) {
    let fakes = failing(row, Fault::ErrorInside { after: 1 }).await;
    let mut call = Call::open(row, &fakes);
    call.say(&ALL);
    let error = call.fails_with(&[ErrorKind::Unavailable]).await;
    assert!(error.request_id.is_some(), "{error:?}");
}

pub async fn a_stream_that_is_closed_at_once_is_one_failure(row: &Row) {
    let fakes = failing(row, Fault::Flap).await;
    let mut call = Call::open(row, &fakes);
    call.say(&ALL);
    call.fails_with(&[ErrorKind::Unavailable]).await;
}

pub async fn a_vendor_that_is_not_there_is_one_failure(row: &Row) {
    let fakes = planned(row, words()).await;
    let gone = Row { vendor: "nowhere", ..*row };
    let mut call = Call::open(&gone, &fakes);
    call.say(&ALL);
    call.fails_with(&[ErrorKind::Invalid]).await;
    let fakes = Fakes::start().await.unwrap();
    let address = fakes.base(row.vendor);
    drop(fakes);
    // A port that nobody listens on any more.
    let mut call = Call::open_at(row, address);
    call.say(&ALL);
    call.fails_with(&[ErrorKind::Unavailable]).await;
}
