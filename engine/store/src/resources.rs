//! Resources: the people and rooms that appointments are booked on.
//!
//! Which one an appointment gets is decided in [`crate::appointments`]; here they are kept. Every change takes the lock
//! that bookings take turns by, so that nobody is booked on a resource that goes at the same moment. [`list`] has what they are found by.

mod list;

use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::appointments::{AppointmentState, lock_organisation};
use crate::schema::{appointments, resources};
use crate::text_enum::text_enum;
use crate::time::PgTime;
use crate::{ResourceId, Result, Scope, Work, etag};

pub use list::{ResourceCondition, ResourceFilter, ResourceOrder, list};

text_enum!(
    /// What a resource is.
    ResourceKind {
        /// Somebody who serves the customer.
        Person = "person",
        /// A room, a table, a chair.
        Room = "room",
    }
);

text_enum!(
    /// Whether a resource takes appointments.
    ResourceState {
        /// It does.
        Active = "active",
        /// It takes no new ones and keeps those it has.
        Inactive = "inactive",
    }
);

/// A resource.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Queryable, Selectable)]
#[diesel(table_name = resources, check_for_backend(diesel::pg::Pg))]
pub struct Resource {
    /// Its id.
    pub id: ResourceId,
    /// Its name for people; not empty.
    pub display_name: String,
    /// What it is.
    pub kind: ResourceKind,
    /// Whether it takes appointments.
    pub state: ResourceState,
    /// Lower is assigned first; where equal, the older one.
    pub position: i32,
    /// Differs after every change.
    pub etag: String,
    /// When it was made.
    #[diesel(deserialize_as = PgTime)]
    pub create_time: Timestamp,
    /// When it was last changed.
    #[diesel(deserialize_as = PgTime)]
    pub update_time: Timestamp,
}

/// A resource to be made.
#[derive(Debug, Clone)]
pub struct NewResource {
    /// Its name for people; not empty.
    pub display_name: String,
    /// What it is.
    pub kind: ResourceKind,
    /// Whether it takes appointments.
    pub state: ResourceState,
    /// Lower is assigned first: 0 to 1,000,000.
    pub position: i32,
}

/// A change to a resource: what is none stays as it is.
#[derive(Debug, Clone, Default, AsChangeset)]
#[diesel(table_name = resources)]
pub struct ResourceUpdate {
    /// A new name for people.
    pub display_name: Option<String>,
    /// What it is from now on.
    pub kind: Option<ResourceKind>,
    /// Whether it takes appointments from now on.
    pub state: Option<ResourceState>,
    /// Its new place in the order.
    pub position: Option<i32>,
}

/// How a wish to delete a resource went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deletion {
    /// It is gone; appointments of the past no longer name it.
    Made,
    /// Nothing was changed: so many appointments on it are still to come.
    InUse(i64),
}

/// Makes a resource.
///
/// # Errors
/// [`Error::NotFound`](crate::Error::NotFound) when there is no such organisation.
pub async fn create(scope: &Scope, new: NewResource) -> Result<Resource> {
    scope
        .run(|conn| {
            Box::pin(async move {
                lock_organisation(conn, scope).await?;
                let row = (
                    resources::id.eq(ResourceId::new()),
                    resources::organisation_id.eq(scope.organisation()),
                    resources::display_name.eq(new.display_name),
                    resources::kind.eq(new.kind),
                    resources::state.eq(new.state),
                    resources::position.eq(new.position),
                    resources::etag.eq(etag::new()),
                );
                let insert = diesel::insert_into(resources::table).values(row);
                Ok(insert.returning(Resource::as_returning()).get_result(conn).await?)
            })
        })
        .await
}

/// The resource with that id.
///
/// # Errors
/// [`Error::NotFound`](crate::Error::NotFound) when there is none.
pub async fn get(scope: &Scope, id: ResourceId) -> Result<Resource> {
    let found: Result<Resource> = scope
        .run(|conn| {
            Box::pin(
                async move { Ok(resources::table.find(id).select(Resource::as_select()).first(conn).await?) },
            )
        })
        .await;
    found.map_err(|e| e.about("resource"))
}

/// Changes a resource; with `etag`, only if it is still as it was. Its appointments stay on it.
///
/// # Errors
/// [`Error::NotFound`](crate::Error::NotFound) when there is none, [`Error::Conflict`](crate::Error::Conflict) when
/// the etag is another by now.
pub async fn update(
    scope: &Scope,
    id: ResourceId,
    new: ResourceUpdate,
    etag: Option<&str>,
) -> Result<Resource> {
    scope
        .run(|conn| {
            Box::pin(async move {
                lock_organisation(conn, scope).await?;
                check(conn, id, etag).await?;
                let touched = (resources::etag.eq(etag::new()), resources::update_time.eq(diesel::dsl::now));
                let update = diesel::update(resources::table.find(id)).set((&new, touched));
                Ok(update.returning(Resource::as_returning()).get_result(conn).await?)
            })
        })
        .await
}

/// Deletes a resource on which nothing is still to come; with `etag`, only if it is still as it was. `now` is the
/// present.
///
/// # Errors
/// As [`update`].
pub async fn delete(scope: &Scope, id: ResourceId, etag: Option<&str>, now: Timestamp) -> Result<Deletion> {
    scope
        .run(|conn| {
            Box::pin(async move {
                lock_organisation(conn, scope).await?;
                check(conn, id, etag).await?;
                let on_it = || appointments::table.filter(appointments::resource_id.eq(id));
                let to_come = on_it()
                    .filter(appointments::state.eq(AppointmentState::Booked))
                    .filter(appointments::end_time.gt(PgTime(now)));
                let to_come: i64 = to_come.count().get_result(conn).await?;
                if to_come > 0 {
                    return Ok(Deletion::InUse(to_come));
                }
                let none = appointments::resource_id.eq(None::<ResourceId>);
                diesel::update(on_it()).set(none).execute(conn).await?;
                diesel::delete(resources::table.find(id)).execute(conn).await?;
                Ok(Deletion::Made)
            })
        })
        .await
}

async fn check(conn: &mut Work<'_>, id: ResourceId, etag: Option<&str>) -> Result<()> {
    let row = resources::table.find(id).select(resources::etag).for_update();
    let found: Option<String> = row.first(conn).await.optional()?;
    etag::check(found.as_deref(), etag, "resource")
}

/// Those that take appointments, in the order in which they are assigned; none if there are no resources at all.
pub(crate) async fn active(conn: &mut Work<'_>) -> Result<Option<Vec<ResourceId>>> {
    let rows: Vec<(ResourceId, ResourceState)> = resources::table
        .select((resources::id, resources::state))
        .order((resources::position, resources::id))
        .load(conn)
        .await?;
    if rows.is_empty() {
        return Ok(None);
    }
    Ok(Some(
        rows.into_iter().filter(|(_, state)| *state == ResourceState::Active).map(|(id, _)| id).collect(),
    ))
}
