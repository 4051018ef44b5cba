//! `PhoneNumberService`: creates, reads, changes and deletes phone numbers.

mod list;

use std::sync::Arc;

use parlance_proto::v1;
use parlance_proto::v1::phone_number_service_server::PhoneNumberService;
use parlance_store::phone_numbers::{self, INBOUND_AGENT, OUTBOUND_AGENT, PhoneNumberState};
use parlance_store::{AgentId, Error as StoreError, PhoneNumberId, Scope};
use tonic::{Request, Response, Status};

use super::perform::{Done, perform};
use super::{auth, name, page};
use crate::convert::phone_number as convert;
use crate::engine::Engine;
use crate::status::{Refusal, Violations};

const NAME_MAX: usize = 200;

/// The service.
pub struct PhoneNumbers {
    engine: Arc<Engine>,
}

impl PhoneNumbers {
    /// Phone numbers are kept by `engine`'s store.
    pub fn new(engine: Arc<Engine>) -> Self {
        Self { engine }
    }
}

#[tonic::async_trait]
impl PhoneNumberService for PhoneNumbers {
    async fn create_phone_number(
        &self,
        request: Request<v1::CreatePhoneNumberRequest>,
    ) -> Result<Response<v1::CreatePhoneNumberResponse>, Status> {
        perform(&self.engine, request, |scope, request| async move {
            let made = create(&scope, request).await?;
            let name = made.name.clone();
            Ok(Done::new(name, v1::CreatePhoneNumberResponse { phone_number: Some(made) }))
        })
        .await
    }

    async fn get_phone_number(
        &self,
        request: Request<v1::GetPhoneNumberRequest>,
    ) -> Result<Response<v1::GetPhoneNumberResponse>, Status> {
        let scope = auth::scope(&self.engine.store, &request)?;
        let id = name::phone_number("name", &request.get_ref().name)?;
        let row = phone_numbers::get(&scope, &id).await.map_err(|error| missing(error, &id))?;
        let phone_number = Some(convert::phone_number(&row));
        Ok(Response::new(v1::GetPhoneNumberResponse { phone_number }))
    }

    async fn list_phone_numbers(
        &self,
        request: Request<v1::ListPhoneNumbersRequest>,
    ) -> Result<Response<v1::ListPhoneNumbersResponse>, Status> {
        let scope = auth::scope(&self.engine.store, &request)?;
        let request = request.into_inner();
        let filter = list::filter(&request)?;
        let wanted = page::request(request.page_size, request.page_token)?;
        let (page, counts) = phone_numbers::list(&scope, &filter, &wanted).await.map_err(page::refused)?;
        Ok(Response::new(v1::ListPhoneNumbersResponse {
            phone_numbers: page.items.iter().map(convert::phone_number).collect(),
            next_page_token: page.next_token.unwrap_or_default(),
            total_size: size(counts.total),
            active_size: size(counts.active),
            inactive_size: size(counts.total - counts.active),
        }))
    }

    async fn update_phone_number(
        &self,
        request: Request<v1::UpdatePhoneNumberRequest>,
    ) -> Result<Response<v1::UpdatePhoneNumberResponse>, Status> {
        perform(&self.engine, request, |scope, request| async move {
            let changed = update(&scope, request).await?;
            let name = changed.name.clone();
            Ok(Done::new(name, v1::UpdatePhoneNumberResponse { phone_number: Some(changed) }))
        })
        .await
    }

    async fn delete_phone_number(
        &self,
        request: Request<v1::DeletePhoneNumberRequest>,
    ) -> Result<Response<v1::DeletePhoneNumberResponse>, Status> {
        perform(&self.engine, request, |scope, request| async move {
            let id = name::phone_number("name", &request.name)?;
            match phone_numbers::delete(&scope, &id, name::given(&request.etag)).await {
                Err(StoreError::NotFound(_)) if request.allow_missing => {}
                done => done.map_err(|error| missing(error, &id))?,
            }
            Ok(Done::new(request.name, v1::DeletePhoneNumberResponse {}))
        })
        .await
    }
}

async fn create(scope: &Scope, request: v1::CreatePhoneNumberRequest) -> Result<v1::PhoneNumber, Refusal> {
    let wire = request.phone_number.ok_or_else(|| Violations::one("phone_number", "is required"))?;
    let mut bad = Violations::default();
    let values = Values::read(&wire, &mut bad);
    let Ok(id) = PhoneNumberId::from_number(&wire.number) else {
        bad.add("phone_number.number", "must be `+` and 7 to 15 digits, the first not 0");
        return Err(bad.into());
    };
    bad.check()?;
    let new = phone_numbers::NewPhoneNumber {
        id: id.clone(),
        display_name: wire.display_name.clone(),
        state: values.state.unwrap_or(PhoneNumberState::Active),
        inbound_agent_id: values.inbound_agent,
        outbound_agent_id: values.outbound_agent,
    };
    let row = phone_numbers::create(scope, new).await.map_err(|error| refused(error, &id, &wire))?;
    Ok(convert::phone_number(&row))
}

