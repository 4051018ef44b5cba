//! The cases: for each RPC a request that succeeds, and for each of its reasons one that is refused so.
//!
//! What many RPCs share is made from the good request: another name, a stale etag, a negative page. What takes a
//! conversation is tested where conversations are, and named in [`elsewhere`].

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use parlance::cli::connect;
use parlance_proto::v1::{self, ErrorReason};
use parlance_store::appointments::{self, Booking, NewAppointment};
use parlance_store::{OrganisationId, Scope, keys};
use parlance_tests::caller::typing_start;
use parlance_tests::{Caller, House, agents, database, json};
use serde_json::{Value, json};

use super::wire::Door;

/// Thirty-two bytes, and nobody's.
const MASTER_KEY: &str = "MTExMTExMTExMTExMTExMTExMTExMTExMTExMTExMTE=";

/// A file and a test in it.
type Elsewhere = Option<(&'static str, &'static str)>;

/// The operator's organisation with something of everything, and a stranger to it, in a database of their own.
pub struct World {
    pub house: House,
    pub admin: Door,
    pub stranger: Door,
    stranger_organisation: String,
    client: connect::Engine,
    scope: Scope,
    agent: String,
    made: AtomicUsize,
    callers: Mutex<Vec<Caller>>,
}

impl World {
    pub async fn new(database: &str) -> Self {
        let url = database::another(database).await;
        let house =
            House::alone(&url, &["--requests-per-second", "100000", "--master-key", MASTER_KEY]).await;
        let scope = house.running.engine.store.scope(OrganisationId::DEFAULT);
        let key = keys::create(&scope, &["admin".to_owned()]).await.expect("a key can be made").secret;
        let admin = Door::open(&house.url(), Some(&key)).await;
        let (their_scope, their_key) = house.tenant().await;
        let stranger = admin.with_key(&their_key);
        let stranger_organisation = format!("organisations/{}", their_scope.organisation());
        let client = parlance_tests::house::client(&house.url(), &key).await;
        let (made, callers) = (AtomicUsize::new(1), Mutex::default());
        let agent = String::new();
        let world =
            Self { house, admin, stranger, stranger_organisation, client, scope, agent, made, callers };
        Self { agent: world.agent().await, ..world }
    }

    /// The same connection with a key of one scope.
    pub async fn key_of(&self, scope: &str) -> Door {
        let key = keys::create(&self.scope, &[scope.to_owned()]).await.expect("a key can be made");
        self.admin.with_key(&key.secret)
    }

    /// Names that no stranger may see.
    pub fn ours(&self) -> Vec<String> {
        vec![self.agent.clone(), self.scope.organisation().to_string()]
    }

    fn number(&self) -> usize {
        self.made.fetch_add(1, Ordering::Relaxed)
    }

    fn inline_agent(&self) -> Value {
        let agent = agents::counter_of_guests("Hello.");
        serde_json::from_str(&json::line("Agent", &agent)).expect("a line of JSON is JSON")
    }

    async fn agent(&self) -> String {
        let id = format!("guests-{}", self.number());
        let agent = Some(agents::counter_of_guests("Hello."));
        let request = v1::CreateAgentRequest { agent_id: id, agent, ..Default::default() };
        let made = self.client.agents().create_agent(request).await.expect("the agent is valid");
        made.into_inner().agent.expect("the answer holds it").name
    }

    async fn inactive_agent(&self) -> String {
        let name = self.agent().await;
        let state = v1::AgentState::Inactive.into();
        let agent = Some(v1::Agent { name: name.clone(), state, ..Default::default() });
        let request = v1::UpdateAgentRequest { agent, ..Default::default() };
        self.client.agents().update_agent(request).await.expect("it is there");
        name
    }

    async fn call(&self) -> String {
        let call = v1::Call { agent: self.agent.clone(), ..Default::default() };
        let request = v1::CreateCallRequest { call: Some(call), ..Default::default() };
        let made = self.client.calls().create_call(request).await.expect("the call is valid");
        made.into_inner().call.expect("the answer holds it").name
    }

    async fn ended_call(&self) -> String {
        let name = self.call().await;
        let request = v1::EndCallRequest { name: name.clone(), ..Default::default() };
        self.client.calls().end_call(request).await.expect("it was not joined");
        name
    }

