//! Opened providers: those of every vendor there is an account with, and those of this machine behind them.
//!
//! A service makes no connection when it is opened, so all are opened at once. One that refuses its account is left out
//! with a warning; the others work on.

use std::sync::Arc;

use parlance_providers::account::{Account, AccountId};
use parlance_providers::llm::LanguageModel;
use parlance_providers::models;
use parlance_providers::registry::{Kind, Open, Service, Stack, VENDORS, Vendor, services};
use parlance_providers::stt::SpeechToText;
use parlance_providers::tts::TextToSpeech;

use crate::config::vendors::Vendors;

/// An opened provider.
pub struct Opened<P: ?Sized> {
    /// Its registered name.
    pub name: &'static str,
    /// Whose account it uses; `None` on this machine.
    pub vendor: Option<&'static Vendor>,
    /// Which account: the engine's own, or one of the organisation's.
    pub account: AccountId,
    /// The provider.
    pub provider: Arc<P>,
}

/// The providers that a set of accounts opens, each kind in the order in which they are preferred.
pub struct Services {
    pub(super) stt: Vec<Opened<dyn SpeechToText>>,
    pub(super) llm: Vec<Opened<dyn LanguageModel>>,
    pub(super) tts: Vec<Opened<dyn TextToSpeech>>,
    pub(super) settings: Arc<Vendors>,
}

impl Services {
    /// The providers of one machine.
    pub(super) fn local(stack: Stack) -> Self {
        let mut none = Self { stt: vec![], llm: vec![], tts: vec![], settings: Arc::default() };
        none.add_local(stack);
        none
    }

    /// The services of all vendors with which `account` has one, then those of this machine.
    pub(crate) fn open(
        settings: Arc<Vendors>,
        account: impl Fn(&str) -> (Account, AccountId),
        local: Option<Stack>,
    ) -> Self {
        let mut opened = Self { stt: vec![], llm: vec![], tts: vec![], settings };
        for vendor in VENDORS {
            let (account, id) = account(vendor.name);
            if !vendor.can_work_with(&account) {
                continue;
            }
            for service in services().filter(|service| service.vendor == vendor.name) {
                if let Err(error) = opened.add(service, vendor, &account, &id) {
                    tracing::warn!(%error, provider = service.name, "a provider can't be used");
                }
            }
        }
        local.into_iter().for_each(|stack| opened.add_local(stack));
        opened
    }

    fn add(
        &mut self,
        service: &Service,
        vendor: &'static Vendor,
        with: &Account,
        id: &AccountId,
    ) -> Result<(), parlance_providers::Error> {
        let (name, vendor, account) = (service.name, Some(vendor), id.clone());
        match service.open {
            Open::Stt(open) => self.stt.push(Opened { name, vendor, account, provider: open(with)? }),
            Open::Llm(open) => self.llm.push(Opened { name, vendor, account, provider: open(with)? }),
            Open::Tts(open) => self.tts.push(Opened { name, vendor, account, provider: open(with)? }),
        }
        Ok(())
    }

    fn add_local(&mut self, stack: Stack) {
        self.stt.push(of_this_machine(stack.stt.name(), stack.stt));
        self.llm.extend(stack.llm.map(|model| of_this_machine(model.name(), model)));
        let voices = std::iter::once(stack.tts).chain(stack.tts_fallback);
        self.tts.extend(voices.map(|voice| of_this_machine(voice.name(), voice)));
    }

    /// What this machine has, to stand behind other accounts too; `None` if that is not everything.
    pub(super) fn this_machine(&self) -> Option<Stack> {
        let mut voices = self.tts.iter().filter(|it| it.vendor.is_none()).map(|it| it.provider.clone());
        Some(Stack {
            stt: self.stt.iter().find(|it| it.vendor.is_none())?.provider.clone(),
            llm: self.llm.iter().find(|it| it.vendor.is_none()).map(|it| it.provider.clone()),
            tts: voices.next()?,
            tts_fallback: voices.next(),
            why: Vec::new(),
        })
    }

    /// Whether somebody listens and somebody speaks.
    pub fn can_hold_a_call(&self) -> bool {
        !self.stt.is_empty() && !self.tts.is_empty()
    }

    /// Whether there is an account with anybody.
    pub fn has_vendors(&self) -> bool {
        self.stt.iter().any(|it| it.vendor.is_some())
            || self.llm.iter().any(|it| it.vendor.is_some())
            || self.tts.iter().any(|it| it.vendor.is_some())
    }

    /// Whether an agent that names no model has one.
    pub fn has_model(&self) -> bool {
        !self.llm.is_empty()
    }

    /// The model a provider uses where an agent names none: the one that is set, else the engine's choice.
    pub fn model_of(&self, kind: Kind, name: &str) -> &str {
        self.settings.model(kind, name).unwrap_or_else(|| models::default_of(kind, name))
    }

    /// The transcribers.
    pub fn transcribers(&self) -> &[Opened<dyn SpeechToText>] {
        &self.stt
    }

    /// The language models.
    pub fn models(&self) -> &[Opened<dyn LanguageModel>] {
        &self.llm
    }

    /// The voices' providers.
    pub fn voice_providers(&self) -> &[Opened<dyn TextToSpeech>] {
        &self.tts
    }

    /// One line for each kind: who works and why.
    pub(super) fn why(&self) -> Vec<String> {
        let line = |kind: &str, mut all: Vec<String>| {
            let first = if all.is_empty() { "none; the flow answers".to_owned() } else { all.remove(0) };
            let then = if all.is_empty() { String::new() } else { format!("; then {}", all.join(", ")) };
            format!("{kind}: {first}{then}")
        };
        vec![
            line("speech to text", defaults(&self.stt).map(|it| self.reason(it, Kind::Stt)).collect()),
            line("language model", defaults(&self.llm).map(|it| self.reason(it, Kind::Llm)).collect()),
            line("text to speech", defaults(&self.tts).map(|it| self.reason(it, Kind::Tts)).collect()),
        ]
    }

    fn reason<P: ?Sized>(&self, opened: &Opened<P>, kind: Kind) -> String {
        let Some(vendor) = opened.vendor else { return format!("{} on this machine", opened.name) };
        let account = self.settings.account(vendor.name);
        let variable = match vendor.key_variables.first() {
            Some(key) if !account.key.is_empty() => key,
            _ => vendor.base_url_variable,
        };
        let model = self.settings.model(kind, opened.name).unwrap_or_default();
        let model = if model.is_empty() { String::new() } else { format!(" with {model}") };
        format!("{}{model}, as {variable} is set", opened.name)
    }
}

fn of_this_machine<P: ?Sized>(name: &'static str, provider: Arc<P>) -> Opened<P> {
    Opened { name, vendor: None, account: AccountId::ENGINE, provider }
}

/// Who is used where an agent names nobody: the first service of each vendor, and what this machine has.
pub(super) fn defaults<P: ?Sized>(all: &[Opened<P>]) -> impl Iterator<Item = &Opened<P>> {
    all.iter().enumerate().filter_map(|(index, opened)| {
        let vendor = |opened: &Opened<P>| opened.vendor.map(|vendor| vendor.name);
        let again =
            opened.vendor.is_some() && all[..index].iter().any(|before| vendor(before) == vendor(opened));
        (!again).then_some(opened)
    })
}
