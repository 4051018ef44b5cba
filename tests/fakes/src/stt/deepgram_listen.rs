//! Deepgram's live transcription, `/v1/listen`: slices, finals, finalize, keep-alive.
//!
//! A slice is settled by a pause of `endpointing`, after four seconds, or by `Finalize`. While someone speaks it ends
//! where its last word does, so that no slice ends within a word. Nothing is said before audio came. Times are seconds since the connection's first audio byte.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State as Of};
use axum::response::Response;
use axum::routing::any;
use serde_json::{Value, json};
use uuid::Uuid;

use super::ear::{Ear, Step, Word, seconds, text_of};
use super::{Asked, Out, Protocol, begin, converse, deepgram};
use crate::events::{Dialect, Wire};
use crate::{Plan, Service, State, socket};

/// A slice with words is settled after so long at the latest; one without says so.
const SLICE_US: u64 = 4_000_000;
/// Least time between two interims, and most while someone speaks.
const INTERIM_US: (u64, u64) = (200_000, 1_000_000);
/// Where less audio than this is unsettled, `Finalize` has no answer.
const LITTLE_US: u64 = 100_000;
/// A shorter silence may be the breath between two words.
const QUIET_US: u64 = 50_000;
const PATIENCE: Duration = Duration::from_secs(10);
const NET_0001: &str =
    "Deepgram did not receive audio data or a text message within the timeout window. See NET-0001";

pub(super) fn routes() -> Router<Arc<State>> {
    Router::new().route("/deepgram/v1/listen", any(listen))
}

async fn listen(Of(state): Of<Arc<State>>, request: Request) -> Response {
    let (turn, asked) = begin(&state, Service::DeepgramListen, request.uri()).await;
    let id = Uuid::new_v4().to_string();
    if let Some(refused) = deepgram::refusal(&turn, &request, &id) {
        return refused;
    }
    let listen = match Listen::new(&asked, &turn.plan, &id) {
        Ok(listen) => Box::new(listen),
        Err(message) => return deepgram::bad_request(&message, &id),
    };
    let headers = deepgram::accepted(&request, &id);
    socket::accept(request, headers, move |socket| converse(Wire::new(socket, turn, dialect()), listen))
}

fn dialect() -> Dialect {
    let error = json!({"type": "Error", "variant": "InternalError", "description": "The model failed.", "message": ""});
    Dialect {
        unknown: json!({"type": "Sentiment", "channel": [0, 1], "value": 0.5}).to_string(),
        error: vec![error.to_string()],
        error_close: Some((1011, "The service has not transmitted a text frame. See NET-0000")),
        flap: (1011, "The service has not transmitted a text frame. See NET-0000"),
    }
}

struct Listen {
    ear: Option<Ear>,
    /// Bytes of a container before its samples.
    head: Vec<u8>,
    plan: Plan,
    id: String,
    model: String,
    language: Option<String>,
    interims: bool,
    endpointing_us: Option<u64>,
    utterance_end_us: Option<u64>,
    vad_events: bool,
    smart: bool,
    keyterms: bool,
    start_us: u64,
    words: Vec<Word>,
    /// Whether there is sound right now, or was until just now.
    sounding: bool,
    /// When the last interim was said, of how many words.
    interim: (u64, usize),
    last_word_us: Option<u64>,
}

