//! The vendors' own Python clients against the stand-ins. A client that can't be installed is a failure.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use parlance_fakes::Fakes;
use tokio::process::Command;
use tokio::time::timeout;

/// The first run fetches the clients.
const INSTALLED: Duration = Duration::from_secs(1_200);
const DONE: Duration = Duration::from_secs(180);

/// Runs `tests/fakes/python/llm.py` for one client; every check prints a line.
async fn checks(client: &str) -> Vec<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    output(Command::new(root.join("scripts/python-clients.sh")), INSTALLED).await;
    let fakes = Fakes::start().await.expect("a free port");
    let mut run = Command::new(root.join("target/python-clients/bin/python"));
    run.arg(root.join("tests/fakes/python/llm.py")).arg(format!("http://{}", fakes.address())).arg(client);
    output(run, DONE).await.lines().map(str::to_owned).collect()
}

async fn output(mut command: Command, within: Duration) -> String {
    let run = command.stdin(Stdio::null()).kill_on_drop(true).output();
    let output = timeout(within, run).await.expect("it ends").expect("it starts");
    let [said, complained] =
        [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    assert!(output.status.success(), "{said}{complained}");
    said
}

const CHECKS: [&str; 6] = [
    "completes a stream",
    "completes a tool call",
    "is told a wrong key",
    "is told too many requests",
    "is told a server error",
    "is told a drop in mid-stream",
];

#[tokio::test]
async fn openai_for_python_speaks_chat_completions_with_the_stand_in() {
    assert_eq!(checks("openai_chat").await, CHECKS);
}

#[tokio::test]
async fn openai_for_python_speaks_responses_with_the_stand_in() {
    assert_eq!(checks("openai_responses").await, CHECKS);
}

#[tokio::test]
async fn anthropic_for_python_speaks_with_the_stand_in() {
    assert_eq!(checks("anthropic").await, CHECKS);
}

#[tokio::test]
async fn google_genai_for_python_speaks_with_the_stand_in() {
    assert_eq!(checks("google_genai").await, CHECKS);
}
