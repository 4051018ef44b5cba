//! HTTP tools against a service of the test's own.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use super::*;
use crate::tools::addresses::{Lookup, PrivateAddresses};

/// What a name means, by how often it was asked for; the last meaning stays.
struct Fickle {
    meanings: Vec<IpAddr>,
    asked: AtomicUsize,
}

impl Lookup for Fickle {
    fn lookup(&self, _: String) -> Pin<Box<dyn Future<Output = std::io::Result<Vec<IpAddr>>> + Send>> {
        let asked = self.asked.fetch_add(1, Ordering::Relaxed);
        let meaning = self.meanings[asked.min(self.meanings.len() - 1)];
        Box::pin(std::future::ready(Ok(vec![meaning])))
    }
}

/// A service that keeps what it is asked and closes each connection.
async fn service(answer: &'static str) -> (SocketAddr, Arc<Mutex<Vec<String>>>) {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
    let address = listener.local_addr().expect("it has one");
    let seen = Arc::<Mutex<Vec<String>>>::default();
    let heard = seen.clone();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut text = vec![0; 16_384];
            let read = stream.read(&mut text).await.unwrap_or(0);
            heard.lock().expect("nobody panicked").push(String::from_utf8_lossy(&text[..read]).into_owned());
            let head = format!("HTTP/1.1 {answer}\r\nConnection: close\r\n\r\n");
            stream.write_all(head.as_bytes()).await.ok();
        }
    });
    (address, seen)
}

fn rule(private: &str) -> Addresses {
    Addresses::new(private.parse::<PrivateAddresses>().expect("it is a list of networks"), true)
}

fn wanted(url: &str) -> Wanted {
    let (url, headers) = (Url::parse(url).expect("it is a URL"), HeaderMap::new());
    Wanted { method: Method::POST, url, headers, body: "{}".to_owned() }
}

#[tokio::test]
async fn a_name_is_looked_up_once_a_connection_and_only_what_was_judged_is_connected_to() {
    let (address, seen) = service("200 OK\r\nContent-Length: 0").await;
    let v4 = |a, b, c, d| IpAddr::V4(Ipv4Addr::new(a, b, c, d));
    // The name means an address that is allowed, then one that is not, at which our service listens too.
    let meanings = vec![address.ip(), v4(127, 0, 0, 2)];
    let fickle = Arc::new(Fickle { meanings, asked: AtomicUsize::new(0) });
    let client = client(rule("127.0.0.1/32").asking(fickle.clone())).expect("a client can be made");
    let wanted = wanted(&format!("http://fickle.test:{}/", address.port()));
    assert!(wanted.send(&client).await.is_ok());
    assert_eq!(
        fickle.asked.load(Ordering::Relaxed),
        1,
        "who is judged and who is connected to is one answer"
    );
    assert!(matches!(wanted.send(&client).await, Err(Trouble::Refused)));
    assert_eq!(seen.lock().expect("nobody panicked").len(), 1, "the second request went nowhere");
}

#[tokio::test]
async fn a_name_that_means_a_private_address_is_refused() {
    let (address, seen) = service("200 OK\r\nContent-Length: 0").await;
    let client = client(rule("")).expect("a client can be made");
    let wanted = wanted(&format!("http://localhost:{}/", address.port()));
    assert!(matches!(wanted.send(&client).await, Err(Trouble::Refused)));
    assert!(seen.lock().expect("nobody panicked").is_empty());
}

fn tool() -> HttpTool {
    HttpTool {
        method: Method::POST,
        url: String::new(),
        headers: Vec::new(),
        body: String::new(),
        signing_secret: None,
        result_fields: Vec::new(),
    }
}

#[tokio::test]
async fn what_may_be_done_twice_is_tried_three_times_and_what_may_not_once() {
    let (address, seen) = service("503 Service Unavailable\r\nContent-Length: 0").await;
    let client = client(rule("127.0.0.1")).expect("a client can be made");
    let wanted = wanted(&format!("http://{address}/"));
    for (effect, tries) in [(Effect::Effect, 1), (Effect::Idempotent, 3), (Effect::None, 3)] {
        seen.lock().expect("nobody panicked").clear();
        let (status, _) = tool().tries(&client, &wanted, effect, later()).await.expect("it answers");
        assert_eq!(
            (status.as_u16(), seen.lock().expect("nobody panicked").len()),
            (503, tries),
            "{effect:?}"
        );
    }
}

fn later() -> Instant {
    Instant::now() + Duration::from_secs(60)
}

#[tokio::test]
async fn no_try_begins_after_the_time_of_the_run_and_what_is_known_is_told() {
    let (address, seen) = service("503 Service Unavailable\r\nContent-Length: 0").await;
    let client = client(rule("127.0.0.1")).expect("a client can be made");
    let wanted = wanted(&format!("http://{address}/"));
    let answer = tool().tries(&client, &wanted, Effect::None, Instant::now()).await;
    assert_eq!(answer.expect("it answers").0, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(seen.lock().expect("nobody panicked").len(), 1);
}

#[test]
fn an_answer_is_told_as_json_as_text_or_as_a_failure_and_never_too_much_of_it() {
    let result = |outcome| match outcome {
        ToolOutcome::Succeeded { result } => result,
        other => panic!("it succeeded: {other:?}"),
    };
    let reason = |outcome| match outcome {
        ToolOutcome::Failed { reason } => reason,
        other => panic!("it failed: {other:?}"),
    };
    let none = Values::new();
    assert_eq!(result(tool().told(StatusCode::OK, r#"{"a": 1}"#, &none)), json!({"a": 1}));
    assert_eq!(result(tool().told(StatusCode::OK, "sunny", &none)), json!({"text": "sunny"}));
    assert_eq!(result(tool().told(StatusCode::NO_CONTENT, "", &none)), json!({}));
    let picky = HttpTool { result_fields: vec!["/data/0/price".into(), "/none".into()], ..tool() };
    let picked = result(picky.told(StatusCode::OK, r#"{"data": [{"price": 7}], "token": "x"}"#, &none));
    assert_eq!(picked, json!({"data.0.price": 7}));
    assert_eq!(
        reason(tool().told(StatusCode::NOT_FOUND, "no such order\n", &none)),
        "the service answered 404: no such order"
    );
    assert!(reason(tool().told(StatusCode::FOUND, "", &none)).contains("not followed"));
    assert!(reason(tool().told(StatusCode::OK, &"x".repeat(ANSWER_MAX + 1), &none)).contains("64 KiB"));
    let pin: Values = [("PIN".to_owned(), "12345678".to_owned())].into();
    let told = result(tool().told(StatusCode::OK, r#"{"pin": 12345678, "a": 1}"#, &pin));
    assert_eq!(
        told,
        json!({"pin": "[secret]", "a": 1}),
        "what stands beside a secret of digits is told as it is"
    );
}

#[test]
fn a_signature_is_the_hmac_of_time_and_body() {
    // Computed with Python's hmac: HMAC-SHA256 of `1700000000.{"a":1}` under `whsec`.
    let signed = signature("whsec", 1_700_000_000, r#"{"a":1}"#);
    assert_eq!(signed, "t=1700000000,v1=8ad37ba156048ae0e0a5533c75cdf26fee88b07f93cb57ee4c80adb053012032");
}
