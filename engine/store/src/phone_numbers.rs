//! Phone numbers: which agent answers them and which calls from them. A number is its own id.
//!
//! No carrier is known here. An agent is assigned only while it exists: whoever assigns one holds it against
//! deletion, and whoever deletes one takes it off its numbers. Both lock the agent before the number, so that they
//! can't wait for each other. [`list`] has what they are found by.

mod list;

use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::schema::phone_numbers;
use crate::text_enum::text_enum;
use crate::time::PgTime;
use crate::{AgentId, Error, PhoneNumberId, Result, Scope, Work, agents, etag};

pub use list::{Counts, PhoneNumberCondition, PhoneNumberFilter, PhoneNumberOrder, list};

/// What [`Error::NotFound`] names when the agent that should answer is not there.
pub const INBOUND_AGENT: &str = "inbound agent";
/// What [`Error::NotFound`] names when the agent that should call is not there.
pub const OUTBOUND_AGENT: &str = "outbound agent";

text_enum!(
    /// Whether a number is in use.
    PhoneNumberState {
        /// It is.
        Active = "active",
        /// It is kept, but not in use.
        Inactive = "inactive",
    }
);

/// A phone number.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Queryable, Selectable)]
#[diesel(table_name = phone_numbers, check_for_backend(diesel::pg::Pg))]
pub struct PhoneNumber {
    /// The number, unique in its organisation.
    pub id: PhoneNumberId,
    /// Its name for people; may be empty.
    pub display_name: String,
    /// Whether it is in use.
    pub state: PhoneNumberState,
    /// Who answers it.
    pub inbound_agent_id: Option<AgentId>,
    /// Who calls from it.
    pub outbound_agent_id: Option<AgentId>,
    /// Differs after every change.
    pub etag: String,
    /// When it was made.
    #[diesel(deserialize_as = PgTime)]
    pub create_time: Timestamp,
    /// When it was last changed.
    #[diesel(deserialize_as = PgTime)]
    pub update_time: Timestamp,
}

/// A phone number to be made.
#[derive(Debug, Clone)]
pub struct NewPhoneNumber {
    /// The number.
    pub id: PhoneNumberId,
    /// Its name for people; may be empty.
    pub display_name: String,
    /// Whether it is in use.
    pub state: PhoneNumberState,
    /// Who answers it.
    pub inbound_agent_id: Option<AgentId>,
    /// Who calls from it.
    pub outbound_agent_id: Option<AgentId>,
}

/// A change to a phone number: what is none stays as it is, `Some(None)` takes an agent away.
#[derive(Debug, Clone, Default, AsChangeset)]
#[diesel(table_name = phone_numbers)]
pub struct PhoneNumberUpdate {
    /// A new name for people.
    pub display_name: Option<String>,
    /// Whether it is in use from now on.
    pub state: Option<PhoneNumberState>,
    /// Who answers it from now on.
    pub inbound_agent_id: Option<Option<AgentId>>,
    /// Who calls from it from now on.
    pub outbound_agent_id: Option<Option<AgentId>>,
}

/// Makes a phone number.
///
/// # Errors
/// [`Error::AlreadyExists`] when the organisation has it, [`Error::NotFound`] with [`INBOUND_AGENT`] or
/// [`OUTBOUND_AGENT`] when there is no such agent.
pub async fn create(scope: &Scope, new: NewPhoneNumber) -> Result<PhoneNumber> {
    let made: Result<PhoneNumber> = scope
        .run(|conn| {
            Box::pin(async move {
                hold(conn, new.inbound_agent_id.as_ref(), new.outbound_agent_id.as_ref()).await?;
                let row = (
                    phone_numbers::organisation_id.eq(scope.organisation()),
                    phone_numbers::id.eq(new.id),
                    phone_numbers::display_name.eq(new.display_name),
                    phone_numbers::state.eq(new.state),
                    phone_numbers::inbound_agent_id.eq(new.inbound_agent_id),
                    phone_numbers::outbound_agent_id.eq(new.outbound_agent_id),
                    phone_numbers::etag.eq(etag::new()),
                );
                let insert = diesel::insert_into(phone_numbers::table).values(row);
                Ok(insert.returning(PhoneNumber::as_returning()).get_result(conn).await?)
            })
        })
        .await;
    made.map_err(|e| e.about("phone number"))
}

