//! A5: what is said around tools, what the model is shown of them, and what is not run at all.

use parlance_conversation::*;
use serde_json::{Value, json};

use crate::agents::{booking, model};
use crate::session::Session;

fn talking(mut policy: Policy) -> Policy {
    for tool in &mut policy.tools {
        tool.say_while_running = Some("Let me see.".into());
        tool.say_after = Some("I have it.".into());
    }
    policy
}

/// One line a message.
fn shown(context: &[Message]) -> Vec<String> {
    let show = |message: &Message| match message {
        Message::System { text } => format!("system {text}"),
        Message::Caller { text } => format!("caller {text}"),
        Message::Agent { text } => format!("agent {text}"),
        Message::ToolCall { call_id, signature, .. } => {
            format!("call {call_id} {}", signature.as_deref().unwrap_or("-"))
        }
        Message::ToolResult { call_id, result, .. } => format!("result {call_id} {result}"),
    };
    context.iter().map(show).collect()
}

#[test]
fn a5_the_agent_speaks_while_a_tool_runs_and_after_it_and_the_model_goes_on_behind_that() {
    let mut call = Session::new(talking(model()));
    call.answer_with_tool(100, "", "look_up").answer(100, "At nine.");
    call.says(1_000, 1_500, "when do you open").run(9_000);
    call.in_order(&[
        "say r1 Let me see.",
        "run i1 look_up",
        "tool over i1",
        "say r1 I have it.",
        "ask r1",
        "say r1 At nine.",
        "over r1 heard",
    ]);
    assert_eq!(
        shown(&call.context()),
        ["caller when do you open", "agent Let me see.", "call c0 sig0", "result c0 {}", "agent I have it."]
    );
    call.in_order(&["said 2 agent: Let me see. I have it. At nine."]);
}

#[test]
fn a5_an_agent_that_said_something_itself_says_no_more_while_its_tool_runs() {
    let mut call = Session::new(talking(model()));
    call.answer_with_tool(100, "One second please.", "look_up").answer(100, "At nine.");
    call.says(1_000, 1_500, "when do you open").run(9_000);
    call.in_order(&["say r1 One second please.", "run i1", "say r1 I have it."]).never("say r1 Let me see.");
}

#[test]
fn a5_nothing_is_said_after_a_tool_that_failed_or_whose_reply_is_over() {
    let mut call = Session::new(talking(model()));
    call.tool_outcome = ToolOutcome::Failed { reason: "we are full".into() };
    call.answer_with_tool(100, "", "look_up").answer(100, "We are full.");
    call.says(1_000, 1_500, "book a table").run(9_000);
    call.in_order(&["tool over i1", "ask r1", "say r1 We are full."]).never("say r1 I have it.");

    let mut call = Session::new(talking(model()));
    call.tool_delay = Some(3_000);
    call.answer_with_tool(100, "", "book").answer(100, "Four, then.");
    call.says(1_000, 1_500, "book a table").says(3_000, 3_600, "no for four").run(12_000);
    call.in_order(&["run i1", "over r1 interrupted", "tool over i1", "say r2 Four, then."]);
    assert!(!call.lines.iter().any(|(_, line)| line.ends_with("I have it.")), "{}", call.text());
}

#[test]
fn a5_words_after_a_flows_tool_come_before_its_next_words() {
    let mut call = Session::new(talking(booking()));
    call.says(4_000, 4_500, "Friday").says(8_000, 8_300, "yes").run(20_000);
    call.in_order(&[
        "run i1 book",
        "tool over i1",
        "say r3 I have it.",
        "say r3 Your table is booked.",
        "end ",
    ]);
}

#[test]
fn a5_calls_made_together_stand_in_a_row_behind_the_words_and_before_their_results() {
    let mut call = Session::new(model());
    call.answer_with_tool(100, "Let me look that up.", "look_up");
    call.answer_with_tool(100, "", "look_up").answer(100, "There.");
    call.answers[0].tools = (0..3).map(|i| (format!("tool{i}"), json!({}))).collect();
    call.says(1_000, 1_500, "look it all up").run(9_000);
    assert_eq!(
        shown(&call.context()),
        [
            "caller look it all up",
            "agent Let me look that up.",
            "call c0 sig0",
            "call c1 sig1",
            "call c2 sig2",
            "result c0 {}",
            "result c1 {}",
            "result c2 {}",
            "call c0 sig0",
            "result c0 {}",
        ],
        "the second batch stands by itself"
    );
}

#[test]
fn a5_arguments_that_are_no_object_are_told_to_the_model_and_not_run() {
    let bad = [json!("Friday"), json!([1]), json!(7), json!(true)];
    for arguments in bad {
        let mut call = Session::new(model());
        call.answer_with_tool(100, "", "book").answer(100, "Which day?");
        call.answers[0].tools = vec![("book".into(), arguments.clone())];
        call.says(1_000, 1_500, "book a table").run(9_000);
        call.in_order(&[
            "tool over i1 {\"outcome\":\"failed\"",
            "ask r1",
            "say r1 Which day?",
            "over r1 heard",
        ]);
        call.never("run i");
        let told = shown(&call.context());
        assert!(told[2].contains("must be a JSON object"), "{arguments}: {told:?}");
    }
    let mut call = Session::new(model());
    call.answer_with_tool(100, "", "book").answer(100, "Half of it.");
    call.answers[0].tools = vec![("book".into(), json!("x")), ("look_up".into(), Value::Null)];
    call.says(1_000, 1_500, "book a table").run(9_000);
    call.in_order(&["tool over i1", "run i2 look_up {}", "tool over i2", "ask r1", "over r1 heard"]);
    assert_eq!(call.count("ask r1"), 2, "asked when all of them are over\n{}", call.text());
}

