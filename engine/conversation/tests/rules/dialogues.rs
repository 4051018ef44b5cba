//! The dialogues that must come out right, by their number in the specification.

use std::time::Duration;

use parlance_conversation::*;

use crate::agents::{booking, greeting, model};
use crate::session::{Session, ms};

/// About five seconds of speech without a question.
const EXPLAINS: &str =
    "We open at nine in the morning and we close at five in the afternoon every single day.";

fn explaining() -> Session {
    Session::new(greeting(EXPLAINS))
}

fn callers(context: &[Message]) -> Vec<String> {
    let text = |message: &Message| match message {
        Message::Caller { text } => Some(text.clone()),
        _ => None,
    };
    context.iter().filter_map(text).collect()
}

#[test]
fn dialogue_01_a_listed_option_is_a_turn_after_250_ms() {
    for policy in [booking(), greeting("Hello. Friday or Saturday?")] {
        let mut call = Session::new(policy);
        call.answer(300, "Fine.").says(4_000, 4_500, "Saturday.").run(8_000);
        assert_eq!(call.when("ended t1 value_complete"), 4_750);
    }
}

#[test]
fn dialogue_02_a_sentence_with_a_pause_is_one_caller_message_and_nothing_is_heard_before_its_end() {
    let mut call = Session::new(model());
    call.answer(500, "For how many?").answer(300, "For four, of course.");
    call.says(1_000, 2_200, "I'd like to book a table").says(2_900, 3_300, "for four").run(8_000);
    call.in_order(&["ended t1", "ask r1", "cancel r1", "reopened t1 r1", "ended t1", "ask r2", "release r2"]);
    call.never("release r1").never("turn t2");
    assert_eq!(callers(&call.context()), ["I'd like to book a table for four"]);
}

#[test]
fn dialogue_03_a_pause_before_the_name_does_not_cut_the_caller() {
    let mut call = Session::new(model());
    call.says(1_000, 1_600, "My name is").says(2_300, 2_700, "John").run(6_000);
    assert_eq!(call.count("ended t1"), 1);
    assert_eq!(callers(&call.context()), ["My name is John"]);
}

#[test]
fn dialogue_04_half_a_phone_number_is_waited_for() {
    let mut call = Session::new(greeting("What is your phone number?"));
    call.says(4_000, 4_900, "five five five").says(5_600, 6_800, "zero one nine eight").run(10_000);
    assert_eq!(call.count("ended t1"), 1);
    assert_eq!(callers(&call.context()), ["five five five zero one nine eight"]);
}

#[test]
fn dialogue_05_backchannels_and_noise_hold_the_agent_and_repeat_at_most_one_word() {
    for (length, words) in
        [(300, Some("uh-huh")), (300, Some("Yeah.")), (1_000, Some("mhmm")), (200, None), (4_000, None)]
    {
        let mut call = explaining();
        let end = 2_000 + length;
        match words {
            Some(words) => call.says(2_000, end, words),
            None => call.voice(2_000, end).listened(end + 150, end + 100),
        };
        for covers in (2_100..2_000 + length).step_by(300) {
            call.listened(covers + 50, covers);
        }
        call.run(15_000);
        call.in_order(&["hold r1", "held r1", "resume r1", "unheld r1 resumed", "over r1 heard"]);
        call.never("turn t1");
        let (held, resumed) = (call.when("hold r1"), call.when("resume r1"));
        assert!(held <= 2_060, "held at {held}");
        assert!(resumed <= 2_000 + length + 200, "resumed at {resumed}");
        let position = |at: u64| at - 210; // played in real time from its first frame
        let line = &call.lines.iter().find(|(_, line)| line.starts_with("resume")).expect("resumed").1;
        let from: u64 = line.rsplit(' ').next().expect("a position").parse().expect("a number");
        assert!(from <= position(held) && position(held) - from <= 600, "{line} after {}", position(held));
    }
}

#[test]
fn dialogue_06_a_backchannel_that_goes_on_interrupts_and_its_first_word_is_whole() {
    let mut call = explaining();
    call.says(2_000, 3_000, "yeah, but I want lunch").run(8_000);
    call.in_order(&[
        "hold r1",
        "flush r1",
        "cancel r1",
        "unheld r1 interrupted words",
        "turn t1 from 2000",
        "ended t1",
    ]);
    assert_eq!(callers(&call.context()), ["yeah, but I want lunch"]);
}

