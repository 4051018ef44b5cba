//! An external booking backend (`BOOKING_BASE_URL`): it books instead of our own table, and it alone decides.
//!
//! `POST {base}/appointments` with JSON and an `Idempotency-Key`, under which the backend books once. 2xx with an `id`
//! is booked, 409 taken, another 4xx refused, both with the backend's `message` to say; whatever else leaves it open
//! whether something was booked. A connection that can't be made is tried once more. Redirects are not followed: the
//! customer's name and number go to the one host that was set. `docs/booking-backend.md` is the contract.

use std::time::Duration;

use reqwest::header::HeaderName;
use reqwest::redirect::Policy;
use reqwest::{Client, Response, StatusCode, Url};
use serde::Serialize;
use serde_json::Value;

/// How long a booking may take, both tries together: less than the tool's own limit.
const BOOK_WITHIN: Duration = Duration::from_secs(8);
const CONNECT_WITHIN: Duration = Duration::from_secs(3);
const ANSWER_MAX: usize = 64 * 1024;
const MESSAGE_MAX: usize = 500;
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// Why there can be no backend. Finishes "could not …".
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address is none. It may hold a password, so it is not shown.
    #[error("use BOOKING_BASE_URL: it must be http://HOST or https://HOST, with a path if need be")]
    Address,
    /// The client could not be made.
    #[error("make a client for the booking backend: {0}")]
    Client(reqwest::Error),
}

/// What is to be booked.
#[derive(Debug, Serialize)]
pub struct Wanted<'a> {
    /// `organisations/{organisation}`.
    pub organisation: String,
    /// `calls/{call}`.
    pub call: String,
    /// Who comes.
    pub customer_name: &'a str,
    /// How to reach them, as they said it.
    pub phone: Option<&'a str>,
    /// How many people.
    pub party_size: i32,
    /// When it begins: RFC 3339 with the organisation's offset.
    pub start: String,
    /// When it ends.
    pub end: String,
    /// Anything else that was said; may be empty.
    pub notes: &'a str,
}

/// What came of it.
#[derive(Debug, PartialEq, Eq)]
pub enum Answer {
    /// Booked under this id.
    Booked(String),
    /// Not booked, for this reason, which can be said.
    Refused(String),
    /// Not booked: nobody could be asked.
    NotReached,
    /// Nobody knows.
    Unknown,
}

/// The backend.
#[derive(Debug, Clone)]
pub struct BookingBackend {
    client: Client,
    appointments: Url,
}

impl BookingBackend {
    /// The backend at `base`.
    ///
    /// # Errors
    /// When that is no address of one.
    pub fn open(base: &str) -> Result<Self, Error> {
        // Only the first provider installed counts; in tests nobody has installed one.
        rustls::crypto::ring::default_provider().install_default().ok();
        let url = Url::parse(base.trim()).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
        let mut appointments = url.filter(|url| url.query().is_none()).ok_or(Error::Address)?;
        appointments.set_path(&format!("{}/appointments", appointments.path().trim_end_matches('/')));
        let client = Client::builder()
            .redirect(Policy::none())
            .connect_timeout(CONNECT_WITHIN)
            .timeout(BOOK_WITHIN)
            .user_agent(concat!("parlance/", env!("CARGO_PKG_VERSION")));
        Ok(Self { client: client.build().map_err(Error::Client)?, appointments })
    }

    /// Books. The same key books once, however often it is asked for.
    pub async fn book(&self, idempotency_key: &str, wanted: &Wanted<'_>) -> Answer {
        let asked = async {
            match self.ask(idempotency_key, wanted).await {
                Err(error) if error.is_connect() => self.ask(idempotency_key, wanted).await,
                answered => answered,
            }
        };
        match tokio::time::timeout(BOOK_WITHIN, asked).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => {
                let answer = if error.is_connect() { Answer::NotReached } else { Answer::Unknown };
                tracing::error!(error = %error.without_url(), "the booking backend did not answer");
                answer
            }
            Err(_) => {
                tracing::error!("the booking backend did not answer in time");
                Answer::Unknown
            }
        }
    }

    async fn ask(&self, idempotency_key: &str, wanted: &Wanted<'_>) -> Result<Answer, reqwest::Error> {
        let request = self.client.post(self.appointments.clone()).header(IDEMPOTENCY_KEY, idempotency_key);
        let response = request.json(wanted).send().await?;
        let status = response.status();
        let answer = answer(status, &body(response).await);
        if !matches!(answer, Answer::Booked(_)) && status != StatusCode::CONFLICT {
            tracing::warn!(%status, "the booking backend did not book");
        }
        Ok(answer)
    }
}

/// The answer's JSON; null if it is none, or too long.
async fn body(mut response: Response) -> Value {
    let mut bytes = Vec::new();
    while let Ok(Some(chunk)) = response.chunk().await {
        if bytes.len() + chunk.len() > ANSWER_MAX {
            return Value::Null;
        }
        bytes.extend_from_slice(&chunk);
    }
    serde_json::from_slice(&bytes).unwrap_or_default()
}

