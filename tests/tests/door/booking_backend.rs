//! An external booking backend: it books instead of the engine's own table, and the caller hears what it says.

use std::time::Duration;

use parlance_proto::v1;
use parlance_tests::caller::typing_start;
use parlance_tests::{Caller, House, agents};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

const SOON: Duration = Duration::from_secs(20);

/// A backend that gives these answers, one a connection, and where it is; what it was asked comes at its end.
async fn backend(answers: Vec<(u16, &'static str)>) -> (String, tokio::task::JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("http://{}/book", listener.local_addr().expect("it is bound"));
    let served = tokio::spawn(async move {
        let mut asked = Vec::new();
        for (status, body) in answers {
            let (mut stream, _) = listener.accept().await.expect("the engine connects");
            let mut text = String::new();
            while !text.ends_with('}') {
                let mut bytes = [0; 4096];
                let read = stream.read(&mut bytes).await.expect("a request");
                assert!(read > 0, "it ended early: {text}");
                text += std::str::from_utf8(&bytes[..read]).expect("HTTP and JSON are text");
            }
            asked.push(text);
            let length = body.len();
            let answer =
                format!("HTTP/1.1 {status} X\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}");
            stream.write_all(answer.as_bytes()).await.expect("the engine reads");
        }
        asked
    });
    (url, served)
}

async fn types(caller: &mut Caller, line: &str) {
    let before = caller.turns(v1::TurnEventType::ReplyStarted).len();
    caller.types(line);
    let replied = |caller: &Caller| caller.turns(v1::TurnEventType::ReplyStarted).len() > before;
    caller.until(&format!("an answer to `{line}`"), SOON, replied).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_booking_goes_to_the_backend_whose_refusal_is_heard_and_whose_id_is_kept() {
    let refusal = (409, r#"{"message":"We are full at a quarter past eight"}"#);
    let (url, served) = backend(vec![refusal, (201, r#"{"id":"backend-17"}"#)]).await;
    let house = House::scripted_with(&["--booking-base-url", &url], None).await;
    let agent = house.hires(v1::Agent { voice: None, ..agents::restaurant() }).await;
    let mut caller = Caller::dials(&house, typing_start(&agent)).await;
    for line in
        ["A table for two tomorrow at 8:15 pm, please", "Maria Garcia", "(212) 555-0198", "Yes please"]
    {
        types(&mut caller, line).await;
    }
    let refused = |caller: &Caller| {
        caller.texts(v1::Speaker::Agent).iter().any(|text| text.contains("full at a quarter past eight"))
    };
    caller.until("the backend's words", SOON, refused).await;
    types(&mut caller, "at seven pm").await;
    caller.types("yes please");
    let (ended, status) = caller.ends(SOON).await;
    status.expect("a call that the agent ends ends well");
    assert_eq!(ended.reason(), v1::EndReason::AgentEnded, "{}", caller.history());

    assert_eq!(house.appointments(&caller.ready.call).await.len(), 0, "our own table is left alone");
    let call = house.ended_call(&caller.ready.call).await;
    let results: Vec<String> = call.tool_invocations.iter().map(|run| format!("{:?}", run.result)).collect();
    assert!(results.last().is_some_and(|result| result.contains("backend-17")), "{results:?}");
    let asked = served.await.expect("the backend ends");
    let keys: Vec<&str> = asked.iter().filter_map(|text| text.lines().find(|line| is_key(line))).collect();
    assert!(keys.len() == 2 && keys[0] != keys[1], "each run has its own key: {keys:?}");
    assert!(asked[0].starts_with("POST /book/appointments HTTP/1.1"), "{}", asked[0]);
    assert!(asked[0].contains(r#""customer_name":"Maria Garcia""#), "{}", asked[0]);
    assert!(asked[0].contains("T20:15:00-0") && asked[1].contains("T19:00:00-0"), "{asked:?}");
    house.is_empty().await;
}

fn is_key(line: &str) -> bool {
    line.to_lowercase().starts_with("idempotency-key:")
}
