//! Numbers as English words: the words a recogniser writes and a voice says.
//!
//! Only from number to words; reading goes through the phrase table, which is made of these words.

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
const TENS: [&str; 10] =
    ["", "", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"];
const SCALES: [(u64, &str); 4] = [
    (1_000_000_000_000, "trillion"),
    (1_000_000_000, "billion"),
    (1_000_000, "million"),
    (1_000, "thousand"),
];
const IRREGULAR: [(&str, &str); 8] = [
    ("one", "first"),
    ("two", "second"),
    ("three", "third"),
    ("five", "fifth"),
    ("eight", "eighth"),
    ("nine", "ninth"),
    ("twelve", "twelfth"),
    ("zero", "zeroth"),
];

/// `1234` → "one thousand two hundred thirty four".
pub(super) fn cardinal(number: u64) -> String {
    if number < 100 {
        return below_hundred(number);
    }
    if number < 1_000 {
        let head = format!("{} hundred", ONES[(number / 100) as usize]);
        return join_rest(head, number % 100);
    }
    for (scale, name) in SCALES {
        if number >= scale {
            return join_rest(format!("{} {name}", cardinal(number / scale)), number % scale);
        }
    }
    String::new() // every number is below 100, below 1,000 or has a scale
}

/// `23` → "twenty third".
pub(super) fn ordinal(number: u64) -> String {
    let words = cardinal(number);
    let (head, last) = words.rsplit_once(' ').map_or(("", words.as_str()), |(head, last)| (head, last));
    let last = match IRREGULAR.iter().find(|(cardinal, _)| *cardinal == last) {
        Some((_, irregular)) => (*irregular).to_owned(),
        None => match last.strip_suffix('y') {
            Some(stem) => format!("{stem}ieth"),
            None => format!("{last}th"),
        },
    };
    if head.is_empty() { last } else { format!("{head} {last}") }
}

/// Each digit by itself; everything else is left out. `"555"` → "five five five".
pub(super) fn digits(text: &str) -> String {
    let words: Vec<&str> =
        text.chars().filter_map(|c| c.to_digit(10)).map(|digit| ONES[digit as usize]).collect();
    words.join(" ")
}

/// A year as people say it: `2026` → "twenty twenty six", `2005` → "two thousand five".
pub(super) fn year(year: u64) -> String {
    match (year / 100, year % 100) {
        (century @ 1..=99, 0) if century % 10 != 0 => format!("{} hundred", cardinal(century)),
        (century @ 11..=99, rest @ 1..=9) if century % 10 != 0 => {
            format!("{} oh {}", cardinal(century), cardinal(rest))
        }
        (century @ 11..=99, rest @ 10..=99) => format!("{} {}", cardinal(century), cardinal(rest)),
        _ => cardinal(year),
    }
}

/// Whether the word is part of a number below a hundred.
pub(super) fn is_number_word(word: &str) -> bool {
    ONES.contains(&word) || (!word.is_empty() && TENS.contains(&word))
}

fn below_hundred(number: u64) -> String {
    if number < 20 {
        return ONES[number as usize].to_owned();
    }
    let tens = TENS[(number / 10) as usize];
    if number.is_multiple_of(10) {
        tens.to_owned()
    } else {
        format!("{tens} {}", ONES[(number % 10) as usize])
    }
}

fn join_rest(head: String, rest: u64) -> String {
    if rest == 0 { head } else { format!("{head} {}", cardinal(rest)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_said_as_people_say_them() {
        assert_eq!(cardinal(0), "zero");
        assert_eq!(cardinal(45), "forty five");
        assert_eq!(cardinal(1_234), "one thousand two hundred thirty four");
        assert_eq!(cardinal(2_000_001), "two million one");
        assert_eq!(ordinal(23), "twenty third");
        assert_eq!(ordinal(30), "thirtieth");
        assert_eq!(ordinal(12), "twelfth");
        assert_eq!(year(2026), "twenty twenty six");
        assert_eq!(year(1905), "nineteen oh five");
        assert_eq!(year(2005), "two thousand five");
        assert_eq!(digits("555-0198"), "five five five zero one nine eight");
    }
}
