//! `parlance secrets`: the secrets that an organisation's tools name.
//!
//! A value is read from standard input, so that it stands neither in the shell's history nor in the list of processes.

use std::io::Read;
use std::process::ExitCode;

use parlance_proto::v1::{DeleteToolSecretRequest, ListToolSecretsRequest, SetToolSecretRequest};

use super::Error;
use super::connect::{ConnectArgs, connect};
use crate::output::outln;

/// The commands under `parlance secrets`.
#[derive(Debug, clap::Subcommand)]
pub enum SecretsCommand {
    /// Set a secret that your organisation's tools name; its value is read from standard input.
    Set(NameArgs),
    /// List your organisation's secrets, without their values.
    List(ListArgs),
    /// Delete a secret.
    Delete(NameArgs),
}

/// Arguments of `parlance secrets list`.
#[derive(Debug, clap::Args)]
pub struct ListArgs {
    #[command(flatten)]
    connect: ConnectArgs,
}

/// Arguments of `parlance secrets set` and `delete`.
#[derive(Debug, clap::Args)]
pub struct NameArgs {
    #[command(flatten)]
    connect: ConnectArgs,
    /// Its name, such as `CRM` of `${secret:CRM}`.
    name: String,
}

/// Carries out one of them.
///
/// # Errors
/// What the engine refused.
pub async fn run(command: SecretsCommand) -> Result<ExitCode, Error> {
    match command {
        SecretsCommand::Set(args) => {
            let value = from_standard_input()?;
            let client = connect(&args.connect).await?;
            // The line's end is the shell's; what is within, such as the lines of a PEM file, is the secret's.
            let value = value.trim_end_matches(['\r', '\n']).to_owned();
            let request = SetToolSecretRequest { name: args.name.clone(), value, ..Default::default() };
            client.tool_secrets().set_tool_secret(request).await?;
            outln!("set the secret {}", args.name);
        }
        SecretsCommand::List(args) => list(args).await?,
        SecretsCommand::Delete(args) => {
            let client = connect(&args.connect).await?;
            let request = DeleteToolSecretRequest { name: args.name.clone(), ..Default::default() };
            client.tool_secrets().delete_tool_secret(request).await?;
            outln!("deleted the secret {}", args.name);
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// What stands in standard input.
pub(super) fn from_standard_input() -> Result<String, Error> {
    let mut text = String::new();
    std::io::stdin()
        .read_to_string(&mut text)
        .map_err(|source| Error::File { path: "standard input".into(), source })?;
    Ok(text)
}

async fn list(args: ListArgs) -> Result<(), Error> {
    let client = connect(&args.connect).await?;
    let mut page_token = String::new();
    loop {
        let request = ListToolSecretsRequest { page_size: 200, page_token };
        let page = client.tool_secrets().list_tool_secrets(request).await?.into_inner();
        for secret in page.tool_secrets {
            let set = secret.update_time.and_then(|time| jiff::Timestamp::new(time.seconds, 0).ok());
            outln!("{:<32} set {}", secret.name, set.unwrap_or_default());
        }
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return Ok(());
        }
    }
}
