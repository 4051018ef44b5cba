//! Requests that change something: done once for each request id, and noted in the audit log.
//!
//! The work runs on a task of its own, so that a client that goes away in the middle finds the answer when it asks
//! again. A request without an id is simply done. Enter at [`perform`].

use std::sync::Arc;
use std::time::Duration;

use parlance_proto::v1::{self, KeyScope};
use parlance_store::Scope;
use parlance_store::audit_log::{self, NewAuditEntry};
use parlance_store::requests::{self, Asked, Claim};
use prost::Message;
use tonic::{Request, Response, Status};

use super::auth::Visitor;
use crate::engine::Engine;
use crate::status::{Refusal, Violations};

const REQUEST_ID_MAX: usize = 64;
/// How long to wait after each failure to keep an answer.
const KEEP_PAUSES: &[Duration] =
    &[Duration::from_millis(100), Duration::from_millis(500), Duration::from_secs(2)];

/// A request with a request id.
pub trait Mutation: Message + 'static {
    /// Its id; empty if it has none.
    fn request_id(&self) -> &str;
}

macro_rules! mutations {
    ($($name:ident),* $(,)?) => {
        $(impl Mutation for v1::$name {
            fn request_id(&self) -> &str {
                &self.request_id
            }
        })*
    };
}

mutations!(
    CreateAgentRequest,
    UpdateAgentRequest,
    DeleteAgentRequest,
    UpdateFlowRequest,
    CreatePhoneNumberRequest,
    UpdatePhoneNumberRequest,
    DeletePhoneNumberRequest,
    CreateCallRequest,
    UpdateCallRequest,
    DeleteCallRequest,
    EndCallRequest,
    ControlCallRequest,
    CancelAppointmentRequest,
    RescheduleAppointmentRequest,
    CreateOrganisationRequest,
    UpdateOrganisationRequest,
    CreateApiKeyRequest,
    RevokeApiKeyRequest,
    CreateResourceRequest,
    UpdateResourceRequest,
    DeleteResourceRequest,
    SetProviderKeyRequest,
    DeleteProviderKeyRequest,
    SetToolSecretRequest,
    DeleteToolSecretRequest,
);

/// What came of a request.
pub struct Done<A> {
    /// The name of what was changed.
    pub resource: String,
    /// The answer.
    pub answer: A,
    /// What a repeated request is answered, if that differs: a secret is shown once.
    pub kept: Option<A>,
}

impl<A> Done<A> {
    /// `answer`, after `resource` was changed.
    pub fn new(resource: impl Into<String>, answer: A) -> Self {
        Self { resource: resource.into(), answer, kept: None }
    }
}

/// Does the work of `request`, or gives the answer that it was given before.
pub async fn perform<Q, A, W, F>(
    engine: &Arc<Engine>,
    request: Request<Q>,
    work: F,
) -> Result<Response<A>, Status>
where
    Q: Mutation,
    A: Message + Default + 'static,
    W: Future<Output = Result<Done<A>, Refusal>> + Send,
    F: FnOnce(Scope, Q) -> W + Send + 'static,
{
    let visitor = Visitor::of(&request)?.clone();
    let body = request.into_inner();
    let mut bad = Violations::default();
    bad.longest("request_id", body.request_id(), REQUEST_ID_MAX);
    bad.check()?;
    let scope = engine.store.scope(visitor.organisation);
    let task = tokio::spawn(async move {
        let request_id = body.request_id().to_owned();
        if let Some(answer) = answered(&scope, &visitor, &request_id, &body).await? {
            return Ok(answer);
        }
        let done = work(scope.clone(), body).await;
        settle(&scope, visitor, request_id, done).await
    });
    let done: Result<A, Refusal> = task.await.map_err(|error| {
        tracing::error!(%error, "the work of a request failed");
        Refusal::Internal
    })?;
    Ok(Response::new(done?))
}

/// The answer given before; none if the work is this request's to do.
async fn answered<A: Message + Default>(
    scope: &Scope,
    visitor: &Visitor,
    request_id: &str,
    body: &impl Message,
) -> Result<Option<A>, Refusal> {
    if request_id.is_empty() {
        return Ok(None);
    }
    let body = body.encode_to_vec();
    let asked = Asked { request_id, method: visitor.method.path, body: &body };
    match requests::claim(scope, asked).await? {
        Claim::New => Ok(None),
        Claim::Answered(answer) => A::decode(answer.as_slice()).map(Some).map_err(|error| {
            tracing::error!(%error, "a kept answer can't be read");
            Refusal::Internal
        }),
        Claim::UnderWay => Err(Refusal::RequestInProgress),
        Claim::Reused => Err(Refusal::RequestIdReused),
    }
}

/// Keeps the answer and notes the change, or lets the request id go.
async fn settle<A: Message>(
    scope: &Scope,
    visitor: Visitor,
    request_id: String,
    done: Result<Done<A>, Refusal>,
) -> Result<A, Refusal> {
    let Done { resource, answer, kept } = match done {
        Ok(done) => done,
        Err(refusal) => {
            // What may have been done is not done again at once: its claim stays until it lapses.
            if !request_id.is_empty()
                && refusal != Refusal::Unsure
                && let Err(error) = requests::release(scope, &request_id).await
            {
                tracing::warn!(%error, "a request id was not let go; it is free again in a minute");
            }
            return Err(refusal);
        }
    };
    if !request_id.is_empty() {
        keep(scope, &request_id, &kept.as_ref().unwrap_or(&answer).encode_to_vec()).await;
    }
    if is_administrative(&visitor) {
        let method = visitor.method.path;
        let entry = NewAuditEntry { key_id: visitor.key, method, resource, request_id };
        if let Err(error) = audit_log::append(scope, entry).await {
            tracing::error!(%error, method, "an administrative call is missing in the audit log");
        }
    }
    Ok(answer)
}

/// Keeps an answer, trying for a while: without it the same request would be done again.
async fn keep(scope: &Scope, request_id: &str, answer: &[u8]) {
    for pause in KEEP_PAUSES {
        match requests::answer(scope, request_id, answer).await {
            Ok(()) => return,
            Err(error) if error.is_retryable() => tokio::time::sleep(*pause).await,
            Err(error) => return tracing::error!(%error, "an answer can't be kept"),
        }
    }
    tracing::error!("an answer was not kept; the same request would be done again a minute from now");
}

/// Whether the audit log has it: what changes how the organisation is set up, and what deletes.
fn is_administrative(visitor: &Visitor) -> bool {
    let method = visitor.method;
    matches!(method.scope(), KeyScope::Admin | KeyScope::Agents) || method.path.contains("/Delete")
}
