//! `CallService`: creates, reads, changes and deletes calls. What is asked of a live one is in [`super::control`],
//! watching in [`super::watch`].

pub mod details;
mod list;

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use details::Details;
use futures_util::FutureExt;

use parlance_proto::v1;
use parlance_proto::v1::call_service_server::CallService;
use parlance_store::{CallId, Error as StoreError, Scope, agents, calls, invocations, journal, transcripts};
use tonic::{Request, Response, Status};

use super::perform::{Done, perform};
use super::watch::{Events, Watch};
use super::{auth, name, page};
use crate::convert::{call as convert, event, policy};
use crate::engine::Engine;
use crate::recordings::{self, Removal};
use crate::session::journal::TOLD;
use crate::status::{Refusal, Violations};

/// Journal entries read at once.
const JOURNAL_PAGE: u32 = 1_000;

/// The service.
#[derive(Clone)]
pub struct Calls {
    pub(super) engine: Arc<Engine>,
}

impl Calls {
    /// Calls live in `engine` and are kept by its store.
    pub fn new(engine: Arc<Engine>) -> Self {
        Self { engine }
    }

    async fn create(&self, scope: &Scope, request: v1::CreateCallRequest) -> Result<v1::Call, Refusal> {
        let call = request.call.ok_or_else(|| Violations::one("call", "is required"))?;
        let agent_id = name::agent("call.agent", &call.agent)?;
        let mut bad = Violations::default();
        policy::variables("call.dynamic_variables", &call.dynamic_variables, &mut bad);
        let details = Details::of_call(&call, &mut bad);
        bad.check()?;
        let agent =
            agents::get(scope, &agent_id).await.map_err(|error| super::agent::missing(error, &agent_id))?;
        super::agent::takes_calls(&agent)?;
        let variables = call.dynamic_variables.into_iter().collect();
        let row = calls::create(scope, web_call(&agent, &variables, details)).await?;
        Ok(convert::call(&row))
    }

    async fn delete(
        &self,
        scope: &Scope,
        id: CallId,
        request: &v1::DeleteCallRequest,
    ) -> Result<v1::DeleteCallResponse, Refusal> {
        let elsewhere = Arc::new(OnceLock::new());
        let (noted, folder) = (elsewhere.clone(), self.engine.recordings.clone());
        let remove = move |known| {
            async move {
                match recordings::remove(&folder, id, known).await {
                    Removal::Done => true,
                    Removal::Elsewhere(uri) => noted.set(uri).is_ok(),
                    Removal::Failed => false,
                }
            }
            .boxed()
        };
        let (reason, message) = match calls::delete(scope, id, name::given(&request.etag), remove).await {
            Ok(calls::Deletion::Done) => {
                if let Err(error) = self.engine.store.tell_written(&[id]).await {
                    tracing::debug!(call = %id, %error, "those who watch the call were not told of its end");
                }
                let remaining_recording_uri = elsewhere.get().cloned().unwrap_or_default();
                return Ok(v1::DeleteCallResponse { remaining_recording_uri });
            }
            Err(StoreError::NotFound(_)) if request.allow_missing => return Ok(Default::default()),
            Err(error) => return Err(missing(error, id)),
            Ok(calls::Deletion::Live) => (v1::ErrorReason::CallLive, "is ongoing: end it first"),
            Ok(calls::Deletion::RecordingKept) => {
                (v1::ErrorReason::RecordingKept, "is kept, because its recording could not be removed")
            }
        };
        Err(Refusal::WrongState { reason, message: format!("calls/{id} {message}") })
    }
}

#[tonic::async_trait]
impl CallService for Calls {
    type WatchCallStream = Events;

    async fn create_call(
        &self,
        request: Request<v1::CreateCallRequest>,
    ) -> Result<Response<v1::CreateCallResponse>, Status> {
        let calls = self.clone();
        perform(&self.engine, request, |scope, request| async move {
            let call = calls.create(&scope, request).await?;
            Ok(Done::new(call.name.clone(), v1::CreateCallResponse { call: Some(call) }))
        })
        .await
    }

    async fn get_call(
        &self,
        request: Request<v1::GetCallRequest>,
    ) -> Result<Response<v1::GetCallResponse>, Status> {
        let scope = auth::scope(&self.engine.store, &request)?;
        let id = name::call("name", &request.get_ref().name)?;
        let row = calls::get(&scope, id).await.map_err(|error| missing(error, id))?;
        let runs = invocations::list(&scope, id).await.map_err(Refusal::from)?;
        let tool_invocations = runs.iter().map(|run| convert::invocation(run, &row)).collect();
        let call = v1::Call { tool_invocations, ..convert::call(&row) };
        Ok(Response::new(v1::GetCallResponse { call: Some(call) }))
    }

    async fn list_calls(
        &self,
        request: Request<v1::ListCallsRequest>,
    ) -> Result<Response<v1::ListCallsResponse>, Status> {
        let scope = auth::scope(&self.engine.store, &request)?;
        let request = request.into_inner();
        let filter = list::filter(&request)?;
        let wanted = page::request(request.page_size, request.page_token)?;
        let page = calls::list(&scope, &filter, &wanted).await.map_err(page::refused)?;
        let calls = page.items.iter().map(convert::call).collect();
        let next_page_token = page.next_token.unwrap_or_default();
        Ok(Response::new(v1::ListCallsResponse { calls, next_page_token }))
    }

