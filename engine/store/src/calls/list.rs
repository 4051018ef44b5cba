//! Lists of calls: what they can be filtered and ordered by, each with an index behind it.
//!
//! Labels and metadata are found by their tags (the migration says why): a tag is what Postgres itself makes of key
//! and value, so that both sides agree. Enter at [`list`].

use diesel::dsl::sql;
use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::sql_types::{Bool, Jsonb, Text, Timestamptz};
use diesel_async::RunQueryDsl;
use jiff::Timestamp;
use serde_json::Value;

use super::{Call, CallState, CallType, Direction};
use crate::page::foreign_token;
use crate::schema::calls;
use crate::time::PgTime;
use crate::{AgentId, CallId, Page, PageRequest, Result, Scope};

/// Which calls to list, and in which order.
#[derive(Debug, Clone, Default)]
pub struct CallFilter {
    /// Only those of this agent.
    pub agent_id: Option<AgentId>,
    /// Only those in this state.
    pub state: Option<CallState>,
    /// Only those that fulfil all of these too.
    pub conditions: Vec<CallCondition>,
    /// In which order.
    pub order: CallOrder,
}

/// What a call must fulfil.
#[derive(Debug, Clone, PartialEq)]
pub enum CallCondition {
    /// It is this agent's.
    Agent(AgentId),
    /// It is in this state.
    State(CallState),
    /// It was begun so.
    Direction(Direction),
    /// The caller is connected so.
    Type(CallType),
    /// It ended for this reason.
    EndReason(String),
    /// It came from this number.
    FromNumber(String),
    /// It went to this number.
    ToNumber(String),
    /// One of its times compares so with a moment. One it does not have does not compare.
    Time(CallTime, Comparison, Timestamp),
    /// It has this label.
    Label(String, String),
    /// Its metadata have, at the top, this text, or the number or truth value that it reads as.
    Metadata(String, String),
}

/// A time of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallTime {
    /// When it was announced.
    Create,
    /// When it went live.
    Start,
    /// When it ended.
    End,
}

/// How two moments compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    /// They are the same.
    Equal,
    /// The first is earlier.
    Less,
    /// The first is not later.
    LessOrEqual,
    /// The first is later.
    Greater,
    /// The first is not earlier.
    GreaterOrEqual,
}

/// The order of a list. A time that a call does not have counts as later than all others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CallOrder {
    /// By which time.
    pub by: CallTime,
    /// The latest first.
    pub descending: bool,
}

impl Default for CallOrder {
    fn default() -> Self {
        Self { by: CallTime::Create, descending: true }
    }
}

type Calls<'a> = calls::BoxedQuery<'a, Pg>;

/// A page of the calls, newest first unless the filter has another order.
///
/// # Errors
/// [`Error::Invalid`](crate::Error::Invalid) when the page token is not from this list with this filter and order.
pub async fn list(scope: &Scope, filter: &CallFilter, request: &PageRequest) -> Result<Page<Call>> {
    let mark = format!("calls {filter:?}");
    let after = request.after(&mark)?.map(|key| Place::parse(&key).ok_or_else(foreign_token)).transpose()?;
    let rows = scope
        .run(|conn| {
            Box::pin(async move {
                let query = page_after(matching(filter), filter.order, after);
                Ok(query.limit(request.rows()).select(Call::as_select()).load::<Call>(conn).await?)
            })
        })
        .await?;
    Ok(request.page(rows, &mark, |last| Place::of(last, filter.order.by).key()))
}

/// How Postgres would find the first of these calls: lines of `EXPLAIN`, with sequential scans as a last resort. For
/// tests.
///
/// # Errors
/// [`Error::Unavailable`](crate::Error::Unavailable) when the database can't be reached.
pub async fn plan(scope: &Scope, filter: &CallFilter) -> Result<Vec<String>> {
    scope
        .run(|conn| {
            Box::pin(async move {
                diesel::sql_query("SET LOCAL enable_seqscan = off").execute(conn).await?;
                let query = page_after(matching(filter), filter.order, None).limit(50).select(calls::id);
                Ok(Explain(query).load::<String>(conn).await?)
            })
        })
        .await
}

fn matching(filter: &CallFilter) -> Calls<'_> {
    let mut query = calls::table.into_boxed();
    if let Some(agent) = &filter.agent_id {
        query = query.filter(calls::agent_id.eq(agent));
    }
    if let Some(state) = filter.state {
        query = query.filter(calls::state.eq(state));
    }
    filter.conditions.iter().fold(query, fulfilling)
}

