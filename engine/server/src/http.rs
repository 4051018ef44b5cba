//! Plain HTTP on the engine's port, for those who run it: is it alive, should it get calls, what has it counted.
//!
//! No key is asked for, because probes and scrapers have none: nothing here tells of a call, a caller or an
//! organisation. `/health` depends on nothing, so that a database that is away restarts no engine; `/ready` does,
//! so that such an engine gets no new calls. Enter at [`routes`].

use std::sync::Arc;
use std::time::Duration;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::json;

use crate::engine::Engine;

/// How long the database may take to give a sign of life: probes themselves wait only seconds.
const PING_WITHIN: Duration = Duration::from_secs(2);

/// Longest nonce that is repeated.
const NONCE_MAX: usize = 64;

/// `/health`, `/ready`, `/metrics`; anything else is told what this port speaks.
pub fn routes(engine: &Arc<Engine>) -> Router {
    Router::new()
        .route("/health", get(health))
        .route("/ready", get(ready))
        .route("/metrics", get(metrics))
        .fallback(elsewhere)
        .with_state(engine.clone())
}

/// What a caller of `/health` may send along.
#[derive(serde::Deserialize)]
struct Asked {
    nonce: Option<String>,
}

/// Says which engine it is, and the nonce it was asked with: who has a copy of the answer can't give that.
async fn health(State(engine): State<Arc<Engine>>, asked: Result<Query<Asked>, QueryRejection>) -> Response {
    let nonce = asked.ok().and_then(|Query(asked)| asked.nonce);
    let is_one = |nonce: &String| {
        nonce.len() <= NONCE_MAX && nonce.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    // A probe with a query of its own is alive all the same: a bad nonce is only not repeated.
    let nonce = nonce.filter(is_one);
    let (version, instance) = (env!("CARGO_PKG_VERSION"), &engine.instance);
    let mut body = json!({ "status": "ok", "version": version, "instance": instance });
    if let Some(nonce) = nonce {
        body["nonce"] = nonce.into();
    }
    ([(header::CACHE_CONTROL, "no-store")], Json(body)).into_response()
}

/// 200 while new calls are welcome; 503 while draining or without a database.
async fn ready(State(engine): State<Arc<Engine>>) -> Response {
    let database = tokio::time::timeout(PING_WITHIN, engine.store.ping()).await;
    let answers = matches!(database, Ok(Ok(())));
    let draining = engine.refuses_calls();
    let status = match (draining, answers) {
        (true, _) => "draining",
        (false, false) => "database_away",
        (false, true) => "ready",
    };
    let code = if status == "ready" { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let providers = engine.providers.engine_wide();
    let voices: Vec<&str> = providers.voice_providers().iter().map(|it| it.name).collect();
    let body = json!({
        "status": status,
        "database": if answers { "ok" } else { "away" },
        "providers": {
            "stt": providers.transcribers().first().map(|it| it.name),
            "llm": providers.models().first().map(|it| it.name),
            "tts": voices,
        },
        "load": { "calls_live": engine.live.count() },
    });
    (code, Json(body)).into_response()
}

/// The counts in Prometheus's text format.
async fn metrics(State(engine): State<Arc<Engine>>) -> Response {
    let kind = [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    (kind, engine.metrics.text(&engine.backlog())).into_response()
}

async fn elsewhere() -> Response {
    let text = "This port speaks gRPC and grpc-web (see parlance.v1.VoiceService), and answers GET /health, /ready and \
                /metrics.\n";
    (StatusCode::NOT_FOUND, text).into_response()
}
