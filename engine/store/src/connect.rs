//! One connection to Postgres: the address as people write it, and TLS as they asked for it.
//!
//! Understands `postgres://…` and `key=value` addresses, Unix sockets (`host=/folder`) and these `sslmode`s:
//!
//! | sslmode | encrypted | certificate checked |
//! |---|---|---|
//! | `disable` | never | - |
//! | `prefer` (also when none is given) | if the server offers it | no: who can strip TLS needs no certificate |
//! | `require`, `verify-ca`, `verify-full` | always | yes, name too, against the web's roots or `sslrootcert=FILE` |
//!
//! `require` is stricter here than in libpq, which checks nothing. A server with a certificate of its own
//! making needs `sslrootcert`, or the explicit `insecure_tls`, which keeps the encryption and drops the check.
//! Behind a pooler: session mode only, prepared statements and roles don't survive transaction mode.

use std::error::Error as _;
use std::sync::Arc;
use std::time::Duration;

use diesel_async::AsyncPgConnection;
use rustls::ClientConfig;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio_postgres::config::SslMode;
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::{Error, Result};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// A server whose machine vanished answers nothing, not even no: after so long without a sign of life of its system a
/// connection is given up, so that what waits for it is written over another.
const GONE_AFTER: Duration = Duration::from_secs(30);
/// How long a connection is quiet before its other end is asked for a sign of life.
const ASK_AFTER: Duration = Duration::from_secs(15);

/// The two halves of a connection: who asks, and who moves the bytes.
pub(crate) type Halves = (
    tokio_postgres::Client,
    tokio_postgres::Connection<
        tokio_postgres::Socket,
        <MakeRustlsConnect as MakeTlsConnect<tokio_postgres::Socket>>::Stream,
    >,
);

/// Where the database is and how to speak to it. Debug output and [`std::fmt::Display`] hide the password.
#[derive(Clone)]
pub struct DatabaseUrl {
    config: Arc<tokio_postgres::Config>,
    tls: Arc<ClientConfig>,
}

impl DatabaseUrl {
    /// Reads an address.
    ///
    /// `insecure_tls` accepts any certificate where the mode would check it; default it to false.
    ///
    /// # Errors
    /// [`Error::Invalid`] with field `database_url` when it can't be read or `sslrootcert` names no
    /// readable PEM file. Nothing is connected yet.
    pub fn parse(text: &str, insecure_tls: bool) -> Result<Self> {
        let address = Address::split(text)?;
        let mut config: tokio_postgres::Config =
            address.rest.parse().map_err(|e: tokio_postgres::Error| invalid(causes(&e)))?;
        config.ssl_mode(address.mode);
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(CONNECT_TIMEOUT);
        }
        if config.get_application_name().is_none() {
            config.application_name("parlance");
        }
        if config.get_tcp_user_timeout().is_none() {
            config.tcp_user_timeout(GONE_AFTER);
        }
        if !address.rest.contains("keepalives") {
            config.keepalives_idle(ASK_AFTER);
        }
        let checked = address.mode == SslMode::Require && !insecure_tls;
        let tls = tls_config(checked.then_some(address.root_certificates.as_deref()))?;
        Ok(Self { config: Arc::new(config), tls: Arc::new(tls) })
    }

    /// Opens a connection as the login user.
    pub(crate) async fn connect(&self) -> Result<AsyncPgConnection> {
        let (client, connection) = self.connect_plain(&self.config).await?;
        Ok(AsyncPgConnection::try_from_client_and_connection(client, connection).await?)
    }

    /// The same without diesel, for who wants to see the server's own messages. Does nothing unless the second
    /// half is polled. Its name among the server's activity is `application_name`.
    pub(crate) async fn connect_to_listen(&self, application_name: &str) -> Result<Halves> {
        let mut config = tokio_postgres::Config::clone(&self.config);
        config.application_name(application_name);
        self.connect_plain(&config).await
    }

    async fn connect_plain(&self, config: &tokio_postgres::Config) -> Result<Halves> {
        let tls = MakeRustlsConnect::new(ClientConfig::clone(&self.tls));
        let connected = config.connect(tls).await;
        connected.map_err(|error| Error::Unavailable(format!("{self}: {}", explain(&error))))
    }
}

impl std::fmt::Display for DatabaseUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        use tokio_postgres::config::Host;
        let host = match self.config.get_hosts().first() {
            Some(Host::Tcp(name)) => name.clone(),
            Some(Host::Unix(folder)) => folder.display().to_string(),
            None => "(no host)".to_owned(),
        };
        let database = self.config.get_dbname().or(self.config.get_user()).unwrap_or("postgres");
        write!(f, "database {database} at {host}")
    }
}

impl std::fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "DatabaseUrl({self})")
    }
}

/// An address with the parts taken out that tokio-postgres does not know.
struct Address {
    rest: String,
    mode: SslMode,
    root_certificates: Option<String>,
}

