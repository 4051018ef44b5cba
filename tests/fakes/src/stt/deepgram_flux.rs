//! Deepgram Flux, `/v2/listen`: turns, with an eager end where a threshold for it was given.
//!
//! The model's confidence that a turn is over is its silence: half a second of it is certain. `Update` comes each
//! quarter of a second of audio, `StartOfTurn` with the first word. A turn's end has the text of the eager end before
//! it, or `TurnResumed` came between them.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State as Of};
use axum::response::Response;
use axum::routing::any;
use serde_json::{Value, json};
use uuid::Uuid;

use super::ear::{Ear, Encoding, Step, Word, seconds, text_of};
use super::{Asked, Out, Protocol, begin, converse, deepgram};
use crate::events::{Dialect, Wire};
use crate::{Plan, Service, State, socket};

const UPDATE_US: u64 = 250_000;
/// Silence after which a turn is certainly over.
const CERTAIN_US: f64 = 500_000.0;

pub(super) fn routes() -> Router<Arc<State>> {
    Router::new().route("/deepgram/v2/listen", any(listen))
}

async fn listen(Of(state): Of<Arc<State>>, request: Request) -> Response {
    let (turn, asked) = begin(&state, Service::DeepgramFlux, request.uri()).await;
    let id = Uuid::new_v4().to_string();
    if let Some(refused) = deepgram::refusal(&turn, &request, &id) {
        return refused;
    }
    let flux = match Flux::new(&asked, &turn.plan, &id) {
        Ok(flux) => Box::new(flux),
        Err(message) => return deepgram::bad_request(&message, &id),
    };
    let headers = deepgram::accepted(&request, &id);
    socket::accept(request, headers, move |socket| converse(Wire::new(socket, turn, dialect()), flux))
}

fn dialect() -> Dialect {
    let description = "An internal error occurred.";
    let error = json!({"type": "Error", "sequence_id": 0, "code": "INTERNAL_SERVER_ERROR", "description": description});
    Dialect {
        unknown: json!({"type": "Weather", "request_id": "", "sequence_id": 0}).to_string(),
        error: vec![error.to_string()],
        error_close: Some((1011, "INTERNAL_SERVER_ERROR")),
        flap: (1011, "INTERNAL_SERVER_ERROR"),
    }
}

struct Thresholds {
    end: f64,
    eager: Option<f64>,
    timeout_us: u64,
}

struct Flux {
    ear: Option<Ear>,
    head: Vec<u8>,
    plan: Plan,
    id: String,
    sequence: u64,
    thresholds: Thresholds,
    keyterms: Value,
    turn: u64,
    turn_start_us: u64,
    words: Vec<Word>,
    updated_us: u64,
    /// The text of an eager end that still stands.
    eager: Option<String>,
}

impl Flux {
    fn new(asked: &Asked, plan: &Plan, id: &str) -> Result<Self, String> {
        match asked.get("model") {
            Some("flux-general-en" | "flux-general-multi") => {}
            Some(other) => return Err(format!("Model {other} is not supported by this endpoint.")),
            None => return Err("A model is required.".to_owned()),
        }
        let thresholds = Thresholds {
            end: asked.number("eot_threshold", 0.5..=1.0)?.unwrap_or(0.7),
            eager: asked.number("eager_eot_threshold", 0.3..=0.9)?,
            timeout_us: asked
                .number("eot_timeout_ms", 500.0..=60_000.0)?
                .map_or(5_000_000, |ms| ms as u64 * 1_000),
        };
        if thresholds.eager.is_some_and(|eager| eager > thresholds.end) {
            return Err("eager_eot_threshold must not be above eot_threshold.".to_owned());
        }
        let keyterms: Vec<_> =
            asked.0.iter().filter(|(key, _)| key == "keyterm").map(|(_, term)| term).collect();
        Ok(Self {
            ear: deepgram::audio(asked)?.map(|(encoding, rate_hz)| Ear::new(encoding, rate_hz, plan)),
            head: Vec::new(),
            plan: plan.clone(),
            id: id.to_owned(),
            sequence: 0,
            thresholds,
            keyterms: json!(keyterms),
            turn: 0,
            turn_start_us: 0,
            words: Vec::new(),
            updated_us: 0,
            eager: None,
        })
    }

    fn step(&mut self, step: Step, out: &mut Out) {
        let now_us = step.now_us;
        self.take(step.words, now_us, out);
        let silent_us = step.silent_us.unwrap_or(0);
        if self.eager.is_some() && silent_us == 0 {
            self.resume(now_us, out);
        }
        if !self.words.is_empty() {
            self.judge(silent_us, now_us, out);
        }
        if now_us >= self.updated_us + UPDATE_US {
            self.updated_us = now_us;
            let update = self.info("Update", silent_us, now_us);
            // One without words is no event: nobody waits for it.
            if self.words.is_empty() { out.tell(&update) } else { out.event(&update) }
        }
    }

    fn take(&mut self, words: Vec<Word>, now_us: u64, out: &mut Out) {
        if words.is_empty() {
            return;
        }
        if self.eager.is_some() {
            self.resume(now_us, out);
        }
        let first = self.words.is_empty();
        self.words.extend(words);
        let event = if first { "StartOfTurn" } else { "Update" };
        self.updated_us = now_us;
        let info = self.info(event, 0, now_us);
        out.event(&info);
    }

