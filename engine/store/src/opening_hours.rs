//! Opening hours: the stretches of a week in which an organisation is open, kept and replaced as a whole.
//!
//! Reached through [`crate::organisations`]. Times of day are local to the organisation's zone.

use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use serde::{Deserialize, Serialize};

use crate::schema::opening_hours;
use crate::{Error, OrganisationId, Result, Scope, Work};

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

    pub(crate) fn check(&self) -> Result<()> {
        let fits = (1..=7).contains(&self.weekday)
            && (0..1440).contains(&self.opens_minute)
            && (self.opens_minute + 1..=2880).contains(&self.closes_minute);
        if fits { Ok(()) } else { Err(Error::invalid("opening_hours", format!("{self:?} is out of range"))) }
    }
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
    crate::organisations::update(scope, Default::default(), Some(week), None).await.map(drop)
}

pub(crate) async fn load_hours(conn: &mut Work<'_>) -> Result<Vec<OpeningHours>> {
    let query = opening_hours::table.select(OpeningHours::as_select());
    Ok(query.order((opening_hours::weekday, opening_hours::opens_minute)).load(conn).await?)
}

pub(crate) async fn replace_hours(
    conn: &mut Work<'_>,
    organisation: OrganisationId,
    week: &[OpeningHours],
) -> Result<()> {
    diesel::delete(opening_hours::table).execute(conn).await?;
    insert_hours(conn, organisation, week).await
}

pub(crate) async fn insert_hours(
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
