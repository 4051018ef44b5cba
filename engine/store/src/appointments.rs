//! Appointments: booked once per idempotency key, one at a time per organisation, refused with a reason to say.
//!
//! What is refused is decided in `booking`; here is what makes the answer true when many ask at once: a lock on
//! the organisation's row. Two appointments clash when more than the organisation's capacity would overlap at one
//! instant. Times go in and out as instants; refusals speak local time.

use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::booking::{Diary, Refusal, Stretch};
use crate::organisations::{self, Organisation};
use crate::page::{parse_time_key, time_key};
use crate::schema::{appointments, organisations as organisation_rows};
use crate::text_enum::text_enum;
use crate::time::PgTime;
use crate::{AppointmentId, CallId, Error, Page, PageRequest, Result, Scope, Work};

const LONGEST: SignedDuration = SignedDuration::from_hours(24);
const LARGEST_PARTY: i32 = 1_000;

text_enum!(
    /// Whether an appointment stands.
    AppointmentState {
        /// It stands.
        Booked = "booked",
        /// It was taken back and blocks nothing.
        Cancelled = "cancelled",
    }
);

/// An appointment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Queryable, Selectable)]
#[diesel(table_name = appointments, check_for_backend(diesel::pg::Pg))]
pub struct Appointment {
    /// Its id.
    pub id: AppointmentId,
    /// The call it was made in, if in one.
    pub call_id: Option<CallId>,
    /// Who comes.
    pub customer_name: String,
    /// How to reach them.
    pub customer_phone: Option<String>,
    /// How many people.
    pub party_size: i32,
    /// When it begins.
    #[diesel(deserialize_as = PgTime)]
    pub start_time: Timestamp,
    /// When it ends.
    #[diesel(deserialize_as = PgTime)]
    pub end_time: Timestamp,
    /// Anything else that was said; may be empty.
    pub notes: String,
    /// Whether it stands.
    pub state: AppointmentState,
    /// When it was booked.
    #[diesel(deserialize_as = PgTime)]
    pub create_time: Timestamp,
}

/// An appointment that is wanted.
#[derive(Debug, Clone)]
pub struct NewAppointment {
    /// The same key gives the same appointment, however often it is asked for.
    pub idempotency_key: String,
    /// The call it is made in, if in one.
    pub call_id: Option<CallId>,
    /// Who comes; not empty.
    pub customer_name: String,
    /// How to reach them.
    pub customer_phone: Option<String>,
    /// How many people, 1 to 1 000.
    pub party_size: i32,
    /// When it begins.
    pub start: Timestamp,
    /// How long it lasts: above zero, at most 24 h.
    pub duration: SignedDuration,
    /// Anything else that was said; may be empty.
    pub notes: String,
}

/// How a wish to book went.
#[derive(Debug, Clone, PartialEq)]
pub enum Booking {
    /// Booked now.
    Booked(Appointment),
    /// Booked before under the same key; nothing was done now.
    AlreadyBooked(Appointment),
    /// Nothing was booked, for this reason.
    Refused(Refusal),
}

/// Books an appointment, unless it is in the past, outside opening hours or taken. `now` is the present.
///
/// # Errors
/// [`Error::Invalid`] when the wish makes no sense at any time, [`Error::NotFound`] when there is no such call or
/// organisation.
pub async fn book(scope: &Scope, wanted: NewAppointment, now: Timestamp) -> Result<Booking> {
    let stretch = check(&wanted)?;
    let booked: Result<Booking> = scope
        .run(|conn| {
            Box::pin(async move {
                let organisation = lock_organisation(conn, scope).await?;
                if let Some(known) = find_by_key(conn, &wanted.idempotency_key).await? {
                    return Ok(Booking::AlreadyBooked(known));
                }
                if let Some(refusal) = refusal(conn, &organisation, stretch, now).await? {
                    return Ok(Booking::Refused(refusal));
                }
                insert(conn, scope, &wanted, stretch).await.map(Booking::Booked)
            })
        })
        .await;
    booked.map_err(|e| e.about("call"))
}

fn check(wanted: &NewAppointment) -> Result<Stretch> {
    if wanted.customer_name.trim().is_empty() {
        return Err(Error::invalid("customer_name", "must not be empty"));
    }
    if !(1..=LARGEST_PARTY).contains(&wanted.party_size) {
        return Err(Error::invalid("party_size", "must be 1 to 1000"));
    }
    if wanted.duration <= SignedDuration::ZERO || wanted.duration > LONGEST {
        return Err(Error::invalid("duration", "must be above zero and at most 24 hours"));
    }
    let end = wanted.start.checked_add(wanted.duration);
    let end = end.map_err(|e| Error::invalid("start", e.to_string()))?;
    Ok(Stretch { start: wanted.start, end })
}

