//! An engine of the test's own, on a real socket, with an organisation of its own and nobody else's calls.
//!
//! Opened with real offline providers or with the scripted ones. [`House::is_empty`] is the promise behind every
//! bad input: no live call, no task, no row, no file, no process.

use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use parlance::cli::connect::{self, ConnectArgs};
use parlance::config::Config;
use parlance::config::vendors::Vendors;
use parlance::serve::{self, Running};
use parlance_proto::v1;
use parlance_store::appointments::{Appointment, AppointmentFilter};
use parlance_store::calls::{CallFilter, CallState};
use parlance_store::organisations::{self, OpeningHours};
use parlance_store::{CallId, OrganisationId, PageRequest, Scope, appointments, calls, keys};

use crate::database;

/// How long a call may take to be put away.
const SETTLES_WITHIN: Duration = Duration::from_secs(8);
/// The organisations' time zone: neither UTC nor, mostly, the machine's.
pub const TIME_ZONE: &str = "America/New_York";

#[derive(Parser)]
struct Flags {
    #[command(flatten)]
    config: Config,
}

/// An engine with one organisation.
pub struct House {
    /// The engine.
    pub running: Running,
    /// The organisation's rows, read beside the API.
    pub scope: Scope,
    /// The organisation's key.
    pub key: String,
    /// The typed clients, with the key.
    pub client: connect::Engine,
    /// The database, as its owner.
    pub database_url: String,
    folder: Folder,
    /// Tasks of an engine without calls.
    idle_tasks: usize,
}

/// Goes with its value.
struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            eprintln!("{} stays behind: {error}", self.0.display());
        }
    }
}

impl House {
    /// With PocketSphinx, flows and flite.
    ///
    /// # Panics
    /// When the engine does not start; one sentence says what is missing.
    pub async fn offline() -> Self {
        Self::open(&["--providers", "offline"], None).await
    }

    /// With scripted providers, which understand nothing and hum.
    ///
    /// # Panics
    /// When the engine does not start.
    pub async fn scripted() -> Self {
        Self::scripted_with(&[], None).await
    }

    /// With scripted providers and more flags; the clients trust the authority in `ca_file` too.
    ///
    /// # Panics
    /// When the engine does not start.
    pub async fn scripted_with(flags: &[&str], ca_file: Option<PathBuf>) -> Self {
        let flags: Vec<&str> = ["--providers", "script"].into_iter().chain(flags.iter().copied()).collect();
        Self::open(&flags, ca_file).await
    }

    /// With these accounts at vendors, and whatever this machine has behind them; no key of the surroundings counts.
    ///
    /// # Panics
    /// When the engine does not start.
    pub async fn with_vendors(vendors: Vendors) -> Self {
        let flags = ["--providers", "auto", "--no-recording"];
        Self::configured(database::url(), &flags, None, |config| config.vendors = vendors).await
    }

    /// With a master key, one of before, and no account with anybody.
    ///
    /// # Panics
    /// When the engine does not start.
    pub async fn with_master_keys(key: &str, old: Option<&str>) -> Self {
        Self::configured(database::url(), &master_keys(key, old), None, |it| it.vendors = Vendors::default())
            .await
    }

    /// Another engine for the same organisation, with other master keys.
    ///
    /// # Panics
    /// When the engine does not start.
    pub async fn again_with_master_keys(&self, key: &str, old: Option<&str>) -> Self {
        let flags = master_keys(key, old);
        let node =
            Self::configured(&self.database_url, &flags, None, |it| it.vendors = Vendors::default()).await;
        let scope = node.running.engine.store.scope(self.scope.organisation());
        let client = client(&node.url(), &self.key).await;
        Self { scope, key: self.key.clone(), client, ..node }
    }

    /// With scripted providers on a database of the test's own, and calls held by such a lease.
    ///
    /// # Panics
    /// When the engine does not start.
    pub async fn leasing(database_url: &str, lease: &str) -> Self {
        let flags = ["--providers", "script", "--no-recording", "--lease", lease];
        Self::on(database_url, &flags, None).await
    }

    /// Another node on the same database, for the same organisation. Scripted.
    ///
    /// # Panics
    /// When the engine does not start.
    pub async fn second_node(&self) -> Self {
        self.second_node_with(&[]).await
    }

    /// Another node like that with more flags.
    ///
    /// # Panics
    /// When the engine does not start.
    pub async fn second_node_with(&self, flags: &[&str]) -> Self {
        let flags = [&["--providers", "script"], flags].concat();
        let node = Self::on(&self.database_url, &flags, None).await;
        let scope = node.running.engine.store.scope(self.scope.organisation());
        let client = client(&node.url(), &self.key).await;
        Self { scope, key: self.key.clone(), client, ..node }
    }

    /// The client side of the operator, whose organisation all tests share.
    ///
    /// # Panics
    /// When the database refuses.
    pub async fn operator(&self) -> connect::Engine {
        let scope = self.running.engine.store.scope(OrganisationId::DEFAULT);
        let key = keys::create(&scope, &["admin".to_owned()]).await.expect("the operator may have many keys");
        client(&self.url(), &key.secret).await
    }

