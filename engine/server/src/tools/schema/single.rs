//! The rules of a schema for one value alone: its kind, what it may be, its size, its form.

use std::collections::BTreeSet;

use serde_json::{Map, Number, Value};

use super::pattern::{self, Patterns};
use super::{SHOWN_MAX, cut, format, name};

/// Whether it is of a kind that is allowed, after it was put right.
pub fn kind(schema: &Map<String, Value>, value: &mut Value, at: &str, faults: &mut Vec<String>) -> bool {
    let mut kinds: Vec<&str> = match schema.get("type") {
        Some(Value::String(kind)) => vec![kind],
        Some(Value::Array(kinds)) => kinds.iter().filter_map(Value::as_str).collect(),
        _ => return true,
    };
    // As OpenAPI says it.
    if schema.get("nullable") == Some(&Value::Bool(true)) {
        kinds.push("null");
    }
    if kinds.is_empty() || kinds.iter().any(|kind| is(kind, value)) {
        // 4.0 is a whole number, and is written as one from here on.
        if kinds.contains(&"integer") && !kinds.contains(&"number") {
            *value = whole(value.take());
        }
        return true;
    }
    let meant = value.as_str().and_then(|text| serde_json::from_str::<Value>(text.trim()).ok());
    let meant = meant.filter(|meant| meant.is_number() || meant.is_boolean());
    if let Some(meant) = meant.filter(|meant| kinds.iter().any(|kind| is(kind, meant))) {
        *value = if kinds.contains(&"number") { meant } else { whole(meant) };
        return true;
    }
    // A number where words are wanted is what its words are.
    if kinds == ["string"] && value.is_number() {
        *value = Value::String(value.to_string());
        return true;
    }
    faults.push(format!("{} must be of type {}, and is {}", name(at), kinds.join(" or "), shown(value)));
    false
}

/// The kinds there are.
pub const KINDS: [&str; 7] = ["object", "array", "string", "boolean", "null", "number", "integer"];

/// Whether a value is of a kind. Of a kind that there is not every value is.
pub fn is(kind: &str, value: &Value) -> bool {
    match kind {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        "number" => value.is_number(),
        "integer" => value.as_f64().is_some_and(|number| number.fract() == 0.0),
        _ => true,
    }
}

/// A number without a fraction as a whole one; anything else as it is.
fn whole(value: Value) -> Value {
    // Up to here each whole number is a float of its own.
    let is_whole = |number: &f64| number.fract() == 0.0 && number.abs() < 9_007_199_254_740_992.0;
    match value.as_f64().filter(|number| value.is_f64() && is_whole(number)) {
        Some(number) => Value::from(number as i64),
        None => value,
    }
}

/// `enum` and `const`.
pub fn listed(schema: &Map<String, Value>, value: &Value, at: &str, faults: &mut Vec<String>) {
    if let Some(allowed) = schema.get("enum").and_then(Value::as_array)
        && !allowed.iter().any(|one| same(one, value))
    {
        let allowed: Vec<String> = allowed.iter().map(shown).collect();
        faults.push(format!("{} must be one of {}, and is {}", name(at), allowed.join(", "), shown(value)));
    }
    if let Some(only) = schema.get("const").filter(|only| !same(only, value)) {
        faults.push(format!("{} must be {}, and is {}", name(at), shown(only), shown(value)));
    }
}

/// Equal, where 4 and 4.0 are the same number.
pub fn same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => one == other || one.as_f64() == other.as_f64(),
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| same(one, other))
        }
        (Value::Object(one), Value::Object(other)) => {
            let has =
                |(key, value): (&String, &Value)| other.get(key).is_some_and(|other| same(value, other));
            one.len() == other.len() && one.iter().all(has)
        }
        _ => one == other,
    }
}

/// The whole numbers are compared as such: not all of them are floats.
fn holds(word: &str, number: &Number, bound: &Value) -> bool {
    use std::cmp::Ordering::{Equal, Greater, Less};
    let ordering = match (number.as_i64(), bound.as_i64()) {
        (Some(number), Some(bound)) => Some(number.cmp(&bound)),
        _ => number.as_f64().zip(bound.as_f64()).and_then(|(number, bound)| number.partial_cmp(&bound)),
    };
    let Some(ordering) = ordering else { return true };
    match word {
        "minimum" => ordering != Less,
        "maximum" => ordering != Greater,
        "exclusiveMinimum" => ordering == Greater,
        "exclusiveMaximum" => ordering == Less,
        _ => ordering == Equal,
    }
}

