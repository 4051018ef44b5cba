//! WebSockets to a vendor: bounded handshake, bounded sends, pings that find a peer that is gone, and close codes.
//!
//! A socket is owned by one task, which waits for [`Socket::next`] and for its orders in one `select`; `next` loses
//! nothing when it is dropped.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{self, Bytes, Message, Utf8Bytes};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

use super::handshakes::Watch;
use super::http::{Failure, Refused, without_keys};
use crate::{Error, ErrorKind};

/// The largest message taken, bytes: a minute of audio.
const MESSAGE_MAX: usize = 8 << 20;
/// A close handshake is waited for so long.
const CLOSE_WITHIN: Duration = Duration::from_secs(2);

/// How long things may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// DNS, TCP, TLS and the upgrade together. Default 5 s.
    pub handshake: Duration,
    /// One send: a peer that does not read any more is given up after it. Default 2 s.
    pub send: Duration,
    /// A ping goes out after so long without anything from the peer. Default 3 s.
    pub ping_after: Duration,
    /// The peer is gone when nothing has come for so long after the ping. Default 2 s.
    pub pong: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            handshake: Duration::from_secs(5),
            send: Duration::from_secs(2),
            ping_after: Duration::from_secs(3),
            pong: Duration::from_secs(2),
        }
    }
}

/// What a vendor sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Received {
    /// A text message.
    Text(Utf8Bytes),
    /// A binary message.
    Binary(Bytes),
    /// The vendor closed the socket; nothing more comes.
    Closed {
        /// The close code; `None` where it gave none or cut the connection without a close frame.
        code: Option<u16>,
        /// Its words for it.
        reason: String,
    },
}

/// An open WebSocket. Dropping it cuts the connection.
pub struct Socket {
    provider: &'static str,
    limits: Limits,
    stream: WebSocketStream<MaybeTlsStream<TcpStream>>,
    last_received: Instant,
    pinged: Option<Instant>,
    /// Headers of the answer to the upgrade, with the vendor's request id.
    pub headers: HeaderMap,
    /// Headers of the upgrade, with the key.
    sent: HeaderMap,
}

