//! Texts with places to fill: `{name}` for an argument, `${secret:NAME}` for a secret.
//!
//! A text is cut into parts once and then filled, so that an argument that looks like a place is only text. What the
//! filled text is to be, an address, JSON or a form, decides how a value is written into it.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

/// Arguments by name.
pub type Arguments = Map<String, Value>;
/// Secrets by name.
pub type Values = BTreeMap<String, String>;

/// A piece of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part<'a> {
    /// As it stands.
    Text(&'a str),
    /// The argument of that name.
    Argument(&'a str),
    /// The secret of that name.
    Secret(&'a str),
}

const SECRET: &str = "${secret:";

/// The pieces of a text, in order.
pub fn parts(text: &str) -> Vec<Part<'_>> {
    let mut parts = Vec::new();
    let (mut begun, mut at) = (0, 0);
    while let Some(found) = text[at..].find(['$', '{']) {
        let start = at + found;
        match place(&text[start..]) {
            Some((part, length)) => {
                if begun < start {
                    parts.push(Part::Text(&text[begun..start]));
                }
                parts.push(part);
                at = start + length;
                begun = at;
            }
            None => at = start + 1,
        }
    }
    if begun < text.len() {
        parts.push(Part::Text(&text[begun..]));
    }
    parts
}

/// The place that a text begins with, and its length.
fn place(text: &str) -> Option<(Part<'_>, usize)> {
    let (open, part): (usize, fn(&str) -> Part<'_>) = match text.starts_with(SECRET) {
        true => (SECRET.len(), |name| Part::Secret(name)),
        false => (text.starts_with('{').then_some(1)?, |name| Part::Argument(name)),
    };
    let length = text[open..].find('}')?;
    let name = &text[open..open + length];
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    let is_name = (1..=64).contains(&name.len()) && name.bytes().all(fits);
    is_name.then(|| (part(name), open + length + 1))
}

/// The names of the secrets in a text.
pub fn secrets(text: &str) -> impl Iterator<Item = &str> {
    parts(text).into_iter().filter_map(|part| match part {
        Part::Secret(name) => Some(name),
        _ => None,
    })
}

/// The names of the arguments in a text.
pub fn arguments(text: &str) -> impl Iterator<Item = &str> {
    parts(text).into_iter().filter_map(|part| match part {
        Part::Argument(name) => Some(name),
        _ => None,
    })
}

/// A header's value: secrets are filled in, arguments have no place there.
pub fn header(text: &str, secrets: &Values) -> String {
    let filled = parts(text).into_iter().map(|part| match part {
        Part::Text(text) => text.to_owned(),
        Part::Argument(name) => format!("{{{name}}}"),
        Part::Secret(name) => secrets.get(name).cloned().unwrap_or_default(),
    });
    filled.collect()
}

/// An address. A pair of the query without its argument is left out.
///
/// # Errors
/// What is wrong with the arguments, for a model.
pub fn address(text: &str, arguments: &Arguments, secrets: &Values) -> Result<String, String> {
    let (path, query) = text.split_once('?').map_or((text, None), |(path, query)| (path, Some(query)));
    let mut filled = String::new();
    for part in parts(path) {
        match part {
            Part::Text(text) => filled.push_str(text),
            Part::Secret(name) => filled.push_str(&encoded(secrets.get(name).map_or("", String::as_str))),
            Part::Argument(name) => {
                let value = words(arguments.get(name)).filter(|value| !value.is_empty());
                filled.push_str(&encoded(&value.ok_or_else(|| format!("`{name}` is missing"))?));
            }
        }
    }
    // An address reads `%2e` as a dot.
    let plain = filled.replace("%2e", ".").replace("%2E", ".");
    if plain.split(['/', '\\']).any(|segment| matches!(segment, "." | "..")) {
        return Err("an argument that stands in the address must not be `.` or `..`".to_owned());
    }
    let pairs = query.into_iter().flat_map(|query| query.split('&'));
    let mut mark = '?';
    for pair in pairs.filter_map(|pair| form(pair, arguments, secrets)) {
        filled.push(mark);
        filled.push_str(&pair);
        mark = '&';
    }
    Ok(filled)
}

/// A body: JSON where the text is JSON, else a form. Says which.
pub fn body(text: &str, arguments: &Arguments, secrets: &Values) -> (String, &'static str) {
    match serde_json::from_str::<Value>(text) {
        Ok(mut json) => {
            fill(&mut json, arguments, secrets);
            (json.to_string(), "application/json")
        }
        Err(_) => {
            let pairs: Vec<String> =
                text.split('&').filter_map(|pair| form(pair, arguments, secrets)).collect();
            (pairs.join("&"), "application/x-www-form-urlencoded")
        }
    }
}

fn fill(json: &mut Value, arguments: &Arguments, secrets: &Values) {
    match json {
        Value::Array(items) => items.iter_mut().for_each(|item| fill(item, arguments, secrets)),
        Value::Object(fields) => fields.values_mut().for_each(|field| fill(field, arguments, secrets)),
        Value::String(text) => {
            let filled = match parts(text).as_slice() {
                [Part::Argument(name)] => arguments.get(*name).cloned().unwrap_or(Value::Null),
                parts => Value::String(
                    parts
                        .iter()
                        .map(|part| match part {
                            Part::Text(text) => (*text).to_owned(),
                            Part::Argument(name) => words(arguments.get(*name)).unwrap_or_default(),
                            Part::Secret(name) => secrets.get(*name).cloned().unwrap_or_default(),
                        })
                        .collect(),
                ),
            };
            *json = filled;
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// A pair of a query or form; none if an argument it needs was not given.
fn form(pair: &str, arguments: &Arguments, secrets: &Values) -> Option<String> {
    let mut filled = String::new();
    for part in parts(pair) {
        match part {
            Part::Text(text) => filled.push_str(text),
            Part::Secret(name) => filled.push_str(&encoded(secrets.get(name).map_or("", String::as_str))),
            Part::Argument(name) => filled.push_str(&encoded(&words(arguments.get(name))?)),
        }
    }
    Some(filled)
}

/// A value as words; none for none.
pub fn words(value: Option<&Value>) -> Option<String> {
    match value? {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}

/// Percent-encoded but for what RFC 3986 calls unreserved.
pub fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(char::from(byte)),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn given(json: Value) -> Arguments {
        json.as_object().expect("it is an object").clone()
    }

    fn vault() -> Values {
        [("KEY".to_owned(), "s&cret".to_owned())].into()
    }

    #[test]
    fn a_text_is_cut_into_its_places_and_what_is_none_stays() {
        assert_eq!(
            parts("a{b}${secret:C}{ d}{e$ {"),
            [Part::Text("a"), Part::Argument("b"), Part::Secret("C"), Part::Text("{ d}{e$ {")]
        );
        assert_eq!(parts("${x}"), [Part::Text("$"), Part::Argument("x")]);
        assert!(parts("").is_empty());
    }

    #[test]
    fn an_argument_can_leave_neither_its_segment_nor_its_pair() {
        let url = "https://a.example/users/{id}/notes?day={day}&key=${secret:KEY}&to={to}";
        let filled = address(url, &given(json!({"id": "a/../b?x=#", "day": "1&2=3"})), &vault());
        let expected = "https://a.example/users/a%2F..%2Fb%3Fx%3D%23/notes?day=1%262%3D3&key=s%26cret";
        assert_eq!(filled.as_deref(), Ok(expected));
        for id in [json!(".."), json!("."), json!(""), json!(null)] {
            assert!(address(url, &given(json!({ "id": id })), &vault()).is_err(), "{id}");
        }
        for around in
            ["https://a.example/%2e{id}/x", "https://a.example/.{id}", r"https://a.example/b\{id}.\x"]
        {
            assert!(address(around, &given(json!({"id": "."})), &vault()).is_err(), "{around}");
        }
        let filled = address("https://a.example/{id}", &given(json!({"id": "%2e%2e"})), &vault());
        assert_eq!(filled.as_deref(), Ok("https://a.example/%252e%252e"));
    }

    #[test]
    fn an_argument_that_looks_like_a_secret_is_only_text() {
        let arguments = given(json!({"note": "${secret:KEY} {id}", "id": 7}));
        let (text, kind) =
            body(r#"{"a": "{note}", "b": "{id}", "c": "no {id} ${secret:KEY}"}"#, &arguments, &vault());
        let json: Value = serde_json::from_str(&text).expect("it is JSON");
        assert_eq!(json, json!({"a": "${secret:KEY} {id}", "b": 7, "c": "no 7 s&cret"}));
        assert_eq!(kind, "application/json");
        assert_eq!(
            body("note={note}&x={y}&id={id}", &arguments, &vault()).0,
            "note=%24%7Bsecret%3AKEY%7D%20%7Bid%7D&id=7"
        );
        assert_eq!(header("Bearer ${secret:KEY} {id}", &vault()), "Bearer s&cret {id}");
    }
}
