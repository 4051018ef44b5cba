//! The private cluster: made once, adopted, shared, stopped by the last.

use std::fs;
use std::path::Path;

use parlance_store::private_cluster::{ClusterConfig, ClusterError, PrivateCluster, ProcessWatch};
use parlance_store::{Database, Error, OrganisationId, Store, StoreConfig, organisations};

use crate::setup::{as_login, new_folder, try_open};

fn start(config: &ClusterConfig) -> PrivateCluster {
    PrivateCluster::start(config).unwrap()
}

/// A new cluster. Whatever becomes of the test, server and folder are gone when the second value is.
fn new_cluster(dir: &Path) -> (PrivateCluster, ProcessWatch) {
    let cluster = start(&ClusterConfig::new(dir));
    let watch = cluster.stop_when_process_ends(true).unwrap();
    (cluster, watch)
}

async fn answers(url: &str) -> bool {
    as_login(url, &["SELECT 1"]).await.is_ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_outlives_who_made_it_is_adopted_and_stopped_by_the_last_user() {
    let config = ClusterConfig::new(new_folder("adopted"));
    let (first, _watch) = new_cluster(&config.dir);
    let url = first.url().to_owned();
    assert!(!first.was_adopted());
    drop(first); // as if the process had died: its locks are gone, the server is not
    assert!(answers(&url).await);

    let (second, third) = (start(&config), start(&config));
    assert!(second.was_adopted() && third.was_adopted() && third.url() == url);
    second.stop().unwrap();
    assert!(answers(&url).await, "another still uses it");
    third.stop().unwrap();
    assert!(!answers(&url).await, "nobody uses it");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_keeps_its_data_over_a_stop_and_an_unfinished_first_start_is_cleared() {
    let dir = new_folder("kept");
    fs::create_dir_all(dir.join("data.new/base")).unwrap();
    let (cluster, _watch) = new_cluster(&dir);
    assert!(!dir.join("data.new").exists());
    drop(cluster);

    let config = StoreConfig::new(Database::Private(ClusterConfig::new(&dir)));
    let store = Store::open(config.clone()).await.unwrap();
    assert!(store.tenancy_audit().await.unwrap().is_sound());
    organisations::set_time_zone(&store.scope(OrganisationId::DEFAULT), "Asia/Kolkata").await.unwrap();
    store.close().await.unwrap();
    store.close().await.unwrap();
    assert!(!dir.join("data/postmaster.pid").exists());

    let store = Store::open(config).await.unwrap();
    assert_eq!(store.migrated().applied, Vec::<String>::new());
    let organisation = organisations::get(&store.scope(OrganisationId::DEFAULT)).await.unwrap();
    assert_eq!(organisation.time_zone, "Asia/Kolkata");
    store.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_that_passes_by_row_level_security_is_refused() {
    let (cluster, _watch) = new_cluster(&new_folder("powerful"));
    as_login(cluster.url(), &["CREATE ROLE parlance_engine BYPASSRLS"]).await.unwrap();
    let refused = try_open(cluster.url(), 1).await.err();
    assert!(matches!(&refused, Some(Error::Setup(why)) if why.contains("NOBYPASSRLS")), "{refused:?}");
}

#[test]
fn data_of_a_version_that_is_not_installed_is_left_alone() {
    let dir = new_folder("old");
    fs::create_dir_all(dir.join("data")).unwrap();
    fs::write(dir.join("data/PG_VERSION"), "8.4\n").unwrap();
    let refused = PrivateCluster::start(&ClusterConfig::new(&dir)).err();
    let left: Vec<_> =
        fs::read_dir(dir.join("data")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    fs::remove_dir_all(dir).unwrap();
    assert!(
        matches!(&refused, Some(ClusterError::OtherVersion { data, .. }) if data == "8.4"),
        "{refused:?}"
    );
    assert_eq!(left, ["PG_VERSION"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_can_not_start_says_why_from_its_log() {
    let dir = new_folder("broken");
    let (cluster, _watch) = new_cluster(&dir);
    cluster.stop().unwrap();
    fs::write(dir.join("data/postgresql.auto.conf"), "no_such_setting = 1\n").unwrap();
    let refused = PrivateCluster::start(&ClusterConfig::new(&dir)).err().unwrap().to_string();
    assert!(refused.contains("no_such_setting"), "{refused}");
}
