//! Secrets of organisations that tools name: who keeps them, and how they are kept out of everything that is told.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use parlance_conversation::ToolOutcome;
use parlance_store::{OrganisationId, Scope};
use serde_json::{Number, Value};

use super::template::{self, Values};

/// What stands in place of a secret's value.
const HIDDEN: &str = "[secret]";
/// Shorter values would be found in every text.
pub const SHORTEST: usize = 4;
/// What a secret can be called.
pub const NAMES: &str = "[A-Za-z0-9_-]{1,64}";

/// Why a secret can't be had. Completes "could not …".
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database.
    #[error(transparent)]
    Store(#[from] parlance_store::Error),
    /// It is there, and no master key opens it.
    #[error("decrypt it with the master keys that are set")]
    Sealed,
}

/// Where secrets are kept.
pub trait Secrets: Send + Sync {
    /// The value of the organisation's secret of that name; none if it has none.
    fn find<'a>(&'a self, scope: &'a Scope, name: &'a str) -> BoxFuture<'a, Result<Option<String>, Error>>;
}

/// Secrets by name that the operator has set for his own organisation: `NAME=value`, a line or a comma each.
///
/// They are the operator's alone: any other organisation could send them wherever it likes.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct OperatorSecrets(BTreeMap<String, String>);

impl fmt::Debug for OperatorSecrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl std::str::FromStr for OperatorSecrets {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let entries = text.split(['\n', ',']).map(str::trim).filter(|entry| !entry.is_empty());
        let mut secrets = BTreeMap::new();
        for (index, entry) in entries.enumerate() {
            // The entry may be the secret, so it is not shown.
            let why = || format!("entry {} must be NAME=value, with a NAME of {NAMES}", index + 1);
            let (name, value) = entry.split_once('=').ok_or_else(why)?;
            if !is_name(name) || value.is_empty() {
                return Err(why());
            }
            secrets.insert(name.to_owned(), value.to_owned());
        }
        Ok(Self(secrets))
    }
}

impl Secrets for OperatorSecrets {
    fn find<'a>(&'a self, scope: &'a Scope, name: &'a str) -> BoxFuture<'a, Result<Option<String>, Error>> {
        let own = scope.organisation() == OrganisationId::DEFAULT;
        Box::pin(std::future::ready(Ok(self.0.get(name).filter(|_| own).cloned())))
    }
}

/// Whether a secret can be called so.
pub fn is_name(name: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    (1..=64).contains(&name.len()) && name.bytes().all(fits)
}

/// The values of all these secrets.
///
/// # Errors
/// Which one there is not, for a model.
pub async fn all<'a>(
    secrets: &Arc<dyn Secrets>,
    scope: &Scope,
    names: impl Iterator<Item = &'a str>,
) -> Result<Values, String> {
    let mut values = Values::new();
    for name in names {
        if values.contains_key(name) {
            continue;
        }
        match secrets.find(scope, name).await {
            Ok(Some(value)) => drop(values.insert(name.to_owned(), value)),
            Ok(None) => return Err(format!("the tool is not set up: there is no secret {name}")),
            Err(error) => {
                tracing::error!(%error, name, "a secret could not be read");
                return Err("the tool's secrets can't be read right now".to_owned());
            }
        }
    }
    Ok(values)
}

/// The text without the values of these secrets, as they are and as they stand in JSON and in an address.
pub fn hidden(text: &str, secrets: &Values) -> String {
    let mut text = text.to_owned();
    let values = secrets.values().filter(|value| value.len() >= SHORTEST);
    let mut forms: Vec<String> = values.flat_map(|value| forms(value)).collect();
    // The longest first: of a secret that begins with another one nothing shall be left.
    forms.sort_by_key(|form| std::cmp::Reverse(form.len()));
    for form in forms {
        text = text.replace(&form, HIDDEN);
    }
    text
}

/// The same in every text and number of a JSON value. However a service writes its JSON, once read it is plain.
pub fn hidden_in(value: &mut Value, secrets: &Values) {
    match value {
        Value::String(text) => *text = hidden(text, secrets),
        Value::Array(items) => items.iter_mut().for_each(|item| hidden_in(item, secrets)),
        Value::Object(fields) => {
            let plain = std::mem::take(fields).into_iter().map(|(key, mut value)| {
                hidden_in(&mut value, secrets);
                (hidden(&key, secrets), value)
            });
            *fields = plain.collect();
        }
        Value::Number(number) => {
            let text = number.to_string();
            let plain = if is_one_of(number, secrets) { HIDDEN.to_owned() } else { hidden(&text, secrets) };
            if plain != text {
                *value = Value::String(plain);
            }
        }
        Value::Null | Value::Bool(_) => {}
    }
}

/// The JSON value that a text is, without them; none if it is none, or can't be rid of them.
pub fn hidden_in_json(text: &str, secrets: &Values) -> Option<Value> {
    // First as text: a secret may be a piece of JSON itself. Where a number is hidden so, JSON it is no more.
    let plain = serde_json::from_str(&hidden(text, secrets)).ok();
    let mut value: Value = plain.or_else(|| serde_json::from_str(text).ok())?;
    hidden_in(&mut value, secrets);
    let text = value.to_string();
    (hidden(&text, secrets) == text).then_some(value)
}

