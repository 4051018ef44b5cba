//! How the engine is known at a vendor: a key, and where the vendor is found.

use std::fmt;
use std::sync::Arc;

/// Something that must never be shown: it has no `Display`, and `Debug` hides it.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Secret(String);

impl Secret {
    /// Keeps this secret.
    pub fn new(secret: impl Into<String>) -> Self {
        Self(secret.into())
    }

    /// The secret itself, for the one header or message it is needed in.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(if self.0.is_empty() { "Secret(none)" } else { "Secret(…)" })
    }
}

/// Which account something was done on, without anything of its key: the engine's own, or one with an id. An account
/// whose key is set anew is another one.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct AccountId(Option<Arc<str>>);

impl AccountId {
    /// The engine's own account with a vendor, which all organisations share.
    pub const ENGINE: Self = Self(None);

    /// An organisation's own account. `id` is no secret and never used again for another key.
    pub fn own(id: impl fmt::Display) -> Self {
        Self(Some(id.to_string().into()))
    }

    /// Whether it is an organisation's.
    pub fn is_own(&self) -> bool {
        self.0.is_some()
    }
}

/// An account with a vendor.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Account {
    /// Its key; empty for servers that want none.
    pub key: Secret,
    /// Where the vendor is found instead of its public address, without a slash at the end:
    /// `http://localhost:11434/v1`.
    pub base_url: Option<String>,
}

impl Account {
    /// Where the vendor is found, without a slash at the end.
    pub fn base<'a>(&'a self, public: &'a str) -> &'a str {
        self.base_url.as_deref().unwrap_or(public).trim_end_matches('/')
    }

    /// The same for WebSockets: `http` becomes `ws`, `https` becomes `wss`.
    pub fn socket_base(&self, public: &str) -> String {
        let base = self.base(public);
        match base.strip_prefix("http") {
            Some(rest) => format!("ws{rest}"),
            None => base.to_owned(),
        }
    }
}
