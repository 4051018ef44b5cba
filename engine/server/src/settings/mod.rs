//! Where settings come from: the file, `.env`, the environment and flags, in rising priority.
//!
//! The flags of the command line are the one list of settings there is: a flag with a variable is a setting, and
//! what file, `.env` and environment say of it becomes the flag's default. So a value is checked, explained and
//! turned into its type in one place. An unknown name that can only be meant for us is an error; one that
//! is nearly a vendor's is told ([`misspelt`]); other programs' variables are nobody's business here. An empty value in a file says nothing; in the environment it says that the
//! default shall be used, whatever the files have. Enter at [`Settings::read`], then
//! [`Settings::apply`]; [`show`] prints what came of it.

mod dotenv;
mod file;
pub mod misspelt;
pub mod show;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use clap::builder::Resettable;
use clap::{Arg, ArgAction, Command};
use parlance_providers::near;

use self::misspelt::Misspelt;
use crate::config::reserved::is_reserved;

/// The variable that names the file, as `--config` does.
pub const FILE_VARIABLE: &str = "PARLANCE_CONFIG";
/// The variable that tells clients where the engine is.
const ENDPOINT_VARIABLE: &str = "PARLANCE_ENDPOINT";
/// The file that is read if it is there and none is named.
const FILE: &str = "parlance.toml";
/// Where the engine listens if nobody says.
const PORT: u16 = 8080;
/// Variables that begin so are ours.
const PREFIX: &str = "PARLANCE_";
/// Ours too, though no setting of the program: the scripts' choice of a build.
const OF_SCRIPTS: &[&str] = &["PARLANCE_PROFILE"];

/// Why the settings can't be used. A whole sentence without its end.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A file that is there can't be read, or one that was named is not there.
    #[error("{}: {why}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// A name that nothing here has.
    #[error("{place}: there is no `{name}`; the nearest is `{nearest}`")]
    Unknown {
        /// As it was written.
        name: String,
        /// Where it stands.
        place: Source,
        /// What was probably meant.
        nearest: String,
    },
    /// A value that does not fit.
    #[error("{name} in {place}: {why}")]
    Value {
        /// As it was written.
        name: String,
        /// Where it stands.
        place: Source,
        /// What is wrong with it.
        why: String,
    },
}

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// The process's environment.
    Environment,
    /// A file: `.env` or ours.
    File(PathBuf),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Environment => write!(f, "the environment"),
            Self::File(path) => write!(f, "{}", path.display()),
        }
    }
}

/// What the program was started with.
#[derive(Debug, Clone)]
pub struct Surroundings {
    /// The command line, the program's name first.
    pub arguments: Vec<OsString>,
    /// The environment.
    pub environment: BTreeMap<String, String>,
    /// The working directory, as files in it shall be named.
    pub folder: PathBuf,
}

impl Surroundings {
    /// This process's.
    pub fn of_process() -> Self {
        // What is no UTF-8 is left to clap, which takes paths as they are.
        let environment = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
        Self {
            arguments: std::env::args_os().collect(),
            environment: environment.collect(),
            folder: PathBuf::new(),
        }
    }

    /// The value of `--config`, which must be known before the command line can be understood.
    fn config_flag(&self) -> Option<PathBuf> {
        let mut arguments = self.arguments.iter().skip(1).take_while(|argument| *argument != "--");
        loop {
            let argument = arguments.next()?;
            if argument == "--config" {
                return arguments.next().map(PathBuf::from);
            }
            if let Some(path) = argument.to_str().and_then(|text| text.strip_prefix("--config=")) {
                return Some(PathBuf::from(path));
            }
        }
    }
}

/// One place and what it says, by variable. The name is as it was written there.
#[derive(Debug)]
struct Layer {
    source: Source,
    values: BTreeMap<String, Written>,
}

#[derive(Debug)]
struct Written {
    name: String,
    value: String,
}

/// What was found, the strongest place first.
#[derive(Debug)]
pub struct Settings {
    layers: Vec<Layer>,
    chosen: Option<String>,
    misspelt: Vec<Misspelt>,
}

impl Settings {
    /// Looks in all places for the settings of `command`.
    ///
    /// # Errors
    /// [`Error::File`] and [`Error::Unknown`].
    pub fn read(command: &Command, surroundings: &Surroundings) -> Result<Self, Error> {
        let known = Known::of(command);
        let environment = surroundings.environment.clone();
        let mut misspelt = misspelt::among(&Source::Environment, &environment);
        let mut layers = vec![variables(&known, Source::Environment, environment)?];
        let dotenv = surroundings.folder.join(".env");
        if let Some(text) = text_of(&dotenv, false)? {
            layers.push(dotenv_layer(&known, &dotenv, &text)?);
            misspelt.extend(misspelt::among(&Source::File(dotenv), &dotenv::names(&text)));
        }
        let chosen = surroundings.arguments.iter().skip(1).filter_map(|argument| argument.to_str());
        let chosen = chosen.filter_map(|argument| command.find_subcommand(argument)).next();
        let chosen = chosen.map(|chosen| chosen.get_name().to_owned());
        let mut settings = Self { layers, chosen, misspelt };
        let named = surroundings
            .config_flag()
            .or_else(|| settings.find(FILE_VARIABLE).map(|(_, written)| PathBuf::from(&written.value)))
            .filter(|path| !path.as_os_str().is_empty());
        let path = named.clone().unwrap_or_else(|| PathBuf::from(FILE));
        let layer = file_layer(&known, &surroundings.folder.join(path), named.is_some())?;
        settings.layers.extend(layer);
        settings.layers.extend(settings.host_name(&surroundings.environment));
        settings.layers.extend(settings.engine_here());
        Ok(settings)
    }

