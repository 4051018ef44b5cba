//! What the writer promises, against a shelf that fails by script.

use std::sync::{Arc, Mutex};

use parlance_conversation::{CallTime, EndReason, Input, Now};
use parlance_store::OrganisationId;
use parlance_store::ownership::{Lease, Owner, Renewed};

use super::super::{CallLine, Journal, Ownership, WAITING_MAX_OF_CALL};
use super::*;

/// Refuses entries that hold a word, and calls in trouble; keeps the rest.
#[derive(Default)]
struct Script {
    refuses: Option<&'static str>,
    in_trouble: Option<CallId>,
    taken: Option<CallId>,
    entries: Vec<(CallId, i64, String)>,
    ends: Vec<(CallId, CallEnd)>,
    told: Vec<CallId>,
}

#[derive(Clone, Default)]
struct Scripted(Arc<Mutex<Script>>);

impl Scripted {
    fn with<T>(&self, look: impl FnOnce(&mut Script) -> T) -> T {
        look(&mut self.0.lock().expect("no test panics while it holds the lock"))
    }

    fn offsets(&self, call: CallId) -> Vec<i64> {
        self.with(|script| script.entries.iter().filter(|row| row.0 == call).map(|row| row.1).collect())
    }
}

impl Shelf for Scripted {
    async fn append(&self, batches: &[JournalBatch]) -> Vec<Result<(), Error>> {
        let mut results = Vec::new();
        for batch in batches {
            let key = CallKey { organisation: batch.organisation, call: batch.call, owner: batch.owner };
            results.push(self.write(key, Piece::Entries(&batch.entries)).await);
        }
        results
    }

    async fn write(&self, key: CallKey, piece: Piece<'_>) -> Result<(), Error> {
        let Piece::Entries(rows) = piece else { return Ok(()) };
        self.with(|script| {
            if script.taken == Some(key.call) {
                return Err(Error::Fenced);
            }
            if script.in_trouble == Some(key.call) {
                return Err(Error::Setup("a trouble without a name".into()));
            }
            let texts: Vec<String> = rows.iter().map(|row| row.payload.to_string()).collect();
            if script.refuses.is_some_and(|word| texts.iter().any(|text| text.contains(word))) {
                return Err(Error::Invalid { field: "payload", message: "refused".into() });
            }
            let kept = rows.iter().zip(texts).map(|(row, text)| (key.call, row.offset, text));
            script.entries.extend(kept);
            Ok(())
        })
    }

    async fn end(&self, key: CallKey, end: CallEnd) -> Result<(), Error> {
        self.with(|script| {
            if script.taken == Some(key.call) {
                return Err(Error::Fenced);
            }
            script.ends.push((key.call, end));
            Ok(())
        })
    }

    async fn tell(&self, calls: &[CallId]) -> Result<(), Error> {
        self.with(|script| script.told.extend_from_slice(calls));
        Ok(())
    }
}

const OWNER: Owner = Owner { epoch: 1, ..Owner::NOBODY };

fn ownership() -> Arc<Ownership> {
    let lease = Lease { node: OWNER.node, length: Duration::from_secs(15) };
    Arc::new(Ownership::new(lease, Arc::default()))
}

fn key() -> CallKey {
    CallKey { organisation: OrganisationId::DEFAULT, call: CallId::new(), owner: OWNER }
}

fn typed(line: &CallLine, offset: u64, text: &str) {
    let now = Now { clock: CallTime::from_millis(offset), audio: CallTime::from_millis(offset) };
    line.append(Entry { offset, now, record: Record::Fact(Input::TypedText { text: text.to_owned() }) });
}

fn closing() -> Closing {
    let at = "2026-05-23T19:00:00Z".parse().expect("it is a time");
    Closing { at, reason: EndReason::CallerHungUp, message: "by\0e".to_owned(), recording: None, used: None }
}

const LONG: Duration = Duration::from_secs(20);

