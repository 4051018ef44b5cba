//! Settings as a user meets them: what wins, what is refused, what is left alone.

use clap::{CommandFactory, Parser};

use super::*;
use crate::cli;
use crate::config::{Config, Providers};

#[derive(Debug, Parser)]
#[command(name = "parlance")]
struct Arguments {
    #[arg(long, global = true, env = FILE_VARIABLE)]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Chosen,
}

#[derive(Debug, clap::Subcommand)]
enum Chosen {
    Serve(Config),
    Config(show::ShowArgs),
    #[command(flatten)]
    Client(cli::Command),
}

/// A working directory with some files, an environment, and nothing of this process's.
struct Place {
    surroundings: Surroundings,
}

impl Place {
    fn new(files: &[(&str, &str)], environment: &[(&str, &str)]) -> Self {
        let folder = std::env::temp_dir().join(format!("parlance-settings-{}", uuid::Uuid::now_v7()));
        std::fs::create_dir(&folder).expect("the folder is new");
        for (name, text) in files {
            std::fs::write(folder.join(name), text).expect("the folder can be written");
        }
        let environment = environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let environment = environment.collect();
        Self { surroundings: Surroundings { arguments: Vec::new(), environment, folder } }
    }

    fn parse(&mut self, line: &[&str]) -> Result<(Settings, clap::ArgMatches), Error> {
        self.surroundings.arguments = std::iter::once(&"parlance").chain(line).map(OsString::from).collect();
        let settings = Settings::read(&Arguments::command(), &self.surroundings)?;
        let command = settings.apply(Arguments::command())?;
        let matches = command.try_get_matches_from(&self.surroundings.arguments).expect("the line is right");
        Ok((settings, matches))
    }

    fn serve(&mut self, flags: &[&str]) -> Result<Config, Error> {
        let line: Vec<&str> = std::iter::once("serve").chain(flags.iter().copied()).collect();
        let (_, matches) = self.parse(&line)?;
        let arguments =
            <Arguments as clap::FromArgMatches>::from_arg_matches(&matches).expect("it is complete");
        let Chosen::Serve(config) = arguments.command else { panic!("{arguments:?}") };
        Ok(config)
    }

    fn refusal(&mut self) -> String {
        let error = self.serve(&[]).expect_err("it must be refused").to_string();
        error.replace(&format!("{}/", self.surroundings.folder.display()), "")
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // Left behind it harms nobody.
        std::fs::remove_dir_all(&self.surroundings.folder).ok();
    }
}

#[test]
fn flags_win_over_the_environment_over_dotenv_over_the_file() {
    let file = ("parlance.toml", "port = 1\ndrain_seconds = 1\ndata_dir = 'one'\nproviders = 'script'\n");
    let dotenv = (".env", "PORT=2\nPARLANCE_DRAIN_SECONDS=2\nPARLANCE_DATA_DIR=two\n");
    let environment = [("PORT", "3"), ("PARLANCE_DRAIN_SECONDS", "3")];
    let config = Place::new(&[file, dotenv], &environment).serve(&["--port", "4"]).expect("all is right");
    assert_eq!((config.port, config.drain_seconds), (4, 3));
    assert_eq!((config.data_dir, config.providers), (PathBuf::from("two"), Providers::Script));
}

#[test]
fn without_any_place_the_defaults_count() {
    let config = Place::new(&[], &[]).serve(&[]).expect("all is right");
    assert_eq!(
        (config.host.to_string().as_str(), config.port, config.database_url),
        ("127.0.0.1", 8080, None)
    );
}

#[test]
fn an_empty_value_in_a_file_says_nothing_so_that_a_copied_example_works() {
    let files = [("parlance.toml", "port = 7"), (".env", "DATABASE_URL=\nPORT=\n")];
    let config = Place::new(&files, &[]).serve(&[]).expect("all is right");
    assert_eq!((config.port, config.database_url), (7, None));
}

#[test]
fn an_empty_value_in_the_environment_asks_for_the_default() {
    let files = [(".env", "DATABASE_URL=postgres://db/calls\nPORT=9000\n")];
    let config = Place::new(&files, &[("PORT", ""), ("DATABASE_URL", "")]).serve(&[]).expect("all is right");
    assert_eq!((config.port, config.database_url), (8080, None));
}

