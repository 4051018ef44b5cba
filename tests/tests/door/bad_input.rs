//! Clients that do it wrong: each gets a clear answer, and nothing of it stays behind.

use std::time::Duration;

use parlance_proto::v1::voice_service_client::VoiceServiceClient;
use parlance_proto::v1::voice_session_request::Request;
use parlance_proto::v1::{
    self, Agent, AudioEncoding, AudioFormat, CallHandling, EndReason, SessionStart, VoiceSessionRequest,
};
use parlance_tests::caller::{audio, request, start, typing_start};
use parlance_tests::details::{assert_bad_fields, assert_refused};
use parlance_tests::proxy::Proxy;
use parlance_tests::{Caller, House, agents, clips};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status, Streaming};

const SOON: Duration = Duration::from_secs(20);

type Incoming = Streaming<v1::VoiceSessionResponse>;
type Requests = mpsc::Sender<VoiceSessionRequest>;

/// A stream without a caller behind it.
async fn stream(house: &House, messages: Vec<VoiceSessionRequest>) -> (Requests, Result<Incoming, Status>) {
    let (requests, outgoing) = mpsc::channel(1_024);
    for message in messages {
        requests.try_send(message).expect("a new channel has room");
    }
    let answer = house.client.voice().voice_session(ReceiverStream::new(outgoing)).await;
    (requests, answer.map(tonic::Response::into_inner))
}

async fn refusal_of(house: &House, message: VoiceSessionRequest) -> Status {
    let (_requests, answer) = stream(house, vec![message]).await;
    answer.expect_err("it is refused")
}

/// Reads to the end: the status, and the reason that `ended` gave.
async fn read_to_end(mut incoming: Incoming) -> (Result<(), Status>, Option<EndReason>) {
    let mut reason = None;
    loop {
        let message = tokio::time::timeout(SOON, incoming.message()).await.expect("the stream ends");
        match message {
            Ok(Some(message)) => {
                if let Some(v1::voice_session_response::Response::Ended(ended)) = message.response {
                    reason = Some(ended.reason());
                }
            }
            Ok(None) => return (Ok(()), reason),
            Err(status) => return (Err(status), reason),
        }
    }
}

/// What a bad message in the middle of a call comes to: the status, with the call ended as BAD_INPUT.
async fn refusal_in_call(message: VoiceSessionRequest) -> Status {
    let house = House::scripted().await;
    let agent = house.hires(agents::echo("Hello")).await;
    let begin = request(Request::Start(start(&agent)));
    let (_requests, answer) = stream(&house, vec![begin, audio(vec![0; 640]), message]).await;
    let (status, reason) = read_to_end(answer.expect("the start is valid")).await;
    assert_eq!(reason, Some(EndReason::BadInput), "`ended` comes before the status");
    house.is_empty().await;
    let list = house.client.calls().list_calls(v1::ListCallsRequest::default()).await.expect("a page");
    let [call] = list.into_inner().calls.try_into().expect("there was one call");
    assert_eq!(call.end_reason(), EndReason::BadInput);
    assert!(!call.end_message.is_empty(), "the call says what was wrong");
    status.expect_err("the stream ends with the reason")
}

fn start_with(input: AudioFormat, output: AudioFormat) -> VoiceSessionRequest {
    let formats =
        SessionStart { input_format: Some(input), output_format: Some(output), ..start("agents/echo") };
    request(Request::Start(formats))
}

