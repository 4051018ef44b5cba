//! Every fault on every socket, as its vendor shows it.

use super::*;
use parlance_fakes::{Fault, Service};

const TEXT: &str = "word1 word2 word3 word4 ";

/// A socket, what to say on it, and when it has said all.
struct Vendor {
    service: Service,
    path: &'static str,
    messages: fn() -> Vec<Value>,
    is_done: fn(&Got) -> bool,
}

const VENDORS: [Vendor; 4] = [
    Vendor {
        service: Service::ElevenlabsMulti,
        path: ELEVENLABS,
        messages: || {
            vec![
                json!({"text": " ", "context_id": "a"}),
                json!({"text": TEXT, "context_id": "a", "flush": true}),
                json!({"context_id": "a", "close_context": true}),
            ]
        },
        is_done: |got| matches!(got, Got::Json(json) if json["isFinal"] == true),
    },
    Vendor {
        service: Service::ElevenlabsMulti,
        path: ELEVENLABS_SINGLE,
        messages: || vec![json!({"text": " "}), json!({"text": TEXT}), json!({"text": ""})],
        is_done: |got| matches!(got, Got::Json(json) if json["isFinal"] == true),
    },
    Vendor {
        service: Service::DeepgramSpeak,
        path: DEEPGRAM,
        messages: || vec![json!({"type": "Speak", "text": TEXT}), json!({"type": "Flush"})],
        is_done: |got| is_type("Flushed")(got),
    },
    Vendor {
        service: Service::CartesiaTts,
        path: CARTESIA,
        messages: || {
            vec![json!({
                "context_id": "a", "transcript": TEXT, "model_id": "sonic-3", "voice": {"id": "v"},
                "output_format": {"container": "raw", "encoding": "pcm_mulaw", "sample_rate": 8000},
            })]
        },
        is_done: |got| is_type("done")(got),
    },
];

impl Vendor {
    /// A client that has said it all, and the stand-ins with this fault.
    async fn with(&self, fault: Fault) -> (Fakes, Client) {
        let fakes = Fakes::start().await.expect("a port");
        fakes.plan(self.service, Plan::failing(fault).times(1));
        let mut client = Client::open(&fakes, self.path).await;
        for message in (self.messages)() {
            // What fails does so while it is spoken to, if it will.
            drop(client.0.send(Message::text(message.to_string())).await);
        }
        (fakes, client)
    }

    async fn refusal(&self, fault: Fault) -> Option<u16> {
        let fakes = Fakes::start().await.expect("a port");
        fakes.plan(self.service, Plan::failing(fault).times(1));
        let refused = Client::open_with(&fakes, self.path, "good").await.err();
        let again = Client::open_with(&fakes, self.path, "good").await;
        assert!(again.is_ok(), "{}: the plan is for one connection", self.path);
        refused
    }
}

fn sounds(all: &[Got]) -> usize {
    all.iter().filter(|got| sound_of(got).is_some()).count()
}

#[tokio::test]
async fn too_many_requests_and_errors_of_the_server_are_told_at_the_upgrade() {
    for vendor in &VENDORS {
        assert_eq!(
            vendor.refusal(Fault::RateLimited { retry_after_s: 3 }).await,
            Some(429),
            "{}",
            vendor.path
        );
        assert_eq!(vendor.refusal(Fault::ServerError).await, Some(500), "{}", vendor.path);
    }
}

#[tokio::test]
async fn a_wrong_key_and_an_empty_purse_are_told_where_the_vendor_tells_them() {
    for vendor in &VENDORS {
        let told = [(Fault::Unauthorized, "invalid_api_key", 401), (Fault::Quota, "quota_exceeded", 402)];
        for (fault, error, status) in told {
            if vendor.service != Service::ElevenlabsMulti {
                assert_eq!(vendor.refusal(fault).await, Some(status), "{}", vendor.path);
                continue;
            }
            let (_fakes, mut client) = vendor.with(fault).await;
            let all = client.until(is_end).await;
            let [Got::Json(said), Got::Closed(1008, _)] = all.as_slice() else { panic!("{all:?}") };
            assert_eq!(said["error"], error);
        }
        if vendor.service != Service::ElevenlabsMulti {
            let fakes = Fakes::start().await.expect("a port");
            assert_eq!(
                Client::open_with(&fakes, vendor.path, "bad").await.err(),
                Some(401),
                "{}",
                vendor.path
            );
        }
    }
}

#[tokio::test]
async fn elevenlabs_tells_unusual_activity_on_the_socket() {
    for vendor in &VENDORS[..2] {
        let (_fakes, mut client) = vendor.with(Fault::UnusualActivity).await;
        let all = client.until(is_end).await;
        let [Got::Json(said), Got::Closed(1008, _)] = all.as_slice() else { panic!("{all:?}") };
        assert_eq!(said["error"], "detected_unusual_activity");
    }
}

#[tokio::test]
async fn a_slow_first_byte_comes_late_and_the_rest_with_it() {
    for vendor in &VENDORS {
        let began = std::time::Instant::now();
        let (_fakes, mut client) = vendor.with(Fault::SlowFirstByte { ms: 400 }).await;
        client.until(|got| sound_of(got).is_some()).await;
        assert!(began.elapsed() >= Duration::from_millis(400), "{}", vendor.path);
        client.until(vendor.is_done).await;
    }
}

