//! MCP servers: their tools, listed before a call needs them, and run over streamable HTTP.
//!
//! A server is connected to once and kept for the calls after it. What it lists is good for five minutes; then it is
//! listed again beside the call that asks, so that only the first call waits, and it for three seconds at most. One that
//! does not answer leaves its tools out of the call. A run that a lost session or a broken connection cost is made again
//! only where it surely did not begin or where twice is once. Enter at [`Servers::tools`] and [`Servers::run`].

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use parlance_conversation::{Effect, ToolOutcome, ToolPolicy};
use parlance_providers::llm::ToolSpec;
use parlance_store::{OrganisationId, Scope};
use reqwest::header::{HeaderName, HeaderValue};
use reqwest::{Client, Url};
use rmcp::model::{CallToolRequestParams, CallToolResult, ContentBlock, ToolAnnotations};
use rmcp::service::{RoleClient, RunningService, ServiceError, ServiceExt};
use rmcp::transport::StreamableHttpClientTransport;
use rmcp::transport::streamable_http_client::{StreamableHttpClientTransportConfig, StreamableHttpError};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::addresses::Addresses;
use super::http::ANSWER_MAX;
use super::secrets::{self, Secrets};
use super::template::{self, Values};
use super::{Kind, Tool, schema};

/// How long a call waits for the tools of a server nobody has asked lately.
const LIST_WITHIN: Duration = Duration::from_secs(3);
/// How long a list is good.
const GOOD_FOR: Duration = Duration::from_secs(300);
/// How long a server that did not answer is left alone.
const LEFT_ALONE_FOR: Duration = Duration::from_secs(30);
/// How long a connection that nobody uses is kept.
const KEPT_FOR: Duration = Duration::from_secs(900);
/// The pauses before another try.
const PAUSES: [Duration; 2] = [Duration::from_millis(200), Duration::from_millis(800)];
/// Why nothing was run.
const AWAY: &str = "the server can't be reached";
const LATE: &str = "the server did not answer in time";
/// Tools of one server.
const TOOLS_MAX: usize = 64;
/// The largest event that is taken, bytes: all tools with their schemas, or an answer.
const EVENT_MAX: usize = 2 * 1024 * 1024;
const NAME_MAX: usize = 64;
const DESCRIPTION_MAX: usize = 2_000;
const REASON_MAX: usize = 1_000;

/// A server as its agent describes it, checked.
#[derive(Debug, Clone, PartialEq)]
pub struct Server {
    /// What its tools' names begin with.
    pub name: String,
    /// Where it is, with its places for secrets.
    pub url: String,
    /// Headers of each request, with their places for secrets.
    pub headers: BTreeMap<String, String>,
    /// Its tools that may be used; none: all.
    pub allowed_tools: Vec<String>,
    /// How long one of them may take.
    pub timeout: Duration,
    /// What running one of them twice would do; none: what the server says of each.
    pub effect: Option<Effect>,
}

/// A tool of a server.
#[derive(Debug, Clone, PartialEq)]
pub struct Remote {
    /// Whose it is.
    pub server: Server,
    /// What it is called there.
    pub tool: String,
    /// What running it twice would do.
    pub effect: Effect,
}

/// Why a try gave nothing.
enum Trouble {
    /// Nothing was sent, and another try would come to the same.
    NotSetUp(String),
    /// The tool surely was not run: the server was not reached, opened no session, or did not know it.
    NotRun(String),
    /// It was asked for, and what came of it is not known.
    Broken,
}

type Key = (OrganisationId, String, BTreeMap<String, String>);
type Running = RunningService<RoleClient, ()>;

/// A server that answered.
struct Connection {
    client: Running,
    tools: Vec<rmcp::model::Tool>,
    secrets: Values,
}

#[derive(Clone)]
struct Kept {
    listed: Instant,
    used: Instant,
    connection: Option<Arc<Connection>>,
}

/// The servers that were asked lately.
#[derive(Clone)]
pub struct Servers {
    http: Client,
    addresses: Addresses,
    secrets: Arc<dyn Secrets>,
    kept: Arc<Mutex<HashMap<Key, Kept>>>,
}

impl Servers {
    /// Nobody was asked yet.
    pub fn new(http: Client, addresses: Addresses, secrets: Arc<dyn Secrets>) -> Self {
        Self { http, addresses, secrets, kept: Arc::default() }
    }