fn format(encoding: AudioEncoding, sample_rate_hz: u32) -> AudioFormat {
    AudioFormat { encoding: encoding.into(), sample_rate_hz }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unknown_agent_is_not_found() {
    let house = House::scripted().await;
    let status = refusal_of(&house, request(Request::Start(start("agents/nobody")))).await;
    assert_refused(&status, Code::NotFound, "NOT_FOUND");
    let status = refusal_of(&house, request(Request::Start(start("nobody")))).await;
    assert_bad_fields(&status, &["start.agent"]);
    house.is_empty().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_key_and_a_wrong_key_are_unauthenticated_at_every_door() {
    let house = House::scripted().await;
    let channel =
        Endpoint::from_shared(house.url()).expect("a URL").connect().await.expect("the engine listens");
    for key in [None, Some("Bearer pk_wrong"), Some("Bearer "), Some("pk_no_bearer")] {
        let show = move |mut request: tonic::Request<()>| {
            if let Some(key) = key {
                request.metadata_mut().insert("authorization", key.parse().expect("plain ASCII"));
            }
            Ok(request)
        };
        let first = tokio_stream::iter([request(Request::Start(start("agents/echo")))]);
        let mut voice = VoiceServiceClient::with_interceptor(channel.clone(), show);
        let refused = voice.voice_session(first).await.expect_err("no valid key");
        assert_refused(&refused, Code::Unauthenticated, "INVALID_KEY");
        let mut agents =
            v1::agent_service_client::AgentServiceClient::with_interceptor(channel.clone(), show);
        let refused = agents.list_agents(v1::ListAgentsRequest::default()).await.expect_err("no valid key");
        assert_refused(&refused, Code::Unauthenticated, "INVALID_KEY");
        let mut calls = v1::call_service_client::CallServiceClient::with_interceptor(channel.clone(), show);
        let refused = calls.list_calls(v1::ListCallsRequest::default()).await.expect_err("no valid key");
        assert_refused(&refused, Code::Unauthenticated, "INVALID_KEY");
        let mut numbers = v1::phone_number_service_client::PhoneNumberServiceClient::with_interceptor(
            channel.clone(),
            show,
        );
        let refused = numbers.list_phone_numbers(v1::ListPhoneNumbersRequest::default()).await;
        assert_refused(&refused.expect_err("no valid key"), Code::Unauthenticated, "INVALID_KEY");
        let mut appointments =
            v1::appointment_service_client::AppointmentServiceClient::with_interceptor(channel.clone(), show);
        let refused = appointments.list_appointments(v1::ListAppointmentsRequest::default()).await;
        assert_refused(&refused.expect_err("no valid key"), Code::Unauthenticated, "INVALID_KEY");
    }
    house.is_empty().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn formats_that_are_not_spoken_are_refused_by_field() {
    let house = House::scripted().await;
    house.hires(agents::echo("Hello")).await;
    let good = format(AudioEncoding::Pcm16, 16_000);
    let fast_mulaw = format(AudioEncoding::Mulaw, 16_000);
    let odd_rate = format(AudioEncoding::Pcm16, 11_025);
    let unknown = AudioFormat { encoding: 77, sample_rate_hz: 0 };
    let status = refusal_of(&house, start_with(fast_mulaw, good)).await;
    assert_bad_fields(&status, &["start.input_format.sample_rate_hz"]);
    assert!(status.message().contains("8000"), "the rates that would do are named: {}", status.message());
    let status = refusal_of(&house, start_with(good, odd_rate)).await;
    assert_bad_fields(&status, &["start.output_format.sample_rate_hz"]);
    let status = refusal_of(&house, start_with(odd_rate, unknown)).await;
    assert_bad_fields(&status, &["start.input_format.sample_rate_hz", "start.output_format.encoding"]);
    house.is_empty().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_odd_number_of_bytes_is_refused_by_field() {
    assert_bad_fields(&refusal_in_call(audio(vec![0; 641])).await, &["audio.data"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_than_64_kib_of_audio_in_a_message_is_refused_by_field() {
    assert_bad_fields(&refusal_in_call(audio(vec![0; 65_538])).await, &["audio.data"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_megabytes_are_out_of_range_first_or_in_a_call() {
    let status = refusal_in_call(audio(vec![0; 10 << 20])).await;
    assert_eq!(status.code(), Code::OutOfRange, "{status:?}");
    let house = House::scripted().await;
    let status = refusal_of(&house, audio(vec![0; 10 << 20])).await;
    assert_eq!(status.code(), Code::OutOfRange, "{status:?}");
    house.is_empty().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_start_is_a_failed_precondition() {
    let status = refusal_in_call(request(Request::Start(start("agents/echo")))).await;
    assert_refused(&status, Code::FailedPrecondition, "SECOND_START");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn empty_messages_are_refused_by_field() {
    assert_bad_fields(&refusal_in_call(VoiceSessionRequest::default()).await, &["request"]);
    let control = request(Request::Control(v1::SessionControl::default()));
    assert_bad_fields(&refusal_in_call(control).await, &["control"]);
    let text = request(Request::Text(v1::TypedText { text: " ".into() }));
    assert_bad_fields(&refusal_in_call(text).await, &["text.text"]);
    let playback = request(Request::Playback(v1::PlaybackProgress::default()));
    assert_bad_fields(&refusal_in_call(playback).await, &["playback.position"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn audio_or_nothing_at_all_before_the_start_is_refused() {
    let house = House::scripted().await;
    let status = refusal_of(&house, audio(vec![0; 640])).await;
    assert_refused(&status, Code::FailedPrecondition, "START_EXPECTED");
    let status = refusal_of(&house, VoiceSessionRequest::default()).await;
    assert_bad_fields(&status, &["start"]);
    let (requests, outgoing) = mpsc::channel::<VoiceSessionRequest>(1);
    drop(requests);
    let closed = house.client.voice().voice_session(ReceiverStream::new(outgoing)).await;
    assert_bad_fields(&closed.expect_err("it closed at once"), &["start"]);
    house.is_empty().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_sends_nothing_at_all_is_told_after_ten_seconds() {
    let house = House::scripted().await;
    let began = Instant::now();
    let (_requests, answer) = stream(&house, Vec::new()).await;
    assert_refused(&answer.expect_err("nothing was started"), Code::DeadlineExceeded, "TOO_LATE");
    assert!(began.elapsed() >= Duration::from_secs(9), "it was given its time");
    house.is_empty().await;
}

/// An agent that soon has enough of silence.
fn impatient() -> Agent {
    let second = Some(agents::duration(Duration::from_secs(1)));
    let call_handling = CallHandling {
        reminder_after: second,
        silence_limit: second,
        ..agents::echo("Hi").call_handling.unwrap_or_default()
    };
    Agent { call_handling: Some(call_handling), ..agents::echo("Hi") }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silence_for_ever_is_reminded_of_and_then_ends_the_call() {
    let house = House::scripted().await;
    let agent = house.hires(impatient()).await;
    let mut caller = Caller::dials(&house, start(&agent)).await;
    let (ended, status) = caller.ends(SOON).await;
    status.expect("silence is no error");
    assert_eq!(ended.reason(), EndReason::Silence, "{}", caller.history());
    assert_eq!(caller.texts(v1::Speaker::Agent)[..2], ["Hi", "Are you still there?"], "{}", caller.history());
    house.is_empty().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_and_nothing_more_ends_as_audio_that_never_came() {
    let house = House::scripted().await;
    let agent = house.hires(impatient()).await;
    let start = SessionStart { reports_playback: false, ..start(&agent) };
    let (_requests, answer) = stream(&house, vec![request(Request::Start(start))]).await;
    let (status, reason) = read_to_end(answer.expect("the start is valid")).await;
    status.expect("silence is no error");
    assert_eq!(reason, Some(EndReason::NoAudio));
    house.is_empty().await;
}

/// Audio for far longer than any of these tests.
fn talkative() -> Agent {
    agents::echo(&"and on and on it goes ".repeat(80))
}

/// A connection with small windows, so that what is not read stays with the engine.
async fn narrow_channel(url: String) -> Channel {
    let endpoint = Endpoint::from_shared(url).expect("a URL");
    let narrow = endpoint.initial_stream_window_size(65_535).initial_connection_window_size(65_535);
    narrow.connect().await.expect("the engine listens")
}

async fn open(house: &House, channel: Channel, start: SessionStart) -> (Requests, Incoming) {
    let bearer = format!("Bearer {}", house.key);
    let show = move |mut request: tonic::Request<()>| {
        request.metadata_mut().insert("authorization", bearer.parse().expect("plain ASCII"));
        Ok(request)
    };
    let (requests, outgoing) = mpsc::channel(1_024);
    requests.try_send(request(Request::Start(start))).expect("a new channel has room");
    let mut voice = VoiceServiceClient::with_interceptor(channel, show);
    let answer = voice.voice_session(ReceiverStream::new(outgoing)).await.expect("the start is valid");
    (requests, answer.into_inner())
}

/// Waits until the one call of this house has ended.
async fn end_of_the_call(house: &House, within: Duration) -> v1::Call {
    let give_up = Instant::now() + within;
    while house.running.engine.live.count() > 0 {
        assert!(Instant::now() < give_up, "the call goes on");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let list = house.client.calls().list_calls(v1::ListCallsRequest::default()).await.expect("a page");
    let [call] = list.into_inner().calls.try_into().expect("there was one call");
    house.ended_call(&call.name).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_never_reads_is_lost_and_does_not_hold_the_engine_up() {
    let house = House::scripted().await;
    let agent = house.hires(talkative()).await;
    let loud = SessionStart {
        output_format: Some(format(AudioEncoding::Pcm16, 48_000)),
        reports_playback: false,
        ..typing_start(&agent)
    };
    let (_requests, _unread) = open(&house, narrow_channel(house.url()).await, loud).await;
    let call = end_of_the_call(&house, Duration::from_secs(40)).await;
    assert_eq!(call.end_reason(), EndReason::FarEndLost, "{call:?}");
    house.is_empty().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_drops_the_stream_in_mid_call_is_lost_at_once() {
    let house = House::scripted().await;
    let agent = house.hires(talkative()).await;
    let mut caller = Caller::dials(&house, start(&agent)).await;
    caller.hears(Duration::from_millis(500)).await;
    drop(caller);
    let call = end_of_the_call(&house, SOON).await;
    let known = [EndReason::FarEndLost, EndReason::CallerHungUp];
    assert!(known.contains(&call.end_reason()), "{call:?}");
    house.is_empty().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_is_reset_is_a_far_end_lost_at_once() {
    let house = House::scripted().await;
    let agent = house.hires(talkative()).await;
    let proxy = Proxy::to(house.running.address).await;
    let channel = narrow_channel(format!("http://{}", proxy.address)).await;
    let (_requests, mut incoming) = open(&house, channel, start(&agent)).await;
    incoming.message().await.expect("the session began").expect("`ready` came");
    proxy.resets();
    let began = Instant::now();
    let call = end_of_the_call(&house, SOON).await;
    assert!(began.elapsed() < Duration::from_secs(5), "it took {:?}", began.elapsed());
    assert_eq!(call.end_reason(), EndReason::FarEndLost, "{call:?}");
    house.is_empty().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_network_that_swallows_everything_is_noticed() {
    let house = House::scripted().await;
    let agent = house.hires(talkative()).await;
    let proxy = Proxy::to(house.running.address).await;
    let channel = narrow_channel(format!("http://{}", proxy.address)).await;
    let (_requests, mut incoming) = open(&house, channel, start(&agent)).await;
    incoming.message().await.expect("the session began").expect("`ready` came");
    proxy.falls_silent();
    let call = end_of_the_call(&house, Duration::from_secs(45)).await;
    assert_eq!(call.end_reason(), EndReason::FarEndLost, "{call:?}");
    house.is_empty().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_recording_sent_all_at_once_is_slowed_to_real_time_and_understood() {
    let house = House::offline().await;
    let quiet = CallHandling { first_speaker: v1::FirstSpeaker::Caller.into(), ..Default::default() };
    let agent = house.hires(Agent { call_handling: Some(quiet), ..agents::restaurant() }).await;
    let mut samples = clips::samples("u01_slt.wav");
    samples.resize(samples.len() + 16_000, 0);
    let length = Duration::from_millis(samples.len() as u64 / 16);
    let bytes: Vec<u8> = samples.iter().flat_map(|sample| sample.to_le_bytes()).collect();
    let begin = request(Request::Start(SessionStart { reports_playback: false, ..start(&agent) }));
    let messages = std::iter::once(begin).chain(bytes.chunks(3_200).map(|bytes| audio(bytes.to_vec())));
    let began = Instant::now();
    let (requests, answer) = stream(&house, messages.collect()).await;
    drop(requests);
    let mut incoming = answer.expect("the start is valid");
    let mut heard = None;
    while let Some(message) = incoming.message().await.expect("it is not refused") {
        if let Some(v1::voice_session_response::Response::Transcript(update)) = message.response
            && let Some(entry) = update.entry.filter(|_| update.r#final)
            && entry.speaker() == v1::Speaker::Caller
        {
            heard = Some((entry.text.to_lowercase(), began.elapsed()));
        }
    }
    let (text, after) = heard.expect("the caller was heard");
    assert!(text.contains("table for four on friday"), "{text}");
    assert!(after + Duration::from_millis(1_500) >= length, "{length:?} of audio were taken in {after:?}");
    house.is_empty().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_engine_that_stops_ends_its_calls_and_leaves_nothing() {
    let house = House::scripted().await;
    let agent = house.hires(talkative()).await;
    let mut caller = Caller::dials(&house, start(&agent)).await;
    caller.hears(Duration::from_millis(200)).await;
    let engine = house.running.engine.clone();
    let House { running, scope, .. } = house;
    let stopping = tokio::spawn(running.stop(Duration::ZERO, std::future::pending()));
    let (ended, _) = caller.ends(SOON).await;
    assert_eq!(ended.reason(), EndReason::Drained, "{}", caller.history());
    let stopped = tokio::time::timeout(SOON, stopping).await.expect("it stops").expect("without a panic");
    stopped.expect("the journal is written to its end");
    assert_eq!(engine.live.count(), 0);
    let id = caller.ready.call.trim_start_matches("calls/").parse().expect("an id");
    let row = parlance_store::calls::get(&scope, id).await.expect("the row is there");
    assert_eq!(row.state, parlance_store::calls::CallState::Ended);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_engine_that_stops_waits_for_its_tools_and_leaves_them_the_database() {
    let House { running, scope, .. } = House::scripted().await;
    let (begun, begins) = tokio::sync::oneshot::channel();
    let run = running.engine.tools.spawn(async move {
        begun.send(()).expect("the test waits for it");
        // Longer than an engine without calls takes to stop.
        tokio::time::sleep(Duration::from_millis(500)).await;
        parlance_store::organisations::get(&scope).await
    });
    begins.await.expect("it begins");
    running.stop(Duration::ZERO, std::future::pending()).await.expect("nothing is left to write");
    // It is counted as gone a moment before its task is.
    let ended = tokio::time::timeout(Duration::from_secs(5), run).await.expect("the engine waited for it");
    ended.expect("without a panic").expect("the database was there");
}