    /// `command` with what was found as its defaults: for the subcommand in use, because a value that only
    /// another one minds must not stop this one.
    ///
    /// # Errors
    /// [`Error::Value`].
    pub fn apply(&self, command: Command) -> Result<Command, Error> {
        let Some(chosen) = &self.chosen else { return Ok(command) };
        if let Some(subcommand) = command.find_subcommand(chosen) {
            self.check(subcommand)?;
        }
        Ok(command.mut_subcommand(chosen, |subcommand| self.with_defaults(subcommand)))
    }

    /// Variables that have no effect and were probably meant to.
    pub fn misspelt(&self) -> &[Misspelt] {
        &self.misspelt
    }

    /// Where the value of a variable comes from, flags aside.
    pub fn source(&self, variable: &str) -> Option<&Source> {
        self.find(variable).filter(|(_, written)| !written.value.is_empty()).map(|(source, _)| source)
    }

    /// `HOSTNAME` says where to listen on some platforms and is a machine's name on most: only an address counts,
    /// and only where nobody says `HOST`.
    fn host_name(&self, environment: &BTreeMap<String, String>) -> Option<Layer> {
        let name = "HOSTNAME";
        let value = environment.get(name).filter(|value| value.parse::<IpAddr>().is_ok())?;
        if self.find("HOST").is_some_and(|(_, written)| !written.value.is_empty()) {
            return None;
        }
        let written = Written { name: name.to_owned(), value: value.clone() };
        Some(Layer { source: Source::Environment, values: BTreeMap::from([("HOST".to_owned(), written)]) })
    }

    /// Clients in the engine's folder look for it where it listens, unless they are told otherwise.
    fn engine_here(&self) -> Option<Layer> {
        let is_tls = self.source("TLS_CERT_FILE").is_some();
        let (source, name, port) = match self.find("PORT") {
            Some((source, Written { name, value })) => {
                // `PORT=` asks for the default, as the engine takes it.
                let port = if value.is_empty() && is_tls { Ok(PORT) } else { value.parse() };
                (source, name.as_str(), port.ok().filter(|port| *port != 0)?)
            }
            None => (self.source("TLS_CERT_FILE")?, "TLS_CERT_FILE", PORT),
        };
        let host = self.find("HOST").and_then(|(_, written)| written.value.parse().ok());
        let host = host.filter(|host: &IpAddr| !host.is_unspecified()).unwrap_or(Ipv4Addr::LOCALHOST.into());
        let scheme = if is_tls { "https" } else { "http" };
        let value = format!("{scheme}://{}", SocketAddr::new(host, port));
        let written = Written { name: name.to_owned(), value };
        Some(Layer {
            source: source.clone(),
            values: BTreeMap::from([(ENDPOINT_VARIABLE.to_owned(), written)]),
        })
    }

    fn find(&self, variable: &str) -> Option<(&Source, &Written)> {
        self.layers.iter().find_map(|layer| Some((&layer.source, layer.values.get(variable)?)))
    }

    fn check(&self, command: &Command) -> Result<(), Error> {
        for arg in command.get_arguments() {
            let found = variable(arg).and_then(|variable| self.find(variable));
            if let Some((source, Written { name, value })) =
                found.filter(|(_, written)| !written.value.is_empty())
            {
                fits(arg, value).map_err(|why| Error::Value {
                    name: name.clone(),
                    place: source.clone(),
                    why,
                })?;
            }
        }
        command.get_subcommands().try_for_each(|subcommand| self.check(subcommand))
    }

    fn with_defaults(&self, command: Command) -> Command {
        let names: Vec<String> = command.get_subcommands().map(|it| it.get_name().to_owned()).collect();
        let command = command.mut_args(|arg| self.with_default(arg));
        names.iter().fold(command, |command, name| {
            command.mut_subcommand(name, |subcommand| self.with_defaults(subcommand))
        })
    }

