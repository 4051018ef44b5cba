//! ElevenLabs over HTTP: a request for every sentence, its audio and times streamed as JSON objects.
//!
//! For networks that let no WebSocket through. Decides nothing about retries. Enter at [`ElevenLabsHttp`].

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use reqwest::Response;
use serde_json::{Value, json};
use tokio::runtime::Handle;
use tokio::time::{Instant, timeout};

use super::{PUBLIC, TEXT_MAX, Wanted, headers, list_in_time, refusal, refused};
use crate::account::Account;
use crate::registry::{Open, Service};
use crate::running::Running;
use crate::tts::letters::{Counted, Letter, Letters, told_us};
use crate::tts::requested::{self, Requested};
use crate::tts::sentence::{FIRST_AUDIO, Sentence, check};
use crate::tts::{Settings, Sink, Speaker, Speech, TextToSpeech, VoiceInfo, voices};
use crate::wire::http::{self, Http};
use crate::{Error, ErrorKind};

const NAME: &str = "elevenlabs-http";
/// An object longer than this is none, bytes.
const OBJECT_MAX: usize = 4 << 20;

/// The service.
pub const SERVICE: Service = Service {
    name: NAME,
    vendor: "elevenlabs",
    about: "the same voices by one request a sentence, with word times, where no WebSocket gets through",
    open: Open::Tts(|account| Ok(Arc::new(ElevenLabsHttp::new(account)?))),
};

/// ElevenLabs with an account.
pub struct ElevenLabsHttp {
    base: String,
    http: Http,
}

impl ElevenLabsHttp {
    /// With this account; makes no connection.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] for a key that can't be sent.
    pub fn new(account: &Account) -> Result<Self, Error> {
        Ok(Self { base: account.base(PUBLIC).to_owned(), http: Http::new(NAME, &headers(account))? })
    }
}

impl TextToSpeech for ElevenLabsHttp {
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
        list_in_time(NAME, &self.http, &self.base).boxed()
    }

    fn open(&self, settings: Settings) -> Result<Box<dyn Speaker>, Error> {
        let wanted = Wanted::of(NAME, &settings)?;
        let url = wanted.url(&self.base, &["stream", "with-timestamps"], &[])?.to_string();
        let warming = requested::warm(NAME, &self.http, format!("{}/v1/models", self.base))?;
        Ok(Box::new(Voice { http: self.http.clone(), url, wanted, _warming: warming }))
    }
}

struct Voice {
    http: Http,
    url: String,
    wanted: Wanted,
    _warming: Running,
}

impl Speaker for Voice {
    fn speak(&mut self, text: &str, sink: Sink) -> Result<Speech, Error> {
        check(NAME, text, TEXT_MAX)?;
        let mut body = json!({"text": text.trim(), "model_id": self.wanted.model});
        if let Some(speed) = self.wanted.speed {
            body["voice_settings"] = json!({"speed": speed});
        }
        if let Some(language) = &self.wanted.language {
            body["language_code"] = language.as_str().into();
        }
        let (http, url, wanted) = (self.http.clone(), self.url.clone(), self.wanted.clone());
        let runtime = Handle::try_current()
            .map_err(|error| Error::new(NAME, ErrorKind::Unavailable, error.to_string()))?;
        let sentence = Sentence::new(NAME, wanted.format, sink).of_text(text);
        Requested::start(&runtime, sentence, move |sentence| {
            async move {
                let began = Instant::now();
                match http.post(&url, &body, FIRST_AUDIO).await {
                    Ok(response) => read(response, began, &wanted.voice, sentence).await,
                    Err(failure) => Err(refused(NAME, &wanted.voice, failure)),
                }
            }
            .boxed()
        })
    }
}

/// Reads the answer to its end.
async fn read(
    mut response: Response,
    began: Instant,
    voice: &str,
    sentence: &mut Sentence,
) -> Result<(), Error> {
    let id = response.headers().get("x-trace-id").and_then(|id| id.to_str().ok()).map(str::to_owned);
    let mut objects = Objects { voice, buffer: Vec::new(), letters: Letters::new(Counted::FromTheSentence) };
    let read = async {
        loop {
            let idle = requested::patience(began, sentence);
            match timeout(idle, response.chunk()).await {
                Ok(Ok(Some(bytes))) => objects.push(&bytes, sentence)?,
                Ok(Ok(None)) => return objects.end(sentence),
                Ok(Err(error)) => return Err(http::broken(NAME, &error)),
                Err(_) => return Err(requested::silent(NAME, began, sentence)),
            }
        }
    };
    read.await.map_err(|error| error.with_request_id(id.as_deref()))
}

/// JSON objects, one behind the other, with or without line ends between them.
struct Objects<'a> {
    voice: &'a str,
    buffer: Vec<u8>,
    letters: Letters,
}

