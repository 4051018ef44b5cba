//! Etags: a mark that differs after every change, so that a lost race is seen.

use crate::{Error, Result};

/// An etag that no row has had.
pub(crate) fn new() -> String {
    uuid::Uuid::new_v4().simple().to_string()
}

/// Compares the etag of a row, none if there is no row, with the `expected` one, none if any will do.
pub(crate) fn check(found: Option<&str>, expected: Option<&str>, what: &'static str) -> Result<()> {
    match (found, expected) {
        (None, _) => Err(Error::NotFound(what)),
        (Some(found), Some(expected)) if found != expected => {
            Err(Error::Conflict("somebody else was quicker since the etag was read"))
        }
        (Some(_), _) => Ok(()),
    }
}
