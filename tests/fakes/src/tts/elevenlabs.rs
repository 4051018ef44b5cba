//! ElevenLabs' speech over WebSockets: `multi-stream-input`, with up to five contexts, and `stream-input`, with one.
//!
//! Text waits until there is as much of it as the schedule says, is flushed, or comes in auto mode. What was flushed
//! is spoken to its end though its context is closed meanwhile, what was not stops after the message on its way
//! (elevenlabs 2.78, `CloseContext`). A context counts as open until its `isFinal` was sent. A wrong key is told after
//! the upgrade, because the first message may hold it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Path, Query, Request, State as Of};
use axum::response::Response;
use axum::routing::get;
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use hyper::HeaderMap;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};
use tokio_tungstenite::tungstenite::Message;

use super::elevenlabs_http::{Requests, format};
use super::speech::{Format, Piece, speak, take_words};
use super::talk::{Kind, Queue, Say, Talker, talk};
use crate::events::Dialect;
use crate::sse::{self, Refusal};
use crate::{Fault, Service, State, http, socket};

/// Contexts that may be open on one socket.
const CONTEXTS: usize = 5;
/// Characters that must wait before the first, second, third and every later generation.
const SCHEDULE: [usize; 4] = [120, 160, 250, 290];
/// Characters from which `try_trigger_generation` does so. The vendor does not name its own number.
const TRIGGER: usize = 50;
/// Seconds without text after which a context ends, and the most that can be asked for.
const INACTIVE_S: u64 = 20;
const INACTIVE_S_MAX: u64 = 180;

/// The routes of this file.
pub fn routes() -> Router<Arc<State>> {
    Router::new()
        .route("/elevenlabs/v1/text-to-speech/{voice}/multi-stream-input", get(multi))
        .route("/elevenlabs/v1/text-to-speech/{voice}/stream-input", get(single))
}

#[derive(Debug, Default, serde::Deserialize)]
struct Asked {
    output_format: Option<String>,
    auto_mode: Option<bool>,
    inactivity_timeout: Option<u64>,
}

async fn multi(
    Of(state): Of<Arc<State>>,
    Path(voice): Path<String>,
    Query(asked): Query<Asked>,
    request: Request,
) -> Response {
    open(&state, &voice, &asked, request, false).await
}

async fn single(
    Of(state): Of<Arc<State>>,
    Path(voice): Path<String>,
    Query(asked): Query<Asked>,
    request: Request,
) -> Response {
    open(&state, &voice, &asked, request, true).await
}

async fn open(state: &Arc<State>, voice: &str, asked: &Asked, request: Request, is_single: bool) -> Response {
    let turn = state.begin(Service::ElevenlabsMulti, &request.uri().to_string());
    sleep(Duration::from_millis(turn.plan.handshake_ms)).await;
    let refusal = match Refusal::planned(turn.plan.fault.as_ref()) {
        Some(refusal @ (Refusal::RateLimited { .. } | Refusal::ServerError)) => Err(refusal),
        _ => format(asked.output_format.as_deref()),
    };
    let format = match refusal {
        Ok(format) => format,
        Err(refusal) => return sse::Dialect::refuse(&Requests, &refusal),
    };
    let mut talker = Contexts {
        queue: Queue::default(),
        format,
        is_single,
        is_mute: turn.plan.fault == Some(Fault::Empty),
        auto_mode: asked.auto_mode.unwrap_or_default(),
        inactive: Duration::from_secs(asked.inactivity_timeout.unwrap_or(INACTIVE_S).min(INACTIVE_S_MAX)),
        heard: Instant::now(),
        may_speak: false,
        is_over: false,
        open: HashMap::new(),
    };
    match turn.plan.fault {
        Some(Fault::Unauthorized) => talker.refuse_key(),
        Some(Fault::UnusualActivity) => {
            talker.fail(
                "detected_unusual_activity",
                "Unusual activity detected. Free Tier usage disabled.",
                None,
            );
        }
        Some(Fault::Quota) => talker.fail("quota_exceeded", "This request exceeds your quota.", None),
        _ if voice.contains("unknown") => {
            talker.fail("voice_id_does_not_exist", "A voice with this voice_id does not exist.", None);
        }
        _ => talker.check_headers(request.headers()),
    }
    socket::accept(request, HeaderMap::new(), |socket| talk(socket, turn, dialect(), talker))
}