    async fn update_call(
        &self,
        request: Request<v1::UpdateCallRequest>,
    ) -> Result<Response<v1::UpdateCallResponse>, Status> {
        perform(&self.engine, request, |scope, request| async move {
            let call = update(&scope, request).await?;
            Ok(Done::new(call.name.clone(), v1::UpdateCallResponse { call: Some(call) }))
        })
        .await
    }

    async fn delete_call(
        &self,
        request: Request<v1::DeleteCallRequest>,
    ) -> Result<Response<v1::DeleteCallResponse>, Status> {
        let calls = self.clone();
        perform(&self.engine, request, |scope, request| async move {
            let id = name::call("name", &request.name)?;
            let answer = calls.delete(&scope, id, &request).await?;
            Ok(Done::new(request.name, answer))
        })
        .await
    }

    async fn end_call(
        &self,
        request: Request<v1::EndCallRequest>,
    ) -> Result<Response<v1::EndCallResponse>, Status> {
        let calls = self.clone();
        perform(&self.engine, request, |scope, request| async move {
            let id = name::call("name", &request.name)?;
            let call = calls.end(&scope, id).await?;
            Ok(Done::new(request.name, v1::EndCallResponse { call: Some(call) }))
        })
        .await
    }

    async fn control_call(
        &self,
        request: Request<v1::ControlCallRequest>,
    ) -> Result<Response<v1::ControlCallResponse>, Status> {
        let calls = self.clone();
        perform(&self.engine, request, |scope, request| async move {
            calls.control(&scope, &request).await?;
            Ok(Done::new(request.name, v1::ControlCallResponse {}))
        })
        .await
    }

    async fn watch_call(
        &self,
        request: Request<v1::WatchCallRequest>,
    ) -> Result<Response<Self::WatchCallStream>, Status> {
        let scope = auth::scope(&self.engine.store, &request)?;
        let request = request.into_inner();
        let id = name::call("name", &request.name)?;
        Ok(Response::new(Watch::stream(self.engine.clone(), scope, id, request.after_offset).await?))
    }

    async fn get_transcript(
        &self,
        request: Request<v1::GetTranscriptRequest>,
    ) -> Result<Response<v1::GetTranscriptResponse>, Status> {
        let scope = auth::scope(&self.engine.store, &request)?;
        let id = name::call("call", &request.get_ref().call)?;
        calls::get(&scope, id).await.map_err(|error| missing(error, id))?;
        let rows = transcripts::list(&scope, id).await.map_err(Refusal::from)?;
        let entries = rows.iter().map(|row| event::transcript_entry(&convert::entry(row))).collect();
        let events = if request.get_ref().include_events { events(&scope, id).await? } else { Vec::new() };
        Ok(Response::new(v1::GetTranscriptResponse { entries, events }))
    }
}

async fn update(scope: &Scope, request: v1::UpdateCallRequest) -> Result<v1::Call, Refusal> {
    let wire = request.call.ok_or_else(|| Violations::one("call", "is required"))?;
    let id = name::call("call.name", &wire.name)?;
    let paths = request.update_mask.map(|mask| mask.paths).filter(|paths| !paths.is_empty());
    let mut bad = Violations::default();
    let change = details::change(&wire, paths, &mut bad);
    bad.check()?;
    let row = calls::update(scope, id, change, name::given(&wire.etag)).await;
    Ok(convert::call(&row.map_err(|error| missing(error, id))?))
}

async fn events(scope: &Scope, call: CallId) -> Result<Vec<v1::CallEvent>, Refusal> {
    let mut events = Vec::new();
    let mut offset = 0;
    loop {
        let rows = journal::read_kind(scope, call, TOLD, offset, JOURNAL_PAGE).await?;
        let Some(last) = rows.last() else { return Ok(events) };
        offset = last.offset + 1;
        events.extend(rows.iter().filter_map(convert::journal_event));
    }
}

/// A web call to `agent` that is to be made.
pub fn web_call(
    agent: &agents::Agent,
    variables: &BTreeMap<String, String>,
    details: Details,
) -> calls::NewCall {
    calls::NewCall {
        agent_id: agent.id.clone(),
        agent_display_name: agent.display_name.clone(),
        call_type: calls::CallType::Web,
        direction: calls::Direction::Inbound,
        dynamic_variables: serde_json::json!(variables),
        metadata: details.metadata,
        labels: details.labels,
        from_number: details.from_number,
        to_number: details.to_number,
    }
}

/// What the store said about this call.
pub fn missing(error: StoreError, id: CallId) -> Refusal {
    match error {
        StoreError::NotFound(_) => Refusal::NotFound { name: format!("calls/{id}") },
        StoreError::Conflict(_) => Refusal::EtagMismatch { name: format!("calls/{id}") },
        other => other.into(),
    }
}
