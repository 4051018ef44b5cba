//! What Deepgram's two transcribers have in common: keys, refusals, encodings. Its speech has the first two as well.
//!
//! A refused upgrade carries the reason in the header `dg-error` and in the body, and `dg-request-id` in any case.

use axum::extract::Request;
use axum::response::Response;
use hyper::header::{HeaderMap, HeaderValue};
use parlance_media::g711::Law;
use serde_json::json;

use super::ear::Encoding;
use super::{Asked, credential, header};
use crate::Turn;
use crate::http::is_wrong;
use crate::sse::{Refusal, refused};

/// The refusal that is planned or deserved, if any.
pub(crate) fn refusal(turn: &Turn, request: &Request, id: &str) -> Option<Response> {
    let protocols: Vec<_> = header(request, "sec-websocket-protocol").split(',').map(str::trim).collect();
    let key = match protocols[..] {
        ["token" | "bearer", key] => key,
        _ => credential(request, &["token", "bearer"]),
    };
    let wrong = is_wrong(key).then_some(Refusal::Unauthorized);
    Refusal::planned(turn.plan.fault.as_ref()).or(wrong).map(|refusal| refuse(&refusal, id))
}

/// A refusal as Deepgram says it, also for speech.
pub(crate) fn refuse(refusal: &Refusal, id: &str) -> Response {
    let (status, code, message) = match refusal {
        Refusal::Unauthorized => (401, "INVALID_AUTH", "Invalid credentials."),
        Refusal::Quota => {
            (402, "ASR_PAYMENT_REQUIRED", "Project does not have enough credits for an ASR request.")
        }
        Refusal::RateLimited { .. } => {
            (429, "TOO_MANY_REQUESTS", "Too many requests. Please try again later.")
        }
        Refusal::ServerError => (500, "INTERNAL_SERVER_ERROR", "An internal error occurred."),
        Refusal::Invalid(message) => (400, "Bad Request", message.as_str()),
        Refusal::NoModel(_) => (400, "Bad Request", "No such model/language/tier combination found."),
    };
    let mut headers = vec![("dg-error", message.to_owned()), ("dg-request-id", id.to_owned())];
    if let Refusal::RateLimited { retry_after_s } = refusal {
        headers.push(("retry-after", retry_after_s.to_string()));
    }
    refused(status, &headers, &json!({"err_code": code, "err_msg": message, "request_id": id}))
}

/// HTTP 400 for a parameter.
pub(super) fn bad_request(message: &str, id: &str) -> Response {
    refuse(&Refusal::Invalid(message.to_owned()), id)
}

/// The headers of an accepted upgrade.
pub(crate) fn accepted(request: &Request, id: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    if let Ok(id) = HeaderValue::from_str(id) {
        headers.insert("dg-request-id", id);
    }
    // A client that offered its key as a subprotocol is told which scheme was taken.
    let scheme = header(request, "sec-websocket-protocol").split(',').next().unwrap_or_default().trim();
    if let Ok(scheme) = HeaderValue::from_str(scheme)
        && !scheme.is_empty()
    {
        headers.insert("sec-websocket-protocol", scheme);
    }
    headers
}

/// Encoding and rate of raw audio; none where the audio is said to be in a container.
pub(super) fn audio(asked: &Asked) -> Result<Option<(Encoding, u32)>, String> {
    let encoding = match asked.get("encoding") {
        None => return Ok(None),
        Some("linear16") => Encoding::Linear16,
        Some("mulaw") => Encoding::G711(Law::Mu),
        Some("alaw") => Encoding::G711(Law::A),
        Some(other) => return Err(format!("Encoding {other} is not supported.")),
    };
    match asked.number("sample_rate", 8_000.0..=48_000.0)? {
        Some(rate) => Ok(Some((encoding, rate as u32))),
        None => Err("sample_rate is required with encoding.".to_owned()),
    }
}

/// Rate and first samples of a mono 16-bit WAV stream; none while its head is not whole, an error if it is another thing.
pub(super) fn container(head: &[u8]) -> Result<Option<(u32, &[u8])>, ()> {
    let at = |range: std::ops::Range<usize>| head.get(range);
    let (Some(riff), Some(wave)) = (at(0..4), at(8..12)) else { return Ok(None) };
    if riff != b"RIFF" || wave != b"WAVE" {
        return Err(());
    }
    let (mut chunk, mut rate_hz) = (12, None);
    while let (Some(name), Some(length)) = (at(chunk..chunk + 4), at(chunk + 4..chunk + 8)) {
        if name == b"data" {
            return rate_hz.map(|rate_hz| Some((rate_hz, &head[chunk + 8..]))).ok_or(());
        }
        let rate =
            at(chunk + 12..chunk + 16).filter(|_| name == b"fmt ").and_then(|rate| rate.try_into().ok());
        rate_hz = rate.map(u32::from_le_bytes).or(rate_hz);
        let length = length.try_into().map(u32::from_le_bytes).map_err(|_| ())?;
        chunk += 8 + length as usize;
    }
    Ok(None)
}
