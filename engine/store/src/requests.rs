//! Repeated requests: what was answered to a request id is answered again for 24 hours.
//!
//! A request claims its id before it does anything, so that of two that come at once one works. The answer is kept
//! beside it; a request that fails lets its id go. A claim without an answer is from a node that was lost: after
//! [`CLAIM_LASTS`] the next one takes it over, and what it does may then be done twice.

use std::time::Duration;

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};
use diesel_async::RunQueryDsl;
use sha2::{Digest, Sha256};

use crate::schema::request_answers as answers;
use crate::{Result, Scope, Store, Work};

/// How long a request may be under way before another with its id takes over.
pub const CLAIM_LASTS: Duration = Duration::from_secs(60);

/// What is known of a request id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claim {
    /// Nothing: it is the caller's now, to [`answer`] or [`release`].
    New,
    /// The same request was answered; this is the encoded response.
    Answered(Vec<u8>),
    /// The same request is under way.
    UnderWay,
    /// It was used for another request.
    Reused,
}

/// A request that wants to be done once.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// Its id, 1 to 64 characters.
    pub request_id: &'a str,
    /// The RPC's path.
    pub method: &'a str,
    /// The encoded request.
    pub body: &'a [u8],
}

/// Claims the request's id.
///
/// # Errors
/// [`Error::Unavailable`](crate::Error::Unavailable) when the database can't be reached.
pub async fn claim(scope: &Scope, asked: Asked<'_>) -> Result<Claim> {
    let hash = Sha256::digest(asked.body).to_vec();
    scope
        .run(|conn| {
            Box::pin(async move {
                forget_old(conn, asked.request_id).await?;
                let new = (
                    answers::organisation_id.eq(scope.organisation()),
                    answers::request_id.eq(asked.request_id),
                    answers::method.eq(asked.method),
                    answers::body_hash.eq(&hash),
                );
                let insert = diesel::insert_into(answers::table).values(new).on_conflict_do_nothing();
                if insert.execute(conn).await? == 1 {
                    return Ok(Claim::New);
                }
                let row = answers::table.find((scope.organisation(), asked.request_id));
                let row = row.select((answers::method, answers::body_hash, answers::answer));
                let (method, kept, answer) = row.first::<(String, Vec<u8>, Option<Vec<u8>>)>(conn).await?;
                Ok(match answer {
                    _ if method != asked.method || kept != hash => Claim::Reused,
                    Some(answer) => Claim::Answered(answer),
                    None => Claim::UnderWay,
                })
            })
        })
        .await
}

/// Drops what is older than it may be: an answer of yesterday, a claim whose node is lost.
async fn forget_old(conn: &mut Work<'_>, request_id: &str) -> Result<()> {
    let old = diesel::sql_query(format!(
        "DELETE FROM request_answers WHERE request_id = $1 AND (create_time < now() - interval '24 hours'
         OR answer IS NULL AND create_time < now() - interval '{} seconds')",
        CLAIM_LASTS.as_secs()
    ));
    old.bind::<Text, _>(request_id).execute(conn).await?;
    Ok(())
}

/// Keeps the encoded response of a claimed request.
///
/// # Errors
/// [`Error::Unavailable`](crate::Error::Unavailable) when the database can't be reached.
pub async fn answer(scope: &Scope, request_id: &str, response: &[u8]) -> Result<()> {
    let row = answers::table.find((scope.organisation(), request_id));
    let update = diesel::update(row).set(answers::answer.eq(response));
    scope.run(|conn| Box::pin(async move { Ok(update.execute(conn).await.map(drop)?) })).await
}

/// Lets a claimed id go: the request failed and may be sent again.
///
/// # Errors
/// [`Error::Unavailable`](crate::Error::Unavailable) when the database can't be reached.
pub async fn release(scope: &Scope, request_id: &str) -> Result<()> {
    let row = answers::table.find((scope.organisation(), request_id)).filter(answers::answer.is_null());
    let delete = diesel::delete(row);
    scope.run(|conn| Box::pin(async move { Ok(delete.execute(conn).await.map(drop)?) })).await
}

#[derive(QueryableByName)]
struct Swept {
    #[diesel(sql_type = BigInt)]
    swept: i64,
}

/// Drops every organisation's answers that are older than 24 hours; says how many.
///
/// # Errors
/// [`Error::Unavailable`](crate::Error::Unavailable) when the database can't be reached.
pub async fn sweep(store: &Store) -> Result<i64> {
    let swept: Swept = store
        .run_without_organisation(|conn| {
            Box::pin(async move {
                let query = diesel::sql_query("SELECT sweep_request_answers() AS swept");
                Ok(query.get_result(conn).await?)
            })
        })
        .await?;
    Ok(swept.swept)
}
