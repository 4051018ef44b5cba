//! `parlance config`: every setting of the engine and of the client, its value, and where that comes from.
//!
//! Secrets are never printed; of a database's address everything but the password's part is.

use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Args, Command};
use parlance_store::DatabaseUrl;

use super::{Settings, variable};
use crate::config::Config;
use crate::config::outside::BaseUrl;
use crate::config::reserved::is_reserved;
use crate::config::vendors::default_model;

/// Arguments of `parlance config`: those of `serve` and of the clients, so that any of them can be tried.
#[derive(Debug, clap::Args)]
pub struct ShowArgs {
    /// The engine's.
    #[command(flatten)]
    pub config: Config,
    /// Where clients look for the engine.
    #[arg(long, env = "PARLANCE_ENDPOINT", default_value = "http://127.0.0.1:8080", value_name = "URL")]
    pub endpoint: String,
    /// The clients' API key. Default: the engine's own, from its data folder.
    #[arg(long, env = "PARLANCE_API_KEY", hide_env_values = true)]
    pub key: Option<String>,
}

/// A long value does not push the sources of all others aside.
const VALUE_WIDTH_MAX: usize = 40;

/// One line a setting: the file's name for it, the value, the source, in columns. What has no effect yet is told only
/// where somebody has set it.
pub fn text(settings: &Settings, matches: &ArgMatches) -> String {
    // Not the command that was parsed: there a flag whose value was found has no variable any more.
    let command = ShowArgs::augment_args(Command::new("config"));
    let settings_of = command.get_arguments().filter_map(|arg| Some((arg, variable(arg)?.to_owned())));
    let mut rows = Vec::new();
    for (arg, variable) in settings_of {
        let reserved = is_reserved(&variable);
        if reserved && matches.get_raw(arg.get_id().as_str()).is_none() {
            continue;
        }
        let name = arg.get_long().unwrap_or_default().replace('-', "_");
        let (value, source) = match made(&variable, matches) {
            Some(made) => made,
            None => (value(arg, &variable, matches), source(settings, arg, &variable, matches)),
        };
        let note = if reserved { ", no effect yet" } else { "" };
        rows.push((name, value, format!("{source} ({variable}{note})")));
    }
    let length = |text: &str| text.chars().count();
    let names = rows.iter().map(|(name, ..)| length(name)).max().unwrap_or_default();
    let values = rows.iter().map(|(_, value, _)| length(value)).filter(|length| *length <= VALUE_WIDTH_MAX);
    let values = values.max().unwrap_or_default();
    let lines =
        rows.iter().map(|(name, value, source)| format!("{name:<names$}  {value:<values$}  {source}\n"));
    lines.collect()
}

/// The one setting that is made from another if nobody says it.
fn made(variable: &str, matches: &ArgMatches) -> Option<(String, String)> {
    let is_unset = variable == "BASE_WS_URL" && matches.get_raw("base_ws_url").is_none();
    let base = matches.get_one::<BaseUrl>("base_url").filter(|_| is_unset)?;
    Some((base.web_sockets().to_string(), "made from BASE_URL".to_owned()))
}

fn value(arg: &Arg, variable: &str, matches: &ArgMatches) -> String {
    let raw = matches.get_raw(arg.get_id().as_str()).and_then(|mut values| values.next());
    let raw = raw.map(|raw| raw.to_string_lossy().into_owned()).filter(|raw| !raw.is_empty());
    let Some(raw) = raw else {
        let default = default_model(variable).filter(|model| !model.is_empty());
        return default.unwrap_or("-").to_owned();
    };
    match (variable, arg.is_hide_env_values_set()) {
        ("DATABASE_URL", _) => {
            DatabaseUrl::parse(&raw, false).map_or("(not readable)".to_owned(), |url| url.to_string())
        }
        (_, true) => "(hidden)".to_owned(),
        (_, false) => raw,
    }
}

fn source(settings: &Settings, arg: &Arg, variable: &str, matches: &ArgMatches) -> String {
    match matches.value_source(arg.get_id().as_str()) {
        Some(ValueSource::CommandLine) => "flag".to_owned(),
        Some(ValueSource::EnvVariable) => "the environment".to_owned(),
        _ => settings.source(variable).map_or("default".to_owned(), ToString::to_string),
    }
}
