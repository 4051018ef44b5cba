//! Organisations are kept apart by the database, whatever our queries say.

use std::pin::pin;

use diesel::sql_types::{BigInt, Bool, Nullable, Text};
use diesel_async::RunQueryDsl;
use parlance_store::{Error, Result, Scope, Store, Work};

use crate::setup::{self, execute, in_both_setups, new_organisation};
use crate::{appointments, tools};

#[derive(diesel::QueryableByName)]
struct Line {
    #[diesel(sql_type = Nullable<Text>)]
    line: Option<String>,
}

#[derive(diesel::QueryableByName)]
struct Count {
    #[diesel(sql_type = BigInt)]
    count: i64,
}

#[derive(diesel::QueryableByName)]
struct Rights {
    #[diesel(sql_type = Bool)]
    rolsuper: bool,
    #[diesel(sql_type = Bool)]
    rolbypassrls: bool,
}

async fn line(conn: &mut Work<'_>, query: &str) -> Result<Option<String>> {
    let row: Line = diesel::sql_query(query).get_result(conn).await?;
    Ok(row.line)
}

/// An organisation with at least one row in every table.
pub async fn full_organisation(store: &Store) -> Scope {
    let scope = new_organisation(store).await;
    let held = setup::live_call(&scope).await;
    let call = held.0;
    crate::keys::new_key(&scope).await;
    crate::agents::new_agent(&scope, "bella").await;
    crate::journal::one_entry(store, &scope, held).await;
    crate::transcripts::one_entry(&scope, held).await;
    tools::begin(&scope, held, "once").await;
    appointments::book_evening(&scope, Some(call)).await;
    crate::phone_numbers::new_number(&scope, "493012345678").await;
    crate::resources::new_resource(&scope, "Anna").await;
    crate::provider_keys::new_key(&scope, "deepgram").await;
    crate::tool_secrets::new_secret(&scope, "CRM").await;
    crate::requests::one_of_each(&scope).await;
    crate::commands::ask(&scope, call).await;
    scope
}

async fn tables(store: &Store) -> Vec<String> {
    let audit = store.tenancy_audit().await.unwrap();
    audit.tables.into_iter().map(|table| table.name).collect()
}

async fn rows_in(scope: &Scope, table: &str) -> i64 {
    let query = format!("SELECT count(*) AS count FROM {table}");
    let counted = scope
        .run(|conn| Box::pin(async move { Ok(diesel::sql_query(&query).get_result::<Count>(conn).await?) }))
        .await;
    counted.unwrap().count
}

/// The column that names the organisation.
fn tenant_column(table: &str) -> &'static str {
    if table == "organisations" { "id" } else { "organisation_id" }
}

fn is_forbidden(error: &Error) -> bool {
    let text = error.to_string();
    text.contains("row-level security") || text.contains("permission denied")
}

in_both_setups! {
    async fn the_engines_own_pool_can_not_pass_by_row_level_security(store: Store) {
        let query = "SELECT rolsuper, rolbypassrls FROM pg_roles WHERE rolname = current_user";
        let rights = store
            .run_without_organisation(|conn| Box::pin(async move {
                Ok(diesel::sql_query(query).get_result::<Rights>(conn).await?)
            }))
            .await
            .unwrap();
        assert!(!rights.rolsuper && !rights.rolbypassrls);
    }

    async fn without_an_organisation_every_table_is_forced_guarded_and_empty(store: Store) {
        let full = full_organisation(&store).await;
        let audit = store.tenancy_audit().await.unwrap();
        assert!(audit.is_sound(), "{audit:#?}");
        assert_eq!((audit.role.as_str(), audit.owned_objects), ("parlance_engine", 0));
        assert!(audit.tables.len() >= 10, "{audit:#?}");
        for table in &audit.tables {
            assert!(rows_in(&full, &table.name).await > 0, "{} was empty to begin with", table.name);
        }
    }

    async fn another_organisation_sees_none_of_the_rows(store: Store) {
        full_organisation(&store).await;
        let stranger = store.scope(parlance_store::OrganisationId::new());
        for table in tables(&store).await {
            assert_eq!(rows_in(&stranger, &table).await, 0, "{table}");
        }
    }

    async fn another_organisation_can_not_write_rows_of_the_first(store: Store) {
        let (first, second) = (full_organisation(&store).await, full_organisation(&store).await);
        for table in tables(&store).await {
            let column = tenant_column(&table);
            let copy = format!("SELECT to_jsonb(t)::text AS line FROM {table} t LIMIT 1");
            let row = first.run(|conn| Box::pin(async move { line(conn, &copy).await })).await.unwrap().unwrap();
            // What Postgres makes itself can't be inserted.
            let columns = format!(
                "SELECT string_agg(quote_ident(attname), ', ') AS line FROM pg_attribute \
                 WHERE attrelid = '{table}'::regclass AND attnum > 0 AND NOT attisdropped AND attgenerated = ''"
            );
            let columns =
                first.run(|conn| Box::pin(async move { line(conn, &columns).await })).await.unwrap().unwrap();
            let insert = format!(
                "INSERT INTO {table} ({columns}) \
                 SELECT {columns} FROM jsonb_populate_record(NULL::{table}, $json${row}$json$)"
            );
            assert!(is_forbidden(&execute(&second, &insert).await.unwrap_err()), "insert into {table}");

            let theirs = first.organisation();
            let give_away = format!("UPDATE {table} SET {column} = '{theirs}'");
            assert!(is_forbidden(&execute(&second, &give_away).await.unwrap_err()), "give away {table}");

            for touch in [format!("UPDATE {table} SET {column} = {column} WHERE {column} = '{theirs}'"),
                          format!("DELETE FROM {table} WHERE {column} = '{theirs}'")] {
                match execute(&second, &touch).await {
                    Ok(rows) => assert_eq!(rows, 0, "{touch}"),
                    Err(error) => assert!(is_forbidden(&error), "{touch}: {error}"),
                }
            }
        }
    }

    async fn a_row_can_not_hang_on_a_call_of_another_organisation(store: Store) {
        let (first, second) = (new_organisation(&store).await, new_organisation(&store).await);
        let call = setup::live_call(&first).await;
        let theirs = tools::try_begin(&second, call, "mine").await;
        assert!(matches!(theirs, Err(Error::NotFound("call"))), "{theirs:?}");
    }

    async fn an_aggregate_of_another_organisation_is_simply_not_found(store: Store) {
        let (first, second) = (new_organisation(&store).await, new_organisation(&store).await);
        let call = setup::new_call(&first).await;
        let agent = crate::agents::new_agent(&first, "bella").await;
        let number = crate::phone_numbers::new_number(&first, "493012345678").await;
        let booked = appointments::book_evening(&first, None).await;
        let anna = crate::resources::new_resource(&first, "Anna").await;
        let key = crate::keys::new_key(&first).await.key;
        let gone = [
            parlance_store::calls::get(&second, call).await.err(),
            parlance_store::agents::get(&second, &agent.id).await.err(),
            parlance_store::agents::delete(&second, &agent.id, None).await.err(),
            parlance_store::phone_numbers::get(&second, &number.id).await.err(),
            parlance_store::phone_numbers::delete(&second, &number.id, None).await.err(),
            parlance_store::appointments::get(&second, booked.id).await.err(),
            parlance_store::appointments::cancel(&second, booked.id, None).await.err(),
            parlance_store::resources::get(&second, anna.id).await.err(),
            parlance_store::keys::get(&second, key.id).await.err(),
            parlance_store::keys::revoke(&second, key.id).await.err(),
        ];
        assert!(gone.iter().all(|error| matches!(error, Some(Error::NotFound(_)))), "{gone:?}");
    }
}

