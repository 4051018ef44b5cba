//! `parlance doctor`: what is missing on this machine, and the exact command that brings it.
//!
//! Looks, and changes nothing. A missing piece without which no call can be held fails the command; a missing
//! nicety is only told. Packages are named as Debian and Ubuntu name them.

mod outside;

use std::env;
use std::fmt;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::Error;
use crate::config::vendors::Vendors;
use crate::output::outln;
use crate::settings::misspelt::Misspelt;
use parlance_providers::registry::{self, Availability, Kind, VENDORS, services};
use parlance_store::DatabaseUrl;

use super::connect::{ConnectArgs, connect};
use super::terminal::{Paint, Tone};

/// Arguments of `parlance doctor`.
#[derive(Debug, clap::Args)]
pub struct DoctorArgs {
    #[command(flatten)]
    connect: ConnectArgs,
    #[command(flatten)]
    database: DatabaseArgs,
    #[command(flatten)]
    outside: outside::OutsideArgs,
    #[command(flatten)]
    vendors: Vendors,
    /// Print nothing but the commands that bring what is missing, one a line.
    #[arg(long)]
    fixes: bool,
}

/// What `serve` would use for its database, and what hints at one.
#[derive(Debug, Clone, Default, clap::Args)]
struct DatabaseArgs {
    /// A Postgres to use.
    #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
    database_url: Option<String>,
    /// Folder with `initdb` and `postgres` for the private Postgres. Default: looked for.
    #[arg(long, env = "PARLANCE_POSTGRES_BIN", value_name = "DIR")]
    postgres_bin: Option<PathBuf>,
    // Not ours: what a project that uses Supabase has set, so that it can be told what is missing.
    #[arg(long, env = "SUPABASE_URL", hide = true)]
    supabase_url: Option<String>,
    #[arg(long, env = "SUPABASE_ANON_KEY", hide = true, hide_env_values = true)]
    supabase_anon_key: Option<String>,
    #[arg(long, env = "SUPABASE_KEY", hide = true, hide_env_values = true)]
    supabase_key: Option<String>,
    #[arg(long, env = "SUPABASE_SERVICE_ROLE_KEY", hide = true, hide_env_values = true)]
    supabase_service_role_key: Option<String>,
}

/// What was found about one piece.
#[derive(Debug)]
struct Finding {
    what: &'static str,
    verdict: Verdict,
}

#[derive(Debug)]
enum Verdict {
    /// There, and where.
    Present(String),
    /// Not there, and no call can be held without it.
    Missing { detail: String, fix: String },
    /// Not there, and nothing depends on it.
    Absent { detail: String, fix: String },
    /// Not there, and a matter of choice.
    Unused(String),
    /// There, and probably not as it was meant.
    Doubtful(String),
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Present(detail) | Self::Unused(detail) | Self::Doubtful(detail) => write!(f, "{detail}"),
            Self::Missing { detail, fix } | Self::Absent { detail, fix } => write!(f, "{detail}: {fix}"),
        }
    }
}

