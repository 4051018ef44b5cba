//! What clients may keep with a call: metadata, labels and numbers, checked field by field.

use std::collections::BTreeMap;

use parlance_proto::v1;
use parlance_store::PhoneNumberId;
use parlance_store::calls::CallUpdate;
use prost_types::Struct;
use serde_json::{Value, json};

use crate::convert::{call, json};
use crate::status::Violations;

const METADATA_BYTES_MAX: usize = 16 * 1024;
const LABELS_MAX: usize = 64;
const LABEL_MAX: usize = 63;

/// What a client keeps with a call.
#[derive(Debug, Clone, PartialEq)]
pub struct Details {
    /// A JSON object.
    pub metadata: Value,
    /// A JSON object of texts.
    pub labels: Value,
    /// With its `+`.
    pub from_number: Option<String>,
    /// With its `+`.
    pub to_number: Option<String>,
}

impl Default for Details {
    fn default() -> Self {
        Self { metadata: json!({}), labels: json!({}), from_number: None, to_number: None }
    }
}

impl Details {
    /// Of a call that is to be made; what is wrong goes to `bad`.
    pub fn of_call(wire: &v1::Call, bad: &mut Violations) -> Self {
        Self {
            metadata: metadata("call.metadata", wire.metadata.as_ref(), bad),
            labels: labels("call.labels", &wire.labels, bad),
            from_number: number("call.from_number", &wire.from_number, bad),
            to_number: number("call.to_number", &wire.to_number, bad),
        }
    }

    /// Of a session that makes its own call; what is wrong goes to `bad`.
    pub fn of_start(wire: &v1::SessionStart, bad: &mut Violations) -> Self {
        Self {
            metadata: metadata("start.metadata", wire.metadata.as_ref(), bad),
            labels: labels("start.labels", &wire.labels, bad),
            ..Self::default()
        }
    }
}

/// What the masked fields say; without a mask every field that is set.
pub fn change(wire: &v1::Call, paths: Option<Vec<String>>, bad: &mut Violations) -> CallUpdate {
    let metadata = metadata("call.metadata", wire.metadata.as_ref(), bad);
    let labels = labels("call.labels", &wire.labels, bad);
    let Some(paths) = paths else {
        return CallUpdate {
            metadata: wire.metadata.is_some().then_some(metadata),
            labels: (!wire.labels.is_empty()).then_some(labels),
        };
    };
    let mut change = CallUpdate::default();
    for path in paths {
        match path.as_str() {
            "metadata" => change.metadata = Some(metadata.clone()),
            "labels" => change.labels = Some(labels.clone()),
            other => bad.add(
                "update_mask",
                format!("`{other}` is not a field that can be changed: metadata, labels"),
            ),
        }
    }
    change
}

fn metadata(field: &str, wire: Option<&Struct>, bad: &mut Violations) -> Value {
    let Some(value) = wire.map_or(Some(json!({})), json::from_struct) else {
        bad.add(field, "holds a number that JSON does not have");
        return json!({});
    };
    let bytes = value.to_string().len();
    if bytes > METADATA_BYTES_MAX {
        bad.add(field, format!("has {bytes} bytes as JSON; at most {METADATA_BYTES_MAX} are allowed"));
    }
    let mut storable = value.clone();
    call::make_storable(&mut storable);
    if storable != value {
        bad.add(field, "holds a NUL character");
    }
    value
}

fn labels(field: &str, wire: &BTreeMap<String, String>, bad: &mut Violations) -> Value {
    if wire.len() > LABELS_MAX {
        bad.add(field, format!("has {} entries; at most {LABELS_MAX} are allowed", wire.len()));
    }
    for (key, value) in wire {
        let fits = |byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-');
        if !(1..=LABEL_MAX).contains(&key.len()) || !key.bytes().all(fits) {
            bad.add(format!("{field}[{key}]"), "the key must match [a-z0-9_-]{1,63}");
        }
        bad.longest(format!("{field}[{key}]"), value, LABEL_MAX);
    }
    json!(wire)
}

fn number(field: &str, wire: &str, bad: &mut Violations) -> Option<String> {
    if wire.is_empty() {
        return None;
    }
    if PhoneNumberId::from_number(wire).is_err() {
        bad.add(field, "must be `+` and 7 to 15 digits, the first not 0");
    }
    Some(wire.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(bad: Violations) -> String {
        format!("{bad:?}")
    }

    #[test]
    fn all_that_is_wrong_is_named_at_once() {
        let nan = prost_types::Value { kind: Some(prost_types::value::Kind::NumberValue(f64::NAN)) };
        let wire = v1::Call {
            metadata: Some(Struct { fields: [("nan".to_owned(), nan)].into() }),
            labels: [("Tier".to_owned(), String::new()), ("long".to_owned(), "x".repeat(64))].into(),
            from_number: "030".into(),
            to_number: "+0".into(),
            ..Default::default()
        };
        let mut bad = Violations::default();
        Details::of_call(&wire, &mut bad);
        let named = fields(bad);
        for field in ["metadata", "labels[Tier]", "labels[long]", "from_number", "to_number"] {
            assert!(named.contains(&format!("call.{field}")), "{field}: {named}");
        }
    }

    #[test]
    fn metadata_have_a_limit_and_no_nul() {
        let of = |text: &str| json::to_struct(&json!({ "a": { "b": [text] } }));
        for (text, is_bad) in
            [("x".repeat(16_000), false), ("x".repeat(17_000), true), ("a\0".to_owned(), true)]
        {
            let mut bad = Violations::default();
            metadata("m", Some(&of(&text)), &mut bad);
            assert_eq!(!bad.is_empty(), is_bad, "{}", text.len());
        }
        let many = (0..65).map(|n| (n.to_string(), String::new())).collect();
        let mut bad = Violations::default();
        labels("l", &many, &mut bad);
        assert!(fields(bad).contains("65 entries"));
    }

    #[test]
    fn a_mask_says_what_changes_and_without_one_what_is_set_does() {
        let wire = v1::Call { labels: [("a".to_owned(), "b".to_owned())].into(), ..Default::default() };
        let mut bad = Violations::default();
        let set = change(&wire, None, &mut bad);
        assert_eq!((set.metadata, set.labels), (None, Some(json!({"a": "b"}))));
        let masked = change(&wire, Some(vec!["metadata".into()]), &mut bad);
        assert_eq!((masked.metadata, masked.labels), (Some(json!({})), None));
        assert!(bad.is_empty());
        change(&wire, Some(vec!["agent".into()]), &mut bad);
        assert!(fields(bad).contains("update_mask"));
    }
}
