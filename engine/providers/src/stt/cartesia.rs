//! Cartesia Ink (`/stt/websocket`): words when it is asked for them.
//!
//! Its texts are pieces to be joined as they are, a final one included, so a slice is told when its answer to `finalize`
//! is complete. Its word times are not used: over a stream they drift from the audio by seconds
//! (<https://github.com/remorses/cartesia-stt-timestamp-repro>), and wrong times lose words. Wire: the types of the
//! official client, cartesia 4.2.

use std::time::Duration;

use reqwest::header::HeaderMap;
use serde_json::Value;

use crate::account::Account;
use crate::audio::AudioFormat;
use crate::models::default_of;
use crate::registry::{Kind, Open, Service};
use crate::stt::streaming::{Dialect, Line, Out, Outgoing, OverSocket, Owed, Timeline, address};
use crate::stt::{Capabilities, Control, Settings};
use crate::wire::http::Refused;
use crate::{Error, ErrorKind};

pub(crate) const NAME: &str = "cartesia";

/// How it is registered.
pub const SERVICE: Service = Service {
    name: NAME,
    vendor: "cartesia",
    about: "hears without word times; the engine decides turns",
    open: Open::Stt(|account| OverSocket::open(NAME, CAN, account, Ink::new)),
};

const PUBLIC: &str = "https://api.cartesia.ai";
const VERSION: &str = "2026-03-01";
/// The vendor disconnects after three minutes without anything.
const SILENT_AFTER: Duration = Duration::from_secs(30);
const SILENCE_MS: u64 = 100;
/// The vendor takes 100 terms of 1,200 characters together.
const KEY_TERMS: (usize, usize) = (100, 1_200);

const CAN: Capabilities = Capabilities {
    formats: &[AudioFormat::PCM_16K, AudioFormat::MuLaw],
    interims: true,
    watermark: true,
    turns: false,
    lag_ms_p95: 810,
};

struct Ink {
    line: Line,
    timeline: Timeline,
    owed: Owed,
    /// Final pieces of the slice that is not complete yet.
    finals: String,
}

impl Ink {
    fn new(account: &Account, settings: Settings) -> Result<Self, Error> {
        let encoding = if settings.format == AudioFormat::MuLaw { "pcm_mulaw" } else { "pcm_s16le" };
        let mut query = vec![
            ("model", settings.model.clone().unwrap_or_else(|| default_of(Kind::Stt, NAME).to_owned())),
            ("encoding", encoding.to_owned()),
            ("sample_rate", settings.format.sample_rate_hz().to_string()),
        ];
        let language = settings.language.split(['-', '_']).next().unwrap_or_default();
        if !language.is_empty() && language != "multi" {
            query.push(("language", language.to_ascii_lowercase()));
        }
        let mut letters = 0;
        for term in settings.expectation.key_terms.iter().take(KEY_TERMS.0) {
            letters += term.chars().count();
            if letters <= KEY_TERMS.1 && !term.is_empty() {
                query.push(("keyterm", term.clone()));
            }
        }
        let base = format!("{}/stt/websocket", account.socket_base(PUBLIC));
        Ok(Self {
            line: Line::new(
                NAME,
                address(NAME, &base, &query)?,
                vec![
                    ("x-api-key", account.key.reveal().to_owned()),
                    ("cartesia-version", VERSION.to_owned()),
                ],
            ),
            timeline: Timeline::new(settings.format),
            owed: Owed::default(),
            finals: String::new(),
        })
    }
}

/// What an error means, in a refusal or inside the stream: both have the same shape.
fn error(status: u16, said: &Value, body: &str) -> Error {
    let message = said["message"].as_str().or(said["title"].as_str()).unwrap_or(body);
    let mut error = Error::of_status(NAME, status, message);
    if said["error_code"].as_str().is_some_and(|code| code.contains("quota") || code.contains("credit")) {
        error.kind = ErrorKind::OutOfCredit;
    }
    error
}

impl Dialect for Ink {
    fn line(&self) -> &Line {
        &self.line
    }

    fn upgraded(&mut self, _headers: &HeaderMap, _out: &mut Out) {
        self.line.accepted = true;
    }

    fn audio(&mut self, bytes: Vec<u8>, out: &mut Out) {
        self.timeline.feed(bytes.len());
        out.binary(bytes);
    }

