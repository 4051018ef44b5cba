//! Names that users know from carriers and that nothing here acts on yet.
//!
//! They are taken from every place a setting may stand in, so that a `.env` that is made for the whole does not have
//! to be cut down, and `serve` says once which of them have no effect. A name leaves this list for a setting of its
//! own when what it is for is built. Values are never shown where they are secret, and never kept here at all.

use std::sync::LazyLock;

use clap::{Arg, ArgMatches, Args, Command, FromArgMatches};

/// A name and what it will be for.
struct Name {
    variable: &'static str,
    secret: bool,
    of: &'static str,
}

const fn secret(variable: &'static str, of: &'static str) -> Name {
    Name { variable, secret: true, of }
}

const fn open(variable: &'static str, of: &'static str) -> Name {
    Name { variable, secret: false, of }
}

const CARRIERS: &str = "telephone carriers";
const BROWSERS: &str = "rooms for browsers";

const NAMES: &[Name] = &[
    open("TWILIO_ACCOUNT_SID", CARRIERS),
    secret("TWILIO_AUTH_TOKEN", CARRIERS),
    open("TWILIO_PHONE_NUMBER", CARRIERS),
    open("EXOTEL_ACCOUNT_SID", CARRIERS),
    open("EXOTEL_SID", CARRIERS),
    secret("EXOTEL_API_KEY", CARRIERS),
    secret("EXOTEL_API_TOKEN", CARRIERS),
    open("EXOTEL_SUBDOMAIN", CARRIERS),
    open("EXOTEL_APP_ID", CARRIERS),
    open("EXOTEL_PHONE_NUMBER", CARRIERS),
    open("EXOTEL_CALLER_ID", CARRIERS),
    secret("RETELL_API_KEY", CARRIERS),
    open("RETELL_WEBSOCKET_PORT", CARRIERS),
    secret("DAILY_API_KEY", BROWSERS),
];

/// What their flags are called: `twilio-auth-token`.
static LONGS: LazyLock<Vec<String>> =
    LazyLock::new(|| NAMES.iter().map(|name| name.variable.to_lowercase().replace('_', "-")).collect());

/// The names that are set, by what they are for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reserved {
    set: Vec<&'static str>,
}

impl Reserved {
    /// A sentence on the names that are set; none if none is.
    pub fn sentence(&self) -> Option<String> {
        let mut groups: Vec<String> = Vec::new();
        for of in [CARRIERS, BROWSERS] {
            let here = NAMES.iter().filter(|name| name.of == of && self.set.contains(&name.variable));
            let here: Vec<&str> = here.map(|name| name.variable).collect();
            if !here.is_empty() {
                groups.push(format!("{} (for {of})", here.join(", ")));
            }
        }
        let names = groups.join("; ");
        (!names.is_empty()).then(|| format!("set, but without effect yet: {names}"))
    }
}

/// Whether nothing acts on this variable yet.
pub fn is_reserved(variable: &str) -> bool {
    NAMES.iter().any(|name| name.variable == variable)
}

impl Args for Reserved {
    fn augment_args(command: Command) -> Command {
        command.args(NAMES.iter().zip(LONGS.iter()).map(|(name, long)| {
            let arg = Arg::new(name.variable).env(name.variable).hide(true);
            arg.long(long.as_str()).hide_env_values(name.secret)
        }))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for Reserved {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut reserved = Self::default();
        reserved.update_from_arg_matches(matches)?;
        Ok(reserved)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        let given =
            |name: &&Name| matches.get_one::<String>(name.variable).is_some_and(|value| !value.is_empty());
        self.set = NAMES.iter().filter(given).map(|name| name.variable).collect();
        Ok(())
    }
}
