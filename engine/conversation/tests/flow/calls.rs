//! Whole calls through the demo agent's flow.

use parlance_conversation::ToolOutcome;
use serde_json::json;

use crate::support::Call;

const BOOKING: [&str; 3] = [
    "i'd like to book a table for four on friday at seven p m",
    "my name is john smith",
    "my phone number is five five five zero one nine eight",
];

#[test]
fn the_demo_flow_has_no_faults() {
    assert_eq!(crate::support::restaurant().validate(), Ok(()));
}

#[test]
fn a_spoken_booking_fills_the_tool_s_arguments() {
    let mut call = Call::after(&BOOKING);
    assert_eq!(
        call.step.say,
        "So that is a table for 4 on Friday, May 22 at 7:00 PM, under the name of John Smith, \
         phone number 555-0198. Is that right?"
    );
    call.says("yes please");
    let (tool, arguments) = call.tool();
    assert_eq!(tool, "book_appointment");
    assert_eq!(
        *arguments,
        json!({"party_size": 4, "date": "2026-05-22", "time": "19:00", "customer_name": "John Smith", "phone": "5550198"})
    );
    call.step = call.run.tool_finished(&ToolOutcome::Succeeded { result: json!({}) });
    assert!(call.step.say.starts_with("Your table for 4 is booked for Friday, May 22"), "{}", call.step.say);
    assert!(call.has_ended());
}

#[test]
fn a_typed_booking_is_understood_like_a_spoken_one() {
    let call = Call::after(&["Table for 4, Friday 7:30pm please", "John O'Connor", "(212) 555-0198"]);
    assert_eq!(
        call.run.slots(),
        json!({"party": 4, "date": "2026-05-22", "time": "19:30", "name": "John O'Connor", "phone": "2125550198"})
    );
}

#[test]
fn a_refused_time_is_asked_for_anew_and_the_rest_is_kept() {
    let mut call = Call::after(&BOOKING);
    call.says("that's correct");
    call.step = call.run.tool_finished(&ToolOutcome::Failed { reason: "we are full at 7:00 PM.".into() });
    assert_eq!(call.step.say, "I'm sorry, we are full at 7:00 PM. What other time would suit you?");
    assert!(call.slot("time").is_null());
    call.says("can we make it eight fifteen instead");
    assert!(call.step.say.contains("May 22 at 8:15 PM"), "{}", call.step.say);
    call.says("yes");
    assert_eq!(call.tool().1["time"], "20:15");
}

#[test]
fn corrections_replace_what_was_said_before() {
    let mut call = Call::after(&BOOKING);
    call.says("no wait, not friday, saturday");
    assert_eq!(call.slot("date"), "2026-05-23");
    call.says("can we make it eight fifteen instead");
    assert_eq!(call.slot("time"), "20:15");
    call.says("there will be six of us");
    assert_eq!(call.slot("party"), 6);
    call.says("it's under the name of maria garcia");
    assert_eq!(call.slot("name"), "Maria Garcia");
    assert!(call.step.say.ends_with("Is that right?"));
}

#[test]
fn a_correction_between_two_questions_is_said_back_and_the_question_asked_again() {
    let mut call = Call::after(&BOOKING[..1]);
    assert_eq!(call.step.say, "What name is it under?");
    call.says("no wait not friday saturday");
    assert_eq!(call.slot("date"), "2026-05-23");
    assert_eq!(call.step.say, "Okay, Saturday, May 23. What name is it under?");
}

#[test]
fn a_no_asks_what_to_change_and_the_named_value_is_asked_for() {
    let mut call = Call::after(&BOOKING);
    call.says("no");
    assert_eq!(call.step.say, "What should I change?");
    call.says("the time");
    assert_eq!(call.step.say, "At what time?");
    call.says("nine");
    assert_eq!(call.slot("time"), "21:00");
    assert!(call.step.say.ends_with("Is that right?"));
}

#[test]
fn side_questions_are_answered_and_the_question_comes_again() {
    let mut call = Call::after(&BOOKING[..1]);
    call.says("what time do you close on sunday");
    assert!(call.step.say.starts_with("We are open from noon"), "{}", call.step.say);
    assert!(call.step.say.ends_with("What name is it under?"));
    assert_eq!(call.slot("date"), "2026-05-22");
    call.says("do you have anything vegetarian on the menu");
    assert!(call.step.say.starts_with("Yes, a third"), "{}", call.step.say);
}

#[test]
fn misunderstandings_in_a_row_give_up_and_understanding_starts_the_count_anew() {
    let mut call = Call::after(&["purple elephants", "blue ones"]);
    assert!(call.step.say.starts_with("Sorry, I didn't get that."), "{}", call.step.say);
    call.says("for four");
    call.says("purple elephants");
    call.says("purple elephants");
    assert!(!call.has_ended());
    call.says("purple elephants");
    assert!(call.has_ended());
    assert_eq!(call.run.node(), "hand_over");
}

#[test]
fn a_caller_who_wants_a_person_or_out_is_handed_over() {
    for words in ["can I speak to a person please", "I want to cancel my reservation"] {
        let mut call = Call::after(&BOOKING);
        call.says(words);
        assert_eq!(call.run.node(), "hand_over", "{words}");
    }
}
