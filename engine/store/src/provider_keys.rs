//! Organisations' own keys of vendors, as the engine has encrypted them: here they are bytes.
//!
//! One a vendor. A key that is set again is another row with another id, because its ciphertext is bound to the id.

use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use jiff::Timestamp;

use crate::schema::provider_keys as keys;
use crate::time::PgTime;
use crate::{ProviderKeyId, Result, Scope};

/// A key as it is kept.
#[derive(Debug, Clone, PartialEq, Queryable, Selectable)]
#[diesel(table_name = keys, check_for_backend(diesel::pg::Pg))]
pub struct ProviderKey {
    /// Its id.
    pub id: ProviderKeyId,
    /// Whose key it is: the vendor's name.
    pub vendor: String,
    /// Nonce and ciphertext.
    pub sealed: Vec<u8>,
    /// Which master key it was sealed with.
    pub master_key: String,
    /// The last four characters of the key, or none.
    pub hint: String,
    /// When it was set.
    #[diesel(deserialize_as = PgTime)]
    pub create_time: Timestamp,
}

/// A key to be kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewProviderKey {
    /// Its id, which it was sealed for.
    pub id: ProviderKeyId,
    /// The vendor's name.
    pub vendor: String,
    /// Nonce and ciphertext.
    pub sealed: Vec<u8>,
    /// Which master key it was sealed with.
    pub master_key: String,
    /// The last four characters of the key, or none.
    pub hint: String,
}

/// Keeps a key in place of the one the organisation has of that vendor.
///
/// # Errors
/// [`Error::Unavailable`](crate::Error::Unavailable) when the database can't be reached.
pub async fn set(scope: &Scope, new: NewProviderKey) -> Result<ProviderKey> {
    scope
        .run(|conn| {
            Box::pin(async move {
                let values = (
                    keys::id.eq(new.id),
                    keys::vendor.eq(&new.vendor),
                    keys::sealed.eq(&new.sealed),
                    keys::master_key.eq(&new.master_key),
                    keys::hint.eq(&new.hint),
                );
                let insert = diesel::insert_into(keys::table)
                    .values((keys::organisation_id.eq(scope.organisation()), values))
                    .on_conflict((keys::organisation_id, keys::vendor))
                    .do_update()
                    .set((values, keys::create_time.eq(diesel::dsl::now)))
                    .returning(ProviderKey::as_returning());
                Ok(insert.get_result(conn).await?)
            })
        })
        .await
}

/// The organisation's keys, by vendor.
///
/// # Errors
/// [`Error::Unavailable`](crate::Error::Unavailable) when the database can't be reached.
pub async fn list(scope: &Scope) -> Result<Vec<ProviderKey>> {
    let query = || keys::table.order(keys::vendor).select(ProviderKey::as_select());
    scope.run(|conn| Box::pin(async move { Ok(query().load(conn).await?) })).await
}

/// Seals a key anew that is still the one with that id; whether it is.
///
/// # Errors
/// [`Error::Unavailable`](crate::Error::Unavailable) when the database can't be reached.
pub async fn reseal(scope: &Scope, id: ProviderKeyId, sealed: &[u8], master_key: &str) -> Result<bool> {
    let update =
        diesel::update(keys::table.find(id)).set((keys::sealed.eq(sealed), keys::master_key.eq(master_key)));
    scope.run(|conn| Box::pin(async move { Ok(update.execute(conn).await? == 1) })).await
}

/// Deletes the organisation's key of a vendor; whether there was one.
///
/// # Errors
/// [`Error::Unavailable`](crate::Error::Unavailable) when the database can't be reached.
pub async fn delete(scope: &Scope, vendor: &str) -> Result<bool> {
    let delete = diesel::delete(keys::table.filter(keys::vendor.eq(vendor)));
    scope.run(|conn| Box::pin(async move { Ok(delete.execute(conn).await? == 1) })).await
}
