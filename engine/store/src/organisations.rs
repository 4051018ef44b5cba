//! Organisations: the tenants, their time zone, opening hours and how many appointments they take at once.
//!
//! One organisation, [`OrganisationId::DEFAULT`], is made when a store is first opened. The times of day here
//! are local to the organisation's zone; what a booking makes of them is decided in [`crate::appointments`].

use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::schema::{opening_hours, organisations};
use crate::time::PgTime;
use crate::{Error, OrganisationId, Result, Scope, Work};

/// An organisation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Queryable, Selectable)]
#[diesel(table_name = organisations, check_for_backend(diesel::pg::Pg))]
pub struct Organisation {
    /// Its id.
    pub id: OrganisationId,
    /// Its name for people.
    pub display_name: String,
    /// The IANA name of its time zone, such as `Europe/Berlin`. Default `UTC`.
    pub time_zone: String,
    /// How many appointments may overlap at any instant, at least 1. Default 1.
    pub appointment_capacity: i32,
    /// When it was made.
    #[diesel(deserialize_as = PgTime)]
    pub create_time: Timestamp,
    /// When it was last changed.
    #[diesel(deserialize_as = PgTime)]
    pub update_time: Timestamp,
}

/// A stretch of one weekday in which the organisation is open. A weekday may have several.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Queryable, Selectable)]
#[diesel(table_name = opening_hours, check_for_backend(diesel::pg::Pg))]
pub struct OpeningHours {
    /// ISO weekday: 1 is Monday, 7 is Sunday.
    pub weekday: i16,
    /// Minutes after local midnight, 0 to 1439.
    pub opens_minute: i16,
    /// Minutes after local midnight of the same weekday, at most 2880: above 1440 is the next morning.
    pub closes_minute: i16,
}

impl OpeningHours {
    /// Every day from 11:00 to 22:00: what a new organisation begins with.
    pub fn default_week() -> Vec<Self> {
        (1..=7).map(|weekday| Self { weekday, opens_minute: 11 * 60, closes_minute: 22 * 60 }).collect()
    }

    fn check(&self) -> Result<()> {
        let fits = (1..=7).contains(&self.weekday)
            && (0..1440).contains(&self.opens_minute)
            && (self.opens_minute + 1..=2880).contains(&self.closes_minute);
        if fits { Ok(()) } else { Err(Error::invalid("opening_hours", format!("{self:?} is out of range"))) }
    }
}

/// The scope's organisation.
///
/// # Errors
/// [`Error::NotFound`] when there is none with that id.
pub async fn get(scope: &Scope) -> Result<Organisation> {
    let found: Result<Organisation> = scope
        .run(|conn| {
            Box::pin(async move {
                let query = organisations::table.select(Organisation::as_select());
                Ok(query.filter(organisations::id.eq(scope.organisation())).first(conn).await?)
            })
        })
        .await;
    found.map_err(|e| e.about("organisation"))
}

/// Sets the time zone by its IANA name.
///
/// # Errors
/// [`Error::Invalid`] when there is no such zone, [`Error::NotFound`] when there is no such organisation.
pub async fn set_time_zone(scope: &Scope, name: &str) -> Result<()> {
    jiff::tz::TimeZone::get(name).map_err(|e| Error::invalid("time_zone", e.to_string()))?;
    change(scope, Change { time_zone: Some(name), appointment_capacity: None }).await
}

/// Sets how many appointments may overlap at any instant.
///
/// # Errors
/// [`Error::Invalid`] below 1, [`Error::NotFound`] when there is no such organisation.
pub async fn set_appointment_capacity(scope: &Scope, capacity: i32) -> Result<()> {
    if capacity < 1 {
        return Err(Error::invalid("appointment_capacity", "must be at least 1"));
    }
    change(scope, Change { time_zone: None, appointment_capacity: Some(capacity) }).await
}

#[derive(AsChangeset)]
#[diesel(table_name = organisations)]
struct Change<'a> {
    time_zone: Option<&'a str>,
    appointment_capacity: Option<i32>,
}

async fn change(scope: &Scope, change: Change<'_>) -> Result<()> {
    let changed = scope
        .run(|conn| {
            Box::pin(async move {
                let row = organisations::table.find(scope.organisation());
                let touched = organisations::update_time.eq(diesel::dsl::now);
                Ok(diesel::update(row).set((&change, touched)).execute(conn).await?)
            })
        })
        .await?;
    if changed == 0 { Err(Error::NotFound("organisation")) } else { Ok(()) }
}

/// The week's opening hours, Monday first.
///
/// # Errors
/// [`Error::Unavailable`] when the database can't be reached.
pub async fn opening_hours(scope: &Scope) -> Result<Vec<OpeningHours>> {
    scope.run(|conn| Box::pin(async move { load_hours(conn).await })).await
}

/// Replaces the week's opening hours; none at all means closed for good.
///
/// # Errors
/// [`Error::Invalid`] when a stretch is out of range or two begin together; nothing is changed then.
pub async fn set_opening_hours(scope: &Scope, week: &[OpeningHours]) -> Result<()> {
    week.iter().try_for_each(OpeningHours::check)?;
    let replaced = scope
        .run(|conn| {
            Box::pin(async move {
                diesel::delete(opening_hours::table).execute(conn).await?;
                insert_hours(conn, scope.organisation(), week).await
            })
        })
        .await;
    replaced.map_err(|error| match error {
        Error::AlreadyExists(_) => Error::invalid("opening_hours", "two stretches of a day begin together"),
        other => other,
    })
}

pub(crate) async fn load_hours(conn: &mut Work<'_>) -> Result<Vec<OpeningHours>> {
    let query = opening_hours::table.select(OpeningHours::as_select());
    Ok(query.order((opening_hours::weekday, opening_hours::opens_minute)).load(conn).await?)
}

async fn insert_hours(
    conn: &mut Work<'_>,
    organisation: OrganisationId,
    week: &[OpeningHours],
) -> Result<()> {
    let rows: Vec<_> = week
        .iter()
        .map(|hours| {
            (
                opening_hours::organisation_id.eq(organisation),
                opening_hours::weekday.eq(hours.weekday),
                opening_hours::opens_minute.eq(hours.opens_minute),
                opening_hours::closes_minute.eq(hours.closes_minute),
            )
        })
        .collect();
    diesel::insert_into(opening_hours::table).values(rows).execute(conn).await?;
    Ok(())
}

/// Makes the scope's organisation with the usual hours, unless it is there.
pub(crate) async fn ensure_default(scope: &Scope) -> Result<()> {
    scope
        .run(|conn| {
            Box::pin(async move {
                let new = (
                    organisations::id.eq(scope.organisation()),
                    organisations::display_name.eq("Default organisation"),
                );
                let insert = diesel::insert_into(organisations::table).values(new).on_conflict_do_nothing();
                if insert.execute(conn).await? == 1 {
                    insert_hours(conn, scope.organisation(), &OpeningHours::default_week()).await?;
                }
                Ok(())
            })
        })
        .await
}
