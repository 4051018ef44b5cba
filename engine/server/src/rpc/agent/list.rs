//! Which agents a list is asked for: what each field of a filter and of an order means.

use parlance_proto::v1;
use parlance_store::agents::{AgentFilter, AgentOrder, AgentTerm, OrderBy};

use crate::convert::agent as convert;
use crate::rpc::filter::{self, Op, Term};
use crate::rpc::order;
use crate::status::Violations;

const KNOWN: &str = "state, labels.KEY, labels, display_name, create_time, update_time";

/// The terms of a filter, each by its field.
pub fn filter(text: &str) -> Result<AgentFilter, Violations> {
    filter::parse(text)?.iter().map(term).collect()
}

/// The order that is wanted; oldest first if none is.
pub fn order(text: &str) -> Result<AgentOrder, Violations> {
    let wanted = order::parse(text, &["create_time", "update_time", "display_name"])?;
    Ok(wanted.map_or_else(AgentOrder::default, |(field, descending)| {
        let by = match field {
            "update_time" => OrderBy::UpdateTime,
            "display_name" => OrderBy::DisplayName,
            _ => OrderBy::CreateTime,
        };
        AgentOrder { by, descending }
    }))
}

fn term(term: &Term) -> Result<AgentTerm, Violations> {
    let value = || term.value.clone();
    match (term.path().as_slice(), term.op) {
        (["state"], op @ (Op::Equal | Op::NotEqual)) => state(term, op == Op::Equal),
        (["state"], _) => Err(term.bad_op("= !=")),
        (["labels"], Op::Has) => Ok(AgentTerm::HasLabel(value())),
        (["labels"], _) => Err(term.bad_op(": (or `labels.KEY` by = !=)")),
        (["labels", key], op @ (Op::Equal | Op::NotEqual)) => {
            Ok(AgentTerm::Label { key: (*key).to_owned(), value: value(), is: op == Op::Equal })
        }
        (["labels", _], _) => Err(term.bad_op("= !=")),
        (["display_name"], Op::Equal) => Ok(AgentTerm::Name(value())),
        (["display_name"], Op::Has) => Ok(AgentTerm::NameHolds(value())),
        (["display_name"], _) => Err(term.bad_op("= :")),
        (["create_time"], _) => term.range().map(AgentTerm::Created),
        (["update_time"], _) => term.range().map(AgentTerm::Updated),
        _ => Err(term.unknown(KNOWN)),
    }
}

fn state(term: &Term, is: bool) -> Result<AgentTerm, Violations> {
    let name = format!("AGENT_STATE_{}", term.value.trim_start_matches("AGENT_STATE_"));
    let wanted = match v1::AgentState::from_str_name(&name) {
        Some(state) if state != v1::AgentState::Unspecified => {
            if is {
                state
            } else if state == v1::AgentState::Active {
                v1::AgentState::Inactive
            } else {
                v1::AgentState::Active
            }
        }
        _ => return Err(term.bad_value("ACTIVE or INACTIVE")),
    };
    Ok(AgentTerm::State(convert::state(&v1::Agent { state: wanted.into(), ..Default::default() })))
}