/// What a connection of the pool still knows, and sees, after the unit of work.
async fn left_over(store: &Store) -> (Option<String>, i64) {
    store
        .run_without_organisation(|conn| {
            Box::pin(async move {
                let setting = line(conn, "SELECT current_setting('app.organization', true) AS line").await?;
                let count: Count =
                    diesel::sql_query("SELECT count(*) AS count FROM calls").get_result(conn).await?;
                Ok((setting.filter(|text| !text.is_empty()), count.count))
            })
        })
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_goes_back_to_the_pool_without_its_organisation() {
    let store = setup::open(setup::Setup::OrdinaryOwner.url().await, 1).await;
    let scope = new_organisation(&store).await;
    setup::new_call(&scope).await;
    let id = "SELECT pg_backend_pid()::text AS line";
    let used = scope.run(|conn| Box::pin(async move { line(conn, id).await })).await.unwrap();
    let reused =
        store.run_without_organisation(|conn| Box::pin(async move { line(conn, id).await })).await.unwrap();
    assert_eq!(used, reused, "the pool of one gives the same connection again");
    assert_eq!(left_over(&store).await, (None, 0));

    let failed = scope.run(|conn| Box::pin(async move { line(conn, "SELECT 1/0").await })).await;
    assert!(matches!(failed, Err(Error::Query(_))), "{failed:?}");
    assert_eq!(left_over(&store).await, (None, 0), "after a failure");
}

#[tokio::test(flavor = "multi_thread")]
async fn work_dropped_half_way_leaves_neither_rows_nor_an_organisation() {
    let store = setup::open(setup::Setup::OrdinaryOwner.url().await, 1).await;
    let scope = new_organisation(&store).await;
    let (wrote, written) = tokio::sync::oneshot::channel();
    {
        let work = scope.run(|conn| {
            Box::pin(async move {
                let insert = "UPDATE organisations SET display_name = 'changed'";
                diesel::sql_query(insert).execute(conn).await?;
                let _ = wrote.send(());
                std::future::pending::<Result<()>>().await
            })
        });
        let mut work = pin!(work);
        let mut written = pin!(written);
        std::future::poll_fn(|context| {
            assert!(work.as_mut().poll(context).is_pending());
            written.as_mut().poll(context).map(|done| done.unwrap())
        })
        .await;
    }
    assert_eq!(left_over(&store).await, (None, 0));
    let organisation = parlance_store::organisations::get(&scope).await.unwrap();
    assert_eq!(organisation.display_name, "A test's own");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_owner_is_held_to_the_policies_too() {
    let store = setup::Setup::OrdinaryOwner.store().await;
    full_organisation(&store).await;
    let owner = setup::Setup::OrdinaryOwner.url().await;
    for table in tables(&store).await {
        let count = format!("SELECT count(*) FROM parlance.{table}");
        let seen = setup::as_login(owner, &[&count]).await.unwrap();
        // The look-up of keys runs as the owner, so the owner must see these: hashes of random secrets.
        assert_eq!(seen == ["0"], table != "api_keys", "{table}");
    }
}
