//! Typed calls: a caller without a microphone, the same agent.

use std::time::Duration;

use parlance_proto::v1;
use parlance_tests::caller::{start, typing_start};
use parlance_tests::{Caller, House, agents};

const SOON: Duration = Duration::from_secs(20);

/// Types a booking, answering as soon as the agent's reply has begun.
async fn types_a_booking(caller: &mut Caller) {
    for line in
        ["A table for two tomorrow at 8:15 pm, please", "Maria Garcia", "(212) 555-0198", "Yes please"]
    {
        let before = caller.turns(v1::TurnEventType::ReplyStarted).len();
        caller.types(line);
        let replied = |caller: &Caller| caller.turns(v1::TurnEventType::ReplyStarted).len() > before;
        caller.until(&format!("an answer to `{line}`"), SOON, replied).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_booking_typed_from_beginning_to_end_is_in_the_database() {
    let house = House::offline().await;
    let agent = house.hires(agents::restaurant()).await;
    let mut caller = Caller::dials(&house, typing_start(&agent)).await;
    types_a_booking(&mut caller).await;
    let (ended, status) = caller.ends(SOON).await;
    status.expect("a call that the agent ends ends well");
    assert_eq!(ended.reason(), v1::EndReason::AgentEnded, "{}", caller.history());
    let appointments = house.appointments(&caller.ready.call).await;
    let [appointment] = appointments.as_slice() else {
        panic!("{appointments:?}\n{}", caller.history());
    };
    let local = appointment.start_time.in_tz(parlance_tests::house::TIME_ZONE).expect("the zone is known");
    assert_eq!(local.time(), jiff::civil::time(20, 15, 0, 0));
    assert_eq!((appointment.party_size, appointment.customer_name.as_str()), (2, "Maria Garcia"));
    assert_eq!(appointment.customer_phone.as_deref(), Some("2125550198"));
    let typed = caller.entries().into_iter().filter(|entry| entry.typed).count();
    assert_eq!(typed, 4, "{}", caller.history());
    house.is_empty().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_who_closes_his_side_after_typing_still_gets_the_answer() {
    let house = House::scripted().await;
    let agent = house.hires(agents::echo("Hello")).await;
    let mut caller = Caller::dials(&house, typing_start(&agent)).await;
    caller.types("what goes in comes out");
    caller.hangs_up();
    let (ended, status) = caller.ends(SOON).await;
    status.expect("hanging up is no error");
    assert_eq!(ended.reason(), v1::EndReason::CallerHungUp, "{}", caller.history());
    assert_eq!(caller.texts(v1::Speaker::Caller), ["what goes in comes out"]);
    let answers = caller.texts(v1::Speaker::Agent);
    assert!(answers.iter().any(|text| text.contains("comes out")), "{answers:?}");
    house.is_empty().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn speaking_and_typing_mix_in_one_call() {
    let house = House::offline().await;
    let agent = house.hires(agents::restaurant()).await;
    let mut caller = Caller::dials(&house, start(&agent)).await;
    caller.agent_finishes().await;
    caller.says("u01_slt.wav").await;
    caller.agent_finishes().await;
    caller.types("John Smith");
    caller.agent_finishes().await;
    let asked = caller.texts(v1::Speaker::Agent);
    assert!(asked.last().is_some_and(|text| text.contains("phone")), "{}", caller.history());
    caller.controls(v1::session_control::Control::End(v1::End {}));
    let (ended, _) = caller.ends(SOON).await;
    assert_eq!(ended.reason(), v1::EndReason::ClientEnded);
    house.is_empty().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_can_let_the_agent_say_something() {
    let house = House::scripted().await;
    let agent = house.hires(agents::echo("Hello")).await;
    let mut caller = Caller::dials(&house, typing_start(&agent)).await;
    caller.agent_finishes().await;
    let say = v1::Say { text: "Your taxi is here".into(), protected: false };
    caller.controls(v1::session_control::Control::Say(say));
    caller.agent_finishes().await;
    assert_eq!(caller.texts(v1::Speaker::Agent), ["Hello", "Your taxi is here"], "{}", caller.history());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_details_no_interims_turns_or_waterfalls_are_sent() {
    let house = House::scripted().await;
    let agent = house.hires(agents::echo("Hello")).await;
    let bare = v1::SessionStart { include_details: false, ..typing_start(&agent) };
    let mut caller = Caller::dials(&house, bare).await;
    let entries = |caller: &Caller| caller.texts(v1::Speaker::Agent).len();
    caller.until("the greeting", SOON, |caller| entries(caller) == 1).await;
    caller.types("tell me");
    caller.until("the answer", SOON, |caller| entries(caller) == 2).await;
    caller.controls(v1::session_control::Control::End(v1::End {}));
    caller.ends(SOON).await.1.expect("an end that was asked for is no error");
    use v1::voice_session_response::Response::{Clear, Ended, Transcript};
    let plain = |seen: &parlance_tests::caller::Seen| match &seen.response {
        Transcript(update) => update.r#final,
        other => matches!(other, Clear(_) | Ended(_)),
    };
    assert!(caller.seen.iter().all(plain), "{}", caller.history());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_nul_is_refused_by_field_and_costs_neither_the_transcript_nor_the_journal() {
    let house = House::scripted().await;
    let agent = house.hires(agents::echo("Hello")).await;
    let mut caller = Caller::dials(&house, typing_start(&agent)).await;
    caller.agent_finishes().await;
    caller.types("one\0two");
    let refused = caller.ends(SOON).await.1.expect_err("no database keeps a NUL");
    assert!(refused.message().contains("text.text"), "{}", refused.message());
    let kept = house.transcript(&caller.ready.call).await;
    let texts: Vec<&str> = kept.entries.iter().map(|entry| entry.text.as_str()).collect();
    assert!(texts.contains(&"Hello") && kept.events.len() > texts.len(), "{:?}", kept.events);
}
