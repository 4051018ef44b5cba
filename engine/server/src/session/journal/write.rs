//! Writes what waits: journal entries, the transcript entries among them, and the ends of calls.
//!
//! Decides what is lost: only what the data itself makes impossible, and of that as little as can be (a batch that
//! is refused is halved until the culprit stands alone), and what belongs to a call that is another's by now.
//! Everything else stays for the next try.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use parlance_conversation::Event;
use parlance_store::calls::CallEnd;
use parlance_store::journal::{JournalBatch, JournalEntry};
use parlance_store::ownership::Owner;
use parlance_store::transcripts::TranscriptEntry;
use parlance_store::{CallId, Error, Store, calls, journal, transcripts};

use super::{Batch, CallKey, Closing, Entry, Lane, Record};
use crate::convert::{call, event};

/// How long telling the nodes of what was written may take.
const TELL_WITHIN: Duration = Duration::from_secs(1);

/// Rows of one call that go or stay together.
#[derive(Clone, Copy)]
pub(super) enum Piece<'a> {
    /// Of its journal.
    Entries(&'a [JournalEntry]),
    /// Of its transcript.
    Said(&'a [TranscriptEntry]),
}

impl Piece<'_> {
    fn len(&self) -> usize {
        match self {
            Self::Entries(rows) => rows.len(),
            Self::Said(rows) => rows.len(),
        }
    }

    fn halves(self) -> [Self; 2] {
        let middle = self.len() / 2;
        match self {
            Self::Entries(rows) => [Self::Entries(&rows[..middle]), Self::Entries(&rows[middle..])],
            Self::Said(rows) => [Self::Said(&rows[..middle]), Self::Said(&rows[middle..])],
        }
    }

    /// Says what of it will never be written.
    fn mourn(&self, key: CallKey, error: &Error) {
        let (call, rows) = (key.call, self.len());
        match self {
            Self::Entries(entries) => {
                let offset = entries.first().map(|entry| entry.offset);
                tracing::error!(%call, offset, rows, %error, "a journal entry is lost");
            }
            Self::Said(entries) => {
                let sequence = entries.first().map(|entry| entry.sequence);
                tracing::error!(%call, sequence, rows, %error, "a transcript entry is lost");
            }
        }
    }
}

/// Where it is written: the store, or a test's script.
pub(super) trait Shelf: Send + Sync + 'static {
    /// Adds to the journals of many calls; a result for each.
    fn append(&self, batches: &[JournalBatch]) -> impl Future<Output = Vec<Result<(), Error>>> + Send;
    /// Writes rows of one call, all or none.
    fn write(&self, key: CallKey, piece: Piece<'_>) -> impl Future<Output = Result<(), Error>> + Send;
    /// Ends a call.
    fn end(&self, key: CallKey, end: CallEnd) -> impl Future<Output = Result<(), Error>> + Send;
    /// Tells every node that there is something new to see of these calls.
    fn tell(&self, calls: &[CallId]) -> impl Future<Output = Result<(), Error>> + Send;
}

impl Shelf for Store {
    async fn append(&self, batches: &[JournalBatch]) -> Vec<Result<(), Error>> {
        journal::append(self, batches).await
    }

    async fn write(&self, key: CallKey, piece: Piece<'_>) -> Result<(), Error> {
        match piece {
            Piece::Entries(rows) => {
                let batch = JournalBatch {
                    organisation: key.organisation,
                    call: key.call,
                    owner: key.owner,
                    entries: rows.to_vec(),
                };
                journal::append(self, &[batch]).await.into_iter().collect()
            }
            Piece::Said(rows) => {
                transcripts::upsert(&self.scope(key.organisation), key.call, key.owner, rows).await
            }
        }
    }

    async fn end(&self, key: CallKey, end: CallEnd) -> Result<(), Error> {
        let scope = self.scope(key.organisation);
        match key.owner {
            // If a session has begun meanwhile it is that session's to end.
            Owner::NOBODY => calls::end_unbegun(&scope, key.call, &end).await.map(drop),
            owner => calls::mark_ended_by(&scope, key.call, owner, end).await.map(drop),
        }
    }

    async fn tell(&self, calls: &[CallId]) -> Result<(), Error> {
        self.tell_written(calls).await
    }
}

/// Writes all of it, or gives the last error that is worth another try; what is settled is taken out.
pub(super) async fn batch(shelf: &impl Shelf, batch: &mut Batch) -> Result<(), Error> {
    let entries = entries(shelf, batch).await;
    let closings = closings(shelf, batch).await;
    tell(shelf, std::mem::take(&mut batch.news)).await;
    entries.and(closings)?;
    for done in batch.flushed.drain(..) {
        done.send(()).ok();
    }
    Ok(())
}

/// Wakes those who watch, on any node: once for all that was written, and not for facts, which nobody sees.
async fn tell(shelf: &impl Shelf, news: BTreeSet<CallId>) {
    if news.is_empty() {
        return;
    }
    let calls: Vec<CallId> = news.into_iter().collect();
    // Who was not told looks by itself now and then; the entries behind these must not wait for it.
    match tokio::time::timeout(TELL_WITHIN, shelf.tell(&calls)).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "other nodes were not told of what was written"),
        Err(_) => tracing::debug!("other nodes were not told of what was written in time"),
    }
}

