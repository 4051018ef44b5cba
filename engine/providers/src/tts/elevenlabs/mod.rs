//! ElevenLabs: what its two services share: address, formats, errors, the list of voices.
//!
//! Enter at [`multi::ElevenLabs`] (a socket for a call, a context for a sentence) and [`http::ElevenLabsHttp`] (a
//! request for a sentence). Wire facts: <https://elevenlabs.io/docs/api-reference> and the vendor's Python client
//! (elevenlabs 2.78).

pub mod http;
pub mod multi;

mod refusal;

use std::time::Duration;

use reqwest::Url;
use serde_json::Value;

use super::sentence::{best_format, language, speed};
use super::{Settings, VoiceInfo, voices};
use crate::account::Account;
use crate::audio::AudioFormat;
use crate::registry::Kind;
use crate::wire::http::{Failure, Http};
use crate::{Error, ErrorKind, models};

const PUBLIC: &str = "https://api.elevenlabs.io";
/// Rates that every plan has; higher ones want a higher plan and gain nothing on a telephone.
const RATES: [u32; 4] = [8_000, 16_000, 22_050, 24_000];
/// The vendor's range of `voice_settings.speed`.
const SPEED: (f64, f64) = (0.7, 1.2);
/// Characters of one request that all current models take.
const TEXT_MAX: usize = 10_000;
/// The list of voices is waited for so long in all.
const LIST_WITHIN: Duration = Duration::from_secs(5);
/// Pages of the list that are asked for, at 100 voices each.
const PAGES_MAX: usize = 10;

/// How one call's sentences are asked for.
#[derive(Debug, Clone)]
struct Wanted {
    voice: String,
    model: String,
    format: AudioFormat,
    speed: Option<f64>,
    language: Option<String>,
}

impl Wanted {
    fn of(service: &'static str, settings: &Settings) -> Result<Self, Error> {
        let model =
            settings.model.clone().unwrap_or_else(|| models::default_of(Kind::Tts, service).to_owned());
        // From version 3 on models are spoken with over another interface.
        if model.starts_with("eleven_v3") || model.starts_with("eleven_v4") {
            let message = format!("the model `{model}` does not stream here; use eleven_flash_v2_5");
            return Err(Error::new(service, ErrorKind::Invalid, message));
        }
        // Only these models take a language; others refuse the request that names one.
        let language = language(settings).filter(|_| model.ends_with("_v2_5"));
        Ok(Self {
            voice: voices::id_of("elevenlabs", &settings.voice, &settings.language),
            format: best_format(settings.format, &RATES, true),
            speed: speed(settings, SPEED.0, SPEED.1),
            language,
            model,
        })
    }

    fn output_format(&self) -> String {
        match self.format {
            AudioFormat::MuLaw => "ulaw_8000".to_owned(),
            AudioFormat::Pcm16 { sample_rate_hz } => format!("pcm_{sample_rate_hz}"),
        }
    }

    fn url(&self, base: &str, path: &[&str], query: &[(&str, &str)]) -> Result<Url, Error> {
        let invalid = || Error::new("elevenlabs", ErrorKind::Invalid, "its address is no address");
        let mut url = Url::parse(base).map_err(|_| invalid())?;
        url.path_segments_mut()
            .map_err(|()| invalid())?
            .pop_if_empty()
            .extend(["v1", "text-to-speech", &self.voice])
            .extend(path);
        url.query_pairs_mut().append_pair("output_format", &self.output_format()).extend_pairs(query);
        Ok(url)
    }
}

fn headers(account: &Account) -> Vec<(&'static str, String)> {
    vec![("xi-api-key", account.key.reveal().to_owned())]
}

fn refused(service: &'static str, voice: &str, failure: Failure) -> Error {
    match failure {
        Failure::Refused(refused) => refusal::of(service, voice, &refused),
        Failure::Broken(error) => error,
    }
}

