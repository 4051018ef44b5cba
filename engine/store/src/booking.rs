//! Whether an organisation can take an appointment: not in the past, not when closed, not when full.
//!
//! Pure: takes the hours, the bookings around and the time it is; reads no clock and no rows. Enter at
//! [`Diary::refusal`]. A refusal carries what an agent can say to help the caller on. Times of day are local to the
//! organisation; the arithmetic is done on instants, so a night with a clock change is as long as it really is.

use jiff::civil::{Date, DateTime, Time};
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};
use serde::{Deserialize, Serialize};

use crate::ResourceId;
use crate::organisations::OpeningHours;

/// What an appointment is checked against.
pub(crate) struct Diary<'a> {
    pub(crate) zone: &'a TimeZone,
    pub(crate) week: &'a [OpeningHours],
    /// What appointments are booked on.
    pub(crate) room: Room<'a>,
    /// The bookings that touch the days around.
    pub(crate) booked: &'a [Booked],
}

/// What appointments are booked on.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Room<'a> {
    /// The organisation itself: so many may overlap at any instant.
    Capacity(usize),
    /// One of these each, in this order.
    Resources(&'a [ResourceId]),
}

/// A booking that stands.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Booked {
    pub(crate) stretch: Stretch,
    /// What it is booked on; none if it was booked before there were resources.
    pub(crate) resource: Option<ResourceId>,
}

/// From an instant up to, not including, another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stretch {
    pub(crate) start: Timestamp,
    pub(crate) end: Timestamp,
}

impl Stretch {
    fn holds(&self, inner: &Self) -> bool {
        self.start <= inner.start && inner.end <= self.end
    }

    fn overlaps(&self, other: &Self) -> bool {
        self.start < other.end && other.start < self.end
    }
}

/// Why an appointment can't be had. `Display` is an English sentence an agent can say as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "reason", rename_all = "snake_case")]
pub enum Refusal {
    /// The start is not after the present.
    Past {
        /// The organisation's local time now.
        now: DateTime,
    },
    /// It is not wholly within the opening hours.
    Closed {
        /// The local date that was asked for.
        date: Date,
        /// When the organisation is open that day, in order; empty when it is closed all day.
        open: Vec<OpenPeriod>,
    },
    /// Others have booked.
    Taken {
        /// The next local start at which the same length is free within the same opening period, if any.
        next_free: Option<DateTime>,
    },
}

/// A stretch of a day in which the organisation is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenPeriod {
    /// When it opens.
    pub opens: Time,
    /// When it closes; not after `opens` means in the early morning of the next day.
    pub closes: Time,
    /// The last start at which the asked-for length still fits; none when it never does.
    pub last_start: Option<Time>,
}

