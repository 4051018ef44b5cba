//! The journal: written for many calls at once, never twice, never changed.

use parlance_store::journal::{self, JournalBatch, JournalEntry};
use parlance_store::ownership::Owner;
use parlance_store::{CallId, Error, Scope, Store};
use serde_json::json;

use crate::setup::{in_both_setups, live_call, new_organisation};

fn entries(offsets: std::ops::Range<i64>, kind: &str) -> Vec<JournalEntry> {
    offsets
        .map(|offset| JournalEntry {
            offset,
            at_us: offset * 20_000,
            kind: kind.into(),
            payload: json!({"n": offset}),
        })
        .collect()
}

fn batch(scope: &Scope, (call, owner): (CallId, Owner), entries: Vec<JournalEntry>) -> JournalBatch {
    JournalBatch { organisation: scope.organisation(), call, owner, entries }
}

pub async fn one_entry(store: &Store, scope: &Scope, call: (CallId, Owner)) {
    let written = journal::append(store, &[batch(scope, call, entries(0..1, "audio"))]).await;
    assert!(matches!(written[..], [Ok(())]), "{written:?}");
}

in_both_setups! {
    async fn batches_of_many_calls_and_organisations_go_in_at_once(store: Store) {
        let (first, second) = (new_organisation(&store).await, new_organisation(&store).await);
        let calls = [live_call(&first).await, live_call(&second).await, live_call(&first).await];
        let written = journal::append(&store, &[
            batch(&first, calls[0], entries(0..3, "a")),
            batch(&second, calls[1], entries(0..2_500, "b")),
            batch(&first, calls[2], entries(0..1, "c")),
        ]).await;
        assert!(written.iter().all(Result::is_ok) && written.len() == 3, "{written:?}");
        assert_eq!(journal::read(&first, calls[0].0, 0, 10).await.unwrap(), entries(0..3, "a"));
        assert_eq!(journal::read(&second, calls[1].0, 2_498, 10).await.unwrap(), entries(2_498..2_500, "b"));
        assert_eq!(journal::read(&first, calls[2].0, 0, 10).await.unwrap().len(), 1);
    }

    async fn an_entry_written_again_stays_as_it_was(store: Store) {
        let scope = new_organisation(&store).await;
        let call = live_call(&scope).await;
        journal::append(&store, &[batch(&scope, call, entries(0..2, "first"))]).await;
        let again = journal::append(&store, &[batch(&scope, call, entries(0..4, "second"))]).await;
        assert!(matches!(again[..], [Ok(())]), "{again:?}");
        let kinds: Vec<String> =
            journal::read(&scope, call.0, 0, 10).await.unwrap().into_iter().map(|entry| entry.kind).collect();
        assert_eq!(kinds, ["first", "first", "second", "second"]);
    }

    async fn a_batch_of_a_call_that_is_gone_does_not_hold_up_the_others(store: Store) {
        let scope = new_organisation(&store).await;
        let call = live_call(&scope).await;
        let written = journal::append(&store, &[
            batch(&scope, (CallId::new(), call.1), entries(0..1, "lost")),
            batch(&scope, call, entries(0..1, "kept")),
        ]).await;
        assert!(matches!(written[..], [Err(Error::NotFound(_)), Ok(())]), "{written:?}");
        assert_eq!(journal::read(&scope, call.0, 0, 10).await.unwrap(), entries(0..1, "kept"));
    }

    async fn reading_goes_on_from_an_offset_in_pages(store: Store) {
        let scope = new_organisation(&store).await;
        let call = live_call(&scope).await;
        journal::append(&store, &[batch(&scope, call, entries(0..5, "x"))]).await;
        assert_eq!(journal::read(&scope, call.0, 1, 2).await.unwrap(), entries(1..3, "x"));
        assert_eq!(journal::read(&scope, call.0, 5, 2).await.unwrap(), []);
    }

    async fn a_nul_is_the_datas_own_fault_and_spoils_no_other_call(store: Store) {
        let scope = new_organisation(&store).await;
        let (bad, good) = (live_call(&scope).await, live_call(&scope).await);
        let in_json = JournalEntry { payload: json!({"text": "a\0b"}), ..entries(0..1, "x").remove(0) };
        let in_text = entries(1..2, "a\0b").remove(0);
        for entry in [in_json, in_text] {
            let written = journal::append(&store, &[
                batch(&scope, bad, vec![entry]),
                batch(&scope, good, entries(0..1, "kept")),
            ]).await;
            assert!(matches!(&written[..], [Err(error), Ok(())] if error.is_caused_by_data()), "{written:?}");
        }
    }
}
