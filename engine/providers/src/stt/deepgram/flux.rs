//! Deepgram Flux (`/v2/listen`): it decides turns itself, as early as it is asked to.
//!
//! Its text is the whole turn so far, its time is the audio's: without audio a turn never ends, so silence is fed where
//! none comes. There is no finalize and no keep-alive. Wire:
//! <https://developers.deepgram.com/reference/speech-to-text/listen-flux> and the types of the official client,
//! deepgram-sdk 7.17.

use std::time::Duration;

use reqwest::header::HeaderMap;
use serde_json::{Value, json};

use super::{FORMATS, HeardWord, PUBLIC};
use crate::account::Account;
use crate::models::default_of;
use crate::registry::{Kind, Open, Service};
use crate::stt::streaming::{Dialect, Line, Out, Outgoing, OverSocket, Timeline, address, garbled};
use crate::stt::{Capabilities, Control, Event, Settings, Transcript, TurnSignal};
use crate::wire::http::Refused;
use crate::{Error, ErrorKind};

pub(crate) const NAME: &str = "deepgram-flux";

/// How it is registered.
pub const SERVICE: Service = Service {
    name: NAME,
    vendor: "deepgram",
    about: "hears, and decides turns itself, early where that is wanted",
    open: Open::Stt(|account| OverSocket::open(NAME, CAN, account, Stream::new)),
};

/// What listens to other languages than English.
const MULTILINGUAL: &str = "flux-general-multi";
/// The vendor wants 80 ms at a time.
const CHUNK_MS: u32 = 80;
/// Where no audio comes, silence is fed after so long, and so much of it.
const SILENCE_MS: u64 = 500;
/// How sure it must be of a turn's end to tell one, in hundredths: from 90 for a patient agent over the vendor's default
/// of 70 to 50 for a quick one, the vendor's own bounds.
fn end_threshold(responsiveness_percent: u8) -> u32 {
    let quick = u32::from(responsiveness_percent.min(100));
    if quick <= 80 { 90 - quick / 4 } else { 150 - quick }
}

/// How sure it must be to guess an end: middling, as the vendor's documentation begins with, and clearly less than for
/// the end itself.
fn eager_threshold(end: u32) -> u32 {
    end.saturating_sub(15).clamp(30, 50)
}

const CAN: Capabilities =
    Capabilities { formats: FORMATS, interims: true, watermark: true, turns: true, lag_ms_p95: 350 };

struct Stream {
    line: Line,
    timeline: Timeline,
    /// Whether the vendor's turn has words and has not ended.
    open_turn: bool,
}

#[derive(serde::Deserialize)]
struct TurnInfo {
    event: String,
    audio_window_end: f64,
    transcript: String,
    #[serde(default)]
    words: Vec<HeardWord>,
    trigger: Option<String>,
}

impl Stream {
    fn new(account: &Account, settings: Settings) -> Result<Self, Error> {
        let english = settings.language.to_ascii_lowercase().starts_with("en");
        let default = if english { default_of(Kind::Stt, NAME) } else { MULTILINGUAL };
        let model = settings.model.as_deref().unwrap_or(default);
        let mut query = vec![("model", model.to_owned())];
        query.extend(super::encoding(settings.format));
        let end = end_threshold(settings.responsiveness_percent);
        query.push(("eot_threshold", format!("0.{end}")));
        if settings.eager_ends {
            query.push(("eager_eot_threshold", format!("0.{}", eager_threshold(end))));
        }
        // A hint is the bare language, and only the multilingual model takes one.
        let language = settings.language.split(['-', '_']).next().unwrap_or_default();
        if model == MULTILINGUAL && language != "multi" && !language.is_empty() {
            query.push(("language_hint", language.to_owned()));
        }
        let terms = super::key_terms(&settings.expectation.key_terms);
        query.extend(terms.into_iter().map(|term| ("keyterm", term)));
        let base = format!("{}/v2/listen", account.socket_base(PUBLIC));
        Ok(Self {
            line: Line::new(NAME, address(NAME, &base, &query)?, super::headers(account)),
            timeline: Timeline::new(settings.format),
            open_turn: false,
        })
    }

