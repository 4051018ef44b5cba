//! Telephone numbers: digits as they are dictated.
//!
//! 7 to 15 digits are a number (E.164 has at most 15); fewer are the beginning of one.

use super::phrase::Capture;

/// Fewest digits of a complete number.
pub(super) const SHORTEST: usize = 7;
/// Most digits of a number.
pub(super) const LONGEST: usize = 15;

/// The digits said: "double five" is two of them, "ninety eight" also.
pub(super) fn read(captures: &[Capture]) -> String {
    let mut digits = String::new();
    // "double five" captures "double" first.
    let mut times = 1;
    for (rule, value) in captures {
        match *rule {
            "times" => times = *value,
            "digit" | "pair" => {
                (0..times).for_each(|_| digits.push_str(&value.to_string()));
                times = 1;
            }
            _ => {}
        }
    }
    digits
}

/// Whether it is a whole number.
pub(super) fn is_complete(digits: &str) -> bool {
    (SHORTEST..=LONGEST).contains(&digits.len())
}

/// In groups, as people write it: `5550198` → "555-0198".
pub(super) fn readable(digits: &str) -> String {
    let groups: Vec<&str> = match digits.len() {
        7 => vec![&digits[..3], &digits[3..]],
        10 => vec![&digits[..3], &digits[3..6], &digits[6..]],
        11 => vec![&digits[..1], &digits[1..4], &digits[4..7], &digits[7..]],
        length => (0..length).step_by(3).map(|at| &digits[at..(at + 3).min(length)]).collect(),
    };
    groups.join("-")
}

#[cfg(test)]
mod tests {
    use super::super::table::table;
    use super::super::words::words;
    use super::*;

    #[test]
    fn digits_come_out_as_dictated() {
        for (text, expected) in [
            ("five five five zero one nine eight", "5550198"),
            ("five double five oh one ninety eight", "5550198"),
            ("555-0198", "5550198"),
            ("(212) 555 0198", "2125550198"),
        ] {
            let words = words(text);
            let way = table().longest("digits", &words, 0).expect(text);
            assert_eq!((way.end, read(&way.captures).as_str()), (words.len(), expected), "{text}");
        }
    }

    #[test]
    fn numbers_are_written_in_groups() {
        assert_eq!(readable("5550198"), "555-0198");
        assert_eq!(readable("2125550198"), "212-555-0198");
    }
}
