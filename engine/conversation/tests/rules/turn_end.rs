//! E: when a silent caller has finished the turn.

use std::time::Duration;

use parlance_conversation::*;

use crate::agents::{booking, greeting, model};
use crate::session::{Session, ms};

/// When the turn was decided, after the last voiced sample.
fn waited(policy: Policy, words: &str) -> u64 {
    let mut call = Session::new(policy);
    call.says(6_000, 7_000, words).run(12_000);
    call.when("ended t1") - 7_000
}

#[test]
fn e1_the_wait_depends_on_the_words_and_on_what_was_asked() {
    let asks = |question: &str| greeting(question);
    for (policy, words, wait) in [
        (asks("Is that right?"), "yes", 250),
        (asks("Friday or Saturday?"), "Saturday", 250),
        (model(), "I'd like to book a table.", 250),
        (model(), "I'd like to book a table", 400),
        (model(), "I'd like to book a table for", 800),
        (model(), "I'd like to book, um", 800),
        (model(), "a table, a chair,", 800),
        (asks("What is your phone number?"), "five five five", 1_000),
        (booking(), "Saturday", 250),
        (booking(), "well I think", 400),
    ] {
        assert_eq!(waited(policy, words), wait, "{words}");
    }
}

#[test]
fn e1_responsiveness_sets_the_wait_within_its_bounds() {
    let patient = |responsiveness: f64| {
        let mut policy = model();
        policy.turn_taking.responsiveness = responsiveness;
        policy
    };
    for (responsiveness, words, wait) in [
        (0.0, "book a table", 1_200),
        (0.3, "book a table", 900),
        (1.0, "book a table", 250),
        (0.0, "a table for", 2_400),
        (7.0, "book a table", 250),
    ] {
        assert_eq!(waited(patient(responsiveness), words), wait, "{responsiveness} {words}");
    }
}

#[test]
fn e2_voice_without_words_is_no_turn_and_words_that_come_later_are_one() {
    let mut call = Session::new(model());
    call.voice(1_000, 1_500).listened(1_650, 1_600).run(5_000);
    call.never("turn").never("ended t");

    let mut call = Session::new(model());
    call.voice(1_000, 1_500).plain(3_000, TranscriptKind::Slice, "book a table", Some(1_600)).run(6_000);
    call.in_order(&["turn t1", "ended t1"]);
}

#[test]
fn e3_an_unsettled_turn_is_decided_at_settlement_but_not_before_its_wait() {
    for (final_at, decided) in [(2_150, 2_400), (2_550, 2_550)] {
        let mut call = Session::new(model());
        call.voice(1_000, 2_000).plain(1_700, TranscriptKind::Interim, "book a table", Some(1_600));
        call.plain(final_at, TranscriptKind::Slice, "book a table", Some(2_050)).run(4_000);
        assert_eq!(call.when("finalize"), 2_100);
        assert_eq!(call.when("ended t1 silence"), decided);
    }
}

#[test]
fn e3_words_of_a_transcriber_that_went_mute_are_waited_for_while_another_catches_up() {
    let mut policy = model();
    policy.transcriber.recovery = Duration::from_millis(4_000);
    for (watermark, decided) in [(700, 6_000), (1_600, 2_800)] {
        let mut call = Session::new(policy.clone());
        call.voice(1_000, 2_000).plain(1_700, TranscriptKind::Interim, "book a", Some(watermark)).run(9_000);
        assert_eq!(call.when("ended t1 max_wait"), decided, "what there is, in the end");
    }
    let mut call = Session::new(policy);
    call.voice(1_000, 2_000).plain(1_700, TranscriptKind::Interim, "book a", Some(700));
    call.plain(4_500, TranscriptKind::Slice, "book a table", Some(4_400)).run(9_000);
    assert_eq!(call.when("ended t1 silence"), 4_500);
}

