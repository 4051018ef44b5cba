//! Deepgram Aura: a WebSocket whose audio carries no name, so one sentence at a time.
//!
//! Decides two things. Audio belongs to the sentence that was flushed last, hence a socket speaks one sentence, and the
//! next goes to another socket while it is busy. And a socket is flushed at most 18 times in 60 s (the vendor drops
//! flushes beyond 20), the next sentence goes to another socket then too; there are at most three, opened when needed.
//! A cancelled sentence is cleared, and all audio until the vendor says so is dropped. No word times exist.
//! Wire facts: <https://developers.deepgram.com/docs/tts-websocket>. Enter at [`Deepgram`].

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use reqwest::Url;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::line::{Dialect, Id, Line, Told};
use super::sentence::{Sentence, best_format, check, speed};
use super::{Settings, Sink, Speaker, Speech, TextToSpeech, VoiceInfo, voices};
use crate::account::Account;
use crate::audio::AudioFormat;
use crate::registry::{Open, Service};
use crate::wire::http::Refused;
use crate::wire::socket::Received;
use crate::{Error, ErrorKind};

const NAME: &str = "deepgram";
const PUBLIC: &str = "https://api.deepgram.com";
const RATES: [u32; 5] = [8_000, 16_000, 24_000, 32_000, 48_000];
/// The vendor's range of `speed`, for English and Spanish.
const SPEED: (f64, f64) = (0.7, 1.5);
/// Characters spoken at once.
const TEXT_MAX: usize = 2_000;
/// Flushes of a socket in [`WINDOW`]; the vendor's limit is 20.
const FLUSHES_MAX: usize = 18;
const WINDOW: Duration = Duration::from_secs(60);
/// Sockets of a call: 54 sentences a minute.
const SOCKETS_MAX: usize = 3;

/// The service.
pub const SERVICE: Service = Service {
    name: NAME,
    vendor: "deepgram",
    about: "quick voices (Aura) over a socket; no word times",
    open: Open::Tts(|account| Ok(Arc::new(Deepgram::new(account)))),
};

/// Deepgram with an account.
pub struct Deepgram {
    account: Account,
}

impl Deepgram {
    /// With this account; makes no connection.
    pub fn new(account: &Account) -> Self {
        Self { account: account.clone() }
    }
}

impl TextToSpeech for Deepgram {
    fn name(&self) -> &'static str {
        NAME
    }

    fn voices(&self) -> Vec<VoiceInfo> {
        voices::known(NAME)
    }

    fn takes_unlisted_voices(&self) -> bool {
        true
    }

    fn open(&self, settings: Settings) -> Result<Box<dyn Speaker>, Error> {
        let voice = match &settings.model {
            Some(model) if settings.voice.is_empty() && model.starts_with("aura") => model.clone(),
            _ => voices::id_of(NAME, &settings.voice, &settings.language),
        };
        if !voice.starts_with("aura-") {
            let message = format!("there is no voice `{voice}`; its voices are named like aura-2-thalia-en");
            return Err(Error::new(NAME, ErrorKind::Invalid, message));
        }
        let format = best_format(settings.format, &RATES, true);
        let has_speed = voice.starts_with("aura-2-") && (voice.ends_with("-en") || voice.ends_with("-es"));
        let template = Aura {
            base: self.account.socket_base(PUBLIC),
            account: self.account.clone(),
            speed: speed(&settings, SPEED.0, SPEED.1).filter(|_| has_speed),
            voice,
            format,
            speaking: None,
            clearing: false,
        };
        let first = Kept { line: Line::open(template.clone())?, flushes: VecDeque::new() };
        Ok(Box::new(Voice { template, lines: vec![first] }))
    }
}

/// A line and when it was given sentences lately.
struct Kept {
    line: Line,
    flushes: VecDeque<Instant>,
}

impl Kept {
    fn has_flush(&mut self, now: Instant) -> bool {
        while self.flushes.front().is_some_and(|at| now.duration_since(*at) >= WINDOW) {
            self.flushes.pop_front();
        }
        self.flushes.len() < FLUSHES_MAX
    }
}

struct Voice {
    template: Aura,
    lines: Vec<Kept>,
}

impl Speaker for Voice {
    fn speak(&mut self, text: &str, sink: Sink) -> Result<Speech, Error> {
        check(NAME, text, TEXT_MAX)?;
        let now = Instant::now();
        let chosen = self.choose(now)?;
        let kept = &mut self.lines[chosen];
        kept.flushes.push_back(now);
        kept.line.speak(text.to_owned(), Sentence::new(NAME, self.template.format, sink).of_text(text))
    }
}

