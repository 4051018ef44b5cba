//! A WebSocket client that speaks no vendor's protocol, for the promises of the stand-ins.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use parlance_fakes::{Fakes, Plan, Service};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use super::WORDS;

/// Far more than any of it takes.
const SOON: Duration = Duration::from_secs(30);

pub struct Client(WebSocketStream<MaybeTlsStream<TcpStream>>);

/// What a connection ended with.
#[derive(Debug, PartialEq, Eq)]
pub enum End {
    /// A close frame with this code and reason.
    Closed(u16, String),
    /// A cut.
    Cut,
}

/// The plan in which codes are the words of these tests.
pub fn words() -> Plan {
    Plan { words: WORDS.map(str::to_owned).to_vec(), ..Plan::default() }
}

impl Client {
    /// Opens a path with a good key.
    pub async fn open(fakes: &Fakes, path: &str) -> Self {
        Self::try_open(fakes, path, "a-good-key")
            .await
            .unwrap_or_else(|(status, body)| panic!("{status}: {body}"))
    }

    /// Opens a path; a refusal is its status and body.
    pub async fn try_open(fakes: &Fakes, path: &str, key: &str) -> Result<Self, (u16, String)> {
        let mut request = format!("ws://{}{path}", fakes.address()).into_client_request().unwrap();
        let scheme = if path.starts_with("/deepgram") { "Token" } else { "Bearer" };
        let headers = [
            ("authorization", format!("{scheme} {key}")),
            ("xi-api-key", key.to_owned()),
            ("x-api-key", key.to_owned()),
            ("cartesia-version", "2026-03-01".to_owned()),
        ];
        for (name, value) in headers {
            request.headers_mut().insert(name, value.parse().unwrap());
        }
        match connect_async(request).await {
            Ok((socket, _)) => Ok(Self(socket)),
            Err(Error::Http(refused)) => {
                let body = refused.body().clone().unwrap_or_default();
                Err((refused.status().as_u16(), String::from_utf8(body).unwrap()))
            }
            Err(error) => panic!("{error}"),
        }
    }

    pub async fn text(&mut self, text: impl Into<String>) {
        self.send(Message::text(text.into())).await;
    }

    /// Audio in frames of 20 ms, as fast as it goes.
    pub async fn audio(&mut self, bytes: &[u8], frame: usize) {
        for frame in bytes.chunks(frame) {
            self.send(Message::binary(frame.to_vec())).await;
        }
    }

    /// A connection that is over tells so to the reader.
    async fn send(&mut self, message: Message) {
        drop(timeout(SOON, self.0.send(message)).await.expect("the send is taken"));
    }

    /// The next message; `Err` at the end.
    pub async fn next(&mut self) -> Result<Value, End> {
        loop {
            match timeout(SOON, self.0.next()).await.expect("something comes") {
                Some(Ok(Message::Text(text))) => {
                    return Ok(
                        serde_json::from_str(&text).unwrap_or_else(|_| Value::String(text.to_string()))
                    );
                }
                Some(Ok(Message::Close(Some(close)))) => {
                    return Err(End::Closed(close.code.into(), close.reason.to_string()));
                }
                Some(Ok(Message::Close(None))) => return Err(End::Closed(1005, String::new())),
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Err(End::Cut),
            }
        }
    }

    /// Messages up to the first for which `last` holds, with it; up to the end if none.
    pub async fn until(&mut self, last: impl Fn(&Value) -> bool) -> (Vec<Value>, Option<End>) {
        let mut came = Vec::new();
        loop {
            match self.next().await {
                Ok(message) => {
                    let over = last(&message);
                    came.push(message);
                    if over {
                        return (came, None);
                    }
                }
                Err(end) => return (came, Some(end)),
            }
        }
    }

    /// Messages to the end of the connection.
    pub async fn rest(&mut self) -> (Vec<Value>, End) {
        let (came, end) = self.until(|_| false).await;
        (came, end.expect("the connection ends"))
    }

    /// Whether a ping is answered within half a second, whatever else comes.
    pub async fn answers_ping(&mut self) -> bool {
        drop(self.0.send(Message::Ping(vec![7].into())).await);
        let pong = async { while !matches!(self.0.next().await, Some(Ok(Message::Pong(_))) | None) {} };
        timeout(Duration::from_millis(500), pong).await.is_ok()
    }

    /// Whether anything but pongs comes within half a second.
    pub async fn is_mute(&mut self) -> bool {
        let more = async { while matches!(self.0.next().await, Some(Ok(Message::Pong(_)))) {} };
        timeout(Duration::from_millis(500), more).await.is_err()
    }
}

/// 16-bit little-endian.
pub fn linear16(samples: &[i16]) -> Vec<u8> {
    samples.iter().flat_map(|sample| sample.to_le_bytes()).collect()
}

/// Whether a service saw this.
pub fn saw(fakes: &Fakes, service: Service, what: &str) -> bool {
    fakes.seen(service).iter().any(|seen| seen.what == what)
}

/// A field of messages of a type.
pub fn all<'a>(messages: &'a [Value], kind: (&str, &str), pointer: &str) -> Vec<&'a str> {
    let of_kind = messages.iter().filter(|message| message[kind.0] == kind.1);
    of_kind.filter_map(|message| message.pointer(pointer)?.as_str()).collect()
}
