//! Opening a session: everything that can be refused is refused here, before a call exists.
//!
//! The order matters: formats and fields first, then the agent, then the row of the call. What comes out is
//! a session ready to run.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use parlance_conversation::{Conversation, EndReason, Policy};
use parlance_media::format::{AudioFormat, Encoding};
use parlance_proto::v1;
use parlance_proto::v1::session_start::Target;
use parlance_proto::v1::voice_session_request::Request;
use parlance_proto::v1::voice_session_response::Response;
use parlance_providers::{llm, stt};
use parlance_store::ownership::Owner;
use parlance_store::{AgentId, CallId, OrganisationId, Scope, agents, calls, organisations, quotas};
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;
use tonic::Streaming;

use super::call::details::Details;
use super::name;
use crate::convert::{
    agent as convert_agent, call as convert_call, duration, organisation as convert_organisation,
    policy as convert_policy, tools as convert_tools, voice as convert_voice,
};
use crate::engine::Engine;
use crate::providers::{self, ForCall};
use crate::session::caller_audio::CallerAudio;
use crate::session::clock::Clock;
use crate::session::far_end::{FarEnd, Outgoing};
use crate::session::inbox::{Inbox, Posted};
use crate::session::journal::CallKey;
use crate::session::onlookers::Onlookers;
use crate::session::playout::{self, Playout};
use crate::session::run::{Options, Parts, Session};
use crate::session::telling::CallJournal;
use crate::session::voice::Voice;
use crate::status::{Refusal, Violations};
use crate::tools::{ToolSet, Toolbox};
use crate::traces::call::CallTrace;

/// How long a client may take to say what it wants.
const START_WITHIN: Duration = Duration::from_secs(10);
/// How long a caller who types may say nothing, at least.
const TYPING_SILENCE: Duration = Duration::from_secs(600);

/// The start message, which must come first.
pub async fn first_message(
    incoming: &mut Streaming<v1::VoiceSessionRequest>,
) -> Result<v1::SessionStart, tonic::Status> {
    let late =
        || Refusal::TooLate { message: format!("no start message within {} s", START_WITHIN.as_secs()) };
    let first = tokio::time::timeout(START_WITHIN, incoming.message()).await.map_err(|_| late())??;
    match first.and_then(|message| message.request) {
        Some(Request::Start(start)) => Ok(start),
        Some(_) => Err(Refusal::WrongState {
            reason: v1::ErrorReason::StartExpected,
            message: "start: the first message of a session must be `start`".to_owned(),
        }
        .into()),
        None => Err(Refusal::from(Violations::one("start", "is required as the first message")).into()),
    }
}

/// The agreed formats.
#[derive(Clone, Copy)]
struct Formats {
    input: AudioFormat,
    output: AudioFormat,
}

/// A session that is ready to run, and what its client is told first.
pub struct Opened {
    /// The session.
    pub session: Session,
    /// Its place among the live calls; drop it when the session is over.
    pub seat: Seat,
    /// `ready`.
    pub ready: Response,
}

