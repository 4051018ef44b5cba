//! Where the engine is and who asks: endpoint, key, channel.
//!
//! The key is looked for in the order flag, environment, key file of the data folder, because a person who runs
//! the engine on the same machine should not have to copy it. Enter at [`connect`].

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use parlance_proto::v1;
use tonic::Status;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};

use super::Error;

/// Largest message taken from the engine: a long call's transcript with its events.
const MESSAGE_BYTES_MAX: usize = 64 << 20;

/// Where the engine is and which key to show.
#[derive(Debug, Clone, clap::Args)]
pub struct ConnectArgs {
    /// Where the engine listens.
    #[arg(long, env = "PARLANCE_ENDPOINT", default_value = "http://127.0.0.1:8080", value_name = "URL")]
    pub endpoint: String,
    /// API key. Default: the engine's own, from its data folder.
    #[arg(long, env = "PARLANCE_API_KEY", hide_env_values = true)]
    pub key: Option<String>,
    /// The engine's data folder, whose file `key` holds the API key.
    #[arg(long, env = "PARLANCE_DATA_DIR", default_value = ".parlance", value_name = "DIR")]
    pub data_dir: PathBuf,
    /// PEM file with the authority of the engine's certificate, if it is no public one.
    #[arg(long, env = "PARLANCE_CA_FILE", value_name = "FILE")]
    pub ca_file: Option<PathBuf>,
}

/// A channel whose every request carries the key.
pub type Authorised = InterceptedService<Channel, Bearer>;

/// The engine's services, ready to be asked.
#[derive(Debug, Clone)]
pub struct Engine {
    channel: Channel,
    bearer: Bearer,
}

/// Puts the key into a request.
#[derive(Debug, Clone)]
pub struct Bearer(MetadataValue<Ascii>);

impl Interceptor for Bearer {
    fn call(&mut self, mut request: tonic::Request<()>) -> Result<tonic::Request<()>, Status> {
        request.metadata_mut().insert("authorization", self.0.clone());
        Ok(request)
    }
}

/// Connects to the engine.
///
/// # Errors
/// [`Error::NothingAnswers`], [`Error::BadEndpoint`], [`Error::NoKey`]. A wrong key shows with the first request.
pub async fn connect(args: &ConnectArgs) -> Result<Engine, Error> {
    let endpoint = endpoint(args)?;
    let key = key(args)?;
    let channel = endpoint
        .connect_timeout(Duration::from_secs(5))
        .connect()
        .await
        .map_err(|error| refused(args, &error))?;
    let bearer = format!("Bearer {key}").parse().map_err(|_| Error::KeyRefused)?;
    Ok(Engine { channel, bearer: Bearer(bearer) })
}

/// Where to go and whom to trust there.
fn endpoint(args: &ConnectArgs) -> Result<Endpoint, Error> {
    let bad = || Error::BadEndpoint { endpoint: args.endpoint.clone() };
    let endpoint = Endpoint::from_shared(args.endpoint.clone()).map_err(|_| bad())?;
    match endpoint.uri().scheme_str() {
        Some("http") => Ok(endpoint),
        Some("https") => {
            let mut tls =
                ClientTlsConfig::new().trust_anchors(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
            if let Some(path) = &args.ca_file {
                let pem = fs::read(path).map_err(|source| Error::File { path: path.clone(), source })?;
                tls = tls.ca_certificate(Certificate::from_pem(pem));
            }
            endpoint.tls_config(tls).map_err(|_| bad())
        }
        _ => Err(bad()),
    }
}

/// Nobody there is one thing, somebody who can't be trusted another.
fn refused(args: &ConnectArgs, error: &tonic::transport::Error) -> Error {
    let endpoint = args.endpoint.clone();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        let tls = error.downcast_ref::<rustls::Error>().map(ToString::to_string);
        let inner = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        let inner = inner.and_then(|inner| inner.downcast_ref::<rustls::Error>()).map(ToString::to_string);
        if let Some(why) = tls.or(inner) {
            return Error::NotTrusted { endpoint, why };
        }
        cause = error.source();
    }
    Error::NothingAnswers { endpoint }
}

impl Engine {
    /// The door of conversations.
    #[must_use]
    pub fn voice(&self) -> v1::voice_service_client::VoiceServiceClient<Authorised> {
        v1::voice_service_client::VoiceServiceClient::with_interceptor(
            self.channel.clone(),
            self.bearer.clone(),
        )
        .max_decoding_message_size(MESSAGE_BYTES_MAX)
    }

    /// The keeper of agents.
    #[must_use]
    pub fn agents(&self) -> v1::agent_service_client::AgentServiceClient<Authorised> {
        v1::agent_service_client::AgentServiceClient::with_interceptor(
            self.channel.clone(),
            self.bearer.clone(),
        )
        .max_decoding_message_size(MESSAGE_BYTES_MAX)
    }

    /// The keeper of calls.
    #[must_use]
    pub fn calls(&self) -> v1::call_service_client::CallServiceClient<Authorised> {
        v1::call_service_client::CallServiceClient::with_interceptor(
            self.channel.clone(),
            self.bearer.clone(),
        )
        .max_decoding_message_size(MESSAGE_BYTES_MAX)
    }

