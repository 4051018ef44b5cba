//! What `ListAuditEntries` takes as filter and order, in the store's terms. Enter at [`filter`].

use parlance_proto::{Method, v1};
use parlance_store::audit_log::{AuditCondition, AuditFilter};

use crate::convert::moment;
use crate::rpc::filter::{self, Op, Term};
use crate::rpc::{name, order};
use crate::status::{Refusal, Violations};

const METHOD: &str = "an RPC, such as /parlance.v1.AgentService/DeleteAgent";

/// Which entries a request asks for, and in which order.
pub fn filter(request: &v1::ListAuditEntriesRequest) -> Result<AuditFilter, Refusal> {
    let fields = fields(request)?;
    let conditions = filter::parse(&request.filter)?.iter().map(condition).collect::<Result<_, _>>()?;
    let order = order::parse(&request.order_by, &["create_time"])?;
    Ok(AuditFilter { conditions, ascending: order.is_some_and(|(_, descending)| !descending), ..fields })
}

fn fields(request: &v1::ListAuditEntriesRequest) -> Result<AuditFilter, Refusal> {
    let mut bad = Violations::default();
    if !request.method.is_empty() && Method::of(&request.method).is_none() {
        bad.add("method", format!("must be {METHOD}"));
    }
    let mut time = |field: &str, wire: Option<&prost_types::Timestamp>| {
        let at = wire.map(moment);
        if at == Some(None) {
            bad.add(field, "must be a time in the years 1 to 9999");
        }
        at.flatten()
    };
    let since = time("since", request.since.as_ref());
    let before = time("before", request.before.as_ref());
    if let (Some(since), Some(before)) = (since, before)
        && before <= since
    {
        bad.add("before", "must be after since");
    }
    let key_id = name::optional_api_key("api_key", &request.api_key, &mut bad);
    let method = Some(request.method.clone()).filter(|method| !method.is_empty());
    bad.check().map(|()| AuditFilter { key_id, method, since, before, ..Default::default() })
}

fn condition(term: &Term) -> Result<AuditCondition, Violations> {
    let read: fn(&Term) -> Result<AuditCondition, Violations> = match term.path()[..] {
        ["create_time"] => return term.range().map(AuditCondition::Created),
        ["api_key"] => |term| term.id("apiKeys/{api_key}").map(AuditCondition::Key),
        ["method"] => method,
        ["resource"] => |term| Ok(AuditCondition::Resource(term.value.clone())),
        _ => return Err(term.unknown("api_key, method, resource, create_time")),
    };
    if term.op == Op::Equal { read(term) } else { Err(term.bad_op("=")) }
}

fn method(term: &Term) -> Result<AuditCondition, Violations> {
    match Method::of(&term.value) {
        Some(_) => Ok(AuditCondition::Method(term.value.clone())),
        None => Err(term.bad_value(METHOD)),
    }
}
