//! Words for the voice: numbers, dates, times, money and telephone numbers spelled out in English (A2).
//!
//! Voices read "7:00 PM" or "555-0198" each in their own way, and the offline ones badly; words are read
//! alike by all. Markdown and emoji are removed. Plain words are left as they are. Enter at
//! [`normalize_for_speech`].

use super::dates::MONTHS;
use super::numbers::{cardinal, digits, ordinal, year};
use super::{dates, markup};

/// Their full stop is not said, and ends a sentence only at the end of the text.
const ABBREVIATIONS: [&str; 8] = ["p.m", "a.m", "Dr", "e.g", "i.e", "etc", "vs", "approx"];

/// The text as it should be said. "Friday, May 22 at 7:00 PM" → "Friday, May twenty second at seven p m".
///
/// English; other languages come out with their digits in English words, so call it for English only.
pub fn normalize_for_speech(text: &str) -> String {
    let text = markup::stripped(text);
    let pieces: Vec<Piece> = text.split_whitespace().map(Piece::of).collect();
    let mut out: Vec<String> = Vec::with_capacity(pieces.len());
    let mut at = 0;
    while at < pieces.len() {
        let (said, taken) = say(&pieces, at);
        let last = &pieces[at + taken - 1];
        let (before, mut after) = (pieces[at].before.trim_matches('('), last.after.trim_matches(')'));
        if at + taken < pieces.len() && ABBREVIATIONS.iter().any(|short| last.core.ends_with(short)) {
            after = after.strip_prefix('.').unwrap_or(after);
        }
        out.push(if taken == 1 && said == pieces[at].core {
            pieces[at].whole.to_owned()
        } else {
            format!("{before}{said}{after}")
        });
        at += taken;
    }
    out.join(" ")
}

/// A word with the marks around it.
struct Piece<'a> {
    whole: &'a str,
    before: &'a str,
    core: &'a str,
    after: &'a str,
}

impl<'a> Piece<'a> {
    fn of(whole: &'a str) -> Self {
        let opens = |c: char| !c.is_alphanumeric() && !"+$€£#-@&=%".contains(c);
        let closes = |c: char| !c.is_alphanumeric() && !"%@&=+$€£".contains(c);
        let left = whole.trim_start_matches(opens);
        let core = left.trim_end_matches(closes);
        let before = &whole[..whole.len() - left.len()];
        Self { whole, before, core, after: &left[core.len()..] }
    }

    fn joins_next(&self) -> bool {
        self.after.is_empty() || self.after == ")"
    }
}

/// The words for the piece at `at`, and how many pieces they stand for.
fn say(pieces: &[Piece], at: usize) -> (String, usize) {
    let core = pieces[at].core;
    let next = pieces.get(at + 1).filter(|_| pieces[at].joins_next()).map(|piece| piece.core);
    if !core.contains(|c: char| c.is_ascii_digit()) {
        return (without_digits(&pieces[at]), 1);
    }
    if let Some(found) = phone(pieces, at) {
        return found;
    }
    if let Some(found) = time(core, next) {
        return found;
    }
    if let Some(found) = money(core, next) {
        return found;
    }
    let before = at.checked_sub(1).map(|at| pieces[at].core);
    (date_part(core, before, next).or_else(|| number(core)).unwrap_or_else(|| mixed(core)), 1)
}

fn without_digits(piece: &Piece) -> String {
    match (piece.core, piece.after.starts_with('.')) {
        ("&", _) => "and".into(),
        ("+", _) => "plus".into(),
        ("=", _) => "equals".into(),
        ("Dr", true) => "Doctor".into(),
        ("e.g", _) => "for example".into(),
        ("i.e", _) => "that is".into(),
        ("etc", true) => "et cetera".into(),
        ("vs", _) => "versus".into(),
        ("approx", true) => "approximately".into(),
        (core, _) if is_address(core) => address(core),
        (core, _) => core.to_owned(),
    }
}

