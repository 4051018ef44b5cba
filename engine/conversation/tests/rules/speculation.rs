//! S: answers begun before the decision. Speech ends at 1,500; its slice comes at 1,650, the decision at 1,900.

use std::time::Duration;

use parlance_conversation::*;

use crate::agents::{booking, eager, greeting, model};
use crate::session::{Session, ms};

fn asks() -> Session {
    let mut call = Session::new(eager());
    call.says(1_000, 1_500, "book a table");
    call
}

fn provider(signal: TurnSignal) -> Input {
    Input::ProviderTurn { signal }
}

fn model_failed(reply: u32, fallback_left: bool) -> Input {
    let kind = ProviderKind::LanguageModel;
    Input::ProviderFailed { kind, reply: Some(ReplyId(reply)), message: "gone".into(), fallback_left }
}

/// Lines that come in this order, and lines that never come.
fn expect(name: &str, call: &Session, wanted: &[&str], never: &[&str]) {
    let mut lines = call.lines.iter();
    for begins in wanted {
        let found = lines.any(|(_, line)| line.starts_with(begins));
        assert!(found, "{name}: {begins:?} is not where it should be in\n{}", call.text());
    }
    for begins in never {
        assert_eq!(call.find(begins), None, "{name}: {begins:?} in\n{}", call.text());
    }
}

#[test]
fn s1_settled_words_begin_an_answer_that_is_heard_sooner_and_not_before_the_decision() {
    let heard = |policy: Policy, delay: u64| {
        let mut call = Session::new(policy);
        call.answer(delay, "For how many?").says(1_000, 1_500, "book a table").run(6_000);
        (call.when("release r1"), call.when("ended t1"))
    };
    for (delay, with, without) in [(0, 1_900, 2_100), (50, 1_900, 2_150), (300, 2_150, 2_400)] {
        assert_eq!(heard(eager(), delay), (with, 1_900), "model after {delay}");
        assert_eq!(heard(model(), delay), (without, 1_900), "model after {delay}");
    }
}

#[test]
fn s2_a_reply_that_was_kept_has_the_events_and_the_waterfall_of_the_decided_turn() {
    let mut call = asks();
    call.answer(20, "For how many people? I have tables up to ten.").run(9_000);
    expect(
        "kept",
        &call,
        &[
            "guess r1 t1 settled",
            "ask early r1",
            "say r1 For how many people?",
            "ended t1 silence",
            "said 1 caller: book a table",
            "expect",
            "guess kept r1 t1",
            "reply r1 answer",
            "say r1 I have tables",
            "release r1",
            "waterfall t1",
            "over r1 heard",
        ],
        &["ask r", "cancel", "guess dropped", "reply r2"],
    );
    assert_eq!(call.count("say r1"), 2, "each segment once\n{}", call.text());
    let told = call.actions.iter().find_map(|(_, action)| match action {
        Action::Tell(Event::Waterfall(waterfall)) => Some(waterfall.clone()),
        _ => None,
    });
    let Some(w) = told else { panic!("{}", call.text()) };
    assert_eq!((w.turn, w.reply), (Some(TurnId(1)), Some(ReplyId(1))));
    assert_eq!((w.last_voice, w.wait_until, w.decided), (Some(ms(1_500)), Some(ms(1_900)), Some(ms(1_900))));
    assert_eq!((w.first_text, w.first_audio), (Some(ms(1_670)), Some(ms(1_870))));
    assert!(w.heard >= w.decided && w.first_frame >= w.decided, "{w:?}");
}

#[test]
fn s2_the_context_holds_the_turn_and_the_answer_once() {
    let mut call = asks();
    call.answer(20, "For how many?").answer(20, "Fine.");
    call.says(5_000, 5_400, "for four").run(9_000);
    let said = |message: &Message| match message {
        Message::Caller { text } | Message::Agent { text } => text.clone(),
        other => panic!("{other:?}"),
    };
    let context: Vec<String> = call.context().iter().map(said).collect();
    assert_eq!(context, ["book a table", "For how many?", "for four"]);
}

