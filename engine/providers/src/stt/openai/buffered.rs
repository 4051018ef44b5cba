//! Transcription of files (`/audio/transcriptions`), for OpenAI and every server compatible with it.
//!
//! A voiced stretch is posted as a WAV file when it is to be settled; its answer is a slice. There are no interims. How
//! far it has listened is exact, since what is not sent is known to be silence. Wire:
//! <https://platform.openai.com/docs/api-reference/audio/createTranscription> and the types of the official client,
//! openai 3.52.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesOrdered;
use tokio::runtime::Handle;
use tokio::sync::mpsc;

use super::voiced::Voiced;
use super::{failure, language, refused, takes_keywords};
use crate::account::Account;
use crate::audio::{Audio, AudioFormat, little_endian};
use crate::models::default_of;
use crate::openai_server::Endpoint;
use crate::registry::{Kind, Open, Service};
use crate::running::Running;
use crate::stt::streaming::garbled;
use crate::stt::{Capabilities, Control, Event, Listener, Settings, Sink, SpeechToText, Transcript, Word};
use crate::wire::http::{Failure, Http};
use crate::{Error, ErrorKind};

pub(crate) const NAME: &str = "openai";

/// How it is registered.
pub const SERVICE: Service = Service {
    name: NAME,
    vendor: "openai",
    about: "hears each stretch of voice as a file; for every compatible server",
    open: Open::Stt(|account| Ok(Arc::new(OpenAi::new(account)?))),
};

const RATE_HZ: u32 = 16_000;
/// From the request to its answer. A server of one's own may have to load its model first, but no caller waits longer.
const ANSWERED_WITHIN: Duration = Duration::from_secs(10);
/// Questions that may wait for their answers; they are answered one after another.
const WAITING_MAX: usize = 32;
/// A longer stretch is posted in pieces: memory is bounded, and so is the file.
const STRETCH_MAX_US: u64 = 120_000_000;
/// Between the parts of a request's body: so many characters that no recording holds them by chance.
const BOUNDARY: &str = "parlance-5c1f0a7be3d94f6c8a20-transcription";

/// The buffered transcriber.
#[derive(Debug, Clone)]
pub struct OpenAi {
    account: Account,
    http: Http,
}

impl OpenAi {
    /// With this account.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] when the key can't be sent.
    pub fn new(account: &Account) -> Result<Self, Error> {
        Ok(Self { account: account.clone(), http: Http::new(NAME, &Endpoint::of(account).headers(account))? })
    }
}

impl SpeechToText for OpenAi {
    fn name(&self) -> &'static str {
        NAME
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            formats: &[AudioFormat::PCM_16K],
            interims: false,
            watermark: true,
            turns: false,
            lag_ms_p95: 2_000,
        }
    }

    fn open(&self, settings: Settings, sink: Sink) -> Result<Box<dyn Listener>, Error> {
        let runtime = Handle::try_current()
            .map_err(|error| Error::new(NAME, ErrorKind::Unavailable, error.to_string()))?;
        let (questions, waiting) = mpsc::channel(WAITING_MAX);
        let poster = Poster::new(self, &settings);
        let overfull = Arc::new(AtomicBool::new(false));
        let answering = runtime.spawn(answer(poster, waiting, Arc::clone(&overfull), sink));
        Ok(Box::new(Buffered {
            voiced: Voiced::new(RATE_HZ, 2),
            questions,
            overfull,
            _answering: Running(answering),
        }))
    }
}

/// What is to be settled: the stretch, where it begins, and how far the audio went then.
struct Question {
    from_us: u64,
    bytes: Vec<u8>,
    covers_until_us: u64,
}

struct Buffered {
    voiced: Voiced,
    questions: mpsc::Sender<Question>,
    overfull: Arc<AtomicBool>,
    _answering: Running,
}