/// A telephone number in one piece or in groups: digit by digit, groups apart.
fn phone(pieces: &[Piece], at: usize) -> Option<(String, usize)> {
    let is_group = |core: &str| {
        let core = core.trim_start_matches('+');
        !core.is_empty() && core.chars().all(|c| c.is_ascii_digit() || "-()".contains(c))
    };
    let mut taken = 0;
    for piece in &pieces[at..] {
        if !is_group(piece.core) || piece.core.starts_with('-') {
            break;
        }
        taken += 1;
        if !piece.joins_next() {
            break;
        }
    }
    (1..=taken).rev().find_map(|taken| {
        let cores: Vec<&str> = pieces[at..at + taken].iter().map(|piece| piece.core).collect();
        let groups: Vec<&str> = cores.iter().flat_map(|core| core.split(['-', '(', ')'])).collect();
        let groups: Vec<&str> =
            groups.into_iter().map(|group| group.trim_start_matches('+')).filter(|g| !g.is_empty()).collect();
        let count: usize = groups.iter().map(|group| group.len()).sum();
        let is_number = (7..=15).contains(&count)
            && (cores[0].starts_with('+')
                || groups.len() == 1
                || groups[0].len() == 3
                || groups[0].starts_with('0')
                || groups[0] == "1" && groups.len() > 2);
        let said = groups.iter().map(|group| digits(group)).collect::<Vec<_>>().join(", ");
        is_number.then_some((said, taken))
    })
}

/// `7:30 PM`, `7pm`, `19:30`.
fn time(core: &str, next: Option<&str>) -> Option<(String, usize)> {
    let lower = core.to_ascii_lowercase();
    let digits_end = lower.find(|c: char| !c.is_ascii_digit() && c != ':').unwrap_or(lower.len());
    let (clock, attached) = lower.split_at(digits_end);
    let (hour, minute) = clock.split_once(':').unwrap_or((clock, ""));
    let half = match half(attached) {
        Some(half) => Some((half, 1)),
        None if attached.is_empty() => next.and_then(half_word).map(|half| (half, 2)),
        None => return None,
    };
    let hour: u64 = hour.parse().ok().filter(|hour| *hour < 24)?;
    let minutes: u64 = if minute.is_empty() { 0 } else { minute.parse().ok().filter(|m| *m < 60)? };
    let is_clock = minute.len() == 2;
    let (half, taken) = match half {
        Some((half, taken)) if is_clock || minute.is_empty() => (Some(half), taken),
        _ if !is_clock => return None,
        _ if hour == 0 || hour > 12 => (Some(if hour < 12 { "a m" } else { "p m" }), 1),
        _ => (None, 1),
    };
    let minutes = match (minutes, half) {
        (0, Some(_)) => String::new(),
        (0, None) => " o'clock".into(),
        (1..=9, _) => format!(" oh {}", cardinal(minutes)),
        _ => format!(" {}", cardinal(minutes)),
    };
    let hour = cardinal(if hour.is_multiple_of(12) { 12 } else { hour % 12 });
    Some((format!("{hour}{minutes}{}", half.map(|half| format!(" {half}")).unwrap_or_default()), taken))
}

fn half(text: &str) -> Option<&'static str> {
    match text {
        "am" | "a.m" => Some("a m"),
        "pm" | "p.m" => Some("p m"),
        _ => None,
    }
}

/// "am" in small letters after a number may be the verb: not taken.
fn half_word(word: &str) -> Option<&'static str> {
    if word == "am" { None } else { half(&word.to_ascii_lowercase()) }
}

