//! `parlance providers`: who listens, thinks and speaks, how they do, and an organisation's own keys of vendors.
//!
//! A key is read from standard input, so that it stands neither in the shell's history nor in the list of processes.

use std::process::ExitCode;

use parlance_proto::v1::{
    DeleteProviderKeyRequest, ListProviderKeysRequest, ListProvidersRequest, ListVoicesRequest, Provider,
    ProviderAccount, ProviderHealth, ProviderKey, ProviderKind, SetProviderKeyRequest, VoiceInfo,
};
use prost::Message;

use super::connect::{ConnectArgs, connect};
use super::{Error, message_json};
use crate::output::outln;

/// The commands under `parlance providers`.
#[derive(Debug, clap::Subcommand)]
pub enum ProvidersCommand {
    /// List providers: whether they can be used, how they do, how long they take.
    List(ListArgs),
    /// List voices that agents can name.
    Voices(VoicesArgs),
    /// List your organisation's own keys of vendors, without the keys.
    Keys(ListArgs),
    /// Set your organisation's own key of a vendor; the key is read from standard input.
    SetKey(KeyArgs),
    /// Delete your organisation's own key of a vendor.
    DeleteKey(KeyArgs),
}

/// Arguments of `parlance providers list` and `keys`.
#[derive(Debug, clap::Args)]
pub struct ListArgs {
    #[command(flatten)]
    connect: ConnectArgs,
    #[command(flatten)]
    form: Form,
}

/// How a list is printed.
#[derive(Debug, Clone, Copy, clap::Args)]
struct Form {
    /// Print what the engine sends as JSON, an entry a line.
    #[arg(long)]
    json: bool,
}

impl Form {
    /// One entry, a `parlance.v1.<name>`.
    fn of<M: Message>(self, name: &str, entry: &M, line: impl Fn(&M) -> String) -> Result<String, Error> {
        if self.json {
            message_json::to_json(name, entry).map(|json| json.to_string())
        } else {
            Ok(line(entry))
        }
    }
}

/// Arguments of `parlance providers voices`.
#[derive(Debug, clap::Args)]
pub struct VoicesArgs {
    #[command(flatten)]
    connect: ConnectArgs,
    /// Only those of this provider.
    #[arg(long, default_value = "")]
    provider: String,
    /// Only those that speak this language, such as `hi`.
    #[arg(long, default_value = "")]
    language: String,
    #[command(flatten)]
    form: Form,
}

/// Arguments of `parlance providers set-key` and `delete-key`.
#[derive(Debug, clap::Args)]
pub struct KeyArgs {
    #[command(flatten)]
    connect: ConnectArgs,
    /// The vendor, such as `deepgram`.
    vendor: String,
}

