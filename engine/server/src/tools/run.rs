//! A tool at work: what each kind does once it may begin, in a call or in a test.

use std::sync::Arc;

use jiff::Timestamp;
use parlance_conversation::{InvocationId, ToolOutcome};
use parlance_store::ownership::Owner;
use parlance_store::{CallId, Scope, calls, organisations};
use serde_json::{Value, json};
use tokio_util::task::TaskTracker;

use super::book_appointment::Place;
use super::built_in::{self, BuiltIn};
use super::http::Run;
use super::{Kind, Reach, Tool, ToolSet, book_appointment, current_time, schema};
use crate::convert::call;
use crate::session::inbox::{Post, Posted};

/// What the model is told where the store did not answer.
const NOT_KEPT: &str = "the values could not be kept right now";

/// Whom tools act for.
#[derive(Clone)]
pub struct Worker {
    /// The organisation's rows.
    pub scope: Scope,
    /// The call and whose it is; none in a test.
    pub call: Option<(CallId, Owner)>,
    /// Days and times are those of this time zone; empty: of the organisation's.
    pub time_zone: String,
    /// What tools need beside the call.
    pub reach: Reach,
}

impl Worker {
    /// Runs a tool of the engine, an HTTP tool or one of an MCP server. The same key does it once where it can be done
    /// once.
    pub async fn run(&self, tool: &Tool, idempotency_key: String, arguments: &Value) -> ToolOutcome {
        match &tool.kind {
            Kind::BuiltIn(built_in) => self.built_in(*built_in, tool, idempotency_key, arguments).await,
            Kind::Http(http) => {
                let (effect, timeout) = (tool.policy.effect, tool.policy.timeout);
                let run =
                    Run { scope: &self.scope, idempotency_key: &idempotency_key, arguments, effect, timeout };
                http.run(&self.reach, run).await
            }
            Kind::Mcp(remote) => {
                let timeout = tool.policy.timeout;
                self.reach.mcp.run(&self.scope, remote, arguments, timeout).await
            }
            Kind::Client => ToolOutcome::Failed { reason: "not run: there is no client".to_owned() },
        }
    }

    async fn built_in(&self, which: BuiltIn, tool: &Tool, key: String, arguments: &Value) -> ToolOutcome {
        match which {
            BuiltIn::CurrentTime => match self.zone().await {
                Ok(zone) => current_time::run(Timestamp::now(), &zone, arguments),
                Err(error) => {
                    tracing::error!(%error, "the organisation's time zone could not be read");
                    ToolOutcome::Failed { reason: "the time can't be told right now".to_owned() }
                }
            },
            BuiltIn::BookAppointment => {
                let place = Place {
                    scope: &self.scope,
                    backend: self.reach.booking.as_ref(),
                    call: self.call.map(|(call, _)| call),
                    time_zone: &self.time_zone,
                };
                book_appointment::run(place, key, arguments).await
            }
            BuiltIn::ExtractVariables => self.extract(tool, arguments).await,
            BuiltIn::TransferCall | BuiltIn::PressDigits | BuiltIn::SendSms => built_in::without_leg(),
            // A model's is carried out by the conversation, and a flow ends with a node of its own.
            BuiltIn::EndCall => ToolOutcome::Failed { reason: "not run: this ends no call".to_owned() },
        }
    }

    async fn zone(&self) -> parlance_store::Result<String> {
        match self.time_zone.as_str() {
            "" => Ok(organisations::get(&self.scope).await?.time_zone),
            own => Ok(own.to_owned()),
        }
    }

    /// Keeps the values that the tool knows.
    async fn extract(&self, tool: &Tool, arguments: &Value) -> ToolOutcome {
        let known = schema::parameters(&tool.spec.parameters);
        let given = arguments.as_object().into_iter().flatten();
        let kept = given.filter(|(name, _)| known.contains(&name.as_str()));
        let kept = Value::Object(kept.map(|(name, value)| (name.clone(), value.clone())).collect());
        if let Some((call, owner)) = self.call
            && let Err(error) = calls::extract(&self.scope, call, owner, kept.clone()).await
        {
            tracing::error!(%error, %call, "extracted values were not kept");
            return ToolOutcome::Failed { reason: NOT_KEPT.to_owned() };
        }
        ToolOutcome::Succeeded { result: json!({ "kept": kept }) }
    }
}

/// Runs the tools of one test, which is no call: what they do stays, that they were run is not kept. What a client
/// would do is not done.
pub struct TestRuns {
    worker: Worker,
    set: Arc<ToolSet>,
    test: uuid::Uuid,
    tasks: TaskTracker,
}

impl TestRuns {
    /// Runs of `set`; their tasks are `tasks`.
    pub fn new(worker: Worker, set: Arc<ToolSet>, tasks: TaskTracker) -> Self {
        Self { worker, set, test: uuid::Uuid::new_v4(), tasks }
    }

    /// Whether this tool is run in a test at all.
    pub fn runs(&self, tool: &str) -> bool {
        self.set.get(tool).is_none_or(|tool| !matches!(tool.kind, Kind::Client))
    }

    /// Starts a run on a task of its own; its outcome is posted.
    pub fn run(&self, invocation: InvocationId, tool: String, mut arguments: Value, post: Post) {
        call::make_storable(&mut arguments);
        let (worker, set) = (self.worker.clone(), self.set.clone());
        let key = format!("test/{}/{}", self.test, invocation.0);
        self.tasks.spawn(async move {
            let outcome = match fitting(&set, &tool, &mut arguments) {
                Ok(tool) => storable(worker.run(tool, key, &arguments).await),
                Err(outcome) => outcome,
            };
            post.post(Posted::Tool { invocation, outcome });
        });
    }
}

/// The tool of that name, if the arguments fit it.
pub fn fitting<'a>(set: &'a ToolSet, name: &str, arguments: &mut Value) -> Result<&'a Tool, ToolOutcome> {
    let Some(tool) = set.get(name) else {
        return Err(ToolOutcome::Failed { reason: format!("There is no tool called {name}.") });
    };
    match schema::check(&tool.spec.parameters, arguments) {
        Ok(()) => Ok(tool),
        Err(why) => Err(ToolOutcome::Failed { reason: format!("not run: {why}") }),
    }
}

/// What others gave, without what the database does not keep.
pub fn storable(mut outcome: ToolOutcome) -> ToolOutcome {
    match &mut outcome {
        ToolOutcome::Succeeded { result } => call::make_storable(result),
        ToolOutcome::Failed { reason } => *reason = call::storable(reason),
        ToolOutcome::TimedOut => {}
    }
    outcome
}
