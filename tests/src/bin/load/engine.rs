//! The engine under test: the real program as a child process, with a data folder and a port of its own.
//!
//! Whatever happens to the driver, the engine is told to stop and its folder is removed: dropping it is enough.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};
use std::{env, fs, io};

/// How long a first start may take: `initdb` on a busy machine.
const START_MAX: Duration = Duration::from_secs(90);
/// How long an orderly end may take.
const STOP_MAX: Duration = Duration::from_secs(15);
/// How often an ending process is looked at.
const LOOK: Duration = Duration::from_millis(50);

/// A running engine.
pub struct Engine {
    child: Child,
    folder: PathBuf,
    /// Where it listens, `http://host:port`.
    pub endpoint: String,
    /// Its first key.
    pub key: String,
    /// What it said of its providers.
    pub providers: Vec<String>,
}

impl Engine {
    /// Starts `program`, or `parlance` beside this program, with scripted providers, or with those that these variables
    /// lead to.
    pub fn start(
        program: Option<&Path>,
        recording: bool,
        vendors: Option<&[(String, String)]>,
    ) -> Result<Self, String> {
        let program = match program {
            Some(program) => program.to_owned(),
            None => beside_us("parlance")?,
        };
        let folder = env::temp_dir().join(format!("parlance-load-{}", std::process::id()));
        fs::create_dir_all(&folder)
            .map_err(|error| format!("could not make {}: {error}", folder.display()))?;
        let child = spawn(&program, &folder, recording, vendors)
            .map_err(|error| format!("could not start {}: {error}", program.display()))?;
        let mut engine =
            Self { child, folder, endpoint: String::new(), key: String::new(), providers: Vec::new() };
        engine.read_welcome()?;
        Ok(engine)
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its data folder.
    pub fn data_dir(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// Stops it in order; an error if it did not end by itself or not well.
    pub fn stop(mut self) -> Result<(), String> {
        self.terminate();
        match self.wait(STOP_MAX) {
            Some(status) if status.success() => Ok(()),
            Some(status) => Err(format!("the engine ended with {status}; {}", self.log())),
            None => Err(format!("the engine did not end within {STOP_MAX:?}; {}", self.log())),
        }
    }

    /// What the engine logged at level warn and worse, one line each.
    pub fn complaints(&self) -> Vec<String> {
        let log = fs::read_to_string(self.folder.join("log")).unwrap_or_default();
        log.lines()
            .filter(|line| line.contains("WARN") || line.contains("ERROR"))
            .map(str::to_owned)
            .collect()
    }

    fn read_welcome(&mut self) -> Result<(), String> {
        let lines = self.lines();
        let until = Instant::now() + START_MAX;
        while self.endpoint.is_empty() || self.key.is_empty() || self.providers.len() < 3 {
            let left = until.saturating_duration_since(Instant::now());
            let line =
                lines.recv_timeout(left).map_err(|_| format!("the engine did not start; {}", self.log()))?;
            let words: Vec<&str> = line.split_whitespace().collect();
            match words.as_slice() {
                ["Parlance", _, "listens", "on", url] => self.endpoint = (*url).to_owned(),
                ["key", secret] => self.key = (*secret).to_owned(),
                ["provider", ..] => self.providers.push(words[1..].join(" ")),
                _ => {}
            }
        }
        Ok(())
    }

    /// The engine's output; read to its end, so that the pipe never fills.
    fn lines(&mut self) -> Receiver<String> {
        let (sender, lines) = channel();
        if let Some(output) = self.child.stdout.take() {
            std::thread::spawn(move || {
                for line in BufReader::new(output).lines().map_while(Result::ok) {
                    // Nobody listens after the welcome.
                    sender.send(line).ok();
                }
            });
        }
        lines
    }

    fn log(&self) -> String {
        let log = fs::read_to_string(self.folder.join("log")).unwrap_or_default();
        let tail: Vec<&str> = log.lines().rev().take(8).collect();
        format!("its log ends:\n{}", tail.into_iter().rev().collect::<Vec<_>>().join("\n"))
    }

    fn terminate(&self) {
        terminate(self.pid());
    }

    fn wait(&mut self, limit: Duration) -> Option<std::process::ExitStatus> {
        let until = Instant::now() + limit;
        loop {
            match self.child.try_wait() {
                Ok(None) if Instant::now() < until => std::thread::sleep(LOOK),
                Ok(status) => return status,
                Err(_) => return None,
            }
        }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        if self.child.try_wait().is_ok_and(|status| status.is_none()) {
            // Twice: the second signal ends the calls that the first one waits for.
            self.terminate();
            self.terminate();
            if self.wait(STOP_MAX).is_none() {
                self.child.kill().ok();
                self.child.wait().ok();
            }
        }
        fs::remove_dir_all(&self.folder).ok();
    }
}

/// Asks a process to end.
pub fn terminate(pid: u32) {
    // A process that is gone needs no signal.
    Command::new("kill").args(["-TERM", &pid.to_string()]).stderr(Stdio::null()).status().ok();
}

/// A program that lies beside this one.
///
/// # Errors
/// When it does not, and what to do.
pub fn beside_us(name: &str) -> Result<PathBuf, String> {
    let here = env::current_exe().map_err(|error| format!("could not find this program: {error}"))?;
    let program = here.with_file_name(name);
    if program.exists() {
        return Ok(program);
    }
    Err(format!(
        "{} is not there: build it with `cargo build --release --workspace --bins`",
        program.display()
    ))
}

fn spawn(
    program: &Path,
    folder: &Path,
    recording: bool,
    vendors: Option<&[(String, String)]>,
) -> io::Result<Child> {
    let mut command = Command::new(program);
    let providers = if vendors.is_some() { "auto" } else { "script" };
    command.args(["serve", "--providers", providers, "--host", "127.0.0.1", "--port", "0", "--data-dir"]);
    command.arg(folder.join("data"));
    if !recording {
        command.arg("--no-recording");
    }
    // The surroundings, a `.env` among them, must not lead it to another database or port.
    for name in
        ["HOST", "PORT", "DATABASE_URL", "PARLANCE_DATA_DIR", "PARLANCE_PROVIDERS", "PARLANCE_NO_RECORDING"]
    {
        command.env(name, "");
    }
    command.envs(vendors.unwrap_or_default().iter().map(|(name, value)| (name, value)));
    command.env("RUST_LOG", "warn").env("NO_COLOR", "1").stdin(Stdio::null()).stdout(Stdio::piped());
    command.stderr(fs::File::create(folder.join("log"))?).spawn()
}
