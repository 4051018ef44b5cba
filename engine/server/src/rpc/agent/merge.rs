//! What a change makes of an agent: its masked fields, or without a mask every field that is set.
//!
//! Works by the contract's own description of an agent, so that a new field can't be forgotten here.

use parlance_proto::v1;
use prost_reflect::DynamicMessage;

use crate::convert::agent::{SERVER_SET, descriptor, internal};
use crate::status::{Refusal, Violations};

/// `agent` with the fields of `change`.
pub fn merge(
    agent: &v1::Agent,
    change: &v1::Agent,
    mask: Option<prost_types::FieldMask>,
) -> Result<v1::Agent, Refusal> {
    let known: Vec<_> = descriptor()?.fields().filter(|field| !SERVER_SET.contains(&field.name())).collect();
    let (mut merged, change) = (dynamic(agent)?, dynamic(change)?);
    let paths = mask.map(|mask| mask.paths).filter(|paths| !paths.is_empty());
    let mut bad = Violations::default();
    for path in paths.iter().flatten() {
        if !known.iter().any(|field| field.name() == path) {
            let known: Vec<&str> = known.iter().map(|field| field.name()).collect();
            let why = format!("`{path}` is not a field that can be changed: {}", known.join(", "));
            bad.add("update_mask", why);
        }
    }
    bad.check()?;
    for field in &known {
        let masked = paths.as_ref().map(|paths| paths.iter().any(|path| path == field.name()));
        match (masked, change.has_field(field)) {
            (Some(true) | None, true) => merged.set_field(field, change.get_field(field).into_owned()),
            (Some(true), false) => merged.clear_field(field),
            (Some(false), _) | (None, false) => {}
        }
    }
    merged.transcode_to().map_err(|error| internal(&error))
}

fn dynamic(agent: &v1::Agent) -> Result<DynamicMessage, Refusal> {
    let mut message = DynamicMessage::new(descriptor()?);
    message.transcode_from(agent).map_err(|error| internal(&error))?;
    Ok(message)
}
