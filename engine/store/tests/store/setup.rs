//! One private cluster for the whole test program, and two databases in it, one for each set-up.
//!
//! The first set-up is what we have on our own cluster: the login is a superuser. The second is what others give us
//! by `DATABASE_URL`: the login is an ordinary owner of its database that may make roles. Each test opens a store of
//! its own (connections belong to the runtime they were made in) and works in an organisation of its own.

use std::path::PathBuf;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use diesel_async::RunQueryDsl;
use jiff::Timestamp;
use parlance_store::ownership::{Lease, Owner};
use parlance_store::private_cluster::{ClusterConfig, PrivateCluster, ProcessWatch};
use parlance_store::{
    AgentId, CallId, Database, DatabaseUrl, NodeId, OrganisationId, Scope, Store, StoreConfig, calls,
};
use tokio::sync::OnceCell;
use tokio_postgres::NoTls;

/// What a store of the tests has for everybody.
pub const CONNECTIONS: u32 = 4;

/// Whose database it is.
#[derive(Debug, Clone, Copy)]
pub enum Setup {
    PrivateCluster,
    OrdinaryOwner,
}

impl Setup {
    pub async fn url(self) -> &'static str {
        static PRIVATE: OnceCell<String> = OnceCell::const_new();
        static ORDINARY: OnceCell<String> = OnceCell::const_new();
        match self {
            Self::PrivateCluster => PRIVATE.get_or_init(superusers_database).await,
            Self::OrdinaryOwner => ORDINARY.get_or_init(ordinary_database).await,
        }
    }

    pub async fn store(self) -> Store {
        open(self.url().await, CONNECTIONS).await
    }
}

/// Runs a test in both set-ups, as `its_name::private_cluster` and `its_name::ordinary_owner`.
macro_rules! in_both_setups {
    ($(async fn $name:ident($store:ident: $type:ty) $body:block)+) => {
        $(mod $name {
            #[allow(unused_imports, reason = "not each test uses all that its file imports")]
            use super::*;

            async fn test($store: $type) $body

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn private_cluster() {
                test(crate::setup::Setup::PrivateCluster.store().await).await
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn ordinary_owner() {
                test(crate::setup::Setup::OrdinaryOwner.store().await).await
            }
        })+
    };
}
pub(crate) use in_both_setups;

/// A folder that is nobody else's, not made yet.
pub fn new_folder(name: &str) -> PathBuf {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    std::env::temp_dir().join(format!("parlance-test-{}-{number}-{name}", std::process::id()))
}

/// The cluster of the whole program; it goes when the program does.
pub fn cluster_url() -> &'static str {
    static CLUSTER: OnceLock<(PrivateCluster, ProcessWatch)> = OnceLock::new();
    let (cluster, _) = CLUSTER.get_or_init(|| {
        let cluster = PrivateCluster::start(&ClusterConfig::new(new_folder("shared"))).unwrap();
        let watch = cluster.stop_when_process_ends(true).unwrap();
        (cluster, watch)
    });
    cluster.url()
}

/// Lets the cluster's superuser run statements, in the database of the given address.
pub async fn as_login(url: &str, statements: &[&str]) -> Result<Vec<String>, String> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.map_err(|e| e.to_string())?;
    let driver = tokio::spawn(connection);
    let mut first_columns = Vec::new();
    for statement in statements {
        let answer = client.simple_query(statement).await.map_err(|e| format!("{statement}: {e:?}"))?;
        first_columns.extend(answer.iter().filter_map(|message| match message {
            tokio_postgres::SimpleQueryMessage::Row(row) => Some(row.get(0).unwrap_or("NULL").to_owned()),
            _ => None,
        }));
    }
    drop(client);
    let _ = driver.await;
    Ok(first_columns)
}

/// The address of another database, and of another login where given, on the shared cluster.
pub fn url_of(database: &str, login: Option<&str>) -> String {
    let (user_part, host_part) = cluster_url().split_once("@/postgres").unwrap();
    let user_part = login.map_or(user_part.to_owned(), |login| format!("postgres://{login}"));
    format!("{user_part}@/{database}{host_part}")
}

async fn superusers_database() -> String {
    as_login(cluster_url(), &["CREATE DATABASE superusers"]).await.unwrap();
    url_of("superusers", None)
}

async fn ordinary_database() -> String {
    ordinary_owner("ordinary", "CREATEROLE").await
}

/// A login with a database of its own and just these rights.
pub async fn ordinary_owner(name: &str, rights: &str) -> String {
    let role =
        format!("CREATE ROLE {name} LOGIN NOSUPERUSER NOBYPASSRLS {rights} PASSWORD 'secret of {name}'");
    let database = format!("CREATE DATABASE {name} OWNER {name}");
    as_login(cluster_url(), &[&role, &database]).await.unwrap();
    url_of(name, Some(&format!("{name}:secret%20of%20{name}")))
}

pub async fn try_open(url: &str, pool_size: u32) -> parlance_store::Result<Store> {
    let database = Database::Url(DatabaseUrl::parse(url, false)?);
    Store::open(StoreConfig { database, pool_size }).await
}

pub async fn open(url: &str, pool_size: u32) -> Store {
    try_open(url, pool_size).await.unwrap()
}

/// A new organisation with the default week, in UTC.
pub async fn new_organisation(store: &Store) -> Scope {
    let scope = store.scope(OrganisationId::new());
    let insert = format!(
        "INSERT INTO organisations (id, display_name) VALUES ('{}', 'A test''s own')",
        scope.organisation()
    );
    execute(&scope, &insert).await.unwrap();
    let week = parlance_store::organisations::OpeningHours::default_week();
    parlance_store::organisations::set_opening_hours(&scope, &week).await.unwrap();
    scope
}

/// Runs a statement as the engine in the scope; gives the number of rows.
pub async fn execute(scope: &Scope, statement: &str) -> parlance_store::Result<usize> {
    scope.run(|conn| Box::pin(async move { Ok(diesel::sql_query(statement).execute(conn).await?) })).await
}

pub fn web_call(agent: &str) -> calls::NewCall {
    calls::NewCall {
        agent_id: AgentId::parse(agent).unwrap(),
        agent_display_name: "Bella Roma".into(),
        call_type: calls::CallType::Web,
        direction: calls::Direction::Inbound,
        dynamic_variables: serde_json::json!({"table": "by the window"}),
        metadata: serde_json::json!({}),
        labels: serde_json::json!({"of": "a test"}),
        from_number: None,
        to_number: None,
    }
}

pub async fn new_call(scope: &Scope) -> CallId {
    calls::create(scope, web_call("bella")).await.unwrap().id
}

/// A lease for a node of its own, far longer than a test.
pub fn new_lease() -> Lease {
    Lease { node: NodeId::new(), length: Duration::from_secs(3_600) }
}

/// A call that a node holds.
pub async fn live_call(scope: &Scope) -> (CallId, Owner) {
    let call = new_call(scope).await;
    (call, take(scope, call, new_lease()).await)
}

/// Takes a call live.
pub async fn take(scope: &Scope, call: CallId, lease: Lease) -> Owner {
    let started = calls::mark_started(scope, call, lease, Timestamp::now()).await.unwrap();
    Owner { node: lease.node, epoch: started.owner_epoch }
}
