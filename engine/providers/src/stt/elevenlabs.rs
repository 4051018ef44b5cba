//! ElevenLabs Scribe in real time: interims by itself, slices when it is told to commit.
//!
//! With timestamps each commit arrives twice, plain and with them; the latter counts, and the former only where the
//! latter does not come. A commit of less than 0.3 s ends the session, so a short one is padded. Wire:
//! <https://elevenlabs.io/docs/api-reference/speech-to-text/v-1-speech-to-text-realtime> and the types of the official
//! client, elevenlabs 2.78.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::header::HeaderMap;
use serde_json::{Value, json};

use crate::account::Account;
use crate::audio::AudioFormat;
use crate::models::default_of;
use crate::registry::{Kind, Open, Service};
use crate::stt::streaming::{Dialect, Line, Out, OverSocket, Owed, Timeline, address, garbled};
use crate::stt::{Capabilities, Control, Settings, Word};
use crate::wire::http::Refused;
use crate::{Error, ErrorKind};

pub(crate) const NAME: &str = "elevenlabs";

/// How it is registered.
pub const SERVICE: Service = Service {
    name: NAME,
    vendor: "elevenlabs",
    about: "hears many languages, with word times; the engine decides turns",
    open: Open::Stt(|account| OverSocket::open(NAME, CAN, account, Session::new)),
};

const PUBLIC: &str = "https://api.elevenlabs.io";
/// Every message is JSON around base64: 20 ms each would be half envelope.
const CHUNK_MS: u32 = 60;
/// A session on which nothing comes is closed, pings or not; other clients send something every 10 s.
const SILENT_AFTER: Duration = Duration::from_secs(8);
/// A commit of less audio ends the session.
const COMMIT_MIN_US: u64 = 300_000;
/// A padded commit has a little more, since the vendor may round.
const PADDING_MS: u64 = 40;
/// The vendor takes so many key terms of so many characters each.
const KEY_TERMS: (usize, usize) = (50, 20);
/// Word times that lie farther than this outside the audio they are told for are none, microseconds.
const ASTRAY_US: u64 = 1_000_000;

const CAN: Capabilities = Capabilities {
    formats: &[AudioFormat::PCM_16K, AudioFormat::MuLaw],
    interims: true,
    watermark: true,
    turns: false,
    lag_ms_p95: 410,
};

struct Session {
    line: Line,
    sample_rate_hz: u32,
    timeline: Timeline,
    owed: Owed,
    /// Audio of the listener that the last commit covered.
    committed_us: u64,
    twins: Twins,
}

/// Commits of which one of the two messages has come.
#[derive(Debug, Default)]
struct Twins {
    /// Came plain; the one with times is awaited.
    awaited: Option<String>,
    /// Was told without times since another commit came before them; they may still come.
    given_up: Option<String>,
}

#[derive(serde::Deserialize)]
struct Committed {
    text: String,
    words: Option<Vec<HeardWord>>,
}

#[derive(serde::Deserialize)]
struct HeardWord {
    text: Option<String>,
    start: Option<f64>,
    end: Option<f64>,
    r#type: Option<String>,
}

impl Session {
    fn new(account: &Account, settings: Settings) -> Result<Self, Error> {
        let sample_rate_hz = settings.format.sample_rate_hz();
        let format = match settings.format {
            AudioFormat::MuLaw => "ulaw_8000".to_owned(),
            AudioFormat::Pcm16 { sample_rate_hz } => format!("pcm_{sample_rate_hz}"),
        };
        let mut query = vec![
            ("model_id", settings.model.clone().unwrap_or_else(|| default_of(Kind::Stt, NAME).to_owned())),
            ("audio_format", format),
            ("commit_strategy", "manual".to_owned()),
            ("include_timestamps", "true".to_owned()),
        ];
        let language = settings.language.split(['-', '_']).next().unwrap_or_default();
        if !language.is_empty() && language != "multi" {
            query.push(("language_code", language.to_ascii_lowercase()));
        }
        let fits = |term: &&String| !term.is_empty() && term.chars().count() <= KEY_TERMS.1;
        let terms = settings.expectation.key_terms.iter().filter(fits).take(KEY_TERMS.0);
        query.extend(terms.map(|term| ("keyterms", term.clone())));
        let base = format!("{}/v1/speech-to-text/realtime", account.socket_base(PUBLIC));
        Ok(Self {
            line: Line::new(
                NAME,
                address(NAME, &base, &query)?,
                vec![("xi-api-key", account.key.reveal().to_owned())],
            ),
            sample_rate_hz,
            timeline: Timeline::new(settings.format),
            owed: Owed::default(),
            committed_us: 0,
            twins: Twins::default(),
        })
    }

