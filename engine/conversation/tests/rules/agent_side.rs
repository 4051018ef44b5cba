//! A: what the agent does of its own accord, and when others fail it.

use std::time::Duration;

use parlance_conversation::*;

use crate::agents::{booking, greeting, model};
use crate::session::{Session, ms};

#[test]
fn a1_the_agent_begins_after_the_far_end_is_ready_and_its_delay() {
    let mut policy = greeting("Hello.");
    policy.call_handling.begin_delay = Duration::from_millis(800);
    let mut call = Session::new(policy);
    call.run(3_000);
    assert_eq!(call.when("reply r1 greeting"), 800);
}

#[test]
fn a1_a_caller_who_is_quicker_gets_greeting_and_answer_as_one_reply() {
    let mut policy = greeting("Welcome.");
    policy.call_handling.begin_delay = Duration::from_secs(5);
    let mut call = Session::new(policy);
    call.answer(200, "We open at nine.").says(500, 1_200, "when do you open").run(9_000);
    call.in_order(&[
        "ended t1",
        "reply r1 answer",
        "say r1 Welcome.",
        "ask r1",
        "say r1 We open at nine.",
        "over r1 heard",
    ]);
    call.never("reply r2");

    let mut policy = booking();
    policy.call_handling.begin_delay = Duration::from_secs(5);
    let mut call = Session::new(policy);
    call.says(500, 1_200, "Saturday").run(4_000);
    call.in_order(&["reply r1 answer", "say r1 Hello.", "say r1 So Saturday,"]);
}

#[test]
fn a1_a_greeting_that_was_taken_back_with_its_answer_is_said_with_the_next() {
    let mut policy = greeting("Welcome.");
    policy.call_handling.begin_delay = Duration::from_secs(9);
    let mut call = Session::new(policy);
    call.answer(900, "At nine.").answer(100, "On Sunday at ten.");
    call.says(500, 1_200, "when do you open").says(1_700, 2_300, "on Sunday").run(9_000);
    call.in_order(&[
        "say r1 Welcome.",
        "reopened t1 r1",
        "say r2 Welcome.",
        "say r2 On Sunday at ten.",
        "over r2 heard",
    ]);
}

#[test]
fn a1_the_caller_first_is_reminded_if_silent() {
    let mut call = Session::new(model());
    call.run(12_000);
    assert_eq!(call.when("reply r1 reminder"), 10_000);
}

#[test]
fn a2_text_goes_to_the_voice_as_soon_as_it_is_a_clause() {
    let mut call = Session::new(model());
    call.says(1_000, 1_500, "hello there you").run(2_000);
    let reply = ReplyId(1);
    for text in ["Well, of course we ", "do, and gladly. We open ", "at nine. "] {
        call.hand(2_000, Input::ReplyText { reply, text: text.into() });
    }
    call.hand(2_100, Input::ReplyFinished { reply });
    call.in_order(&["say r1 Well, of course we do,", "say r1 and gladly.", "say r1 We open at nine."]);
}

#[test]
fn a3_a_slow_model_is_waited_for_once_more_and_then_apologised_for() {
    let mut call = Session::new(model());
    call.says(1_000, 1_500, "book a table").run(14_000);
    call.in_order(&["ask r1", "missed first_token waited", "missed first_token given up", "over r1 failed"]);
    call.in_order(&["cancel r1", "reply r2 apology", "over r2 heard"]);
    assert_eq!(call.when("reply r2 apology"), 1_900 + 5_000);
}

#[test]
fn a3_two_failures_in_a_row_end_the_call() {
    let mut call = Session::new(model());
    call.says(1_000, 1_500, "book a table").says(15_000, 15_500, "book a table").run(60_000);
    call.in_order(&[
        "reply r2 apology",
        "over r3 failed",
        "say r4 Goodbye.",
        "over r4 heard",
        "end language_model_failed",
    ]);
}