impl Listen {
    fn new(asked: &Asked, plan: &Plan, id: &str) -> Result<Self, String> {
        let model = asked.get("model").ok_or("A model is required.")?;
        let interims = asked.is_true("interim_results");
        let utterance_end = asked.number("utterance_end_ms", 1.0..=60_000.0)?;
        if utterance_end.is_some() && !interims {
            return Err("utterance_end_ms needs interim_results=true.".to_owned());
        }
        let nova_3 = model.starts_with("nova-3");
        if asked.get("keywords").is_some() && nova_3 {
            return Err("Keywords are not supported for Nova-3 models. Use keyterm instead.".to_owned());
        }
        if asked.get("keyterm").is_some() && !nova_3 {
            return Err("Keyterm is only supported for Nova-3 models.".to_owned());
        }
        let endpointing_us = match asked.get("endpointing") {
            Some("false") => None,
            // `true` is the server's own.
            Some("true") | None => Some(10_000),
            Some(_) => asked.number("endpointing", 0.0..=60_000.0)?.map(micros),
        };
        Ok(Self {
            ear: deepgram::audio(asked)?.map(|(encoding, rate_hz)| Ear::new(encoding, rate_hz, plan)),
            head: Vec::new(),
            plan: plan.clone(),
            id: id.to_owned(),
            model: model.to_owned(),
            language: asked.get("language").filter(|language| *language == "multi").map(str::to_owned),
            interims,
            endpointing_us,
            utterance_end_us: utterance_end.map(micros),
            vad_events: asked.is_true("vad_events"),
            smart: asked.is_true("punctuate") || asked.is_true("smart_format"),
            keyterms: nova_3,
            start_us: 0,
            words: Vec::new(),
            sounding: false,
            interim: (0, 0),
            last_word_us: None,
        })
    }

    fn now_us(&self) -> u64 {
        self.ear.as_ref().map_or(0, Ear::now_us)
    }

    fn hear(&mut self, out: &mut Out) {
        while let Some(step) = self.ear.as_mut().and_then(Ear::step) {
            self.step(step, out);
        }
    }

    fn step(&mut self, step: Step, out: &mut Out) {
        if let Some(onset_us) = step.onset_us.filter(|_| self.vad_events) {
            out.tell(&json!({"type": "SpeechStarted", "channel": [0, 1], "timestamp": seconds(onset_us)}));
        }
        self.take(step.words);
        self.sounding = step.silent_us.is_some_and(|silent| silent < QUIET_US);
        let length_us = step.now_us - self.start_us;
        let paused = self
            .endpointing_us
            .zip(step.silent_us)
            .is_some_and(|(after, silent)| silent >= after.max(10_000));
        if !self.words.is_empty() && paused {
            self.settle(true, false, out);
        } else if length_us >= SLICE_US {
            self.settle(false, false, out);
        } else {
            self.interim(step.now_us, out);
        }
        if let Some((after, last)) = self.utterance_end_us.zip(self.last_word_us)
            && self.words.is_empty()
            && step.now_us >= last + after
        {
            self.last_word_us = None;
            out.tell(&json!({"type": "UtteranceEnd", "channel": [0, 1], "last_word_end": seconds(last)}));
        }
    }

    fn take(&mut self, words: Vec<Word>) {
        self.last_word_us = words.last().map(|word| word.end_us).or(self.last_word_us);
        self.words.extend(words);
    }

    fn interim(&mut self, now_us: u64, out: &mut Out) {
        let (said_us, said) = self.interim;
        let since_us = now_us - said_us.max(self.start_us);
        let due = since_us >= if self.words.len() > said { INTERIM_US.0 } else { INTERIM_US.1 };
        if self.interims && due {
            self.interim = (now_us, self.words.len());
            let results = self.results(now_us, false, false, false);
            // An empty one is no event: nobody waits for it.
            if self.words.is_empty() { out.tell(&results) } else { out.event(&results) }
        }
    }

    /// Where what is settled now ends.
    fn settled_us(&self) -> u64 {
        match self.words.last() {
            Some(word) if self.sounding => word.end_us,
            None if self.sounding => self.start_us,
            _ => self.now_us(),
        }
    }

    /// Ends the slice, if anything of it is over.
    fn settle(&mut self, speech_final: bool, from_finalize: bool, out: &mut Out) {
        let end_us = self.settled_us();
        if end_us <= self.start_us {
            return;
        }
        let results = self.results(end_us, true, speech_final, from_finalize);
        if self.words.is_empty() {
            out.tell(&results);
        } else {
            out.event(&results);
        }
        self.words.clear();
        self.start_us = end_us;
        self.interim = (self.now_us(), 0);
    }

