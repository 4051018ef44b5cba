//! Brings the database to this version: the engine's role, the schema, the migrations.
//!
//! Runs on a connection of its own as the login user, who becomes the owner of the tables, under an advisory
//! lock, so that nodes that start together take turns. Needs no superuser: a login with CREATEROLE (or a role
//! made for it beforehand) and the right to make a schema is enough.

use diesel::OptionalExtension;
use diesel::sql_types::{Bool, Integer, Text};
use diesel_async::{AsyncMigrationHarness, AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};

use crate::connect::DatabaseUrl;
use crate::pool::{ENGINE_ROLE, SCHEMA};
use crate::{Error, Result};

const MIGRATIONS: EmbeddedMigrations = embed_migrations!("../../migrations");

/// The lock's number: "parlance" in ASCII, so that it can be told in `pg_locks`.
const MIGRATION_LOCK: i64 = i64::from_be_bytes(*b"parlance");

/// The oldest major version that has all the migrations need (`gen_random_uuid`).
const OLDEST: i32 = 13;

/// Two databases of one server share its roles but not the lock, so their nodes may collide a few times.
const ROLE_TRIES: usize = 3;

/// What a migration run did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Migrated {
    /// The versions applied now, oldest first; empty when the database was up to date.
    pub applied: Vec<String>,
}

/// Runs what is missing. Needs a multi-threaded tokio runtime.
pub(crate) async fn migrate(url: &DatabaseUrl) -> Result<Migrated> {
    let mut conn = url.connect().await?;
    conn.batch_execute(&format!("SELECT pg_advisory_lock({MIGRATION_LOCK})")).await?;
    refuse_old_server(&mut conn).await?;
    ensure_engine_role(&mut conn).await?;
    let schema = format!("CREATE SCHEMA IF NOT EXISTS {SCHEMA}; SET search_path TO {SCHEMA}");
    conn.batch_execute(&schema).await.map_err(|e| Error::Setup(format!("make the schema {SCHEMA}: {e}")))?;

    let mut harness = AsyncMigrationHarness::new(conn);
    let applied = harness
        .run_pending_migrations(MIGRATIONS)
        .map(|versions| versions.iter().map(ToString::to_string).collect())
        .map_err(|error| Error::Setup(format!("migrate: {error}")));
    let unlock = format!("SELECT pg_advisory_unlock({MIGRATION_LOCK})");
    harness.into_inner().batch_execute(&unlock).await?;
    Ok(Migrated { applied: applied? })
}

#[derive(diesel::QueryableByName)]
struct Server {
    #[diesel(sql_type = Integer)]
    version: i32,
}

/// Said before anything is tried: what an old server lacks shows as a riddle in the middle of a migration.
async fn refuse_old_server(conn: &mut AsyncPgConnection) -> Result<()> {
    let query = "SELECT current_setting('server_version_num')::integer AS version";
    let Server { version } = diesel::sql_query(query).get_result(conn).await?;
    too_old(version / 10_000).map_or(Ok(()), |why| Err(Error::Setup(why)))
}

fn too_old(major: i32) -> Option<String> {
    let why = || {
        format!(
            "the server is Postgres {major}: {OLDEST} is the oldest that will do, and 15 has the views too"
        )
    };
    (major < OLDEST).then(why)
}

#[derive(diesel::QueryableByName)]
struct Role {
    #[diesel(sql_type = Bool)]
    rolsuper: bool,
    #[diesel(sql_type = Bool)]
    rolbypassrls: bool,
}

#[derive(diesel::QueryableByName)]
struct LoginName {
    #[diesel(sql_type = Text)]
    name: String,
}

/// Makes sure the role is there, is harmless, and that the login may take it on.
async fn ensure_engine_role(conn: &mut AsyncPgConnection) -> Result<()> {
    let mut refusal = String::new();
    for _ in 0..ROLE_TRIES {
        if let Err(error) = create_role(conn).await {
            refusal = error.to_string();
        }
        if let Some(role) = find_role(conn).await? {
            refuse_powerful(&role)?;
            if can_take_role(conn).await {
                return Ok(());
            }
            let grant = format!("GRANT {ENGINE_ROLE} TO CURRENT_USER");
            match conn.batch_execute(&grant).await {
                Ok(()) if can_take_role(conn).await => return Ok(()),
                Ok(()) => {}
                Err(error) => refusal = error.to_string(),
            }
        }
    }
    let login: LoginName =
        diesel::sql_query("SELECT quote_ident(current_user::text) AS name").get_result(conn).await?;
    let login = login.name;
    Err(Error::Setup(format!(
        "the login {login} may not make or take the role {ENGINE_ROLE} ({refusal}). Either give it CREATEROLE, \
         or let an administrator run once: CREATE ROLE {ENGINE_ROLE} NOLOGIN; GRANT {ENGINE_ROLE} TO {login};"
    )))
}

async fn find_role(conn: &mut AsyncPgConnection) -> Result<Option<Role>> {
    let query = format!("SELECT rolsuper, rolbypassrls FROM pg_roles WHERE rolname = '{ENGINE_ROLE}'");
    Ok(diesel::sql_query(query).get_result(conn).await.optional()?)
}

/// A role that row-level security does not hold would make every organisation see all the others.
fn refuse_powerful(role: &Role) -> Result<()> {
    if role.rolsuper || role.rolbypassrls {
        return Err(Error::Setup(format!(
            "the role {ENGINE_ROLE} passes by row-level security. Let an administrator run: \
             ALTER ROLE {ENGINE_ROLE} NOSUPERUSER NOBYPASSRLS;"
        )));
    }
    Ok(())
}

async fn create_role(conn: &mut AsyncPgConnection) -> Result<()> {
    if find_role(conn).await?.is_none() {
        conn.batch_execute(&format!(
            "CREATE ROLE {ENGINE_ROLE} NOLOGIN NOSUPERUSER NOBYPASSRLS NOCREATEDB NOCREATEROLE"
        ))
        .await?;
    }
    Ok(())
}

async fn can_take_role(conn: &mut AsyncPgConnection) -> bool {
    conn.batch_execute(&format!("SET ROLE {ENGINE_ROLE}; RESET ROLE")).await.is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_is_too_old_is_told_which_one_would_do() {
        assert!(too_old(12).is_some_and(|why| why.contains("Postgres 12") && why.contains("13")));
        assert_eq!((too_old(13), too_old(17)), (None, None));
    }
}
