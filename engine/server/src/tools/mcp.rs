//! MCP servers: their tools, listed before a call needs them, and run over streamable HTTP.
//!
//! A server is connected to once and kept for the calls after it. What it lists is good for five minutes; then it is
//! listed again beside the call that asks, so that only the first call waits, and it for three seconds at most. One that
//! does not answer leaves its tools out of the call. Enter at [`Servers::tools`].

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use parlance_conversation::{Effect, ToolOutcome, ToolPolicy};
use parlance_providers::llm::ToolSpec;
use parlance_store::{OrganisationId, Scope};
use reqwest::header::{HeaderName, HeaderValue};
use reqwest::{Client, Url};
use rmcp::model::{CallToolRequestParams, CallToolResult, ContentBlock};
use rmcp::service::{RoleClient, RunningService, ServiceError, ServiceExt};
use rmcp::transport::StreamableHttpClientTransport;
use rmcp::transport::streamable_http_client::StreamableHttpClientTransportConfig;
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
/// Tools of one server.
const TOOLS_MAX: usize = 64;
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
    /// What running one of them twice would do.
    pub effect: Effect,
}

/// A tool of a server.
#[derive(Debug, Clone, PartialEq)]
pub struct Remote {
    /// Whose it is.
    pub server: Server,
    /// What it is called there.
    pub tool: String,
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
            Some(connection.tools.iter().filter_map(|tool| offered(server, tool)).take(TOOLS_MAX).collect())
        });
        let tools: Vec<Option<Vec<Tool>>> = join_all(asked).await;
        tools.into_iter().flatten().flatten().collect()
    }

    /// Runs a tool.
    pub async fn run(
        &self,
        scope: &Scope,
        remote: &Remote,
        arguments: &Value,
        timeout: Duration,
    ) -> ToolOutcome {
        let work = async {
            let connection = match self.connected(scope, &remote.server).await {
                Ok(connection) => connection,
                Err(why) => return ToolOutcome::Failed { reason: why },
            };
            let mut params = CallToolRequestParams::new(remote.tool.clone());
            params.arguments = arguments.as_object().cloned();
            match connection.client.call_tool(params).await {
                Ok(result) => told(result, &connection.secrets),
                Err(ServiceError::McpError(error)) => {
                    ToolOutcome::Failed { reason: said(&error.message, &connection.secrets) }
                }
                Err(_) => {
                    tracing::warn!(server = remote.server.name, "an MCP server broke off");
                    self.lock().remove(&key(scope, &remote.server));
                    match remote.server.effect {
                        // It may have been done.
                        Effect::Effect => ToolOutcome::TimedOut,
                        Effect::None | Effect::Idempotent => {
                            ToolOutcome::Failed { reason: "the server broke off its answer".to_owned() }
                        }
                    }
                }
            }
        };
        tokio::time::timeout(timeout, work).await.unwrap_or(ToolOutcome::TimedOut)
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

    async fn connected(&self, scope: &Scope, server: &Server) -> Result<Arc<Connection>, String> {
        let kept = self.lock().get(&key(scope, server)).filter(|kept| !kept.is_lost()).cloned();
        match kept.and_then(|kept| kept.connection) {
            Some(connection) => Ok(connection),
            None => self.connect(scope, server).await,
        }
    }

    /// Connects and lists, within three seconds, and keeps what came of it.
    async fn connect(&self, scope: &Scope, server: &Server) -> Result<Arc<Connection>, String> {
        let late = || Err("the server did not answer in time".to_owned());
        let connected = tokio::time::timeout(LIST_WITHIN, self.ask(scope, server)).await;
        let connected = connected.unwrap_or_else(|_| late()).map(Arc::new);
        if let Err(why) = &connected {
            tracing::warn!(server = server.name, why, "an MCP server gives no tools");
        }
        let now = Instant::now();
        let kept = Kept { listed: now, used: now, connection: connected.as_ref().ok().cloned() };
        let mut all = self.lock();
        all.retain(|_, kept| now.duration_since(kept.used) < KEPT_FOR);
        all.insert(key(scope, server), kept);
        connected
    }

    async fn ask(&self, scope: &Scope, server: &Server) -> Result<Connection, String> {
        let texts = std::iter::once(&server.url).chain(server.headers.values());
        let names = texts.flat_map(|text| template::secrets(text));
        let secrets = secrets::all(&self.secrets, scope, names).await?;
        let address = template::address(&server.url, &template::Arguments::new(), &secrets)?;
        let url = Url::parse(&address).map_err(|_| "its address makes no sense".to_owned())?;
        self.addresses.allows_url(&url)?;
        let mut headers = HashMap::new();
        for (name, text) in &server.headers {
            let value = HeaderValue::from_str(&template::header(text, &secrets));
            let (Ok(name), Ok(mut value)) = (name.parse::<HeaderName>(), value) else {
                return Err(format!("its header {name} makes no sense"));
            };
            value.set_sensitive(true);
            headers.insert(name, value);
        }
        let config = StreamableHttpClientTransportConfig::with_uri(url.as_str()).custom_headers(headers);
        let transport = StreamableHttpClientTransport::with_client(self.http.clone(), config);
        // What rmcp says may hold the address, which may hold a secret.
        let client = ().serve(transport).await.map_err(|_| "the server can't be reached".to_owned())?;
        let tools = client.list_all_tools().await.map_err(|_| "the server lists no tools".to_owned())?;
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

/// The tool as an agent has it; none if it may not be used or its schema can't be.
fn offered(server: &Server, tool: &rmcp::model::Tool) -> Option<Tool> {
    let allowed = &server.allowed_tools;
    if !allowed.is_empty() && !allowed.iter().any(|name| *name == tool.name) {
        return None;
    }
    let fits = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '_' | '-');
    let own: String = tool.name.chars().map(|letter| if fits(letter) { letter } else { '_' }).collect();
    let name = format!("{}__{own}", server.name);
    let parameters = Value::Object(tool.input_schema.as_ref().clone());
    if let Some(why) =
        schema::problem(&parameters).or((name.len() > NAME_MAX).then(|| "its name is too long".into()))
    {
        tracing::warn!(tool = name, why, "a tool of an MCP server can't be used");
        return None;
    }
    let description = tool.description.as_deref().unwrap_or_default();
    let description = description.chars().take(DESCRIPTION_MAX).collect();
    let policy = ToolPolicy {
        name: name.clone(),
        effect: server.effect,
        timeout: server.timeout,
        say_while_running: None,
        say_after: None,
    };
    let remote = Remote { server: server.clone(), tool: tool.name.to_string() };
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
    let structured = result.structured_content.map(|value| value.to_string());
    let answer = secrets::hidden(&structured.unwrap_or(text), secrets);
    if answer.len() > ANSWER_MAX {
        return ToolOutcome::Failed { reason: "the server's answer is larger than 64 KiB".to_owned() };
    }
    let object = serde_json::from_str::<Value>(&answer).ok().filter(Value::is_object);
    ToolOutcome::Succeeded { result: object.unwrap_or_else(|| json!({ "text": answer })) }
}

/// A failure in the server's words, cut short.
fn said(text: &str, secrets: &Values) -> String {
    let text = secrets::hidden(text, secrets);
    let said: String = text.chars().filter(|letter| !letter.is_control()).take(REASON_MAX).collect();
    if said.trim().is_empty() { "the server says that it failed".to_owned() } else { said }
}