#[test]
fn switches_take_the_usual_words() {
    for (word, expected) in [("1", true), ("true", true), ("off", false)] {
        let config = Place::new(&[], &[("PARLANCE_NO_RECORDING", word)]).serve(&[]).expect("it is a switch");
        assert_eq!(config.no_recording, expected, "{word}");
    }
}

#[test]
fn an_unknown_name_of_ours_is_refused_and_the_nearest_is_named() {
    let refused =
        |files: &[(&str, &str)], environment: &[(&str, &str)]| Place::new(files, environment).refusal();
    assert_eq!(
        refused(&[], &[("PARLANCE_DATADIR", "x")]),
        "the environment: there is no `PARLANCE_DATADIR`; the nearest is `PARLANCE_DATA_DIR`"
    );
    assert_eq!(
        refused(&[(".env", "PARLANCE_PROVIDER=script")], &[]),
        ".env: there is no `PARLANCE_PROVIDER`; the nearest is `PARLANCE_PROVIDERS`"
    );
    assert_eq!(
        refused(&[("parlance.toml", "[database]\nuri = 'x'")], &[]),
        "parlance.toml: there is no `database_uri`; the nearest is `database_url`"
    );
}

#[test]
fn other_programs_variables_are_left_alone() {
    let environment = [("HOSTNAME", "web-1"), ("POTR", "x"), ("PARLANCE_PROFILE", "release")];
    let dotenv = (".env", "OTHER_SECRET=\"never closed\nBASE_URL=https://x/\n");
    Place::new(&[dotenv], &environment).serve(&[]).expect("none of them is ours");
}

#[test]
fn a_bad_value_is_refused_with_its_name_and_place() {
    let port = Place::new(&[(".env", "PORT=http")], &[]).refusal();
    assert!(port.starts_with("PORT in .env: invalid value 'http' for '--port <PORT>'"), "{port}");
    let host = Place::new(&[], &[("HOST", "my-laptop")]).refusal();
    assert!(host.starts_with("HOST in the environment: ") && host.contains("IP address"), "{host}");
    let switch = Place::new(&[("parlance.toml", "no_recording = 'perhaps'")], &[]).refusal();
    assert!(switch.starts_with("no_recording in parlance.toml: "), "{switch}");
}

#[test]
fn a_host_name_counts_as_the_address_to_listen_on_only_if_it_is_one() {
    let host = |environment: &[(&str, &str)]| {
        Place::new(&[], environment).serve(&[]).expect("all is right").host.to_string()
    };
    assert_eq!(host(&[("HOSTNAME", "0.0.0.0")]), "0.0.0.0");
    assert_eq!(host(&[("HOSTNAME", "3f2a77c1d0")]), "127.0.0.1", "a container's name");
    assert_eq!(host(&[("HOSTNAME", "0.0.0.0"), ("HOST", "::1")]), "::1");
}

#[test]
fn names_of_features_to_come_are_taken_from_everywhere_and_their_values_are_kept_by_nobody() {
    let dotenv = (".env", "EXOTEL_API_KEY=ex-geheim\nTWILIO_AUTH_TOKEN=\n");
    let file = ("parlance.toml", "twilio_phone_number = '+49301234567'\n[exotel]\nsid = 'mine'\n");
    let environment = [("DAILY_API_KEY", "da-geheim"), ("EXOTEL_OF_SOMEBODY", "x")];
    let config = Place::new(&[dotenv, file], &environment).serve(&[]).expect("all are known");
    assert_eq!(
        config.reserved.sentence().as_deref(),
        Some(
            "set, but without effect yet: TWILIO_PHONE_NUMBER, EXOTEL_SID, EXOTEL_API_KEY (for telephone carriers); \
             DAILY_API_KEY (for rooms for browsers)"
        )
    );
    assert!(!format!("{config:?}").contains("geheim"));
    assert_eq!(Place::new(&[], &[]).serve(&[]).expect("all is right").reserved.sentence(), None);
}

