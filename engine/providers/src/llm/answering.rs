//! One answer over HTTP, whichever vendor gives it: the request, the parameter it may have to do without, the events,
//! and every way in which they can end.
//!
//! A vendor is a [`Dialect`] and a [`Reader`]. Nothing is tried a second time here, but for the one case in which a
//! vendor refuses a parameter by name, before any output: then the request goes out once more without it, and later
//! ones at once. The bounds are outer ones: how long a caller may be kept waiting is the chain's to say.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use reqwest::header::CONTENT_TYPE;
use reqwest::{Response as Answered, Version};
use serde_json::Value;
use tokio::runtime::Handle;
use tokio::time::{Instant, timeout};

use super::telling::Telling;
use super::{Response, Sink, ToolCall, Usage};
use crate::running::Running;
use crate::wire::handshakes::watched;
use crate::wire::http::{Failure, Http, Refused, UnderWay, broken};
use crate::wire::sse::Events;
use crate::{Error, ErrorKind};

/// To the head of the response: servers of one's own load the model first.
const HEAD_WITHIN: Duration = Duration::from_secs(30);
/// Between bytes of an answer.
const BYTES_WITHIN: Duration = Duration::from_secs(30);
/// For a whole answer, so that one of nothing but comments ends too.
const ANSWER_WITHIN: Duration = Duration::from_secs(300);
/// For what comes after an answer's end: counts of tokens, and the end of the body, without which a connection can't
/// be used again.
const REST_WITHIN: Duration = Duration::from_secs(1);
/// The longest answer that comes as one document, bytes.
const DOCUMENT_MAX: usize = 4 << 20;

/// What tells one vendor from another.
pub(super) struct Dialect {
    /// The service's registered name.
    pub name: &'static str,
    /// The header with the vendor's id of a request.
    pub id_header: &'static str,
    /// What a refusal means.
    pub refused: fn(&Refused) -> Error,
    /// Reads one answer.
    pub reader: fn() -> Box<dyn Reader>,
    /// Parameters that some models do not take.
    pub spares: &'static [Spare],
}

/// A parameter that a request can do without.
pub(super) struct Spare {
    /// A refusal is because of it when it contains this.
    pub word: &'static str,
    /// The object in the body that it is in, as a JSON pointer; empty for the body itself.
    pub inside: &'static str,
    /// Its name there.
    pub name: &'static str,
    /// The name that its value takes instead; empty where it is left out.
    pub instead: &'static str,
}

/// How far an answer has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Progress {
    /// There is more.
    More,
    /// Its words and calls are complete; counts may follow.
    Ending,
    /// It is complete.
    Done,
}

/// Reads the events of one answer.
pub(super) trait Reader: Send {
    /// Takes the next event and tells its words. What it does not know it passes over.
    ///
    /// # Errors
    /// What the vendor says went wrong.
    fn take(&mut self, data: &Value, telling: &mut Telling) -> Result<Progress, Error>;

    /// Takes an answer that came as one document though a stream was asked for.
    ///
    /// # Errors
    /// What the vendor says went wrong.
    fn whole(&mut self, data: &Value, telling: &mut Telling) -> Result<(), Error>;

    /// The calls of the answer, which is complete.
    fn calls(&mut self) -> Vec<ToolCall>;

    /// What it used.
    fn usage(&self) -> Usage;

    /// Why it ended, in the vendor's words.
    fn reason(&self) -> Option<&str>;
}

/// Asks one service on one account.
pub(super) struct Asker {
    dialect: &'static Dialect,
    http: Http,
    warm_url: String,
    /// Which spares which model does without.
    learnt: Arc<Mutex<BTreeSet<(String, usize)>>>,
}

impl Asker {
    /// Asks with this pool; `warm_url` is cheap to ask for.
    pub fn new(dialect: &'static Dialect, http: Http, warm_url: String) -> Self {
        Self { dialect, http, warm_url, learnt: Arc::default() }
    }

    /// Opens a connection, unless one is open.
    pub fn warm(&self) {
        if let Ok(runtime) = Handle::try_current() {
            let (http, url) = (self.http.clone(), self.warm_url.clone());
            runtime.spawn(watched(async move { http.warm(&url).await }));
        }
    }

    /// Sends this body to `url` and tells the answer.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`] outside a tokio runtime.
    pub fn respond(&self, url: String, model: String, body: Value, sink: Sink) -> Result<Response, Error> {
        let dialect = self.dialect;
        let runtime = Handle::try_current()
            .map_err(|error| Error::new(dialect.name, ErrorKind::Unavailable, error.to_string()))?;
        let (http, learnt) = (self.http.clone(), Arc::clone(&self.learnt));
        let mut asking = Asking { dialect, http, warm_url: self.warm_url.clone(), learnt, url, model, body };
        let work = runtime.spawn(watched(async move {
            let mut telling = Telling::new(dialect.name, sink);
            match timeout(ANSWER_WITHIN, asking.answer(&mut telling)).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => telling.failed(error),
                Err(_) => {
                    let message = format!("no end of the answer within {} s", ANSWER_WITHIN.as_secs());
                    telling.failed(Error::new(dialect.name, ErrorKind::TimedOut, message));
                }
            }
        }));
        Ok(Box::new(Running(work)))
    }
}

