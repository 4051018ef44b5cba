//! The proof that tenants are apart, taken through the engine's own pool: who it works as, and what it sees
//! when no organisation is set. Changes nothing; `doctor` may print it, the tests assert on it.

use diesel::sql_types::{BigInt, Bool, Text};
use diesel_async::RunQueryDsl;

use crate::Result;
use crate::pool::{Pool, SCHEMA};
use crate::tenancy::{Work, run_without_organisation};

/// What the engine's own connection is and sees without an organisation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TenancyAudit {
    /// The role statements run as.
    pub role: String,
    /// Whether that role is a superuser. Must be false.
    pub superuser: bool,
    /// Whether that role passes by row-level security. Must be false.
    pub bypasses_rls: bool,
    /// How many tables, views, sequences or functions that role owns in the whole database. Must be 0.
    pub owned_objects: i64,
    /// Every table of our schema except the list of migrations, which the engine can't read.
    pub tables: Vec<TableAudit>,
    /// Every view of our schema.
    pub views: Vec<ViewAudit>,
}

/// One view as seen without an organisation. Views have no policies: they must ask with the rights of who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ViewAudit {
    /// The view's name.
    pub name: String,
    /// The tables below it are asked as who asks, not as its owner. Must be true.
    pub asks_as_invoker: bool,
    /// How many rows are seen. Must be 0.
    pub visible_rows: i64,
}

/// One table as seen without an organisation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableAudit {
    /// The table's name.
    pub name: String,
    /// Row-level security is enabled, and forced on the owner too. Must be true.
    pub rls_forced: bool,
    /// A policy guards both what is read and what is written. Must be true.
    pub guarded: bool,
    /// How many rows are seen. Must be 0.
    pub visible_rows: i64,
}

impl TenancyAudit {
    /// Whether every single thing is as it must be.
    pub fn is_sound(&self) -> bool {
        !self.superuser
            && !self.bypasses_rls
            && self.owned_objects == 0
            && self.tables.iter().all(|table| table.rls_forced && table.guarded && table.visible_rows == 0)
            && self.views.iter().all(|view| view.asks_as_invoker && view.visible_rows == 0)
    }
}

#[derive(diesel::QueryableByName)]
struct RoleRow {
    #[diesel(sql_type = Text)]
    role: String,
    #[diesel(sql_type = Bool)]
    superuser: bool,
    #[diesel(sql_type = Bool)]
    bypasses_rls: bool,
    #[diesel(sql_type = BigInt)]
    owned_objects: i64,
}

#[derive(diesel::QueryableByName)]
struct TableRow {
    #[diesel(sql_type = Text)]
    name: String,
    #[diesel(sql_type = Bool)]
    rls_forced: bool,
    #[diesel(sql_type = Bool)]
    guarded: bool,
}

#[derive(diesel::QueryableByName)]
struct ViewRow {
    #[diesel(sql_type = Text)]
    name: String,
    #[diesel(sql_type = Bool)]
    asks_as_invoker: bool,
}

#[derive(diesel::QueryableByName)]
struct CountRow {
    #[diesel(sql_type = BigInt)]
    rows: i64,
}

const ROLE: &str = "SELECT rolname::text AS role, rolsuper AS superuser, rolbypassrls AS bypasses_rls,
       (SELECT count(*) FROM pg_class WHERE relowner = pg_roles.oid)
       + (SELECT count(*) FROM pg_proc WHERE proowner = pg_roles.oid) AS owned_objects
FROM pg_roles WHERE rolname = current_user";

const TABLES: &str =
    "SELECT c.relname::text AS name, c.relrowsecurity AND c.relforcerowsecurity AS rls_forced,
       EXISTS (SELECT FROM pg_policy p WHERE p.polrelid = c.oid AND p.polcmd = '*' AND p.polroles = '{0}'
               AND p.polqual IS NOT NULL AND p.polwithcheck IS NOT NULL) AS guarded
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = current_schema AND c.relkind IN ('r', 'p') AND c.relname <> '__diesel_schema_migrations'
ORDER BY c.relname";

const VIEWS: &str = "SELECT c.relname::text AS name,
       COALESCE(c.reloptions @> '{security_invoker=true}', false) AS asks_as_invoker
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = current_schema AND c.relkind IN ('v', 'm')
ORDER BY c.relname";

pub(crate) async fn audit(pool: &Pool) -> Result<TenancyAudit> {
    run_without_organisation(pool, |conn| {
        Box::pin(async move {
            let role: RoleRow = diesel::sql_query(ROLE).get_result(conn).await?;
            let rows: Vec<TableRow> = diesel::sql_query(TABLES).load(conn).await?;
            let mut tables = Vec::new();
            for row in rows {
                let visible_rows = count(conn, &row.name).await?;
                let TableRow { name, rls_forced, guarded } = row;
                tables.push(TableAudit { name, rls_forced, guarded, visible_rows });
            }
            let mut views = Vec::new();
            for ViewRow { name, asks_as_invoker } in diesel::sql_query(VIEWS).load(conn).await? {
                let visible_rows = count(conn, &name).await?;
                views.push(ViewAudit { name, asks_as_invoker, visible_rows });
            }
            let RoleRow { role, superuser, bypasses_rls, owned_objects } = role;
            Ok(TenancyAudit { role, superuser, bypasses_rls, owned_objects, tables, views })
        })
    })
    .await
}

async fn count(conn: &mut Work<'_>, table: &str) -> Result<i64> {
    let query = format!("SELECT count(*) AS rows FROM {SCHEMA}.\"{table}\"");
    let row: CountRow = diesel::sql_query(query).get_result(conn).await?;
    Ok(row.rows)
}