impl Voice {
    /// The least busy line that may flush; a new one when all are busy and there may be one more.
    fn choose(&mut self, now: Instant) -> Result<usize, Error> {
        let usable: Vec<(usize, usize)> = self
            .lines
            .iter_mut()
            .enumerate()
            .filter_map(|(index, kept)| kept.has_flush(now).then(|| (kept.line.load(), index)))
            .collect();
        let best = usable.into_iter().min();
        match best {
            Some((0, index)) => Ok(index),
            _ if self.lines.len() < SOCKETS_MAX => {
                let line = Line::open(self.template.clone())?;
                self.lines.push(Kept { line, flushes: VecDeque::new() });
                Ok(self.lines.len() - 1)
            }
            Some((_, index)) => Ok(index),
            None => {
                let message = "more sentences in a minute than its sockets may flush";
                Err(Error::new(NAME, ErrorKind::RateLimited, message))
            }
        }
    }
}

/// What is said on one socket.
#[derive(Clone)]
struct Aura {
    base: String,
    account: Account,
    voice: String,
    format: AudioFormat,
    speed: Option<f64>,
    speaking: Option<Id>,
    /// A clear was sent and not answered.
    clearing: bool,
}

impl Dialect for Aura {
    fn provider(&self) -> &'static str {
        NAME
    }

    fn address(&self) -> Result<String, Error> {
        let invalid = || Error::new(NAME, ErrorKind::Invalid, "its address is no address");
        let mut url = Url::parse(&format!("{}/v1/speak", self.base)).map_err(|_| invalid())?;
        let encoding = if self.format == AudioFormat::MuLaw { "mulaw" } else { "linear16" };
        url.query_pairs_mut()
            .append_pair("model", &self.voice)
            .append_pair("encoding", encoding)
            .append_pair("sample_rate", &self.format.sample_rate_hz().to_string());
        if let Some(speed) = self.speed {
            url.query_pairs_mut().append_pair("speed", &speed.to_string());
        }
        Ok(url.to_string())
    }

    fn headers(&self) -> Vec<(&'static str, String)> {
        let key = self.account.key.reveal();
        if key.is_empty() { Vec::new() } else { vec![("authorization", format!("Token {key}"))] }
    }

    fn refused(&self, refused: &Refused) -> Error {
        let body = refused.json();
        let said = body["err_msg"]
            .as_str()
            .or(body["message"].as_str())
            .or(refused.header("dg-error"))
            .unwrap_or(&refused.body);
        let id = refused.header("dg-request-id").or(body["request_id"].as_str());
        let error = Error::of_status(NAME, refused.status, said);
        error.retry_after(refused.retry_after()).with_request_id(id)
    }

    fn opened(&mut self) {
        (self.speaking, self.clearing) = (None, false);
    }

    fn has_room(&self) -> bool {
        self.speaking.is_none() && !self.clearing
    }

    fn speak(&mut self, id: Id, text: &str) -> Vec<String> {
        self.speaking = Some(id);
        let speak = json!({"type": "Speak", "text": format!("{} ", text.trim())});
        vec![speak.to_string(), json!({"type": "Flush"}).to_string()]
    }

    fn cancel(&mut self, id: Id) -> Vec<String> {
        if self.speaking != Some(id) {
            return Vec::new();
        }
        (self.speaking, self.clearing) = (None, true);
        vec![json!({"type": "Clear"}).to_string()]
    }

    fn heard(&mut self, received: Received) -> Vec<Told> {
        match received {
            // Frames still on their way when the sentence was cancelled are nobody's.
            Received::Binary(bytes) => {
                self.speaking.map(|id| Told::Audio(id, bytes.to_vec())).into_iter().collect()
            }
            Received::Text(text) => match serde_json::from_str(&text) {
                Ok(message @ Value::Object(_)) => self.take(&message),
                _ => {
                    let message = "a message came that is no JSON object";
                    vec![Told::Broken(Error::new(NAME, ErrorKind::Protocol, message))]
                }
            },
            Received::Closed { .. } => Vec::new(),
        }
    }

    fn farewell(&self) -> Option<String> {
        Some(json!({"type": "Close"}).to_string())
    }
}

