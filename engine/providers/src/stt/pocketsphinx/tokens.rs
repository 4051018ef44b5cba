//! JSGF in pieces: statements of tokens, without comments and white space.
//!
//! What the pieces mean is decided in [`super::grammar`]. Enter at [`statements`].

/// A piece of a grammar.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Token {
    /// `<name>`, without its brackets.
    Rule(String),
    /// A word to be said.
    Word(String),
    /// One of `= | * + ( ) [ ]`.
    Mark(char),
    /// A `{tag}` or a `/weight/`: no sound.
    Silent,
}

/// The tokens of each statement up to its `;`.
pub(super) fn statements(jsgf: &str) -> Result<Vec<Vec<Token>>, String> {
    let mut done = Vec::new();
    let mut current = Vec::new();
    let mut rest = skip_blank(jsgf);
    while let Some(first) = rest.chars().next() {
        let length = if first == ';' {
            done.push(std::mem::take(&mut current));
            1
        } else {
            let (token, length) = next_token(rest, first)?;
            current.push(token);
            length
        };
        rest = skip_blank(&rest[length..]);
    }
    if current.is_empty() { Ok(done) } else { Err(format!("a `;` is missing after `{}`", spell(&current))) }
}

/// The token that `rest` begins with, and its length in bytes.
fn next_token(rest: &str, first: char) -> Result<(Token, usize), String> {
    let until = |close: char| {
        let inside = &rest[first.len_utf8()..];
        inside.find(close).map(|end| &inside[..end]).ok_or_else(|| {
            format!("`{}` is not closed by `{close}`", rest.chars().take(20).collect::<String>())
        })
    };
    Ok(match first {
        '<' => until('>').map(|name| (Token::Rule(name.trim().to_owned()), name.len() + 2))?,
        '{' => until('}').map(|tag| (Token::Silent, tag.len() + 2))?,
        '/' => until('/').map(|weight| (Token::Silent, weight.len() + 2))?,
        '"' => until('"').map(|quoted| (Token::Word(format!("\"{quoted}\"")), quoted.len() + 2))?,
        '=' | '|' | '*' | '+' | '(' | ')' | '[' | ']' => (Token::Mark(first), 1),
        '>' | '}' => return Err(format!("a `{first}` closes nothing")),
        _ => {
            let end = rest.find(|c: char| c.is_whitespace() || ";=|*+<>()[]{}/".contains(c));
            let word = &rest[..end.unwrap_or(rest.len())];
            (Token::Word(word.to_owned()), word.len())
        }
    })
}

/// `text` from its first token on: white space and comments are passed over.
fn skip_blank(text: &str) -> &str {
    let text = text.trim_start();
    if let Some(comment) = text.strip_prefix("//") {
        return skip_blank(comment.split_once('\n').map_or("", |(_, rest)| rest));
    }
    if let Some(comment) = text.strip_prefix("/*") {
        return skip_blank(comment.split_once("*/").map_or("", |(_, rest)| rest));
    }
    text
}

/// The first tokens as a reader would recognise them.
pub(super) fn spell(tokens: &[Token]) -> String {
    let spelled = tokens.iter().take(6).map(|token| match token {
        Token::Rule(name) => format!("<{name}>"),
        Token::Word(word) => word.clone(),
        Token::Mark(mark) => mark.to_string(),
        Token::Silent => "{…}".to_owned(),
    });
    spelled.collect::<Vec<_>>().join(" ")
}
