//! Appointments: booked once per idempotency key and moved one at a time per organisation, refused with a reason
//! to say.
//!
//! What is refused is decided in `booking`; here is what makes the answer true when many ask at once: a lock on
//! the organisation's row. An organisation with resources books each appointment on the first active one that is
//! free; in another, two clash when more than its capacity would overlap at one instant. Times go in and out as
//! instants; refusals speak local time. [`list`] has what they are found by.

mod list;

use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::booking::{Booked, Diary, Refusal, Room, Stretch};
use crate::opening_hours;
use crate::organisations::Organisation;
use crate::schema::{appointments, organisations as organisation_rows};
use crate::text_enum::text_enum;
use crate::time::PgTime;
use crate::{AppointmentId, CallId, Error, ResourceId, Result, Scope, Work, etag, resources};

pub use list::{AppointmentCondition, AppointmentFilter, AppointmentOrder, list};

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
    /// Differs after every change.
    pub etag: String,
    /// When it was last cancelled or moved, else when it was booked.
    #[diesel(deserialize_as = PgTime)]
    pub update_time: Timestamp,
    /// Who or what it is booked on; none where there were no resources.
    pub resource_id: Option<ResourceId>,
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

/// When an appointment shall be instead.
#[derive(Debug, Clone, Copy)]
pub struct NewTime {
    /// When it begins.
    pub start: Timestamp,
    /// How long it lasts: above zero, at most 24 h. None: as long as before.
    pub duration: Option<SignedDuration>,
}

/// How a wish to change an appointment went.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// Changed; here as it is now.
    Made(Appointment),
    /// Nothing was changed: it is cancelled already.
    AlreadyCancelled,
    /// Nothing was changed: it can't be had at the new time.
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
                match find_place(conn, &organisation, stretch, None, now).await? {
                    Ok(resource) => {
                        insert(conn, scope, &wanted, (stretch, resource)).await.map(Booking::Booked)
                    }
                    Err(refusal) => Ok(Booking::Refused(refusal)),
                }
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
    stretch(wanted.start, wanted.duration)
}

fn stretch(start: Timestamp, duration: SignedDuration) -> Result<Stretch> {
    if duration <= SignedDuration::ZERO || duration > LONGEST {
        return Err(Error::invalid("duration", "must be above zero and at most 24 hours"));
    }
    let end = start.checked_add(duration).map_err(|e| Error::invalid("start", e.to_string()))?;
    Ok(Stretch { start, end })
}

/// Makes bookings of one organisation take turns. Rows that merely refer to it don't wait.
pub(crate) async fn lock_organisation(conn: &mut Work<'_>, scope: &Scope) -> Result<Organisation> {
    let row = organisation_rows::table.find(scope.organisation()).select(Organisation::as_select());
    let locked: Option<Organisation> = row.for_no_key_update().first(conn).await.optional()?;
    locked.ok_or(Error::NotFound("organisation"))
}

async fn find_by_key(conn: &mut Work<'_>, key: &str) -> Result<Option<Appointment>> {
    let query = appointments::table.filter(appointments::idempotency_key.eq(key));
    Ok(query.select(Appointment::as_select()).first(conn).await.optional()?)
}

/// What the stretch is booked on, or why it can't be had; `moving` is the appointment that would move there.
async fn find_place(
    conn: &mut Work<'_>,
    organisation: &Organisation,
    wanted: Stretch,
    moving: Option<&Appointment>,
    now: Timestamp,
) -> Result<Result<Option<ResourceId>, Refusal>> {
    let zone = TimeZone::get(&organisation.time_zone)
        .map_err(|e| Error::Setup(format!("know the time zone {}: {e}", organisation.time_zone)))?;
    let week = opening_hours::load_hours(conn).await?;
    let booked = bookings_around(conn, wanted, moving.map(|it| it.id)).await?;
    let active = resources::active(conn).await?;
    let room = match &active {
        Some(active) => Room::Resources(active),
        None => Room::Capacity(usize::try_from(organisation.appointment_capacity).unwrap_or_default()),
    };
    let diary = Diary { zone: &zone, week: &week, room, booked: &booked };
    Ok(match diary.refusal(now, wanted) {
        Some(refusal) => Err(refusal),
        // Who moves keeps the person they know, if they can.
        None => Ok(diary.resource(wanted, moving.and_then(|it| it.resource_id))),
    })
}

