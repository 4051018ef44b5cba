//! HTTP to a vendor: one pool of warm connections an account, bounded waits, and errors that hold no key.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use reqwest::{Client, Method, Response};

use crate::{Error, ErrorKind};

/// To a connection.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);
/// An idle connection is kept so long, so that a turn after a long silence makes no handshake.
const IDLE_KEPT: Duration = Duration::from_secs(300);
/// Calls that begin within this time begin together.
const TOGETHER: Duration = Duration::from_secs(2);
/// So many connections are opened for one call that begins together with others, at most.
const TOGETHER_MAX: usize = 32;
/// For so long after a peak there are connections for it.
const PEAK_KEPT: Duration = Duration::from_secs(15);
/// An answer that is cut and begun anew at once finds one of these; what was cut is replaced behind it.
const SPARE: usize = 2;
/// For a peak above this none are asked for but one: each costs the vendor a small request.
const REPLACED_MAX: usize = 24;
/// Answers that are cut within this time are seen to together, and no more often than this.
const CUT_TOGETHER: Duration = Duration::from_millis(100);
const REPLACED_AT_MOST: Duration = Duration::from_millis(250);
/// Who was to see to it and is gone is waited for no longer.
const PENDING_MAX: Duration = Duration::from_secs(2);
/// An error's body is read so far, bytes.
const ERROR_BODY_MAX: usize = 16_384;
/// What is shorter is no key, and may stand in a refusal for other reasons.
const KEY_MIN: usize = 12;
/// A body that is read as a whole is no longer than this, bytes.
const WHOLE_MAX: usize = 8 << 20;
/// An error's body is waited for so long.
const ERROR_BODY_WITHIN: Duration = Duration::from_secs(2);

/// A pool of connections to one vendor.
#[derive(Debug, Clone)]
pub struct Http {
    provider: &'static str,
    client: Client,
    headers: HeaderMap,
    warmth: Arc<Warmth>,
}

/// How many connections calls need.
#[derive(Debug, Default)]
struct Warmth {
    /// The vendor speaks HTTP/1.1, where a connection carries one request at a time. Until it has answered it is taken for
    /// one that carries all.
    one_at_a_time: AtomicBool,
    begun: Mutex<Vec<Instant>>,
    load: Mutex<Load>,
}

/// How many answers are made side by side.
#[derive(Debug, Default)]
struct Load {
    now: usize,
    /// The most there were lately, and when that was.
    peak: usize,
    peaked: Option<Instant>,
    /// Since when somebody is about to open what is missing.
    pending: Option<Instant>,
    /// When that was done last.
    replaced: Option<Instant>,
}

impl Load {
    fn begun(&mut self) {
        self.now += 1;
        // An old peak is forgotten, so that one busy minute is not paid for all day.
        if self.now >= self.peak || self.peaked.is_none_or(|at| at.elapsed() > PEAK_KEPT) {
            (self.peak, self.peaked) = (self.now, Some(Instant::now()));
        }
    }

    /// A connection was cut: when to see to it. None if somebody does already.
    fn replace_after(&mut self) -> Option<Duration> {
        let since = self.replaced.map_or(REPLACED_AT_MOST, |at| at.elapsed());
        let wait = REPLACED_AT_MOST.saturating_sub(since).max(CUT_TOGETHER);
        if self.pending.is_some_and(|since| since.elapsed() < PENDING_MAX) {
            return None;
        }
        self.pending = Some(Instant::now());
        Some(wait)
    }

    /// So many must be busy at once that there is one for each answer of the peak: a request by itself would be carried by
    /// one that is idle, and open none.
    fn replacements(&mut self) -> usize {
        let idle = (self.peak + SPARE).saturating_sub(self.now);
        // Where many are idle one that is missing is hardly missed.
        let wanted = if idle > REPLACED_MAX { 1 } else { idle.max(1) };
        (self.pending, self.replaced) = (None, Some(Instant::now()));
        wanted
    }
}