impl Objects<'_> {
    fn push(&mut self, bytes: &[u8], sentence: &mut Sentence) -> Result<(), Error> {
        self.buffer.extend_from_slice(bytes);
        let mut objects = serde_json::Deserializer::from_slice(&self.buffer).into_iter::<Value>();
        let mut whole = Vec::new();
        let mut taken = 0;
        for object in &mut objects {
            match object {
                Ok(object) => whole.push(object),
                Err(error) if error.is_eof() => break,
                Err(_) => return Err(Error::new(NAME, ErrorKind::Protocol, "a line came that is no JSON")),
            }
        }
        taken += objects.byte_offset();
        self.buffer.drain(..taken);
        if self.buffer.len() > OBJECT_MAX {
            return Err(Error::new(NAME, ErrorKind::Protocol, "a line came that does not end"));
        }
        whole.iter().try_for_each(|object| self.take(object, sentence))
    }

    fn take(&mut self, object: &Value, sentence: &mut Sentence) -> Result<(), Error> {
        if !object["detail"].is_null() {
            return Err(refusal::in_stream(NAME, self.voice, &object["detail"]));
        }
        if let Some(audio) = object["audio_base64"].as_str() {
            let bytes = BASE64
                .decode(audio)
                .map_err(|_| Error::new(NAME, ErrorKind::Protocol, "audio came that is no base64"))?;
            sentence.audio(&bytes)?;
        }
        sentence.words(self.letters.push(characters(&object["alignment"])));
        Ok(())
    }

    fn end(&mut self, sentence: &mut Sentence) -> Result<(), Error> {
        if !self.buffer.iter().all(u8::is_ascii_whitespace) {
            return Err(Error::new(NAME, ErrorKind::Protocol, "the answer ends within an object"));
        }
        sentence.words(self.letters.end().into_iter().collect());
        Ok(())
    }
}

fn characters(alignment: &Value) -> Vec<Letter> {
    let list = |name: &str| alignment[name].as_array().map(Vec::as_slice).unwrap_or_default();
    let us = |value: &Value| told_us(value, 1e6);
    let times = list("character_start_times_seconds").iter().zip(list("character_end_times_seconds"));
    list("characters")
        .iter()
        .zip(times)
        .filter_map(|(character, (start, end))| {
            let character = character.as_str()?.chars().next()?;
            Some(Letter { character, start_us: us(start), end_us: us(end) })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::tts::{Event, Sound};

    fn objects(pieces: &[&[u8]]) -> (Vec<Event>, Result<(), Error>) {
        let events = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&events);
        let format = crate::audio::AudioFormat::MuLaw;
        let mut sentence =
            Sentence::new(NAME, format, Arc::new(move |event| kept.lock().unwrap().push(event)));
        let letters = Letters::new(Counted::FromTheSentence);
        let mut objects = Objects { voice: "x", buffer: Vec::new(), letters };
        let read = pieces.iter().try_for_each(|piece| objects.push(piece, &mut sentence));
        let read = read.and_then(|()| objects.end(&mut sentence));
        (events.lock().unwrap().clone(), read)
    }

    #[test]
    fn objects_are_found_wherever_they_are_cut_and_whether_or_not_lines_end() {
        let object = |text: &str, at: f64| {
            json!({"audio_base64": BASE64.encode([7]), "alignment": {"characters": [text],
                "character_start_times_seconds": [at], "character_end_times_seconds": [at + 0.1]}})
        };
        for between in ["", "\n", "\r\n\n"] {
            let body = format!("{}{between}{}", object("न", 0.0), object("b", 0.1));
            let (whole, read) = objects(&[body.as_bytes()]);
            assert_eq!(read, Ok(()));
            let audio = whole.iter().filter(|event| matches!(event, Event::Audio(Sound::MuLaw(_)))).count();
            assert_eq!(audio, 2);
            assert!(matches!(whole.last(), Some(Event::Words(words)) if words[0].text == "नb"));
            for cut in 0..body.len() {
                let (cut_up, read) = objects(&[&body.as_bytes()[..cut], &body.as_bytes()[cut..]]);
                assert_eq!((cut_up, read), (whole.clone(), Ok(())), "cut at {cut}");
            }
        }
    }

    #[test]
    fn an_error_among_the_objects_is_that_error_and_half_an_object_is_one_too() {
        let (_, error) = objects(&[br#"{"detail":{"status":"quota_exceeded","message":"x"}}"#]);
        assert_eq!(error.unwrap_err().kind, ErrorKind::OutOfCredit);
        let (_, error) = objects(&[br#"{"audio_base64":"#]);
        assert_eq!(error.unwrap_err().kind, ErrorKind::Protocol);
        let (_, error) = objects(&[b"<html>"]);
        assert_eq!(error.unwrap_err().kind, ErrorKind::Protocol);
    }
}
