//! Lists of phone numbers: what they are filtered and ordered by, and how many there are. Enter at [`list`].

use diesel::pg::Pg;
use diesel::prelude::*;
use diesel_async::RunQueryDsl;

use super::{PhoneNumber, PhoneNumberState};
use crate::page::{foreign_token, parse_time_key, time_key};
use crate::schema::phone_numbers;
use crate::time::PgTime;
use crate::{AgentId, Page, PageRequest, PhoneNumberId, Result, Scope};

/// Which phone numbers to list, and in which order.
#[derive(Debug, Clone, Default)]
pub struct PhoneNumberFilter {
    /// Only those that this agent answers or calls from.
    pub agent_id: Option<AgentId>,
    /// Only those in this state.
    pub state: Option<PhoneNumberState>,
    /// Only those that fulfil all of these too.
    pub conditions: Vec<PhoneNumberCondition>,
    /// In which order.
    pub order: PhoneNumberOrder,
    /// The last first.
    pub descending: bool,
}

/// What a phone number must fulfil.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PhoneNumberCondition {
    /// It is in this state.
    State(PhoneNumberState),
    /// This agent answers it; none: nobody does.
    Inbound(Option<AgentId>),
    /// This agent calls from it; none: nobody does.
    Outbound(Option<AgentId>),
}

/// The order of a list.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum PhoneNumberOrder {
    /// By when it was made.
    #[default]
    CreateTime,
    /// By the number's text.
    Number,
}

/// How many phone numbers match, on all pages together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    /// All of them.
    pub total: i64,
    /// Those in use.
    pub active: i64,
}

type Numbers<'a> = phone_numbers::BoxedQuery<'a, Pg>;

/// A page of the phone numbers, oldest first unless the filter has another order, and how many there are.
///
/// # Errors
/// [`Error::Invalid`](crate::Error::Invalid) when the page token is not from this list with this filter and order.
pub async fn list(
    scope: &Scope,
    filter: &PhoneNumberFilter,
    request: &PageRequest,
) -> Result<(Page<PhoneNumber>, Counts)> {
    let mark = format!("phone numbers {filter:?}");
    let after = request.after(&mark)?;
    let (rows, counts) = scope
        .run(|conn| {
            Box::pin(async move {
                let total = matching(filter).count().get_result(conn).await?;
                let active = matching(filter).filter(phone_numbers::state.eq(PhoneNumberState::Active));
                let active = active.count().get_result(conn).await?;
                let query = in_order(matching(filter), filter, after)?.select(PhoneNumber::as_select());
                let rows = query.limit(request.rows()).load::<PhoneNumber>(conn).await?;
                Ok((rows, Counts { total, active }))
            })
        })
        .await?;
    let key = |last: &PhoneNumber| match filter.order {
        PhoneNumberOrder::CreateTime => time_key(last.create_time, &last.id),
        PhoneNumberOrder::Number => last.id.to_string(),
    };
    Ok((request.page(rows, &mark, key), counts))
}

fn in_order<'a>(
    query: Numbers<'a>,
    filter: &PhoneNumberFilter,
    after: Option<String>,
) -> Result<Numbers<'a>> {
    use phone_numbers::{create_time, id};
    Ok(match filter.order {
        PhoneNumberOrder::CreateTime => {
            let after = after.map(|key| parse_time_key::<PhoneNumberId>(&key)).transpose()?;
            let after = after.map(|(made, last)| (PgTime(made), last));
            match (after, filter.descending) {
                (None, false) => query.order((create_time, id)),
                (None, true) => query.order((create_time.desc(), id.desc())),
                (Some((made, last)), false) => {
                    let same = create_time.eq(made).and(id.gt(last));
                    query.filter(create_time.gt(made).or(same)).order((create_time, id))
                }
                (Some((made, last)), true) => {
                    let same = create_time.eq(made).and(id.lt(last));
                    query.filter(create_time.lt(made).or(same)).order((create_time.desc(), id.desc()))
                }
            }
        }
        PhoneNumberOrder::Number => {
            let after = after.map(|key| key.parse::<PhoneNumberId>().map_err(|_| foreign_token()));
            match (after.transpose()?, filter.descending) {
                (None, false) => query.order(id),
                (None, true) => query.order(id.desc()),
                (Some(last), false) => query.filter(id.gt(last)).order(id),
                (Some(last), true) => query.filter(id.lt(last)).order(id.desc()),
            }
        }
    })
}

fn matching(filter: &PhoneNumberFilter) -> Numbers<'_> {
    let mut query = phone_numbers::table.into_boxed();
    if let Some(agent) = &filter.agent_id {
        let inbound = phone_numbers::inbound_agent_id.is_not_distinct_from(agent);
        query = query.filter(inbound.or(phone_numbers::outbound_agent_id.is_not_distinct_from(agent)));
    }
    if let Some(state) = filter.state {
        query = query.filter(phone_numbers::state.eq(state));
    }
    filter.conditions.iter().fold(query, |query, condition| match condition {
        PhoneNumberCondition::State(state) => query.filter(phone_numbers::state.eq(state)),
        PhoneNumberCondition::Inbound(agent) => {
            query.filter(phone_numbers::inbound_agent_id.is_not_distinct_from(agent))
        }
        PhoneNumberCondition::Outbound(agent) => {
            query.filter(phone_numbers::outbound_agent_id.is_not_distinct_from(agent))
        }
    })
}
