//! What `parlance serve` can be told: flags, each with its environment variable.

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;

/// Where the engine keeps its things and how it is reached.
#[derive(Debug, Clone, clap::Args)]
pub struct Config {
    /// Address to listen on. Use 0.0.0.0 in a container.
    #[arg(long, env = "HOST", default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    pub host: IpAddr,
    /// Port for everything: gRPC, grpc-web, health. 0 takes a free one.
    #[arg(long, env = "PORT", default_value_t = 8080)]
    pub port: u16,
    /// A Postgres to use (session mode or direct). Without it a private one is started in the data folder.
    #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
    pub database_url: Option<String>,
    /// Folder for the private Postgres, the key file and recordings.
    #[arg(long, env = "PARLANCE_DATA_DIR", default_value = ".parlance")]
    pub data_dir: PathBuf,
    /// Which providers speak and listen.
    #[arg(long, env = "PARLANCE_PROVIDERS", value_enum, default_value_t = Providers::Offline)]
    pub providers: Providers,
    /// Do not record calls.
    #[arg(long, env = "PARLANCE_NO_RECORDING")]
    pub no_recording: bool,
    /// How long calls under way may go on after the first SIGTERM or Ctrl-C, seconds.
    #[arg(long, env = "PARLANCE_DRAIN_SECONDS", default_value_t = 30)]
    pub drain_seconds: u64,
}

/// A choice of providers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Providers {
    /// PocketSphinx, flows and flite (espeak-ng as fallback): no key, no internet.
    Offline,
    /// Scripted stand-ins with fixed delays, for load figures and tests; they understand nothing.
    Script,
}

impl Config {
    /// The file the first key is kept in.
    pub fn key_file(&self) -> PathBuf {
        self.data_dir.join("key")
    }
}