fn dialect() -> Dialect {
    let reason = "The system is busy, try again later.";
    Dialect {
        unknown: json!({"voiceActivity": {"level": 3}}).to_string(),
        error: vec![failure("system_busy", reason, None)],
        error_close: Some((1008, reason)),
        flap: (1011, "internal error"),
    }
}

/// A context.
#[derive(Default)]
struct Context {
    /// The first message's, which no later one may change.
    settings: Value,
    schedule: Vec<usize>,
    generations: usize,
    buffer: String,
    heard: Option<Instant>,
    is_closing: bool,
}

/// The rules of one socket.
struct Contexts {
    queue: Queue,
    format: Format,
    is_single: bool,
    is_mute: bool,
    auto_mode: bool,
    inactive: Duration,
    heard: Instant,
    /// A key was shown.
    may_speak: bool,
    is_over: bool,
    open: HashMap<String, Context>,
}

impl Contexts {
    fn check_headers(&mut self, headers: &HeaderMap) {
        let value = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        match value("xi-api-key").or_else(|| value("authorization")) {
            Some(key) if http::is_wrong(key) => self.refuse_key(),
            Some(_) => self.may_speak = true,
            None => {}
        }
    }

    fn refuse_key(&mut self) {
        self.fail("invalid_api_key", "Invalid API key", None);
    }

    /// Tells an error and closes, as nearly every error does here.
    fn fail(&mut self, error: &str, message: &str, context: Option<&str>) {
        self.queue.note("", Message::text(failure(error, message, context)));
        self.queue.close(1008, message);
        self.is_over = true;
    }

    fn take_message(&mut self, message: &Value, now: Instant) {
        let id = if self.is_single { Some("") } else { message["context_id"].as_str() };
        let text = message["text"].as_str();
        if !self.may_speak {
            let key =
                ["xi_api_key", "xi-api-key", "authorization"].iter().find_map(|name| message[*name].as_str());
            match key {
                Some(key) if !http::is_wrong(key) => self.may_speak = true,
                _ => return self.refuse_key(),
            }
        }
        self.heard = now;
        let Some(id) = id else {
            match text {
                _ if message["close_socket"] == true => self.close_socket(),
                Some("") => {} // Keeps the socket alive and opens nothing.
                Some(_) => self.take_text("default", message, now),
                None => self.misunderstood(),
            }
            return;
        };
        if message["close_context"] == true {
            return self.close(id);
        }
        if self.is_single && text == Some("") {
            self.generate(id, true, true);
            return self.close(id);
        }
        if text.is_none() && message["flush"] != true {
            return self.misunderstood();
        }
        self.take_text(id, message, now);
    }

    fn misunderstood(&mut self) {
        self.fail("invalid_input_message", "The message does not fit the schema.", None);
    }

    fn take_text(&mut self, id: &str, message: &Value, now: Instant) {
        let text = message["text"].as_str().unwrap_or_default();
        if self.open.get(id).is_none_or(|context| context.is_closing) {
            if self.is_single && text != " " {
                return self.misunderstood();
            }
            if !self.open.contains_key(id) && self.open.len() >= CONTEXTS {
                let reason = "Maximum simultaneous contexts exceeded (5).";
                return self.fail("max_active_conversations", reason, Some(id));
            }
            let schedule = message["generation_config"]["chunk_length_schedule"].as_array();
            let schedule = schedule.map_or_else(
                || SCHEDULE.to_vec(),
                |lengths| lengths.iter().filter_map(Value::as_f64).map(|length| length as usize).collect(),
            );
            let settings = message["voice_settings"].clone();
            self.open.insert(id.to_owned(), Context { settings, schedule, ..Context::default() });
        }
        let Some(context) = self.open.get_mut(id) else { return };
        let settings = &message["voice_settings"];
        if !settings.is_null() && *settings != context.settings {
            let reason = "voice_settings can only be given in the first message and not be changed later";
            self.queue.close(1008, reason);
            self.is_over = true;
            return;
        }
        context.heard = Some(now);
        context.buffer.push_str(text);
        let waiting = context.buffer.chars().count();
        let triggered = message["try_trigger_generation"] == true && waiting >= TRIGGER;
        if message["flush"] == true || (self.auto_mode && !text.trim().is_empty()) {
            self.generate(id, true, true);
        } else if !self.auto_mode && (triggered || waiting >= context.next_length()) {
            self.generate(id, false, false);
        }
    }

