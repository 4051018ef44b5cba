//! HTTP tools: one request out, its answer to the model.
//!
//! What is sent is settled before the first try and the same for all of them. Only what may be done twice is tried again.
//! What went wrong is told in words that hold neither an address nor a secret. Enter at [`HttpTool::run`].

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use parlance_conversation::{Effect, ToolOutcome};
use parlance_store::Scope;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, USER_AGENT};
use reqwest::redirect::Policy;
use reqwest::{Client, Method, Response, StatusCode, Url};
use ring::hmac;
use serde_json::{Map, Value, json};
use tokio::time::Instant;

use super::Reach;
use super::addresses::{Addresses, Private};
use super::secrets;
use super::template::{self, Arguments, Values};

/// The largest answer that is taken, bytes.
pub const ANSWER_MAX: usize = 64 * 1024;
/// What is told of an answer that is a failure, letters.
const REASON_MAX: usize = 1_000;
const CONNECT_WITHIN: Duration = Duration::from_secs(5);
/// The pauses before what may be done twice is tried again.
const PAUSES: [Duration; 2] = [Duration::from_millis(200), Duration::from_millis(800)];
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const SIGNATURE: HeaderName = HeaderName::from_static("parlance-signature");
const AGENT: &str = concat!("parlance/", env!("CARGO_PKG_VERSION"));

/// A tool as its agent describes it, checked.
#[derive(Debug, Clone, PartialEq)]
pub struct HttpTool {
    /// How it is sent.
    pub method: Method,
    /// Where to, with its places.
    pub url: String,
    /// Headers, with their places.
    pub headers: Vec<(HeaderName, String)>,
    /// The body, with its places; empty for the arguments themselves.
    pub body: String,
    /// The name of the secret that signs; none: not signed.
    pub signing_secret: Option<String>,
    /// What of a JSON answer is told; none: all.
    pub result_fields: Vec<String>,
}

/// One run.
#[derive(Clone, Copy)]
pub struct Run<'a> {
    /// Whose secrets may be used.
    pub scope: &'a Scope,
    /// The same for every try.
    pub idempotency_key: &'a str,
    /// What it is given, an object.
    pub arguments: &'a Value,
    /// What running it twice would do.
    pub effect: Effect,
    /// How long all tries together may take.
    pub timeout: Duration,
}

/// A client that goes only where tools may, and there without a detour.
///
/// # Errors
/// When the system has no certificates, or the like.
pub fn client(addresses: Addresses) -> Result<Client, reqwest::Error> {
    // Only the first provider installed counts; in tests nobody has installed one.
    rustls::crypto::ring::default_provider().install_default().ok();
    // A proxy would look up names itself, where nobody judges what comes out.
    let client = Client::builder().redirect(Policy::none()).no_proxy().connect_timeout(CONNECT_WITHIN);
    client.dns_resolver(addresses).build()
}

/// What is sent.
struct Wanted {
    method: Method,
    url: Url,
    headers: HeaderMap,
    body: String,
}

/// Why a try gave nothing.
enum Trouble {
    /// It may not be tried.
    Refused,
    /// Nobody was reached, so nothing was done.
    NotReached,
    /// It went out, and what came of it is not known.
    Broken,
}

impl HttpTool {
    /// Sends it.
    pub async fn run(&self, reach: &Reach, run: Run<'_>) -> ToolOutcome {
        let secrets = match secrets::all(&reach.secrets, run.scope, self.secrets()).await {
            Ok(secrets) => secrets,
            Err(why) => return ToolOutcome::Failed { reason: why },
        };
        let empty = Map::new();
        let arguments = run.arguments.as_object().unwrap_or(&empty);
        let wanted = match self.wanted(reach, run.idempotency_key, arguments, &secrets) {
            Ok(wanted) => wanted,
            Err(why) => return ToolOutcome::Failed { reason: format!("not sent: {why}") },
        };
        let tries = self.tries(&reach.http, &wanted, run.effect, Instant::now() + run.timeout);
        let outcome = match tokio::time::timeout(run.timeout, tries).await {
            Ok(Ok((status, text))) => self.told(status, &text, &secrets),
            Ok(Err(why)) => why,
            Err(_) => ToolOutcome::TimedOut,
        };
        secrets::kept_out(outcome, &secrets)
    }

    /// The names of the secrets it needs.
    pub fn secrets(&self) -> impl Iterator<Item = &str> {
        let texts = [&self.url, &self.body].into_iter().chain(self.headers.iter().map(|(_, value)| value));
        texts.flat_map(|text| template::secrets(text)).chain(self.signing_secret.as_deref())
    }

