//! Whether arguments fit a tool's JSON schema, and in words a model can act on what does not.
//!
//! Knows the part of JSON Schema that `Tool.parameters` names; what it does not know it takes as fitting, because the
//! schemas of others (an MCP server's) may hold anything, and where that could turn the judgement round, behind `not` and
//! among the forms of `oneOf`, it does not judge. A number or a truth value written as text is taken for what it is where
//! only that fits: models and flows write so. Enter at [`check`]; [`limits::problem`] and [`limits::faults`] judge a schema
//! itself, [`single`] holds the rules for one value alone.

mod format;
mod limits;
mod pattern;
mod single;

pub use limits::{faults, problem};

use std::cell::Cell;

use serde_json::{Map, Value};

use self::pattern::Patterns;

/// The deepest a schema or arguments may be nested.
const DEPTH_MAX: usize = 10;
/// Rules that are looked at in one check: a schema that names itself in many forms would have no end else.
///
/// A check runs where calls run, and a form may copy the value it is held against.
const STEPS_MAX: usize = 2_000;
/// The words of a wrong value that are repeated.
const SHOWN_MAX: usize = 60;
/// Letters of what is said.
const SAID_MAX: usize = 1_000;
/// Letters of what is said of a value that fits none of its forms.
const FORMS_SAID_MAX: usize = 400;
/// The forms of `anyOf` and `oneOf` that are told where none fits.
const FORMS_TOLD: usize = 3;
/// What narrows and is not checked: where it stands it is not known whether a value fits.
const UNCHECKED: [&str; 16] = [
    "if",
    "then",
    "else",
    "contains",
    "minContains",
    "maxContains",
    "minProperties",
    "maxProperties",
    "propertyNames",
    "dependencies",
    "dependentRequired",
    "dependentSchemas",
    "unevaluatedItems",
    "unevaluatedProperties",
    "$dynamicRef",
    "$recursiveRef",
];

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
    let (steps, unsure, patterns) = (Cell::new(0), Cell::new(false), Patterns::default());
    let checker = Checker { root: schema, steps, unsure, patterns };
    let mut faults = Vec::new();
    checker.check(schema, arguments, "", 0, &mut faults);
    if checker.steps.get() > STEPS_MAX {
        return Err("the arguments are too many or nested too deeply to be checked: give fewer".to_owned());
    }
    if faults.is_empty() {
        return Ok(());
    }
    faults.truncate(5);
    Err(cut(faults.join("; "), SAID_MAX))
}

struct Checker<'a> {
    root: &'a Value,
    steps: Cell<usize>,
    /// Whether something that was met could not be judged.
    unsure: Cell<bool>,
    patterns: Patterns<'a>,
}

/// How a value does in one form.
struct Tried {
    value: Value,
    faults: Vec<String>,
    sure: bool,
}

