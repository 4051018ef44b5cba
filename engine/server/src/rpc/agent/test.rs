//! Tests of agents: a typed conversation without a call, streamed as it goes.

use std::sync::Arc;
use std::time::Duration;

use parlance_proto::v1;
use parlance_proto::v1::test_agent_request::Target;
use parlance_proto::v1::test_agent_response::Event;
use parlance_store::{Scope, agents, organisations};
use tokio::sync::mpsc;

use crate::convert::{agent as convert, event, organisation, policy};
use crate::engine::Engine;
use crate::rpc::name;
use crate::session::rehearsal::{Outcome, Outgoing, Rehearsal};
use crate::status::{Refusal, Violations};
use crate::tools::TestRuns;

/// The longest a test may take.
const TIME_MAX: Duration = Duration::from_secs(60);
/// How long its last word may wait for the client.
const LAST_WAIT: Duration = Duration::from_secs(5);
const MESSAGES_MAX: usize = 100;
const MESSAGE_MAX: usize = 4_000;
/// Events that may wait for the client.
const CHANNEL: usize = 48;

/// Begins a test; what is said and done comes out of the channel.
pub async fn begin(
    engine: &Arc<Engine>,
    scope: Scope,
    request: v1::TestAgentRequest,
) -> Result<mpsc::Receiver<Outgoing>, Refusal> {
    if engine.refuses_calls() {
        return Err(Refusal::Draining);
    }
    let mut bad = Violations::default();
    messages(&request.messages, &mut bad);
    policy::variables("dynamic_variables", &request.dynamic_variables, &mut bad);
    bad.check()?;
    let agent = agent(engine, &scope, request.target).await?;
    let started = engine.civil_now(scope.organisation(), &agent.time_zone).await?;
    let place = policy::scene(&agent, started, request.dynamic_variables);
    let mut policy = policy::policy(&agent, &engine.offer, place)?;
    if agent.flow.is_none() {
        let own = organisations::get(&scope).await?;
        organisation::instruct(&mut policy, &own.instructions);
    }
    let runs = request.run_tools.then(|| {
        let runs = TestRuns::new(scope, &agent.time_zone, engine.tools.clone());
        runs.booking_in(engine.booking.clone())
    });
    let (outgoing, received) = mpsc::channel(CHANNEL);
    let rehearsal =
        Rehearsal::new(policy, request.messages, engine.stack.llm.clone(), runs, outgoing.clone());
    engine.calls.spawn(hold(rehearsal, outgoing));
    Ok(received)
}

async fn hold(mut rehearsal: Rehearsal, outgoing: mpsc::Sender<Outgoing>) {
    let outcome = tokio::time::timeout(TIME_MAX, rehearsal.run()).await;
    let (outcome, end_reason) = match outcome {
        Ok(Outcome::Ended(reason)) => (v1::TestOutcome::CallEnded, event::end_reason(reason)),
        Ok(Outcome::Listening) => (v1::TestOutcome::Listening, v1::EndReason::Unspecified),
        Ok(Outcome::Gone) => return,
        Err(_) => (v1::TestOutcome::TimedOut, v1::EndReason::Unspecified),
    };
    let ended = v1::TestEnded {
        outcome: outcome.into(),
        end_reason: end_reason.into(),
        messages_left: rehearsal.messages_left() as u32,
    };
    let last = v1::TestAgentResponse { event: Some(Event::Ended(ended)) };
    if outgoing.send_timeout(Ok(last), LAST_WAIT).await.is_err() {
        tracing::debug!("the client of a test took no last message");
    }
}

async fn agent(engine: &Engine, scope: &Scope, target: Option<Target>) -> Result<v1::Agent, Refusal> {
    match target {
        Some(Target::Agent(agent)) => {
            let id = name::agent("agent", &agent)?;
            let row = agents::get(scope, &id).await.map_err(|error| super::missing(error, &id))?;
            super::wire(&row)
        }
        Some(Target::Draft(draft)) => convert::check(&draft, &engine.offer).map(|()| draft),
        None => Err(Violations::one("agent", "is required: agents/{agent}, or `draft` with an agent").into()),
    }
}

fn messages(messages: &[String], bad: &mut Violations) {
    if messages.len() > MESSAGES_MAX {
        bad.add("messages", format!("has {} messages; at most {MESSAGES_MAX} are allowed", messages.len()));
    }
    for (index, message) in messages.iter().enumerate() {
        bad.longest(format!("messages[{index}]"), message, MESSAGE_MAX);
        if message.trim().is_empty() {
            bad.add(format!("messages[{index}]"), "is empty");
        }
    }
}