impl Diary<'_> {
    /// Why `wanted` can't be had at the moment `now`, or none.
    pub(crate) fn refusal(&self, now: Timestamp, wanted: Stretch) -> Option<Refusal> {
        if wanted.start <= now {
            return Some(Refusal::Past { now: self.local(now) });
        }
        let date = self.local(wanted.start).date();
        // A period of the day before may reach past midnight.
        let around = [date.yesterday().unwrap_or(date), date];
        let period = around.iter().flat_map(|day| self.periods(*day)).find(|period| period.holds(&wanted));
        let Some(period) = period else {
            return Some(Refusal::Closed { date, open: self.open_periods(date, wanted) });
        };
        if self.has_room(wanted) {
            return None;
        }
        let next_free = self.next_free(period, wanted).map(|start| self.local(start));
        Some(Refusal::Taken { next_free })
    }

    fn local(&self, at: Timestamp) -> DateTime {
        at.to_zoned(self.zone.clone()).datetime()
    }

    fn instant(&self, local: DateTime) -> Option<Timestamp> {
        local.to_zoned(self.zone.clone()).ok().map(|zoned| zoned.timestamp())
    }

    fn hours_of(&self, day: Date) -> impl Iterator<Item = &OpeningHours> {
        let weekday = i16::from(day.weekday().to_monday_one_offset());
        self.week.iter().filter(move |hours| hours.weekday == weekday)
    }

    fn periods(&self, day: Date) -> Vec<Stretch> {
        let at = |minute: i16| {
            let local = day.at(0, 0, 0, 0).checked_add(Span::new().minutes(i64::from(minute))).ok()?;
            self.instant(local)
        };
        self.hours_of(day)
            .filter_map(|hours| {
                Some(Stretch { start: at(hours.opens_minute)?, end: at(hours.closes_minute)? })
            })
            .collect()
    }

    fn open_periods(&self, day: Date, wanted: Stretch) -> Vec<OpenPeriod> {
        let length = wanted.end.duration_since(wanted.start);
        let mut periods = self.periods(day);
        periods.sort_by_key(|period| period.start);
        let open = periods.iter().map(|period| OpenPeriod {
            opens: self.local(period.start).time(),
            closes: self.local(period.end).time(),
            last_start: (period.end - length >= period.start).then(|| self.local(period.end - length).time()),
        });
        open.collect()
    }

    /// The resource for a stretch that has room: the preferred one if it is free, else the first that is.
    pub(crate) fn resource(&self, wanted: Stretch, preferred: Option<ResourceId>) -> Option<ResourceId> {
        let Room::Resources(active) = self.room else { return None };
        let free = self.free(active, wanted);
        preferred.filter(|resource| free.contains(resource)).or(free.first().copied())
    }

    fn has_room(&self, wanted: Stretch) -> bool {
        match self.room {
            Room::Capacity(capacity) => self.at_once(wanted, |_| true) < capacity,
            // Whoever was booked before there were resources will need one too.
            Room::Resources(active) => {
                self.at_once(wanted, |booking| booking.resource.is_none()) < self.free(active, wanted).len()
            }
        }
    }

    fn free(&self, active: &[ResourceId], wanted: Stretch) -> Vec<ResourceId> {
        let busy = |resource: &ResourceId| {
            self.booked.iter().any(|it| it.resource == Some(*resource) && it.stretch.overlaps(&wanted))
        };
        active.iter().filter(|resource| !busy(resource)).copied().collect()
    }

    /// The most bookings at one instant are reached where one of them (or the wanted one) begins.
    fn at_once(&self, wanted: Stretch, counts: impl Fn(&Booked) -> bool) -> usize {
        let near = self.booked.iter().filter(|booking| counts(booking)).map(|booking| booking.stretch);
        let near: Vec<Stretch> = near.filter(|stretch| stretch.overlaps(&wanted)).collect();
        let begins = near.iter().map(|stretch| stretch.start.max(wanted.start));
        begins
            .map(|at| near.iter().filter(|it| it.start <= at && at < it.end).count())
            .max()
            .unwrap_or_default()
    }

    /// Room appears where a booking ends.
    fn next_free(&self, period: Stretch, wanted: Stretch) -> Option<Timestamp> {
        let length = wanted.end.duration_since(wanted.start);
        let ends = self.booked.iter().map(|booking| booking.stretch.end);
        let starts = ends.filter(|end| *end > wanted.start);
        let candidates =
            starts.filter_map(|start| Some(Stretch { start, end: start.checked_add(length).ok()? }));
        candidates.filter(|it| period.holds(it) && self.has_room(*it)).map(|it| it.start).min()
    }
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Past { now } => {
                write!(f, "That time has passed already; it is {} now.", spoken(now.time()))
            }
            Self::Closed { date, open } if open.is_empty() => {
                write!(f, "We are closed on {}.", date.strftime("%A"))
            }
            Self::Closed { date, open } => {
                let periods: Vec<String> = open.iter().map(OpenPeriod::spoken).collect();
                write!(f, "On {} we are open {}.", date.strftime("%A"), periods.join(" and "))
            }
            Self::Taken { next_free: Some(at) } => {
                write!(f, "That time is taken; the next free time is {}.", spoken(at.time()))
            }
            Self::Taken { next_free: None } => write!(f, "That time is taken."),
        }
    }
}

