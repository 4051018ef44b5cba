//! Phrases: the notation of the phrase table, and how words are matched against it.
//!
//! A rule is a list of rows written in JSGF's own notation: `[at] half past <hour>`, `( a | b )`,
//! `<digit>+`. The same rows are matched here and printed into the recogniser's grammar (`jsgf`), so
//! that grammar and parser can't drift. A row may be for the ear only ([`Reach::Heard`]): understood,
//! but kept out of the grammar, which must stay small. Enter at [`Table::matches`] and
//! [`Table::is_beginning_of`].

use std::collections::{BTreeMap, HashMap};

use super::words::Word;

/// Whether a row is printed into grammars.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    /// In the grammar and understood.
    Spoken,
    /// Understood only: typed forms, and words of open transcribers.
    Heard,
}

/// A piece of a row.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Part {
    Word(String),
    Rule(String),
    All(Vec<Part>),
    One(Vec<Part>),
    Maybe(Box<Part>),
    Many(Box<Part>),
}

/// What a row matches.
enum Body {
    Pattern(Part),
    /// A word of a certain shape, and its value.
    Shape(fn(&str) -> Option<i64>),
}

struct Row {
    text: String,
    body: Body,
    value: Option<i64>,
    reach: Reach,
}

/// A rule's value that was met on the way: which rule, and the value of its row.
pub(super) type Capture = (&'static str, i64);

/// One way to match.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Match {
    /// The word after the last one matched.
    pub end: usize,
    /// Values in the order of the words.
    pub captures: Vec<Capture>,
}

/// Rows, and which of them can begin with a word: most can be ruled out by it.
#[derive(Default)]
struct Rule {
    rows: Vec<Row>,
    by_first_word: HashMap<String, Vec<usize>>,
    /// Rows that may begin with more than one word.
    others: Vec<usize>,
}

/// All rules by name.
#[derive(Default)]
pub(super) struct Table {
    rules: BTreeMap<&'static str, Rule>,
}

impl Table {
    /// Adds rows without a value.
    pub fn rows(&mut self, rule: &'static str, reach: Reach, rows: &[&str]) {
        for text in rows {
            self.row(rule, reach, (*text).to_owned(), None);
        }
    }

    /// Adds rows that are captured with a value.
    pub fn values(
        &mut self,
        rule: &'static str,
        reach: Reach,
        rows: impl IntoIterator<Item = (String, i64)>,
    ) {
        for (text, value) in rows {
            self.row(rule, reach, text, Some(value));
        }
    }

    /// Adds a row that is a word of a certain shape. Never printed.
    pub fn shape(&mut self, rule: &'static str, shape: fn(&str) -> Option<i64>) {
        let row = Row { text: String::new(), body: Body::Shape(shape), value: None, reach: Reach::Heard };
        self.rules.entry(rule).or_default().add(row, None);
    }

    fn row(&mut self, rule: &'static str, reach: Reach, text: String, value: Option<i64>) {
        let part = parse(&text);
        let first = part.first_word().map(str::to_owned);
        let body = Body::Pattern(part);
        self.rules.entry(rule).or_default().add(Row { text, body, value, reach }, first);
    }

    /// Every way the rule matches from `start`, one for each end; of several with the same end, the first.
    pub fn matches(&self, rule: &str, words: &[Word], start: usize) -> Vec<Match> {
        let mut walk = Walk { table: self, words, start, ran_out: false };
        let mut found = Vec::new();
        walk.rule(rule, &Match { end: start, captures: Vec::new() }, &mut found);
        found.retain(|way| way.end > start);
        found.sort_by_key(|way| way.end);
        found.dedup_by_key(|way| way.end);
        found
    }

    /// The longest match from `start`.
    #[cfg(test)]
    pub fn longest(&self, rule: &str, words: &[Word], start: usize) -> Option<Match> {
        self.matches(rule, words, start).pop()
    }

    /// Whether all words from `start` are the beginning of a longer match.
    pub fn is_beginning_of(&self, rule: &str, words: &[Word], start: usize) -> bool {
        let mut walk = Walk { table: self, words, start, ran_out: false };
        walk.rule(rule, &Match { end: start, captures: Vec::new() }, &mut Vec::new());
        walk.ran_out
    }

    /// The right side of a rule as JSGF, and the rules it refers to.
    pub fn printed(&self, rule: &str) -> Option<(String, Vec<String>)> {
        let spoken: Vec<&Row> =
            self.rules.get(rule)?.rows.iter().filter(|row| row.reach == Reach::Spoken).collect();
        let text = spoken.iter().map(|row| row.text.as_str()).collect::<Vec<_>>().join(" | ");
        let mut refers = Vec::new();
        for row in &spoken {
            if let Body::Pattern(part) = &row.body {
                part.refers_to(&mut refers);
            }
        }
        (!spoken.is_empty()).then_some((text, refers))
    }
}

impl Rule {
    fn add(&mut self, row: Row, first: Option<String>) {
        let at = self.rows.len();
        self.rows.push(row);
        match first {
            Some(word) => self.by_first_word.entry(word).or_default().push(at),
            None => self.others.push(at),
        }
    }

    /// The rows that can begin with the word.
    fn beginning_with(&self, word: Option<&str>) -> impl Iterator<Item = &Row> {
        let first = word.and_then(|word| self.by_first_word.get(word)).into_iter().flatten();
        first.chain(&self.others).map(|at| &self.rows[*at])
    }
}

impl Part {
    fn first_word(&self) -> Option<&str> {
        match self {
            Self::Word(word) => Some(word),
            Self::All(parts) => parts.first().and_then(Self::first_word),
            Self::Many(part) => part.first_word(),
            Self::Rule(_) | Self::One(_) | Self::Maybe(_) => None,
        }
    }

