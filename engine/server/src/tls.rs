//! The certificate of the port: read from two files, read again when they change, handed to every new connection.
//!
//! A connection keeps the certificate it began with, so that a renewal drops nobody. What can't be used (a file that
//! is half written, a key of another certificate) leaves the last good one in place and is logged. Files are looked at
//! every second and judged when two looks in a row show the same, because two files are never written at once;
//! SIGHUP has them judged at once. Only names are logged, never what a file holds. Enter at [`Tls::open`].

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio::net::TcpStream;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;

/// How often the files are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How long a caller may take to agree on a key.
const HANDSHAKE_WITHIN: Duration = Duration::from_secs(10);

/// Why there is no certificate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// One of the two settings is missing.
    #[error("use TLS: {missing} is not set, and {given} is; set both or neither")]
    Half {
        /// The setting that is there.
        given: &'static str,
        /// The one that is not.
        missing: &'static str,
    },
    /// A file can't be read or holds something else.
    #[error("use {}: {why}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The two do not fit each other, or can't be used.
    #[error("use the certificate of {} with the key of {}: {why}", certificate.display(), key.display())]
    Pair {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// What is wrong with them.
        why: String,
    },
}

/// Where certificate and key lie, both PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Files {
    certificate: PathBuf,
    key: PathBuf,
}

impl Files {
    /// `None` if neither is set.
    ///
    /// # Errors
    /// [`Error::Half`].
    pub fn of(certificate: Option<&PathBuf>, key: Option<&PathBuf>) -> Result<Option<Self>, Error> {
        let half = |given, missing| Err(Error::Half { given, missing });
        match (certificate, key) {
            (None, None) => Ok(None),
            (Some(_), None) => half("TLS_CERT_FILE", "TLS_KEY_FILE"),
            (None, Some(_)) => half("TLS_KEY_FILE", "TLS_CERT_FILE"),
            (Some(certificate), Some(key)) => {
                Ok(Some(Self { certificate: certificate.clone(), key: key.clone() }))
            }
        }
    }

    fn read(&self) -> Result<Written, Error> {
        let bytes = |path: &PathBuf| {
            std::fs::read(path).map_err(|error| Error::File { path: path.clone(), why: error.to_string() })
        };
        Ok(Written { certificate: bytes(&self.certificate)?, key: bytes(&self.key)? })
    }

    fn certified(&self, written: &Written) -> Result<CertifiedKey, Error> {
        let file = |path: &PathBuf, why: String| Error::File { path: path.clone(), why };
        let chain = CertificateDer::pem_slice_iter(&written.certificate)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| file(&self.certificate, error.to_string()))?;
        if chain.is_empty() {
            return Err(file(&self.certificate, "it holds no certificate in PEM".to_owned()));
        }
        let key = PrivateKeyDer::from_pem_slice(&written.key)
            .map_err(|_| file(&self.key, "it holds no private key in PEM".to_owned()))?;
        CertifiedKey::from_der(chain, key, &ring::default_provider()).map_err(|error| Error::Pair {
            certificate: self.certificate.clone(),
            key: self.key.clone(),
            why: error.to_string(),
        })
    }
}

/// What the files hold.
#[derive(Clone, PartialEq, Eq)]
struct Written {
    certificate: Vec<u8>,
    key: Vec<u8>,
}

/// The certificate that new connections get.
struct Current(RwLock<Arc<CertifiedKey>>);

impl Current {
    fn set(&self, certified: CertifiedKey) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(certified);
    }
}

impl fmt::Debug for Current {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Current")
    }
}

impl ResolvesServerCert for Current {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.read().unwrap_or_else(PoisonError::into_inner).clone())
    }
}

/// TLS of the port. Cheap to clone.
#[derive(Clone)]
pub struct Tls {
    acceptor: TlsAcceptor,
}

impl Tls {
    /// Reads the files and keeps an eye on them until `stop`.
    ///
    /// # Errors
    /// Whatever is wrong with the files at the start.
    pub fn open(files: Files, stop: CancellationToken) -> Result<Self, Error> {
        let written = files.read()?;
        let current = Arc::new(Current(RwLock::new(Arc::new(files.certified(&written)?))));
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| Error::Pair {
                certificate: files.certificate.clone(),
                key: files.key.clone(),
                why: error.to_string(),
            })?;
        let mut config = config.with_no_client_auth().with_cert_resolver(current.clone());
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let watch = Watch { files, current, judged: written.clone(), seen: Some(written), unread: false };
        // Before anybody is told that the engine runs: without a listener the signal ends the process. Without the
        // signal the files are still looked at.
        let hang_up = signal(SignalKind::hangup()).ok();
        tokio::spawn(watch.run(hang_up, stop));
        Ok(Self { acceptor: TlsAcceptor::from(Arc::new(config)) })
    }

    /// Agrees with a client on a key.
    ///
    /// # Errors
    /// What went wrong, also when it took too long.
    pub async fn accept(&self, stream: TcpStream) -> std::io::Result<TlsStream<TcpStream>> {
        tokio::time::timeout(HANDSHAKE_WITHIN, self.acceptor.accept(stream))
            .await
            .map_err(|_| std::io::Error::from(std::io::ErrorKind::TimedOut))?
    }
}

