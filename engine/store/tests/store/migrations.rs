//! Migrations: under a lock, there and back, and clear about what the login lacks.

use diesel_async::{AsyncMigrationHarness, AsyncPgConnection, SimpleAsyncConnection};
use diesel_migrations::{FileBasedMigrations, MigrationHarness};
use parlance_store::Error;

use crate::setup::{as_login, cluster_url, open, ordinary_owner, try_open, url_of};

const MIGRATIONS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../migrations");
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
    let migrations = FileBasedMigrations::from_path(MIGRATIONS).unwrap();
    AsyncMigrationHarness::new(conn).revert_all_migrations(migrations).unwrap();
    assert_eq!(as_login(&url, &[COUNT_TABLES]).await.unwrap(), ["0"]);

    assert_eq!(open(&url, 1).await.migrated().applied, first);
    assert_eq!(as_login(&url, &[COUNT_TABLES]).await.unwrap(), made);
}

#[tokio::test(flavor = "multi_thread")]
async fn appointments_of_an_older_version_were_last_changed_when_they_were_booked() {
    // An ordinary owner is held to the policies, in migrations too.
    let url = ordinary_owner("older", "CREATEROLE").await;
    open(&url, 1).await;
    revert_to_before("20260120000002", &url).await;
    let id = parlance_store::OrganisationId::new();
    let own = format!("SELECT set_config('app.organization', '{id}', false)");
    let organisation =
        format!("INSERT INTO parlance.organisations (id, display_name) VALUES ('{id}', 'Old')");
    let booked = format!(
        "INSERT INTO parlance.appointments (id, organisation_id, idempotency_key, customer_name, party_size, \
         start_time, end_time, state, create_time) \
         VALUES (gen_random_uuid(), '{id}', 'old', 'Ada', 2, now(), now() + interval '1 hour', 'booked', \
         '2026-01-02 03:04:05Z')"
    );
    as_login(&url, &[&own, &organisation, &booked]).await.unwrap();

    open(&url, 1).await;
    let select = "SELECT (update_time = create_time AND etag <> '')::text FROM parlance.appointments";
    assert_eq!(as_login(&url, &[&own, select]).await.unwrap()[1..], ["true"]);
}

/// Takes back the migration of that version and all after it.
async fn revert_to_before(version: &str, url: &str) {
    let mut conn = connect(url).await;
    conn.batch_execute("SET search_path TO parlance").await.unwrap();
    let mut harness = AsyncMigrationHarness::new(conn);
    let migrations = FileBasedMigrations::from_path(MIGRATIONS).unwrap();
    while harness.revert_last_migration(migrations.clone()).unwrap().to_string() != version {}
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
