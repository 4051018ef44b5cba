//! The transcribers: a file for each protocol, what they hear ([`ear`]), and the loop that all of them run in.
//!
//! A protocol is a state machine without a clock: audio and messages in, messages out ([`Protocol`]). Its times are
//! audio times; only an idle client is measured by the clock.

mod cartesia;
pub(crate) mod deepgram;
mod deepgram_flux;
mod deepgram_listen;
pub mod ear;
mod elevenlabs_scribe;
mod openai_realtime;
mod openai_transcribe;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Query, Request};
use hyper::Uri;
use serde_json::Value;
use tokio::time::{Instant, sleep};

use crate::events::{Came, Wire};
use crate::{Service, State, Turn};

/// Every transcriber's path.
pub fn routes() -> Router<Arc<State>> {
    Router::new()
        .merge(deepgram_listen::routes())
        .merge(deepgram_flux::routes())
        .merge(openai_transcribe::routes())
        .merge(openai_realtime::routes())
        .merge(elevenlabs_scribe::routes())
        .merge(cartesia::routes())
}

/// One vendor's side of a connection.
trait Protocol: Send {
    /// Said before anything was heard.
    fn greet(&mut self, _out: &mut Out) {}

    /// A binary message.
    fn binary(&mut self, bytes: &[u8], out: &mut Out);

    /// A text message.
    fn text(&mut self, text: &str, out: &mut Out);

    /// How long a client may send nothing, and with what it is closed then.
    fn patience(&self) -> Option<(Duration, (u16, &'static str))> {
        None
    }
}

/// What a protocol says.
#[derive(Default)]
struct Out {
    said: Vec<Said>,
    close: Option<Option<(u16, &'static str)>>,
}

enum Said {
    Event(String),
    Own(String),
}

impl Out {
    /// A transcript: delayed, counted and failing as planned.
    fn event(&mut self, value: &Value) {
        self.said.push(Said::Event(value.to_string()));
    }

    /// A message of the protocol itself.
    fn tell(&mut self, value: &Value) {
        self.said.push(Said::Own(value.to_string()));
    }

    /// The end, behind what was said.
    fn close(&mut self, code: Option<(u16, &'static str)>) {
        self.close = Some(code);
    }
}

/// Speaks a protocol until either side closes.
async fn converse(mut wire: Wire, mut protocol: Box<dyn Protocol>) {
    let events = wire.events();
    let mut out = Out::default();
    protocol.greet(&mut out);
    let mut heard_at = Instant::now();
    loop {
        for said in out.said.drain(..) {
            match said {
                Said::Event(text) => events.answer(text).await,
                Said::Own(text) => events.tell(text).await,
            }
        }
        if let Some(code) = out.close.take() {
            return wire.close(code).await;
        }
        let patience = protocol.patience();
        let idle = async {
            match patience {
                Some((patience, _)) => tokio::time::sleep_until(heard_at + patience).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            came = wire.next() => {
                heard_at = Instant::now();
                match came {
                    Some(Came::Binary(bytes)) => protocol.binary(&bytes, &mut out),
                    Some(Came::Text(text)) => protocol.text(&text, &mut out),
                    None => return,
                }
            }
            () = idle => out.close(patience.map(|(_, close)| close)),
        }
    }
}

/// Begins a connection or request, after as long as is planned.
async fn begin(state: &Arc<State>, service: Service, uri: &Uri) -> (Turn, Asked) {
    let path = uri.path_and_query().map_or("", |path| path.as_str());
    let turn = state.begin(service, path);
    sleep(Duration::from_millis(turn.plan.handshake_ms)).await;
    let asked = Query::try_from_uri(uri).map_or_else(|_| Vec::new(), |Query(asked)| asked);
    (turn, Asked(asked))
}

/// The query of a request.
struct Asked(Vec<(String, String)>);

impl Asked {
    fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    fn is_true(&self, name: &str) -> bool {
        self.get(name) == Some("true")
    }

    /// The number behind a name; `Err` if it is none within the range.
    fn number(&self, name: &str, range: std::ops::RangeInclusive<f64>) -> Result<Option<f64>, String> {
        let Some(value) = self.get(name) else { return Ok(None) };
        let number = value.parse().ok().filter(|number| range.contains(number));
        number.map(Some).ok_or_else(|| format!("{name} must be from {} to {}", range.start(), range.end()))
    }
}

/// A header's value, empty without one.
fn header<'a>(request: &'a Request, name: &str) -> &'a str {
    request.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

/// The key behind `Bearer ` or another scheme, empty without one.
fn credential<'a>(request: &'a Request, schemes: &[&str]) -> &'a str {
    let value = header(request, "authorization");
    let (scheme, key) = value.split_once(' ').unwrap_or_default();
    if schemes.iter().any(|known| known.eq_ignore_ascii_case(scheme)) { key.trim() } else { "" }
}
