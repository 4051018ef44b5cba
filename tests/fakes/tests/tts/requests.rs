//! Speech by HTTP request: formats, limits, and every fault as its vendor shows it.

use super::*;
use parlance_fakes::{Fault, Service};

const TEXT: &str = "word1 word2 word3";

/// A request for [`TEXT`].
struct Vendor {
    service: Service,
    path: &'static str,
    body: fn(&str) -> Value,
    rate_hz: u32,
}

const VENDORS: [Vendor; 4] = [
    Vendor {
        service: Service::OpenaiSpeech,
        path: "/openai/v1/audio/speech",
        body: |text| json!({"model": "m", "voice": "coral", "input": text, "response_format": "pcm"}),
        rate_hz: 24_000,
    },
    Vendor {
        service: Service::ElevenlabsHttp,
        path: "/elevenlabs/v1/text-to-speech/v/stream?output_format=pcm_16000",
        body: |text| json!({"text": text, "model_id": "eleven_flash_v2_5"}),
        rate_hz: 16_000,
    },
    Vendor {
        service: Service::DeepgramSpeak,
        path: "/deepgram/v1/speak?encoding=linear16&container=none&sample_rate=48000",
        body: |text| json!({"text": text}),
        rate_hz: 48_000,
    },
    Vendor {
        service: Service::CartesiaTts,
        path: "/cartesia/tts/bytes",
        body: |text| {
            json!({
                "model_id": "sonic-3", "transcript": text, "voice": "v",
                "output_format": {"container": "raw", "encoding": "pcm_s16le", "sample_rate": 22050},
            })
        },
        rate_hz: 22_050,
    },
];

/// reqwest wants cryptography to be there even where there is none.
fn client() -> reqwest::Client {
    drop(rustls::crypto::ring::default_provider().install_default());
    reqwest::Client::new()
}

/// What came of a request: the status, the header, the body as far as it came, whether to its end.
struct Answer {
    status: u16,
    retry_after: Option<String>,
    content_type: String,
    body: Vec<u8>,
    is_whole: bool,
}

impl Vendor {
    async fn ask(&self, fakes: &Fakes, key: &str, body: &Value) -> reqwest::Response {
        let request = client().post(format!("http://{}{}", fakes.address(), self.path));
        let token = if self.service == Service::DeepgramSpeak { "Token" } else { "Bearer" };
        let request = request
            .header("authorization", format!("{token} {key}"))
            .header("xi-api-key", key)
            .header("cartesia-version", "2026-08-14")
            .json(body);
        timeout(COMES, request.send()).await.expect("an answer").expect("a response")
    }

    async fn answer(&self, fakes: &Fakes, key: &str, body: &Value) -> Answer {
        let mut response = self.ask(fakes, key, body).await;
        let header =
            |name: &str| response.headers().get(name).map(|value| value.to_str().expect("text").to_owned());
        let (retry_after, content_type) = (header("retry-after"), header("content-type").unwrap_or_default());
        let (status, mut body) = (response.status().as_u16(), Vec::new());
        let is_whole = loop {
            match timeout(COMES, response.chunk()).await.expect("a chunk in time") {
                Ok(Some(chunk)) => body.extend(chunk),
                Ok(None) => break true,
                Err(_) => break false,
            }
        };
        Answer { status, retry_after, content_type, body, is_whole }
    }

    async fn failing(&self, fault: Fault) -> Answer {
        let fakes = Fakes::start().await.expect("a port");
        fakes.plan(self.service, Plan::failing(fault).times(1));
        self.answer(&fakes, "good", &(self.body)(TEXT)).await
    }

    fn words(&self, body: &[u8]) -> Vec<u16> {
        let (samples, rest) = body.as_chunks::<2>();
        assert!(rest.is_empty());
        let samples: Vec<_> = samples.iter().map(|sample| i16::from_le_bytes(*sample)).collect();
        words_in(&samples, self.rate_hz)
    }
}

#[tokio::test]
async fn a_request_is_answered_with_its_words_in_its_format() {
    let fakes = Fakes::start().await.expect("a port");
    for vendor in &VENDORS {
        let answer = vendor.answer(&fakes, "good", &(vendor.body)(TEXT)).await;
        assert_eq!(vendor.words(&answer.body), [1, 2, 3], "{}", vendor.path);
        assert!(answer.is_whole && answer.content_type.starts_with("audio/"), "{}", answer.content_type);
    }
}

