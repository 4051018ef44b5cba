//! B: who has the floor when both want it.

use std::time::Duration;

use parlance_conversation::*;

use crate::agents::{greeting, model};
use crate::session::{Session, ms};

const EXPLAINS: &str =
    "We open at nine in the morning and we close at five in the afternoon every single day.";

fn explaining(change: impl FnOnce(&mut Policy)) -> Session {
    let mut policy = greeting(EXPLAINS);
    change(&mut policy);
    Session::new(policy)
}

#[test]
fn b1_voice_holds_the_agent_after_a_time_that_sensitivity_sets() {
    for (sensitivity, held) in [(0.8, 2_050), (1.0, 2_050), (0.2, 2_128)] {
        let mut call = explaining(|policy| policy.turn_taking.interruption_sensitivity = sensitivity);
        call.voice(2_000, 2_600).run(2_500);
        assert_eq!(call.when("hold r1"), held, "{sensitivity}");
    }
}

#[test]
fn b2_voice_alone_interrupts_only_where_no_words_can_be_had() {
    let mut with_words = explaining(|_| {});
    with_words.post(2_050, Input::CallerVoiceStarted { at: ms(2_000) });
    for covers in (2_100..5_000).step_by(200) {
        with_words.listened(covers + 50, covers);
    }
    with_words.run(4_900).never("cancel");

    let mut without = explaining(|policy| policy.transcriber.interims = false);
    without.post(2_050, Input::CallerVoiceStarted { at: ms(2_000) }).run(4_000);
    assert_eq!(without.when("unheld r1 interrupted long_voice"), 3_200);

    let mut mute = explaining(|_| {});
    mute.post(2_050, Input::CallerVoiceStarted { at: ms(2_000) }).run(4_000);
    assert_eq!(mute.when("unheld r1 interrupted long_voice"), 3_200);
}

#[test]
fn b2_it_takes_as_many_words_as_the_agent_says() {
    let mut call = explaining(|policy| policy.turn_taking.interrupt_min_words = 3);
    call.says(1_500, 1_900, "no").says(3_000, 4_000, "no stop it").run(8_000);
    call.in_order(&["resume r1", "unheld r1 resumed", "unheld r1 interrupted words"]);
}

#[test]
fn b2_a_radio_does_not_keep_the_agent_held() {
    let mut call = explaining(|_| {});
    call.post(2_050, Input::CallerVoiceStarted { at: ms(2_000) });
    for covers in (2_100..20_000).step_by(200) {
        call.listened(covers + 50, covers);
    }
    call.run(18_000);
    assert_eq!(call.when("unheld r1 resumed timed_out"), 7_050);
    call.in_order(&["over r1 heard"]);
}

#[test]
fn b2_a_providers_start_of_turn_holds_and_its_words_decide() {
    let mut call = explaining(|_| {});
    call.post(2_000, Input::ProviderTurn { signal: TurnSignal::Start }).run(8_000);
    call.in_order(&["hold r1", "unheld r1 resumed timed_out", "over r1 heard"]);

    let mut call = explaining(|_| {});
    call.post(2_000, Input::ProviderTurn { signal: TurnSignal::Start });
    call.plain(2_600, TranscriptKind::Interim, "no stop", Some(2_500)).run(8_000);
    call.in_order(&["hold r1", "unheld r1 interrupted words", "ended t1"]);
}

#[test]
fn b3_a_prefix_of_a_backchannel_is_undecided_until_voice_ends() {
    let mut call = explaining(|_| {});
    call.voice(2_000, 2_900).plain(2_400, TranscriptKind::Interim, "I", Some(2_350));
    call.plain(2_700, TranscriptKind::Interim, "I see", Some(2_650));
    call.plain(3_050, TranscriptKind::Slice, "I see", Some(3_000)).run(8_000);
    assert_eq!(call.when("unheld r1 resumed backchannel"), 3_050);
}

#[test]
fn b3_words_that_only_finalize_brings_out_still_interrupt() {
    let mut call = explaining(|_| {});
    // The recogniser has listened past the voice, but decides on its word only when asked to.
    call.voice(2_000, 2_300).listened(2_390, 2_380);
    call.plain(2_420, TranscriptKind::Interim, "no", Some(2_400)).run(6_000);
    call.in_order(&["hold r1", "finalize", "unheld r1 interrupted words", "ended t1"]).never("resume");
}

#[test]
fn b4_a_backchannel_soon_after_a_question_answers_it_and_the_rest_is_not_said() {
    let asks = "Shall I book it? I have a table by the window at seven, and one by the door.";
    let mut call = Session::new(greeting(asks));
    // The question ends at 1,170.
    call.answer(200, "Booked.").says(2_000, 2_300, "yeah").run(6_000);
    call.in_order(&["unheld r1 interrupted answer", "turn t1", "ended t1", "ask r2"]);

    let mut call = Session::new(greeting(asks));
    call.says(3_900, 4_200, "yeah").run(9_000);
    call.in_order(&["unheld r1 resumed backchannel", "over r1 heard"]).never("turn");
}

