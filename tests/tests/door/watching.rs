//! `WatchCall`: a call's events as they happen, from whichever place, to the end.

use std::time::Duration;

use parlance_proto::v1;
use parlance_proto::v1::call_event::Event;
use parlance_proto::v1::session_start::Target;
use parlance_proto::v1::{CallEvent, EndReason, SessionStart, TurnEventType};
use parlance_store::CallId;
use parlance_store::private_cluster::{ClusterConfig, PrivateCluster};
use parlance_tests::caller::typing_start;
use parlance_tests::details::{assert_bad_fields, assert_refused};
use parlance_tests::proxy::Proxy;
use parlance_tests::{Caller, House, Watcher, agents, database, program};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{ChildStdout, Command};
use tonic::transport::Endpoint;
use tonic::{Code, Request};

const SOON: Duration = Duration::from_secs(20);
/// Watchers a call may have.
const WATCHERS_MAX: usize = 100;

async fn announce(house: &House, agent: &str) -> String {
    let call = v1::Call { agent: agent.into(), ..Default::default() };
    let request = v1::CreateCallRequest { call: Some(call), ..Default::default() };
    let made = house.client.calls().create_call(request).await.expect("the call is valid").into_inner();
    made.call.expect("the answer holds it").name
}

async fn end(house: &House, call: &str) {
    let request = v1::EndCallRequest { name: call.into(), ..Default::default() };
    house.client.calls().end_call(request).await.expect("it can be ended");
}

