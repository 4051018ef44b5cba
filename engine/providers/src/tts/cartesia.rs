//! Cartesia Sonic over one WebSocket a call, a context for every sentence, with word times.
//!
//! Decides that a sentence is one message that ends its context, so that nothing waits for more text, and that at most
//! two are spoken at once, which is what the smallest plan allows. What still comes for a cancelled one is dropped by
//! its id. Wire facts: <https://docs.cartesia.ai/api-reference/tts/websocket> and the vendor's Python client
//! (cartesia 4.2). Enter at [`Cartesia`].

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde_json::{Value, json};

use super::letters::told_us;
use super::line::{Dialect, Id, Line, Told};
use super::sentence::{Sentence, best_format, check, language, speed};
use super::{Settings, Sink, Speaker, Speech, TextToSpeech, VoiceInfo, WordTime, voices};
use crate::account::Account;
use crate::audio::AudioFormat;
use crate::registry::{Kind, Open, Service};
use crate::wire::http::{self, Failure, Http, Refused};
use crate::wire::socket::Received;
use crate::{Error, ErrorKind, models};

const NAME: &str = "cartesia";
const PUBLIC: &str = "https://api.cartesia.ai";
/// The version of the interface that this file speaks.
const VERSION: &str = "2026-03-01";
const RATES: [u32; 6] = [8_000, 16_000, 22_050, 24_000, 44_100, 48_000];
/// The vendor's range of `generation_config.speed`.
const SPEED: (f64, f64) = (0.6, 1.5);
const TEXT_MAX: usize = 4_000;
/// Sentences at once on a socket.
const AT_ONCE: usize = 2;
/// The list of voices is waited for so long in all.
const LIST_WITHIN: Duration = Duration::from_secs(5);
/// Pages of the list that are asked for, at 100 voices each.
const PAGES_MAX: usize = 10;

/// The emotions the vendor names; others are not sent.
const EMOTIONS: [&str; 58] = [
    "neutral",
    "happy",
    "excited",
    "enthusiastic",
    "elated",
    "euphoric",
    "triumphant",
    "amazed",
    "surprised",
    "flirtatious",
    "curious",
    "content",
    "peaceful",
    "serene",
    "calm",
    "grateful",
    "affectionate",
    "trust",
    "sympathetic",
    "anticipation",
    "mysterious",
    "angry",
    "mad",
    "outraged",
    "frustrated",
    "agitated",
    "threatened",
    "disgusted",
    "contempt",
    "envious",
    "sarcastic",
    "ironic",
    "sad",
    "dejected",
    "melancholic",
    "disappointed",
    "hurt",
    "guilty",
    "bored",
    "tired",
    "rejected",
    "nostalgic",
    "wistful",
    "apologetic",
    "hesitant",
    "insecure",
    "confused",
    "resigned",
    "anxious",
    "panicked",
    "alarmed",
    "scared",
    "proud",
    "confident",
    "distant",
    "skeptical",
    "contemplative",
    "determined",
];

/// The service.
pub const SERVICE: Service = Service {
    name: NAME,
    vendor: "cartesia",
    about: "very quick voices (Sonic) in many languages over one socket a call, with word times",
    open: Open::Tts(|account| Ok(Arc::new(Cartesia::new(account)?))),
};

/// Cartesia with an account.
pub struct Cartesia {
    account: Account,
    http: Http,
}

impl Cartesia {
    /// With this account; makes no connection.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] for a key that can't be sent.
    pub fn new(account: &Account) -> Result<Self, Error> {
        Ok(Self { account: account.clone(), http: Http::new(NAME, &headers(account))? })
    }
}

fn headers(account: &Account) -> Vec<(&'static str, String)> {
    vec![("x-api-key", account.key.reveal().to_owned()), ("cartesia-version", VERSION.to_owned())]
}

