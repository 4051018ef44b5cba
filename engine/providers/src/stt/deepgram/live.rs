//! Deepgram's live transcription (`/v1/listen`): slices, interims, a watermark with every message.
//!
//! The engine decides turns: its finalize is the vendor's `Finalize`. `is_final` settles a slice of time, not a turn;
//! `speech_final` and the like are not looked at. Wire: <https://developers.deepgram.com/reference/speech-to-text/listen-streaming>
//! and the types of the official client, deepgram-sdk 7.17.

use std::time::Duration;

use reqwest::header::HeaderMap;
use serde_json::{Value, json};

use super::{FORMATS, HeardWord, KEY_TERMS_MAX, PUBLIC};
use crate::account::Account;
use crate::models::default_of;
use crate::registry::{Kind, Open, Service};
use crate::stt::streaming::{Dialect, Line, Out, Outgoing, OverSocket, Timeline, address, garbled};
use crate::stt::{Capabilities, Control, Event, Settings, Transcript};
use crate::wire::http::Refused;
use crate::{Error, ErrorKind};

pub(crate) const NAME: &str = "deepgram";

/// How it is registered.
pub const SERVICE: Service = Service {
    name: NAME,
    vendor: "deepgram",
    about: "hears many languages; the engine decides turns",
    open: Open::Stt(|account| OverSocket::open(NAME, CAN, account, Live::new)),
};

/// The vendor closes a stream on which nothing has come for 10 s.
const KEEP_ALIVE_AFTER: Duration = Duration::from_secs(4);
/// A pause that settles a slice by itself, milliseconds. The engine finalizes sooner; this is for when it does not.
const ENDPOINTING_MS: u32 = 300;
/// Model families that take `keywords` and know no `keyterm`.
const WITHOUT_KEY_TERMS: [&str; 4] = ["nova-2", "enhanced", "base", "whisper"];

const CAN: Capabilities =
    Capabilities { formats: FORMATS, interims: true, watermark: true, turns: false, lag_ms_p95: 350 };

struct Live {
    line: Line,
    timeline: Timeline,
    terms: Terms,
    /// What the vendor last complained of; a complaint by itself ends nothing.
    complaint: Option<String>,
}

/// Terms worth listening for: those of the call, then those of the next answer.
struct Terms {
    of_call: Vec<String>,
    sent: Vec<String>,
    wanted: Option<Vec<String>>,
    /// A change is on its way: only one may be.
    changing: bool,
    can_change: bool,
}

#[derive(serde::Deserialize)]
struct Results {
    start: f64,
    duration: f64,
    is_final: bool,
    channel: Channel,
}

#[derive(serde::Deserialize)]
struct Channel {
    alternatives: Vec<Alternative>,
}

#[derive(serde::Deserialize)]
struct Alternative {
    transcript: String,
    #[serde(default)]
    words: Vec<HeardWord>,
}

impl Live {
    fn new(account: &Account, settings: Settings) -> Result<Self, Error> {
        let model = settings.model.as_deref().unwrap_or(default_of(Kind::Stt, NAME));
        let terms = super::key_terms(&settings.expectation.key_terms);
        let knows_terms = !WITHOUT_KEY_TERMS.iter().any(|family| model.starts_with(family));
        let mut query = vec![
            ("model", model.to_owned()),
            ("language", settings.language.clone()),
            ("channels", "1".to_owned()),
            ("interim_results", "true".to_owned()),
            ("punctuate", "true".to_owned()),
            ("endpointing", ENDPOINTING_MS.to_string()),
        ];
        query.extend(super::encoding(settings.format));
        let name = if knows_terms { "keyterm" } else { "keywords" };
        query.extend(terms.iter().map(|term| (name, term.clone())));
        let base = format!("{}/v1/listen", account.socket_base(PUBLIC));
        Ok(Self {
            line: Line::new(NAME, address(NAME, &base, &query)?, super::headers(account)),
            timeline: Timeline::new(settings.format),
            terms: Terms {
                of_call: terms.clone(),
                sent: terms,
                wanted: None,
                changing: false,
                can_change: knows_terms,
            },
            complaint: None,
        })
    }

