//! The program as whoever starts it meets it: what it says, and what becomes of it when nobody listens.

use std::io::{PipeWriter, pipe};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// A first start makes a database; on a busy machine that takes a while.
const WITHIN: Duration = Duration::from_secs(90);

/// The program with these arguments, in a folder of its own and with nothing of this process's settings.
fn parlance(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_parlance"));
    command.args(arguments).current_dir(folder).stdin(Stdio::null());
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command
}

/// A folder that is removed in the end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("parlance-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder can be made");
        Self(folder)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // Left behind it harms nobody.
        std::fs::remove_dir_all(&self.0).ok();
    }
}

/// Where to write so that nobody reads it.
fn nobody_reads() -> PipeWriter {
    let (reader, writer) = pipe().expect("a pipe can be made");
    drop(reader);
    writer
}

/// A running engine with a private Postgres; neither outlives it.
struct Engine {
    child: Child,
    postmaster: PathBuf,
}

impl Engine {
    /// Its process. What is half written or no number names none: it is given to `kill`.
    fn postgres(&self) -> Option<u32> {
        let text = std::fs::read_to_string(&self.postmaster).ok()?;
        text.lines().next()?.trim().parse().ok().filter(|pid| *pid > 1)
    }

    /// Looks again and again until there is something.
    fn until<T>(&mut self, what: &str, look: impl Fn(&mut Self) -> Option<T>) -> T {
        let give_up = Instant::now() + WITHIN;
        while Instant::now() < give_up {
            if let Some(found) = look(self) {
                return found;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("within {} s {what}", WITHIN.as_secs());
    }

    fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("our own child can be asked")
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        // Both may be gone already.
        self.child.kill().ok();
        self.child.wait().ok();
        if let Some(pid) = self.postgres() {
            signal("QUIT", pid);
        }
    }
}

fn signal(name: &str, pid: u32) {
    Command::new("kill").arg(format!("-{name}")).arg(pid.to_string()).status().expect("there is a kill");
}

#[test]
fn an_engine_that_nobody_reads_runs_on_and_takes_its_postgres_with_it_in_the_end() {
    let folder = Folder::new("unread");
    let arguments = ["serve", "--providers", "script", "--no-recording", "--port", "0", "--data-dir", "data"];
    let child = parlance(&folder.0, &arguments).stdout(nobody_reads()).stderr(nobody_reads()).spawn();
    let postmaster = folder.0.join("data/postgres/data/postmaster.pid");
    let mut engine = Engine { child: child.expect("it starts"), postmaster };
    engine.until("it had no Postgres", |it| it.postgres());
    signal("TERM", engine.child.id());
    let status = engine.until("it did not end", Engine::ended);
    assert!(status.success(), "{status}");
    assert_eq!(engine.postgres(), None, "its Postgres was left behind");
}

#[test]
fn a_start_that_fails_leaves_no_postgres_behind() {
    let folder = Folder::new("no-key-file");
    std::fs::create_dir_all(folder.0.join("data/key")).expect("a folder can be made");
    let arguments = ["serve", "--providers", "script", "--port", "0", "--data-dir", "data"];
    let child = parlance(&folder.0, &arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    let postmaster = folder.0.join("data/postgres/data/postmaster.pid");
    let mut engine = Engine { child: child.expect("it starts"), postmaster };
    let status = engine.until("it did not end", Engine::ended);
    assert!(!status.success(), "the key can't be saved where a folder is");
    assert!(folder.0.join("data/postgres/data").exists(), "it got as far as its Postgres");
    assert_eq!(engine.postgres(), None, "its Postgres was left behind");
}

#[test]
fn a_command_that_nobody_reads_ends_quietly() {
    let folder = Folder::new("quiet");
    let child = parlance(&folder.0, &["config"]).stdout(nobody_reads()).stderr(Stdio::piped()).spawn();
    let output = child.expect("it starts").wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(141), "as if SIGPIPE had ended it");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}

#[test]
fn a_misspelt_variable_of_a_vendor_is_told_wherever_an_operator_looks() {
    let folder = Folder::new("misspelt");
    std::fs::write(folder.0.join(".env"), "DEEPGRAM_APIKEY='begun\n").expect("a file can be made");
    let said = |arguments: &[&str]| {
        let mut command = parlance(&folder.0, arguments);
        let output = command.env("OPENAI_MODLE", "gpt-x").env("OPENAI_ORG_ID", "org").output();
        let output = output.expect("it runs");
        String::from_utf8([output.stdout, output.stderr].concat()).expect("it writes UTF-8")
    };
    // This one ends at once: there is no such database.
    let serve =
        ["serve", "--providers", "script", "--port", "0", "--database-url", "postgres://127.0.0.1:1/x"];
    for arguments in [&["config"][..], &["doctor"], &serve] {
        let said = said(arguments);
        let hints = [
            "`OPENAI_MODLE` in the environment has no effect; did you mean `OPENAI_MODEL`?",
            "`DEEPGRAM_APIKEY` in .env has no effect; did you mean `DEEPGRAM_API_KEY`?",
        ];
        assert!(hints.iter().all(|hint| said.contains(hint)), "{arguments:?}: {said}");
        assert!(!said.contains("OPENAI_ORG_ID"), "{said}");
    }
    assert!(!said(&["calls", "list"]).contains("MODLE"), "who only asks an engine is not told");
}
