//! Writes what waits: journal entries, the transcript entries among them, and the ends of calls.

use parlance_conversation::Event;
use parlance_store::calls::CallEnd;
use parlance_store::journal::{JournalBatch, JournalEntry};
use parlance_store::{Error, Store, calls, journal, transcripts};

use super::{Batch, CallKey, Closing, Entry, Record};
use crate::convert::{call, event};

/// Writes all of it, or gives the first error that is worth another try; what was written is taken out.
pub(super) async fn batch(store: &Store, batch: &mut Batch) -> Result<(), Error> {
    entries(store, batch).await?;
    while let Some((key, closing, _)) = batch.closings.first() {
        settle(close(store, *key, closing).await)?;
        let (_, _, done) = batch.closings.remove(0);
        // The hall may have stopped waiting.
        done.send(()).ok();
    }
    for done in batch.flushed.drain(..) {
        done.send(()).ok();
    }
    Ok(())
}

async fn entries(store: &Store, batch: &mut Batch) -> Result<(), Error> {
    let keys: Vec<CallKey> = batch.entries.keys().copied().collect();
    let rows: Vec<JournalBatch> =
        batch.entries.iter().map(|(key, entries)| journal_batch(*key, entries)).collect();
    let results = journal::append(store, &rows).await;
    for (key, result) in keys.into_iter().zip(results) {
        settle(result)?;
        let said = batch.entries.get(&key).map_or(Vec::new(), |entries| said(entries));
        if !said.is_empty() {
            settle(transcripts::upsert(&store.scope(key.organisation), key.call, &said).await)?;
        }
        batch.entries.remove(&key);
    }
    Ok(())
}

/// Passes on only what another try can mend; the rest is lost, and said so.
fn settle<T>(result: Result<T, Error>) -> Result<(), Error> {
    match result {
        Ok(_) => Ok(()),
        Err(error) if error.is_retryable() => Err(error),
        Err(error) => {
            tracing::error!(%error, "a journal entry could not be written");
            Ok(())
        }
    }
}

fn journal_batch(key: CallKey, entries: &[Entry]) -> JournalBatch {
    let entries = entries.iter().map(journal_entry).collect();
    JournalBatch { organisation: key.organisation, call: key.call, entries }
}

fn journal_entry(entry: &Entry) -> JournalEntry {
    let (kind, payload) = match &entry.record {
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
    JournalEntry {
        offset: entry.offset as i64,
        at_us: entry.now.clock.as_micros() as i64,
        kind: kind.to_owned(),
        payload,
    }
}

/// The transcript entries among the journal's, the last of each sequence.
fn said(entries: &[Entry]) -> Vec<transcripts::TranscriptEntry> {
    let mut rows = std::collections::BTreeMap::new();
    for entry in entries {
        if let Record::Told(Event::Said(said)) = &entry.record {
            rows.insert(said.sequence, call::transcript_row(said));
        }
    }
    rows.into_values().collect()
}

async fn close(store: &Store, key: CallKey, closing: &Closing) -> Result<(), Error> {
    let end = CallEnd {
        at: jiff::Timestamp::now(),
        reason: event::word(&closing.reason),
        message: Some(closing.message.clone()).filter(|message| !message.is_empty()),
        recording_path: closing.recording.clone(),
    };
    calls::mark_ended(&store.scope(key.organisation), key.call, end).await.map(drop)
}