    fn results(&self, results: Results, out: &mut Out) {
        let covers_until_us = Some(self.timeline.ours_us(results.start + results.duration));
        let (text, words) = match results.channel.alternatives.into_iter().next() {
            Some(best) => (best.transcript, super::words(best.words, &self.timeline)),
            None => (String::new(), Vec::new()),
        };
        let transcript = Transcript { text, words, covers_until_us };
        out.tell(match results.is_final {
            true => Event::Slice(transcript),
            false => Event::Interim(transcript),
        });
    }
}

impl Terms {
    fn expect(&mut self, of_answer: &[String], out: &mut Out) {
        if self.can_change {
            let both: Vec<_> = self.of_call.iter().chain(of_answer).take(KEY_TERMS_MAX).cloned().collect();
            self.wanted = Some(super::key_terms(&both));
            self.change(out);
        }
    }

    fn change(&mut self, out: &mut Out) {
        if !self.changing
            && let Some(wanted) = self.wanted.take()
            && wanted != self.sent
        {
            out.json(&json!({"type": "Configure", "keyterms": wanted}));
            (self.sent, self.changing) = (wanted, true);
        }
    }
}

impl Dialect for Live {
    fn line(&self) -> &Line {
        &self.line
    }

    fn upgraded(&mut self, headers: &HeaderMap, _out: &mut Out) {
        self.line.identify(headers, "dg-request-id");
        self.line.accepted = true;
    }

    fn audio(&mut self, bytes: Vec<u8>, out: &mut Out) {
        self.timeline.feed(bytes.len());
        out.binary(bytes);
    }

    fn control(&mut self, control: Control, out: &mut Out) {
        match control {
            Control::Finalize => out.json(&json!({"type": "Finalize"})),
            Control::NextTurn(expectation) => self.terms.expect(&expectation.key_terms, out),
            Control::VoiceStarted(_) | Control::VoiceEnded(_) => {}
        }
    }

    fn message(&mut self, message: &Value, out: &mut Out) -> Result<(), Error> {
        match message["type"].as_str() {
            Some("Results") => {
                let results = serde::Deserialize::deserialize(message)
                    .map_err(|error: serde_json::Error| garbled(NAME, &format!("Results ({error})")))?;
                self.results(results, out);
            }
            Some("Error") => {
                let said = message["description"].as_str().or(message["message"].as_str());
                self.complaint = said.map(str::to_owned);
            }
            Some("ConfigureSuccess") => {
                self.terms.changing = false;
                self.terms.change(out);
            }
            // The stream goes on with the terms it has.
            Some("ConfigureFailure") => (self.terms.changing, self.terms.can_change) = (false, false),
            _ => {}
        }
        Ok(())
    }

    fn silent_after(&self) -> Option<Duration> {
        Some(KEEP_ALIVE_AFTER)
    }

    fn silence(&mut self, out: &mut Out) {
        out.json(&json!({"type": "KeepAlive"}));
    }

    fn refused(&self, refused: &Refused) -> Error {
        super::refused(NAME, refused)
    }

    fn closed(&self, code: Option<u16>, reason: &str) -> Error {
        let mut error = super::closed(NAME, code, reason);
        if let Some(complaint) = &self.complaint {
            error.message = format!("{}, after it said: {complaint}", error.message);
        }
        if error.kind == ErrorKind::Unavailable && code == Some(1008) {
            error.kind = ErrorKind::Invalid;
        }
        error
    }

