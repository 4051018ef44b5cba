//! Tests of agents: a typed conversation without a call, streamed as it goes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use parlance_proto::v1;
use parlance_proto::v1::test_agent_request::Target;
use parlance_proto::v1::test_agent_response::Event;
use parlance_providers::llm;
use parlance_providers::notes::Notes;
use parlance_store::{OrganisationId, Scope, agents, organisations};
use tokio::sync::mpsc;

use crate::convert::{agent as convert, event, organisation, policy};
use crate::engine::Engine;
use crate::providers;
use crate::rpc::name;
use crate::session::rehearsal::{Outcome, Outgoing, Rehearsal};
use crate::status::{Refusal, Violations};
use crate::tools::{TestRuns, Worker};

/// The longest a test may take.
const TIME_MAX: Duration = Duration::from_secs(60);
/// How long its last word may wait for the client.
const LAST_WAIT: Duration = Duration::from_secs(5);
const MESSAGES_MAX: usize = 100;
const MESSAGE_MAX: usize = 4_000;
/// Events that may wait for the client.
const CHANNEL: usize = 48;
/// Tests at once on this engine.
const IN_ALL: usize = 50;
/// Of them for one organisation, so that it leaves room for others.
const PER_ORGANISATION: usize = 10;
/// When a client may try again that found no place.
const PLACE_WAIT: Duration = Duration::from_secs(2);

/// Places for tests on this engine.
#[derive(Default)]
pub struct Places(Mutex<HashMap<OrganisationId, usize>>);

/// One test's place, let go when it is dropped.
pub struct Place {
    places: Arc<Places>,
    organisation: OrganisationId,
}

impl Places {
    /// A place for one more test.
    ///
    /// # Errors
    /// The refusal when all places are taken.
    pub fn take(self: &Arc<Self>, organisation: OrganisationId) -> Result<Place, Refusal> {
        let mut taken = self.lock();
        if taken.values().sum::<usize>() >= IN_ALL {
            return Err(too_many(format!("this engine holds {IN_ALL} tests, as many as it takes at once")));
        }
        let own = taken.entry(organisation).or_default();
        if *own >= PER_ORGANISATION {
            return Err(too_many(format!(
                "this organisation holds {PER_ORGANISATION} tests here, as many as it may at once"
            )));
        }
        *own += 1;
        Ok(Place { places: self.clone(), organisation })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<OrganisationId, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.lock();
        if let Some(own) = taken.get_mut(&self.organisation) {
            *own -= 1;
            if *own == 0 {
                taken.remove(&self.organisation);
            }
        }
    }
}

fn too_many(message: String) -> Refusal {
    Refusal::Exhausted { reason: v1::ErrorReason::TooManySessions, message, retry_after: PLACE_WAIT }
}

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
    let organisation = scope.organisation();
    let held = engine.tests.take(organisation)?;
    let agent = agent(engine, &scope, request.target).await?;
    let started = engine.civil_now(scope.organisation(), &agent.time_zone).await?;
    let place = policy::scene(&agent, started, request.dynamic_variables);
    let line_up = engine.providers.of(&scope).await?.line_up(&agent)?;
    let mut policy = policy::policy(&agent, &line_up.offer(), place)?;
    if agent.flow.is_none() {
        let own = organisations::get(&scope).await?;
        organisation::instruct(&mut policy, &own.instructions);
    }
    let set = Arc::new(engine.tools_of(&scope, &agent).await);
    policy.tools = set.policies();
    let runs = request.run_tools.then(|| {
        let (time_zone, reach) = (agent.time_zone.clone(), engine.reach.clone());
        let worker = Worker { scope, call: None, time_zone, reach };
        TestRuns::new(worker, set.clone(), engine.tools.clone())
    });
    let (outgoing, received) = mpsc::channel(CHANNEL);
    let metrics = engine.metrics.clone();
    let notes: Notes = Arc::new(move |note| metrics.providers.noted(&note));
    let model = engine.providers.model(&line_up, &agent, notes)?;
    let asking = llm::Request { tools: set.specs(), ..providers::asking(&agent, None) };
    let rehearsal = Rehearsal::new(policy, request.messages, model, asking, runs, outgoing.clone());
    engine.calls.spawn(async move {
        hold(rehearsal, outgoing).await;
        drop(held);
    });
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
        Some(Target::Draft(draft)) => {
            let offer = engine.providers.of(scope).await?.offer();
            convert::check(&draft, &offer, &engine.reach.addresses).map(|()| draft)
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_organisation_has_ten_places_and_the_engine_fifty_and_each_comes_free_again() {
        let places = Arc::<Places>::default();
        let organisations: Vec<OrganisationId> = (0..6).map(|_| OrganisationId::new()).collect();
        let mut taken = Vec::new();
        for organisation in &organisations[..5] {
            for _ in 0..PER_ORGANISATION {
                taken.push(places.take(*organisation).expect("there is room"));
            }
            assert!(places.take(*organisation).is_err(), "it has all that it may");
        }
        assert!(places.take(organisations[5]).is_err(), "the engine is full");
        taken.pop();
        taken.push(places.take(organisations[5]).expect("one has gone"));
        drop(taken);
        assert!(places.lock().is_empty());
    }
}