/// Whether a number is a secret of digits, however it is written: `12345678.0`, or a long one rounded as it was read.
fn is_one_of(number: &Number, secrets: &Values) -> bool {
    let long = secrets.values().filter(|value| value.len() >= SHORTEST);
    let mut same = long.filter_map(|value| value.parse::<f64>().ok());
    same.any(|secret| number.as_f64() == Some(secret))
}

/// The same in what is told of a run.
pub fn kept_out(mut outcome: ToolOutcome, secrets: &Values) -> ToolOutcome {
    match &mut outcome {
        ToolOutcome::Succeeded { result } => hidden_in(result, secrets),
        ToolOutcome::Failed { reason } => *reason = hidden(reason, secrets),
        ToolOutcome::TimedOut => {}
    }
    outcome
}

/// How a value may stand in a text.
fn forms(value: &str) -> Vec<String> {
    let quoted = Value::from(value).to_string();
    let quoted = quoted[1..quoted.len() - 1].to_owned();
    let encoded = template::encoded(value);
    let mut forms = vec![
        value.to_owned(),
        // Some write JSON so.
        quoted.replace('/', "\\/"),
        quoted,
        // A form has its spaces so.
        encoded.replace("%20", "+"),
        lower_escapes(&encoded).replace("%20", "+"),
        lower_escapes(&encoded),
        encoded,
    ];
    forms.dedup();
    forms
}

/// `%2f` for `%2F`.
fn lower_escapes(encoded: &str) -> String {
    let mut parts = encoded.split('%');
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| {
        let (escape, rest) = part.split_at(2);
        format!("{text}%{}{rest}", escape.to_lowercase())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_read_by_line_or_comma_and_shown_by_name_only() {
        let secrets: OperatorSecrets = "CRM=abc=,\n MAIL=x y ".parse().expect("they are fine");
        assert_eq!(format!("{secrets:?}"), r#"{"CRM", "MAIL"}"#);
        assert_eq!(secrets.0["CRM"], "abc=");
        for bad in ["hush-hush", "=hush", "a b=hush", "A="] {
            let why = bad.parse::<OperatorSecrets>().expect_err("it is none");
            assert!(!why.contains("hush"), "{why}");
        }
    }

    #[test]
    fn no_form_of_a_secret_is_left_in_a_text() {
        let values: Values = [("A".to_owned(), "p\"q&r".to_owned())].into();
        let text = r#"plain p"q&r, in JSON "p\"q&r", in an address p%22q%26r"#;
        assert_eq!(hidden(text, &values), r#"plain [secret], in JSON "[secret]", in an address [secret]"#);
    }

    #[test]
    fn a_service_can_not_write_a_secret_so_that_it_is_plain_again_once_it_is_read() {
        let values: Values =
            [("A".to_owned(), "ab/cd+é x".to_owned()), ("B".to_owned(), "ab/cd+é x and more".to_owned())]
                .into();
        assert_eq!(hidden(r#"{"a": "ab\/cd+é x"}"#, &values), r#"{"a": "[secret]"}"#);
        assert_eq!(hidden("?a=ab%2fcd%2b%c3%a9%20x&b=ab%2Fcd%2B%C3%A9+x", &values), "?a=[secret]&b=[secret]");
        assert_eq!(hidden("a=ab%2fcd%2b%c3%a9+x", &values), "a=[secret]");
        assert_eq!(hidden("ab/cd+é x and more", &values), "[secret]", "one that begins as another does");
        let mut read = serde_json::from_str(r#"{"\u0061b/cd+é x": [{"b": "<\u0061b\/cd+\u00e9 x>"}]}"#)
            .expect("it is JSON");
        hidden_in(&mut read, &values);
        assert_eq!(read, serde_json::json!({"[secret]": [{"b": "<[secret]>"}]}));
    }

    #[test]
    fn a_secret_of_digits_is_hidden_where_it_is_a_number_and_what_stands_beside_it_stays_json() {
        let secrets = [("PIN", "12345678"), ("LONG", "98765432109876543210"), ("KEY", r#"{"id":"k","n":5}"#)];
        let values: Values = secrets.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let read = |text: &str| hidden_in_json(text, &values).map(|value| value.to_string());
        let plain = r#"{"n":5,"pin":"[secret]"}"#;
        for pin in ["12345678", "12345678.0", "1.2345678e7", "98765432109876543210", r#""12345678""#] {
            assert_eq!(read(&format!(r#"{{"n": 5, "pin": {pin}}}"#)).as_deref(), Some(plain), "{pin}");
        }
        assert_eq!(read(r#"[9123456789]"#).as_deref(), Some(r#"["9[secret]9"]"#), "as in a text");
        assert_eq!(read(r#"{"a":"{\"id\":\"k\",\"n\":5}"}"#).as_deref(), Some(r#"{"a":"[secret]"}"#));
        assert_eq!(read(r#"{"a":{"id":"k","n":5}}"#), None, "a secret that is JSON");
        assert_eq!(read("no JSON"), None);
    }
}