impl Aura {
    fn take(&mut self, message: &Value) -> Vec<Told> {
        let field =
            |names: [&str; 3]| names.iter().find_map(|name| message[*name].as_str()).unwrap_or_default();
        let said = || {
            let (code, words) =
                (field(["code", "warn_code", "err_code"]), field(["description", "warn_msg", "err_msg"]));
            format!("{code}: {}", words.chars().take(300).collect::<String>())
        };
        match message["type"].as_str().unwrap_or_default() {
            // One that comes while a clear is unanswered belongs to the sentence that was cleared.
            "Flushed" if !self.clearing => self.speaking.take().map(Told::Finished).into_iter().collect(),
            "Cleared" => {
                self.clearing = false;
                Vec::new()
            }
            "Warning" if said().to_lowercase().contains("flush") => {
                // Its text lies unspoken in the socket, and would sound with the next sentence.
                let error = Error::new(NAME, ErrorKind::RateLimited, said());
                self.speaking.take().map(|_| Told::Broken(error)).into_iter().collect()
            }
            "Error" | "error" => {
                let error = Error::new(NAME, ErrorKind::Unavailable, said());
                vec![Told::Broken(error)]
            }
            _ => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn aura() -> Aura {
        Aura {
            base: "wss://api.deepgram.com".to_owned(),
            account: Account::default(),
            voice: "aura-2-thalia-en".to_owned(),
            format: AudioFormat::MuLaw,
            speed: Some(1.5),
            speaking: None,
            clearing: false,
        }
    }

    fn hear(aura: &mut Aura, message: &str) -> Vec<Told> {
        aura.heard(Received::Text(message.into()))
    }

    #[test]
    fn audio_between_a_clear_and_its_answer_is_nobodys() {
        let mut aura = aura();
        aura.speak(1, "x");
        assert_eq!(aura.cancel(1), [r#"{"type":"Clear"}"#]);
        assert!(!aura.has_room());
        assert!(aura.heard(Received::Binary(vec![1].into())).is_empty());
        assert!(hear(&mut aura, r#"{"type":"Flushed","sequence_id":0}"#).is_empty());
        hear(&mut aura, r#"{"type":"Cleared","sequence_id":0}"#);
        assert!(aura.has_room());
        aura.speak(2, "y");
        let told = aura.heard(Received::Binary(vec![2].into()));
        assert!(matches!(&told[..], [Told::Audio(2, bytes)] if bytes == &[2]));
        let told = hear(&mut aura, r#"{"type":"Flushed","sequence_id":1}"#);
        assert!(matches!(told[..], [Told::Finished(2)]));
    }

    #[test]
    fn mu_law_is_asked_for_at_eight_kilohertz_with_the_speed() {
        let address = aura().address().unwrap();
        assert!(address.contains("encoding=mulaw&sample_rate=8000&speed=1.5"), "{address}");
    }

    #[test]
    fn a_dropped_flush_ends_its_socket_with_the_text_in_it_and_other_warnings_do_not() {
        let mut aura = aura();
        aura.speak(1, "x");
        assert!(hear(&mut aura, r#"{"type":"Warning","code":"SLOW","description":"later"}"#).is_empty());
        let told = hear(&mut aura, r#"{"type":"Warning","warn_code":"EXCESSIVE_FLUSH","warn_msg":"no"}"#);
        assert!(matches!(&told[..], [Told::Broken(error)] if error.kind == ErrorKind::RateLimited));
        assert!(hear(&mut aura, r#"{"type":"SpeechMood"}"#).is_empty());
    }

    #[tokio::test]
    async fn a_busy_socket_or_one_near_its_limit_of_flushes_is_left_alone() {
        let account = Account { base_url: Some("http://127.0.0.1:9".to_owned()), ..Account::default() };
        let template = Aura { base: account.socket_base(PUBLIC), ..aura() };
        let line = || Line::open(template.clone()).unwrap();
        let now = Instant::now();
        let flushes: VecDeque<_> = vec![now; FLUSHES_MAX].into();
        let mut voice = Voice { template: template.clone(), lines: vec![Kept { line: line(), flushes }] };
        assert_eq!(voice.choose(now).unwrap(), 1, "a second socket");
        let later = now + WINDOW;
        assert_eq!(voice.choose(later).unwrap(), 0, "its limit has passed");
        for kept in &mut voice.lines {
            kept.flushes = vec![now; FLUSHES_MAX].into();
        }
        assert_eq!(voice.choose(now).unwrap(), 2);
        voice.lines[2].flushes = vec![now; FLUSHES_MAX].into();
        assert_eq!(voice.choose(now).unwrap_err().kind, ErrorKind::RateLimited);
    }
}
