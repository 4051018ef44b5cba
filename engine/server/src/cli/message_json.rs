//! Messages as JSON and YAML, by the contract's own descriptors.
//!
//! The JSON is protobuf's canonical form with the names of the `.proto` files. YAML is the same tree; reading it
//! takes both spellings of a field's name and refuses an unknown one with its place in the file.

use std::sync::LazyLock;

use parlance_proto::DESCRIPTOR_SET;
use parlance_providers::near;
use prost::Message;
use prost_reflect::{
    DescriptorPool, DeserializeOptions, DynamicMessage, EnumDescriptor, Kind, MessageDescriptor,
    ReflectMessage, SerializeOptions,
};
use serde_json::Value;

use super::Error;

/// The contract.
static POOL: LazyLock<Option<DescriptorPool>> = LazyLock::new(|| DescriptorPool::decode(DESCRIPTOR_SET).ok());

/// The description of a message of the contract, such as `Agent`.
pub fn descriptor(name: &str) -> Result<MessageDescriptor, Error> {
    POOL.as_ref()
        .and_then(|pool| pool.get_message_by_name(&format!("parlance.v1.{name}")))
        .ok_or_else(|| Error::Usage(format!("this binary knows no message parlance.v1.{name}")))
}

/// `message`, a `parlance.v1.<name>`, as JSON with the names of the contract.
pub fn to_json(name: &str, message: &impl Message) -> Result<Value, Error> {
    let impossible = |error: String| Error::Usage(format!("parlance.v1.{name} has no JSON form: {error}"));
    let mut dynamic = DynamicMessage::new(descriptor(name)?);
    dynamic.transcode_from(message).map_err(|error| impossible(error.to_string()))?;
    let options = SerializeOptions::new().use_proto_field_name(true);
    dynamic
        .serialize_with_options(serde_json::value::Serializer, &options)
        .map_err(|error| impossible(error.to_string()))
}

/// `message`, a `parlance.v1.<name>`, as YAML in the order of the contract; [`from_yaml`] reads it.
pub fn to_yaml(name: &str, message: &impl Message) -> Result<String, Error> {
    let impossible = |error: String| Error::Usage(format!("parlance.v1.{name} has no YAML form: {error}"));
    let mut dynamic = DynamicMessage::new(descriptor(name)?);
    dynamic.transcode_from(message).map_err(|error| impossible(error.to_string()))?;
    let options = SerializeOptions::new().use_proto_field_name(true);
    let mut yaml = dynamic
        .serialize_with_options(serde_yaml_ng::value::Serializer, &options)
        .map_err(|error| impossible(error.to_string()))?;
    sort_maps(&dynamic.descriptor(), &mut yaml);
    serde_yaml_ng::to_string(&yaml).map_err(|error| impossible(error.to_string()))
}

/// Puts the entries of maps in the order of their keys: they come in any, and two prints of one agent must not differ.
fn sort_maps(descriptor: &MessageDescriptor, value: &mut serde_yaml_ng::Value) {
    let Some(fields) = value.as_mapping_mut() else { return };
    for (name, value) in fields.iter_mut() {
        let Some(field) = name.as_str().and_then(|name| descriptor.get_field_by_name(name)) else { continue };
        let Kind::Message(inner) = field.kind() else { continue };
        match value {
            serde_yaml_ng::Value::Mapping(entries) if field.is_map() => {
                let mut sorted: Vec<_> = std::mem::take(entries).into_iter().collect();
                sorted.sort_by(|(one, _), (other, _)| one.as_str().cmp(&other.as_str()));
                let Kind::Message(inner) = inner.map_entry_value_field().kind() else {
                    entries.extend(sorted);
                    continue;
                };
                sorted.iter_mut().for_each(|(_, value)| sort_maps(&inner, value));
                entries.extend(sorted);
            }
            serde_yaml_ng::Value::Sequence(items) => {
                items.iter_mut().for_each(|item| sort_maps(&inner, item))
            }
            one => sort_maps(&inner, one),
        }
    }
}

/// Reads a `parlance.v1.<name>` from YAML; JSON is YAML too.
///
/// # Errors
/// What is wrong, with its path and line, and what was probably meant.
pub fn from_yaml<M: Message + Default>(name: &str, text: &str) -> Result<M, String> {
    let descriptor = descriptor(name).map_err(|error| error.to_string())?;
    let options = DeserializeOptions::new().deny_unknown_fields(true);
    let dynamic = DynamicMessage::deserialize_with_options(
        descriptor.clone(),
        serde_yaml_ng::Deserializer::from_str(text),
        &options,
    )
    .map_err(|error| {
        let error = error.to_string();
        let tree = serde_yaml_ng::from_str(text).unwrap_or_default();
        let unknown = unknown_word(&descriptor, &tree);
        let hint = unknown.filter(|(word, _)| error.contains(&format!("'{word}'"))).map(|(_, hint)| hint);
        let seconds =
            || error.contains("parse duration").then(|| "; write seconds with an `s`: 3s or 0.5s".to_owned());
        let hint = hint.or_else(seconds).unwrap_or_default();
        format!("{error}{hint}")
    })?;
    dynamic.transcode_to().map_err(|error| error.to_string())
}