/// Opens a session for `organisation`; its messages go to `outgoing`.
pub async fn open(
    engine: &Arc<Engine>,
    organisation: OrganisationId,
    start: v1::SessionStart,
    outgoing: mpsc::Sender<Outgoing>,
) -> Result<Opened, Refusal> {
    if engine.refuses_calls() {
        return Err(Refusal::Draining);
    }
    let formats = formats(&start)?;
    let details = details(&start)?;
    let scope = engine.store.scope(organisation);
    let (agent_id, waiting) = target(engine, organisation, &start).await?;
    let row =
        agents::get(&scope, &agent_id).await.map_err(|error| super::agent::missing(error, &agent_id))?;
    super::agent::takes_calls(&row)?;
    let agent = convert_agent::from_settings(&row.settings)?;
    let mut variables: BTreeMap<String, String> = waiting.iter().flat_map(convert_call::variables).collect();
    variables.extend(start.dynamic_variables.clone());
    let started = engine.civil_now(organisation, &agent.time_zone).await?;
    let scene = convert_policy::scene(&agent, started, variables.clone());
    let line_up = engine.providers.of(&scope).await?.line_up(&agent)?;
    let inbox = Inbox::default();
    let asked = providers::Settings {
        organisation,
        agent: agent.clone(),
        input: formats.input,
        output: formats.output,
    };
    let providers = engine.providers.for_call(&line_up, asked, inbox.post().notes())?;
    let mut policy = convert_policy::policy(&agent, &line_up.offer(), scene)?;
    policy.transcriber = providers.hearing();
    policy.call_handling.expects_audio = !start.text_only;
    if start.text_only {
        // Who types thinks: silence says little.
        policy.call_handling.reminder_max = 0;
        policy.call_handling.silence_limit = policy.call_handling.silence_limit.max(TYPING_SILENCE);
    }
    if agent.flow.is_none() {
        let own = organisations::get(&scope).await?;
        convert_organisation::instruct(&mut policy, &own.instructions);
    }
    let tools = tools(engine, &scope, &agent, &start).await?;
    policy.tools = tools.policies();
    // Before there is a row; `begin_call` decides.
    quotas::check_sessions(&scope).await?;
    let waited = waiting.is_some();
    let call = match waiting {
        Some(waiting) => waiting.id,
        None => calls::create(&scope, super::call::web_call(&row, &variables, details)).await?.id,
    };
    // The seat before the row is live: whoever ends a live call must find it.
    let seat = Seat::take(engine, organisation, call, &inbox).ok_or_else(|| taken(call))?;
    let begun = begin_call(engine, &scope, call).await;
    let owner = *begun.as_ref().unwrap_or(&Owner::NOBODY);
    let key = CallKey { organisation, call, owner };
    let opened = begun.and_then(|_| {
        put_together(&seat, key, inbox, (&agent, tools), providers, policy, &start, formats, outgoing)
    });
    if let Err(refusal) = &opened {
        put_away(engine, key, refusal, waited).await;
    }
    let trace = engine.traces.clone().map(|traces| CallTrace::begin(traces, call, agent_id.as_str()));
    let session = opened?.traced(trace);
    if engine.refuses_calls() {
        // The drain began while this call was opened.
        engine.live.end(call, EndReason::Drained);
    }
    engine.metrics.call_started();
    tracing::info!(call = %call, agent = %agent_id, %organisation, "call started");
    let ready = v1::SessionReady {
        call: format!("calls/{call}"),
        agent: format!("agents/{agent_id}"),
        input_format: Some(wire_format(formats.input)),
        output_format: Some(wire_format(formats.output)),
        playout_lead: Some(duration(playout::LEAD)),
        providers: line_up.line(),
        providers_in_use: line_up.in_use(),
    };
    Ok(Opened { session, seat, ready: Response::Ready(ready) })
}

/// The agent that is wanted, and the call if one is waiting for it.
async fn target(
    engine: &Engine,
    organisation: OrganisationId,
    start: &v1::SessionStart,
) -> Result<(AgentId, Option<calls::Call>), Refusal> {
    match &start.target {
        Some(Target::Agent(agent)) => Ok((name::agent("start.agent", agent)?, None)),
        Some(Target::Call(call)) => {
            let row = waiting_call(engine, organisation, name::call("start.call", call)?).await?;
            Ok((row.agent_id.clone(), Some(row)))
        }
        None => {
            let why = "is required: agents/{agent}, or `call` with calls/{call}";
            Err(Violations::one("start.agent", why).into())
        }
    }
}

/// The tools of a call: the agent's, its servers' and those that its client brings.
async fn tools(
    engine: &Engine,
    scope: &Scope,
    agent: &v1::Agent,
    start: &v1::SessionStart,
) -> Result<Arc<ToolSet>, Refusal> {
    let mut set = engine.tools_of(scope, agent).await;
    let mut bad = Violations::default();
    let of_client = convert_tools::of_client(&start.client_tools, &set, &mut bad);
    bad.check()?;
    set.add(of_client);
    Ok(Arc::new(set))
}

/// A place among the live calls, let go when it is dropped, also by a session that panicked.
pub struct Seat {
    engine: Arc<Engine>,
    call: CallId,
    onlookers: Arc<Onlookers>,
}

impl Seat {
    /// `None` if that call lives already.
    fn take(engine: &Arc<Engine>, organisation: OrganisationId, call: CallId, inbox: &Inbox) -> Option<Self> {
        let onlookers = engine.live.enter(organisation, call, inbox.post())?;
        Some(Self { engine: engine.clone(), call, onlookers })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.engine.live.leave(self.call);
        self.engine.ownership.left(self.call);
    }
}