/// A request under way.
struct Asking {
    dialect: &'static Dialect,
    http: Http,
    warm_url: String,
    learnt: Arc<Mutex<BTreeSet<(String, usize)>>>,
    url: String,
    model: String,
    body: Value,
}

impl Asking {
    async fn answer(&mut self, telling: &mut Telling) -> Result<(), Error> {
        // An answer that is cut, also before it begins, takes a connection with it that carries no other.
        let (http, url) = (self.http.clone(), self.warm_url.clone());
        let mut rewarm =
            Rewarm { is_due: http.carries_one_at_a_time(), under_way: Some(http.under_way()), http, url };
        let asked = self.ask().await;
        // One that was refused gives its connection back; one that was given up has none.
        rewarm.is_due &= matches!(&asked, Err(error) if error.kind == ErrorKind::TimedOut);
        let response = asked?;
        rewarm.is_due = response.version() < Version::HTTP_2;
        let id = response.headers().get(self.dialect.id_header).and_then(|id| id.to_str().ok());
        let id = id.map(str::to_owned);
        let named = |error: Error| match &error.request_id {
            Some(_) => error,
            None => error.with_request_id(id.as_deref()),
        };
        let content_type = response.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
        let is = |kind: &str| content_type.is_some_and(|content_type| content_type.starts_with(kind));
        let mut reader = (self.dialect.reader)();
        if is("text/html") {
            let message = "a web page came instead of an answer; check the base URL";
            return Err(named(self.error(ErrorKind::Protocol, message)));
        }
        let read = if is("application/json") {
            self.document(response, reader.as_mut(), telling).await
        } else {
            self.stream(response, reader.as_mut(), telling).await
        };
        read.map_err(named)?;
        rewarm.is_due = false;
        telling.finished(reader.usage(), reader.reason());
        Ok(())
    }

    /// The response's head, with the parameters the model takes.
    async fn ask(&mut self) -> Result<Answered, Error> {
        let known = locked(&self.learnt).clone();
        for (at, spare) in self.dialect.spares.iter().enumerate() {
            if known.contains(&(self.model.clone(), at)) {
                spare.leave_out(&mut self.body);
            }
        }
        let mut without = Vec::new();
        loop {
            let refused = match self.http.post(&self.url, &self.body, HEAD_WITHIN).await {
                Ok(response) => {
                    let learnt = without.into_iter().map(|at| (self.model.clone(), at));
                    locked(&self.learnt).extend(learnt);
                    return Ok(response);
                }
                Err(Failure::Broken(error)) => return Err(error),
                Err(Failure::Refused(refused)) => refused,
            };
            match self.spare(&refused, &without) {
                Some(at) => without.push(at),
                None => return Err((self.dialect.refused)(&refused)),
            }
        }
    }

    /// The parameter that was refused by name and is now left out, each at most once.
    fn spare(&mut self, refused: &Refused, without: &[usize]) -> Option<usize> {
        if !matches!(refused.status, 400 | 422) {
            return None;
        }
        let spares = self.dialect.spares.iter().enumerate();
        let mut named =
            spares.filter(|(at, spare)| !without.contains(at) && refused.body.contains(spare.word));
        named.find(|(_, spare)| spare.leave_out(&mut self.body)).map(|(at, _)| at)
    }

    async fn stream(
        &self,
        response: Answered,
        reader: &mut dyn Reader,
        telling: &mut Telling,
    ) -> Result<(), Error> {
        let mut events = Events::of(self.dialect.name, response);
        let mut ending: Option<Instant> = None;
        loop {
            let left = ending.map(|until| until.saturating_duration_since(Instant::now()));
            let event = match events.next(left.unwrap_or(BYTES_WITHIN)).await {
                Ok(Some(event)) => event,
                Ok(None) if ending.is_none() => {
                    let message = "the stream ended before the answer did";
                    return Err(self.error(ErrorKind::Unavailable, message));
                }
                Err(error) if ending.is_none() => return Err(error),
                // The answer is complete; only counts are missing.
                Ok(None) | Err(_) => break,
            };
            let progress = match event.data.trim() {
                "" => Progress::More,
                "[DONE]" => Progress::Done,
                data => match self.read(data, reader, telling) {
                    Err(_) if ending.is_some() => break,
                    progress => progress?,
                },
            };
            if progress != Progress::More && ending.is_none() {
                ending = Some(Instant::now() + REST_WITHIN);
                telling.calls(reader.calls());
            }
            if progress == Progress::Done {
                tokio::spawn(timeout(REST_WITHIN, async move {
                    while let Ok(Some(_)) = events.next(REST_WITHIN).await {}
                }));
                break;
            }
        }
        Ok(())
    }

