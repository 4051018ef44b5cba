//! OpenAI's transcription sessions (`/realtime?intent=transcription`): interims while the caller speaks.
//!
//! Voice is streamed as it comes and committed when it is to be settled; each commit becomes an item, and items are
//! transcribed side by side, so their answers are put in order here. A session lives 60 minutes; an old one is replaced
//! where nobody speaks. Wire: <https://platform.openai.com/docs/guides/realtime-transcription> and the types of the
//! official client, openai 3.52.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::header::HeaderMap;
use serde_json::{Value, json};

use super::voiced::Voiced;
use super::{failure, language, refused, takes_keywords};
use crate::account::Account;
use crate::audio::AudioFormat;
use crate::models::default_of;
use crate::openai_server::Endpoint;
use crate::registry::{Kind, Open, Service};
use crate::stt::streaming::{Dialect, Line, Out, OverSocket, Owed, address};
use crate::stt::{Capabilities, Control, Settings};
use crate::wire::http::Refused;
use crate::{Error, ErrorKind};

pub(crate) const NAME: &str = "openai-realtime";

/// How it is registered.
pub const SERVICE: Service = Service {
    name: NAME,
    vendor: "openai",
    about: "hears voice while it is spoken; for servers that have sessions",
    open: Open::Stt(|account| OverSocket::open(NAME, CAN, account, Session::new)),
};

const PCM_24K: AudioFormat = AudioFormat::Pcm16 { sample_rate_hz: 24_000 };
/// Every message is JSON around base64: 20 ms each would be half envelope.
const CHUNK_MS: u32 = 60;
/// A commit of less audio is refused.
const COMMIT_MIN_MS: usize = 100;
/// A session ends after 60 minutes, wherever the caller is in a sentence.
const STALE_AFTER: Duration = Duration::from_secs(50 * 60);

const CAN: Capabilities = Capabilities {
    formats: &[PCM_24K, AudioFormat::MuLaw],
    interims: true,
    watermark: true,
    turns: false,
    lag_ms_p95: 1_660,
};

struct Session {
    line: Line,
    update: Value,
    format: AudioFormat,
    voiced: Voiced,
    owed: Owed,
    /// Bytes that were sent and not committed.
    uncommitted: usize,
    items: Items,
}

/// What the vendor makes of the commits, in the order of the caller's speech.
#[derive(Default)]
struct Items {
    /// Named by the vendor, oldest first.
    order: VecDeque<String>,
    /// Commits the vendor has not named yet.
    unnamed: usize,
    /// Words so far, by item; an item may have some before it is committed.
    partial: HashMap<String, String>,
    whole: HashMap<String, String>,
}

impl Items {
    /// An item was made of a commit.
    fn named(&mut self, id: &str, previous: Option<&str>) {
        self.unnamed = self.unnamed.saturating_sub(1);
        let behind = previous.and_then(|previous| self.order.iter().position(|known| known == previous));
        let at = behind.map_or(self.order.len(), |behind| behind + 1);
        self.order.insert(at, id.to_owned());
    }

    fn completed(&mut self, id: &str, text: &str) {
        self.partial.remove(id);
        self.whole.insert(id.to_owned(), text.to_owned());
    }

    /// The oldest item, once it is complete.
    fn next(&mut self) -> Option<String> {
        let text = self.whole.remove(self.order.front()?)?;
        self.order.pop_front();
        Some(text)
    }

    /// All words that are not settled: those of the items in their order, then those of one that is still spoken.
    fn so_far(&self) -> String {
        let words = |id: &String| self.whole.get(id).or(self.partial.get(id));
        let spoken = self.partial.iter().filter(|(id, _)| !self.order.contains(id)).map(|(_, text)| text);
        let all: Vec<_> = self.order.iter().filter_map(words).chain(spoken).map(|text| text.trim()).collect();
        all.join(" ")
    }

    fn is_empty(&self) -> bool {
        self.order.is_empty() && self.unnamed == 0
    }
}