async fn entries(shelf: &impl Shelf, batch: &mut Batch) -> Result<(), Error> {
    let rows: Vec<JournalBatch> =
        batch.lanes.iter().map(|(key, lane)| journal_batch(*key, &lane.entries)).collect();
    if rows.is_empty() {
        return Ok(());
    }
    let keys: Vec<CallKey> = batch.lanes.keys().copied().collect();
    let results = shelf.append(&rows).await;
    let mut failure = Ok(());
    for ((key, rows), result) in keys.into_iter().zip(&rows).zip(results) {
        let Some(lane) = batch.lanes.get(&key) else { continue };
        let written = match lane_written(shelf, key, lane, rows, result).await {
            Err(Error::Fenced) => {
                batch.ownership.fenced(key.call, lane.entries.len());
                Ok(())
            }
            other => other,
        };
        match written {
            Ok(()) => {
                lane.line.leave(lane.entries.len());
                if lane.entries.iter().any(|entry| matches!(entry.record, Record::Told(_))) {
                    batch.news.insert(key.call);
                }
                batch.lanes.remove(&key);
            }
            Err(error) => failure = Err(error),
        }
    }
    failure
}

/// Brings what one call has said to an end, given how its journal entries fared.
async fn lane_written(
    shelf: &impl Shelf,
    key: CallKey,
    lane: &Lane,
    rows: &JournalBatch,
    result: Result<(), Error>,
) -> Result<(), Error> {
    if let Err(error) = result {
        salvage(shelf, key, Piece::Entries(&rows.entries), error).await?;
    }
    let said = said(&lane.entries);
    if said.is_empty() {
        return Ok(());
    }
    match shelf.write(key, Piece::Said(&said)).await {
        Ok(()) => Ok(()),
        Err(error) => salvage(shelf, key, Piece::Said(&said), error).await,
    }
}

/// Writes what can be written of a piece that was refused with `error`; passes on what another try can mend, and
/// that the call is another's.
async fn salvage(shelf: &impl Shelf, key: CallKey, piece: Piece<'_>, error: Error) -> Result<(), Error> {
    let mut refused = vec![(piece, error)];
    while let Some((piece, error)) = refused.pop() {
        if !error.is_caused_by_data() || matches!(error, Error::Fenced) {
            return Err(error);
        }
        // Where the call itself is gone no half of it fares better.
        if piece.len() <= 1 || matches!(error, Error::NotFound(_)) {
            piece.mourn(key, &error);
            continue;
        }
        for half in piece.halves() {
            if let Err(error) = shelf.write(key, half).await {
                refused.push((half, error));
            }
        }
    }
    Ok(())
}

/// Ends the calls whose entries are all settled; the others' ends wait with them.
async fn closings(shelf: &impl Shelf, batch: &mut Batch) -> Result<(), Error> {
    let mut failure = Ok(());
    for (key, closing, done) in std::mem::take(&mut batch.closings) {
        if batch.lanes.contains_key(&key) {
            batch.closings.push((key, closing, done));
            continue;
        }
        match shelf.end(key, call_end(&closing)).await {
            Err(Error::Fenced) => batch.ownership.fenced(key.call, 0),
            Err(error) if !error.is_caused_by_data() => {
                failure = Err(error);
                batch.closings.push((key, closing, done));
                continue;
            }
            Err(error) => tracing::error!(call = %key.call, %error, "the end of a call is lost"),
            Ok(()) => drop(batch.news.insert(key.call)),
        }
        // Who never held the call must not let go of it: a session of this node may hold it by now.
        if key.owner != Owner::NOBODY {
            batch.ownership.closed(key.call);
        }
        batch.waiting.ends.fetch_sub(1, std::sync::atomic::Ordering::Relaxed);
        // The hall may have stopped waiting.
        done.send(()).ok();
    }
    failure
}

fn journal_batch(key: CallKey, entries: &[Entry]) -> JournalBatch {
    let entries = entries.iter().map(journal_entry).collect();
    JournalBatch { organisation: key.organisation, call: key.call, owner: key.owner, entries }
}

fn journal_entry(entry: &Entry) -> JournalEntry {
    let (kind, mut payload) = match &entry.record {
        Record::Fact(fact) => {
            let mut payload = serde_json::to_value(fact).unwrap_or_default();
            // With the audio clock beside it a fact can be replayed.
            if let Some(fields) = payload.as_object_mut() {
                fields.insert("audio".to_owned(), entry.now.audio.as_micros().into());
            }
            (super::FACT, payload)
        }
        Record::Told(told) => (super::TOLD, serde_json::to_value(told).unwrap_or_default()),
    };
    call::make_storable(&mut payload);
    JournalEntry {
        offset: entry.offset as i64,
        at_us: entry.now.clock.as_micros() as i64,
        kind: kind.to_owned(),
        payload,
    }
}

/// The transcript entries among the journal's, the last of each sequence.
fn said(entries: &[Entry]) -> Vec<TranscriptEntry> {
    let mut rows = BTreeMap::new();
    for entry in entries {
        if let Record::Told(Event::Said(said)) = &entry.record {
            rows.insert(said.sequence, call::transcript_row(said));
        }
    }
    rows.into_values().collect()
}

fn call_end(closing: &Closing) -> CallEnd {
    CallEnd {
        at: closing.at,
        reason: event::word(&closing.reason),
        message: Some(call::storable(&closing.message)).filter(|message| !message.is_empty()),
        recording_path: closing.recording.clone(),
        used: closing.used.clone(),
    }
}

#[cfg(test)]
mod tests;