    /// Lets go of an organisation's servers, whose connections may hold secrets of before. Runs under way go on.
    pub fn forget(&self, organisation: OrganisationId) {
        self.lock().retain(|(whose, ..), _| *whose != organisation);
    }

    /// The tools of all these servers that answer, within three seconds.
    pub async fn tools(&self, scope: &Scope, servers: &[Server]) -> Vec<Tool> {
        let asked = servers.iter().map(|server| async move {
            let connection = self.listed(scope, server).await?;
            let offered =
                connection.tools.iter().filter_map(|tool| offered(server, tool, &connection.secrets));
            Some(offered.take(TOOLS_MAX).collect())
        });
        let tools: Vec<Option<Vec<Tool>>> = join_all(asked).await;
        tools.into_iter().flatten().flatten().collect()
    }

    /// Runs a tool. A session that was lost is opened anew; what surely was not run, and what may be run twice, is tried
    /// again, twice at most and within `timeout`.
    pub async fn run(
        &self,
        scope: &Scope,
        remote: &Remote,
        arguments: &Value,
        timeout: Duration,
    ) -> ToolOutcome {
        let work = self.tries(scope, remote, arguments, Instant::now() + timeout);
        tokio::time::timeout(timeout, work).await.unwrap_or(ToolOutcome::TimedOut)
    }

    async fn tries(&self, scope: &Scope, remote: &Remote, arguments: &Value, until: Instant) -> ToolOutcome {
        let mut pauses = PAUSES.iter();
        // What is not known of a try stays so, whatever the next one comes to.
        let mut may_have_run = false;
        loop {
            let trouble = match self.once(scope, remote, arguments).await {
                Ok(outcome) => return outcome,
                Err(trouble) => trouble,
            };
            may_have_run |= matches!(trouble, Trouble::Broken);
            let again = match &trouble {
                Trouble::NotSetUp(_) => false,
                Trouble::NotRun(_) => true,
                Trouble::Broken => remote.effect != Effect::Effect,
            };
            let pause = pauses.next().filter(|pause| again && Instant::now() + **pause < until);
            let Some(pause) = pause else { return given_up(trouble, may_have_run, remote.effect) };
            tokio::time::sleep(*pause).await;
        }
    }

    /// One try, on the session that is kept or on a new one.
    async fn once(&self, scope: &Scope, remote: &Remote, arguments: &Value) -> Result<ToolOutcome, Trouble> {
        let connection = self.connected(scope, &remote.server).await?;
        let mut params = CallToolRequestParams::new(remote.tool.clone());
        params.arguments = arguments.as_object().cloned();
        let told = match connection.client.call_tool(params).await {
            Ok(result) => Ok(told(result, &connection.secrets)),
            Err(ServiceError::McpError(error)) => {
                Ok(ToolOutcome::Failed { reason: said(&error.message, &connection.secrets) })
            }
            Err(error) => Err(error),
        };
        let error = match told {
            Ok(outcome) => return Ok(secrets::kept_out(outcome, &connection.secrets)),
            Err(error) => error,
        };
        self.let_go(&key(scope, &remote.server), &connection);
        let surely_not_run = was_not_run(&error);
        tracing::warn!(server = remote.server.name, surely_not_run, "an MCP server broke off");
        Err(if surely_not_run { Trouble::NotRun(AWAY.to_owned()) } else { Trouble::Broken })
    }

    /// Forgets a connection that broke, if nobody has made another meanwhile.
    fn let_go(&self, key: &Key, broken: &Arc<Connection>) {
        let mut all = self.lock();
        let kept = all.get(key).and_then(|kept| kept.connection.as_ref());
        if kept.is_some_and(|kept| Arc::ptr_eq(kept, broken)) {
            all.remove(key);
        }
    }

