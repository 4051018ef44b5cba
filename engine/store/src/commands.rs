//! Commands: what a node asks of the node that a call lives on.
//!
//! A row is the request and, later, its answer. [`ask`] writes it and tells every node; the one that has the call
//! takes it with [`take`], at most once and not after it has expired by the database's own clock; who asked ends
//! it with [`settle`], which says whether it was taken and makes sure that it is not taken later.

use std::time::Duration;

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Jsonb, Uuid};
use diesel_async::RunQueryDsl;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::notices::{self, Notice};
use crate::schema::call_commands;
use crate::text_enum::text_enum;
use crate::{CallId, CommandId, Error, Result, Scope, Store};

/// Commands read at once after a connection was lost.
const WAITING_MAX: i64 = 1_000;

text_enum!(
    /// What became of a command.
    Outcome {
        /// The call's node has taken it.
        Done = "done",
    }
);

/// What can be asked of a live call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    /// End it.
    End,
    /// Stop the agent's reply.
    Interrupt,
    /// Let the agent say something.
    Say {
        /// The words.
        text: String,
        /// The caller can't interrupt it.
        protected: bool,
    },
}

/// Writes a command down, for `patience`, and tells every node.
///
/// # Errors
/// [`Error::NotFound`] when there is no such call.
pub async fn ask(scope: &Scope, call: CallId, command: &Command, patience: Duration) -> Result<CommandId> {
    let id = CommandId::new();
    let command =
        serde_json::to_value(command).map_err(|error| Error::invalid("command", error.to_string()))?;
    let patience = i64::try_from(patience.as_millis()).unwrap_or(i64::MAX);
    let asked: Result<()> = scope
        .run(|conn| {
            Box::pin(async move {
                let insert = diesel::sql_query(
                    "INSERT INTO call_commands (id, organisation_id, call_id, command, expire_time) \
                     VALUES ($1, $2, $3, $4, clock_timestamp() + $5 * interval '1 millisecond')",
                );
                let insert = insert.bind::<Uuid, _>(id).bind::<Uuid, _>(scope.organisation());
                let insert =
                    insert.bind::<Uuid, _>(call).bind::<Jsonb, _>(command).bind::<BigInt, _>(patience);
                insert.execute(conn).await?;
                notices::tell(conn, &Notice::Asked { call, command: id }).await
            })
        })
        .await;
    asked.map(|()| id).map_err(|error| error.about("call"))
}

/// Takes a command, to be carried out once this has returned. `None` if it was taken before, has expired or was
/// withdrawn.
///
/// # Errors
/// [`Error::Invalid`] when this version does not know the command; it is not taken then.
pub async fn take(scope: &Scope, id: CommandId) -> Result<Option<(CallId, Command)>> {
    scope
        .run(|conn| {
            Box::pin(async move {
                let row = call_commands::table.filter(call_commands::id.eq(id));
                let row = row.filter(call_commands::outcome.is_null());
                let row = row.filter(call_commands::expire_time.gt(clock_timestamp()));
                let update = diesel::update(row).set(call_commands::outcome.eq(Outcome::Done));
                let update = update.returning((call_commands::call_id, call_commands::command));
                let taken: Option<(CallId, Value)> = update.get_result(conn).await.optional()?;
                let Some((call, command)) = taken else { return Ok(None) };
                let command = serde_json::from_value(command)
                    .map_err(|error| Error::invalid("command", error.to_string()))?;
                notices::tell(conn, &Notice::Answered(id)).await?;
                Ok(Some((call, command)))
            })
        })
        .await
}

/// Whether a command was taken.
///
/// # Errors
/// [`Error::Unavailable`] when the database can't be reached.
pub async fn is_taken(scope: &Scope, id: CommandId) -> Result<bool> {
    let row = call_commands::table.find(id).filter(call_commands::outcome.is_not_null());
    let query = diesel::select(diesel::dsl::exists(row));
    scope.run(|conn| Box::pin(async move { Ok(query.get_result(conn).await?) })).await
}

/// Takes a command away and says whether it was carried out. If not it never will be.
///
/// # Errors
/// [`Error::Unavailable`] when the database can't be reached: then it is not carried out after it has expired.
pub async fn settle(scope: &Scope, id: CommandId) -> Result<bool> {
    let row = call_commands::table.find(id);
    let delete = diesel::delete(row).returning(call_commands::outcome.is_not_null());
    scope
        .run(|conn| Box::pin(async move { Ok(delete.get_result(conn).await.optional()?.unwrap_or(false)) }))
        .await
}

/// The commands of the organisation that wait to be taken, oldest first.
///
/// # Errors
/// [`Error::Unavailable`] when the database can't be reached.
pub async fn waiting(scope: &Scope) -> Result<Vec<(CallId, CommandId)>> {
    let query = call_commands::table
        .filter(call_commands::outcome.is_null())
        .filter(call_commands::expire_time.gt(clock_timestamp()))
        .order(call_commands::id)
        .limit(WAITING_MAX)
        .select((call_commands::call_id, call_commands::id));
    scope.run(|conn| Box::pin(async move { Ok(query.load(conn).await?) })).await
}

/// Takes away what nodes left behind that died while they asked, of all organisations. Gives how many there were.
///
/// # Errors
/// [`Error::Unavailable`] when the database can't be reached.
pub async fn sweep(store: &Store) -> Result<i64> {
    store
        .run_without_organisation(|conn| {
            Box::pin(async move { Ok(diesel::select(sweep_call_commands()).get_result(conn).await?) })
        })
        .await
}

#[diesel::declare_sql_function]
extern "SQL" {
    /// Now, by the database; `now()` is when the transaction began.
    fn clock_timestamp() -> diesel::sql_types::Timestamptz;
    /// See the migration.
    fn sweep_call_commands() -> BigInt;
}
