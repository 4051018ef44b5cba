//! Grammar and parser can't drift: whatever a grammar can say, the flow understands as it was meant.
//!
//! What was meant is told from the rules a random sentence came from, with tables of this file.

use std::collections::BTreeMap;

use parlance_conversation::flow::Then;
use serde_json::{Value, json};

use crate::jsgf::{Dice, Grammar, Sentence};
use crate::support::Call;

/// Random sentences a state; some come twice.
const SAMPLES: usize = 500;

const ONES: [&str; 20] = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
];
const ORDINALS: [&str; 20] = [
    "",
    "first",
    "second",
    "third",
    "fourth",
    "fifth",
    "sixth",
    "seventh",
    "eighth",
    "ninth",
    "tenth",
    "eleventh",
    "twelfth",
    "thirteenth",
    "fourteenth",
    "fifteenth",
    "sixteenth",
    "seventeenth",
    "eighteenth",
    "nineteenth",
];
const MONTHS: [(&str, i64); 12] = [
    ("january", 31),
    ("february", 29),
    ("march", 31),
    ("april", 30),
    ("may", 31),
    ("june", 30),
    ("july", 31),
    ("august", 31),
    ("september", 30),
    ("october", 31),
    ("november", 30),
    ("december", 31),
];
const SIDE: [&str; 7] = [
    "what time do you close on sunday",
    "what time do you close",
    "what are your opening hours",
    "when are you open",
    "do you have anything vegetarian on the menu",
    "do you have vegetarian dishes",
    "where are you",
];

fn number(words: &str) -> i64 {
    let tens = [("twenty", 20), ("thirty", 30), ("forty", 40), ("fifty", 50)];
    let (first, rest) = words.split_once(' ').unwrap_or((words, ""));
    match tens.iter().find(|(ten, _)| *ten == first) {
        Some((_, ten)) if rest.is_empty() => *ten,
        Some((_, ten)) => ten + number(rest),
        None => ONES.iter().position(|one| *one == first).expect(words) as i64,
    }
}

fn ordinal(words: &str) -> i64 {
    match words.split_once(' ') {
        Some((tens, rest)) => number(tens) + ordinal(rest),
        None if words == "twentieth" => 20,
        None if words == "thirtieth" => 30,
        None => ORDINALS.iter().position(|one| *one == words).expect(words) as i64,
    }
}

/// The states of the demo flow, by what was said to get there.
fn states() -> Vec<(&'static str, Call)> {
    let whole = [
        "a table for four on friday at seven p m",
        "my name is john smith",
        "five five five zero one nine eight",
    ];
    let changing = [whole.as_slice(), &["no"]].concat();
    let mut refused = Call::after(&[whole.as_slice(), &["yes"]].concat());
    refused.step = refused.run.tool_finished(&parlance_conversation::ToolOutcome::TimedOut);
    vec![
        ("opening", Call::new()),
        ("asked for the party", Call::after(&["on friday at seven"])),
        ("asked for the day", Call::after(&["for four at seven"])),
        ("asked for the time", Call::after(&["for four on friday"])),
        ("asked for the name", Call::after(&whole[..1])),
        ("asked for the phone", Call::after(&whole[..2])),
        ("read back", Call::after(&whole)),
        ("asked what to change", Call::after(&changing)),
        ("refused", refused),
    ]
}

/// Every third state, so that the three tests run side by side.
fn understands_its_grammar(offset: usize) {
    for (state, before) in states().into_iter().skip(offset).step_by(3) {
        let grammar = Grammar::read(&before.jsgf());
        let mut dice = Dice(0x9E37_79B9_7F4A_7C15);
        let sentences: BTreeMap<String, Sentence> = (0..SAMPLES)
            .map(|_| grammar.sample(&mut dice))
            .map(|sentence| (sentence.text(), sentence))
            .collect();
        for (text, sentence) in sentences {
            let mut after = before.clone();
            after.says(&text);
            check(&sentence, state, &before, &after);
        }
    }
}

#[test]
fn whatever_a_grammar_says_is_understood_as_it_was_meant() {
    understands_its_grammar(0);
}

#[test]
fn whatever_a_grammar_says_is_understood_in_the_states_after() {
    understands_its_grammar(1);
}

#[test]
fn whatever_a_grammar_says_is_understood_in_the_states_after_those() {
    understands_its_grammar(2);
}

#[test]
fn a_grammar_stays_small_enough_to_recognise_with() {
    for (state, call) in states() {
        let jsgf = call.jsgf();
        assert!(jsgf.len() < 12_000, "{state}: {} bytes", jsgf.len());
        assert!(Grammar::read(&jsgf).words().len() < 420, "{state}");
    }
}

fn check(sentence: &Sentence, state: &str, before: &Call, after: &Call) {
    let told = || format!("{state}: “{}” → {:?}, {}", sentence.text(), after.step.say, after.run.slots());
    if sentence.has("person") || sentence.has("cancel") {
        assert_eq!(after.run.node(), "hand_over", "{}", told());
        return;
    }
    if SIDE.contains(&sentence.text().as_str()) {
        assert_eq!(after.run.slots(), before.run.slots(), "{}", told());
        assert!(after.step.say.contains(". ") && !after.step.say.starts_with("Sorry"), "{}", told());
        return;
    }
    for (slot, expected) in [
        ("date", date(sentence)),
        ("time", time(sentence)),
        ("party", party(sentence)),
        ("name", name(sentence)),
        ("phone", phone(sentence)),
    ] {
        match expected {
            Meant::Nothing => assert_eq!(after.slot(slot), before.slot(slot), "{slot} in {}", told()),
            Meant::Unclear => {}
            Meant::Is(test) => assert!(test(&after.slot(slot)), "{slot} in {}", told()),
        }
    }
    let changed = before.run.slots() != after.run.slots();
    let confirming = state == "read back" && !changed;
    if confirming && sentence.has("yes") {
        assert!(matches!(after.step.then, Then::RunTool { .. }), "{}", told());
    }
    if confirming && sentence.has("no") {
        assert_eq!(after.step.say, "What should I change?", "{}", told());
    }
    if sentence.has("nod") && state != "read back" || sentence.has("again") {
        assert!(before.step.say.ends_with(&after.step.say), "{}", told());
    }
}