impl TextToSpeech for Cartesia {
    fn name(&self) -> &'static str {
        NAME
    }

    fn voices(&self) -> Vec<VoiceInfo> {
        voices::known(NAME)
    }

    fn takes_unlisted_voices(&self) -> bool {
        true
    }

    fn list(&self) -> BoxFuture<'_, Result<Vec<VoiceInfo>, Error>> {
        let late = |_| Error::new(NAME, ErrorKind::TimedOut, "the list of voices did not come within 5 s");
        async move { tokio::time::timeout(LIST_WITHIN, self.pages()).await.map_err(late)? }.boxed()
    }

    fn open(&self, settings: Settings) -> Result<Box<dyn Speaker>, Error> {
        let format = best_format(settings.format, &RATES, true);
        let sonic = Sonic {
            address: format!("{}/tts/websocket", self.account.socket_base(PUBLIC)),
            headers: headers(&self.account),
            request: request(&settings, format),
            open: HashSet::new(),
        };
        Ok(Box::new(Voice { line: Line::open(sonic)?, format }))
    }
}

impl Cartesia {
    async fn pages(&self) -> Result<Vec<VoiceInfo>, Error> {
        let mut voices: Vec<VoiceInfo> = Vec::new();
        for _ in 0..PAGES_MAX {
            let after = voices.last().map(|last| format!("&starting_after={}", last.id)).unwrap_or_default();
            let url = format!("{}/voices?limit=100{after}", self.account.base(PUBLIC));
            let response = self.http.get(&url, LIST_WITHIN).await.map_err(|failure| match failure {
                Failure::Refused(refused) => refusal(&refused),
                Failure::Broken(error) => error,
            })?;
            let body = http::json(NAME, response).await?;
            let page = body["data"].as_array().or(body.as_array());
            voices.extend(page.into_iter().flatten().filter_map(voice));
            if body["has_more"] != true {
                break;
            }
        }
        Ok(voices)
    }
}

fn voice(voice: &Value) -> Option<VoiceInfo> {
    let text = |name: &str| voice[name].as_str().unwrap_or_default().to_owned();
    let (id, language) = (text("id"), text("language"));
    (!id.is_empty()).then(|| VoiceInfo {
        id,
        name: text("name"),
        languages: Some(language).filter(|language| !language.is_empty()).into_iter().collect(),
        // The vendor plays previews only to its own customers.
        preview_url: String::new(),
        about: text("description"),
    })
}

/// What every message of a call has in common.
fn request(settings: &Settings, format: AudioFormat) -> Value {
    let encoding = if format == AudioFormat::MuLaw { "pcm_mulaw" } else { "pcm_s16le" };
    let model = settings.model.clone().unwrap_or_else(|| models::default_of(Kind::Tts, NAME).to_owned());
    let voice = voices::id_of(NAME, &settings.voice, &settings.language);
    let mut request = json!({
        "model_id": model,
        "voice": {"mode": "id", "id": voice},
        "output_format": {"container": "raw", "encoding": encoding, "sample_rate": format.sample_rate_hz()},
        "add_timestamps": true,
        "use_normalized_timestamps": false,
        "max_buffer_delay_ms": 0,
    });
    if let Some(language) = language(settings) {
        request["language"] = language.into();
    }
    let style = settings.style.to_lowercase();
    let mut words = style.split(|character: char| !character.is_alphabetic());
    let emotion = words.find_map(|word| EMOTIONS.iter().find(|emotion| **emotion == word));
    if let Some(emotion) = emotion {
        request["generation_config"]["emotion"] = (*emotion).into();
    }
    if let Some(speed) = speed(settings, SPEED.0, SPEED.1) {
        request["generation_config"]["speed"] = speed.into();
    }
    request
}

struct Voice {
    line: Line,
    format: AudioFormat,
}

impl Speaker for Voice {
    fn speak(&mut self, text: &str, sink: Sink) -> Result<Speech, Error> {
        check(NAME, text, TEXT_MAX)?;
        let sentence = Sentence::new(NAME, self.format, sink).of_text(text);
        self.line.speak(text.to_owned(), sentence)
    }
}

