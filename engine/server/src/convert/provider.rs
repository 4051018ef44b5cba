//! Providers, voices and keys of vendors in the contract's words.

use parlance_proto::v1;
use parlance_providers::account::AccountId;
use parlance_providers::chain::{Look, State};
use parlance_providers::models;
use parlance_providers::registry::{Kind, services};
use parlance_store::provider_keys;

use super::event::word;
use super::{duration, timestamp};
use crate::providers::{Opened, Services};

/// All providers and how they do on the account they are opened with (`on`), those that can be used before those that can't, each kind in the order of preference.
pub fn providers(opened: &Services, on: impl Fn(&AccountId) -> Vec<Look>) -> Vec<v1::Provider> {
    let mut all: Vec<v1::Provider> = Vec::new();
    all.extend(opened.transcribers().iter().map(|it| provider(opened, it, Kind::Stt, &on)));
    all.extend(opened.models().iter().map(|it| provider(opened, it, Kind::Llm, &on)));
    all.extend(opened.voice_providers().iter().map(|it| provider(opened, it, Kind::Tts, &on)));
    for service in services() {
        let kind = wire_kind(service.kind());
        if !all.iter().any(|it| it.kind() == kind && it.provider == service.name) {
            all.push(v1::Provider {
                kind: kind.into(),
                provider: service.name.to_owned(),
                vendor: service.vendor.to_owned(),
                default_model: models::default_of(service.kind(), service.name).to_owned(),
                ..Default::default()
            });
        }
    }
    all.sort_by_key(|provider| provider.kind);
    all
}

fn provider<P: ?Sized>(
    services: &Services,
    it: &Opened<P>,
    kind: Kind,
    on: impl Fn(&AccountId) -> Vec<Look>,
) -> v1::Provider {
    let account = match (it.vendor, it.account.is_own()) {
        (None, _) => v1::ProviderAccount::Unspecified,
        (Some(_), false) => v1::ProviderAccount::Engine,
        (Some(_), true) => v1::ProviderAccount::Organisation,
    };
    let look = on(&it.account).into_iter().find(|look| look.kind == kind && look.provider == it.name);
    let error = look.as_ref().and_then(|look| look.last_error.as_ref());
    v1::Provider {
        kind: wire_kind(kind).into(),
        provider: it.name.to_owned(),
        vendor: it.vendor.map_or("", |vendor| vendor.name).to_owned(),
        configured: true,
        account: account.into(),
        default_model: services.model_of(kind, it.name).to_owned(),
        health: look.as_ref().map_or(v1::ProviderHealth::Unspecified, |look| health(look.state)).into(),
        last_error: error.map(ToString::to_string).unwrap_or_default(),
        last_error_kind: error.map(|error| word(&error.kind)).unwrap_or_default(),
        asked_again_in: look.as_ref().and_then(|look| look.closed_for).map(duration),
        latencies: look.iter().flat_map(|look| &look.latencies).map(latency).collect(),
    }
}

fn latency(measured: &parlance_providers::chain::Latency) -> v1::ProviderLatency {
    v1::ProviderLatency {
        stage: word(&measured.stage),
        count: measured.count as u32,
        p50: Some(duration(measured.p50)),
        p95: Some(duration(measured.p95)),
    }
}

fn health(state: State) -> v1::ProviderHealth {
    match state {
        State::Well => v1::ProviderHealth::Well,
        State::Shaky => v1::ProviderHealth::Shaky,
        State::Open => v1::ProviderHealth::Open,
    }
}

/// The contract's word for a kind.
pub fn wire_kind(kind: Kind) -> v1::ProviderKind {
    match kind {
        Kind::Stt => v1::ProviderKind::SpeechToText,
        Kind::Llm => v1::ProviderKind::LanguageModel,
        Kind::Tts => v1::ProviderKind::TextToSpeech,
    }
}

