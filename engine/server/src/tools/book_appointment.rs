//! `book_appointment`: books an appointment of the call's organisation, or says why it can't.
//!
//! Arguments: `date` (`2026-05-23`), `time` (`19:00`), `party_size` (1 to 1,000), `customer_name`; optional
//! `phone`, `notes`, `duration_minutes` (default 90). Date and time are in the agent's time zone or, if it has none,
//! the organisation's. Refuses clashes, the past and closed hours with a reason that can be said. Where a booking
//! backend is set, that one decides.

use std::time::Duration;

use jiff::civil::{Date, Time};
use jiff::{SignedDuration, Timestamp};
use parlance_conversation::ToolOutcome;
use parlance_store::appointments::{self, Appointment, Booking, NewAppointment};
use parlance_store::{CallId, Error, Scope, organisations, resources};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::booking_backend::{Answer, BookingBackend, Wanted};

/// The tool's name.
pub const NAME: &str = "book_appointment";
/// How long a table is kept when nothing is said.
const DURATION_MINUTES: i64 = 90;
/// How long a booking that got no answer is asked for again. The last time may take the 5 s that a connection is
/// waited for, and still ends in the tool's 10 s.
const ASK_AGAIN: Duration = Duration::from_secs(4);
/// The pause before that.
const PAUSE: Duration = Duration::from_millis(250);

/// What it takes: the schema for models and for the check.
pub fn parameters() -> Value {
    json!({
        "type": "object",
        "properties": {
            "date": {"type": "string", "description": "The day as YYYY-MM-DD."},
            "time": {"type": "string", "description": "When it begins, HH:MM on a 24 hour clock."},
            "party_size": {"type": "integer", "minimum": 1, "maximum": 1_000, "description": "How many people come."},
            "customer_name": {"type": "string", "minLength": 1, "description": "Who books, first and last name."},
            "phone": {"type": "string", "description": "A number to reach them."},
            "notes": {"type": "string", "description": "Anything else they asked for."},
            "duration_minutes": {
                "type": "integer", "minimum": 1, "maximum": 1_440,
                "description": "How long it lasts. Left out: 90.",
            },
        },
        "required": ["date", "time", "party_size", "customer_name"],
    })
}

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
    ToolOutcome::Failed { reason: super::toolbox::NOT_REACHED.to_owned() }
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
    let now = Timestamp::now();
    Ok(match until_sure(ASK_AGAIN, || appointments::book(scope, wanted.clone(), now)).await? {
        Some(Booking::Booked(appointment) | Booking::AlreadyBooked(appointment)) => {
            ToolOutcome::Succeeded { result: result(scope, &appointment, &start).await }
        }
        Some(Booking::Refused(refusal)) => ToolOutcome::Failed { reason: refusal.to_string() },
        None => ToolOutcome::TimedOut,
    })
}

/// Books until the database has answered; none if it does not, asked for so long. A commit without an answer may have been done: the
/// idempotency key lets it be asked for again, and saying that it failed would have it done twice.
async fn until_sure<F>(patience: Duration, mut attempt: impl FnMut() -> F) -> Result<Option<Booking>, Error>
where
    F: Future<Output = Result<Booking, Error>>,
{
    let begun = Instant::now();
    loop {
        match attempt().await {
            Err(error) if error.is_retryable() => {
                tracing::warn!(%error, "whether it is booked is not known yet");
                if begun.elapsed() >= patience {
                    return Ok(None);
                }
                tokio::time::sleep(PAUSE).await;
            }
            answer => return answer.map(Some),
        }
    }
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
    use parlance_store::AppointmentId;
    use parlance_store::appointments::AppointmentState;

    use super::*;

    fn unsure() -> Result<Booking, Error> {
        Err(Error::Unavailable("the connection was closed".to_owned()))
    }

    fn booked_before() -> Booking {
        let at = Timestamp::UNIX_EPOCH;
        Booking::AlreadyBooked(Appointment {
            id: AppointmentId::new(),
            call_id: None,
            customer_name: "John Smith".to_owned(),
            customer_phone: None,
            party_size: 4,
            start_time: at,
            end_time: at,
            notes: String::new(),
            state: AppointmentState::Booked,
            create_time: at,
            etag: String::new(),
            update_time: at,
            resource_id: None,
        })
    }

    #[tokio::test]
    async fn a_commit_without_an_answer_is_asked_for_again_until_it_is_known() {
        let known = booked_before();
        let mut answers = vec![Ok(known.clone()), unsure(), unsure()];
        let answer =
            until_sure(ASK_AGAIN, || std::future::ready(answers.pop().expect("no more than three"))).await;
        assert_eq!(answer.expect("it is known in the end"), Some(known));
    }

    #[tokio::test]
    async fn a_commit_that_is_never_answered_is_not_known_and_never_a_failure() {
        let answer = until_sure(PAUSE, || std::future::ready(unsure())).await;
        assert_eq!(answer.expect("it is no error"), None);
    }

    #[tokio::test]
    async fn what_the_database_refuses_for_good_is_not_asked_for_again() {
        let mut asked = 0;
        let answer = until_sure(ASK_AGAIN, || {
            asked += 1;
            std::future::ready(Err(Error::NotFound("call")))
        });
        assert!(matches!(answer.await, Err(Error::NotFound("call"))));
        assert_eq!(asked, 1);
    }

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
