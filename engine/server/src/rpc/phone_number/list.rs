//! What `ListPhoneNumbers` takes as filter and order, in the store's terms. Enter at [`filter`].

use parlance_proto::v1;
use parlance_store::AgentId;
use parlance_store::phone_numbers::{
    PhoneNumberCondition, PhoneNumberFilter, PhoneNumberOrder, PhoneNumberState,
};

use crate::rpc::filter::{self, Op, Term};
use crate::rpc::{name, order};
use crate::status::{Refusal, Violations};

/// Which phone numbers a request asks for, and in which order.
pub fn filter(request: &v1::ListPhoneNumbersRequest) -> Result<PhoneNumberFilter, Refusal> {
    let mut bad = Violations::default();
    let agent_id = name::optional_agent("agent", &request.agent, &mut bad);
    let state = super::state("state", request.state, &mut bad);
    bad.check()?;
    let conditions = filter::parse(&request.filter)?.iter().map(condition).collect::<Result<_, _>>()?;
    let (order, descending) = match order::parse(&request.order_by, &["create_time", "number"])? {
        Some(("number", descending)) => (PhoneNumberOrder::Number, descending),
        Some((_, descending)) => (PhoneNumberOrder::CreateTime, descending),
        None => Default::default(),
    };
    Ok(PhoneNumberFilter { agent_id, state, conditions, order, descending })
}

fn condition(term: &Term) -> Result<PhoneNumberCondition, Violations> {
    let read: fn(&Term) -> Result<PhoneNumberCondition, Violations> = match term.path()[..] {
        ["state"] => state,
        ["inbound_agent"] => |term| agent(term).map(PhoneNumberCondition::Inbound),
        ["outbound_agent"] => |term| agent(term).map(PhoneNumberCondition::Outbound),
        _ => return Err(term.unknown("state, inbound_agent, outbound_agent")),
    };
    if term.op == Op::Equal { read(term) } else { Err(term.bad_op("=")) }
}

fn state(term: &Term) -> Result<PhoneNumberCondition, Violations> {
    let value = term.value.strip_prefix("PHONE_NUMBER_STATE_").unwrap_or(&term.value);
    match value {
        "ACTIVE" => Ok(PhoneNumberCondition::State(PhoneNumberState::Active)),
        "INACTIVE" => Ok(PhoneNumberCondition::State(PhoneNumberState::Inactive)),
        _ => Err(term.bad_value("one of ACTIVE, INACTIVE")),
    }
}

fn agent(term: &Term) -> Result<Option<AgentId>, Violations> {
    if term.value.is_empty() {
        return Ok(None);
    }
    let id = term.value.strip_prefix("agents/").and_then(|id| id.parse().ok());
    id.map(Some).ok_or_else(|| term.bad_value("agents/{agent}, or \"\" for none"))
}
