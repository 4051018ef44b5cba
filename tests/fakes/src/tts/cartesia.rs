//! Cartesia's speech on a WebSocket, in contexts.
//!
//! Transcripts of a context are joined as they are. What waits is spoken when the context's buffer delay is over, at a
//! flush, or when no more is to come; a word that may go on waits for its rest. A context is forgotten a second after
//! its last sound, and text that comes then begins a new one, with times from 0. A context that is cancelled gets no
//! `done`.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State as Of};
use axum::response::Response;
use axum::routing::get;
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use hyper::HeaderMap;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};
use tokio_tungstenite::tungstenite::Message;

use super::cartesia_http::{Access, Requests, access, failure, format};
use super::speech::{Format, Word, speak, take_words};
use super::talk::{Kind, Queue, Say, Talker, talk};
use crate::events;
use crate::sse::{self, Refusal};
use crate::{Fault, Service, State, http, socket};

/// How long text is gathered where a client doesn't say, and at most.
const DELAY_MS: u64 = 3_000;
const DELAY_MS_MAX: u64 = 5_000;
/// How long a context lives after its last sound.
const LIFE: Duration = Duration::from_secs(1);
/// How long a socket lives on which nothing is asked for.
const IDLE: Duration = Duration::from_secs(300);

/// The routes of this file.
pub fn routes() -> Router<Arc<State>> {
    Router::new().route("/cartesia/tts/websocket", get(open))
}

async fn open(Of(state): Of<Arc<State>>, request: Request) -> Response {
    let turn = state.begin(Service::CartesiaTts, &request.uri().to_string());
    sleep(Duration::from_millis(turn.plan.handshake_ms)).await;
    let access = access(request.headers(), request.uri());
    let refusal = match access {
        _ if http::is_wrong(&access.key) => Some(Refusal::Unauthorized),
        Access { has_version: false, .. } => {
            Some(Refusal::Invalid("a Cartesia-Version is required".to_owned()))
        }
        _ => Refusal::planned(turn.plan.fault.as_ref()),
    };
    if let Some(refusal) = refusal {
        return sse::Dialect::refuse(&Requests, &refusal);
    }
    let talker = Contexts {
        queue: Queue::default(),
        is_mute: turn.plan.fault == Some(Fault::Empty),
        heard: Instant::now(),
        open: HashMap::new(),
    };
    let dialect = events::Dialect {
        unknown: json!({"type": "mood", "mood": "calm", "status_code": 206, "done": false}).to_string(),
        error: vec![failure(None, 500, "internal_error", "Something went wrong.").to_string()],
        error_close: None,
        flap: (1011, "internal error"),
    };
    socket::accept(request, HeaderMap::new(), |socket| talk(socket, turn, dialect, talker))
}

/// A context.
struct Context {
    /// Model, voice and language of its first message, which later text may not change.
    locked: [Value; 3],
    format: Format,
    has_times: bool,
    delay: Duration,
    buffer: String,
    /// When the oldest text in the buffer came.
    since: Option<Instant>,
    flushes: u32,
    /// Where the next sound begins.
    at_ms: u32,
    /// When its last sound went on its way.
    spoke: Option<Instant>,
    is_closing: bool,
}

/// The rules of one socket.
struct Contexts {
    queue: Queue,
    is_mute: bool,
    heard: Instant,
    open: HashMap<String, Context>,
}

