//! What `ListAppointments` takes as filter and order, in the store's terms. Enter at [`filter`].

use std::str::FromStr;

use parlance_proto::v1;
use parlance_store::appointments::{
    AppointmentCondition, AppointmentFilter, AppointmentOrder, AppointmentState,
};

use super::optional_moment;
use crate::convert::appointment as convert;
use crate::rpc::filter::{self, Op, Term};
use crate::rpc::{name, order};
use crate::status::{Refusal, Violations};

const KNOWN: &str = "state, call, resource, customer_phone, start_time, create_time";

/// Which appointments a request asks for, and in which order.
pub fn filter(request: &v1::ListAppointmentsRequest) -> Result<AppointmentFilter, Refusal> {
    let mut bad = Violations::default();
    let fields = AppointmentFilter {
        resource_id: name::optional_resource("resource", &request.resource, &mut bad),
        starts_from: optional_moment("starts_from", request.starts_from.as_ref(), &mut bad),
        starts_before: optional_moment("starts_before", request.starts_before.as_ref(), &mut bad),
        call_id: name::optional_call("call", &request.call, &mut bad),
        state: convert::state(request.state).unwrap_or_else(|_| {
            bad.add("state", "must be one of the named states");
            None
        }),
        ..Default::default()
    };
    if let (Some(from), Some(before)) = (fields.starts_from, fields.starts_before)
        && before <= from
    {
        bad.add("starts_before", "must be after starts_from");
    }
    bad.check()?;
    let conditions = filter::parse(&request.filter)?.iter().map(condition).collect::<Result<_, _>>()?;
    let (order, descending) = match order::parse(&request.order_by, &["start_time", "create_time"])? {
        Some(("create_time", descending)) => (AppointmentOrder::CreateTime, descending),
        Some((_, descending)) => (AppointmentOrder::StartTime, descending),
        None => Default::default(),
    };
    Ok(AppointmentFilter { conditions, order, descending, ..fields })
}

fn condition(term: &Term) -> Result<AppointmentCondition, Violations> {
    let read: fn(&Term) -> Result<AppointmentCondition, Violations> = match term.path()[..] {
        ["start_time"] => return term.range().map(AppointmentCondition::Starts),
        ["create_time"] => return term.range().map(AppointmentCondition::Created),
        ["state"] => state,
        ["call"] => |term| optional(term, "calls/{call}").map(AppointmentCondition::Call),
        ["resource"] => |term| optional(term, "resources/{resource}").map(AppointmentCondition::Resource),
        ["customer_phone"] => |term| Ok(AppointmentCondition::CustomerPhone(term.value.clone())),
        _ => return Err(term.unknown(KNOWN)),
    };
    if term.op == Op::Equal { read(term) } else { Err(term.bad_op("=")) }
}

fn state(term: &Term) -> Result<AppointmentCondition, Violations> {
    match term.word("APPOINTMENT_STATE_") {
        "BOOKED" => Ok(AppointmentCondition::State(AppointmentState::Booked)),
        "CANCELLED" => Ok(AppointmentCondition::State(AppointmentState::Cancelled)),
        _ => Err(term.bad_value("one of BOOKED, CANCELLED")),
    }
}

/// None for an empty value.
fn optional<Id: FromStr>(term: &Term, form: &str) -> Result<Option<Id>, Violations> {
    if term.value.is_empty() { Ok(None) } else { term.id(form).map(Some) }
}
