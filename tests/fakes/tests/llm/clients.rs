//! The vendors' own Python clients against the stand-ins.

use parlance_fakes::Fakes;

use crate::python;

/// Runs `tests/fakes/python/llm.py` for one client; every check prints a line.
async fn checks(client: &str) -> Vec<String> {
    let fakes = Fakes::start().await.expect("a free port");
    let base = format!("http://{}", fakes.address());
    python::run("llm.py", &[&base, client], &[]).await.lines().map(str::to_owned).collect()
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
