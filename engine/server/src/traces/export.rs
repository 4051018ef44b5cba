//! Sends spans to a collector: OTLP over http/protobuf, in batches, by one task.
//!
//! The way there is bounded and never waited for; a collector that is away costs spans, which are counted, and one
//! line of log for each time it goes. Enter at [`Traces::start`].

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::http::{HeaderName, HeaderValue, Request, StatusCode, header};
use bytes::Bytes;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::InstrumentationScope;
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::call::text;
use crate::config::outside::Outside;
use crate::outgoing::{self, Outgoing};

/// What may wait: the turns of some hundreds of calls.
const QUEUE: usize = 2_048;
/// Spans sent in one request.
const BATCH: usize = 512;
/// How long spans wait for others.
const EVERY: Duration = Duration::from_secs(1);
/// How long the collector may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// How often a batch is tried, and the pause between.
const TRIES: u32 = 3;
const PAUSE: Duration = Duration::from_secs(1);

/// Where spans go.
#[derive(Debug)]
pub struct Collector {
    address: String,
    headers: Vec<(HeaderName, HeaderValue)>,
    authority: Option<PathBuf>,
    service: String,
}

impl Collector {
    /// As the standard variables say; `None` if they name none.
    ///
    /// # Errors
    /// What can't be used, for people. Never a header's value.
    pub fn of(outside: &Outside) -> Result<Option<Self>, String> {
        // As the standard has it: nothing but this word turns it off.
        if outside.otel_sdk_disabled.eq_ignore_ascii_case("true") {
            return Ok(None);
        }
        let address = match (&outside.otlp_traces_endpoint, &outside.otlp_endpoint) {
            (Some(address), _) => address.clone(),
            (None, Some(base)) => format!("{}/v1/traces", base.trim_end_matches('/')),
            (None, None) => return Ok(None),
        };
        if outside.otlp_protocol != "http/protobuf" {
            return Err("OTEL_EXPORTER_OTLP_PROTOCOL must be http/protobuf".to_owned());
        }
        let is_web = address.starts_with("http://") || address.starts_with("https://");
        if !is_web || address.parse::<axum::http::Uri>().is_err() {
            return Err(
                "OTEL_EXPORTER_OTLP_ENDPOINT must be an address like http://127.0.0.1:4318".to_owned()
            );
        }
        let headers = headers(outside.otlp_headers.as_deref().unwrap_or_default())?;
        let authority = outside.otlp_certificate.clone();
        Ok(Some(Self { address, headers, authority, service: outside.otel_service_name.clone() }))
    }
}

/// `NAME=VALUE,…`, values percent-encoded, as the standard has it.
fn headers(text: &str) -> Result<Vec<(HeaderName, HeaderValue)>, String> {
    let pairs = text.split(',').map(str::trim).filter(|pair| !pair.is_empty());
    let header = |pair: &str| {
        let (name, value) = pair.split_once('=')?;
        let mut value = HeaderValue::from_bytes(&decoded(value.trim())).ok()?;
        value.set_sensitive(true);
        Some((name.trim().parse().ok()?, value))
    };
    let read = pairs.map(header).collect::<Option<Vec<_>>>();
    read.ok_or_else(|| "OTEL_EXPORTER_OTLP_HEADERS must be NAME=VALUE, separated by commas".to_owned())
}

fn decoded(text: &str) -> Vec<u8> {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let code = (*byte == b'%').then(|| text.get(at + 1..at + 3)).flatten();
        match code.and_then(|code| u8::from_str_radix(code, 16).ok()) {
            Some(byte) => (out.push(byte), at += 3).1,
            None => (out.push(*byte), at += 1).1,
        }
    }
    out
}

/// What became of spans.
#[derive(Debug, Default)]
struct Counts {
    sent: AtomicU64,
    dropped: AtomicU64,
}

/// The way to the collector. Cheap to clone.
#[derive(Clone)]
pub struct Traces {
    sender: mpsc::Sender<Vec<Span>>,
    counts: Arc<Counts>,
    stop: CancellationToken,
    task: Arc<Mutex<Option<JoinHandle<()>>>>,
}

