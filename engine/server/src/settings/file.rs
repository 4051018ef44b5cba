//! `parlance.toml`: the flags' names with underscores, at the top or grouped in tables.
//!
//! `database_url = "…"` and `[database]` with `url = "…"` are the same, so that a file may be nested by room. The table
//! `[prices]` is one value: its keys are providers and units, not settings.

use toml::{Table, Value};

/// The table that is one value.
const PRICES: &str = "prices";

/// Every key with its tables' names before it, joined by `_`, and its value as a flag would be given.
///
/// # Errors
/// What is not TOML, or a key whose value is no text, whole number or true and false; the text says which.
pub fn parse(text: &str) -> Result<Vec<(String, String)>, String> {
    let table: Table = toml::from_str(text).map_err(|error| error.to_string().trim().to_owned())?;
    let mut values = Vec::new();
    flatten("", table, &mut values)?;
    Ok(values)
}

fn flatten(before: &str, table: Table, values: &mut Vec<(String, String)>) -> Result<(), String> {
    for (key, value) in table {
        let key = format!("{before}{key}");
        let text = match value {
            Value::Table(inner) if key == PRICES => {
                let mut entries = Vec::new();
                list("", inner, &mut entries)?;
                entries.join(", ")
            }
            Value::Table(inner) => {
                flatten(&format!("{key}_"), inner, values)?;
                continue;
            }
            Value::String(text) => text,
            Value::Integer(number) => number.to_string(),
            Value::Boolean(is) => is.to_string(),
            Value::Float(_) | Value::Datetime(_) | Value::Array(_) => {
                return Err(format!("`{key}` must be a text, a whole number, true or false"));
            }
        };
        values.push((key, text));
    }
    Ok(())
}

/// The entries of a table as `name=value`, those of its tables with their name and a dot before them.
fn list(before: &str, table: Table, entries: &mut Vec<String>) -> Result<(), String> {
    for (key, value) in table {
        let key = format!("{before}{key}");
        match value {
            Value::Table(inner) => list(&format!("{key}."), inner, entries)?,
            Value::String(text) => entries.push(format!("{key}={text}")),
            Value::Integer(number) => entries.push(format!("{key}={number}")),
            Value::Float(number) => entries.push(format!("{key}={number}")),
            Value::Boolean(_) | Value::Datetime(_) | Value::Array(_) => {
                return Err(format!("`{PRICES}.{key}` must be a text or a number"));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_part_of_the_name() {
        let values =
            parse("port = 9000\nno_recording = true\n[database]\nurl = 'postgres://x'").expect("it is TOML");
        let has = |key: &str, value: &str| values.contains(&(key.to_owned(), value.to_owned()));
        assert!(has("port", "9000") && has("no_recording", "true") && has("database_url", "postgres://x"));
        let prices =
            "[prices]\ncurrency = 'USD'\n[prices.openai]\nlanguage_model_million_input_tokens = 0.15";
        let value = "currency=USD, openai.language_model_million_input_tokens=0.15".to_owned();
        assert_eq!(parse(prices), Ok(vec![("prices".to_owned(), value)]));
        assert!(parse("[prices]\nx = true").is_err_and(|why| why.contains("`prices.x`")));
        assert!(parse("port = [1]").is_err_and(|why| why.contains("`port`")));
    }
}