/// The first name of a field or of an enum's value that the message does not have, and the question what was meant.
fn unknown_word(descriptor: &MessageDescriptor, value: &serde_yaml_ng::Value) -> Option<(String, String)> {
    // These have a JSON of their own.
    if descriptor.package_name() == "google.protobuf" {
        return None;
    }
    value.as_mapping()?.iter().find_map(|(name, value)| {
        let name = name.as_str()?;
        let field = descriptor.get_field_by_name(name).or_else(|| descriptor.get_field_by_json_name(name));
        let Some(field) = field else {
            let fields: Vec<_> = descriptor.fields().collect();
            let names = fields.iter().map(|field| field.name());
            let names = names.chain(fields.iter().map(|field| field.json_name()));
            return Some((name.to_owned(), near::did_you_mean(name, names)));
        };
        let kind = match field.kind() {
            Kind::Message(entry) if field.is_map() => entry.map_entry_value_field().kind(),
            kind => kind,
        };
        let values: Vec<_> = match value {
            serde_yaml_ng::Value::Sequence(items) if field.is_list() => items.iter().collect(),
            serde_yaml_ng::Value::Mapping(entries) if field.is_map() => entries.values().collect(),
            one => vec![one],
        };
        values.into_iter().find_map(|value| match &kind {
            Kind::Message(inner) => unknown_word(inner, value),
            Kind::Enum(words) => unknown_value(words, value.as_str()?),
            _ => None,
        })
    })
}

/// An enum's values begin with the enum's name, which people leave out.
fn unknown_value(words: &EnumDescriptor, word: &str) -> Option<(String, String)> {
    if words.get_value_by_name(word).is_some() {
        return None;
    }
    let values: Vec<_> = words.values().collect();
    let names = || values.iter().map(|value| value.name());
    let begin = names().next()?.strip_suffix("UNSPECIFIED")?;
    let meant = near::meant(word, names()).map(str::to_owned).or_else(|| {
        let ends = names().filter_map(|name| name.strip_prefix(begin));
        near::meant(word, ends).map(|end| format!("{begin}{end}"))
    });
    let hint = meant.map_or_else(String::new, |meant| format!(" (did you mean `{meant}`?)"));
    Some((word.to_owned(), hint))
}

/// The fields of a `Struct` for reading: `date=2026-11-27, party_size=4`. What is no plain value stays JSON.
pub fn fields(fields: Option<&prost_types::Struct>) -> String {
    let field = |(name, value): (&String, &prost_types::Value)| match value_json(value) {
        Value::String(text) => format!("{name}={text}"),
        other => format!("{name}={other}"),
    };
    fields.map_or_else(String::new, |fields| fields.fields.iter().map(field).collect::<Vec<_>>().join(", "))
}

fn value_json(value: &prost_types::Value) -> Value {
    use prost_types::value::Kind;
    match &value.kind {
        None | Some(Kind::NullValue(_)) => Value::Null,
        Some(Kind::BoolValue(flag)) => Value::Bool(*flag),
        // Whole numbers are written without the fraction that protobuf's only number type gives them.
        Some(Kind::NumberValue(number)) if number.fract() == 0.0 && number.abs() < 9e15 => {
            Value::from(*number as i64)
        }
        Some(Kind::NumberValue(number)) => Value::from(*number),
        Some(Kind::StringValue(text)) => Value::String(text.clone()),
        Some(Kind::StructValue(fields)) => Value::Object(
            fields.fields.iter().map(|(name, value)| (name.clone(), value_json(value))).collect(),
        ),
        Some(Kind::ListValue(list)) => Value::Array(list.values.iter().map(value_json).collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use prost_types::value::Kind;

    #[test]
    fn a_duration_that_is_none_is_answered_with_how_one_is_written() {
        for wrong in ["3", "500ms"] {
            let error =
                from_yaml::<parlance_proto::v1::Agent>("Agent", &format!("tools: [{{timeout: {wrong}}}]"));
            let error = error.expect_err("it is none");
            assert!(
                error.contains("timeout") && error.ends_with("write seconds with an `s`: 3s or 0.5s"),
                "{error}"
            );
        }
    }

    #[test]
    fn fields_are_written_to_be_read() {
        let value = |kind| prost_types::Value { kind: Some(kind) };
        let booking = prost_types::Struct {
            fields: [
                ("party_size".to_owned(), value(Kind::NumberValue(4.0))),
                ("customer_name".to_owned(), value(Kind::StringValue("John Smith".into()))),
            ]
            .into(),
        };
        assert_eq!(fields(Some(&booking)), "customer_name=John Smith, party_size=4");
    }
}
