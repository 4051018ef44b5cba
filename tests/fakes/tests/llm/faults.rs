//! Every planned fault, at every vendor.

use http_body_util::BodyExt;
use parlance_fakes::{Fakes, Fault, Plan, Service};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::{ENDS, End, NOTHING, Reading, VENDORS, Vendor, until};

const LINE: &str = "one two three four five six";

async fn with(vendor: &Vendor, fault: Fault) -> Fakes {
    let fakes = Fakes::start().await.expect("a free port");
    fakes.plan(vendor.service, Plan { lines: vec![LINE.into()], ..Plan::failing(fault) });
    fakes
}

async fn reading(vendor: &Vendor, fakes: &Fakes) -> Reading {
    Reading::of(vendor.ask(fakes, &vendor.hello()).await)
}

// On two threads, so that the cut can overtake what was sent before it, if it may.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dropped_stream_ends_in_the_middle_after_just_so_many_words() {
    for vendor in VENDORS {
        for after in [0, 1, 3, 6].repeat(25) {
            let fakes = with(&vendor, Fault::Drop { after }).await;
            let mut reading = reading(&vendor, &fakes).await;
            assert_eq!(reading.read_to_end().await, End::Cut);
            assert_eq!(reading.words(&vendor).len(), after as usize, "{:?}", vendor.service);
        }
    }
}

#[tokio::test]
async fn a_silent_stream_stands_still_and_the_letting_go_is_seen() {
    for vendor in VENDORS {
        let fakes = with(&vendor, Fault::Silence { after: 2 }).await;
        let mut reading = reading(&vendor, &fakes).await;
        reading.read_words(&vendor, 2).await;
        reading.stands_still().await;
        assert_eq!(reading.words(&vendor), ["one", " two"]);
        assert!(!vendor.gone(&fakes));
        drop(reading);
        until(|| vendor.gone(&fakes)).await;
    }
}

#[tokio::test]
async fn a_half_open_stream_stands_still_and_notices_no_goodbye() {
    for vendor in VENDORS {
        for after in [0, 2] {
            let fakes = with(&vendor, Fault::HalfOpen { after }).await;
            let mut reading = reading(&vendor, &fakes).await;
            reading.read_words(&vendor, after as usize).await;
            reading.stands_still().await;
        }

        let fakes = with(&vendor, Fault::HalfOpen { after: 2 }).await;
        let mut stream = TcpStream::connect(fakes.address()).await.expect("the fakes listen");
        stream.write_all(raw(&vendor).as_bytes()).await.expect("a request fits");
        until_quiet(&mut stream).await;
        stream.shutdown().await.expect("the other side need not agree");
        let read = timeout(NOTHING, stream.read(&mut [0; 16])).await;
        assert!(read.is_err(), "who reads nothing sees nobody go: {read:?}");
    }
}

#[tokio::test]
async fn a_silent_stream_notices_a_goodbye() {
    for vendor in VENDORS {
        let fakes = with(&vendor, Fault::Silence { after: 2 }).await;
        let mut stream = TcpStream::connect(fakes.address()).await.expect("the fakes listen");
        stream.write_all(raw(&vendor).as_bytes()).await.expect("a request fits");
        until_quiet(&mut stream).await;
        stream.shutdown().await.expect("the other side need not agree");
        let read = timeout(ENDS, stream.read(&mut [0; 16])).await.expect("it closes too");
        assert!(matches!(read, Ok(0) | Err(_)), "{read:?}");
    }
}

/// A request as it goes over the wire.
fn raw(vendor: &Vendor) -> String {
    let body = vendor.hello().to_string();
    let keys = "authorization: Bearer a-key\r\nx-goog-api-key: a-key\r\nanthropic-version: 2026-10-21";
    format!(
        "POST {} HTTP/1.1\r\nhost: h\r\n{keys}\r\ncontent-length: {}\r\n\r\n{body}",
        vendor.path,
        body.len()
    )
}

/// Reads the head and what follows until nothing more comes.
async fn until_quiet(stream: &mut TcpStream) {
    let mut came = vec![0; 1 << 16];
    let first = timeout(ENDS, stream.read(&mut came)).await.expect("a head").expect("a head");
    assert!(came[..first].starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&came[..first]));
    while let Ok(read) = timeout(NOTHING, stream.read(&mut came)).await {
        assert!(read.is_ok_and(|length| length > 0), "it ended");
    }
}

#[tokio::test]
async fn a_blocked_send_does_not_get_through() {
    let length = 64 << 20;
    for vendor in VENDORS {
        let fakes = with(&vendor, Fault::BlockedSend).await;
        let mut stream = TcpStream::connect(fakes.address()).await.expect("the fakes listen");
        let head = format!("POST {} HTTP/1.1\r\nhost: h\r\ncontent-length: {length}\r\n\r\n", vendor.path);
        stream.write_all(head.as_bytes()).await.expect("a head fits");
        let body = vec![b' '; length];
        assert!(timeout(NOTHING, stream.write_all(&body)).await.is_err(), "the send got through");
        assert_eq!(fakes.seen(vendor.service).len(), 1, "opened, and no more");
    }
}

