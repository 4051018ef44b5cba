//! A Postgres of our own for machines where nobody runs one: made, started, adopted and stopped here.
//!
//! Decides where the data lies, which installed Postgres runs it and under which account; knows no tables.
//! Enter at [`PrivateCluster::start`]. Everything here blocks for up to some seconds.
//!
//! - Reached through a Unix socket only, in a folder of mode 0700: that is why no password is needed.
//! - `postgres` refuses to run as root; started by root, it runs as user `postgres` (else `nobody`).
//! - The first start fills `data.new` and renames it, so a killed first start leaves nothing half made.
//! - If our process dies the server lives on, and the next start adopts it. Each process that uses the
//!   cluster holds a shared lock on a file, and the last one to stop ends the server.
//! - It is in a process group of its own: Ctrl-C in a terminal reaches us, and we decide when it stops.

mod account;
mod binaries;
mod launch;
mod socket;

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};

use account::Account;
use binaries::Binaries;
use launch::Launch;

/// The setting that names the folder with `initdb` and `postgres`; named in the error when they are missing.
pub const BINARIES_SETTING: &str = "PARLANCE_POSTGRES_BIN";

/// Where a private cluster lies and what runs it.
#[derive(Debug, Clone)]
pub struct ClusterConfig {
    /// The cluster's folder: data, log and (where the path is short enough) socket. Made when missing.
    pub dir: PathBuf,
    /// The folder with `initdb`, `postgres` and `pg_ctl` ([`BINARIES_SETTING`]). None = look in `PATH`, then
    /// where packages put them, highest version first.
    pub binaries: Option<PathBuf>,
    /// The account the server runs as when we are root. None = `postgres`, else `nobody`.
    pub account: Option<String>,
}

impl ClusterConfig {
    /// A cluster in `dir`, with the rest found out.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into(), binaries: None, account: None }
    }
}

/// Why a private cluster did not start or stop. The message completes "failed to …".
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// No Postgres is installed where we look.
    #[error(
        "find Postgres (initdb, postgres and pg_ctl): install it with `apt-get install postgresql`, or set \
         {BINARIES_SETTING} to the folder they are in, or set DATABASE_URL to a server that runs already{0}"
    )]
    Missing(String),
    /// The data was made by another major version than any that is installed.
    #[error(
        "open the data in {dir}: it was made by Postgres {data} and only {installed} is installed. Install \
         Postgres {data} again, or move the data over with pg_dump and pg_restore"
    )]
    OtherVersion {
        /// The folder of the data.
        dir: PathBuf,
        /// The major version that made it.
        data: String,
        /// The major versions that are installed.
        installed: String,
    },
    /// The server's account can't get into the folder.
    #[error(
        "use {dir} for Postgres: it runs as user {account} (it refuses root), who may not enter {closed}. \
         Choose another data folder, or run `chmod o+x {closed}`"
    )]
    ClosedFolder {
        /// The cluster's folder.
        dir: PathBuf,
        /// The folder on the way that is closed.
        closed: PathBuf,
        /// The account.
        account: String,
    },
    /// Something else failed; the message carries the end of the server's log where there is one.
    #[error("{what}: {why}")]
    Failed {
        /// What was being done.
        what: String,
        /// What went wrong.
        why: String,
    },
}

impl ClusterError {
    fn failed(what: impl Into<String>, why: impl ToString) -> Self {
        Self::Failed { what: what.into(), why: why.to_string() }
    }

    fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |error| Self::failed(what, error)
    }
}

/// A running private cluster, started by us or adopted.
#[derive(Debug)]
pub struct PrivateCluster {
    paths: Paths,
    binaries: Binaries,
    account: Option<Account>,
    url: String,
    /// The server, when it is our child: it must be waited for.
    child: Option<Child>,
    /// Held shared for as long as we use the cluster.
    users: File,
}

/// The places in a cluster's folder.
#[derive(Debug, Clone)]
struct Paths {
    dir: PathBuf,
    data: PathBuf,
    log: PathBuf,
    start_lock: PathBuf,
    users_lock: PathBuf,
}

impl Paths {
    fn in_dir(dir: &Path) -> Result<Self, ClusterError> {
        let make = ClusterError::io(format!("make the folder {}", dir.display()));
        let dir = fs::create_dir_all(dir).and_then(|()| dir.canonicalize()).map_err(make)?;
        Ok(Self {
            data: dir.join("data"),
            log: dir.join("postgres.log"),
            start_lock: dir.join("start.lock"),
            users_lock: dir.join("users.lock"),
            dir,
        })
    }