    /// A call with somebody on the line who says nothing.
    async fn live_call(&self) -> String {
        let caller = Caller::tries(self.client.voice(), typing_start(&self.agent)).await.expect("it begins");
        let name = caller.ready.call.clone();
        self.callers.lock().unwrap_or_else(PoisonError::into_inner).push(caller);
        name
    }

    async fn made_by(&self, rpc: &str, field: &str) -> String {
        let requests = Box::pin(good(self, rpc)).await.expect("it has a case");
        let path = super::METHODS.iter().find(|method| super::short(method) == rpc).expect("it is one").path;
        let answer = self.admin.call(path, &requests).await.expect("it is valid");
        answer[field]["name"].as_str().expect("what was made has a name").to_owned()
    }

    async fn api_key(&self) -> String {
        self.made_by("CreateApiKey", "apiKey").await
    }

    async fn resource(&self) -> String {
        self.made_by("CreateResource", "resource").await
    }

    async fn tool_secret(&self) -> String {
        let name = format!("SECRET-{}", self.number());
        let value = "contract-0123456789".to_owned();
        let request = v1::SetToolSecretRequest { name: name.clone(), value, ..Default::default() };
        self.client.tool_secrets().set_tool_secret(request).await.expect("it is valid");
        name
    }

    /// Books that time until there is no room left.
    async fn fill(&self, start: Timestamp) {
        for number in 0..100 {
            if !matches!(self.book(start, number).await, Booking::Booked(_)) {
                return;
            }
        }
        panic!("a hundred appointments at once");
    }

    async fn phone_number(&self) -> String {
        let number = format!("+4930{:07}", self.number());
        let phone_number = Some(v1::PhoneNumber { number, ..Default::default() });
        let request = v1::CreatePhoneNumberRequest { phone_number, ..Default::default() };
        let made = self.client.phone_numbers().create_phone_number(request).await.expect("it is valid");
        made.into_inner().phone_number.expect("the answer holds it").name
    }

    /// Noon of a day that nothing else is on, so many days ahead.
    fn noon(&self) -> Timestamp {
        let now = Timestamp::now().to_zoned(TimeZone::UTC);
        let days = i64::try_from(self.number() + 2).expect("a few");
        let day = now.date().saturating_add(jiff::Span::new().days(days));
        day.at(12, 0, 0, 0).to_zoned(TimeZone::UTC).expect("noon exists").timestamp()
    }

    async fn book(&self, start: Timestamp, number: usize) -> Booking {
        let wanted = NewAppointment {
            idempotency_key: format!("contract {start} {number}"),
            call_id: None,
            customer_name: "Ada Lovelace".into(),
            customer_phone: None,
            party_size: 2,
            start,
            duration: SignedDuration::from_mins(60),
            notes: String::new(),
        };
        appointments::book(&self.scope, wanted, Timestamp::now()).await.expect("it makes sense")
    }

    async fn appointment(&self) -> String {
        match self.book(self.noon(), 0).await {
            Booking::Booked(row) => format!("appointments/{}", row.id),
            other => panic!("{other:?}"),
        }
    }
}

fn named(name: String) -> Value {
    json!({ "name": name })
}

