//! Migrations: under a lock, there and back, and clear about what the login lacks.

use diesel_async::{AsyncMigrationHarness, AsyncPgConnection, SimpleAsyncConnection};
use diesel_migrations::{FileBasedMigrations, MigrationHarness};
use parlance_store::Error;

use crate::setup::{as_login, cluster_url, open, ordinary_owner, try_open, url_of};

const COUNT_TABLES: &str = "SELECT count(*) FROM pg_class WHERE relnamespace = 'parlance'::regnamespace \
                            AND relkind = 'r' AND relname <> '__diesel_schema_migrations'";

#[tokio::test(flavor = "multi_thread")]
async fn nodes_that_start_together_migrate_once() {
    let url = ordinary_owner("together", "CREATEROLE").await;
    let nodes: Vec<_> = (0..4)
        .map(|_| {
            let url = url.clone();
            tokio::spawn(async move { open(&url, 1).await.migrated().applied.len() })
        })
        .collect();
    let mut applied = Vec::new();
    for node in nodes {
        applied.push(node.await.unwrap());
    }
    applied.sort_unstable();
    assert_eq!(applied[..3], [0, 0, 0]);
    assert!(applied[3] >= 6, "{applied:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn databases_of_one_server_that_start_together_share_the_role() {
    let mut urls = Vec::new();
    for name in ["neighbour_a", "neighbour_b", "neighbour_c"] {
        urls.push(ordinary_owner(name, "CREATEROLE").await);
    }
    let nodes: Vec<_> =
        urls.into_iter().map(|url| tokio::spawn(async move { try_open(&url, 1).await.err() })).collect();
    for node in nodes {
        assert!(node.await.unwrap().is_none());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_migration_can_be_taken_back_and_made_again() {
    as_login(cluster_url(), &["CREATE DATABASE there_and_back"]).await.unwrap();
    let url = url_of("there_and_back", None);
    let first = open(&url, 1).await.migrated().applied.clone();
    let made = as_login(&url, &[COUNT_TABLES]).await.unwrap();

    let mut conn = connect(&url).await;
    conn.batch_execute("SET search_path TO parlance").await.unwrap();
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../migrations");
    let migrations = FileBasedMigrations::from_path(folder).unwrap();
    AsyncMigrationHarness::new(conn).revert_all_migrations(migrations).unwrap();
    assert_eq!(as_login(&url, &[COUNT_TABLES]).await.unwrap(), ["0"]);

    assert_eq!(open(&url, 1).await.migrated().applied, first);
    assert_eq!(as_login(&url, &[COUNT_TABLES]).await.unwrap(), made);
}

async fn connect(url: &str) -> AsyncPgConnection {
    let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls).await.unwrap();
    AsyncPgConnection::try_from_client_and_connection(client, connection).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_that_may_not_make_the_role_is_told_what_an_administrator_must_run() {
    crate::setup::Setup::PrivateCluster.store().await; // by now the role is there
    let url = ordinary_owner("humble", "NOCREATEROLE").await;
    let Err(Error::Setup(message)) = try_open(&url, 1).await else { panic!("opened without the right to") };
    let (_, statements) = message.split_once("run once: ").unwrap();
    assert_eq!(statements, "CREATE ROLE parlance_engine NOLOGIN; GRANT parlance_engine TO humble;");
    let grant = statements.split_once("; ").unwrap().1;
    as_login(cluster_url(), &[grant]).await.unwrap();
    assert!(open(&url, 1).await.tenancy_audit().await.unwrap().is_sound());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_not_there_is_unavailable_and_named() {
    let refused = try_open(&url_of("nowhere", None), 1).await.err().unwrap();
    assert!(refused.is_retryable() && refused.to_string().contains("database nowhere at /"), "{refused}");
}
