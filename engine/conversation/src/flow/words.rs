//! Words: a caller's text, spoken or typed, in the one form that the phrase table is written in.
//!
//! Recognisers write "seven p m", transcribers "7 PM", people type "7pm": all come out as `seven p m`.
//! Clock times with a colon, ISO dates and years after a date stay as they are; the table has shapes
//! for them. Says nothing about meaning. Enter at [`words`].

use super::numbers::{cardinal, digits, is_number_word, ordinal};

/// One word, lower case.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Word {
    /// The word.
    pub text: String,
    /// Whether a comma or a full stop came before it.
    pub breaks: bool,
}

/// The words of a text.
pub(super) fn words(text: &str) -> Vec<Word> {
    let text = text.to_lowercase().replace(['\u{2019}', '\u{2018}'], "'").replace('&', " and ");
    let mut words = Vec::new();
    let mut breaks = false;
    for chunk in text.split_whitespace() {
        let core = chunk.trim_matches(|c: char| !c.is_alphanumeric() && c != '+');
        let trailing = chunk.trim_end_matches(|c: char| !c.is_alphanumeric());
        for word in spell(core.trim_start_matches('+'), &words) {
            words.push(Word { text: word, breaks: std::mem::take(&mut breaks) });
        }
        breaks |= chunk[trailing.len()..].contains(['.', ',', '!', '?', ';', ':']) && !is_half(core);
    }
    words
}

/// Only the texts, for comparing phrases.
pub(super) fn plain(text: &str) -> Vec<String> {
    words(text).into_iter().map(|word| word.text).collect()
}

fn spell(core: &str, before: &[Word]) -> Vec<String> {
    let end = core.find(|c: char| !c.is_ascii_digit()).unwrap_or(core.len());
    let (number, rest) = core.split_at(end);
    if number.is_empty() {
        return letters(core, before);
    }
    if is_iso_date(core) {
        return vec![core.to_owned()];
    }
    match rest {
        "" => digits_only(number, before),
        "st" | "nd" | "rd" | "th" => split(&ordinal(number.parse().unwrap_or(0))),
        "am" | "a.m" => [spell(number, before), split("a m")].concat(),
        "pm" | "p.m" => [hour_and_minutes(number), split("p m")].concat(),
        _ => clock(number, rest).unwrap_or_else(|| {
            core.split(['-', '.', '(', ')'])
                .filter(|part| !part.is_empty())
                .flat_map(|part| if part == core { vec![part.to_owned()] } else { spell(part, before) })
                .collect()
        }),
    }
}

/// `7:30`, `7.30`, with or without am or pm right after.
fn clock(hour: &str, rest: &str) -> Option<Vec<String>> {
    let minutes = rest.strip_prefix([':', '.'])?;
    let end = minutes.find(|c: char| !c.is_ascii_digit()).unwrap_or(minutes.len());
    let (minutes, half) = minutes.split_at(end);
    let in_range = hour.len() <= 2
        && minutes.len() == 2
        && hour.parse::<u8>().is_ok_and(|h| h < 24)
        && minutes.parse::<u8>().is_ok_and(|m| m < 60);
    let half = match half {
        "" => "",
        "am" | "a.m" => "a m",
        "pm" | "p.m" => "p m",
        _ => return None,
    };
    in_range.then(|| [vec![format!("{hour}:{minutes}")], split(half)].concat())
}

/// `730` before "pm" is half past seven.
fn hour_and_minutes(number: &str) -> Vec<String> {
    match number.len() {
        3 | 4 => vec![format!("{}:{}", &number[..number.len() - 2], &number[number.len() - 2..])],
        _ => spell(number, &[]),
    }
}

fn digits_only(number: &str, before: &[Word]) -> Vec<String> {
    let is_year = number.len() == 4 && number.starts_with("20") && ends_like_date(before);
    match number.len() {
        _ if is_year => vec![number.to_owned()],
        1 | 2 if !number.starts_with('0') => split(&cardinal(number.parse().unwrap_or(0))),
        _ => split(&digits(number)),
    }
}

fn ends_like_date(before: &[Word]) -> bool {
    before.iter().rev().take(3).any(|word| super::dates::MONTHS.contains(&word.text.as_str()))
}

fn letters(core: &str, before: &[Word]) -> Vec<String> {
    match core {
        "pm" | "p.m" => split("p m"),
        "a.m" => split("a m"),
        "am" if before.last().is_some_and(|word| is_number_word(&word.text) || word.text.contains(':')) => {
            split("a m")
        }
        "o'clock" | "oclock" => split("o'clock"),
        _ => core
            .split(|c: char| !c.is_alphanumeric() && c != '\'')
            .filter(|part| !part.is_empty())
            .map(str::to_owned)
            .collect(),
    }
}

fn is_half(core: &str) -> bool {
    core.ends_with("p.m") || core.ends_with("a.m")
}

fn is_iso_date(core: &str) -> bool {
    let shape: String = core.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    shape == "0000-00-00"
}

fn split(words: &str) -> Vec<String> {
    words.split_whitespace().map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(text: &str) -> String {
        plain(text).join(" ")
    }

    #[test]
    fn typed_and_spoken_forms_come_out_alike() {
        for text in ["seven p m", "7pm", "7 PM", "7 p.m.", "Seven P.M."] {
            assert_eq!(said(text), "seven p m", "{text}");
        }
        assert_eq!(said("7:30pm"), "7:30 p m");
        assert_eq!(said("730pm"), "7:30 p m");
        assert_eq!(said("May 23rd, 2026"), "may twenty third 2026");
        assert_eq!(said("+1 (555) 019-8000"), "one five five five zero one nine eight zero zero zero");
        assert_eq!(said("Uh-huh."), "uh huh");
        assert_eq!(said("That\u{2019}s right"), "that's right");
        assert_eq!(said("4 people at 9 am, I am Tom"), "four people at nine a m i am tom");
        assert_eq!(said("2026-05-23"), "2026-05-23");
        assert_eq!(said("5/23"), "5/23");
    }
}
