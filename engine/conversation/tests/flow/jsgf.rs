//! A reader of JSGF of its own, so that the emitted grammars are read as a recogniser reads them:
//! says random sentences and tells which rules they came from, and accepts or refuses a sentence.

use std::collections::{BTreeMap, BTreeSet};

#[derive(Debug, Clone)]
enum Node {
    Word(String),
    Rule(String),
    Seq(Vec<Node>),
    Any(Vec<Node>),
    Optional(Box<Node>),
}

pub struct Grammar {
    public: String,
    rules: BTreeMap<String, Node>,
}

/// Words, and the rules that made them with their places.
#[derive(Debug, Default, Clone)]
pub struct Sentence {
    pub words: Vec<String>,
    pub spans: Vec<(String, usize, usize)>,
}

/// A seeded source of choices.
pub struct Dice(pub u64);

impl Dice {
    pub fn below(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % sides as u64) as usize
    }
}

impl Grammar {
    /// Reads a grammar. Panics at whatever a recogniser would refuse.
    pub fn read(text: &str) -> Self {
        let mut lines = text.lines();
        assert_eq!(lines.next(), Some("#JSGF V1.0;"), "the header");
        assert!(
            lines.next().is_some_and(|line| line.starts_with("grammar ") && line.ends_with(';')),
            "the name"
        );
        let mut grammar = Self { public: String::new(), rules: BTreeMap::new() };
        for line in lines {
            let line = line.strip_suffix(';').expect("a rule ends in a semicolon");
            let (left, right) = line.split_once(" = ").expect("a rule has a right side");
            let name = left.trim_start_matches("public ").trim_matches(['<', '>']).to_owned();
            if left.starts_with("public ") {
                assert!(grammar.public.is_empty(), "two public rules");
                grammar.public.clone_from(&name);
            }
            let tokens = tokens(right);
            let mut at = 0;
            let node = any(&tokens, &mut at);
            assert_eq!(at, tokens.len(), "{name}: unbalanced brackets");
            assert!(grammar.rules.insert(name.clone(), node).is_none(), "{name}: written twice");
        }
        grammar.check_rules();
        grammar
    }

    fn check_rules(&self) {
        assert!(self.rules.contains_key(&self.public), "no public rule");
        let mut used = BTreeSet::from([self.public.as_str()]);
        for name in self.rules.keys() {
            self.walk(name, &mut vec![name.as_str()], &mut used);
        }
        let unused: Vec<&String> = self.rules.keys().filter(|name| !used.contains(name.as_str())).collect();
        assert!(unused.is_empty(), "rules nobody refers to: {unused:?}");
    }

    fn walk<'a>(&'a self, name: &str, path: &mut Vec<&'a str>, used: &mut BTreeSet<&'a str>) {
        for rule in self.rules[name].rules() {
            assert!(self.rules.contains_key(rule), "{name}: <{rule}> is not defined");
            assert!(!path.contains(&rule), "<{rule}> contains itself");
            used.insert(rule);
            path.push(rule);
            self.walk(rule, path, used);
            path.pop();
        }
    }

    /// Every word of the grammar.
    pub fn words(&self) -> BTreeSet<&str> {
        self.rules.values().flat_map(Node::words).collect()
    }

    /// A random sentence.
    pub fn sample(&self, dice: &mut Dice) -> Sentence {
        let mut sentence = Sentence::default();
        self.say(&Node::Rule(self.public.clone()), dice, &mut sentence);
        sentence
    }

    fn say(&self, node: &Node, dice: &mut Dice, out: &mut Sentence) {
        match node {
            Node::Word(word) => out.words.push(word.clone()),
            Node::Rule(name) => {
                let start = out.words.len();
                self.say(&self.rules[name], dice, out);
                out.spans.push((name.clone(), start, out.words.len()));
            }
            Node::Seq(nodes) => nodes.iter().for_each(|node| self.say(node, dice, out)),
            Node::Any(nodes) => self.say(&nodes[dice.below(nodes.len())], dice, out),
            Node::Optional(node) => {
                if dice.below(4) != 0 {
                    self.say(node, dice, out);
                }
            }
        }
    }

    /// Whether the grammar can express the words.
    pub fn accepts(&self, text: &str) -> bool {
        let words: Vec<&str> = text.split_whitespace().collect();
        self.ends(&Node::Rule(self.public.clone()), &words, 0).contains(&words.len())
    }

    fn ends(&self, node: &Node, words: &[&str], at: usize) -> BTreeSet<usize> {
        match node {
            Node::Word(word) => {
                words.get(at).filter(|said| *said == word).map(|_| at + 1).into_iter().collect()
            }
            Node::Rule(name) => self.ends(&self.rules[name], words, at),
            Node::Any(nodes) => nodes.iter().flat_map(|node| self.ends(node, words, at)).collect(),
            Node::Seq(nodes) => nodes.iter().fold(BTreeSet::from([at]), |ends, node| {
                ends.into_iter().flat_map(|end| self.ends(node, words, end)).collect()
            }),
            Node::Optional(node) => {
                let mut ends = self.ends(node, words, at);
                ends.insert(at);
                ends
            }
        }
    }
}