/// Looks at the machine.
///
/// # Errors
/// None: what can't be found out is a finding.
pub async fn run(args: DoctorArgs, misspelt: &[Misspelt]) -> Result<ExitCode, Error> {
    let mut findings = vec![postgres(&args.database)];
    findings.extend(supabase(&args.database));
    findings.extend(speech(&registry::offline()));
    findings.extend(vendors(&args.vendors));
    findings.extend(
        misspelt.iter().map(|it| Finding { what: "settings", verdict: Verdict::Doubtful(it.to_string()) }),
    );
    findings.push(data_dir(&args.connect.data_dir));
    findings.push(engine(&args.connect).await);
    let ConnectArgs { endpoint, ca_file, .. } = &args.connect;
    findings.extend(outside::findings(&args.outside, endpoint, ca_file.as_ref()).await);
    let lines = if args.fixes { fixes(&findings) } else { lines(&findings, Paint::for_stdout()) };
    lines.iter().for_each(|line| outln!("{line}"));
    let healthy = findings.iter().all(|finding| !matches!(finding.verdict, Verdict::Missing { .. }));
    Ok(if healthy { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The commands that bring what is missing.
fn fixes(findings: &[Finding]) -> Vec<String> {
    let fix = |finding: &Finding| match &finding.verdict {
        Verdict::Missing { fix, .. } | Verdict::Absent { fix, .. } => Some(fix.clone()),
        Verdict::Present(_) | Verdict::Unused(_) | Verdict::Doubtful(_) => None,
    };
    findings.iter().filter_map(fix).collect()
}

/// The findings in columns.
fn lines(findings: &[Finding], paint: Paint) -> Vec<String> {
    let width = findings.iter().map(|finding| finding.what.chars().count()).max().unwrap_or_default();
    let line = |Finding { what, verdict }: &Finding| {
        let (tone, mark) = match verdict {
            Verdict::Present(_) => (Tone::Good, "ok     "),
            Verdict::Missing { .. } => (Tone::Bad, "MISSING"),
            Verdict::Doubtful(_) => (Tone::Bad, "CHECK  "),
            Verdict::Absent { .. } | Verdict::Unused(_) => (Tone::Quiet, "absent "),
        };
        format!("{}  {what:<width$}  {verdict}", paint.paint(tone, mark))
    };
    findings.iter().map(line).collect()
}

/// A database given, or the programs for a private one.
fn postgres(args: &DatabaseArgs) -> Finding {
    let verdict = match &args.database_url {
        Some(url) => match DatabaseUrl::parse(url, false) {
            Ok(url) => Verdict::Present(format!("DATABASE_URL is set: {url} is used")),
            Err(error) => Verdict::Missing {
                detail: format!("DATABASE_URL can't be used: could not {error}"),
                fix: "export DATABASE_URL=postgresql://USER:PASSWORD@HOST:5432/DATABASE".to_owned(),
            },
        },
        None => match initdb(args.postgres_bin.as_deref()) {
            Some(path) => Verdict::Present(format!("{} (a private cluster)", path.display())),
            None => missing("no initdb and no DATABASE_URL", "postgresql"),
        },
    };
    Finding { what: "PostgreSQL", verdict }
}

/// Supabase's own variables lead to its HTTP API; the engine needs the Postgres behind it.
fn supabase(args: &DatabaseArgs) -> Option<Finding> {
    let keys = [&args.supabase_anon_key, &args.supabase_key, &args.supabase_service_role_key];
    let is_used = args.supabase_url.is_some() || keys.into_iter().any(Option::is_some);
    if args.database_url.is_some() || !is_used {
        return None;
    }
    let host = args.supabase_url.as_deref().map(|url| url.trim_start_matches("https://"));
    let project = host.and_then(|host| host.split('.').next()).unwrap_or("PROJECT");
    let fix = format!(
        "export DATABASE_URL='postgresql://postgres:PASSWORD@db.{project}.supabase.co:5432/postgres'"
    );
    let detail =
        "SUPABASE_* does not say where the database is (without IPv6: the session pooler's address, from \
                  Connect in Supabase's dashboard)"
            .to_owned();
    Some(Finding { what: "Supabase", verdict: Verdict::Absent { detail, fix } })
}

/// `initdb` where the engine looks: the setting, the path, the highest version under Debian's folder.
fn initdb(set: Option<&Path>) -> Option<PathBuf> {
    let set = set.map(|dir| dir.join("initdb"));
    set.filter(|path| path.is_file()).or_else(|| on_path("initdb")).or_else(|| {
        let versions = Path::new("/usr/lib/postgresql").read_dir().ok()?.flatten();
        let found = versions.map(|version| version.path().join("bin/initdb")).filter(|path| path.is_file());
        found.max_by_key(|path| {
            let version = path.ancestors().nth(2).and_then(Path::file_name);
            version.and_then(|version| version.to_string_lossy().parse::<u32>().ok())
        })
    })
}

/// The offline providers. One voice is enough: the others are niceties while one works.
fn speech(offline: &[Availability]) -> Vec<Finding> {
    let has_voice = offline.iter().any(|provider| provider.kind == Kind::Tts && provider.is_usable());
    let finding = |provider: &Availability| {
        let fix = provider.fix().unwrap_or_default();
        let verdict = match &provider.problem {
            None => Verdict::Present(format!("{} {}", provider.name, provider.about)),
            Some(problem) if provider.kind == Kind::Tts && has_voice => {
                Verdict::Absent { detail: reason(problem), fix }
            }
            Some(problem) => Verdict::Missing { detail: reason(problem), fix },
        };
        let what = if provider.kind == Kind::Stt { "offline transcriber" } else { "offline voice" };
        Finding { what, verdict }
    };
    offline.iter().map(finding).collect()
}

/// The vendors in the order in which they are preferred, and which of them there is a key for. None is asked.
fn vendors(set: &Vendors) -> Vec<Finding> {
    let finding = |vendor: &'static registry::Vendor| {
        let account = set.account(vendor.name);
        let mut names: Vec<&str> = Vec::new();
        for service in services().filter(|service| service.vendor == vendor.name) {
            // A name may listen and speak.
            if !names.contains(&service.name) {
                names.push(service.name);
            }
        }
        let of = if names.is_empty() { String::new() } else { format!(" for {}", names.join(", ")) };
        let key = vendor.key_variables.first().copied().unwrap_or_default();
        let verdict = match (account.key.is_empty(), &account.base_url) {
            (false, None) => Verdict::Present(format!("{key} is set{of}")),
            (false, Some(url)) => Verdict::Present(format!("{key} is set{of}, at {url}")),
            (true, Some(url)) if vendor.keyless_elsewhere => {
                Verdict::Present(format!("no key, a server of your own at {url}{of}"))
            }
            (true, _) => Verdict::Unused(format!("no {key}{of}")),
        };
        Finding { what: vendor.title, verdict }
    };
    VENDORS.iter().map(finding).collect()
}

/// What is wrong, without the command that the provider adds and that is told by itself.
fn reason(problem: &parlance_providers::Error) -> String {
    let message = problem.message.split("; run: ").next().unwrap_or_default();
    format!("{}: {message}", problem.provider)
}

/// The folder exists or can be made, and can be written.
fn data_dir(path: &Path) -> Finding {
    let existing = path.ancestors().find(|dir| dir.as_os_str().is_empty() || dir.is_dir());
    let existing = existing.filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let probe = existing.join(format!(".parlance-doctor-{}", std::process::id()));
    let verdict = match std::fs::write(&probe, b"") {
        Ok(()) => {
            // Left behind it would be an empty file in the way of nothing.
            let _ = std::fs::remove_file(&probe);
            Verdict::Present(format!("{} can be written", path.display()))
        }
        Err(error) => Verdict::Missing {
            detail: format!("{} can't be written ({error})", path.display()),
            fix: "give another --data-dir, or set PARLANCE_DATA_DIR".to_owned(),
        },
    };
    Finding { what: "data folder", verdict }
}

/// The engine answers, or its port is free for it.
async fn engine(args: &ConnectArgs) -> Finding {
    let endpoint = &args.endpoint;
    // Whether something listens does not depend on the key.
    let probe = ConnectArgs { key: Some("doctor".to_owned()), ..args.clone() };
    let verdict = match (connect(&probe).await, port_of(endpoint)) {
        (Ok(_), _) => Verdict::Present(format!("answers at {endpoint}")),
        (Err(error @ (Error::BadEndpoint { .. } | Error::NotTrusted { .. })), _) => {
            Verdict::Missing { detail: error.to_string(), fix: "give --endpoint".to_owned() }
        }
        (Err(error @ Error::File { .. }), _) => {
            Verdict::Missing { detail: error.to_string(), fix: "give another --ca-file".to_owned() }
        }
        (Err(_), Some(port)) if TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], port))).is_err() => {
            Verdict::Missing {
                detail: format!("port {port} is taken by something that is no engine, or can't be used"),
                fix: "start the engine on another port".to_owned(),
            }
        }
        (Err(_), _) => Verdict::Absent {
            detail: format!("not running at {endpoint}, and its port is free"),
            fix: "parlance serve".to_owned(),
        },
    };
    Finding { what: "engine", verdict }
}

