//! `CallService`: creates and reads calls. What is asked of a live one is in [`super::control`], watching in
//! [`super::watch`].

use std::collections::BTreeMap;
use std::sync::Arc;

use parlance_proto::v1;
use parlance_proto::v1::call_service_server::CallService;
use parlance_store::{CallId, Error as StoreError, Scope, agents, calls, invocations, journal, transcripts};
use tonic::{Request, Response, Status};

use super::perform::{Done, perform};
use super::watch::{Events, Watch};
use super::{auth, name, open, page};
use crate::convert::{call as convert, event};
use crate::engine::Engine;
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
        open::variables("call.dynamic_variables", &call.dynamic_variables)?;
        let agent =
            agents::get(scope, &agent_id).await.map_err(|error| super::agent::missing(error, &agent_id))?;
        super::agent::takes_calls(&agent)?;
        let variables = call.dynamic_variables.into_iter().collect();
        let row = calls::create(scope, web_call(&agent, &variables)).await?;
        Ok(convert::call(&row))
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
        let scope = auth::scope(&self.engine.store, &request).await?;
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
        let scope = auth::scope(&self.engine.store, &request).await?;
        let request = request.into_inner();
        let filter = filter(&request)?;
        let wanted = page::request(request.page_size, request.page_token)?;
        let page = calls::list(&scope, &filter, &wanted).await.map_err(page::refused)?;
        let calls = page.items.iter().map(convert::call).collect();
        let next_page_token = page.next_token.unwrap_or_default();
        Ok(Response::new(v1::ListCallsResponse { calls, next_page_token }))
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
        let scope = auth::scope(&self.engine.store, &request).await?;
        let request = request.into_inner();
        let id = name::call("name", &request.name)?;
        Ok(Response::new(Watch::stream(self.engine.clone(), scope, id, request.after_offset).await?))
    }

    async fn get_transcript(
        &self,
        request: Request<v1::GetTranscriptRequest>,
    ) -> Result<Response<v1::GetTranscriptResponse>, Status> {
        let scope = auth::scope(&self.engine.store, &request).await?;
        let id = name::call("call", &request.get_ref().call)?;
        calls::get(&scope, id).await.map_err(|error| missing(error, id))?;
        let rows = transcripts::list(&scope, id).await.map_err(Refusal::from)?;
        let entries = rows.iter().map(|row| event::transcript_entry(&convert::entry(row))).collect();
        let events = if request.get_ref().include_events { events(&scope, id).await? } else { Vec::new() };
        Ok(Response::new(v1::GetTranscriptResponse { entries, events }))
    }
}

async fn events(scope: &Scope, call: CallId) -> Result<Vec<v1::CallEvent>, Refusal> {
    let mut events = Vec::new();
    let mut offset = 0;
    loop {
        let rows = journal::read(scope, call, offset, JOURNAL_PAGE).await?;
        let Some(last) = rows.last() else { return Ok(events) };
        offset = last.offset + 1;
        events.extend(rows.iter().filter_map(convert::journal_event));
    }
}

fn filter(request: &v1::ListCallsRequest) -> Result<calls::CallFilter, Refusal> {
    let agent_id = match request.agent.as_str() {
        "" => None,
        agent => Some(name::agent("agent", agent)?),
    };
    let state = match v1::CallState::try_from(request.state) {
        Ok(v1::CallState::Unspecified) => None,
        Ok(v1::CallState::Created) => Some(calls::CallState::Created),
        Ok(v1::CallState::Ongoing) => Some(calls::CallState::Ongoing),
        Ok(v1::CallState::Ended) => Some(calls::CallState::Ended),
        Err(_) => return Err(Violations::one("state", "must be one of the named states").into()),
    };
    Ok(calls::CallFilter { agent_id, state })
}

/// A web call to `agent` that is to be made.
pub fn web_call(agent: &agents::Agent, variables: &BTreeMap<String, String>) -> calls::NewCall {
    calls::NewCall {
        agent_id: agent.id.clone(),
        agent_display_name: agent.display_name.clone(),
        call_type: calls::CallType::Web,
        direction: calls::Direction::Inbound,
        dynamic_variables: serde_json::json!(variables),
    }
}

/// What the store said about this call.
pub fn missing(error: StoreError, id: CallId) -> Refusal {
    match error {
        StoreError::NotFound(_) => Refusal::NotFound { name: format!("calls/{id}") },
        other => other.into(),
    }
}