#[test]
fn a_vendors_account_comes_from_every_place_and_nobody_shows_its_key() {
    let dotenv = (".env", "GOOGLE_API_KEY=go-geheim\nELEVEN_API_KEY=el-geheim\n");
    let file = ("parlance.toml", "deepgram_api_key = 'dg-geheim'\n[openai]\nbase_url = 'http://llm:1/v1/'\n");
    let environment = [("GEMINI_API_KEY", " ge-geheim\n")];
    let vendors = Place::new(&[dotenv, file], &environment).serve(&[]).expect("all are known").vendors;
    let key = |vendor: &str| vendors.account(vendor).key.reveal().to_owned();
    assert_eq!(key("gemini"), "ge-geheim", "its own name goes before the other, and blanks are nobody's");
    assert_eq!((key("elevenlabs"), key("deepgram")), ("el-geheim".to_owned(), "dg-geheim".to_owned()));
    let openai = vendors.account("openai");
    assert_eq!(openai.base_url.as_deref(), Some("http://llm:1/v1"), "no slash at its end");
    assert!(openai.key.is_empty() && vendors.account("cartesia").key.is_empty());
    assert!(!format!("{vendors:?}").contains("geheim"));
    let refusal = Place::new(&[], &[("OPENAI_BASE_URL", "llm:1")]).refusal();
    assert!(refusal.starts_with("OPENAI_BASE_URL in the environment: "), "{refusal}");
}

#[test]
fn every_service_has_a_variable_for_its_model_that_says_whose_and_what_for() {
    let known = Known::of(&Arguments::command());
    for service in parlance_providers::registry::services() {
        let variable = crate::config::vendors::model_variable(service);
        assert!(known.has(&variable), "{variable}");
        let config = Place::new(&[], &[(&variable, "some-model")]).serve(&[]).expect("it is a setting");
        assert_eq!(config.vendors.model(service.kind(), service.name), Some("some-model"), "{variable}");
    }
}

#[test]
fn the_address_of_the_world_is_read_once_and_gives_that_of_web_sockets() {
    let config = Place::new(&[(".env", "BASE_URL=https://voice.example.com/\n")], &[]).serve(&[]);
    let outside = config.expect("all is right").outside;
    assert_eq!(
        outside.base_url.as_ref().map(ToString::to_string).as_deref(),
        Some("https://voice.example.com")
    );
    assert_eq!(outside.web_sockets().map(|url| url.to_string()).as_deref(), Some("wss://voice.example.com"));
    let refusal = Place::new(&[], &[("BASE_URL", "voice.example.com")]).refusal();
    assert!(
        refusal.starts_with("BASE_URL in the environment: ") && refusal.contains("https://"),
        "{refusal}"
    );
}

#[test]
fn a_bad_value_of_another_command_stops_nobody() {
    let mut place = Place::new(&[], &[("HOST", "my-laptop")]);
    place.parse(&["calls", "list"]).expect("listing calls listens nowhere");
}

#[test]
fn clients_look_for_the_engine_where_the_settings_let_it_listen() {
    let endpoint = |dotenv: &str, environment: &[(&str, &str)]| {
        let (_, matches) =
            Place::new(&[(".env", dotenv)], environment).parse(&["config"]).expect("all is right");
        matches.subcommand().and_then(|(_, matches)| matches.get_one::<String>("endpoint").cloned())
    };
    assert_eq!(endpoint("", &[]).as_deref(), Some("http://127.0.0.1:8080"));
    assert_eq!(endpoint("PORT=9000\nHOST=0.0.0.0", &[]).as_deref(), Some("http://127.0.0.1:9000"));
    assert_eq!(endpoint("PORT=9000\nHOST=::1", &[]).as_deref(), Some("http://[::1]:9000"));
    let told = [("PARLANCE_ENDPOINT", "http://far:80")];
    assert_eq!(endpoint("PORT=9000", &told).as_deref(), Some("http://far:80"));
    assert_eq!(endpoint("PORT=9000", &[("PORT", "")]).as_deref(), Some("http://127.0.0.1:8080"));
    assert_eq!(endpoint("TLS_CERT_FILE=c.pem", &[]).as_deref(), Some("https://127.0.0.1:8080"));
    assert_eq!(endpoint("TLS_CERT_FILE=c.pem\nPORT=9000", &[]).as_deref(), Some("https://127.0.0.1:9000"));
}