    /// With scripted providers and more flags on a database of the test's own.
    ///
    /// # Panics
    /// When the engine does not start.
    pub async fn alone(database_url: &str, flags: &[&str]) -> Self {
        let flags: Vec<&str> =
            ["--providers", "script", "--no-recording"].into_iter().chain(flags.iter().copied()).collect();
        Self::on(database_url, &flags, None).await
    }

    async fn open(more: &[&str], ca_file: Option<PathBuf>) -> Self {
        Self::on(database::url(), more, ca_file).await
    }

    async fn on(database_url: &str, more: &[&str], ca_file: Option<PathBuf>) -> Self {
        Self::configured(database_url, more, ca_file, |_| {}).await
    }

    async fn configured(
        database_url: &str,
        more: &[&str],
        ca_file: Option<PathBuf>,
        change: impl FnOnce(&mut Config),
    ) -> Self {
        let folder = Folder(database::new_folder());
        let data_dir = folder.0.to_str().expect("temporary folders are named in UTF-8");
        let flags = ["test", "--host", "127.0.0.1", "--port", "0", "--data-dir", data_dir];
        let flags = flags.into_iter().chain(["--database-url", database_url]).chain(more.iter().copied());
        let mut config = Flags::parse_from(flags).config;
        change(&mut config);
        let running = match serve::start(config).await {
            Ok(running) => running,
            Err(error) => panic!("this test needs an engine, which could not {error}"),
        };
        let (scope, key) = settle(&running, database_url).await;
        let client = trusting_client(&running.url(), &key, ca_file).await;
        let idle_tasks = running.engine.calls.len();
        let database_url = database_url.to_owned();
        Self { running, scope, key, client, database_url, folder, idle_tasks }
    }

    /// Stops the engine and lets go of all it held.
    ///
    /// # Panics
    /// When the journal could not be written.
    pub async fn closes(self) {
        let stopped = self.running.stop(Duration::ZERO, std::future::pending()).await;
        stopped.expect("the journal can be written");
    }

    /// Where it listens.
    pub fn url(&self) -> String {
        self.running.url()
    }

    /// The client side of another organisation of the same engine.
    ///
    /// # Panics
    /// When the database refuses.
    pub async fn stranger(&self) -> connect::Engine {
        let (_, key) = self.tenant().await;
        client(&self.url(), &key).await
    }

    /// Another organisation of the same engine: its rows and its key.
    ///
    /// # Panics
    /// When the database refuses.
    pub async fn tenant(&self) -> (Scope, String) {
        settle(&self.running, &self.database_url).await
    }

    /// The client side of this organisation with a key of these scopes, as they are stored.
    ///
    /// # Panics
    /// When the database refuses.
    pub async fn with_scopes(&self, scopes: &[&str]) -> connect::Engine {
        let scopes: Vec<String> = scopes.iter().map(ToString::to_string).collect();
        let key = keys::create(&self.scope, &scopes).await.expect("an organisation may have many keys");
        client(&self.url(), &key.secret).await
    }

    /// The client side of this organisation over another connection.
    ///
    /// # Panics
    /// When the engine does not answer.
    pub async fn another_client(&self) -> connect::Engine {
        client(&self.url(), &self.key).await
    }

    /// Makes an agent and gives its name.
    ///
    /// # Panics
    /// When the engine refuses it.
    pub async fn hires(&self, agent: v1::Agent) -> String {
        let agent_id = agent.name.trim_start_matches("agents/").to_owned();
        let request = v1::CreateAgentRequest { agent_id, agent: Some(agent), ..Default::default() };
        let response = self.client.agents().create_agent(request).await.expect("the agent is valid");
        response.into_inner().agent.expect("the answer holds the agent").name
    }