impl Session {
    fn new(account: &Account, settings: Settings) -> Result<Self, Error> {
        let format = settings.format;
        // No model in the address: the vendor would take it for a conversation.
        let endpoint = Endpoint::of(account);
        let base = endpoint.socket_at("/realtime");
        let width = if format == AudioFormat::MuLaw { 1 } else { 2 };
        let url = address(NAME, &base, &[("intent", "transcription".to_owned())])?;
        Ok(Self {
            line: Line::new(NAME, url, endpoint.headers(account)),
            update: update(&settings),
            format,
            voiced: Voiced::new(format.sample_rate_hz(), width),
            owed: Owed::default(),
            uncommitted: 0,
            items: Items::default(),
        })
    }

    fn append(&mut self, bytes: &[u8], out: &mut Out) {
        if !bytes.is_empty() {
            self.uncommitted += bytes.len();
            out.json(&json!({"type": "input_audio_buffer.append", "audio": STANDARD.encode(bytes)}));
        }
    }

    fn settle(&mut self, out: &mut Out) {
        let heard_us = self.voiced.heard_us();
        if !self.owed.wants(heard_us, &mut out.told) {
            return;
        }
        let rest = if self.voiced.is_voiced() { self.voiced.take_whole().1 } else { Vec::new() };
        self.append(&rest, out);
        if self.uncommitted == 0 {
            // Silence needs no answer; what is owed for the voice before it comes first.
            if !self.owed.is_owed() {
                self.owed.ask(heard_us);
                let nothing = self.owed.settle("", Vec::new());
                out.tell(nothing);
            }
            return;
        }
        self.pad(out);
        out.json(&json!({"type": "input_audio_buffer.commit"}));
        self.uncommitted = 0;
        self.items.unnamed += 1;
        self.owed.ask(heard_us);
    }

    fn pad(&mut self, out: &mut Out) {
        let (width, zero) = if self.format == AudioFormat::MuLaw { (1, 0xFF) } else { (2, 0) };
        let least = COMMIT_MIN_MS * self.format.sample_rate_hz() as usize / 1_000 * width;
        let padding = vec![zero; least.saturating_sub(self.uncommitted)];
        self.append(&padding, out);
    }

    fn tell_settled(&mut self, out: &mut Out) {
        while let Some(text) = self.items.next() {
            out.tell(self.owed.settle(&text, Vec::new()));
        }
    }

    /// Most of its errors end nothing.
    fn complained(&mut self, error: &Value, out: &mut Out) -> Result<(), Error> {
        let code = error["code"].as_str().unwrap_or_default();
        if code == "input_audio_buffer_commit_empty" {
            self.items.unnamed = self.items.unnamed.saturating_sub(1);
            if self.items.is_empty() && self.owed.is_owed() {
                out.tell(self.owed.settle("", Vec::new()));
            }
            return Ok(());
        }
        let failed = failure(NAME, error)
            .unwrap_or_else(|| Error::new(NAME, ErrorKind::Unavailable, "an error without a message"));
        let passes = self.line.accepted && failed.kind == ErrorKind::Invalid && !code.contains("model");
        if passes && code != "session_expired" { Ok(()) } else { Err(failed) }
    }
}

fn update(settings: &Settings) -> Value {
    let model = settings.model.clone().unwrap_or_else(|| default_of(Kind::Stt, NAME).to_owned());
    let mut transcription = json!({"model": model});
    if let Some(language) = language(&settings.language) {
        transcription["language"] = json!(language);
    }
    if takes_keywords(&model) && !settings.expectation.key_terms.is_empty() {
        transcription["keywords"] = json!(settings.expectation.key_terms);
    }
    if model == "gpt-realtime-whisper" {
        transcription["delay"] = json!("low");
    }
    let format = match settings.format {
        AudioFormat::MuLaw => json!({"type": "audio/pcmu"}),
        AudioFormat::Pcm16 { .. } => json!({"type": "audio/pcm", "rate": 24_000}),
    };
    let input = json!({"format": format, "transcription": transcription, "turn_detection": null});
    json!({"type": "session.update", "session": {"type": "transcription", "audio": {"input": input}}})
}

impl Dialect for Session {
    fn line(&self) -> &Line {
        &self.line
    }

    fn upgraded(&mut self, headers: &HeaderMap, out: &mut Out) {
        self.line.identify(headers, "x-request-id");
        self.line.accepted = false;
        self.items = Items::default();
        out.json(&self.update);
    }

