//! Deepgram: what its two transcribers have in common.
//!
//! [`live`] tells words and leaves turns to the engine; [`flux`] decides turns itself. Both take mu-law as it comes.

pub mod flux;
pub mod live;

use crate::account::Account;
use crate::audio::AudioFormat;
use crate::error::ErrorKind;
use crate::stt::Word;
use crate::stt::streaming::Timeline;
use crate::wire::http::Refused;
use crate::{Error, stt};

const PUBLIC: &str = "https://api.deepgram.com";
/// Key terms sent at most: the vendor takes 500 tokens of them, and refuses the stream when there are more.
const KEY_TERMS_MAX: usize = 50;

/// What it can be fed.
const FORMATS: &[AudioFormat] = &[AudioFormat::PCM_16K, AudioFormat::MuLaw];

fn headers(account: &Account) -> Vec<(&'static str, String)> {
    if account.key.is_empty() {
        return Vec::new();
    }
    vec![("authorization", format!("Token {}", account.key.reveal()))]
}

/// The part of the query that names the audio.
fn encoding(format: AudioFormat) -> [(&'static str, String); 2] {
    let name = if format == AudioFormat::MuLaw { "mulaw" } else { "linear16" };
    [("encoding", name.to_owned()), ("sample_rate", format.sample_rate_hz().to_string())]
}

fn key_terms(terms: &[String]) -> Vec<String> {
    let mut kept: Vec<String> = Vec::new();
    for term in terms.iter().map(|term| term.trim()).filter(|term| !term.is_empty()) {
        if kept.len() < KEY_TERMS_MAX && !kept.iter().any(|known| known == term) {
            kept.push(term.to_owned());
        }
    }
    kept
}

/// What a refused upgrade means: the reason is in the header `dg-error` and, in one of two shapes, in the body.
fn refused(provider: &str, refused: &Refused) -> Error {
    let body = refused.json();
    let in_body = ["err_msg", "message", "details"].iter().find_map(|name| body[*name].as_str());
    let said = in_body.or(refused.header("dg-error")).unwrap_or(&refused.body);
    let id = refused.header("dg-request-id").or(body["request_id"].as_str());
    Error::of_status(provider, refused.status, said).retry_after(refused.retry_after()).with_request_id(id)
}

/// A close that nobody asked for. The sentences change; the codes in them don't.
fn closed(provider: &str, code: Option<u16>, reason: &str) -> Error {
    let error = stt::streaming::closed(provider, code, reason);
    let (kind, fix) = if reason.contains("DATA-") {
        (ErrorKind::Invalid, "; it could not decode the audio: check encoding and sample rate")
    } else if reason.contains("NET-0001") {
        (ErrorKind::Unavailable, "; no audio had reached it for 10 s")
    } else {
        (ErrorKind::Unavailable, "")
    };
    Error::new(provider, kind, format!("{}{fix}", error.message))
}

#[derive(serde::Deserialize)]
struct HeardWord {
    word: String,
    punctuated_word: Option<String>,
    start: Option<f64>,
    end: Option<f64>,
}

/// The words with the listener's times; none if any of them has no time.
fn words(heard: Vec<HeardWord>, timeline: &Timeline) -> Vec<Word> {
    let timed = |heard: HeardWord| {
        let (start_us, end_us) = (timeline.ours_us(heard.start?), timeline.ours_us(heard.end?));
        let text = heard.punctuated_word.unwrap_or(heard.word);
        Some(Word { text, start_us, end_us: end_us.max(start_us) })
    };
    heard.into_iter().map(timed).collect::<Option<_>>().unwrap_or_default()
}
