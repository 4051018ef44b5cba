//! Templates: `{{name}}` in texts and tool arguments.

/// A piece of a template.
#[derive(Debug, PartialEq)]
enum Piece<'a> {
    Text(&'a str),
    Variable(&'a str),
}

/// The text with every variable filled in; an unknown one leaves nothing.
pub(crate) fn fill(template: &str, value: impl Fn(&str) -> Option<String>) -> String {
    let mut out = String::new();
    for piece in pieces(template) {
        match piece {
            Piece::Text(text) => out.push_str(text),
            Piece::Variable(name) => out.push_str(&value(name).unwrap_or_default()),
        }
    }
    out.trim().to_owned()
}

/// The names of the variables in it.
pub(super) fn variables(template: &str) -> impl Iterator<Item = &str> {
    pieces(template).into_iter().filter_map(|piece| match piece {
        Piece::Variable(name) => Some(name),
        Piece::Text(_) => None,
    })
}

/// The variable's name if the template is nothing else.
pub(super) fn single_variable(template: &str) -> Option<&str> {
    match pieces(template.trim()).as_slice() {
        [Piece::Variable(name)] => Some(name),
        _ => None,
    }
}

fn pieces(template: &str) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once("{{") {
        let Some((name, tail)) = after.split_once("}}") else { break };
        if !before.is_empty() {
            pieces.push(Piece::Text(before));
        }
        pieces.push(Piece::Variable(name.trim()));
        rest = tail;
    }
    if !rest.is_empty() {
        pieces.push(Piece::Text(rest));
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_filled_in_and_unknown_ones_leave_nothing() {
        let value = |name: &str| (name == "party").then(|| "4".to_owned());
        assert_eq!(fill("A table for {{party}}, {{ party }}{{nobody}}.", value), "A table for 4, 4.");
        assert_eq!(fill("open {{ brace", value), "open {{ brace");
        assert_eq!(variables("{{a}} and {{b.c}}").collect::<Vec<_>>(), ["a", "b.c"]);
        assert_eq!(single_variable(" {{a}} "), Some("a"));
        assert_eq!(single_variable("{{a}}!"), None);
    }
}