/// An answer that is being made; until it is dropped.
#[derive(Debug)]
pub struct UnderWay(Arc<Warmth>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.load().now -= 1;
    }
}

impl Warmth {
    fn load(&self) -> MutexGuard<'_, Load> {
        self.load.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A call begins: so many connections must be opened at once that there is one for each that began with it.
    fn calls_together(&self) -> usize {
        let mut begun = self.begun.lock().unwrap_or_else(PoisonError::into_inner);
        begun.retain(|at| at.elapsed() < TOGETHER);
        begun.push(Instant::now());
        if self.one_at_a_time.load(Ordering::Relaxed) { (begun.len() + SPARE).min(TOGETHER_MAX) } else { 1 }
    }
}

/// What a vendor answered instead of what was asked.
#[derive(Debug)]
pub struct Refused {
    /// The status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body's beginning.
    pub body: String,
}

impl Refused {
    /// An answer to a request with these headers. Some servers say in a refusal which key they refuse: it is taken out.
    pub(super) fn new(status: u16, headers: &HeaderMap, body: &str, sent: &HeaderMap) -> Self {
        let without_key = |(name, value): (&HeaderName, &HeaderValue)| match value.to_str() {
            Ok(text) => Some((name.clone(), HeaderValue::from_str(&without_keys(text, sent, "***")).ok()?)),
            Err(_) => Some((name.clone(), value.clone())),
        };
        let headers = headers.iter().filter_map(without_key).collect();
        Self { status, headers, body: without_keys(body, sent, "…") }
    }

    /// The body as JSON, `null` if it is none.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_default()
    }

    /// A header's value.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The wait in `retry-after-ms` or `retry-after`, which has seconds or a date.
    pub fn retry_after(&self) -> Option<Duration> {
        let number =
            |name: &str| self.header(name)?.trim().parse::<f64>().ok().filter(|n| (0.0..1e7).contains(n));
        let seconds = || number(RETRY_AFTER.as_str()).map(Duration::from_secs_f64);
        number("retry-after-ms")
            .map(|ms| Duration::from_secs_f64(ms / 1_000.0))
            .or_else(seconds)
            .or_else(|| self.until_date())
    }

    fn until_date(&self) -> Option<Duration> {
        let date = jiff::fmt::rfc2822::parse(self.header(RETRY_AFTER.as_str())?.trim()).ok()?;
        let wait = date.timestamp().duration_since(Timestamp::now());
        // A date that has passed asks for no wait.
        Some(Duration::try_from(wait).unwrap_or_default()).filter(|wait| wait.as_secs_f64() < 1e7)
    }
}

/// Why there is no response.
#[derive(Debug)]
pub enum Failure {
    /// The vendor refused; what that means is the vendor's file's to say.
    Refused(Box<Refused>),
    /// It could not be reached, or not in time.
    Broken(Error),
}