fn money(core: &str, next: Option<&str>) -> Option<(String, usize)> {
    let (one, many, cent, amount) = [
        ('$', "dollar", "dollars", "cent"),
        ('€', "euro", "euros", "cent"),
        ('£', "pound", "pounds", "penny"),
    ]
    .iter()
    .find_map(|(sign, one, many, cent)| Some((*one, *many, *cent, core.strip_prefix(*sign)?)))?;
    if let Some(scale) = next.filter(|next| ["thousand", "million", "billion", "trillion"].contains(next)) {
        return Some((format!("{} {scale} {many}", number(amount)?), 2));
    }
    let amount = amount.replace(',', "");
    let (whole, cents) = amount.split_once('.').unwrap_or((&amount, ""));
    if cents.len() != 2 && !cents.is_empty() {
        return Some((format!("{} {many}", number(&amount)?), 1));
    }
    let (whole, cents): (u64, u64) =
        (whole.parse().ok()?, if cents.is_empty() { 0 } else { cents.parse().ok()? });
    let cent_name = match (cents, cent) {
        (1, cent) => cent,
        (_, "penny") => "pence",
        _ => "cents",
    };
    let coins = format!("{} {cent_name}", cardinal(cents));
    let notes = format!("{} {}", cardinal(whole), if whole == 1 { one } else { many });
    let said = match (whole, cents) {
        (_, 0) => notes,
        (0, _) => coins,
        _ => format!("{notes} and {coins}"),
    };
    Some((said, 1))
}

/// Days and years of dates.
fn date_part(core: &str, before: Option<&str>, next: Option<&str>) -> Option<String> {
    if let Some(iso) = dates::iso_date(core).map(|iso| iso as u64) {
        let month = capitalized_month(iso / 100 % 100);
        return Some(format!("{month} {}, {}", ordinal(iso % 100), year(iso / 10_000)));
    }
    let number: u64 = core.parse().ok()?;
    let is_day = (1..=31).contains(&number) && !core.starts_with('0');
    if is_day && before.is_some_and(is_month) {
        return Some(ordinal(number));
    }
    if is_day && next.is_some_and(is_month) {
        return Some(format!("{} of", ordinal(number)));
    }
    (core.len() == 4 && (1900..2100).contains(&number)).then(|| year(number))
}

fn capitalized_month(month: u64) -> String {
    let name = MONTHS[(month.clamp(1, 12) - 1) as usize];
    name[..1].to_uppercase() + &name[1..]
}

/// A month with its capital: "may" in small letters is the verb.
fn is_month(word: &str) -> bool {
    word.starts_with(|c: char| c.is_uppercase()) && MONTHS.contains(&word.to_lowercase().as_str())
}

/// Whole numbers, decimals, percentages, ordinals, negative ones.
fn number(core: &str) -> Option<String> {
    if let Some(rest) = core.strip_suffix('%') {
        return Some(format!("{} percent", number(rest)?));
    }
    if let Some(rest) = core.strip_prefix('-') {
        return Some(format!("minus {}", number(rest)?));
    }
    if let Some(rest) = core.strip_prefix('#') {
        return Some(format!("number {}", number(rest)?));
    }
    let bare = if has_thousands(core) { core.replace(',', "") } else { core.to_owned() };
    if let Some((whole, part)) = bare.split_once('.') {
        let all_digits = !part.is_empty() && part.chars().all(|c| c.is_ascii_digit());
        return all_digits.then(|| Some(format!("{} point {}", number(whole)?, digits(part)))).flatten();
    }
    if let Some(stem) = ["st", "nd", "rd", "th"].iter().find_map(|ending| bare.strip_suffix(ending)) {
        return stem.parse().ok().map(ordinal);
    }
    let value: u64 = bare.parse().ok().filter(|_| bare.chars().all(|c| c.is_ascii_digit()))?;
    let spelled = bare.len() > 15 || bare.len() > 1 && bare.starts_with('0');
    Some(if spelled { digits(&bare) } else { cardinal(value) })
}

/// Commas where thousands have them.
fn has_thousands(core: &str) -> bool {
    let whole = core.split('.').next().unwrap_or(core);
    let mut groups = whole.split(',');
    groups.next().is_some_and(|first| (1..=3).contains(&first.len())) && groups.all(|group| group.len() == 3)
}

