//! Tool invocations: durable before they run, run once, finished once.

use parlance_store::invocations::{self, Begun, Invocation, InvocationState, NewInvocation};
use parlance_store::ownership::Owner;
use parlance_store::{CallId, Error, Result, Scope, Store, calls};
use serde_json::json;

use crate::setup::{in_both_setups, live_call, new_organisation};

pub async fn try_begin(scope: &Scope, (call, owner): (CallId, Owner), key: &str) -> Result<Begun> {
    let arguments = json!({"party_size": 4});
    let new = NewInvocation {
        call_id: call,
        idempotency_key: key.into(),
        tool: "book_appointment".into(),
        arguments,
    };
    invocations::begin(scope, owner, new).await
}

pub async fn begin(scope: &Scope, call: (CallId, Owner), key: &str) -> Invocation {
    match try_begin(scope, call, key).await.unwrap() {
        Begun::New(invocation) => invocation,
        Begun::Known(known) => panic!("known already: {known:?}"),
    }
}

in_both_setups! {
    async fn an_invocation_is_pending_then_running_then_over(store: Store) {
        let scope = new_organisation(&store).await;
        let call = live_call(&scope).await;
        let begun = begin(&scope, call, "once").await;
        assert_eq!((begun.state, begun.finish_time), (InvocationState::Pending, None));
        invocations::mark_running(&scope, call.1, begun.id).await.unwrap();
        let done = invocations::finish(&scope, begun.id, InvocationState::Succeeded, json!("ok")).await.unwrap();
        assert_eq!((done.state, &done.result), (InvocationState::Succeeded, &Some(json!("ok"))));
        assert!(done.finish_time.is_some());
        assert_eq!(invocations::list(&scope, begun.call_id).await.unwrap(), [done]);
    }

    async fn a_key_known_already_gives_the_first_invocation_back(store: Store) {
        let scope = new_organisation(&store).await;
        let call = live_call(&scope).await;
        let begun = begin(&scope, call, "once").await;
        invocations::finish(&scope, begun.id, InvocationState::Failed, json!("no")).await.unwrap();
        let again = try_begin(&scope, call, "once").await.unwrap();
        assert!(matches!(&again, Begun::Known(known) if known.state == InvocationState::Failed), "{again:?}");
    }

    async fn of_two_tasks_with_one_key_one_may_run(store: Store) {
        let scope = new_organisation(&store).await;
        let call = live_call(&scope).await;
        let tasks: Vec<_> = (0..4).map(|_| {
            let scope = scope.clone();
            tokio::spawn(async move { try_begin(&scope, call, "once").await.unwrap() })
        }).collect();
        let mut new = 0;
        for task in tasks {
            new += usize::from(matches!(task.await.unwrap(), Begun::New(_)));
        }
        assert_eq!(new, 1);
    }

    async fn no_step_is_taken_twice(store: Store) {
        let scope = new_organisation(&store).await;
        let call = live_call(&scope).await;
        let begun = begin(&scope, call, "once").await;
        invocations::mark_running(&scope, call.1, begun.id).await.unwrap();
        let twice = invocations::mark_running(&scope, call.1, begun.id).await;
        assert!(matches!(twice, Err(Error::Conflict(_))), "{twice:?}");
        let no_end = invocations::finish(&scope, begun.id, InvocationState::Running, json!(null)).await;
        assert!(matches!(no_end, Err(Error::Invalid { field: "state", .. })), "{no_end:?}");
        invocations::finish(&scope, begun.id, InvocationState::Unknown, json!("timed out")).await.unwrap();
        let late = invocations::finish(&scope, begun.id, InvocationState::Succeeded, json!(1)).await;
        assert!(matches!(late, Err(Error::Conflict(_))), "{late:?}");
    }

    async fn extracted_values_are_merged_into_the_call_by_its_owner_alone(store: Store) {
        let scope = new_organisation(&store).await;
        let (call, owner) = live_call(&scope).await;
        for values in [json!({"size": "large", "count": 1}), json!({"size": "small"})] {
            calls::extract(&scope, call, owner, values).await.unwrap();
        }
        let kept = calls::get(&scope, call).await.unwrap().extracted_variables;
        assert_eq!(kept, json!({"size": "small", "count": 1}));
        let refused = calls::extract(&scope, call, Owner::NOBODY, json!({"size": "none"})).await;
        assert!(matches!(refused, Err(Error::Fenced)), "{refused:?}");
        let elsewhere = new_organisation(&store).await;
        let refused = calls::extract(&elsewhere, call, owner, json!({"size": "none"})).await;
        assert!(matches!(refused, Err(Error::NotFound("call"))), "{refused:?}");
    }
}
