//! `book_appointment`: books an appointment of the call's organisation, or says why it can't.
//!
//! Arguments: `date` (`2026-05-23`), `time` (`19:00`), `party_size` (1 to 1,000), `customer_name`; optional
//! `phone`, `notes`, `duration_minutes` (default 90). Date and time are the agent's or, if it has
//! no time zone, the organisation's own. Refuses
//! clashes, the past and closed hours with a reason that can be said.

use jiff::civil::{Date, Time};
use jiff::{SignedDuration, Timestamp};
use parlance_conversation::ToolOutcome;
use parlance_store::appointments::{self, Appointment, Booking, NewAppointment};
use parlance_store::{Error, organisations};
use serde_json::{Value, json};

use super::Place;

/// The tool's name.
pub const NAME: &str = "book_appointment";
/// How long a table is kept when nothing is said.
const DURATION_MINUTES: i64 = 90;

/// Books. The same key books once, however often it is run.
pub async fn run(place: Place<'_>, idempotency_key: String, arguments: &Value) -> ToolOutcome {
    match book(place, idempotency_key, arguments).await {
        Ok(outcome) => outcome,
        Err(error) => {
            tracing::error!(%error, "booking failed");
            ToolOutcome::Failed { reason: "I can't reach our booking system right now.".to_owned() }
        }
    }
}

async fn book(place: Place<'_>, idempotency_key: String, arguments: &Value) -> Result<ToolOutcome, Error> {
    let wish = match Wish::parse(arguments) {
        Ok(wish) => wish,
        Err(missing) => {
            return Ok(ToolOutcome::Failed { reason: format!("I did not understand the {missing}.") });
        }
    };
    let zone = match place.time_zone {
        "" => organisations::get(place.scope).await?.time_zone,
        own => own.to_owned(),
    };
    let Ok(start) = wish.date.to_datetime(wish.time).in_tz(&zone) else {
        return Ok(ToolOutcome::Failed { reason: "That time does not exist on that day.".to_owned() });
    };
    let wanted = NewAppointment {
        idempotency_key,
        call_id: place.call,
        customer_name: wish.customer_name,
        customer_phone: wish.phone,
        party_size: wish.party_size,
        start: start.timestamp(),
        duration: SignedDuration::from_mins(wish.duration_minutes),
        notes: wish.notes,
    };
    Ok(match appointments::book(place.scope, wanted, Timestamp::now()).await? {
        Booking::Booked(appointment) | Booking::AlreadyBooked(appointment) => {
            ToolOutcome::Succeeded { result: result(&appointment, &start) }
        }
        Booking::Refused(refusal) => ToolOutcome::Failed { reason: refusal.to_string() },
    })
}

fn result(appointment: &Appointment, start: &jiff::Zoned) -> Value {
    json!({
        "appointment": appointment.id.to_string(),
        "date": start.date().to_string(),
        "time": start.strftime("%H:%M").to_string(),
        "party_size": appointment.party_size,
        "customer_name": appointment.customer_name,
    })
}

/// What is wanted, once it makes sense.
struct Wish {
    date: Date,
    time: Time,
    party_size: i32,
    customer_name: String,
    phone: Option<String>,
    notes: String,
    duration_minutes: i64,
}

impl Wish {
    /// An error is the name of the value that is missing or makes no sense, as it can be said.
    fn parse(arguments: &Value) -> Result<Self, &'static str> {
        let text = |name: &str| {
            arguments.get(name).and_then(Value::as_str).map(str::trim).filter(|it| !it.is_empty())
        };
        let number = |name: &str| {
            let value = arguments.get(name)?;
            value.as_i64().or_else(|| value.as_str()?.trim().parse().ok())
        };
        Ok(Self {
            date: text("date").and_then(|date| date.parse().ok()).ok_or("date")?,
            time: text("time").and_then(|time| time.parse().ok()).ok_or("time")?,
            party_size: number("party_size")
                .and_then(|size| i32::try_from(size).ok())
                .filter(|size| (1..=1_000).contains(size))
                .ok_or("number of people")?,
            customer_name: text("customer_name").ok_or("name")?.to_owned(),
            phone: text("phone").map(str::to_owned),
            notes: text("notes").unwrap_or_default().to_owned(),
            duration_minutes: number("duration_minutes")
                .filter(|minutes| (1..=1_440).contains(minutes))
                .unwrap_or(DURATION_MINUTES),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wish_names_the_first_value_that_is_missing_or_makes_no_sense() {
        let whole =
            json!({"date": "2026-05-23", "time": "19:00", "party_size": "4", "customer_name": "John Smith"});
        assert!(Wish::parse(&whole).is_ok_and(|wish| wish.party_size == 4 && wish.duration_minutes == 90));
        for (field, value, said) in [
            ("date", json!("Friday"), "date"),
            ("time", json!(""), "time"),
            ("party_size", json!(0), "number of people"),
            ("customer_name", json!(null), "name"),
        ] {
            let mut broken = whole.clone();
            broken[field] = value;
            assert_eq!(Wish::parse(&broken).err(), Some(said));
        }
    }
}
