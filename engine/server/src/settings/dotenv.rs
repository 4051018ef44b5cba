//! `.env`: lines of `NAME=value`, as shells and most frameworks write them.
//!
//! Only what is asked for is read: the file may be another program's too, whose lines need not make sense here.
//! Values may be in single or double quotes; ` #` begins a comment outside of them; `export` before a name is
//! passed over. Nothing is expanded and no value goes over a line.

use std::collections::BTreeMap;

/// The values of the wanted names; the last of a name counts.
///
/// # Errors
/// The number of a line, from 1, whose wanted value has no closing quote or something after it.
pub fn parse(text: &str, wanted: impl Fn(&str) -> bool) -> Result<BTreeMap<String, String>, usize> {
    let mut values = BTreeMap::new();
    for (number, name, rest) in assignments(text).filter(|(_, name, _)| wanted(name)) {
        values.insert(name.to_owned(), value(rest).ok_or(number)?);
    }
    Ok(values)
}

/// Every name that is given something, whoever's it is, with what stands there as it is.
pub fn names(text: &str) -> BTreeMap<String, String> {
    assignments(text).map(|(_, name, rest)| (name.to_owned(), rest.to_owned())).collect()
}

/// The lines that give a name something: number from 1, name, the rest.
fn assignments(text: &str) -> impl Iterator<Item = (usize, &str, &str)> {
    // Editors of Windows put a byte order mark in front.
    let lines = text.trim_start_matches('\u{feff}').lines().enumerate();
    lines.filter_map(|(index, line)| {
        let line = line.trim();
        let (name, rest) = line.strip_prefix("export ").unwrap_or(line).split_once('=')?;
        Some((index + 1, name.trim(), rest.trim()))
    })
}

fn value(text: &str) -> Option<String> {
    let quote = text.chars().next().filter(|first| matches!(first, '"' | '\''));
    let Some(quote) = quote else {
        let comment = text.find(" #").or_else(|| text.starts_with('#').then_some(0));
        return Some(text[..comment.unwrap_or(text.len())].trim().to_owned());
    };
    let mut value = String::new();
    let mut letters = text[1..].chars();
    loop {
        match letters.next()? {
            letter if letter == quote => break,
            '\\' if quote == '"' => value.push(letters.next()?),
            letter => value.push(letter),
        }
    }
    let after = letters.as_str().trim();
    (after.is_empty() || after.starts_with('#')).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_comments_exports_and_blanks_are_read_as_a_shell_would() {
        let text = "# ours\nexport PORT = 9000 # not 8080\nHOST='0.0.0.0'\nPARLANCE_DATA_DIR=\"a \\\"b\\\" # c\"\nEMPTY=\nURL=a#b\n";
        let values = parse(text, |_| true).expect("it is well formed");
        let of = |name: &str| values[name].as_str();
        assert_eq!([of("PORT"), of("HOST"), of("EMPTY"), of("URL")], ["9000", "0.0.0.0", "", "a#b"]);
        assert_eq!(of("PARLANCE_DATA_DIR"), "a \"b\" # c");
    }

    #[test]
    fn a_broken_line_counts_only_if_it_is_ours() {
        let text = "THEIRS=\"begun\nno line at all\nPORT=\"80";
        assert_eq!(parse(text, |name| name == "PORT"), Err(3));
        assert_eq!(parse(text, |name| name == "HOST"), Ok(BTreeMap::new()));
    }
}