    /// Whether the turn is over, or may be.
    fn judge(&mut self, silent_us: u64, now_us: u64, out: &mut Out) {
        let confidence = confidence(silent_us);
        let ends = confidence >= self.thresholds.end;
        let may_end = self.thresholds.eager.is_some_and(|eager| confidence >= eager) && self.eager.is_none();
        let late = silent_us >= self.thresholds.timeout_us;
        if ends || may_end || late {
            let rest = self.ear.as_mut().map(Ear::flush).unwrap_or_default();
            self.take(rest, now_us, out);
        }
        if ends || late {
            self.end(if ends { "model" } else { "timeout" }, silent_us, now_us, out);
        } else if may_end {
            self.eager = Some(text_of(&self.words));
            let info = self.info("EagerEndOfTurn", silent_us, now_us);
            out.event(&info);
        }
    }

    fn resume(&mut self, now_us: u64, out: &mut Out) {
        self.eager = None;
        let info = self.info("TurnResumed", 0, now_us);
        out.event(&info);
    }

    fn end(&mut self, trigger: &str, silent_us: u64, now_us: u64, out: &mut Out) {
        let mut info = self.info("EndOfTurn", silent_us, now_us);
        info["trigger"] = json!(trigger);
        out.event(&info);
        self.turn += 1;
        self.turn_start_us = now_us;
        self.words.clear();
        self.eager = None;
    }

    fn info(&mut self, event: &str, silent_us: u64, now_us: u64) -> Value {
        let words: Vec<_> = self
            .words
            .iter()
            .map(|word| {
                let (start, end) = (seconds(word.start_us), seconds(word.end_us));
                json!({"word": word.text, "confidence": 0.98, "start": start, "end": end})
            })
            .collect();
        json!({
            "type": "TurnInfo",
            "request_id": self.id,
            "sequence_id": self.number(),
            "event": event,
            "turn_index": self.turn,
            "audio_window_start": seconds(self.turn_start_us),
            "audio_window_end": seconds(now_us),
            "transcript": text_of(&self.words),
            "words": words,
            "end_of_turn_confidence": if self.words.is_empty() { 0.0 } else { confidence(silent_us) },
        })
    }

    /// The next `sequence_id`.
    fn number(&mut self) -> u64 {
        self.sequence += 1;
        self.sequence - 1
    }

    fn configure(&mut self, wanted: &Value, out: &mut Out) {
        let thresholds = &wanted["thresholds"];
        let end = thresholds["eot_threshold"].as_f64().unwrap_or(self.thresholds.end);
        let eager = match thresholds.get("eager_eot_threshold") {
            None => self.thresholds.eager,
            Some(eager) => eager.as_f64(),
        };
        if !(0.5..=1.0).contains(&end) || eager.is_some_and(|eager| eager > end) {
            let code = "INVALID_THRESHOLDS";
            let description = "eager_eot_threshold must not be above eot_threshold.";
            let failure = json!({"type": "ConfigureFailure", "request_id": self.id, "sequence_id": self.number(),
                "code": code, "description": description});
            return out.tell(&failure);
        }
        (self.thresholds.end, self.thresholds.eager) = (end, eager);
        if let Some(timeout_ms) = thresholds["eot_timeout_ms"].as_u64() {
            self.thresholds.timeout_us = timeout_ms * 1_000;
        }
        if let Some(keyterms) = wanted.get("keyterms") {
            self.keyterms = keyterms.clone();
        }
        let mut now = json!({"eot_threshold": end, "eot_timeout_ms": self.thresholds.timeout_us / 1_000});
        if let Some(eager) = eager {
            now["eager_eot_threshold"] = json!(eager);
        }
        let success = json!({"type": "ConfigureSuccess", "request_id": self.id, "sequence_id": self.number(),
            "thresholds": now, "keyterms": self.keyterms});
        out.tell(&success);
    }
}

impl Protocol for Flux {
    fn greet(&mut self, out: &mut Out) {
        let connected = json!({"type": "Connected", "request_id": self.id, "sequence_id": self.number()});
        out.tell(&connected);
    }

    fn binary(&mut self, bytes: &[u8], out: &mut Out) {
        match &mut self.ear {
            Some(ear) => ear.push(bytes),
            None => {
                self.head.extend(bytes);
                match deepgram::container(&self.head) {
                    Ok(None) => {}
                    Ok(Some((rate_hz, samples))) => {
                        let mut ear = Ear::new(Encoding::Linear16, rate_hz, &self.plan);
                        ear.push(samples);
                        self.ear = Some(ear);
                    }
                    Err(()) => out.close(Some((1008, "DATA-0000: the audio could not be decoded"))),
                }
            }
        }
        while let Some(step) = self.ear.as_mut().and_then(Ear::step) {
            self.step(step, out);
        }
    }

    fn text(&mut self, text: &str, out: &mut Out) {
        let message: Value = serde_json::from_str(text).unwrap_or_default();
        match message["type"].as_str() {
            // Nothing is finalised, and the close has no code.
            Some("CloseStream") => out.close(None),
            Some("Configure") => self.configure(&message, out),
            Some("ForceEndTurn") => {
                let now_us = self.ear.as_ref().map_or(0, Ear::now_us);
                let rest = self.ear.as_mut().map(Ear::flush).unwrap_or_default();
                self.take(rest, now_us, out);
                if !self.words.is_empty() {
                    self.end("manual", 0, now_us, out);
                }
            }
            _ => {
                let error = json!({"type": "Error", "sequence_id": self.number(), "code": "UNPARSABLE_CLIENT_MESSAGE",
                    "description": "The message could not be parsed."});
                out.tell(&error);
                out.close(Some((1008, "UNPARSABLE_CLIENT_MESSAGE")));
            }
        }
    }
}

fn confidence(silent_us: u64) -> f64 {
    (silent_us as f64 / CERTAIN_US).min(0.99)
}
