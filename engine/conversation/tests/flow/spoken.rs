//! The callers of the recorded clips: each sentence can be recognised where a caller would say it.

use serde_json::json;

use crate::jsgf::Grammar;
use crate::support::Call;

const BOOKED: [&str; 3] = [
    "a table for four on friday at seven p m",
    "my name is john smith",
    "five five five zero one nine eight",
];

fn accepts(said_before: &[&str], words: &str) {
    let call = Call::after(said_before);
    assert!(
        Grammar::read(&call.jsgf()).accepts(words),
        "after {said_before:?}: “{words}” can't be recognised"
    );
}

#[test]
fn every_clip_can_be_recognised_in_the_state_it_is_said_in() {
    for words in [
        "i'd like to book a table for four on friday at seven p m",
        "i'd like to book a table for four on friday",
        "i'd like to book a table",
        "for four on friday",
        "tomorrow at half past eight",
        "saturday the twenty third of may",
        "two adults and three children",
        "next tuesday evening",
        "a table for two near the window",
        "there will be six of us",
        "my name is john smith",
        "it's under the name of maria garcia",
        "what time do you close on sunday",
        "do you have anything vegetarian on the menu",
        "can i speak to a person please",
        "i want to cancel my reservation",
    ] {
        accepts(&[], words);
    }
    for words in ["my name is john smith", "my name is", "john smith", "it's under the name of maria garcia"]
    {
        accepts(&BOOKED[..1], words);
    }
    for words in [
        "my phone number is five five five zero one nine eight",
        "five five five zero one nine eight",
        "five five five",
        "zero one nine eight",
    ] {
        accepts(&BOOKED[..2], words);
    }
    for words in [
        "yes please",
        "that's correct",
        "no thank you",
        "no wait not friday saturday",
        "can we make it eight fifteen instead",
        "there will be six of us",
        "what time do you close on sunday",
        "can i speak to a person please",
        "i want to cancel my reservation",
    ] {
        accepts(&BOOKED, words);
    }
}

#[test]
fn backchannels_can_be_recognised_everywhere() {
    for said in 0..=BOOKED.len() {
        for words in ["uh huh", "mm hmm", "okay", "right"] {
            accepts(&BOOKED[..said], words);
        }
    }
    accepts(&BOOKED, "yeah");
}

#[test]
fn a_correction_can_be_recognised_while_the_next_question_is_asked() {
    for said in 1..=BOOKED.len() {
        accepts(&BOOKED[..said], "no wait not friday saturday");
        accepts(&BOOKED[..said], "can we make it eight fifteen instead");
    }
}

#[test]
fn dates_are_not_listened_for_where_none_is_wanted_or_to_be_corrected() {
    let grammar = Grammar::read(&Call::after(&BOOKED[..2]).jsgf());
    assert!(!grammar.accepts("friday"));
    assert!(!grammar.accepts("at seven"));
}

#[test]
fn a_long_sentence_gives_all_it_says() {
    let call = Call::after(&[
        "hello i am calling because it is my mother's birthday and i was hoping you could seat eight people on \
         saturday the twenty third of may at half past seven near the window",
    ]);
    assert_eq!(call.run.slots(), json!({"party": 8, "date": "2026-05-23", "time": "19:30"}));
    assert_eq!(call.step.say, "What name is it under?");
}

#[test]
fn a_part_of_the_day_asks_for_the_hour_and_decides_its_half() {
    let mut call = Call::after(&["for two next tuesday evening"]);
    assert_eq!(call.slot("date"), "2026-05-26");
    assert_eq!(call.step.say, "At what time?");
    call.says("eight");
    assert_eq!(call.slot("time"), "20:00");

    let mut call = Call::after(&["for two tomorrow morning"]);
    call.says("at nine");
    assert_eq!(call.slot("time"), "09:00");
}

#[test]
fn a_number_dictated_in_two_goes_is_one_number() {
    let mut call = Call::after(&BOOKED[..2]);
    call.says("five five five");
    assert_eq!(call.step.say, "555, and then?");
    call.says("zero one nine eight");
    assert_eq!(call.slot("phone"), "5550198");
}

#[test]
fn a_day_that_does_not_exist_is_named_as_the_trouble() {
    let mut call = Call::after(&["for four at seven"]);
    call.says("on february the thirtieth");
    assert_eq!(call.step.say, "Sorry, that day is over or does not exist. For which day?");
}

#[test]
fn a_weekday_that_does_not_fit_its_date_is_told_at_the_read_back() {
    let mut call = Call::after(&BOOKED);
    call.says("no wait friday the twenty third of may");
    assert!(
        call.step.say.starts_with(
            "That day is a Saturday, not a Friday. So that is a table for 4 on Saturday, May 23"
        ),
        "{}",
        call.step.say
    );
}
