//! Lists of appointments: what they are filtered and ordered by. Enter at [`list`].

use diesel::pg::Pg;
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use jiff::Timestamp;

use super::{Appointment, AppointmentState};
use crate::lists::{ordered, within};
use crate::page::{parse_time_key, time_key};
use crate::schema::appointments;
use crate::time::PgTime;
use crate::{AppointmentId, CallId, Page, PageRequest, Range, ResourceId, Result, Scope};

/// Which appointments to list, and in which order.
#[derive(Debug, Clone, Default)]
pub struct AppointmentFilter {
    /// Only those that begin then or later.
    pub starts_from: Option<Timestamp>,
    /// Only those that begin before then.
    pub starts_before: Option<Timestamp>,
    /// Only those made in this call.
    pub call_id: Option<CallId>,
    /// Only those in this state.
    pub state: Option<AppointmentState>,
    /// Only those booked on this resource.
    pub resource_id: Option<ResourceId>,
    /// Only those that fulfil all of these too.
    pub conditions: Vec<AppointmentCondition>,
    /// In which order.
    pub order: AppointmentOrder,
    /// The last first.
    pub descending: bool,
}

/// What an appointment must fulfil.
#[derive(Debug, Clone, PartialEq)]
pub enum AppointmentCondition {
    /// It is in this state.
    State(AppointmentState),
    /// It was made in this call; none: in no call.
    Call(Option<CallId>),
    /// It is booked on this resource; none: on none.
    Resource(Option<ResourceId>),
    /// The customer is reached there, as they said it.
    CustomerPhone(String),
    /// It begins in this time.
    Starts(Range),
    /// It was booked in this time.
    Created(Range),
}

/// The order of a list.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum AppointmentOrder {
    /// By when it begins.
    #[default]
    StartTime,
    /// By when it was booked.
    CreateTime,
}

type Appointments<'a> = appointments::BoxedQuery<'a, Pg>;

/// A page of the organisation's appointments, by their start unless the filter has another order.
///
/// # Errors
/// [`Error::Invalid`](crate::Error::Invalid) when the page token is not from this list with this filter and order.
pub async fn list(
    scope: &Scope,
    filter: &AppointmentFilter,
    request: &PageRequest,
) -> Result<Page<Appointment>> {
    let mark = format!("appointments {filter:?}");
    let after = request.after(&mark)?.map(|key| parse_time_key::<AppointmentId>(&key)).transpose()?;
    let rows = scope
        .run(|conn| {
            Box::pin(async move {
                let query = in_order(matching(filter), filter, after).select(Appointment::as_select());
                Ok(query.limit(request.rows()).load::<Appointment>(conn).await?)
            })
        })
        .await?;
    let time = |row: &Appointment| match filter.order {
        AppointmentOrder::StartTime => row.start_time,
        AppointmentOrder::CreateTime => row.create_time,
    };
    Ok(request.page(rows, &mark, |last| time_key(time(last), last.id)))
}

fn in_order<'a>(
    query: Appointments<'a>,
    filter: &AppointmentFilter,
    after: Option<(Timestamp, AppointmentId)>,
) -> Appointments<'a> {
    use appointments::{create_time, id, start_time};
    let after = after.map(|(at, last)| (PgTime(at), last));
    match filter.order {
        AppointmentOrder::StartTime => ordered!(query, (start_time, id), after, filter.descending),
        AppointmentOrder::CreateTime => ordered!(query, (create_time, id), after, filter.descending),
    }
}

fn matching(filter: &AppointmentFilter) -> Appointments<'_> {
    let mut query = appointments::table.into_boxed();
    if let Some(from) = filter.starts_from {
        query = query.filter(appointments::start_time.ge(PgTime(from)));
    }
    if let Some(before) = filter.starts_before {
        query = query.filter(appointments::start_time.lt(PgTime(before)));
    }
    if let Some(call) = filter.call_id {
        query = query.filter(appointments::call_id.eq(call));
    }
    if let Some(state) = filter.state {
        query = query.filter(appointments::state.eq(state));
    }
    if let Some(resource) = filter.resource_id {
        query = query.filter(appointments::resource_id.eq(resource));
    }
    filter.conditions.iter().fold(query, fulfilling)
}

fn fulfilling<'a>(query: Appointments<'a>, condition: &'a AppointmentCondition) -> Appointments<'a> {
    match condition {
        AppointmentCondition::State(state) => query.filter(appointments::state.eq(state)),
        // `IS NOT DISTINCT FROM` would do for both, but finds no index.
        AppointmentCondition::Call(Some(call)) => query.filter(appointments::call_id.eq(call)),
        AppointmentCondition::Call(None) => query.filter(appointments::call_id.is_null()),
        AppointmentCondition::Resource(Some(resource)) => {
            query.filter(appointments::resource_id.eq(resource))
        }
        AppointmentCondition::Resource(None) => query.filter(appointments::resource_id.is_null()),
        AppointmentCondition::CustomerPhone(phone) => query.filter(appointments::customer_phone.eq(phone)),
        AppointmentCondition::Starts(range) => within!(query, appointments::start_time, range),
        AppointmentCondition::Created(range) => within!(query, appointments::create_time, range),
    }
}