async fn update(scope: &Scope, request: v1::UpdatePhoneNumberRequest) -> Result<v1::PhoneNumber, Refusal> {
    let wire = request.phone_number.ok_or_else(|| Violations::one("phone_number", "is required"))?;
    let id = name::phone_number("phone_number.name", &wire.name)?;
    let paths = request.update_mask.map(|mask| mask.paths).filter(|paths| !paths.is_empty());
    let mut bad = Violations::default();
    if paths.is_none() && !wire.number.is_empty() && wire.number != id.number() {
        bad.add("phone_number.number", "can't be changed: create the other number");
    }
    let change = change(&wire, paths, &mut bad);
    bad.check()?;
    let updated = phone_numbers::update(scope, &id, change, name::given(&wire.etag)).await;
    Ok(convert::phone_number(&updated.map_err(|error| refused(error, &id, &wire))?))
}

/// What the masked fields say; without a mask every field that is set.
fn change(
    wire: &v1::PhoneNumber,
    paths: Option<Vec<String>>,
    bad: &mut Violations,
) -> phone_numbers::PhoneNumberUpdate {
    let values = Values::read(wire, bad);
    let Some(paths) = paths else {
        return phone_numbers::PhoneNumberUpdate {
            display_name: name::given(&wire.display_name).map(str::to_owned),
            state: values.state,
            inbound_agent_id: values.inbound_agent.map(Some),
            outbound_agent_id: values.outbound_agent.map(Some),
        };
    };
    let mut change = phone_numbers::PhoneNumberUpdate::default();
    for path in paths {
        match path.as_str() {
            "display_name" => change.display_name = Some(wire.display_name.clone()),
            "state" => change.state = Some(values.state.unwrap_or(PhoneNumberState::Active)),
            "inbound_agent" => change.inbound_agent_id = Some(values.inbound_agent.clone()),
            "outbound_agent" => change.outbound_agent_id = Some(values.outbound_agent.clone()),
            other => bad.add(
                "update_mask",
                format!(
                    "`{other}` is not a field that can be changed: display_name, state, inbound_agent, \
                     outbound_agent"
                ),
            ),
        }
    }
    change
}

/// The fields that are not taken as they are.
struct Values {
    state: Option<PhoneNumberState>,
    inbound_agent: Option<AgentId>,
    outbound_agent: Option<AgentId>,
}

impl Values {
    fn read(wire: &v1::PhoneNumber, bad: &mut Violations) -> Self {
        bad.longest("phone_number.display_name", &wire.display_name, NAME_MAX);
        Self {
            state: state("phone_number.state", wire.state, bad),
            inbound_agent: name::optional_agent("phone_number.inbound_agent", &wire.inbound_agent, bad),
            outbound_agent: name::optional_agent("phone_number.outbound_agent", &wire.outbound_agent, bad),
        }
    }
}

fn size(count: i64) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}

/// The state in `field`, none if it is not set.
fn state(field: &str, wire: i32, bad: &mut Violations) -> Option<PhoneNumberState> {
    convert::state(wire).unwrap_or_else(|_| {
        bad.add(field, "must be one of the named states");
        None
    })
}

/// What the store said about this number as the client gave it.
fn refused(error: StoreError, id: &PhoneNumberId, wire: &v1::PhoneNumber) -> Refusal {
    match error {
        StoreError::NotFound(INBOUND_AGENT) => Refusal::NotFound { name: wire.inbound_agent.clone() },
        StoreError::NotFound(OUTBOUND_AGENT) => Refusal::NotFound { name: wire.outbound_agent.clone() },
        StoreError::AlreadyExists(_) => Refusal::AlreadyExists { name: format!("phoneNumbers/{id}") },
        other => missing(other, id),
    }
}

fn missing(error: StoreError, id: &PhoneNumberId) -> Refusal {
    match error {
        StoreError::NotFound(_) => Refusal::NotFound { name: format!("phoneNumbers/{id}") },
        StoreError::Conflict(_) => Refusal::EtagMismatch { name: format!("phoneNumbers/{id}") },
        other => other.into(),
    }
}