    /// The keeper of phone numbers.
    #[must_use]
    pub fn phone_numbers(&self) -> v1::phone_number_service_client::PhoneNumberServiceClient<Authorised> {
        v1::phone_number_service_client::PhoneNumberServiceClient::with_interceptor(
            self.channel.clone(),
            self.bearer.clone(),
        )
    }

    /// The keeper of appointments.
    #[must_use]
    pub fn appointments(&self) -> v1::appointment_service_client::AppointmentServiceClient<Authorised> {
        v1::appointment_service_client::AppointmentServiceClient::with_interceptor(
            self.channel.clone(),
            self.bearer.clone(),
        )
    }

    /// The keeper of organisations.
    #[must_use]
    pub fn organisations(&self) -> v1::organisation_service_client::OrganisationServiceClient<Authorised> {
        v1::organisation_service_client::OrganisationServiceClient::with_interceptor(
            self.channel.clone(),
            self.bearer.clone(),
        )
    }

    /// The keeper of keys.
    #[must_use]
    pub fn api_keys(&self) -> v1::api_key_service_client::ApiKeyServiceClient<Authorised> {
        v1::api_key_service_client::ApiKeyServiceClient::with_interceptor(
            self.channel.clone(),
            self.bearer.clone(),
        )
    }

    /// The keeper of keys.
    #[must_use]
    pub fn providers(&self) -> v1::provider_service_client::ProviderServiceClient<Authorised> {
        v1::provider_service_client::ProviderServiceClient::with_interceptor(
            self.channel.clone(),
            self.bearer.clone(),
        )
    }

    /// The keeper of tools' secrets.
    #[must_use]
    pub fn tool_secrets(&self) -> v1::tool_secret_service_client::ToolSecretServiceClient<Authorised> {
        v1::tool_secret_service_client::ToolSecretServiceClient::with_interceptor(
            self.channel.clone(),
            self.bearer.clone(),
        )
    }

    /// The keeper of the audit log.
    #[must_use]
    pub fn audit(&self) -> v1::audit_service_client::AuditServiceClient<Authorised> {
        v1::audit_service_client::AuditServiceClient::with_interceptor(
            self.channel.clone(),
            self.bearer.clone(),
        )
    }

    /// The keeper of resources.
    #[must_use]
    pub fn resources(&self) -> v1::resource_service_client::ResourceServiceClient<Authorised> {
        v1::resource_service_client::ResourceServiceClient::with_interceptor(
            self.channel.clone(),
            self.bearer.clone(),
        )
    }
}

/// The key by flag or environment, else from the data folder.
fn key(args: &ConnectArgs) -> Result<String, Error> {
    if let Some(key) = args.key.as_deref().map(str::trim).filter(|key| !key.is_empty()) {
        return Ok(key.to_owned());
    }
    let file = key_file(&args.data_dir);
    let no_key = || Error::NoKey { looked_at: file.clone() };
    match fs::read_to_string(&file) {
        Ok(text) if !text.trim().is_empty() => Ok(text.trim().to_owned()),
        Ok(_) => Err(no_key()),
        Err(error) if error.kind() == ErrorKind::NotFound => Err(no_key()),
        Err(source) => Err(Error::File { path: file, source }),
    }
}

/// Where an engine with this data folder keeps its key.
fn key_file(data_dir: &Path) -> PathBuf {
    data_dir.join("key")
}

/// `restaurant` or `agents/restaurant` as a resource name of `collection`.
pub(super) fn resource_name(collection: &str, given: &str) -> String {
    match given.split_once('/') {
        Some(_) => given.to_owned(),
        None => format!("{collection}/{given}"),
    }
}

/// `NAME=VALUE` from the command line.
pub(super) fn variable(text: &str) -> Result<(String, String), String> {
    text.split_once('=')
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .ok_or_else(|| format!("`{text}` is not NAME=VALUE"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(data_dir: &str) -> ConnectArgs {
        ConnectArgs {
            endpoint: "http://127.0.0.1:1".into(),
            key: Some("pk_test".into()),
            data_dir: data_dir.into(),
            ca_file: None,
        }
    }

    #[tokio::test]
    async fn an_endpoint_where_nothing_listens_is_named_with_the_fix() {
        let error = connect(&args(".")).await.expect_err("port 1 is closed");
        assert_eq!(
            error.to_string(),
            "nothing answers at http://127.0.0.1:1: start the engine with `parlance serve`, or give --endpoint"
        );
    }

    #[tokio::test]
    async fn a_missing_key_names_the_file_that_was_tried() {
        let error = connect(&ConnectArgs { key: None, ..args("/nowhere") }).await.expect_err("no key there");
        assert!(error.to_string().contains("/nowhere/key"), "{error}");
    }

    #[test]
    fn a_bare_id_becomes_a_resource_name_and_a_name_stays() {
        assert_eq!(resource_name("agents", "restaurant"), "agents/restaurant");
        assert_eq!(resource_name("agents", "agents/restaurant"), "agents/restaurant");
    }
}
