//! `parlance.toml`: the flags' names with underscores, at the top or grouped in tables.
//!
//! `database_url = "…"` and `[database]` with `url = "…"` are the same, so that a file may be nested by room.

use toml::{Table, Value};

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_part_of_the_name() {
        let values =
            parse("port = 9000\nno_recording = true\n[database]\nurl = 'postgres://x'").expect("it is TOML");
        let has = |key: &str, value: &str| values.contains(&(key.to_owned(), value.to_owned()));
        assert!(has("port", "9000") && has("no_recording", "true") && has("database_url", "postgres://x"));
        assert!(parse("port = [1]").is_err_and(|why| why.contains("`port`")));
    }
}
