//! Calls: created, ongoing, ended, and never back.

use std::time::Duration;

use jiff::Timestamp;
use parlance_store::calls::{self, CallEnd, CallFilter, CallState};
use parlance_store::ownership::Lease;
use parlance_store::{AgentId, CallId, Error, PageRequest, Store};

use crate::setup::{execute, in_both_setups, new_call, new_lease, new_organisation, web_call};

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_780_000_000 + second).unwrap()
}

fn ended(reason: &str, second: i64) -> CallEnd {
    CallEnd {
        at: at(second),
        reason: reason.into(),
        message: Some("goodbye".into()),
        recording_path: Some("recordings/1.wav".into()),
        used: None,
    }
}

in_both_setups! {
    async fn a_call_goes_from_created_to_ongoing_to_ended(store: Store) {
        let scope = new_organisation(&store).await;
        let made = calls::create(&scope, web_call("bella")).await.unwrap();
        assert_eq!((made.state, made.start_time, made.end_time), (CallState::Created, None, None));
        let live = calls::mark_started(&scope, made.id, new_lease(), at(0)).await.unwrap();
        assert_eq!((live.state, live.start_time), (CallState::Ongoing, Some(at(0))));
        let over = calls::mark_ended(&scope, made.id, ended("caller_hung_up", 9)).await.unwrap();
        assert_eq!((over.state, over.start_time, over.end_time), (CallState::Ended, Some(at(0)), Some(at(9))));
        assert_eq!(over.end_reason.as_deref(), Some("caller_hung_up"));
        assert_eq!(over.recording_path.as_deref(), Some("recordings/1.wav"));
        assert_eq!(calls::get(&scope, made.id).await.unwrap(), over);
    }

    async fn a_call_is_started_once(store: Store) {
        let scope = new_organisation(&store).await;
        let call = new_call(&scope).await;
        calls::mark_started(&scope, call, new_lease(), at(0)).await.unwrap();
        let again = calls::mark_started(&scope, call, new_lease(), at(1)).await;
        assert!(matches!(again, Err(Error::Conflict(_))), "{again:?}");
    }

    async fn the_first_end_of_a_call_counts(store: Store) {
        let scope = new_organisation(&store).await;
        let call = new_call(&scope).await;
        calls::mark_ended(&scope, call, ended("caller_hung_up", 1)).await.unwrap();
        let second = calls::mark_ended(&scope, call, ended("engine_lost", 2)).await.unwrap();
        assert_eq!((second.end_reason.as_deref(), second.end_time), (Some("caller_hung_up"), Some(at(1))));
        let restarted = calls::mark_started(&scope, call, new_lease(), at(3)).await;
        assert!(matches!(restarted, Err(Error::Conflict(_))), "{restarted:?}");
    }

    async fn a_call_is_ended_without_its_owner_only_if_nobody_holds_it(store: Store) {
        let scope = new_organisation(&store).await;
        let (waiting, held, lapsed) = (new_call(&scope).await, new_call(&scope).await, new_call(&scope).await);
        let (in_grace, after_start) = (new_call(&scope).await, new_call(&scope).await);
        calls::mark_started(&scope, held, new_lease(), at(0)).await.unwrap();
        let short = Lease { length: Duration::from_millis(1), ..new_lease() };
        calls::mark_started(&scope, lapsed, short, at(0)).await.unwrap();
        // One lapsed within its hour of grace; the other long ago, but its server has not been up for two hours.
        for (call, ago) in [(in_grace, "59 min"), (after_start, "5 h")] {
            calls::mark_started(&scope, call, new_lease(), at(0)).await.unwrap();
            let lapse = format!("UPDATE calls SET lease_expire_time = now() - interval '{ago}' WHERE id = '{call}'");
            assert_eq!(execute(&scope, &lapse).await.unwrap(), 1);
        }
        let end = ended("api_ended", 9);
        for (call, ends) in [
            (waiting, true),
            (held, false),
            (lapsed, true),
            (in_grace, false),
            (after_start, false),
            (CallId::new(), false),
        ] {
            assert_eq!(calls::end_unheld(&scope, call, &end).await.unwrap(), ends);
            assert!(!calls::end_unheld(&scope, call, &end).await.unwrap(), "once");
        }
        assert_eq!(calls::get(&scope, held).await.unwrap().state, CallState::Ongoing);
        assert_eq!(calls::get(&scope, lapsed).await.unwrap().end_reason.as_deref(), Some("api_ended"));
    }

    async fn a_call_that_never_began_is_ended_only_until_a_session_takes_it(store: Store) {
        let scope = new_organisation(&store).await;
        let (waiting, live) = (new_call(&scope).await, new_call(&scope).await);
        let taken = calls::mark_started(&scope, live, new_lease(), at(0)).await.unwrap();
        for (call, ends) in [(waiting, true), (waiting, false), (live, false), (CallId::new(), false)] {
            assert_eq!(calls::end_unbegun(&scope, call, &ended("provider_failed", 9)).await.unwrap(), ends);
        }
        let over = calls::get(&scope, waiting).await.unwrap();
        assert_eq!((over.state, over.end_reason.as_deref()), (CallState::Ended, Some("provider_failed")));
        assert_eq!(calls::get(&scope, live).await.unwrap(), taken);
    }

    async fn a_call_that_is_not_there_is_not_found(store: Store) {
        let scope = new_organisation(&store).await;
        let nobody = CallId::new();
        let missing = [
            calls::get(&scope, nobody).await,
            calls::mark_started(&scope, nobody, new_lease(), at(0)).await,
            calls::mark_ended(&scope, nobody, ended("error", 0)).await,
        ];
        assert!(missing.iter().all(|it| matches!(it, Err(Error::NotFound("call")))), "{missing:?}");
    }

    async fn a_list_is_newest_first_and_filtered_by_agent_and_state(store: Store) {
        let scope = new_organisation(&store).await;
        let mut made = Vec::new();
        for agent in ["one", "two", "one", "one"] {
            made.push(calls::create(&scope, web_call(agent)).await.unwrap().id);
        }
        calls::mark_started(&scope, made[2], new_lease(), at(0)).await.unwrap();
        let one = CallFilter { agent_id: Some(AgentId::parse("one").unwrap()), ..Default::default() };
        let mut request = PageRequest { size: 2, token: None };
        let first = calls::list(&scope, &one, &request).await.unwrap();
        let ids = |page: &parlance_store::Page<calls::Call>| page.items.iter().map(|c| c.id).collect::<Vec<_>>();
        assert_eq!(ids(&first), [made[3], made[2]]);
        request.token = first.next_token;
        let second = calls::list(&scope, &one, &request).await.unwrap();
        assert_eq!((ids(&second), &second.next_token), (vec![made[0]], &None));

        let other_filter = calls::list(&scope, &CallFilter::default(), &request).await;
        assert!(matches!(other_filter, Err(Error::Invalid { field: "page_token", .. })), "{other_filter:?}");
        let live = CallFilter { state: Some(CallState::Ongoing), ..one };
        assert_eq!(ids(&calls::list(&scope, &live, &PageRequest::default()).await.unwrap()), [made[2]]);
    }
}
