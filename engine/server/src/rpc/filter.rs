//! Filters of lists: `state = ACTIVE AND labels.team = "front desk"` as a list of terms.
//!
//! Decides the grammar and its limits, for every list alike; knows no field: each list says what it makes of a
//! path ([`Term::unknown`] refuses one it does not have). The grammar is a small part of AIP-160:
//!
//! ```text
//! filter = [ term { ("AND" | ",") term } ]
//! term   = path op value          op = "=" | "!=" | "<" | "<=" | ">" | ">=" | ":"
//! path   = name { "." ( name | string ) }        name = [A-Za-z0-9_-]+
//! value  = name-like word without blanks, commas, brackets and quotes | string
//! string = '"' … '"', with \" and \\ inside
//! ```
//!
//! No OR, NOT and brackets: a list that needs them would need an index for them. Enter at [`parse`].

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use parlance_store::Range;

use crate::status::Violations;

const TEXT_MAX: usize = 2_000;
const TERMS_MAX: usize = 20;
const YEAR_1: i64 = -62_135_596_800;

/// One condition; all of a filter's must hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Term {
    /// The field and, below it, keys: `["labels", "team"]`. Never empty.
    pub path: Vec<String>,
    /// How field and value compare.
    pub op: Op,
    /// The value as it was meant, without quotes.
    pub value: String,
}

/// How a term compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Op {
    /// `=`
    Equal,
    /// `!=`
    NotEqual,
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
    /// `:`, contains; what that means the field says.
    Has,
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Equal => "=",
            Self::NotEqual => "!=",
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
            Self::Has => ":",
        })
    }
}

impl Term {
    /// The path as slices, to match on: `["labels", key]`.
    pub fn path(&self) -> Vec<&str> {
        self.path.iter().map(String::as_str).collect()
    }

    /// The value without the prefix that its enum has in the contract.
    pub fn word(&self, prefix: &str) -> &str {
        self.value.strip_prefix(prefix).unwrap_or(&self.value)
    }

    /// The id of a value of that form, such as `calls/{call}`.
    pub fn id<Id: FromStr>(&self, form: &str) -> Result<Id, Violations> {
        let prefix = form.split('{').next().unwrap_or_default();
        let id = self.value.strip_prefix(prefix).and_then(|id| id.parse().ok());
        id.ok_or_else(|| self.bad_value(form))
    }

    /// The times that compare so with the value.
    pub fn range(&self) -> Result<Range, Violations> {
        let side: fn(Timestamp) -> Range = match self.op {
            Op::Less => Range::Before,
            Op::LessOrEqual => Range::Until,
            Op::GreaterOrEqual => Range::From,
            Op::Greater => Range::After,
            Op::Equal | Op::NotEqual | Op::Has => return Err(self.bad_op("< <= > >=")),
        };
        let at: Option<Timestamp> = self.value.parse().ok();
        // What Postgres can hold.
        let at = at.filter(|at| at.as_second() >= YEAR_1);
        at.map(side)
            .ok_or_else(|| self.bad_value("a time such as 2026-05-23T19:00:00Z, in the years 1 to 9999"))
    }

    /// The list has no such field; `known` are those it has.
    pub fn unknown(&self, known: &str) -> Violations {
        Violations::one(
            "filter",
            format!("`{}` can't be filtered by; known are: {known}", self.path.join(".")),
        )
    }

    /// The field does not compare so; `ops` are the ways it does.
    pub fn bad_op(&self, ops: &str) -> Violations {
        let path = self.path.join(".");
        Violations::one("filter", format!("`{path}` does not compare by `{}`; it does by: {ops}", self.op))
    }

    /// The value is none of that field; `wanted` says what would be.
    pub fn bad_value(&self, wanted: &str) -> Violations {
        let path = self.path.join(".");
        Violations::one("filter", format!("`{}` is no value of `{path}`: must be {wanted}", self.value))
    }
}

/// The terms of a filter; none if it is blank.
///
/// # Errors
/// A violation of `filter` that says where reading stopped and what would go on.
pub fn parse(text: &str) -> Result<Vec<Term>, Violations> {
    let length = text.chars().count();
    if length > TEXT_MAX {
        return Err(wrong(format!("has {length} characters; at most {TEXT_MAX} are allowed")));
    }
    if text.contains('\0') {
        return Err(wrong("holds a NUL character".to_owned()));
    }
    let mut reader = Reader { text, rest: text.trim_start() };
    let mut terms = Vec::new();
    while !reader.rest.is_empty() {
        if !terms.is_empty() {
            reader.joint()?;
        }
        if terms.len() == TERMS_MAX {
            return Err(wrong(format!("has more than {TERMS_MAX} terms")));
        }
        terms.push(reader.term()?);
    }
    Ok(terms)
}

fn wrong(why: String) -> Violations {
    Violations::one("filter", why)
}

struct Reader<'a> {
    text: &'a str,
    rest: &'a str,
}

impl<'a> Reader<'a> {
    fn stopped(&self, wanted: &str) -> Violations {
        let at = self.text[..self.text.len() - self.rest.len()].chars().count() + 1;
        let found: String = self.rest.chars().take(20).collect();
        let found = if found.is_empty() { "the end".to_owned() } else { format!("`{found}`") };
        wrong(format!("at character {at}: wanted {wanted}, found {found}"))
    }

