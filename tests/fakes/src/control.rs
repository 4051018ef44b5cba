//! The door for tests in other languages: plans, and what was seen.

use std::sync::Arc;

use axum::extract::{Query, State as Of};
use axum::routing::{get, post};
use axum::{Json, Router};

use crate::{Plan, Seen, Service, State};

#[derive(serde::Deserialize)]
struct Wanted {
    service: Service,
    #[serde(flatten)]
    plan: Plan,
}

#[derive(serde::Deserialize)]
struct Looked {
    service: Option<Service>,
}

pub fn routes() -> Router<Arc<State>> {
    Router::new().route("/control/plan", post(plan)).route("/control/seen", get(seen))
}

/// `{"service": "openai_chat", "fault": {"fault": "drop", "after": 3}, "times": 1}`.
async fn plan(Of(state): Of<Arc<State>>, Json(wanted): Json<Wanted>) {
    state.plan(wanted.service, wanted.plan);
}

async fn seen(Of(state): Of<Arc<State>>, Query(looked): Query<Looked>) -> Json<Vec<Seen>> {
    Json(state.seen(looked.service))
}
