//! Lists of agents: which of them, in which order, page by page.
//!
//! A page begins after the last value of the column it is ordered by and, where values are equal, after the id.
//! The token belongs to filter and order: beside others it is refused.

use diesel::dsl::not;
use diesel::pg::Pg;
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use jiff::Timestamp;
use serde_json::json;

use super::{Agent, AgentState};
use crate::lists::{ordered, within};
use crate::page::{foreign_token, parse_time_key, time_key};
use crate::schema::agents;
use crate::time::PgTime;
use crate::{AgentId, Page, PageRequest, Range, Result, Scope};

/// Which agents to list: those that all terms hold for.
pub type AgentFilter = Vec<AgentTerm>;

/// One condition.
#[derive(Debug, Clone, PartialEq)]
pub enum AgentTerm {
    /// It is in this state.
    State(AgentState),
    /// It has this label with just this value, or (if not `is`) another value or no such label.
    Label {
        /// The label.
        key: String,
        /// Its value.
        value: String,
        /// Whether it shall be so.
        is: bool,
    },
    /// It has this label, whatever the value.
    HasLabel(String),
    /// Its name for people holds this text, in any case of letters.
    NameHolds(String),
    /// Its name for people is this.
    Name(String),
    /// It was made in this time.
    Created(Range),
    /// It was last changed in this time.
    Updated(Range),
}

/// In which order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AgentOrder {
    /// By which column.
    pub by: OrderBy,
    /// Whether the greatest comes first.
    pub descending: bool,
}

/// What agents can be ordered by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OrderBy {
    /// When they were made.
    CreateTime,
    /// When they were last changed.
    UpdateTime,
    /// Their name for people, as the database sorts words.
    DisplayName,
}

impl Default for AgentOrder {
    /// Oldest first.
    fn default() -> Self {
        Self { by: OrderBy::CreateTime, descending: false }
    }
}

type Query<'q> = agents::BoxedQuery<'q, Pg, diesel::dsl::SqlTypeOf<diesel::dsl::AsSelect<Agent, Pg>>>;

/// A page of the agents.
///
/// # Errors
/// [`crate::Error::Invalid`] when the page token is not from this list with this filter and order.
pub async fn list(
    scope: &Scope,
    filter: &[AgentTerm],
    order: AgentOrder,
    request: &PageRequest,
) -> Result<Page<Agent>> {
    let mark = format!("agents {filter:?} {order:?}");
    let after = request.after(&mark)?.map(|key| Place::parse(order.by, &key)).transpose()?;
    let rows = scope
        .run(|conn| {
            Box::pin(async move {
                let mut query = agents::table.select(Agent::as_select()).into_boxed();
                for term in filter {
                    query = narrowed(query, term);
                }
                Ok(placed(query, order, after).limit(request.rows()).load::<Agent>(conn).await?)
            })
        })
        .await?;
    Ok(request.page(rows, &mark, |last| Place::key(order.by, last)))
}

/// Where a page begins: after this value and this agent.
enum Place {
    Time(Timestamp, String),
    Name(String, String),
}

impl Place {
    fn key(by: OrderBy, last: &Agent) -> String {
        match by {
            OrderBy::CreateTime => time_key(last.create_time, &last.id),
            OrderBy::UpdateTime => time_key(last.update_time, &last.id),
            OrderBy::DisplayName => format!("{} {}", last.id, last.display_name),
        }
    }

    fn parse(by: OrderBy, key: &str) -> Result<Self> {
        match by {
            OrderBy::CreateTime | OrderBy::UpdateTime => {
                parse_time_key::<AgentId>(key).map(|(at, id)| Self::Time(at, id.to_string()))
            }
            OrderBy::DisplayName => key
                .split_once(' ')
                .map(|(id, name)| Self::Name(name.to_owned(), id.to_owned()))
                .ok_or_else(foreign_token),
        }
    }
}

fn placed(query: Query<'_>, order: AgentOrder, after: Option<Place>) -> Query<'_> {
    let (time, name) = match after {
        Some(Place::Time(at, id)) => (Some((PgTime(at), id)), None),
        Some(Place::Name(name, id)) => (None, Some((name, id))),
        None => (None, None),
    };
    match order.by {
        OrderBy::CreateTime => ordered!(query, (agents::create_time, agents::id), time, order.descending),
        OrderBy::UpdateTime => ordered!(query, (agents::update_time, agents::id), time, order.descending),
        OrderBy::DisplayName => ordered!(query, (agents::display_name, agents::id), name, order.descending),
    }
}

fn narrowed<'q>(query: Query<'q>, term: &AgentTerm) -> Query<'q> {
    match term {
        AgentTerm::State(state) => query.filter(agents::state.eq(*state)),
        AgentTerm::Label { key, value, is: true } => {
            query.filter(agents::labels.contains(json!({ key: value })))
        }
        AgentTerm::Label { key, value, is: false } => {
            query.filter(not(agents::labels.contains(json!({ key: value }))))
        }
        AgentTerm::HasLabel(key) => query.filter(agents::labels.has_key(key.clone())),
        AgentTerm::NameHolds(text) => {
            query.filter(agents::display_name.ilike(format!("%{}%", literal(text))))
        }
        AgentTerm::Name(name) => query.filter(agents::display_name.eq(name.clone())),
        AgentTerm::Created(range) => within!(query, agents::create_time, range),
        AgentTerm::Updated(range) => within!(query, agents::update_time, range),
    }
}

/// A text that LIKE takes as it stands.
fn literal(text: &str) -> String {
    text.replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_")
}
