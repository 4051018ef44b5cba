//! TLS to Postgres: what each `sslmode` accepts.
//!
//! Postgres speaks no TLS on its Unix socket, so a small door in front of it does, as a pooler would: it answers the
//! request for TLS, and passes on what comes through. Its certificate is for `localhost`, signed by an authority
//! of our own that no browser knows.

use std::sync::Arc;

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio_rustls::TlsAcceptor;

use crate::setup::{Setup, cluster_url};
use parlance_store::{Database, DatabaseUrl, Result, Store, StoreConfig};

/// Made once with openssl, for a hundred years. The key guards nothing but the door of this test.
const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/store/tls");

/// A front door; gives its port.
async fn door(offers_tls: bool) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let acceptor = acceptor();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let acceptor = offers_tls.then(|| acceptor.clone());
            tokio::spawn(pass(client, acceptor));
        }
    });
    port
}

fn acceptor() -> TlsAcceptor {
    let certificate = CertificateDer::from_pem_file(format!("{FIXTURES}/localhost.pem")).unwrap();
    let key = PrivateKeyDer::from_pem_file(format!("{FIXTURES}/localhost.key")).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    TlsAcceptor::from(Arc::new(
        config.with_no_client_auth().with_single_cert(vec![certificate], key).unwrap(),
    ))
}

async fn pass(mut client: TcpStream, acceptor: Option<TlsAcceptor>) -> std::io::Result<()> {
    let mut postgres = UnixStream::connect(socket()).await?;
    let mut request = [0; 8];
    client.peek(&mut request).await?;
    let asks_for_tls = request == [0, 0, 0, 8, 4, 210, 22, 47];
    if asks_for_tls {
        client.read_exact(&mut request).await?;
    }
    match acceptor {
        Some(acceptor) if asks_for_tls => {
            client.write_all(b"S").await?;
            let mut client = acceptor.accept(client).await?;
            copy_bidirectional(&mut client, &mut postgres).await?;
        }
        _ => {
            if asks_for_tls {
                client.write_all(b"N").await?;
            }
            copy_bidirectional(&mut client, &mut postgres).await?;
        }
    }
    Ok(())
}

fn socket() -> String {
    format!("{}/.s.PGSQL.5432", cluster_url().split_once("host=").unwrap().1)
}

async fn open(port: u16, host: &str, options: &str, insecure: bool) -> Result<Store> {
    Setup::PrivateCluster.url().await;
    let url = format!("postgres://parlance@{host}:{port}/superusers?{options}");
    let database = Database::Url(DatabaseUrl::parse(&url, insecure)?);
    Store::open(StoreConfig { database, pool_size: 1 }).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_is_trusted_by_its_authority_and_only_for_its_name() {
    let port = door(true).await;
    let trusted = format!("sslmode=verify-full&sslrootcert={FIXTURES}/authority.pem");
    open(port, "localhost", &trusted, false).await.unwrap();
    let other_name = open(port, "127.0.0.1", &trusted, false).await.err().unwrap().to_string();
    assert!(other_name.contains("certificate"), "{other_name}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_authority_is_refused_with_the_way_out_unless_insecure_is_said() {
    let port = door(true).await;
    for mode in ["require", "verify-ca", "verify-full"] {
        let refused =
            open(port, "localhost", &format!("sslmode={mode}"), false).await.err().unwrap().to_string();
        assert!(refused.contains("sslrootcert=FILE"), "{mode}: {refused}");
    }
    open(port, "localhost", "sslmode=require", true).await.unwrap();
    open(port, "localhost", "sslmode=prefer", false).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_tls_is_refused_where_tls_is_required() {
    let port = door(false).await;
    let refused = open(port, "localhost", "sslmode=require", true).await.err().unwrap().to_string();
    assert!(refused.contains("does not support TLS"), "{refused}");
    open(port, "localhost", "sslmode=prefer", false).await.unwrap();
    open(port, "localhost", "sslmode=disable", false).await.unwrap();
}
