//! `parlance serve` and `parlance migrate`: what an operator sees of the engine's beginning and end.

use std::io::IsTerminal;
use std::process::ExitCode;
use std::time::Duration;

use parlance_store::Store;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing_subscriber::EnvFilter;

use crate::config::{Config, LogFormat};
use crate::engine::{self, Engine, FirstKey};
use crate::output::{self, outln};
use crate::serve::{self, Running};
use crate::settings::misspelt::Misspelt;

/// Why a command of the operator failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The engine did not start.
    #[error("could not {0}")]
    Start(#[from] serve::Error),
    /// The database was not brought up to date.
    #[error("could not {0}")]
    Migrate(#[from] engine::Error),
    /// Signals can't be waited for.
    #[error("could not wait for signals: {0}")]
    Signals(std::io::Error),
    /// The filter of the log is none.
    #[error("could not log by `{filter}`: {why}")]
    LogFilter {
        /// As it was given.
        filter: String,
        /// What is wrong with it.
        why: String,
    },
}

/// Runs the engine until the first signal, then drains; the second ends it at once. What is `misspelt` among the
/// settings is logged first: it may be why the engine does not do what it should.
pub async fn serve(config: Config, misspelt: &[Misspelt]) -> Result<ExitCode, Error> {
    log(&config)?;
    for misspelt in misspelt {
        tracing::warn!("{misspelt}");
    }
    let drain = Duration::from_secs(config.drain_seconds);
    let mut stop = Stop::new()?;
    let running = serve::start(config.clone()).await?;
    output::notice(&welcome(&config, &running));
    stop.next().await;
    let calls = running.engine.live.count();
    output::notice(&format!(
        "Stopping: no new calls; {calls} under way may go on for {} s. Again to end at once.\n",
        drain.as_secs()
    ));
    // What is missing was logged.
    let written = running.stop(drain, stop.next()).await;
    Ok(if written.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Brings the database to this version.
pub async fn migrate(config: &Config) -> Result<ExitCode, Error> {
    log(config)?;
    let database = engine::database(config)?;
    let migrated = Store::migrate(database).await.map_err(engine::Error::from)?;
    match migrated.applied.as_slice() {
        [] => outln!("The database is up to date."),
        applied => outln!("Applied {}.", applied.join(", ")),
    }
    Ok(ExitCode::SUCCESS)
}

/// SIGTERM or Ctrl-C.
struct Stop {
    terminate: Signal,
    interrupt: Signal,
}

impl Stop {
    fn new() -> Result<Self, Error> {
        let listen = |kind| signal(kind).map_err(Error::Signals);
        Ok(Self { terminate: listen(SignalKind::terminate())?, interrupt: listen(SignalKind::interrupt())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

fn log(config: &Config) -> Result<(), Error> {
    let filter = EnvFilter::try_new(&config.log)
        .map_err(|error| Error::LogFilter { filter: config.log.clone(), why: error.to_string() })?;
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        // Colours are for eyes; in a file they are noise.
        .with_ansi(std::io::stderr().is_terminal());
    // A second call, as in tests, keeps the first.
    match config.log_format {
        LogFormat::Text => lines.try_init().ok(),
        LogFormat::Json => lines.json().flatten_event(true).try_init().ok(),
    };
    Ok(())
}

/// What `serve` prints: where it is, who may come in, who speaks and why, and a first call to copy.
fn welcome(config: &Config, running: &Running) -> String {
    let engine: &Engine = &running.engine;
    let mut text = format!("Parlance {} listens on {}\n", env!("CARGO_PKG_VERSION"), running.url());
    text += &format!("  database   {}\n", engine.store.place());
    let key_file = config.key_file();
    text += &match &engine.first_key {
        FirstKey::Made(secret) => {
            format!("  key        {secret}\n             shown this once; saved in {}\n", key_file.display())
        }
        FirstKey::Known => format!("  key        in {}\n", key_file.display()),
        FirstKey::Elsewhere => format!(
            "  key        this database has one, but {} does not hold it: put it there, or pass --key\n",
            key_file.display()
        ),
    };
    for line in engine.providers.why() {
        text += &format!("  provider   {line}\n");
    }
    if let Some(recorder) = &engine.recorder {
        text += &format!("  recordings {}\n", recorder.folder().display());
    }
    if let Some(file) = config.outside.tls_cert_file.as_ref().filter(|_| running.is_tls) {
        text += &format!("  TLS        {}, read again when it changes\n", file.display());
    }
    if let (Some(http), Some(sockets)) = (&config.outside.base_url, config.outside.web_sockets()) {
        text += &format!("  public     {http} and {sockets}; parlance doctor looks from outside\n");
    }
    if let Some(sentence) = config.reserved.sentence() {
        text += &format!("  note       {sentence}\n");
    }
    let endpoint = if running.address.port() == 8080 && !running.is_tls {
        String::new()
    } else {
        format!(" --endpoint {}", running.url())
    };
    text += &format!(
        "\nA first call, in another terminal:\n  parlance agents apply -f examples/agents/restaurant.yaml{endpoint}\n  \
         parlance talk --agent restaurant{endpoint}\n"
    );
    text
}