fn answer(status: StatusCode, body: &Value) -> Answer {
    let said = || {
        let text = body.get("message").and_then(Value::as_str).map(str::trim).filter(|text| !text.is_empty());
        text.map(|text| text.chars().filter(|letter| !letter.is_control()).take(MESSAGE_MAX).collect())
    };
    match status {
        StatusCode::CONFLICT => Answer::Refused(said().unwrap_or_else(|| "That time is taken.".to_owned())),
        StatusCode::REQUEST_TIMEOUT => Answer::Unknown,
        _ if status.is_client_error() => {
            Answer::Refused(said().unwrap_or_else(|| "I can't book that.".to_owned()))
        }
        // A page of somebody else's that says 200 to everything has booked nothing.
        _ if status.is_success() => match body.get("id") {
            Some(Value::String(id)) if !id.is_empty() => {
                Answer::Booked(id.chars().take(MESSAGE_MAX).collect())
            }
            Some(Value::Number(id)) => Answer::Booked(id.to_string()),
            _ => Answer::Unknown,
        },
        _ => Answer::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    /// Gives each of `answers` to one connection; what was asked comes back in order.
    async fn backend(answers: &[&str]) -> (BookingBackend, tokio::task::JoinHandle<Vec<String>>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://user:secret@{}/v1/", listener.local_addr().unwrap());
        let answers: Vec<String> = answers.iter().map(ToString::to_string).collect();
        let served = tokio::spawn(async move {
            let mut asked = Vec::new();
            for answer in answers {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut text = String::new();
                while !text.contains("\"notes\"") || !text.trim_end().ends_with('}') {
                    let mut bytes = [0; 4096];
                    let read = stream.read(&mut bytes).await.unwrap();
                    assert!(read > 0, "the request ended early: {text}");
                    text += std::str::from_utf8(&bytes[..read]).unwrap();
                }
                asked.push(text);
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
            asked
        });
        (BookingBackend::open(&base).unwrap(), served)
    }

    fn http(status: &str, body: &str) -> String {
        format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len())
    }

    fn wanted() -> Wanted<'static> {
        Wanted {
            organisation: "organisations/1".into(),
            call: "calls/2".into(),
            customer_name: "Ada Lovelace",
            phone: Some("5550198"),
            party_size: 4,
            start: "2026-05-23T19:00:00-04:00".into(),
            end: "2026-05-23T20:30:00-04:00".into(),
            notes: "",
        }
    }

    #[tokio::test]
    async fn a_booking_is_posted_once_with_its_key_and_its_id_comes_back() {
        let (backend, served) = backend(&[&http("201 Created", r#"{"id":"b-17"}"#)]).await;
        assert_eq!(backend.book("call:3", &wanted()).await, Answer::Booked("b-17".into()));
        let asked = served.await.unwrap().remove(0).to_lowercase();
        for part in [
            "post /v1/appointments http/1.1",
            "idempotency-key: call:3",
            "authorization: basic",
            r#""customer_name":"ada lovelace""#,
            r#""start":"2026-05-23t19:00:00-04:00""#,
            r#""party_size":4"#,
        ] {
            assert!(asked.contains(part), "{part} is not in {asked}");
        }
    }

    #[tokio::test]
    async fn a_redirect_is_not_followed_and_nothing_is_said_to_be_booked() {
        let moved = "HTTP/1.1 307 Temporary Redirect\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\
                     Connection: close\r\n\r\n";
        let (backend, served) = backend(&[moved]).await;
        assert_eq!(backend.book("call:3", &wanted()).await, Answer::Unknown);
        assert_eq!(served.await.unwrap().len(), 1);
    }

    #[tokio::test]
    async fn where_nobody_listens_nothing_was_booked() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        drop(listener);
        assert_eq!(BookingBackend::open(&base).unwrap().book("key", &wanted()).await, Answer::NotReached);
    }

    #[tokio::test]
    async fn a_connection_that_ends_without_an_answer_leaves_it_open() {
        let (backend, served) = backend(&[""]).await;
        assert_eq!(backend.book("call:3", &wanted()).await, Answer::Unknown);
        served.await.unwrap();
    }

    #[test]
    fn what_the_backend_says_is_what_the_caller_hears() {
        let refused = |text: &str| Answer::Refused(text.to_owned());
        let full = json!({"message": " We are full at seven.\n"});
        assert_eq!(answer(StatusCode::CONFLICT, &full), refused("We are full at seven."));
        assert_eq!(answer(StatusCode::CONFLICT, &Value::Null), refused("That time is taken."));
        assert_eq!(answer(StatusCode::UNPROCESSABLE_ENTITY, &full), refused("We are full at seven."));
        assert_eq!(answer(StatusCode::NOT_FOUND, &Value::Null), refused("I can't book that."));
        assert_eq!(answer(StatusCode::OK, &json!({"id": 17})), Answer::Booked("17".into()));
        for open in [StatusCode::OK, StatusCode::BAD_GATEWAY, StatusCode::FOUND] {
            assert_eq!(answer(open, &json!({"message": "hello"})), Answer::Unknown, "{open}");
        }
    }

    #[test]
    fn an_address_that_is_none_is_refused_without_being_shown() {
        for base in ["", "booking.example", "ftp://booking.example", "http://", "https://u:secret@h/?q=1"] {
            let error = BookingBackend::open(base).map(drop).unwrap_err().to_string();
            assert!(!error.contains("secret") && error.contains("BOOKING_BASE_URL"), "{base}: {error}");
        }
    }
}