/// What is said on the socket.
struct Sonic {
    address: String,
    headers: Vec<(&'static str, String)>,
    request: Value,
    open: HashSet<Id>,
}

impl Dialect for Sonic {
    fn provider(&self) -> &'static str {
        NAME
    }

    fn address(&self) -> Result<String, Error> {
        Ok(self.address.clone())
    }

    fn headers(&self) -> Vec<(&'static str, String)> {
        self.headers.clone()
    }

    fn refused(&self, refused: &Refused) -> Error {
        refusal(refused)
    }

    fn opened(&mut self) {
        self.open.clear();
    }

    fn has_room(&self) -> bool {
        self.open.len() < AT_ONCE
    }

    fn speak(&mut self, id: Id, text: &str) -> Vec<String> {
        self.open.insert(id);
        let mut message = self.request.clone();
        message["context_id"] = id.to_string().into();
        message["transcript"] = text.trim().into();
        message["continue"] = false.into();
        vec![message.to_string()]
    }

    fn cancel(&mut self, id: Id) -> Vec<String> {
        if !self.open.remove(&id) {
            return Vec::new();
        }
        vec![json!({"context_id": id.to_string(), "cancel": true}).to_string()]
    }

    fn heard(&mut self, received: Received) -> Vec<Told> {
        let Received::Text(text) = received else { return Vec::new() };
        match serde_json::from_str(&text) {
            Ok(message @ Value::Object(_)) => self.take(&message),
            _ => {
                let message = "a message came that is no JSON object";
                vec![Told::Broken(Error::new(NAME, ErrorKind::Protocol, message))]
            }
        }
    }
}

impl Sonic {
    fn take(&mut self, message: &Value) -> Vec<Told> {
        let id = message["context_id"].as_str().and_then(|id| id.parse::<Id>().ok());
        let is_open = id.is_some_and(|id| self.open.contains(&id));
        match (message["type"].as_str().unwrap_or_default(), id) {
            ("error", Some(id)) if is_open => {
                self.open.remove(&id);
                vec![Told::Failed(id, told(message))]
            }
            ("error", None) => {
                let error = told(message);
                vec![Told::Broken(error)]
            }
            ("chunk", Some(id)) if is_open => {
                match BASE64.decode(message["data"].as_str().unwrap_or_default()) {
                    Ok(bytes) => vec![Told::Audio(id, bytes)],
                    Err(_) => {
                        let message = "audio came that is no base64";
                        vec![Told::Broken(Error::new(NAME, ErrorKind::Protocol, message))]
                    }
                }
            }
            ("timestamps", Some(id)) if is_open => vec![Told::Words(id, words(&message["word_timestamps"]))],
            ("done", Some(id)) if is_open => {
                self.open.remove(&id);
                vec![Told::Finished(id)]
            }
            _ => Vec::new(),
        }
    }
}

/// Words with seconds from the start of the context; as many as have all three values.
fn words(told: &Value) -> Vec<WordTime> {
    let list = |name: &str| told[name].as_array().map(Vec::as_slice).unwrap_or_default();
    let us = |value: &Value| told_us(value, 1e6);
    let times = list("start").iter().zip(list("end"));
    list("words")
        .iter()
        .zip(times)
        .filter_map(|(word, (start, end))| {
            let text = word.as_str()?.trim().to_owned();
            (!text.is_empty()).then(|| WordTime { text, start_us: us(start), end_us: us(end) })
        })
        .collect()
}

fn refusal(refused: &Refused) -> Error {
    let body = refused.json();
    let said = said(&body);
    let said = if said.is_empty() { refused.body.clone() } else { said };
    let id = body["request_id"].as_str().or(refused.header("x-request-id"));
    let error = named(&body, refused.status, &said);
    error.retry_after(refused.retry_after()).with_request_id(id)
}

/// An error told on an open socket.
fn told(message: &Value) -> Error {
    let status = message["status_code"].as_u64().and_then(|status| u16::try_from(status).ok()).unwrap_or(500);
    named(message, status, &said(message)).with_request_id(message["request_id"].as_str())
}