#[allow(clippy::too_many_arguments, reason = "the parts of a session, put together in one place")]
fn put_together(
    seat: &Seat,
    key: CallKey,
    inbox: Inbox,
    (agent, tools): (&v1::Agent, Arc<ToolSet>),
    providers: ForCall,
    policy: Policy,
    start: &v1::SessionStart,
    formats: Formats,
    outgoing: mpsc::Sender<Outgoing>,
) -> Result<Session, Refusal> {
    let mut bad = Violations::default();
    let manner = convert_voice::manner(agent.voice.as_ref(), &mut bad);
    bad.check()?;
    let privacy = agent.privacy.unwrap_or_default();
    let keeps_words = privacy.storage() != v1::StorageLevel::NoTranscript;
    let engine = &seat.engine;
    let post = inbox.post();
    let sink: stt::Sink = {
        let post = post.clone();
        Arc::new(move |event| post.post(Posted::Heard(event)))
    };
    let (listener, fed) = match start.text_only {
        true => ForCall::listen_to_nobody(),
        false => providers.listen(&policy.turn_taking, sink)?,
    };
    let speaker = providers.speaker(&manner)?;
    if let Some(model) = &providers.model {
        model.warm();
    }
    Ok(Session::new(Parts {
        clock: Clock::start(),
        conversation: Conversation::new(policy),
        far_end: FarEnd::new(outgoing),
        caller_audio: CallerAudio::new(formats.input, listener, fed),
        playout: Playout::new(formats.output, start.reports_playback),
        voice: Voice::new(speaker, manner, post),
        names: providers.names(),
        asking: llm::Request {
            tools: tools.specs(),
            ..providers::asking(agent, Some(conversation_id(key.call)))
        },
        key_terms: agent.listening.as_ref().map(|listening| listening.key_terms.clone()).unwrap_or_default(),
        model: providers.model,
        toolbox: Toolbox::new(
            engine.store.scope(key.organisation),
            key,
            engine.tools.clone(),
            (tools, engine.reach.clone()),
            &agent.time_zone,
        ),
        journal: CallJournal::new(engine.journal.clone(), key, seat.onlookers.clone()).wordless(!keeps_words),
        recording: engine
            .recorder
            .as_ref()
            .filter(|_| privacy.record_audio.unwrap_or(true))
            .map(|recorder| recorder.record(key.call, formats.output.sample_rate_hz())),
        options: Options { text_only: start.text_only, details: start.include_details },
        metrics: engine.metrics.clone(),
        prices: engine.prices.clone(),
        inbox,
    }))
}

