//! OpenAI speech, and every server that speaks like it: a request for each sentence, audio as the body comes.
//!
//! Decides how a body is read from what the server says it is, not from what was asked: compatible servers answer as
//! they like. PCM is 24 kHz unless the answer names another rate. No word times exist.
//! Wire facts: <https://platform.openai.com/docs/api-reference/audio/createSpeech>. Enter at [`OpenAi`].

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use futures_util::FutureExt;
use reqwest::Response;
use reqwest::header::CONTENT_TYPE;
use serde_json::{Value, json};
use tokio::runtime::Handle;
use tokio::time::{Instant, timeout};

use super::espeak::wav;
use super::requested::{self, Requested};
use super::sentence::{BETWEEN, FIRST_AUDIO, Sentence, check, speed};
use super::{Settings, Sink, Speaker, Speech, TextToSpeech, VoiceInfo, voices};
use crate::account::Account;
use crate::audio::{AudioFormat, PLAYABLE_HZ};
use crate::openai_server::Endpoint;
use crate::registry::{Kind, Open, Service};
use crate::running::Running;
use crate::wire::http::{self, Failure, Http, Refused};
use crate::wire::sse::Events;
use crate::{Error, ErrorKind, models};

const NAME: &str = "openai";
/// What `pcm` is.
const RATE_HZ: u32 = 24_000;
/// Characters of one request.
const TEXT_MAX: usize = 4_096;
/// The vendor's range of `speed`.
const SPEED: (f64, f64) = (0.25, 4.0);

/// Instead of the vendor's words, which hold the first and last letters of the key.
const KEY_REFUSED: &str = "the key is not valid";

/// The service.
pub const SERVICE: Service = Service {
    name: NAME,
    vendor: "openai",
    about: "voices that take instructions, from OpenAI or any server compatible with it; no word times",
    open: Open::Tts(|account| Ok(Arc::new(OpenAi::new(account)?))),
};

/// OpenAI, or a server like it, with an account.
pub struct OpenAi {
    endpoint: Endpoint,
    http: Http,
}

impl OpenAi {
    /// With this account; makes no connection.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] for a key that can't be sent.
    pub fn new(account: &Account) -> Result<Self, Error> {
        let endpoint = Endpoint::of(account);
        let http = Http::new(NAME, &endpoint.headers(account))?;
        Ok(Self { endpoint, http })
    }
}

impl TextToSpeech for OpenAi {
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
        let request = request(&settings);
        let warming = requested::warm(NAME, &self.http, self.endpoint.at("/models"))?;
        let url = self.endpoint.at("/audio/speech");
        Ok(Box::new(Voice { http: self.http.clone(), url, request, _warming: warming }))
    }
}

/// A request without its text.
fn request(settings: &Settings) -> Value {
    let model = settings.model.clone().unwrap_or_else(|| models::default_of(Kind::Tts, NAME).to_owned());
    let mut request = json!({
        "voice": voices::id_of(NAME, &settings.voice, &settings.language),
        "response_format": "pcm",
    });
    // The older models refuse instructions.
    if !settings.style.trim().is_empty() && !model.starts_with("tts-1") {
        request["instructions"] = settings.style.trim().into();
    }
    if let Some(speed) = speed(settings, SPEED.0, SPEED.1) {
        request["speed"] = speed.into();
    }
    request["model"] = model.into();
    request
}

struct Voice {
    http: Http,
    url: String,
    request: Value,
    _warming: Running,
}

impl Speaker for Voice {
    fn speak(&mut self, text: &str, sink: Sink) -> Result<Speech, Error> {
        check(NAME, text, TEXT_MAX)?;
        let mut body = self.request.clone();
        body["input"] = text.trim().into();
        let (http, url) = (self.http.clone(), self.url.clone());
        let runtime = Handle::try_current()
            .map_err(|error| Error::new(NAME, ErrorKind::Unavailable, error.to_string()))?;
        let sentence =
            Sentence::new(NAME, AudioFormat::Pcm16 { sample_rate_hz: RATE_HZ }, sink).of_text(text);
        Requested::start(&runtime, sentence, move |sentence| {
            async move {
                let began = Instant::now();
                match http.post(&url, &body, FIRST_AUDIO).await {
                    Ok(response) => read(response, began, sentence).await,
                    Err(Failure::Refused(refused)) => Err(refusal(&refused)),
                    Err(Failure::Broken(error)) => Err(error),
                }
            }
            .boxed()
        })
    }
}

