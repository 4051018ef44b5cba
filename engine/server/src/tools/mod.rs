//! The tools agents can run: which there are, and how a run becomes durable before it happens.

mod book_appointment;
pub mod booking_backend;

use std::sync::Arc;
use std::time::Duration;

use self::book_appointment::Place;
use self::booking_backend::BookingBackend;
use parlance_conversation::{InvocationId, ToolOutcome};
use parlance_proto::v1;
use parlance_providers::llm::ToolSpec;
use parlance_store::invocations::{self, Begun, Invocation, InvocationState, NewInvocation};
use parlance_store::{Error, Scope};
use serde_json::{Value, json};
use tokio_util::task::TaskTracker;

use crate::convert::call;
use crate::session::inbox::{Post, Posted};
use crate::session::journal::CallKey;

/// A tool that comes with the engine.
pub struct BuiltIn {
    /// Its name in flows.
    pub name: &'static str,
    /// How long it may take.
    pub timeout: Duration,
}

/// Every tool that comes with the engine.
pub const BUILT_IN: &[BuiltIn] =
    &[BuiltIn { name: book_appointment::NAME, timeout: Duration::from_secs(10) }];

/// What a model is told of the tools it may ask for. Those that come with the engine are run by flows, which know them.
pub fn specs(_agent: &v1::Agent) -> Arc<[ToolSpec]> {
    Arc::default()
}

/// What an agent can say when the row of a run could not be written: then nothing was run.
const NOT_REACHED: &str = "I can't reach our booking system right now.";

/// When the end of a run that could not be stored is tried again.
const FINISH_AGAIN: [Duration; 5] = [
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(4),
    Duration::from_secs(8),
];

/// Runs the tools of one call.
#[derive(Clone)]
pub struct Toolbox {
    scope: Scope,
    key: CallKey,
    tasks: TaskTracker,
    time_zone: String,
    booking: Option<BookingBackend>,
}

impl Toolbox {
    /// Tools act for the organisation of `scope`; their runs are `tasks`, which outlive the call if they must.
    pub fn new(scope: Scope, key: CallKey, tasks: TaskTracker) -> Self {
        Self { scope, key, tasks, time_zone: String::new(), booking: None }
    }

    /// Days and times are those of this time zone; empty: of the organisation's.
    #[must_use]
    pub fn in_zone(self, time_zone: &str) -> Self {
        Self { time_zone: time_zone.to_owned(), ..self }
    }

    /// Books in this backend, if there is one, instead of in our own table.
    #[must_use]
    pub fn booking_in(self, booking: Option<BookingBackend>) -> Self {
        Self { booking, ..self }
    }

    /// Starts a run on a task of its own; its outcome is posted.
    pub fn run(&self, invocation: InvocationId, tool: String, mut arguments: Value, post: Post) {
        call::make_storable(&mut arguments);
        let toolbox = self.clone();
        self.tasks.spawn(async move {
            let outcome = toolbox.outcome(invocation, &tool, arguments).await;
            post.post(Posted::Tool { invocation, outcome });
        });
    }

    async fn outcome(&self, invocation: InvocationId, tool: &str, arguments: Value) -> ToolOutcome {
        let idempotency_key = call::run_key(self.key.call, invocation.0);
        let new = NewInvocation {
            call_id: self.key.call,
            idempotency_key: idempotency_key.clone(),
            tool: tool.to_owned(),
            arguments: arguments.clone(),
        };
        let begun = match invocations::begin(&self.scope, self.key.owner, new).await {
            Ok(Begun::New(row)) => row,
            Ok(Begun::Known(row)) => return known(&row),
            Err(error) => return not_run(tool, &error),
        };
        if let Err(error) = invocations::mark_running(&self.scope, self.key.owner, begun.id).await {
            // Another task has begun it: then it is that one's to finish.
            if !matches!(error, Error::Conflict(_)) {
                let reason = json!({ "reason": NOT_REACHED });
                self.finish(begun.id, InvocationState::Failed, reason).await;
            }
            return not_run(tool, &error);
        }
        let outcome = match tool {
            book_appointment::NAME => {
                let place = Place {
                    scope: &self.scope,
                    backend: self.booking.as_ref(),
                    call: Some(self.key.call),
                    time_zone: &self.time_zone,
                };
                book_appointment::run(place, idempotency_key, &arguments).await
            }
            other => no_such_tool(other),
        };
        let (state, result) = match &outcome {
            ToolOutcome::Succeeded { result } => (InvocationState::Succeeded, result.clone()),
            ToolOutcome::Failed { reason } => (InvocationState::Failed, json!({ "reason": reason })),
            ToolOutcome::TimedOut => (InvocationState::Unknown, json!({ "reason": "no answer in time" })),
        };
        self.finish(begun.id, state, result).await;
        outcome
    }

