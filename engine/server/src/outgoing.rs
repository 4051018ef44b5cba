//! One request out, one answer back, over http or https: what the engine and its program need of the web.
//!
//! A connection each time, HTTP/1.1, a deadline over all of it and a bound on the answer; no redirects, no cookies, no
//! proxies. Vendors have clients of their own; this is for collectors of traces, for probes and for `doctor`.
//! Enter at [`Outgoing::ask`].

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::http::header::{CONNECTION, HOST};
use axum::http::{HeaderValue, Request, Response, StatusCode, Uri};
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// Largest answer taken.
const ANSWER_MAX: usize = 1 << 20;

/// Why there is no answer. Fragments that finish "failed to".
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address can't be asked.
    #[error("ask {0}: it is no http:// or https:// address")]
    Address(String),
    /// Nobody there.
    #[error("reach {host}: {cause}")]
    Connect {
        /// Whom.
        host: String,
        /// What the system said.
        cause: io::Error,
    },
    /// No trust.
    #[error("trust {host}: {cause}")]
    Tls {
        /// Whom.
        host: String,
        /// What rustls said.
        cause: io::Error,
    },
    /// It does not speak HTTP, or broke off, or says too much.
    #[error("understand {host}: {cause}")]
    Http {
        /// Whom.
        host: String,
        /// What went wrong.
        cause: String,
    },
    /// It took too long.
    #[error("get an answer of {host} within {} s", within.as_secs())]
    Late {
        /// Whom.
        host: String,
        /// How long was waited.
        within: Duration,
    },
    /// The file of authorities can't be used.
    #[error("use {path}: {why}")]
    Authorities {
        /// Which.
        path: String,
        /// What is wrong with it.
        why: String,
    },
}

/// Whom to trust, ready to ask.
#[derive(Clone)]
pub struct Outgoing {
    tls: TlsConnector,
}

impl Outgoing {
    /// Trusts the public authorities, and those in `more`, a PEM file, where given.
    ///
    /// # Errors
    /// [`Error::Authorities`].
    pub fn new(more: Option<&Path>) -> Result<Self, Error> {
        let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        if let Some(path) = more {
            let bad = |why: String| Error::Authorities { path: path.display().to_string(), why };
            let pem = std::fs::read(path).map_err(|error| bad(error.to_string()))?;
            let (added, _) =
                roots.add_parsable_certificates(CertificateDer::pem_slice_iter(&pem).filter_map(Result::ok));
            if added == 0 {
                return Err(bad("it holds no certificate in PEM".to_owned()));
            }
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| Error::Authorities { path: "TLS".to_owned(), why: error.to_string() })?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self { tls: TlsConnector::from(Arc::new(config)) })
    }

    /// Sends the request, whose address must be absolute, and takes its whole answer.
    ///
    /// # Errors
    /// Anything but an answer; one that says no is an answer too.
    pub async fn ask(&self, request: Request<Bytes>, within: Duration) -> Result<Response<Bytes>, Error> {
        let (target, host, port) = target(request.uri())?;
        let late = || Error::Late { host: host.clone(), within };
        tokio::time::timeout(within, self.exchange(request, target, &host, port)).await.map_err(|_| late())?
    }

    /// Gets a page. Its status, and its text as far as it is text.
    ///
    /// # Errors
    /// As [`Self::ask`].
    pub async fn get(&self, address: &str, within: Duration) -> Result<(StatusCode, String), Error> {
        let request = Request::get(address).body(Bytes::new());
        let answer = self.ask(request.map_err(|_| Error::Address(address.to_owned()))?, within).await?;
        Ok((answer.status(), String::from_utf8_lossy(answer.body()).into_owned()))
    }

    async fn exchange(
        &self,
        mut request: Request<Bytes>,
        target: Uri,
        host: &str,
        port: u16,
    ) -> Result<Response<Bytes>, Error> {
        let authority = request.uri().authority().map(|authority| authority.as_str().to_owned());
        let is_https = request.uri().scheme_str() == Some("https");
        if let Ok(value) = HeaderValue::from_str(authority.as_deref().unwrap_or(host)) {
            request.headers_mut().insert(HOST, value);
        }
        request.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        *request.uri_mut() = target;
        let stream = TcpStream::connect((host, port))
            .await
            .map_err(|cause| Error::Connect { host: host.to_owned(), cause })?;
        if !is_https {
            return speak(stream, request, host).await;
        }
        let tls = |cause| Error::Tls { host: host.to_owned(), cause };
        let name = ServerName::try_from(host.to_owned()).map_err(|error| tls(io::Error::other(error)))?;
        speak(self.tls.connect(name, stream).await.map_err(tls)?, request, host).await
    }
}

/// What stands in the request line, and where to connect.
fn target(uri: &Uri) -> Result<(Uri, String, u16), Error> {
    let bad = || Error::Address(uri.to_string());
    let port = match uri.scheme_str() {
        Some("http") => 80,
        Some("https") => 443,
        _ => return Err(bad()),
    };
    // An address of version 6 is in brackets there and must not be for the system.
    let host = uri.host().ok_or_else(bad)?.trim_matches(['[', ']']).to_owned();
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    Ok((path.parse().map_err(|_| bad())?, host, uri.port_u16().unwrap_or(port)))
}

async fn speak(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    request: Request<Bytes>,
    host: &str,
) -> Result<Response<Bytes>, Error> {
    let failed = |cause: String| Error::Http { host: host.to_owned(), cause };
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|error| failed(error.to_string()))?;
    let exchange = async {
        let answer =
            sender.send_request(request.map(Full::new)).await.map_err(|error| failed(error.to_string()))?;
        let (head, body) = answer.into_parts();
        let body =
            Limited::new(body, ANSWER_MAX).collect().await.map_err(|error| failed(error.to_string()))?;
        Ok(Response::from_parts(head, body.to_bytes()))
    };
    // Driven here and not in a task of its own, so that nothing is left behind when the time is over.
    let mut exchange = std::pin::pin!(exchange);
    tokio::select! {
        answer = &mut exchange => answer,
        // The far end closed; what it said before lies ready, or the exchange says what is missing.
        _ = connection => exchange.await,
    }
}
