//! Dates: what "Saturday the twenty third" means on the day of the call.
//!
//! Never in the past. A weekday alone is its next occurrence after today; "next" is the next
//! calendar week (Monday first). A day of the month wins over a weekday that contradicts it, and the
//! contradiction is kept, so that the read-back can name the real weekday. Enter at [`read`].

use jiff::ToSpan;
use jiff::civil::{Date, Weekday};

use super::phrase::Capture;

/// Monday first.
pub(super) const WEEKDAYS: [&str; 7] =
    ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];
/// January first.
pub(super) const MONTHS: [&str; 12] = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];

/// A date as it was said.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Said {
    /// The date meant.
    pub date: Date,
    /// The weekday that was said, if the date is none.
    pub contradicts: Option<Weekday>,
}

/// Reads what rule `date` captured. None if there is no such day.
pub(super) fn read(captures: &[Capture], today: Date) -> Option<Said> {
    let value = |rule: &str| captures.iter().find(|(name, _)| *name == rule).map(|(_, value)| *value);
    let plain = |date: Date| Some(Said { date, contradicts: None });
    if let Some(iso) = value("iso_date") {
        let date = Date::new((iso / 10_000) as i16, (iso / 100 % 100) as i8, (iso % 100) as i8).ok()?;
        return (date >= today).then_some(Said { date, contradicts: None });
    }
    if let Some(days) = value("relative").or(value("tonight")).or(value("ahead")) {
        return plain(today.checked_add(days.days()).ok()?);
    }
    let weekday = value("weekday").and_then(|day| Weekday::from_monday_one_offset(day as i8).ok());
    match (value("ordinal").or(value("day")), value("month"), weekday) {
        (Some(day), Some(month), _) => {
            on_day_and_month(today, day as i8, month as i8, value("year"), weekday)
        }
        (Some(day), None, _) => on_day(today, day as i8, weekday),
        (None, _, Some(weekday)) => plain(on_weekday(today, weekday, value("which") == Some(1))?),
        (None, _, None) => None,
    }
}

fn on_weekday(today: Date, weekday: Weekday, of_next_week: bool) -> Option<Date> {
    let to_go = today.weekday().until(weekday);
    let days = if to_go == 0 { 7 } else { to_go };
    let coming = today.checked_add(i64::from(days).days()).ok()?;
    let in_this_week = coming.weekday().to_monday_zero_offset() > today.weekday().to_monday_zero_offset();
    if of_next_week && in_this_week { coming.checked_add(7.days()).ok() } else { Some(coming) }
}

fn on_day_and_month(
    today: Date,
    day: i8,
    month: i8,
    year: Option<i64>,
    weekday: Option<Weekday>,
) -> Option<Said> {
    let years = match year {
        Some(year) => vec![year as i16],
        // Up to four years on, so that the twenty ninth of February is found.
        None => (0..=4).map(|ahead| today.year() + ahead).collect(),
    };
    let date =
        years.into_iter().find_map(|year| Date::new(year, month, day).ok().filter(|date| *date >= today))?;
    Some(checked(date, weekday))
}

/// A day of the month alone: with a weekday, the first such day within two months on which both are true.
fn on_day(today: Date, day: i8, weekday: Option<Weekday>) -> Option<Said> {
    let month = today.first_of_month();
    let coming: Vec<Date> = (0..=3)
        .filter_map(|ahead: i64| month.checked_add(ahead.months()).ok())
        .filter_map(|month| Date::new(month.year(), month.month(), day).ok())
        .filter(|date| *date >= today)
        .take(2)
        .collect();
    let fitting = coming.iter().find(|date| weekday.is_none_or(|weekday| date.weekday() == weekday));
    Some(checked(*fitting.or(coming.first())?, weekday))
}

fn checked(date: Date, weekday: Option<Weekday>) -> Said {
    Said { date, contradicts: weekday.filter(|weekday| date.weekday() != *weekday) }
}