    /// Held while the server is made, started or stopped: those who come together take turns.
    fn lock_start(&self) -> Result<File, ClusterError> {
        let open = || -> io::Result<File> {
            let file = File::create(&self.start_lock)?;
            file.lock()?;
            Ok(file)
        };
        open().map_err(ClusterError::io(format!("lock {}", self.start_lock.display())))
    }
}

impl PrivateCluster {
    /// Makes the cluster at first use (1 to 12 s), starts it (about 0.1 s) or adopts the live server.
    ///
    /// # Errors
    /// See [`ClusterError`]; nothing half made is left.
    pub fn start(config: &ClusterConfig) -> Result<Self, ClusterError> {
        let paths = Paths::in_dir(&config.dir)?;
        let account = Account::to_drop_to(config.account.as_deref())?;
        if let Some(account) = &account {
            account.check_way_to(&paths.dir)?;
        }
        let _turn = paths.lock_start()?;
        let users = hold_shared(&paths.users_lock)?;
        let binaries = Binaries::find(config.binaries.as_deref(), &paths.data)?;
        let launch = Launch { paths: &paths, binaries: &binaries, account: account.as_ref() };
        let (socket_dir, child) = launch.adopt_or_start()?;
        let url = socket::url(&socket_dir);
        Ok(Self { url, paths, binaries, account, child, users })
    }

    /// The address to connect to, as the cluster's superuser.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The folder it lies in.
    pub fn dir(&self) -> &Path {
        &self.paths.dir
    }

    /// Whether the server was running already.
    pub fn was_adopted(&self) -> bool {
        self.child.is_none()
    }

    /// Stops the server, unless another process uses it still: clients are cut off, nothing is lost.
    ///
    /// # Errors
    /// [`ClusterError::Failed`] when it would not stop within a minute.
    pub fn stop(mut self) -> Result<(), ClusterError> {
        let _turn = self.paths.lock_start()?;
        if self.users.try_lock().is_err() {
            return Ok(()); // somebody else holds it shared
        }
        let stop = |mode| launch::stop_server(&self.binaries, self.account.as_ref(), &self.paths.data, mode);
        stop("fast").or_else(|_| stop("immediate"))?;
        if let Some(child) = &mut self.child {
            child.wait().map_err(ClusterError::io("wait for the server to end"))?;
        }
        Ok(())
    }

    /// Ties the server to this process, however it ends: for tests and demonstrations. With `remove`, the
    /// cluster's folder goes too.
    ///
    /// A small shell waits on a pipe that the system closes when we are gone. The watch ends with the value
    /// given back; keep it for as long as the process runs.
    ///
    /// # Errors
    /// [`ClusterError::Failed`] when no shell can be started.
    pub fn stop_when_process_ends(&self, remove: bool) -> Result<ProcessWatch, ClusterError> {
        const WATCH: &str = r#"
            cat >/dev/null
            pid=$(head -n 1 "$1/postmaster.pid" 2>/dev/null) && kill -"$3" "$pid" 2>/dev/null
            tries=0
            while [ -e "$1/postmaster.pid" ] && [ $tries -lt 100 ]; do sleep 0.1; tries=$((tries + 1)); done
            [ -z "$2" ] || rm -rf "$2"
        "#;
        // What is thrown away anyway needs no last checkpoint, which takes seconds where there are many tables.
        let (removed, signal) =
            if remove { (self.paths.dir.as_path(), "QUIT") } else { (Path::new(""), "INT") };
        let mut command = Command::new("sh");
        command.args(["-c", WATCH, "watch"]).arg(&self.paths.data).arg(removed).arg(signal);
        launch::own_group(&mut command);
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut shell = command.spawn().map_err(ClusterError::io("start a shell to watch us"))?;
        let pipe = shell.stdin.take();
        Ok(ProcessWatch { _shell: shell, _pipe: pipe })
    }
}

/// See [`PrivateCluster::stop_when_process_ends`]. Dropped, it stops the server.
#[derive(Debug)]
pub struct ProcessWatch {
    _shell: Child,
    _pipe: Option<ChildStdin>,
}

fn hold_shared(path: &Path) -> Result<File, ClusterError> {
    let open = || -> io::Result<File> {
        let file = File::create(path)?;
        file.lock_shared()?;
        Ok(file)
    };
    open().map_err(ClusterError::io(format!("lock {}", path.display())))
}