impl Traces {
    /// Starts the sending task.
    ///
    /// # Errors
    /// When the collector's authority can't be read.
    pub fn start(collector: Collector, instance: &str) -> Result<Self, outgoing::Error> {
        let outgoing = Outgoing::new(collector.authority.as_deref())?;
        let (sender, queue) = mpsc::channel(QUEUE);
        let (counts, stop) = (Arc::<Counts>::default(), CancellationToken::new());
        let resource = resource(&collector.service, instance);
        let sending =
            Sending { queue, collector, outgoing, resource, counts: counts.clone(), is_away: false };
        let task = tokio::spawn(sending.run(stop.clone()));
        Ok(Self { sender, counts, stop, task: Arc::new(Mutex::new(Some(task))) })
    }

    /// Hands spans over. Never waits; what finds no place is counted and gone.
    pub fn send(&self, spans: Vec<Span>) {
        let count = spans.len() as u64;
        if count > 0 && self.sender.try_send(spans).is_err() {
            self.counts.dropped.fetch_add(count, Ordering::Relaxed);
        }
    }

    /// Spans the collector took since the start.
    pub fn sent(&self) -> u64 {
        self.counts.sent.load(Ordering::Relaxed)
    }

    /// Spans that found no place or no collector since the start.
    pub fn dropped(&self) -> u64 {
        self.counts.dropped.load(Ordering::Relaxed)
    }

    /// Sends what waits, for as long as `limit`.
    pub async fn close(&self, limit: Duration) {
        self.stop.cancel();
        let task = self.task.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(task) = task
            && tokio::time::timeout(limit, task).await.is_err()
        {
            tracing::warn!("the last spans did not reach the collector in time");
        }
    }

    /// For tests: a way that ends here.
    #[cfg(test)]
    pub(super) fn caught(room: usize) -> (Self, mpsc::Receiver<Vec<Span>>) {
        let (sender, queue) = mpsc::channel(room);
        let caught =
            Self { sender, counts: Arc::default(), stop: CancellationToken::new(), task: Arc::default() };
        (caught, queue)
    }
}

fn resource(service: &str, instance: &str) -> Resource {
    let attributes = vec![
        text("service.name", service),
        text("service.version", env!("CARGO_PKG_VERSION")),
        text("service.instance.id", instance),
    ];
    Resource { attributes, ..Default::default() }
}

struct Sending {
    queue: mpsc::Receiver<Vec<Span>>,
    collector: Collector,
    outgoing: Outgoing,
    resource: Resource,
    counts: Arc<Counts>,
    is_away: bool,
}

impl Sending {
    async fn run(mut self, stop: CancellationToken) {
        let mut tick = interval(EVERY);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut batch = Vec::new();
        loop {
            tokio::select! {
                Some(spans) = self.queue.recv() => {
                    batch.extend(spans);
                    if batch.len() < BATCH {
                        continue;
                    }
                }
                _ = tick.tick() => {}
                () = stop.cancelled() => break,
            }
            self.send(std::mem::take(&mut batch)).await;
        }
        self.queue.close();
        while let Some(spans) = self.queue.recv().await {
            batch.extend(spans);
        }
        self.send(batch).await;
    }

    async fn send(&mut self, spans: Vec<Span>) {
        if spans.is_empty() {
            return;
        }
        let count = spans.len() as u64;
        let body = self.encoded(spans);
        let mut tries = 1;
        let why = loop {
            match self.post(body.clone()).await {
                Ok(()) => {
                    self.counts.sent.fetch_add(count, Ordering::Relaxed);
                    if std::mem::take(&mut self.is_away) {
                        tracing::info!("the collector of traces takes spans again");
                    }
                    return;
                }
                Err(Refused { again: true, .. }) if tries < TRIES => tries += 1,
                Err(Refused { why, .. }) => break why,
            }
            tokio::time::sleep(PAUSE).await;
        };
        self.counts.dropped.fetch_add(count, Ordering::Relaxed);
        if !std::mem::replace(&mut self.is_away, true) {
            tracing::warn!(spans = count, "spans are lost: could not {why}");
        }
    }

