//! Calls that are cut in the middle, as by a lost engine, and go on in a second conversation from what the journal of
//! the first one told.

use std::sync::Arc;

use parlance_conversation::*;
use serde_json::json;

use crate::agents::{booking, eager, greeting, model};
use crate::session::{Answer, Session};

/// What a journal keeps of a call: its decisions, as JSON and back.
fn past(call: &Session) -> Past {
    let mut past = Past::default();
    for (_, action) in &call.actions {
        if let Action::Tell(told) = action {
            let kept = serde_json::to_value(told).expect("an event is plain data");
            past.learn(&serde_json::from_value(kept).expect("and comes back"));
        }
    }
    past
}

/// The call goes on in a new process, some seconds later.
fn goes_on(policy: Policy, past: &Past, clock: u64) -> Session {
    Session::of(Conversation::resumed(policy, past), clock)
}

/// A form of three slots, read back and booked.
fn table() -> Policy {
    let flow = json!({
        "start": "hello",
        "nodes": {
            "hello": { "kind": "say", "text": "Good day.", "next": "form" },
            "form": {
                "kind": "ask",
                "prompt": "How can I help you?",
                "slots": [
                    { "name": "party", "kind": { "slot": "party_size" }, "prompt": "For how many people?" },
                    { "name": "date", "kind": { "slot": "date" }, "prompt": "For which day?" },
                    { "name": "time", "kind": { "slot": "time" }, "prompt": "At what time?" },
                ],
                "read_back": "{{party}} people, {{date}}, {{time}}, is that right?",
                "next": "book",
                "on_failure": "sorry",
            },
            "book": {
                "kind": "tool",
                "tool": "book",
                "arguments": { "party": "{{party}}", "date": "{{date}}", "time": "{{time}}" },
                "say": "One moment please.",
                "next": "done",
                "on_failure": "sorry",
            },
            "done": { "kind": "end", "text": "Booked as {{result.code}}. Goodbye.", "reason": "agent_ended" },
            "sorry": { "kind": "end", "text": "Sorry, {{reason}}. Goodbye.", "reason": "agent_ended" },
        },
    });
    let flow = serde_json::from_value(flow).expect("a flow");
    Policy { responder: Responder::Flow { flow: Arc::new(flow) }, ..booking() }
}

fn typed(call: &mut Session, at: u64, text: &str) {
    call.post(at, Input::TypedText { text: text.into() });
}