    fn read(&self, data: &str, reader: &mut dyn Reader, telling: &mut Telling) -> Result<Progress, Error> {
        let data = serde_json::from_str(data)
            .map_err(|error| self.error(ErrorKind::Protocol, format!("an event that is no JSON: {error}")))?;
        reader.take(&data, telling)
    }

    async fn document(
        &self,
        mut response: Answered,
        reader: &mut dyn Reader,
        telling: &mut Telling,
    ) -> Result<(), Error> {
        let mut bytes = Vec::new();
        loop {
            match timeout(BYTES_WITHIN, response.chunk()).await {
                Ok(Ok(Some(chunk))) if bytes.len() + chunk.len() <= DOCUMENT_MAX => bytes.extend(chunk),
                Ok(Ok(Some(_))) => {
                    let message = format!("an answer of more than {DOCUMENT_MAX} bytes");
                    return Err(self.error(ErrorKind::Protocol, message));
                }
                Ok(Ok(None)) => break,
                Ok(Err(error)) => return Err(broken(self.dialect.name, &error)),
                Err(_) => {
                    let message = format!("silent for {} ms in mid-answer", BYTES_WITHIN.as_millis());
                    return Err(self.error(ErrorKind::TimedOut, message));
                }
            }
        }
        let data = serde_json::from_slice(&bytes).map_err(|error| {
            self.error(ErrorKind::Protocol, format!("an answer that is no JSON: {error}"))
        })?;
        reader.whole(&data, telling)?;
        telling.calls(reader.calls());
        Ok(())
    }

    fn error(&self, kind: ErrorKind, message: impl Into<String>) -> Error {
        Error::new(self.dialect.name, kind, message)
    }
}

impl Spare {
    /// Whether it was there.
    fn leave_out(&self, body: &mut Value) -> bool {
        let Some(object) = body.pointer_mut(self.inside).and_then(Value::as_object_mut) else { return false };
        let Some(value) = object.remove(self.name) else { return false };
        if !self.instead.is_empty() {
            object.insert(self.instead.to_owned(), value);
        }
        true
    }
}

/// Opens a connection anew when an answer was cut on one that can't be used again, so that the next turn finds one.
struct Rewarm {
    http: Http,
    url: String,
    is_due: bool,
    under_way: Option<UnderWay>,
}

impl Drop for Rewarm {
    fn drop(&mut self) {
        self.under_way.take();
        if let (true, Ok(runtime)) = (self.is_due, Handle::try_current()) {
            let (http, url) = (self.http.clone(), std::mem::take(&mut self.url));
            runtime.spawn(async move { http.warm_again(&url).await });
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
pub(super) mod tests {
    use std::sync::{Arc, Mutex};

    use serde_json::Value;

    use super::{Progress, Reader, Telling};
    use crate::Error;
    use crate::llm::Event;

    /// What is told of an answer of these events; an error of the reader ends it.
    pub fn told(mut reader: impl Reader, events: &[Value]) -> Result<Vec<Event>, Error> {
        let (telling, told) = telling();
        let mut telling = telling;
        for event in events {
            if reader.take(event, &mut telling)? == Progress::Done {
                break;
            }
        }
        telling.calls(reader.calls());
        telling.finished(reader.usage(), reader.reason());
        drop(telling);
        Ok(Arc::into_inner(told).unwrap().into_inner().unwrap())
    }

    /// What is told of an answer that came whole.
    pub fn told_whole(mut reader: impl Reader, document: &Value) -> Result<Vec<Event>, Error> {
        let (mut telling, told) = telling();
        reader.whole(document, &mut telling)?;
        telling.calls(reader.calls());
        telling.finished(reader.usage(), reader.reason());
        drop(telling);
        Ok(Arc::into_inner(told).unwrap().into_inner().unwrap())
    }

    fn telling() -> (Telling, Arc<Mutex<Vec<Event>>>) {
        let told = Arc::new(Mutex::new(Vec::new()));
        let into = Arc::clone(&told);
        // Signs that a call is being written are left out: how many there are is nobody's business.
        let is_sign = |event: &Event| matches!(event, Event::Text(text) if text.is_empty());
        let push = move |event| {
            if !is_sign(&event) {
                into.lock().unwrap().push(event)
            }
        };
        (Telling::new("test", Arc::new(push)), told)
    }

    /// All words that were told.
    pub fn words(events: &[Event]) -> String {
        events
            .iter()
            .filter_map(|event| if let Event::Text(text) = event { Some(text.as_str()) } else { None })
            .collect()
    }
}
