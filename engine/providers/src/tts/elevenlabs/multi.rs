//! ElevenLabs over one WebSocket a call: `multi-stream-input`, a context for every sentence.
//!
//! Decides that a sentence is opened, flushed and closed at once, so that its end comes by itself, and that nothing
//! named after an old sentence is ever told: a closed context still speaks what it was given, and that is dropped by its
//! id. At most five contexts are open; one counts until the vendor says it is final. Enter at [`ElevenLabs`].

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde_json::{Value, json};

use super::{PUBLIC, TEXT_MAX, Wanted, headers, list_in_time, refusal};
use crate::account::Account;
use crate::registry::{Open, Service};
use crate::tts::letters::{Counted, Letter, Letters, told_us};
use crate::tts::line::{Dialect, Id, Line, Told};
use crate::tts::sentence::{Sentence, check};
use crate::tts::{Settings, Sink, Speaker, Speech, TextToSpeech, VoiceInfo, voices};
use crate::wire::http::{Http, Refused};
use crate::wire::socket::Received;
use crate::{Error, ErrorKind};

const NAME: &str = "elevenlabs";
/// Contexts the vendor allows on a socket.
const CONTEXTS_MAX: usize = 5;
/// Seconds without text after which the vendor may close a context; its greatest.
const INACTIVITY_S: &str = "180";
/// An idle socket is kept open by a message so often.
const KEEP_ALIVE_EVERY: Duration = Duration::from_secs(60);

/// The service.
pub const SERVICE: Service = Service {
    name: NAME,
    vendor: "elevenlabs",
    about: "lifelike voices in many languages over one socket a call, with word times",
    open: Open::Tts(|account| Ok(Arc::new(ElevenLabs::new(account)?))),
};

/// ElevenLabs with an account.
pub struct ElevenLabs {
    account: Account,
    http: Http,
}

impl ElevenLabs {
    /// With this account; makes no connection.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] for a key that can't be sent.
    pub fn new(account: &Account) -> Result<Self, Error> {
        Ok(Self { account: account.clone(), http: Http::new(NAME, &headers(account))? })
    }
}

impl TextToSpeech for ElevenLabs {
    fn name(&self) -> &'static str {
        NAME
    }

    fn voices(&self) -> Vec<VoiceInfo> {
        voices::known("elevenlabs")
    }

    fn takes_unlisted_voices(&self) -> bool {
        true
    }

    fn list(&self) -> BoxFuture<'_, Result<Vec<VoiceInfo>, Error>> {
        list_in_time(NAME, &self.http, self.account.base(PUBLIC)).boxed()
    }

    fn open(&self, settings: Settings) -> Result<Box<dyn Speaker>, Error> {
        let wanted = Wanted::of(NAME, &settings)?;
        let contexts = Contexts {
            base: self.account.socket_base(PUBLIC),
            headers: headers(&self.account),
            wanted: wanted.clone(),
            open: HashMap::new(),
        };
        Ok(Box::new(Voice { line: Line::open(contexts)?, wanted }))
    }
}

struct Voice {
    line: Line,
    wanted: Wanted,
}

impl Speaker for Voice {
    fn speak(&mut self, text: &str, sink: Sink) -> Result<Speech, Error> {
        check(NAME, text, TEXT_MAX)?;
        let sentence = Sentence::new(NAME, self.wanted.format, sink).of_text(text);
        self.line.speak(text.to_owned(), sentence)
    }
}

/// The contexts of a socket.
struct Contexts {
    base: String,
    headers: Vec<(&'static str, String)>,
    wanted: Wanted,
    /// Contexts that are not final; no letters for those whose sentence is cancelled.
    open: HashMap<Id, Option<Letters>>,
}

impl Dialect for Contexts {
    fn provider(&self) -> &'static str {
        NAME
    }

    fn address(&self) -> Result<String, Error> {
        let mut query = vec![
            ("model_id", self.wanted.model.as_str()),
            ("auto_mode", "true"),
            ("sync_alignment", "true"),
            ("inactivity_timeout", INACTIVITY_S),
        ];
        if let Some(language) = &self.wanted.language {
            query.push(("language_code", language));
        }
        Ok(self.wanted.url(&self.base, &["multi-stream-input"], &query)?.to_string())
    }

    fn headers(&self) -> Vec<(&'static str, String)> {
        self.headers.clone()
    }

    fn refused(&self, refused: &Refused) -> Error {
        refusal::of(NAME, &self.wanted.voice, refused)
    }

    fn opened(&mut self) {
        self.open.clear();
    }

