//! The tools of one call at work: each run is durable before it happens, and its end is stored.

use std::sync::Arc;
use std::time::Duration;

use parlance_conversation::{InvocationId, ToolOutcome};
use parlance_proto::v1;
use parlance_store::invocations::{self, Begun, Invocation, InvocationState, NewInvocation};
use parlance_store::{Error, Scope};
use serde_json::{Value, json};
use tokio_util::task::TaskTracker;

use super::client::{Answer, Awaited};
use super::run::{Worker, fitting, storable};
use super::{Kind, Reach, Tool, ToolSet};
use crate::convert::{call, duration, json as wire_json};
use crate::session::inbox::{Post, Posted};
use crate::session::journal::CallKey;

/// What an agent can say when the row of a run could not be written: then nothing was run.
pub const NOT_REACHED: &str = "I can't reach our booking system right now.";

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
    worker: Worker,
    key: CallKey,
    tasks: TaskTracker,
    set: Arc<ToolSet>,
    awaited: Awaited,
}

impl Toolbox {
    /// The tools of `set` for a call of `scope`'s organisation; their runs are `tasks`, which outlive the call if they
    /// must. Days and times are those of `time_zone`; empty: of the organisation's.
    pub fn new(
        scope: Scope,
        key: CallKey,
        tasks: TaskTracker,
        (set, reach): (Arc<ToolSet>, Reach),
        time_zone: &str,
    ) -> Self {
        let (call, time_zone) = (Some((key.call, key.owner)), time_zone.to_owned());
        let worker = Worker { scope, call, time_zone, reach };
        Self { worker, key, tasks, set, awaited: Awaited::default() }
    }

    /// Starts a run on a task of its own; its outcome is posted.
    pub fn run(&self, invocation: InvocationId, tool: String, mut arguments: Value, post: Post) {
        call::make_storable(&mut arguments);
        let toolbox = self.clone();
        self.tasks.spawn(async move {
            let outcome = match fitting(&toolbox.set, &tool, &mut arguments) {
                Ok(tool) => toolbox.outcome(invocation, tool, arguments, &post).await,
                Err(outcome) => outcome,
            };
            post.post(Posted::Tool { invocation, outcome });
        });
    }

    /// The client's answer to a run of one of its tools.
    pub fn answered(&self, invocation: InvocationId, outcome: ToolOutcome) -> Answer {
        self.awaited.answer(invocation, storable(outcome))
    }

    /// The model was told that there was no answer: if the client is to run it, nobody waits for it any more.
    pub fn time_is_up(&self, invocation: InvocationId) {
        self.awaited.give_up(invocation);
    }

    /// The client is gone: its tools will not be answered.
    pub fn client_gone(&self) {
        self.awaited.close();
    }

    async fn outcome(
        &self,
        invocation: InvocationId,
        tool: &Tool,
        arguments: Value,
        post: &Post,
    ) -> ToolOutcome {
        let idempotency_key = call::run_key(self.key.call, invocation.0);
        let (scope, name) = (&self.worker.scope, &tool.spec.name);
        let new = NewInvocation {
            call_id: self.key.call,
            idempotency_key: idempotency_key.clone(),
            tool: name.clone(),
            arguments: arguments.clone(),
        };
        let begun = match invocations::begin(scope, self.key.owner, new).await {
            Ok(Begun::New(row)) => row,
            Ok(Begun::Known(row)) => return known(&row),
            Err(error) => return not_run(name, &error),
        };
        if let Err(error) = invocations::mark_running(scope, self.key.owner, begun.id).await {
            // Another task has begun it: then it is that one's to finish.
            if !matches!(error, Error::Conflict(_)) {
                let reason = json!({ "reason": NOT_REACHED });
                self.finish(begun.id, InvocationState::Failed, reason).await;
            }
            return not_run(name, &error);
        }
        let outcome = match tool.kind {
            Kind::Client => self.asked(invocation, tool, &arguments, post).await,
            _ => storable(self.worker.run(tool, idempotency_key, &arguments).await),
        };
        let (state, result) = match &outcome {
            ToolOutcome::Succeeded { result } => (InvocationState::Succeeded, result.clone()),
            ToolOutcome::Failed { reason } => (InvocationState::Failed, json!({ "reason": reason })),
            ToolOutcome::TimedOut => (InvocationState::Unknown, json!({ "reason": "no answer in time" })),
        };
        self.finish(begun.id, state, result).await;
        outcome
    }

    /// Has the client run it.
    async fn asked(
        &self,
        invocation: InvocationId,
        tool: &Tool,
        arguments: &Value,
        post: &Post,
    ) -> ToolOutcome {
        let gone = || ToolOutcome::Failed { reason: "not done: the client is gone".to_owned() };
        let timeout = tool.policy.timeout;
        let Some(answered) = self.awaited.begin(invocation) else { return gone() };
        post.post(Posted::ToolCall(v1::ToolCall {
            invocation_id: invocation.0,
            tool: tool.spec.name.clone(),
            arguments: Some(wire_json::to_struct(arguments)),
            timeout: Some(duration(timeout)),
        }));
        match tokio::time::timeout(timeout, answered).await {
            Ok(Ok(outcome)) => outcome,
            // It was asked, and may have begun.
            Ok(Err(_)) => ToolOutcome::TimedOut,
            Err(_) => {
                self.awaited.give_up(invocation);
                ToolOutcome::TimedOut
            }
        }
    }

    /// Stores the end of a run. While the database is away it is tried again, a few times and without holding the
    /// call up.
    async fn finish(&self, run: parlance_store::InvocationId, state: InvocationState, result: Value) {
        let Err(error) = invocations::finish(&self.worker.scope, run, state, result.clone()).await else {
            return;
        };
        if !error.is_retryable() {
            tracing::error!(%error, %run, "the end of a tool run was not stored");
            return;
        }
        let scope = self.worker.scope.clone();
        self.tasks.spawn(async move {
            let store = || invocations::finish(&scope, run, state, result.clone());
            if let Err(error) = again(&FINISH_AGAIN, store).await {
                tracing::error!(%error, %run, "the end of a tool run was not stored");
            }
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
