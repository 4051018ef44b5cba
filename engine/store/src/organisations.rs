//! Organisations: the tenants, what they say of themselves, when they are open and how much they may use.
//!
//! One organisation, [`OrganisationId::DEFAULT`], is made when a store is first opened; it is the operator's, and what
//! that means is decided by the front desk. The times of day here are local to the organisation's zone; what a booking
//! makes of them is decided in [`crate::appointments`], what quotas refuse in [`crate::quotas`].

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Nullable, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::keys::NewApiKey;
use crate::opening_hours::{insert_hours, load_hours, replace_hours};
use crate::page::foreign_token;
use crate::schema::organisations;
use crate::time::PgTime;
use crate::{Error, OrganisationId, Page, PageRequest, Result, Scope, Store, Work, etag, keys};

pub use crate::opening_hours::{OpeningHours, opening_hours, set_opening_hours};

/// The longest instructions, characters.
pub const INSTRUCTIONS_MAX: usize = 8_000;

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
    /// How many appointments may overlap at any instant, at least 1. Default 1. Does not count where there are
    /// resources.
    pub appointment_capacity: i32,
    /// When it was made.
    #[diesel(deserialize_as = PgTime)]
    pub create_time: Timestamp,
    /// When it was last changed.
    #[diesel(deserialize_as = PgTime)]
    pub update_time: Timestamp,
    /// Business rules and persona, part of every prompt of a language model.
    pub instructions: String,
    /// Differs after every change.
    pub etag: String,
    /// How many calls may live at once; 0 is no limit of its own.
    pub sessions_max: i32,
    /// How many calls may be made in any 60 s; 0 is no limit of its own.
    pub calls_per_minute: i32,
}

/// An organisation with its week.
#[derive(Debug, Clone, PartialEq)]
pub struct Profile {
    /// The organisation.
    pub organisation: Organisation,
    /// When it is open, Monday first.
    pub opening_hours: Vec<OpeningHours>,
}

/// A change to an organisation: what is none stays as it is.
#[derive(Debug, Clone, Default, AsChangeset)]
#[diesel(table_name = organisations)]
pub struct OrganisationUpdate {
    /// A new name for people.
    pub display_name: Option<String>,
    /// Another time zone by its IANA name.
    pub time_zone: Option<String>,
    /// How many appointments may overlap, at least 1.
    pub appointment_capacity: Option<i32>,
    /// Other instructions, at most [`INSTRUCTIONS_MAX`] characters.
    pub instructions: Option<String>,
    /// How many calls may live at once; 0 is no limit of its own.
    pub sessions_max: Option<i32>,
    /// How many calls may be made in any 60 s; 0 is no limit of its own.
    pub calls_per_minute: Option<i32>,
}

impl OrganisationUpdate {
    fn check(&self) -> Result<()> {
        if let Some(zone) = &self.time_zone {
            jiff::tz::TimeZone::get(zone).map_err(|e| Error::invalid("time_zone", e.to_string()))?;
        }
        if self.appointment_capacity.is_some_and(|capacity| capacity < 1) {
            return Err(Error::invalid("appointment_capacity", "must be at least 1"));
        }
        if self.instructions.as_ref().is_some_and(|text| text.chars().count() > INSTRUCTIONS_MAX) {
            return Err(Error::invalid(
                "instructions",
                format!("must be at most {INSTRUCTIONS_MAX} characters"),
            ));
        }
        for (field, quota) in
            [("sessions_max", self.sessions_max), ("calls_per_minute", self.calls_per_minute)]
        {
            if quota.is_some_and(|quota| quota < 0) {
                return Err(Error::invalid(field, "must not be negative"));
            }
        }
        Ok(())
    }
}

/// The scope's organisation.
///
/// # Errors
/// [`Error::NotFound`] when there is none with that id.
pub async fn get(scope: &Scope) -> Result<Organisation> {
    let found: Result<Organisation> =
        scope.run(|conn| Box::pin(async move { find(conn, scope.organisation()).await })).await;
    found.map_err(|e| e.about("organisation"))
}

/// The scope's organisation with its week.
///
/// # Errors
/// [`Error::NotFound`] when there is none with that id.
pub async fn profile(scope: &Scope) -> Result<Profile> {
    let found: Result<Profile> = scope
        .run(|conn| {
            Box::pin(async move {
                let organisation = find(conn, scope.organisation()).await?;
                Ok(Profile { organisation, opening_hours: load_hours(conn).await? })
            })
        })
        .await;
    found.map_err(|e| e.about("organisation"))
}

async fn find(conn: &mut Work<'_>, id: OrganisationId) -> Result<Organisation> {
    Ok(organisations::table.find(id).select(Organisation::as_select()).first(conn).await?)
}