#[tokio::test]
async fn refusals_have_the_vendors_status_and_body() {
    for vendor in &VENDORS {
        let quota = match vendor.service {
            Service::OpenaiSpeech => 429,
            Service::ElevenlabsHttp => 401,
            _ => 402,
        };
        let limited = Fault::RateLimited { retry_after_s: 3 };
        let told =
            [(Fault::Unauthorized, 401), (Fault::Quota, quota), (limited, 429), (Fault::ServerError, 500)];
        for (fault, status) in told {
            let answer = vendor.failing(fault.clone()).await;
            assert_eq!(answer.status, status, "{}: {fault:?}", vendor.path);
            let body: Value = serde_json::from_slice(&answer.body).expect("JSON");
            let fields = ["error", "detail", "err_code", "error_code"];
            assert!(fields.iter().any(|field| !body[*field].is_null()), "{body}");
            let is_limited = matches!(fault, Fault::RateLimited { .. });
            assert_eq!(answer.retry_after.as_deref(), is_limited.then_some("3"), "{}", vendor.path);
        }
        let fakes = Fakes::start().await.expect("a port");
        assert_eq!(vendor.answer(&fakes, "bad", &(vendor.body)(TEXT)).await.status, 401, "{}", vendor.path);
        assert_eq!(vendor.answer(&fakes, "good", &json!({})).await.status, 400, "{}", vendor.path);
    }
}

#[tokio::test]
async fn elevenlabs_blocks_for_unusual_activity() {
    let answer = VENDORS[1].failing(Fault::UnusualActivity).await;
    let body: Value = serde_json::from_slice(&answer.body).expect("JSON");
    assert_eq!((answer.status, &body["detail"]["status"]), (401, &json!("detected_unusual_activity")));
}

#[tokio::test]
async fn a_body_that_breaks_has_no_end() {
    for vendor in &VENDORS {
        for fault in
            [Fault::Drop { after: 3 }, Fault::Malformed { after: 3 }, Fault::ErrorInside { after: 3 }]
        {
            let answer = vendor.failing(fault.clone()).await;
            assert_eq!((answer.status, answer.is_whole), (200, false), "{}: {fault:?}", vendor.path);
            assert!(!answer.body.is_empty(), "{}: {fault:?}", vendor.path);
            let is_half_a_sample = answer.body.len() % 2 == 1;
            assert_eq!(is_half_a_sample, matches!(fault, Fault::Malformed { .. }), "{}", vendor.path);
        }
        let answer = vendor.failing(Fault::Flap).await;
        assert_eq!((answer.body.len(), answer.is_whole), (0, false), "{}", vendor.path);
    }
}

#[tokio::test]
async fn an_error_before_any_sound_comes_with_status_200_and_no_sound() {
    for vendor in &VENDORS {
        let answer = vendor.failing(Fault::ErrorInside { after: 0 }).await;
        assert_eq!(
            (answer.status, answer.content_type.as_str()),
            (200, "application/json"),
            "{}",
            vendor.path
        );
        assert!(serde_json::from_slice::<Value>(&answer.body).expect("JSON").is_object());
    }
}

#[tokio::test]
async fn sound_has_no_types_so_that_an_unknown_one_changes_nothing() {
    for vendor in &VENDORS {
        let answer = vendor.failing(Fault::UnknownType { after: 1 }).await;
        assert_eq!(vendor.words(&answer.body), [1, 2, 3], "{}", vendor.path);
    }
}

#[tokio::test]
async fn an_empty_answer_has_an_end_and_no_sound() {
    for vendor in &VENDORS {
        let answer = vendor.failing(Fault::Empty).await;
        assert_eq!((answer.status, answer.body.len(), answer.is_whole), (200, 0, true), "{}", vendor.path);
    }
}

#[tokio::test]
async fn pieces_that_end_within_a_sample_are_the_same_words() {
    for vendor in &VENDORS {
        let fakes = Fakes::start().await.expect("a port");
        fakes.plan(vendor.service, Plan::failing(Fault::Fragment));
        let answer = vendor.answer(&fakes, "good", &(vendor.body)("word1")).await;
        assert_eq!(vendor.words(&answer.body), [1], "{}", vendor.path);
    }
}

#[tokio::test]
async fn a_body_that_stands_still_sends_no_more_and_does_not_end() {
    for vendor in &VENDORS {
        for fault in [Fault::Silence { after: 2 }, Fault::HalfOpen { after: 2 }] {
            let fakes = Fakes::start().await.expect("a port");
            fakes.plan(vendor.service, Plan::failing(fault.clone()).times(1));
            let mut response = vendor.ask(&fakes, "good", &(vendor.body)(TEXT)).await;
            let mut length = 0;
            while let Ok(chunk) = timeout(NOTHING, response.chunk()).await {
                length += chunk.expect("no break").expect("no end").len();
            }
            assert!(length > 0, "{}: {fault:?}", vendor.path);
        }
        let fakes = Fakes::start().await.expect("a port");
        fakes.plan(vendor.service, Plan::failing(Fault::BlockedSend).times(1));
        let asked = (vendor.body)(TEXT);
        assert!(timeout(NOTHING, vendor.ask(&fakes, "good", &asked)).await.is_err(), "{}", vendor.path);
    }
}