#[test]
fn a_file_that_was_named_must_be_there() {
    let mut place = Place::new(&[("other.toml", "port = 7")], &[]);
    assert_eq!(place.serve(&["--config", "other.toml"]).expect("it is there").port, 7);
    assert!(matches!(place.serve(&["--config=gone.toml"]), Err(Error::File { .. })));
}

#[test]
fn the_effective_configuration_is_printed_with_sources_and_without_secrets() {
    let dotenv = (
        ".env",
        "DATABASE_URL=postgres://me:geheim@db.example/calls\nPARLANCE_API_KEY=pk_secret\n\
                   OPENAI_API_KEY=sk-geheim\nOPENAI_BASE_URL=http://llm:1/v1/\nTWILIO_PHONE_NUMBER=+49\nBASE_URL=https://a.example/\n",
    );
    let mut place = Place::new(&[dotenv], &[("PORT", "9000")]);
    let (settings, matches) = place.parse(&["config", "--log", "debug"]).expect("all is right");
    let (_, matches) = matches.subcommand().expect("a command was given");
    let text = show::text(&settings, matches);
    let text = text.replace(&format!("{}/", place.surroundings.folder.display()), "");
    let lines: Vec<String> =
        text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    for line in [
        "host 127.0.0.1 default (HOST)",
        "port 9000 the environment (PORT)",
        "database_url database calls at db.example .env (DATABASE_URL)",
        "log debug flag (RUST_LOG)",
        "key (hidden) .env (PARLANCE_API_KEY)",
        "no_recording false default (PARLANCE_NO_RECORDING)",
        "openai_api_key (hidden) .env (OPENAI_API_KEY)",
        "base_ws_url wss://a.example made from BASE_URL (BASE_WS_URL)",
        "twilio_phone_number +49 .env (TWILIO_PHONE_NUMBER, no effect yet)",
    ] {
        assert!(lines.iter().any(|found| found == line), "`{line}` is not in\n{text}");
    }
    for line in [
        "cartesia_api_key - default (CARTESIA_API_KEY)",
        "openai_stt_model gpt-transcribe default (OPENAI_STT_MODEL)",
        "tool_secrets - default (PARLANCE_TOOL_SECRETS)",
    ] {
        assert!(lines.iter().any(|found| found == line), "`{line}` is not in\n{text}");
    }
    assert!(!text.contains("exotel"), "what nobody has set and has no effect is left out: {text}");
    assert!(!text.contains("geheim") && !text.contains("pk_secret"), "{text}");
}

#[test]
fn the_effective_configuration_stands_in_columns_whatever_is_set() {
    let address = format!("http://{}.example", "long".repeat(12));
    let mut place = Place::new(&[], &[("OPENAI_BASE_URL", &address)]);
    let (settings, matches) = place.parse(&["config"]).expect("all is right");
    let text = show::text(&settings, matches.subcommand().expect("a command was given").1);
    let begin = |line: &str, what: &str| line.find(what);
    let sources: Vec<_> = text.lines().filter_map(|line| begin(line, "  default (")).collect();
    assert!(sources.len() > 50 && sources.iter().all(|at| *at == sources[0]), "{text}");
    let values: Vec<_> = text.lines().filter_map(|line| begin(line, "  -  ")).collect();
    assert!(values.len() > 20 && values.iter().all(|at| *at == values[0]), "{text}");
}

#[test]
fn the_example_names_every_setting_and_says_the_defaults() {
    let example = include_str!("../../../../.env.example");
    let config =
        Place::new(&[(".env", example)], &[]).serve(&[]).expect("the example can be copied as it is");
    let default = Place::new(&[], &[]).serve(&[]).expect("all is right");
    assert_eq!(format!("{config:?}"), format!("{default:?}"));
    for variable in Known::of(&Arguments::command()).variables {
        let is_ours = !variable.starts_with("SUPABASE_") && variable != FILE_VARIABLE;
        assert!(!is_ours || example.contains(&format!("\n{variable}=")), "{variable} is not in .env.example");
    }
}