/// Makes an organisation with its week and a first key that has the scope `admin`.
///
/// # Errors
/// [`Error::Invalid`] names what can't be; nothing is made then.
pub async fn create(
    store: &Store,
    new: OrganisationUpdate,
    week: &[OpeningHours],
) -> Result<(Profile, NewApiKey)> {
    new.check()?;
    week.iter().try_for_each(OpeningHours::check)?;
    let scope = &store.scope(OrganisationId::new());
    let secret = keys::new_secret()?;
    let kept = secret.as_str();
    let made: Result<(Profile, keys::ApiKey)> = scope
        .run(|conn| {
            Box::pin(async move {
                let id = scope.organisation();
                let name = new.display_name.clone().unwrap_or_default();
                let row = (organisations::id.eq(id), organisations::display_name.eq(name));
                diesel::insert_into(organisations::table).values(row).execute(conn).await?;
                let organisation = change(conn, id, &new).await?.ok_or(Error::NotFound("organisation"))?;
                insert_hours(conn, id, week).await?;
                let scopes = [keys::ADMIN.to_owned()];
                let key =
                    keys::insert(conn, id, kept, keys::NewKey { display_name: "First key", scopes: &scopes });
                let key = key.await?;
                Ok((Profile { organisation, opening_hours: load_hours(conn).await? }, key))
            })
        })
        .await;
    let (profile, key) = made.map_err(doubled_hours)?;
    Ok((profile, NewApiKey { secret, key }))
}

/// Changes the scope's organisation, and its week if one is given; with `etag`, only if it is still as it was.
///
/// # Errors
/// [`Error::Invalid`] names what can't be, [`Error::NotFound`] when there is no such organisation,
/// [`Error::Conflict`] when the etag is another by now.
pub async fn update(
    scope: &Scope,
    new: OrganisationUpdate,
    week: Option<&[OpeningHours]>,
    etag: Option<&str>,
) -> Result<Profile> {
    new.check()?;
    week.unwrap_or_default().iter().try_for_each(OpeningHours::check)?;
    let changed: Result<Profile> = scope
        .run(|conn| {
            Box::pin(async move {
                let id = scope.organisation();
                let row = organisations::table.find(id).select(organisations::etag).for_no_key_update();
                let found: Option<String> = row.first(conn).await.optional()?;
                etag::check(found.as_deref(), etag, "organisation")?;
                if let Some(week) = week {
                    replace_hours(conn, id, week).await?;
                }
                let organisation = change(conn, id, &new).await?.ok_or(Error::NotFound("organisation"))?;
                Ok(Profile { organisation, opening_hours: load_hours(conn).await? })
            })
        })
        .await;
    changed.map_err(doubled_hours)
}

/// The one thing of an organisation that can be there twice.
fn doubled_hours(error: Error) -> Error {
    match error {
        Error::AlreadyExists(_) => Error::invalid("opening_hours", "two stretches of a day begin together"),
        other => other,
    }
}

async fn change(
    conn: &mut Work<'_>,
    id: OrganisationId,
    new: &OrganisationUpdate,
) -> Result<Option<Organisation>> {
    let touched = (organisations::etag.eq(etag::new()), organisations::update_time.eq(diesel::dsl::now));
    let update = diesel::update(organisations::table.find(id)).set((new, touched));
    Ok(update.returning(Organisation::as_returning()).get_result(conn).await.optional()?)
}

/// Sets the time zone by its IANA name.
///
/// # Errors
/// [`Error::Invalid`] when there is no such zone, [`Error::NotFound`] when there is no such organisation.
pub async fn set_time_zone(scope: &Scope, name: &str) -> Result<()> {
    let new = OrganisationUpdate { time_zone: Some(name.to_owned()), ..Default::default() };
    update(scope, new, None, None).await.map(drop)
}

/// Sets how many appointments may overlap at any instant.
///
/// # Errors
/// [`Error::Invalid`] below 1, [`Error::NotFound`] when there is no such organisation.
pub async fn set_appointment_capacity(scope: &Scope, capacity: i32) -> Result<()> {
    let new = OrganisationUpdate { appointment_capacity: Some(capacity), ..Default::default() };
    update(scope, new, None, None).await.map(drop)
}

/// A page of all organisations, oldest first. For the operator alone.
///
/// # Errors
/// [`Error::Invalid`] when the page token is not from this list.
pub async fn list(store: &Store, request: &PageRequest) -> Result<Page<Profile>> {
    const QUERY: &str = "organisations";
    let after = request.after(QUERY)?;
    let after: Option<OrganisationId> =
        after.map(|id| id.parse().map_err(|_| foreign_token())).transpose()?;
    let rows = request.rows();
    let ids: Vec<Listed> = store
        .run_without_organisation(|conn| {
            Box::pin(async move {
                let query = diesel::sql_query("SELECT id FROM list_organisations($1, $2)");
                let query = query.bind::<Nullable<SqlUuid>, _>(after).bind::<BigInt, _>(rows);
                Ok(query.load(conn).await?)
            })
        })
        .await?;
    let page = request.page(ids, QUERY, |last| last.id.to_string());
    let mut items = Vec::with_capacity(page.items.len());
    for listed in page.items {
        items.push(profile(&store.scope(listed.id)).await?);
    }
    Ok(Page { items, next_token: page.next_token })
}

#[derive(QueryableByName)]
struct Listed {
    #[diesel(sql_type = SqlUuid)]
    id: OrganisationId,
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
