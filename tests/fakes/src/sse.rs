//! How a request to a language model is taken and its answer streamed as server-sent events, with every planned fault.
//!
//! A vendor is a [`Dialect`]: it turns a request into events, all at once and without a clock; what becomes of them,
//! when they are sent and how that fails is decided here, the same for all. Enter at [`answer`].

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Bytes;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use http_body_util::{BodyExt, Limited};
use hyper::HeaderMap;
use hyper::header::{HeaderName, HeaderValue};
use serde_json::Value;
use tokio::time::sleep;

use crate::http::{Pieces, cut, half_open, is_wrong, streamed_over};
use crate::serve::Line;
use crate::{Fault, Plan, Service, State, Turn};

/// The longest request body, bytes.
const BODY_MAX: usize = 16 << 20;
/// How long a connection lives that is accepted and closed.
const FLAP: Duration = Duration::from_millis(50);

/// How one vendor speaks.
pub trait Dialect: Sync {
    /// The key of a request; empty when there is none.
    fn key(&self, call: &Call) -> String;

    /// The answer, in order.
    ///
    /// # Errors
    /// What the vendor does not accept.
    fn reply(&self, plan: &Plan, call: &Call) -> Result<Reply, Refusal>;

    /// An answer with a status other than 200.
    fn refuse(&self, refusal: &Refusal) -> Response;

    /// An error told within a stream.
    fn error(&self) -> Event;

    /// An event of a type nobody knows.
    fn unknown(&self) -> Event;

    /// The header with the request's id.
    fn id_header(&self) -> Option<&'static str> {
        None
    }
}

/// A request that was read.
pub struct Call {
    /// Its number at its service, from 1.
    pub number: u32,
    /// The path.
    pub path: String,
    /// The query, without `?`.
    pub query: String,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Value,
}

impl Call {
    /// A header's text; empty when there is none.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// The key after `Bearer`; empty when there is none.
    pub fn bearer(&self) -> String {
        self.header("authorization").strip_prefix("Bearer ").unwrap_or_default().to_owned()
    }
}

/// What is answered with status 200.
pub enum Reply {
    /// Server-sent events.
    Stream(Vec<Event>),
    /// Bytes of another kind.
    Bytes {
        /// Their type.
        content_type: &'static str,
        /// The pieces, of [`Event::bytes`].
        events: Vec<Event>,
        /// An error told between them, where there is a way to. Else the connection is cut, or before the first piece
        /// the error is all there is, in JSON.
        error: Option<Bytes>,
        /// One of a type nobody knows, where they have types.
        unknown: Option<Bytes>,
    },
    /// One JSON document.
    Whole(Value),
}

/// A server-sent event.
#[derive(Debug, Clone)]
pub struct Event {
    /// Its name, where the vendor names events.
    pub name: Option<String>,
    /// Its data, one line.
    pub data: String,
    /// Whether it is output (a piece of text or of a tool call), which faults count and the pace is for.
    pub is_output: bool,
    /// The end of a line.
    pub line_end: &'static str,
    /// Sent as they are in place of all else, unless empty.
    pub bytes: Bytes,
}

impl Event {
    /// A piece of a body that is not of server-sent events.
    pub fn bytes(bytes: impl Into<Bytes>) -> Self {
        Self { bytes: bytes.into(), ..Self::output("") }
    }

    /// An event that frames output: without pace, not counted.
    pub fn frame(data: impl ToString) -> Self {
        Self { name: None, data: data.to_string(), is_output: false, line_end: "\n", bytes: Bytes::new() }
    }

    /// A piece of output.
    pub fn output(data: impl ToString) -> Self {
        Self { is_output: true, ..Self::frame(data) }
    }

    /// The event with its `type` as its name.
    #[must_use]
    pub fn named(self) -> Self {
        let name = serde_json::from_str::<Value>(&self.data).ok();
        Self { name: name.and_then(|data| Some(data["type"].as_str()?.to_owned())), ..self }
    }

    fn text(&self) -> Bytes {
        if !self.bytes.is_empty() {
            return self.bytes.clone();
        }
        let end = self.line_end;
        let name = self.name.as_ref().map(|name| format!("event: {name}{end}")).unwrap_or_default();
        format!("{name}data: {}{end}{end}", self.data).into()
    }

    /// A part of it that can't be parsed; of sound, one that ends within a sample.
    fn broken(&self) -> Self {
        let half = self.data.floor_char_boundary(self.data.len() / 2);
        let bytes = self.bytes.slice(..((self.bytes.len() / 2) | 1).min(self.bytes.len()));
        Self { data: self.data[..half].to_owned(), bytes, ..self.clone() }
    }
}

/// Why a request is not answered.
#[derive(Debug, Clone, PartialEq)]
pub enum Refusal {
    /// The key is missing or wrong.
    Unauthorized,
    /// Nothing is left to spend.
    Quota,
    /// Too many requests.
    RateLimited {
        /// Seconds to wait.
        retry_after_s: u32,
    },
    /// The vendor's own fault.
    ServerError,
    /// The request breaks a rule, which the text tells.
    Invalid(String),
    /// There is no such model.
    NoModel(String),
}