/// How a body is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Body {
    Pcm { sample_rate_hz: u32 },
    Wav,
    Events,
    Json,
}

impl Body {
    /// From the answer's content type.
    fn of(content_type: &str) -> Result<Self, Error> {
        let mut parts = content_type.split(';').map(str::trim);
        let kind = parts.next().unwrap_or_default().to_lowercase();
        let rate = parts.find_map(|part| part.strip_prefix("rate=")?.parse().ok());
        match kind.as_str() {
            "text/event-stream" => Ok(Self::Events),
            "audio/wav" | "audio/x-wav" | "audio/wave" | "audio/vnd.wave" => Ok(Self::Wav),
            "application/json" => Ok(Self::Json),
            "" | "audio/pcm" | "audio/l16" | "audio/raw" | "application/octet-stream" | "audio/x-raw" => {
                known(rate.unwrap_or(RATE_HZ)).map(|sample_rate_hz| Self::Pcm { sample_rate_hz })
            }
            other => {
                let message = format!("it answers with {other} though pcm was asked for");
                Err(Error::new(NAME, ErrorKind::Protocol, message))
            }
        }
    }
}

/// A rate that can be played. Audio at another is refused before any of it sounds.
fn known(sample_rate_hz: u32) -> Result<u32, Error> {
    if PLAYABLE_HZ.contains(&sample_rate_hz) {
        return Ok(sample_rate_hz);
    }
    let message = format!("its audio has {sample_rate_hz} Hz; set the server to one of {PLAYABLE_HZ:?}");
    Err(Error::new(NAME, ErrorKind::Protocol, message))
}

/// Reads the answer to its end.
async fn read(response: Response, began: Instant, sentence: &mut Sentence) -> Result<(), Error> {
    let header = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok());
    let id = header("x-request-id").map(str::to_owned);
    let body = Body::of(header(CONTENT_TYPE.as_str()).unwrap_or_default());
    let read = match body {
        Ok(Body::Pcm { sample_rate_hz }) => {
            sentence.comes_as(AudioFormat::Pcm16 { sample_rate_hz });
            read_samples(response, began, sentence, false).await
        }
        Ok(Body::Wav) => read_samples(response, began, sentence, true).await,
        Ok(Body::Events) => read_events(Events::of(NAME, response), began, sentence).await,
        Ok(Body::Json) => match timeout(BETWEEN, http::json(NAME, response)).await {
            Ok(Ok(body)) => Err(told(&body["error"])),
            _ => Err(Error::new(NAME, ErrorKind::Protocol, "it answers with JSON though pcm was asked for")),
        },
        Err(error) => Err(error),
    };
    read.map_err(|error| error.with_request_id(id.as_deref()))
}

async fn read_samples(
    mut response: Response,
    began: Instant,
    sentence: &mut Sentence,
    is_wav: bool,
) -> Result<(), Error> {
    let mut samples = Samples { head: Vec::new(), is_in_head: true, is_wav };
    loop {
        let idle = requested::patience(began, sentence);
        match timeout(idle, response.chunk()).await {
            Ok(Ok(Some(bytes))) => samples.push(&bytes, sentence)?,
            Ok(Ok(None)) => return samples.end(sentence),
            Ok(Err(error)) => return Err(http::broken(NAME, &error)),
            Err(_) => return Err(requested::silent(NAME, began, sentence)),
        }
    }
}

/// Samples, behind a WAV header or not: some servers send one whatever they call the body.
struct Samples {
    head: Vec<u8>,
    is_in_head: bool,
    is_wav: bool,
}