/// A request that succeeds, made anew each time.
pub async fn good(world: &World, rpc: &str) -> Option<Vec<Value>> {
    let request = match rpc {
        "CreateAgent" => {
            json!({ "agentId": format!("made-{}", world.number()), "agent": world.inline_agent() })
        }
        "GetAgent" | "DeleteAgent" => named(world.agent().await),
        "UpdateAgent" => {
            json!({ "agent": { "name": world.agent().await, "displayName": "Other" }, "updateMask": "displayName" })
        }
        "GetFlow" => json!({ "agent": world.agent().await }),
        "UpdateFlow" => json!({ "agent": world.agent().await, "flow": world.inline_agent()["flow"] }),
        "ValidateFlow" => json!({ "flow": world.inline_agent()["flow"] }),
        "TestAgent" => json!({ "agent": world.agent, "messages": ["four"] }),
        "GetAgentStats" => named(world.agent.clone()),
        list if list.starts_with("List") => json!({}),
        "CreateCall" => json!({ "call": { "agent": world.agent } }),
        "GetCall" | "EndCall" | "DeleteCall" => named(world.call().await),
        "UpdateCall" => {
            json!({ "call": { "name": world.call().await, "labels": { "a": "b" } }, "updateMask": "labels" })
        }
        "GetTranscript" => json!({ "call": world.ended_call().await }),
        "CreatePhoneNumber" => json!({ "phoneNumber": { "number": format!("+4940{:07}", world.number()) } }),
        "GetPhoneNumber" | "DeletePhoneNumber" => named(world.phone_number().await),
        "UpdatePhoneNumber" => json!({
            "phoneNumber": { "name": world.phone_number().await, "displayName": "Other" },
            "updateMask": "displayName",
        }),
        "GetAppointment" | "CancelAppointment" => named(world.appointment().await),
        "RescheduleAppointment" => {
            json!({ "name": world.appointment().await, "startTime": world.noon().to_string() })
        }
        "ControlCall" => json!({ "name": world.live_call().await, "interrupt": {} }),
        "WatchCall" => named(world.ended_call().await),
        "CreateOrganisation" => json!({ "organisation": { "displayName": "Another" } }),
        "GetOrganisation" => named(format!("organisations/{}", world.scope.organisation())),
        "UpdateOrganisation" => json!({
            "organisation": {
                "name": format!("organisations/{}", world.scope.organisation()),
                "displayName": "Other",
            },
            "updateMask": "displayName",
        }),
        "CreateApiKey" => json!({ "apiKey": { "displayName": "x", "scopes": ["KEY_SCOPE_CALLS"] } }),
        "GetApiKey" | "RevokeApiKey" => named(world.api_key().await),
        "CreateResource" => json!({ "resource": { "displayName": "Room", "kind": "RESOURCE_KIND_ROOM" } }),
        "GetResource" | "DeleteResource" => named(world.resource().await),
        "UpdateResource" => json!({
            "resource": { "name": world.resource().await, "displayName": "Other" },
            "updateMask": "displayName",
        }),
        "SetProviderKey" => json!({ "vendor": "openai", "key": "sk-contract-0123456789" }),
        "DeleteProviderKey" => {
            let set = "/parlance.v1.ProviderService/SetProviderKey";
            let key = json!({ "vendor": "cartesia", "key": "sk-contract-0123456789" });
            world.admin.call(set, &[key]).await.expect("it is valid");
            json!({ "vendor": "cartesia" })
        }
        "SetToolSecret" => json!({ "name": "CRM", "value": "contract-0123456789" }),
        "DeleteToolSecret" => json!({ "name": world.tool_secret().await }),
        "VoiceSession" => json!({ "start": { "agent": world.agent, "textOnly": true } }),
        _ => return None,
    };
    Some(vec![request])
}

/// Lists that the scripted engine has too little for: a test of their own walks them.
pub const WALKED_ELSEWHERE: [&str; 1] = ["ListVoices"];

/// One more item for a list.
pub async fn one_more(world: &World, list: &str) {
    match list {
        "ListAgents" => drop(world.agent().await),
        "ListCalls" => drop(world.call().await),
        "ListPhoneNumbers" => drop(world.phone_number().await),
        "ListAppointments" => drop(world.appointment().await),
        "ListAuditEntries" => drop(world.agent().await),
        "ListApiKeys" => drop(world.api_key().await),
        // As many as the engine knows.
        "ListProviders" => {}
        "ListResources" => drop(world.resource().await),
        "ListToolSecrets" => drop(world.tool_secret().await),
        "ListOrganisations" => drop(world.made_by("CreateOrganisation", "organisation").await),
        other => panic!("{other} has no items: add a case to contract/cases.rs"),
    }
}

/// A request that is refused for this reason.
pub async fn bad(world: &World, rpc: &str, reason: ErrorReason) -> Option<Vec<Value>> {
    if let Some(request) = special(world, rpc, reason).await {
        return Some(vec![request]);
    }
    let mut requests = good(world, rpc).await?;
    let request = &mut requests[0];
    match reason {
        ErrorReason::InvalidField => *request = invalid(request),
        ErrorReason::NotFound => *name_of(request)? = unknown(name_of(request)?),
        ErrorReason::EtagMismatch => etag_holder(request)["etag"] = json!("stale"),
        // Wrong is only who asks.
        ErrorReason::OperatorOnly => {}
        ErrorReason::AlreadyExists => {
            let path = super::METHODS.iter().find(|method| super::short(method) == rpc)?.path;
            world.admin.call(path, &requests).await.expect("the first is new");
        }
        _ => return None,
    }
    Some(requests)
}