impl Buffered {
    fn ask(&mut self) {
        let covers_until_us = self.voiced.heard_us();
        let (from_us, bytes) = match self.voiced.is_voiced() {
            true => self.voiced.take_whole(),
            false => (covers_until_us, Vec::new()),
        };
        let question = Question { from_us, bytes, covers_until_us };
        if self.questions.try_send(question).is_err() {
            // Told by the task that answers; if that has ended, it has failed already.
            self.overfull.store(true, Ordering::Release);
        }
    }
}

impl Listener for Buffered {
    fn hear(&mut self, audio: Audio<'_>) {
        if let Audio::Pcm16(samples) = audio {
            self.voiced.hear(&little_endian(samples));
        }
        let began_us = self.voiced.began_us();
        if self.voiced.is_voiced() && self.voiced.heard_us().saturating_sub(began_us) > STRETCH_MAX_US {
            self.ask();
        }
    }

    fn control(&mut self, control: Control) {
        self.voiced.follow(&control);
        match control {
            Control::Finalize => self.ask(),
            Control::NextTurn(_) if self.voiced.is_voiced() => self.ask(),
            Control::NextTurn(_) | Control::VoiceStarted(_) | Control::VoiceEnded(_) => {}
        }
    }
}

/// Answers in the order of the questions, while the requests run side by side.
async fn answer(
    poster: Poster,
    mut waiting: mpsc::Receiver<Question>,
    overfull: Arc<AtomicBool>,
    sink: Sink,
) {
    let poster = Arc::new(poster);
    let warmed = Arc::clone(&poster);
    // Beside the questions, none of which waits for it.
    let _warming = Running(tokio::spawn(async move { warmed.http.warm(&warmed.warm_url).await }));
    let mut answers: FuturesOrdered<BoxFuture<'static, Result<Event, Error>>> = FuturesOrdered::new();
    loop {
        tokio::select! {
            biased;
            Some(answer) = answers.next(), if !answers.is_empty() => match answer {
                Ok(event) => sink(event),
                Err(error) => return sink(Event::Failed(error)),
            },
            question = waiting.recv(), if answers.len() < WAITING_MAX => {
                if overfull.load(Ordering::Acquire) {
                    let message = format!("{WAITING_MAX} stretches of voice wait to be transcribed");
                    return sink(Event::Failed(Error::new(NAME, ErrorKind::Unavailable, message)));
                }
                let Some(question) = question else { return };
                let poster = Arc::clone(&poster);
                // Begins at once, and ends with this task.
                let asked = Asked(tokio::spawn(async move { poster.post(question).await }));
                answers.push_back(Box::pin(asked.answered()));
            }
        }
    }
}

/// A request under way, which is given up when nobody waits for it.
struct Asked(tokio::task::JoinHandle<Result<Event, Error>>);

impl Asked {
    async fn answered(mut self) -> Result<Event, Error> {
        let broken =
            |error: tokio::task::JoinError| Error::new(NAME, ErrorKind::Unavailable, error.to_string());
        (&mut self.0).await.map_err(broken)?
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        self.0.abort();
    }
}

struct Poster {
    http: Http,
    url: String,
    warm_url: String,
    fields: Vec<(&'static str, String)>,
}

#[derive(serde::Deserialize)]
struct Answer {
    text: String,
    words: Option<Vec<HeardWord>>,
}

#[derive(serde::Deserialize)]
struct HeardWord {
    word: String,
    start: f64,
    end: f64,
}

impl Poster {
    fn new(service: &OpenAi, settings: &Settings) -> Self {
        let endpoint = Endpoint::of(&service.account);
        let model = settings.model.clone().unwrap_or_else(|| default_of(Kind::Stt, NAME).to_owned());
        let mut fields = Vec::new();
        // Only Whisper's family tells when it heard a word, and only in this format.
        let tells_words = model.to_ascii_lowercase().contains("whisper");
        let format = if tells_words { "verbose_json" } else { "json" };
        fields.push(("response_format", format.to_owned()));
        if tells_words {
            fields.push(("timestamp_granularities[]", "word".to_owned()));
        }
        fields.extend(language(&settings.language).map(|language| ("language", language)));
        let terms = &settings.expectation.key_terms;
        if takes_keywords(&model) {
            fields.extend(terms.iter().map(|term| ("keywords[]", term.clone())));
        } else if !terms.is_empty() {
            fields.push(("prompt", terms.join(", ")));
        }
        fields.insert(0, ("model", model));
        Self {
            http: service.http.clone(),
            url: endpoint.at("/audio/transcriptions"),
            warm_url: endpoint.at("/models"),
            fields,
        }
    }

