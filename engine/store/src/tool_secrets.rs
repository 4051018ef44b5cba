//! Organisations' secrets that tools name, as the engine has encrypted them: here they are bytes.
//!
//! One a name. A secret that is set again is the same row with another id, because its ciphertext is bound to the id.

use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use jiff::Timestamp;

use crate::schema::tool_secrets as secrets;
use crate::time::PgTime;
use crate::{Page, PageRequest, Result, Scope, ToolSecretId};

/// A secret, without it.
#[derive(Debug, Clone, PartialEq, Eq, Queryable, Selectable)]
#[diesel(table_name = secrets, check_for_backend(diesel::pg::Pg))]
pub struct ToolSecret {
    /// What tools call it.
    pub name: String,
    /// When it was first set.
    #[diesel(deserialize_as = PgTime)]
    pub create_time: Timestamp,
    /// When it was last set.
    #[diesel(deserialize_as = PgTime)]
    pub update_time: Timestamp,
}

/// A secret's ciphertext.
#[derive(Debug, Clone, PartialEq, Eq, Queryable, Selectable)]
#[diesel(table_name = secrets, check_for_backend(diesel::pg::Pg))]
pub struct SealedToolSecret {
    /// The row's id, which it was sealed for.
    pub id: ToolSecretId,
    /// Nonce and ciphertext.
    pub sealed: Vec<u8>,
    /// Which master key it was sealed with.
    pub master_key: String,
}

/// Keeps a secret in place of the one the organisation has of that name.
///
/// # Errors
/// [`Error::Unavailable`](crate::Error::Unavailable) when the database can't be reached.
pub async fn set(scope: &Scope, name: &str, new: SealedToolSecret) -> Result<ToolSecret> {
    scope
        .run(|conn| {
            Box::pin(async move {
                let values = (
                    secrets::id.eq(new.id),
                    secrets::sealed.eq(&new.sealed),
                    secrets::master_key.eq(&new.master_key),
                );
                let insert = diesel::insert_into(secrets::table)
                    .values((
                        secrets::organisation_id.eq(scope.organisation()),
                        secrets::name.eq(name),
                        values,
                    ))
                    .on_conflict((secrets::organisation_id, secrets::name))
                    .do_update()
                    .set((values, secrets::update_time.eq(diesel::dsl::now)))
                    .returning(ToolSecret::as_returning());
                Ok(insert.get_result(conn).await?)
            })
        })
        .await
}

/// The organisation's secret of that name; none if it has none.
///
/// # Errors
/// [`Error::Unavailable`](crate::Error::Unavailable) when the database can't be reached.
pub async fn find(scope: &Scope, name: &str) -> Result<Option<SealedToolSecret>> {
    let query = || secrets::table.filter(secrets::name.eq(name)).select(SealedToolSecret::as_select());
    scope.run(|conn| Box::pin(async move { Ok(query().get_result(conn).await.optional()?) })).await
}

/// A page of the organisation's secrets, by name.
///
/// # Errors
/// [`Error::Invalid`](crate::Error::Invalid) for a page token that is not of this list.
pub async fn list(scope: &Scope, page: &PageRequest) -> Result<Page<ToolSecret>> {
    const MARK: &str = "tool secrets";
    let after = page.after(MARK)?;
    let query = || {
        let mut query = secrets::table.order(secrets::name).limit(page.rows()).into_boxed();
        if let Some(last) = after {
            query = query.filter(secrets::name.gt(last));
        }
        query.select(ToolSecret::as_select())
    };
    let rows = scope.run(|conn| Box::pin(async move { Ok(query().load(conn).await?) })).await?;
    Ok(page.page(rows, MARK, |secret: &ToolSecret| secret.name.clone()))
}

/// Seals a secret anew that is still the one with that id; whether it is.
///
/// # Errors
/// [`Error::Unavailable`](crate::Error::Unavailable) when the database can't be reached.
pub async fn reseal(scope: &Scope, id: ToolSecretId, sealed: &[u8], master_key: &str) -> Result<bool> {
    let update = diesel::update(secrets::table.find(id))
        .set((secrets::sealed.eq(sealed), secrets::master_key.eq(master_key)));
    scope.run(|conn| Box::pin(async move { Ok(update.execute(conn).await? == 1) })).await
}

/// Deletes the organisation's secret of that name; whether there was one.
///
/// # Errors
/// [`Error::Unavailable`](crate::Error::Unavailable) when the database can't be reached.
pub async fn delete(scope: &Scope, name: &str) -> Result<bool> {
    let delete = diesel::delete(secrets::table.filter(secrets::name.eq(name)));
    scope.run(|conn| Box::pin(async move { Ok(delete.execute(conn).await? == 1) })).await
}
