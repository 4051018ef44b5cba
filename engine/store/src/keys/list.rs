//! Lists of keys: what they are filtered by. Enter at [`list`].

use diesel::pg::Pg;
use diesel::prelude::*;
use diesel_async::RunQueryDsl;

use super::ApiKey;
use crate::lists::within;
use crate::page::foreign_token;
use crate::schema::api_keys;
use crate::{KeyId, Page, PageRequest, Range, Result, Scope};

/// Which keys to list, and in which order.
#[derive(Debug, Clone, Default)]
pub struct KeyFilter {
    /// Only those that fulfil all of these.
    pub conditions: Vec<KeyCondition>,
    /// The newest first.
    pub descending: bool,
}

/// What a key must fulfil.
#[derive(Debug, Clone, PartialEq)]
pub enum KeyCondition {
    /// It has this scope.
    Scope(String),
    /// Whether it is revoked.
    Revoked(bool),
    /// It was made in this time.
    Created(Range),
}

type Keys<'a> = api_keys::BoxedQuery<'a, Pg>;

/// A page of the keys, oldest first unless the filter has another order, revoked ones too.
///
/// # Errors
/// [`Error::Invalid`](crate::Error::Invalid) when the page token is not from this list with this filter and order.
pub async fn list(scope: &Scope, filter: &KeyFilter, request: &PageRequest) -> Result<Page<ApiKey>> {
    let mark = format!("api keys {filter:?}");
    let after = request.after(&mark)?;
    let after: Option<KeyId> = after.map(|id| id.parse().map_err(|_| foreign_token())).transpose()?;
    let rows = scope
        .run(|conn| {
            Box::pin(async move {
                let query = filter.conditions.iter().fold(api_keys::table.into_boxed(), fulfilling);
                let query = in_order(query, after, filter.descending).select(ApiKey::as_select());
                Ok(query.limit(request.rows()).load::<ApiKey>(conn).await?)
            })
        })
        .await?;
    Ok(request.page(rows, &mark, |last| last.id.to_string()))
}

/// The ids are in the order of their making.
fn in_order(query: Keys<'_>, after: Option<KeyId>, descending: bool) -> Keys<'_> {
    match (after, descending) {
        (None, false) => query.order(api_keys::id),
        (None, true) => query.order(api_keys::id.desc()),
        (Some(last), false) => query.filter(api_keys::id.gt(last)).order(api_keys::id),
        (Some(last), true) => query.filter(api_keys::id.lt(last)).order(api_keys::id.desc()),
    }
}

fn fulfilling<'a>(query: Keys<'a>, condition: &'a KeyCondition) -> Keys<'a> {
    match condition {
        KeyCondition::Scope(scope) => query.filter(api_keys::scopes.contains(vec![scope.as_str()])),
        KeyCondition::Revoked(true) => query.filter(api_keys::revoke_time.is_not_null()),
        KeyCondition::Revoked(false) => query.filter(api_keys::revoke_time.is_null()),
        KeyCondition::Created(range) => within!(query, api_keys::create_time, range),
    }
}