impl Node {
    fn rules(&self) -> Vec<&str> {
        match self {
            Self::Word(_) => Vec::new(),
            Self::Rule(name) => vec![name],
            Self::Seq(nodes) | Self::Any(nodes) => nodes.iter().flat_map(Self::rules).collect(),
            Self::Optional(node) => node.rules(),
        }
    }

    fn words(&self) -> Vec<&str> {
        match self {
            Self::Word(word) => vec![word],
            Self::Rule(_) => Vec::new(),
            Self::Seq(nodes) | Self::Any(nodes) => nodes.iter().flat_map(Self::words).collect(),
            Self::Optional(node) => node.words(),
        }
    }
}

impl Sentence {
    pub fn text(&self) -> String {
        self.words.join(" ")
    }

    /// The words that a rule made.
    pub fn of<'a>(&'a self, rule: &'a str) -> impl DoubleEndedIterator<Item = (usize, usize)> + 'a {
        self.spans.iter().filter(move |(name, ..)| name == rule).map(|(_, start, end)| (*start, *end))
    }

    pub fn has(&self, rule: &str) -> bool {
        self.of(rule).next().is_some()
    }

    /// The words of the rule inside a place, if the rule is there.
    pub fn within(&self, rule: &str, place: (usize, usize)) -> Vec<String> {
        self.of(rule)
            .filter(|(start, end)| place.0 <= *start && *end <= place.1)
            .map(|(start, end)| self.words[start..end].join(" "))
            .collect()
    }
}

fn tokens(text: &str) -> Vec<String> {
    let mut spaced = String::new();
    for c in text.chars() {
        match c {
            '(' | ')' | '[' | ']' | '|' | '+' | '*' => spaced.push_str(&format!(" {c} ")),
            c => spaced.push(c),
        }
    }
    spaced.split_whitespace().map(str::to_owned).collect()
}

fn any(tokens: &[String], at: &mut usize) -> Node {
    let mut choices = vec![seq(tokens, at)];
    while tokens.get(*at).is_some_and(|token| token == "|") {
        *at += 1;
        choices.push(seq(tokens, at));
    }
    Node::Any(choices)
}

fn seq(tokens: &[String], at: &mut usize) -> Node {
    let mut nodes: Vec<Node> = Vec::new();
    while let Some(token) = tokens.get(*at) {
        let close = match token.as_str() {
            "|" | ")" | "]" => break,
            "(" => ")",
            "[" => "]",
            "+" | "*" => panic!("PocketSphinx leads a repetition back to the beginning of the grammar"),
            word => {
                nodes.push(match word.strip_prefix('<') {
                    Some(rule) => Node::Rule(rule.trim_end_matches('>').to_owned()),
                    None => Node::Word(word.to_owned()),
                });
                *at += 1;
                continue;
            }
        };
        *at += 1;
        let inner = any(tokens, at);
        assert_eq!(tokens.get(*at).map(String::as_str), Some(close), "unbalanced brackets");
        *at += 1;
        nodes.push(if close == "]" { Node::Optional(Box::new(inner)) } else { inner });
    }
    assert!(!nodes.is_empty(), "an empty alternative");
    Node::Seq(nodes)
}
