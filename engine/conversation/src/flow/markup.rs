//! Markup: what a model writes for the eye (markdown, emoji) and a voice must not say.

/// The text without markdown and emoji; a link keeps its words, a list its items.
pub(super) fn stripped(text: &str) -> String {
    let lines: Vec<String> = text.lines().map(|line| inline(line_start(line))).collect();
    without_links(&lines.join("\n")).trim().to_owned()
}

/// Headings, quotes, bullets and rules.
fn line_start(line: &str) -> &str {
    let bare = line.trim_start();
    if bare.len() >= 3 && bare.chars().all(|c| "-*_=`~".contains(c)) {
        return "";
    }
    let bare = bare.trim_start_matches(['#', '>']);
    let bullet = ["- ", "* ", "+ ", "• "].iter().find_map(|bullet| bare.trim_start().strip_prefix(bullet));
    bullet.unwrap_or(if bare.len() == line.trim_start().len() { line } else { bare.trim_start() })
}

/// Stars, backticks and tildes go wherever they do not stand between numbers or spaces; underscores
/// only at the edge of a word.
fn inline(line: &str) -> String {
    let chars: Vec<char> = line.chars().collect();
    let mut out = String::with_capacity(line.len());
    for (at, c) in chars.iter().enumerate() {
        let before = at.checked_sub(1).map_or(' ', |at| chars[at]);
        let after = chars.get(at + 1).copied().unwrap_or(' ');
        let stands_alone = before.is_whitespace() && after.is_whitespace();
        let is_mark = match c {
            '*' | '~' => !(stands_alone || before.is_ascii_digit() && after.is_ascii_digit()),
            '`' => true,
            '_' => !(before.is_alphanumeric() && after.is_alphanumeric()),
            c => is_emoji(*c),
        };
        if !is_mark {
            out.push(*c);
        }
    }
    out
}

/// `[words](address)` → words; `![…](…)` also.
fn without_links(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(open) = rest.find('[') {
        let link = rest[open..].find("](").and_then(|middle| {
            let close = rest[open + middle..].find(')')?;
            Some((&rest[open + 1..open + middle], open + middle + close + 1))
        });
        let (words, end) = link.unwrap_or((&rest[open..=open], open + 1));
        out.push_str(rest[..open].strip_suffix('!').filter(|_| link.is_some()).unwrap_or(&rest[..open]));
        out.push_str(words);
        rest = &rest[end..];
    }
    out + rest
}

fn is_emoji(c: char) -> bool {
    matches!(u32::from(c),
        0x1F000..=0x1FAFF | 0x2600..=0x27BF | 0x2B00..=0x2BFF | 0x2190..=0x21FF | 0x2300..=0x23FF
        | 0xFE00..=0xFE0F | 0x200D | 0x20E3 | 0xE0020..=0xE007F)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markdown_and_emoji_are_not_said() {
        for (text, expected) in [
            ("**Bold** and *slanted* and `code`", "Bold and slanted and code"),
            ("# Menu\n- Soup\n* Bread\n---\n> quoted", "Menu\nSoup\nBread\n\nquoted"),
            ("see [our menu](https://example.com/menu) now", "see our menu now"),
            ("Great! 🎉👍🏽 See you ❤️", "Great!  See you"),
            ("2 * 3 and snake_case stay", "2 * 3 and snake_case stay"),
            ("array[0] stays", "array[0] stays"),
        ] {
            assert_eq!(stripped(text), expected);
        }
    }
}
