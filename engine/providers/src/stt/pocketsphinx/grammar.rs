//! Reading a JSGF grammar just far enough to say what is wrong with it and which words it holds.
//!
//! The library compiles grammars but tells its reasons only to its log, so the common mistakes are
//! found here first and named. What it means to match a grammar is the library's business.
//! Enter at [`words_of`]. Format: <https://www.w3.org/TR/jsgf/>.

use std::collections::{BTreeMap, BTreeSet};

use super::tokens::{Token, spell, statements};

/// Grammars longer than this are refused, bytes: one takes seconds to compile and hundreds of MB.
const LENGTH_MAX: usize = 256 * 1024;
/// The library writes every rule out wherever it is used; so many words may come of that.
const WRITTEN_OUT_MAX: u64 = 50_000;
/// How deep brackets, and rules in rules, may go: the library follows them on the C stack.
const DEPTH_MAX: usize = 50;

/// The distinct words that `jsgf` can match, sorted; or the first thing that is wrong with it.
pub(super) fn words_of(jsgf: &str) -> Result<Vec<String>, String> {
    if jsgf.len() > LENGTH_MAX {
        return Err(format!("the grammar is longer than {LENGTH_MAX} bytes"));
    }
    if jsgf.contains('\0') {
        return Err("the grammar holds a NUL character".to_owned());
    }
    let mut reader = Reader::default();
    for statement in statements(jsgf)? {
        reader.take(&statement)?;
    }
    reader.finish()
}

/// What was learnt from the statements read so far.
#[derive(Default)]
struct Reader {
    statements: usize,
    has_public: bool,
    rules: BTreeMap<String, Rule>,
    words: BTreeSet<String>,
}

/// A rule's body as far as its size goes.
#[derive(Default)]
struct Rule {
    words: u64,
    uses: Vec<String>,
}

impl Reader {
    fn take(&mut self, statement: &[Token]) -> Result<(), String> {
        self.statements += 1;
        if self.statements == 1 {
            return match statement.first() {
                Some(Token::Word(first)) if first.starts_with("#JSGF") => Ok(()),
                _ => Err("it does not begin with `#JSGF V1.0;`".to_owned()),
            };
        }
        match statement {
            [] => Ok(()),
            [Token::Word(keyword), ..] if keyword == "grammar" => Ok(()),
            [Token::Word(keyword), ..] if keyword == "import" => Err("`import` is not served".to_owned()),
            [Token::Word(keyword), rule @ ..] if keyword == "public" => {
                self.has_public = true;
                self.take_rule(rule)
            }
            rule => self.take_rule(rule),
        }
    }

    fn take_rule(&mut self, statement: &[Token]) -> Result<(), String> {
        let [Token::Rule(name), Token::Mark('='), body @ ..] = statement else {
            return Err(format!("a rule must read `<name> = …;`, not `{}`", spell(statement)));
        };
        if body.is_empty() {
            return Err(format!("rule <{name}> is empty"));
        }
        check_brackets(name, body)?;
        let mut rule = Rule::default();
        for token in body {
            match token {
                Token::Rule(used) => rule.uses.push(short(used).to_owned()),
                Token::Word(word) if ["public", "grammar", "import"].contains(&word.as_str()) => {
                    return Err(format!("rule <{name}> uses the reserved word `{word}`"));
                }
                Token::Word(word) => {
                    rule.words += 1;
                    self.words.insert(word.clone());
                }
                Token::Mark('=') => {
                    return Err(format!("rule <{name}> holds a second `=`; is a `;` missing?"));
                }
                Token::Mark(_) | Token::Silent => {}
            }
        }
        match self.rules.insert(name.clone(), rule) {
            Some(_) => Err(format!("rule <{name}> is defined twice")),
            None => Ok(()),
        }
    }

    fn finish(self) -> Result<Vec<String>, String> {
        if !self.has_public {
            return Err("it has no public rule".to_owned());
        }
        let mut sizes = BTreeMap::new();
        for name in self.rules.keys() {
            self.written_out(name, &mut Vec::new(), &mut sizes)?;
        }
        Ok(self.words.into_iter().collect())
    }

