//! API keys: made here, shown once, kept only as a hash.
//!
//! A secret is `pk_` and 43 characters of base 62, some 256 random bits, so a plain SHA-256 is enough and the
//! look-up by it tells a timing attacker nothing useful. What a scope allows is not decided here; only that the last key
//! with the scope [`ADMIN`] stays, because nobody could make another. [`list`] has what keys are found by.

mod list;

use diesel::prelude::*;
use diesel::sql_types::{Array, Binary, Text, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::schema::{api_keys, organisations};
use crate::time::{PgTime, PgTimeOrNull};
use crate::{Error, KeyId, OrganisationId, Result, Scope, Store, Work};

pub use list::{KeyCondition, KeyFilter, list};

/// The scope that allows everything.
pub const ADMIN: &str = "admin";

const SECRET_CHARACTERS: usize = 43;
const SHOWN_CHARACTERS: usize = 8;
const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// A key as it is kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Queryable, Selectable)]
#[diesel(table_name = api_keys, check_for_backend(diesel::pg::Pg))]
pub struct ApiKey {
    /// Its id.
    pub id: KeyId,
    /// The first characters of the secret, for people to tell keys apart.
    #[diesel(column_name = key_prefix)]
    pub prefix: String,
    /// What it may be used for.
    pub scopes: Vec<String>,
    /// When it was made.
    #[diesel(deserialize_as = PgTime)]
    pub create_time: Timestamp,
    /// When it was revoked; none if it was not.
    #[diesel(deserialize_as = PgTimeOrNull)]
    pub revoke_time: Option<Timestamp>,
    /// Its name for people; may be empty.
    pub display_name: String,
    /// When it was last used, at most a minute behind; none if it was not.
    #[diesel(deserialize_as = PgTimeOrNull)]
    pub last_use_time: Option<Timestamp>,
}

/// A key to be made.
#[derive(Debug, Clone, Copy)]
pub struct NewKey<'a> {
    /// Its name for people; may be empty.
    pub display_name: &'a str,
    /// What it may be used for.
    pub scopes: &'a [String],
}

/// How a wish to revoke a key went.
#[derive(Debug, Clone, PartialEq)]
pub enum Revocation {
    /// It opens nothing any more.
    Made(ApiKey),
    /// Nothing was changed: it is the organisation's last with the scope [`ADMIN`].
    LastAdmin,
}

/// A key just made, with the secret that can't be had again. Debug output hides the secret.
#[derive(Clone)]
pub struct NewApiKey {
    /// What a client presents.
    pub secret: String,
    /// The key as it is kept.
    pub key: ApiKey,
}

impl std::fmt::Debug for NewApiKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NewApiKey").field("key", &self.key).finish_non_exhaustive()
    }
}

/// Who a secret belongs to.
#[derive(Debug, Clone, PartialEq, Eq, QueryableByName)]
pub struct KeyOwner {
    /// The key.
    #[diesel(sql_type = SqlUuid)]
    pub key_id: KeyId,
    /// The organisation whose rows it opens.
    #[diesel(sql_type = SqlUuid, column_name = organisation_id)]
    pub organisation: OrganisationId,
    /// What it may be used for.
    #[diesel(sql_type = Array<Text>)]
    pub scopes: Vec<String>,
}

/// Makes a nameless key for the scope's organisation.
///
/// # Errors
/// [`Error::Unavailable`] when the database can't be reached; no key was made as far as anybody can tell.
pub async fn create(scope: &Scope, scopes: &[String]) -> Result<NewApiKey> {
    create_named(scope, NewKey { display_name: "", scopes }).await
}

/// Makes a key for the scope's organisation.
///
/// # Errors
/// As [`create`]; [`Error::NotFound`] when there is no such organisation.
pub async fn create_named(scope: &Scope, new: NewKey<'_>) -> Result<NewApiKey> {
    let secret = new_secret()?;
    let kept = secret.as_str();
    let key = scope
        .run(|conn| Box::pin(async move { insert(conn, scope.organisation(), kept, new).await }))
        .await
        .map_err(|e| e.about("organisation"))?;
    Ok(NewApiKey { secret, key })
}

/// Makes the organisation's first key, or gives none when it has had one already. Of nodes that start together,
/// one gets the key.
///
/// # Errors
/// [`Error::NotFound`] when there is no such organisation.
pub async fn create_first(scope: &Scope, scopes: &[String]) -> Result<Option<NewApiKey>> {
    let secret = new_secret()?;
    let kept = secret.as_str();
    let made = scope
        .run(|conn| {
            Box::pin(async move {
                // Under the lock the second of two nodes sees the first one's key.
                let row = organisations::table.find(scope.organisation()).select(organisations::id);
                row.for_no_key_update().first::<OrganisationId>(conn).await?;
                let keys: i64 = api_keys::table.count().get_result(conn).await?;
                if keys > 0 {
                    return Ok(None);
                }
                let new = NewKey { display_name: "First key", scopes };
                insert(conn, scope.organisation(), kept, new).await.map(Some)
            })
        })
        .await
        .map_err(|e| e.about("organisation"))?;
    Ok(made.map(|key| NewApiKey { secret, key }))
}

