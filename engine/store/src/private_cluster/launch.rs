//! Making and starting the server, or finding that it runs already.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::account::Account;
use super::binaries::Binaries;
use super::{ClusterError, Paths, socket};

/// The cluster's superuser and owner of the tables.
pub(super) const SUPERUSER: &str = "parlance";

/// Recovery after a hard stop replays at most the log since the last checkpoint: seconds, on a slow disk more.
const READY_WITHIN: Duration = Duration::from_secs(120);
const LOOK_EVERY: Duration = Duration::from_millis(20);
const LOG_TAIL_LINES: usize = 15;

/// What is needed to bring a server up.
pub(super) struct Launch<'a> {
    pub(super) paths: &'a Paths,
    pub(super) binaries: &'a Binaries,
    pub(super) account: Option<&'a Account>,
}

impl Launch<'_> {
    /// Gives the folder of the socket, and the server if it is our child.
    pub(super) fn adopt_or_start(&self) -> Result<(PathBuf, Option<Child>), ClusterError> {
        if let Some(running) = self.running_socket_folder() {
            self.wait_until_ready(&running, None)?;
            return Ok((running, None));
        }
        if !self.paths.data.exists() {
            self.make_data()?;
        }
        let folder = socket::folder(self.paths, self.account)?;
        let mut child = self.spawn(&folder)?;
        match self.wait_until_ready(&folder, Some(&mut child)) {
            Ok(()) => Ok((folder, Some(child))),
            Err(error) => {
                self.abandon(&mut child);
                Err(error)
            }
        }
    }

    /// A process id may have been given to another program since; a socket that answers can't.
    fn running_socket_folder(&self) -> Option<PathBuf> {
        let folder = PathBuf::from(self.pid_file_line(5)?);
        UnixStream::connect(socket::file(&folder)).ok().map(|_| folder)
    }

    fn pid_file_line(&self, number: usize) -> Option<String> {
        let text = fs::read_to_string(self.paths.data.join("postmaster.pid")).ok()?;
        text.lines().nth(number - 1).map(|line| line.trim().to_owned())
    }

    fn make_data(&self) -> Result<(), ClusterError> {
        let unfinished = self.paths.dir.join("data.new");
        let what = format!("make the folder {}", unfinished.display());
        if unfinished.exists() {
            fs::remove_dir_all(&unfinished)
                .map_err(ClusterError::io("clear a first start that was cut off"))?;
        }
        DirBuilder::new().mode(0o700).create(&unfinished).map_err(ClusterError::io(what))?;
        if let Some(account) = self.account {
            account.own(&unfinished)?;
        }
        let mut initdb = command(&self.binaries.initdb(), self.account, &unfinished);
        initdb.args([
            "--auth=trust",
            "--locale=C.UTF-8",
            "--encoding=UTF8",
            "--no-sync",
            "--no-instructions",
        ]);
        initdb.args(["--username", SUPERUSER, "--pgdata"]).arg(&unfinished);
        run(initdb, "make a new Postgres cluster")?;
        fs::rename(&unfinished, &self.paths.data).map_err(ClusterError::io("put the new cluster in place"))
    }

    fn spawn(&self, socket_folder: &Path) -> Result<Child, ClusterError> {
        let log = || -> io::Result<(File, File)> {
            let file = File::options().create(true).append(true).open(&self.paths.log)?;
            Ok((file.try_clone()?, file))
        };
        let (out, err) = log().map_err(ClusterError::io(format!("open {}", self.paths.log.display())))?;
        let mut server = command(&self.binaries.postgres(), self.account, &self.paths.data);
        server.arg("-D").arg(&self.paths.data).arg("-k").arg(socket_folder);
        server.args(["-p", &socket::PORT.to_string(), "-c", "listen_addresses="]);
        server.stdout(out).stderr(err);
        server.spawn().map_err(ClusterError::io("start the private Postgres"))
    }

    /// Ready = line 8 of the pid file says so and the socket answers.
    fn wait_until_ready(&self, folder: &Path, mut child: Option<&mut Child>) -> Result<(), ClusterError> {
        let give_up = Instant::now() + READY_WITHIN;
        loop {
            let says_ready = self.pid_file_line(8).is_some_and(|state| state == "ready");
            if says_ready && UnixStream::connect(socket::file(folder)).is_ok() {
                return Ok(());
            }
            if let Some(Ok(Some(status))) = child.as_mut().map(|child| child.try_wait()) {
                return Err(self.failed_start(format!("it ended with {status}")));
            }
            if Instant::now() > give_up {
                return Err(
                    self.failed_start(format!("it was not ready within {} s", READY_WITHIN.as_secs()))
                );
            }
            sleep(LOOK_EVERY);
        }
    }

    /// Ends a server that never became ready; never with SIGKILL, which would orphan its own children.
    fn abandon(&self, child: &mut Child) {
        if matches!(child.try_wait(), Ok(Some(_))) {
            return;
        }
        let stopped = stop_server(self.binaries, self.account, &self.paths.data, "immediate");
        if stopped.is_ok() {
            let _ = child.wait(); // only to clear it from the process table
        }
    }

    fn failed_start(&self, why: String) -> ClusterError {
        let log = fs::read_to_string(&self.paths.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        let tail = lines[lines.len().saturating_sub(LOG_TAIL_LINES)..].join("\n");
        let log = self.paths.log.display();
        ClusterError::failed("start the private Postgres", format!("{why}; the end of {log}:\n{tail}"))
    }
}

/// Stops the server on `data` in one of the modes of `pg_ctl`; Ok when none runs.
pub(super) fn stop_server(
    binaries: &Binaries,
    account: Option<&Account>,
    data: &Path,
    mode: &str,
) -> Result<(), ClusterError> {
    if !data.join("postmaster.pid").exists() {
        return Ok(());
    }
    let mut stop = command(&binaries.pg_ctl(), account, data);
    stop.args(["stop", "--wait", "--timeout=30", "--mode", mode, "--pgdata"]).arg(data);
    run(stop, "stop the private Postgres")
}

/// A program of Postgres under the right account, in a folder it may read, free of the caller's `PG*` settings.
pub(super) fn command(program: &Path, account: Option<&Account>, dir: &Path) -> Command {
    let mut command = Command::new(program);
    command.current_dir(dir).stdin(Stdio::null());
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("PG")) {
        command.env_remove(name);
    }
    if let Some(account) = account {
        command.uid(account.uid).gid(account.gid);
    }
    own_group(&mut command);
    command
}

/// Keeps a terminal's Ctrl-C from a program that must outlive it.
pub(super) fn own_group(command: &mut Command) {
    command.process_group(0);
}

/// Runs a program to its end; what it printed becomes the error.
pub(super) fn run(mut command: Command, what: &str) -> Result<(), ClusterError> {
    let output = command.output().map_err(ClusterError::io(what))?;
    if output.status.success() {
        return Ok(());
    }
    let said = [output.stdout, output.stderr].concat();
    Err(ClusterError::failed(what, String::from_utf8_lossy(&said).trim()))
}
