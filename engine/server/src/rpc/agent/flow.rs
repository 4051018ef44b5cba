//! Flows of agents on their own: read, changed, and judged without being stored.

use parlance_proto::v1;
use parlance_store::{Scope, agents};

use crate::convert::flow as convert;
use crate::rpc::name;
use crate::status::{Refusal, Violations};

/// The agent of that name, which has a flow.
pub async fn of(scope: &Scope, agent: &str) -> Result<v1::Agent, Refusal> {
    let id = name::agent("agent", agent)?;
    let row = agents::get(scope, &id).await.map_err(|error| super::missing(error, &id))?;
    let agent = super::wire(&row)?;
    match agent.flow {
        Some(_) => Ok(agent),
        None => Err(Refusal::NotFound { name: format!("flow of agents/{id}") }),
    }
}

/// The change of the agent that gives it this flow.
pub fn update(request: v1::UpdateFlowRequest) -> Result<v1::UpdateAgentRequest, Refusal> {
    name::agent("agent", &request.agent)?;
    let flow = request.flow.ok_or_else(|| Violations::one("flow", "is required"))?;
    Ok(v1::UpdateAgentRequest {
        agent: Some(v1::Agent {
            name: request.agent,
            flow: Some(flow),
            etag: request.etag,
            ..Default::default()
        }),
        update_mask: Some(prost_types::FieldMask { paths: vec!["flow".to_owned()] }),
        request_id: String::new(),
    })
}

/// What is wrong with a flow of the agent that is named, or of none.
pub async fn problems(
    scope: &Scope,
    request: v1::ValidateFlowRequest,
) -> Result<Vec<v1::FlowProblem>, Refusal> {
    let flow = request.flow.ok_or_else(|| Violations::one("flow", "is required"))?;
    let agent = match request.agent.as_str() {
        "" => None,
        agent => {
            let id = name::agent("agent", agent)?;
            let row = agents::get(scope, &id).await.map_err(|error| super::missing(error, &id))?;
            Some(super::wire(&row)?)
        }
    };
    let mut bad = Violations::default();
    convert::flow(&flow, agent.as_ref(), &mut bad);
    Ok(convert::problems(&flow, &bad))
}
