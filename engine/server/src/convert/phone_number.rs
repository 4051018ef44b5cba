//! Phone numbers: rows of the store in the contract's words, and what clients ask for in the store's.

use parlance_proto::v1;
use parlance_store::AgentId;
use parlance_store::phone_numbers::{PhoneNumber, PhoneNumberState};

use super::timestamp;

/// A phone number.
pub fn phone_number(row: &PhoneNumber) -> v1::PhoneNumber {
    v1::PhoneNumber {
        name: format!("phoneNumbers/{}", row.id),
        number: row.id.number(),
        display_name: row.display_name.clone(),
        state: match row.state {
            PhoneNumberState::Active => v1::PhoneNumberState::Active,
            PhoneNumberState::Inactive => v1::PhoneNumberState::Inactive,
        }
        .into(),
        inbound_agent: agent(row.inbound_agent_id.as_ref()),
        outbound_agent: agent(row.outbound_agent_id.as_ref()),
        create_time: Some(timestamp(row.create_time)),
        update_time: Some(timestamp(row.update_time)),
        etag: row.etag.clone(),
    }
}

/// A state from the wire: `Ok(None)` if it is not set, `Err` if there is no such state.
pub fn state(wire: i32) -> Result<Option<PhoneNumberState>, prost::UnknownEnumValue> {
    Ok(match v1::PhoneNumberState::try_from(wire)? {
        v1::PhoneNumberState::Unspecified => None,
        v1::PhoneNumberState::Active => Some(PhoneNumberState::Active),
        v1::PhoneNumberState::Inactive => Some(PhoneNumberState::Inactive),
    })
}

fn agent(id: Option<&AgentId>) -> String {
    id.map_or(String::new(), |id| format!("agents/{id}"))
}