#[test]
fn a_flow_cut_in_the_middle_asks_the_next_open_slot_and_greets_nobody_again() {
    let mut first = Session::new(table());
    typed(&mut first, 5_000, "A table for four on Friday");
    first.run(6_000);
    first.in_order(&["say r1 Good day.", "say r2 At what time?"]);

    let mut second = goes_on(table(), &past(&first), 20_000);
    typed(&mut second, 25_000, "at seven pm");
    typed(&mut second, 30_000, "yes");
    second.run(45_000);
    second.never("say r3 Good day").never("say r3 How can I");
    second.in_order(&[
        "say r3 At what time?",
        "say r4 four people, Friday,",
        "run i1 book",
        "end agent_ended",
    ]);
    let run = second.lines.iter().find(|(_, line)| line.starts_with("run i1")).expect("it ran");
    assert!(
        run.1.contains(r#""party":4"#) && run.1.contains("2026-05-22") && run.1.contains("19:00"),
        "{run:?}"
    );
}

#[test]
fn ids_go_on_so_that_nothing_of_the_rest_is_taken_for_something_of_before() {
    let mut first = Session::new(table());
    typed(&mut first, 5_000, "for four");
    first.run(8_000);
    let mut second = goes_on(table(), &past(&first), 20_000);
    typed(&mut second, 25_000, "on Friday");
    second.run(27_000);
    second.in_order(&["reply r3", "said 4 agent: For which day?", "turn t2"]);
}

#[test]
fn a_tool_that_ended_is_not_run_again_and_its_result_is_said() {
    let mut first = Session::new(table());
    first.tool_outcome = ToolOutcome::Succeeded { result: json!({ "code": "blue" }) };
    typed(&mut first, 5_000, "A table for four on Friday at seven pm");
    typed(&mut first, 12_000, "yes");
    first.run(12_600);
    first.in_order(&["tool i1 book", "tool over i1"]).never("end agent");
    let mut second = goes_on(table(), &past(&first), 20_000);
    second.run(30_000);
    second.never("run");
    assert!(second.text().contains("Booked as blue"), "{}", second.text());
    second.in_order(&["end agent_ended"]);
}

#[test]
fn a_tool_without_an_end_is_unknown_and_never_run_again() {
    let mut first = Session::new(table());
    first.tool_delay = None;
    typed(&mut first, 5_000, "A table for four on Friday at seven pm");
    typed(&mut first, 12_000, "yes");
    first.run(13_000);
    first.in_order(&["run i1 book"]).never("tool over");
    let mut second = goes_on(table(), &past(&first), 20_000);
    second.run(30_000);
    second.never("run");
    second.in_order(&["node sorry", "end agent_ended"]);
}

#[test]
fn a_row_that_the_journal_does_not_know_yet_counts() {
    let mut first = Session::new(table());
    typed(&mut first, 5_000, "A table for four on Friday at seven pm");
    first.run(8_000);
    let mut past = past(&first);
    let outcome = Some(ToolOutcome::Succeeded { result: json!({ "code": "green" }) });
    let run = PastRun { invocation: InvocationId(1), tool: "book".into(), arguments: json!({}), outcome };
    past.ran(run);
    let mut second = goes_on(table(), &past, 20_000);
    second.run(30_000);
    second.never("run");
    assert!(second.text().contains("Booked as green"), "{}", second.text());
}

#[test]
fn a_row_that_has_ended_beats_a_journal_that_has_not_heard_of_it() {
    let mut first = Session::new(table());
    first.tool_delay = None;
    typed(&mut first, 5_000, "A table for four on Friday at seven pm");
    typed(&mut first, 12_000, "yes");
    first.run(13_000);
    let mut past = past(&first);
    let outcome = Some(ToolOutcome::Succeeded { result: json!({ "code": "red" }) });
    past.ran(PastRun { invocation: InvocationId(1), tool: "book".into(), arguments: json!({}), outcome });
    let mut second = goes_on(table(), &past, 20_000);
    second.run(30_000);
    assert!(second.text().contains("Booked as red"), "{}", second.text());
}

#[test]
fn a_model_sees_what_was_heard_and_an_unfinished_tool_as_unknown_and_goes_on() {
    let mut first = Session::new(greeting("Hello."));
    let tools = vec![("book".to_owned(), json!({ "day": "Friday" }))];
    first.answers.push_back(Answer { delay: 300, text: "Let me see.".into(), tools });
    first.tool_delay = None;
    typed(&mut first, 4_000, "Book Friday");
    first.run(8_000);
    first.in_order(&["run i1 book"]).never("tool over");
    let mut second = goes_on(greeting("Hello."), &past(&first), 20_000);
    second.answer(300, "Sorry, we were cut off.");
    second.run(24_000);
    second.in_order(&["ask r3", "say r3 Sorry, we were cut off."]).never("run").never("say r3 Hello");
    let context = second.context();
    assert!(context.contains(&Message::Agent { text: "Hello.".into() }), "{context:?}");
    assert!(context.contains(&Message::Caller { text: "Book Friday".into() }), "{context:?}");
    let unknown = |message: &Message| matches!(message, Message::ToolResult { result, .. } if result.to_string().contains("unknown"));
    assert!(context.iter().any(unknown), "{context:?}");
    assert!(matches!(context.last(), Some(Message::System { text }) if text.contains("interrupted")));
}

#[test]
fn the_longest_duration_counts_from_the_beginning_of_the_call() {
    let mut policy = table();
    policy.call_handling.max_duration = std::time::Duration::from_secs(30);
    let mut first = Session::new(policy.clone());
    first.run(5_000);
    let mut second = goes_on(policy, &past(&first), 20_000);
    second.run(40_000);
    second.in_order(&["end max_duration"]);
    assert!(second.when("end max_duration") < 35_000);
}

#[test]
fn of_an_empty_past_comes_a_new_call() {
    let mut call = goes_on(greeting("Hello."), &Past::default(), 0);
    call.run(2_000);
    call.in_order(&["reply r1 greeting", "say r1 Hello."]);
    assert!(Past::default().is_empty() && model().tools.len() == 2);
}

#[test]
fn an_answer_that_was_begun_and_dropped_before_the_engine_was_lost_leaves_its_number_unused() {
    let mut call = Session::new(eager());
    call.says(1_000, 1_500, "book a table").run(1_700);
    call.in_order(&["guess r1 t1"]).never("ended t1");
    let mut again = goes_on(eager(), &past(&call), 5_000);
    again.answer(100, "Sorry, where were we?").run(9_000);
    again.in_order(&["reply r2 answer", "over r2 heard"]);
}