/// Follows the files.
struct Watch {
    files: Files,
    current: Arc<Current>,
    /// What was made of them last, well or not: nothing is judged or complained of twice.
    judged: Written,
    seen: Option<Written>,
    /// They could not be read, and that was said.
    unread: bool,
}

impl Watch {
    async fn run(mut self, mut hang_up: Option<Signal>, stop: CancellationToken) {
        let mut tick = tokio::time::interval(LOOK_EVERY);
        loop {
            let asked = tokio::select! {
                _ = tick.tick() => false,
                Some(()) = next(&mut hang_up) => true,
                () = stop.cancelled() => return,
            };
            // A folder of the network may hang: not on a thread that calls need.
            let looked = tokio::task::spawn_blocking(move || {
                self.look(asked);
                self
            });
            match looked.await {
                Ok(watch) => self = watch,
                Err(error) => return tracing::error!(%error, "the certificate is not watched any more"),
            }
        }
    }

    fn look(&mut self, asked: bool) {
        let written = match self.files.read() {
            Ok(written) => written,
            Err(error) => {
                if asked || !std::mem::replace(&mut self.unread, true) {
                    tracing::warn!("could not {error}; the last good certificate is kept");
                }
                return;
            }
        };
        self.unread = false;
        let settled = asked || self.seen.as_ref() == Some(&written);
        self.seen = Some(written.clone());
        if !settled || (written == self.judged && !asked) {
            return;
        }
        match self.files.certified(&written) {
            Ok(certified) => {
                self.current.set(certified);
                let file = self.files.certificate.display();
                tracing::info!(%file, "the certificate was read again; new connections get it");
            }
            Err(error) => tracing::warn!("could not {error}; the last good certificate is kept"),
        }
        self.judged = written;
    }
}

/// The next signal; never, if there are none.
async fn next(signals: &mut Option<Signal>) -> Option<()> {
    match signals {
        Some(signals) => signals.recv().await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Folder(PathBuf);

    impl Folder {
        fn new() -> Self {
            let path = std::env::temp_dir().join(format!("parlance-tls-{}", uuid::Uuid::now_v7()));
            std::fs::create_dir(&path).expect("the folder is new");
            Self(path)
        }

        fn holds(&self, certificate: &str, key: &str) -> Files {
            let files = Files { certificate: self.0.join("cert.pem"), key: self.0.join("key.pem") };
            std::fs::write(&files.certificate, certificate).expect("it can be written");
            std::fs::write(&files.key, key).expect("it can be written");
            files
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            // Left behind it harms nobody.
            std::fs::remove_dir_all(&self.0).ok();
        }
    }

    fn pair() -> (String, String) {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("ring makes keys");
        (made.cert.pem(), made.signing_key.serialize_pem())
    }

    fn watch(files: Files) -> Watch {
        let written = files.read().expect("they are there");
        let certified = files.certified(&written).expect("they fit");
        let current = Arc::new(Current(RwLock::new(Arc::new(certified))));
        Watch { files, current, judged: written.clone(), seen: Some(written), unread: false }
    }

    fn serves(watch: &Watch, pem: &str) -> bool {
        let wanted = CertificateDer::from_pem_slice(pem.as_bytes()).expect("it is PEM");
        watch.current.0.read().expect("nobody panicked").cert[0] == wanted
    }

    #[test]
    fn one_file_without_the_other_is_refused_by_the_name_of_what_is_missing() {
        let error = Files::of(Some(&"c".into()), None).expect_err("the key is missing").to_string();
        assert_eq!(error, "use TLS: TLS_KEY_FILE is not set, and TLS_CERT_FILE is; set both or neither");
        assert_eq!(Files::of(None, None), Ok(None));
    }

    #[test]
    fn a_key_of_another_certificate_and_a_file_that_is_no_pem_are_refused_without_their_contents() {
        let folder = Folder::new();
        let ((certificate, _), (_, other)) = (pair(), pair());
        let refused = |certificate: &str, key: &str| {
            let files = folder.holds(certificate, key);
            let written = files.read().expect("they are there");
            files.certified(&written).expect_err("they do not fit").to_string()
        };
        let mixed = refused(&certificate, &other);
        assert!(
            mixed.contains("cert.pem") && mixed.contains("key.pem") && !mixed.contains("BEGIN"),
            "{mixed}"
        );
        assert!(refused("nothing", &other).ends_with("it holds no certificate in PEM"));
        assert!(refused(&certificate, "nothing").ends_with("it holds no private key in PEM"));
    }

    #[test]
    fn a_change_counts_when_two_looks_show_the_same_and_a_bad_one_keeps_the_old() {
        let folder = Folder::new();
        let (old, new) = (pair(), pair());
        let mut watch = watch(folder.holds(&old.0, &old.1));
        folder.holds(&new.0, &old.1);
        watch.look(false);
        watch.look(false);
        assert!(serves(&watch, &old.0), "half of a renewal");
        folder.holds(&new.0, &new.1);
        watch.look(false);
        assert!(serves(&watch, &old.0), "it may still be written");
        watch.look(false);
        assert!(serves(&watch, &new.0));
        folder.holds(&old.0, &old.1);
        watch.look(true);
        assert!(serves(&watch, &old.0), "asked for, so at once");
    }
}