impl Contexts {
    fn take_message(&mut self, message: &Value, now: Instant) -> Result<(), &'static str> {
        let id = message["context_id"].as_str().ok_or("context_id is required")?;
        if message["cancel"] == true {
            self.open.remove(id);
            self.queue.cut(id);
            return Ok(());
        }
        let transcript = message["transcript"].as_str().ok_or("transcript is required")?;
        let locked = ["model_id", "voice", "language"].map(|name| message[name].clone());
        let context = match self.open.get_mut(id) {
            Some(context) if context.is_closing => return Err("the context has ended"),
            // The client closes contexts with an empty transcript and, at times, a voice of its own (cartesia 4.2,
            // `no_more_inputs`).
            Some(context) if !transcript.is_empty() && context.locked != locked => {
                return Err("model_id, voice and language can't change within a context");
            }
            Some(context) => context,
            None => {
                if locked[0].is_null() || locked[1].is_null() {
                    return Err("model_id and voice are required");
                }
                if transcript.is_empty() {
                    return Err("transcript is empty");
                }
                let context = Context::new(message, locked)?;
                self.open.entry(id.to_owned()).or_insert(context)
            }
        };
        context.buffer.push_str(transcript);
        context.spoke = None;
        if !transcript.is_empty() {
            context.since.get_or_insert(now);
        }
        let goes_on = message["continue"] == true;
        if message["flush"] == true {
            context.flushes += 1;
            let flush_id = context.flushes;
            self.speak(id, true);
            let done = json!({
                "type": "flush_done", "context_id": id, "done": false, "flush_done": true, "flush_id": flush_id,
                "status_code": 206,
            });
            self.push(id, Kind::Beside, &done);
        }
        if !goes_on {
            self.speak(id, true);
            if let Some(context) = self.open.get_mut(id) {
                context.is_closing = true;
            }
            let done = json!({"type": "done", "context_id": id, "done": true, "status_code": 206});
            self.push(id, Kind::Note, &done);
        } else if self.open.get(id).is_some_and(|context| context.delay.is_zero()) {
            self.speak(id, false);
        }
        Ok(())
    }

    /// Speaks what waits: all of it, or what can't go on.
    fn speak(&mut self, id: &str, all: bool) {
        let Some(context) = self.open.get_mut(id) else { return };
        let is_whole = context.buffer.ends_with(['.', '!', '?', '…', ',', ';', ':', '।', '。']);
        let text = take_words(&mut context.buffer, all || is_whole);
        context.since = None;
        let flush_id = (context.flushes > 0).then_some(context.flushes);
        let (began_ms, has_times) = (context.at_ms, context.has_times);
        let pieces = speak(if self.is_mute { "" } else { &text }, context.format);
        context.at_ms += pieces.iter().map(|piece| piece.for_ms).sum::<u32>();
        for piece in pieces {
            let told = |kind: &str| {
                let mut event = json!({"type": kind, "context_id": id, "done": false, "status_code": 206});
                if let Some(flush_id) = flush_id {
                    event["flush_id"] = flush_id.into();
                }
                event
            };
            let mut chunk = told("chunk");
            chunk["data"] = BASE64.encode(&piece.audio).into();
            chunk["step_time"] = 12.5.into();
            self.push(id, Kind::Audio, &chunk);
            if has_times && !piece.words.is_empty() {
                let mut times = told("timestamps");
                times["word_timestamps"] = word_times(&piece.words, began_ms);
                self.push(id, Kind::Beside, &times);
            }
        }
    }

    fn push(&mut self, id: &str, kind: Kind, event: &Value) {
        let message = Message::text(event.to_string());
        self.queue.push(Say { of: id.to_owned(), kind, kept: false, message });
    }
}

impl Context {
    fn new(message: &Value, locked: [Value; 3]) -> Result<Self, &'static str> {
        let delay = message["max_buffer_delay_ms"].as_u64().unwrap_or(DELAY_MS).min(DELAY_MS_MAX);
        Ok(Self {
            locked,
            format: format(&message["output_format"])?,
            has_times: message["add_timestamps"] == true,
            delay: Duration::from_millis(delay),
            buffer: String::new(),
            since: None,
            flushes: 0,
            at_ms: 0,
            spoke: None,
            is_closing: false,
        })
    }

    /// When it wants attention: to speak, or to be forgotten.
    fn due(&self) -> Option<Instant> {
        match self.since {
            Some(since) => Some(since + self.delay),
            None => self.spoke.map(|spoke| spoke + LIFE).filter(|_| !self.is_closing),
        }
    }
}

impl Talker for Contexts {
    fn hear(&mut self, message: &str, now: Instant) {
        self.heard = now;
        let message: Value = serde_json::from_str(message).unwrap_or_default();
        if let Err(reason) = self.take_message(&message, now) {
            let id = message["context_id"].as_str();
            self.queue.tell("", &failure(id, 400, "invalid_request", reason));
        }
    }

    fn due(&self) -> Option<Instant> {
        let contexts = self.open.values().filter_map(Context::due).min();
        contexts.or(self.open.is_empty().then(|| self.heard + IDLE))
    }

    fn pass(&mut self, now: Instant) {
        if self.open.is_empty() {
            return self.queue.close(1000, "connection idle timeout");
        }
        let due = |context: &Context| context.due().is_some_and(|at| at <= now);
        let ids: Vec<_> =
            self.open.iter().filter(|(_, context)| due(context)).map(|(id, _)| id.clone()).collect();
        for id in ids {
            if self.open.get(&id).is_some_and(|context| context.since.is_some()) {
                self.speak(&id, true);
            } else {
                self.open.remove(&id);
            }
        }
    }

    fn sent(&mut self, say: &Say, now: Instant) {
        match say.kind {
            Kind::Note => drop(self.open.remove(&say.of)),
            Kind::Audio | Kind::Beside => {
                if let Some(context) = self.open.get_mut(&say.of) {
                    context.spoke = Some(now);
                }
            }
            Kind::Close(..) => {}
        }
    }

    fn fail(&mut self) {
        self.queue.clear();
        self.open.clear();
    }

    fn queue(&mut self) -> &mut Queue {
        &mut self.queue
    }
}

/// Seconds from the start of the context.
fn word_times(words: &[Word], began_ms: u32) -> Value {
    let seconds = |ms: u32| f64::from(began_ms + ms) / 1_000.0;
    json!({
        "words": words.iter().map(|word| word.text.as_str()).collect::<Vec<_>>(),
        "start": words.iter().map(|word| seconds(word.start_ms)).collect::<Vec<_>>(),
        "end": words.iter().map(|word| seconds(word.end_ms)).collect::<Vec<_>>(),
    })
}
