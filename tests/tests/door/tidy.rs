//! The house in order: what Cargo and rustc can't refuse, a test does.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The longest a source file may be, lines.
const LINES_MAX: usize = 600;
/// Names that say nothing. Words of file names and of types.
const BANNED_NAMES: &[&str] = &["Manager", "Helper", "Handler", "Util", "Utils", "Common", "Helpers", "Misc"];
/// What each room may know of ours; anything else of ours is an arrow the wrong way.
const ARROWS: &[(&str, &[&str])] = &[
    ("proto", &[]),
    ("engine/conversation", &[]),
    ("engine/media", &[]),
    ("engine/providers", &[]),
    ("engine/store", &[]),
    ("engine/server", &["proto", "conversation", "media", "providers", "store"]),
];
/// What the conversation must not know of the world: it has no clock, waits for nothing and shares nothing.
const UNKNOWN_TO_THE_CONVERSATION: &[&str] = &[
    "tokio",
    "async",
    "await",
    "spawn",
    "Instant",
    "SystemTime",
    "Mutex",
    "RwLock",
    "Atomic",
    "thread",
    "tonic",
    "diesel",
    "prost",
    "Timestamp::now",
    "Zoned::now",
    "std::fs",
    "std::net",
    "println",
    "eprintln",
];
/// Links against system libraries or a second TLS stack.
const BANNED_CRATES: &[&str] = &["openssl-sys", "pq-sys", "aws-lc-sys", "aws-lc-rs", "native-tls"];
/// Licences a dependency may be had under.
const LICENCES: &[&str] = &[
    "MIT",
    "Apache-2.0",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "ISC",
    "Zlib",
    "0BSD",
    "Unlicense",
    "CC0-1.0",
    "MIT-0",
    "Unicode-3.0",
    "BSL-1.0",
    "CDLA-Permissive-2.0",
    "MPL-2.0",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().expect("the tests lie in the repository")
}

