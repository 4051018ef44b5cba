//! What `ListApiKeys` takes as filter and order, in the store's terms. Enter at [`filter`].

use parlance_proto::v1;
use parlance_store::keys::{KeyCondition, KeyFilter};

use crate::rpc::filter::{self, Op, Term};
use crate::rpc::{auth, order};
use crate::status::{Refusal, Violations};

/// Which keys a request asks for, and in which order.
pub fn filter(request: &v1::ListApiKeysRequest) -> Result<KeyFilter, Refusal> {
    let conditions = filter::parse(&request.filter)?.iter().map(condition).collect::<Result<_, _>>()?;
    let order = order::parse(&request.order_by, &["create_time"])?;
    Ok(KeyFilter { conditions, descending: order.is_some_and(|(_, descending)| descending) })
}

fn condition(term: &Term) -> Result<KeyCondition, Violations> {
    let read: fn(&Term) -> Result<KeyCondition, Violations> = match term.path()[..] {
        ["create_time"] => return term.range().map(KeyCondition::Created),
        ["scope"] => scope,
        ["revoked"] => revoked,
        _ => return Err(term.unknown("scope, revoked, create_time")),
    };
    if term.op == Op::Equal { read(term) } else { Err(term.bad_op("=")) }
}

fn scope(term: &Term) -> Result<KeyCondition, Violations> {
    let scope = v1::KeyScope::from_str_name(&format!("KEY_SCOPE_{}", term.word("KEY_SCOPE_")));
    let name = scope.map(auth::scope_name).filter(|name| !name.is_empty());
    let name = name.ok_or_else(|| term.bad_value("a value of KeyScope, such as ADMIN or READ_ONLY"))?;
    Ok(KeyCondition::Scope(name.to_owned()))
}

fn revoked(term: &Term) -> Result<KeyCondition, Violations> {
    match term.value.as_str() {
        "true" => Ok(KeyCondition::Revoked(true)),
        "false" => Ok(KeyCondition::Revoked(false)),
        _ => Err(term.bad_value("true or false")),
    }
}
