//! One measurement from start to end: engine up, one call to warm it, all calls, the window, engine down.
//!
//! The first call makes what an engine makes once (pool connections, prepared statements, thread stacks), so
//! that it is not counted as memory of the calls. CPU is read at both ends of the window, in which all calls run.

use std::time::{Duration, Instant};

use parlance_proto::v1::agent_service_client::AgentServiceClient;
use parlance_proto::v1::{Agent, CallHandling, CreateAgentRequest, LanguageModel};
use parlance_providers::registry::{Choice, Script, Stack};
use tokio::task::JoinSet;
use tokio::time::{sleep, sleep_until, timeout};
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::{Channel, Endpoint};

use crate::Arguments;
use crate::call::{self, Outcome, Plan};
use crate::clip::Sounds;
use crate::engine::Engine;
use crate::figures::{Figures, Setting, Spread, Usage};
use crate::process::{self, Sample};
use crate::turn::Delays;

/// Between the beginnings of two calls. Not a whole number of frames, so that the calls' frames spread.
const STAGGER: Duration = Duration::from_micros(40_400);
/// All calls have begun for so long when the window opens.
const SETTLE: Duration = Duration::from_secs(3);
/// Calls at once where nobody says how many.
const CALLS: u32 = 50;
/// Length of the call that warms the engine.
const WARM_UP: Duration = Duration::from_secs(6);
/// After the last call the engine writes its journal and lets everything go.
const REST: Duration = Duration::from_secs(3);
/// What may come on top of all that before the run counts as stuck.
const STUCK_AFTER: Duration = Duration::from_secs(30);

/// Measures, and stops the engine.
///
/// # Errors
/// A sentence: the engine did not start or end well, or the run got stuck.
pub async fn run(arguments: &Arguments) -> Result<Figures, String> {
    let script = Script::default();
    let sounds = Sounds::load()?;
    let voice_end_placed_late_ms =
        Spread::of(sounds.clips.iter().flat_map(|clip| clip.placed_late_ms.iter().copied()));
    let calls = arguments.calls.unwrap_or(CALLS);
    let engine = Engine::start(arguments.engine.as_deref(), !arguments.no_recording, None)?;
    check_script(&engine, &script)?;
    let channels = connect(&engine.endpoint, arguments.connections).await?;
    let authorization = authorization(&engine)?;
    let agent = create_agent(channels[0].clone(), &authorization, "load", agent()).await?;
    let now = Instant::now();
    let reports = !arguments.no_reports;
    let plan =
        Plan { number: 0, agent, authorization, sounds, reports, counts_from: now, until: now + WARM_UP };
    let plans = vec![plan; calls as usize];
    let (outcomes, usage) = hold_all(arguments.seconds, &engine, plans, &channels).await?;
    let setting = Setting {
        calls,
        reports,
        recording: !arguments.no_recording,
        delays: Delays::of(&script),
        voice_end_placed_late_ms,
    };
    let figures = Figures::new(setting, &outcomes, usage, engine.complaints());
    drop(channels);
    engine.stop()?;
    Ok(figures)
}

/// The delays that are taken out must be the ones the engine runs with.
fn check_script(engine: &Engine, script: &Script) -> Result<(), String> {
    let stack = Stack::new(&Choice::Script(script.clone())).map_err(|error| error.to_string())?;
    if engine.providers == stack.why {
        return Ok(());
    }
    Err(format!(
        "the engine runs with other scripted providers than this driver knows: {:?}",
        engine.providers
    ))
}

/// Connections to share.
///
/// # Errors
/// A sentence.
pub async fn connect(endpoint: &str, count: u32) -> Result<Vec<Channel>, String> {
    let mut channels = Vec::new();
    for _ in 0..count {
        let endpoint = Endpoint::from_shared(endpoint.to_owned()).map_err(|error| error.to_string())?;
        channels.push(endpoint.connect().await.map_err(|error| format!("could not connect: {error}"))?);
    }
    Ok(channels)
}