/// What vendors may know a call by: enough to find their cache again, and nothing of ours.
fn conversation_id(call: CallId) -> String {
    let digest = Sha256::digest(call.0.as_bytes());
    digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

/// The call made earlier, if it can still be begun.
async fn waiting_call(
    engine: &Engine,
    organisation: OrganisationId,
    id: CallId,
) -> Result<calls::Call, Refusal> {
    let row = calls::get(&engine.store.scope(organisation), id)
        .await
        .map_err(|error| super::call::missing(error, id))?;
    match row.state {
        calls::CallState::Created => Ok(row),
        calls::CallState::Ongoing | calls::CallState::Ended => Err(taken(id)),
    }
}

/// Takes the row live for this node. Of two sessions that want the same call one gets it.
async fn begin_call(engine: &Engine, scope: &Scope, call: CallId) -> Result<Owner, Refusal> {
    let ownership = &engine.ownership;
    match calls::mark_started(scope, call, ownership.lease(), jiff::Timestamp::now()).await {
        Ok(row) => Ok(ownership.took(call, row.owner_epoch)),
        Err(parlance_store::Error::Conflict(_)) => Err(taken(call)),
        Err(error) => Err(super::call::missing(error, call)),
    }
}

/// What becomes of the row of a call whose session was refused.
#[derive(Debug, PartialEq)]
enum Leftover {
    /// It stays as it is.
    Stays,
    /// It goes: it has never been a call.
    Deleted,
    /// It ends.
    Closed,
}

impl Leftover {
    fn of(refusal: &Refusal, waited: bool, owner: Owner) -> Self {
        match refusal {
            // It is another session's, or gone.
            Refusal::WrongState { reason: v1::ErrorReason::CallTaken, .. } | Refusal::NotFound { .. } => {
                Self::Stays
            }
            // It can be joined later.
            Refusal::Exhausted { reason: v1::ErrorReason::QuotaExceeded, .. } if waited => Self::Stays,
            // The client is told to try again. If the row went live after all, its lease lapses.
            Refusal::Unavailable { .. } if waited && owner == Owner::NOBODY => Self::Stays,
            Refusal::Exhausted { reason: v1::ErrorReason::QuotaExceeded, .. } => Self::Deleted,
            _ => Self::Closed,
        }
    }
}

/// Puts the row of a call away whose session was refused: it must not stay behind as a call that seems to go on.
async fn put_away(engine: &Engine, key: CallKey, refusal: &Refusal, waited: bool) {
    match Leftover::of(refusal, waited, key.owner) {
        Leftover::Stays => {}
        Leftover::Closed => engine.close_unopened(key).await,
        Leftover::Deleted => {
            let scope = engine.store.scope(key.organisation);
            let nothing_recorded = |_| -> BoxFuture<'static, bool> { Box::pin(std::future::ready(true)) };
            if let Err(error) = calls::delete(&scope, key.call, None, nothing_recorded).await {
                tracing::warn!(%error, call = %key.call, "a call that was refused stays as one nobody joined");
            }
        }
    }
}

fn taken(id: CallId) -> Refusal {
    Refusal::WrongState {
        reason: v1::ErrorReason::CallTaken,
        message: format!("start.call: calls/{id} has begun or ended already; create another"),
    }
}

fn formats(start: &v1::SessionStart) -> Result<Formats, Refusal> {
    let mut bad = Violations::default();
    let input = format("start.input_format", start.input_format.as_ref(), &mut bad);
    let output = format("start.output_format", start.output_format.as_ref(), &mut bad);
    match (input, output) {
        (Some(input), Some(output)) => Ok(Formats { input, output }),
        _ => Err(bad.into()),
    }
}

fn format(field: &str, wire: Option<&v1::AudioFormat>, bad: &mut Violations) -> Option<AudioFormat> {
    let wire = wire.copied().unwrap_or_default();
    let encoding = match v1::AudioEncoding::try_from(wire.encoding) {
        Ok(v1::AudioEncoding::Unspecified | v1::AudioEncoding::Pcm16) => Encoding::Pcm16Le,
        Ok(v1::AudioEncoding::Mulaw) => Encoding::MuLaw,
        Ok(v1::AudioEncoding::Alaw) => Encoding::ALaw,
        Err(_) => {
            bad.add(format!("{field}.encoding"), "must be one of PCM16, MULAW, ALAW");
            return None;
        }
    };
    let default = if encoding == Encoding::Pcm16Le { 16_000 } else { 8_000 };
    let rate = if wire.sample_rate_hz == 0 { default } else { wire.sample_rate_hz };
    match AudioFormat::new(encoding, rate) {
        Ok(format) => Some(format),
        Err(_) => {
            let allowed: Vec<String> = encoding.rates_hz().iter().map(u32::to_string).collect();
            bad.add(
                format!("{field}.sample_rate_hz"),
                format!("is {rate}; must be one of {}", allowed.join(", ")),
            );
            None
        }
    }
}

fn wire_format(format: AudioFormat) -> v1::AudioFormat {
    let encoding = match format.encoding() {
        Encoding::Pcm16Le => v1::AudioEncoding::Pcm16,
        Encoding::MuLaw => v1::AudioEncoding::Mulaw,
        Encoding::ALaw => v1::AudioEncoding::Alaw,
    };
    v1::AudioFormat { encoding: encoding.into(), sample_rate_hz: format.sample_rate_hz() }
}

/// What the client wants kept with a call of its own, and a check of its variables.
fn details(start: &v1::SessionStart) -> Result<Details, Refusal> {
    let mut bad = Violations::default();
    convert_policy::variables("dynamic_variables", &start.dynamic_variables, &mut bad);
    let details = Details::of_start(start, &mut bad);
    if matches!(start.target, Some(Target::Call(_))) {
        let theirs = "belongs to a new call: this one has its own, which UpdateCall changes";
        for (field, is_set) in [("metadata", start.metadata.is_some()), ("labels", !start.labels.is_empty())]
        {
            if is_set {
                bad.add(format!("start.{field}"), theirs);
            }
        }
    }
    bad.check()?;
    Ok(details)
}

#[cfg(test)]
mod tests {
    use super::*;
    #[test]
    fn a_waiting_call_can_be_joined_again_after_a_refusal_that_says_to_try_again() {
        let away = Refusal::Unavailable { message: String::new() };
        assert_eq!(Leftover::of(&away, true, Owner::NOBODY), Leftover::Stays);
        assert_eq!(Leftover::of(&away, false, Owner::NOBODY), Leftover::Closed, "nobody knows of it");
        let ours = Owner { epoch: 1, ..Owner::NOBODY };
        assert_eq!(Leftover::of(&away, true, ours), Leftover::Closed, "it is live, and has no session");
        assert_eq!(Leftover::of(&taken(CallId::new()), false, ours), Leftover::Stays);
    }
}