    /// Stores the end of a run. While the database is away it is tried again, a few times and without holding the
    /// call up.
    async fn finish(&self, run: parlance_store::InvocationId, state: InvocationState, result: Value) {
        let Err(error) = invocations::finish(&self.scope, run, state, result.clone()).await else { return };
        if !error.is_retryable() {
            tracing::error!(%error, %run, "the end of a tool run was not stored");
            return;
        }
        let scope = self.scope.clone();
        self.tasks.spawn(async move {
            let store = || invocations::finish(&scope, run, state, result.clone());
            if let Err(error) = again(&FINISH_AGAIN, store).await {
                tracing::error!(%error, %run, "the end of a tool run was not stored");
            }
        });
    }
}

/// Runs the tools of one test, which is no call: what they do stays, that they were run is not kept.
pub struct TestRuns {
    scope: Scope,
    time_zone: String,
    booking: Option<BookingBackend>,
    test: uuid::Uuid,
    tasks: TaskTracker,
}

impl TestRuns {
    /// Tools act for the organisation of `scope`, in this time zone or (empty) the organisation's.
    pub fn new(scope: Scope, time_zone: &str, tasks: TaskTracker) -> Self {
        let (time_zone, test) = (time_zone.to_owned(), uuid::Uuid::new_v4());
        Self { scope, time_zone, booking: None, test, tasks }
    }

    /// Books in this backend, if there is one, instead of in our own table.
    #[must_use]
    pub fn booking_in(self, booking: Option<BookingBackend>) -> Self {
        Self { booking, ..self }
    }

    /// Starts a run on a task of its own; its outcome is posted.
    pub fn run(&self, invocation: InvocationId, tool: String, mut arguments: Value, post: Post) {
        call::make_storable(&mut arguments);
        let (scope, time_zone, booking) = (self.scope.clone(), self.time_zone.clone(), self.booking.clone());
        let key = format!("test/{}/{}", self.test, invocation.0);
        self.tasks.spawn(async move {
            let place = Place { scope: &scope, backend: booking.as_ref(), call: None, time_zone: &time_zone };
            let outcome = match tool.as_str() {
                book_appointment::NAME => book_appointment::run(place, key, &arguments).await,
                other => no_such_tool(other),
            };
            post.post(Posted::Tool { invocation, outcome });
        });
    }
}

/// Does `work` after each pause until it succeeds, or fails in a way that another try does not mend.
async fn again<T, F: Future<Output = Result<T, Error>>>(
    pauses: &[Duration],
    mut work: impl FnMut() -> F,
) -> Result<(), Error> {
    let mut last = Ok(());
    for pause in pauses {
        tokio::time::sleep(*pause).await;
        last = match work().await {
            Err(error) if error.is_retryable() => Err(error),
            // The try before has been stored after all.
            Ok(_) | Err(Error::Conflict(_)) => return Ok(()),
            Err(error) => return Err(error),
        };
    }
    last
}

fn no_such_tool(name: &str) -> ToolOutcome {
    ToolOutcome::Failed { reason: format!("There is no tool called {name}.") }
}

fn not_run(tool: &str, error: &Error) -> ToolOutcome {
    tracing::error!(%error, tool, "a tool was not run");
    ToolOutcome::Failed { reason: NOT_REACHED.to_owned() }
}

/// The outcome of a run that was begun before under the same key.
fn known(row: &Invocation) -> ToolOutcome {
    let result = row.result.clone().unwrap_or_default();
    match row.state {
        InvocationState::Succeeded => ToolOutcome::Succeeded { result },
        InvocationState::Failed => {
            let reason = result.get("reason").and_then(Value::as_str).unwrap_or(NOT_REACHED);
            ToolOutcome::Failed { reason: reason.to_owned() }
        }
        InvocationState::Pending | InvocationState::Running | InvocationState::Unknown => {
            ToolOutcome::TimedOut
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn tries(script: impl Fn(u32) -> Result<(), Error>) -> (u32, bool) {
        let mut tries = 0;
        let done = again(&[Duration::ZERO; 3], || {
            tries += 1;
            std::future::ready(script(tries))
        });
        let done = done.await.is_ok();
        (tries, done)
    }

    #[tokio::test]
    async fn the_end_of_a_run_is_stored_when_the_database_is_back_and_given_up_after_some_tries() {
        let away = || Err(Error::Unavailable("away".to_owned()));
        assert_eq!(tries(|of| if of < 3 { away() } else { Ok(()) }).await, (3, true));
        assert_eq!(tries(|_| away()).await, (3, false));
        assert_eq!(tries(|_| Err(Error::NotFound("invocation"))).await, (1, false));
        assert_eq!(tries(|_| Err(Error::Conflict("it was over before"))).await, (1, true));
    }
}
