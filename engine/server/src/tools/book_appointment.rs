//! `book_appointment`: books an appointment of the call's organisation, or says why it can't.
//!
//! Arguments: `date` (`2026-05-23`), `time` (`19:00`), `party_size` (1 to 1,000), `customer_name`; optional
//! `phone`, `notes`, `duration_minutes` (default 90). Date and time are in the agent's time zone or, if it has none,
//! the organisation's. Refuses clashes, the past and closed hours with a reason that can be said. Where a booking
//! backend is set, that one decides.

use jiff::civil::{Date, Time};
use jiff::{SignedDuration, Timestamp};
use parlance_conversation::ToolOutcome;
use parlance_store::appointments::{self, Appointment, Booking, NewAppointment};
use parlance_store::{CallId, Error, Scope, organisations, resources};
use serde_json::{Value, json};

use super::booking_backend::{Answer, BookingBackend, Wanted};

/// The tool's name.
pub const NAME: &str = "book_appointment";
/// How long a table is kept when nothing is said.
const DURATION_MINUTES: i64 = 90;

/// Where appointments are booked.
#[derive(Clone, Copy)]
pub struct Place<'a> {
    /// The organisation's rows.
    pub scope: &'a Scope,
    /// Who books instead of them.
    pub backend: Option<&'a BookingBackend>,
    /// The call it is done in; none in a test.
    pub call: Option<CallId>,
    /// The IANA name of the time zone of days and times; empty: the organisation's.
    pub time_zone: &'a str,
}

/// Books. The same key books once, however often it is run.
pub async fn run(place: Place<'_>, idempotency_key: String, arguments: &Value) -> ToolOutcome {
    match book(place, idempotency_key, arguments).await {
        Ok(outcome) => outcome,
        Err(error) => {
            tracing::error!(%error, "booking failed");
            not_reached()
        }
    }
}

fn not_reached() -> ToolOutcome {
    ToolOutcome::Failed { reason: super::NOT_REACHED.to_owned() }
}

async fn book(place: Place<'_>, idempotency_key: String, arguments: &Value) -> Result<ToolOutcome, Error> {
    let wish = match Wish::parse(arguments) {
        Ok(wish) => wish,
        Err(missing) => {
            return Ok(ToolOutcome::Failed { reason: format!("I did not understand the {missing}.") });
        }
    };
    let scope = place.scope;
    let zone = match place.time_zone {
        "" => organisations::get(scope).await?.time_zone,
        own => own.to_owned(),
    };
    let Ok(start) = wish.date.to_datetime(wish.time).in_tz(&zone) else {
        return Ok(ToolOutcome::Failed { reason: "That time does not exist on that day.".to_owned() });
    };
    if let Some(backend) = place.backend {
        return Ok(book_elsewhere(backend, (place, idempotency_key), &wish, &start).await);
    }
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
    Ok(match appointments::book(scope, wanted, Timestamp::now()).await? {
        Booking::Booked(appointment) | Booking::AlreadyBooked(appointment) => {
            ToolOutcome::Succeeded { result: result(scope, &appointment, &start).await }
        }
        Booking::Refused(refusal) => ToolOutcome::Failed { reason: refusal.to_string() },
    })
}

/// Lets the backend book, and says what it said.
async fn book_elsewhere(
    backend: &BookingBackend,
    (place, idempotency_key): (Place<'_>, String),
    wish: &Wish,
    start: &jiff::Zoned,
) -> ToolOutcome {
    let Ok(end) = start.checked_add(SignedDuration::from_mins(wish.duration_minutes)) else {
        return ToolOutcome::Failed { reason: "I did not understand the date.".to_owned() };
    };
    let text = |at: &jiff::Zoned| at.strftime("%Y-%m-%dT%H:%M:%S%:z").to_string();
    let wanted = Wanted {
        organisation: crate::convert::organisation::name(place.scope.organisation()),
        call: place.call.map(|call| format!("calls/{call}")).unwrap_or_default(),
        customer_name: &wish.customer_name,
        phone: wish.phone.as_deref(),
        party_size: wish.party_size,
        start: text(start),
        end: text(&end),
        notes: &wish.notes,
    };
    match backend.book(&idempotency_key, &wanted).await {
        Answer::Booked(id) => ToolOutcome::Succeeded { result: booked(&id, wish, start) },
        Answer::Refused(reason) => ToolOutcome::Failed { reason },
        Answer::NotReached => not_reached(),
        Answer::Unknown => ToolOutcome::TimedOut,
    }
}

fn booked(id: &str, wish: &Wish, start: &jiff::Zoned) -> Value {
    json!({
        "appointment": id,
        "date": start.date().to_string(),
        "time": start.strftime("%H:%M").to_string(),
        "party_size": wish.party_size,
        "customer_name": wish.customer_name,
    })
}

async fn result(scope: &Scope, appointment: &Appointment, start: &jiff::Zoned) -> Value {
    let mut result = json!({
        "appointment": appointment.id.to_string(),
        "date": start.date().to_string(),
        "time": start.strftime("%H:%M").to_string(),
        "party_size": appointment.party_size,
        "customer_name": appointment.customer_name,
    });
    // It is booked, whatever its resource is called.
    if let Some(id) = appointment.resource_id
        && let Ok(resource) = resources::get(scope, id).await
    {
        result["resource"] = json!(resource.display_name);
    }
    result
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