    fn chunk(&self, bytes: &[u8], commit: bool, out: &mut Out) {
        out.json(&json!({
            "message_type": "input_audio_chunk",
            "audio_base_64": STANDARD.encode(bytes),
            "commit": commit,
            "sample_rate": self.sample_rate_hz,
        }));
    }

    fn commit(&mut self, out: &mut Out) {
        let fed_us = self.timeline.fed_us();
        let missing_us = COMMIT_MIN_US.saturating_sub(fed_us - self.committed_us);
        let padding = match missing_us {
            0 => Vec::new(),
            missing_us => self.timeline.insert(missing_us.div_ceil(1_000) + PADDING_MS),
        };
        self.chunk(&padding, true, out);
        self.committed_us = fed_us;
        self.owed.ask(fed_us);
    }

    /// A commit without times. One without words has none to wait for.
    fn plain(&mut self, text: &str, out: &mut Out) {
        if let Some(before) = self.twins.awaited.take() {
            out.tell(self.owed.settle(&before, Vec::new()));
            self.twins.given_up = Some(before);
        }
        if text.trim().is_empty() {
            out.tell(self.owed.settle("", Vec::new()));
        } else {
            self.twins.awaited = Some(text.to_owned());
        }
    }

    fn timed(&mut self, committed: Committed, out: &mut Out) {
        let late = self.twins.given_up.take_if(|text| *text == committed.text).is_some();
        if late || committed.text.trim().is_empty() {
            return;
        }
        self.twins.awaited = None;
        let words = self.words(committed.words.unwrap_or_default());
        out.tell(self.owed.settle(&committed.text, words));
    }

    /// The words, if their times can be those of the audio since the last commit.
    fn words(&self, heard: Vec<HeardWord>) -> Vec<Word> {
        let timed = |heard: HeardWord| {
            let (start_us, end_us) = (self.timeline.ours_us(heard.start?), self.timeline.ours_us(heard.end?));
            Some(Word { text: heard.text?, start_us, end_us: end_us.max(start_us) })
        };
        let spoken = |heard: &HeardWord| heard.r#type.as_deref().is_none_or(|kind| kind == "word");
        let words: Vec<Word> =
            heard.into_iter().filter(spoken).map(timed).collect::<Option<_>>().unwrap_or_default();
        let (from, until) = (self.owed.settled_us(), self.timeline.fed_us() + ASTRAY_US);
        let fits = |word: &Word| word.start_us + ASTRAY_US >= from && word.end_us <= until;
        if words.iter().all(fits) { words } else { Vec::new() }
    }
}

/// What an error means that the session ends with.
fn failure(kind: &str, said: &str) -> Option<Error> {
    let (kind_of, fix) = match kind {
        _ if said.contains("detected_unusual_activity") => return Some(blocked(said)),
        "auth_error" | "unaccepted_terms" => {
            (ErrorKind::Unauthorized, "; check the key, and accept the terms in the account")
        }
        "quota_exceeded" => (ErrorKind::OutOfCredit, "; top up the account"),
        "rate_limited" => (ErrorKind::RateLimited, ""),
        "input_error" | "invalid_request" | "chunk_size_exceeded" => (ErrorKind::Invalid, ""),
        "commit_throttled"
        | "error"
        | "insufficient_audio_activity"
        | "queue_overflow"
        | "resource_exhausted"
        | "session_time_limit_exceeded"
        | "transcriber_error" => (ErrorKind::Unavailable, ""),
        _ => return None,
    };
    Some(Error::new(NAME, kind_of, format!("{kind}: {said}{fix}")))
}