/// `2026-05-23` as 20260523.
pub(super) fn iso_date(word: &str) -> Option<i64> {
    let date: Date = word.parse().ok().filter(|_| word.len() == 10)?;
    Some(i64::from(date.year()) * 10_000 + i64::from(date.month()) * 100 + i64::from(date.day()))
}

/// A year of this century.
pub(super) fn year(word: &str) -> Option<i64> {
    let year = word.parse().ok()?;
    (2_000..2_100).contains(&year).then_some(year)
}

/// "Friday, May 22".
pub(super) fn readable(date: Date) -> String {
    let month = capital(MONTHS[(date.month() - 1) as usize]);
    format!("{}, {month} {}", weekday_name(date.weekday()), date.day())
}

/// "Friday".
pub(super) fn weekday_name(weekday: Weekday) -> String {
    capital(WEEKDAYS[weekday.to_monday_zero_offset() as usize])
}

fn capital(word: &str) -> String {
    word[..1].to_uppercase() + &word[1..]
}

#[cfg(test)]
mod tests {
    use super::super::table::table;
    use super::super::words::words;
    use super::*;

    /// Wednesday.
    const TODAY: Date = jiff::civil::date(2026, 5, 20);

    fn said(text: &str) -> Option<Said> {
        let words = words(text);
        let way = table().longest("date", &words, 0)?;
        assert_eq!(way.end, words.len(), "{text}: not all of it was understood");
        read(&way.captures, TODAY)
    }

    fn date(text: &str) -> String {
        said(text).map_or("none".into(), |said| said.date.to_string())
    }

    #[test]
    fn dates_mean_what_a_host_would_hear() {
        for (text, expected) in [
            ("friday", "2026-05-22"),
            ("on friday", "2026-05-22"),
            ("this friday", "2026-05-22"),
            ("next friday", "2026-05-29"),
            ("next tuesday", "2026-05-26"),
            ("tuesday", "2026-05-26"),
            ("wednesday", "2026-05-27"),
            ("next wednesday", "2026-05-27"),
            ("today", "2026-05-20"),
            ("tonight", "2026-05-20"),
            ("tomorrow", "2026-05-21"),
            ("the day after tomorrow", "2026-05-22"),
            ("in three days", "2026-05-23"),
            ("in a week", "2026-05-27"),
            ("saturday the twenty third of may", "2026-05-23"),
            ("may the fourth", "2027-05-04"),
            ("the twentieth of may", "2026-05-20"),
            ("june first", "2026-06-01"),
            ("the first", "2026-06-01"),
            ("on saturday the twenty third", "2026-05-23"),
            ("May 23", "2026-05-23"),
            ("23 May", "2026-05-23"),
            ("May 23rd, 2026", "2026-05-23"),
            ("2026-05-23", "2026-05-23"),
            ("the thirty first", "2026-05-31"),
            ("the twenty ninth of february", "2028-02-29"),
        ] {
            assert_eq!(date(text), expected, "{text}");
        }
    }

    #[test]
    fn a_day_that_does_not_exist_or_is_over_is_no_date() {
        assert_eq!(date("the thirtieth of february"), "none");
        assert_eq!(date("2026-05-19"), "none");
        assert_eq!(date("May 4, 2026"), "none");
    }

    #[test]
    fn a_weekday_that_contradicts_its_date_is_kept_and_the_date_wins() {
        let friday = said("friday the twenty third of may").expect("a date");
        assert_eq!(friday.date.to_string(), "2026-05-23");
        assert_eq!(friday.contradicts, Some(Weekday::Friday));
        // No month said: the first twenty third that is a Thursday would be far off; the nearest one wins.
        let thursday = said("thursday the twenty second").expect("a date");
        assert_eq!(thursday.date.to_string(), "2026-05-22");
        assert_eq!(thursday.contradicts, Some(Weekday::Thursday));
        assert_eq!(said("saturday the twenty third of may").and_then(|said| said.contradicts), None);
    }

    #[test]
    fn a_date_reads_with_its_weekday() {
        assert_eq!(readable(jiff::civil::date(2026, 5, 22)), "Friday, May 22");
    }
}