/// What the sentence meant for one slot.
enum Meant {
    Nothing,
    /// A day that does not exist, or digits too few to be a number.
    Unclear,
    Is(Box<dyn Fn(&Value) -> bool>),
}

/// The last place of any of the rules that is not behind "not".
fn last(sentence: &Sentence, rules: &[&str]) -> Option<(usize, usize)> {
    let places = rules.iter().flat_map(|rule| sentence.of(rule));
    places.filter(|(start, _)| *start == 0 || sentence.words[start - 1] != "not").max()
}

fn date(sentence: &Sentence) -> Meant {
    let Some(place) = last(sentence, &["date", "date_bare"]) else { return Meant::Nothing };
    let one = |rule: &str| sentence.within(rule, place).pop();
    let weekday = one("weekday");
    let day = one("ordinal").map(|words| ordinal(&words));
    let month = one("month").and_then(|month| MONTHS.iter().position(|(name, _)| *name == month));
    if day.zip(month).is_some_and(|(day, month)| day > MONTHS[month].1) {
        return Meant::Unclear;
    }
    let next = one("which").is_some_and(|which| which == "next");
    let offset = match (one("relative").or(one("tonight")).as_deref(), one("ahead").as_deref()) {
        (Some("today" | "tonight"), _) => Some(0),
        (Some("tomorrow"), _) => Some(1),
        (Some(_), _) => Some(2),
        (_, Some("in a week")) => Some(7),
        (_, Some(ahead)) => Some(number(ahead.trim_start_matches("in ").trim_end_matches(" days"))),
        _ => None,
    };
    let today = crate::support::scene().started.date();
    Meant::Is(Box::new(move |value| {
        let Some(date) = value.as_str().and_then(|text| text.parse::<jiff::civil::Date>().ok()) else {
            return false;
        };
        let ahead = (date - today).get_days();
        let named = format!("{:?}", date.weekday()).to_lowercase();
        ahead >= 0
            && day.is_none_or(|day| i64::from(date.day()) == day)
            && month.is_none_or(|month| date.month() as usize == month + 1)
            && offset.is_none_or(|offset| i64::from(ahead) == offset)
            && (day.is_some() || weekday.as_ref().is_none_or(|weekday| named == *weekday))
            && (day.is_some() || weekday.is_none() || (1..=if next { 14 } else { 7 }).contains(&ahead))
    }))
}

fn time(sentence: &Sentence) -> Meant {
    let Some(place) = last(sentence, &["time", "time_bare"]) else { return Meant::Nothing };
    let one = |rule: &str| sentence.within(rule, place).pop();
    let past = match one("past").as_deref() {
        None => 0,
        Some("half past") => 30,
        Some(quarter) if quarter.ends_with("past") => 15,
        Some(_) => -15,
    };
    let hour = one("hour").map_or(12, |hour| number(&hour));
    let face = (hour * 60 + one("minute").map_or(0, |minute| number(&minute)) + past).rem_euclid(720);
    let half = one("half").map(|half| half == "p m");
    let part = one("daypart");
    Meant::Is(Box::new(move |value| {
        let Some((hour, minute)) = value.as_str().and_then(|text| text.split_once(':')) else { return false };
        let minutes = number_of(hour) * 60 + number_of(minute);
        let whole_hour = past == 0;
        minutes % 720 == face
            && half.is_none_or(|afternoon| (minutes >= 720) == afternoon)
            && part.as_ref().is_none_or(|part| !whole_hour || (minutes >= 720) == (part != "morning"))
    }))
}

fn number_of(digits: &str) -> i64 {
    digits.parse().expect("digits")
}

fn party(sentence: &Sentence) -> Meant {
    let Some(place) = last(sentence, &["party", "party_for", "party_bare"]) else { return Meant::Nothing };
    let total: i64 = sentence.within("count", place).iter().map(|count| number(count)).sum();
    Meant::Is(Box::new(move |value| *value == json!(total)))
}

fn name(sentence: &Sentence) -> Meant {
    let Some(place) = last(sentence, &["name"]) else { return Meant::Nothing };
    let words = sentence.words[place.0..place.1].join(" ");
    Meant::Is(Box::new(move |value| value.as_str().is_some_and(|name| name.to_lowercase() == words)))
}

fn phone(sentence: &Sentence) -> Meant {
    let Some(place) = last(sentence, &["digits"]) else { return Meant::Nothing };
    let digits: String = sentence
        .within("digit", place)
        .iter()
        .map(|digit| if digit == "oh" { 0 } else { number(digit) }.to_string())
        .collect();
    if digits.len() < 7 {
        return Meant::Unclear;
    }
    Meant::Is(Box::new(move |value| *value == json!(digits)))
}
