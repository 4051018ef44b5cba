//! Pages of a list: an opaque token that says where the next page begins.
//!
//! A token carries a mark of the query it belongs to, so that it is refused beside another filter instead
//! of giving a page that skips rows.

use jiff::Timestamp;
use sha2::{Digest, Sha256};

use crate::{Error, Result};

const DEFAULT_SIZE: u32 = 50;
const LARGEST_SIZE: u32 = 500;

/// Which page of a list is wanted.
#[derive(Debug, Clone, Default)]
pub struct PageRequest {
    /// How many items at most: 0 means 50, more than 500 is cut to 500.
    pub size: u32,
    /// [`Page::next_token`] of the page before; none for the first page.
    pub token: Option<String>,
}

/// One page of a list.
#[derive(Debug, Clone, PartialEq)]
pub struct Page<T> {
    /// The items, in the order of the list.
    pub items: Vec<T>,
    /// Where the next page begins; none at the end.
    pub next_token: Option<String>,
}

impl PageRequest {
    /// A page of a list that is held in memory and has no two items of the same key. `query` tells it from other lists.
    ///
    /// # Errors
    /// [`Error::Invalid`] when the page token is not from this list.
    pub fn cut<T>(&self, items: Vec<T>, query: &str, key: impl Fn(&T) -> String) -> Result<Page<T>> {
        let rest = match self.after(query)? {
            None => items,
            Some(last) => {
                let place = items.iter().position(|item| key(item) == last).ok_or_else(foreign_token)?;
                items.into_iter().skip(place + 1).collect()
            }
        };
        Ok(self.page(rest, query, key))
    }

    /// How many items to give, within bounds.
    pub(crate) fn size(&self) -> usize {
        let size = if self.size == 0 { DEFAULT_SIZE } else { self.size.min(LARGEST_SIZE) };
        size as usize
    }

    /// How many rows to ask for: one more than the page, to see whether another follows.
    pub(crate) fn rows(&self) -> i64 {
        self.size() as i64 + 1
    }

    /// The key after which this page begins.
    pub(crate) fn after(&self, query: &str) -> Result<Option<String>> {
        let Some(token) = self.token.as_deref().filter(|token| !token.is_empty()) else {
            return Ok(None);
        };
        let key = unhex(token)
            .and_then(|bytes| String::from_utf8(bytes).ok())
            .and_then(|text| text.strip_prefix(&mark(query)).map(str::to_owned));
        key.map(Some).ok_or_else(foreign_token)
    }

    /// Cuts `rows` to a page and makes the token of the next one from its last row.
    pub(crate) fn page<T>(&self, mut rows: Vec<T>, query: &str, key: impl Fn(&T) -> String) -> Page<T> {
        let more = rows.len() > self.size();
        rows.truncate(self.size());
        let next_token = rows.last().filter(|_| more).map(|last| hex(&(mark(query) + &key(last))));
        Page { items: rows, next_token }
    }
}

/// The key of a list in the order of a time and, where times are equal, of an id.
pub(crate) fn time_key(time: Timestamp, id: impl std::fmt::Display) -> String {
    format!("{} {id}", time.as_microsecond())
}

/// Reads what [`time_key`] made.
pub(crate) fn parse_time_key<Id: std::str::FromStr>(key: &str) -> Result<(Timestamp, Id)> {
    let parsed = key.split_once(' ').and_then(|(time, id)| {
        let time = Timestamp::from_microsecond(time.parse().ok()?).ok()?;
        Some((time, id.parse().ok()?))
    });
    parsed.ok_or_else(foreign_token)
}

pub(crate) fn foreign_token() -> Error {
    Error::invalid("page_token", "is not from a page of this very list")
}

fn mark(query: &str) -> String {
    hex(&Sha256::digest(query.as_bytes())[..4]) + "."
}

pub(crate) fn hex(bytes: impl AsRef<[u8]>) -> String {
    bytes.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> = text.chars().map(|c| c.to_digit(16).map(|d| d as u8)).collect();
    let digits = digits.filter(|digits| digits.len().is_multiple_of(2))?;
    Some(digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(size: u32, token: Option<&str>) -> PageRequest {
        PageRequest { size, token: token.map(str::to_owned) }
    }

    #[test]
    fn a_page_ends_with_a_token_only_if_more_follows() {
        let full = request(2, None).page(vec![1, 2, 3], "q", i32::to_string);
        assert_eq!(full.items, [1, 2]);
        assert_eq!(request(2, full.next_token.as_deref()).after("q").unwrap(), Some("2".to_owned()));
        assert_eq!(request(2, None).page(vec![1, 2], "q", i32::to_string).next_token, None);
    }

    #[test]
    fn a_token_of_another_query_or_of_nobody_is_refused() {
        let token = request(1, None).page(vec![1, 2], "agent=a", i32::to_string).next_token;
        for (query, token) in [("agent=b", token.as_deref()), ("agent=a", Some("zz")), ("agent=a", Some("é"))]
        {
            let refused = request(1, token).after(query);
            assert!(matches!(refused, Err(Error::Invalid { field: "page_token", .. })), "{refused:?}");
        }
    }

    #[test]
    fn no_size_is_fifty_and_too_large_a_size_is_cut() {
        assert_eq!((request(0, None).size(), request(9_999, None).size()), (50, 500));
    }
}
