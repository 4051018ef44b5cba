//! Who may come in: the bearer key of a request says the organisation, its scopes what may be called.
//!
//! One layer before all services decides it ([`admit`]), by what the contract's options say of each RPC, so that no
//! service can forget. Services read the [`Visitor`] it leaves in the request. No metadata can claim one.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::{Request as HttpRequest, State};
use axum::http::HeaderMap;
use axum::middleware::Next;
use axum::response::Response as HttpResponse;
use parlance_proto::Method;
use parlance_proto::v1::KeyScope;
use parlance_store::{KeyId, OrganisationId, Scope, Store};
use tonic::{Request, Status};

use crate::engine::Engine;
use crate::status::Refusal;

/// Who sent a request.
#[derive(Debug, Clone)]
pub struct Visitor {
    /// Whose rows it may see.
    pub organisation: OrganisationId,
    /// The key it came with.
    pub key: KeyId,
    /// What it calls.
    pub method: &'static Method,
}

impl Visitor {
    /// Who sent `request`.
    pub fn of<T>(request: &Request<T>) -> Result<&Self, Refusal> {
        request.extensions().get().ok_or(Refusal::Unauthenticated)
    }
}

/// The rows of the organisation whose key the request carries.
pub fn scope<T>(store: &Store, request: &Request<T>) -> Result<Scope, Refusal> {
    Ok(store.scope(Visitor::of(request)?.organisation))
}

/// The layer: lets a request of ours pass with its [`Visitor`], or answers it with the refusal. What is no RPC of
/// the contract (reflection, health) passes as it is.
pub async fn admit(State(engine): State<Arc<Engine>>, mut request: HttpRequest, next: Next) -> HttpResponse {
    let Some(method) = Method::of(request.uri().path()) else { return next.run(request).await };
    match visitor(&engine, request.headers(), method).await {
        Ok(visitor) => {
            request.extensions_mut().insert(visitor);
            next.run(request).await
        }
        Err(refusal) => Status::from(refusal).into_http(),
    }
}

async fn visitor(engine: &Engine, headers: &HeaderMap, method: &'static Method) -> Result<Visitor, Refusal> {
    let secret = headers
        .get("authorization")
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.strip_prefix("Bearer ").or_else(|| value.strip_prefix("bearer ")))
        .ok_or(Refusal::Unauthenticated)?;
    let key = engine.known_keys.find(&engine.store, secret.trim()).await?.ok_or(Refusal::Unauthenticated)?;
    // The rate first: what is refused costs something too.
    key.take(engine.known_keys.rate(), Instant::now())?;
    if !key.owner.scopes.iter().any(|scope| allows(scope, method.scope())) {
        return Err(Refusal::ScopeMissing { needed: method.scope() });
    }
    key.touch(&engine.store);
    Ok(Visitor { organisation: key.owner.organisation, key: key.owner.key_id, method })
}

/// Whether a key with the scope `held` may call what needs `needed`.
fn allows(held: &str, needed: KeyScope) -> bool {
    match scope_of(held) {
        Some(KeyScope::Admin) => true,
        Some(held @ (KeyScope::Agents | KeyScope::Calls)) => held == needed || needed == KeyScope::ReadOnly,
        Some(held) => held == needed,
        None => false,
    }
}

/// A scope's name as it is stored.
pub fn scope_name(scope: KeyScope) -> &'static str {
    match scope {
        KeyScope::Unspecified => "",
        KeyScope::Admin => "admin",
        KeyScope::Agents => "agents",
        KeyScope::Calls => "calls",
        KeyScope::Sessions => "sessions",
        KeyScope::ReadOnly => "read_only",
    }
}

/// The scope of a stored name.
pub fn scope_of(name: &str) -> Option<KeyScope> {
    let all = [KeyScope::Admin, KeyScope::Agents, KeyScope::Calls, KeyScope::Sessions, KeyScope::ReadOnly];
    all.into_iter().find(|scope| scope_name(*scope) == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_allows_itself_and_reading_but_sessions_read_nothing() {
        for needed in [KeyScope::Agents, KeyScope::Calls, KeyScope::Sessions, KeyScope::ReadOnly] {
            assert!(allows("admin", needed));
        }
        assert!(allows("agents", KeyScope::ReadOnly) && allows("calls", KeyScope::ReadOnly));
        assert!(!allows("agents", KeyScope::Calls) && !allows("calls", KeyScope::Sessions));
        assert!(allows("sessions", KeyScope::Sessions) && !allows("sessions", KeyScope::ReadOnly));
        assert!(allows("read_only", KeyScope::ReadOnly) && !allows("read_only", KeyScope::Admin));
        assert!(!allows("admn", KeyScope::ReadOnly));
    }
}