    async fn post(&self, question: Question) -> Result<Event, Error> {
        let Question { from_us, bytes, covers_until_us } = question;
        let covers_until_us = Some(covers_until_us);
        if bytes.is_empty() {
            let nothing = Transcript { text: String::new(), words: Vec::new(), covers_until_us };
            return Ok(Event::Interim(nothing));
        }
        let content_type = format!("multipart/form-data; boundary={BOUNDARY}");
        let body = self.body(&bytes);
        let asked = async {
            let sent = self.http.post_bytes(&self.url, &content_type, body, ANSWERED_WITHIN).await;
            let response = sent.map_err(|failed| match failed {
                Failure::Refused(answer) => refused(NAME, &answer),
                Failure::Broken(error) => error,
            })?;
            let id =
                response.headers().get("x-request-id").and_then(|id| id.to_str().ok().map(str::to_owned));
            let body = crate::wire::http::whole(NAME, response).await;
            body.and_then(|body| read(&body, from_us)).map_err(|error| error.with_request_id(id.as_deref()))
        };
        let (text, words) = tokio::time::timeout(ANSWERED_WITHIN, asked).await.map_err(|_| {
            let message = format!("no transcript within {} s", ANSWERED_WITHIN.as_secs());
            Error::new(NAME, ErrorKind::TimedOut, message)
        })??;
        Ok(Event::Slice(Transcript { text, words, covers_until_us }))
    }

