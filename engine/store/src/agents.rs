//! Agents: the configured speakers of an organisation, under an id the owner chooses.
//!
//! What the settings mean is not known here: they are JSON. A change may name the etag it is based on and is
//! then refused when somebody else was quicker. Deleting is for good; calls keep a copy of the agent's name.

use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::schema::agents;
use crate::text_enum::text_enum;
use crate::time::PgTime;
use crate::{AgentId, Result, Scope, Work, etag, phone_numbers};

mod list;

pub use list::{AgentFilter, AgentOrder, AgentTerm, OrderBy, list};

text_enum!(
    /// Whether an agent takes calls.
    AgentState {
        /// It does.
        Active = "active",
        /// It is kept, but refuses calls.
        Inactive = "inactive",
    }
);

/// An agent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Queryable, Selectable)]
#[diesel(table_name = agents, check_for_backend(diesel::pg::Pg))]
pub struct Agent {
    /// Its id, unique in its organisation.
    pub id: AgentId,
    /// Its name for people.
    pub display_name: String,
    /// Whether it takes calls.
    pub state: AgentState,
    /// What its owner tells it apart by: a JSON object of texts.
    pub labels: Value,
    /// Everything else about it.
    pub settings: Value,
    /// Differs after every change.
    pub etag: String,
    /// When it was made.
    #[diesel(deserialize_as = PgTime)]
    pub create_time: Timestamp,
    /// When it was last changed.
    #[diesel(deserialize_as = PgTime)]
    pub update_time: Timestamp,
}

/// An agent to be made.
#[derive(Debug, Clone)]
pub struct NewAgent {
    /// The id its owner chose.
    pub id: AgentId,
    /// Its name for people.
    pub display_name: String,
    /// Whether it takes calls.
    pub state: AgentState,
    /// What its owner tells it apart by: a JSON object of texts.
    pub labels: Value,
    /// Everything else about it.
    pub settings: Value,
}

/// A change to an agent: what is none stays as it is.
#[derive(Debug, Clone, Default, AsChangeset)]
#[diesel(table_name = agents)]
pub struct AgentUpdate {
    /// A new name for people.
    pub display_name: Option<String>,
    /// Whether it takes calls from now on.
    pub state: Option<AgentState>,
    /// New labels, in place of all the old ones.
    pub labels: Option<Value>,
    /// New settings, in place of all the old ones.
    pub settings: Option<Value>,
}

/// Makes an agent.
///
/// # Errors
/// [`crate::Error::AlreadyExists`] when the id is taken.
pub async fn create(scope: &Scope, new: NewAgent) -> Result<Agent> {
    let row = (
        agents::organisation_id.eq(scope.organisation()),
        agents::id.eq(new.id),
        agents::display_name.eq(new.display_name),
        agents::state.eq(new.state),
        agents::labels.eq(new.labels),
        agents::settings.eq(new.settings),
        agents::etag.eq(etag::new()),
    );
    let insert = diesel::insert_into(agents::table).values(row).returning(Agent::as_returning());
    let made: Result<Agent> =
        scope.run(|conn| Box::pin(async move { Ok(insert.get_result(conn).await?) })).await;
    made.map_err(|e| e.about("agent"))
}

/// The agent with that id.
///
/// # Errors
/// [`crate::Error::NotFound`] when there is none.
pub async fn get(scope: &Scope, id: &AgentId) -> Result<Agent> {
    let found: Result<Agent> = scope
        .run(|conn| {
            Box::pin(async move {
                let query = agents::table.filter(agents::id.eq(id)).select(Agent::as_select());
                Ok(query.first(conn).await?)
            })
        })
        .await;
    found.map_err(|e| e.about("agent"))
}

/// Changes an agent; with `etag`, only if it is still as it was.
///
/// # Errors
/// [`crate::Error::NotFound`] when there is none, [`crate::Error::Conflict`] when the etag is another by now.
pub async fn update(scope: &Scope, id: &AgentId, change: AgentUpdate, etag: Option<&str>) -> Result<Agent> {
    scope
        .run(|conn| {
            Box::pin(async move {
                lock(conn, id, etag).await?;
                let touched = (agents::etag.eq(etag::new()), agents::update_time.eq(diesel::dsl::now));
                let row = agents::table.filter(agents::id.eq(id));
                let update = diesel::update(row).set((&change, touched)).returning(Agent::as_returning());
                Ok(update.get_result(conn).await?)
            })
        })
        .await
}

/// Deletes an agent for good and takes it off its phone numbers; with `etag`, only if it is still as it was.
///
/// # Errors
/// [`crate::Error::NotFound`] when there is none, [`crate::Error::Conflict`] when the etag is another by now.
pub async fn delete(scope: &Scope, id: &AgentId, etag: Option<&str>) -> Result<()> {
    scope
        .run(|conn| {
            Box::pin(async move {
                lock(conn, id, etag).await?;
                phone_numbers::let_go_of(conn, id).await?;
                diesel::delete(agents::table.filter(agents::id.eq(id))).execute(conn).await?;
                Ok(())
            })
        })
        .await
}

/// Keeps others off the row until the transaction ends, and compares etags.
async fn lock(conn: &mut Work<'_>, id: &AgentId, etag: Option<&str>) -> Result<()> {
    let query = agents::table.filter(agents::id.eq(id)).select(agents::etag);
    let found: Option<String> = query.for_update().first(conn).await.optional()?;
    etag::check(found.as_deref(), etag, "agent")
}

/// Keeps an agent from being deleted until the transaction ends.
pub(crate) async fn hold(conn: &mut Work<'_>, id: &AgentId) -> Result<bool> {
    let query = agents::table.filter(agents::id.eq(id)).select(agents::id);
    let found: Option<AgentId> = query.for_key_share().first(conn).await.optional()?;
    Ok(found.is_some())
}