#[test]
fn a3_the_call_ends_for_the_kind_of_provider_that_failed() {
    let failed =
        |kind| Input::ProviderFailed { kind, reply: None, message: String::new(), fallback_left: false };
    for (kind, end) in [
        (ProviderKind::SpeechToText, "end speech_to_text_failed"),
        (ProviderKind::TextToSpeech, "end text_to_speech_failed"),
    ] {
        let mut call = Session::new(greeting("Hello."));
        call.run(3_000);
        call.post(3_100, failed(kind)).run(20_000);
        call.in_order(&[end]);
    }
}

#[test]
fn a3_no_reply_is_given_up_while_a_fallback_may_still_answer() {
    let mut policy = model();
    policy.budgets = Budgets::default().around(3, 1);
    let mut call = Session::new(policy);
    call.answer(7_400, "At nine.").answer(7_400, "On Sunday at ten.");
    let failed = |left| Input::ProviderFailed {
        kind: ProviderKind::LanguageModel,
        reply: Some(ReplyId(1)),
        message: "no first token".into(),
        fallback_left: left,
    };
    let switched = Input::ProviderSwitched {
        kind: ProviderKind::LanguageModel,
        from: "one".into(),
        to: "two".into(),
        reason: "no first token".into(),
    };
    call.says(1_000, 1_500, "when do you open").says(14_000, 14_500, "and on Sunday");
    call.post(4_400, failed(true)).post(4_410, switched).run(40_000);
    call.in_order(&[
        "failed language_model",
        "switched language_model one two",
        "say r1 At nine.",
        "over r1 heard",
        "over r2 heard",
    ]);
    call.never("missed first_token").never("reply r3 apology");
    assert_eq!(Budgets::default().around(1, 1), Budgets::default());
    let voices = Budgets::default().around(1, 2);
    assert_eq!(
        (voices.first_audio, voices.stalled_audio),
        (Duration::from_millis(3_500), Duration::from_millis(2_800))
    );
}

#[test]
fn a7_silence_of_a_caller_whose_audio_never_came_has_a_reason_of_its_own() {
    let ends = |came: Option<Input>| {
        let mut policy = model();
        policy.call_handling.expects_audio = true;
        let mut call = Session::new(policy);
        if let Some(came) = came {
            call.post(500, came);
        }
        call.run(60_000);
        call.lines.last().map(|(_, line)| line.clone())
    };
    assert_eq!(ends(None).as_deref(), Some("end no_audio"));
    assert_eq!(ends(Some(Input::CallerAudioStarted)).as_deref(), Some("end silence"));
}

#[test]
fn a3_a_voice_that_stalls_fails_the_reply_after_its_budget() {
    let mut call = Session::new(greeting("This is the first sentence. And this is the second one of them."));
    call.voice_gap = 60_000;
    call.run(9_000);
    call.in_order(&[
        "release r1",
        "missed stalled_audio waited",
        "missed stalled_audio given up",
        "over r1 failed",
    ]);
    call.in_order(&["said 1 agent: This is the first sentence. | And this"]);
}

#[test]
fn a3_a_filler_bridges_the_wait_and_is_not_in_the_context() {
    let mut policy = model();
    policy.budgets.fillers = vec!["One moment.".into()];
    let mut call = Session::new(policy);
    call.answer(2_000, "At nine.").answer(100, "Yes.");
    call.says(1_000, 1_500, "when do you open").says(8_000, 8_500, "on Sunday too").run(14_000);
    call.in_order(&[
        "missed filler",
        "say r2 One moment.",
        "over r2 heard",
        "release r1",
        "over r1 heard",
        "ask r3",
    ]);
    assert_eq!(call.when("reply r2 filler"), 1_900 + 1_200);
    assert!(!call.context().contains(&Message::Agent { text: "One moment.".into() }));
}