#[tokio::test]
async fn only_the_entry_that_is_refused_is_lost() {
    let shelf = Scripted::default();
    shelf.with(|script| script.refuses = Some("poison"));
    let (journal, _writer) = Journal::start_on(shelf.clone(), ownership());
    let (key, other) = (key(), key());
    let (line, other_line) = (journal.for_call(key), journal.for_call(other));
    for offset in 1..=9 {
        typed(&line, offset, if offset == 4 { "poison" } else { "fine" });
        typed(&other_line, offset, "fine");
    }
    assert_eq!(journal.flush(LONG).await, Ok(()));
    let mut kept = shelf.offsets(key.call);
    kept.sort_unstable();
    assert_eq!(kept, [1, 2, 3, 5, 6, 7, 8, 9]);
    assert_eq!(shelf.offsets(other.call), (1..=9).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_nul_in_a_text_reaches_the_store_as_the_replacement_character() {
    let shelf = Scripted::default();
    let (journal, _writer) = Journal::start_on(shelf.clone(), ownership());
    let key = key();
    typed(&journal.for_call(key), 1, "a\0b");
    journal.close(key, closing(), LONG).await;
    let texts = shelf.with(|script| script.entries.iter().map(|row| row.2.clone()).collect::<Vec<_>>());
    assert!(
        texts.len() == 1 && texts[0].contains("a\u{FFFD}b") && !texts[0].contains("\\u0000"),
        "{texts:?}"
    );
    let message = shelf.with(|script| script.ends[0].1.message.clone());
    assert_eq!(message.as_deref(), Some("by\u{FFFD}e"));
}

#[tokio::test]
async fn a_call_in_trouble_keeps_its_entries_and_holds_up_no_other() {
    let shelf = Scripted::default();
    let (journal, _writer) = Journal::start_on(shelf.clone(), ownership());
    let (stuck, free) = (key(), key());
    shelf.with(|script| script.in_trouble = Some(stuck.call));
    let lines = (journal.for_call(stuck), journal.for_call(free));
    typed(&lines.0, 1, "stuck");
    typed(&lines.1, 1, "free");
    journal.close(free, closing(), LONG).await;
    assert_eq!((shelf.offsets(free.call), shelf.offsets(stuck.call)), (vec![1], vec![]));
    let left = journal.flush(Duration::ZERO).await;
    assert_eq!(left.map_err(|left| (left.entries, left.ends)), Err((1, 0)));
    shelf.with(|script| script.in_trouble = None);
    assert_eq!(journal.flush(LONG).await, Ok(()));
    assert_eq!(shelf.offsets(stuck.call), [1]);
}

#[tokio::test]
async fn a_call_ended_when_it_was_closed_not_when_that_was_written() {
    let shelf = Scripted::default();
    let (journal, _writer) = Journal::start_on(shelf.clone(), ownership());
    journal.close(key(), closing(), LONG).await;
    assert_eq!(shelf.with(|script| script.ends[0].1.at), closing().at);
}

#[tokio::test]
async fn an_end_waits_for_the_entries_of_its_call() {
    let shelf = Scripted::default();
    let (journal, _writer) = Journal::start_on(shelf.clone(), ownership());
    let key = key();
    shelf.with(|script| script.in_trouble = Some(key.call));
    typed(&journal.for_call(key), 1, "last words");
    journal.close(key, closing(), Duration::ZERO).await;
    let left = journal.flush(Duration::from_millis(1)).await;
    assert_eq!(left.map_err(|left| (left.entries, left.ends)), Err((1, 1)));
    assert!(shelf.with(|script| script.ends.is_empty()));
    shelf.with(|script| script.in_trouble = None);
    assert_eq!(journal.flush(LONG).await, Ok(()));
    assert_eq!(shelf.with(|script| (script.entries.len(), script.ends.len())), (1, 1));
}

#[tokio::test]
async fn a_noisy_call_loses_its_own_entries_and_nobody_elses() {
    let shelf = Scripted::default();
    let (journal, _writer) = Journal::start_on(shelf.clone(), ownership());
    let (noisy, quiet) = (key(), key());
    let lines = (journal.for_call(noisy), journal.for_call(quiet));
    // The writer has no turn before the first await.
    for offset in 0..WAITING_MAX_OF_CALL as u64 + 5 {
        typed(&lines.0, offset, "");
    }
    typed(&lines.1, 0, "");
    assert_eq!(journal.flush(LONG).await, Ok(()));
    assert_eq!(shelf.offsets(noisy.call).len(), WAITING_MAX_OF_CALL);
    assert_eq!(shelf.offsets(quiet.call), [0]);
    typed(&lines.0, 99_999, "there is room again");
    assert_eq!(journal.flush(LONG).await, Ok(()));
    assert_eq!(shelf.offsets(noisy.call).last(), Some(&99_999));
}

#[tokio::test]
async fn what_belongs_to_a_call_that_another_node_took_is_dropped_and_holds_up_nobody() {
    let shelf = Scripted::default();
    let ownership = ownership();
    let (journal, _writer) = Journal::start_on(shelf.clone(), ownership.clone());
    let (taken, ours) = (key(), key());
    for key in [taken, ours] {
        ownership.took(key.call, OWNER.epoch);
    }
    shelf.with(|script| script.taken = Some(taken.call));
    for key in [taken, ours] {
        let line = journal.for_call(key);
        typed(&line, 1, "one");
        typed(&line, 2, "two");
        journal.close(key, closing(), LONG).await;
    }
    assert_eq!(journal.flush(LONG).await, Ok(()));
    assert_eq!((shelf.offsets(taken.call), shelf.offsets(ours.call)), (vec![], vec![1, 2]));
    assert_eq!(shelf.with(|script| script.ends.len()), 1);
    assert_eq!((ownership.calls_lost(), ownership.entries_fenced()), (1, 2));
    assert_eq!((ownership.calls(), journal.waiting()), (vec![], 0));
}

#[tokio::test]
async fn a_call_stays_held_while_its_end_waits_to_be_written() {
    let shelf = Scripted::default();
    let ownership = ownership();
    let (journal, _writer) = Journal::start_on(shelf.clone(), ownership.clone());
    let key = key();
    ownership.took(key.call, OWNER.epoch);
    shelf.with(|script| script.in_trouble = Some(key.call));
    typed(&journal.for_call(key), 1, "last words");
    journal.close(key, closing(), Duration::ZERO).await;
    ownership.left(key.call);
    assert_eq!(ownership.calls(), [key.call]);
    shelf.with(|script| script.in_trouble = None);
    assert_eq!(journal.flush(LONG).await, Ok(()));
    assert_eq!(ownership.calls(), []);
}

#[tokio::test]
async fn who_closes_a_call_without_ever_having_held_it_does_not_let_go_of_it() {
    let shelf = Scripted::default();
    let ownership = ownership();
    let (journal, _writer) = Journal::start_on(shelf.clone(), ownership.clone());
    let refused = CallKey { owner: Owner::NOBODY, ..key() };
    ownership.took(refused.call, OWNER.epoch);
    journal.close(refused, closing(), LONG).await;
    assert_eq!(shelf.with(|script| script.ends.len()), 1);
    let renewed = Renewed { seen: jiff::Timestamp::now(), kept: [].into() };
    ownership.renewed(&[refused.call], &renewed);
    assert_eq!((ownership.calls(), ownership.calls_lost()), (vec![], 1), "it was held, and not about to end");
}

#[tokio::test]
async fn those_who_watch_are_told_of_what_they_can_see_and_of_the_end_but_not_of_facts() {
    let shelf = Scripted::default();
    let (journal, _writer) = Journal::start_on(shelf.clone(), ownership());
    let (quiet, told, ended) = (key(), key(), key());
    typed(&journal.for_call(quiet), 1, "a fact");
    let now = Now { clock: CallTime::ZERO, audio: CallTime::ZERO };
    let record = Record::Told(Event::Ended { reason: EndReason::CallerHungUp });
    journal.for_call(told).append(Entry { offset: 1, now, record });
    journal.close(ended, closing(), LONG).await;
    journal.flush(LONG).await.expect("the shelf takes everything");
    let mut heard = shelf.with(|script| script.told.clone());
    heard.sort();
    let mut wanted = vec![told.call, ended.call];
    wanted.sort();
    assert_eq!(heard, wanted);
}