    /// How many words rule `name` comes to with all rules in it written out; `path` led to it.
    fn written_out<'a>(
        &'a self,
        name: &'a str,
        path: &mut Vec<&'a str>,
        sizes: &mut BTreeMap<&'a str, u64>,
    ) -> Result<u64, String> {
        if let Some(size) = sizes.get(name) {
            return Ok(*size);
        }
        let rule = self.rules.get(name).ok_or_else(|| format!("rule <{name}> is used but not defined"))?;
        if path.contains(&name) {
            return Err(format!("rule <{name}> is used inside itself; say it with `+` or `*`"));
        }
        if path.len() >= DEPTH_MAX {
            return Err(format!("rule <{name}> is nested deeper than {DEPTH_MAX} rules"));
        }
        path.push(name);
        let mut size = rule.words;
        for used in rule.uses.iter().filter(|used| !["NULL", "VOID"].contains(&used.as_str())) {
            size = size.saturating_add(self.written_out(used, path, sizes)?);
        }
        path.pop();
        if size > WRITTEN_OUT_MAX {
            return Err(format!("rule <{name}> written out holds more than {WRITTEN_OUT_MAX} words"));
        }
        sizes.insert(name, size);
        Ok(size)
    }
}

/// A rule may be called by its full name, `<grammar.rule>`.
fn short(name: &str) -> &str {
    name.rsplit('.').next().unwrap_or(name)
}

fn check_brackets(rule: &str, body: &[Token]) -> Result<(), String> {
    let mut open = Vec::new();
    for token in body {
        match token {
            Token::Mark('(') => open.push(')'),
            Token::Mark('[') => open.push(']'),
            Token::Mark(close @ (')' | ']')) if open.pop() != Some(*close) => {
                return Err(format!("rule <{rule}> has a `{close}` that closes nothing"));
            }
            _ => {}
        }
        if open.len() > DEPTH_MAX {
            return Err(format!("rule <{rule}> has brackets nested deeper than {DEPTH_MAX}"));
        }
    }
    match open.pop() {
        Some(close) => Err(format!("rule <{rule}> lacks a `{close}`")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_all_rules_are_listed_once_without_tags_weights_and_comments() {
        let jsgf = "#JSGF V1.0 UTF-8 en;\n grammar booking; // no words here\n
            public <order> = [please] /0.5/ book (a | the) table {order} /* nor here */ for <size>+;
            <size> = two | three | please;";
        assert_eq!(words_of(jsgf).unwrap(), ["a", "book", "for", "please", "table", "the", "three", "two"]);
    }

    #[test]
    fn each_mistake_is_named_by_its_rule() {
        let mistakes = [
            ("grammar g; public <a> = yes;", "does not begin with"),
            ("#JSGF V1.0; grammar g; <a> = yes;", "no public rule"),
            ("#JSGF V1.0; grammar g; public <a> = <b>;", "rule <b> is used but not defined"),
            ("#JSGF V1.0; grammar g; public <a> = (yes | no;", "rule <a> lacks a `)`"),
            ("#JSGF V1.0; grammar g; public <a> = yes ];", "rule <a> has a `]` that closes nothing"),
            ("#JSGF V1.0; grammar g; public <a> = yes", "a `;` is missing"),
            ("#JSGF V1.0; grammar g; public <a> = yes <b> = no;", "second `=`"),
            ("#JSGF V1.0; grammar g; public <a> = yes; <a> = no;", "defined twice"),
            ("#JSGF V1.0; grammar g; public <a> = ;", "rule <a> is empty"),
            ("#JSGF V1.0; grammar g; public <a> = yes {tag;", "is not closed by `}`"),
            ("#JSGF V1.0; grammar g; public <a> = public;", "reserved word `public`"),
            ("#JSGF V1.0; import <b.*>; public <a> = yes;", "`import` is not served"),
            ("#JSGF V1.0; grammar g; yes;", "a rule must read"),
            ("#JSGF V1.0; grammar g; public <a> = <b> no; <b> = yes | <a>;", "used inside itself"),
        ];
        for (jsgf, expected) in mistakes {
            let message = words_of(jsgf).unwrap_err();
            assert!(message.contains(expected), "{jsgf}: {message}");
        }
    }

    #[test]
    fn the_empty_rule_needs_no_definition() {
        assert!(words_of("#JSGF V1.0; grammar g; public <a> = yes | <NULL>; <b> = <g.a>;").is_ok());
    }

    #[test]
    fn a_grammar_that_would_fill_the_memory_is_refused() {
        let doubling: String = (1..40).map(|n| format!("<r{n}> = <r{}> <r{}>;", n - 1, n - 1)).collect();
        let jsgf = format!("#JSGF V1.0; grammar g; public <a> = <r39>; <r0> = yes; {doubling}");
        assert!(words_of(&jsgf).unwrap_err().contains("written out"));
        let (open, close) = ("(".repeat(60), ")".repeat(60));
        let jsgf = format!("#JSGF V1.0; grammar g; public <a> = {open} yes {close};");
        assert!(words_of(&jsgf).unwrap_err().contains("nested deeper"));
    }
}
