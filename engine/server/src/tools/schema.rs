//! Whether arguments fit a tool's JSON schema, and in words a model can act on what does not.
//!
//! Knows the part of JSON Schema that `Tool.parameters` names; what it does not know it takes as fitting, because the
//! schemas of others (an MCP server's) may hold anything. A number or a truth value written as text is taken for what it
//! is where only that fits: models and flows write so. Enter at [`check`]; [`problem`] judges a schema itself.

use serde_json::{Map, Value};

/// The deepest a schema or arguments may be nested.
const DEPTH_MAX: usize = 10;
/// The longest a schema may be as JSON, bytes.
const BYTES_MAX: usize = 16 * 1024;
/// The words of a wrong value that are repeated.
const SHOWN_MAX: usize = 60;

/// What is wrong with a schema for a tool's parameters, if anything is. Finishes "…".
pub fn problem(schema: &Value) -> Option<String> {
    let Some(fields) = schema.as_object() else { return Some("must be a JSON schema".to_owned()) };
    if fields.get("type").and_then(Value::as_str) != Some("object") {
        return Some("must be the schema of an object: give it `\"type\": \"object\"`".to_owned());
    }
    if !fields.get("properties").is_none_or(Value::is_object) {
        return Some("`properties` must be an object".to_owned());
    }
    let bytes = schema.to_string().len();
    if bytes > BYTES_MAX {
        return Some(format!("has {bytes} bytes as JSON; at most {BYTES_MAX} are allowed"));
    }
    if depth(schema) > DEPTH_MAX * 2 {
        return Some(format!("is nested too deeply; at most {DEPTH_MAX} levels are allowed"));
    }
    None
}

/// The names of its parameters.
pub fn parameters(schema: &Value) -> Vec<&str> {
    let properties = schema.get("properties").and_then(Value::as_object);
    properties.into_iter().flatten().map(|(name, _)| name.as_str()).collect()
}

/// Checks `arguments` and puts right what was written as text and is none.
///
/// # Errors
/// What is wrong and where, for a model.
pub fn check(schema: &Value, arguments: &mut Value) -> Result<(), String> {
    let checker = Checker { root: schema };
    let mut faults = Vec::new();
    checker.check(schema, arguments, "", 0, &mut faults);
    if faults.is_empty() {
        return Ok(());
    }
    faults.truncate(5);
    Err(faults.join("; "))
}

fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Object(fields) => 1 + fields.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

struct Checker<'a> {
    root: &'a Value,
}