#[test]
fn e3_what_a_transcriber_covered_that_was_replaced_is_listened_to_again() {
    let mut call = Session::new(model());
    call.voice(1_000, 2_000).plain(1_900, TranscriptKind::Slice, "", Some(2_000));
    let from = CallTime::from_micros(900_000);
    call.post(2_050, Input::TranscriberReplaced { transcriber: Transcriber::default(), from });
    call.plain(2_450, TranscriptKind::Interim, "book", Some(1_200));
    call.plain(2_480, TranscriptKind::Slice, "book a table", Some(2_400)).run(5_000);
    call.in_order(&["ended t1 silence", "said 1 caller: book a table"]);
}

#[test]
fn e3_without_a_watermark_the_learnt_lag_settles() {
    let mut policy = model();
    policy.transcriber = Transcriber {
        interims: true,
        watermark: false,
        lag_p95: Duration::from_millis(500),
        ..Transcriber::default()
    };
    let mut call = Session::new(policy.clone());
    call.voice(1_000, 2_000).plain(1_700, TranscriptKind::Interim, "book a table", None).run(4_000);
    assert_eq!(call.when("ended t1 silence"), 2_500);

    let mut call = Session::new(policy);
    call.answer(100, "Sure.").voice(1_000, 2_000).plain(2_900, TranscriptKind::Slice, "book a table", None);
    call.voice(8_000, 9_000).plain(8_700, TranscriptKind::Interim, "for four", None).run(12_000);
    assert!(call.when("ended t2 silence") > 9_800, "the lag of 900 ms was learnt");
}

#[test]
fn e4_voice_that_resumes_before_the_decision_is_the_same_turn() {
    let mut call = Session::new(model());
    call.says(1_000, 2_000, "book a table").says(2_300, 2_900, "for four").run(6_000);
    assert_eq!(call.count("ended t"), 1);
    call.in_order(&["ended t1 silence", "said 1 caller: book a table for four"]);
}

#[test]
fn e5_the_providers_end_of_turn_counts_when_it_is_trusted() {
    for (trusted, decided) in [(true, 2_160), (false, 2_400)] {
        let mut policy = model();
        policy.turn_taking.trust_provider_turns = trusted;
        let mut call = Session::new(policy);
        call.says(1_000, 2_000, "book a table")
            .post(2_160, Input::ProviderTurn { signal: TurnSignal::End })
            .run(4_000);
        assert_eq!(call.when("ended t1"), decided);
        assert_eq!(call.find("ended t1 provider").is_some(), trusted);
    }
}

/// A transcriber that decides turns, and is trusted to.
fn decided_elsewhere(policy: Policy) -> Policy {
    let mut policy = policy;
    policy.turn_taking.trust_provider_turns = true;
    policy.transcriber.turns = true;
    policy
}

#[test]
fn e5_a_pause_that_a_trusted_provider_takes_for_no_end_is_none() {
    for (decides, turns) in [(true, 1), (false, 2)] {
        let mut policy = decided_elsewhere(model());
        policy.transcriber.turns = decides;
        let mut call = Session::new(policy);
        call.answer(3_000, "I see.").answer(3_000, "I see.");
        call.says(1_000, 2_000, "book a table").says(3_100, 3_600, "and some chairs please");
        call.post(3_900, Input::ProviderTurn { signal: TurnSignal::End }).run(6_000);
        assert_eq!(call.count("ended t"), turns, "{}", call.text());
    }
    let mut call = Session::new(decided_elsewhere(model()));
    call.says(1_000, 2_000, "book a table").post(2_700, Input::ProviderTurn { signal: TurnSignal::End });
    call.run(4_000);
    call.in_order(&["wait t1 4000 provider", "ended t1 provider"]);
    assert_eq!(call.when("ended t1"), 2_700);
}

#[test]
fn e5_silence_ends_the_turn_after_two_seconds_where_the_trusted_provider_never_does() {
    let mut call = Session::new(decided_elsewhere(model()));
    call.says(1_000, 2_000, "book a table").run(6_000);
    assert_eq!(call.when("ended t1 silence"), 4_000);

    let mut call = Session::new(decided_elsewhere(model()));
    call.says(1_000, 2_000, "book a table");
    let from = CallTime::from_micros(2_000_000);
    call.post(2_200, Input::TranscriberReplaced { transcriber: Transcriber::default(), from }).run(6_000);
    assert!(call.when("ended t1") < 3_500, "who listens now decides no turns\n{}", call.text());
}

