//! Messages of the contract as JSON and back, by the contract's own descriptors.

use std::sync::LazyLock;

use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor};

static POOL: LazyLock<DescriptorPool> = LazyLock::new(|| {
    DescriptorPool::decode(parlance_proto::DESCRIPTOR_SET).expect("the contract describes itself")
});

fn descriptor(name: &str) -> MessageDescriptor {
    let found = POOL.get_message_by_name(&format!("parlance.v1.{name}"));
    found.unwrap_or_else(|| panic!("the contract has no {name}"))
}

/// A `parlance.v1.<name>` as one line of JSON.
///
/// # Panics
/// When the message is not of that name.
pub fn line(name: &str, message: &impl Message) -> String {
    let mut dynamic = DynamicMessage::new(descriptor(name));
    dynamic.transcode_from(message).expect("the message is of that name");
    serde_json::to_string(&dynamic).expect("every message has a JSON form")
}

/// A `parlance.v1.<name>` from any JSON or YAML.
///
/// # Panics
/// When the text is no such message; the panic says where.
pub fn message<'de, M: Message + Default>(name: &str, from: impl serde::Deserializer<'de>) -> M {
    let dynamic = DynamicMessage::deserialize(descriptor(name), from)
        .unwrap_or_else(|error| panic!("no parlance.v1.{name}: {error}"));
    dynamic.transcode_to().expect("the message is of that name")
}
