//! The keys that secrets in the database are encrypted with: from the environment or a file, and the ones before.
//!
//! Kept as text that shows itself to nobody and is read only when the engine opens, so that no message about a wrong
//! value can hold it.

use std::path::PathBuf;
use std::str::FromStr;

use parlance_providers::account::Secret;

/// Settings about master keys.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct MasterKeys {
    /// Encrypts organisations' keys of vendors and tools' secrets in the database: 32 random bytes in base64 (openssl rand -base64 32).
    #[arg(long, env = "PARLANCE_MASTER_KEY", hide_env_values = true, value_name = "KEY")]
    pub master_key: Option<HiddenText>,
    /// A file that holds it.
    #[arg(long, env = "PARLANCE_MASTER_KEY_FILE", value_name = "FILE")]
    pub master_key_file: Option<PathBuf>,
    /// Master keys of before, separated by commas: what they encrypted is read, and encrypted anew with the current one.
    #[arg(long, env = "PARLANCE_OLD_MASTER_KEYS", hide_env_values = true, value_name = "KEYS")]
    pub old_master_keys: Option<HiddenText>,
}

/// Text that is never shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HiddenText(Secret);

impl HiddenText {
    /// The text.
    pub fn reveal(&self) -> &str {
        self.0.reveal()
    }
}

impl FromStr for HiddenText {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self(Secret::new(text)))
    }
}