    fn turn(&mut self, info: TurnInfo, out: &mut Out) {
        let transcript = Transcript {
            text: info.transcript,
            words: super::words(info.words, &self.timeline),
            covers_until_us: Some(self.timeline.ours_us(info.audio_window_end)),
        };
        self.open_turn = info.event != "EndOfTurn" && !transcript.text.is_empty();
        let (transcript, signal) = match info.event.as_str() {
            "StartOfTurn" => (Event::Interim(transcript), Some(TurnSignal::Start)),
            "EagerEndOfTurn" => (Event::Interim(transcript), Some(TurnSignal::EagerEnd)),
            "TurnResumed" => (Event::Interim(transcript), Some(TurnSignal::Resumed)),
            // An end that the engine asked for is none the vendor found.
            "EndOfTurn" if info.trigger.as_deref() == Some("manual") => (Event::Slice(transcript), None),
            "EndOfTurn" => (Event::Slice(transcript), Some(TurnSignal::End)),
            _ => (Event::Interim(transcript), None),
        };
        // Who is told of an end must have the words by then; a beginning comes before its words.
        let signal = signal.map(Event::Turn);
        match signal {
            Some(start @ Event::Turn(TurnSignal::Start)) => out.told.extend([start, transcript]),
            signal => out.told.extend([Some(transcript), signal].into_iter().flatten()),
        }
    }
}

impl Dialect for Stream {
    fn line(&self) -> &Line {
        &self.line
    }

    fn upgraded(&mut self, headers: &HeaderMap, _out: &mut Out) {
        self.line.identify(headers, "dg-request-id");
    }

    fn chunk_ms(&self) -> u32 {
        CHUNK_MS
    }

    fn audio(&mut self, bytes: Vec<u8>, out: &mut Out) {
        self.timeline.feed(bytes.len());
        out.binary(bytes);
    }

    fn control(&mut self, control: Control, out: &mut Out) {
        // Finalize needs nothing: the vendor tells how far it has listened four times a second anyway.
        if matches!(control, Control::NextTurn(_)) && std::mem::take(&mut self.open_turn) {
            out.json(&json!({"type": "ForceEndTurn"}));
        }
    }

    fn message(&mut self, message: &Value, out: &mut Out) -> Result<(), Error> {
        match message["type"].as_str() {
            Some("Connected") => {
                self.line.accepted = true;
                if let Some(id) = message["request_id"].as_str() {
                    self.line.request_id = Some(id.to_owned());
                }
            }
            Some("TurnInfo") => {
                let info = serde::Deserialize::deserialize(message)
                    .map_err(|error: serde_json::Error| garbled(NAME, &format!("TurnInfo ({error})")))?;
                self.turn(info, out);
            }
            Some("Error") => {
                let code = message["code"].as_str().unwrap_or("no code");
                let said = message["description"].as_str().unwrap_or_default();
                let kind = match code {
                    "UNPARSABLE_CLIENT_MESSAGE" => ErrorKind::Protocol,
                    _ => ErrorKind::Unavailable,
                };
                return Err(Error::new(NAME, kind, format!("{code}: {said}")));
            }
            _ => {}
        }
        Ok(())
    }

    fn silent_after(&self) -> Option<Duration> {
        Some(Duration::from_millis(SILENCE_MS))
    }

    fn silence(&mut self, out: &mut Out) {
        let silence = self.timeline.insert(SILENCE_MS);
        out.binary(silence);
    }

    fn refused(&self, refused: &Refused) -> Error {
        super::refused(NAME, refused)
    }

    fn closed(&self, code: Option<u16>, reason: &str) -> Error {
        super::closed(NAME, code, reason)
    }