#[test]
fn s1_each_cue_begins_at_its_time() {
    let mut call = Session::new(eager());
    call.voice(1_000, 1_500);
    call.plain(1_560, TranscriptKind::Interim, "book a table", Some(1_520)).run(1_850);
    assert_eq!(call.when("guess r1 t1 stable_interim"), 1_680, "settled when the voice's end was known");

    let mut call = Session::new(eager());
    call.voice(1_000, 1_500).plain(1_560, TranscriptKind::Interim, "book", Some(1_520));
    call.plain(1_590, TranscriptKind::Interim, "book tables", Some(1_540)).run(1_850);
    assert_eq!(call.when("guess r1 t1 stable_interim"), 1_690, "the interim changed");

    let mut policy = eager();
    policy.transcriber.watermark = false;
    policy.transcriber.lag_p95 = Duration::from_millis(250);
    let mut call = Session::new(policy);
    call.voice(1_000, 1_500).plain(1_600, TranscriptKind::Slice, "book a table", None).run(1_850);
    assert!((1_600..1_800).contains(&call.when("guess r1 t1 settled")), "{}", call.text());

    let mut call = Session::new(eager());
    call.post(1_050, Input::CallerVoiceStarted { at: ms(1_000) });
    call.plain(1_300, TranscriptKind::Interim, "book a table", Some(1_250));
    call.post(1_400, provider(TurnSignal::EagerEnd)).run(1_450);
    assert_eq!(call.when("guess r1 t1 eager_end"), 1_400, "while the detector still hears voice");
}

#[test]
fn s1_words_that_ask_for_more_are_waited_for_unless_the_provider_says_otherwise() {
    for text in ["my name is", "a table for", "I would like to"] {
        let mut call = Session::new(eager());
        call.says(1_000, 1_500, text).run(4_000);
        expect(text, &call, &["ask r1"], &["guess"]);
    }
    let mut call = Session::new(eager());
    call.says(1_000, 1_500, "a table for").post(1_660, provider(TurnSignal::EagerEnd)).run(1_700);
    expect("eager", &call, &["guess r1 t1 eager_end"], &[]);
}

#[test]
fn s2_words_that_say_the_same_keep_the_reply_and_others_do_not() {
    for (begun, decided, kept) in [
        ("a table for four", "A table for 4.", true),
        ("a table for four", "a table um for four", true),
        ("a table for four", "a table for five", false),
        ("a table for four", "a table for four at seven", false),
    ] {
        let mut call = Session::new(eager());
        call.voice(1_000, 1_500).plain(1_560, TranscriptKind::Interim, begun, Some(1_520));
        call.plain(1_800, TranscriptKind::Slice, decided, Some(1_600));
        call.answer(20, "Yes.").answer(20, "Yes.").run(5_000);
        let early = call.count("guess kept r1");
        assert_eq!(early, usize::from(kept), "{begun} | {decided}\n{}", call.text());
        let dropped = call.count("guess dropped r1 words");
        assert_eq!(dropped, usize::from(!kept), "{begun} | {decided}\n{}", call.text());
        let said = format!("said 1 caller: {decided}");
        expect(decided, &call, &["ask early r1", &said, "release r"], &["said 2 caller"]);
        assert_eq!(call.count("release"), 1, "{}", call.text());
    }
}

#[test]
fn s1_at_most_one_is_in_flight_and_three_in_a_turn() {
    let mut call = Session::new(eager());
    call.voice(1_000, 2_900);
    for (i, text) in
        ["book", "book two", "book two tables", "book two tables now", "book two tables now please"]
            .iter()
            .enumerate()
    {
        let at = 1_200 + 300 * i as u64;
        call.plain(at, TranscriptKind::Interim, text, Some(at - 50));
        call.post(at + 50, provider(TurnSignal::EagerEnd));
    }
    call.run(8_000);
    assert_eq!(call.count("guess r"), 3, "{}", call.text());
    expect(
        "three",
        &call,
        &[
            "guess r1",
            "cancel r1",
            "guess dropped r1 words",
            "guess r2",
            "cancel r2",
            "guess dropped r2 words",
            "guess r3",
            "cancel r3",
            "guess dropped r3 words",
            "ended t1",
            "ask r4",
        ],
        &["release r1", "release r2", "release r3"],
    );
}

#[test]
fn s3_tools_wait_for_the_decision() {
    for tool in ["book", "look_up"] {
        let mut call = asks();
        call.answer_with_tool(20, "One moment.", tool).answer(20, "Done.").run(9_000);
        assert!(call.when("run i1") >= 1_900, "{}", call.text());
        let order =
            ["ask early r1", "ended t1", "guess kept r1", "run i1", "tool over i1", "ask r1", "say r1 Done."];
        expect(tool, &call, &order, &["cancel"]);

        let mut call = asks();
        call.answer_with_tool(20, "One moment.", tool).answer(20, "Four, then.");
        call.says(1_750, 2_300, "for four").run(9_000);
        expect(tool, &call, &["ask early r1", "guess dropped r1 words", "release r2"], &["run i", "tool i"]);
    }
}