impl Checker<'_> {
    fn check(&self, schema: &Value, value: &mut Value, at: &str, depth: usize, faults: &mut Vec<String>) {
        let fields = match schema {
            Value::Object(fields) => fields,
            Value::Bool(false) => return faults.push(format!("{} is not allowed", name(at))),
            _ => return,
        };
        if depth > DEPTH_MAX {
            return faults.push(format!("{} is nested too deeply", name(at)));
        }
        if let Some(target) = fields.get("$ref").and_then(Value::as_str) {
            let found = target.strip_prefix('#').and_then(|pointer| self.root.pointer(pointer));
            if let Some(found) = found {
                self.check(found, value, at, depth + 1, faults);
            }
        }
        if !kind(fields, value, at, faults) {
            return;
        }
        self.choices(fields, value, at, depth, faults);
        listed(fields, value, at, faults);
        match value {
            Value::Number(number) => bounds(fields, number.as_f64().unwrap_or_default(), at, faults),
            Value::String(text) => {
                sized(fields, ("minLength", "maxLength"), text.chars().count(), "letters", at, faults);
            }
            Value::Array(items) => {
                sized(fields, ("minItems", "maxItems"), items.len(), "items", at, faults);
                if let Some(each) = fields.get("items") {
                    for (index, item) in items.iter_mut().enumerate() {
                        self.check(each, item, &format!("{at}[{index}]"), depth + 1, faults);
                    }
                }
            }
            Value::Object(given) => self.properties(fields, given, at, depth, faults),
            Value::Null | Value::Bool(_) => {}
        }
    }

    fn properties(
        &self,
        schema: &Map<String, Value>,
        given: &mut Map<String, Value>,
        at: &str,
        depth: usize,
        faults: &mut Vec<String>,
    ) {
        let empty = Map::new();
        let known = schema.get("properties").and_then(Value::as_object).unwrap_or(&empty);
        let required = schema.get("required").and_then(Value::as_array).into_iter().flatten();
        let required: Vec<&str> = required.filter_map(Value::as_str).collect();
        // Some write null for what they leave out.
        given.retain(|key, value| !value.is_null() || required.contains(&key.as_str()));
        for key in &required {
            if !given.contains_key(*key) {
                faults.push(format!("{} is missing", name(&inside(at, key))));
            }
        }
        for (key, value) in given.iter_mut() {
            let place = inside(at, key);
            match (known.get(key), schema.get("additionalProperties")) {
                (Some(schema), _) => self.check(schema, value, &place, depth + 1, faults),
                (None, Some(Value::Bool(false))) => {
                    let names: Vec<&str> = known.keys().map(String::as_str).collect();
                    let names = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
                    faults.push(format!("{} is not known; known are: {names}", name(&place)));
                }
                (None, Some(schema)) => self.check(schema, value, &place, depth + 1, faults),
                (None, None) => {}
            }
        }
    }

    fn choices(
        &self,
        schema: &Map<String, Value>,
        value: &mut Value,
        at: &str,
        depth: usize,
        faults: &mut Vec<String>,
    ) {
        for all in schema.get("allOf").and_then(Value::as_array).into_iter().flatten() {
            self.check(all, value, at, depth + 1, faults);
        }
        for word in ["anyOf", "oneOf"] {
            let Some(any) = schema.get(word).and_then(Value::as_array) else { continue };
            let mut first = None;
            let mut fitting = Vec::new();
            for choice in any {
                let mut tried = value.clone();
                let mut wrong = Vec::new();
                self.check(choice, &mut tried, at, depth + 1, &mut wrong);
                if wrong.is_empty() {
                    fitting.push(tried);
                } else {
                    first = first.or(Some(wrong));
                }
            }
            match fitting.as_slice() {
                [] => faults.extend(first.into_iter().flatten()),
                [_, _, ..] if word == "oneOf" && !fitting.contains(value) => {
                    faults.push(format!("{} fits more than one of its forms", name(at)));
                }
                [fit, ..] if !fitting.contains(value) => *value = fit.clone(),
                _ => {}
            }
        }
    }
}