    fn goodbye(&self) -> Option<Outgoing> {
        Some(Outgoing::Text(json!({"type": "CloseStream"}).to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream(settings: Settings) -> Stream {
        Stream::new(&Account::default(), settings).unwrap()
    }

    fn told(stream: &mut Stream, event: &str, text: &str, end: f64) -> Vec<Event> {
        let mut out = Out::default();
        let mut info = json!({"type": "TurnInfo", "request_id": "r", "sequence_id": 7, "event": event,
            "turn_index": 0, "audio_window_start": 0.0, "audio_window_end": end, "transcript": text,
            "words": [{"word": text, "confidence": 0.9, "start": end - 0.5, "end": end}],
            "end_of_turn_confidence": 0.1});
        if event == "EndOfTurn" {
            info["trigger"] = json!(if text == "forced" { "manual" } else { "model" });
        }
        stream.message(&info, &mut out).unwrap();
        out.told
    }

    #[test]
    fn english_has_a_model_of_its_own_and_other_languages_are_hinted_at() {
        let url = |language: &str, eager_ends| {
            stream(Settings { language: language.into(), eager_ends, ..Settings::default() }).line.url
        };
        let english = url("en-IN", false);
        assert!(english.starts_with("wss://api.deepgram.com/v2/listen?model=flux-general-en&"), "{english}");
        assert!(!english.contains("eager") && !english.contains("language"), "{english}");
        assert!(url("hi-IN", false).contains("model=flux-general-multi&"));
        assert!(url("hi-IN", false).ends_with("language_hint=hi"));
        assert!(!url("multi", false).contains("language_hint"));
        assert!(url("en", true).contains("eager_eot_threshold=0.50"));
    }

    #[test]
    fn a_quick_agent_is_told_of_ends_that_are_less_certain() {
        let threshold = |responsiveness_percent| {
            let url = stream(Settings { responsiveness_percent, ..Settings::default() }).line.url;
            let (_, after) = url.split_once("eot_threshold=").unwrap();
            after.split('&').next().unwrap().parse::<f64>().unwrap()
        };
        assert_eq!([0, 40, 80, 90, 100, 255].map(threshold), [0.9, 0.8, 0.7, 0.6, 0.5, 0.5]);
        assert_eq!([90, 70, 60, 50].map(eager_threshold), [50, 50, 45, 35]);
    }

    #[test]
    fn the_turns_text_is_an_interim_until_the_turn_ends_and_the_end_comes_behind_its_slice() {
        let mut stream = stream(Settings::default());
        let kinds = |events: Vec<Event>| -> Vec<&'static str> {
            let kind = |event: &Event| match event {
                Event::Interim(_) => "interim",
                Event::Slice(_) => "slice",
                Event::Turn(TurnSignal::Start) => "start",
                Event::Turn(TurnSignal::EagerEnd) => "eager end",
                Event::Turn(TurnSignal::Resumed) => "resumed",
                Event::Turn(TurnSignal::End) => "end",
                Event::Opened | Event::Replaced { .. } | Event::Failed(_) => "else",
            };
            events.iter().map(kind).collect()
        };
        assert_eq!(kinds(told(&mut stream, "StartOfTurn", "I", 0.5)), ["start", "interim"]);
        assert_eq!(kinds(told(&mut stream, "Update", "I need", 1.0)), ["interim"]);
        assert_eq!(kinds(told(&mut stream, "EagerEndOfTurn", "I need", 1.5)), ["interim", "eager end"]);
        assert_eq!(kinds(told(&mut stream, "TurnResumed", "I need", 2.0)), ["interim", "resumed"]);
        assert_eq!(kinds(told(&mut stream, "EndOfTurn", "I need it", 2.5)), ["slice", "end"]);
        assert_eq!(kinds(told(&mut stream, "Rumination", "", 3.0)), ["interim"]);
    }

    #[test]
    fn a_turn_that_the_engine_closed_is_closed_at_the_vendor_and_told_as_no_end() {
        let mut stream = stream(Settings::default());
        told(&mut stream, "Update", "I need", 1.0);
        let mut out = Out::default();
        stream.control(Control::NextTurn(Default::default()), &mut out);
        assert_eq!(out.messages, [Outgoing::Text(r#"{"type":"ForceEndTurn"}"#.to_owned())]);
        assert!(matches!(told(&mut stream, "EndOfTurn", "forced", 1.2)[..], [Event::Slice(_)]));
        stream.control(Control::NextTurn(Default::default()), &mut out);
        assert_eq!(out.messages.len(), 1);
    }

    #[test]
    fn silence_that_was_fed_for_it_shifts_no_times() {
        let mut stream = stream(Settings::default());
        let mut out = Out::default();
        stream.audio(vec![0; 32_000], &mut out);
        stream.silence(&mut out);
        stream.audio(vec![0; 32_000], &mut out);
        let [Event::Interim(update)] = &told(&mut stream, "Update", "late", 2.25)[..] else { panic!() };
        assert_eq!(update.covers_until_us, Some(1_750_000));
        assert_eq!((update.words[0].start_us, update.words[0].end_us), (1_250_000, 1_750_000));
    }

    #[test]
    fn its_error_is_the_end_of_the_stream() {
        let error =
            json!({"type": "Error", "sequence_id": 1, "code": "INTERNAL_SERVER_ERROR", "description": "oh"});
        let failed = stream(Settings::default()).message(&error, &mut Out::default()).unwrap_err();
        assert_eq!(failed.kind, ErrorKind::Unavailable);
    }
}