/// `Bearer` and the engine's key.
///
/// # Errors
/// A sentence.
pub fn authorization(engine: &Engine) -> Result<MetadataValue<Ascii>, String> {
    let value = format!("Bearer {}", engine.key).parse();
    value.map_err(|_| "the engine's key is no header value".to_owned())
}

/// An agent that greets and answers.
pub fn agent() -> Agent {
    Agent {
        display_name: "Load".to_owned(),
        call_handling: Some(CallHandling {
            begin_message: "Hello there.".to_owned(),
            ..CallHandling::default()
        }),
        language_model: Some(LanguageModel { system_prompt: "Answer.".to_owned(), ..Default::default() }),
        ..Agent::default()
    }
}

/// Creates an agent, and gives its name.
///
/// # Errors
/// A sentence.
pub async fn create_agent(
    to: Channel,
    authorization: &MetadataValue<Ascii>,
    id: &str,
    agent: Agent,
) -> Result<String, String> {
    let message = CreateAgentRequest { agent_id: id.to_owned(), agent: Some(agent), ..Default::default() };
    let mut request = tonic::Request::new(message);
    request.metadata_mut().insert("authorization", authorization.clone());
    let created = AgentServiceClient::new(to).create_agent(request).await;
    let created = created.map_err(|status| format!("could not create the agent: {}", status.message()))?;
    Ok(created.into_inner().agent.unwrap_or_default().name)
}

/// Warms up, holds all calls, reads the processes at the right moments. The first plan's call is the one that warms.
///
/// # Errors
/// A sentence.
pub async fn hold_all(
    seconds: u32,
    engine: &Engine,
    plans: Vec<Plan>,
    channels: &[Channel],
) -> Result<(Vec<Outcome>, Usage), String> {
    let Some(warm) = plans.first() else { return Err("there is no call to hold".to_owned()) };
    let warm = Plan { until: Instant::now() + WARM_UP, ..warm.clone() };
    let warm = call::hold(warm, channels[0].clone()).await;
    if let Some(error) = warm.errors.first() {
        return Err(format!("the first call failed: {error}"));
    }
    sleep(REST).await;
    let before = process::sample(engine.pid());
    let begin = Instant::now();
    let all = u32::try_from(plans.len()).unwrap_or(u32::MAX);
    let counts_from = begin + STAGGER * all + SETTLE;
    let until = counts_from + Duration::from_secs(seconds.into());
    let mut calls = JoinSet::new();
    for (number, plan) in plans.into_iter().enumerate() {
        let plan = Plan { number, counts_from, until, ..plan };
        let channel = channels[number % channels.len()].clone();
        let at = begin + STAGGER * u32::try_from(number).unwrap_or(u32::MAX);
        calls.spawn(async move {
            sleep_until(at.into()).await;
            (number, call::hold(plan, channel).await)
        });
    }
    let (opened, closed) = (reading(engine, counts_from).await, reading(engine, until).await);
    let outcomes = timeout(STUCK_AFTER, calls.join_all()).await;
    let mut outcomes = outcomes.map_err(|_| "some calls did not end".to_owned())?;
    // They come as they ended.
    outcomes.sort_by_key(|(number, _)| *number);
    let outcomes = outcomes.into_iter().map(|(_, outcome)| outcome).collect();
    sleep(REST).await;
    let usage = Usage {
        before,
        during: closed.engine,
        after: process::sample(engine.pid()),
        engine_cpu_seconds: closed.engine.cpu_seconds - opened.engine.cpu_seconds,
        postgres_cpu_seconds: closed.postgres - opened.postgres,
        driver_cpu_seconds: closed.driver - opened.driver,
        window_seconds: (closed.at - opened.at).as_secs_f64(),
    };
    Ok((outcomes, usage))
}

struct Reading {
    at: Instant,
    engine: Sample,
    postgres: f64,
    driver: f64,
}

async fn reading(engine: &Engine, at: Instant) -> Reading {
    sleep_until(at.into()).await;
    Reading {
        at: Instant::now(),
        engine: process::sample(engine.pid()),
        postgres: process::postgres_cpu_seconds(&engine.data_dir()).unwrap_or_default(),
        driver: process::sample(std::process::id()).cpu_seconds,
    }
}