/// Digits among other characters: ranges, fractions, codes, addresses.
fn mixed(core: &str) -> String {
    if is_address(core) {
        return address(core);
    }
    for (sign, word) in [('-', " to "), ('–', " to "), ('/', " ")] {
        let parts: Option<Vec<String>> = core.split(sign).map(spoken_part).collect();
        if let Some(parts) = parts.filter(|parts| parts.len() > 1) {
            return parts.join(word);
        }
    }
    let mut out = String::new();
    let mut run = String::new();
    for c in core.chars().chain([' ']) {
        if c.is_ascii_digit() {
            run.push(c);
            continue;
        }
        if !run.is_empty() {
            let said = number(&run).unwrap_or_else(|| digits(&run));
            let gap = if out.is_empty() || out.ends_with(' ') { "" } else { " " };
            out = format!("{out}{gap}{said} ");
            run.clear();
        }
        out.push(if c == '-' { ' ' } else { c });
    }
    out.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn spoken_part(part: &str) -> Option<String> {
    time(part, None).map(|(said, _)| said).or_else(|| number(part))
}

fn is_address(core: &str) -> bool {
    let dotted = core.rsplit_once('.').is_some_and(|(host, top)| {
        let top = top.split('/').next().unwrap_or(top);
        host.chars().any(char::is_alphabetic)
            && host.split('.').all(|part| part.chars().count() > 1)
            && (2..=6).contains(&top.len())
            && top.chars().all(|c| c.is_ascii_lowercase())
    });
    core.contains("://") || core.starts_with("www.") || core.contains('@') && core.len() > 1 || dotted
}

fn address(core: &str) -> String {
    let bare = core.split_once("://").map_or(core, |(_, rest)| rest).trim_end_matches('/');
    let mut out = String::new();
    let mut run = String::new();
    for c in bare.chars().chain(['\n']) {
        if c.is_ascii_digit() {
            run.push(c);
            continue;
        }
        if !run.is_empty() {
            out = format!("{out} {} ", digits(&run));
            run.clear();
        }
        match c {
            '@' => out.push_str(" at "),
            '.' => out.push_str(" dot "),
            '/' => out.push_str(" slash "),
            '-' => out.push_str(" dash "),
            '_' => out.push_str(" underscore "),
            c => out.push(c),
        }
    }
    out.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_voices_read_badly_is_spelled_out() {
        for (text, expected) in [
            ("Friday, May 22 at 7:00 PM.", "Friday, May twenty second at seven p m."),
            ("at 7:30 p.m. on 2026-05-23", "at seven thirty p m on May twenty third, twenty twenty six"),
            ("from 17:00 to 9:05, or 8:00", "from five p m to nine oh five, or eight o'clock"),
            ("7pm or 10AM", "seven p m or ten a m"),
            ("Your number is 555-0198.", "Your number is five five five, zero one nine eight."),
            ("call +1 (212) 555-0198 now", "call one, two one two, five five five, zero one nine eight now"),
            ("It costs $12.50, or £1.", "It costs twelve dollars and fifty cents, or one pound."),
            ("a $5 million deal", "a five million dollars deal"),
            (
                "3.14 is 5% of 1,234",
                "three point one four is five percent of one thousand two hundred thirty four",
            ),
            ("the 23rd of May 2026", "the twenty third of May twenty twenty six"),
            ("on 22 May", "on twenty second of May"),
            ("Dr. Smith & sons, e.g. Tom", "Doctor Smith and sons, for example Tom"),
            ("write to a.b@example.com", "write to a dot b at example dot com"),
            ("see https://example.com/menu today", "see example dot com slash menu today"),
            ("5-7 people, 24/7", "five to seven people, twenty four seven"),
            ("room B12", "room B twelve"),
            ("A table for 4, John.", "A table for four, John."),
            ("Nothing to do (really)!", "Nothing to do (really)!"),
            ("we may 4 times", "we may four times"),
            ("-5 degrees", "minus five degrees"),
        ] {
            assert_eq!(normalize_for_speech(text), expected);
        }
    }
}