/// Whether it is of a kind that is allowed, after it was put right.
fn kind(schema: &Map<String, Value>, value: &mut Value, at: &str, faults: &mut Vec<String>) -> bool {
    let kinds: Vec<&str> = match schema.get("type") {
        Some(Value::String(kind)) => vec![kind],
        Some(Value::Array(kinds)) => kinds.iter().filter_map(Value::as_str).collect(),
        _ => return true,
    };
    if kinds.is_empty() || kinds.iter().any(|kind| is(kind, value)) {
        return true;
    }
    let meant = value.as_str().and_then(|text| serde_json::from_str::<Value>(text.trim()).ok());
    let meant = meant.filter(|meant| meant.is_number() || meant.is_boolean());
    if let Some(meant) = meant.filter(|meant| kinds.iter().any(|kind| is(kind, meant))) {
        *value = meant;
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

fn is(kind: &str, value: &Value) -> bool {
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

fn listed(schema: &Map<String, Value>, value: &Value, at: &str, faults: &mut Vec<String>) {
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
fn same(one: &Value, other: &Value) -> bool {
    one == other || (one.is_number() && other.is_number() && one.as_f64() == other.as_f64())
}

/// Whether a number keeps to a bound.
type Holds = fn(f64, f64) -> bool;

fn bounds(schema: &Map<String, Value>, number: f64, at: &str, faults: &mut Vec<String>) {
    let rules: [(&str, &str, Holds); 4] = [
        ("minimum", "at least", |number, bound| number >= bound),
        ("maximum", "at most", |number, bound| number <= bound),
        ("exclusiveMinimum", "more than", |number, bound| number > bound),
        ("exclusiveMaximum", "less than", |number, bound| number < bound),
    ];
    for (word, said, holds) in rules {
        if let Some(bound) = schema.get(word).and_then(Value::as_f64).filter(|bound| !holds(number, *bound)) {
            faults.push(format!("{} must be {said} {bound}, and is {number}", name(at)));
        }
    }
}

fn sized(
    schema: &Map<String, Value>,
    (least, most): (&str, &str),
    size: usize,
    of: &str,
    at: &str,
    faults: &mut Vec<String>,
) {
    let bound = |word: &str| schema.get(word).and_then(Value::as_u64);
    if let Some(least) = bound(least).filter(|least| (size as u64) < *least) {
        faults.push(format!("{} must have at least {least} {of}, and has {size}", name(at)));
    }
    if let Some(most) = bound(most).filter(|most| size as u64 > *most) {
        faults.push(format!("{} must have at most {most} {of}, and has {size}", name(at)));
    }
}

fn inside(at: &str, key: &str) -> String {
    if at.is_empty() { key.to_owned() } else { format!("{at}.{key}") }
}

fn name(at: &str) -> String {
    if at.is_empty() { "the whole of the arguments".to_owned() } else { format!("`{at}`") }
}

fn shown(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(SHOWN_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn booking() -> Value {
        json!({
            "type": "object",
            "properties": {
                "day": {"type": "string", "enum": ["friday", "saturday"]},
                "guests": {"type": "integer", "minimum": 1, "maximum": 12},
                "outside": {"type": "boolean"},
                "dishes": {"type": "array", "maxItems": 2, "items": {"$ref": "#/$defs/dish"}},
                "phone": {"type": ["string", "null"], "minLength": 3},
                "pay": {"anyOf": [{"const": "cash"}, {"type": "object", "required": ["card"]}]},
            },
            "required": ["day", "guests"],
            "additionalProperties": false,
            "$defs": {"dish": {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}},
        })
    }

    #[track_caller]
    fn wrong(arguments: Value) -> String {
        let mut given = arguments;
        check(&booking(), &mut given).expect_err("it does not fit")
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        assert_eq!(wrong(json!({"day": "friday"})), "`guests` is missing");
        assert_eq!(
            wrong(json!({"day": "monday", "guests": 4})),
            r#"`day` must be one of "friday", "saturday", and is "monday""#
        );
        assert_eq!(wrong(json!({"day": "friday", "guests": 0})), "`guests` must be at least 1, and is 0");
        assert_eq!(
            wrong(json!({"day": "friday", "guests": "many"})),
            r#"`guests` must be of type integer, and is "many""#
        );
        assert_eq!(
            wrong(json!({"day": "friday", "guests": 2.5})),
            "`guests` must be of type integer, and is 2.5"
        );
        assert!(
            wrong(json!({"day": "friday", "guests": 2, "cake": 1}))
                .starts_with("`cake` is not known; known are:")
        );
        assert_eq!(
            wrong(json!({"day": "friday", "guests": 2, "dishes": [{"name": "soup"}, {}]})),
            "`dishes[1].name` is missing"
        );
        assert_eq!(
            wrong(json!({"day": "friday", "guests": 2, "phone": "1"})),
            "`phone` must have at least 3 letters, and has 1"
        );
        assert_eq!(
            wrong(json!({"day": "friday", "guests": 2, "pay": 1})),
            r#"`pay` must be "cash", and is 1"#
        );
        assert_eq!(wrong(json!([1])), "the whole of the arguments must be of type object, and is [1]");
    }

    #[test]
    fn what_fits_passes_and_numbers_written_as_text_become_numbers() {
        let mut given = json!({"day": "friday", "guests": "4", "outside": "true", "phone": null, "dishes": [{"name": 7}]});
        check(&booking(), &mut given).expect("it fits");
        assert_eq!(given, json!({"day": "friday", "guests": 4, "outside": true, "dishes": [{"name": "7"}]}));
        for pay in [json!("cash"), json!({"card": "1"})] {
            check(&booking(), &mut json!({"day": "friday", "guests": 4.0, "pay": pay})).expect("it fits");
        }
    }

    #[test]
    fn a_schema_that_goes_in_a_circle_ends() {
        let circle = json!({"type": "object", "$ref": "#"});
        assert!(check(&circle, &mut json!({})).is_err());
    }

    #[test]
    fn a_schema_of_anything_but_an_object_is_refused() {
        assert_eq!(problem(&booking()), None);
        for bad in
            [json!(1), json!({}), json!({"type": "string"}), json!({"type": "object", "properties": []})]
        {
            assert!(problem(&bad).is_some(), "{bad}");
        }
        let mut deep = json!({});
        for _ in 0..30 {
            deep = json!({"items": deep});
        }
        assert!(problem(&json!({"type": "object", "properties": {"a": deep}})).is_some());
        let long = "x".repeat(20_000);
        assert!(problem(&json!({"type": "object", "description": long})).is_some());
    }
}