impl Refusal {
    /// The one that is planned.
    pub fn planned(fault: Option<&Fault>) -> Option<Self> {
        Some(match fault? {
            Fault::Unauthorized => Self::Unauthorized,
            Fault::Quota => Self::Quota,
            Fault::RateLimited { retry_after_s } => Self::RateLimited { retry_after_s: *retry_after_s },
            Fault::ServerError => Self::ServerError,
            _ => return None,
        })
    }
}

/// The model of a request.
///
/// # Errors
/// When none is named, or one with `missing` in its name: such models do not exist.
pub fn existing_model(name: Option<&str>) -> Result<&str, Refusal> {
    match name {
        None | Some("") => Err(Refusal::Invalid("model is required".to_owned())),
        Some(name) if name.contains("missing") => Err(Refusal::NoModel(name.to_owned())),
        Some(name) => Ok(name),
    }
}

/// Takes a request to a service, as planned for it.
pub async fn answer(
    state: Arc<State>,
    service: Service,
    dialect: &'static dyn Dialect,
    request: Request,
) -> Response {
    let (head, body) = request.into_parts();
    let (path, query) = (head.uri.path().to_owned(), head.uri.query().unwrap_or_default().to_owned());
    let turn = state.begin(service, &head.uri.to_string());
    let mut exchange = Exchange { turn, asked: Instant::now(), is_over: false };
    let plan = exchange.turn.plan.clone();
    let line = head.extensions.get::<Line>().cloned().unwrap_or_default();
    if plan.fault == Some(Fault::BlockedSend) {
        // Nobody will ever know what becomes of this client.
        exchange.is_over = true;
        line.freeze();
        return std::future::pending().await;
    }
    let Ok(body) = Limited::new(body, BODY_MAX).collect().await else {
        return dialect.refuse(&Refusal::Invalid("the body could not be read".to_owned()));
    };
    let body = body.to_bytes();
    exchange.turn.note("text", &String::from_utf8_lossy(&body));
    exchange.asked = Instant::now();
    sleep(Duration::from_millis(plan.handshake_ms)).await;

    let parsed = serde_json::from_slice(&body);
    let is_json = parsed.is_ok();
    let body = parsed.unwrap_or_default();
    let number = exchange.turn.connection;
    let call = Call { number, path, query, headers: head.headers, body };
    let refusal = if is_wrong(&dialect.key(&call)) {
        Some(Refusal::Unauthorized)
    } else if let Some(planned) = Refusal::planned(plan.fault.as_ref()) {
        Some(planned)
    } else {
        (!is_json).then(|| Refusal::Invalid("the body is not JSON".to_owned()))
    };
    let reply = refusal.map_or_else(|| dialect.reply(&plan, &call), Err);
    let mut response = match reply {
        Ok(reply) => stream(line, exchange, plan, dialect, reply),
        Err(refusal) => {
            exchange.is_over = true;
            dialect.refuse(&refusal)
        }
    };
    if let Some(name) = dialect.id_header() {
        let id = HeaderValue::from_str(&format!("req_{number}")).unwrap_or(HeaderValue::from_static("req"));
        response.headers_mut().insert(HeaderName::from_static(name), id);
    }
    response
}