async fn special(world: &World, rpc: &str, reason: ErrorReason) -> Option<Value> {
    Some(match (rpc, reason) {
        ("CreateAgent", ErrorReason::InvalidField) => json!({ "agent": {} }),
        ("ValidateFlow", ErrorReason::InvalidField) => json!({}),
        ("ValidateFlow", ErrorReason::NotFound) => {
            json!({ "flow": world.inline_agent()["flow"], "agent": "agents/nobody" })
        }
        ("UpdateFlow", ErrorReason::EtagMismatch) => {
            json!({ "agent": world.agent, "flow": world.inline_agent()["flow"], "etag": "stale" })
        }
        ("CreateCall", ErrorReason::AgentInactive) => {
            json!({ "call": { "agent": world.inactive_agent().await } })
        }
        ("VoiceSession", ErrorReason::AgentInactive) => {
            json!({ "start": { "agent": world.inactive_agent().await, "textOnly": true } })
        }
        ("CreatePhoneNumber", ErrorReason::InvalidField) => json!({ "phoneNumber": { "number": "0" } }),
        ("CreatePhoneNumber", ErrorReason::NotFound) => {
            json!({ "phoneNumber": { "number": "+49409999999", "inboundAgent": "agents/nobody" } })
        }
        ("CreateOrganisation", ErrorReason::InvalidField) => json!({ "organisation": {} }),
        ("CreateApiKey", ErrorReason::InvalidField) => json!({ "apiKey": {} }),
        ("CreateApiKey", ErrorReason::NotFound) => json!({
            "apiKey": { "scopes": ["KEY_SCOPE_CALLS"] },
            "organisation": "organisations/01a1fc70-0000-7000-8000-000000000000",
        }),
        ("CreateApiKey", ErrorReason::OperatorOnly) => json!({
            "apiKey": { "scopes": ["KEY_SCOPE_CALLS"] },
            "organisation": format!("organisations/{}", world.scope.organisation()),
        }),
        ("UpdateOrganisation", ErrorReason::OperatorOnly) => json!({
            "organisation": { "name": world.stranger_organisation, "sessionsMax": 5 },
            "updateMask": "sessionsMax",
        }),
        ("RevokeApiKey", ErrorReason::LastAdminKey) => {
            let keys = world.stranger.call("/parlance.v1.ApiKeyService/ListApiKeys", &[json!({})]).await;
            let keys = keys.expect("an admin lists its keys");
            named(keys["apiKeys"][0]["name"].as_str().expect("it has one").to_owned())
        }
        ("SetProviderKey" | "DeleteProviderKey", ErrorReason::InvalidField) => json!({ "vendor": "nobody" }),
        ("DeleteProviderKey", ErrorReason::NotFound) => json!({ "vendor": "gemini" }),
        ("SetToolSecret" | "DeleteToolSecret", ErrorReason::InvalidField) => json!({ "name": "no name" }),
        ("DeleteToolSecret", ErrorReason::NotFound) => json!({ "name": "NOBODY" }),
        ("CreateResource", ErrorReason::InvalidField) => json!({ "resource": {} }),
        ("DeleteResource", ErrorReason::ResourceInUse) => {
            world.resource().await;
            let Booking::Booked(row) = world.book(world.noon(), 0).await else { panic!("the day is free") };
            named(format!("resources/{}", row.resource_id.expect("it is on one of them")))
        }
        ("ControlCall", ErrorReason::CallNotLive) => {
            json!({ "name": world.call().await, "interrupt": {} })
        }
        ("ControlCall", ErrorReason::CallOver) => {
            json!({ "name": world.ended_call().await, "interrupt": {} })
        }
        ("EndCall", ErrorReason::CallOver) => named(world.ended_call().await),
        ("CancelAppointment" | "RescheduleAppointment", ErrorReason::AppointmentCancelled) => {
            let name = world.appointment().await;
            let request = v1::CancelAppointmentRequest { name: name.clone(), ..Default::default() };
            world.client.appointments().cancel_appointment(request).await.expect("it stands");
            json!({ "name": name, "startTime": world.noon().to_string() }).as_object().map(|fields| {
                let wanted = |field: &String| rpc == "RescheduleAppointment" || field == "name";
                fields
                    .iter()
                    .filter(|(field, _)| wanted(field))
                    .map(|(a, b)| (a.clone(), b.clone()))
                    .collect()
            })?
        }
        ("RescheduleAppointment", ErrorReason::TimePast) => {
            json!({ "name": world.appointment().await, "startTime": "2020-01-01T12:00:00Z" })
        }
        ("RescheduleAppointment", ErrorReason::TimeClosed) => {
            let night = world.noon() + SignedDuration::from_hours(14);
            json!({ "name": world.appointment().await, "startTime": night.to_string() })
        }
        ("RescheduleAppointment", ErrorReason::TimeTaken) => {
            let taken = world.noon();
            let name = world.appointment().await;
            world.fill(taken).await;
            json!({ "name": name, "startTime": taken.to_string() })
        }
        ("VoiceSession", ErrorReason::InvalidField) => json!({ "start": {} }),
        ("VoiceSession", ErrorReason::NotFound) => json!({ "start": { "agent": "agents/nobody" } }),
        ("VoiceSession", ErrorReason::StartExpected) => json!({ "text": { "text": "hello" } }),
        ("VoiceSession", ErrorReason::CallTaken) => {
            json!({ "start": { "call": world.ended_call().await, "textOnly": true } })
        }
        _ => return None,
    })
}