    /// What the server has, as it was listed lately; none if it does not answer.
    async fn listed(&self, scope: &Scope, server: &Server) -> Option<Arc<Connection>> {
        let key = key(scope, server);
        let kept = {
            let mut all = self.lock();
            let kept = all.get_mut(&key).filter(|kept| !kept.is_lost());
            kept.map(|kept| {
                let now = Instant::now();
                let stale = now.duration_since(kept.listed) >= GOOD_FOR;
                kept.used = now;
                if stale {
                    // Whoever asks next finds it being listed.
                    kept.listed = now;
                }
                (kept.connection.clone(), stale)
            })
        };
        match kept {
            Some((connection, false)) => connection,
            Some((connection, true)) => {
                let (servers, scope, server) = (self.clone(), scope.clone(), server.clone());
                tokio::spawn(async move { servers.connect(&scope, &server).await.ok() });
                connection
            }
            None => self.connect(scope, server).await.ok(),
        }
    }

    async fn connected(&self, scope: &Scope, server: &Server) -> Result<Arc<Connection>, Trouble> {
        let kept = self.lock().get(&key(scope, server)).filter(|kept| !kept.is_lost()).cloned();
        match kept.and_then(|kept| kept.connection) {
            Some(connection) => Ok(connection),
            None => self.connect(scope, server).await,
        }
    }

    /// Connects and lists, within three seconds, and keeps what came of it.
    async fn connect(&self, scope: &Scope, server: &Server) -> Result<Arc<Connection>, Trouble> {
        let late = || Err(Trouble::NotRun(LATE.to_owned()));
        let connected = tokio::time::timeout(LIST_WITHIN, self.ask(scope, server)).await;
        let connected = connected.unwrap_or_else(|_| late()).map(Arc::new);
        if let Err(Trouble::NotSetUp(why) | Trouble::NotRun(why)) = &connected {
            tracing::warn!(server = server.name, why, "an MCP server gives no tools");
        }
        let now = Instant::now();
        let kept = Kept { listed: now, used: now, connection: connected.as_ref().ok().cloned() };
        let mut all = self.lock();
        all.retain(|_, kept| now.duration_since(kept.used) < KEPT_FOR);
        all.insert(key(scope, server), kept);
        connected
    }

    async fn ask(&self, scope: &Scope, server: &Server) -> Result<Connection, Trouble> {
        let texts = std::iter::once(&server.url).chain(server.headers.values());
        let names = texts.flat_map(|text| template::secrets(text));
        let secrets = secrets::all(&self.secrets, scope, names).await.map_err(Trouble::NotSetUp)?;
        let address = template::address(&server.url, &template::Arguments::new(), &secrets);
        let address = address.map_err(Trouble::NotSetUp)?;
        let no_sense = |_| Trouble::NotSetUp("its address makes no sense".to_owned());
        let url = Url::parse(&address).map_err(no_sense)?;
        self.addresses.allows_url(&url).map_err(Trouble::NotSetUp)?;
        let mut headers = HashMap::new();
        for (name, text) in &server.headers {
            let value = HeaderValue::from_str(&template::header(text, &secrets));
            let (Ok(name), Ok(mut value)) = (name.parse::<HeaderName>(), value) else {
                return Err(Trouble::NotSetUp(format!("its header {name} makes no sense")));
            };
            value.set_sensitive(true);
            headers.insert(name, value);
        }
        let config = StreamableHttpClientTransportConfig::with_uri(url.as_str()).custom_headers(headers);
        // A lost session is ours to open anew: rmcp would tell other runs on it that they failed, which is not known.
        let config = config.reinit_on_expired_session(false).max_sse_event_size(EVENT_MAX);
        let transport = StreamableHttpClientTransport::with_client(self.http.clone(), config);
        // What rmcp says may hold the address, which may hold a secret.
        let away = |_| Trouble::NotRun(AWAY.to_owned());
        let client = ().serve(transport).await.map_err(away)?;
        let no_tools = |_| Trouble::NotRun("the server lists no tools".to_owned());
        let tools = client.list_all_tools().await.map_err(no_tools)?;
        Ok(Connection { client, tools, secrets })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Kept>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    /// Whether it must be asked anew.
    fn is_lost(&self) -> bool {
        match &self.connection {
            Some(connection) => connection.client.is_closed() || connection.client.is_transport_closed(),
            None => self.listed.elapsed() >= LEFT_ALONE_FOR,
        }
    }
}

fn key(scope: &Scope, server: &Server) -> Key {
    (scope.organisation(), server.url.clone(), server.headers.clone())
}

/// What is told when nothing more is tried.
fn given_up(trouble: Trouble, may_have_run: bool, effect: Effect) -> ToolOutcome {
    match trouble {
        // It may have been done, which is another thing than a failure unless it does nothing.
        _ if may_have_run && effect != Effect::None => ToolOutcome::TimedOut,
        Trouble::NotSetUp(reason) | Trouble::NotRun(reason) => ToolOutcome::Failed { reason },
        Trouble::Broken => ToolOutcome::Failed { reason: "the server broke off its answer".to_owned() },
    }
}

/// Whether a request that failed so surely was not carried out: there was no connection to send it on, or the server
/// answered 404 to the session, which then is over.
fn was_not_run(error: &ServiceError) -> bool {
    let ServiceError::TransportSend(error) = error else { return false };
    match error.error.downcast_ref::<StreamableHttpError<reqwest::Error>>() {
        Some(StreamableHttpError::SessionExpired) => true,
        Some(StreamableHttpError::Client(error)) => error.is_connect(),
        _ => false,
    }
}

/// What running a tool twice would do, as the server says.
fn hinted(tool: &rmcp::model::Tool) -> Effect {
    let hint =
        |of: fn(&ToolAnnotations) -> Option<bool>| tool.annotations.as_ref().and_then(of) == Some(true);
    match (hint(|says| says.read_only_hint), hint(|says| says.idempotent_hint)) {
        (true, _) => Effect::None,
        (false, true) => Effect::Idempotent,
        (false, false) => Effect::Effect,
    }
}

/// What a server's tool is called by those who run it.
pub fn name_of(server: &str, tool: &str) -> String {
    let fits = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '_' | '-');
    let own: String = tool.chars().map(|letter| if fits(letter) { letter } else { '_' }).collect();
    format!("{server}__{own}")
}

