//! How the engine is reached from outside and what it sends there: public addresses, TLS, traces.
//!
//! Parses addresses once, so that a slash too many or a missing scheme is met here and nowhere else.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use axum::http::Uri;

/// Settings about the world.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Outside {
    /// Where the world reaches this engine: https://HOST. Default: nowhere but here.
    #[arg(long, env = "BASE_URL", value_name = "URL")]
    pub base_url: Option<BaseUrl>,
    /// The same for WebSockets: wss://HOST. Default: made from BASE_URL.
    #[arg(long, env = "BASE_WS_URL", value_name = "URL")]
    pub base_ws_url: Option<BaseWsUrl>,
    /// Certificate of the port with its chain, PEM. With it the port speaks TLS only. Read again when it changes.
    #[arg(long, env = "TLS_CERT_FILE", value_name = "FILE")]
    pub tls_cert_file: Option<PathBuf>,
    /// Private key of the certificate, PEM.
    #[arg(long, env = "TLS_KEY_FILE", value_name = "FILE")]
    pub tls_key_file: Option<PathBuf>,
    /// Collector of traces (OTLP, http/protobuf): http://HOST:4318. Default: no traces.
    #[arg(long, env = "OTEL_EXPORTER_OTLP_ENDPOINT", value_name = "URL")]
    pub otlp_endpoint: Option<String>,
    /// The collector's address for traces alone, used as it is.
    #[arg(long, env = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", value_name = "URL")]
    pub otlp_traces_endpoint: Option<String>,
    /// Headers for the collector: NAME=VALUE, separated by commas, percent-encoded.
    #[arg(long, env = "OTEL_EXPORTER_OTLP_HEADERS", hide_env_values = true, value_name = "HEADERS")]
    pub otlp_headers: Option<String>,
    /// How the collector is spoken to. Only http/protobuf is known.
    #[arg(
        long,
        env = "OTEL_EXPORTER_OTLP_PROTOCOL",
        default_value = "http/protobuf",
        value_name = "PROTOCOL"
    )]
    pub otlp_protocol: String,
    /// PEM file with the authority of the collector's certificate, if it is no public one.
    #[arg(long, env = "OTEL_EXPORTER_OTLP_CERTIFICATE", value_name = "FILE")]
    pub otlp_certificate: Option<PathBuf>,
    /// `true` turns traces off, whatever else is set.
    #[arg(long, env = "OTEL_SDK_DISABLED", default_value = "false", value_name = "TRUE")]
    pub otel_sdk_disabled: String,
    /// What traces call this service.
    #[arg(long, env = "OTEL_SERVICE_NAME", default_value = "parlance", value_name = "NAME")]
    pub otel_service_name: String,
}

impl Outside {
    /// The address for WebSockets: the one that is set, else made from the other.
    pub fn web_sockets(&self) -> Option<BaseWsUrl> {
        self.base_ws_url.clone().or_else(|| self.base_url.as_ref().map(BaseUrl::web_sockets))
    }
}

/// An address of the world, `http://` or `https://`, without a slash at its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BaseUrl(String);

impl BaseUrl {
    /// As text, so that a path can be put behind it.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The same place for WebSockets.
    pub fn web_sockets(&self) -> BaseWsUrl {
        BaseWsUrl(self.0.replacen("http", "ws", 1))
    }
}

impl FromStr for BaseUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        address(text, ["https", "http"]).map(Self)
    }
}

impl fmt::Display for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An address for WebSockets, `ws://` or `wss://`, without a slash at its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BaseWsUrl(String);

impl FromStr for BaseWsUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        address(text, ["wss", "ws"]).map(Self)
    }
}

impl fmt::Display for BaseWsUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn address(text: &str, schemes: [&str; 2]) -> Result<String, String> {
    let text = text.trim().trim_end_matches('/');
    let example = || format!("must be an address like {}://voice.example.com", schemes[0]);
    let uri: Uri = text.parse().map_err(|_| example())?;
    let known = uri.scheme_str().is_some_and(|scheme| schemes.contains(&scheme));
    if !known || uri.host().is_none_or(str::is_empty) {
        return Err(example());
    }
    if uri.query().is_some() || text.contains(['#', '@']) {
        return Err(format!("{}, with no name, query or fragment in it", example()));
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slash_at_the_end_is_tolerated_and_the_scheme_carries_over_to_web_sockets() {
        let of = |text: &str| text.parse::<BaseUrl>().expect("it is one");
        assert_eq!(of("https://voice.example.com/").as_str(), "https://voice.example.com");
        assert_eq!(of("https://a.example/voice//").web_sockets().to_string(), "wss://a.example/voice");
        assert_eq!(of("http://127.0.0.1:8080").web_sockets().to_string(), "ws://127.0.0.1:8080");
        let both = Outside {
            base_url: Some(of("https://a.example")),
            base_ws_url: Some("wss://b.example/".parse().expect("it is one")),
            ..Default::default()
        };
        assert_eq!(both.web_sockets().expect("one is set").to_string(), "wss://b.example");
    }

    #[test]
    fn what_is_no_address_of_the_world_is_refused_with_an_example() {
        for text in ["voice.example.com", "ftp://a.example", "https://", "wss://a.example", "https:///x"] {
            let why = text.parse::<BaseUrl>().expect_err(text);
            assert!(why.contains("https://voice.example.com"), "{why}");
        }
        assert!("https://me:secret@a.example".parse::<BaseUrl>().is_err());
        assert!("https://a.example".parse::<BaseWsUrl>().is_err_and(|why| why.contains("wss://")));
    }
}