    fn take(&mut self, length: usize) -> &'a str {
        let (taken, rest) = self.rest.split_at(length);
        self.rest = rest;
        taken
    }

    fn skip_blanks(&mut self) {
        self.rest = self.rest.trim_start();
    }

    /// What stands between two terms.
    fn joint(&mut self) -> Result<(), Violations> {
        let length = match self.rest {
            rest if rest.starts_with(',') => 1,
            rest if rest.starts_with("AND") && rest[3..].starts_with(char::is_whitespace) => 3,
            _ => return Err(self.stopped("`AND` or a comma; OR, NOT and brackets are not offered")),
        };
        self.take(length);
        self.skip_blanks();
        Ok(())
    }

    fn term(&mut self) -> Result<Term, Violations> {
        let mut path = vec![self.name()?];
        while self.rest.starts_with('.') {
            self.take(1);
            path.push(if self.rest.starts_with('"') { self.string()? } else { self.name()? });
        }
        self.skip_blanks();
        let op = self.op()?;
        self.skip_blanks();
        let value = if self.rest.starts_with('"') { self.string()? } else { self.word()? };
        self.skip_blanks();
        Ok(Term { path, op, value })
    }

    fn name(&mut self) -> Result<String, Violations> {
        let fits = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '_' | '-');
        let length = self.rest.find(|letter| !fits(letter)).unwrap_or(self.rest.len());
        if length == 0 {
            return Err(self.stopped("a field, such as `state`"));
        }
        Ok(self.take(length).to_owned())
    }

    fn op(&mut self) -> Result<Op, Violations> {
        // The longer ones first.
        for op in
            [Op::NotEqual, Op::LessOrEqual, Op::GreaterOrEqual, Op::Equal, Op::Less, Op::Greater, Op::Has]
        {
            if self.rest.starts_with(&op.to_string()) {
                self.take(op.to_string().len());
                return Ok(op);
            }
        }
        Err(self.stopped("one of = != < <= > >= :"))
    }

    fn word(&mut self) -> Result<String, Violations> {
        let ends = |letter: char| {
            letter.is_whitespace() || matches!(letter, ',' | '(' | ')' | '"' | '=' | '<' | '>')
        };
        let length = self.rest.find(ends).unwrap_or(self.rest.len());
        if length == 0 {
            return Err(self.stopped("a value; one with blanks or commas stands in \"quotes\""));
        }
        Ok(self.take(length).to_owned())
    }

    fn string(&mut self) -> Result<String, Violations> {
        let mut value = String::new();
        let mut letters = self.rest.char_indices().skip(1);
        while let Some((at, letter)) = letters.next() {
            match letter {
                '"' => {
                    self.take(at + 1);
                    return Ok(value);
                }
                '\\' => value.extend(letters.next().map(|(_, escaped)| escaped)),
                _ => value.push(letter),
            }
        }
        Err(self.stopped("a closing quote"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::Refusal;

    fn read(text: &str) -> Vec<(String, Op, String)> {
        let terms = parse(text).expect("the filter is readable");
        terms.into_iter().map(|term| (term.path.join("/"), term.op, term.value)).collect()
    }

    fn refused(text: &str) -> String {
        match parse(text).expect_err("the filter is not readable").check() {
            Err(Refusal::Invalid(violations)) => format!("{violations:?}"),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn terms_are_joined_by_and_or_by_commas_and_values_may_be_quoted() {
        let term = |path: &str, op, value: &str| (path.to_owned(), op, value.to_owned());
        let both = [term("state", Op::Equal, "ACTIVE"), term("labels/team", Op::NotEqual, "front, desk")];
        assert_eq!(read(r#"state = ACTIVE AND labels.team != "front, desk""#), both);
        assert_eq!(read(r#" state=ACTIVE,labels.team!="front, desk" "#), both);
        assert_eq!(read(""), []);
        assert_eq!(read(" \n"), []);
    }

    #[test]
    fn every_operator_is_told_from_its_longer_sister() {
        for (text, op) in [
            ("=", Op::Equal),
            ("!=", Op::NotEqual),
            ("<", Op::Less),
            ("<=", Op::LessOrEqual),
            (">", Op::Greater),
            (">=", Op::GreaterOrEqual),
            (":", Op::Has),
        ] {
            assert_eq!(read(&format!("a{text}1")), [("a".to_owned(), op, "1".to_owned())]);
            assert_eq!(op.to_string(), text);
        }
    }

    #[test]
    fn times_names_and_keys_with_dots_need_no_tricks() {
        assert_eq!(
            read(
                r#"create_time >= 2026-01-02T03:04:05+01:00 AND metadata."a.b" = "say \"hi\" \\" , agent = agents/a-b"#
            ),
            [
                ("create_time".into(), Op::GreaterOrEqual, "2026-01-02T03:04:05+01:00".into()),
                ("metadata/a.b".into(), Op::Equal, "say \"hi\" \\".into()),
                ("agent".into(), Op::Equal, "agents/a-b".into()),
            ]
        );
    }

    #[test]
    fn a_filter_that_can_not_be_read_says_where_and_what_is_wanted() {
        for (text, said) in [
            ("state", "one of = !="),
            ("state = ", "a value"),
            ("= x", "a field"),
            ("a = b OR c = d", "OR, NOT and brackets"),
            ("(a = b)", "a field"),
            ("a = \"b", "closing quote"),
            ("a = b c = d", "`AND` or a comma"),
            ("a = b AND", "`AND` or a comma"),
            ("a = b AND ", "a field"),
            ("a = b,", "a field"),
            ("a. = b", "a field"),
            ("a = é\0", "NUL"),
        ] {
            assert!(refused(text).contains(said), "{text}: {}", refused(text));
        }
        assert!(refused("é = b").contains("at character 1"));
        assert!(refused(&"a = b,".repeat(21)).contains("more than 20"));
        assert!(refused(&"x".repeat(2_001)).contains("2001 characters"));
    }
}