    /// The call as the API has it, once it is over.
    ///
    /// # Panics
    /// When it does not end within some seconds.
    pub async fn ended_call(&self, name: &str) -> v1::Call {
        let give_up = tokio::time::Instant::now() + SETTLES_WITHIN;
        loop {
            let request = v1::GetCallRequest { name: name.into() };
            let call =
                self.client.calls().get_call(request).await.expect("the call is there").into_inner().call;
            let call = call.expect("the answer holds the call");
            if call.state() == v1::CallState::Ended {
                return call;
            }
            assert!(tokio::time::Instant::now() < give_up, "the call did not end: {call:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// What was said and decided.
    ///
    /// # Panics
    /// When there is no such call.
    pub async fn transcript(&self, call: &str) -> v1::GetTranscriptResponse {
        let request = v1::GetTranscriptRequest { call: call.into(), include_events: true };
        self.client.calls().get_transcript(request).await.expect("the call has a transcript").into_inner()
    }

    /// The appointments made in a call, read from the database.
    ///
    /// # Panics
    /// When the database refuses.
    pub async fn appointments(&self, call: &str) -> Vec<Appointment> {
        let id: CallId = call.trim_start_matches("calls/").parse().expect("a call's name holds its id");
        let filter = AppointmentFilter { call_id: Some(id), ..Default::default() };
        let page = appointments::list(&self.scope, &filter, &PageRequest::default()).await;
        page.expect("the store lists appointments").items
    }

    /// Waits until nothing is left of any call: no live call, no task, no row that seems to go on, no file half
    /// written, no child process. Calls that ended, and their recordings, may stay.
    ///
    /// # Panics
    /// When something stays; the panic names it.
    pub async fn is_empty(&self) {
        let give_up = tokio::time::Instant::now() + SETTLES_WITHIN;
        loop {
            let left = self.left_behind().await;
            if left.is_empty() {
                return;
            }
            assert!(tokio::time::Instant::now() < give_up, "left behind: {}", left.join("; "));
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn left_behind(&self) -> Vec<String> {
        let engine = &self.running.engine;
        let mut left = Vec::new();
        if engine.live.count() > 0 {
            left.push(format!("{} live calls", engine.live.count()));
        }
        if engine.calls.len() > self.idle_tasks {
            left.push(format!("{} tasks", engine.calls.len() - self.idle_tasks));
        }
        if engine.bus.watchers.count() > 0 {
            left.push(format!("{} watchers", engine.bus.watchers.count()));
        }
        if !engine.tools.is_empty() {
            left.push(format!("{} tool runs", engine.tools.len()));
        }
        for state in [CallState::Created, CallState::Ongoing] {
            let filter = CallFilter { state: Some(state), ..Default::default() };
            let page = calls::list(&self.scope, &filter, &PageRequest::default()).await;
            let open = page.expect("the store lists calls").items;
            left.extend(open.iter().map(|call| format!("row of call {} {state:?}", call.id)));
        }
        left.extend(self.files_behind().await);
        left.extend(children("espeak-ng").map(|process| format!("process {process}")));
        left
    }

    /// Files of recordings that are no ended call's.
    async fn files_behind(&self) -> Vec<String> {
        let Some(recorder) = &self.running.engine.recorder else { return Vec::new() };
        let filter = CallFilter { state: Some(CallState::Ended), ..Default::default() };
        let page = calls::list(&self.scope, &filter, &PageRequest { size: 200, token: None }).await;
        let ended = page.expect("the store lists calls").items;
        let known: Vec<String> = ended.iter().filter_map(|call| call.recording_path.clone()).collect();
        let entries = std::fs::read_dir(recorder.folder()).expect("the folder of recordings is there");
        let paths =
            entries.map(|entry| format!("file://{}", entry.expect("it can be listed").path().display()));
        paths.filter(|path| !known.contains(path)).collect()
    }

    /// Where the engine keeps its things.
    pub fn data_dir(&self) -> &std::path::Path {
        &self.folder.0
    }
}

/// A new organisation of this engine in [`TIME_ZONE`], open from 11:00 to 22:00, and its key.
async fn settle(running: &Running, database_url: &str) -> (Scope, String) {
    let scope = running.engine.store.scope(database::new_organisation(database_url).await);
    let key = furnish(&scope).await;
    (scope, key)
}

/// Gives an organisation its zone and hours, and a key.
async fn furnish(scope: &Scope) -> String {
    organisations::set_time_zone(scope, TIME_ZONE).await.expect("the zone is known");
    let week = OpeningHours::default_week();
    organisations::set_opening_hours(scope, &week).await.expect("the usual week is valid");
    keys::create(scope, &["admin".to_owned()]).await.expect("an organisation may have a key").secret
}

/// The typed clients of an engine, with a key.
///
/// # Panics
/// When it does not answer.
pub async fn client(endpoint: &str, key: &str) -> connect::Engine {
    trusting_client(endpoint, key, None).await
}

async fn trusting_client(endpoint: &str, key: &str, ca_file: Option<PathBuf>) -> connect::Engine {
    let args = ConnectArgs {
        endpoint: endpoint.to_owned(),
        key: Some(key.to_owned()),
        data_dir: PathBuf::new(),
        ca_file,
    };
    connect::connect(&args).await.expect("the engine answers")
}

/// Our child processes of that name.
fn children(name: &str) -> impl Iterator<Item = String> {
    let us = std::process::id().to_string();
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    processes.filter_map(move |process| {
        let stat = std::fs::read_to_string(process.path().join("stat")).ok()?;
        // `pid (name) state parent …`; a name may hold spaces and brackets.
        let (before, after) = stat.rsplit_once(')')?;
        let ours = after.split_whitespace().nth(1)? == us;
        (ours && before.contains(name)).then(|| before.to_owned() + ")")
    })
}

fn master_keys<'a>(key: &'a str, old: Option<&'a str>) -> Vec<&'a str> {
    let mut flags = vec!["--providers", "auto", "--no-recording", "--master-key", key];
    flags.extend(old.into_iter().flat_map(|old| ["--old-master-keys", old]));
    flags
}