#[test]
fn dialogue_07_the_context_ends_at_the_heard_word() {
    let mut call = explaining();
    call.says(2_000, 2_500, "no, stop").run(6_000);
    call.in_order(&["hold r1", "flush r1", "cancel r1", "said 1 agent: We open at nine in"]);
    let Some(Message::Agent { text }) = call.context().first().cloned() else { panic!("{}", call.text()) };
    assert!(text.ends_with('…') && EXPLAINS.starts_with(text.trim_end_matches('…')), "{text}");
    assert!(text.len() < EXPLAINS.len() / 2, "{text}");
}

#[test]
fn dialogue_08_yes_over_the_end_of_a_question_answers_it() {
    let mut call = Session::new(greeting("Shall I book the table for you?"));
    call.answer(300, "Done.");
    // 31 letters: played from 210 to 2,070.
    call.says(1_870, 2_100, "yes").run(6_000);
    call.in_order(&["hold r1", "resume r1", "unheld r1 resumed answer", "over r1", "ask r2"]);
    assert_eq!(call.context()[0], Message::Agent { text: "Shall I book the table for you?".into() });
    assert_eq!(callers(&call.context()), ["yes"]);
}

#[test]
fn dialogue_09_hello_while_the_model_thinks_does_not_cancel_its_answer() {
    let mut call = Session::new(model());
    call.answer(3_000, "Yes, we do.");
    call.says(1_000, 2_000, "do you have a terrace")
        .says(3_300, 3_600, "hello?")
        .says(4_600, 4_900, "hello?")
        .run(9_000);
    call.in_order(&[
        "ask r1",
        "dropped backchannel hello?",
        "dropped backchannel hello?",
        "release r1",
        "over r1 heard",
    ]);
    call.never("cancel").never("turn t2");
}

#[test]
fn dialogue_10_words_after_a_booking_started_wait_for_its_result() {
    let mut call = Session::new(model());
    call.tool_delay = Some(2_000);
    call.answer_with_tool(200, "", "book").answer(300, "Then Saturday it is.");
    call.says(1_000, 2_000, "Friday at seven").says(3_000, 3_600, "no, Saturday").run(9_000);
    call.in_order(&["run i1 book", "ended t2", "tool over i1", "ask r2"]).never("reopened");
    let kinds: Vec<&str> = call
        .context()
        .iter()
        .map(|message| match message {
            Message::System { .. } => "system",
            Message::Caller { .. } => "caller",
            Message::Agent { .. } => "agent",
            Message::ToolCall { .. } => "call",
            Message::ToolResult { .. } => "result",
        })
        .collect();
    assert_eq!(kinds, ["caller", "call", "result", "caller"]);
}

fn ending() -> Session {
    let mut call = Session::new(model());
    call.answer_with_tool(200, "Thank you for calling, have a nice day.", "end_call");
    call.says(1_000, 1_500, "that was all");
    call
}

#[test]
fn dialogue_11_thanks_bye_ends_and_one_more_thing_goes_on() {
    let mut call = ending();
    call.says(3_500, 4_000, "thanks, bye").run(20_000);
    call.in_order(&["hold r1", "resume r1", "over r1 heard", "end agent_ended"]).never("turn t2");

    let mut call = ending();
    call.answer(200, "Sure.").says(3_500, 4_200, "wait, one more thing").run(9_000);
    call.in_order(&["hold r1", "cancel r1", "ended t2", "ask r2", "over r2 heard"]).never("end ");
}

#[test]
fn dialogue_12_a_caller_who_starts_as_the_audio_is_ready_is_waited_for() {
    let mut call = Session::new(model());
    call.answer(300, "We open at nine.").answer(300, "At nine.");
    // Decided at 2,400, audio ready at 2,900; the caller goes on at 2,850.
    call.says(1_000, 2_000, "when do you open").says(2_840, 3_400, "on Sunday").run(8_000);
    call.in_order(&["ask r1", "say r1", "cancel r1", "reopened t1", "ask r2", "release r2"])
        .never("release r1");
}

#[test]
fn dialogue_13_without_a_final_transcript_the_turn_ends_with_the_words_there_are() {
    let mut call = Session::new(model());
    call.voice(1_000, 2_000)
        .plain(1_700, TranscriptKind::Interim, "when do you open", Some(1_600))
        .run(5_000);
    // Finalize at 2,100, then the lag of 300 ms and a grace of 300 ms.
    assert_eq!(call.when("finalize"), 2_100);
    assert_eq!(call.when("ended t1 max_wait"), 2_700);
    assert_eq!(callers(&call.context()), ["when do you open"]);
}