    fn chunk_ms(&self) -> u32 {
        CHUNK_MS
    }

    fn audio(&mut self, bytes: Vec<u8>, out: &mut Out) {
        self.voiced.hear(&bytes);
        if self.voiced.is_voiced() {
            let (_, bytes) = self.voiced.take_so_far();
            self.append(&bytes, out);
        }
    }

    fn control(&mut self, control: Control, out: &mut Out) {
        self.voiced.follow(&control);
        match control {
            Control::VoiceStarted(at) => self.owed.voice_started(at),
            Control::Finalize => self.settle(out),
            Control::NextTurn(_) if self.voiced.is_voiced() => self.settle(out),
            Control::NextTurn(_) | Control::VoiceEnded(_) => {}
        }
    }

    fn message(&mut self, message: &Value, out: &mut Out) -> Result<(), Error> {
        let id = message["item_id"].as_str().unwrap_or_default();
        let kind = message["type"].as_str().unwrap_or_default();
        match kind.strip_prefix("conversation.item.input_audio_transcription.").unwrap_or(kind) {
            "session.updated" | "transcription_session.updated" => self.line.accepted = true,
            "session.created" | "transcription_session.created" => {
                let id = message["session"]["id"].as_str();
                self.line.request_id = self.line.request_id.take().or(id.map(str::to_owned));
            }
            "input_audio_buffer.committed" => {
                self.items.named(id, message["previous_item_id"].as_str());
                self.tell_settled(out);
            }
            "delta" => {
                let delta = message["delta"].as_str().unwrap_or_default();
                self.items.partial.entry(id.to_owned()).or_default().push_str(delta);
                out.tell(self.owed.interim(&self.items.so_far()));
            }
            "completed" => {
                self.items.completed(id, message["transcript"].as_str().unwrap_or_default());
                self.tell_settled(out);
            }
            "failed" => {
                let failed = failure(NAME, &message["error"]);
                let unnamed =
                    || Error::new(NAME, ErrorKind::Unavailable, "it could not transcribe the audio");
                return Err(failed.unwrap_or_else(unnamed));
            }
            "error" => return self.complained(&message["error"], out),
            _ => {}
        }
        Ok(())
    }

    fn refused(&self, answer: &Refused) -> Error {
        refused(NAME, answer)
    }