    fn control(&mut self, control: Control, out: &mut Out) {
        match control {
            Control::VoiceStarted(at) => self.owed.voice_started(at),
            Control::Finalize if self.owed.wants(self.timeline.fed_us(), &mut out.told) => {
                self.owed.ask(self.timeline.fed_us());
                out.text("finalize");
            }
            Control::Finalize | Control::VoiceEnded(_) | Control::NextTurn(_) => {}
        }
    }

    fn message(&mut self, message: &Value, out: &mut Out) -> Result<(), Error> {
        if let Some(id) = message["request_id"].as_str().filter(|id| !id.is_empty()) {
            self.line.request_id = Some(id.to_owned());
        }
        match message["type"].as_str() {
            Some("transcript") => {
                let text = message["text"].as_str().unwrap_or_default();
                if message["is_final"] == true {
                    self.finals.push_str(text);
                    out.tell(self.owed.interim(&self.finals));
                } else {
                    out.tell(self.owed.interim(&format!("{}{text}", self.finals)));
                }
            }
            Some("flush_done") => {
                let text = std::mem::take(&mut self.finals);
                out.tell(self.owed.settle(&text, Vec::new()));
            }
            Some("error") => {
                let status = message["status_code"].as_u64().and_then(|code| u16::try_from(code).ok());
                return Err(error(status.unwrap_or(500), message, "no reason given"));
            }
            _ => {}
        }
        Ok(())
    }

    fn silent_after(&self) -> Option<Duration> {
        Some(SILENT_AFTER)
    }

    fn silence(&mut self, out: &mut Out) {
        let silence = self.timeline.insert(SILENCE_MS);
        out.binary(silence);
    }

    fn refused(&self, refused: &Refused) -> Error {
        let body = refused.json();
        let id = body["request_id"].as_str().or(refused.header("x-request-id"));
        error(refused.status, &body, &refused.body).retry_after(refused.retry_after()).with_request_id(id)
    }

    fn goodbye(&self) -> Option<Outgoing> {
        Some(Outgoing::Text("close".to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::stt::{Event, Transcript};

    fn say(ink: &mut Ink, messages: &[Value]) -> Vec<Event> {
        let mut out = Out::default();
        messages.iter().for_each(|message| ink.message(message, &mut out).unwrap());
        out.told
    }

    #[test]
    fn pieces_are_joined_as_they_are_and_settled_by_the_answer_to_finalize() {
        let mut ink = Ink::new(&Account::default(), Settings::default()).unwrap();
        let mut out = Out::default();
        ink.audio(vec![0; 64_000], &mut out);
        ink.control(Control::VoiceStarted(300_000), &mut out);
        ink.control(Control::Finalize, &mut out);
        assert_eq!(out.messages[1], Outgoing::Text("finalize".to_owned()));
        let piece =
            |text: &str, is_final: bool| json!({"type": "transcript", "text": text, "is_final": is_final});
        let told = say(
            &mut ink,
            &[
                piece("Book a tab", true),
                piece("le", false),
                piece("le for four.", true),
                json!({"type": "flush_done"}),
            ],
        );
        let interim = |text: &str| {
            let text = text.to_owned();
            Event::Interim(Transcript { text, words: Vec::new(), covers_until_us: Some(300_000) })
        };
        let slice = Event::Slice(Transcript {
            text: "Book a table for four.".into(),
            words: Vec::new(),
            covers_until_us: Some(2_000_000),
        });
        let expected =
            [interim("Book a tab"), interim("Book a table"), interim("Book a table for four."), slice];
        assert_eq!(told, expected);
        let more = say(&mut ink, &[piece(" Thanks", false)]);
        assert!(matches!(&more[..], [Event::Interim(interim)] if interim.text == "Thanks"), "{more:?}");
    }

    #[test]
    fn an_error_inside_the_stream_has_the_kind_of_its_status() {
        let mut ink = Ink::new(&Account::default(), Settings::default()).unwrap();
        let error = json!({"type": "error", "status_code": 402, "title": "Payment required", "message": "Out of credits",
            "error_code": "quota_exceeded", "request_id": "r1"});
        let failed = ink.message(&error, &mut Out::default()).unwrap_err();
        assert_eq!(failed.kind, ErrorKind::OutOfCredit);
        assert_eq!(ink.line.request_id.as_deref(), Some("r1"));
    }
}