#[test]
fn s3_only_the_first_segment_is_voiced_before_the_decision() {
    let mut call = asks();
    call.answer(0, "For how many? I have tables up to ten. And a terrace.").run(1_890);
    assert_eq!(call.count("say r1"), 1, "{}", call.text());
    call.run(9_000);
    assert_eq!(call.count("say r1"), 3, "{}", call.text());
}

#[test]
fn s_whatever_takes_the_turn_away_drops_the_reply() {
    type Then = fn(&mut Session) -> &mut Session;
    let table: &[(&str, Then, &[&str], &[&str])] = &[
        (
            "voice goes on with words (E4)",
            |call| call.says(1_750, 2_300, "for four"),
            &["guess r1", "guess dropped r1 words", "said 1 caller: book a table for four", "release r2"],
            &["release r1", "reopened"],
        ),
        (
            "voice goes on without words",
            |call| call.voice(1_750, 2_000).listened(2_200, 2_150),
            &["guess r1", "ended t1", "guess kept r1", "release r1"],
            &["guess dropped"],
        ),
        (
            "the provider takes it back",
            |call| {
                call.post(1_655, provider(TurnSignal::EagerEnd));
                call.post(1_700, provider(TurnSignal::Resumed))
            },
            &["guess r1", "provider resumed", "cancel r1", "guess dropped r1 resumed", "ended t1", "ask r2"],
            &["guess r2", "release r1"],
        ),
        (
            "the provider ends the turn by itself",
            |call| call.post(1_700, provider(TurnSignal::End)),
            &["guess r1", "ended t1 provider", "guess kept r1", "release r1"],
            &["guess dropped"],
        ),
        (
            "typed text goes with it (E7)",
            |call| call.post(1_700, Input::TypedText { text: "for four".into() }),
            &["guess r1", "ended t1 typed", "cancel r1", "guess dropped r1 words", "ask r2", "release r2"],
            &["release r1", "ended t2"],
        ),
        (
            "digits",
            |call| {
                call.post(1_700, Input::Digit { digit: '1', at: ms(1_700) })
                    .post(1_720, Input::Digit { digit: '#', at: ms(1_720) })
            },
            &["guess r1", "ended t1 dtmf", "guess dropped r1 words", "release r2"],
            &["release r1"],
        ),
        (
            "other settings",
            |call| call.post(1_700, Input::Control(Control::Settings(Box::new(model())))),
            &["guess r1", "guess dropped r1 overtaken", "ended t1", "ask r2", "release r2"],
            &["release r1", "guess r2"],
        ),
        (
            "a flow takes over",
            |call| call.post(1_700, Input::Control(Control::Settings(Box::new(booking())))),
            &["guess r1", "guess dropped r1 overtaken", "ended t1", "reply r2 answer"],
            &["release r1", "ask r"],
        ),
        (
            "the caller hangs up",
            |call| call.post(1_700, Input::FarEndLost { reason: EndReason::CallerHungUp }),
            &["guess r1", "cancel r1", "guess dropped r1 call_ended", "said 1 caller: book a table", "end "],
            &["release"],
        ),
        (
            "the client ends the call",
            |call| call.post(1_700, Input::Control(Control::End { reason: EndReason::ClientEnded })),
            &["guess r1", "cancel r1", "guess dropped r1 call_ended", "end client_ended"],
            &["release"],
        ),
        (
            "the client stops the agent, who says nothing",
            |call| call.post(1_700, Input::Control(Control::Interrupt)),
            &["guess r1", "ended t1", "guess kept r1", "release r1"],
            &["cancel"],
        ),
        (
            "the transcriber fails for good",
            |call| {
                let kind = ProviderKind::SpeechToText;
                let message = "gone".into();
                call.post(1_700, Input::ProviderFailed { kind, reply: None, message, fallback_left: false })
            },
            &["guess r1", "guess dropped r1 call_ended", "say r2 Goodbye.", "end speech_to_text_failed"],
            &["release r1"],
        ),
        (
            "the model fails",
            |call| call.post(1_660, model_failed(1, false)),
            &[
                "guess r1",
                "failed language_model",
                "guess dropped r1 failed",
                "ended t1",
                "ask r2",
                "release r2",
            ],
            &["guess r2", "reply r2 apology", "release r1", "over r1"],
        ),
        (
            "the model falls back by itself",
            |call| call.post(1_660, model_failed(1, true)),
            &["guess r1", "failed language_model", "ended t1", "guess kept r1", "release r1"],
            &["cancel"],
        ),
    ];
    for (name, then, wanted, never) in table {
        let mut policy = eager();
        policy.turn_taking.trust_provider_turns = true;
        let mut call = Session::new(policy);
        call.says(1_000, 1_500, "book a table");
        call.answer(20, "For how many people?").answer(20, "Very well.");
        then(&mut call);
        call.run(8_000);
        expect(name, &call, wanted, never);
        let begun = call.count("guess r");
        let ended = call.count("guess kept") + call.count("guess dropped");
        assert_eq!(begun, ended, "{name}: each ends once\n{}", call.text());
    }
}