    fn is_stale(&self, age: Duration) -> bool {
        age > STALE_AFTER
            && self.items.is_empty()
            && self.uncommitted == 0
            && !self.owed.is_owed()
            && !self.voiced.is_voiced()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stt::Event;
    use crate::stt::streaming::Outgoing;

    fn session(settings: Settings) -> Session {
        Session::new(&Account::default(), Settings { format: PCM_24K, ..settings }).unwrap()
    }

    /// A caller who speaks for a second, from this second on.
    fn speak(session: &mut Session, second: u64, out: &mut Out) {
        session.audio(vec![0; 48_000], out);
        session.control(Control::VoiceStarted(second * 1_000_000 + 500_000), out);
        session.control(Control::VoiceEnded(second * 1_000_000 + 900_000), out);
        session.control(Control::Finalize, out);
    }

    fn kinds(out: &Out) -> Vec<String> {
        let kind = |message: &Outgoing| match message {
            Outgoing::Text(text) => {
                serde_json::from_str::<Value>(text).unwrap()["type"].as_str().unwrap().to_owned()
            }
            Outgoing::Binary(_) => panic!("it takes no binary messages"),
        };
        out.messages.iter().map(kind).collect()
    }

    fn say(session: &mut Session, messages: &[Value]) -> Vec<Event> {
        let mut out = Out::default();
        messages.iter().for_each(|message| session.message(message, &mut out).unwrap());
        out.told
    }

    fn committed(id: &str, previous: Option<&str>) -> Value {
        json!({"type": "input_audio_buffer.committed", "item_id": id, "previous_item_id": previous})
    }

    fn transcribed(how: &str, id: &str, text: &str) -> Value {
        json!({"type": format!("conversation.item.input_audio_transcription.{how}"), "item_id": id,
            "content_index": 0, "delta": text, "transcript": text})
    }

    fn text(event: &Event) -> (&'static str, &str, Option<u64>) {
        match event {
            Event::Interim(said) => ("interim", &said.text, said.covers_until_us),
            Event::Slice(said) => ("slice", &said.text, said.covers_until_us),
            other => panic!("{other:?}"),
        }
    }

    fn texts(events: &[Event]) -> Vec<(&'static str, &str, Option<u64>)> {
        events.iter().map(text).collect()
    }

    #[test]
    fn the_session_has_no_turn_detection_and_names_only_what_its_model_takes() {
        let update = update(&Settings { language: "hi-IN".into(), format: PCM_24K, ..Settings::default() });
        let input = &update["session"]["audio"]["input"];
        assert_eq!(input["turn_detection"], Value::Null);
        assert_eq!(
            input["transcription"],
            json!({"model": "gpt-realtime-whisper", "language": "hi", "delay": "low"})
        );
        let settings = Settings { format: AudioFormat::MuLaw, ..Settings::default() };
        let session = Session::new(&Account::default(), settings).unwrap();
        assert_eq!(session.update["session"]["audio"]["input"]["format"], json!({"type": "audio/pcmu"}));
        assert_eq!(session.line.url, "wss://api.openai.com/v1/realtime?intent=transcription");
    }

    #[test]
    fn answers_that_come_in_the_wrong_order_are_told_in_the_right_one() {
        let mut session = session(Settings::default());
        let mut out = Out::default();
        (0..2).for_each(|second| speak(&mut session, second, &mut out));
        let appended = "input_audio_buffer.append".to_owned();
        let commit = "input_audio_buffer.commit".to_owned();
        assert_eq!(kinds(&out), [appended.clone(), commit.clone(), appended, commit]);
        let told = say(
            &mut session,
            &[
                transcribed("delta", "a", "on"),
                committed("a", None),
                committed("b", Some("a")),
                transcribed("completed", "b", "two"),
                transcribed("completed", "a", "one"),
            ],
        );
        let expected = [
            ("interim", "on", Some(1_500_000)),
            ("slice", "one", Some(1_000_000)),
            ("slice", "two", Some(2_000_000)),
        ];
        assert_eq!(texts(&told), expected);
    }

    #[test]
    fn silence_is_not_sent_and_is_answered_at_once() {
        let mut session = session(Settings::default());
        let mut out = Out::default();
        session.audio(vec![0; 480_000], &mut out);
        session.control(Control::Finalize, &mut out);
        assert_eq!(kinds(&out), Vec::<String>::new());
        assert_eq!(texts(&out.told), [("slice", "", Some(10_000_000))]);
    }

    #[test]
    fn an_empty_commit_ends_nothing_and_a_used_up_quota_ends_all() {
        let mut session = session(Settings::default());
        session.line.accepted = true;
        speak(&mut session, 0, &mut Out::default());
        let error = |code: &str, kind: &str| json!({"type": "error", "error": {"type": kind, "code": code, "message": "m"}});
        let empty = error("input_audio_buffer_commit_empty", "invalid_request_error");
        assert_eq!(texts(&say(&mut session, &[empty])), [("slice", "", Some(1_000_000))]);
        assert_eq!(say(&mut session, &[error("unknown_parameter", "invalid_request_error")]), []);
        let quota = error("insufficient_quota", "insufficient_quota");
        let failed = session.message(&quota, &mut Out::default()).unwrap_err();
        assert_eq!(failed.kind, ErrorKind::OutOfCredit);
        session.line.accepted = false;
        let refused = error("invalid_value", "invalid_request_error");
        let failed = session.message(&refused, &mut Out::default()).unwrap_err();
        assert_eq!(failed.kind, ErrorKind::Invalid);
    }

    #[test]
    fn an_old_session_is_replaced_only_where_nobody_speaks() {
        let mut session = session(Settings::default());
        let old = STALE_AFTER + Duration::from_secs(1);
        assert!(!session.is_stale(STALE_AFTER) && session.is_stale(old));
        speak(&mut session, 0, &mut Out::default());
        assert!(!session.is_stale(old));
        say(&mut session, &[committed("a", None), transcribed("completed", "a", "one")]);
        assert!(session.is_stale(old));
    }
}