/// Where a reason is tested that takes more than a request.
pub fn elsewhere(rpc: &str, reason: ErrorReason) -> Elsewhere {
    const BAD_INPUT: &str = "tests/door/bad_input.rs";
    const CALL_DETAILS: &str = "tests/door/call_details.rs";
    const REFUSALS: &str = "tests/door/refusals.rs";
    Some(match (rpc, reason) {
        ("DeleteCall", ErrorReason::CallLive) => {
            (CALL_DETAILS, "a_live_call_is_not_deleted_and_one_that_nobody_joined_is")
        }
        ("DeleteCall", ErrorReason::RecordingKept) => {
            (CALL_DETAILS, "a_recording_that_stays_keeps_its_call_and_one_that_is_elsewhere_is_named")
        }
        ("VoiceSession", ErrorReason::SecondStart) => (BAD_INPUT, "a_second_start_is_a_failed_precondition"),
        ("VoiceSession", ErrorReason::TooLate) => {
            (BAD_INPUT, "a_client_that_sends_nothing_at_all_is_told_after_ten_seconds")
        }
        ("VoiceSession", ErrorReason::TooManySessions) => ("tests/limits.rs", "assert_no_place"),
        ("VoiceSession", ErrorReason::TooManyMessages) => {
            (REFUSALS, "a_session_that_floods_is_ended_and_told_the_limit")
        }
        ("VoiceSession", ErrorReason::QuotaExceeded) => (
            "tests/door/organisations.rs",
            "a_quota_of_sessions_refuses_the_next_one_and_no_other_organisation",
        ),
        ("CreateCall", ErrorReason::QuotaExceeded) => (
            "tests/door/organisations.rs",
            "a_quota_of_calls_a_minute_refuses_the_next_one_with_the_time_to_wait",
        ),
        ("ControlCall" | "EndCall", ErrorReason::OwnerUnreachable) => {
            ("tests/door/nodes.rs", "a_call_whose_engine_does_not_answer_is_left_alone_while_its_lease_runs")
        }
        ("WatchCall", ErrorReason::TooManyWatchers) => {
            ("tests/door/watching.rs", "a_call_has_a_hundred_watchers_and_none_of_those_who_go_stays_behind")
        }
        ("WatchCall", ErrorReason::Draining) => {
            ("tests/door/nodes.rs", "a_node_that_shuts_down_sends_its_watchers_to_another")
        }
        ("VoiceSession", ErrorReason::Draining) => {
            (REFUSALS, "an_engine_that_drains_sends_new_sessions_elsewhere")
        }
        ("SetProviderKey", ErrorReason::MasterKeyMissing) => {
            ("tests/door/provider_keys.rs", "without_a_master_key_no_key_is_taken")
        }
        ("SetToolSecret", ErrorReason::MasterKeyMissing) => (
            "tests/door/tool_secrets.rs",
            "without_a_master_key_no_secret_is_taken_and_what_is_none_is_refused_without_it",
        ),
        ("VoiceSession", ErrorReason::ProviderMissing) => (
            "tests/door/providers.rs",
            "an_agent_may_name_a_provider_before_there_is_a_key_but_not_call_with_nobody",
        ),
        ("TestAgent", ErrorReason::TooManySessions) => (
            "tests/door/agent_tests.rs",
            "an_organisation_holds_ten_tests_at_once_and_another_one_does_not_feel_it",
        ),
        ("TestAgent", ErrorReason::Draining) => {
            ("tests/door/agent_tests.rs", "nobody_tests_an_agent_that_is_not_there_or_not_theirs")
        }
        ("VoiceSession" | "TestAgent", ErrorReason::NoLanguageModel) => {
            (REFUSALS, "an_agent_without_a_flow_needs_a_language_model")
        }
        _ => return None,
    })
}