#[test]
fn a4_an_empty_reply_is_asked_for_once_more_and_then_a_sentence_is_said() {
    let mut call = Session::new(model());
    call.answer(100, "").answer(100, "").says(1_000, 1_500, "book a table").run(9_000);
    assert_eq!(call.count("ask r1"), 2);
    call.in_order(&["ask r1", "ask r1", "say r1 I'm sorry,", "over r1 heard"]);
}

#[test]
fn a5_four_tools_run_side_by_side_and_their_results_go_to_the_model_together() {
    let mut call = Session::new(model());
    call.answer_with_tool(100, "", "look_up").answer(100, "There.");
    call.answers[0].tools = (0..6).map(|i| (format!("tool{i}"), serde_json::json!({}))).collect();
    call.says(1_000, 1_500, "look it all up").run(2_100);
    assert_eq!(call.count("run i"), 4);
    call.run(9_000);
    assert_eq!((call.count("run i"), call.count("ask r1"), call.count("tool over")), (6, 2, 6));
    call.in_order(&["over r1 heard"]);
}

#[test]
fn a5_a_time_out_is_told_to_the_model_and_a_late_result_is_dropped() {
    let mut call = Session::new(model());
    call.tool_delay = Some(12_000);
    call.answer_with_tool(100, "One moment.", "look_up").answer(100, "I could not find it.");
    call.says(1_000, 1_500, "look it up").run(16_000);
    call.in_order(&[
        "run i1",
        "missed tool",
        "tool over i1 {\"outcome\":\"timed_out\"}",
        "ask r1",
        "dropped late tool result 1",
    ]);
    let told = |message: &Message| matches!(message, Message::ToolResult { result, .. } if result["error"].is_string());
    assert!(call.context().iter().any(told));
}

#[test]
fn a5_a_result_of_a_reply_that_was_cut_is_still_told() {
    let mut call = Session::new(booking());
    call.tool_delay = Some(3_000);
    call.says(4_000, 4_500, "Friday").says(8_000, 8_300, "yes");
    call.post(9_400, Input::Control(Control::Interrupt)).run(20_000);
    call.in_order(&[
        "run i1 book",
        "cancel r3",
        "tool over i1",
        "reply r4 after_tool",
        "say r4 Your table is booked.",
    ]);
    call.in_order(&["end agent_ended"]);
}

#[test]
fn a6_the_goodbye_is_heard_before_the_end_and_at_most_two_seconds_are_waited_for_it() {
    let mut call = Session::new(model());
    call.answer_with_tool(100, "Goodbye then.", "end_call").says(1_000, 1_500, "that was all").run(20_000);
    call.in_order(&["over r1 heard", "ended call agent_ended", "end agent_ended"]);

    let mut call = Session::new(model());
    call.voice_delay = None;
    call.answer_with_tool(100, "Goodbye then.", "end_call").says(1_000, 1_500, "that was all").run(20_000);
    call.in_order(&["end agent_ended"]);
    assert!(call.when("end agent_ended") < 8_000);
}

#[test]
fn a6_an_ending_is_cancelled_only_once() {
    let mut call = Session::new(model());
    for _ in 0..2 {
        call.answer_with_tool(100, "Thank you for calling, have a nice day.", "end_call");
    }
    call.says(1_000, 1_500, "that was all").says(3_000, 3_700, "wait, one more thing");
    call.says(6_000, 6_700, "wait, one more thing").run(20_000);
    call.in_order(&["cancel r1", "ask r2", "over r2 heard", "end agent_ended"]).never("ask r3");
}

#[test]
fn a6_a_flow_that_had_ended_takes_another_order() {
    let mut call = Session::new(booking());
    call.says(4_000, 4_500, "Friday").says(8_000, 8_300, "yes").says(
        10_700,
        11_300,
        "wait another on Saturday",
    );
    call.run(14_000);
    call.in_order(&["node done", "over r3 interrupted", "ended t3", "say r4 So Saturday,"]).never("end ");
}