#[tokio::test]
async fn refusals_are_those_of_the_vendor() {
    let limited = Fault::RateLimited { retry_after_s: 7 };
    let cases = [
        (Service::OpenaiChat, Fault::Unauthorized, 401, "/error/code", "invalid_api_key"),
        (Service::OpenaiChat, Fault::Quota, 429, "/error/code", "insufficient_quota"),
        (Service::OpenaiChat, limited.clone(), 429, "/error/code", "rate_limit_exceeded"),
        (Service::OpenaiChat, Fault::ServerError, 500, "/error/type", "server_error"),
        (Service::OpenaiResponses, Fault::Unauthorized, 401, "/error/code", "invalid_api_key"),
        (Service::OpenaiResponses, Fault::Quota, 429, "/error/code", "insufficient_quota"),
        (Service::OpenaiResponses, limited.clone(), 429, "/error/code", "rate_limit_exceeded"),
        (Service::OpenaiResponses, Fault::ServerError, 500, "/error/type", "server_error"),
        (Service::GeminiStream, Fault::Unauthorized, 400, "/error/details/0/reason", "API_KEY_INVALID"),
        (Service::GeminiStream, Fault::Quota, 429, "/error/status", "RESOURCE_EXHAUSTED"),
        (Service::GeminiStream, limited.clone(), 429, "/error/details/0/retryDelay", "7s"),
        (Service::GeminiStream, Fault::ServerError, 500, "/error/status", "INTERNAL"),
        (Service::AnthropicMessages, Fault::Unauthorized, 401, "/error/type", "authentication_error"),
        (Service::AnthropicMessages, Fault::Quota, 402, "/error/type", "billing_error"),
        (Service::AnthropicMessages, limited, 429, "/error/type", "rate_limit_error"),
        (Service::AnthropicMessages, Fault::ServerError, 500, "/error/type", "api_error"),
    ];
    for (service, fault, status, at, says) in cases {
        let vendor = VENDORS.into_iter().find(|vendor| vendor.service == service).expect("a vendor");
        let fakes = with(&vendor, fault.clone()).await;
        let response = vendor.ask(&fakes, &vendor.hello()).await;
        assert_eq!(response.status(), status, "{service:?} {fault:?}");
        let waits = response.headers().get("retry-after").cloned();
        let body = response.into_body().collect().await.expect("whole").to_bytes();
        let body: Value = serde_json::from_slice(&body).expect("JSON");
        assert_eq!(body.pointer(at).and_then(Value::as_str), Some(says), "{body}");
        let is_told = matches!(fault, Fault::RateLimited { .. }) && service != Service::GeminiStream;
        assert_eq!(waits.is_some_and(|waits| waits == "7"), is_told, "{service:?} {fault:?}");
        assert!(!vendor.gone(&fakes), "a refusal ends in order");
    }
}

#[tokio::test]
async fn a_wrong_key_and_none_are_refused() {
    for vendor in VENDORS {
        let fakes = Fakes::start().await.expect("a free port");
        for (key, is_right) in [("a-key", true), ("a-bad-key", false), ("wrong", false), ("", false)] {
            let response = vendor.ask_with(&fakes, key, vendor.path, vendor.hello().to_string()).await;
            assert_eq!(response.status() == 200, is_right, "{:?} {key}", vendor.service);
        }
    }
}

#[tokio::test]
async fn a_malformed_event_can_not_be_parsed_and_the_stream_is_cut() {
    for vendor in VENDORS {
        let fakes = with(&vendor, Fault::Malformed { after: 2 }).await;
        let mut reading = reading(&vendor, &fakes).await;
        assert_eq!(reading.read_to_end().await, End::Cut);
        assert_eq!(reading.words(&vendor), ["one", " two"]);
        assert!(reading.events().last().is_some_and(Value::is_string), "{:?}", vendor.service);
    }
}

#[tokio::test]
async fn an_unknown_event_comes_once_and_the_words_go_on() {
    for vendor in VENDORS {
        let fakes = with(&vendor, Fault::UnknownType { after: 2 }).await;
        let mut reading = reading(&vendor, &fakes).await;
        assert_eq!(reading.read_to_end().await, End::InOrder);
        assert_eq!(reading.words(&vendor).concat(), LINE);
        let events = reading.events();
        assert_eq!(events.iter().filter(|event| event["surprise"]["level"] == 1).count(), 1);
    }
}

