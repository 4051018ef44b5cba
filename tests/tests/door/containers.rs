//! The examples for containers and platforms agree with the program: its settings, its port, its probes, its folder.
//!
//! Read as text and data; no container is started here.

use std::collections::BTreeSet;
use std::path::Path;

use clap::{CommandFactory, Parser};
use parlance::cli;
use parlance::config::Config;
use serde_yaml_ng::Value;

/// Asks for new calls only, or for life only; a platform must be given the right one.
const PROBES: [&str; 2] = ["/health", "/ready"];
const DATA: &str = "/var/lib/parlance";

#[derive(Parser)]
struct Program {
    #[command(subcommand)]
    _command: Chosen,
}

#[derive(clap::Subcommand)]
enum Chosen {
    Serve(Box<Config>),
    #[command(flatten)]
    Client(Box<cli::Command>),
}

fn file(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn yaml(name: &str) -> Value {
    serde_yaml_ng::from_str(&file(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn settings_of_serve() -> BTreeSet<String> {
    let command = Program::command();
    let serve = command.find_subcommand("serve").expect("there is such a command");
    let variables = serve.get_arguments().filter_map(|arg| arg.get_env());
    variables.map(|name| name.to_string_lossy().into_owned()).collect()
}

#[track_caller]
fn assert_known<'a>(place: &str, names: impl IntoIterator<Item = &'a str>) {
    let known = settings_of_serve();
    for name in names {
        assert!(known.contains(name), "{place} sets {name}, which is no setting of serve");
    }
}

fn names(mapping: &Value) -> Vec<&str> {
    mapping.as_mapping().expect("it has names").keys().filter_map(Value::as_str).collect()
}

#[test]
fn the_image_listens_to_the_world_on_its_port_and_belongs_to_nobody_in_particular() {
    let text = file("Dockerfile");
    let (build, image) = text.split_once("\nFROM debian").expect("it has two stages");
    assert!(build.contains("cargo build --locked --release -p parlance\n"), "{build}");
    let set = image.lines().find_map(|line| line.strip_prefix("ENV ")).expect("it has settings");
    let set: Vec<(&str, &str)> = set.split(' ').filter_map(|pair| pair.split_once('=')).collect();
    assert_known("the Dockerfile", set.iter().map(|(name, _)| *name));
    let of = |wanted: &str| set.iter().find(|(name, _)| *name == wanted).map(|(_, value)| *value);
    assert_eq!(
        (of("HOST"), of("PORT"), of("PARLANCE_DATA_DIR")),
        (Some("0.0.0.0"), Some("8080"), Some(DATA))
    );
    for line in ["EXPOSE 8080", "USER 10001", "VOLUME /var/lib/parlance", "CMD [\"serve\"]"] {
        assert!(image.lines().any(|found| found == line), "`{line}` is not in the Dockerfile");
    }
    for call in [["parlance", "serve"], ["parlance", "health"]] {
        Program::try_parse_from(call).unwrap_or_else(|error| panic!("{call:?}: {error}"));
    }
    assert!(image.contains("CMD [\"parlance\", \"health\"]"), "the probe is the program's own");
}

#[test]
fn secrets_and_the_build_folder_stay_out_of_the_image_and_what_the_build_reads_does_not() {
    let ignored = file(".dockerignore");
    let ignored: BTreeSet<&str> = ignored.lines().collect();
    for path in [".env", ".parlance", "target", ".git"] {
        assert!(ignored.contains(path), "{path} gets into the image");
    }
    for path in ["Cargo.lock", "proto", "engine", "migrations", "examples", "tests", "docs"] {
        assert!(!ignored.contains(path), "the build reads {path}");
    }
}

#[test]
fn the_composed_engine_waits_for_its_postgres_and_may_drain() {
    let compose = yaml("compose.yaml");
    let engine = &compose["services"]["engine"];
    assert_known("compose.yaml", names(&engine["environment"]));
    assert_eq!(engine["depends_on"]["postgres"]["condition"], "service_healthy");
    assert_eq!(engine["ports"][0], "127.0.0.1:8080:8080");
    assert_eq!(engine["volumes"][0], format!("engine:{DATA}"));
    let url = engine["environment"]["DATABASE_URL"].as_str().expect("it is set");
    let postgres = &compose["services"]["postgres"];
    assert!(postgres["image"].as_str().is_some_and(|image| image.starts_with("postgres:")), "{postgres:?}");
    let user = postgres["environment"]["POSTGRES_USER"].as_str().expect("it is set");
    let password = postgres["environment"]["POSTGRES_PASSWORD"].as_str().expect("it is set");
    let database = postgres["environment"]["POSTGRES_DB"].as_str().expect("it is set");
    assert_eq!(url, format!("postgresql://{user}:{password}@postgres:5432/{database}"));
    let drain = engine["environment"]["PARLANCE_DRAIN_SECONDS"].as_u64().expect("it is set");
    let grace = engine["stop_grace_period"].as_str().and_then(|text| text.strip_suffix('s'));
    let grace: u64 = grace.and_then(|text| text.parse().ok()).expect("it is in seconds");
    // The engine's own end takes half a minute at most after that.
    assert!(grace >= drain + 30, "{grace} s for a drain of {drain} s");
}

#[test]
fn fly_is_told_the_port_the_probe_and_to_speak_http_2() {
    let fly: toml::Table = toml::from_str(&file("fly.toml")).expect("it is TOML");
    let set = fly["env"].as_table().expect("it has settings");
    assert_known("fly.toml", set.keys().map(String::as_str));
    assert_eq!(set["HOST"].as_str(), Some("0.0.0.0"));
    let service = &fly["http_service"];
    let port = service["internal_port"].as_integer().expect("it is set");
    assert_eq!(set["PORT"].as_str(), Some(port.to_string().as_str()));
    assert_eq!(service["http_options"]["h2_backend"].as_bool(), Some(true));
    assert_eq!(service["checks"][0]["path"].as_str(), Some(PROBES[1]));
    assert_eq!(set["PARLANCE_NO_RECORDING"].as_str(), Some("true"), "nothing is kept on a disk that goes");
    let drain: i64 =
        set["PARLANCE_DRAIN_SECONDS"].as_str().and_then(|text| text.parse().ok()).expect("it is set");
    assert!(fly["kill_timeout"].as_integer().is_some_and(|limit| limit >= drain + 30));
}

#[test]
fn render_is_told_the_port_and_the_probe_that_does_not_end_calls() {
    let render = yaml("render.yaml");
    let service = &render["services"][0];
    let set = service["envVars"].as_sequence().expect("it has settings");
    assert_known("render.yaml", set.iter().filter_map(|one| one["key"].as_str()));
    let value = |name: &str| set.iter().find(|one| one["key"] == name).map(|one| &one["value"]);
    assert_eq!(value("HOST").and_then(Value::as_str), Some("0.0.0.0"));
    assert_eq!(value("PORT").and_then(Value::as_str), Some("8080"));
    assert_eq!(service["healthCheckPath"], PROBES[0]);
    assert_eq!(value("PARLANCE_NO_RECORDING").and_then(Value::as_str), Some("true"));
    let database = set.iter().find(|one| one["key"] == "DATABASE_URL").expect("it is set");
    assert_eq!(database["fromDatabase"]["name"], render["databases"][0]["name"]);
}