#[test]
fn b5_words_without_voice_interrupt_and_late_backchannels_are_dropped() {
    let mut call = explaining(|_| {});
    call.words(2_000, 2_600, "no stop that").run(6_000);
    call.in_order(&["hold r1", "flush r1", "unheld r1 interrupted words", "turn t1 from 2000", "ended t1"]);

    // "mhm" was said in the agent's last second and comes when it has ended.
    let mut call = explaining(|_| {});
    let word = WordTime { text: "mhm".into(), start: ms(5_000), end: ms(5_200) };
    call.voice(5_000, 5_200).listened(5_300, 5_100).run(5_310);
    let (kind, words) = (TranscriptKind::Slice, vec![word]);
    call.post(
        6_500,
        Input::Transcript(Transcript { kind, text: "mhm".into(), words, covers_until: Some(ms(5_300)) }),
    );
    call.run(9_000).never("turn");
}

#[test]
fn b6_a_protected_reply_is_not_held_and_what_was_said_is_answered_after_it() {
    for change in [
        (|policy: &mut Policy| policy.turn_taking.interruption_sensitivity = 0.0) as fn(&mut Policy),
        |policy| policy.turn_taking.protect_begin = Duration::from_secs(60),
    ] {
        let mut call = explaining(change);
        call.answer(200, "At one.").says(2_000, 2_600, "when is lunch").run(9_000);
        call.in_order(&["ended t1", "over r1 heard", "ask r2", "over r2 heard"]).never("hold");
    }
    let mut call = Session::new(model());
    call.post(500, Input::Control(Control::Say { text: EXPLAINS.into(), protected: true }));
    call.answer(200, "At one.").says(2_000, 2_600, "when is lunch").run(9_000);
    call.in_order(&["reply r1 say", "ended t1", "over r1 heard", "ask r2"]).never("hold");
}

#[test]
fn b7_a_reply_is_not_released_while_the_caller_speaks_but_at_most_a_second_and_a_half() {
    let mut call = Session::new(model());
    call.answer(100, "At nine.").says(1_000, 2_000, "when do you open");
    call.voice(2_500, 6_000).run(6_000);
    // Audio at 2,700.
    assert_eq!(call.when("release r1"), 4_200);
}

#[test]
fn b7_when_both_begin_at_once_the_agent_yields_and_the_turn_goes_on() {
    let mut call = Session::new(model());
    call.answer(100, "At nine in the morning.").answer(100, "On Sunday at ten.");
    call.says(1_000, 2_000, "when do you open").says(2_850, 3_400, "on Sunday").run(8_000);
    call.in_order(&[
        "release r1",
        "hold r1",
        "cancel r1",
        "reopened t1",
        "ended t1",
        "ask r2",
        "over r2 heard",
    ]);
}

#[test]
fn b8_an_answer_that_repeats_a_word_is_no_echo() {
    let mut call = Session::new(greeting("Friday or Saturday?"));
    call.answer(200, "Good.").says(1_500, 1_900, "Saturday").run(5_000);
    call.in_order(&["ended t1"]).never("dropped echo");
}

#[test]
fn b9_a_digit_interrupts_only_if_the_agent_says_so() {
    for interrupts in [true, false] {
        let mut call = explaining(|policy| policy.turn_taking.digit_interrupts = interrupts);
        call.post(2_000, Input::Digit { digit: '1', at: ms(2_000) }).run(3_000);
        assert_eq!(call.find("unheld r1 interrupted client").is_some(), interrupts);
    }
}

#[test]
fn b10_interrupted_by_voice_without_words_the_agent_goes_on_from_the_heard_word() {
    let mut call = explaining(|policy| policy.transcriber.interims = false);
    call.voice(2_000, 4_000).run(12_000);
    call.in_order(&["unheld r1 interrupted long_voice", "reply r2 answer", "over r2 heard"]);
    assert_eq!(call.when("reply r2"), 5_000);
    let heard =
        call.lines.iter().find(|(_, line)| line.starts_with("said 1 agent")).expect("heard").1.clone();
    let (heard, rest) = heard.trim_start_matches("said 1 agent: ").split_once(" | ").expect("cut");
    assert_eq!(format!("{heard} {rest}"), EXPLAINS);
    call.in_order(&[&format!("say r2 {}", rest.split(' ').next().expect("a word"))]);
}

#[test]
fn b11_every_hold_tells_how_it_ended() {
    let mut call = explaining(|_| {});
    call.voice(1_500, 1_700).listened(1_850, 1_800).says(3_000, 3_500, "no stop").run(8_000);
    assert_eq!((call.count("held r1"), call.count("unheld r1")), (2, 2));
}

#[test]
fn the_client_interrupts_as_words_do() {
    let mut call = explaining(|_| {});
    call.post(2_000, Input::Control(Control::Interrupt)).run(4_000);
    call.in_order(&["flush r1", "cancel r1", "unheld r1 interrupted client", "over r1 interrupted"]);
}

#[test]
fn of_what_the_agent_shall_say_sixteen_wait_and_the_rest_is_dropped() {
    let mut call = explaining(|_| {});
    for _ in 0..20 {
        call.post(500, Input::Control(Control::Say { text: "One.".into(), protected: false }));
    }
    call.run(30_000);
    call.when("reply r17 say");
    assert_eq!(call.count("dropped too_many say"), 4);
}
