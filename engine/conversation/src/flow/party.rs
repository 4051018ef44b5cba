//! Party size: how many people are meant.

use super::phrase::Capture;

/// All counts together ("two adults and three children" are five); none outside 1 to 99.
pub(super) fn read(captures: &[Capture]) -> Option<u8> {
    let total: i64 = captures.iter().filter(|(rule, _)| rule.starts_with("count")).map(|(_, n)| n).sum();
    u8::try_from(total).ok().filter(|total| (1..=99).contains(total))
}

#[cfg(test)]
mod tests {
    use super::super::table::table;
    use super::super::words::words;
    use super::*;

    #[test]
    fn parties_are_counted_as_they_are_said() {
        for (text, expected) in [
            ("a table for four", 4),
            ("4 people", 4),
            ("table for 4", 4),
            ("six of us", 6),
            ("there will be six of us", 6),
            ("two adults and three children", 5),
            ("a party of twelve", 12),
            ("just me", 1),
        ] {
            let words = words(text);
            let way = table().longest("party", &words, 0).expect(text);
            assert_eq!((way.end, read(&way.captures)), (words.len(), Some(expected)), "{text}");
        }
    }
}