/// The account's voices, page by page.
async fn list(service: &'static str, http: &Http, base: &str) -> Result<Vec<VoiceInfo>, Error> {
    let mut voices = Vec::new();
    let mut page = String::new();
    for _ in 0..PAGES_MAX {
        let query = if page.is_empty() { Vec::new() } else { vec![("next_page_token", page.as_str())] };
        let url = format!("{base}/v2/voices?page_size=100");
        let url = Url::parse_with_params(&url, query)
            .map_err(|_| Error::new(service, ErrorKind::Invalid, "its address is no address"))?;
        let response =
            http.get(url.as_str(), LIST_WITHIN).await.map_err(|failure| refused(service, "", failure))?;
        let body = crate::wire::http::json(service, response).await?;
        voices.extend(body["voices"].as_array().into_iter().flatten().filter_map(voice));
        match body["next_page_token"].as_str() {
            Some(next) if body["has_more"] == true => next.clone_into(&mut page),
            _ => break,
        }
    }
    Ok(voices)
}

fn voice(voice: &Value) -> Option<VoiceInfo> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let verified = voice["verified_languages"].as_array().into_iter().flatten();
    let mut languages: Vec<String> = verified.map(|language| text(&language["language"])).collect();
    if languages.is_empty() {
        languages.push(text(&voice["labels"]["language"]));
    }
    languages.retain(|language| !language.is_empty());
    languages.dedup();
    let about = match &voice["description"] {
        Value::String(about) if !about.is_empty() => about.clone(),
        _ => {
            let labels =
                ["accent", "age", "gender", "description"].map(|label| text(&voice["labels"][label]));
            labels.into_iter().filter(|label| !label.is_empty()).collect::<Vec<_>>().join(", ")
        }
    };
    let id = text(&voice["voice_id"]);
    (!id.is_empty()).then(|| VoiceInfo {
        id,
        name: text(&voice["name"]),
        languages,
        preview_url: text(&voice["preview_url"]),
        about,
    })
}

async fn list_in_time(service: &'static str, http: &Http, base: &str) -> Result<Vec<VoiceInfo>, Error> {
    let late = |_| Error::new(service, ErrorKind::TimedOut, "the list of voices did not come within 5 s");
    tokio::time::timeout(LIST_WITHIN, list(service, http, base)).await.map_err(late)?
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(settings: Settings) -> Result<Wanted, Error> {
        Wanted::of("elevenlabs", &settings)
    }

    #[test]
    fn a_call_asks_for_its_format_language_and_speed_within_what_the_vendor_takes() {
        let settings = Settings {
            voice: "rachel".to_owned(),
            language: "hi-IN".to_owned(),
            format: AudioFormat::MuLaw,
            speed_percent: 200,
            ..Settings::default()
        };
        let hindi = wanted(settings.clone()).unwrap();
        assert_eq!(hindi.voice, "21m00Tcm4TlvDq8ikWAM");
        assert_eq!(hindi.output_format(), "ulaw_8000");
        assert_eq!((hindi.speed, hindi.language.as_deref()), (Some(1.2), Some("hi")));
        let older = Settings { model: Some("eleven_multilingual_v2".to_owned()), ..settings };
        assert_eq!(wanted(older).unwrap().language, None, "this model refuses a language");
        assert_eq!(wanted(Settings::default()).unwrap().output_format(), "pcm_16000");
    }

    #[test]
    fn a_model_of_another_interface_is_refused_with_one_that_works() {
        let settings = Settings { model: Some("eleven_v3".to_owned()), ..Settings::default() };
        let error = wanted(settings).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Invalid);
        assert!(error.message.contains("eleven_flash_v2_5"), "{error}");
    }

    #[test]
    fn a_voice_can_not_lead_to_another_address() {
        let wanted =
            wanted(Settings { voice: "../../v2/voices?x=".to_owned(), ..Settings::default() }).unwrap();
        let url = wanted.url("https://api.elevenlabs.io", &["stream"], &[]).unwrap();
        assert!(url.path().starts_with("/v1/text-to-speech/"), "{url}");
        assert!(url.path().ends_with("/stream"), "{url}");
    }
}