impl Checker<'_> {
    fn check(&self, schema: &Value, value: &mut Value, at: &str, depth: usize, faults: &mut Vec<String>) {
        let fields = match schema {
            Value::Object(fields) => fields,
            Value::Bool(false) => return faults.push(format!("{} is not allowed: leave it out", name(at))),
            _ => return,
        };
        self.steps.set(self.steps.get() + 1);
        if depth > DEPTH_MAX || self.steps.get() > STEPS_MAX {
            return faults.push(format!("{} is nested too deeply", name(at)));
        }
        if UNCHECKED.iter().any(|word| fields.contains_key(*word)) {
            self.unsure.set(true);
        }
        if let Some(target) = fields.get("$ref").and_then(Value::as_str) {
            match limits::target(self.root, target) {
                Some(found) => self.check(found, value, at, depth + 1, faults),
                None => self.unsure.set(true),
            }
        }
        if !single::kind(fields, value, at, faults) {
            return;
        }
        self.choices(fields, value, at, depth, faults);
        single::listed(fields, value, at, faults);
        match value {
            Value::Number(number) => single::bounds(fields, number, at, faults),
            Value::String(text) => {
                if !single::text(fields, text, &self.patterns, at, faults) {
                    self.unsure.set(true);
                }
            }
            Value::Array(items) => {
                single::sized(fields, ("minItems", "maxItems"), items.len(), "items", at, faults);
                self.items(fields, items, at, depth, faults);
                single::unique(fields, items, at, faults);
            }
            Value::Object(given) => self.properties(fields, given, at, depth, faults),
            Value::Null | Value::Bool(_) => {}
        }
    }

    fn items(
        &self,
        schema: &Map<String, Value>,
        items: &mut [Value],
        at: &str,
        depth: usize,
        faults: &mut Vec<String>,
    ) {
        let list = |word: &str| schema.get(word).and_then(Value::as_array);
        // Before draft 2020-12 `items` could be the list, and `additionalItems` what the rest must be.
        let (first, rest) = match (list("prefixItems"), list("items")) {
            (Some(first), _) => (first.as_slice(), schema.get("items")),
            (None, Some(first)) => (first.as_slice(), schema.get("additionalItems")),
            (None, None) => (&[][..], schema.get("items")),
        };
        for (index, item) in items.iter_mut().enumerate() {
            if let Some(each) = first.get(index).or(rest) {
                self.check(each, item, &format!("{at}[{index}]"), depth + 1, faults);
            }
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
        let patterns = schema.get("patternProperties").and_then(Value::as_object).unwrap_or(&empty);
        let patterns: Vec<_> = patterns.iter().map(|(word, rule)| (self.patterns.get(word), rule)).collect();
        let required = schema.get("required").and_then(Value::as_array).into_iter().flatten();
        let required: Vec<&str> = required.filter_map(Value::as_str).collect();
        // Some write null for what they leave out.
        given.retain(|key, value| {
            let may_be = || known.get(key).is_some_and(|rule| self.fits_null(rule, depth + 1));
            !value.is_null() || required.contains(&key.as_str()) || may_be()
        });
        for key in &required {
            if !given.contains_key(*key) {
                faults.push(format!("{} is missing", name(&inside(at, key))));
            }
        }
        for (key, value) in given.iter_mut() {
            let place = inside(at, key);
            let mut ruled = false;
            if let Some(rule) = known.get(key) {
                ruled = true;
                self.check(rule, value, &place, depth + 1, faults);
            }
            for (pattern, rule) in &patterns {
                match pattern {
                    Some(pattern) if !pattern.is_match(key) => {}
                    Some(_) => {
                        ruled = true;
                        self.check(rule, value, &place, depth + 1, faults);
                    }
                    None => {
                        ruled = true;
                        self.unsure.set(true);
                    }
                }
            }
            match schema.get("additionalProperties") {
                Some(Value::Bool(false)) if !ruled => {
                    let names: Vec<&str> = known.keys().map(String::as_str).collect();
                    let names = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
                    faults.push(format!("{} is not known; known are: {names}", name(&place)));
                }
                Some(rule) if !ruled => self.check(rule, value, &place, depth + 1, faults),
                _ => {}
            }
        }
    }

    /// Whether null is a value of its own here. Else it says that nothing is given.
    fn fits_null(&self, schema: &Value, depth: usize) -> bool {
        let says_nothing = schema.as_object().is_none_or(Map::is_empty);
        !says_nothing && self.tried(schema, &Value::Null, "", depth).faults.is_empty()
    }

    /// How the value does by this rule alone.
    fn tried(&self, schema: &Value, value: &Value, at: &str, depth: usize) -> Tried {
        let was_unsure = self.unsure.replace(false);
        let (mut value, mut faults) = (value.clone(), Vec::new());
        self.check(schema, &mut value, at, depth, &mut faults);
        let sure = !self.unsure.get();
        self.unsure.set(was_unsure || !sure);
        Tried { value, faults, sure }
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
            if let Some(forms) = schema.get(word).and_then(Value::as_array) {
                self.one_of(forms, word == "oneOf", value, at, depth, faults);
            }
        }
        if let Some(not) = schema.get("not") {
            let tried = self.tried(not, value, at, depth + 1);
            if tried.sure && tried.faults.is_empty() && single::same(&tried.value, value) {
                let rule = single::shown(not);
                faults.push(format!("{} must not fit {rule}, and is {}", name(at), single::shown(value)));
            }
        }
    }

    /// One form must fit; with `only` no other may. A value that fits as it is is left so.
    fn one_of(
        &self,
        forms: &[Value],
        only: bool,
        value: &mut Value,
        at: &str,
        depth: usize,
        faults: &mut Vec<String>,
    ) {
        let tried: Vec<Tried> = forms.iter().map(|form| self.tried(form, value, at, depth + 1)).collect();
        let fitting: Vec<&Tried> = tried.iter().filter(|tried| tried.faults.is_empty()).collect();
        let (as_is, put_right): (Vec<&Tried>, Vec<&Tried>) =
            fitting.iter().partition(|tried| single::same(&tried.value, value));
        let counted = if as_is.is_empty() { &put_right } else { &as_is };
        match counted.as_slice() {
            [] => faults.extend(none_fits(&tried)),
            [_, _, ..] if only && counted.iter().all(|tried| tried.sure) => {
                let why = "fits more than one of the forms that its schema has, and must fit just one";
                faults.push(format!("{} {why}", name(at)));
            }
            [fit, ..] => *value = fit.value.clone(),
        }
    }
}

/// What is wrong by each form, until enough is said.
fn none_fits(tried: &[Tried]) -> Option<String> {
    let mut said: Vec<String> = tried.iter().map(|tried| tried.faults.join(" and ")).collect();
    said.dedup();
    let more = said.len() > FORMS_TOLD;
    said.truncate(FORMS_TOLD);
    let more = if more { ", or another of its forms" } else { "" };
    (!said.is_empty()).then(|| format!("{}{more}", cut(said.join(", or "), FORMS_SAID_MAX)))
}

/// At most so many letters.
fn cut(text: String, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

fn inside(at: &str, key: &str) -> String {
    if at.is_empty() { key.to_owned() } else { format!("{at}.{key}") }
}

fn name(at: &str) -> String {
    if at.is_empty() { "the whole of the arguments".to_owned() } else { format!("`{at}`") }
}

#[cfg(test)]
mod tests;
