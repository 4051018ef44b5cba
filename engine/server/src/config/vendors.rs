//! Accounts with vendors of speech and language models: keys, addresses, models and voices.
//!
//! The list of settings is made from the registry, so that a service's row there brings its settings along: the
//! variables that its vendor names for key and address, `<SERVICE>_MODEL` for a language model, `<SERVICE>_STT_MODEL`
//! and `<SERVICE>_TTS_MODEL` for speech, and `<SERVICE>_VOICE_ID` for a voice. Keys are never shown: an
//! [`Account`] hides its own.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use clap::{Arg, ArgMatches, Args, Command, FromArgMatches};
use parlance_providers::account::{Account, Secret};
use parlance_providers::models;
use parlance_providers::registry::{Kind, Service, VENDORS, services};

use super::outside::BaseUrl;

/// What one setting is.
#[derive(Clone, Copy)]
enum What {
    Key(&'static str),
    BaseUrl(&'static str),
    Model(&'static Service),
    Voice(&'static Service),
}

struct Setting {
    variable: String,
    long: String,
    help: String,
    what: What,
}

static SETTINGS: LazyLock<Vec<Setting>> = LazyLock::new(|| {
    let mut all = Vec::new();
    let mut add = |variable: String, help: String, what| {
        let long = variable.to_lowercase().replace('_', "-");
        // Two services that share a name share their settings.
        if !all.iter().any(|other: &Setting| other.variable == variable) {
            all.push(Setting { variable, long, help, what });
        }
    };
    for vendor in VENDORS {
        for variable in vendor.key_variables {
            add((*variable).to_owned(), format!("Key of {}.", vendor.title), What::Key(vendor.name));
        }
        let help = format!("Where {} is found, instead of its public address.", vendor.title);
        add(vendor.base_url_variable.to_owned(), help, What::BaseUrl(vendor.name));
        for service in services().filter(|service| service.vendor == vendor.name) {
            let help = format!("Model of {} where an agent names none.", service.name);
            add(model_variable(service), help, What::Model(service));
            if service.kind() == Kind::Tts {
                let help = format!("Voice of {} where an agent names none.", service.name);
                add(voice_variable(service), help, What::Voice(service));
            }
        }
    }
    all
});

/// The variable with the model of a service: `DEEPGRAM_STT_MODEL`.
pub fn model_variable(service: &Service) -> String {
    let kind = match service.kind() {
        Kind::Stt => "_STT",
        Kind::Llm => "",
        Kind::Tts => "_TTS",
    };
    format!("{}{kind}_MODEL", stem(service))
}

/// The variable with the voice of a service: `ELEVENLABS_VOICE_ID`.
pub fn voice_variable(service: &Service) -> String {
    format!("{}_VOICE_ID", stem(service))
}

/// Its name as variables have it, without its kind.
fn stem(service: &Service) -> String {
    let name = service.name.to_uppercase().replace('-', "_");
    let bare = name.strip_suffix("_STT").or_else(|| name.strip_suffix("_TTS"));
    bare.map(str::to_owned).unwrap_or(name)
}

/// What is set for vendors.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Vendors {
    accounts: BTreeMap<&'static str, Account>,
    /// By kind and service.
    models: BTreeMap<(&'static str, &'static str), String>,
    voices: BTreeMap<&'static str, String>,
}

impl Vendors {
    /// With this account at a vendor too.
    #[must_use]
    pub fn with_account(mut self, vendor: &'static str, account: Account) -> Self {
        self.accounts.insert(vendor, account);
        self
    }

    /// With this model of a service too.
    #[must_use]
    pub fn with_model(mut self, service: &'static Service, model: &str) -> Self {
        self.models.insert((word(service.kind()), service.name), model.to_owned());
        self
    }

    /// The engine's account at a vendor; an empty one if nothing is set.
    pub fn account(&self, vendor: &str) -> Account {
        self.accounts.get(vendor).cloned().unwrap_or_default()
    }

    /// The model that is set for a provider of a kind.
    pub fn model(&self, kind: Kind, provider: &str) -> Option<&str> {
        let found = self.models.iter().find(|((of, name), _)| *of == word(kind) && *name == provider);
        found.map(|(_, model)| model.as_str())
    }

    /// The voice that is set for a provider.
    pub fn voice(&self, provider: &str) -> Option<&str> {
        self.voices.get(provider).map(String::as_str)
    }
}

fn word(kind: Kind) -> &'static str {
    match kind {
        Kind::Stt => "stt",
        Kind::Llm => "llm",
        Kind::Tts => "tts",
    }
}

/// All variables that are settings of vendors.
pub fn variables() -> impl Iterator<Item = &'static str> {
    SETTINGS.iter().map(|setting| setting.variable.as_str())
}

/// The model that counts while this variable is not set; `None` if it names no model, empty if the vendor has none.
pub fn default_model(variable: &str) -> Option<&'static str> {
    SETTINGS.iter().find(|setting| setting.variable == variable).and_then(|setting| match setting.what {
        What::Model(service) => Some(models::default_of(service.kind(), service.name)),
        What::Key(_) | What::BaseUrl(_) | What::Voice(_) => None,
    })
}

impl Args for Vendors {
    fn augment_args(command: Command) -> Command {
        command.args(SETTINGS.iter().map(|setting| {
            let arg = Arg::new(setting.variable.as_str()).env(setting.variable.as_str());
            let arg = arg.long(setting.long.as_str()).help(setting.help.as_str());
            let arg = arg.help_heading("Vendors").hide_short_help(true);
            match setting.what {
                What::Key(_) => arg.hide_env_values(true).value_name("KEY"),
                What::BaseUrl(_) => {
                    arg.value_name("URL").value_parser(clap::builder::ValueParser::new(base_url))
                }
                What::Model(_) => arg.value_name("MODEL"),
                What::Voice(_) => arg.value_name("VOICE"),
            }
        }))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

fn base_url(text: &str) -> Result<String, String> {
    text.parse().map(|url: BaseUrl| url.as_str().to_owned())
}

impl FromArgMatches for Vendors {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut vendors = Self::default();
        vendors.update_from_arg_matches(matches)?;
        Ok(vendors)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        for setting in SETTINGS.iter() {
            let value = matches.get_one::<String>(&setting.variable).map(|value| value.trim());
            let Some(value) = value.filter(|value| !value.is_empty()) else { continue };
            match setting.what {
                What::Key(vendor) => {
                    let account = self.accounts.entry(vendor).or_default();
                    if account.key.is_empty() {
                        account.key = Secret::new(value);
                    }
                }
                What::BaseUrl(vendor) => {
                    self.accounts.entry(vendor).or_default().base_url = Some(value.to_owned());
                }
                What::Model(service) => {
                    self.models.insert((word(service.kind()), service.name), value.to_owned());
                }
                What::Voice(service) => {
                    self.voices.insert(service.name, value.to_owned());
                }
            }
        }
        Ok(())
    }
}
