//! `pattern`: the regular expressions of JSON schemas, which are those of JavaScript.
//!
//! What both languages write alike is handed on, what means another thing here is written anew (`\d` is ten digits there),
//! and what is no regular expression in the strict sense, looking ahead and back and repeating a group, is refused. The
//! engine behind never goes back on itself, so that its time grows with the text and never beyond; its size is bounded.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use regex::{Regex, RegexBuilder};

/// The longest pattern, characters.
const LONGEST: usize = 1_000;
/// The most memory that a compiled pattern usually takes, bytes.
const USUAL_MAX: usize = 256 * 1024;
/// The most that a large one may take, bytes: `^\p{L}{2,60}$` fits.
const LARGE_MAX: usize = 3 * 1024 * 1024;
/// As how many patterns a large one counts.
pub const LARGE_COUNTS: usize = 8;
/// The most memory that it may take besides while it is held against a text, bytes.
const CACHE_MAX: usize = 256 * 1024;
/// The most compiled patterns that are kept for the next check, whoever's: 48 MiB at worst.
const KEPT_MAX: usize = 128;
/// The most patterns of one schema: no more are compiled.
pub const MANY: usize = 32;
/// How deep groups may be nested.
const NEST_MAX: u32 = 50;
/// The longest text that is held against a pattern, characters.
pub const TEXT_MAX: usize = 10_000;

/// A compiled pattern.
#[derive(Debug)]
pub struct Compiled {
    regex: Regex,
    /// As how many it counts.
    pub counts: usize,
}

impl Compiled {
    /// Whether it is found in the text.
    pub fn is_match(&self, text: &str) -> bool {
        self.regex.is_match(text)
    }
}

/// None if it can't be used.
type Usable = Option<Arc<Compiled>>;

static KEPT: LazyLock<Kept> = LazyLock::new(Kept::default);

/// Patterns that were met lately: those of a tool are met with each of its runs. The one that was met longest ago goes.
#[derive(Default)]
struct Kept(Mutex<Lately>);

#[derive(Default)]
struct Lately {
    met: u64,
    patterns: HashMap<String, (u64, Usable)>,
}

impl Kept {
    fn get(&self, pattern: &str) -> Usable {
        if let Some(known) = self.known(pattern) {
            return known;
        }
        // Others need not wait for it.
        let new = compiled(pattern).ok().map(Arc::new);
        let mut lately = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lately.met += 1;
        while counted(lately.patterns.values().map(|(_, known)| known)) + counts(&new) > KEPT_MAX {
            let oldest = lately.patterns.iter().min_by_key(|(_, (met, _))| *met);
            let Some(oldest) = oldest.map(|(pattern, _)| pattern.clone()) else { break };
            lately.patterns.remove(&oldest);
        }
        let met = lately.met;
        lately.patterns.insert(pattern.to_owned(), (met, new.clone()));
        new
    }

    fn known(&self, pattern: &str) -> Option<Usable> {
        let mut lately = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lately.met += 1;
        let now = lately.met;
        let (met, known) = lately.patterns.get_mut(pattern)?;
        *met = now;
        Some(known.clone())
    }
}

/// The patterns of one check.
pub struct Patterns<'a> {
    kept: &'a Kept,
    known: RefCell<HashMap<String, Usable>>,
}

impl Default for Patterns<'_> {
    fn default() -> Self {
        Self { kept: &KEPT, known: RefCell::default() }
    }
}

impl Patterns<'_> {
    /// The pattern; none if it can't be used, or is one too many.
    pub fn get(&self, pattern: &str) -> Usable {
        let mut known = self.known.borrow_mut();
        if let Some(known) = known.get(pattern) {
            return known.clone();
        }
        let new = if counted(known.values()) < MANY { self.kept.get(pattern) } else { None };
        let new = new.filter(|new| counted(known.values()) + new.counts <= MANY);
        known.insert(pattern.to_owned(), new.clone());
        new
    }
}

/// As how many these count.
fn counted<'a>(patterns: impl Iterator<Item = &'a Usable>) -> usize {
    patterns.map(counts).sum()
}

/// One that can't be used counts as one.
fn counts(pattern: &Usable) -> usize {
    pattern.as_ref().map_or(1, |pattern| pattern.counts)
}