/// The tool as an agent has it; none if it may not be used or its schema can't be.
fn offered(server: &Server, tool: &rmcp::model::Tool, secrets: &Values) -> Option<Tool> {
    let allowed = &server.allowed_tools;
    if !allowed.is_empty() && !allowed.iter().any(|name| *name == tool.name) {
        return None;
    }
    let name = name_of(&server.name, &tool.name);
    let mut parameters = Value::Object(tool.input_schema.as_ref().clone());
    secrets::hidden_in(&mut parameters, secrets);
    if let Some(why) =
        schema::problem(&parameters).or((name.len() > NAME_MAX).then(|| "its name is too long".into()))
    {
        tracing::warn!(tool = name, why, "a tool of an MCP server can't be used");
        return None;
    }
    let description = tool.description.as_deref().unwrap_or_default();
    let description = secrets::hidden(description, secrets).chars().take(DESCRIPTION_MAX).collect();
    let effect = server.effect.unwrap_or_else(|| hinted(tool));
    let policy = ToolPolicy {
        name: name.clone(),
        effect,
        timeout: server.timeout,
        say_while_running: None,
        say_after: None,
    };
    let remote = Remote { server: server.clone(), tool: tool.name.to_string(), effect };
    let spec = ToolSpec { name, description, parameters };
    Some(Tool { spec, policy, offered: true, kind: Kind::Mcp(Arc::new(remote)) })
}

/// What a tool gave, as the model is told.
fn told(result: CallToolResult, secrets: &Values) -> ToolOutcome {
    let texts = result.content.iter().map(|block| match block {
        ContentBlock::Text(text) => text.text.clone(),
        _ => "[something that is no text]".to_owned(),
    });
    let text = texts.collect::<Vec<_>>().join("\n");
    if result.is_error == Some(true) {
        return ToolOutcome::Failed { reason: said(&text, secrets) };
    }
    let answer = result.structured_content.map_or(text, |value| value.to_string());
    if answer.len() > ANSWER_MAX {
        return ToolOutcome::Failed { reason: "the server's answer is larger than 64 KiB".to_owned() };
    }
    let object = secrets::hidden_in_json(&answer, secrets).filter(Value::is_object);
    let result = object.unwrap_or_else(|| json!({ "text": secrets::hidden(&answer, secrets) }));
    ToolOutcome::Succeeded { result }
}

/// A failure in the server's words, cut short.
fn said(text: &str, secrets: &Values) -> String {
    let text = secrets::hidden(text, secrets);
    let said: String = text.chars().filter(|letter| !letter.is_control()).take(REASON_MAX).collect();
    if said.trim().is_empty() { "the server says that it failed".to_owned() } else { said }
}
