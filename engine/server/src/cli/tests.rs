//! The commands as they are typed, against an engine with a scripted agent.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;

use super::connect::ConnectArgs;
use super::scripted::Scripted;
use super::{Command, Error, run};

#[derive(Debug, Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

/// Runs `parlance COMMAND…` against the engine at `connect`.
async fn parlance(connect: &ConnectArgs, command: &[&str]) -> Result<bool, Error> {
    let key = connect.key.clone().unwrap_or_default();
    let at = ["--endpoint", connect.endpoint.as_str(), "--key", key.as_str()];
    let typed = std::iter::once(&"parlance").chain(command).chain(&at);
    let arguments = Arguments::try_parse_from(typed).expect("the command line is right");
    // `ExitCode` tells nothing but its debug form.
    Ok(format!("{:?}", run(arguments.command, &[]).await?) == format!("{:?}", ExitCode::SUCCESS))
}

fn clip(name: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/audio").join(name).display().to_string()
}

/// A file that is gone when the test is over.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        Self(std::env::temp_dir().join(format!("parlance-{}-{name}", std::process::id())))
    }

    fn as_str(&self) -> &str {
        self.0.to_str().expect("a temporary folder has a plain name")
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // It may never have been written.
        let _ = std::fs::remove_file(&self.0);
    }
}

#[tokio::test]
async fn a_call_is_held_to_its_end_and_saved_with_both_sides() {
    let connect = Scripted::default().serve().await;
    let saved = Scratch::new("call.wav");
    let call = ["call", "--agent", "restaurant", "--wav", &clip("u02_slt.wav"), "--save", saved.as_str()];
    assert!(parlance(&connect, &call).await.expect("the call is held"));
    let recording = parlance_media::wav::read(&saved.0).expect("it was saved");
    let [caller, agent] = recording.channels.as_slice() else { panic!("it is stereo") };
    let voiced = |side: &[i16]| side.iter().position(|sample| sample.unsigned_abs() > 2_000);
    let (greeted, spoke) = (voiced(agent).expect("the agent is on the right"), voiced(caller));
    assert!(greeted < spoke.expect("the caller is on the left"), "the caller lets the agent finish");
    assert_eq!(
        agent.iter().filter(|sample| **sample == 0x4000).count(),
        6_400,
        "two replies of 200 ms were played"
    );
}

#[tokio::test]
async fn an_agent_that_hangs_up_before_all_was_said_fails_the_command() {
    let connect = Scripted::default().serve().await;
    let call = ["call", "--agent", "restaurant", "--wav", &clip("u02_slt.wav"), &clip("u03_slt.wav")];
    assert!(!parlance(&connect, &call).await.expect("the call is held"));
}

#[tokio::test]
async fn a_typed_conversation_is_held_to_its_end() {
    let connect = Scripted::default().serve().await;
    assert!(
        parlance(&connect, &["talk", "--agent", "restaurant", "--say", "hello"]).await.expect("it is held")
    );
}

#[tokio::test]
async fn an_agent_that_lets_the_caller_speak_first_is_not_kept_waiting() {
    let engine = Scripted::default();
    let connect = engine.serve().await;
    let file = Scratch::new("listens.yaml");
    let agent =
        "name: agents/restaurant\ndisplay_name: A\ncall_handling: {first_speaker: FIRST_SPEAKER_CALLER}\n";
    std::fs::write(&file.0, agent).expect("the folder can be written");
    assert!(parlance(&connect, &["agents", "apply", "-f", file.as_str()]).await.expect("it is created"));
    let call = ["call", "--agent", "restaurant", "--wav", &clip("u02_slt.wav")];
    assert!(
        parlance(&connect, &call).await.expect("the call is held"),
        "the agent's patience was not enough"
    );
    let talk = ["talk", "--agent", "restaurant", "--say", "hello"];
    assert!(parlance(&connect, &talk).await.expect("it is held"));
}

#[tokio::test]
async fn a_wrong_key_and_an_unknown_agent_are_told_in_one_sentence() {
    let connect = Scripted::default().serve().await;
    let talk = |agent| ["talk", "--agent", agent, "--say", "hello"];
    let error = parlance(&connect, &talk("nobody")).await.expect_err("there is no such agent");
    assert_eq!(error.to_string(), "there is no such agent");
    let stranger = ConnectArgs { key: Some("pk_wrong".into()), ..connect };
    let error = parlance(&stranger, &talk("restaurant")).await.expect_err("the key is not known");
    assert!(error.to_string().starts_with("the engine refused the API key"), "{error}");
}

#[tokio::test]
async fn a_clip_that_is_no_wav_file_costs_no_call() {
    let nobody = ConnectArgs {
        endpoint: "http://127.0.0.1:1".into(),
        key: Some("k".into()),
        data_dir: ".".into(),
        ca_file: None,
    };
    let error =
        parlance(&nobody, &["call", "--agent", "a", "--wav", "Cargo.toml"]).await.expect_err("no WAV file");
    assert!(error.to_string().contains("Cargo.toml"), "{error}");
}

#[tokio::test]
async fn applying_a_file_creates_then_leaves_then_changes_the_agent() {
    let engine = Scripted::default();
    let connect = engine.serve().await;
    let file = Scratch::new("agent.yaml");
    let apply = ["agents", "apply", "-f", file.as_str()];
    std::fs::write(&file.0, "name: agents/a\ndisplay_name: A\n").expect("the folder can be written");
    assert!(parlance(&connect, &apply).await.expect("it is created"));
    assert!(parlance(&connect, &apply).await.expect("it is as it was"));
    assert_eq!(engine.masks().len(), 0, "nothing has changed, so nothing is sent");
    std::fs::write(&file.0, "name: agents/a\ndisplay_name: B\n").expect("the folder can be written");
    assert!(parlance(&connect, &apply).await.expect("it is changed"));
    assert_eq!(engine.agents()["agents/a"].display_name, "B");
    assert!(engine.masks()[0].contains(&"voice".to_owned()), "what the file leaves out is set back");
}
