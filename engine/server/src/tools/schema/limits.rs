//! Whether a schema itself can be used: [`problem`] asks of every schema what must be, [`faults`] looks at the schema of an
//! agent's own tool rule by rule, so that a limit that nothing can meet is refused when the tool is created and not in the
//! middle of a call.

use std::collections::HashSet;

use serde_json::{Map, Value};

use super::{DEPTH_MAX, pattern, single};

/// The longest a schema may be as JSON, bytes.
const BYTES_MAX: usize = 16 * 1024;

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

/// Each rule of the schema that makes no sense or that nothing can meet: where it stands in the schema, and why.
pub fn faults(schema: &Value) -> Vec<(String, String)> {
    let mut found = Found { root: schema, faults: Vec::new(), patterns: 0 };
    found.look(schema, "");
    if found.patterns > pattern::MANY {
        let (held, large, most) = (found.patterns, pattern::LARGE_COUNTS, pattern::MANY);
        let why =
            format!("holds {held} patterns, a large one counted as {large}; at most {most} are allowed");
        found.faults.push((String::new(), why));
    }
    found.faults
}

/// Where a `$ref` within the schema leads; none if nowhere.
pub fn target<'a>(root: &'a Value, reference: &str) -> Option<&'a Value> {
    root.pointer(reference.strip_prefix('#')?)
}

fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Object(fields) => 1 + fields.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

/// Words whose value is a schema.
const ONE: [&str; 4] = ["items", "additionalItems", "additionalProperties", "not"];
/// Words whose value is a list of schemas.
const LISTS: [&str; 5] = ["prefixItems", "items", "anyOf", "oneOf", "allOf"];
/// Words whose value is schemas by name.
const NAMED: [&str; 4] = ["properties", "patternProperties", "$defs", "definitions"];
/// Words whose value is a number.
const NUMBERS: [&str; 5] = ["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"];
/// Words whose value is how many of something there may be.
const COUNTS: [&str; 4] = ["minLength", "maxLength", "minItems", "maxItems"];

struct Found<'a> {
    root: &'a Value,
    faults: Vec<(String, String)>,
    patterns: usize,
}

