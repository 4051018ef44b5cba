//! What is kept with calls and found by it; their deletion; the end of those that nobody joined.

use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;

use futures_util::FutureExt;
use jiff::Timestamp;
use parlance_store::calls::{
    self, CallCondition, CallFilter, CallOrder, CallState, CallTime, CallUpdate, Comparison, Deletion,
    NewCall,
};
use parlance_store::{CallId, Error, PageRequest, Scope, Store, appointments};
use serde_json::json;

use crate::appointments::book_evening;
use crate::setup::{execute, in_both_setups, live_call, new_call, new_organisation, web_call};

async fn set(scope: &Scope, id: CallId, assignments: &str) {
    let changed = execute(scope, &format!("UPDATE calls SET {assignments} WHERE id = '{id}'")).await.unwrap();
    assert_eq!(changed, 1);
}

async fn start(scope: &Scope, id: CallId, at: &str) {
    set(scope, id, &format!("state = 'ongoing', start_time = '{at}'")).await;
}

async fn end(scope: &Scope, id: CallId, at: &str) {
    set(scope, id, &format!("state = 'ended', end_time = '{at}', end_reason = 'silence'")).await;
}

async fn found(scope: &Scope, conditions: &[CallCondition]) -> Vec<CallId> {
    let filter = CallFilter { conditions: conditions.to_vec(), ..Default::default() };
    let page = calls::list(scope, &filter, &PageRequest::default()).await.unwrap();
    page.items.into_iter().map(|call| call.id).collect()
}

/// Deletes it; gives what came of it and which recording was to be removed.
async fn delete(
    scope: &Scope,
    id: CallId,
    removes: bool,
) -> (Result<Deletion, Error>, Option<Option<String>>) {
    let asked = Arc::new(Mutex::new(None));
    let noted = asked.clone();
    let remove = move |path| {
        async move {
            noted.lock().unwrap().replace(path);
            removes
        }
        .boxed()
    };
    let deletion = calls::delete(scope, id, None, remove).await;
    let asked = asked.lock().unwrap().take();
    (deletion, asked)
}

fn label(key: &str, value: &str) -> CallCondition {
    CallCondition::Label(key.into(), value.into())
}

fn metadata(key: &str, value: &str) -> CallCondition {
    CallCondition::Metadata(key.into(), value.into())
}

fn when(time: CallTime, comparison: Comparison, at: &str) -> CallCondition {
    CallCondition::Time(time, comparison, at.parse().unwrap())
}

/// A thousand calls of which only the one given back has what is looked for.
async fn a_thousand(scope: &Scope) -> CallId {
    let fill = "INSERT INTO calls (id, organisation_id, agent_id, agent_display_name, call_type, direction, state, \
                labels, metadata, from_number, create_time, start_time, end_time, end_reason) \
                SELECT gen_random_uuid(), current_setting('app.organization')::uuid, 'bella', '', 'web', 'inbound', \
                'ended', jsonb_build_object('n', n::text), jsonb_build_object('order', n), '+4930' || (1000000 + n), \
                t, t, t, 'silence' FROM generate_series(1, 999) n, \
                LATERAL (SELECT timestamptz '2026-01-01' + n * interval '1 min' AS t) at";
    assert_eq!(execute(scope, fill).await.unwrap(), 999);
    let call = NewCall {
        labels: json!({"tier": "gold"}),
        metadata: json!({"order": 4711, "vip": true, "deep": {"order": 1}, "list": [1]}),
        from_number: Some("+493099999".into()),
        to_number: Some("+493088888".into()),
        ..web_call("bella")
    };
    calls::create(scope, call).await.unwrap().id
}