    /// Speaks what waits: all of it, or whole words. What is `kept` is spoken though the context is closed.
    fn generate(&mut self, id: &str, all: bool, kept: bool) {
        let Some(context) = self.open.get_mut(id) else { return };
        let text = take_words(&mut context.buffer, all);
        context.generations += 1;
        if kept {
            self.queue.keep(id);
        }
        for piece in speak(if self.is_mute { "" } else { &text }, self.format) {
            let mut message = json!({
                "audio": BASE64.encode(&piece.audio), "isFinal": null,
                "alignment": alignment(&piece), "normalizedAlignment": alignment(&piece),
            });
            self.name(&mut message, id);
            let message = Message::text(message.to_string());
            self.queue.push(Say { of: id.to_owned(), kind: Kind::Audio, kept, message });
        }
    }

    /// The text that waits is forgotten, as is sound that was not flushed.
    fn close(&mut self, id: &str) {
        let Some(context) = self.open.get_mut(id) else { return };
        if std::mem::replace(&mut context.is_closing, true) {
            return;
        }
        context.buffer.clear();
        self.queue.cut(id);
        let mut message = json!({"audio": null, "isFinal": true});
        self.name(&mut message, id);
        self.queue.push(Say {
            of: id.to_owned(),
            kind: Kind::Note,
            kept: true,
            message: Message::text(message.to_string()),
        });
        if self.is_single {
            self.close_socket();
        }
    }

    fn close_socket(&mut self) {
        self.queue.close(1000, "");
        self.is_over = true;
    }

    fn name(&self, message: &mut Value, id: &str) {
        if !self.is_single {
            message["contextId"] = id.into();
        }
    }
}

impl Context {
    fn next_length(&self) -> usize {
        self.schedule.get(self.generations).or(self.schedule.last()).copied().unwrap_or(SCHEDULE[3])
    }
}

impl Talker for Contexts {
    fn hear(&mut self, message: &str, now: Instant) {
        if self.is_over {
            return;
        }
        match serde_json::from_str(message) {
            Ok(message @ Value::Object(_)) => self.take_message(&message, now),
            _ => self.misunderstood(),
        }
    }

    fn due(&self) -> Option<Instant> {
        let open = self.open.values().filter(|context| !context.is_closing);
        let first = open.filter_map(|context| context.heard).min().unwrap_or(self.heard);
        (!self.is_over).then(|| first + self.inactive)
    }

    fn pass(&mut self, now: Instant) {
        let silent = |context: &Context| context.heard.is_some_and(|heard| heard + self.inactive <= now);
        let named = self.open.iter().find(|(_, context)| !context.is_closing && silent(context));
        let id = named.map(|(id, _)| id.clone()).filter(|_| !self.is_single);
        self.fail("input_timeout_exceeded", "No text was sent in time.", id.as_deref());
    }

    fn sent(&mut self, say: &Say, _now: Instant) {
        // Its `isFinal` is the only note that names a context.
        if say.kind == Kind::Note && self.open.get(&say.of).is_some_and(|context| context.is_closing) {
            self.open.remove(&say.of);
        }
    }

    fn queue(&mut self) -> &mut Queue {
        &mut self.queue
    }
}

fn failure(error: &str, message: &str, context: Option<&str>) -> String {
    let mut told = json!({"message": message, "error": error, "code": 1008});
    if let Some(context) = context {
        told["context_id"] = context.into();
    }
    told.to_string()
}

fn alignment(piece: &Piece) -> Value {
    let characters = piece.characters.iter();
    json!({
        "chars": characters.clone().map(|char| char.character).collect::<Vec<_>>(),
        "charStartTimesMs": characters.clone().map(|char| char.start_ms).collect::<Vec<_>>(),
        "charDurationsMs": characters.map(|char| char.for_ms).collect::<Vec<_>>(),
    })
}
