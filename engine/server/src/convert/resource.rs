//! Resources: rows of the store in the contract's words, and kinds and states from the wire.

use parlance_proto::v1;
use parlance_store::ResourceId;
use parlance_store::resources::{Resource, ResourceKind, ResourceState};
use prost::UnknownEnumValue;

use super::timestamp;

/// The resource name of a resource.
pub fn name(id: ResourceId) -> String {
    format!("resources/{id}")
}

/// A resource.
pub fn resource(row: &Resource) -> v1::Resource {
    v1::Resource {
        name: name(row.id),
        display_name: row.display_name.clone(),
        kind: match row.kind {
            ResourceKind::Person => v1::ResourceKind::Person,
            ResourceKind::Room => v1::ResourceKind::Room,
        }
        .into(),
        state: match row.state {
            ResourceState::Active => v1::ResourceState::Active,
            ResourceState::Inactive => v1::ResourceState::Inactive,
        }
        .into(),
        order: row.position,
        create_time: Some(timestamp(row.create_time)),
        update_time: Some(timestamp(row.update_time)),
        etag: row.etag.clone(),
    }
}

/// A kind from the wire: `Ok(None)` if it is not set.
pub fn kind(wire: i32) -> Result<Option<ResourceKind>, UnknownEnumValue> {
    Ok(match v1::ResourceKind::try_from(wire)? {
        v1::ResourceKind::Unspecified => None,
        v1::ResourceKind::Person => Some(ResourceKind::Person),
        v1::ResourceKind::Room => Some(ResourceKind::Room),
    })
}

/// A state from the wire: `Ok(None)` if it is not set.
pub fn state(wire: i32) -> Result<Option<ResourceState>, UnknownEnumValue> {
    Ok(match v1::ResourceState::try_from(wire)? {
        v1::ResourceState::Unspecified => None,
        v1::ResourceState::Active => Some(ResourceState::Active),
        v1::ResourceState::Inactive => Some(ResourceState::Inactive),
    })
}
