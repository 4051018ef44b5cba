//! Which providers are found, and how they are told to the reader.

use parlance_providers::registry::{Availability, Choice, Kind, Script, Stack, install_command, offline};
use parlance_providers::{Error, ErrorKind};

#[test]
fn with_everything_installed_the_offline_stack_is_complete_and_says_why() {
    for provider in offline() {
        assert!(provider.is_usable(), "this test needs {}: {:?}", provider.name, provider.fix());
    }
    let stack = Stack::new(&Choice::Offline).unwrap();
    assert_eq!(stack.stt.name(), "pocketsphinx");
    assert_eq!(stack.tts.name(), "flite");
    assert_eq!(stack.tts_fallback.map(|tts| tts.name()), Some("espeak-ng"));
    assert!(stack.llm.is_none());
    assert_eq!(stack.why.len(), 4);
}

#[test]
fn what_is_missing_comes_with_one_command_that_brings_all_of_it() {
    let missing = |name: &'static str, packages: &[&'static str]| Availability {
        kind: Kind::Tts,
        name,
        about: "",
        problem: Some(Error::new(name, ErrorKind::NotInstalled, "is not there")),
        packages: packages.to_vec(),
    };
    let present = Availability { problem: None, ..missing("here", &["here"]) };
    let all = [missing("one", &["a", "b"]), present.clone(), missing("two", &["c"])];
    let command = "apt-get install --no-install-recommends a b c";
    assert_eq!(install_command(&all).as_deref(), Some(command));
    assert_eq!(install_command(&[present]), None);
}

#[test]
fn the_scripted_stack_needs_nothing_and_tells_its_delays() {
    let stack = Stack::new(&Choice::Script(Script::default())).unwrap();
    assert_eq!(stack.stt.name(), "script");
    assert!(stack.llm.is_some() && stack.tts_fallback.is_none());
    assert!(stack.why.iter().any(|line| line.contains("300 ms")), "{:?}", stack.why);
}
