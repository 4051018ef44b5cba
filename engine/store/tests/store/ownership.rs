//! Who holds a live call: leases, the fence around what is written, and the closing of calls that nobody holds.
//!
//! Nobody waits for a lease to lapse: the database's owner moves the row's time instead.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use parlance_store::calls::{self, Call, CallEnd, CallState};
use parlance_store::invocations::{self, InvocationState};
use parlance_store::journal::{self, JournalBatch, JournalEntry};
use parlance_store::ownership::{self, Lease, Lost, Owner, Watch};
use parlance_store::transcripts::{self, Role, TranscriptEntry};
use parlance_store::{CallId, Error, NodeId, Scope, Store};
use serde_json::json;

use crate::setup::{
    CONNECTIONS, execute, in_both_setups, live_call, new_call, new_lease, new_organisation, take,
};
use crate::tools;

fn batch(scope: &Scope, call: CallId, owner: Owner, offset: i64) -> JournalBatch {
    let entry = JournalEntry { offset, at_us: 2_000_000, kind: "told".into(), payload: json!({}) };
    JournalBatch { organisation: scope.organisation(), call, owner, entries: vec![entry] }
}

fn said(sequence: i32) -> TranscriptEntry {
    TranscriptEntry {
        sequence,
        role: Role::Agent,
        text: "Hello".into(),
        unheard_text: String::new(),
        start_us: 0,
        end_us: 1,
        words: json!([]),
        words_estimated: false,
        interrupted_us: None,
        typed: false,
        turn_id: None,
        reply_id: None,
    }
}

fn hung_up() -> CallEnd {
    CallEnd {
        at: Timestamp::now(),
        reason: "caller_hung_up".into(),
        message: None,
        recording_path: None,
        used: None,
    }
}

/// Moves the lease's end to so many seconds before the database's now.
async fn lapsed(scope: &Scope, call: CallId, seconds_ago: i64) {
    let change = format!(
        "UPDATE calls SET lease_expire_time = now() - interval '{seconds_ago} s', \
         start_time = now() - interval '1 day' WHERE id = '{call}'"
    );
    assert_eq!(execute(scope, &change).await.unwrap(), 1);
}

/// A lease so short that two of them fit into the time the tests' own server has been up.
fn short_lease() -> Lease {
    Lease { node: NodeId::new(), length: Duration::from_millis(100) }
}

/// A node that has watched for as long as it takes.
async fn long_watch(store: &Store) -> Watch {
    let seen = ownership::renew(store, NodeId::new(), &[]).await.unwrap().seen;
    Watch { since: seen - SignedDuration::from_hours(1), last: seen }
}

/// Sweeps once, as a node that has watched long; tells what became of the call. Of tests that sweep at once any may
/// close it.
async fn swept(store: &Store, scope: &Scope, call: CallId) -> Call {
    // The machine may be too slow for so short a lease's freshness.
    for _ in 0..50 {
        ownership::close_lost(store, short_lease(), long_watch(store).await).await.unwrap();
        let row = calls::get(scope, call).await.unwrap();
        if row.state == CallState::Ended {
            return row;
        }
    }
    calls::get(scope, call).await.unwrap()
}

/// Another node takes the call, as a resumed one does.
async fn taken_by_another(scope: &Scope, call: CallId) {
    let change = format!("UPDATE calls SET owner_epoch = owner_epoch + 1 WHERE id = '{call}'");
    assert_eq!(execute(scope, &change).await.unwrap(), 1);
}