/// Every `.rs` file of ours with its text; what is generated lies in `target`.
fn sources() -> Vec<(String, String)> {
    let root = root();
    let mut files = Vec::new();
    for folder in ["proto", "engine", "tests"] {
        collect(&root.join(folder), &mut files);
    }
    assert!(files.len() > 50, "the sources were not found under {}", root.display());
    let named = |path: &PathBuf| path.strip_prefix(&root).expect("it lies there").display().to_string();
    files.iter().map(|path| (named(path), read(path))).collect()
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("the folder can be listed") {
        let path = entry.expect("it can be listed").path();
        if path.is_dir() && !path.ends_with("target") {
            collect(&path, files);
        } else if path.extension().is_some_and(|end| end == "rs") {
            files.push(path);
        }
    }
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[track_caller]
fn assert_none(faults: &[String]) {
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

/// The line without its comment: a ban is on code.
fn code(line: &str) -> &str {
    line.split("//").next().unwrap_or_default()
}

/// The words of a line of code.
fn words(line: &str) -> impl Iterator<Item = &str> {
    line.split(|letter: char| !letter.is_alphanumeric() && letter != '_').filter(|word| !word.is_empty())
}

#[test]
fn the_conversation_knows_no_clock_no_runtime_and_no_lock() {
    let mut faults = Vec::new();
    for (file, text) in sources().iter().filter(|(file, _)| file.starts_with("engine/conversation/src/")) {
        for (number, line) in text.lines().enumerate() {
            let line = code(line);
            let known = |word: &&&str| match word.contains("::") {
                true => line.contains(**word),
                false => words(line)
                    .any(|found| found == **word || (**word == "Atomic" && found.starts_with(**word))),
            };
            let found = UNKNOWN_TO_THE_CONVERSATION.iter().find(known);
            faults.extend(found.map(|word| format!("{file}:{}: `{word}`", number + 1)));
        }
    }
    assert_none(&faults);
}

#[test]
fn the_conversation_depends_on_nothing_that_waits_or_talks() {
    let manifest = read(&root().join("engine/conversation/Cargo.toml"));
    let banned = ["tokio", "futures", "tonic", "prost", "diesel", "chrono", "parlance-"];
    let (_, dependencies) = manifest.split_once("[dependencies]").expect("it has dependencies");
    let found: Vec<_> = banned.iter().filter(|name| dependencies.contains(**name)).collect();
    assert!(found.is_empty(), "{found:?}");
}

#[test]
fn arrows_between_rooms_go_one_way() {
    let mut faults = Vec::new();
    for (room, may_know) in ARROWS {
        let manifest = read(&root().join(room).join("Cargo.toml"));
        let (_, dependencies) = manifest.split_once("[dependencies]").unwrap_or_default();
        // What only its tests know is no arrow.
        let dependencies = dependencies.split("\n[").next().unwrap_or_default();
        let known = dependencies.lines().filter_map(|line| line.trim().strip_prefix("parlance-"));
        for name in known.filter_map(|line| line.split(['.', ' ', '=']).next()) {
            if !may_know.contains(&name) {
                faults.push(format!("{room} knows parlance-{name}"));
            }
        }
    }
    assert_none(&faults);
}

#[test]
fn no_file_is_longer_than_600_lines() {
    let long = sources().into_iter().map(|(file, text)| (file, text.lines().count()));
    let long: Vec<_> = long.filter(|(_, lines)| *lines > LINES_MAX).map(|it| format!("{it:?}")).collect();
    assert_none(&long);
}

#[test]
fn every_file_begins_by_saying_what_it_is() {
    let silent = sources().into_iter().filter(|(_, text)| !text.starts_with("//! "));
    assert_none(&silent.map(|(file, _)| file).collect::<Vec<_>>());
}

#[test]
fn nothing_has_a_name_that_says_nothing() {
    let mut faults = Vec::new();
    for (file, text) in sources() {
        let stem = Path::new(&file).with_extension("");
        let parts = stem.iter().flat_map(|part| part.to_str().into_iter().flat_map(|part| part.split('_')));
        let banned = |part: &str| BANNED_NAMES.iter().any(|name| name.eq_ignore_ascii_case(part));
        faults.extend(parts.filter(|part| banned(part)).map(|part| format!("{file}: `{part}`")));
        for (number, line) in text.lines().enumerate() {
            let found =
                defined(code(line)).filter(|name| BANNED_NAMES.iter().any(|banned| is_named(name, banned)));
            faults.extend(found.map(|name| format!("{file}:{}: `{name}`", number + 1)));
        }
    }
    assert_none(&faults);
}

/// What a line defines.
fn defined(line: &str) -> Option<&str> {
    let mut words =
        words(line).skip_while(|word| ["pub", "crate", "super", "unsafe", "async", "const"].contains(word));
    let kind = words.next()?;
    words.next().filter(|_| ["struct", "enum", "trait", "type", "mod", "fn"].contains(&kind))
}

/// `CallManager` and `call_manager` are managers; `Utility` and `commonest` are not.
fn is_named(name: &str, banned: &str) -> bool {
    // A middle word, as in `greatest_common_divisor`, may be any: the last one says what a thing is.
    name.ends_with(banned) || name.rsplit('_').next().is_some_and(|last| last == banned.to_lowercase())
}

#[test]
fn nothing_is_left_to_do_to_look_at_or_to_skip() {
    // Put together here, so that this file does not find itself.
    let banned = [
        ["to", "do!("].concat(),
        ["unimple", "mented!("].concat(),
        ["db", "g!("].concat(),
        ["#[ig", "nore"].concat(),
    ];
    let mut faults = Vec::new();
    for (file, text) in sources() {
        for (number, line) in text.lines().enumerate() {
            let found = banned.iter().find(|banned| line.contains(*banned));
            faults.extend(found.map(|word| format!("{file}:{}: {word}", number + 1)));
        }
    }
    assert_none(&faults);
}

#[test]
fn no_file_speaks_of_the_machine_it_was_written_on() {
    let banned = [["/wo", "rk/"].concat(), ["/ro", "ot/"].concat(), ["/tmp/", "wt"].concat()];
    let found = sources().into_iter().filter(|(_, text)| banned.iter().any(|path| text.contains(path)));
    // The look-up of an account has a password file of its own as a test.
    let found = found.filter(|(file, _)| file != "engine/store/src/private_cluster/account.rs");
    assert_none(&found.map(|(file, _)| file).collect::<Vec<_>>());
}

#[test]
fn dependencies_are_freely_licensed_and_none_brings_openssl_or_libpq() {
    let mut cargo = Command::new(std::env::var("CARGO").unwrap_or_else(|_| "cargo".into()));
    cargo.args(["metadata", "--format-version=1", "--locked"]).current_dir(root());
    let output = cargo.output().expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).expect("cargo answers in JSON");
    // What is resolved, not what is named: an optional dependency that nobody switched on is not ours.
    let nodes = metadata["resolve"]["nodes"].as_array().expect("cargo resolved the dependencies");
    let used: BTreeSet<&str> = nodes.iter().filter_map(|node| node["id"].as_str()).collect();
    let packages = metadata["packages"].as_array().expect("cargo lists packages").iter();
    let mut faults = Vec::new();
    for package in packages.filter(|package| package["id"].as_str().is_some_and(|id| used.contains(id))) {
        let name = package["name"].as_str().unwrap_or_default();
        if BANNED_CRATES.contains(&name) {
            faults.push(format!("{name} is banned"));
        }
        let licence = package["license"].as_str().unwrap_or_default();
        if !is_free(licence) {
            faults.push(format!("{name}: licence `{licence}`"));
        }
    }
    assert_none(&faults);
}

/// One of the alternatives must be ours to take; an exception (`WITH`) only widens it.
fn is_free(licence: &str) -> bool {
    let plain = licence.replace(['(', ')'], " ").replace('/', " OR ");
    let alternatives = plain.split(" AND ").map(|all| all.split(" OR ").any(|one| is_known(one.trim())));
    alternatives.fold(!licence.is_empty(), |all, one| all && one)
}

fn is_known(licence: &str) -> bool {
    LICENCES.contains(&licence.split(" WITH ").next().unwrap_or_default().trim())
}