/// A refusal's response: status, headers, body.
pub fn refused(status: u16, headers: &[(&'static str, String)], body: &Value) -> Response {
    let status = hyper::StatusCode::from_u16(status).unwrap_or(hyper::StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = (status, axum::Json(body)).into_response();
    for (name, value) in headers {
        if let Ok(value) = HeaderValue::from_str(value) {
            response.headers_mut().insert(HeaderName::from_static(name), value);
        }
    }
    response
}

fn stream(
    line: Line,
    exchange: Exchange,
    plan: Plan,
    dialect: &'static dyn Dialect,
    reply: Reply,
) -> Response {
    let fails_at_once = plan.fault == Some(Fault::ErrorInside { after: 0 });
    let reply = match reply {
        Reply::Bytes { error: None, .. } if fails_at_once => Reply::Whole(Value::Null),
        reply => reply,
    };
    let told = (Some(dialect.error()), Some(dialect.unknown()));
    let (content_type, (error, unknown)) = match &reply {
        Reply::Stream(_) => ("text/event-stream; charset=utf-8", told),
        Reply::Bytes { content_type, error, unknown, .. } => {
            (*content_type, (error.clone().map(Event::bytes), unknown.clone().map(Event::bytes)))
        }
        Reply::Whole(_) => ("application/json", told),
    };
    streamed_over(line, content_type, async move |pieces| {
        let mut writer = Writer { pieces, exchange, plan, error, unknown, began: false, sent: 0, cuts: 0 };
        // An `Err` only ends the writing: what there was to note is noted.
        let _: Result<(), Over> = match reply {
            Reply::Whole(body) => writer.whole(&body).await,
            Reply::Stream(events) | Reply::Bytes { events, .. } => writer.events(&events).await,
        };
    })
}

/// A request under way. Dropped before it is over, the client has let go.
struct Exchange {
    turn: Turn,
    /// When the request was there.
    asked: Instant,
    is_over: bool,
}

impl Drop for Exchange {
    fn drop(&mut self) {
        if !self.is_over {
            self.turn.note("gone", "");
        }
    }
}

/// Nothing more is to be written.
struct Over;

/// Writes the body of one answer.
struct Writer {
    pieces: Pieces,
    exchange: Exchange,
    plan: Plan,
    error: Option<Event>,
    unknown: Option<Event>,
    began: bool,
    /// Pieces of output so far.
    sent: u32,
    /// Pieces a fragmented body was cut into so far.
    cuts: usize,
}

impl Writer {
    async fn events(&mut self, events: &[Event]) -> Result<(), Over> {
        for event in events {
            self.fail(event).await?;
            self.pace(event.is_output).await?;
            if event.is_output {
                self.exchange.turn.sending().note(self.exchange.asked, self.sent == 0, &event.data);
            }
            self.send(event.text()).await?;
            self.sent += u32::from(event.is_output);
        }
        self.exchange.is_over = true;
        Ok(())
    }

    /// A document has no middle: whatever fails in mid-stream fails before it.
    async fn whole(&mut self, body: &Value) -> Result<(), Over> {
        self.sent = u32::MAX;
        let document = Event::output(body);
        match self.plan.fault {
            Some(Fault::ErrorInside { .. }) => {
                let error = self.error.take().map(|error| error.data).unwrap_or_default();
                self.send(error).await?;
            }
            Some(Fault::UnknownType { .. }) => self.send(document.data).await?,
            _ => {
                self.fail(&document).await?;
                self.pace(false).await?;
                self.exchange.turn.sending().note(self.exchange.asked, true, &document.data);
                self.send(document.data).await?;
            }
        }
        self.exchange.is_over = true;
        Ok(())
    }

    /// What is planned to happen before this event. Faults that end the stream give `Over`.
    async fn fail(&mut self, event: &Event) -> Result<(), Over> {
        let Some(fault) = self.plan.fault.clone() else { return Ok(()) };
        let due = |after: u32| self.sent >= after;
        match fault {
            Fault::Flap => {
                self.wait(FLAP).await?;
                self.end(cut()).await
            }
            Fault::Drop { after } if due(after) => self.end(cut()).await,
            Fault::HalfOpen { after } if due(after) => self.end(half_open()).await,
            Fault::Silence { after } if due(after) => {
                self.pieces.closed().await;
                Err(Over)
            }
            Fault::Malformed { after } if due(after) => {
                self.send(event.broken().text()).await?;
                self.end(cut()).await
            }
            Fault::ErrorInside { after } if due(after) => {
                let Some(error) = self.error.take() else { return self.end(cut()).await };
                self.send(error.text()).await?;
                self.exchange.is_over = true;
                Err(Over)
            }
            Fault::UnknownType { after } if due(after) => {
                self.plan.fault = None;
                let unknown = self.unknown.take().map(|event| event.text()).unwrap_or_default();
                self.send(unknown).await
            }
            _ => Ok(()),
        }
    }

    /// Before the first event of all, and between pieces of output.
    async fn pace(&mut self, is_output: bool) -> Result<(), Over> {
        let number = self.exchange.turn.connection;
        if !self.began {
            self.began = true;
            return self.wait(self.plan.first(number, 0)).await;
        }
        if is_output && self.sent > 0 {
            return self.wait(self.plan.interval(number, self.sent)).await;
        }
        Ok(())
    }

    /// Waits, unless the client lets go.
    async fn wait(&self, time: Duration) -> Result<(), Over> {
        tokio::select! {
            () = self.pieces.closed() => Err(Over),
            () = sleep(time) => Ok(()),
        }
    }

    async fn send(&mut self, text: impl Into<Bytes>) -> Result<(), Over> {
        let mut rest = text.into();
        while !rest.is_empty() {
            let mut length = rest.len();
            if self.plan.fault == Some(Fault::Fragment) {
                // 1, 2, 3 bytes in turn, so that in time every place is cut, also within a letter.
                self.cuts += 1;
                length = length.min(1 + self.cuts * 7 % 11 % 3);
            }
            self.pieces.send(Ok(rest.split_to(length))).await.map_err(|_| Over)?;
        }
        Ok(())
    }

    /// Ends the body with this error, by our own will.
    async fn end(&mut self, error: std::io::Error) -> Result<(), Over> {
        let is_half_open = error.kind() == std::io::ErrorKind::WouldBlock;
        self.exchange.is_over = true;
        self.pieces.send(Err(error)).await.map_err(|_| Over)?;
        if is_half_open {
            self.pieces.closed().await;
        }
        Err(Over)
    }
}