    fn has_room(&self) -> bool {
        self.open.len() < CONTEXTS_MAX
    }

    fn speak(&mut self, id: Id, text: &str) -> Vec<String> {
        self.open.insert(id, Some(Letters::new(Counted::FromTheMessage)));
        let context = id.to_string();
        let mut first = json!({"text": " ", "context_id": context});
        if let Some(speed) = self.wanted.speed {
            first["voice_settings"] = json!({"speed": speed});
        }
        // Text ends in a space, or its last word may be waited for.
        let said = json!({"text": format!("{} ", text.trim()), "context_id": context, "flush": true});
        let last = json!({"context_id": context, "close_context": true});
        [first, said, last].map(|message| message.to_string()).to_vec()
    }

    fn cancel(&mut self, id: Id) -> Vec<String> {
        // Its context is closed already; it counts until it is final.
        if let Some(letters) = self.open.get_mut(&id) {
            *letters = None;
        }
        Vec::new()
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

    fn keep_alive(&self) -> Option<(Duration, String)> {
        // It names no context: one that is named is opened by it.
        Some((KEEP_ALIVE_EVERY, json!({"text": ""}).to_string()))
    }

    fn farewell(&self) -> Option<String> {
        Some(json!({"close_socket": true}).to_string())
    }
}

impl Contexts {
    fn take(&mut self, message: &Value) -> Vec<Told> {
        let context = message["contextId"].as_str().or(message["context_id"].as_str());
        let id = context.and_then(|context| context.parse::<Id>().ok());
        if let Some(name) = message["error"].as_str() {
            let said = message["message"].as_str().unwrap_or_default();
            let error = refusal::told(NAME, &self.wanted.voice, name, said);
            return match id {
                Some(id) if self.open.remove(&id).is_some() => vec![Told::Failed(id, error)],
                _ => {
                    vec![Told::Broken(error)]
                }
            };
        }
        let Some(id) = id else { return Vec::new() };
        let Some(letters) = self.open.get_mut(&id) else { return Vec::new() };
        let mut told = Vec::new();
        if let Some(letters) = letters {
            if let Some(audio) = message["audio"].as_str().filter(|audio| !audio.is_empty()) {
                let Ok(bytes) = BASE64.decode(audio) else {
                    let message = "audio came that is no base64";
                    return vec![Told::Broken(Error::new(NAME, ErrorKind::Protocol, message))];
                };
                told.push(Told::Audio(id, bytes));
            }
            let words = match (&message["alignment"], &message["normalizedAlignment"]) {
                (Value::Object(_), _) => letters.push(characters(&message["alignment"])),
                // Normalised words do not stand in the text: only their time counts.
                (_, normalised) => {
                    letters.pass(characters(normalised).last().map_or(0, |letter| letter.end_us));
                    Vec::new()
                }
            };
            told.extend((!words.is_empty()).then_some(Told::Words(id, words)));
        }
        if message["isFinal"] == true || message["is_final"] == true {
            let last = letters.as_mut().and_then(Letters::end);
            told.extend(last.map(|word| Told::Words(id, vec![word])));
            self.open.remove(&id);
            told.push(Told::Finished(id));
        }
        told
    }
}

/// The characters of an alignment, with times from its own audio; as many as have all three values.
fn characters(alignment: &Value) -> Vec<Letter> {
    let list = |name: &str| alignment[name].as_array().map(Vec::as_slice).unwrap_or_default();
    // The vendor has been seen to write them both ways.
    let either =
        |one: &str, other: &str| if list(one).is_empty() { list(other).to_vec() } else { list(one).to_vec() };
    let starts = either("charStartTimesMs", "charsStartTimesMs");
    let lengths = either("charDurationsMs", "charsDurationsMs");
    let us = |value: &Value| told_us(value, 1e3);
    list("chars")
        .iter()
        .zip(starts.iter().zip(&lengths))
        .filter_map(|(character, (start, length))| {
            let start_us = us(start);
            let character = character.as_str()?.chars().next()?;
            Some(Letter { character, start_us, end_us: start_us + us(length) })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contexts() -> Contexts {
        Contexts {
            base: "wss://api.elevenlabs.io".to_owned(),
            headers: Vec::new(),
            wanted: Wanted::of(NAME, &Settings { speed_percent: 110, ..Settings::default() }).unwrap(),
            open: HashMap::new(),
        }
    }

    fn hear(contexts: &mut Contexts, message: &Value) -> Vec<Told> {
        contexts.heard(Received::Text(message.to_string().into()))
    }

    fn message(id: &str, chars: &str, start_ms: u64) -> Value {
        let starts: Vec<_> = (0..).map(|index| start_ms + index * 50).take(chars.chars().count()).collect();
        let lengths = vec![50; starts.len()];
        let chars: Vec<_> = chars.chars().collect();
        let alignment = json!({"chars": chars, "charStartTimesMs": starts, "charDurationsMs": lengths});
        json!({"audio": BASE64.encode([1, 2]), "alignment": alignment, "isFinal": null, "contextId": id})
    }

    #[test]
    fn a_sentence_is_opened_flushed_and_closed_at_once() {
        let sent: Vec<Value> =
            contexts().speak(7, "Hello.").iter().map(|sent| serde_json::from_str(sent).unwrap()).collect();
        let expected = [
            json!({"text": " ", "context_id": "7", "voice_settings": {"speed": 1.1}}),
            json!({"text": "Hello. ", "context_id": "7", "flush": true}),
            json!({"context_id": "7", "close_context": true}),
        ];
        assert_eq!(sent, expected);
    }

    #[test]
    fn five_contexts_are_open_at_most_and_each_counts_until_it_is_final() {
        let mut contexts = contexts();
        (1..=5).for_each(|id| drop(contexts.speak(id, "x")));
        assert!(!contexts.has_room());
        contexts.cancel(3);
        assert!(!contexts.has_room(), "the vendor still holds it open");
        hear(&mut contexts, &json!({"isFinal": true, "context_id": "3"}));
        assert!(contexts.has_room());
    }

    #[test]
    fn word_times_run_on_over_messages_that_count_from_themselves() {
        let mut contexts = contexts();
        contexts.speak(1, "to all");
        let mut words = Vec::new();
        for told in [("to a", 0), ("ll ", 0)].map(|(chars, at)| message("1", chars, at)) {
            for told in hear(&mut contexts, &told) {
                if let Told::Words(1, new) = told {
                    words.extend(new.into_iter().map(|word| (word.text, word.start_us, word.end_us)));
                }
            }
        }
        assert_eq!(words, [("to".to_owned(), 0, 100_000), ("all".to_owned(), 150_000, 300_000)]);
    }

    #[test]
    fn late_audio_of_a_cancelled_or_finished_context_is_dropped() {
        let mut contexts = contexts();
        contexts.speak(1, "x");
        contexts.cancel(1);
        assert!(hear(&mut contexts, &message("1", "x", 0)).is_empty());
        hear(&mut contexts, &json!({"isFinal": true, "contextId": "1"}));
        assert!(hear(&mut contexts, &message("1", "x", 0)).is_empty());
        assert!(hear(&mut contexts, &message("99", "x", 0)).is_empty());
    }

    #[test]
    fn what_nobody_knows_is_passed_over_and_what_can_not_be_parsed_is_not() {
        let mut contexts = contexts();
        contexts.speak(1, "x");
        assert!(hear(&mut contexts, &json!({"mood": "calm"})).is_empty());
        assert!(hear(&mut contexts, &json!({"audio": null, "contextId": "1"})).is_empty());
        let broken = contexts.heard(Received::Text(r#"{"audio": "#.into()));
        assert!(matches!(&broken[..], [Told::Broken(error)] if error.kind == ErrorKind::Protocol));
        let audio = hear(&mut contexts, &json!({"audio": "?", "contextId": "1"}));
        assert!(matches!(&audio[..], [Told::Broken(error)] if error.kind == ErrorKind::Protocol));
    }

    #[test]
    fn times_beyond_all_reason_are_cut_and_break_nothing() {
        let mut contexts = contexts();
        contexts.speak(1, "ab ");
        let alignment = json!({"chars": ["a", "b", " "], "charStartTimesMs": [-5.0, 1e300, 1e300],
            "charDurationsMs": [1e300, 1e300, -1e300]});
        let message = json!({"alignment": alignment, "contextId": "1"});
        for _ in 0..2 {
            let told = hear(&mut contexts, &message);
            assert!(matches!(&told[..], [Told::Words(1, words)] if words[0].text == "ab"), "{told:?}");
        }
    }

    #[test]
    fn arrays_of_different_length_give_the_characters_that_have_all() {
        let alignment =
            json!({"chars": ["a", "b"], "charStartTimesMs": [0], "charsDurationsMs": [10, 20, 30]});
        assert_eq!(characters(&alignment), [Letter { character: 'a', start_us: 0, end_us: 10_000 }]);
    }
}
