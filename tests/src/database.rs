//! One private Postgres for the whole test program, and an organisation for whoever asks.
//!
//! The server and its folder go when the program ends, however it ends. Organisations are made by the database's
//! owner, because the engine has no way to make one yet.

use std::path::PathBuf;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use parlance_store::OrganisationId;
use parlance_store::private_cluster::{ClusterConfig, PrivateCluster, ProcessWatch};
use tokio_postgres::NoTls;

/// Everything the program leaves on disk lies in here, and goes with it.
fn root() -> PathBuf {
    std::env::temp_dir().join(format!("parlance-door-{}", std::process::id()))
}

/// A folder that is nobody else's, not made yet. It goes when the program ends, at the latest.
pub fn new_folder() -> PathBuf {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    root().join(format!("house-{}", NUMBER.fetch_add(1, Ordering::Relaxed)))
}

/// The address of the program's own database, as its owner.
///
/// # Panics
/// When no Postgres can be started; the message says what to install.
pub fn url() -> &'static str {
    static CLUSTER: OnceLock<(PrivateCluster, ProcessWatch)> = OnceLock::new();
    let (cluster, _) = CLUSTER.get_or_init(|| {
        let cluster = PrivateCluster::start(&ClusterConfig::new(root()))
            .unwrap_or_else(|error| panic!("the tests need a Postgres: could not {error}"));
        let watch = cluster
            .stop_when_process_ends(true)
            .unwrap_or_else(|error| panic!("the tests' Postgres would outlive them: could not {error}"));
        (cluster, watch)
    });
    cluster.url()
}

/// A new database of that name in the same server, for tests whose engines must meet no others.
///
/// # Panics
/// When the server refuses.
pub async fn another(name: &str) -> String {
    execute(url(), &format!("CREATE DATABASE {name}")).await;
    let (login, place) = url().split_once("@/postgres").expect("the private server's own address");
    format!("{login}@/{name}{place}")
}

/// Makes an organisation; the database must have been migrated.
///
/// # Panics
/// When the database refuses.
pub async fn new_organisation(url: &str) -> OrganisationId {
    let organisation = OrganisationId::new();
    let insert = format!(
        "INSERT INTO parlance.organisations (id, display_name) VALUES ('{organisation}', 'A test''s own')"
    );
    execute(url, &insert).await;
    organisation
}

/// Runs statements as the owner.
///
/// # Panics
/// When the database refuses.
pub async fn execute(url: &str, statements: &str) {
    let (client, driver) = connect(url).await;
    client.batch_execute(statements).await.unwrap_or_else(|error| panic!("{statements}: {error:?}"));
    drop(client);
    driver.await.expect("the connection's task ends");
}

/// A connection of the owner; the task ends with it.
///
/// # Panics
/// When the database can't be reached.
pub async fn connect(url: &str) -> (tokio_postgres::Client, tokio::task::JoinHandle<()>) {
    let (client, connection) =
        tokio_postgres::connect(url, NoTls).await.expect("the tests' own Postgres takes connections");
    let driver = tokio::spawn(async move {
        // How it ends, its users notice.
        connection.await.ok();
    });
    (client, driver)
}
