//! When the database goes away: a clear, retryable error, and no restart of ours needed when it is back.

use diesel_async::RunQueryDsl;
use parlance_store::private_cluster::{ClusterConfig, PrivateCluster};
use parlance_store::{Error, OrganisationId, organisations};

use crate::setup::{Setup, as_login, cluster_url, execute, new_folder, new_organisation, open};

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_cut_in_mid_work_is_retryable_and_the_next_work_gets_another() {
    let store = open(Setup::OrdinaryOwner.url().await, 1).await;
    let scope = new_organisation(&store).await;
    let name = format!("SET LOCAL application_name = '{}'", scope.organisation());
    let cut = format!(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = '{}'",
        scope.organisation()
    );
    let work = scope.run(|conn| {
        Box::pin(async move {
            diesel::sql_query(&name).execute(conn).await?;
            assert_eq!(as_login(cluster_url(), &[&cut]).await.unwrap(), ["t"]);
            diesel::sql_query("UPDATE organisations SET display_name = 'changed'").execute(conn).await?;
            Ok(())
        })
    });
    let failed = work.await.unwrap_err();
    assert!(failed.is_retryable(), "{failed}");
    assert_eq!(organisations::get(&scope).await.unwrap().display_name, "A test's own");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_store_works_again_when_the_server_is_back() {
    let config = ClusterConfig::new(new_folder("restarted"));
    let cluster = PrivateCluster::start(&config).unwrap();
    let _watch = cluster.stop_when_process_ends(true).unwrap();
    let store = open(cluster.url(), 2).await;
    let scope = store.scope(OrganisationId::DEFAULT);
    cluster.stop().unwrap();
    let away = store.ping().await;
    assert!(matches!(away, Err(Error::Unavailable(_))), "{away:?}");

    let cluster = PrivateCluster::start(&config).unwrap();
    execute(&scope, "UPDATE organisations SET display_name = 'back'").await.unwrap();
    assert_eq!(organisations::get(&scope).await.unwrap().display_name, "back");
    cluster.stop().unwrap();
}