in_both_setups! {
    async fn who_takes_a_call_live_owns_it_for_a_lease_in_the_databases_time(store: Store) {
        let scope = new_organisation(&store).await;
        let call = new_call(&scope).await;
        let lease = new_lease();
        let owner = take(&scope, call, lease).await;
        let row = calls::get(&scope, call).await.unwrap();
        assert_eq!((row.owner_node, row.owner_epoch), (Some(lease.node), 1));
        let left = format!("UPDATE calls SET id = id WHERE lease_expire_time - now() BETWEEN interval '59 min' \
                            AND interval '60 min' AND id = '{call}'");
        assert_eq!(execute(&scope, &left).await.unwrap(), 1);
        assert_eq!(owner.epoch, 1);
    }

    async fn a_node_renews_its_calls_of_all_organisations_and_learns_which_it_lost(store: Store) {
        let (first, second) = (new_organisation(&store).await, new_organisation(&store).await);
        let lease = new_lease();
        let mine = [new_call(&first).await, new_call(&second).await, new_call(&second).await];
        take(&first, mine[0], lease).await;
        let ended = take(&second, mine[1], lease).await;
        take(&second, mine[2], lease).await;
        let (theirs, _) = live_call(&first).await;
        calls::mark_ended_by(&second, mine[1], ended, hung_up()).await.unwrap();
        let held = [mine[0], mine[1], mine[2], theirs, CallId::new()];
        let renewed = ownership::renew(&store, lease.node, &held).await.unwrap();
        assert_eq!(renewed.kept, [(mine[0], 1), (mine[2], 1)].into());
    }

    async fn a_lapsed_lease_that_nobody_took_lives_again_when_it_is_renewed(store: Store) {
        let scope = new_organisation(&store).await;
        let (call, owner) = live_call(&scope).await;
        lapsed(&scope, call, 60).await;
        let renewed = ownership::renew(&store, owner.node, &[call]).await.unwrap();
        assert_eq!(renewed.kept, [(call, owner.epoch)].into());
        let kept = swept(&store, &scope, call).await;
        assert_eq!(kept.state, CallState::Ongoing);
        let alive = format!("UPDATE calls SET id = id WHERE lease_expire_time > now() AND id = '{call}'");
        assert_eq!(execute(&scope, &alive).await.unwrap(), 1);
    }

    async fn who_lost_a_call_writes_nothing_to_it_and_holds_up_no_other(store: Store) {
        let scope = new_organisation(&store).await;
        let ((lost, former), (kept, owner)) = (live_call(&scope).await, live_call(&scope).await);
        taken_by_another(&scope, lost).await;
        let written =
            journal::append(&store, &[batch(&scope, lost, former, 1), batch(&scope, kept, owner, 1)]).await;
        assert!(matches!(written[..], [Err(Error::Fenced), Ok(())]), "{written:?}");
        assert_eq!(journal::read(&scope, lost, 0, 9).await.unwrap(), []);
        assert_eq!(journal::read(&scope, kept, 0, 9).await.unwrap().len(), 1);
        let told = transcripts::upsert(&scope, lost, former, &[said(0)]).await;
        assert!(matches!(told, Err(Error::Fenced)), "{told:?}");
        let ended = calls::mark_ended_by(&scope, lost, former, hung_up()).await;
        assert!(matches!(ended, Err(Error::Fenced)), "{ended:?}");
        assert_eq!(calls::get(&scope, lost).await.unwrap().state, CallState::Ongoing);
    }

    async fn another_node_with_the_same_epoch_is_not_the_owner(store: Store) {
        let scope = new_organisation(&store).await;
        let (call, owner) = live_call(&scope).await;
        let other = Owner { node: NodeId::new(), ..owner };
        let written = journal::append(&store, &[batch(&scope, call, other, 1)]).await;
        assert!(matches!(written[..], [Err(Error::Fenced)]), "{written:?}");
        assert_eq!(ownership::renew(&store, other.node, &[call]).await.unwrap().kept.len(), 0);
    }

    async fn nothing_is_written_to_a_call_that_is_over(store: Store) {
        let scope = new_organisation(&store).await;
        let (call, owner) = live_call(&scope).await;
        calls::mark_ended_by(&scope, call, owner, hung_up()).await.unwrap();
        let late = journal::append(&store, &[batch(&scope, call, owner, 1)]).await;
        assert!(matches!(late[..], [Err(Error::Fenced)]), "{late:?}");
        let again = calls::mark_ended_by(&scope, call, owner, hung_up()).await.unwrap();
        assert_eq!(again.end_reason.as_deref(), Some("caller_hung_up"), "an unsure end may be written again");
    }

    async fn who_lost_a_call_begins_no_tool_and_runs_none_that_it_wrote_down(store: Store) {
        let scope = new_organisation(&store).await;
        let held = live_call(&scope).await;
        let begun = tools::begin(&scope, held, "before").await;
        taken_by_another(&scope, held.0).await;
        let running = invocations::mark_running(&scope, held.1, begun.id).await;
        assert!(matches!(running, Err(Error::Fenced)), "{running:?}");
        let another = tools::try_begin(&scope, held, "after").await;
        assert!(matches!(another, Err(Error::Fenced)), "{another:?}");
        let rows = invocations::list(&scope, held.0).await.unwrap();
        assert_eq!(rows.iter().map(|row| row.state).collect::<Vec<_>>(), [InvocationState::Pending]);
    }

    async fn a_call_whose_lease_lapsed_beyond_its_grace_is_closed_where_it_was_last_heard_of(store: Store) {
        let scope = new_organisation(&store).await;
        let call = new_call(&scope).await;
        let owner = take(&scope, call, short_lease()).await;
        let held = (call, owner);
        journal::append(&store, &[batch(&scope, call, owner, 1)]).await;
        tools::begin(&scope, held, "1").await;
        let begun = tools::begin(&scope, held, "2").await;
        invocations::mark_running(&scope, owner, begun.id).await.unwrap();
        lapsed(&scope, call, 600).await;
        let row = swept(&store, &scope, call).await;
        assert_eq!((row.state, row.end_reason.as_deref()), (CallState::Ended, Some("engine_lost")));
        assert!(row.end_message.is_some_and(|message| message.contains("lease")));
        assert_eq!(row.owner_epoch, owner.epoch + 1, "the former owner is fenced off");
        let ago = Timestamp::now().duration_since(row.end_time.unwrap());
        let last_renewal = SignedDuration::from_secs(590)..SignedDuration::from_secs(660);
        assert!(last_renewal.contains(&ago), "{ago:?}");
        let states: Vec<_> =
            invocations::list(&scope, call).await.unwrap().into_iter().map(|run| run.state).collect();
        assert_eq!(states, [InvocationState::Failed, InvocationState::Unknown]);
    }

    async fn the_tool_runs_of_a_call_that_is_ended_without_its_owner_are_over_too(store: Store) {
        let scope = new_organisation(&store).await;
        let call = new_call(&scope).await;
        let owner = take(&scope, call, new_lease()).await;
        tools::begin(&scope, (call, owner), "1").await;
        let begun = tools::begin(&scope, (call, owner), "2").await;
        invocations::mark_running(&scope, owner, begun.id).await.unwrap();
        let shorter = format!("UPDATE calls SET lease_ms = 1, lease_expire_time = now() - interval '1 s' \
                               WHERE id = '{call}'");
        assert_eq!(execute(&scope, &shorter).await.unwrap(), 1);
        // A sweep of another test may be first, and does the same.
        calls::end_unheld(&scope, call, &hung_up()).await.unwrap();
        let runs = invocations::list(&scope, call).await.unwrap();
        let states: Vec<_> = runs.iter().map(|run| run.state).collect();
        assert_eq!(states, [InvocationState::Failed, InvocationState::Unknown]);
        assert!(runs.iter().all(|run| run.finish_time.is_some() && run.result.is_some()), "{runs:?}");
    }

    async fn within_its_grace_a_call_is_left_alone(store: Store) {
        let scope = new_organisation(&store).await;
        let (call, _) = live_call(&scope).await;
        lapsed(&scope, call, 3_500).await;
        let row = swept(&store, &scope, call).await;
        assert_eq!(row.state, CallState::Ongoing, "an hour of grace has not passed");
    }

    async fn nobody_is_closed_by_a_node_that_has_not_watched_for_two_leases(store: Store) {
        let scope = new_organisation(&store).await;
        let call = new_call(&scope).await;
        take(&scope, call, Lease { length: Duration::from_secs(60), ..new_lease() }).await;
        lapsed(&scope, call, 600).await;
        let long = long_watch(&store).await;
        for since in [long.last, long.last - SignedDuration::from_secs(115)] {
            let closed = ownership::close_lost(&store, short_lease(), Watch { since, ..long }).await.unwrap();
            assert!(closed.iter().all(|lost| lost.call != call), "{closed:?}");
        }
        // The server itself has not been up for that long either, however long a node says it watched.
        let row = swept(&store, &scope, call).await;
        assert_eq!(row.state, CallState::Ongoing);
    }

    async fn a_node_with_a_longer_lease_is_more_patient_with_those_of_a_shorter(store: Store) {
        let scope = new_organisation(&store).await;
        let call = new_call(&scope).await;
        take(&scope, call, short_lease()).await;
        lapsed(&scope, call, 600).await;
        let watch = long_watch(&store).await;
        let closed = ownership::close_lost(&store, new_lease(), watch).await.unwrap();
        assert!(closed.iter().all(|lost| lost.call != call), "{closed:?}");
    }

    async fn a_statement_that_was_held_up_judges_nobody(store: Store) {
        let scope = new_organisation(&store).await;
        let call = new_call(&scope).await;
        take(&scope, call, short_lease()).await;
        lapsed(&scope, call, 600).await;
        let watch = long_watch(&store).await;
        let stale = Watch { last: watch.last - SignedDuration::from_secs(60), ..watch };
        let closed = ownership::close_lost(&store, short_lease(), stale).await.unwrap();
        assert!(closed.iter().all(|lost| lost.call != call), "{closed:?}");
    }

    async fn a_call_that_was_never_joined_is_left_and_one_of_an_older_version_closed_after_a_day(store: Store) {
        let scope = new_organisation(&store).await;
        let (waiting, young, old) = (new_call(&scope).await, new_call(&scope).await, new_call(&scope).await);
        let earlier = "create_time = now() - interval '3 days'";
        let older_version = |id: CallId, hours: u32| format!(
            "UPDATE calls SET state = 'ongoing', start_time = now() - interval '{hours} h' WHERE id = '{id}'"
        );
        execute(&scope, &format!("UPDATE calls SET {earlier} WHERE id = '{waiting}'")).await.unwrap();
        execute(&scope, &older_version(young, 24)).await.unwrap();
        execute(&scope, &older_version(old, 26)).await.unwrap();
        assert_eq!(swept(&store, &scope, old).await.end_reason.as_deref(), Some("engine_lost"));
        assert_eq!(calls::get(&scope, waiting).await.unwrap().state, CallState::Created);
        assert_eq!(calls::get(&scope, young).await.unwrap().state, CallState::Ongoing);
    }

    async fn of_nodes_that_sweep_at_once_one_closes_a_call(store: Store) {
        let scope = new_organisation(&store).await;
        let mut calls = Vec::new();
        for _ in 0..20 {
            let call = new_call(&scope).await;
            take(&scope, call, short_lease()).await;
            lapsed(&scope, call, 600).await;
            calls.push(call);
        }
        let sweepers: Vec<_> = (0..4).map(|_| {
            let store = store.clone();
            tokio::spawn(async move {
                let mut closed: Vec<Lost> = Vec::new();
                for _ in 0..5 {
                    let watch = long_watch(&store).await;
                    closed.extend(ownership::close_lost(&store, short_lease(), watch).await.unwrap());
                }
                closed
            })
        }).collect();
        let mut closed = Vec::new();
        for sweeper in sweepers {
            closed.extend(sweeper.await.unwrap().into_iter().map(|lost| lost.call));
        }
        closed.retain(|call| calls.contains(call));
        let all = closed.len();
        closed.sort_unstable();
        closed.dedup();
        assert_eq!(closed.len(), all, "a call was closed twice");
        for call in calls {
            assert_eq!(swept(&store, &scope, call).await.owner_epoch, 2);
        }
    }

    async fn leases_are_renewed_while_every_other_connection_is_taken(store: Store) {
        let scope = new_organisation(&store).await;
        let (call, owner) = live_call(&scope).await;
        let taken = std::sync::Arc::new(tokio::sync::Semaphore::new(0));
        let done = std::sync::Arc::new(tokio::sync::Semaphore::new(0));
        let all = CONNECTIONS;
        let busy: Vec<_> = (0..all).map(|_| {
            let (scope, taken, done) = (scope.clone(), taken.clone(), done.clone());
            tokio::spawn(async move {
                scope.run(|_| Box::pin(async move {
                    taken.add_permits(1);
                    drop(done.acquire().await);
                    Ok(())
                })).await
            })
        }).collect();
        drop(taken.acquire_many(all).await.unwrap());
        let renewed = ownership::renew(&store, owner.node, &[call]).await.unwrap();
        assert_eq!(renewed.kept, [(call, owner.epoch)].into());
        done.add_permits(1);
        for task in busy {
            task.await.unwrap().unwrap();
        }
    }

    async fn a_lease_must_have_a_length(store: Store) {
        let scope = new_organisation(&store).await;
        let call = new_call(&scope).await;
        let none = Lease { length: Duration::ZERO, ..new_lease() };
        let refused = calls::mark_started(&scope, call, none, Timestamp::now()).await;
        assert!(matches!(refused, Err(Error::Invalid { field: "lease", .. })), "{refused:?}");
    }
}
