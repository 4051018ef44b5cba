//! `parlance keys`: who may ask what.
//!
//! A secret goes to standard output alone, so that it can be piped where it belongs; the rest goes beside it.

use std::process::ExitCode;

use parlance_proto::v1::{ApiKey, CreateApiKeyRequest, KeyScope, ListApiKeysRequest, RevokeApiKeyRequest};

use super::Error;
use super::connect::{ConnectArgs, Engine, connect, resource_name};
use crate::output::{errln, outln};

/// The commands under `parlance keys`.
#[derive(Debug, clap::Subcommand)]
pub enum KeysCommand {
    /// Make a key and print its secret, this once.
    Create(CreateArgs),
    /// List keys.
    List(ListArgs),
    /// Revoke a key for good.
    Revoke(RevokeArgs),
}

/// What a key may be used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Scope {
    /// Everything, keys and organisations too.
    Admin,
    /// To change agents and phone numbers, and to read.
    Agents,
    /// To make, control and end calls, to change appointments, and to read.
    Calls,
    /// To hold conversations and nothing else.
    Sessions,
    /// To read everything but keys and the audit log.
    ReadOnly,
}

impl From<Scope> for KeyScope {
    fn from(scope: Scope) -> Self {
        match scope {
            Scope::Admin => Self::Admin,
            Scope::Agents => Self::Agents,
            Scope::Calls => Self::Calls,
            Scope::Sessions => Self::Sessions,
            Scope::ReadOnly => Self::ReadOnly,
        }
    }
}

/// Arguments of `parlance keys create`.
#[derive(Debug, clap::Args)]
pub struct CreateArgs {
    #[command(flatten)]
    connect: ConnectArgs,
    /// What it may be used for; may be given several times.
    #[arg(long, value_enum, required = true)]
    scope: Vec<Scope>,
    /// Its name, for people.
    #[arg(long, default_value = "")]
    name: String,
    /// Whose it shall be, by id. Default: your own organisation; only the operator may name another.
    #[arg(long)]
    organisation: Option<String>,
}

/// Arguments of `parlance keys list`.
#[derive(Debug, clap::Args)]
pub struct ListArgs {
    #[command(flatten)]
    connect: ConnectArgs,
}

/// Arguments of `parlance keys revoke`.
#[derive(Debug, clap::Args)]
pub struct RevokeArgs {
    #[command(flatten)]
    connect: ConnectArgs,
    /// The key: its id, or `apiKeys/ID`.
    api_key: String,
}

/// Carries out one of them.
///
/// # Errors
/// What the engine refused.
pub async fn run(command: KeysCommand) -> Result<ExitCode, Error> {
    match command {
        KeysCommand::Create(args) => create(args).await?,
        KeysCommand::List(args) => {
            for key in all(&connect(&args.connect).await?).await? {
                outln!("{}", line(&key));
            }
        }
        KeysCommand::Revoke(args) => {
            let engine = connect(&args.connect).await?;
            let name = resource_name("apiKeys", &args.api_key);
            let request = RevokeApiKeyRequest { name: name.clone(), ..Default::default() };
            engine.api_keys().revoke_api_key(request).await?;
            outln!("revoked {name}");
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn create(args: CreateArgs) -> Result<(), Error> {
    let engine = connect(&args.connect).await?;
    let api_key = ApiKey {
        display_name: args.name,
        scopes: args.scope.iter().map(|scope| KeyScope::from(*scope).into()).collect(),
        ..Default::default()
    };
    let organisation = args.organisation.map(|id| resource_name("organisations", &id)).unwrap_or_default();
    let request = CreateApiKeyRequest { api_key: Some(api_key), organisation, ..Default::default() };
    let made = engine.api_keys().create_api_key(request).await?.into_inner();
    errln!("{}; its secret is shown this once:", made.api_key.unwrap_or_default().name);
    outln!("{}", made.secret);
    Ok(())
}

async fn all(engine: &Engine) -> Result<Vec<ApiKey>, Error> {
    let mut keys = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = ListApiKeysRequest { page_size: 200, page_token, ..Default::default() };
        let page = engine.api_keys().list_api_keys(request).await?.into_inner();
        keys.extend(page.api_keys);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return Ok(keys);
        }
    }
}

fn line(key: &ApiKey) -> String {
    let scopes: Vec<String> = key.scopes().map(scope_word).collect();
    let time = |time: Option<prost_types::Timestamp>| {
        let at = time.and_then(|time| jiff::Timestamp::new(time.seconds, 0).ok());
        at.map(|at| at.to_string())
    };
    let state = match (time(key.revoke_time), time(key.last_use_time)) {
        (Some(at), _) => format!("revoked {at}"),
        (None, Some(at)) => format!("used {at}"),
        (None, None) => "never used".to_owned(),
    };
    format!("{:<46} {}…  {:<16} {state}  {}", key.name, key.prefix, scopes.join(","), key.display_name)
}

fn scope_word(scope: KeyScope) -> String {
    scope.as_str_name().trim_start_matches("KEY_SCOPE_").to_lowercase().replace('_', "-")
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::ValueEnum;

    #[test]
    fn every_scope_of_the_contract_can_be_given_by_the_word_it_is_listed_by() {
        for scope in Scope::value_variants() {
            let word = scope_word(KeyScope::from(*scope));
            assert_eq!(Scope::from_str(&word, false), Ok(*scope));
        }
    }

    #[test]
    fn a_key_s_line_says_whether_it_is_good() {
        let key =
            ApiKey { prefix: "pk_abc".into(), scopes: vec![KeyScope::ReadOnly.into()], ..Default::default() };
        assert!(line(&key).contains("read-only") && line(&key).contains("never used"));
        let revoked = ApiKey { revoke_time: Some(prost_types::Timestamp { seconds: 0, nanos: 5 }), ..key };
        assert!(line(&revoked).contains("revoked 1970-01-01T00:00:00Z"), "{}", line(&revoked));
    }
}
