//! Organisations: rows of the store in the contract's words, times of day as text, and what their instructions do.

use parlance_conversation::{Policy, Responder};
use parlance_proto::v1;
use parlance_store::OrganisationId;
use parlance_store::organisations::{OpeningHours, Profile};

use super::timestamp;
use crate::status::Violations;

const MIDNIGHT_AFTER_NEXT: i16 = 48 * 60;
const DAY: i16 = 24 * 60;

/// The resource name of an organisation.
pub fn name(id: OrganisationId) -> String {
    format!("organisations/{id}")
}

/// An organisation.
pub fn organisation(profile: &Profile) -> v1::Organisation {
    let row = &profile.organisation;
    v1::Organisation {
        name: name(row.id),
        display_name: row.display_name.clone(),
        time_zone: row.time_zone.clone(),
        appointment_capacity: row.appointment_capacity,
        opening_hours: profile.opening_hours.iter().map(hours).collect(),
        instructions: row.instructions.clone(),
        sessions_max: row.sessions_max,
        calls_per_minute: row.calls_per_minute,
        create_time: Some(timestamp(row.create_time)),
        update_time: Some(timestamp(row.update_time)),
        etag: row.etag.clone(),
    }
}

fn hours(row: &OpeningHours) -> v1::OpeningHours {
    let text = |minute: i16| format!("{:02}:{:02}", minute / 60, minute % 60);
    v1::OpeningHours {
        weekday: i32::from(row.weekday),
        opens: text(row.opens_minute),
        closes: text(row.closes_minute),
    }
}

/// A week from the wire; what is wrong with it goes to `bad`, each below `field[index]`.
pub fn week(field: &str, wire: &[v1::OpeningHours], bad: &mut Violations) -> Vec<OpeningHours> {
    let mut week: Vec<OpeningHours> = Vec::with_capacity(wire.len());
    for (index, stretch) in wire.iter().enumerate() {
        let Some(hours) = stretch_of(&format!("{field}[{index}]"), stretch, bad) else { continue };
        let overlaps = |other: &OpeningHours| {
            other.weekday == hours.weekday
                && other.opens_minute < hours.closes_minute
                && hours.opens_minute < other.closes_minute
        };
        if week.iter().any(overlaps) {
            bad.add(format!("{field}[{index}]"), "overlaps another stretch of that day");
        }
        week.push(hours);
    }
    week
}

fn stretch_of(field: &str, wire: &v1::OpeningHours, bad: &mut Violations) -> Option<OpeningHours> {
    let weekday = i16::try_from(wire.weekday).ok().filter(|day| (1..=7).contains(day));
    if weekday.is_none() {
        bad.add(format!("{field}.weekday"), "must be one of the named days");
    }
    let opens = minute(&wire.opens).filter(|minute| *minute < DAY);
    if opens.is_none() {
        bad.add(format!("{field}.opens"), "must be HH:MM from 00:00 to 23:59");
    }
    let closes = minute(&wire.closes).filter(|minute| opens.is_none_or(|opens| opens < *minute));
    if closes.is_none() {
        bad.add(format!("{field}.closes"), "must be HH:MM after `opens`, at most 48:00");
    }
    Some(OpeningHours { weekday: weekday?, opens_minute: opens?, closes_minute: closes? })
}

/// `HH:MM` as minutes after midnight, up to 48:00.
fn minute(text: &str) -> Option<i16> {
    let (hours, minutes) = text.split_once(':')?;
    let two_digits = |part: &str| {
        let fits = part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_digit());
        fits.then(|| part.parse::<i16>().ok()).flatten()
    };
    let (hours, minutes) = (two_digits(hours)?, two_digits(minutes).filter(|minutes| *minutes < 60)?);
    Some(hours * 60 + minutes).filter(|minute| *minute <= MIDNIGHT_AFTER_NEXT)
}

/// Puts an organisation's instructions before what an agent's prompt says. A flow has no prompt.
pub fn instruct(policy: &mut Policy, instructions: &str) {
    if let Responder::Model { system_prompt } = &mut policy.responder {
        *system_prompt = prompt(instructions, system_prompt);
    }
}

fn prompt(instructions: &str, own: &str) -> String {
    [instructions.trim(), own.trim()]
        .into_iter()
        .filter(|part| !part.is_empty())
        .collect::<Vec<_>>()
        .join("\n\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wire(weekday: i32, opens: &str, closes: &str) -> v1::OpeningHours {
        v1::OpeningHours { weekday, opens: opens.into(), closes: closes.into() }
    }

    fn wrong(stretches: &[v1::OpeningHours]) -> String {
        let mut bad = Violations::default();
        week("hours", stretches, &mut bad);
        format!("{:?}", bad.check().err())
    }

    #[test]
    fn a_week_reads_back_as_it_was_written() {
        let given = [wire(1, "09:00", "12:30"), wire(1, "12:30", "24:00"), wire(6, "18:05", "48:00")];
        let mut bad = Violations::default();
        let read = week("hours", &given, &mut bad);
        assert!(bad.is_empty());
        assert_eq!(read.iter().map(hours).collect::<Vec<_>>(), given);
    }

    #[test]
    fn what_is_no_time_of_day_is_named_with_its_place() {
        for text in ["", "9:00", "09.00", "0900", "+9:00", "09:60", "24:00", "ab:cd", "0９:00"] {
            assert!(wrong(&[wire(1, text, "48:00")]).contains("hours[0].opens"), "{text}");
        }
        for text in ["", "08:59", "09:00", "48:01", "99:00"] {
            assert!(wrong(&[wire(1, "09:00", text)]).contains("hours[0].closes"), "{text}");
        }
        for day in [0, 8, -1, 70_000] {
            assert!(
                wrong(&[wire(1, "01:00", "02:00"), wire(day, "01:00", "02:00")]).contains("hours[1].weekday")
            );
        }
        assert!(wrong(&[wire(2, "01:00", "03:00"), wire(2, "02:59", "04:00")]).contains("hours[1]"));
    }

    #[test]
    fn instructions_come_before_what_the_agent_is_told() {
        assert_eq!(prompt("We are polite.\n", " You book tables."), "We are polite.\n\nYou book tables.");
        assert_eq!(prompt("", "You book tables."), "You book tables.");
        assert_eq!(prompt("We are polite.", ""), "We are polite.");
    }
}