/// Compiles a pattern.
///
/// # Errors
/// Why it can't be used. Finishes "…".
pub fn compiled(pattern: &str) -> Result<Compiled, String> {
    let length = pattern.chars().count();
    if length > LONGEST {
        return Err(format!("has {length} characters; at most {LONGEST} are allowed"));
    }
    let mut builder = RegexBuilder::new(&rewritten(pattern));
    builder.dfa_size_limit(CACHE_MAX).nest_limit(NEST_MAX);
    let mut within = |bytes| builder.size_limit(bytes).build();
    let regex = match within(USUAL_MAX) {
        Err(regex::Error::CompiledTooBig(_)) => within(LARGE_MAX).map(|regex| (regex, LARGE_COUNTS)),
        usual => usual.map(|regex| (regex, 1)),
    };
    regex.map(|(regex, counts)| Compiled { regex, counts }).map_err(|error| match error {
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
    let mut place = Place::First;
    while let Some(letter) = letters.next() {
        let at = place;
        place = at.next(letter == '\\' && letters.peek().is_some_and(|escaped| "dDwWsS".contains(*escaped)));
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
            // Two of them take one set from another here; there one is between the ends of a range, or a letter.
            '-' if in_class => match (at, letters.peek()) {
                (Place::Begun | Place::Set, Some(next)) if *next != ']' => {
                    place = Place::End;
                    out.push_str(if matches!(at, Place::Begun) { "-" } else { r"\-" });
                }
                _ => out.push_str(r"\-"),
            },
            '[' if in_class => out.push_str(r"\["),
            '[' => {
                place = Place::First;
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

/// Where in a range of letters the next letter of a class stands.
#[derive(Clone, Copy)]
enum Place {
    /// No range may have begun.
    First,
    /// With the letter before one may have begun.
    Begun,
    /// Before it stands a set such as `\w`: a hyphen between the two is a letter.
    Set,
    /// The range ends with it.
    End,
}

impl Place {
    /// After a letter, or a set.
    fn next(self, is_set: bool) -> Self {
        match self {
            Self::End => Self::First,
            _ if is_set => Self::Set,
            _ => Self::Begun,
        }
    }
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
        assert!(fits("^[+--]{3}$", "+,-") && !fits("^[+--]$", "."), "a range that ends with a hyphen");
        assert!(fits("^[--/]{3}$", "-./") && !fits("^[--/]$", ","), "and one that begins with it");
        assert!(fits(r"^[\w--/]+$", "a-/") && !fits(r"^[\w--/]$", "."), "a set begins no range");
        assert!(fits("^[a-f--]+$", "c-") && !fits("^[a-f--]$", "z"));
        assert!(compiled(r"[\w.--]").is_err(), "the range from a point to a hyphen is none");
    }

    #[test]
    fn of_one_schema_only_so_many_patterns_are_compiled() {
        let patterns = Patterns::default();
        let known = (0..2 * MANY).filter(|number| patterns.get(&format!("^{number}$")).is_some()).count();
        assert_eq!(known, MANY);
        assert!(patterns.get("^0$").is_some_and(|pattern| pattern.is_match("0")), "it is kept");
        let patterns = Patterns::default();
        let large = |number: usize| patterns.get(&format!(r"^\p{{L}}{{2,60}}{number}$"));
        assert_eq!((0..MANY).filter_map(large).count(), MANY / LARGE_COUNTS);
    }

    #[test]
    fn a_pattern_that_was_met_lately_is_not_compiled_again() {
        let kept = Kept::default();
        let met = |pattern: &str| Patterns { kept: &kept, known: RefCell::default() }.get(pattern);
        let first = met("^a$").expect("it can be used");
        assert!(Arc::ptr_eq(&first, &met("^a$").expect("it can be used")));
        for number in 0..2 * KEPT_MAX {
            met(&format!("^{number}$"));
            met("^a$");
        }
        assert!(Arc::ptr_eq(&first, &met("^a$").expect("it can be used")), "it is met often");
        assert_eq!(kept.0.lock().expect("nobody panicked").patterns.len(), KEPT_MAX);
    }

    #[test]
    fn a_name_of_two_to_sixty_letters_of_any_script_can_be_asked_for() {
        assert!(fits(r"^\p{L}{2,60}$", "Åse") && !fits(r"^\p{L}{2,60}$", "Å"));
    }

    #[test]
    fn what_can_not_be_checked_or_would_take_much_memory_is_refused_with_why() {
        let why = |pattern: &str| compiled(pattern).expect_err("it can't be used");
        assert!(why("(?=a)b").contains("look-around"), "{}", why("(?=a)b"));
        assert!(why(r"(a)\1").contains("backreferences"), "{}", why(r"(a)\1"));
        assert!(why("(").starts_with("is no regular expression that can be checked: unclosed group"));
        for large in ["((a{100}){100}){100}", r"^\p{L}{2,600}$"] {
            assert!(why(large).contains("`maxLength`"), "{}", why(large));
        }
        assert!(why(&"(".repeat(200)).starts_with("is no regular expression"));
        assert!(why(&"a".repeat(1_001)).contains("at most 1000"));
    }
}