    fn body(&self, samples: &[u8]) -> Vec<u8> {
        let mut body = Vec::with_capacity(samples.len() + 2_048);
        let mut part = |head: String, content: &[u8]| {
            body.extend_from_slice(
                format!("--{BOUNDARY}\r\nContent-Disposition: form-data; {head}\r\n\r\n").as_bytes(),
            );
            body.extend_from_slice(content);
            body.extend_from_slice(b"\r\n");
        };
        for (name, value) in &self.fields {
            part(format!("name=\"{name}\""), value.as_bytes());
        }
        let head = "name=\"file\"; filename=\"caller.wav\"\r\nContent-Type: audio/wav";
        part(head.to_owned(), &wav(samples));
        body.extend_from_slice(format!("--{BOUNDARY}--\r\n").as_bytes());
        body
    }
}

/// The text, and the words with the listener's times.
fn read(body: &[u8], from_us: u64) -> Result<(String, Vec<Word>), Error> {
    let value: serde_json::Value =
        serde_json::from_slice(body).map_err(|error| garbled(NAME, &format!("no JSON ({error})")))?;
    if let Some(error) = failure(NAME, &value["error"]) {
        return Err(error);
    }
    let answer: Answer =
        serde_json::from_value(value).map_err(|error| garbled(NAME, &format!("no transcript ({error})")))?;
    let at = |seconds: f64| from_us + (seconds.clamp(0.0, 1e6) * 1_000_000.0) as u64;
    let word = |heard: HeardWord| Word {
        text: heard.word.trim().to_owned(),
        start_us: at(heard.start),
        end_us: at(heard.end.max(heard.start)),
    };
    let words = answer.words.unwrap_or_default().into_iter().map(word).collect();
    Ok((answer.text.trim().to_owned(), words))
}

/// A WAV file of 16-bit samples, mono.
fn wav(samples: &[u8]) -> Vec<u8> {
    let length = samples.len() as u32;
    let mut file = Vec::with_capacity(44 + samples.len());
    file.extend_from_slice(b"RIFF");
    file.extend_from_slice(&(36 + length).to_le_bytes());
    file.extend_from_slice(b"WAVEfmt ");
    file.extend_from_slice(&16u32.to_le_bytes());
    for short in [1u16, 1] {
        file.extend_from_slice(&short.to_le_bytes());
    }
    for long in [RATE_HZ, RATE_HZ * 2] {
        file.extend_from_slice(&long.to_le_bytes());
    }
    for short in [2u16, 16] {
        file.extend_from_slice(&short.to_le_bytes());
    }
    file.extend_from_slice(b"data");
    file.extend_from_slice(&length.to_le_bytes());
    file.extend_from_slice(samples);
    file
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stt::Expectation;

    fn poster(model: Option<&str>, language: &str) -> Poster {
        let expectation = Expectation { jsgf: None, key_terms: vec!["Zephyr".into(), "Anneliese".into()] };
        let model = model.map(str::to_owned);
        let settings = Settings { model, language: language.into(), expectation, ..Settings::default() };
        Poster::new(&OpenAi::new(&Account::default()).unwrap(), &settings)
    }

    fn has(poster: &Poster, name: &str, value: &str) -> bool {
        poster.fields.iter().any(|field| *field == (name, value.to_owned()))
    }

    #[test]
    fn whisper_is_asked_for_word_times_and_newer_models_get_key_terms() {
        let whisper = poster(Some("Systran/faster-whisper-small"), "en-IN");
        assert!(has(&whisper, "response_format", "verbose_json") && has(&whisper, "language", "en"));
        assert!(has(&whisper, "timestamp_granularities[]", "word"));
        assert!(has(&whisper, "prompt", "Zephyr, Anneliese"));
        let newer = poster(Some("gpt-transcribe"), "multi");
        assert!(has(&newer, "response_format", "json") && has(&newer, "keywords[]", "Anneliese"));
        assert!(!newer.fields.iter().any(|(name, _)| *name == "language"));
        assert_eq!(poster(None, "en").url, "https://api.openai.com/v1/audio/transcriptions");
    }

    #[test]
    fn the_body_is_a_form_with_a_wav_file_in_it() {
        let body = poster(Some("m"), "en").body(&[1, 2, 3, 4]);
        let text = String::from_utf8_lossy(&body);
        assert!(text.starts_with(&format!(
            "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nm\r\n"
        )));
        assert!(
            text.contains("filename=\"caller.wav\"\r\nContent-Type: audio/wav\r\n\r\nRIFF(\0\0\0WAVEfmt ")
        );
        assert!(
            body.ends_with(format!("data\u{4}\0\0\0\u{1}\u{2}\u{3}\u{4}\r\n--{BOUNDARY}--\r\n").as_bytes())
        );
    }

    #[test]
    fn word_times_count_from_where_the_stretch_began() {
        let body = r#"{"text":" Hi there.","words":[{"word":" Hi","start":0.3,"end":0.5},{"word":"there","start":0.6,"end":0.9}]}"#;
        let (text, words) = read(body.as_bytes(), 2_000_000).unwrap();
        assert_eq!(text, "Hi there.");
        assert_eq!(words[1], Word { text: "there".into(), start_us: 2_600_000, end_us: 2_900_000 });
        assert_eq!((words[0].text.as_str(), words[0].start_us), ("Hi", 2_300_000));
    }

    #[test]
    fn an_error_in_an_answer_that_seemed_well_is_an_error() {
        let quota =
            br#"{"error":{"message":"none left","type":"insufficient_quota","code":"insufficient_quota"}}"#;
        assert_eq!(read(quota, 0).unwrap_err().kind, ErrorKind::OutOfCredit);
        assert_eq!(read(br#"{"text":"#, 0).unwrap_err().kind, ErrorKind::Protocol);
        assert_eq!(read(br#"{"transcript":"x"}"#, 0).unwrap_err().kind, ErrorKind::Protocol);
    }
}
