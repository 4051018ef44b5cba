//! Orders of lists: `create_time desc` as a field and a direction.
//!
//! One field, because the next page begins after that field's value and the id. Enter at [`parse`].

use crate::status::Violations;

/// The order that is wanted: one of `known`, and whether the greatest comes first; none if the text is blank.
///
/// # Errors
/// A violation of `order_by` that names the known fields.
pub fn parse<'a>(text: &str, known: &[&'a str]) -> Result<Option<(&'a str, bool)>, Violations> {
    let mut words = text.split_whitespace();
    let Some(field) = words.next() else { return Ok(None) };
    let descending = match (words.next(), words.next()) {
        (None, _) | (Some("asc"), None) => false,
        (Some("desc"), None) => true,
        _ => return Err(wrong(known)),
    };
    let field = known.iter().find(|name| **name == field).ok_or_else(|| wrong(known))?;
    Ok(Some((field, descending)))
}

fn wrong(known: &[&str]) -> Violations {
    let why = format!("must be one of {}, with ` desc` behind it for the greatest first", known.join(", "));
    Violations::one("order_by", why)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_is_one_known_field_and_may_be_turned_round() {
        let known = ["create_time", "display_name"];
        assert_eq!(parse("", &known), Ok(None));
        assert_eq!(parse(" display_name ", &known), Ok(Some(("display_name", false))));
        assert_eq!(parse("create_time desc", &known), Ok(Some(("create_time", true))));
        for wrong in ["name", "create_time down", "create_time, display_name", "create_time desc asc"] {
            assert!(parse(wrong, &known).is_err(), "{wrong}");
        }
    }
}