    fn goodbye(&self) -> Option<Outgoing> {
        Some(Outgoing::Text(json!({"type": "CloseStream"}).to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::account::Secret;
    use crate::audio::AudioFormat;
    use crate::stt::{Expectation, Word};

    fn live(settings: Settings) -> Live {
        let account = Account { key: Secret::new("k"), base_url: Some("http://localhost:1/deepgram".into()) };
        Live::new(&account, settings).unwrap()
    }

    fn told(live: &mut Live, message: Value) -> Vec<Event> {
        let mut out = Out::default();
        live.message(&message, &mut out).unwrap();
        out.told
    }

    #[test]
    fn mu_law_and_language_are_named_as_they_are_and_numbers_are_left_unformatted() {
        let expectation =
            Expectation { jsgf: None, key_terms: vec!["Anneliese".into(), "Zephyr Café".into()] };
        let settings = Settings {
            language: "multi".into(),
            format: AudioFormat::MuLaw,
            expectation,
            ..Settings::default()
        };
        let url = live(settings).line.url;
        for part in [
            "ws://localhost:1/deepgram/v1/listen?model=nova-3&language=multi&",
            "encoding=mulaw&sample_rate=8000",
            "keyterm=Anneliese&keyterm=Zephyr+Caf%C3%A9",
            "punctuate=true",
            "interim_results=true",
        ] {
            assert!(url.contains(part), "{part} in {url}");
        }
        assert!(!url.contains("smart_format"), "{url}");
        let old = Settings { model: Some("nova-2-phonecall".into()), ..Settings::default() };
        let term = Expectation { jsgf: None, key_terms: vec!["Zephyr".into()] };
        assert!(live(Settings { expectation: term, ..old }).line.url.contains("keywords=Zephyr"));
    }

    #[test]
    fn a_final_result_is_a_slice_and_even_an_empty_one_says_how_far_it_listened() {
        let mut live = live(Settings::default());
        let result = |text: &str, words: Value, is_final: bool| {
            json!({"type": "Results", "channel_index": [0, 1], "start": 1.5, "duration": 1.0, "is_final": is_final,
                "speech_final": false, "channel": {"alternatives": [{"transcript": text, "confidence": 0.9, "words": words}]}})
        };
        let words = json!([{"word": "नमस्ते", "punctuated_word": "नमस्ते।", "start": 1.6, "end": 2.0, "confidence": 0.9}]);
        let transcript = Transcript {
            text: "नमस्ते।".into(),
            words: vec![Word {
                text: "नमस्ते।".into(), start_us: 1_600_000, end_us: 2_000_000
            }],
            covers_until_us: Some(2_500_000),
        };
        assert_eq!(
            told(&mut live, result("नमस्ते।", words.clone(), false)),
            [Event::Interim(transcript.clone())]
        );
        assert_eq!(told(&mut live, result("नमस्ते।", words, true)), [Event::Slice(transcript)]);
        let empty = Transcript { text: String::new(), words: Vec::new(), covers_until_us: Some(2_500_000) };
        assert_eq!(told(&mut live, result("", json!([]), true)), [Event::Slice(empty)]);
    }

    #[test]
    fn what_it_does_not_know_it_ignores_and_what_it_can_not_read_is_a_protocol_failure() {
        let mut live = live(Settings::default());
        assert_eq!(told(&mut live, json!({"type": "Weather", "is": "fine"})), []);
        assert_eq!(
            told(&mut live, json!({"type": "SpeechStarted", "channel": [0, 1], "timestamp": 1.8})),
            []
        );
        let broken = live.message(&json!({"type": "Results", "start": "soon"}), &mut Out::default());
        assert_eq!(broken.unwrap_err().kind, ErrorKind::Protocol);
    }

    #[test]
    fn a_complaint_ends_nothing_but_explains_the_close_that_follows() {
        let mut live = live(Settings::default());
        assert_eq!(
            told(&mut live, json!({"type": "Error", "variant": "SchemaError", "description": "no such"})),
            []
        );
        let error = live.closed(Some(1011), "Deepgram did not receive audio data (NET-0001)");
        assert_eq!(error.kind, ErrorKind::Unavailable);
        assert!(error.message.contains("NET-0001") && error.message.contains("no such"), "{error}");
        assert_eq!(live.closed(Some(1008), "DATA-0000").kind, ErrorKind::Invalid);
    }

    #[test]
    fn key_terms_of_the_next_answer_join_those_of_the_call_one_change_at_a_time() {
        let term = |term: &str| Expectation { jsgf: None, key_terms: vec![term.into()] };
        let mut live = live(Settings { expectation: term("Zephyr"), ..Settings::default() });
        let next = |live: &mut Live, name: &str| {
            let mut out = Out::default();
            live.control(Control::NextTurn(term(name)), &mut out);
            out.messages
        };
        let configure =
            |terms: &[&str]| Outgoing::Text(json!({"type": "Configure", "keyterms": terms}).to_string());
        assert_eq!(next(&mut live, "noon"), [configure(&["Zephyr", "noon"])]);
        assert_eq!(next(&mut live, "one"), []);
        assert_eq!(next(&mut live, "two"), []);
        let mut out = Out::default();
        live.message(&json!({"type": "ConfigureSuccess", "keyterms": ["Zephyr", "noon"]}), &mut out).unwrap();
        assert_eq!(out.messages, [configure(&["Zephyr", "two"])]);
    }
}
