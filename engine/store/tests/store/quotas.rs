//! Quotas: of many that want the last place one gets it, and who has no quota waits for nobody.

use std::time::Duration;

use jiff::Timestamp;
use parlance_store::organisations::{self, OrganisationUpdate};
use parlance_store::{Error, Scope, Store, calls, quotas};

use crate::setup::{in_both_setups, new_call, new_lease, new_organisation, web_call};

async fn limit(scope: &Scope, sessions_max: i32, calls_per_minute: i32) {
    let (sessions_max, calls_per_minute) = (Some(sessions_max), Some(calls_per_minute));
    let change = OrganisationUpdate { sessions_max, calls_per_minute, ..Default::default() };
    organisations::update(scope, change, None, None).await.unwrap();
}

fn is_refused<T: std::fmt::Debug>(outcome: &parlance_store::Result<T>) -> bool {
    matches!(outcome, Err(Error::QuotaExceeded { retry_after, .. }) if *retry_after > Duration::ZERO)
}

in_both_setups! {
    async fn of_twenty_that_begin_at_once_as_many_live_as_may(store: Store) {
        let scope = new_organisation(&store).await;
        limit(&scope, 3, 0).await;
        let mut beginning = tokio::task::JoinSet::new();
        for _ in 0..20 {
            let call = new_call(&scope).await;
            let scope = scope.clone();
            beginning.spawn(async move {
                calls::mark_started(&scope, call, new_lease(), Timestamp::now()).await.map(|call| call.id)
            });
        }
        let outcomes = beginning.join_all().await;
        assert_eq!(outcomes.iter().filter(|it| it.is_ok()).count(), 3);
        assert!(outcomes.iter().filter(|it| it.is_err()).all(is_refused), "{outcomes:?}");
        assert!(is_refused(&quotas::check_sessions(&scope).await));

        let over = outcomes.into_iter().find_map(Result::ok).unwrap();
        let end = calls::CallEnd {
            at: Timestamp::now(), reason: "caller_hung_up".into(), message: None, recording_path: None, used: None,
        };
        calls::mark_ended(&scope, over, end).await.unwrap();
        quotas::check_sessions(&scope).await.unwrap();
        let next = new_call(&scope).await;
        calls::mark_started(&scope, next, new_lease(), Timestamp::now()).await.unwrap();
    }

    async fn of_twenty_made_at_once_as_many_are_made_as_may_be_in_a_minute(store: Store) {
        let (scope, other) = (new_organisation(&store).await, new_organisation(&store).await);
        limit(&scope, 0, 5).await;
        let mut making = tokio::task::JoinSet::new();
        for _ in 0..20 {
            let scope = scope.clone();
            making.spawn(async move { calls::create(&scope, web_call("bella")).await });
        }
        let outcomes = making.join_all().await;
        assert_eq!(outcomes.iter().filter(|it| it.is_ok()).count(), 5);
        assert!(outcomes.iter().filter(|it| it.is_err()).all(is_refused), "{outcomes:?}");
        let Err(Error::QuotaExceeded { retry_after, .. }) = calls::create(&scope, web_call("bella")).await else {
            panic!("a minute has not passed");
        };
        assert!(retry_after <= Duration::from_secs(60), "{retry_after:?}");
        calls::create(&other, web_call("bella")).await.unwrap();
    }
}