async fn hold(conn: &mut Work<'_>, inbound: Option<&AgentId>, outbound: Option<&AgentId>) -> Result<()> {
    for (agent, what) in [(inbound, INBOUND_AGENT), (outbound, OUTBOUND_AGENT)] {
        if let Some(agent) = agent
            && !agents::hold(conn, agent).await?
        {
            return Err(Error::NotFound(what));
        }
    }
    Ok(())
}

/// The phone number with that id.
///
/// # Errors
/// [`Error::NotFound`] when there is none.
pub async fn get(scope: &Scope, id: &PhoneNumberId) -> Result<PhoneNumber> {
    let found: Result<PhoneNumber> = scope
        .run(|conn| {
            Box::pin(async move {
                let query = phone_numbers::table.filter(phone_numbers::id.eq(id));
                Ok(query.select(PhoneNumber::as_select()).first(conn).await?)
            })
        })
        .await;
    found.map_err(|e| e.about("phone number"))
}

/// Changes a phone number; with `etag`, only if it is still as it was.
///
/// # Errors
/// [`Error::NotFound`] when there is none, or with [`INBOUND_AGENT`] or [`OUTBOUND_AGENT`] when there is no such
/// agent; [`Error::Conflict`] when the etag is another by now.
pub async fn update(
    scope: &Scope,
    id: &PhoneNumberId,
    change: PhoneNumberUpdate,
    etag: Option<&str>,
) -> Result<PhoneNumber> {
    scope
        .run(|conn| {
            Box::pin(async move {
                let inbound = change.inbound_agent_id.as_ref().and_then(Option::as_ref);
                let outbound = change.outbound_agent_id.as_ref().and_then(Option::as_ref);
                let agents = hold(conn, inbound, outbound).await;
                lock(conn, id, etag).await?;
                agents?;
                let row = phone_numbers::table.filter(phone_numbers::id.eq(id));
                let update = diesel::update(row).set((&change, touched()));
                Ok(update.returning(PhoneNumber::as_returning()).get_result(conn).await?)
            })
        })
        .await
}

/// Deletes a phone number for good; with `etag`, only if it is still as it was.
///
/// # Errors
/// [`Error::NotFound`] when there is none, [`Error::Conflict`] when the etag is another by now.
pub async fn delete(scope: &Scope, id: &PhoneNumberId, etag: Option<&str>) -> Result<()> {
    scope
        .run(|conn| {
            Box::pin(async move {
                lock(conn, id, etag).await?;
                let row = phone_numbers::table.filter(phone_numbers::id.eq(id));
                diesel::delete(row).execute(conn).await?;
                Ok(())
            })
        })
        .await
}

/// Takes an agent off all its numbers. The agent's row must be locked.
pub(crate) async fn let_go_of(conn: &mut Work<'_>, agent: &AgentId) -> Result<()> {
    let none = None::<AgentId>;
    let inbound = phone_numbers::table.filter(phone_numbers::inbound_agent_id.eq(agent));
    let gone = (phone_numbers::inbound_agent_id.eq(&none), touched());
    diesel::update(inbound).set(gone).execute(conn).await?;
    let outbound = phone_numbers::table.filter(phone_numbers::outbound_agent_id.eq(agent));
    let gone = (phone_numbers::outbound_agent_id.eq(&none), touched());
    diesel::update(outbound).set(gone).execute(conn).await?;
    Ok(())
}

type Touched = (
    diesel::dsl::Eq<phone_numbers::etag, String>,
    diesel::dsl::Eq<phone_numbers::update_time, diesel::dsl::now>,
);

/// What every change changes.
fn touched() -> Touched {
    (phone_numbers::etag.eq(etag::new()), phone_numbers::update_time.eq(diesel::dsl::now))
}

/// Keeps others off the row until the transaction ends, and compares etags.
async fn lock(conn: &mut Work<'_>, id: &PhoneNumberId, etag: Option<&str>) -> Result<()> {
    let query = phone_numbers::table.filter(phone_numbers::id.eq(id)).select(phone_numbers::etag);
    let found: Option<String> = query.for_update().first(conn).await.optional()?;
    etag::check(found.as_deref(), etag, "phone number")
}