#[test]
fn s_pauses_leave_the_last_try_for_the_probable_end_that_a_trusted_provider_tells() {
    for (decides, at_pauses) in [(true, 2), (false, 3)] {
        let mut policy = eager();
        policy.turn_taking.trust_provider_turns = true;
        policy.turn_taking.responsiveness = 0.2; // so that no pause ends the turn
        policy.transcriber.turns = decides;
        let mut call = Session::new(policy);
        for words in ["book a table", "with flowers", "by the window"] {
            let from = call.clock + 500;
            call.says(from, from + 700, words).run(from + 1_650);
        }
        assert_eq!(call.count("guess r"), at_pauses, "{}", call.text());
        let at = call.clock + 10;
        call.post(at, Input::ProviderTurn { signal: TurnSignal::EagerEnd }).run(at + 50);
        assert_eq!(call.count("guess r"), 3, "{}", call.text());
    }
}

#[test]
fn s_a_slow_model_or_voice_is_asked_again_at_the_decision_and_counts_as_no_failure() {
    let mut policy = eager();
    policy.budgets.first_token = Duration::from_millis(150);
    let mut call = Session::new(policy);
    call.answer(60_000, "Never.").answer(20, "For how many?").says(1_000, 1_500, "book a table").run(6_000);
    expect(
        "model",
        &call,
        &["guess r1", "guess dropped r1 too_slow", "ended t1", "ask r2", "over r2 heard"],
        &["missed", "reply r2 apology", "guess r2", "release r1"],
    );

    let mut policy = eager();
    policy.budgets.first_audio = Duration::from_millis(100);
    let mut call = Session::new(policy);
    call.voice_delay = Some(150);
    call.answer(20, "For how many?")
        .answer(20, "For how many?")
        .says(1_000, 1_500, "book a table")
        .run(6_000);
    expect(
        "voice",
        &call,
        &["say r1", "guess dropped r1 too_slow", "ended t1", "ask r2", "over r2 heard"],
        &["reply r2 apology", "release r1"],
    );
}

#[test]
fn s_the_budgets_of_a_kept_reply_count_from_its_beginning() {
    let mut call = asks();
    call.run(12_000);
    assert_eq!(call.when("guess r1"), 1_650);
    assert_eq!(call.when("missed first_token waited"), 1_650 + 2_500);
    expect(
        "slow",
        &call,
        &["guess kept r1", "missed first_token waited", "over r1 failed", "reply r2 apology"],
        &["ask r1"],
    );
}

#[test]
fn s_an_answer_with_nothing_in_it_is_asked_for_once_more_after_the_decision() {
    let mut call = asks();
    call.answer(20, "").answer(20, "For how many?").run(6_000);
    expect(
        "empty",
        &call,
        &["ask early r1", "ended t1", "guess kept r1", "ask r1", "say r1 For how many?"],
        &["cancel"],
    );
}

#[test]
fn s_a_wrong_split_takes_a_kept_reply_back_like_any_other() {
    let mut call = asks();
    call.answer(20, "For how many people shall I book?").answer(20, "Four, then.");
    call.says(2_000, 2_600, "for four").run(9_000);
    expect(
        "E6",
        &call,
        &[
            "guess kept r1",
            "cancel r1",
            "over r1",
            "reopened t1 r1",
            "guess r2 t1",
            "ended t1",
            "said 1 caller: book a table for four",
            "guess kept r2",
            "over r2 heard",
        ],
        &["said 3 caller", "ended t2"],
    );
    let (heard, joined) = ("For…".to_owned(), "book a table for four".to_owned());
    assert_eq!(call.context(), [Message::Agent { text: heard }, Message::Caller { text: joined }]);
}

