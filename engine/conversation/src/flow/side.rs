//! Side questions: what callers ask in between, matched by their words.
//!
//! A phrase is met when at least three quarters of its telling words come in its order. The words it
//! took are no values any more: "what time do you close on Sunday" does not book a Sunday.

use super::words::{Word, plain};
use super::{SideAnswer, words};

/// Words that tell nothing.
const SMALL: &str = " a an and are at can could do does for have i in is it me my of on or please so the there to \
    we you your ";

/// The best side answer and the words after taking its question out.
pub(super) fn find<'a>(words: &[Word], answers: &'a [SideAnswer]) -> Option<(&'a SideAnswer, Vec<Word>)> {
    let (taken, answer) = answers
        .iter()
        .flat_map(|answer| answer.phrases.iter().map(move |phrase| (phrase, answer)))
        .filter_map(|(phrase, answer)| Some((met(words, phrase)?, answer)))
        .max_by_key(|(taken, _)| taken.len())?;
    let rest = words.iter().enumerate().filter(|(at, _)| !taken.contains(at)).map(|(_, word)| word.clone());
    Some((answer, rest.collect()))
}

fn met(words: &[words::Word], phrase: &str) -> Option<Vec<usize>> {
    let wanted: Vec<String> =
        plain(phrase).into_iter().filter(|word| !SMALL.contains(&format!(" {word} "))).collect();
    let taken = in_order(words, &wanted);
    (!wanted.is_empty() && taken.len() * 4 >= wanted.len() * 3).then_some(taken)
}

/// Positions of the longest common sequence; of several, the last.
fn in_order(words: &[Word], wanted: &[String]) -> Vec<usize> {
    let mut best = vec![vec![0_usize; wanted.len() + 1]; words.len() + 1];
    for (at, word) in words.iter().enumerate() {
        for (of, want) in wanted.iter().enumerate() {
            let met = best[at][of] + usize::from(word.text == *want);
            best[at + 1][of + 1] = met.max(best[at][of + 1]).max(best[at + 1][of]);
        }
    }
    let (mut at, mut of) = (words.len(), wanted.len());
    let mut taken = Vec::new();
    while at > 0 && of > 0 {
        if words[at - 1].text == wanted[of - 1] {
            taken.push(at - 1);
            (at, of) = (at - 1, of - 1);
        } else if best[at - 1][of] >= best[at][of - 1] {
            at -= 1;
        } else {
            of -= 1;
        }
    }
    taken
}

#[cfg(test)]
mod tests {
    use super::super::words::words;
    use super::*;

    fn answers() -> Vec<SideAnswer> {
        let side = |phrase: &str| SideAnswer { phrases: vec![phrase.into()], answer: phrase.into() };
        vec![side("what time do you close on sunday"), side("do you have anything vegetarian on the menu")]
    }

    #[test]
    fn a_side_question_is_known_by_its_words_and_takes_them_away() {
        let answers = answers();
        let words = words("on friday, and what time do you close on Sunday?");
        let (answer, rest) = find(&words, &answers).expect("a side question");
        assert_eq!(answer.answer, "what time do you close on sunday");
        let rest: Vec<&str> = rest.iter().map(|word| word.text.as_str()).collect();
        assert_eq!(rest, ["on", "friday", "and", "do", "you", "on"]);
    }

    #[test]
    fn values_alone_are_no_side_question() {
        assert!(find(&words("on sunday at what time you like"), &answers()).is_none());
        assert!(find(&words("a table for four"), &answers()).is_none());
    }
}
