//! Transcripts: the newest writing of an entry stands.

use parlance_store::ownership::Owner;
use parlance_store::transcripts::{self, Role, TranscriptEntry};
use parlance_store::{CallId, Error, Scope, Store};
use serde_json::json;

use crate::setup::{in_both_setups, live_call, new_organisation};

fn entry(sequence: i32, text: &str) -> TranscriptEntry {
    TranscriptEntry {
        sequence,
        role: if sequence % 2 == 0 { Role::Agent } else { Role::Caller },
        text: text.into(),
        unheard_text: String::new(),
        start_us: i64::from(sequence) * 1_000_000,
        end_us: i64::from(sequence) * 1_000_000 + 900_000,
        words: json!([{"text": text, "start_us": 0, "end_us": 900_000}]),
        words_estimated: false,
        interrupted_us: None,
        typed: false,
        turn_id: None,
        reply_id: Some(1),
    }
}

pub async fn one_entry(scope: &Scope, (call, owner): (CallId, Owner)) {
    transcripts::upsert(scope, call, owner, &[entry(0, "hello")]).await.unwrap();
}

in_both_setups! {
    async fn entries_come_back_in_order_whatever_order_they_came_in(store: Store) {
        let scope = new_organisation(&store).await;
        let (call, owner) = live_call(&scope).await;
        transcripts::upsert(&scope, call, owner, &[entry(2, "two"), entry(0, "nought")]).await.unwrap();
        transcripts::upsert(&scope, call, owner, &[entry(1, "one")]).await.unwrap();
        let all = transcripts::list(&scope, call).await.unwrap();
        assert_eq!(all, [entry(0, "nought"), entry(1, "one"), entry(2, "two")]);
    }

    async fn an_interrupted_entry_replaces_what_was_meant_by_what_was_heard(store: Store) {
        let scope = new_organisation(&store).await;
        let (call, owner) = live_call(&scope).await;
        transcripts::upsert(&scope, call, owner, &[entry(0, "we open at nine")]).await.unwrap();
        let cut = TranscriptEntry {
            unheard_text: "at nine".into(),
            interrupted_us: Some(700_000),
            ..entry(0, "we open")
        };
        transcripts::upsert(&scope, call, owner, &[entry(0, "we"), cut.clone()]).await.unwrap();
        assert_eq!(transcripts::list(&scope, call).await.unwrap(), [cut]);
    }

    async fn a_transcript_needs_its_call(store: Store) {
        let scope = new_organisation(&store).await;
        let (call, owner) = live_call(&scope).await;
        let lost = transcripts::upsert(&scope, CallId::new(), owner, &[entry(0, "hello")]).await;
        assert!(matches!(lost, Err(Error::NotFound("call"))), "{lost:?}");
        transcripts::upsert(&scope, call, owner, &[]).await.unwrap();
    }
}