/// Makes bookings of one organisation take turns. Rows that merely refer to it don't wait.
async fn lock_organisation(conn: &mut Work<'_>, scope: &Scope) -> Result<Organisation> {
    let row = organisation_rows::table.find(scope.organisation()).select(Organisation::as_select());
    let locked: Option<Organisation> = row.for_no_key_update().first(conn).await.optional()?;
    locked.ok_or(Error::NotFound("organisation"))
}

async fn find_by_key(conn: &mut Work<'_>, key: &str) -> Result<Option<Appointment>> {
    let query = appointments::table.filter(appointments::idempotency_key.eq(key));
    Ok(query.select(Appointment::as_select()).first(conn).await.optional()?)
}

async fn refusal(
    conn: &mut Work<'_>,
    organisation: &Organisation,
    wanted: Stretch,
    now: Timestamp,
) -> Result<Option<Refusal>> {
    let zone = TimeZone::get(&organisation.time_zone)
        .map_err(|e| Error::Setup(format!("know the time zone {}: {e}", organisation.time_zone)))?;
    let week = organisations::load_hours(conn).await?;
    let booked = bookings_around(conn, wanted).await?;
    let capacity = usize::try_from(organisation.appointment_capacity).unwrap_or_default();
    Ok(Diary { zone: &zone, week: &week, capacity, booked: &booked }.refusal(now, wanted))
}

/// Wide enough to hold the rest of the opening period, so that the next free time is found.
async fn bookings_around(conn: &mut Work<'_>, wanted: Stretch) -> Result<Vec<Stretch>> {
    let until = wanted.end.checked_add(LONGEST).unwrap_or(wanted.end);
    let query = appointments::table
        .filter(appointments::state.eq(AppointmentState::Booked))
        .filter(appointments::end_time.gt(PgTime(wanted.start)))
        .filter(appointments::start_time.lt(PgTime(until)))
        .select((appointments::start_time, appointments::end_time));
    let rows: Vec<(PgTime, PgTime)> = query.load(conn).await?;
    Ok(rows.into_iter().map(|(start, end)| Stretch { start: start.0, end: end.0 }).collect())
}

async fn insert(
    conn: &mut Work<'_>,
    scope: &Scope,
    wanted: &NewAppointment,
    stretch: Stretch,
) -> Result<Appointment> {
    let row = (
        appointments::id.eq(AppointmentId::new()),
        appointments::organisation_id.eq(scope.organisation()),
        appointments::call_id.eq(wanted.call_id),
        appointments::idempotency_key.eq(&wanted.idempotency_key),
        appointments::customer_name.eq(&wanted.customer_name),
        appointments::customer_phone.eq(&wanted.customer_phone),
        appointments::party_size.eq(wanted.party_size),
        appointments::start_time.eq(PgTime(stretch.start)),
        appointments::end_time.eq(PgTime(stretch.end)),
        appointments::notes.eq(&wanted.notes),
        appointments::state.eq(AppointmentState::Booked),
    );
    let insert = diesel::insert_into(appointments::table).values(row);
    Ok(insert.returning(Appointment::as_returning()).get_result(conn).await?)
}

/// A page of the organisation's appointments by their start; with `call`, only those made in it.
///
/// # Errors
/// [`Error::Invalid`] when the page token is not from this list.
pub async fn list(scope: &Scope, call: Option<CallId>, request: &PageRequest) -> Result<Page<Appointment>> {
    let mark = format!("appointments {call:?}");
    let after = request.after(&mark)?.map(|key| parse_time_key::<AppointmentId>(&key)).transpose()?;
    let rows = scope
        .run(|conn| {
            Box::pin(async move {
                let mut query = appointments::table.select(Appointment::as_select()).into_boxed();
                if let Some(call) = call {
                    query = query.filter(appointments::call_id.eq(call));
                }
                if let Some((start, id)) = after {
                    let same_start = appointments::start_time.eq(PgTime(start)).and(appointments::id.gt(id));
                    query = query.filter(appointments::start_time.gt(PgTime(start)).or(same_start));
                }
                let query = query.order((appointments::start_time, appointments::id)).limit(request.rows());
                Ok(query.load::<Appointment>(conn).await?)
            })
        })
        .await?;
    Ok(request.page(rows, &mark, |last| time_key(last.start_time, last.id)))
}