    fn with_default(&self, arg: Arg) -> Arg {
        let Some(variable) = variable(&arg) else { return arg };
        let found = self.find(variable).map(|(_, written)| written.value.clone());
        let Some(value) = found.filter(|value| !value.is_empty()) else {
            // What could be read here has been; the rest, paths that are no UTF-8, clap takes as it is.
            let was_read = std::env::var_os(variable).is_some_and(|value| value.to_str().is_some());
            return if was_read { arg.env(Resettable::Reset) } else { arg };
        };
        let is_secret = arg.is_hide_env_values_set();
        // Once, at the start: the command line lives as long as the program.
        let value: &'static str = value.leak();
        arg.env(Resettable::Reset).default_value(value).hide_default_value(is_secret)
    }
}

fn variable(arg: &Arg) -> Option<&str> {
    arg.get_env().and_then(|variable| variable.to_str())
}

/// Asks clap whether a flag could have this value; what is wrong, in its words, if not.
fn fits(arg: &Arg, value: &str) -> Result<(), String> {
    let long = arg.get_long().unwrap_or_default();
    // A switch takes no value on the command line; elsewhere it must have one.
    let probe = match arg.get_action().takes_values() {
        true => arg.clone(),
        false => arg.clone().action(ArgAction::Set).num_args(1),
    };
    let probe = probe.env(Resettable::Reset);
    let command = Command::new("parlance").no_binary_name(true).disable_help_flag(true).arg(probe);
    let tried = command.try_get_matches_from([format!("--{long}={value}")]);
    tried.map(drop).map_err(|error| {
        let text = error.to_string();
        let first = text.split("\n\n").next().unwrap_or_default();
        let words: Vec<&str> = first.trim_start_matches("error: ").split_whitespace().collect();
        words.join(" ")
    })
}

/// The settings there are: variables, and what our file calls them.
struct Known {
    variables: Vec<String>,
    keys: BTreeMap<String, String>,
}

impl Known {
    fn of(command: &Command) -> Self {
        let mut known = Self { variables: Vec::new(), keys: BTreeMap::new() };
        known.add(command);
        known
    }

    fn add(&mut self, command: &Command) {
        for arg in command.get_arguments() {
            let Some(variable) = variable(arg) else { continue };
            self.variables.push(variable.to_owned());
            let is_ours = !arg.is_hide_set() || is_reserved(variable);
            let long = arg.get_long().filter(|_| is_ours && variable != FILE_VARIABLE);
            self.keys.extend(long.map(|long| (long.replace('-', "_"), variable.to_owned())));
        }
        command.get_subcommands().for_each(|subcommand| self.add(subcommand));
    }

    fn has(&self, variable: &str) -> bool {
        self.variables.iter().any(|known| known == variable)
    }
}

/// A place that speaks in variables.
fn variables(known: &Known, source: Source, found: BTreeMap<String, String>) -> Result<Layer, Error> {
    let mut values = BTreeMap::new();
    for (name, value) in found {
        if known.has(&name) {
            // `NAME=` in a copied example means that nothing was filled in; typed before a command, it is meant.
            if !value.is_empty() || source == Source::Environment {
                values.insert(name.clone(), Written { name, value });
            }
        } else if name.starts_with(PREFIX) && !OF_SCRIPTS.contains(&name.as_str()) {
            let ours = known.variables.iter().filter(|variable| variable.starts_with(PREFIX));
            let nearest = nearest(&name, ours);
            return Err(Error::Unknown { name, place: source, nearest });
        }
    }
    Ok(Layer { source, values })
}

fn dotenv_layer(known: &Known, path: &Path, text: &str) -> Result<Layer, Error> {
    let ours = |name: &str| known.has(name) || name.starts_with(PREFIX);
    let found = dotenv::parse(text, ours).map_err(|line| Error::File {
        path: path.to_owned(),
        why: format!("line {line}: the value must end with the quote it begins with"),
    })?;
    variables(known, Source::File(path.to_owned()), found)
}

fn file_layer(known: &Known, path: &Path, must_be_there: bool) -> Result<Option<Layer>, Error> {
    let Some(text) = text_of(path, must_be_there)? else { return Ok(None) };
    let found = file::parse(&text).map_err(|why| Error::File { path: path.to_owned(), why })?;
    let source = Source::File(path.to_owned());
    let mut values = BTreeMap::new();
    for (name, value) in found {
        let Some(variable) = known.keys.get(&name) else {
            let nearest = nearest(&name, known.keys.keys());
            return Err(Error::Unknown { name, place: source, nearest });
        };
        if !value.is_empty() {
            values.insert(variable.clone(), Written { name, value });
        }
    }
    Ok(Some(Layer { source, values }))
}

/// A file's text; none if it is not there and need not be.
fn text_of(path: &Path, must_be_there: bool) -> Result<Option<String>, Error> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && !must_be_there => Ok(None),
        Err(error) => Err(Error::File { path: path.to_owned(), why: error.to_string() }),
    }
}

/// The name that is the fewest letters away.
fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a String>) -> String {
    near::nearest(name, known.map(String::as_str)).first().copied().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests;