/// Carries out one of them.
///
/// # Errors
/// What the engine refused.
pub async fn run(command: ProvidersCommand) -> Result<ExitCode, Error> {
    match command {
        ProvidersCommand::List(args) => list(args).await?,
        ProvidersCommand::Voices(args) => voices(args).await?,
        ProvidersCommand::Keys(args) => {
            let client = connect(&args.connect).await?;
            let keys = client.providers().list_provider_keys(ListProviderKeysRequest {}).await?.into_inner();
            for key in keys.provider_keys {
                let line = |key: &ProviderKey| format!("{:<12} …{}", key.vendor, key.hint);
                outln!("{}", args.form.of("ProviderKey", &key, line)?);
            }
        }
        ProvidersCommand::SetKey(args) => {
            let key = super::secrets::from_standard_input()?;
            let client = connect(&args.connect).await?;
            let request = SetProviderKeyRequest {
                vendor: args.vendor.clone(),
                key: key.trim().to_owned(),
                ..Default::default()
            };
            client.providers().set_provider_key(request).await?;
            outln!("set the key of {}", args.vendor);
        }
        ProvidersCommand::DeleteKey(args) => {
            let client = connect(&args.connect).await?;
            let request = DeleteProviderKeyRequest { vendor: args.vendor.clone(), ..Default::default() };
            client.providers().delete_provider_key(request).await?;
            outln!("deleted the key of {}", args.vendor);
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn list(args: ListArgs) -> Result<(), Error> {
    let client = connect(&args.connect).await?;
    let mut page_token = String::new();
    loop {
        let request = ListProvidersRequest { page_size: 200, page_token, ..Default::default() };
        let page = client.providers().list_providers(request).await?.into_inner();
        for provider in &page.providers {
            outln!("{}", args.form.of("Provider", provider, line)?);
        }
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return Ok(());
        }
    }
}

async fn voices(args: VoicesArgs) -> Result<(), Error> {
    let client = connect(&args.connect).await?;
    let mut page_token = String::new();
    loop {
        let (provider, language) = (args.provider.clone(), args.language.clone());
        let request = ListVoicesRequest { page_size: 200, page_token, provider, language };
        let page = client.providers().list_voices(request).await?.into_inner();
        for voice in &page.voices {
            outln!("{}", args.form.of("VoiceInfo", voice, voice_line)?);
        }
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return Ok(());
        }
    }
}

fn voice_line(voice: &VoiceInfo) -> String {
    let languages = voice.languages.join(",");
    let (id, name) = (&voice.voice_id, &voice.display_name);
    format!("{id:<46} {name:<14} {languages:<16} {}", voice.description)
}

fn line(provider: &Provider) -> String {
    let kind = match provider.kind() {
        ProviderKind::SpeechToText => "speech to text",
        ProviderKind::LanguageModel => "language model",
        ProviderKind::TextToSpeech => "text to speech",
        ProviderKind::Unspecified => "",
    };
    let account = match (provider.configured, provider.account()) {
        (false, _) => "no key in use",
        (true, ProviderAccount::Organisation) => "own account",
        (true, ProviderAccount::Engine) => "engine's account",
        (true, ProviderAccount::Unspecified) => "here",
    };
    let health = match provider.health() {
        ProviderHealth::Unspecified => "",
        ProviderHealth::Well => "well",
        ProviderHealth::Shaky => "shaky",
        ProviderHealth::Open => "not asked",
    };
    let ms = |time: Option<&prost_types::Duration>| {
        time.map_or(0, |time| time.seconds * 1_000 + i64::from(time.nanos) / 1_000_000)
    };
    let first = provider.latencies.iter().find(|latency| latency.stage == "first_output");
    let took = first.map_or(String::new(), |it| {
        format!(" first output {} ms, 95% within {} ms", ms(it.p50.as_ref()), ms(it.p95.as_ref()))
    });
    let model = &provider.default_model;
    let error = &provider.last_error;
    let text =
        format!("{kind:<14}  {:<18} {account:<16} {model:<24} {health:<9}{took} {error}", provider.provider);
    text.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_providers_line_says_whether_it_can_be_used_and_how_it_does() {
        let bare = Provider {
            kind: ProviderKind::LanguageModel.into(),
            provider: "openai".into(),
            ..Default::default()
        };
        assert!(line(&bare).contains("no key"), "{}", line(&bare));
        let latency = parlance_proto::v1::ProviderLatency {
            stage: "first_output".into(),
            count: 9,
            p50: Some(prost_types::Duration { seconds: 0, nanos: 420_000_000 }),
            p95: Some(prost_types::Duration { seconds: 1, nanos: 0 }),
        };
        let shaky = Provider {
            configured: true,
            account: ProviderAccount::Organisation.into(),
            health: ProviderHealth::Shaky.into(),
            last_error: "openai: HTTP 429".into(),
            latencies: vec![latency],
            ..bare
        };
        let json = Form { json: true }.of("Provider", &shaky, line).expect("it is a message of the contract");
        assert!(!json.contains('\n'), "{json}");
        let json: serde_json::Value = serde_json::from_str(&json).expect("it is JSON");
        assert_eq!((&json["provider"], &json["configured"]), (&"openai".into(), &true.into()), "{json}");
        assert_eq!(
            (&json["kind"], &json["latencies"][0]["p50"]),
            (&"PROVIDER_KIND_LANGUAGE_MODEL".into(), &"0.420s".into())
        );
        let text = line(&shaky);
        for part in ["own account", "shaky", "420 ms", "1000 ms", "HTTP 429"] {
            assert!(text.contains(part), "{text}");
        }
    }
}
