//! What is kept with a call: metadata, labels, numbers, its use and cost; how it changes and how it is deleted.

use std::path::PathBuf;
use std::time::Duration;

use parlance_proto::v1::session_start::Target;
use parlance_proto::v1::{
    Call, CallDirection, CostUnit, CreateCallRequest, DeleteCallRequest, DeleteCallResponse, GetCallRequest,
    GetTranscriptRequest, Money, SessionStart, UpdateCallRequest,
};
use parlance_tests::caller::typing_start;
use parlance_tests::details::{assert_bad_fields, assert_refused};
use parlance_tests::{Caller, House, agents};
use prost_types::value::Kind;
use prost_types::{FieldMask, Struct, Value};
use tonic::{Code, Status};

const SOON: Duration = Duration::from_secs(20);

fn text(value: &str) -> Value {
    Value { kind: Some(Kind::StringValue(value.to_owned())) }
}

fn metadata(key: &str, value: Value) -> Option<Struct> {
    Some(Struct { fields: [(key.to_owned(), value)].into() })
}

fn labels(key: &str, value: &str) -> std::collections::BTreeMap<String, String> {
    [(key.to_owned(), value.to_owned())].into()
}

async fn create(house: &House, call: Call) -> Result<Call, Status> {
    let request = CreateCallRequest { call: Some(call), ..Default::default() };
    Ok(house.client.calls().create_call(request).await?.into_inner().call.expect("the answer holds it"))
}

async fn get(house: &House, name: &str) -> Result<Call, Status> {
    let request = GetCallRequest { name: name.into() };
    Ok(house.client.calls().get_call(request).await?.into_inner().call.expect("the answer holds it"))
}

async fn update(house: &House, call: Call, paths: &[&str]) -> Result<Call, Status> {
    let paths: Vec<String> = paths.iter().map(ToString::to_string).collect();
    let update_mask = Some(FieldMask { paths }).filter(|mask| !mask.paths.is_empty());
    let request = UpdateCallRequest { call: Some(call), update_mask, ..Default::default() };
    Ok(house.client.calls().update_call(request).await?.into_inner().call.expect("the answer holds it"))
}

fn deletion(name: &str) -> DeleteCallRequest {
    DeleteCallRequest { name: name.into(), ..Default::default() }
}

async fn delete(house: &House, request: DeleteCallRequest) -> Result<DeleteCallResponse, Status> {
    Ok(house.client.calls().delete_call(request).await?.into_inner())
}