impl Http {
    /// A pool for `provider`; `headers` go with every request and may hold the key.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] when a header can't be sent: a key with a line break.
    pub fn new(provider: &'static str, headers: &[(&'static str, String)]) -> Result<Self, Error> {
        super::cryptography();
        let mut all = HeaderMap::new();
        for (name, value) in headers {
            let mut value = HeaderValue::from_str(value).map_err(|_| unsendable(provider, name))?;
            value.set_sensitive(true);
            all.insert(HeaderName::from_static(name), value);
        }
        let client = Client::builder()
            .connect_timeout(CONNECT_WITHIN)
            .pool_idle_timeout(IDLE_KEPT)
            .tcp_nodelay(true)
            .tcp_keepalive(Duration::from_secs(30))
            .http2_keep_alive_interval(Duration::from_secs(20))
            .http2_keep_alive_while_idle(true)
            .connector_layer(super::handshakes::Timing)
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|error| {
                Error::new(provider, ErrorKind::Invalid, format!("make a client: {}", plain(&error)))
            })?;
        Ok(Self { provider, client, headers: all, warmth: Arc::default() })
    }

    /// Sends JSON; the response's head comes within `within`.
    pub async fn post(
        &self,
        url: &str,
        body: &serde_json::Value,
        within: Duration,
    ) -> Result<Response, Failure> {
        self.send(self.client.request(Method::POST, url).json(body), within).await
    }

    /// Asks; the response's head comes within `within`.
    pub async fn get(&self, url: &str, within: Duration) -> Result<Response, Failure> {
        self.send(self.client.request(Method::GET, url), within).await
    }

    /// Sends bytes of this content type; the response's head comes within `within`.
    pub async fn post_bytes(
        &self,
        url: &str,
        content_type: &str,
        body: Vec<u8>,
        within: Duration,
    ) -> Result<Response, Failure> {
        self.send(
            self.client.request(Method::POST, url).header("content-type", content_type).body(body),
            within,
        )
        .await
    }

    /// Opens a connection that a call's later requests find warm: whatever is answered counts for nothing. Over HTTP/1.1
    /// calls that begin together get one each; an HTTP/2 connection serves them all.
    pub async fn warm(&self, url: &str) {
        let together = self.warmth.calls_together();
        futures_util::future::join_all((0..together).map(|_| self.open_one(url))).await;
    }

    /// Opens a connection in the place of one that was cut, so that there are as many as answers were made side by side.
    pub async fn warm_again(&self, url: &str) {
        let Some(wait) = self.warmth.load().replace_after() else { return };
        tokio::time::sleep(wait).await;
        let wanted = self.warmth.load().replacements();
        futures_util::future::join_all((0..wanted).map(|_| self.open_one(url))).await;
    }

    /// Counts an answer that begins.
    pub fn under_way(&self) -> UnderWay {
        self.warmth.load().begun();
        UnderWay(Arc::clone(&self.warmth))
    }

    /// Whether a request that is cut takes its connection with it, as far as the vendor's answers have shown.
    pub fn carries_one_at_a_time(&self) -> bool {
        self.warmth.one_at_a_time.load(Ordering::Relaxed)
    }

    /// What an answer shows of the connections.
    fn learn(&self, response: &Response) {
        self.warmth.one_at_a_time.store(response.version() < reqwest::Version::HTTP_2, Ordering::Relaxed);
    }

    async fn open_one(&self, url: &str) {
        if let Ok(Ok(response)) =
            tokio::time::timeout(CONNECT_WITHIN, self.client.get(url).headers(self.headers.clone()).send())
                .await
        {
            self.learn(&response);
            // Read to its end: only then the connection goes back to the pool.
            drop(tokio::time::timeout(ERROR_BODY_WITHIN, whole(self.provider, response)).await);
        }
    }

    async fn send(&self, request: reqwest::RequestBuilder, within: Duration) -> Result<Response, Failure> {
        let sent = tokio::time::timeout(within, request.headers(self.headers.clone()).send()).await;
        let response = match sent {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => return Err(Failure::Broken(broken(self.provider, &error))),
            Err(_) => {
                let message = format!("no answer within {} ms", within.as_millis());
                return Err(Failure::Broken(Error::new(self.provider, ErrorKind::TimedOut, message)));
            }
        };
        self.learn(&response);
        if response.status().is_success() {
            return Ok(response);
        }
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let body = tokio::time::timeout(ERROR_BODY_WITHIN, beginning(response)).await.unwrap_or_default();
        Err(Failure::Refused(Box::new(Refused::new(status, &headers, &body, &self.headers))))
    }
}

/// A vendor's words without the keys among the headers it was sent.
pub(super) fn without_keys(text: &str, sent: &HeaderMap, instead: &str) -> String {
    let values = sent.values().filter(|value| value.is_sensitive());
    let words = values.filter_map(|value| value.to_str().ok()?.split_whitespace().last());
    words.filter(|word| word.len() >= KEY_MIN).fold(text.to_owned(), |text, word| text.replace(word, instead))
}