#[test]
fn s_a_tool_that_ends_meanwhile_makes_the_reply_stale() {
    let mut call = Session::new(eager());
    call.tool_delay = Some(2_850);
    call.answer_with_tool(20, "One moment.", "look_up");
    for _ in 0..3 {
        call.answer(20, "There it is.");
    }
    call.says(1_000, 1_500, "look it up").says(3_600, 4_500, "and book a table").run(12_000);
    let begun = call.when("guess r2 t2");
    let over = call.when("tool over i1");
    assert!(begun < over && over < call.when("ended t2"), "{}", call.text());
    expect(
        "stale",
        &call,
        &["guess r2", "tool over i1", "guess dropped r2 overtaken", "ended t2"],
        &["release r2"],
    );
}

#[test]
fn s_off_means_off_and_a_flow_answers_at_once() {
    let mut policy = booking();
    policy.turn_taking.speculation = true;
    for (mut call, name) in [(Session::new(policy), "flow"), (Session::new(greeting("Hello.")), "off")] {
        call.answer(100, "Yes.").says(4_000, 4_600, "Saturday please");
        call.post(4_750, provider(TurnSignal::EagerEnd)).run(9_000);
        expect(name, &call, &["ended t1"], &["guess", "ask early"]);
    }
}

#[test]
fn s_while_the_agent_speaks_nothing_is_begun() {
    let mut policy =
        greeting("We open at nine in the morning and close at five in the afternoon, every day.");
    policy.turn_taking.speculation = true;
    policy.turn_taking.interruption_sensitivity = 0.0;
    let mut call = Session::new(policy);
    call.answer(100, "Yes.").says(1_500, 2_000, "book a table").run(14_000);
    expect("B6", &call, &["ended t1", "over r1 heard", "ask r2", "over r2 heard"], &["guess"]);
}

#[test]
fn s1_what_the_provider_said_of_a_turn_says_nothing_of_the_same_words_in_the_next() {
    let repeated = |first: TurnSignal| {
        let mut call = Session::new(eager());
        call.answer(20, "Pardon?").answer(20, "Very well.").answer(20, "Very well.");
        call.says(1_000, 1_500, "a table for").post(1_660, provider(TurnSignal::EagerEnd));
        if first == TurnSignal::Resumed {
            call.post(1_700, provider(first));
        }
        call.says(6_000, 6_500, "a table for").run(12_000);
        call
    };
    let call = repeated(TurnSignal::EagerEnd);
    assert_eq!(call.count("guess r1 t1 eager_end"), 1, "{}", call.text());
    assert!(call.find("ended t2").is_some(), "{}", call.text());
    let eager_ends = call.lines.iter().filter(|(_, line)| line.ends_with("t2 eager_end")).count();
    assert_eq!(eager_ends, 0, "{}", call.text());

    let mut call = asks();
    call.answer(20, "For how many?").answer(20, "Very well.").answer(20, "Very well.");
    call.post(1_655, provider(TurnSignal::EagerEnd)).post(1_700, provider(TurnSignal::Resumed));
    call.says(6_000, 6_500, "book a table").run(12_000);
    let again = call.lines.iter().any(|(_, line)| line.starts_with("guess r") && line.contains(" t2 "));
    assert!(again, "{}", call.text());
}

#[test]
fn the_end_a_model_tells_after_its_tools_is_not_told_as_dropped() {
    for policy in [eager(), model()] {
        let mut call = Session::new(policy);
        call.says(1_000, 1_500, "book a table");
        call.answer_with_tool(20, "One moment.", "book").answer(20, "Done.").run(1_600);
        while call.find("ask early r1").or(call.find("ask r1")).is_none() {
            let next = call.clock + 10;
            call.run(next);
        }
        let (reply, told) = (ReplyId(1), call.clock + 25);
        call.post(told, Input::ReplyFinished { reply }).run(9_000);
        expect("tools", &call, &["run i1", "say r1 Done.", "over r1 heard"], &["dropped"]);
    }
}
