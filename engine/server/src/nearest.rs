//! The name that somebody may have meant who wrote another one.

/// The known name that is the fewest letters away; none if none is known.
pub fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a String>) -> Option<&'a str> {
    known.min_by_key(|known| distance(name, known)).map(String::as_str)
}

/// Letters to add, leave out or change (Levenshtein).
fn distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (index, letter) in from.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], index + 1);
        for (column, other) in to.iter().enumerate() {
            let change = diagonal + usize::from(letter != *other);
            diagonal = row[column + 1];
            row[column + 1] = change.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[to.len()]
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn the_nearest_name_is_the_fewest_letters_away() {
        let known = ["find_order".to_owned(), "cancel_order".to_owned(), "book".to_owned()];
        assert_eq!(nearest("find_orders", known.iter()), Some("find_order"));
        assert_eq!(nearest("cancle_order", known.iter()), Some("cancel_order"));
        assert_eq!(nearest("x", [].iter()), None);
    }
}