/// A call over which something was said, once it is over.
async fn held(house: &House, start: SessionStart) -> Call {
    let mut caller = Caller::dials(house, start).await;
    caller.agent_finishes().await;
    caller.types("how are you");
    caller.agent_finishes().await;
    caller.hangs_up();
    caller.ends(SOON).await.1.expect("an end that was asked for is no error");
    house.ended_call(&caller.ready.call).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_client_gives_a_call_comes_back_and_can_be_changed_also_after_its_end() {
    let house = House::scripted().await;
    let agent = house.hires(agents::echo("Hello")).await;
    let given = Call {
        agent,
        metadata: metadata("order", Value { kind: Some(Kind::NumberValue(4711.0)) }),
        labels: labels("tier", "gold"),
        from_number: "+493011111".into(),
        to_number: "+493022222".into(),
        ..Default::default()
    };
    let made = create(&house, given.clone()).await.expect("it is valid");
    assert_eq!((&made.metadata, &made.labels), (&given.metadata, &given.labels));
    assert_eq!((&made.from_number, &made.to_number), (&given.from_number, &given.to_number));
    assert_eq!((made.direction(), &made.duration), (CallDirection::Inbound, &None));
    assert!(!made.etag.is_empty() && made.usage.is_none() && made.cost.is_none(), "{made:?}");

    let named = |call: Call| Call { name: made.name.clone(), ..call };
    let silver = Call { labels: labels("tier", "silver"), etag: made.etag.clone(), ..Default::default() };
    let changed = update(&house, named(silver.clone()), &[]).await.expect("it is as it was");
    assert_eq!((&changed.labels, &changed.metadata), (&silver.labels, &given.metadata));
    let late = update(&house, named(silver), &["labels"]).await.expect_err("it has changed");
    assert_refused(&late, Code::Aborted, "ETAG_MISMATCH");

    let joining = SessionStart { target: Some(Target::Call(made.name.clone())), ..typing_start("") };
    let over = held(&house, joining).await;
    assert_eq!(over.etag, changed.etag, "the course of a call is nobody's edit");
    let lasted = over.duration.expect("it is over");
    assert!(lasted.seconds > 0 || lasted.nanos > 0, "{lasted:?}");
    let bare = update(&house, named(Call::default()), &["metadata", "labels"])
        .await
        .expect("it is over, not closed");
    assert_eq!((bare.labels.len(), bare.metadata.unwrap_or_default().fields.len()), (0, 0));
    assert_eq!(get(&house, &made.name).await.expect("it is there").labels.len(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_may_bring_details_for_a_call_of_its_own_only() {
    let house = House::scripted().await;
    let agent = house.hires(agents::echo("Hello")).await;
    let start = SessionStart {
        metadata: metadata("order", text("a")),
        labels: labels("tier", "gold"),
        ..typing_start(&agent)
    };
    let call = held(&house, start.clone()).await;
    assert_eq!((call.metadata, call.labels), (start.metadata.clone(), start.labels.clone()));
    let waiting = create(&house, Call { agent, ..Default::default() }).await.expect("it is valid");
    let theirs = SessionStart { target: Some(Target::Call(waiting.name)), ..start.clone() };
    let refused = Caller::tries(house.client.voice(), theirs).await.err().expect("the call has its own");
    assert_bad_fields(&refused, &["start.metadata", "start.labels"]);
    let wild = SessionStart { labels: labels("Tier", "gold"), ..start };
    let refused = Caller::tries(house.client.voice(), wild).await.err().expect("the label is no label");
    assert_bad_fields(&refused, &["start.labels[Tier]"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn details_that_can_not_be_kept_are_refused_by_field() {
    let house = House::scripted().await;
    let agent = house.hires(agents::echo("Hello")).await;
    let bad = Call {
        agent: agent.clone(),
        metadata: metadata("long", text(&"x".repeat(16 * 1024))),
        labels: labels("tier", &"x".repeat(64)),
        from_number: "030 1234567".into(),
        to_number: "493012345678".into(),
        ..Default::default()
    };
    let refused = create(&house, bad.clone()).await.expect_err("nothing is right");
    let fields = ["call.metadata", "call.labels[tier]", "call.from_number", "call.to_number"];
    assert_bad_fields(&refused, &fields);
    let made = create(&house, Call { agent, ..Default::default() }).await.expect("it is valid");
    let refused = update(&house, Call { name: made.name.clone(), ..bad }, &["state", "metadata"]).await;
    let fields = ["call.metadata", "call.labels[tier]", "update_mask"];
    assert_bad_fields(&refused.expect_err("nothing is right"), &fields);
    let nul = Call { name: made.name, metadata: metadata("a\0", text("")), ..Default::default() };
    assert_bad_fields(&update(&house, nul, &[]).await.expect_err("no database keeps it"), &["call.metadata"]);
    let nothing = house.client.calls().update_call(UpdateCallRequest::default()).await;
    assert_bad_fields(&nothing.expect_err("it names no call"), &["call"]);
    let nobody = update(&house, Call { name: "calls/42".into(), ..Default::default() }, &[]).await;
    assert_bad_fields(&nobody.expect_err("it is no name"), &["call.name"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deleted_call_is_gone_with_its_transcript_and_its_recording() {
    let house = House::scripted().await;
    let agent = house.hires(agents::echo("Hello")).await;
    let call = held(&house, typing_start(&agent)).await;
    let recording =
        PathBuf::from(call.recording_uri.strip_prefix("file://").expect("the agent was recorded"));
    assert!(recording.exists());
    let stale = DeleteCallRequest { etag: "another".into(), ..deletion(&call.name) };
    assert_refused(&delete(&house, stale).await.expect_err("it has changed"), Code::Aborted, "ETAG_MISMATCH");
    assert!(recording.exists(), "who is refused deletes nothing");
    let given = DeleteCallRequest { etag: call.etag, ..deletion(&call.name) };
    let answer = delete(&house, given).await.expect("it is as it was");
    assert_eq!(answer.remaining_recording_uri, "");
    assert!(!recording.exists());
    assert_refused(&get(&house, &call.name).await.expect_err("it is gone"), Code::NotFound, "NOT_FOUND");
    let read = GetTranscriptRequest { call: call.name.clone(), include_events: true };
    let gone = house.client.calls().get_transcript(read).await.expect_err("it is gone");
    assert_refused(&gone, Code::NotFound, "NOT_FOUND");
    let again = delete(&house, deletion(&call.name)).await.expect_err("it is gone");
    assert_refused(&again, Code::NotFound, "NOT_FOUND");
    let whatever = DeleteCallRequest { allow_missing: true, ..deletion(&call.name) };
    delete(&house, whatever).await.expect("a missing one is allowed");
    assert_bad_fields(&delete(&house, deletion("calls/42")).await.expect_err("it is no name"), &["name"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_live_call_is_not_deleted_and_one_that_nobody_joined_is() {
    let house = House::scripted().await;
    let agent = house.hires(agents::echo("Hello")).await;
    let mut caller = Caller::dials(&house, typing_start(&agent)).await;
    let live = caller.ready.call.clone();
    let refused = delete(&house, deletion(&live)).await.expect_err("it lives");
    assert_refused(&refused, Code::FailedPrecondition, "CALL_LIVE");
    caller.hangs_up();
    caller.ends(SOON).await.1.expect("an end that was asked for is no error");
    house.ended_call(&live).await;
    delete(&house, deletion(&live)).await.expect("it is over");
    let waiting = create(&house, Call { agent, ..Default::default() }).await.expect("it is valid");
    delete(&house, deletion(&waiting.name)).await.expect("it never began");
    let joining = SessionStart { target: Some(Target::Call(waiting.name)), ..typing_start("") };
    let gone = Caller::tries(house.client.voice(), joining).await.err().expect("it is gone");
    assert_refused(&gone, Code::NotFound, "NOT_FOUND");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_recording_that_stays_keeps_its_call_and_one_that_is_elsewhere_is_named() {
    let house = House::scripted().await;
    let agent = house.hires(agents::echo("Hello")).await;
    let call = held(&house, typing_start(&agent)).await;
    let recording =
        PathBuf::from(call.recording_uri.strip_prefix("file://").expect("the agent was recorded"));
    std::fs::remove_file(&recording).expect("it is ours");
    // What is no file can't be removed as one, not even by root.
    std::fs::create_dir(&recording).expect("the place is free");
    let refused = delete(&house, deletion(&call.name)).await.expect_err("the recording stays");
    assert_refused(&refused, Code::FailedPrecondition, "RECORDING_KEPT");
    assert_eq!(house.transcript(&call.name).await.entries.len(), 3, "nothing was deleted");
    std::fs::remove_dir(&recording).expect("it is ours");
    let answer = delete(&house, deletion(&call.name)).await.expect("nothing is in the way");
    assert_eq!(answer.remaining_recording_uri, call.recording_uri, "it may lie on another machine");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_organisation_can_neither_change_nor_delete_it() {
    let house = House::scripted().await;
    let agent = house.hires(agents::echo("Hello")).await;
    let call = create(&house, Call { agent, ..Default::default() }).await.expect("it is valid");
    let stranger = house.stranger().await;
    let theirs = Call { name: call.name.clone(), labels: labels("a", "b"), ..Default::default() };
    let request = UpdateCallRequest { call: Some(theirs), ..Default::default() };
    let refused = stranger.calls().update_call(request).await.expect_err("not theirs");
    assert_refused(&refused, Code::NotFound, "NOT_FOUND");
    let refused = stranger.calls().delete_call(deletion(&call.name)).await.expect_err("not theirs");
    assert_refused(&refused, Code::NotFound, "NOT_FOUND");
    assert_eq!(get(&house, &call.name).await.expect("it is there"), call);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_says_what_it_used_and_costs_what_the_price_table_says() {
    let prices = "currency=EUR, script.text_to_speech_thousand_characters=1000, \
                  script.language_model_million_output_tokens=2000000";
    let house = House::scripted_with(&["--prices", prices], None).await;
    let agent = house.hires(agents::echo("Hello")).await;
    let call = held(&house, typing_start(&agent)).await;
    let usage = call.usage.expect("the session counted");
    // "Hello", and "You said: how are you" in five words.
    assert_eq!(usage.text_to_speech_characters, 5 + 21);
    assert_eq!(usage.language_model_output_tokens, Some(5));
    assert!(usage.language_model_input_tokens > Some(3), "{usage:?}");
    assert_eq!((usage.audio_in_duration.unwrap_or_default(), usage.tool_runs), (Default::default(), 0));
    let cost = call.cost.expect("something has a price");
    let euros = |units| Some(Money { currency_code: "EUR".into(), units, nanos: 0 });
    let amount = |unit| cost.lines.iter().find(|line| line.unit() == unit).map(|line| line.amount.clone());
    assert_eq!(amount(CostUnit::TextToSpeech), Some(euros(26)));
    assert_eq!(amount(CostUnit::LanguageModelOutput), Some(euros(10)));
    assert_eq!(amount(CostUnit::LanguageModelInput), Some(None), "used, and without a price");
    assert_eq!(amount(CostUnit::SpeechToText), None, "not used");
    assert_eq!(cost.total, euros(36));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_prices_use_is_counted_and_nothing_is_pretended_to_cost_nothing() {
    let house = House::scripted().await;
    let agent = house.hires(agents::echo("Hello")).await;
    let mut caller = Caller::dials(&house, parlance_tests::caller::start(&agent)).await;
    caller.agent_finishes().await;
    caller.waits(Duration::from_secs(1)).await;
    caller.hangs_up();
    caller.ends(SOON).await.1.expect("an end that was asked for is no error");
    let call = house.ended_call(&caller.ready.call).await;
    let usage = call.usage.expect("the session counted");
    let seconds = |length: Option<prost_types::Duration>| length.map_or(0, |length| length.seconds);
    assert!(seconds(usage.audio_in_duration) >= 1, "{usage:?}");
    assert!(seconds(usage.speech_to_text_duration) >= 1, "{usage:?}");
    assert_eq!((usage.language_model_input_tokens, call.cost), (None, None));
}