async fn rest(house: &House, call: &str, after_offset: u64) -> Vec<CallEvent> {
    let (events, status) = Watcher::watches(&house.client, call, after_offset).await.ends().await;
    status.expect("a watched call that is over ends well");
    events
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_is_watched_from_before_it_begins_to_its_end_and_its_events_are_those_that_are_stored() {
    let house = House::scripted().await;
    let agent = house.hires(agents::echo("Hello")).await;
    let call = announce(&house, &agent).await;
    let early = tokio::spawn(Watcher::watches(&house.client, &call, 0).await.ends());
    let joining = SessionStart { target: Some(Target::Call(call.clone())), ..typing_start("") };
    let mut caller = Caller::dials(&house, joining).await;
    caller.agent_finishes().await;
    let late = tokio::spawn(Watcher::watches(&house.client, &call, 0).await.ends());
    caller.types("how are you");
    caller.agent_finishes().await;
    caller.hangs_up();
    caller.ends(SOON).await.1.expect("an end that was asked for is no error");
    let stored = house.transcript(&call).await.events;
    for watcher in [early, late] {
        let (told, status) = watcher.await.expect("the watcher does not panic");
        status.expect("a watched call that ended ends well");
        assert_eq!(told, stored);
    }
    assert!(matches!(stored.last(), Some(CallEvent { event: Some(Event::Ended(_)), .. })), "{stored:#?}");
    let has = |wanted: fn(&Event) -> bool| stored.iter().filter_map(|event| event.event.as_ref()).any(wanted);
    assert!(
        has(|event| matches!(event, Event::Turn(_))) && has(|event| matches!(event, Event::Waterfall(_)))
    );
    assert!(has(|event| matches!(event, Event::Transcript(entry) if entry.text == "how are you")));
    house.is_empty().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_is_over_is_told_from_any_offset_on() {
    let house = House::scripted().await;
    let agent = house.hires(agents::echo("Hello")).await;
    let mut caller = Caller::dials(&house, typing_start(&agent)).await;
    let call = caller.ready.call.clone();
    caller.agent_finishes().await;
    caller.hangs_up();
    caller.ends(SOON).await.1.expect("an end that was asked for is no error");
    house.ended_call(&call).await;
    let stored = house.transcript(&call).await.events;
    assert_eq!(rest(&house, &call, 0).await, stored);
    let middle = stored[stored.len() / 2].offset;
    assert_eq!(rest(&house, &call, middle).await, stored[stored.len() / 2 + 1..]);
    for behind in [stored[stored.len() - 1].offset, u64::MAX] {
        assert_eq!(rest(&house, &call, behind).await, []);
    }
    house.is_empty().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_waits_for_a_call_that_nobody_joins_is_told_its_end() {
    let house = House::scripted().await;
    let agent = house.hires(agents::echo("Hello")).await;
    let call = announce(&house, &agent).await;
    let waiting = tokio::spawn(Watcher::watches(&house.client, &call, 0).await.ends());
    end(&house, &call).await;
    let (told, status) = waiting.await.expect("the watcher does not panic");
    status.expect("a watched call that ended ends well");
    let [CallEvent { offset, event: Some(Event::Ended(ended)), .. }] = &told[..] else {
        panic!("its end and nothing else was told: {told:?}")
    };
    assert_eq!(ended.reason(), EndReason::ApiEnded);
    assert_eq!(rest(&house, &call, *offset).await, []);
    house.is_empty().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_is_not_there_or_anothers_can_not_be_watched() {
    let house = House::scripted().await;
    let agent = house.hires(agents::echo("Hello")).await;
    let call = announce(&house, &agent).await;
    let unknown = format!("calls/{}", CallId::new());
    let stranger = house.stranger().await;
    for (client, name) in [(&house.client, &unknown), (&stranger, &call)] {
        let refused = Watcher::tries(client, name, 0).await.err().expect("it is not there");
        assert_refused(&refused, Code::NotFound, "NOT_FOUND");
    }
    let refused = Watcher::tries(&house.client, "calls/42", 0).await.err().expect("it is no name");
    assert_bad_fields(&refused, &["name"]);
    end(&house, &call).await;
    house.is_empty().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_has_a_hundred_watchers_and_none_of_those_who_go_stays_behind() {
    let house = House::scripted().await;
    let agent = house.hires(agents::echo("Hello")).await;
    let call = announce(&house, &agent).await;
    let mut watchers = Vec::new();
    for _ in 0..WATCHERS_MAX {
        watchers.push(Watcher::watches(&house.client, &call, 0).await);
    }
    let refused = Watcher::tries(&house.client, &call, 0).await.err().expect("there is no place left");
    assert_refused(&refused, Code::ResourceExhausted, "TOO_MANY_WATCHERS");
    drop(watchers);
    let give_up = tokio::time::Instant::now() + SOON;
    while house.running.engine.bus.watchers.count() > 0 {
        assert!(tokio::time::Instant::now() < give_up, "watchers stay though their clients are gone");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    end(&house, &call).await;
    assert_eq!(rest(&house, &call, 0).await.len(), 1, "there are places again");
    house.is_empty().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watcher_that_reads_nothing_slows_nobody_and_misses_nothing() {
    let house = House::scripted().await;
    let agent = house.hires(agents::echo("Hello")).await;
    let mut caller = Caller::dials(&house, typing_start(&agent)).await;
    let call = caller.ready.call.clone();
    // A connection that takes some events and then no more until they are read.
    let endpoint = Endpoint::from_shared(house.url()).expect("it is an address");
    let channel = endpoint.initial_stream_window_size(1_024).connect().await.expect("the engine answers");
    let mut slow = v1::call_service_client::CallServiceClient::new(channel);
    let mut request = Request::new(v1::WatchCallRequest { name: call.clone(), after_offset: 0 });
    let bearer = format!("Bearer {}", house.key).parse().expect("a key is ASCII");
    request.metadata_mut().insert("authorization", bearer);
    let mut unread = slow.watch_call(request).await.expect("the call is there").into_inner();
    let quick = tokio::spawn(Watcher::watches(&house.client, &call, 0).await.ends());

    caller.agent_finishes().await;
    for line in 0..30 {
        caller.types(&format!("line {line}"));
    }
    let answered = |caller: &Caller| {
        let ended = caller.turns(TurnEventType::CallerEnded).len();
        ended >= 30 && !caller.turns(TurnEventType::ReplyEnded).is_empty()
    };
    caller.until("an answer to thirty lines", SOON, answered).await;
    caller.agent_finishes().await;
    end(&house, &call).await;
    caller.ends(SOON).await.1.expect("an end that was asked for is no error");
    let stored = house.transcript(&call).await.events;
    assert!(stored.len() > 100, "{} events are too few to make a watcher lag", stored.len());
    let (told, status) = quick.await.expect("the watcher does not panic");
    status.expect("a watched call that ended ends well");
    assert_eq!(told, stored);
    let mut told = Vec::new();
    while let Some(message) = unread.message().await.expect("it ends well, late") {
        told.extend(message.event);
    }
    assert_eq!(told, stored);
    house.is_empty().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_watches_on_the_calls_own_node_is_told_at_once_even_while_the_database_is_away() {
    let config = ClusterConfig::new(database::new_folder());
    let cluster = PrivateCluster::start(&config).expect("the tests need a Postgres");
    let _watch = cluster.stop_when_process_ends(true).expect("it goes when the test does");
    let house = House::leasing(cluster.url(), "15s").await;
    let agent = house.hires(agents::echo("Hello")).await;
    let mut caller = Caller::dials(&house, typing_start(&agent)).await;
    let call = caller.ready.call.clone();
    let mut watcher = Watcher::watches(&house.client, &call, 0).await;
    caller.agent_finishes().await;
    caller.types("before");
    let told = watcher.until("the line before", |watcher| watcher.has_said("You said: before"));
    tokio::join!(caller.agent_finishes(), told);
    tokio::task::block_in_place(|| cluster.stop()).expect("the server stops");
    caller.types("meanwhile");
    let told = watcher.until("the line meanwhile", |watcher| watcher.has_said("You said: meanwhile"));
    tokio::join!(caller.agent_finishes(), told);
    let cluster = tokio::task::block_in_place(|| PrivateCluster::start(&config));
    let cluster = cluster.expect("the server starts again");
    caller.hangs_up();
    caller.ends(SOON).await.1.expect("an end that was asked for is no error");
    let (told, status) = watcher.ends().await;
    status.expect("a watched call that ended ends well");
    house.ended_call(&call).await;
    assert_eq!(told, house.transcript(&call).await.events);
    house.is_empty().await;
    drop(house);
    tokio::task::block_in_place(|| cluster.stop()).expect("the server stops");
}

/// Reads on to a line with these words; gives all lines read.
async fn read_to(lines: &mut Lines<BufReader<ChildStdout>>, words: &str) -> Vec<String> {
    let mut read = Vec::new();
    while !read.last().is_some_and(|line: &String| line.contains(words)) {
        let line = tokio::time::timeout(SOON, lines.next_line()).await;
        match line {
            Ok(Ok(Some(line))) => read.push(line),
            other => panic!("{other:?} while `{words}` was awaited behind {read:#?}"),
        }
    }
    read
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_program_goes_on_watching_where_it_was_when_its_connection_broke() {
    let house = House::scripted().await;
    let proxy = Proxy::to(house.running.address).await;
    let agent = house.hires(agents::echo("Hello")).await;
    let mut caller = Caller::dials(&house, typing_start(&agent)).await;
    let call = caller.ready.call.clone();
    let program = tokio::task::spawn_blocking(program::path).await.expect("the program can be built");
    let endpoint = format!("http://{}", proxy.address);
    let mut watching = Command::new(program)
        .args(["calls", "watch", &call, "--endpoint", &endpoint, "--key", &house.key])
        .current_dir(house.data_dir())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .expect("the program can be started");
    let mut lines = BufReader::new(watching.stdout.take().expect("it is a pipe")).lines();
    caller.agent_finishes().await;
    caller.types("line one");
    let (mut told, ()) = tokio::join!(read_to(&mut lines, "You said: line one"), caller.agent_finishes());
    proxy.resets();
    caller.types("line two");
    caller.agent_finishes().await;
    proxy.recovers();
    caller.types("line three");
    let (rest, ()) = tokio::join!(read_to(&mut lines, "You said: line three"), caller.agent_finishes());
    told.extend(rest);
    for answer in ["Hello", "You said: line one", "You said: line two", "You said: line three"] {
        let count = told.iter().filter(|line| line.contains(answer)).count();
        assert_eq!(count, 1, "{answer}: {told:#?}");
    }
    caller.hangs_up();
    caller.ends(SOON).await.1.expect("an end that was asked for is no error");
    let status = tokio::time::timeout(SOON, watching.wait()).await.expect("it ends with the call");
    assert!(status.expect("it can be waited for").success());
    house.is_empty().await;
}
