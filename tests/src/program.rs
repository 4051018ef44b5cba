//! The real program as a process of its own, which can be killed.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use crate::database;

/// How long a start may take on a busy machine.
const STARTS_WITHIN: Duration = Duration::from_secs(60);
/// The program, built if it must be, and the vendors' stand-ins beside it. Cargo builds the programs of a test's own package only; the engine is another's.
///
/// # Panics
/// When it can't be built.
pub fn path() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        // Tests lie in `deps`, beside the programs.
        let us = std::env::current_exe().expect("this program has a path");
        let folder = us.ancestors().find(|folder| folder.ends_with("debug") || folder.ends_with("release"));
        let folder = folder.expect("tests are run from cargo's folder");
        let mut build = Command::new(env!("CARGO"));
        build.args([
            "build",
            "--quiet",
            "--locked",
            "--workspace",
            "--bin",
            "parlance",
            "--bin",
            "parlance-fakes",
        ]);
        if folder.ends_with("release") {
            build.arg("--release");
        }
        // What cargo tells this test of itself would count as a change to dependencies that look at it.
        for (name, _) in std::env::vars().filter(|(name, _)| is_of_this_package(name)) {
            build.env_remove(name);
        }
        let built = build.current_dir(env!("CARGO_MANIFEST_DIR")).status().expect("cargo can be started");
        assert!(built.success(), "the engine could not be built");
        folder.join("parlance")
    })
}

fn is_of_this_package(variable: &str) -> bool {
    ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_CRATE_", "CARGO_BIN_", "CARGO_PRIMARY_", "OUT_DIR"]
        .iter()
        .any(|start| variable.starts_with(start))
}

/// A running `parlance serve`. Dropped, it is killed.
pub struct Program {
    child: Child,
    /// Kills it when this process ends without a word: the system closes the pipe that the shell waits on.
    watch: Child,
    /// Where it listens, `http://host:port`.
    pub endpoint: String,
}

impl Program {
    /// Starts an engine with scripted providers on a database, and waits until it listens.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn serves(database_url: &str, lease: &str) -> Self {
        let folder = database::new_folder();
        std::fs::create_dir_all(&folder).expect("a folder can be made");
        let log = std::fs::File::create(folder.join("log")).expect("a file can be made");
        let program = tokio::task::spawn_blocking(path).await.expect("the program can be built");
        let mut command = Command::new(program);
        command.args([
            "serve",
            "--providers",
            "script",
            "--no-recording",
            "--host",
            "127.0.0.1",
            "--port",
            "0",
        ]);
        command
            .args(["--database-url", database_url, "--lease", lease, "--data-dir"])
            .arg(folder.join("data"));
        // The surroundings must not lead it elsewhere; in its own folder there is no `.env`.
        let ours =
            |name: &str| name.starts_with("PARLANCE_") || ["HOST", "PORT", "DATABASE_URL"].contains(&name);
        let set = std::env::vars().map(|(name, _)| name).filter(|name| ours(name));
        for name in set {
            command.env_remove(name);
        }
        command.current_dir(&folder).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log);
        let mut child = command.spawn().expect("the program can be started");
        let watch = watch(child.id());
        let output = child.stdout.take().expect("it is a pipe");
        let (told, welcome) = tokio::sync::oneshot::channel();
        std::thread::spawn(move || read(BufReader::new(output), told));
        let mut program = Self { child, watch, endpoint: String::new() };
        program.endpoint = match tokio::time::timeout(STARTS_WITHIN, welcome).await {
            Ok(Ok(endpoint)) => endpoint,
            _ => {
                let log = std::fs::read_to_string(folder.join("log")).unwrap_or_default();
                panic!("the program did not start:\n{log}");
            }
        };
        program
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// SIGKILL; it is gone when this returns.
    ///
    /// # Panics
    /// When the system refuses.
    pub fn is_killed(&mut self) -> Instant {
        self.child.kill().expect("our own child can be killed");
        let when = Instant::now();
        self.child.wait().expect("our own child can be waited for");
        when
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // The watch first: the number of a process that is gone may be another's soon. Both may be gone already.
        self.watch.kill().ok();
        self.watch.wait().ok();
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn watch(pid: u32) -> Child {
    let mut shell = Command::new("sh");
    shell.args(["-c", "cat >/dev/null; kill -KILL \"$1\"", "watch", &pid.to_string()]);
    shell.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    shell.spawn().expect("a shell can be started")
}

/// Tells the address and reads on, so that the pipe never fills.
fn read(output: impl BufRead, told: tokio::sync::oneshot::Sender<String>) {
    let mut told = Some(told);
    for line in output.lines().map_while(Result::ok) {
        if let Some(url) = line.strip_prefix("Parlance ").and_then(|rest| rest.split_once(" listens on "))
            && let Some(told) = told.take()
        {
            told.send(url.1.to_owned()).ok();
        }
    }
}

/// Sends a signal, such as STOP, to processes of the test's own.
///
/// # Panics
/// When one of them is gone.
pub fn signal(name: &str, processes: &[u32]) {
    let processes = processes.iter().map(ToString::to_string);
    let sent = Command::new("kill").arg(format!("-{name}")).args(processes).status();
    assert!(sent.is_ok_and(|status| status.success()), "{name} was not sent");
}
