//! The port under TLS: calls as ever, a renewed certificate that drops nobody, and a broken one that changes nothing.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use parlance::cli::connect::{self, ConnectArgs};
use parlance_proto::v1;
use parlance_tests::caller::typing_start;
use parlance_tests::{Caller, House, agents, database};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

const SOON: Duration = Duration::from_secs(20);

/// An authority of the test's own and the files of what it has certified.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    folder: PathBuf,
    root: String,
}

impl Authority {
    fn new() -> Self {
        let key = KeyPair::generate().expect("ring makes keys");
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "An authority of a test");
        let root = params.self_signed(&key).expect("it signs itself").pem();
        let folder = database::new_folder();
        std::fs::create_dir_all(&folder).expect("the folder can be made");
        std::fs::write(folder.join("root.pem"), &root).expect("it can be written");
        Self { issuer: Issuer::new(params, key), folder, root }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Writes a new certificate and its key over the old ones, and gives it.
    fn certifies(&self) -> CertificateDer<'static> {
        let key = KeyPair::generate().expect("ring makes keys");
        let names = ["127.0.0.1".to_owned(), "localhost".to_owned()];
        let params = CertificateParams::new(names).expect("they are names");
        let certificate = params.signed_by(&key, &self.issuer).expect("the authority signs");
        std::fs::write(self.file("cert.pem"), certificate.pem()).expect("it can be written");
        std::fs::write(self.file("key.pem"), key.serialize_pem()).expect("it can be written");
        certificate.der().clone()
    }

    async fn house(&self) -> House {
        let [cert, key] = [self.file("cert.pem"), self.file("key.pem")];
        let text = |path: &Path| path.to_str().expect("temporary folders are named in UTF-8").to_owned();
        let (cert, key) = (text(&cert), text(&key));
        let flags = ["--tls-cert-file", &cert, "--tls-key-file", &key];
        House::scripted_with(&flags, Some(self.file("root.pem"))).await
    }

    /// A connection over TLS that speaks this protocol.
    async fn connects(&self, to: SocketAddr, protocol: &[u8]) -> TlsStream<TcpStream> {
        let mut roots = RootCertStore::empty();
        let root = CertificateDer::from_pem_slice(self.root.as_bytes()).expect("it is PEM");
        roots.add(root).expect("it is an authority");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let config = config.expect("ring knows them").with_root_certificates(roots);
        let mut config = config.with_no_client_auth();
        config.alpn_protocols = vec![protocol.to_vec()];
        let stream = TcpStream::connect(to).await.expect("the engine listens");
        let name = ServerName::try_from("localhost").expect("it is a name");
        TlsConnector::from(Arc::new(config)).connect(name, stream).await.expect("the certificate is trusted")
    }

    /// Waits until new connections get this certificate.
    async fn awaits(&self, house: &House, wanted: &CertificateDer<'static>) {
        let give_up = tokio::time::Instant::now() + SOON;
        while &served(&self.connects(house.running.address, b"http/1.1").await) != wanted {
            assert!(tokio::time::Instant::now() < give_up, "the new certificate was not served");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

impl Drop for Authority {
    fn drop(&mut self) {
        // Left behind it harms nobody.
        std::fs::remove_dir_all(&self.folder).ok();
    }
}

fn served(stream: &TlsStream<TcpStream>) -> CertificateDer<'static> {
    let (_, connection) = stream.get_ref();
    connection.peer_certificates().expect("a server shows one")[0].clone().into_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_goes_over_tls_and_plain_http_beside_it_on_the_same_port() {
    let authority = Authority::new();
    authority.certifies();
    let house = authority.house().await;
    let agent = house.hires(agents::echo("Hello")).await;
    let mut caller = Caller::dials(&house, typing_start(&agent)).await;
    caller.agent_finishes().await;
    caller.types("over TLS");
    caller.agent_finishes().await;
    caller.controls(v1::session_control::Control::End(v1::End {}));
    caller.ends(SOON).await.1.expect("an end that was asked for is no error");

    let mut probe = authority.connects(house.running.address, b"http/1.1").await;
    probe
        .write_all(b"GET /health HTTP/1.1\r\nhost: engine\r\nconnection: close\r\n\r\n")
        .await
        .expect("it takes it");
    let mut answer = String::new();
    // The engine closes without a farewell of TLS; what came before it counts.
    probe.read_to_string(&mut answer).await.ok();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    let stream = authority.connects(house.running.address, b"h2").await;
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    house.is_empty().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_renewed_certificate_is_served_while_a_call_goes_on_and_a_broken_one_changes_nothing() {
    let authority = Authority::new();
    let old = authority.certifies();
    let house = authority.house().await;
    authority.awaits(&house, &old).await;
    let agent = house.hires(agents::echo("Hello")).await;
    let mut caller = Caller::dials(&house, typing_start(&agent)).await;
    caller.agent_finishes().await;

    let new = authority.certifies();
    authority.awaits(&house, &new).await;
    caller.types("still here");
    caller.agent_finishes().await;

    std::fs::write(authority.file("cert.pem"), "half a certif").expect("it can be written");
    // Long enough for it to be seen, judged and, were that a fault, served; nothing is waited for but that.
    for _ in 0..30 {
        assert_eq!(served(&authority.connects(house.running.address, b"http/1.1").await), new);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let newest = authority.certifies();
    authority.awaits(&house, &newest).await;
    caller.controls(v1::session_control::Control::End(v1::End {}));
    caller.ends(SOON).await.1.expect("the call outlived two certificates");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_does_not_know_the_authority_is_told_how_to_name_it() {
    let authority = Authority::new();
    authority.certifies();
    let house = authority.house().await;
    let args = |ca_file| ConnectArgs {
        endpoint: house.url(),
        key: Some(house.key.clone()),
        data_dir: PathBuf::new(),
        ca_file,
    };
    let error = connect::connect(&args(None)).await.expect_err("a test's authority is no public one");
    assert!(error.to_string().contains("--ca-file"), "{error}");
    connect::connect(&args(Some(authority.file("root.pem")))).await.expect("now it is known");
}