/// Bounds and steps of a number.
pub fn bounds(schema: &Map<String, Value>, number: &Number, at: &str, faults: &mut Vec<String>) {
    let rules = [
        ("minimum", "at least"),
        ("maximum", "at most"),
        ("exclusiveMinimum", "more than"),
        ("exclusiveMaximum", "less than"),
    ];
    for (word, said) in rules {
        if let Some(bound) = schema.get(word).filter(|bound| !holds(word, number, bound)) {
            faults.push(format!("{} must be {said} {bound}, and is {number}", name(at)));
        }
    }
    if let Some(step) = schema.get("multipleOf").filter(|step| !is_multiple(number, step)) {
        faults.push(format!("{} must be a multiple of {step}, and is {number}", name(at)));
    }
}

fn is_multiple(number: &Number, step: &Value) -> bool {
    if let (Some(number), Some(step)) = (number.as_i64(), step.as_i64()) {
        return step == 0 || number.checked_rem(step).is_none_or(|rest| rest == 0);
    }
    let (Some(number), Some(step)) = (number.as_f64(), step.as_f64()) else { return true };
    let steps = number / step;
    // 19.99 is 1,999 steps of 0.01 to people and a little less to floats.
    step == 0.0 || (steps - steps.round()).abs() <= 1e-9 * steps.abs().max(1.0)
}

/// The size of a text or list.
pub fn sized(
    schema: &Map<String, Value>,
    (least, most): (&str, &str),
    size: usize,
    of: &str,
    at: &str,
    faults: &mut Vec<String>,
) {
    let bound = |word: &str| schema.get(word).and_then(Value::as_f64);
    if let Some(least) = bound(least).filter(|least| (size as f64) < *least) {
        faults.push(format!("{} must have at least {least} {of}, and has {size}", name(at)));
    }
    if let Some(most) = bound(most).filter(|most| size as f64 > *most) {
        faults.push(format!("{} must have at most {most} {of}, and has {size}", name(at)));
    }
}

/// Length, pattern and format. False: one of them could not be judged.
pub fn text(
    schema: &Map<String, Value>,
    text: &str,
    patterns: &Patterns<'_>,
    at: &str,
    faults: &mut Vec<String>,
) -> bool {
    let length = text.chars().count();
    sized(schema, ("minLength", "maxLength"), length, "letters", at, faults);
    let mut judged = true;
    if let Some(word) = schema.get("pattern").and_then(Value::as_str) {
        match patterns.get(word) {
            Some(_) if length > pattern::TEXT_MAX => {
                let most = pattern::TEXT_MAX;
                faults.push(format!("{} must have at most {most} letters, and has {length}", name(at)));
            }
            Some(pattern) if pattern.is_match(text) => {}
            Some(_) => {
                let value = shown(&Value::from(text));
                faults.push(format!("{} must match the pattern {word}, and is {value}", name(at)));
            }
            None => judged = false,
        }
    }
    if let Some(word) = schema.get("format").and_then(Value::as_str) {
        match format::wanted(word, text) {
            Some(Ok(())) => {}
            Some(Err(wanted)) => {
                let value = shown(&Value::from(text));
                faults.push(format!("{} must be {wanted}, and is {value}", name(at)));
            }
            None => judged = false,
        }
    }
    judged
}

/// `uniqueItems`.
pub fn unique(schema: &Map<String, Value>, items: &[Value], at: &str, faults: &mut Vec<String>) {
    if schema.get("uniqueItems") != Some(&Value::Bool(true)) {
        return;
    }
    let mut seen = BTreeSet::new();
    if let Some(twice) = items.iter().find(|item| !seen.insert(all_whole((*item).clone()).to_string())) {
        faults.push(format!("{} must not hold the same twice, and holds {} twice", name(at), shown(twice)));
    }
}

/// The same with every number as short as it can be, so that what is the same reads the same.
fn all_whole(value: Value) -> Value {
    match value {
        Value::Array(items) => Value::Array(items.into_iter().map(all_whole).collect()),
        Value::Object(fields) => {
            // In order of the keys, whoever wrote them.
            let fields: std::collections::BTreeMap<_, _> =
                fields.into_iter().map(|(key, value)| (key, all_whole(value))).collect();
            Value::Object(fields.into_iter().collect())
        }
        other => whole(other),
    }
}

/// A value as its JSON, cut short.
pub fn shown(value: &Value) -> String {
    cut(value.to_string(), SHOWN_MAX)
}
