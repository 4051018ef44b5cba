//! The cases: for each RPC a request that succeeds, and for each of its reasons one that is refused so.
//!
//! What many RPCs share is made from the good request: another name, a stale etag, a negative page. What takes a
//! conversation is tested where conversations are, and named in [`elsewhere`].

use std::sync::atomic::{AtomicUsize, Ordering};

use jiff::{SignedDuration, Timestamp};
use parlance_proto::v1::{self, ErrorReason};
use parlance_store::appointments::{self, Booking, NewAppointment};
use parlance_store::keys;
use parlance_tests::{House, agents, json};
use serde_json::{Value, json};

use super::wire::Door;

/// A file and a test in it.
type Elsewhere = Option<(&'static str, &'static str)>;

/// An organisation with something of everything, and a stranger to it.
pub struct World {
    pub house: House,
    pub admin: Door,
    pub stranger: Door,
    agent: String,
    made: AtomicUsize,
}

impl World {
    pub async fn new() -> Self {
        let (house, agent) = super::furnished().await;
        let admin = Door::open(&house.url(), Some(&house.key)).await;
        let stranger = admin.with_key(&house.tenant().await.1);
        Self { house, admin, stranger, agent, made: AtomicUsize::new(1) }
    }

    /// The same connection with a key of one scope.
    pub async fn key_of(&self, scope: &str) -> Door {
        let key = keys::create(&self.house.scope, &[scope.to_owned()]).await.expect("a key can be made");
        self.admin.with_key(&key.secret)
    }

    /// Names that no stranger may see.
    pub fn ours(&self) -> Vec<String> {
        vec![self.agent.clone(), self.house.scope.organisation().to_string()]
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
        let agent = v1::Agent { name: format!("agents/{id}"), ..agents::counter_of_guests("Hello.") };
        self.house.hires(agent).await
    }

    async fn call(&self) -> String {
        let call = v1::Call { agent: self.agent.clone(), ..Default::default() };
        let request = v1::CreateCallRequest { call: Some(call), ..Default::default() };
        let made = self.house.client.calls().create_call(request).await.expect("the call is valid");
        made.into_inner().call.expect("the answer holds it").name
    }

    async fn ended_call(&self) -> String {
        let name = self.call().await;
        let request = v1::EndCallRequest { name: name.clone(), ..Default::default() };
        self.house.client.calls().end_call(request).await.expect("it was not joined");
        self.house.ended_call(&name).await.name
    }

    async fn phone_number(&self) -> String {
        let number = format!("+4930{:07}", self.number());
        let phone_number = Some(v1::PhoneNumber { number, ..Default::default() });
        let request = v1::CreatePhoneNumberRequest { phone_number, ..Default::default() };
        let made = self.house.client.phone_numbers().create_phone_number(request).await.expect("it is valid");
        made.into_inner().phone_number.expect("the answer holds it").name
    }

    /// Noon of a day that nothing else is on, so many days ahead.
    fn noon(&self) -> Timestamp {
        let now = Timestamp::now().in_tz(parlance_tests::house::TIME_ZONE).expect("the zone is known");
        let days = i64::try_from(self.number() + 2).expect("a few");
        let day = now.date().saturating_add(jiff::Span::new().days(days));
        day.at(12, 0, 0, 0).in_tz(parlance_tests::house::TIME_ZONE).expect("noon exists").timestamp()
    }

    async fn appointment_at(&self, start: Timestamp) -> String {
        let wanted = NewAppointment {
            idempotency_key: format!("contract {start}"),
            call_id: None,
            customer_name: "Ada Lovelace".into(),
            customer_phone: None,
            party_size: 2,
            start,
            duration: SignedDuration::from_mins(60),
            notes: String::new(),
        };
        match appointments::book(&self.house.scope, wanted, Timestamp::now()).await.expect("it makes sense") {
            Booking::Booked(row) => format!("appointments/{}", row.id),
            other => panic!("{other:?}"),
        }
    }

    async fn appointment(&self) -> String {
        self.appointment_at(self.noon()).await
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
        "ListAgents" | "ListCalls" | "ListPhoneNumbers" | "ListAppointments" => json!({}),
        "CreateCall" => json!({ "call": { "agent": world.agent } }),
        "GetCall" | "EndCall" => named(world.call().await),
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
        "VoiceSession" => json!({ "start": { "agent": world.agent, "textOnly": true } }),
        _ => return None,
    };
    Some(vec![request])
}

/// One more item for a list.
pub async fn one_more(world: &World, list: &str) {
    match list {
        "ListAgents" => drop(world.agent().await),
        "ListCalls" => drop(world.call().await),
        "ListPhoneNumbers" => drop(world.phone_number().await),
        "ListAppointments" => drop(world.appointment().await),
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
        ("CreatePhoneNumber", ErrorReason::InvalidField) => json!({ "phoneNumber": { "number": "0" } }),
        ("CreatePhoneNumber", ErrorReason::NotFound) => {
            json!({ "phoneNumber": { "number": "+49409999999", "inboundAgent": "agents/nobody" } })
        }
        ("EndCall", ErrorReason::CallOver) => named(world.ended_call().await),
        ("CancelAppointment" | "RescheduleAppointment", ErrorReason::AppointmentCancelled) => {
            let name = world.appointment().await;
            let request = v1::CancelAppointmentRequest { name: name.clone(), ..Default::default() };
            world.house.client.appointments().cancel_appointment(request).await.expect("it stands");
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
            world.appointment_at(taken).await;
            json!({ "name": world.appointment().await, "startTime": taken.to_string() })
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
    const REFUSALS: &str = "tests/door/refusals.rs";
    Some(match (rpc, reason) {
        ("VoiceSession", ErrorReason::SecondStart) => (BAD_INPUT, "a_second_start_is_a_failed_precondition"),
        ("VoiceSession", ErrorReason::TooLate) => {
            (BAD_INPUT, "a_client_that_sends_nothing_at_all_is_told_after_ten_seconds")
        }
        ("VoiceSession", ErrorReason::TooManySessions) => ("tests/limits.rs", "assert_no_place"),
        ("VoiceSession", ErrorReason::TooManyMessages) => {
            (REFUSALS, "a_session_that_floods_is_ended_and_told_the_limit")
        }
        ("VoiceSession", ErrorReason::Draining) => {
            (REFUSALS, "an_engine_that_drains_sends_new_sessions_elsewhere")
        }
        ("VoiceSession", ErrorReason::ProviderMissing) => {
            ("../engine/server/src/rpc/open.rs", "a_transcriber_that_can_not_be_opened_is_a_provider_missing")
        }
        ("VoiceSession", ErrorReason::NoLanguageModel) => {
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