/// Finds who a secret belongs to. Anything at all may be given: what is no key is looked up like a key.
///
/// # Errors
/// [`Error::Unavailable`] when the database can't be reached.
pub async fn find(store: &Store, secret: &str) -> Result<Option<KeyOwner>> {
    let hash = hash(secret);
    store
        .run_without_organisation(|conn| {
            Box::pin(async move {
                let query = diesel::sql_query("SELECT key_id, organisation_id, scopes FROM find_api_key($1)");
                Ok(query.bind::<Binary, _>(hash).get_result(conn).await.optional()?)
            })
        })
        .await
}

/// Notes that a key was used now. Does nothing for a key that is gone.
///
/// # Errors
/// [`Error::Unavailable`] when the database can't be reached.
pub async fn touch(scope: &Scope, id: KeyId) -> Result<()> {
    let update = diesel::update(api_keys::table.find(id)).set(api_keys::last_use_time.eq(diesel::dsl::now));
    scope.run(|conn| Box::pin(async move { Ok(update.execute(conn).await.map(drop)?) })).await
}

/// The key with that id.
///
/// # Errors
/// [`Error::NotFound`] when there is none.
pub async fn get(scope: &Scope, id: KeyId) -> Result<ApiKey> {
    let found: Result<ApiKey> = scope
        .run(|conn| {
            Box::pin(
                async move { Ok(api_keys::table.find(id).select(ApiKey::as_select()).first(conn).await?) },
            )
        })
        .await;
    found.map_err(|e| e.about("key"))
}

/// Revokes a key for good; one that is revoked stays as it is.
///
/// # Errors
/// [`Error::NotFound`] when there is none.
pub async fn revoke(scope: &Scope, id: KeyId) -> Result<Revocation> {
    let revoked: Result<Revocation> = scope
        .run(|conn| {
            Box::pin(async move {
                // Under the lock two that revoke each other's last fellow take turns.
                let row = organisations::table.find(scope.organisation()).select(organisations::id);
                row.for_no_key_update().first::<OrganisationId>(conn).await?;
                let key: ApiKey = api_keys::table.find(id).select(ApiKey::as_select()).first(conn).await?;
                if key.revoke_time.is_some() {
                    return Ok(Revocation::Made(key));
                }
                if key.scopes.iter().any(|scope| scope == ADMIN) && admins(conn).await? <= 1 {
                    return Ok(Revocation::LastAdmin);
                }
                let update = diesel::update(api_keys::table.find(id))
                    .set(api_keys::revoke_time.eq(diesel::dsl::now))
                    .returning(ApiKey::as_returning());
                Ok(Revocation::Made(update.get_result(conn).await?))
            })
        })
        .await;
    revoked.map_err(|e| e.about("key"))
}

/// How many keys that are not revoked have the scope [`ADMIN`].
async fn admins(conn: &mut Work<'_>) -> Result<i64> {
    let standing = api_keys::table.filter(api_keys::revoke_time.is_null());
    let admins = standing.filter(api_keys::scopes.contains(vec![ADMIN]));
    Ok(admins.count().get_result(conn).await?)
}

pub(crate) async fn insert(
    conn: &mut Work<'_>,
    organisation: OrganisationId,
    secret: &str,
    new: NewKey<'_>,
) -> Result<ApiKey> {
    let new = (
        api_keys::id.eq(KeyId::new()),
        api_keys::organisation_id.eq(organisation),
        api_keys::key_hash.eq(hash(secret)),
        api_keys::key_prefix.eq(&secret[.."pk_".len() + SHOWN_CHARACTERS]),
        api_keys::scopes.eq(new.scopes),
        api_keys::display_name.eq(new.display_name),
    );
    let insert = diesel::insert_into(api_keys::table).values(new).returning(ApiKey::as_returning());
    Ok(insert.get_result(conn).await?)
}

/// What a secret is kept as.
pub fn hash(secret: &str) -> Vec<u8> {
    Sha256::digest(secret.as_bytes()).to_vec()
}

pub(crate) fn new_secret() -> Result<String> {
    let mut secret = String::from("pk_");
    let mut random = [0u8; 64];
    while secret.len() < "pk_".len() + SECRET_CHARACTERS {
        getrandom::fill(&mut random).map_err(|e| Error::Setup(format!("get random numbers: {e}")))?;
        // 248 is the largest multiple of 62 in a byte: what lies above would favour some characters.
        let fair = random.iter().filter(|byte| **byte < 248);
        secret.extend(fair.map(|byte| char::from(ALPHABET[usize::from(byte % 62)])));
    }
    secret.truncate("pk_".len() + SECRET_CHARACTERS);
    Ok(secret)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_pk_and_43_characters_and_never_the_same() {
        let (one, two) = (new_secret().unwrap(), new_secret().unwrap());
        assert_eq!((one.len(), &one[..3]), (46, "pk_"));
        assert!(one[3..].bytes().all(|byte| ALPHABET.contains(&byte)), "{one}");
        assert_ne!(one, two);
    }
}