#[tokio::test]
async fn a_slow_first_byte_comes_behind_a_head_that_comes_at_once() {
    for vendor in &VENDORS {
        let fakes = Fakes::start().await.expect("a port");
        fakes.plan(vendor.service, Plan::failing(Fault::SlowFirstByte { ms: 1_500 }).times(1));
        let began = std::time::Instant::now();
        let mut response = vendor.ask(&fakes, "good", &(vendor.body)(TEXT)).await;
        assert!(timeout(NOTHING, response.chunk()).await.is_err(), "{}", vendor.path);
        response.chunk().await.expect("no break").expect("sound");
        assert!(began.elapsed() >= Duration::from_millis(1_500), "{}", vendor.path);
    }
}

#[tokio::test]
async fn a_client_that_lets_go_is_noted() {
    for vendor in &VENDORS {
        let fakes = Fakes::start().await.expect("a port");
        fakes.plan(vendor.service, Plan { interval_ms: 50, ..Plan::default() });
        let asked = (vendor.body)(&"word1 ".repeat(300));
        let mut response = vendor.ask(&fakes, "good", &asked).await;
        response.chunk().await.expect("no break").expect("sound");
        drop(response);
        let gone = async {
            while !fakes.seen(vendor.service).iter().any(|seen| seen.what == "gone") {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        assert!(timeout(COMES, gone).await.is_ok(), "{}", vendor.path);
    }
}

#[tokio::test]
async fn linear16_of_deepgram_without_a_container_asked_for_has_a_header() {
    let fakes = Fakes::start().await.expect("a port");
    let vendor = Vendor { path: "/deepgram/v1/speak?encoding=linear16&sample_rate=48000", ..VENDORS[2] };
    let answer = vendor.answer(&fakes, "good", &(vendor.body)(TEXT)).await;
    assert_eq!((&answer.body[..4], &answer.body[8..16]), (&b"RIFF"[..], &b"WAVEfmt "[..]));
    assert_eq!(vendor.words(&answer.body[44..]), [1, 2, 3]);
}

#[tokio::test]
async fn timestamps_are_lines_of_json_whose_times_count_from_the_start() {
    let fakes = Fakes::start().await.expect("a port");
    let path = "/elevenlabs/v1/text-to-speech/v/stream/with-timestamps?output_format=ulaw_8000";
    let vendor = Vendor { path, ..VENDORS[1] };
    let answer = vendor.answer(&fakes, "good", &(vendor.body)(TEXT)).await;
    let lines = String::from_utf8(answer.body).expect("text");
    let all: Vec<_> =
        lines.lines().map(|line| Got::Json(serde_json::from_str(line).expect("JSON"))).collect();
    assert_eq!(words_of(&all), [1, 2, 3]);
    let (mut text, mut times) = (String::new(), Vec::new());
    for got in &all {
        let Got::Json(json) = got else { continue };
        let list = |name: &str| json["alignment"][name].as_array().expect("a list").clone();
        text.extend(list("characters").iter().map(|char| char.as_str().expect("a character").to_owned()));
        times
            .extend(list("character_start_times_seconds").iter().map(|time| time.as_f64().expect("seconds")));
    }
    assert_eq!(text, TEXT);
    assert!(times.is_sorted() && times.last() > Some(&0.7), "{times:?}");
}

#[tokio::test]
async fn openai_speaks_as_events_where_the_model_can() {
    let fakes = Fakes::start().await.expect("a port");
    let vendor = &VENDORS[0];
    let mut body = (vendor.body)(TEXT);
    body["stream_format"] = "sse".into();
    let answer = vendor.answer(&fakes, "good", &body).await;
    assert!(answer.content_type.starts_with("text/event-stream"), "{}", answer.content_type);
    let lines = String::from_utf8(answer.body).expect("text");
    let events = lines.lines().filter_map(|line| line.strip_prefix("data: "));
    let all: Vec<_> = events.map(|event| Got::Json(serde_json::from_str(event).expect("JSON"))).collect();
    assert_eq!(vendor.words(&all.iter().filter_map(sound_of).flatten().collect::<Vec<_>>()), [1, 2, 3]);
    assert!(is_type("speech.audio.done")(all.last().expect("an event")));
    body["model"] = "tts-1".into();
    assert_eq!(vendor.answer(&fakes, "good", &body).await.status, 400);
}

#[tokio::test]
async fn voices_are_listed_to_who_shows_a_key() {
    let fakes = Fakes::start().await.expect("a port");
    for (path, field) in
        [("elevenlabs/v1/voices", "voices"), ("elevenlabs/v2/voices", "voices"), ("cartesia/voices", "data")]
    {
        let ask = async |key: &str| {
            let request = client().get(fakes.base(path)).header("xi-api-key", key).header("x-api-key", key);
            let response = request.send().await.expect("a response");
            (response.status().as_u16(), response.json::<Value>().await.expect("JSON"))
        };
        let (status, body) = ask("good").await;
        assert_eq!(status, 200);
        assert!(body[field].as_array().is_some_and(|voices| voices.len() >= 3), "{body}");
        assert_eq!(ask("wrong").await.0, 401, "{path}");
    }
    let models = client().get(fakes.base("elevenlabs/v1/models")).header("xi-api-key", "good").send();
    assert_eq!(models.await.expect("a response").status(), 200);
}