/// Wide enough to hold the rest of the opening period, so that the next free time is found.
async fn bookings_around(
    conn: &mut Work<'_>,
    wanted: Stretch,
    except: Option<AppointmentId>,
) -> Result<Vec<Booked>> {
    let until = wanted.end.checked_add(LONGEST).unwrap_or(wanted.end);
    let query = appointments::table
        .filter(appointments::state.eq(AppointmentState::Booked))
        .filter(appointments::end_time.gt(PgTime(wanted.start)))
        .filter(appointments::start_time.lt(PgTime(until)))
        .select((appointments::start_time, appointments::end_time, appointments::resource_id))
        .into_boxed();
    let query = match except {
        Some(id) => query.filter(appointments::id.ne(id)),
        None => query,
    };
    let rows: Vec<(PgTime, PgTime, Option<ResourceId>)> = query.load(conn).await?;
    let booked = rows
        .into_iter()
        .map(|(start, end, resource)| Booked { stretch: Stretch { start: start.0, end: end.0 }, resource });
    Ok(booked.collect())
}

async fn insert(
    conn: &mut Work<'_>,
    scope: &Scope,
    wanted: &NewAppointment,
    (stretch, resource): (Stretch, Option<ResourceId>),
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
        appointments::resource_id.eq(resource),
    );
    let insert = diesel::insert_into(appointments::table).values(row);
    Ok(insert.returning(Appointment::as_returning()).get_result(conn).await?)
}

/// The appointment with that id.
///
/// # Errors
/// [`Error::NotFound`] when there is none.
pub async fn get(scope: &Scope, id: AppointmentId) -> Result<Appointment> {
    let found: Result<Appointment> = scope
        .run(|conn| {
            Box::pin(async move {
                Ok(appointments::table.find(id).select(Appointment::as_select()).first(conn).await?)
            })
        })
        .await;
    found.map_err(|e| e.about("appointment"))
}

/// Takes an appointment back, so that its time is free again; with `etag`, only if it is still as it was.
///
/// # Errors
/// [`Error::NotFound`] when there is none, [`Error::Conflict`] when the etag is another by now.
pub async fn cancel(scope: &Scope, id: AppointmentId, etag: Option<&str>) -> Result<Change> {
    scope
        .run(|conn| {
            Box::pin(async move {
                if lock(conn, id, etag).await?.state == AppointmentState::Cancelled {
                    return Ok(Change::AlreadyCancelled);
                }
                let change = (
                    appointments::state.eq(AppointmentState::Cancelled),
                    appointments::etag.eq(etag::new()),
                    appointments::update_time.eq(diesel::dsl::now),
                );
                let update = diesel::update(appointments::table.find(id)).set(change);
                Ok(Change::Made(update.returning(Appointment::as_returning()).get_result(conn).await?))
            })
        })
        .await
}

/// Moves an appointment by the rules of [`book`], in which it is no obstacle to itself; with `etag`, only if it is
/// still as it was. `now` is the present.
///
/// # Errors
/// [`Error::NotFound`] when there is none, [`Error::Conflict`] when the etag is another by now, [`Error::Invalid`]
/// when the new time makes no sense at any time.
pub async fn reschedule(
    scope: &Scope,
    id: AppointmentId,
    to: NewTime,
    etag: Option<&str>,
    now: Timestamp,
) -> Result<Change> {
    scope
        .run(|conn| {
            Box::pin(async move {
                let organisation = lock_organisation(conn, scope).await?;
                let old = lock(conn, id, etag).await?;
                if old.state == AppointmentState::Cancelled {
                    return Ok(Change::AlreadyCancelled);
                }
                let duration = to.duration.unwrap_or(old.end_time.duration_since(old.start_time));
                let wanted = stretch(to.start, duration)?;
                match find_place(conn, &organisation, wanted, Some(&old), now).await? {
                    Ok(resource) => move_to(conn, id, wanted, resource).await.map(Change::Made),
                    Err(refusal) => Ok(Change::Refused(refusal)),
                }
            })
        })
        .await
}

async fn move_to(
    conn: &mut Work<'_>,
    id: AppointmentId,
    stretch: Stretch,
    resource: Option<ResourceId>,
) -> Result<Appointment> {
    let change = (
        appointments::start_time.eq(PgTime(stretch.start)),
        appointments::end_time.eq(PgTime(stretch.end)),
        appointments::resource_id.eq(resource),
        appointments::etag.eq(etag::new()),
        appointments::update_time.eq(diesel::dsl::now),
    );
    let update = diesel::update(appointments::table.find(id)).set(change);
    Ok(update.returning(Appointment::as_returning()).get_result(conn).await?)
}

/// Keeps others off the row until the transaction ends, and compares etags.
async fn lock(conn: &mut Work<'_>, id: AppointmentId, etag: Option<&str>) -> Result<Appointment> {
    let query = appointments::table.find(id).select(Appointment::as_select());
    let found: Option<Appointment> = query.for_update().first(conn).await.optional()?;
    etag::check(found.as_ref().map(|row| row.etag.as_str()), etag, "appointment")?;
    found.ok_or(Error::NotFound("appointment"))
}