    fn encoded(&self, spans: Vec<Span>) -> Bytes {
        let scope = InstrumentationScope { name: "parlance".to_owned(), ..Default::default() };
        let scope_spans = vec![ScopeSpans { scope: Some(scope), spans, ..Default::default() }];
        let resource = Some(self.resource.clone());
        let resource_spans = vec![ResourceSpans { resource, scope_spans, ..Default::default() }];
        ExportTraceServiceRequest { resource_spans }.encode_to_vec().into()
    }

    async fn post(&self, body: Bytes) -> Result<(), Refused> {
        let mut request = Request::post(&self.collector.address)
            .header(header::CONTENT_TYPE, "application/x-protobuf")
            .body(body)
            .map_err(|error| Refused { why: format!("ask the collector: {error}"), again: false })?;
        for (name, value) in &self.collector.headers {
            request.headers_mut().insert(name, value.clone());
        }
        let answer = self.outgoing.ask(request, ANSWER_WITHIN).await;
        let status = answer.map_err(|error| Refused { why: error.to_string(), again: true })?.status();
        // Those the standard names; any other answer will be the same next time.
        let again = matches!(
            status,
            StatusCode::TOO_MANY_REQUESTS
                | StatusCode::BAD_GATEWAY
                | StatusCode::SERVICE_UNAVAILABLE
                | StatusCode::GATEWAY_TIMEOUT
        );
        let refused =
            || Refused { why: format!("make the collector take them: it answered {status}"), again };
        if status.is_success() { Ok(()) } else { Err(refused()) }
    }
}

/// Why a batch was not taken, and whether another try may help.
struct Refused {
    why: String,
    again: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outside() -> Outside {
        Outside {
            otlp_endpoint: Some("http://collector:4318/".into()),
            otlp_protocol: "http/protobuf".into(),
            otel_service_name: "parlance".into(),
            ..Default::default()
        }
    }

    #[test]
    fn the_standard_variables_name_the_collector() {
        assert!(Collector::of(&Outside::default()).expect("nothing is wrong").is_none());
        let address = |outside: Outside| Collector::of(&outside).expect("all is right").expect("one").address;
        assert_eq!(address(outside()), "http://collector:4318/v1/traces");
        let of_traces = Outside { otlp_traces_endpoint: Some("https://t/in".into()), ..outside() };
        assert_eq!(address(of_traces), "https://t/in");
        let off = Outside { otel_sdk_disabled: "True".into(), ..outside() };
        assert!(Collector::of(&off).expect("nothing is wrong").is_none());
        let grpc = Outside { otlp_protocol: "grpc".into(), ..outside() };
        assert!(Collector::of(&grpc).is_err_and(|why| why.contains("OTEL_EXPORTER_OTLP_PROTOCOL")));
        let secret = Outside { otlp_headers: Some("no-value-geheim".into()), ..outside() };
        assert!(Collector::of(&secret).is_err_and(|why| !why.contains("geheim")));
    }

    #[test]
    fn headers_are_percent_decoded() {
        let read = headers("authorization=Bearer%20abc, x-team=voice").expect("they are well formed");
        let of = |place: usize| (read[place].0.as_str(), read[place].1.to_str().expect("it is text"));
        assert_eq!((of(0), of(1)), (("authorization", "Bearer abc"), ("x-team", "voice")));
    }

    #[test]
    fn what_finds_no_place_is_counted_and_nobody_waits() {
        let (traces, mut queue) = Traces::caught(1);
        traces.send(vec![Span::default()]);
        traces.send(vec![Span::default(), Span::default()]);
        assert_eq!((traces.dropped(), queue.try_recv().map(|spans| spans.len())), (2, Ok(1)));
    }
}