#[tokio::test]
async fn an_error_inside_is_the_last_event_of_an_answer_with_status_200() {
    for vendor in VENDORS {
        for after in [0, 3] {
            let fakes = with(&vendor, Fault::ErrorInside { after }).await;
            let mut reading = reading(&vendor, &fakes).await;
            assert_eq!(reading.read_to_end().await, End::InOrder);
            assert_eq!(reading.words(&vendor).len(), after as usize);
            let events = reading.events();
            assert_eq!(events.len() == 1, after == 0, "before the first word there is nothing else");
            let last = events.last().expect("an event");
            assert!(last["error"]["message"].is_string() || last["type"] == "error", "{last}");
        }
    }
}

#[tokio::test]
async fn an_empty_answer_ends_properly_without_a_word() {
    for vendor in VENDORS {
        let fakes = with(&vendor, Fault::Empty).await;
        let mut reading = reading(&vendor, &fakes).await;
        assert_eq!(reading.read_to_end().await, End::InOrder);
        assert!(reading.words(&vendor).is_empty());
        let text = String::from_utf8(reading.text).expect("UTF-8");
        let ends =
            [r#""finish_reason":"stop""#, "response.completed", r#""finishReason":"STOP""#, "message_stop"];
        assert!(ends.iter().any(|end| text.contains(end)), "{text}");
    }
}

#[tokio::test]
async fn a_flapping_service_accepts_and_closes() {
    for vendor in VENDORS {
        let fakes = with(&vendor, Fault::Flap).await;
        let mut reading = reading(&vendor, &fakes).await;
        assert_eq!(reading.read_to_end().await, End::Cut);
        assert!(reading.text.is_empty());
    }
}

#[tokio::test]
async fn a_slow_first_byte_comes_long_after_the_head() {
    for vendor in VENDORS {
        let fakes = with(&vendor, Fault::SlowFirstByte { ms: 3_600_000 }).await;
        let mut reading = reading(&vendor, &fakes).await;
        reading.stands_still().await;
        assert!(reading.text.is_empty());
    }
}

#[tokio::test]
async fn fragments_are_cut_everywhere_also_inside_letters_and_make_the_same_text() {
    let line = "नमस्ते, टेबल ₹250 — ça va? 🌶️".repeat(20);
    for vendor in VENDORS {
        let fakes = Fakes::start().await.expect("a free port");
        fakes.plan(vendor.service, Plan { lines: vec![line.clone()], ..Plan::failing(Fault::Fragment) });
        let mut reading = reading(&vendor, &fakes).await;
        assert_eq!(reading.read_to_end().await, End::InOrder);
        assert_eq!(reading.words(&vendor).concat(), line);
        assert!(reading.pieces.iter().all(|length| *length <= 3), "{:?}", vendor.service);
        let text = std::str::from_utf8(&reading.text).expect("UTF-8");
        let (mut at, mut places) = (0, std::collections::BTreeSet::new());
        for length in &reading.pieces {
            at += length;
            // How far into its letter the cut is, and what kind of place it is otherwise.
            let start = text.floor_char_boundary(at);
            places.insert(if start < at {
                format!("{} in", at - start)
            } else {
                text[at..].chars().take(1).collect()
            });
        }
        let wanted = ["1 in", "2 in", "3 in", "\n", ":", "d", "\"", "{", "न", " "];
        let missing: Vec<_> = wanted.iter().filter(|place| !places.contains(**place)).collect();
        assert!(missing.is_empty(), "{:?}: nothing was cut before {missing:?}", vendor.service);
    }
}

#[tokio::test]
async fn cancelling_is_seen() {
    for vendor in VENDORS {
        let fakes = Fakes::start().await.expect("a free port");
        let lines = vec![LINE.repeat(1_000)];
        fakes.plan(vendor.service, Plan { lines, interval_ms: 10, ..Plan::default() });
        let mut reading = reading(&vendor, &fakes).await;
        reading.read_words(&vendor, 3).await;
        assert!(!vendor.gone(&fakes));
        drop(reading);
        until(|| vendor.gone(&fakes)).await;
    }
}

#[tokio::test]
async fn letting_go_before_the_head_is_seen_too() {
    for vendor in VENDORS {
        let fakes = Fakes::start().await.expect("a free port");
        fakes.plan(vendor.service, Plan { handshake_ms: 3_600_000, ..Plan::default() });
        let body = vendor.hello();
        assert!(timeout(NOTHING, vendor.ask(&fakes, &body)).await.is_err(), "it was answered");
        until(|| vendor.gone(&fakes)).await;
    }
}

#[tokio::test]
async fn faults_are_for_so_many_requests_and_the_others_go_well() {
    for vendor in VENDORS {
        let fakes = Fakes::start().await.expect("a free port");
        let plan =
            Plan { skip: 1, lines: vec![LINE.into()], ..Plan::failing(Fault::Drop { after: 2 }).times(1) };
        fakes.plan(vendor.service, plan);
        let mut ends = Vec::new();
        for _ in 0..3 {
            ends.push(reading(&vendor, &fakes).await.read_to_end().await);
        }
        assert_eq!(ends, [End::InOrder, End::Cut, End::InOrder]);
    }
}
