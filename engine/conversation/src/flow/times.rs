//! Times of day: what "half past eight" means.
//!
//! An hour from one to ten without "a m", "p m" or a part of the day is in the afternoon or evening:
//! agents that book tables and appointments are asked for seven in the evening, not in the morning.
//! Eleven and twelve are before and at noon. Written `07:00` and `19:00` are taken as they stand.
//! Enter at [`read`].

use jiff::civil::Time;

use super::phrase::Capture;

/// Value of "a m".
pub(super) const AM: i64 = 0;
/// Value of "p m".
pub(super) const PM: i64 = 1;
/// Parts of the day.
pub(super) const MORNING: i64 = 0;
pub(super) const AFTERNOON: i64 = 1;
pub(super) const EVENING: i64 = 2;

const NOON: i64 = 12 * 60;
const DAY: i64 = 24 * 60;
/// Marks a written time as exact: `07:00`, `19:00`.
const EXACT: i64 = 10_000;

/// A time as it was said: minutes from midnight, and whether the half of the day is known.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Said {
    /// Minutes on the clock face, from 0; from twelve hours on if the half of the day is known.
    minutes: i64,
    /// Added to or taken from the hour ("quarter to").
    past: i64,
    half: Half,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Half {
    Exact,
    Part(i64),
    Named(i64),
    Unsaid,
}

/// Reads what rules `time` and `time_bare` captured.
pub(super) fn read(captures: &[Capture]) -> Option<Said> {
    let value = |rule: &str| captures.iter().find(|(name, _)| *name == rule).map(|(_, value)| *value);
    if let Some(noon) = value("noon") {
        return Some(Said { minutes: noon, past: 0, half: Half::Exact });
    }
    let half = match (value("half"), value("daypart")) {
        (Some(half), _) => Half::Named(half),
        (None, Some(part)) => Half::Part(part),
        (None, None) => Half::Unsaid,
    };
    let minute = value("minute").unwrap_or(0);
    let (minutes, half) = match (value("clock"), value("hour_of_day"), value("hour")) {
        (Some(clock), ..) if clock >= EXACT => (clock - EXACT, Half::Exact),
        (Some(clock), ..) => (clock, half),
        (_, Some(hour), _) => (hour * 60 + minute, Half::Exact),
        (_, _, Some(hour)) => (hour * 60 + minute, half),
        _ => return None,
    };
    Some(Said { minutes, past: value("past").unwrap_or(0), half })
}

impl Said {
    /// The time of day; `part` is the part of the day that was said elsewhere ("Tuesday evening").
    pub fn resolve(self, part: Option<i64>) -> Option<Time> {
        let half = match (self.half, part) {
            (Half::Unsaid, Some(part)) => Half::Part(part),
            (half, _) => half,
        };
        let hour = self.minutes / 60;
        let afternoon = match half {
            Half::Exact => return at(self.minutes + self.past),
            Half::Named(half) => half == PM,
            Half::Part(MORNING) => false,
            Half::Part(_) => true,
            Half::Unsaid => hour <= 10 || hour == 12,
        };
        at(self.minutes % NOON + self.past + if afternoon { NOON } else { 0 })
    }
}

fn at(minutes: i64) -> Option<Time> {
    let minutes = minutes.rem_euclid(DAY);
    Time::new((minutes / 60) as i8, (minutes % 60) as i8, 0, 0).ok()
}

/// `19:30` in minutes, marked exact when it is written in 24 hours.
pub(super) fn clock(word: &str) -> Option<i64> {
    let (hour, minute) = word.split_once(':')?;
    let minutes = hour.parse::<i64>().ok()? * 60 + minute.parse::<i64>().ok()?;
    let exact = minutes >= NOON + 60 || hour.starts_with('0');
    (minutes < DAY && minute.len() == 2).then_some(if exact { EXACT + minutes } else { minutes })
}

/// "7:30 PM".
pub(super) fn readable(time: Time) -> String {
    let hour = match time.hour() % 12 {
        0 => 12,
        hour => hour,
    };
    format!("{hour}:{:02} {}", time.minute(), if time.hour() < 12 { "AM" } else { "PM" })
}

#[cfg(test)]
mod tests {
    use super::super::table::table;
    use super::super::words::words;
    use super::*;

    fn time(text: &str) -> String {
        let words = words(text);
        let Some(way) = table().longest("time", &words, 0) else { return "none".into() };
        assert_eq!(way.end, words.len(), "{text}: not all of it was understood");
        let time = read(&way.captures).and_then(|said| said.resolve(None));
        time.map_or("none".into(), |time| format!("{:02}:{:02}", time.hour(), time.minute()))
    }

    #[test]
    fn times_mean_what_a_host_would_hear() {
        for (text, expected) in [
            ("seven p m", "19:00"),
            ("at seven", "19:00"),
            ("at eleven", "11:00"),
            ("at twelve", "12:00"),
            ("eight fifteen", "20:15"),
            ("half past eight", "20:30"),
            ("quarter to nine", "20:45"),
            ("a quarter to one", "12:45"),
            ("quarter past seven", "19:15"),
            ("noon", "12:00"),
            ("nine a m", "09:00"),
            ("twelve a m", "00:00"),
            ("at nine in the morning", "09:00"),
            ("eight o'clock", "20:00"),
            ("7pm", "19:00"),
            ("7:30 pm", "19:30"),
            ("19:30", "19:30"),
            ("07:30", "07:30"),
            ("7:30", "19:30"),
            ("nineteen thirty", "19:30"),
            ("seven oh five", "19:05"),
            ("half past seven p m", "19:30"),
        ] {
            assert_eq!(time(text), expected, "{text}");
        }
    }

    #[test]
    fn a_part_of_the_day_said_elsewhere_decides_the_half() {
        let words = words("at nine");
        let said = read(&table().longest("time", &words, 0).unwrap().captures).unwrap();
        assert_eq!(said.resolve(Some(MORNING)).unwrap().hour(), 9);
        assert_eq!(said.resolve(Some(EVENING)).unwrap().hour(), 21);
    }

    #[test]
    fn a_time_reads_with_its_half() {
        assert_eq!(readable(jiff::civil::time(19, 0, 0, 0)), "7:00 PM");
        assert_eq!(readable(jiff::civil::time(0, 5, 0, 0)), "12:05 AM");
    }
}