#[tokio::test]
async fn a_silent_socket_sends_no_more_but_answers_pings() {
    for vendor in &VENDORS {
        let (_fakes, mut client) = vendor.with(Fault::Silence { after: 3 }).await;
        let mut all = Vec::new();
        while let Some(got) = client.next_within(NOTHING).await {
            all.push(got);
        }
        assert_eq!(sounds(&all), 3, "{}", vendor.path);
        assert!(!all.iter().any(vendor.is_done), "{all:?}");
        assert!(answers_ping(&mut client, COMES).await, "{}", vendor.path);
    }
}

#[tokio::test]
async fn a_half_open_socket_answers_no_ping_and_stays() {
    for vendor in &VENDORS {
        let (_fakes, mut client) = vendor.with(Fault::HalfOpen { after: 3 }).await;
        let mut all = Vec::new();
        while let Some(got) = client.next_within(NOTHING).await {
            all.push(got);
        }
        assert_eq!(sounds(&all), 3, "{}", vendor.path);
        assert!(!answers_ping(&mut client, NOTHING).await, "{}", vendor.path);
    }
}

#[tokio::test]
async fn a_socket_that_is_not_read_lets_sends_block() {
    for vendor in &VENDORS {
        let (_fakes, mut client) = vendor.with(Fault::BlockedSend).await;
        let text = Message::text("x".repeat(1 << 20));
        let flood = async { while client.0.send(text.clone()).await.is_ok() {} };
        assert!(timeout(Duration::from_secs(2), flood).await.is_err(), "{}", vendor.path);
    }
}

async fn answers_ping(client: &mut Client, within: Duration) -> bool {
    client.0.send(Message::Ping(vec![7].into())).await.expect("it is taken");
    let pong = async {
        loop {
            match client.0.next().await {
                Some(Ok(Message::Pong(_))) => return true,
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return false,
            }
        }
    };
    timeout(within, pong).await.unwrap_or_default()
}

#[tokio::test]
async fn a_drop_comes_without_a_close_frame() {
    for vendor in &VENDORS {
        let (_fakes, mut client) = vendor.with(Fault::Drop { after: 3 }).await;
        let all = client.until(is_end).await;
        assert_eq!((sounds(&all), all.last()), (3, Some(&Got::Gone)), "{}", vendor.path);
    }
}

#[tokio::test]
async fn a_malformed_message_is_no_json_and_then_the_socket_is_cut() {
    for vendor in &VENDORS {
        let (_fakes, mut client) = vendor.with(Fault::Malformed { after: 3 }).await;
        let all = client.until(is_end).await;
        let [.., Got::Text(_), Got::Gone] = all.as_slice() else { panic!("{}: {all:?}", vendor.path) };
        assert_eq!(sounds(&all), 3);
    }
}

#[tokio::test]
async fn after_a_message_of_an_unknown_type_it_goes_on() {
    for vendor in &VENDORS {
        let (_fakes, mut client) = vendor.with(Fault::UnknownType { after: 3 }).await;
        let all = client.until(vendor.is_done).await;
        let unknown = all.iter().filter(|got| matches!(got, Got::Json(json) if json.to_string().contains("calm") || json["voiceActivity"].is_object()));
        assert_eq!(unknown.count(), 1, "{}", vendor.path);
        assert_eq!(words_of(&all), [1, 2, 3, 4], "{}", vendor.path);
    }
}

#[tokio::test]
async fn an_error_inside_the_stream_is_told_in_the_vendors_words() {
    for vendor in &VENDORS {
        let (_fakes, mut client) = vendor.with(Fault::ErrorInside { after: 3 }).await;
        let is_error = |got: &Got| matches!(got, Got::Json(json) if json["type"] == "error" || json["type"] == "Error" || json["error"] == "system_busy");
        let all = client.until(is_error).await;
        assert_eq!(sounds(&all), 3, "{}", vendor.path);
    }
}

#[tokio::test]
async fn an_empty_answer_has_a_proper_end_and_no_sound() {
    for vendor in &VENDORS {
        let (_fakes, mut client) = vendor.with(Fault::Empty).await;
        let all = client.until(vendor.is_done).await;
        assert_eq!(sounds(&all), 0, "{}", vendor.path);
    }
}

#[tokio::test]
async fn a_flapping_socket_is_accepted_and_closed() {
    for vendor in &VENDORS {
        let (_fakes, mut client) = vendor.with(Fault::Flap).await;
        let all = client.until(is_end).await;
        assert!(matches!(all.last(), Some(Got::Closed(1011, _))), "{}: {all:?}", vendor.path);
        assert_eq!(sounds(&all), 0);
    }
}

#[tokio::test]
async fn messages_in_continuation_frames_are_whole_again() {
    for vendor in &VENDORS {
        let (_fakes, mut client) = vendor.with(Fault::Fragment).await;
        assert_eq!(words_of(&client.until(vendor.is_done).await), [1, 2, 3, 4], "{}", vendor.path);
    }
}

#[tokio::test]
async fn cartesia_forgets_the_context_it_told_an_error_of_and_keeps_the_socket() {
    let vendor = &VENDORS[3];
    let (_fakes, mut client) = vendor.with(Fault::ErrorInside { after: 3 }).await;
    let all = client.until(is_type("error")).await;
    assert_eq!(sounds(&all), 3);
    assert_eq!(client.next_within(NOTHING).await, None, "no sound and no end comes behind it");
    client.say((vendor.messages)().remove(0)).await;
    assert_eq!(words_of(&client.until(vendor.is_done).await), [1, 2, 3, 4]);
}
