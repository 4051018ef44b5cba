//! `AgentService`: creates, reads, changes and deletes agents.

mod flow;
mod list;
mod merge;
mod stats;
mod test;

pub use test::Places as TestPlaces;

use std::sync::Arc;

use parlance_proto::v1;
use parlance_proto::v1::agent_service_server::AgentService;
use parlance_store::{AgentId, Error as StoreError, agents};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use super::perform::{Done, perform};
use super::{auth, name, page};
use crate::convert::{agent as convert, timestamp};
use crate::engine::Engine;
use crate::session::rehearsal::Outgoing;
use crate::status::{Refusal, Violations};

/// The service.
#[derive(Clone)]
pub struct Agents {
    engine: Arc<Engine>,
}

impl Agents {
    /// Agents are kept by `engine`'s store.
    pub fn new(engine: Arc<Engine>) -> Self {
        Self { engine }
    }

    async fn create(
        &self,
        scope: &parlance_store::Scope,
        request: v1::CreateAgentRequest,
    ) -> Result<v1::Agent, Refusal> {
        let agent = request.agent.ok_or_else(|| Violations::one("agent", "is required"))?;
        let offer = self.engine.providers.of(scope).await?.offer();
        convert::check(&agent, &offer, &self.engine.reach.addresses)?;
        let wanted =
            if request.agent_id.is_empty() { name::slug(&agent.display_name) } else { request.agent_id };
        let id =
            AgentId::parse(&wanted).map_err(|_| Violations::one("agent_id", "must match [a-z0-9-]{1,63}"))?;
        let settings = convert::to_settings(&agent)?;
        let new = agents::NewAgent {
            id: id.clone(),
            state: convert::state(&agent),
            labels: serde_json::json!(agent.labels),
            display_name: agent.display_name,
            settings,
        };
        let row = agents::create(scope, new).await.map_err(|error| match error {
            StoreError::AlreadyExists(_) => Refusal::AlreadyExists { name: format!("agents/{id}") },
            other => other.into(),
        })?;
        wire(&row)
    }

    async fn update(
        &self,
        scope: &parlance_store::Scope,
        request: v1::UpdateAgentRequest,
    ) -> Result<v1::Agent, Refusal> {
        let change = request.agent.ok_or_else(|| Violations::one("agent", "is required"))?;
        let id = name::agent("agent.name", &change.name)?;
        let row = agents::get(scope, &id).await.map_err(|error| missing(error, &id))?;
        let etag = Some(change.etag.clone()).filter(|etag| !etag.is_empty());
        let agent = merge::merge(&wire(&row)?, &change, request.update_mask)?;
        let offer = self.engine.providers.of(scope).await?.offer();
        convert::check(&agent, &offer, &self.engine.reach.addresses)?;
        let change = agents::AgentUpdate {
            display_name: Some(agent.display_name.clone()),
            state: Some(convert::state(&agent)),
            labels: Some(serde_json::json!(agent.labels)),
            settings: Some(convert::to_settings(&agent)?),
        };
        // Merged from the row just read: if it changed since, the merge is void.
        let expected = etag.unwrap_or_else(|| row.etag.clone());
        let row =
            agents::update(scope, &id, change, Some(&expected)).await.map_err(|error| missing(error, &id))?;
        wire(&row)
    }
}

#[tonic::async_trait]
impl AgentService for Agents {
    type TestAgentStream = ReceiverStream<Outgoing>;

    async fn create_agent(
        &self,
        request: Request<v1::CreateAgentRequest>,
    ) -> Result<Response<v1::CreateAgentResponse>, Status> {
        let agents = self.clone();
        perform(&self.engine, request, |scope, request| async move {
            let agent = agents.create(&scope, request).await?;
            Ok(Done::new(agent.name.clone(), v1::CreateAgentResponse { agent: Some(agent) }))
        })
        .await
    }

    async fn get_agent(
        &self,
        request: Request<v1::GetAgentRequest>,
    ) -> Result<Response<v1::GetAgentResponse>, Status> {
        let scope = auth::scope(&self.engine.store, &request)?;
        let id = name::agent("name", &request.get_ref().name)?;
        let row = agents::get(&scope, &id).await.map_err(|error| missing(error, &id))?;
        Ok(Response::new(v1::GetAgentResponse { agent: Some(wire(&row)?) }))
    }

    async fn list_agents(
        &self,
        request: Request<v1::ListAgentsRequest>,
    ) -> Result<Response<v1::ListAgentsResponse>, Status> {
        let scope = auth::scope(&self.engine.store, &request)?;
        let request = request.into_inner();
        let filter = list::filter(&request.filter).map_err(Refusal::from)?;
        let order = list::order(&request.order_by).map_err(Refusal::from)?;
        let wanted = page::request(request.page_size, request.page_token)?;
        let page = agents::list(&scope, &filter, order, &wanted).await.map_err(page::refused)?;
        let agents = page.items.iter().map(wire).collect::<Result<_, _>>()?;
        let next_page_token = page.next_token.unwrap_or_default();
        Ok(Response::new(v1::ListAgentsResponse { agents, next_page_token }))
    }

