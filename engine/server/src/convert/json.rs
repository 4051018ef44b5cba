//! JSON values as `google.protobuf.Struct` and back.

use prost_types::value::Kind;
use prost_types::{ListValue, Struct, Value};
use serde_json::Value as Json;

/// A JSON object as a struct; anything else becomes `{"value": …}`.
pub fn to_struct(json: &Json) -> Struct {
    match json {
        Json::Object(fields) => {
            Struct { fields: fields.iter().map(|(name, value)| (name.clone(), to_value(value))).collect() }
        }
        Json::Null => Struct::default(),
        other => Struct { fields: [("value".to_owned(), to_value(other))].into() },
    }
}

fn to_value(json: &Json) -> Value {
    let kind = match json {
        Json::Null => Kind::NullValue(0),
        Json::Bool(flag) => Kind::BoolValue(*flag),
        Json::Number(number) => Kind::NumberValue(number.as_f64().unwrap_or_default()),
        Json::String(text) => Kind::StringValue(text.clone()),
        Json::Array(items) => Kind::ListValue(ListValue { values: items.iter().map(to_value).collect() }),
        Json::Object(_) => Kind::StructValue(to_struct(json)),
    };
    Value { kind: Some(kind) }
}