fn blocked(said: &str) -> Error {
    let fix = "the vendor has blocked the account's free tier (proxies and shared addresses set that off): take a paid \
               plan, or ask its support";
    Error::new(NAME, ErrorKind::Blocked, format!("{said}; {fix}"))
}

impl Dialect for Session {
    fn line(&self) -> &Line {
        &self.line
    }

    fn upgraded(&mut self, headers: &HeaderMap, _out: &mut Out) {
        self.line.identify(headers, "x-trace-id");
    }

    fn chunk_ms(&self) -> u32 {
        CHUNK_MS
    }

    fn audio(&mut self, bytes: Vec<u8>, out: &mut Out) {
        self.timeline.feed(bytes.len());
        self.chunk(&bytes, false, out);
    }

    fn control(&mut self, control: Control, out: &mut Out) {
        match control {
            Control::VoiceStarted(at) => self.owed.voice_started(at),
            Control::Finalize if self.owed.wants(self.timeline.fed_us(), &mut out.told) => self.commit(out),
            Control::Finalize | Control::VoiceEnded(_) | Control::NextTurn(_) => {}
        }
    }

    fn message(&mut self, message: &Value, out: &mut Out) -> Result<(), Error> {
        match message["message_type"].as_str() {
            Some("session_started") => {
                self.line.accepted = true;
                self.line.request_id =
                    message["session_id"].as_str().map(str::to_owned).or(self.line.request_id.take());
            }
            Some("partial_transcript") => {
                out.tell(self.owed.interim(message["text"].as_str().unwrap_or_default()));
            }
            Some("committed_transcript_with_timestamps") => {
                let committed: Committed =
                    serde::Deserialize::deserialize(message).map_err(|error: serde_json::Error| {
                        garbled(NAME, &format!("a committed transcript ({error})"))
                    })?;
                self.timed(committed, out);
            }
            Some("committed_transcript") => {
                self.plain(message["text"].as_str().unwrap_or_default(), out);
            }
            Some(kind) => {
                let said = message["error"].as_str().unwrap_or_default();
                return failure(kind, said).map_or(Ok(()), Err);
            }
            None => {}
        }
        Ok(())
    }

    fn silent_after(&self) -> Option<Duration> {
        Some(SILENT_AFTER)
    }

    fn silence(&mut self, out: &mut Out) {
        self.chunk(&[], false, out);
    }

    /// Out of credit is a 401 here.
    fn refused(&self, refused: &Refused) -> Error {
        let body = refused.json();
        let detail = &body["detail"];
        let status = detail["status"].as_str().unwrap_or_default();
        let said = detail["message"].as_str().or(detail.as_str()).unwrap_or(&refused.body);
        let mut error = match status {
            "detected_unusual_activity" => blocked(said),
            "quota_exceeded" => Error::of_status(NAME, 402, said),
            _ => Error::of_status(NAME, refused.status, said),
        };
        error = error.retry_after(refused.retry_after());
        error.with_request_id(refused.header("x-trace-id").or(refused.header("request-id")))
    }