    async fn update_agent(
        &self,
        request: Request<v1::UpdateAgentRequest>,
    ) -> Result<Response<v1::UpdateAgentResponse>, Status> {
        let agents = self.clone();
        perform(&self.engine, request, |scope, request| async move {
            let agent = agents.update(&scope, request).await?;
            Ok(Done::new(agent.name.clone(), v1::UpdateAgentResponse { agent: Some(agent) }))
        })
        .await
    }

    async fn get_flow(
        &self,
        request: Request<v1::GetFlowRequest>,
    ) -> Result<Response<v1::GetFlowResponse>, Status> {
        let scope = auth::scope(&self.engine.store, &request)?;
        let agent = flow::of(&scope, &request.get_ref().agent).await?;
        Ok(Response::new(v1::GetFlowResponse { flow: agent.flow, etag: agent.etag }))
    }

    async fn update_flow(
        &self,
        request: Request<v1::UpdateFlowRequest>,
    ) -> Result<Response<v1::UpdateFlowResponse>, Status> {
        let agents = self.clone();
        perform(&self.engine, request, |scope, request| async move {
            let agent = agents.update(&scope, flow::update(request)?).await?;
            let answer = v1::UpdateFlowResponse { flow: agent.flow, etag: agent.etag };
            Ok(Done::new(agent.name, answer))
        })
        .await
    }

    async fn get_agent_stats(
        &self,
        request: Request<v1::GetAgentStatsRequest>,
    ) -> Result<Response<v1::GetAgentStatsResponse>, Status> {
        let scope = auth::scope(&self.engine.store, &request)?;
        let stats = stats::get(&scope, request.into_inner()).await?;
        Ok(Response::new(v1::GetAgentStatsResponse { stats: Some(stats) }))
    }

    async fn test_agent(
        &self,
        request: Request<v1::TestAgentRequest>,
    ) -> Result<Response<Self::TestAgentStream>, Status> {
        let scope = auth::scope(&self.engine.store, &request)?;
        let messages = test::begin(&self.engine, scope, request.into_inner()).await?;
        Ok(Response::new(ReceiverStream::new(messages)))
    }

    async fn validate_flow(
        &self,
        request: Request<v1::ValidateFlowRequest>,
    ) -> Result<Response<v1::ValidateFlowResponse>, Status> {
        let scope = auth::scope(&self.engine.store, &request)?;
        let problems = flow::problems(&scope, request.into_inner()).await?;
        Ok(Response::new(v1::ValidateFlowResponse { problems }))
    }

    async fn delete_agent(
        &self,
        request: Request<v1::DeleteAgentRequest>,
    ) -> Result<Response<v1::DeleteAgentResponse>, Status> {
        perform(&self.engine, request, |scope, request| async move {
            let id = name::agent("name", &request.name)?;
            let etag = Some(request.etag.as_str()).filter(|etag| !etag.is_empty());
            match agents::delete(&scope, &id, etag).await {
                Err(StoreError::NotFound(_)) if request.allow_missing => {}
                done => done.map_err(|error| missing(error, &id))?,
            }
            Ok(Done::new(request.name, v1::DeleteAgentResponse {}))
        })
        .await
    }
}

/// The row as the contract has it.
fn wire(row: &agents::Agent) -> Result<v1::Agent, Refusal> {
    Ok(v1::Agent {
        name: format!("agents/{}", row.id),
        display_name: row.display_name.clone(),
        create_time: Some(timestamp(row.create_time)),
        update_time: Some(timestamp(row.update_time)),
        etag: row.etag.clone(),
        state: convert::wire_state(row.state).into(),
        labels: convert::wire_labels(&row.labels),
        ..convert::from_settings(&row.settings)?
    })
}

/// Refuses calls with an agent that takes none.
pub fn takes_calls(row: &agents::Agent) -> Result<(), Refusal> {
    match row.state {
        agents::AgentState::Active => Ok(()),
        agents::AgentState::Inactive => Err(Refusal::WrongState {
            reason: v1::ErrorReason::AgentInactive,
            message: format!("agents/{} is inactive: set its state to ACTIVE, or call another", row.id),
        }),
    }
}

/// What the store said about this agent.
pub fn missing(error: StoreError, id: &AgentId) -> Refusal {
    match error {
        StoreError::NotFound(_) => Refusal::NotFound { name: format!("agents/{id}") },
        StoreError::Conflict(_) => Refusal::EtagMismatch { name: format!("agents/{id}") },
        other => other.into(),
    }
}