#[test]
fn dialogue_14_slices_out_of_order_late_and_doubled_make_one_turn() {
    let mut call = Session::new(model());
    call.voice(1_000, 3_000);
    for (at, text, covers) in [
        (2_600, "for four", 2_200),
        (2_700, "a table", 1_500),
        (2_750, "for four", 2_200),
        (3_150, "on Friday", 3_100),
    ] {
        call.plain(at, TranscriptKind::Slice, text, Some(covers));
    }
    call.plain(3_900, TranscriptKind::Slice, "on Friday", Some(3_100)).run(6_000);
    assert_eq!(callers(&call.context()), ["a table for four on Friday"]);
    call.in_order(&["ended t1", "dropped late on Friday"]).never("turn t2");
}

#[test]
fn dialogue_15_no_reminder_in_a_long_turn_of_a_buffered_transcriber() {
    let mut policy = model();
    policy.transcriber.interims = false;
    let mut call = Session::new(policy);
    let words = "this is a long story about a table that I want to book";
    call.voice(2_000, 13_000).plain(13_400, TranscriptKind::Slice, words, Some(13_100)).run(16_000);
    call.in_order(&["ended t1", "ask r1"]).never("reply r1 reminder");
    assert!(call.when("turn t1") >= 13_400);
}

#[test]
fn dialogue_16_after_two_false_holds_a_reply_is_held_on_words_only() {
    let mut call = Session::new(greeting(&EXPLAINS.repeat(2)));
    for start in [1_500, 3_000, 4_500] {
        call.voice(start, start + 300).listened(start + 450, start + 400);
    }
    call.says(6_000, 6_600, "stop that").run(9_000);
    assert_eq!(call.count("resume r1"), 2);
    call.in_order(&[
        "unheld r1 resumed no_words",
        "unheld r1 resumed no_words",
        "flush r1",
        "unheld r1 interrupted words",
    ]);
    assert!(call.when("flush r1") < 6_700);
}

#[test]
fn dialogue_17_settings_changed_in_mid_reply_are_in_force_at_the_next_decision() {
    let mut patient = greeting(EXPLAINS);
    patient.turn_taking.responsiveness = 0.0;
    let mut call = explaining();
    call.post(1_000, Input::Control(Control::Settings(Box::new(patient))));
    call.says(8_000, 9_000, "book a table").run(12_000);
    call.in_order(&["over r1 heard"]).never("cancel");
    assert_eq!(call.when("ended t1"), 10_200);
}

#[test]
fn dialogue_18_a_hang_up_ends_the_call_in_each_state() {
    for at in (0..6_000).step_by(50) {
        let mut call = explaining();
        call.answer(500, "Lunch is at one.").says(2_000, 2_800, "what about lunch");
        call.post(at, Input::FarEndLost { reason: EndReason::CallerHungUp }).run(10_000);
        assert_eq!(call.lines.last().map(|(_, line)| line.as_str()), Some("end caller_hung_up"), "at {at}");
        assert_eq!(call.count("held"), call.count("unheld"), "at {at}\n{}", call.text());
        assert_eq!(call.count("reply "), call.count("over "), "at {at}\n{}", call.text());
    }
}

#[test]
fn dialogue_19_the_fallback_voice_goes_on_from_the_first_unvoiced_word() {
    let mut call = Session::new(greeting("We open at nine in the morning."));
    call.voice_delay = None;
    call.run(100);
    let reply = ReplyId(1);
    let length = Duration::from_millis(900);
    call.post(
        200,
        Input::AudioReady { reply, segment: SegmentId(0), length, words: Vec::new(), finished: false },
    );
    let (kind, message) = (ProviderKind::TextToSpeech, "closed".to_owned());
    call.post(300, Input::ProviderFailed { kind, reply: Some(reply), message, fallback_left: true }).run(400);
    call.in_order(&[
        "say r1 We open at nine in the morning.",
        "failed text_to_speech",
        "say r1 nine in the morning.",
    ]);
}

#[test]
fn dialogue_20_marks_late_missing_or_returned_by_a_clear_do_not_bend_what_was_heard() {
    let mut call = explaining();
    call.says(2_000, 2_500, "no, stop");
    // The clear returns marks of audio that was never played.
    let returned =
        Input::PlayedUpTo { reply: ReplyId(1), position: Duration::from_millis(4_000), at: ms(2_110) };
    call.post(2_110, returned.clone()).post(3_900, returned).run(6_000);
    let Some(Message::Agent { text }) = call.context().first().cloned() else { panic!("{}", call.text()) };
    assert!(text.len() < EXPLAINS.len() / 2, "{text}");
}

