//! A call that nobody joins in time ends. A program of its own: the engine looks at every organisation of the database,
//! and other tests' calls wait longer.

use parlance_proto::v1::session_start::Target;
use parlance_proto::v1::{Call, CallState, CreateCallRequest, EndCallRequest, EndReason, SessionStart};
use parlance_tests::caller::typing_start;
use parlance_tests::details::assert_refused;
use parlance_tests::{Caller, House, agents};
use tonic::Code;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_nobody_joins_in_time_ends_and_says_so() {
    let house = House::scripted_with(&["--join-seconds", "1"], None).await;
    let agent = house.hires(agents::echo("Hello")).await;
    let request =
        CreateCallRequest { call: Some(Call { agent, ..Default::default() }), ..Default::default() };
    let made = house.client.calls().create_call(request).await.expect("it is valid").into_inner();
    let call = made.call.expect("the answer holds it");
    let over = house.ended_call(&call.name).await;
    assert_eq!((over.state(), over.end_reason()), (CallState::Ended, EndReason::CallerNeverJoined));
    assert_eq!((over.duration, over.usage), (None, None));
    assert_eq!(over.end_message, "nobody joined it within 1 s");
    let joining = SessionStart { target: Some(Target::Call(call.name.clone())), ..typing_start("") };
    let late = Caller::tries(house.client.voice(), joining).await.err().expect("it is over");
    assert_refused(&late, Code::FailedPrecondition, "CALL_TAKEN");
    let again = house.client.calls().end_call(EndCallRequest { name: call.name, ..Default::default() }).await;
    assert_refused(&again.expect_err("it is over"), Code::FailedPrecondition, "CALL_OVER");
}