/// The names of the voices' providers, whether or not they can be used.
pub fn voice_providers(opened: &Services) -> Vec<&'static str> {
    let mut names: Vec<&str> = opened.voice_providers().iter().map(|it| it.name).collect();
    let others = services().filter(|service| service.kind() == Kind::Tts).map(|service| service.name);
    names.extend(others);
    names.sort_unstable();
    names.dedup();
    names
}

/// The voices that are known, in the order of their providers. Two services of a vendor have the same voices, which
/// are listed once.
pub fn voices(opened: &Services) -> Vec<v1::VoiceInfo> {
    let mut all: Vec<v1::VoiceInfo> = Vec::new();
    for it in opened.voice_providers() {
        for voice in it.provider.voices() {
            let voice_id = format!("{}/{}", it.name, voice.id);
            if all.iter().any(|before| before.voice_id == voice_id) {
                continue;
            }
            all.push(v1::VoiceInfo {
                voice_id,
                provider: it.name.to_owned(),
                display_name: voice.name,
                languages: voice.languages,
                preview_url: voice.preview_url,
                description: voice.about,
            });
        }
    }
    all
}

/// Whether a voice speaks this language: `en` is spoken by `en-US` too, and `en-US` by a voice of `en`.
pub fn speaks(voice: &v1::VoiceInfo, language: &str) -> bool {
    let wanted = language.to_lowercase();
    wanted.is_empty()
        || voice.languages.iter().map(|tag| tag.to_lowercase()).any(|tag| {
            let begins = |long: &str, short: &str| {
                long.strip_prefix(short).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
            };
            begins(&tag, &wanted) || begins(&wanted, &tag)
        })
}

/// A key, without the key.
pub fn provider_key(row: &provider_keys::ProviderKey) -> v1::ProviderKey {
    v1::ProviderKey {
        vendor: row.vendor.clone(),
        hint: row.hint.clone(),
        create_time: Some(timestamp(row.create_time)),
    }
}

#[cfg(test)]
mod tests {
    use parlance_providers::account::{Account, Secret};

    use super::*;

    #[test]
    fn how_a_provider_does_is_told_of_the_account_it_is_used_on_and_no_other() {
        let own = AccountId::own("the row of a key");
        let account = |vendor: &str| {
            let id = if vendor == "openai" { own.clone() } else { AccountId::ENGINE };
            (Account { key: Secret::new("a-long-enough-key"), base_url: None }, id)
        };
        let opened = Services::open(Default::default(), account, None);
        // On either account everything was used; on the organisation's it fails.
        let look = |account: &AccountId, kind, provider| Look {
            kind,
            provider,
            state: if account.is_own() { State::Open } else { State::Well },
            last_error: None,
            closed_for: None,
            latencies: Vec::new(),
        };
        let on = |account: &AccountId| -> Vec<Look> {
            services().map(|service| look(account, service.kind(), service.name)).collect()
        };
        for provider in providers(&opened, on) {
            let (account, health) = match provider.vendor.as_str() {
                "openai" => (v1::ProviderAccount::Organisation, v1::ProviderHealth::Open),
                _ => (v1::ProviderAccount::Engine, v1::ProviderHealth::Well),
            };
            assert_eq!((provider.account(), provider.health()), (account, health), "{}", provider.provider);
        }
    }

    #[test]
    fn a_language_is_spoken_with_and_without_its_region_and_no_other_is() {
        let voice = |tags: &[&str]| v1::VoiceInfo {
            languages: tags.iter().map(ToString::to_string).collect(),
            ..Default::default()
        };
        assert!(speaks(&voice(&["en-US"]), "EN") && speaks(&voice(&["en"]), "en-US"));
        assert!(speaks(&voice(&["de", "hi"]), "hi") && speaks(&voice(&[]), ""));
        assert!(!speaks(&voice(&["en-US"]), "en-GB") && !speaks(&voice(&["eng"]), "en"));
        assert!(!speaks(&voice(&[]), "en"));
    }
}
