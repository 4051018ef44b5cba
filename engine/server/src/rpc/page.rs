//! Pages of lists: what a client may ask for.

use parlance_store::{Error, PageRequest};

use crate::status::{Refusal, Violations};

const SIZE_MAX: u32 = 200;

/// The page a client asks for: 0 is the default of 50, more than 200 is 200, less than 0 is refused.
pub fn request(size: i32, token: String) -> Result<PageRequest, Refusal> {
    let size = u32::try_from(size)
        .map_err(|_| Violations::one("page_size", format!("is {size}; must be 1 to {SIZE_MAX}")))?;
    Ok(PageRequest { size: size.min(SIZE_MAX), token: Some(token).filter(|token| !token.is_empty()) })
}

/// What the store said about a page token.
pub fn refused(error: Error) -> Refusal {
    match error {
        Error::Invalid { field: "page_token", message } => Violations::one("page_token", message).into(),
        other => other.into(),
    }
}
