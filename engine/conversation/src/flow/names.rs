//! Names: the list the recogniser's grammar is made of, and how a name is taken from the words.
//!
//! The list only bounds what can be recognised offline. Typed text and open transcribers may bring
//! any name: whatever follows "my name is" or answers the question, as long as it looks like a name.

use super::words::Word;

/// Longest name, in words ("Maria del Carmen Garcia").
const LONGEST: usize = 4;

/// Words that are no part of a name: they begin the next thing, or are an answer of another kind.
const NOT_A_NAME: &str = " a about actually adults again am an and any anything are as at be book booking \
    but by call can cancel change children close correct could date day days do don't evening for from \
    friday good guests hello hey hi how i i'd i'll i'm in instead is it it's know later like make may \
    maybe me menu monday morning my name need next no not now number o'clock of off ok okay on one open \
    or oh our party people person phone please reservation right same saturday say see so some sorry \
    speak sunday sure table talk thank thanks that that's the them then there they this thursday time to \
    today tomorrow tonight tuesday two uh um under us wait want was we wednesday what what's when where \
    which who why will with would wrong yeah yes you your zero \
    january february march july august september october november december \
    first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth thirteenth fourteenth \
    fifteenth sixteenth seventeenth eighteenth nineteenth twentieth thirtieth ";

/// Given names of the grammar, lower case.
pub(super) fn given() -> impl Iterator<Item = &'static str> {
    list("given:")
}

/// Family names of the grammar, lower case.
pub(super) fn family() -> impl Iterator<Item = &'static str> {
    list("family:")
}

fn list(head: &'static str) -> impl Iterator<Item = &'static str> {
    let lines = include_str!("names.txt").lines();
    lines.filter_map(move |line| line.strip_prefix(head)).flat_map(str::split_whitespace)
}

/// How many words from `start` can be a name; 0 if none.
pub(super) fn length(words: &[Word], start: usize) -> usize {
    let rest = words[start..].iter().enumerate();
    rest.take(LONGEST).take_while(|(at, word)| is_part(&word.text) && (*at == 0 || !word.breaks)).count()
}

/// The words with capitals: `o'connor` → "O'Connor".
pub(super) fn proper(words: &[Word]) -> String {
    let parts: Vec<String> = words.iter().map(|word| capitals(&word.text)).collect();
    parts.join(" ")
}

fn is_part(word: &str) -> bool {
    word.chars().all(|c| c.is_alphabetic() || c == '\'')
        && !super::numbers::is_number_word(word)
        && !NOT_A_NAME.contains(&format!(" {word} "))
}

fn capitals(word: &str) -> String {
    let mut start = true;
    let mut out = String::with_capacity(word.len());
    for c in word.chars() {
        match std::mem::replace(&mut start, c == '\'') {
            true => out.extend(c.to_uppercase()),
            false => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::words::words;
    use super::*;

    #[test]
    fn a_name_ends_where_something_else_begins() {
        let name = |text: &str| {
            let words = words(text);
            let length = length(&words, 0);
            proper(&words[..length])
        };
        assert_eq!(name("john smith and my number is"), "John Smith");
        assert_eq!(name("Siobhan O'Connor, 555"), "Siobhan O'Connor");
        assert_eq!(name("friday"), "");
    }

    #[test]
    fn the_list_is_short_and_has_the_usual_names() {
        assert!(given().count() >= 80 && family().count() >= 80);
        assert!(given().any(|name| name == "maria") && family().any(|name| name == "garcia"));
    }
}