    fn closed(&self, code: Option<u16>, reason: &str) -> Error {
        // A close may come without the message that should precede it; its reason is the same word then.
        let word = reason.split([':', ' ', ',']).next().unwrap_or_default();
        failure(word, reason).unwrap_or_else(|| crate::stt::streaming::closed(NAME, code, reason))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stt::streaming::Outgoing;
    use crate::stt::{Event, Transcript};

    fn session() -> Session {
        Session::new(&Account::default(), Settings { language: "hi-IN".into(), ..Settings::default() })
            .unwrap()
    }

    fn sent(out: &Out) -> Vec<Value> {
        let json = |message: &Outgoing| match message {
            Outgoing::Text(text) => serde_json::from_str(text).unwrap(),
            Outgoing::Binary(_) => panic!("it takes no binary messages"),
        };
        out.messages.iter().map(json).collect()
    }

    fn bytes(chunk: &Value) -> usize {
        STANDARD.decode(chunk["audio_base_64"].as_str().unwrap()).unwrap().len()
    }

    #[test]
    fn a_short_commit_is_padded_and_its_padding_shifts_no_times() {
        let mut session = session();
        assert!(session.line.url.contains("language_code=hi"), "{}", session.line.url);
        let mut out = Out::default();
        session.audio(vec![0; 3_200], &mut out);
        session.control(Control::Finalize, &mut out);
        let padded = sent(&out);
        assert_eq!((bytes(&padded[0]), padded[0]["commit"].clone()), (3_200, json!(false)));
        assert_eq!((bytes(&padded[1]), padded[1]["commit"].clone()), (240 * 32, json!(true)));
        let mut out = Out::default();
        session.audio(vec![0; 32_000], &mut out);
        session.control(Control::Finalize, &mut out);
        assert_eq!(bytes(&sent(&out)[1]), 0);
        let commit = |text: &str, start: f64| {
            json!({"message_type": "committed_transcript_with_timestamps", "text": text, "words": [
                {"text": text, "start": start, "end": start + 0.25, "type": "word", "logprob": 0.0},
                {"text": " ", "start": start, "end": start, "type": "spacing"}]})
        };
        let mut out = Out::default();
        let plain = |text: &str| json!({"message_type": "committed_transcript", "text": text});
        for message in [plain(""), commit("", 0.0), plain("नमस्ते")] {
            session.message(&message, &mut out).unwrap();
        }
        session.message(&commit("नमस्ते", 0.84), &mut out).unwrap();
        let Event::Slice(slice) = &out.told[1] else { panic!("{:?}", out.told) };
        let word = Word { text: "नमस्ते".into(), start_us: 600_000, end_us: 850_000 };
        assert_eq!(slice.words, [word]);
        assert_eq!((slice.covers_until_us, out.told.len()), (Some(1_100_000), 2));
    }

    #[test]
    fn words_whose_times_do_not_come_are_told_without_them_and_once() {
        let mut session = session();
        let mut out = Out::default();
        let message = |kind: &str, text: &str| json!({"message_type": kind, "text": text, "words": []});
        for (kind, text) in [
            ("committed_transcript", "one"),
            ("committed_transcript", "two"),
            ("committed_transcript_with_timestamps", "one"),
            ("committed_transcript_with_timestamps", "two"),
        ] {
            session.message(&message(kind, text), &mut out).unwrap();
        }
        let text = |event: &Event| match event {
            Event::Slice(slice) => slice.text.clone(),
            other => panic!("{other:?}"),
        };
        assert_eq!(out.told.iter().map(text).collect::<Vec<_>>(), ["one", "two"]);
    }

    #[test]
    fn times_that_can_not_be_are_left_away() {
        let mut session = session();
        session.audio(vec![0; 32_000], &mut Out::default());
        let astray = json!({"message_type": "committed_transcript_with_timestamps", "text": "late",
            "words": [{"text": "late", "start": 40.0, "end": 41.0, "type": "word"}]});
        let mut out = Out::default();
        session.message(&astray, &mut out).unwrap();
        assert!(
            matches!(&out.told[..], [Event::Slice(Transcript { words, text, .. })] if words.is_empty() && text == "late")
        );
    }

    #[test]
    fn each_error_has_its_kind_and_a_block_says_what_to_do() {
        let fails = |kind: &str, said: &str| {
            let message = json!({"message_type": kind, "error": said});
            session().message(&message, &mut Out::default()).map_err(|error| error.kind)
        };
        assert_eq!(fails("quota_exceeded", "no"), Err(ErrorKind::OutOfCredit));
        assert_eq!(fails("auth_error", "no"), Err(ErrorKind::Unauthorized));
        assert_eq!(fails("auth_error", "detected_unusual_activity"), Err(ErrorKind::Blocked));
        assert_eq!(fails("rate_limited", "no"), Err(ErrorKind::RateLimited));
        assert_eq!(fails("edited_transcript", ""), Ok(()));
        let body = r#"{"detail":{"status":"quota_exceeded","message":"quota of 0 credits"}}"#.to_owned();
        let refused = Refused { status: 401, headers: HeaderMap::new(), body };
        assert_eq!(session().refused(&refused).kind, ErrorKind::OutOfCredit);
        assert_eq!(session().closed(Some(1008), "transcriber_error").kind, ErrorKind::Unavailable);
    }
}
