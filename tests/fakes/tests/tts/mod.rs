//! The stand-ins that speak: what tests send them and how they hear the answer.

mod cartesia;
mod clients;
mod deepgram;
mod elevenlabs;
mod faults;
mod requests;

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use futures_util::{SinkExt, StreamExt};
use parlance_fakes::code::{Decoder, number_of};
use parlance_fakes::{Fakes, Plan};
use parlance_media::g711::Law;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::{HeaderName, HeaderValue};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

/// Longer than anything takes that comes.
const COMES: Duration = Duration::from_secs(20);
/// Long enough to see that nothing does.
const NOTHING: Duration = Duration::from_millis(500);
/// A hundred of them are half a minute.
const LONG: &str = "word1 ";

/// The paths of the sockets, each in the format that the tests decode: mu-law at 8 kHz, or as the messages ask.
const ELEVENLABS: &str = "/elevenlabs/v1/text-to-speech/v/multi-stream-input?output_format=ulaw_8000";
const ELEVENLABS_SINGLE: &str = "/elevenlabs/v1/text-to-speech/v/stream-input?output_format=ulaw_8000";
const DEEPGRAM: &str = "/deepgram/v1/speak?model=aura-2-thalia-en&encoding=mulaw&sample_rate=8000";
const CARTESIA: &str = "/cartesia/tts/websocket?cartesia_version=2026-08-14";

/// What comes from a stand-in.
#[derive(Debug, Clone, PartialEq)]
enum Got {
    Json(Value),
    Sound(Vec<u8>),
    Text(String),
    Closed(u16, String),
    Gone,
}

/// A client of a stand-in.
struct Client(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Client {
    async fn open(fakes: &Fakes, path: &str) -> Self {
        Self::open_with(fakes, path, "good").await.expect("the upgrade")
    }

    /// The status with which the upgrade is refused, if it is.
    async fn open_with(fakes: &Fakes, path: &str, key: &str) -> Result<Self, u16> {
        let mut request = format!("ws://{}{path}", fakes.address()).into_client_request().expect("a request");
        let token = format!("Token {key}");
        let key = if path.starts_with("/deepgram") {
            ("authorization", token.as_str())
        } else {
            ("x-api-key", key)
        };
        for (name, value) in [key, ("xi-api-key", key.1)] {
            let value = HeaderValue::from_str(value).expect("a value");
            request.headers_mut().insert(HeaderName::from_bytes(name.as_bytes()).expect("a name"), value);
        }
        match connect_async(request).await {
            Ok((socket, _)) => Ok(Self(socket)),
            Err(tokio_tungstenite::tungstenite::Error::Http(response)) => Err(response.status().as_u16()),
            Err(error) => panic!("{error}"),
        }
    }

    async fn say(&mut self, message: Value) {
        self.0.send(Message::text(message.to_string())).await.expect("it is taken");
    }

    async fn next(&mut self) -> Got {
        self.next_within(COMES).await.expect("something comes")
    }

    async fn next_within(&mut self, time: Duration) -> Option<Got> {
        loop {
            return Some(match timeout(time, self.0.next()).await.ok()? {
                Some(Ok(Message::Text(text))) => match serde_json::from_str(&text) {
                    Ok(json) => Got::Json(json),
                    Err(_) => Got::Text(text.to_string()),
                },
                Some(Ok(Message::Binary(bytes))) => Got::Sound(bytes.to_vec()),
                Some(Ok(Message::Close(Some(frame)))) => {
                    Got::Closed(frame.code.into(), frame.reason.to_string())
                }
                Some(Ok(Message::Close(None))) => Got::Closed(1005, String::new()),
                Some(Ok(_)) => continue,
                Some(Err(_)) | None => Got::Gone,
            });
        }
    }

    /// Everything until this is so, and that.
    async fn until(&mut self, is_last: impl Fn(&Got) -> bool) -> Vec<Got> {
        let mut all = Vec::new();
        loop {
            let got = self.next().await;
            assert!(got != Got::Gone || is_last(&got), "gone after {all:?}");
            all.push(got);
            if all.last().is_some_and(&is_last) {
                return all;
            }
        }
    }
}

/// The sound of one thing that came, whichever vendor sent it.
fn sound_of(got: &Got) -> Option<Vec<u8>> {
    match got {
        Got::Sound(bytes) => Some(bytes.clone()),
        Got::Json(json) => {
            let text = json["audio"]
                .as_str()
                .or_else(|| json["data"].as_str())
                .or_else(|| json["audio_base64"].as_str());
            Some(BASE64.decode(text?).expect("base64"))
        }
        _ => None,
    }
}

/// The words in mu-law at 8 kHz.
fn words_of(all: &[Got]) -> Vec<u16> {
    let bytes: Vec<u8> = all.iter().filter_map(sound_of).flatten().collect();
    let mut samples = Vec::new();
    Law::Mu.decode(&bytes, &mut samples);
    words_in(&samples, 8_000)
}

fn words_in(samples: &[i16], rate_hz: u32) -> Vec<u16> {
    let mut words = Vec::new();
    let mut decoder = Decoder::new(rate_hz);
    let mut found = |found: parlance_fakes::code::Found| words.push(found.number);
    decoder.push(samples, &mut found);
    // A tune is certain once something came after it.
    decoder.push(&vec![0; rate_hz as usize], &mut found);
    words
}

fn numbers(text: &str) -> Vec<u16> {
    text.split_whitespace().map(number_of).collect()
}

/// Slow enough that a client can say something between two pieces, wherever it runs.
fn paced() -> Plan {
    Plan { interval_ms: 150, ..Plan::default() }
}

fn is_type(kind: &str) -> impl Fn(&Got) -> bool {
    move |got| matches!(got, Got::Json(json) if json["type"] == kind)
}

fn is_end(got: &Got) -> bool {
    matches!(got, Got::Closed(..) | Got::Gone)
}
