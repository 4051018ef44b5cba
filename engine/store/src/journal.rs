//! The journal: what went into a call and what was decided, entry by entry, never changed afterwards.
//!
//! [`append`] takes what many calls gathered and writes it in few statements. It may be given the same entries
//! again, as after an unsure commit: an offset that is there stays as it is. Of a call that has another owner by
//! now, or is over, nothing is written.

use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::ownership::{Owner, owners, why_fenced};
use crate::schema::journal;
use crate::tenancy::Work;
use crate::{CallId, Error, OrganisationId, Result, Scope, Store};

/// Rows in one INSERT: six values each, far below the 65 535 a statement may carry.
const ROWS_PER_INSERT: usize = 1_000;

/// One entry of a call's journal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Queryable, Selectable)]
#[diesel(table_name = journal, check_for_backend(diesel::pg::Pg))]
pub struct JournalEntry {
    /// Its place in the call, from 0, without gaps as long as the writer leaves none.
    #[diesel(column_name = journal_offset)]
    pub offset: i64,
    /// Microseconds on the clock of the call.
    pub at_us: i64,
    /// What sort of entry it is.
    pub kind: String,
    /// The entry itself.
    pub payload: Value,
}

/// Entries of one call, waiting to be written.
#[derive(Debug, Clone)]
pub struct JournalBatch {
    /// Whose call it is.
    pub organisation: OrganisationId,
    /// The call.
    pub call: CallId,
    /// Who holds it.
    pub owner: Owner,
    /// What is to be added.
    pub entries: Vec<JournalEntry>,
}

/// Writes batches of many calls and organisations: one transaction per organisation. Gives one result per batch,
/// in order: a batch that can't be written (its call is gone, or another's) does not hold up the others.
///
/// A result with [`Error::Unavailable`] says to come again with that batch; with [`Error::Fenced`], that the call
/// is lost to its writer.
pub async fn append(store: &Store, batches: &[JournalBatch]) -> Vec<Result<()>> {
    let mut results: Vec<Option<Result<()>>> = batches.iter().map(|_| None).collect();
    for (first, batch) in batches.iter().enumerate() {
        if results[first].is_some() {
            continue;
        }
        let same: Vec<usize> =
            (first..batches.len()).filter(|&i| batches[i].organisation == batch.organisation).collect();
        let scope = store.scope(batch.organisation);
        for (index, result) in append_of_one(&scope, batches, &same).await {
            results[index] = Some(result);
        }
    }
    results.into_iter().flatten().collect()
}

/// All in one transaction; where one batch spoils it, each on its own.
async fn append_of_one(
    scope: &Scope,
    batches: &[JournalBatch],
    indices: &[usize],
) -> Vec<(usize, Result<()>)> {
    let together: Vec<&JournalBatch> = indices.iter().map(|&i| &batches[i]).collect();
    match write(scope, &together).await {
        Ok(results) => indices.iter().copied().zip(results).collect(),
        Err(error) if error.is_retryable() => {
            let why = error.to_string();
            indices.iter().map(|&i| (i, Err(Error::Unavailable(why.clone())))).collect()
        }
        Err(error) if indices.len() == 1 => vec![(indices[0], Err(error))],
        Err(_) => {
            let mut results = Vec::with_capacity(indices.len());
            for &index in indices {
                let alone = write(scope, &[&batches[index]]).await;
                results.push((index, alone.and_then(|results| results.into_iter().collect())));
            }
            results
        }
    }
}

/// Writes what its owners hold, all or nothing; a result for each batch.
async fn write(scope: &Scope, batches: &[&JournalBatch]) -> Result<Vec<Result<()>>> {
    let ids: Vec<CallId> = batches.iter().map(|batch| batch.call).collect();
    scope
        .run(|conn| {
            Box::pin(async move {
                let owners = owners(conn, &ids).await?;
                let held = |batch: &&&JournalBatch| owners.get(&batch.call) == Some(&batch.owner);
                insert(conn, scope, batches.iter().filter(held)).await?;
                let mut results = Vec::with_capacity(batches.len());
                for batch in batches {
                    let is_held = held(&batch);
                    results.push(if is_held { Ok(()) } else { Err(why_fenced(conn, batch.call).await) });
                }
                Ok(results)
            })
        })
        .await
}

async fn insert<'a>(
    conn: &mut Work<'_>,
    scope: &Scope,
    batches: impl Iterator<Item = &'a &'a JournalBatch>,
) -> Result<()> {
    let rows: Vec<_> = batches
        .flat_map(|batch| batch.entries.iter().map(|entry| (batch.call, entry)))
        .map(|(call, entry)| {
            (
                journal::organisation_id.eq(scope.organisation()),
                journal::call_id.eq(call),
                journal::journal_offset.eq(entry.offset),
                journal::at_us.eq(entry.at_us),
                journal::kind.eq(entry.kind.as_str()),
                journal::payload.eq(&entry.payload),
            )
        })
        .collect();
    for chunk in rows.chunks(ROWS_PER_INSERT) {
        let insert = diesel::insert_into(journal::table).values(chunk.to_vec());
        insert.on_conflict_do_nothing().execute(conn).await?;
    }
    Ok(())
}

/// Reads a call's journal from `offset` on, at most `limit` entries, in order. Empty when there are no more, or no
/// such call.
///
/// # Errors
/// [`Error::Unavailable`](crate::Error::Unavailable) when the database can't be reached.
pub async fn read(scope: &Scope, call: CallId, offset: i64, limit: u32) -> Result<Vec<JournalEntry>> {
    scope
        .run(|conn| {
            Box::pin(async move {
                let query = journal::table.filter(journal::call_id.eq(call));
                let query = query.filter(journal::journal_offset.ge(offset)).order(journal::journal_offset);
                Ok(query.limit(limit.into()).select(JournalEntry::as_select()).load(conn).await?)
            })
        })
        .await
}

/// The same, of one kind only.
///
/// # Errors
/// [`Error::Unavailable`](crate::Error::Unavailable) when the database can't be reached.
pub async fn read_kind(
    scope: &Scope,
    call: CallId,
    kind: &str,
    offset: i64,
    limit: u32,
) -> Result<Vec<JournalEntry>> {
    scope
        .run(|conn| {
            Box::pin(async move {
                let query = journal::table.filter(journal::call_id.eq(call)).filter(journal::kind.eq(kind));
                let query = query.filter(journal::journal_offset.ge(offset)).order(journal::journal_offset);
                Ok(query.limit(limit.into()).select(JournalEntry::as_select()).load(conn).await?)
            })
        })
        .await
}

/// The last entry of one kind in a call's journal.
///
/// # Errors
/// [`Error::Unavailable`](crate::Error::Unavailable) when the database can't be reached.
pub async fn last_of_kind(scope: &Scope, call: CallId, kind: &str) -> Result<Option<JournalEntry>> {
    scope
        .run(|conn| {
            Box::pin(async move {
                let query = journal::table.filter(journal::call_id.eq(call)).filter(journal::kind.eq(kind));
                let last = query.order(journal::journal_offset.desc()).select(JournalEntry::as_select());
                Ok(last.first(conn).await.optional()?)
            })
        })
        .await
}