impl OpenPeriod {
    fn spoken(&self) -> String {
        let hours = format!("from {} to {}", spoken(self.opens), spoken(self.closes));
        match self.last_start {
            Some(last) => format!("{hours}, with the last start at {}", spoken(last)),
            None => hours,
        }
    }
}

/// As a person says it: "7:30 PM", "11 AM", "noon".
fn spoken(time: Time) -> String {
    let half = if time.hour() < 12 { "AM" } else { "PM" };
    let hour = match time.hour() % 12 {
        0 => 12,
        hour => hour,
    };
    match (time.hour(), time.minute()) {
        (0, 0) => "midnight".to_owned(),
        (12, 0) => "noon".to_owned(),
        (_, 0) => format!("{hour} {half}"),
        (_, minute) => format!("{hour}:{minute:02} {half}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MONDAY: &str = "2026-06-01";

    fn zone() -> TimeZone {
        TimeZone::get("America/New_York").unwrap()
    }

    fn hours(weekday: i16, opens: i16, closes: i16) -> OpeningHours {
        OpeningHours { weekday, opens_minute: opens * 60, closes_minute: closes * 60 }
    }

    /// A stretch of that many minutes from a local time.
    fn at(local: &str, minutes: i64) -> Stretch {
        let start = local.parse::<DateTime>().unwrap().to_zoned(zone()).unwrap().timestamp();
        Stretch { start, end: start + Span::new().minutes(minutes) }
    }

    fn ask(week: &[OpeningHours], booked: &[Stretch], capacity: usize, wanted: Stretch) -> Option<Refusal> {
        let now = at(&format!("{MONDAY}T08:00"), 1).start;
        let booked = on(None, booked);
        Diary { zone: &zone(), week, room: Room::Capacity(capacity), booked: &booked }.refusal(now, wanted)
    }

    fn on(resource: Option<ResourceId>, stretches: &[Stretch]) -> Vec<Booked> {
        stretches.iter().map(|stretch| Booked { stretch: *stretch, resource }).collect()
    }

    fn said(refusal: Option<Refusal>) -> String {
        refusal.expect("must be refused").to_string()
    }

    #[test]
    fn an_appointment_within_hours_is_taken_up_to_the_minute_of_closing() {
        let week = [hours(1, 11, 22)];
        assert_eq!(ask(&week, &[], 1, at("2026-06-01T11:00", 60)), None);
        assert_eq!(ask(&week, &[], 1, at("2026-06-01T20:30", 90)), None);
    }

    #[test]
    fn the_past_and_this_very_moment_are_refused() {
        let week = [hours(1, 0, 24)];
        for past in ["2026-05-25T12:00", "2026-06-01T08:00"] {
            assert_eq!(
                said(ask(&week, &[], 1, at(past, 30))),
                "That time has passed already; it is 8 AM now."
            );
        }
    }

    #[test]
    fn outside_hours_the_refusal_says_the_hours_of_that_day() {
        let week = [hours(1, 11, 15), hours(1, 18, 22)];
        let refused = said(ask(&week, &[], 1, at("2026-06-01T21:00", 90)));
        assert_eq!(
            refused,
            "On Monday we are open from 11 AM to 3 PM, with the last start at 1:30 PM and from 6 PM to 10 PM, \
             with the last start at 8:30 PM."
        );
        assert_eq!(said(ask(&week, &[], 1, at("2026-06-02T12:00", 30))), "We are closed on Tuesday.");
    }

    #[test]
    fn hours_past_midnight_count_for_the_next_morning() {
        let week = [hours(6, 18, 26)];
        assert_eq!(ask(&week, &[], 1, at("2026-06-06T23:30", 60)), None);
        assert_eq!(ask(&week, &[], 1, at("2026-06-07T00:30", 60)), None);
        assert!(ask(&week, &[], 1, at("2026-06-07T01:30", 60)).is_some());
    }

    #[test]
    fn a_clash_is_refused_with_the_next_free_time_and_touching_is_no_clash() {
        let week = [hours(1, 11, 22)];
        let booked = [at("2026-06-01T19:00", 60), at("2026-06-01T20:00", 30)];
        assert_eq!(
            said(ask(&week, &booked, 1, at("2026-06-01T19:30", 60))),
            "That time is taken; the next free time is 8:30 PM."
        );
        assert_eq!(ask(&week, &booked, 1, at("2026-06-01T18:00", 60)), None);
        assert_eq!(said(ask(&week, &booked, 1, at("2026-06-01T19:30", 150))), "That time is taken.");
    }

    #[test]
    fn capacity_counts_those_present_at_once_not_all_that_touch() {
        let week = [hours(1, 11, 22)];
        let one_after_the_other = [at("2026-06-01T12:00", 60), at("2026-06-01T13:00", 60)];
        assert_eq!(ask(&week, &one_after_the_other, 2, at("2026-06-01T12:00", 120)), None);
        let at_once = [at("2026-06-01T12:00", 60), at("2026-06-01T12:30", 60)];
        assert!(ask(&week, &at_once, 2, at("2026-06-01T12:00", 120)).is_some());
    }

    #[test]
    fn an_appointment_gets_the_first_free_resource_or_the_preferred_one() {
        let (week, wanted) = ([hours(1, 11, 22)], at("2026-06-01T12:00", 60));
        let (ada, bob) = (ResourceId::new(), ResourceId::new());
        let mut booked = Vec::new();
        let diary = |active: &[ResourceId], booked: &[Booked], preferred| {
            let diary = Diary { zone: &zone(), week: &week, room: Room::Resources(active), booked };
            match diary.refusal(at("2026-06-01T08:00", 1).start, wanted) {
                None => Ok(diary.resource(wanted, preferred)),
                Some(refusal) => Err(refusal.to_string()),
            }
        };
        assert_eq!(diary(&[ada, bob], &booked, None), Ok(Some(ada)));
        assert_eq!(diary(&[ada, bob], &booked, Some(bob)), Ok(Some(bob)));
        booked.extend(on(Some(ada), &[at("2026-06-01T12:30", 60)]));
        assert_eq!(diary(&[ada, bob], &booked, Some(ada)), Ok(Some(bob)));
        booked.extend(on(Some(bob), &[at("2026-06-01T11:30", 60)]));
        let taken = "That time is taken; the next free time is 12:30 PM.";
        assert_eq!(diary(&[ada, bob], &booked, None), Err(taken.to_owned()));
        assert_eq!(diary(&[], &[], None), Err("That time is taken.".to_owned()));
    }

    #[test]
    fn who_was_booked_before_there_were_resources_takes_one_up() {
        let (week, wanted) = ([hours(1, 11, 22)], at("2026-06-01T12:00", 60));
        let booked = on(None, &[wanted]);
        let refused = |active: &[ResourceId]| {
            let diary = Diary { zone: &zone(), week: &week, room: Room::Resources(active), booked: &booked };
            diary.refusal(at("2026-06-01T08:00", 1).start, wanted).is_some()
        };
        assert!(refused(&[ResourceId::new()]));
        assert!(!refused(&[ResourceId::new(), ResourceId::new()]));
    }

    #[test]
    fn the_hour_lost_to_summer_time_is_not_open() {
        // 2026-03-08: the clocks go from 2:00 to 3:00, so 0:00 to 4:00 lasts three hours.
        let week = [hours(7, 0, 4)];
        let diary = Diary { zone: &zone(), week: &week, room: Room::Capacity(1), booked: &[] };
        let now = at("2026-03-01T00:00", 1).start;
        assert_eq!(diary.refusal(now, at("2026-03-08T00:00", 180)), None);
        assert!(diary.refusal(now, at("2026-03-08T00:00", 240)).is_some());
    }
}