fn named(body: &Value, status: u16, said: &str) -> Error {
    let mut error = Error::of_status(NAME, status, said);
    match body["error_code"].as_str().unwrap_or_default() {
        "quota_exceeded" | "credits_exhausted" | "insufficient_credits" | "plan_upgrade_required" => {
            error.kind = ErrorKind::OutOfCredit;
            error.message.push_str("; top up the account");
        }
        "concurrency_limited" => error.kind = ErrorKind::RateLimited,
        _ => {}
    }
    error
}

fn said(body: &Value) -> String {
    let parts =
        ["error_code", "title", "message", "error"].map(|name| body[name].as_str().unwrap_or_default());
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(": ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sonic(settings: &Settings) -> Sonic {
        let format = best_format(settings.format, &RATES, true);
        let open = HashSet::new();
        Sonic { address: String::new(), headers: Vec::new(), request: request(settings, format), open }
    }

    fn hear(sonic: &mut Sonic, message: &Value) -> Vec<Told> {
        sonic.heard(Received::Text(message.to_string().into()))
    }

    #[test]
    fn a_time_beyond_all_reason_is_cut() {
        let told = words(&json!({"words": ["a"], "start": [-1e300], "end": [1e300]}));
        assert_eq!((told[0].start_us, told[0].end_us), (0, 3_600_000_000));
    }

    #[test]
    fn a_sentence_is_one_message_that_waits_for_no_more_text() {
        let settings = Settings {
            language: "hi-IN".to_owned(),
            format: AudioFormat::MuLaw,
            speed_percent: 50,
            style: "Warm, calm and a little proud".to_owned(),
            ..Settings::default()
        };
        let sent = sonic(&settings).speak(3, "नमस्ते");
        let sent: Value = serde_json::from_str(&sent[0]).unwrap();
        assert_eq!(sent["context_id"], "3");
        assert_eq!((&sent["continue"], &sent["max_buffer_delay_ms"]), (&json!(false), &json!(0)));
        assert_eq!(
            sent["output_format"],
            json!({"container": "raw", "encoding": "pcm_mulaw", "sample_rate": 8000})
        );
        assert_eq!(sent["generation_config"], json!({"speed": 0.6, "emotion": "calm"}));
        assert_eq!(sent["language"], "hi");
    }

    #[test]
    fn what_comes_for_a_cancelled_sentence_is_dropped() {
        let mut sonic = sonic(&Settings::default());
        sonic.speak(1, "x");
        assert_eq!(sonic.cancel(1).len(), 1);
        for message in [
            json!({"type": "chunk", "context_id": "1", "data": "AAA=", "done": false, "status_code": 206}),
            json!({"type": "done", "context_id": "1", "done": true, "status_code": 206}),
            json!({"type": "error", "context_id": "1", "done": true, "status_code": 499}),
        ] {
            assert!(hear(&mut sonic, &message).is_empty(), "{message}");
        }
        assert!(sonic.cancel(1).is_empty());
    }

    #[test]
    fn errors_have_their_kind_and_their_sentence() {
        let mut sonic = sonic(&Settings::default());
        sonic.speak(1, "x");
        let own = json!({"type": "error", "context_id": "1", "status_code": 404, "error_code": "model_not_found",
            "title": "no model", "message": "x", "request_id": "r-1"});
        let told = hear(&mut sonic, &own);
        assert!(matches!(&told[..], [Told::Failed(1, error)]
            if error.kind == ErrorKind::Invalid && error.request_id.as_deref() == Some("r-1")));
        let all = hear(&mut sonic, &json!({"type": "error", "status_code": 402, "message": "no credits"}));
        assert!(matches!(&all[..], [Told::Broken(error)] if error.kind == ErrorKind::OutOfCredit));
        assert!(hear(&mut sonic, &json!({"type": "weather"})).is_empty());
    }
}
