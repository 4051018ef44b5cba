//! A call that another engine has taken: here it ends, and nothing more of it is written or done.

use std::time::Duration;

use parlance_proto::v1;
use parlance_store::calls::{self, CallState};
use parlance_store::{CallId, invocations, journal};
use parlance_tests::caller::typing_start;
use parlance_tests::{Caller, House, agents, database};

const SOON: Duration = Duration::from_secs(20);

fn id(caller: &Caller) -> CallId {
    caller.ready.call.trim_start_matches("calls/").parse().expect("a name holds an id")
}

/// Another engine takes the call, as one does that resumes it.
async fn takes(house: &House, call: CallId) {
    let take = format!(
        "UPDATE parlance.calls SET owner_node = gen_random_uuid(), owner_epoch = owner_epoch + 1, \
         lease_expire_time = now() + interval '1 hour' WHERE id = '{call}'"
    );
    database::execute(&house.database_url, &take).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_another_engine_took_ends_here_and_nothing_more_of_it_is_written() {
    let house = House::scripted().await;
    let agent = house.hires(agents::echo("Hello")).await;
    let mut caller = Caller::dials(&house, typing_start(&agent)).await;
    let call = id(&caller);
    caller.agent_finishes().await;
    house.running.engine.journal.flush(SOON).await.expect("the database is there");
    takes(&house, call).await;
    let before = journal::read(&house.scope, call, 0, 10_000).await.expect("the journal can be read");
    caller.types("is anybody there");
    let (ended, status) = caller.ends(SOON).await;
    status.expect("a lost call ends in order");
    assert_eq!(ended.reason(), v1::EndReason::EngineLost, "{}", caller.history());
    house.running.engine.journal.flush(SOON).await.expect("what is another's does not wait here");
    let after = journal::read(&house.scope, call, 0, 10_000).await.expect("the journal can be read");
    assert_eq!(after, before);
    let row = calls::get(&house.scope, call).await.expect("the call is there");
    assert_eq!((row.state, row.owner_epoch), (CallState::Ongoing, 2), "it goes on elsewhere: {row:?}");
    let counted = house.running.engine.backlog();
    assert_eq!((counted.calls_lost, counted.journal_waiting), (1, 0));
    assert!(counted.entries_fenced > 0, "{counted:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_lost_a_call_books_nothing_for_it() {
    let house = House::scripted().await;
    let agent = house.hires(v1::Agent { voice: None, ..agents::restaurant() }).await;
    let mut caller = Caller::dials(&house, typing_start(&agent)).await;
    let call = id(&caller);
    for line in ["A table for two tomorrow at 8:15 pm, please", "Maria Garcia", "(212) 555-0198"] {
        caller.agent_finishes().await;
        caller.types(line);
    }
    caller.agent_finishes().await;
    takes(&house, call).await;
    caller.types("Yes please");
    let (ended, _) = caller.ends(SOON).await;
    assert_eq!(ended.reason(), v1::EndReason::EngineLost, "{}", caller.history());
    let runs = invocations::list(&house.scope, call).await.expect("the store lists runs");
    assert_eq!(runs, [], "{}", caller.history());
    assert_eq!(house.appointments(&caller.ready.call).await, []);
}