#[test]
fn dialogue_21_typed_text_interrupts_the_agent_and_closes_a_spoken_turn() {
    let mut call = explaining();
    call.post(2_000, Input::TypedText { text: "when is lunch".into() }).run(5_000);
    call.in_order(&["flush r1", "unheld r1 interrupted client", "ended t1 typed", "ask r2"]);
    assert_eq!(call.when("ask r2"), 2_000);

    let mut call = Session::new(model());
    call.says(1_000, 3_000, "I want to book")
        .post(2_500, Input::TypedText { text: "a table for four".into() });
    call.run(6_000);
    call.in_order(&["turn t1", "ended t1 typed"]);
    assert!(callers(&call.context())[0].ends_with("a table for four"));
}

fn digits(call: &mut Session, from: u64, digits: &str) {
    for (i, digit) in digits.chars().enumerate() {
        let at = from + 200 * i as u64;
        call.post(at, Input::Digit { digit, at: ms(at) });
    }
}

#[test]
fn dialogue_22_digits_interrupt_the_prompt_and_half_a_collection_is_taken_after_its_wait() {
    let mut call = explaining();
    digits(&mut call, 1_000, "42#");
    call.run(4_000);
    call.in_order(&["flush r1", "ended t1 dtmf", "said 2 caller: 42"]);
    assert_eq!(call.when("flush r1"), 1_000);
    assert_eq!(call.when("ended t1 dtmf"), 1_400);

    let mut call = explaining();
    digits(&mut call, 1_000, "42");
    call.run(6_000);
    assert_eq!(call.when("ended t1 dtmf"), 3_200);
}

#[test]
fn dialogue_23_a_reminder_is_answered_like_any_reply() {
    let mut call = Session::new(model());
    call.answer(200, "Good.").says(13_000, 13_600, "yes I am").run(18_000);
    call.in_order(&[
        "reply r1 reminder",
        "say r1 Are you still there?",
        "over r1 heard",
        "ended t1",
        "ask r2",
    ]);
    assert_eq!(call.when("reply r1 reminder"), 10_000);
}

#[test]
fn dialogue_24_the_longest_call_ends_after_the_sentence_that_is_being_said() {
    let mut policy =
        greeting("This is the first sentence of it. This is the second sentence of it. And the third one.");
    policy.call_handling.max_duration = Duration::from_millis(3_000);
    let mut call = Session::new(policy);
    call.run(20_000);
    call.in_order(&["over r1 interrupted", "say r2 Goodbye.", "over r2 heard", "end max_duration"]);
    call.in_order(&[
        "said 1 agent: This is the first sentence of it. This is the second sentence of it. | And",
    ]);
}

#[test]
fn dialogue_25_the_echo_of_the_agents_last_sentence_is_not_the_callers() {
    let mut call = explaining();
    // The words as they are played, 250 ms late.
    call.run(1_400);
    let heard = "We open at nine in".split(' ');
    let mut at = 210 + 250;
    let mut words = Vec::new();
    for text in heard {
        let length = (text.len() as u64 + 1) * 60;
        words.push(WordTime { text: text.into(), start: ms(at), end: ms(at + length) });
        at += length;
    }
    call.post(1_450, Input::CallerVoiceStarted { at: ms(1_400) });
    let text = "we open at nine in".to_owned();
    let kind = TranscriptKind::Interim;
    call.post(1_800, Input::Transcript(Transcript { kind, text, words, covers_until: Some(ms(1_750)) }));
    call.post(2_000, Input::CallerVoiceEnded { last: ms(1_900) }).listened(2_100, 2_000).run(9_000);
    call.in_order(&["hold r1", "dropped echo", "resume r1", "unheld r1 resumed echo", "over r1 heard"]);
    call.never("turn t1");
}

#[test]
fn dialogue_26_a_deadline_that_falls_due_with_a_fact_is_fired_first() {
    let decided = |extra: Option<Input>| {
        let mut call = Session::new(model());
        call.says(1_000, 2_000, "when do you open");
        if let Some(input) = extra {
            call.post(2_400, input);
        }
        call.run(3_000);
        call.when("ended t1 silence")
    };
    assert_eq!(decided(None), 2_400);
    assert_eq!(decided(Some(Input::CallerVoiceStarted { at: ms(2_380) })), 2_400);
    assert_eq!(decided(Some(Input::Digit { digit: '1', at: ms(2_400) })), 2_400);
}
