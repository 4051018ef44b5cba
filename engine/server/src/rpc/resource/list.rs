//! What `ListResources` takes as filter and order, in the store's terms. Enter at [`filter`].

use parlance_proto::v1;
use parlance_store::resources::{
    ResourceCondition, ResourceFilter, ResourceKind, ResourceOrder, ResourceState,
};

use crate::rpc::filter::{self, Op, Term};
use crate::rpc::order;
use crate::status::{Refusal, Violations};

/// Which resources a request asks for, and in which order.
pub fn filter(request: &v1::ListResourcesRequest) -> Result<ResourceFilter, Refusal> {
    let mut bad = Violations::default();
    let state = super::state("state", request.state, &mut bad);
    bad.check()?;
    let conditions = filter::parse(&request.filter)?.iter().map(condition).collect::<Result<_, _>>()?;
    let known = ["order", "create_time", "display_name"];
    let (order, descending) = match order::parse(&request.order_by, &known)? {
        Some(("create_time", descending)) => (ResourceOrder::CreateTime, descending),
        Some(("display_name", descending)) => (ResourceOrder::DisplayName, descending),
        Some((_, descending)) => (ResourceOrder::Position, descending),
        None => Default::default(),
    };
    Ok(ResourceFilter { state, conditions, order, descending })
}

fn condition(term: &Term) -> Result<ResourceCondition, Violations> {
    let read: fn(&Term) -> Result<ResourceCondition, Violations> = match term.path()[..] {
        ["create_time"] => return term.range().map(ResourceCondition::Created),
        ["state"] => state,
        ["kind"] => kind,
        _ => return Err(term.unknown("state, kind, create_time")),
    };
    if term.op == Op::Equal { read(term) } else { Err(term.bad_op("=")) }
}

fn state(term: &Term) -> Result<ResourceCondition, Violations> {
    match term.word("RESOURCE_STATE_") {
        "ACTIVE" => Ok(ResourceCondition::State(ResourceState::Active)),
        "INACTIVE" => Ok(ResourceCondition::State(ResourceState::Inactive)),
        _ => Err(term.bad_value("one of ACTIVE, INACTIVE")),
    }
}

fn kind(term: &Term) -> Result<ResourceCondition, Violations> {
    match term.word("RESOURCE_KIND_") {
        "PERSON" => Ok(ResourceCondition::Kind(ResourceKind::Person)),
        "ROOM" => Ok(ResourceCondition::Kind(ResourceKind::Room)),
        _ => Err(term.bad_value("one of PERSON, ROOM")),
    }
}