    fn wanted(
        &self,
        reach: &Reach,
        key: &str,
        arguments: &Arguments,
        secrets: &Values,
    ) -> Result<Wanted, String> {
        let address = template::address(&self.url, arguments, secrets)?;
        let mut url = Url::parse(&address).map_err(|_| "the address makes no sense".to_owned())?;
        reach.addresses.allows_url(&url)?;
        let bodiless = matches!(self.method, Method::GET | Method::DELETE);
        let (body, kind) = match self.body.as_str() {
            "" if bodiless => {
                let named: Vec<&str> = template::arguments(&self.url).collect();
                let rest = arguments.iter().filter(|(name, _)| !named.contains(&name.as_str()));
                for (name, value) in rest {
                    if let Some(value) = template::words(Some(value)) {
                        url.query_pairs_mut().append_pair(name, &value);
                    }
                }
                (String::new(), "")
            }
            "" => (Value::Object(arguments.clone()).to_string(), "application/json"),
            text => template::body(text, arguments, secrets),
        };
        let mut headers = HeaderMap::new();
        headers.insert(USER_AGENT, HeaderValue::from_static(AGENT));
        if !kind.is_empty() {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        }
        for (name, text) in &self.headers {
            let value = HeaderValue::from_str(&template::header(text, secrets));
            let mut value = value.map_err(|_| format!("the header {name} makes no sense"))?;
            value.set_sensitive(true);
            headers.insert(name.clone(), value);
        }
        let key = HeaderValue::from_str(key).map_err(|_| "its key makes no sense".to_owned())?;
        headers.insert(IDEMPOTENCY_KEY, key);
        if let Some(secret) = self.signing_secret.as_ref().and_then(|name| secrets.get(name)) {
            let signed = signature(secret, unix_now(), &body);
            headers.insert(SIGNATURE, HeaderValue::from_str(&signed).map_err(|_| "it can't be signed")?);
        }
        Ok(Wanted { method: self.method.clone(), url, headers, body })
    }

    /// The answer of the last try: its status and what it says. None begins after `until`: what is known then is told.
    async fn tries(
        &self,
        client: &Client,
        wanted: &Wanted,
        effect: Effect,
        until: Instant,
    ) -> Result<(StatusCode, String), ToolOutcome> {
        let mut pauses = PAUSES.iter().filter(|_| effect != Effect::Effect);
        loop {
            let answer = wanted.send(client).await;
            let again = match &answer {
                Ok((status, _)) => {
                    status.is_server_error()
                        || matches!(*status, StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT)
                }
                Err(Trouble::Refused) => false,
                Err(Trouble::NotReached | Trouble::Broken) => true,
            };
            if again && let Some(pause) = pauses.next().filter(|pause| Instant::now() + **pause < until) {
                tokio::time::sleep(*pause).await;
                continue;
            }
            return answer.map_err(|trouble| match trouble {
                Trouble::Refused => ToolOutcome::Failed { reason: format!("not sent: {Private}") },
                Trouble::NotReached => failed("the service can't be reached"),
                // It may have been done.
                Trouble::Broken if effect == Effect::Effect => ToolOutcome::TimedOut,
                Trouble::Broken => failed("the service broke off its answer"),
            });
        }
    }

    fn told(&self, status: StatusCode, answer: &str, secrets: &Values) -> ToolOutcome {
        let text = secrets::hidden(answer, secrets);
        if status.is_redirection() {
            return failed("the service wants to be asked elsewhere, which is not followed");
        }
        if !status.is_success() {
            let said: String = text.chars().filter(|letter| !letter.is_control()).take(REASON_MAX).collect();
            let said = if said.trim().is_empty() { String::new() } else { format!(": {}", said.trim()) };
            return ToolOutcome::Failed { reason: format!("the service answered {}{said}", status.as_u16()) };
        }
        if answer.len() > ANSWER_MAX {
            return failed("the service's answer is larger than 64 KiB");
        }
        match secrets::hidden_in_json(answer, secrets) {
            Some(answer) => ToolOutcome::Succeeded { result: picked(&self.result_fields, answer) },
            None if text.trim().is_empty() => ToolOutcome::Succeeded { result: json!({}) },
            None => ToolOutcome::Succeeded { result: json!({ "text": text }) },
        }
    }
}

impl Wanted {
    async fn send(&self, client: &Client) -> Result<(StatusCode, String), Trouble> {
        let request = client.request(self.method.clone(), self.url.clone()).headers(self.headers.clone());
        let request = if self.body.is_empty() { request } else { request.body(self.body.clone()) };
        let response = request.send().await.map_err(|error| {
            let trouble = trouble(&error);
            tracing::warn!(error = %error.without_url(), "a tool's service was not reached");
            trouble
        })?;
        let status = response.status();
        Ok((status, text(response).await?))
    }
}

/// All of the answer, or one letter more than is taken.
async fn text(mut response: Response) -> Result<String, Trouble> {
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|_| Trouble::Broken)? {
        bytes.extend_from_slice(&chunk);
        if bytes.len() > ANSWER_MAX {
            bytes.truncate(ANSWER_MAX + 1);
            break;
        }
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn trouble(error: &reqwest::Error) -> Trouble {
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        if inner.is::<Private>() {
            return Trouble::Refused;
        }
        cause = inner.source();
    }
    if error.is_connect() { Trouble::NotReached } else { Trouble::Broken }
}

fn failed(reason: &str) -> ToolOutcome {
    ToolOutcome::Failed { reason: reason.to_owned() }
}

/// What the pointers lead to, each under its own name.
fn picked(pointers: &[String], answer: Value) -> Value {
    if pointers.is_empty() {
        return answer;
    }
    let fields = pointers.iter().filter_map(|pointer| {
        let name = pointer.trim_start_matches('/').replace('/', ".");
        Some((name, answer.pointer(pointer)?.clone()))
    });
    Value::Object(fields.collect())
}

fn unix_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// The header by which the service knows that the engine sent this body, and when.
fn signature(secret: &str, seconds: u64, body: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let tag = hmac::sign(&key, format!("{seconds}.{body}").as_bytes());
    let hex: String = tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("t={seconds},v1={hex}")
}

#[cfg(test)]
#[path = "http/tests.rs"]
mod tests;
