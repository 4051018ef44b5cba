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

/// The object that a struct is; none if it holds a number that JSON does not have. Numbers without a fraction are
/// whole, because a struct has no others.
pub fn from_struct(wire: &Struct) -> Option<Json> {
    let fields = wire.fields.iter().map(|(name, value)| Some((name.clone(), from_value(value)?)));
    fields.collect::<Option<serde_json::Map<_, _>>>().map(Json::Object)
}

fn from_value(wire: &Value) -> Option<Json> {
    Some(match &wire.kind {
        None | Some(Kind::NullValue(_)) => Json::Null,
        Some(Kind::BoolValue(is)) => Json::Bool(*is),
        Some(Kind::NumberValue(number)) => from_number(*number)?,
        Some(Kind::StringValue(text)) => Json::String(text.clone()),
        Some(Kind::ListValue(list)) => {
            Json::Array(list.values.iter().map(from_value).collect::<Option<_>>()?)
        }
        Some(Kind::StructValue(fields)) => from_struct(fields)?,
    })
}

fn from_number(number: f64) -> Option<Json> {
    // Up to here each whole number is a float of its own.
    let is_whole = number.fract() == 0.0 && number.abs() < 9_007_199_254_740_992.0;
    if is_whole {
        Some((number as i64).into())
    } else {
        serde_json::Number::from_f64(number).map(Json::Number)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_comes_back_from_a_struct_as_it_was() {
        let json = serde_json::json!({"a": [1, -2.5, "x", null, true], "b": {"c": 9_007_199_254_740_991_i64}, "d": 1e300});
        assert_eq!(from_struct(&to_struct(&json)), Some(json));
        let infinite = Value { kind: Some(Kind::NumberValue(f64::INFINITY)) };
        assert_eq!(from_struct(&Struct { fields: [("a".to_owned(), infinite)].into() }), None);
    }
}
