//! The door for tests in other languages: plans, and what was seen.

use std::sync::Arc;

use axum::extract::{Query, State as Of};
use axum::routing::{get, post};
use axum::{Json, Router};
use hyper::StatusCode;
use serde_json::Value;

use crate::{Plan, Seen, Sent, Service, State};

#[derive(serde::Deserialize)]
struct Looked {
    service: Option<Service>,
}

pub fn routes() -> Router<Arc<State>> {
    Router::new()
        .route("/control/plan", post(plan))
        .route("/control/seen", get(seen))
        .route("/control/sent", get(sent))
}

/// `{"service": "openai_chat", "fault": {"fault": "drop", "after": 3}, "times": 1}`; answers with the plan as it is now.
async fn plan(
    Of(state): Of<Arc<State>>,
    Json(mut wanted): Json<Value>,
) -> Result<Json<Plan>, (StatusCode, String)> {
    let wrong = |error: serde_json::Error| (StatusCode::BAD_REQUEST, error.to_string());
    let service = wanted.as_object_mut().and_then(|wanted| wanted.remove("service"));
    let service = serde_json::from_value(service.unwrap_or_default()).map_err(wrong)?;
    let plan: Plan = serde_json::from_value(wanted).map_err(wrong)?;
    state.plan(service, plan.clone());
    Ok(Json(plan))
}

async fn seen(Of(state): Of<Arc<State>>, Query(looked): Query<Looked>) -> Json<Vec<Seen>> {
    Json(state.seen(looked.service))
}

/// What was sent, and what time it is now by the same clock.
#[derive(serde::Serialize)]
struct Answered {
    now_us: u64,
    sent: Vec<Sent>,
}

async fn sent(Of(state): Of<Arc<State>>, Query(looked): Query<Looked>) -> Json<Answered> {
    Json(Answered { sent: state.sent(looked.service), now_us: state.now_us() })
}
