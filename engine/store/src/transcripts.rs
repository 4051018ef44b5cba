//! Transcripts: who said what in a call, and how much of it the other side heard.
//!
//! An entry may be written again as more becomes known (the agent was interrupted, a later word arrived): the
//! newest writing of a sequence number stands.

use diesel::prelude::*;
use diesel::upsert::excluded;
use diesel_async::RunQueryDsl;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::ownership::{Owner, fence};
use crate::schema::transcript_entries as entries;
use crate::text_enum::text_enum;
use crate::{CallId, Result, Scope};

text_enum!(
    /// Who speaks.
    Role {
        /// The other party, whoever began the call.
        Caller = "caller",
        /// The agent.
        Agent = "agent",
    }
);

/// One stretch of speech in a call.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Queryable, Selectable)]
#[diesel(table_name = entries, check_for_backend(diesel::pg::Pg))]
pub struct TranscriptEntry {
    /// Its place in the call, from 0.
    pub sequence: i32,
    /// Who speaks.
    pub role: Role,
    /// The words; of the agent, only what the caller heard.
    pub text: String,
    /// Of the agent: what was meant but not heard. Else empty.
    pub unheard_text: String,
    /// When it began, in microseconds on the clock of the call.
    pub start_us: i64,
    /// When it ended, on the same clock.
    pub end_us: i64,
    /// The words with their times, as a JSON array; empty where they are not known.
    pub words: Value,
    /// The words' times are estimated, not told by a provider.
    pub words_estimated: bool,
    /// Of the agent: where it was cut off, on the clock of the call.
    pub interrupted_us: Option<i64>,
    /// Typed or dialled instead of spoken.
    pub typed: bool,
    /// The caller's turn it is, counted in the call.
    pub turn_id: Option<i32>,
    /// The agent's reply it is, counted in the call.
    pub reply_id: Option<i32>,
}

/// Writes entries of a call, over what stood under the same sequence numbers.
///
/// # Errors
/// [`Error::NotFound`](crate::Error::NotFound) when there is no such call.
pub async fn upsert(scope: &Scope, call: CallId, owner: Owner, new: &[TranscriptEntry]) -> Result<()> {
    // Postgres refuses to touch a row twice in one statement; the last writing is the one that stands.
    let newest: std::collections::BTreeMap<i32, &TranscriptEntry> =
        new.iter().map(|entry| (entry.sequence, entry)).collect();
    let rows: Vec<_> = newest
        .into_values()
        .map(|entry| {
            (
                entries::organisation_id.eq(scope.organisation()),
                entries::call_id.eq(call),
                entries::sequence.eq(entry.sequence),
                entries::role.eq(entry.role),
                entries::text.eq(&entry.text),
                entries::unheard_text.eq(&entry.unheard_text),
                entries::start_us.eq(entry.start_us),
                entries::end_us.eq(entry.end_us),
                entries::words.eq(&entry.words),
                entries::words_estimated.eq(entry.words_estimated),
                entries::interrupted_us.eq(entry.interrupted_us),
                entries::typed.eq(entry.typed),
                entries::turn_id.eq(entry.turn_id),
                entries::reply_id.eq(entry.reply_id),
            )
        })
        .collect();
    let newest_stands = (
        entries::role.eq(excluded(entries::role)),
        entries::text.eq(excluded(entries::text)),
        entries::unheard_text.eq(excluded(entries::unheard_text)),
        entries::start_us.eq(excluded(entries::start_us)),
        entries::end_us.eq(excluded(entries::end_us)),
        entries::words.eq(excluded(entries::words)),
        entries::words_estimated.eq(excluded(entries::words_estimated)),
        entries::interrupted_us.eq(excluded(entries::interrupted_us)),
        entries::typed.eq(excluded(entries::typed)),
        entries::turn_id.eq(excluded(entries::turn_id)),
        entries::reply_id.eq(excluded(entries::reply_id)),
    );
    let insert = diesel::insert_into(entries::table)
        .values(rows)
        .on_conflict((entries::call_id, entries::sequence))
        .do_update()
        .set(newest_stands);
    let written: Result<usize> = scope
        .run(|conn| {
            Box::pin(async move {
                fence(conn, call, owner).await?;
                Ok(insert.execute(conn).await?)
            })
        })
        .await;
    written.map(drop).map_err(|e| e.about("call"))
}

/// The transcript of a call, in order. Empty when there is none, or no such call.
///
/// # Errors
/// [`Error::Unavailable`](crate::Error::Unavailable) when the database can't be reached.
pub async fn list(scope: &Scope, call: CallId) -> Result<Vec<TranscriptEntry>> {
    scope
        .run(|conn| {
            Box::pin(async move {
                let query = entries::table.filter(entries::call_id.eq(call)).order(entries::sequence);
                Ok(query.select(TranscriptEntry::as_select()).load(conn).await?)
            })
        })
        .await
}
