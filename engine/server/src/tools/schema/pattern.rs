//! `pattern`: the regular expressions of JSON schemas, which are those of JavaScript.
//!
//! What both languages write alike is handed on, what means another thing here is written anew (`\d` is ten digits there),
//! and what is no regular expression in the strict sense, looking ahead and back and repeating a group, is refused. The
//! engine behind never goes back on itself, so that its time grows with the text and never beyond; its size is bounded.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use regex::{Regex, RegexBuilder};

/// The longest pattern, characters.
const LONGEST: usize = 1_000;
/// The most memory that a compiled pattern may take, bytes.
const COMPILED_MAX: usize = 256 * 1024;
/// The most patterns of one schema: no more are compiled.
pub const MANY: usize = 32;
/// How deep groups may be nested.
const NEST_MAX: u32 = 50;
/// The longest text that is held against a pattern, characters.
pub const TEXT_MAX: usize = 10_000;

/// The patterns of one check: each is compiled once, however often it is met.
#[derive(Default)]
pub struct Patterns(RefCell<HashMap<String, Option<Rc<Regex>>>>);

impl Patterns {
    /// The pattern; none if it can't be used, or is one too many.
    pub fn get(&self, pattern: &str) -> Option<Rc<Regex>> {
        let mut known = self.0.borrow_mut();
        if let Some(known) = known.get(pattern) {
            return known.clone();
        }
        let new = if known.len() < MANY { compiled(pattern).ok().map(Rc::new) } else { None };
        known.insert(pattern.to_owned(), new.clone());
        new
    }
}

/// Compiles a pattern.
///
/// # Errors
/// Why it can't be used. Finishes "…".
pub fn compiled(pattern: &str) -> Result<Regex, String> {
    let length = pattern.chars().count();
    if length > LONGEST {
        return Err(format!("has {length} characters; at most {LONGEST} are allowed"));
    }
    let mut builder = RegexBuilder::new(&rewritten(pattern));
    builder.size_limit(COMPILED_MAX).dfa_size_limit(COMPILED_MAX).nest_limit(NEST_MAX);
    builder.build().map_err(|error| match error {
        regex::Error::CompiledTooBig(_) => {
            "is too large to be checked: leave counts such as `{2,60}` to `minLength` and `maxLength`"
                .to_owned()
        }
        error => {
            // The last line says what; those before draw where, in the pattern as it was rewritten.
            let said = error.to_string();
            let what = said.lines().last().unwrap_or_default().trim_start_matches("error: ");
            format!("is no regular expression that can be checked: {what}")
        }
    })
}

/// The same pattern in the words of the engine behind.
fn rewritten(pattern: &str) -> String {
    let mut out = String::with_capacity(pattern.len() + 16);
    let mut letters = pattern.chars().peekable();
    let mut in_class = false;
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => match letters.next() {
                Some('d') => out.push_str("[0-9]"),
                Some('D') => out.push_str("[^0-9]"),
                Some('w') => out.push_str("[A-Za-z0-9_]"),
                Some('W') => out.push_str("[^A-Za-z0-9_]"),
                Some('s') => out.push_str(r"[\t-\r\x{a0}\x{feff}\x{2028}\x{2029}\p{Zs}]"),
                Some('S') => out.push_str(r"[^\t-\r\x{a0}\x{feff}\x{2028}\x{2029}\p{Zs}]"),
                Some('b') if in_class => out.push_str(r"\x08"),
                Some('b') => out.push_str(r"(?-u:\b)"),
                // Any other letter with a meaning of its own here alone, such as \A and \z, is no escape there.
                Some(escaped @ ('A' | 'z' | 'a' | '<' | '>')) => out.push(escaped),
                Some(escaped) => out.extend(['\\', escaped]),
                None => out.push('\\'),
            },
            '[' if in_class => out.push_str(r"\["),
            '[' => {
                let negated = letters.next_if_eq(&'^').is_some();
                in_class = letters.next_if_eq(&']').is_none();
                // `[]` is nothing and `[^]` is anything; here a bracket that comes first would be a letter.
                out.push_str(match (in_class, negated) {
                    (true, false) => "[",
                    (true, true) => "[^",
                    (false, false) => r"[^\x00-\x{10ffff}]",
                    (false, true) => r"[\x00-\x{10ffff}]",
                });
            }
            ']' => {
                in_class = false;
                out.push(']');
            }
            // Between sets these take one from another here; there they are letters.
            '&' | '~' if in_class => out.extend(['\\', letter]),
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn fits(pattern: &str, text: &str) -> bool {
        compiled(pattern).expect("it can be used").is_match(text)
    }

    #[test]
    fn a_pattern_means_what_it_means_in_javascript() {
        assert!(fits(r"^\d{4}$", "2026") && !fits(r"^\d{4}$", "٢٠٢٦"));
        assert!(fits(r"^[\w-]+$", "a-b_1") && !fits(r"^[\w-]+$", "ü"));
        assert!(fits(r"^\p{L}[\p{L}' -]*$", "Åse O'Neill"));
        assert!(fits(r"^\s$", "\u{a0}") && !fits(r"^\S+$", "a b"));
        assert!(fits(r"\bmenu\b", "the menu, please") && !fits(r"\bmenu\b", "menus"));
        assert!(fits("^[[a&&b~]+$", "[a&b~") && fits("^[^]$", "x") && !fits("^[]$", "x"));
        assert!(fits(r"^https?:\/\/[^\/]+$", "https://a.example"));
        assert!(fits("b", "abc"), "it may stand anywhere");
        assert!(fits(r"^\u00e9\x41$", "éA"));
    }

    #[test]
    fn of_one_schema_only_so_many_patterns_are_compiled() {
        let patterns = Patterns::default();
        let known = (0..2 * MANY).filter(|number| patterns.get(&format!("^{number}$")).is_some()).count();
        assert_eq!(known, MANY);
        assert!(patterns.get("^0$").is_some_and(|pattern| pattern.is_match("0")), "it is kept");
    }

    #[test]
    fn what_can_not_be_checked_or_would_take_much_memory_is_refused_with_why() {
        let why = |pattern: &str| compiled(pattern).expect_err("it can't be used");
        assert!(why("(?=a)b").contains("look-around"), "{}", why("(?=a)b"));
        assert!(why(r"(a)\1").contains("backreferences"), "{}", why(r"(a)\1"));
        assert!(why("(").starts_with("is no regular expression that can be checked: unclosed group"));
        for large in ["((a{100}){100}){100}", r"^\p{L}{2,60}$"] {
            assert!(why(large).contains("`maxLength`"), "{}", why(large));
        }
        assert!(why(&"(".repeat(200)).starts_with("is no regular expression"));
        assert!(why(&"a".repeat(1_001)).contains("at most 1000"));
    }
}
