//! The phrase table: everything a caller may say inside a flow, rule by rule.
//!
//! One table for both sides: the parser (`hear`) and the recogniser's grammar (`jsgf`). What the
//! captured values mean is decided in `dates`, `times`, `party`, `phones`. Rows marked heard are
//! understood and not printed. Enter at [`table`].

use std::sync::LazyLock;

use super::phrase::Reach::{Heard, Spoken};
use super::phrase::Table;
use super::{dates, names, numbers, phones, times};

/// The table, built once.
pub(super) fn table() -> &'static Table {
    static TABLE: LazyLock<Table> = LazyLock::new(|| {
        let mut table = Table::default();
        numbers_of_people(&mut table);
        days(&mut table);
        hours(&mut table);
        people(&mut table);
        telephone(&mut table);
        yes_and_no(&mut table);
        requests(&mut table);
        fields(&mut table);
        carriers(&mut table);
        table
    });
    &TABLE
}

fn listed(words: &[&str]) -> Vec<(String, i64)> {
    words.iter().zip(1..).map(|(word, value)| ((*word).to_owned(), value)).collect()
}

fn valued(rows: &[(&str, i64)]) -> Vec<(String, i64)> {
    rows.iter().map(|(row, value)| ((*row).to_owned(), *value)).collect()
}

fn cardinals(range: std::ops::RangeInclusive<u64>) -> impl Iterator<Item = (String, i64)> {
    range.map(|number| (numbers::cardinal(number), number as i64))
}

fn numbers_of_people(table: &mut Table) {
    table.values("count", Spoken, cardinals(1..=20));
    table.values("count", Heard, cardinals(21..=99));
    table.values("count", Heard, valued(&[("a couple", 2)]));
    table.values("count_alone", Heard, valued(&[("just me", 1), ("the two of us", 2), ("both of us", 2)]));
    table.values("count_child", Heard, valued(&[("a child", 1), ("a kid", 1), ("a baby", 1)]));
    table.rows(
        "party",
        Spoken,
        &[
            "[a] table for <count> [people]",
            "[for] <count> (people | persons | guests)",
            "<count> of us",
            "[for] a party of <count>",
            "<count> adults [and <count> (children | kids)]",
            "(there will be | there'll be | we will be | we'll be | we are) <count> [of us | people]",
        ],
    );
    table.rows(
        "party",
        Heard,
        &[
            "(table | booking | reservation | dinner | lunch | seats | seating) for <count> [people | persons | guests]",
            "[for] [just] <count> (person | guest | pax | diners | adult | children | kids | child | seats)",
            "<count> (adult | adults) [and] [<count> (child | children | kid | kids) | <count_child>]",
            "(seat | seats) <count> [people | persons | guests]",
            "(we're | it's | it'll be | it will be | there are | there're) <count> (of us | people)",
            "group of <count>",
            "party of <count>",
            "make it <count> (people | persons | guests)",
            "[for] <count_alone>",
        ],
    );
    table.rows("party_for", Spoken, &["for <count>"]);
    table.rows("party_bare", Spoken, &["<count>"]);
    table.rows("party_bare", Heard, &["just <count>"]);
}

fn days(table: &mut Table) {
    table.values("weekday", Spoken, listed(&dates::WEEKDAYS));
    table.values("month", Spoken, listed(&dates::MONTHS));
    table.values("ordinal", Spoken, (1..=31).map(|day| (numbers::ordinal(day), day as i64)));
    table.values("day", Heard, cardinals(1..=31));
    table.values("which", Spoken, valued(&[("this", 0), ("next", 1)]));
    table.values("which", Heard, valued(&[("this coming", 0), ("coming", 0)]));
    table.values("relative", Spoken, valued(&[("today", 0), ("tomorrow", 1), ("the day after tomorrow", 2)]));
    table.values("tonight", Spoken, valued(&[("tonight", 0)]));
    table.values("ahead", Spoken, cardinals(2..=14).map(|(words, n)| (format!("in {words} days"), n)));
    table.values("ahead", Spoken, valued(&[("in a week", 7)]));
    table.values("ahead", Heard, valued(&[("a week from today", 7), ("in two weeks", 14)]));
    table.shape("iso_date", dates::iso_date);
    table.shape("year", dates::year);
    table.rows(
        "date",
        Spoken,
        &[
            "<relative>",
            "<tonight>",
            "<ahead>",
            "[on] [<which>] <weekday>",
            "[on] <weekday> the <ordinal> [of <month>]",
            "[on] the <ordinal> of <month>",
            "[on] [<weekday>] <month> [the] <ordinal>",
        ],
    );
    table.rows(
        "date",
        Heard,
        &[
            "[on] the <ordinal>",
            "[on] [<weekday>] [the] <ordinal> [of] <month> [<year>]",
            "[on] [<weekday>] <month> [the] (<ordinal> | <day>) [<year>]",
            "[on] [<weekday>] <day> [of] <month> [<year>]",
            "[on] <iso_date>",
        ],
    );
    table.rows("date_bare", Spoken, &["[on] [the] <ordinal>"]);
}