    /// Collects the names of the rules in it.
    pub fn refers_to(&self, names: &mut Vec<String>) {
        match self {
            Self::Word(_) => {}
            Self::Rule(name) => names.push(name.clone()),
            Self::All(parts) | Self::One(parts) => parts.iter().for_each(|part| part.refers_to(names)),
            Self::Maybe(part) | Self::Many(part) => part.refers_to(names),
        }
    }
}

struct Walk<'a> {
    table: &'a Table,
    words: &'a [Word],
    start: usize,
    ran_out: bool,
}

impl Walk<'_> {
    fn rule(&mut self, name: &str, from: &Match, out: &mut Vec<Match>) {
        let table = self.table;
        let Some((name, rule)) = table.rules.get_key_value(name) else { return };
        self.word(from.end); // notes that the words ran out, whichever rows are tried
        let words = self.words;
        for row in rule.beginning_with(words.get(from.end).map(|word| word.text.as_str())) {
            match &row.body {
                Body::Pattern(part) => {
                    let mut ends = Vec::new();
                    self.part(part, from, &mut ends);
                    for mut way in ends {
                        way.captures.extend(row.value.map(|value| (*name, value)));
                        out.push(way);
                    }
                }
                Body::Shape(shape) => {
                    if let Some(value) = self.word(from.end).and_then(shape) {
                        let mut way = Match { end: from.end + 1, captures: from.captures.clone() };
                        way.captures.push((*name, value));
                        out.push(way);
                    }
                }
            }
        }
    }

    fn part(&mut self, part: &Part, from: &Match, out: &mut Vec<Match>) {
        match part {
            Part::Word(text) => {
                if self.word(from.end) == Some(text) {
                    out.push(Match { end: from.end + 1, captures: from.captures.clone() });
                }
            }
            Part::Rule(name) => self.rule(name, from, out),
            Part::All(parts) => self.all(parts, from, out),
            Part::One(parts) => parts.iter().for_each(|part| self.part(part, from, out)),
            Part::Maybe(part) => {
                self.part(part, from, out);
                out.push(from.clone());
            }
            Part::Many(part) => {
                let mut rounds = vec![from.clone()];
                while let Some(way) = rounds.pop() {
                    let mut next = Vec::new();
                    self.part(part, &way, &mut next);
                    next.retain(|longer| longer.end > way.end);
                    out.extend(next.iter().cloned());
                    rounds.extend(next);
                }
            }
        }
    }

    fn all(&mut self, parts: &[Part], from: &Match, out: &mut Vec<Match>) {
        let mut ways = vec![from.clone()];
        for part in parts {
            let mut next = Vec::new();
            ways.iter().for_each(|way| self.part(part, way, &mut next));
            ways = next;
        }
        out.extend(ways);
    }

    fn word(&mut self, at: usize) -> Option<&str> {
        self.ran_out |= at == self.words.len() && at > self.start;
        self.words.get(at).map(|word| word.text.as_str())
    }
}

/// Reads one row.
pub(super) fn parse(text: &str) -> Part {
    let spaced: String =
        text.chars().map(|c| if "[]()|+".contains(c) { format!(" {c} ") } else { c.to_string() }).collect();
    let tokens: Vec<&str> = spaced.split_whitespace().collect();
    one_of(&tokens, &mut 0)
}

fn one_of(tokens: &[&str], at: &mut usize) -> Part {
    let mut choices = vec![Vec::new()];
    while let Some(token) = tokens.get(*at) {
        let current = choices.len() - 1;
        *at += 1;
        match *token {
            "]" | ")" => break,
            "|" => choices.push(Vec::new()),
            "[" => choices[current].push(Part::Maybe(Box::new(one_of(tokens, at)))),
            "(" => choices[current].push(one_of(tokens, at)),
            "+" => {
                if let Some(last) = choices[current].pop() {
                    choices[current].push(Part::Many(Box::new(last)));
                }
            }
            name if name.starts_with('<') => {
                choices[current].push(Part::Rule(name.trim_matches(['<', '>']).to_owned()));
            }
            word => choices[current].push(Part::Word(word.to_owned())),
        }
    }
    let mut parts: Vec<Part> = choices.into_iter().map(all_of).collect();
    if parts.len() == 1 { parts.remove(0) } else { Part::One(parts) }
}

fn all_of(mut parts: Vec<Part>) -> Part {
    if parts.len() == 1 { parts.remove(0) } else { Part::All(parts) }
}

#[cfg(test)]
mod tests {
    use super::super::words::words;
    use super::*;

    fn table() -> Table {
        let mut table = Table::default();
        table.values("hour", Reach::Spoken, [("seven".into(), 7), ("eight".into(), 8)]);
        table.rows("time", Reach::Spoken, &["[at] half past <hour>", "at <hour> [p m]"]);
        table.rows("hours", Reach::Spoken, &["<hour>+"]);
        table
    }

    #[test]
    fn a_rule_matches_in_every_length_it_can_and_captures_values() {
        let words = words("at seven p m");
        let ends: Vec<usize> = table().matches("time", &words, 0).iter().map(|way| way.end).collect();
        assert_eq!(ends, [2, 4]);
        assert_eq!(table().longest("hours", &words, 1).unwrap().captures, [("hour", 7)]);
    }

    #[test]
    fn a_begun_phrase_is_known_as_a_beginning() {
        let begun = |text: &str| table().is_beginning_of("time", &words(text), 0);
        assert!(begun("at"));
        assert!(begun("half past"));
        assert!(begun("at seven p"));
        assert!(!begun("half past seven"));
        assert!(!begun("monday"));
    }
}