impl Samples {
    fn push(&mut self, bytes: &[u8], sentence: &mut Sentence) -> Result<(), Error> {
        if !self.is_in_head {
            return sentence.audio(bytes);
        }
        self.head.extend_from_slice(bytes);
        if self.head.len() < 4 {
            return Ok(());
        }
        if !self.head.starts_with(b"RIFF") && !self.is_wav {
            return self.end(sentence);
        }
        let head = wav::head(&self.head).map_err(|error| Error::new(NAME, ErrorKind::Protocol, error))?;
        let Some(head) = head else { return Ok(()) };
        if (head.channels, head.bits) != (1, 16) {
            let message = format!("its audio is of an unknown kind: {head:?}");
            return Err(Error::new(NAME, ErrorKind::Protocol, message));
        }
        sentence.comes_as(AudioFormat::Pcm16 { sample_rate_hz: known(head.sample_rate_hz)? });
        self.head.drain(..head.length);
        self.is_wav = false;
        self.end(sentence)
    }

    /// What was held back is audio, unless it is a header that does not end.
    fn end(&mut self, sentence: &mut Sentence) -> Result<(), Error> {
        self.is_in_head = false;
        if self.is_wav { Ok(()) } else { sentence.audio(&std::mem::take(&mut self.head)) }
    }
}

async fn read_events(mut events: Events, began: Instant, sentence: &mut Sentence) -> Result<(), Error> {
    // Servers that stream WAV in events send its header in the first.
    let mut samples = Samples { head: Vec::new(), is_in_head: true, is_wav: false };
    loop {
        let idle = requested::patience(began, sentence);
        let Some(event) = events.next(idle).await? else { break };
        if event.data.trim() == "[DONE]" {
            break;
        }
        let message: Value = serde_json::from_str(&event.data)
            .map_err(|_| Error::new(NAME, ErrorKind::Protocol, "an event came that is no JSON"))?;
        if !message["error"].is_null() {
            return Err(told(&message["error"]));
        }
        match message["type"].as_str().unwrap_or_default() {
            "speech.audio.delta" => {
                let audio = message["audio"].as_str().or(message["delta"].as_str()).unwrap_or_default();
                let bytes = BASE64
                    .decode(audio)
                    .map_err(|_| Error::new(NAME, ErrorKind::Protocol, "audio came that is no base64"))?;
                samples.push(&bytes, sentence)?;
            }
            "speech.audio.done" => break,
            "error" => return Err(told(&message)),
            _ => {}
        }
    }
    samples.end(sentence)
}

fn refusal(refused: &Refused) -> Error {
    let body = refused.json();
    let error = &body["error"];
    let said = error["message"].as_str().or(body["detail"]["message"].as_str()).unwrap_or(&refused.body);
    let said = if is_of_key(error) { KEY_REFUSED } else { said };
    let mut refusal = Error::of_status(NAME, refused.status, said);
    if is_quota(error) {
        refusal.kind = ErrorKind::OutOfCredit;
        refusal.message.push_str("; top up the account");
    }
    refusal.retry_after(refused.retry_after()).with_request_id(refused.header("x-request-id"))
}

/// An error told after HTTP 200.
fn told(error: &Value) -> Error {
    let kind = match error["type"].as_str().unwrap_or_default() {
        _ if is_quota(error) => ErrorKind::OutOfCredit,
        _ if is_of_key(error) => return Error::of_status(NAME, 401, KEY_REFUSED),
        "invalid_request_error" => ErrorKind::Invalid,
        "rate_limit_error" | "requests" | "tokens" => ErrorKind::RateLimited,
        _ => ErrorKind::Unavailable,
    };
    let said = error["message"].as_str().or(error.as_str()).unwrap_or("it told an error after all");
    Error::new(NAME, kind, said.chars().take(300).collect::<String>())
}

fn is_of_key(error: &Value) -> bool {
    error["code"] == "invalid_api_key" || error["type"] == "invalid_api_key"
}