fn hours(table: &mut Table) {
    table.values("hour", Spoken, cardinals(1..=12));
    table.values("hour_of_day", Heard, cardinals(13..=23));
    let quarters = [10, 15, 20, 30, 40, 45, 50];
    table.values("minute", Spoken, quarters.map(|n| (numbers::cardinal(n), n as i64)));
    table.values("minute", Heard, cardinals(11..=59).filter(|(_, n)| !quarters.contains(&(*n as u64))));
    table.values(
        "minute",
        Heard,
        (1..=9)
            .flat_map(|n| ["oh", "zero"].map(|zero| (format!("{zero} {}", numbers::cardinal(n)), n as i64))),
    );
    table.values("half", Spoken, valued(&[("a m", times::AM), ("p m", times::PM)]));
    table.values("past", Spoken, valued(&[("half past", 30), ("quarter past", 15), ("a quarter past", 15)]));
    table.values("past", Spoken, valued(&[("quarter to", -15), ("a quarter to", -15)]));
    table.values(
        "past",
        Heard,
        valued(&[("half", 30), ("ten past", 10), ("twenty past", 20), ("ten to", -10), ("twenty to", -20)]),
    );
    table.values("past", Heard, valued(&[("five past", 5), ("five to", -5), ("quarter after", 15)]));
    table.values("noon", Spoken, valued(&[("noon", 12 * 60), ("midday", 12 * 60)]));
    table.values("noon", Heard, valued(&[("midnight", 0)]));
    table.values(
        "daypart",
        Spoken,
        valued(&[("morning", times::MORNING), ("afternoon", times::AFTERNOON), ("evening", times::EVENING)]),
    );
    table.values("daypart", Heard, valued(&[("night", times::EVENING), ("lunchtime", times::AFTERNOON)]));
    table.shape("clock", times::clock);
    table.rows("about", Spoken, &["at", "around", "about"]);
    table.rows("about", Heard, &["at around", "at about", "by", "from", "say"]);
    table.rows(
        "time",
        Spoken,
        &[
            "[<about>] <hour> <half>",
            "[<about>] <hour> <minute> [<half>]",
            "[<about>] <hour> o'clock",
            "<about> <hour> [in the <daypart>]",
            "[<about>] <past> <hour> [in the <daypart>]",
            "[<about>] <noon>",
        ],
    );
    table.rows(
        "time",
        Heard,
        &[
            "[<about>] <hour> [<minute>] [o'clock] [<half>] in the <daypart>",
            "[<about>] <hour> o'clock <half>",
            "[<about>] <past> <hour> <half>",
            "[<about>] <clock> [<half>] [o'clock] [in the <daypart>]",
            "[<about>] <hour_of_day> <minute> [hours]",
            "[<about>] <hour_of_day> hundred [hours]",
            "<about> <hour_of_day>",
        ],
    );
    table.rows("time_bare", Spoken, &["<hour>"]);
    table.rows("time_bare", Heard, &["<hour_of_day>", "for (<hour> | <hour_of_day>)"]);
    table.rows("part_of_day", Spoken, &["[in the] <daypart>"]);
    table.rows("part_of_day", Heard, &["at night", "at lunchtime", "for lunch", "<tonight>"]);
}

fn people(table: &mut Table) {
    table.values("given", Spoken, names::given().map(|name| (name.to_owned(), 0)));
    table.values("family", Spoken, names::family().map(|name| (name.to_owned(), 0)));
    table.rows("name", Spoken, &["<given> [<family>]", "<family>"]);
    table.rows(
        "name_intro",
        Spoken,
        &["my name is", "the name is", "it's under [the name of]", "under [the name of]"],
    );
    table.rows(
        "name_intro",
        Heard,
        &[
            "my (full | last | first) name is",
            "my name's",
            "the name's",
            "[in] the name of",
            "[in] the name",
            "under the name",
            "put it under",
            "name is",
            "name",
            "call me",
        ],
    );
    table.rows("name_intro_asked", Heard, &["it's", "it is", "this is", "i'm", "i am", "that's", "for"]);
}

