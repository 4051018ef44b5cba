//! The vendors' own Python clients. One that can't be installed is a failure.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;
use tokio::time::timeout;

/// The first run fetches the clients.
const INSTALLED: Duration = Duration::from_secs(1_200);
const DONE: Duration = Duration::from_secs(180);

/// Runs `tests/fakes/python/SCRIPT` with these variables in its environment and gives what it prints.
pub async fn run(script: &str, arguments: &[&str], variables: &[(&str, String)]) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    output(Command::new(root.join("scripts/python-clients.sh")), INSTALLED).await;
    let mut run = Command::new(root.join("target/python-clients/bin/python"));
    run.arg(root.join("tests/fakes/python").join(script)).args(arguments).envs(variables.iter().cloned());
    output(run, DONE).await
}

async fn output(mut command: Command, within: Duration) -> String {
    let run = command.stdin(Stdio::null()).kill_on_drop(true).output();
    let output = timeout(within, run).await.expect("it ends").expect("it starts");
    let [said, complained] =
        [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    assert!(output.status.success(), "{said}{complained}");
    said
}
