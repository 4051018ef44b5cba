//! What fails: every fault of the list, what the sentence tells then, and that no word is told twice.

use super::*;

const TEXT: &str = "word1 word2 word3 word4 word5 word6 word7 word8";

/// The sentence fails behind this much audio: a true beginning of it, no word twice.
async fn fails(bench: &Bench, fault: Fault, kinds: &[ErrorKind]) -> Heard {
    let name = bench.row.name;
    bench.plan(Plan::failing(fault.clone()));
    let heard = bench.say(TEXT).await;
    let error = heard.error.clone().unwrap_or_else(|| panic!("{name} did not fail by {fault:?}"));
    assert!(kinds.contains(&error.kind), "{name}, {fault:?}: {error:?}");
    assert_eq!(error.provider, name);
    let words = heard.words();
    assert_eq!(words, numbers(TEXT)[..words.len()], "{name}, {fault:?}");
    heard
}

async fn completes(bench: &Bench, plan: Plan) {
    bench.plan(plan.clone());
    let heard = bench.say(TEXT).await;
    assert_eq!(heard.error, None, "{}, {plan:?}", bench.row.name);
    assert_eq!(heard.words(), numbers(TEXT), "{}, {plan:?}", bench.row.name);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_first_byte_is_waited_for() {
    every(async |bench: Bench| {
        completes(&bench, Plan::failing(Fault::SlowFirstByte { ms: 1_500 })).await;
        completes(&bench, Plan { handshake_ms: 700, ..Plan::default() }).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_voice_that_falls_silent_a_peer_that_is_gone_and_one_that_does_not_read_are_found_out() {
    let faults = [
        Fault::Silence { after: 0 },
        Fault::Silence { after: 4 },
        Fault::HalfOpen { after: 4 },
        Fault::BlockedSend,
    ];
    every_by(&faults, async |bench: Bench, fault| {
        let heard = fails(&bench, fault.clone(), &[ErrorKind::TimedOut]).await;
        let sounds = matches!(fault, Fault::Silence { after: 4 } | Fault::HalfOpen { .. });
        assert_eq!(!heard.samples.is_empty(), sounds, "{}, {fault:?}: what came stands", bench.row.name);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_that_fell_silent_is_left_for_a_fresh_one() {
    let faults = [Fault::Silence { after: 0 }, Fault::Silence { after: 4 }];
    every_by(&faults, async |bench: Bench, fault| {
        bench.plan(Plan::failing(fault.clone()).times(1));
        let mut speaker = bench.open();
        let lost = say(&mut *speaker, TEXT).await;
        assert_eq!(lost.error.unwrap().kind, ErrorKind::TimedOut, "{}, {fault:?}", bench.row.name);
        let heard = say(&mut *speaker, "word40 word41").await;
        assert_eq!(
            (heard.error.clone(), heard.words()),
            (None, vec![40, 41]),
            "{}, {fault:?}",
            bench.row.name
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_cut_in_mid_sentence_fails_it_and_repeats_nothing() {
    every(async |bench: Bench| {
        let heard = fails(&bench, Fault::Drop { after: 4 }, &[ErrorKind::Unavailable]).await;
        assert!(!heard.samples.is_empty(), "{}", bench.row.name);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_that_breaks_before_any_audio_is_replaced_once_and_the_sentence_spoken_again() {
    let faults = [Fault::Drop { after: 0 }, Fault::HalfOpen { after: 0 }, Fault::Malformed { after: 0 }];
    every_by(&faults, async |bench: Bench, fault| {
        if !bench.row.has_socket {
            return;
        }
        completes(&bench, Plan::failing(fault.clone()).times(1)).await;
        let before = bench.connections();
        fails(&bench, fault, &[ErrorKind::Unavailable, ErrorKind::TimedOut, ErrorKind::Protocol]).await;
        assert_eq!(bench.connections() - before, 2, "{}", bench.row.name);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_can_not_be_parsed_fails_the_sentence() {
    every(async |bench: Bench| {
        let kinds: &[ErrorKind] = match bench.row.has_socket {
            true => &[ErrorKind::Protocol],
            // Half a line or half a sample, and a cut.
            false => &[ErrorKind::Protocol, ErrorKind::Unavailable],
        };
        let heard = fails(&bench, Fault::Malformed { after: 4 }, kinds).await;
        assert!(!heard.samples.is_empty(), "{}", bench.row.name);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_key_is_named_with_the_fix_and_never_shown() {
    every(async |bench: Bench| {
        let heard = fails(&bench, Fault::Unauthorized, &[ErrorKind::Unauthorized]).await;
        assert!(heard.samples.is_empty());
        assert!(heard.error.unwrap().message.contains("check"), "{}", bench.row.name);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_used_up_quota_is_no_rate_limit() {
    every(async |bench: Bench| {
        let heard = fails(&bench, Fault::Quota, &[ErrorKind::OutOfCredit]).await;
        assert!(heard.error.unwrap().message.contains("top up"), "{}", bench.row.name);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rate_limit_says_how_long_to_wait_and_which_request_it_was() {
    every(async |bench: Bench| {
        let heard = fails(&bench, Fault::RateLimited { retry_after_s: 7 }, &[ErrorKind::RateLimited]).await;
        let error = heard.error.unwrap();
        assert_eq!(error.retry_after, Some(Duration::from_secs(7)), "{}", bench.row.name);
        assert!(error.request_id.is_some(), "{}: {error:?}", bench.row.name);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_vendors_own_fault_is_worth_another_try() {
    every(async |bench: Bench| {
        fails(&bench, Fault::ServerError, &[ErrorKind::Unavailable]).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_nobody_knows_is_passed_over() {
    every(async |bench: Bench| {
        completes(&bench, Plan::failing(Fault::UnknownType { after: 2 })).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sentence_that_comes_back_without_audio_has_failed() {
    every(async |bench: Bench| {
        fails(&bench, Fault::Empty, &[ErrorKind::Empty]).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_told_after_all_was_accepted_is_an_error() {
    every(async |bench: Bench| {
        let kinds = [ErrorKind::Unavailable, ErrorKind::RateLimited];
        let heard = fails(&bench, Fault::ErrorInside { after: 4 }, &kinds).await;
        assert!(!heard.samples.is_empty(), "{}: what came before stands", bench.row.name);
        fails(&bench, Fault::ErrorInside { after: 0 }, &kinds).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_closed_while_nobody_spoke_is_opened_again_for_the_next_sentence() {
    every(async |bench: Bench| {
        if !bench.row.has_socket {
            return;
        }
        bench.plan(Plan::failing(Fault::Flap).times(1));
        let mut speaker = bench.open();
        bench.until_seen("closed", |_| true).await;
        let heard = say(&mut *speaker, TEXT).await;
        assert_eq!((heard.error.clone(), heard.words()), (None, numbers(TEXT)), "{}", bench.row.name);
        assert_eq!(bench.connections(), 2, "{}", bench.row.name);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_vendor_that_accepts_and_closes_for_ever_is_given_up() {
    every(async |bench: Bench| {
        bench.plan(Plan { first_ms: 200, ..Plan::failing(Fault::Flap) });
        let heard = bench.say(TEXT).await;
        assert_eq!(heard.error.unwrap().kind, ErrorKind::Unavailable, "{}", bench.row.name);
        assert!(bench.connections() <= 3, "{}", bench.row.name);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_speaks_on_after_a_sentence_that_failed() {
    every(async |bench: Bench| {
        for fault in [Fault::Drop { after: 2 }, Fault::ServerError, Fault::ErrorInside { after: 2 }] {
            bench.plan(Plan::failing(fault.clone()).times(1));
            let mut speaker = bench.open();
            drop(say(&mut *speaker, TEXT).await);
            let heard = say(&mut *speaker, "word40 word41").await;
            assert_eq!(heard.error, None, "{}, {fault:?}", bench.row.name);
            assert_eq!(heard.words(), [40, 41], "{}, {fault:?}", bench.row.name);
        }
    })
    .await;
}