in_both_setups! {
    async fn what_a_client_keeps_with_a_call_can_be_changed_in_any_state_and_is_found_by_what_it_is_now(store: Store) {
        let scope = new_organisation(&store).await;
        let id = new_call(&scope).await;
        let before = calls::get(&scope, id).await.unwrap();
        let labels = CallUpdate { labels: Some(json!({"tier": "gold"})), metadata: None };
        let gold = calls::update(&scope, id, labels, Some(&before.etag)).await.unwrap();
        assert_eq!((&gold.labels, &gold.metadata), (&json!({"tier": "gold"}), &before.metadata));
        assert_ne!(gold.etag, before.etag);
        assert_eq!(found(&scope, &[label("tier", "gold")]).await, [id]);
        assert_eq!(found(&scope, &[label("of", "a test")]).await, []);

        start(&scope, id, "2026-01-01T10:00:00Z").await;
        end(&scope, id, "2026-01-01T10:01:00Z").await;
        assert_eq!(calls::get(&scope, id).await.unwrap().etag, gold.etag, "the course of a call is nobody's edit");
        let order = || CallUpdate { metadata: Some(json!({"order": 7})), labels: None };
        let late = calls::update(&scope, id, order(), Some(&before.etag)).await;
        assert!(matches!(late, Err(Error::Conflict(_))), "{late:?}");
        calls::update(&scope, id, order(), None).await.unwrap();
        assert_eq!(found(&scope, &[label("tier", "gold"), metadata("order", "7.0")]).await, [id]);
        let nobody = calls::update(&scope, CallId::new(), order(), None).await;
        assert!(matches!(nobody, Err(Error::NotFound("call"))), "{nobody:?}");
    }

    async fn one_of_a_thousand_calls_is_found_by_each_condition_with_an_index(store: Store) {
        let scope = new_organisation(&store).await;
        let wanted = a_thousand(&scope).await;
        for (condition, index) in [
            (label("tier", "gold"), "call_tags_pkey"),
            (metadata("order", "4711"), "call_tags_pkey"),
            (metadata("vip", "true"), "call_tags_pkey"),
            (CallCondition::FromNumber("+493099999".into()), "calls_by_from_number"),
            (CallCondition::ToNumber("+493088888".into()), "calls_by_to_number"),
            (when(CallTime::Create, Comparison::Greater, "2026-01-15T00:00:00Z"), "calls_by_create_time"),
        ] {
            assert_eq!(found(&scope, std::slice::from_ref(&condition)).await, [wanted], "{condition:?}");
            let filter = CallFilter { conditions: vec![condition], ..Default::default() };
            let plan = calls::plan(&scope, &filter).await.unwrap().join("\n");
            assert!(plan.contains(index), "{index} is not in\n{plan}");
        }
        let ended = when(CallTime::End, Comparison::LessOrEqual, "2026-01-01T00:01:00Z");
        assert_eq!(found(&scope, std::slice::from_ref(&ended)).await.len(), 1);
        let filter = CallFilter { conditions: vec![ended], order: CallOrder { by: CallTime::End, descending: false }, ..Default::default() };
        let plan = calls::plan(&scope, &filter).await.unwrap().join("\n");
        assert!(plan.contains("calls_by_end") && !plan.contains("Sort"), "{plan}");
    }

    async fn what_is_not_a_scalar_at_the_top_of_the_metadata_is_not_found(store: Store) {
        let scope = new_organisation(&store).await;
        a_thousand(&scope).await;
        for condition in [
            metadata("order", "\"4711\""),
            metadata("deep", "{\"order\": 1}"),
            metadata("list", "[1]"),
            label("order", "4711"),
            metadata("tier", "gold"),
        ] {
            assert_eq!(found(&scope, std::slice::from_ref(&condition)).await, [], "{condition:?}");
        }
    }

    async fn a_time_that_a_call_does_not_have_compares_with_nothing(store: Store) {
        let scope = new_organisation(&store).await;
        let (waits, lives, over) = (new_call(&scope).await, new_call(&scope).await, new_call(&scope).await);
        start(&scope, lives, "2026-01-01T10:00:00Z").await;
        start(&scope, over, "2026-01-01T11:00:00Z").await;
        end(&scope, over, "2026-01-01T12:00:00Z").await;
        let noon = "2026-01-01T12:00:00Z";
        assert_eq!(found(&scope, &[when(CallTime::Start, Comparison::Greater, "1970-01-01T00:00:00Z")]).await, [over, lives]);
        assert_eq!(found(&scope, &[when(CallTime::End, Comparison::GreaterOrEqual, noon)]).await, [over]);
        assert_eq!(found(&scope, &[when(CallTime::End, Comparison::Equal, noon)]).await, [over]);
        assert_eq!(found(&scope, &[when(CallTime::End, Comparison::Less, noon)]).await, []);
        assert_eq!(found(&scope, &[CallCondition::EndReason("silence".into())]).await, [over]);
        assert_eq!(found(&scope, &[CallCondition::State(CallState::Created)]).await, [waits]);
        assert_eq!(found(&scope, &[CallCondition::Direction(calls::Direction::Outbound)]).await, []);
        assert_eq!(found(&scope, &[CallCondition::Type(calls::CallType::Web)]).await.len(), 3);
    }

    async fn pages_in_any_order_hold_every_call_once_and_those_without_the_time_come_last(store: Store) {
        let scope = new_organisation(&store).await;
        let mut ids = Vec::new();
        for n in 0..7 {
            let id = new_call(&scope).await;
            // Two and two at the same time; the last has not ended.
            if n < 6 {
                start(&scope, id, "2026-01-01T10:00:00Z").await;
                end(&scope, id, &format!("2026-01-01T1{}:00:00Z", 1 + n / 2)).await;
            }
            ids.push(id);
        }
        for by in [CallTime::Create, CallTime::Start, CallTime::End] {
            for descending in [false, true] {
                let filter = CallFilter { order: CallOrder { by, descending }, ..Default::default() };
                let mut request = PageRequest { size: 2, token: None };
                let mut seen = Vec::new();
                loop {
                    let page = calls::list(&scope, &filter, &request).await.unwrap();
                    seen.extend(page.items.iter().map(|call| call.id));
                    request.token = page.next_token;
                    if request.token.is_none() { break }
                }
                let mut wanted = ids.clone();
                if descending { wanted.reverse() }
                assert_eq!(seen, wanted, "{by:?} descending {descending}");
            }
        }
        let by_end = CallFilter { order: CallOrder { by: CallTime::End, descending: true }, ..Default::default() };
        let first = calls::list(&scope, &by_end, &PageRequest { size: 2, token: None }).await.unwrap();
        let request = PageRequest { size: 2, token: first.next_token };
        let foreign = calls::list(&scope, &CallFilter::default(), &request).await;
        assert!(matches!(foreign, Err(Error::Invalid { field: "page_token", .. })), "{foreign:?}");
    }

    async fn a_deleted_call_takes_along_all_but_its_appointments(store: Store) {
        let scope = new_organisation(&store).await;
        let (held, other_held) = (live_call(&scope).await, live_call(&scope).await);
        let (id, other) = (held.0, other_held.0);
        let name = |table: &str| match table { "calls" => "id", _ => "call_id" }.to_owned();
        for held in [held, other_held] {
            let call = held.0;
            let journal = format!("INSERT INTO journal (organisation_id, call_id, journal_offset, at_us, kind, payload) VALUES (current_setting('app.organization')::uuid, '{call}', 1, 0, 'told', '{{}}')");
            execute(&scope, &journal).await.unwrap();
            let said = format!("INSERT INTO transcript_entries (organisation_id, call_id, sequence, role, text, start_us, end_us) \
                                VALUES (current_setting('app.organization')::uuid, '{call}', 1, 'agent', 'hi', 0, 1)");
            execute(&scope, &said).await.unwrap();
            crate::tools::begin(&scope, held, &format!("{call}/1")).await;
        }
        let booked = book_evening(&scope, Some(id)).await;
        set(&scope, id, "recording_path = 'file:///r/1.wav'").await;
        end(&scope, id, "2026-01-01T10:00:00Z").await;
        let (deletion, asked) = delete(&scope, id, true).await;
        assert_eq!((deletion.unwrap(), asked), (Deletion::Done, Some(Some("file:///r/1.wav".to_owned()))));
        for table in ["calls", "journal", "transcript_entries", "tool_invocations", "call_tags"] {
            for (call, left) in [(id, 0), (other, 1)] {
                let count = format!("SELECT 1 FROM {table} WHERE {} = '{call}'", name(table));
                assert_eq!(execute(&scope, &count).await.unwrap(), left, "{table}");
            }
        }
        let kept = appointments::get(&scope, booked.id).await.unwrap();
        assert_eq!((kept.call_id, kept.start_time), (None, booked.start_time));
        assert_ne!(kept.etag, booked.etag);
        let again = delete(&scope, id, true).await.0;
        assert!(matches!(again, Err(Error::NotFound("call"))), "{again:?}");
    }

    async fn a_call_that_is_live_or_changed_or_whose_recording_stays_is_not_deleted(store: Store) {
        let scope = new_organisation(&store).await;
        let id = new_call(&scope).await;
        let etag = calls::get(&scope, id).await.unwrap().etag;
        let stale = calls::delete(&scope, id, Some("another"), |_| async { true }.boxed()).await;
        assert!(matches!(stale, Err(Error::Conflict(_))), "{stale:?}");
        let (kept, asked) = delete(&scope, id, false).await;
        assert_eq!((kept.unwrap(), asked), (Deletion::RecordingKept, Some(None)));
        assert_eq!(found(&scope, &[label("of", "a test")]).await, [id], "all of it is there again");
        start(&scope, id, "2026-01-01T10:00:00Z").await;
        let (live, asked) = delete(&scope, id, true).await;
        assert_eq!((live.unwrap(), asked), (Deletion::Live, None));
        end(&scope, id, "2026-01-01T10:00:00Z").await;
        let gone = calls::delete(&scope, id, Some(&etag), |_| async { true }.boxed()).await;
        assert_eq!(gone.unwrap(), Deletion::Done);
    }

    async fn a_call_that_nobody_joined_ends_after_the_bound_and_no_other_does(store: Store) {
        let (scope, other) = (new_organisation(&store).await, new_organisation(&store).await);
        let (old, theirs, fresh, live) = (
            new_call(&scope).await, new_call(&other).await, new_call(&scope).await, new_call(&scope).await,
        );
        let long_ago = "create_time = now() - interval '61 min'";
        set(&scope, old, long_ago).await;
        set(&other, theirs, long_ago).await;
        set(&scope, live, long_ago).await;
        start(&scope, live, "2026-01-01T10:00:00Z").await;
        // Other tests of the same database may have the same.
        let closed = calls::close_unjoined(&store, Duration::from_secs(3_600), "nobody came").await.unwrap();
        assert!(closed.contains(&old) && closed.contains(&theirs), "{closed:?}");
        for (scope, id) in [(&scope, old), (&other, theirs)] {
            let call = calls::get(scope, id).await.unwrap();
            assert_eq!((call.state, call.end_reason.as_deref()), (CallState::Ended, Some("caller_never_joined")));
            assert_eq!(call.end_message.as_deref(), Some("nobody came"));
            assert!(call.end_time.unwrap() > Timestamp::from_second(1_760_000_000).unwrap());
        }
        assert_eq!(calls::get(&scope, fresh).await.unwrap().state, CallState::Created);
        assert_eq!(calls::get(&scope, live).await.unwrap().state, CallState::Ongoing);
    }
}