    fn results(&self, end_us: u64, is_final: bool, speech_final: bool, from_finalize: bool) -> Value {
        let words: Vec<_> = self.words.iter().map(|word| self.word(word)).collect();
        let mut alternative = json!({
            "transcript": text_of(&self.words),
            "confidence": if words.is_empty() { 0.0 } else { 0.98 },
            "words": words,
        });
        if self.language.is_some() && !words.is_empty() {
            alternative["languages"] = json!(["en"]);
        }
        json!({
            "type": "Results",
            "channel_index": [0, 1],
            "start": seconds(self.start_us),
            "duration": seconds(end_us - self.start_us),
            "is_final": is_final,
            "speech_final": speech_final,
            "from_finalize": from_finalize,
            "channel": {"alternatives": [alternative]},
            "metadata": {
                "request_id": self.id,
                "model_uuid": "00000000-0000-4000-8000-000000000003",
                "model_info": {"name": self.model, "version": "2026-01-01.0", "arch": "nova-3"},
            },
        })
    }

    fn word(&self, word: &Word) -> Value {
        let mut told = json!({
            "word": word.text,
            "start": seconds(word.start_us),
            "end": seconds(word.end_us),
            "confidence": 0.98,
        });
        if self.smart {
            told["punctuated_word"] = json!(word.text);
        }
        if self.language.is_some() {
            let devanagari = word.text.chars().any(|char| ('\u{0900}'..='\u{097F}').contains(&char));
            told["language"] = json!(if devanagari { "hi" } else { "en" });
        }
        told
    }

    fn finalize(&mut self, out: &mut Out) {
        let rest = self.ear.as_mut().map(Ear::flush).unwrap_or_default();
        self.take(rest);
        if !self.words.is_empty() || self.now_us() >= self.start_us + LITTLE_US {
            self.settle(false, true, out);
        }
    }

    fn close_stream(&mut self, out: &mut Out) {
        let rest = self.ear.as_mut().map(Ear::flush).unwrap_or_default();
        self.take(rest);
        if !self.words.is_empty() {
            self.settle(true, false, out);
        }
        out.tell(&json!({
            "type": "Metadata",
            "transaction_key": "deprecated",
            "request_id": self.id,
            "sha256": "0".repeat(64),
            "created": "2026-11-20T10:00:00.000Z",
            "duration": seconds(self.now_us()),
            "channels": 1,
        }));
        out.close(Some((1000, "")));
    }

    fn configure(&self, wanted: &Value, out: &mut Out) {
        out.tell(&if self.keyterms {
            json!({"type": "ConfigureSuccess", "request_id": self.id, "keyterms": wanted.get("keyterms")})
        } else {
            let code = "CONFIGURE_KEYTERMS_NOT_SUPPORTED";
            json!({"type": "ConfigureFailure", "request_id": self.id, "code": code, "description": "Use nova-3."})
        });
    }
}

impl Protocol for Listen {
    fn binary(&mut self, bytes: &[u8], out: &mut Out) {
        // The old signal to close.
        if bytes.is_empty() {
            return self.close_stream(out);
        }
        match &mut self.ear {
            Some(ear) => ear.push(bytes),
            None => {
                self.head.extend(bytes);
                match deepgram::container(&self.head) {
                    Ok(None) => {}
                    Ok(Some((rate_hz, samples))) => {
                        let mut ear = Ear::new(super::ear::Encoding::Linear16, rate_hz, &self.plan);
                        ear.push(samples);
                        self.ear = Some(ear);
                    }
                    Err(()) => out.close(Some((1008, "DATA-0000: the audio could not be decoded"))),
                }
            }
        }
        self.hear(out);
    }

    fn text(&mut self, text: &str, out: &mut Out) {
        let message: Value = serde_json::from_str(text).unwrap_or_default();
        match message["type"].as_str() {
            Some("KeepAlive") => {}
            Some("Finalize") => self.finalize(out),
            Some("CloseStream") => self.close_stream(out),
            Some("Configure") => self.configure(&message, out),
            _ => out.tell(&json!({
                "type": "Error",
                "variant": "SchemaError",
                "description": "Could not deserialize last text message.",
                "message": text,
            })),
        }
    }

    fn patience(&self) -> Option<(Duration, (u16, &'static str))> {
        Some((PATIENCE, (1011, NET_0001)))
    }
}

fn micros(ms: f64) -> u64 {
    (ms * 1_000.0) as u64
}