fn is_quota(error: &Value) -> bool {
    error["code"] == "insufficient_quota" || error["type"] == "insufficient_quota"
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;
    use crate::tts::{Event, Sound};

    fn samples(pieces: &[&[u8]], is_wav: bool) -> (Option<u32>, Vec<i16>) {
        let events = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&events);
        let mut sentence = Sentence::new(
            NAME,
            AudioFormat::Pcm16 { sample_rate_hz: RATE_HZ },
            Arc::new(move |event| kept.lock().unwrap().push(event)),
        );
        let mut body = Samples { head: Vec::new(), is_in_head: true, is_wav };
        pieces.iter().for_each(|piece| body.push(piece, &mut sentence).unwrap());
        body.end(&mut sentence).unwrap();
        let mut rate = None;
        let mut all = Vec::new();
        for event in events.lock().unwrap().iter() {
            if let Event::Audio(Sound::Pcm16 { sample_rate_hz, samples }) = event {
                rate = Some(*sample_rate_hz);
                all.extend(samples);
            }
        }
        (rate, all)
    }

    fn wav(samples: &[u8]) -> Vec<u8> {
        let mut bytes = b"RIFF\xff\xff\xff\xffWAVEfmt \x10\0\0\0\x01\0\x01\0".to_vec();
        bytes.extend(16_000u32.to_le_bytes());
        bytes.extend(32_000u32.to_le_bytes());
        bytes.extend(b"\x02\0\x10\0data\xff\xff\xff\xff");
        bytes.extend(samples);
        bytes
    }

    #[test]
    fn a_wav_header_never_sounds_whatever_the_body_is_called_and_wherever_it_is_cut() {
        let body = wav(&[1, 0, 2, 0]);
        for (is_wav, cut) in
            [true, false].into_iter().flat_map(|is| (0..body.len()).map(move |cut| (is, cut)))
        {
            assert_eq!(
                samples(&[&body[..cut], &body[cut..]], is_wav),
                (Some(16_000), vec![1, 2]),
                "cut at {cut}"
            );
        }
        assert_eq!(samples(&[&[1], &[0, 2], &[0]], false), (Some(RATE_HZ), vec![1, 2]));
        assert_eq!(samples(&[&body[..20]], true), (None, Vec::new()));
    }

    #[test]
    fn the_answers_own_type_decides_how_it_is_read() {
        assert_eq!(Body::of("audio/pcm"), Ok(Body::Pcm { sample_rate_hz: 24_000 }));
        assert_eq!(Body::of("audio/L16; rate=22050; channels=1"), Ok(Body::Pcm { sample_rate_hz: 22_050 }));
        assert_eq!(Body::of("text/event-stream; charset=utf-8"), Ok(Body::Events));
        assert_eq!(Body::of("audio/wav"), Ok(Body::Wav));
        assert_eq!(Body::of("application/json"), Ok(Body::Json));
        assert_eq!(Body::of("audio/mpeg").unwrap_err().kind, ErrorKind::Protocol);
    }

    #[test]
    fn a_rate_nobody_can_play_is_refused_before_any_audio() {
        assert_eq!(Body::of("audio/L16; rate=44100").unwrap_err().kind, ErrorKind::Protocol);
        for rate in [0, 11_025, 32_000, 44_100, u32::MAX] {
            let mut body = wav(&[1, 0]);
            body[24..28].copy_from_slice(&rate.to_le_bytes());
            let format = AudioFormat::Pcm16 { sample_rate_hz: RATE_HZ };
            let mut sentence = Sentence::new(NAME, format, Arc::new(drop));
            let mut samples = Samples { head: Vec::new(), is_in_head: true, is_wav: false };
            assert_eq!(samples.push(&body, &mut sentence).unwrap_err().kind, ErrorKind::Protocol, "{rate}");
            assert!(!sentence.has_sounded());
        }
    }

    #[test]
    fn style_becomes_instructions_where_the_model_takes_them() {
        let mut settings = Settings {
            style: "calm".to_owned(),
            speed_percent: 150,
            voice: "Alloy".to_owned(),
            ..Settings::default()
        };
        let body = request(&settings);
        assert_eq!(
            (&body["instructions"], &body["speed"], &body["voice"]),
            (&json!("calm"), &json!(1.5), &json!("alloy"))
        );
        settings.model = Some("tts-1".to_owned());
        assert!(request(&settings)["instructions"].is_null());
    }

    /// A server that gives each request for speech this answer, and the heads of those.
    async fn server(answer: &'static [u8]) -> (String, tokio::sync::mpsc::UnboundedReceiver<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}/v1", listener.local_addr().unwrap());
        let (asked, heads) = tokio::sync::mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let asked = asked.clone();
                tokio::spawn(async move {
                    let mut head = Vec::new();
                    while !head.ends_with(b"\r\n\r\n") {
                        head.push(stream.read_u8().await.unwrap_or(b'\n'));
                    }
                    let head = String::from_utf8(head).unwrap();
                    if head.starts_with("POST") {
                        drop(asked.send(head));
                        drop(stream.write_all(answer).await);
                    }
                });
            }
        });
        (base, heads)
    }

    #[tokio::test]
    async fn a_base_may_have_a_query_as_microsofts_have() {
        let (base, mut heads) = server(b"HTTP/1.1 200 So\r\ncontent-length: 2\r\n\r\n\x01\0").await;
        let base_url = Some(format!("{base}/?api-version=preview"));
        let openai = OpenAi::new(&Account { base_url, ..Account::default() }).unwrap();
        let mut voice = openai.open(Settings::default()).unwrap();
        let _speech = voice.speak("Hello.", Arc::new(drop)).unwrap();
        let head = heads.recv().await.unwrap();
        assert!(head.starts_with("POST /v1/audio/speech?api-version=preview HTTP/1.1\r\n"), "{head}");
    }

    #[tokio::test]
    async fn an_answer_that_never_ends_is_not_played_for_ever() {
        // 4 MB: more than a minute of audio for one short word.
        static ENDLESS: std::sync::LazyLock<Vec<u8>> = std::sync::LazyLock::new(|| {
            let mut answer = b"HTTP/1.1 200 So\r\ncontent-type: audio/pcm\r\n\r\n".to_vec();
            answer.resize(4_000_000, 1);
            answer
        });
        let (base, _heads) = server(&ENDLESS).await;
        let openai = OpenAi::new(&Account { base_url: Some(base), ..Account::default() }).unwrap();
        let mut voice = openai.open(Settings::default()).unwrap();
        let (told, mut events) = tokio::sync::mpsc::unbounded_channel();
        let _speech = voice.speak("Hello.", Arc::new(move |event| drop(told.send(event)))).unwrap();
        let mut length_us = 0;
        let error = loop {
            match events.recv().await.unwrap() {
                Event::Audio(sound) => length_us += sound.length_us(),
                Event::Failed(error) => break error,
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(error.kind, ErrorKind::Protocol, "{error}");
        assert!((1..=5_000_000).contains(&length_us), "{length_us}");
    }

    #[test]
    fn letters_of_a_key_are_not_passed_on() {
        let error = json!({"message": "Incorrect API key provided: sk-ab*yz", "type": "invalid_request_error",
            "code": "invalid_api_key"});
        let body = json!({"error": error}).to_string();
        let refused = Refused { status: 401, headers: Default::default(), body };
        for told in [refusal(&refused), told(&error)] {
            assert_eq!(told.kind, ErrorKind::Unauthorized);
            assert!(told.message.contains("not valid") && !told.message.contains("sk-ab"), "{told}");
        }
    }

    #[test]
    fn a_used_up_quota_is_no_rate_limit() {
        let body =
            r#"{"error":{"message":"none left","type":"insufficient_quota","code":"insufficient_quota"}}"#;
        let refused = Refused { status: 429, headers: Default::default(), body: body.to_owned() };
        assert_eq!(refusal(&refused).kind, ErrorKind::OutOfCredit);
    }
}
