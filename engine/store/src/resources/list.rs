//! Lists of resources: what they are filtered and ordered by. Enter at [`list`].

use diesel::pg::Pg;
use diesel::prelude::*;
use diesel_async::RunQueryDsl;

use super::{Resource, ResourceKind, ResourceState};
use crate::lists::{ordered, within};
use crate::page::{foreign_token, parse_time_key, time_key};
use crate::schema::resources;
use crate::time::PgTime;
use crate::{Page, PageRequest, Range, ResourceId, Result, Scope};

/// Which resources to list, and in which order.
#[derive(Debug, Clone, Default)]
pub struct ResourceFilter {
    /// Only those in this state.
    pub state: Option<ResourceState>,
    /// Only those that fulfil all of these too.
    pub conditions: Vec<ResourceCondition>,
    /// In which order.
    pub order: ResourceOrder,
    /// The last first.
    pub descending: bool,
}

/// What a resource must fulfil.
#[derive(Debug, Clone, PartialEq)]
pub enum ResourceCondition {
    /// It is in this state.
    State(ResourceState),
    /// It is of this kind.
    Kind(ResourceKind),
    /// It was made in this time.
    Created(Range),
}

/// The order of a list.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ResourceOrder {
    /// That in which they are assigned.
    #[default]
    Position,
    /// By when they were made.
    CreateTime,
    /// By their name for people, as the database sorts words.
    DisplayName,
}

type Resources<'a> = resources::BoxedQuery<'a, Pg>;

/// A page of the resources, in the order in which they are assigned unless the filter has another.
///
/// # Errors
/// [`Error::Invalid`](crate::Error::Invalid) when the page token is not from this list with this filter and order.
pub async fn list(scope: &Scope, filter: &ResourceFilter, request: &PageRequest) -> Result<Page<Resource>> {
    let mark = format!("resources {filter:?}");
    let after = request.after(&mark)?;
    let rows = scope
        .run(|conn| {
            Box::pin(async move {
                let query = in_order(matching(filter), filter, after)?.select(Resource::as_select());
                Ok(query.limit(request.rows()).load::<Resource>(conn).await?)
            })
        })
        .await?;
    let key = |last: &Resource| match filter.order {
        ResourceOrder::Position => format!("{} {}", last.position, last.id),
        ResourceOrder::CreateTime => time_key(last.create_time, last.id),
        ResourceOrder::DisplayName => format!("{} {}", last.id, last.display_name),
    };
    Ok(request.page(rows, &mark, key))
}

fn in_order<'a>(
    query: Resources<'a>,
    filter: &ResourceFilter,
    after: Option<String>,
) -> Result<Resources<'a>> {
    use resources::{create_time, display_name, id, position};
    Ok(match filter.order {
        ResourceOrder::Position => {
            let after = after.map(|key| position_of(&key).ok_or_else(foreign_token)).transpose()?;
            ordered!(query, (position, id), after, filter.descending)
        }
        ResourceOrder::CreateTime => {
            let after = after.map(|key| parse_time_key::<ResourceId>(&key)).transpose()?;
            let after = after.map(|(at, last)| (PgTime(at), last));
            ordered!(query, (create_time, id), after, filter.descending)
        }
        ResourceOrder::DisplayName => {
            let after = after.map(|key| name_of(&key).ok_or_else(foreign_token)).transpose()?;
            ordered!(query, (display_name, id), after, filter.descending)
        }
    })
}

fn position_of(key: &str) -> Option<(i32, ResourceId)> {
    let (position, id) = key.split_once(' ')?;
    Some((position.parse().ok()?, id.parse().ok()?))
}

fn name_of(key: &str) -> Option<(String, ResourceId)> {
    let (id, name) = key.split_once(' ')?;
    Some((name.to_owned(), id.parse().ok()?))
}

fn matching(filter: &ResourceFilter) -> Resources<'_> {
    let mut query = resources::table.into_boxed();
    if let Some(state) = filter.state {
        query = query.filter(resources::state.eq(state));
    }
    filter.conditions.iter().fold(query, |query, condition| match condition {
        ResourceCondition::State(state) => query.filter(resources::state.eq(state)),
        ResourceCondition::Kind(kind) => query.filter(resources::kind.eq(kind)),
        ResourceCondition::Created(range) => within!(query, resources::create_time, range),
    })
}