#[test]
fn e5_a_complete_answer_waits_for_no_provider() {
    let mut call = Session::new(decided_elsewhere(booking()));
    call.says(4_000, 4_500, "Friday").run(9_000);
    assert_eq!(call.when("ended t1 value_complete"), 4_750);
}

#[test]
fn e5_an_end_that_was_told_before_the_words_were_a_turn_is_not_waited_for_again() {
    let mut call =
        Session::new(decided_elsewhere(greeting("Hello there. Which of our two rooms would you like?")));
    // The detector hears the room on; the words may still become "okay, but".
    call.voice(2_850, 3_500).plain(3_050, TranscriptKind::Slice, "okay", Some(3_040));
    call.post(3_060, Input::ProviderTurn { signal: TurnSignal::End }).listened(3_650, 3_600).run(8_000);
    assert!(call.when("turn t1") > 3_060, "{}", call.text());
    assert!(call.when("ended t1 silence") < 4_500, "{}", call.text());
}

#[test]
fn e5_a_turn_that_the_engine_closed_at_the_provider_is_not_waited_for() {
    let mut policy = decided_elsewhere(booking());
    let Responder::Flow { flow } = &policy.responder else { panic!("it has a flow") };
    let mut flow = serde_json::to_value(&**flow).expect("it can be written");
    flow["nodes"]["more"] = flow["nodes"]["ask"].clone();
    flow["nodes"]["book"]["next"] = "more".into();
    let flow = serde_json::from_value(flow).expect("a flow");
    policy.responder = Responder::Flow { flow: std::sync::Arc::new(flow) };
    let mut call = Session::new(policy);
    call.tool_delay = Some(3_000);
    call.says(4_000, 4_500, "Friday").says(8_000, 8_300, "yes").voice(11_000, 12_000);
    call.plain(11_300, TranscriptKind::Interim, "tell me", Some(11_250));
    // The tool is over, the next answer expected, and with that the provider's turn closed.
    call.plain(12_150, TranscriptKind::Slice, "tell me", Some(12_100)).run(16_000);
    call.in_order(&["turn t3", "tool over i1", "expect", "ended t3"]);
    assert!(call.when("ended t3") < 13_500, "{}", call.text());
}

#[test]
fn e5_voice_without_words_is_no_end_where_the_provider_decides() {
    for (decides, wait) in [(true, 2_600), (false, 1_000)] {
        let mut policy = decided_elsewhere(model());
        policy.transcriber.turns = decides;
        let mut call = Session::new(policy);
        call.post(1_050, Input::CallerVoiceStarted { at: ms(1_000) }).words(1_000, 2_000, "book a table");
        for covers in (2_200..6_000).step_by(200) {
            call.listened(covers + 50, covers);
        }
        call.run(6_000);
        let waited = call.when("ended t1 max_wait") - 2_000;
        assert!((wait..=wait + 250).contains(&waited), "{waited}\n{}", call.text());
    }
}

#[test]
fn e6_a_turn_is_joined_at_most_twice() {
    let mut call = Session::new(model());
    for _ in 0..4 {
        call.answer(2_000, "I see.");
    }
    for (i, words) in ["one table", "two chairs", "three plates", "four forks"].iter().enumerate() {
        let from = 1_000 + 1_500 * i as u64;
        call.says(from, from + 500, words);
    }
    call.run(12_000);
    assert_eq!(call.count("reopened t1"), 2);
    call.in_order(&["reopened t1 r1", "reopened t1 r2", "cancel r3", "turn t2", "ended t2", "over r4 heard"]);
    let callers: Vec<Message> =
        call.context().into_iter().filter(|message| matches!(message, Message::Caller { .. })).collect();
    assert_eq!(callers.len(), 2);
}

#[test]
fn e6_backchannels_and_noise_do_not_cancel_a_reply_that_is_being_made() {
    let mut call = Session::new(model());
    call.answer(2_000, "I see.").says(1_000, 1_500, "book a table").says(2_500, 2_700, "mhm");
    call.voice(3_000, 3_200).listened(3_350, 3_300).run(8_000);
    call.in_order(&["ask r1", "over r1 heard"]).never("cancel");
}