/// The port of an endpoint on this machine.
fn port_of(endpoint: &str) -> Option<u16> {
    let (_, address) = endpoint.split_once("://")?;
    let authority = address.split('/').next()?;
    let (host, port) = authority.rsplit_once(':')?;
    matches!(host, "127.0.0.1" | "localhost" | "[::1]").then(|| port.parse().ok()).flatten()
}

fn missing(detail: &str, package: &str) -> Verdict {
    Verdict::Missing { detail: detail.to_owned(), fix: apt(package) }
}

fn apt(package: &str) -> String {
    format!("apt-get install --no-install-recommends {package}")
}

fn on_path(program: &str) -> Option<PathBuf> {
    env::split_paths(&env::var_os("PATH")?).map(|dir| dir.join(program)).find(|path| path.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;
    use parlance_providers::{Error, ErrorKind};

    #[test]
    fn a_folder_that_cannot_be_written_is_missing_and_one_to_be_made_is_not() {
        let there = env::temp_dir().join("parlance-doctor-to-be-made/deep");
        assert!(matches!(data_dir(&there).verdict, Verdict::Present(_)));
        assert!(matches!(data_dir(Path::new("/proc/parlance")).verdict, Verdict::Missing { .. }));
    }

    #[test]
    fn a_missing_voice_is_only_told_while_another_works() {
        let voice = |name, problem| Availability {
            kind: Kind::Tts,
            name,
            about: "speaks",
            problem,
            packages: vec!["espeak-ng"],
        };
        let gone =
            || Some(Error::new("espeak", ErrorKind::NotInstalled, "it is not there; run: this".to_owned()));
        let verdicts = |voices: &[Availability]| {
            speech(voices).iter().map(|finding| finding.verdict.to_string()).collect::<Vec<_>>()
        };
        let one = [voice("flite", None), voice("espeak", gone())];
        assert!(matches!(speech(&one)[1].verdict, Verdict::Absent { .. }));
        assert_eq!(
            verdicts(&one)[1],
            "espeak: it is not there: apt-get install --no-install-recommends espeak-ng"
        );
        assert!(matches!(speech(&[voice("espeak", gone())])[0].verdict, Verdict::Missing { .. }));
    }

    #[test]
    fn a_vendor_is_told_by_its_variable_and_never_by_its_key() {
        let account = |key: &str, url: Option<&str>| parlance_providers::account::Account {
            key: parlance_providers::account::Secret::new(key),
            base_url: url.map(str::to_owned),
        };
        let set = Vendors::default()
            .with_account("elevenlabs", account("el-geheim", None))
            .with_account("openai", account("", Some("http://127.0.0.1:11434/v1")))
            .with_account("cartesia", account("", Some("http://127.0.0.1:1")));
        let told = |name: &str| {
            let index = VENDORS.iter().position(|vendor| vendor.name == name).expect("it is a vendor");
            vendors(&set).swap_remove(index).verdict
        };
        let text = |name: &str| told(name).to_string();
        assert!(text("elevenlabs").starts_with("ELEVENLABS_API_KEY is set"), "{}", text("elevenlabs"));
        assert!(text("openai").contains("http://127.0.0.1:11434/v1"), "{}", text("openai"));
        assert!(matches!(told("cartesia"), Verdict::Unused(_)), "it wants a key wherever it is");
        assert!(matches!(told("deepgram"), Verdict::Unused(_)));
        assert!(VENDORS.iter().all(|vendor| !text(vendor.name).contains("geheim")));
    }

    #[test]
    fn findings_stand_in_columns_and_a_vendor_names_each_of_its_services_once() {
        let findings = vendors(&Vendors::default());
        let lines = lines(&findings, Paint::plain());
        let at: std::collections::BTreeSet<_> = lines.iter().map(|line| line.find("  no ")).collect();
        assert!(at.len() == 1 && !at.contains(&None), "{lines:?}");
        let deepgram = lines.iter().find(|line| line.contains("Deepgram")).expect("it is a vendor");
        assert!(deepgram.ends_with("for deepgram, deepgram-flux"), "{deepgram}");
    }

    #[test]
    fn supabase_alone_is_told_which_database_url_to_set() {
        let url = Some("https://abcd.supabase.co".to_owned());
        let alone = DatabaseArgs { supabase_url: url, ..Default::default() };
        let told = supabase(&alone).expect("something is missing").verdict.to_string();
        assert!(
            told.ends_with("'postgresql://postgres:PASSWORD@db.abcd.supabase.co:5432/postgres'"),
            "{told}"
        );
        let both = DatabaseArgs { database_url: Some("postgres://db/calls".into()), ..alone };
        assert!(supabase(&both).is_none());
        let key = DatabaseArgs { supabase_anon_key: Some("ey".into()), ..Default::default() };
        let told = supabase(&key).expect("something is missing").verdict.to_string();
        assert!(told.contains("db.PROJECT.supabase.co"), "{told}");
    }

    #[test]
    fn a_missing_piece_ends_in_the_command_that_brings_it() {
        let text = missing("no initdb and no DATABASE_URL", "postgresql").to_string();
        assert_eq!(text, "no initdb and no DATABASE_URL: apt-get install --no-install-recommends postgresql");
    }

    #[tokio::test]
    async fn a_port_taken_by_something_else_is_told_apart_from_a_free_one() {
        let taken = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let port = taken.local_addr().expect("it is bound").port();
        drop(taken);
        let args = ConnectArgs {
            endpoint: format!("http://127.0.0.1:{port}"),
            key: None,
            data_dir: PathBuf::from("."),
            ca_file: None,
        };
        assert!(matches!(engine(&args).await.verdict, Verdict::Absent { .. }));
    }
}