fn telephone(table: &mut Table) {
    table.values("digit", Spoken, cardinals(0..=9));
    table.values("digit", Spoken, valued(&[("oh", 0)]));
    table.values("pair", Heard, cardinals(10..=99));
    table.values("times", Heard, valued(&[("double", 2), ("triple", 3)]));
    // Not `<digit>+`: PocketSphinx leads a repetition back to the beginning of the whole grammar, so that
    // "five five where are you" becomes one sentence. At least three, or "okay" is heard as "oh two".
    let more = (3..phones::LONGEST).fold(String::new(), |rest, _| format!("[<digit> {rest}]"));
    table.rows("digits", Spoken, &[&format!("<digit> <digit> <digit> {more}")]);
    table.rows("digits", Heard, &["(<digit> | <times> <digit> | <pair>)+"]);
    table.rows("phone_intro", Spoken, &["my [phone] number is", "the number is"]);
    table.rows(
        "phone_intro",
        Heard,
        &[
            "my (telephone | cell | mobile) [number] is",
            "my phone is",
            "(you can | please) (reach | call) me (at | on)",
            "[phone] number",
            "phone",
        ],
    );
    table.rows("phone_introduced", Heard, &["<phone_intro> <digits>"]);
}

fn yes_and_no(table: &mut Table) {
    table.rows(
        "yes",
        Spoken,
        &["yes [please]", "yeah", "[yes] that's (correct | right)", "correct", "sounds good"],
    );
    table.rows(
        "yes",
        Heard,
        &[
            "yep | yup | y | sure | exactly | perfect | absolutely | definitely | great | fine",
            "please do | go ahead | of course | that works | you got it | all good",
            "that is (correct | right)",
            "that's (fine | perfect | great | good | it)",
        ],
    );
    table.rows(
        "no",
        Spoken,
        &["no [thank you | thanks]", "[no] that's (wrong | not right)", "that's not correct"],
    );
    table.rows(
        "no",
        Heard,
        &[
            "nope | nah | n | wrong | incorrect | that's incorrect",
            "not (quite | really | correct | right)",
            "that is (wrong | not right | not correct | incorrect)",
            "that isn't (right | correct)",
        ],
    );
    table.rows("nod", Spoken, &["uh huh", "mm hmm", "okay", "right"]);
    table.rows("nod", Heard, &["ok | mhm | alright | i see | got it | all right | mm | hmm | aha"]);
}

/// Few are in the grammar: a person or a cancellation heard in other words ends the call.
fn requests(table: &mut Table) {
    table.rows(
        "person",
        Spoken,
        &["(can i | could i) (speak | talk) to (a person | someone | a human) [please]"],
    );
    table.rows(
        "person",
        Heard,
        &[
            "(speak | talk) (to | with) (a | an | the) [real | actual | live] (person | human | agent | operator | manager)",
            "(speak | talk) (to | with) (someone | somebody)",
            "operator | representative | real person | human",
        ],
    );
    table.rows(
        "cancel",
        Spoken,
        &["(i want to | i need to) cancel [my (reservation | booking | table)] [please]"],
    );
    table.rows(
        "cancel",
        Heard,
        &["cancel [(my | the | that | this) [reservation | booking | table | appointment]]"],
    );
    table.rows(
        "again",
        Spoken,
        &["(can you | could you | please) (repeat that | say that again) [please]", "pardon"],
    );
    table.rows(
        "again",
        Heard,
        &[
            "repeat [that] | say that again | come again | pardon me | excuse me",
            "what | sorry what | what was that | what did you say",
            "hello | hi | hey | are you there",
        ],
    );
}

/// Names of the values, for "change the time".
fn fields(table: &mut Table) {
    table.rows("field_party", Spoken, &["the (party size | number of people)"]);
    table.rows("field_party", Heard, &["the (number of guests | size of the party | people | party)"]);
    table.rows("field_date", Spoken, &["the (date | day)"]);
    table.rows("field_time", Spoken, &["the time"]);
    table.rows("field_time", Heard, &["the hour"]);
    table.rows("field_name", Spoken, &["the name"]);
    table.rows("field_name", Heard, &["my name"]);
    table.rows("field_phone", Spoken, &["the [phone] number"]);
    table.rows("field_phone", Heard, &["my [phone] number", "the phone"]);
}

/// Words around the values, which carry no value themselves. The parser passes over them; they are
/// here for the grammar, and so that a begun one is known as begun.
fn carriers(table: &mut Table) {
    table.rows(
        "wanting",
        Spoken,
        &[
            "(i'd like | i would like | i want) [to (book | reserve)]",
            "(can i | could i) (book | reserve | have | get)",
        ],
    );
    table.rows("lead", Spoken, &["<wanting> [a table]", "a table", "<change_to>", "(how | what) about"]);
    table.rows("wish", Spoken, &["near the window", "by the window", "outside", "please", "instead"]);
    table.rows("oops", Spoken, &["no [wait | sorry]", "wait", "sorry", "actually", "no wait actually"]);
    table.rows("oops", Heard, &["i mean", "i meant", "oh wait", "hold on", "scratch that", "no no"]);
    table.rows(
        "change_to",
        Spoken,
        &["(can we | could we) (make it | make that | change it to)", "(make it | make that | change it to)"],
    );
}