#[test]
fn a7_a_silent_caller_is_reminded_and_then_let_go() {
    let mut call = Session::new(greeting("Hello."));
    call.run(60_000);
    let greeted = call.when("over r1 heard");
    assert_eq!(call.when("reply r2 reminder"), greeted + 10_000);
    let reminded = call.when("over r2 heard");
    assert_eq!(call.when("reply r3 goodbye"), reminded + 20_000);
    call.in_order(&["say r3 Goodbye.", "over r3 heard", "end silence"]);
}

#[test]
fn a7_noise_does_not_put_off_the_reminder_and_voice_does_not_meet_it() {
    let mut call = Session::new(model());
    call.voice(5_000, 5_300).listened(5_450, 5_400).run(12_000);
    assert_eq!(call.when("reply r1 reminder"), 10_000);

    let mut call = Session::new(model());
    call.voice(9_500, 11_000).listened(11_150, 11_100).run(12_000);
    assert_eq!(call.when("reply r1 reminder"), 11_150);
}

#[test]
fn a7_a_flow_reminds_with_its_question() {
    let mut call = Session::new(booking());
    call.run(16_000);
    call.in_order(&["reply r2 reminder", "say r2 Are you still there?", "say r2 Friday or Saturday?"]);
}

#[test]
fn a7_no_reminder_while_a_tool_runs() {
    let mut policy = model();
    policy.tools.iter_mut().for_each(|tool| tool.timeout = Duration::from_secs(60));
    let mut call = Session::new(policy);
    call.tool_delay = None;
    call.answer_with_tool(100, "One moment.", "look_up").says(1_000, 1_500, "look it up").run(30_000);
    call.never("reply r2");
}

#[test]
fn a9_the_longest_call_warns_and_ends_with_a_goodbye() {
    let mut policy = model();
    policy.call_handling.max_duration = Duration::from_secs(35);
    policy.call_handling.duration_warning = Some("We must end soon.".into());
    policy.call_handling.silence_limit = Duration::from_secs(600);
    let mut call = Session::new(policy);
    call.run(60_000);
    assert_eq!(call.when("reply r1 warning"), 5_000);
    assert_eq!(call.when("say r3 Goodbye."), 35_000);
    call.in_order(&["over r3 heard", "end max_duration"]);
}

#[test]
fn a_journal_of_facts_replays_to_the_same_decisions() {
    let mut call = Session::new(booking());
    call.says(4_000, 4_600, "Saturday please").says(9_000, 9_400, "yes please").run(30_000);
    let journal = serde_json::to_string(&call.facts).expect("facts are plain data");
    let facts: Vec<(Now, Input)> = serde_json::from_str(&journal).expect("and come back");
    let (mut again, mut actions) = (Conversation::new(booking()), Vec::new());
    facts.into_iter().for_each(|(now, fact)| again.handle(now, fact, &mut actions));
    let decided: Vec<Action> = call.actions.into_iter().map(|(_, action)| action).collect();
    assert_eq!(decided, actions);
}

#[test]
fn a_waterfall_is_told_once_for_each_answered_turn_with_its_times_in_order() {
    let mut call = Session::new(model());
    call.answer(300, "At nine.").says(1_000, 2_000, "when do you open").run(6_000);
    let told: Vec<Waterfall> = call
        .actions
        .iter()
        .filter_map(|(_, action)| match action {
            Action::Tell(Event::Waterfall(waterfall)) => Some(waterfall.clone()),
            _ => None,
        })
        .collect();
    let [w] = told.as_slice() else { panic!("{}", call.text()) };
    let times = [
        w.last_voice,
        w.settled,
        w.decided,
        w.first_text,
        w.first_segment,
        w.first_audio,
        w.first_frame,
        w.heard,
    ];
    assert!(times.iter().all(Option::is_some) && times.is_sorted(), "{w:?}");
    assert_eq!((w.last_voice, w.wait_until, w.decided), (Some(ms(2_000)), Some(ms(2_400)), Some(ms(2_400))));
}
