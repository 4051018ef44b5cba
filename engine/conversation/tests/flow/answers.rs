//! When an answer is complete (E1): told from the words and from what was asked.

use parlance_conversation::flow::Completeness::{self, Complete, Open, Partial};

use crate::support::Call;

const BOOKED: [&str; 3] = [
    "a table for four on friday at seven p m",
    "my name is john smith",
    "five five five zero one nine eight",
];

fn judged(call: &Call, expected: &[(&str, Completeness)]) {
    for (words, completeness) in expected {
        assert_eq!(call.expects().judge(words), *completeness, "“{words}” after “{}”", call.step.say);
    }
}

#[test]
fn at_the_opening_all_values_make_an_answer_complete() {
    judged(
        &Call::new(),
        &[
            ("i'd like to book a table", Open),
            ("i'd like to book a table for", Partial),
            ("for four", Open),
            ("for four on friday", Open),
            ("for four on saturday the", Partial),
            ("for four on friday at", Partial),
            ("for four on friday at seven p", Partial),
            ("hello", Open),
            ("", Open),
        ],
    );
}

#[test]
fn a_time_is_complete_with_its_hour() {
    judged(
        &Call::after(&["for four on friday"]),
        &[
            ("at", Partial),
            ("half past", Partial),
            ("seven", Complete),
            ("at seven p m", Complete),
            ("um well", Open),
        ],
    );
}

#[test]
fn a_date_is_complete_with_its_day() {
    judged(
        &Call::after(&["for four at seven"]),
        &[
            ("next", Partial),
            ("on saturday", Complete),
            ("on saturday the", Partial),
            ("on saturday the twenty", Partial),
            ("saturday the twenty third of", Partial),
            ("saturday the twenty third of may", Complete),
            ("may twenty", Partial),
            ("in three", Partial),
            ("in three days", Complete),
        ],
    );
}

#[test]
fn a_name_is_complete_with_two_words_and_open_with_one() {
    judged(
        &Call::after(&BOOKED[..1]),
        &[
            ("my name", Partial),
            ("my name is", Partial),
            ("my name is john", Open),
            ("my name is john smith", Complete),
            ("john", Open),
            ("john smith", Complete),
            ("it's under the", Partial),
        ],
    );
}

#[test]
fn a_phone_number_is_complete_with_seven_digits() {
    judged(
        &Call::after(&BOOKED[..2]),
        &[
            ("my phone number is", Partial),
            ("five five five", Partial),
            ("555", Partial),
            ("five five five zero one nine eight", Complete),
            ("555-0198", Complete),
            ("i don't have one", Open),
        ],
    );
}

#[test]
fn a_read_back_is_answered_by_yes_no_or_a_whole_correction() {
    judged(
        &Call::after(&BOOKED),
        &[
            ("yes", Complete),
            ("yes please", Complete),
            ("that's", Partial),
            ("that's correct", Complete),
            ("no", Complete),
            ("no wait", Partial),
            ("no wait not", Partial),
            ("no wait not friday", Partial),
            ("no wait not friday saturday", Complete),
            ("can we make it", Partial),
            ("can we make it eight fifteen", Complete),
            ("the weather is nice", Open),
        ],
    );
}