impl Found<'_> {
    fn add(&mut self, at: &str, word: &str, why: impl Into<String>) {
        self.faults.push((inside(at, word), why.into()));
    }

    fn look(&mut self, schema: &Value, at: &str) {
        let fields = match schema {
            Value::Object(fields) => fields,
            Value::Bool(_) => return,
            _ => return self.faults.push((at.to_owned(), "must be a JSON schema".to_owned())),
        };
        self.kinds(fields, at);
        self.required(fields, at);
        self.sizes(fields, at);
        if let Some(word) = fields.get("pattern") {
            match word.as_str().map(|word| self.unusable(word)) {
                None => self.add(at, "pattern", "must be a regular expression as text"),
                Some(Some(why)) => self.add(at, "pattern", why),
                Some(None) => {}
            }
        }
        match fields.get("$ref").map(|word| (word, word.as_str().and_then(|word| target(self.root, word)))) {
            Some((word, None)) => {
                let why =
                    format!("{word} leads nowhere: it must be a place in this schema such as #/$defs/dish");
                self.add(at, "$ref", why);
            }
            Some((word, Some(found))) if self.circles(found, &mut Vec::new(), &mut HashSet::new()) => {
                let why = format!("{word} leads round in a circle, so that no value is ever judged");
                self.add(at, "$ref", why);
            }
            _ => {}
        }
        self.within(fields, at);
    }

    /// Why a pattern can't be checked. What is one too many is not looked at.
    fn unusable(&mut self, word: &str) -> Option<String> {
        let compiled = (self.patterns < pattern::MANY).then(|| pattern::compiled(word));
        self.patterns += compiled.as_ref().and_then(|it| it.as_ref().ok()).map_or(1, |it| it.counts);
        compiled.and_then(Result::err)
    }

    /// Whether following what judges the same value comes round. What judges a part of it may: a part is smaller.
    fn circles(
        &self,
        schema: &Value,
        open: &mut Vec<*const Value>,
        done: &mut HashSet<*const Value>,
    ) -> bool {
        let this = std::ptr::from_ref(schema);
        if open.contains(&this) || !done.insert(this) {
            return open.contains(&this);
        }
        open.push(this);
        let word = |word: &str| schema.get(word);
        let referred = word("$ref").and_then(Value::as_str).and_then(|word| target(self.root, word));
        let forms = ["allOf", "anyOf", "oneOf"].into_iter().filter_map(word).filter_map(Value::as_array);
        let mut same_value = referred.into_iter().chain(word("not")).chain(forms.flatten());
        let circles = same_value.any(|schema| self.circles(schema, open, done));
        open.pop();
        circles
    }

    /// The schemas within this one.
    fn within(&mut self, fields: &Map<String, Value>, at: &str) {
        for word in NAMED {
            match fields.get(word) {
                None => {}
                Some(Value::Object(named)) => {
                    for (name, schema) in named {
                        let place = inside(&inside(at, word), name);
                        if word == "patternProperties"
                            && let Some(why) = self.unusable(name)
                        {
                            self.faults.push((place.clone(), why));
                        }
                        self.look(schema, &place);
                    }
                }
                Some(_) => self.add(at, word, "must be an object of schemas by name"),
            }
        }
        for word in LISTS {
            match fields.get(word) {
                Some(Value::Array(list)) if list.is_empty() && word != "prefixItems" && word != "items" => {
                    self.add(at, word, "must hold at least one schema");
                }
                Some(Value::Array(list)) => {
                    for (index, schema) in list.iter().enumerate() {
                        self.look(schema, &format!("{}[{index}]", inside(at, word)));
                    }
                }
                Some(_) if word != "items" => self.add(at, word, "must be a list of schemas"),
                _ => {}
            }
        }
        for word in ONE {
            if let Some(schema) = fields.get(word).filter(|schema| !schema.is_array()) {
                self.look(schema, &inside(at, word));
            }
        }
    }

    fn kinds(&mut self, fields: &Map<String, Value>, at: &str) {
        let kinds: Vec<&Value> = match fields.get("type") {
            None => Vec::new(),
            Some(Value::Array(kinds)) => kinds.iter().collect(),
            Some(kind) => vec![kind],
        };
        let known = |kind: &&Value| kind.as_str().is_some_and(|kind| single::KINDS.contains(&kind));
        if let Some(unknown) = kinds.iter().find(|kind| !known(kind)) {
            let why = format!("{unknown} is no type; types are: {}", single::KINDS.join(", "));
            return self.add(at, "type", why);
        }
        let nullable = fields.get("nullable") == Some(&Value::Bool(true));
        let of_kind = |value: &Value| {
            let fits = kinds.iter().filter_map(|kind| kind.as_str()).any(|kind| single::is(kind, value));
            kinds.is_empty() || fits || nullable && value.is_null()
        };
        match fields.get("enum") {
            None => {}
            Some(Value::Array(allowed)) if !allowed.is_empty() && allowed.iter().any(of_kind) => {}
            Some(Value::Array(allowed)) if !allowed.is_empty() => {
                self.add(at, "enum", "holds nothing of the type that is wanted");
            }
            Some(_) => self.add(at, "enum", "must be a list of at least one value"),
        }
        if fields.get("const").is_some_and(|only| !of_kind(only)) {
            self.add(at, "const", "is not of the type that is wanted");
        }
    }

    fn required(&mut self, fields: &Map<String, Value>, at: &str) {
        let Some(required) = fields.get("required") else { return };
        let names: Option<Vec<&str>> =
            required.as_array().and_then(|names| names.iter().map(Value::as_str).collect());
        let Some(names) = names else {
            return self.add(at, "required", "must be a list of the names of properties");
        };
        if fields.get("additionalProperties") != Some(&Value::Bool(false))
            || fields.contains_key("patternProperties")
        {
            return;
        }
        let known = |name: &str| fields.get("properties").is_some_and(|known| known.get(name).is_some());
        if let Some(unknown) = names.iter().find(|name| !known(name)) {
            let why = format!("`{unknown}` is no property, and `additionalProperties` allows no other");
            self.add(at, "required", why);
        }
    }

    fn sizes(&mut self, fields: &Map<String, Value>, at: &str) {
        for word in NUMBERS {
            if fields.get(word).is_some_and(|bound| !bound.is_number()) {
                self.add(at, word, "must be a number");
            }
        }
        for word in COUNTS {
            let is_count = |count: &Value| count.as_f64().is_some_and(|it| it >= 0.0 && it.fract() == 0.0);
            if fields.get(word).is_some_and(|count| !is_count(count)) {
                self.add(at, word, "must be a whole number of 0 or more");
            }
        }
        let number = |word: &str| fields.get(word).and_then(Value::as_f64);
        if number("multipleOf").is_some_and(|step| step <= 0.0) {
            self.add(at, "multipleOf", "must be more than 0");
        }
        let pairs = [
            ("minimum", "maximum", false),
            ("minimum", "exclusiveMaximum", true),
            ("exclusiveMinimum", "maximum", true),
            ("exclusiveMinimum", "exclusiveMaximum", true),
            ("minLength", "maxLength", false),
            ("minItems", "maxItems", false),
        ];
        for (least, most, must_differ) in pairs {
            let Some((low, high)) = number(least).zip(number(most)) else { continue };
            if low > high || must_differ && low == high {
                self.add(at, least, format!("is {low}, and `{most}` is {high}: nothing fits both"));
            }
        }
    }
}

/// A place in the schema as a field is named.
fn inside(at: &str, word: &str) -> String {
    if at.is_empty() { word.to_owned() } else { format!("{at}.{word}") }
}