#[test]
fn a5_a_mistaken_call_does_not_keep_the_agent_from_hanging_up() {
    let mut call = Session::new(model());
    call.answer_with_tool(100, "Goodbye then.", "end_call");
    call.answers[0].tools.push(("book".into(), json!("x")));
    call.says(1_000, 1_500, "that was all").run(20_000);
    call.in_order(&["say r1 Goodbye then.", "over r1 heard", "end agent_ended"]).never("run i");
}

#[test]
fn a3_a_voice_that_stays_silent_after_a_tool_is_given_up() {
    let mut call = Session::new(model());
    call.tool_delay = Some(3_000);
    call.answer_with_tool(100, "One moment.", "look_up").answer(100, "At nine.");
    call.says(1_000, 1_500, "when do you open").run(4_500);
    call.voice_delay = None;
    call.run(20_000);
    call.in_order(&["tool over i1", "say r1 At nine.", "missed first_audio waited", "over r1 failed"]);
}

#[test]
fn a_correction_while_a_flows_tool_runs_is_taken_after_its_result_with_what_is_known() {
    for (words, known) in [("no Saturday", "Saturday"), ("make it Saturday instead please", "Saturday")] {
        let mut call = Session::new(booking());
        call.tool_delay = Some(4_000);
        call.says(4_000, 4_500, "Friday").says(8_000, 8_300, "yes").says(9_600, 10_300, words);
        call.says(17_000, 17_400, "yes").run(30_000);
        let (said, ran) = (format!("said 6 caller: {words}"), format!("run i2 book {{\"day\":\"{known}\"}}"));
        call.in_order(&[
            "run i1 book {\"day\":\"Friday\"}",
            &said,
            "tool over i1",
            "say r4 Your table is booked.",
            "say r4 So Saturday,",
            "over r4 heard",
            &ran,
            "say r5 Your table is booked.",
            "say r5 Goodbye.",
            "end agent_ended",
        ]);
        call.never("say r4 Goodbye.");
    }
}

#[test]
fn thanks_while_a_flows_tool_runs_go_with_its_goodbye() {
    let mut call = Session::new(booking());
    call.tool_delay = Some(4_000);
    call.says(4_000, 4_500, "Friday")
        .says(8_000, 8_300, "yes")
        .says(9_600, 10_300, "thank you bye")
        .run(30_000);
    call.in_order(&[
        "said 6 caller: thank you bye",
        "tool over i1",
        "reply r4 after_tool",
        "say r4 Your table is booked.",
        "say r4 Goodbye.",
        "end agent_ended",
    ]);
    assert_eq!((call.count("run i"), call.count("say r4")), (1, 2), "{}", call.text());
}

/// A model that never stops asking for a tool; at the last time it says so much besides.
fn insatiable(last_words: &str) -> Session {
    let mut call = Session::new(model());
    for round in 1..=9 {
        call.answer_with_tool(100, if round == 6 { last_words } else { "" }, "look_up");
    }
    call.says(1_000, 1_500, "when do you open").run(20_000);
    call
}

#[test]
fn a5_a_model_that_asks_for_tools_again_and_again_is_told_to_answer_and_then_refused() {
    let call = insatiable("");
    assert_eq!((call.count("ask r1"), call.count("run i")), (6, 5), "{}", call.text());
    let last = shown(&call.context());
    assert!(last.last().is_some_and(|line| line.starts_with("system You have called tools")), "{last:?}");
    let apology = "say r1 I'm sorry, something went wrong on my side.";
    call.in_order(&["run i5", "ask r1", "tool over i6 {\"outcome\":\"failed\"", apology, "over r1 heard"]);

    let call = insatiable("At nine.");
    call.in_order(&["run i5", "say r1 At nine.", "tool over i6", "over r1 heard"]).never(apology);
    assert_eq!(call.count("run i"), 5);
}

#[test]
fn a5_how_often_a_model_may_ask_for_tools_is_counted_anew_for_each_reply() {
    let mut policy = model();
    policy.budgets.tool_rounds_max = 1;
    let mut call = Session::new(policy);
    for answer in ["At nine.", "At five."] {
        call.answer_with_tool(100, "", "look_up").answer(100, answer);
    }
    call.says(1_000, 1_500, "when do you open").says(6_000, 6_500, "and when do you close").run(20_000);
    call.in_order(&["run i1", "ask r1", "say r1 At nine.", "run i2", "ask r2", "say r2 At five."]);
    assert!(shown(&call.context()).last().is_some_and(|line| line.starts_with("system")), "{}", call.text());
}