/// Where a reason is tested that any RPC may have.
pub fn of_any(reason: ErrorReason) -> Elsewhere {
    const ACCESS: &str = "tests/door/access.rs";
    const REFUSALS: &str = "tests/door/refusals.rs";
    Some(match reason {
        ErrorReason::InvalidKey | ErrorReason::ScopeMissing => {
            ("tests/door/contract/mod.rs", "every_rpc_succeeds_for_a_key_of_its_scope_and_for_no_other")
        }
        ErrorReason::RateLimited => {
            (ACCESS, "a_key_that_asks_too_fast_is_told_when_to_ask_again_and_others_do_not_feel_it")
        }
        ErrorReason::RequestIdReused => (ACCESS, "a_request_id_used_for_another_request_is_refused"),
        ErrorReason::RequestInProgress => (ACCESS, "of_twenty_equal_requests_at_once_one_is_done"),
        ErrorReason::Unavailable => {
            (REFUSALS, "a_database_that_is_away_is_unavailable_and_worth_another_try")
        }
        ErrorReason::Internal => (REFUSALS, "a_row_that_nobody_can_read_is_internal_and_tells_no_cause"),
        _ => return None,
    })
}

/// The request with one thing wrong.
fn invalid(request: &Value) -> Value {
    let mut request = request.clone();
    match name_of(&mut request) {
        Some(name) => *name = json!("nonsense"),
        None => request = json!({ "pageSize": -1 }),
    }
    request
}

/// The name of what a request is about: its own, or that of the resource in it.
fn name_of(request: &mut Value) -> Option<&mut Value> {
    const FIELDS: &[&str] = &["name", "call", "agent"];
    let fields = request.as_object_mut()?;
    let field = FIELDS.iter().find(|field| fields.get(**field).is_some_and(Value::is_string));
    if let Some(field) = field {
        return fields.get_mut(*field);
    }
    let inner = fields.values_mut().find(|value| value.is_object())?.as_object_mut()?;
    let field = FIELDS.iter().find(|field| inner.get(**field).is_some_and(Value::is_string))?;
    inner.get_mut(*field)
}

/// A name like this one that nothing has.
fn unknown(name: &Value) -> Value {
    let (collection, id) = name.as_str().and_then(|name| name.split_once('/')).unwrap_or_default();
    let id = match id {
        uuid if uuid.len() == 36 => "01a1fc70-0000-7000-8000-000000000000",
        digits if digits.bytes().all(|byte| byte.is_ascii_digit()) => "15550199999",
        _ => "nobody",
    };
    json!(format!("{collection}/{id}"))
}

/// The resource in the request, or the request: what has the etag.
fn etag_holder(request: &mut Value) -> &mut Value {
    let inner = request.as_object().into_iter().flatten().find(|(_, value)| value.is_object());
    match inner.map(|(field, _)| field.clone()) {
        Some(field) => &mut request[field],
        None => request,
    }
}