fn fulfilling<'a>(query: Calls<'a>, condition: &'a CallCondition) -> Calls<'a> {
    match condition {
        CallCondition::Agent(agent) => query.filter(calls::agent_id.eq(agent)),
        CallCondition::State(state) => query.filter(calls::state.eq(state)),
        CallCondition::Direction(direction) => query.filter(calls::direction.eq(direction)),
        CallCondition::Type(call_type) => query.filter(calls::call_type.eq(call_type)),
        // Not a plain `=`: that makes the whole a nullable condition, which a boxed query does not mix.
        CallCondition::EndReason(reason) => {
            query.filter(sql::<Bool>("calls.end_reason = ").bind::<Text, _>(reason))
        }
        CallCondition::FromNumber(number) => {
            query.filter(sql::<Bool>("calls.from_number = ").bind::<Text, _>(number))
        }
        CallCondition::ToNumber(number) => {
            query.filter(sql::<Bool>("calls.to_number = ").bind::<Text, _>(number))
        }
        CallCondition::Time(time, comparison, at) => {
            let column = time.column();
            let compares = sql::<Bool>(&format!("({column} {} ", comparison.operator()));
            let compares = compares.bind::<Timestamptz, _>(PgTime(*at));
            query.filter(compares.sql(&format!(" AND {column} < 'infinity')")))
        }
        CallCondition::Label(key, value) => {
            let text = Value::String(value.clone());
            tagged(query, "label", key, [text.clone(), text])
        }
        CallCondition::Metadata(key, value) => {
            let text = Value::String(value.clone());
            tagged(query, "metadata", key, [scalar(value).unwrap_or_else(|| text.clone()), text])
        }
    }
}

fn tagged<'a>(query: Calls<'a>, kind: &'static str, key: &'a str, values: [Value; 2]) -> Calls<'a> {
    let [value, other_value] = values;
    let tags = "calls.id IN (SELECT t.call_id FROM call_tags t WHERE t.tag IN (call_tag(";
    let one = sql::<Bool>(tags)
        .bind::<Text, _>(kind)
        .sql(", ")
        .bind::<Text, _>(key)
        .sql(", ")
        .bind::<Jsonb, _>(value);
    let other = one.sql("), call_tag(").bind::<Text, _>(kind).sql(", ").bind::<Text, _>(key).sql(", ");
    query.filter(other.bind::<Jsonb, _>(other_value).sql(")))"))
}

/// The number or truth value that a text reads as.
fn scalar(text: &str) -> Option<Value> {
    let value: Value = serde_json::from_str(text).ok()?;
    matches!(value, Value::Bool(_) | Value::Number(_)).then_some(value)
}

fn page_after(query: Calls<'_>, order: CallOrder, after: Option<Place>) -> Calls<'_> {
    let (than, or_same) = if order.descending { ("<", "<=") } else { (">", ">=") };
    let way = if order.descending { " DESC" } else { "" };
    if order.by == CallTime::Create {
        // The ids are in the order of their making, and an index that is there already has them.
        let query = match after {
            Some(place) if order.descending => query.filter(calls::id.lt(place.id)),
            Some(place) => query.filter(calls::id.gt(place.id)),
            None => query,
        };
        return query.order(sql::<Bool>(&format!("calls.id{way}")));
    }
    let column = order.by.column();
    let query = match after {
        // In two parts: the index serves the first, the second is for those of the very same time.
        Some(place) => {
            let beyond = sql::<Bool>(&format!("({column} {or_same} "))
                .bind::<Text, _>(place.time.clone())
                .sql(&format!("::timestamptz AND ({column} {than} "))
                .bind::<Text, _>(place.time)
                .sql(&format!("::timestamptz OR calls.id {than} "))
                .bind::<diesel::sql_types::Uuid, _>(place.id)
                .sql("))");
            query.filter(beyond)
        }
        None => query,
    };
    query.order(sql::<Bool>(&format!("{column}{way}, calls.id{way}")))
}

impl CallTime {
    /// Where it stands, `infinity` for one that a call does not have.
    fn column(self) -> &'static str {
        match self {
            Self::Create => "calls.create_time",
            Self::Start => {
                "(CASE WHEN calls.start_time IS NULL THEN 'infinity'::timestamptz ELSE calls.start_time END)"
            }
            Self::End => {
                "(CASE WHEN calls.end_time IS NULL THEN 'infinity'::timestamptz ELSE calls.end_time END)"
            }
        }
    }
}

impl Comparison {
    fn operator(self) -> &'static str {
        match self {
            Self::Equal => "=",
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
        }
    }
}

/// A call's place in an order.
struct Place {
    /// As Postgres reads it; `infinity` for a time that a call does not have.
    time: String,
    id: CallId,
}

const NEVER: &str = "infinity";

impl Place {
    fn of(call: &Call, by: CallTime) -> Self {
        let time = match by {
            CallTime::Create => Some(call.create_time),
            CallTime::Start => call.start_time,
            CallTime::End => call.end_time,
        };
        Self { time: time.map_or(NEVER.to_owned(), |time| time.to_string()), id: call.id }
    }

    fn key(&self) -> String {
        format!("{} {}", self.time, self.id)
    }

    fn parse(key: &str) -> Option<Self> {
        let (time, id) = key.split_once(' ')?;
        let is_time = time == NEVER || time.parse::<Timestamp>().is_ok();
        is_time.then_some(Self { time: time.to_owned(), id: id.parse().ok()? })
    }
}

/// A query to be explained instead of run.
struct Explain<Q>(Q);

impl<Q> Query for Explain<Q> {
    type SqlType = Text;
}

impl<Q> QueryId for Explain<Q> {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl<Q: QueryFragment<Pg>> QueryFragment<Pg> for Explain<Q> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.unsafe_to_cache_prepared();
        out.push_sql("EXPLAIN ");
        self.0.walk_ast(out.reborrow())
    }
}
