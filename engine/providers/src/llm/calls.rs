//! Tool calls as models give them: in fragments, in odd shapes, and broken.
//!
//! The rules are those of `providers.md`, 2.1: compatible servers differ in how they cut, number and name calls.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use super::ToolCall;

/// Calls that come in fragments.
#[derive(Debug, Default)]
pub(super) struct Fragments(Vec<Partial>);

#[derive(Debug, Default)]
struct Partial {
    index: u64,
    id: String,
    name: String,
    arguments: String,
    signature: Option<String>,
}

/// A fragment, whatever of it came.
#[derive(Debug, Default)]
pub(super) struct Fragment<'a> {
    /// Which call of the answer.
    pub index: u64,
    /// Its id; empty in later fragments of most vendors.
    pub id: &'a str,
    /// The tool; empty in later fragments of most vendors.
    pub name: &'a str,
    /// What the vendor wants back with the call.
    pub signature: Option<&'a str>,
}

impl Fragments {
    /// Takes a fragment; `arguments` is a piece of text, an object that is all of them, or null.
    pub fn push(&mut self, fragment: &Fragment<'_>, arguments: &Value) {
        let call = self.call(fragment);
        if call.id.is_empty() {
            fragment.id.clone_into(&mut call.id);
        }
        if call.name.is_empty() {
            fragment.name.clone_into(&mut call.name);
        }
        if let Some(signature) = fragment.signature {
            call.signature = Some(signature.to_owned());
        }
        match arguments {
            Value::String(piece) => call.arguments.push_str(piece),
            Value::Object(_) => call.arguments = arguments.to_string(),
            _ => {}
        }
    }

    /// All arguments of a call are these, whatever came before.
    pub fn replace(&mut self, index: u64, arguments: &str) {
        if let Some(call) = self.0.iter_mut().rev().find(|call| call.index == index) {
            arguments.clone_into(&mut call.arguments);
        }
    }

    /// The calls, complete or as far as they came.
    pub fn take(&mut self) -> Vec<ToolCall> {
        let calls = std::mem::take(&mut self.0).into_iter();
        calls
            .filter(|call| !call.name.is_empty() || !call.arguments.is_empty())
            .map(|call| ToolCall {
                id: if call.id.is_empty() { fresh_id() } else { call.id },
                name: call.name,
                arguments: arguments(&call.arguments),
                signature: call.signature,
            })
            .collect()
    }

    /// The call a fragment belongs to. The same number with another id is another call, since some servers number
    /// all of them nought; so is a new name after arguments that are complete.
    fn call(&mut self, fragment: &Fragment<'_>) -> &mut Partial {
        let is_another = |call: &Partial| {
            if fragment.id.is_empty() {
                let is_named_anew = !fragment.name.is_empty() && !call.name.is_empty();
                is_named_anew && serde_json::from_str::<Value>(&call.arguments).is_ok()
            } else {
                !call.id.is_empty() && call.id != fragment.id
            }
        };
        let known = self.0.iter().rposition(|call| call.index == fragment.index);
        let at = known.filter(|at| !is_another(&self.0[*at])).unwrap_or_else(|| {
            self.0.push(Partial { index: fragment.index, ..Partial::default() });
            self.0.len() - 1
        });
        &mut self.0[at]
    }
}

/// Arguments from text: none are an empty object, an object within a string is taken out of it, and what is no object
/// stays a string.
pub(super) fn arguments(text: &str) -> Value {
    if text.trim().is_empty() {
        return json!({});
    }
    match serde_json::from_str(text) {
        Ok(Value::Object(object)) => Value::Object(object),
        Ok(Value::Null) => json!({}),
        Ok(Value::String(inner)) if inner.trim_start().starts_with('{') => {
            serde_json::from_str::<Value>(&inner)
                .ok()
                .filter(Value::is_object)
                .unwrap_or(Value::String(inner))
        }
        _ => Value::String(text.to_owned()),
    }
}

/// Arguments as they go back to a vendor: an object always, since servers parse them. Broken ones go back within one,
/// so that the model sees what it did.
pub(super) fn replayed(arguments: &Value) -> Value {
    match arguments {
        Value::Object(_) => arguments.clone(),
        Value::Null => json!({}),
        broken => json!({ "invalid_arguments": broken }),
    }
}

/// An id for a call that came without one; no other call has it.
pub(super) fn fresh_id() -> String {
    static NEXT: OnceLock<AtomicU64> = OnceLock::new();
    let next = NEXT.get_or_init(|| {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        AtomicU64::new(since.as_micros() as u64)
    });
    format!("call_{:x}", next.fetch_add(1, Ordering::Relaxed))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn calls(fragments: &[(u64, &str, &str, Value)]) -> Vec<(String, String, Value)> {
        let mut all = Fragments::default();
        for (index, id, name, arguments) in fragments {
            all.push(&Fragment { index: *index, id, name, signature: None }, arguments);
        }
        all.take().into_iter().map(|call| (call.id, call.name, call.arguments)).collect()
    }

    fn call(id: &str, name: &str, arguments: Value) -> (String, String, Value) {
        (id.to_owned(), name.to_owned(), arguments)
    }

    #[test]
    fn fragments_of_several_calls_are_put_together_by_number() {
        let fragments = [
            (0, "a", "weather", json!("")),
            (1, "b", "time", json!("{}")),
            (0, "", "", json!("{\"city\":")),
            (0, "", "", json!("\"ओस्लो\"}")),
        ];
        let expected = [call("a", "weather", json!({"city": "ओस्लो"})), call("b", "time", json!({}))];
        assert_eq!(calls(&fragments), expected);
    }

    #[test]
    fn the_same_number_with_another_id_is_another_call_and_with_the_same_id_the_same() {
        let fragments = [
            (0, "a", "one", json!({"x": 1})),
            (0, "b", "two", json!("{\"y\"")),
            (0, "b", "two", json!(":2}")),
        ];
        assert_eq!(calls(&fragments), [call("a", "one", json!({"x": 1})), call("b", "two", json!({"y": 2}))]);
    }

    #[test]
    fn calls_without_ids_get_ids_that_differ() {
        let calls = calls(&[(0, "", "one", json!({})), (0, "", "two", json!({}))]);
        assert_eq!((calls[0].1.as_str(), calls[1].1.as_str()), ("one", "two"));
        assert!(!calls[0].0.is_empty() && calls[0].0 != calls[1].0);
    }

    #[test]
    fn arguments_are_an_object_or_the_text_that_is_none() {
        for (text, expected) in [
            ("", json!({})),
            ("null", json!({})),
            (" {\"a\":1} ", json!({"a": 1})),
            ("\"{\\\"a\\\":1}\"", json!({"a": 1})),
            ("{\"a\":", json!("{\"a\":")),
            ("[1]", json!("[1]")),
        ] {
            assert_eq!(arguments(text), expected, "{text}");
        }
        assert_eq!(replayed(&json!("{\"a\":")), json!({"invalid_arguments": "{\"a\":"}));
    }
}
