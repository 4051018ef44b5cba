//! Which name was probably meant by one that nobody has: counted in slips of the finger.
//!
//! Case never counts. [`nearest`] puts all names in order, for those who show several; [`meant`] gives one, and only if
//! it is so near that it can be proposed.

/// A name is proposed where at most one letter in so many is wrong.
const LETTERS_A_SLIP: usize = 3;
/// And at most so many altogether.
const SLIPS_MAX: usize = 3;
/// A longer name is no slip of the finger: it is compared with none, whoever sent it.
const LETTERS_MAX: usize = 64;

/// All names, the nearest first; those that are as near keep their order.
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    let mut names: Vec<(usize, &str)> =
        known.into_iter().map(|known| (distance(name, known), known)).collect();
    names.sort_by_key(|(slips, _)| *slips);
    names.into_iter().map(|(_, name)| name).collect()
}

/// The name that was probably meant; none if even the nearest is another word.
pub fn meant<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let slips_max = (name.chars().count() / LETTERS_A_SLIP).clamp(1, SLIPS_MAX);
    let nearest = nearest(name, known).into_iter().next()?;
    (distance(name, nearest) <= slips_max).then_some(nearest)
}

/// The same as a question at the end of a message, ` (did you mean `x`?)`; empty if there is none.
pub fn did_you_mean<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    meant(name, known).map_or_else(String::new, |meant| format!(" (did you mean `{meant}`?)"))
}

/// What is wrong with a name that is none of `known`, completing a field's name.
pub fn unknown(name: &str, known: &[&str]) -> String {
    let meant = did_you_mean(name, known.iter().copied());
    let known = known.join(", ");
    match name.char_indices().nth(LETTERS_MAX) {
        None => format!("`{name}` is not known{meant}; known are: {known}"),
        Some((end, _)) => format!("`{}…` is not known; known are: {known}", &name[..end]),
    }
}

/// Letters to insert, delete, replace or exchange with their neighbour to get from one to the other; more than any name
/// has where one is longer than 64.
pub fn distance(from: &str, to: &str) -> usize {
    let letters = |text: &str| {
        let letters = text.chars().flat_map(char::to_lowercase).take(LETTERS_MAX + 1).collect::<Vec<char>>();
        (letters.len() <= LETTERS_MAX).then_some(letters)
    };
    let (Some(from), Some(to)) = (letters(from), letters(to)) else { return usize::MAX };
    let mut rows: Vec<Vec<usize>> = vec![(0..=to.len()).collect()];
    for above in 0..from.len() {
        let mut row = vec![above + 1];
        for left in 0..to.len() {
            let replaced = rows[above][left] + usize::from(from[above] != to[left]);
            let mut slips = replaced.min(rows[above][left + 1] + 1).min(row[left] + 1);
            if above > 0 && left > 0 && from[above] == to[left - 1] && from[above - 1] == to[left] {
                slips = slips.min(rows[above - 1][left - 1] + 1);
            }
            row.push(slips);
        }
        rows.push(row);
    }
    rows[from.len()][to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_a_letter_too_many_too_few_wrong_or_exchanged() {
        assert_eq!(distance("OPENAI_MODEL", "openai_model"), 0, "case does not count");
        for slip in ["openaii", "opnai", "opemai", "opneai"] {
            assert_eq!(distance(slip, "openai"), 1, "{slip}");
        }
        for (from, to, slips) in [("", "abc", 3), ("abc", "", 3), ("kitten", "sitting", 3)] {
            assert_eq!(distance(from, to), slips, "{from} {to}");
        }
    }

    #[test]
    fn a_name_beyond_all_measure_is_compared_with_none_and_not_repeated() {
        let long = "o".repeat(4_000_000);
        assert_eq!(distance(&long, &long), usize::MAX);
        assert_eq!((meant(&long, ["openai"]), meant("openai", [long.as_str()])), (None, None));
        assert!(unknown(&long, &["openai"]).len() < 200);
        assert_eq!(distance(&long[..64], &long[..63]), 1);
    }

    #[test]
    fn only_a_name_that_is_near_is_proposed_and_of_several_the_nearest() {
        let known = ["deepgram", "deepgram-flux", "openai", "gemini"];
        assert_eq!(meant("deepgarm", known), Some("deepgram"));
        assert_eq!(meant("deepgram-flx", known), Some("deepgram-flux"));
        assert_eq!((meant("whisper", known), meant("", known), meant("x", [])), (None, None, None));
        assert_eq!(did_you_mean("opnai", known), " (did you mean `openai`?)");
        assert_eq!(did_you_mean("groq", known), "");
        let why = "`opnai` is not known (did you mean `openai`?); known are: openai, gemini";
        assert_eq!(unknown("opnai", &["openai", "gemini"]), why);
        assert_eq!(nearest("opnai", known)[0], "openai");
    }
}
