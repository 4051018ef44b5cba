//! What `parlance serve` can be told: flags, each with its variable. Where else a value may stand is the business
//! of [`settings`](crate::settings).

pub mod master_keys;
pub mod outside;
pub mod reserved;
pub mod tools;
pub mod vendors;

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::BoolishValueParser;

use crate::prices::Prices;
/// Shorter, and a busy moment loses calls.
const LEASE_MIN: Duration = Duration::from_secs(1);
/// Longer, and nobody waits for a lost call to be closed.
const LEASE_MAX: Duration = Duration::from_secs(300);

/// Where the engine keeps its things and how it is reached.
#[derive(Debug, Clone, clap::Args)]
pub struct Config {
    /// Address to listen on. Use 0.0.0.0 in a container.
    #[arg(long, env = "HOST", default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST), value_parser = host)]
    pub host: IpAddr,
    /// Port for everything: gRPC, grpc-web, health, metrics. 0 takes a free one.
    #[arg(long, env = "PORT", default_value_t = 8080)]
    pub port: u16,
    /// A Postgres to use (session mode or direct). Without it a private one is started in the data folder.
    #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
    pub database_url: Option<String>,
    /// Folder for the private Postgres, the key file and recordings.
    #[arg(long, env = "PARLANCE_DATA_DIR", default_value = ".parlance")]
    pub data_dir: PathBuf,
    /// Which providers listen, think and speak.
    #[arg(long, env = "PARLANCE_PROVIDERS", value_enum, default_value_t = Providers::Auto)]
    pub providers: Providers,
    /// Do not record calls.
    #[arg(long, env = "PARLANCE_NO_RECORDING", value_parser = BoolishValueParser::new())]
    pub no_recording: bool,
    /// How long calls under way may go on after the first SIGTERM or Ctrl-C, seconds.
    #[arg(long, env = "PARLANCE_DRAIN_SECONDS", default_value_t = 30)]
    pub drain_seconds: u64,
    /// Sessions at once, 1 to 100000; one more is refused with RESOURCE_EXHAUSTED.
    #[arg(long, env = "PARLANCE_MAX_SESSIONS", default_value_t = 500,
          value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub max_sessions: u32,
    /// Requests a second of one key, 1 to 100000, two seconds' worth at once; one more is refused with
    /// RESOURCE_EXHAUSTED. A session is one request.
    #[arg(long, env = "PARLANCE_REQUESTS_PER_SECOND", default_value_t = 200,
          value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub requests_per_second: u32,
    /// How long a call may wait to be joined before it ends as CALLER_NEVER_JOINED, seconds, 1 to 604800.
    #[arg(long, env = "PARLANCE_JOIN_SECONDS", default_value_t = 3_600,
          value_parser = clap::value_parser!(u64).range(1..=604_800))]
    pub join_seconds: u64,
    /// What providers cost, for the cost of calls: `currency=USD, PROVIDER.UNIT=PRICE, …`, or the table `[prices]`
    /// of the file. `docs/prices.md` has the units.
    #[arg(
        long,
        env = "PARLANCE_PRICES",
        default_value = "",
        hide_default_value = true,
        value_name = "TABLE"
    )]
    pub prices: Prices,
    /// How long a call is safe from other engines on the same database when this one can't renew its claim: from 1s to
    /// 5m. Calls of an engine that died are closed after two of these.
    #[arg(long, env = "PARLANCE_LEASE", default_value = "15s", value_parser = lease, value_name = "TIME")]
    pub lease: Duration,
    /// An external booking backend: agents book with POST URL/appointments instead of in the engine's own table.
    #[arg(long, env = "BOOKING_BASE_URL", hide_env_values = true, value_name = "URL")]
    pub booking_base_url: Option<String>,
    /// What agents' tools may reach.
    #[command(flatten)]
    pub tools: tools::Tools,
    /// Folder with `initdb` and `postgres` for the private Postgres. Default: looked for.
    #[arg(long, env = "PARLANCE_POSTGRES_BIN", value_name = "DIR")]
    pub postgres_bin: Option<PathBuf>,
    /// What is logged: a level (error, warn, info, debug, trace), or levels by module.
    #[arg(long, env = "RUST_LOG", default_value = "info", value_name = "FILTER")]
    pub log: String,
    /// How it is logged, on standard error.
    #[arg(long, env = "PARLANCE_LOG_FORMAT", value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,
    /// How the world reaches it, and what it tells the world.
    #[command(flatten)]
    pub outside: outside::Outside,
    /// What secrets are encrypted with.
    #[command(flatten)]
    pub master_keys: master_keys::MasterKeys,
    /// Accounts with vendors.
    #[command(flatten)]
    pub vendors: vendors::Vendors,
    /// What is set for features that are not built yet.
    #[command(flatten)]
    pub reserved: reserved::Reserved,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line, for machines.
    Json,
}

/// A time within the bounds of a lease.
fn lease(text: &str) -> Result<Duration, String> {
    let length = text.parse::<jiff::SignedDuration>().ok().and_then(|length| length.try_into().ok());
    let fits = |length: &Duration| (LEASE_MIN..=LEASE_MAX).contains(length);
    length.filter(fits).ok_or_else(|| "must be a time from 1s to 5m, such as 15s".to_owned())
}

/// An address; `localhost` is one too.
fn host(text: &str) -> Result<IpAddr, String> {
    if text == "localhost" {
        return Ok(IpAddr::V4(Ipv4Addr::LOCALHOST));
    }
    text.parse().map_err(|_| "must be an IP address: 127.0.0.1, or 0.0.0.0 for every network".to_owned())
}

/// A choice of providers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Providers {
    /// The vendors there are keys for, in the order in which `parlance doctor` lists them; else as offline.
    Auto,
    /// PocketSphinx, flows and flite (espeak-ng as fallback): no key, no internet, whatever keys are set.
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