impl Address {
    fn split(text: &str) -> Result<Self> {
        let mut address = Self { rest: String::new(), mode: SslMode::Prefer, root_certificates: None };
        let is_url = text.starts_with("postgres://") || text.starts_with("postgresql://");
        let (base, options, separator) = match (is_url, text.split_once('?')) {
            (true, Some((base, options))) => (base, options, '&'),
            (true, None) => (text, "", '&'),
            (false, _) => ("", text, ' '),
        };
        let mut kept = Vec::new();
        for option in options.split(separator).filter(|option| !option.is_empty()) {
            match option.split_once('=') {
                Some(("sslmode", mode)) => address.mode = ssl_mode(mode)?,
                Some(("sslrootcert", "system")) => {}
                Some(("sslrootcert", file)) => address.root_certificates = Some(file.replace("%2F", "/")),
                _ => kept.push(option),
            }
        }
        let kept = kept.join(&separator.to_string());
        address.rest = match (is_url, kept.is_empty()) {
            (true, false) => format!("{base}?{kept}"),
            (true, true) => base.to_owned(),
            (false, _) => kept,
        };
        Ok(address)
    }
}

fn ssl_mode(text: &str) -> Result<SslMode> {
    match text {
        "disable" => Ok(SslMode::Disable),
        "prefer" | "allow" => Ok(SslMode::Prefer),
        "require" | "verify-ca" | "verify-full" => Ok(SslMode::Require),
        other => Err(invalid(format!(
            "sslmode {other:?} is not one of disable, prefer, require, verify-ca, verify-full"
        ))),
    }
}

fn invalid(message: String) -> Error {
    Error::Invalid { field: "database_url", message }
}

/// `roots`: none = any certificate will do; else the file to trust, or the web's roots where it names none.
fn tls_config(roots: Option<Option<&str>>) -> Result<ClientConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|e| Error::Setup(e.to_string()))?;
    Ok(match roots {
        Some(file) => builder.with_root_certificates(root_store(file)?).with_no_client_auth(),
        None => builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(AnyCertificate(provider)))
            .with_no_client_auth(),
    })
}

fn root_store(file: Option<&str>) -> Result<RootCertStore> {
    let Some(file) = file else {
        return Ok(webpki_roots::TLS_SERVER_ROOTS.iter().cloned().collect());
    };
    let mut store = RootCertStore::empty();
    let unreadable = |e: String| invalid(format!("sslrootcert {file}: {e}"));
    for certificate in CertificateDer::pem_file_iter(file).map_err(|e| unreadable(e.to_string()))? {
        let certificate = certificate.map_err(|e| unreadable(e.to_string()))?;
        store.add(certificate).map_err(|e| unreadable(e.to_string()))?;
    }
    if store.is_empty() { Err(unreadable("holds no certificate".to_owned())) } else { Ok(store) }
}

/// Accepts any certificate but still proves that the server holds its key.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// The whole chain of causes: tokio-postgres itself says only "db error" or "error connecting to server".
fn causes(error: &tokio_postgres::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.ends_with(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    text
}

fn explain(error: &tokio_postgres::Error) -> String {
    let text = causes(error);
    if text.contains("certificate") {
        format!("{text} (add sslrootcert=FILE with the server's CA to the address, or allow insecure TLS)")
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ssl_options_are_taken_out_wherever_they_stand() {
        let url =
            Address::split("postgres://me:pw@db/x?sslmode=verify-full&application_name=a&sslrootcert=%2Fca");
        let url = url.unwrap();
        assert_eq!(url.rest, "postgres://me:pw@db/x?application_name=a");
        assert_eq!((url.mode, url.root_certificates.as_deref()), (SslMode::Require, Some("/ca")));
        let words = Address::split("host=db sslmode=disable user=me").unwrap();
        assert_eq!((words.rest.as_str(), words.mode), ("host=db user=me", SslMode::Disable));
    }

    #[test]
    fn a_server_that_vanished_is_given_up_unless_the_address_says_when() {
        let plain = DatabaseUrl::parse("postgres://db/x", false).unwrap();
        assert_eq!(plain.config.get_tcp_user_timeout(), Some(&GONE_AFTER));
        assert_eq!(plain.config.get_keepalives_idle(), ASK_AFTER);
        let own = DatabaseUrl::parse("postgres://db/x?keepalives_idle=99&tcp_user_timeout=7", false).unwrap();
        assert_eq!(own.config.get_tcp_user_timeout(), Some(&Duration::from_secs(7)));
        assert_eq!(own.config.get_keepalives_idle(), Duration::from_secs(99));
    }

    #[test]
    fn an_unknown_ssl_mode_is_refused_by_name() {
        let error = DatabaseUrl::parse("postgres://db/x?sslmode=strict", false).unwrap_err().to_string();
        assert!(error.contains("\"strict\""), "{error}");
    }

    #[test]
    fn a_root_certificate_file_that_is_missing_is_an_error_not_the_webs_roots() {
        let url = "postgres://db/x?sslmode=require&sslrootcert=/no/such.pem";
        assert!(DatabaseUrl::parse(url, false).unwrap_err().to_string().contains("/no/such.pem"));
    }

    #[test]
    fn nothing_that_is_printed_holds_the_password() {
        let url = DatabaseUrl::parse("postgres://me:hush@db/x", false).unwrap();
        assert_eq!(format!("{url:?} {url}"), "DatabaseUrl(database x at db) database x at db");
    }
}
