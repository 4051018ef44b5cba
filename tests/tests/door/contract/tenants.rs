//! The cases of organisations, keys, the audit log and resources. The world's organisation is the operator's.

use parlance_proto::v1::ErrorReason;
use parlance_store::resources::{NewResource, ResourceKind, ResourceState};
use parlance_store::{PageRequest, keys, organisations, resources};
use serde_json::{Value, json};

use super::cases::{Elsewhere, World};

/// An organisation that is not there.
const NOBODY: &str = "organisations/01a1fc70-0000-7000-8000-000000000000";

/// A resource; with an active one beside the world's own, no time would ever be taken.
pub async fn resource(world: &World, state: ResourceState) -> String {
    let new = NewResource { display_name: "Anna".into(), kind: ResourceKind::Person, state, position: 0 };
    let made = resources::create(&world.house.scope, new).await.expect("it is valid");
    format!("resources/{}", made.id)
}

async fn api_key(world: &World) -> String {
    let made = keys::create(&world.house.scope, &["calls".to_owned()]).await.expect("a key can be made");
    format!("apiKeys/{}", made.key.id)
}

fn named(name: String) -> Value {
    json!({ "name": name })
}

/// A request that succeeds, made anew each time.
pub async fn good(world: &World, rpc: &str) -> Option<Value> {
    let own = format!("organisations/{}", world.house.scope.organisation());
    Some(match rpc {
        "CreateOrganisation" => json!({ "organisation": { "displayName": "Bella Roma" } }),
        "GetOrganisation" => named(own),
        "UpdateOrganisation" => {
            json!({ "organisation": { "name": own, "displayName": "Other" }, "updateMask": "displayName" })
        }
        "CreateApiKey" => json!({ "apiKey": { "scopes": ["KEY_SCOPE_CALLS"] } }),
        "GetApiKey" | "RevokeApiKey" => named(api_key(world).await),
        "CreateResource" => {
            json!({ "resource": { "displayName": "Bob", "state": "RESOURCE_STATE_INACTIVE" } })
        }
        "GetResource" | "DeleteResource" => named(resource(world, ResourceState::Inactive).await),
        "UpdateResource" => json!({
            "resource": { "name": resource(world, ResourceState::Inactive).await, "displayName": "Cleo" },
            "updateMask": "displayName",
        }),
        "ListOrganisations" | "ListApiKeys" | "ListAuditEntries" | "ListResources" => json!({}),
        _ => return None,
    })
}

/// One more item for a list.
pub async fn one_more(world: &World, list: &str) {
    match list {
        "ListOrganisations" => {
            let store = &world.house.running.engine.store;
            organisations::create(store, Default::default(), &[]).await.expect("one can be made");
        }
        "ListApiKeys" => drop(api_key(world).await),
        "ListAuditEntries" => drop(world.house.hires(parlance_tests::agents::echo("Hi")).await),
        "ListResources" => drop(resource(world, ResourceState::Inactive).await),
        other => panic!("{other} has no items: add a case to the contract's tests"),
    }
}

/// What is refused for this reason and can't be made from the good request.
pub async fn special(world: &World, rpc: &str, reason: ErrorReason) -> Option<Value> {
    Some(match (rpc, reason) {
        ("CreateOrganisation", ErrorReason::InvalidField) => json!({ "organisation": {} }),
        ("CreateApiKey", ErrorReason::InvalidField) => json!({ "apiKey": {} }),
        ("CreateResource", ErrorReason::InvalidField) => json!({ "resource": {} }),
        ("CreateApiKey", ErrorReason::NotFound) => {
            json!({ "apiKey": { "scopes": ["KEY_SCOPE_CALLS"] }, "organisation": NOBODY })
        }
        ("DeleteResource", ErrorReason::ResourceInUse) => {
            world.appointment().await;
            let active = Some(ResourceState::Active);
            let page = resources::list(&world.house.scope, active, &PageRequest::default()).await;
            let page = page.expect("they are listed");
            named(format!("resources/{}", page.items.first().expect("the world has one").id))
        }
        _ => return None,
    })
}

/// Where a reason is tested that takes more than a request.
pub fn elsewhere(rpc: &str, reason: ErrorReason) -> Elsewhere {
    const ORGANISATIONS: &str = "tests/door/organisations.rs";
    const KEYS: &str = "tests/door/keys.rs";
    Some(match (rpc, reason) {
        ("CreateOrganisation", ErrorReason::OperatorOnly) => {
            (ORGANISATIONS, "nobody_but_the_operator_makes_organisations")
        }
        ("UpdateOrganisation", ErrorReason::OperatorOnly) => {
            (ORGANISATIONS, "nobody_but_the_operator_changes_quotas")
        }
        ("CreateApiKey", ErrorReason::OperatorOnly) => {
            (KEYS, "the_operator_makes_keys_of_any_organisation_and_nobody_else_does")
        }
        ("RevokeApiKey", ErrorReason::LastAdminKey) => (KEYS, "the_last_admin_key_stays"),
        ("VoiceSession", ErrorReason::QuotaExceeded) => (
            ORGANISATIONS,
            "one_session_more_than_the_quota_is_refused_and_another_organisation_feels_nothing",
        ),
        ("CreateCall", ErrorReason::QuotaExceeded) => {
            (ORGANISATIONS, "one_call_a_minute_more_than_the_quota_is_refused_with_the_time_to_wait")
        }
        _ => return None,
    })
}