#[test]
fn e6_a_flow_is_taken_back_to_before_the_answer() {
    let mut call = Session::new(booking());
    call.says(4_000, 4_500, "Friday").says(4_950, 5_600, "no sorry Saturday").run(9_000);
    call.in_order(&[
        "node ask {\"day\":\"Friday\"}",
        "cancel r2",
        "reopened t1 r2",
        "node ask {\"day\":\"Saturday\"}",
    ]);
    call.in_order(&["say r3 So Saturday"]);
}

#[test]
fn e6_words_after_a_tool_with_an_effect_began_are_a_turn_of_their_own() {
    let mut call = Session::new(booking());
    call.tool_delay = Some(3_000);
    call.says(4_000, 4_500, "Friday")
        .says(8_000, 8_300, "yes")
        .says(9_300, 9_700, "wait Saturday")
        .run(25_000);
    call.in_order(&["run i1 book", "ended t3", "tool over i1", "say r4 Your table is booked."])
        .never("reopened t2");
}

#[test]
fn e7_typed_text_and_digits_end_at_once() {
    let mut call = Session::new(model());
    call.post(1_000, Input::TypedText { text: "a table".into() });
    call.answer(100, "Yes.").run(4_000);
    assert_eq!(call.when("ended t1 typed"), 1_000);

    let mut policy = model();
    policy.turn_taking.dtmf.max_digits = 2;
    let mut call = Session::new(policy);
    for (at, digit) in [(1_000, '4'), (1_200, '2')] {
        call.post(at, Input::Digit { digit, at: ms(at) });
    }
    call.run(2_000);
    assert_eq!(call.when("ended t1 dtmf"), 1_200);
}

#[test]
fn e8_every_wait_tells_its_row() {
    let mut call = Session::new(model());
    call.says(1_000, 2_000, "book a table for").run(4_000);
    call.in_order(&["wait t1 2800 open_ended", "ended t1 silence"]);
}

#[test]
fn e9_voice_that_brings_no_more_words_ends_the_turn() {
    let mut call = Session::new(model());
    call.post(1_050, Input::CallerVoiceStarted { at: ms(1_000) });
    call.words(1_000, 2_000, "book a table");
    for covers in (2_200..6_000).step_by(200) {
        call.listened(covers + 50, covers);
    }
    call.run(6_000);
    // 400 ms of wait and 600 ms more after the last word.
    let decided = call.when("ended t1 max_wait");
    assert!((3_000..=3_250).contains(&decided), "{decided}");
}

#[test]
fn e9_a_transcriber_that_lags_behind_does_not_end_the_turn_of_a_caller_who_speaks() {
    let mut call = Session::new(model());
    call.voice(1_000, 9_000).words(1_000, 2_000, "book a table").run(8_900);
    call.never("ended t1");
}

#[test]
fn a_deadline_counted_from_audio_waits_200_ms_for_a_caller_who_vanished() {
    let mut call = Session::new(model());
    call.says(1_000, 2_000, "book a table");
    call.audio_stopped_at = Some(2_300);
    call.run(4_000);
    assert_eq!(call.when("ended t1 silence"), 2_600);
}

#[test]
fn the_slice_of_a_decided_interim_only_closes_it_and_is_no_new_turn() {
    // As an offline recogniser does: interim after finalize, slice at the next expectation.
    let mut call = Session::new(booking());
    call.voice(4_000, 4_500).plain(4_640, TranscriptKind::Interim, "Saturday", Some(4_640));
    call.plain(4_900, TranscriptKind::Slice, "Saturday", Some(4_640)).run(7_000);
    call.in_order(&["ended t1 value_complete", "over r2 heard"]).never("turn t2").never("dropped");
}

#[test]
fn a_slice_that_comes_late_with_other_words_is_told_as_late() {
    let mut call = Session::new(booking());
    call.voice(4_000, 4_500).plain(4_640, TranscriptKind::Interim, "Saturday", Some(4_640));
    call.plain(4_900, TranscriptKind::Slice, "Sunday", Some(4_640)).run(7_000);
    call.in_order(&["ended t1 value_complete", "dropped late Sunday", "over r2 heard"]).never("turn t2");
}