impl Socket {
    /// Opens `url` (`ws://` or `wss://`, with its query). `headers` may hold the key.
    pub async fn open(
        provider: &'static str,
        url: &str,
        headers: &[(&'static str, String)],
        limits: Limits,
    ) -> Result<Self, Failure> {
        super::cryptography();
        let invalid = |what: &str| Failure::Broken(Error::new(provider, ErrorKind::Invalid, what));
        let mut request = url.into_client_request().map_err(|_| invalid("its address is no address"))?;
        let mut sent = HeaderMap::new();
        for (name, value) in headers {
            let mut value =
                HeaderValue::from_str(value).map_err(|_| invalid("the key has characters no key has"))?;
            value.set_sensitive(true);
            sent.insert(HeaderName::from_static(name), value);
        }
        request.headers_mut().extend(sent.clone());
        let config =
            WebSocketConfig::default().max_message_size(Some(MESSAGE_MAX)).max_frame_size(Some(MESSAGE_MAX));
        let began = Instant::now();
        let connecting = tokio_tungstenite::connect_async_with_config(request, Some(config), true);
        let (stream, response) = match timeout(limits.handshake, connecting).await {
            Ok(Ok(opened)) => opened,
            Ok(Err(tungstenite::Error::Http(response))) => {
                let body = response.body().as_deref().unwrap_or_default();
                let body = String::from_utf8_lossy(body);
                let refused = Refused::new(response.status().as_u16(), response.headers(), &body, &sent);
                return Err(Failure::Refused(Box::new(refused)));
            }
            Ok(Err(error)) => return Err(Failure::Broken(broken(provider, &error))),
            Err(_) => {
                let message = format!("no connection within {} ms", limits.handshake.as_millis());
                return Err(Failure::Broken(Error::new(provider, ErrorKind::TimedOut, message)));
            }
        };
        if let Some(watch) = Watch::current() {
            watch.tell(began.elapsed());
        }
        let headers = response.headers().clone();
        Ok(Self { provider, limits, stream, last_received: Instant::now(), pinged: None, headers, sent })
    }

    /// Sends a text message.
    ///
    /// # Errors
    /// [`ErrorKind::TimedOut`] when the peer does not read; the socket is no good any more then.
    pub async fn send_text(&mut self, text: String) -> Result<(), Error> {
        self.send(Message::text(text)).await
    }

    /// Sends a binary message. Empty ones are not sent: some vendors take them for the end.
    ///
    /// # Errors
    /// As [`Self::send_text`].
    pub async fn send_binary(&mut self, bytes: Vec<u8>) -> Result<(), Error> {
        if bytes.is_empty() { Ok(()) } else { self.send(Message::binary(bytes)).await }
    }

    async fn send(&mut self, message: Message) -> Result<(), Error> {
        match timeout(self.limits.send, self.stream.send(message)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(broken(self.provider, &error)),
            Err(_) => {
                let message = format!("it has not read for {} ms", self.limits.send.as_millis());
                Err(Error::new(self.provider, ErrorKind::TimedOut, message))
            }
        }
    }

    /// What the vendor sends next. Pings it when it is silent.
    ///
    /// # Errors
    /// [`ErrorKind::TimedOut`] when it answers no ping, [`ErrorKind::Unavailable`] when the connection breaks,
    /// [`ErrorKind::Protocol`] when it does not speak the protocol.
    pub async fn next(&mut self) -> Result<Received, Error> {
        loop {
            let due = match self.pinged {
                Some(pinged) => pinged + self.limits.pong,
                None => self.last_received + self.limits.ping_after,
            };
            tokio::select! {
                biased;
                received = self.stream.next() => {
                    (self.last_received, self.pinged) = (Instant::now(), None);
                    match received {
                        Some(Ok(Message::Text(text))) => return Ok(Received::Text(text)),
                        Some(Ok(Message::Binary(bytes))) => return Ok(Received::Binary(bytes)),
                        Some(Ok(Message::Close(frame))) => {
                            let code = frame.as_ref().map(|frame| frame.code.into());
                            let reason = frame.map(|frame| frame.reason.to_string()).unwrap_or_default();
                            let reason = without_keys(&reason, &self.sent, "…");
                            return Ok(Received::Closed { code, reason });
                        }
                        Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {}
                        Some(Err(error)) => return Err(broken(self.provider, &error)),
                        None => return Ok(Received::Closed { code: None, reason: String::new() }),
                    }
                }
                () = sleep_until(due) => {
                    if self.pinged.is_some() {
                        return Err(Error::new(self.provider, ErrorKind::TimedOut, "it answers no ping"));
                    }
                    self.pinged = Some(Instant::now());
                    self.send(Message::Ping(Bytes::new())).await?;
                }
            }
        }
    }

    /// Closes it in order, as far as the vendor does so within 2 s.
    pub async fn close(mut self) {
        let closing = async {
            drop(self.stream.close(None).await);
            while let Some(Ok(_)) = self.stream.next().await {}
        };
        drop(timeout(CLOSE_WITHIN, closing).await);
    }
}

fn broken(provider: &str, error: &tungstenite::Error) -> Error {
    let kind = match error {
        tungstenite::Error::Capacity(_) | tungstenite::Error::Utf8(_) => ErrorKind::Protocol,
        tungstenite::Error::Protocol(tungstenite::error::ProtocolError::ResetWithoutClosingHandshake) => {
            ErrorKind::Unavailable
        }
        tungstenite::Error::Protocol(_) => ErrorKind::Protocol,
        tungstenite::Error::Url(_) => ErrorKind::Invalid,
        _ => ErrorKind::Unavailable,
    };
    Error::new(provider, kind, format!("the connection failed: {error}"))
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn a_refused_upgrade_that_names_the_key_is_told_without_it() {
        const KEY: &str = "sk-0123456789abcdef";
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(stream.read_u8().await.unwrap());
            }
            let body = format!("no such key: {KEY}");
            let answer = format!(
                "HTTP/1.1 401 So\r\ndg-error: {KEY} is wrong\r\nx-request-id: 7\r\ncontent-length: {}\r\n\r\n{body}",
                body.len()
            );
            stream.write_all(answer.as_bytes()).await.unwrap();
        });
        let headers = [("authorization", format!("Token {KEY}"))];
        let opened = Socket::open("a vendor", &format!("ws://{address}"), &headers, Limits::default()).await;
        let Err(Failure::Refused(refused)) = opened else { panic!("it was refused") };
        assert_eq!((refused.status, refused.header("x-request-id")), (401, Some("7")));
        assert_eq!(refused.header("dg-error"), Some("*** is wrong"));
        assert_eq!(refused.body, "no such key: …");
    }
}