/// What broke a request or its body; holds no address with a key in its query, and no header.
pub fn broken(provider: &str, error: &reqwest::Error) -> Error {
    let kind = if error.is_timeout() { ErrorKind::TimedOut } else { ErrorKind::Unavailable };
    Error::new(provider, kind, format!("the connection failed: {}", plain(error)))
}

/// A body as a whole, as far as it has a bearable length; who waits for it sets the time.
///
/// # Errors
/// [`ErrorKind::Protocol`] when it has more than 8 MiB, and those of [`broken`].
pub async fn whole(provider: &str, mut response: Response) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| broken(provider, &error))? {
        if bytes.len() + chunk.len() > WHOLE_MAX {
            let message = format!("an answer of more than {WHOLE_MAX} bytes");
            return Err(Error::new(provider, ErrorKind::Protocol, message));
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

/// The same as JSON.
///
/// # Errors
/// [`ErrorKind::Protocol`] when it is none, and those of [`whole`].
pub async fn json(provider: &str, response: Response) -> Result<serde_json::Value, Error> {
    let bytes = whole(provider, response).await?;
    let no_json =
        |error| Error::new(provider, ErrorKind::Protocol, format!("an answer that is no JSON: {error}"));
    serde_json::from_slice(&bytes).map_err(no_json)
}

async fn beginning(mut response: Response) -> String {
    let mut bytes = Vec::new();
    while let Ok(Some(chunk)) = response.chunk().await {
        bytes.extend_from_slice(&chunk);
        if bytes.len() >= ERROR_BODY_MAX {
            break;
        }
    }
    bytes.truncate(ERROR_BODY_MAX);
    String::from_utf8_lossy(&bytes).into_owned()
}

fn unsendable(provider: &str, name: &str) -> Error {
    let message = format!("the header {name} can't be sent: the key has characters no key has; copy it anew");
    Error::new(provider, ErrorKind::Invalid, message)
}

/// The causes without the address.
fn plain(error: &reqwest::Error) -> String {
    let mut message = Vec::new();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        message.push(error.to_string());
        cause = error.source();
    }
    if message.is_empty() { "no reason given".to_owned() } else { message.join(": ") }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    async fn answered(body: Vec<u8>) -> Result<serde_json::Value, Error> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(stream.read_u8().await.unwrap());
            }
            drop(stream.write_all(b"HTTP/1.1 200 So\r\n\r\n").await);
            drop(stream.write_all(&body).await);
        });
        let response = Http::new("a vendor", &[]).unwrap().get(&url, CONNECT_WITHIN).await.unwrap();
        json("a vendor", response).await
    }

    #[test]
    fn a_wait_is_asked_for_in_seconds_milliseconds_or_by_a_date() {
        let wait = |name: &'static str, value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(name, HeaderValue::from_str(value).unwrap());
            Refused { status: 429, headers, body: String::new() }.retry_after()
        };
        assert_eq!(wait("retry-after", "7"), Some(Duration::from_secs(7)));
        assert_eq!(wait("retry-after-ms", "250"), Some(Duration::from_millis(250)));
        assert_eq!(wait("retry-after", "Sun, 06 Nov 1994 08:49:37 GMT"), Some(Duration::ZERO));
        let date = Timestamp::now() + Duration::from_secs(1_000);
        let date = date.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
        let seconds = wait("retry-after", &date).unwrap().as_secs();
        assert!((1..=1_000).contains(&seconds), "{seconds}");
        for value in ["soon", "1e300", "-1", "Sun, 06 Nov 9994 08:49:37 GMT"] {
            assert_eq!(wait("retry-after", value), None, "{value}");
        }
    }

    #[tokio::test]
    async fn a_body_beyond_all_measure_is_not_kept() {
        assert_eq!(answered(br#"{"a":1}"#.to_vec()).await.unwrap()["a"], 1);
        let error = answered(vec![b' '; WHOLE_MAX + 1]).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Protocol);
        assert!(error.message.contains("more than"), "{error}");
    }
}
