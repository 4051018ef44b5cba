//! `ApiKeyService` and `AuditService`: a secret is shown once, a revoked key opens nothing, and who did what is noted.

use parlance::cli::connect::Engine;
use parlance_proto::v1::{
    ApiKey, AuditEntry, CreateApiKeyRequest, CreateApiKeyResponse, GetApiKeyRequest, KeyScope,
    ListAgentsRequest, ListApiKeysRequest, ListAuditEntriesRequest, RevokeApiKeyRequest,
};
use parlance_tests::details::{assert_bad_fields, assert_refused};
use parlance_tests::house::client;
use parlance_tests::{House, agents};
use tonic::{Code, Status};

async fn create(engine: &Engine, request: CreateApiKeyRequest) -> Result<CreateApiKeyResponse, Status> {
    Ok(engine.api_keys().create_api_key(request).await?.into_inner())
}

fn wish(display_name: &str, scopes: &[KeyScope]) -> CreateApiKeyRequest {
    let scopes = scopes.iter().map(|scope| (*scope).into()).collect();
    let api_key = ApiKey { display_name: display_name.into(), scopes, ..Default::default() };
    CreateApiKeyRequest { api_key: Some(api_key), ..Default::default() }
}

async fn get(engine: &Engine, name: &str) -> Result<ApiKey, Status> {
    let answer = engine.api_keys().get_api_key(GetApiKeyRequest { name: name.into() }).await?;
    Ok(answer.into_inner().api_key.expect("the answer holds it"))
}

async fn revoke(engine: &Engine, name: &str) -> Result<ApiKey, Status> {
    let request = RevokeApiKeyRequest { name: name.into(), ..Default::default() };
    let answer = engine.api_keys().revoke_api_key(request).await?;
    Ok(answer.into_inner().api_key.expect("the answer holds it"))
}

async fn audit(engine: &Engine, request: ListAuditEntriesRequest) -> Vec<AuditEntry> {
    let page = engine.audit().list_audit_entries(request).await.expect("a page");
    page.into_inner().audit_entries
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_key_opens_what_its_scopes_allow_and_its_secret_is_shown_once() {
    let house = House::scripted().await;
    let request = CreateApiKeyRequest {
        request_id: "one".into(),
        ..wish("Desk", &[KeyScope::Agents, KeyScope::Sessions, KeyScope::Agents])
    };
    let made = create(&house.client, request.clone()).await.expect("it is valid");
    let key = made.api_key.expect("the answer holds it");
    assert_eq!(key.scopes, [i32::from(KeyScope::Agents), i32::from(KeyScope::Sessions)]);
    assert_eq!(key.display_name, "Desk");
    assert!(made.secret.starts_with(&key.prefix) && made.secret.len() > 40, "{key:?}");
    let desk = client(&house.url(), &made.secret).await;
    desk.agents().list_agents(ListAgentsRequest::default()).await.expect("it may");
    let refused = create(&desk, wish("", &[KeyScope::Admin])).await.expect_err("it is no admin");
    assert_refused(&refused, Code::PermissionDenied, "SCOPE_MISSING");
    let again = create(&house.client, request).await.expect("it was done");
    assert_eq!((again.api_key.as_ref(), again.secret.as_str()), (Some(&key), ""));
    let read = get(&house.client, &key.name).await.expect("it is there");
    assert_eq!(ApiKey { last_use_time: None, ..read }, key);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revoked_key_is_refused_at_once_and_stays_in_the_list() {
    let house = House::scripted().await;
    let made = create(&house.client, wish("", &[KeyScope::ReadOnly])).await.expect("it is valid");
    let name = made.api_key.expect("the answer holds it").name;
    let reader = client(&house.url(), &made.secret).await;
    reader.agents().list_agents(ListAgentsRequest::default()).await.expect("it may");
    let revoked = revoke(&house.client, &name).await.expect("it is no admin key");
    assert!(revoked.revoke_time.is_some(), "{revoked:?}");
    let refused = reader.agents().list_agents(ListAgentsRequest::default()).await;
    assert_refused(&refused.expect_err("it is revoked"), Code::Unauthenticated, "INVALID_KEY");
    let again = revoke(&house.client, &name).await.expect("it is done already");
    assert_eq!(again.revoke_time, revoked.revoke_time);
    let listed = house.client.api_keys().list_api_keys(ListApiKeysRequest::default()).await.expect("a page");
    assert!(listed.into_inner().api_keys.iter().any(|key| key.name == name && key.revoke_time.is_some()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_admin_key_stays() {
    let house = House::scripted().await;
    let listed = house.client.api_keys().list_api_keys(ListApiKeysRequest::default()).await.expect("a page");
    let own = listed.into_inner().api_keys.remove(0).name;
    create(&house.client, wish("", &[KeyScope::Calls])).await.expect("it is valid");
    let refused = revoke(&house.client, &own).await.expect_err("nobody could make another");
    assert_refused(&refused, Code::FailedPrecondition, "LAST_ADMIN_KEY");
    let other = create(&house.client, wish("", &[KeyScope::Admin])).await.expect("it is valid");
    revoke(&house.client, &own).await.expect("another is there");
    let heir = client(&house.url(), &other.secret).await;
    get(&heir, &own).await.expect("the other one opens");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_operator_makes_keys_of_any_organisation_and_nobody_else_does() {
    let house = House::scripted().await;
    let organisation = format!("organisations/{}", house.scope.organisation());
    let theirs = CreateApiKeyRequest { organisation, ..wish("", &[KeyScope::Admin]) };
    create(&house.client, theirs.clone()).await.expect("one may name one's own");
    let refused = create(&house.stranger().await, theirs.clone()).await.expect_err("it is another's");
    assert_refused(&refused, Code::PermissionDenied, "OPERATOR_ONLY");
    let made = create(&house.operator().await, theirs).await.expect("the operator may");
    let name = made.api_key.expect("the answer holds it").name;
    let opened = client(&house.url(), &made.secret).await;
    get(&opened, &name).await.expect("it is a key of that organisation");
    let nobody = "organisations/01a1fc70-0000-7000-8000-000000000000".to_owned();
    let nobody = CreateApiKeyRequest { organisation: nobody, ..wish("", &[KeyScope::Admin]) };
    let refused = create(&house.operator().await, nobody).await.expect_err("there is none");
    assert_refused(&refused, Code::NotFound, "NOT_FOUND");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_with_a_key_is_named_and_another_organisation_finds_none_of_it() {
    let house = House::scripted().await;
    let none = create(&house.client, CreateApiKeyRequest::default()).await.expect_err("no key");
    assert_bad_fields(&none, &["api_key"]);
    let mut bad = wish(&"x".repeat(201), &[KeyScope::Unspecified]);
    let refused = create(&house.client, bad.clone()).await.expect_err("nothing is right");
    assert_bad_fields(&refused, &["api_key.display_name", "api_key.scopes[0]"]);
    bad.api_key = Some(ApiKey::default());
    assert_bad_fields(&create(&house.client, bad).await.expect_err("no scopes"), &["api_key.scopes"]);
    let odd = CreateApiKeyRequest { organisation: "mine".into(), ..wish("", &[KeyScope::Admin]) };
    assert_bad_fields(&create(&house.client, odd).await.expect_err("no name"), &["organisation"]);
    assert_bad_fields(&get(&house.client, "apiKeys/pk_x").await.expect_err("no name"), &["name"]);

    let made = create(&house.client, wish("", &[KeyScope::Calls])).await.expect("it is valid");
    let name = made.api_key.expect("the answer holds it").name;
    let stranger = house.stranger().await;
    let refused = get(&stranger, &name).await.expect_err("it is another's");
    assert_refused(&refused, Code::NotFound, "NOT_FOUND");
    let refused = revoke(&stranger, &name).await.expect_err("it is another's");
    assert_refused(&refused, Code::NotFound, "NOT_FOUND");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_audit_log_is_filtered_by_key_method_and_time() {
    let house = House::scripted().await;
    let agent = house.hires(agents::echo("Hello")).await;
    let made = create(&house.client, wish("", &[KeyScope::Admin])).await.expect("it is valid");
    let key = made.api_key.expect("the answer holds it").name;
    let other = client(&house.url(), &made.secret).await;
    let second = create(&other, wish("", &[KeyScope::Calls])).await.expect("it is valid");
    let second = second.api_key.expect("the answer holds it").name;

    let all = audit(&house.client, ListAuditEntriesRequest::default()).await;
    let resources: Vec<&str> = all.iter().map(|entry| entry.resource.as_str()).collect();
    assert_eq!(resources, [second.as_str(), key.as_str(), agent.as_str()], "newest first");
    let by_key = ListAuditEntriesRequest { api_key: key.clone(), ..Default::default() };
    assert_eq!(audit(&house.client, by_key).await, all[..1]);
    let method = "/parlance.v1.AgentService/CreateAgent".to_owned();
    let by_method = ListAuditEntriesRequest { method, ..Default::default() };
    assert_eq!(audit(&house.client, by_method).await, all[2..]);
    let since = ListAuditEntriesRequest { since: all[1].create_time, ..Default::default() };
    assert_eq!(audit(&house.client, since).await, all[..2]);
    let before = ListAuditEntriesRequest { before: all[1].create_time, ..Default::default() };
    assert_eq!(audit(&house.client, before).await, all[2..]);

    let bad = ListAuditEntriesRequest {
        api_key: "desk".into(),
        method: "CreateAgent".into(),
        since: all[0].create_time,
        before: all[0].create_time,
        ..Default::default()
    };
    let refused = house.client.audit().list_audit_entries(bad).await.expect_err("nothing is right");
    assert_bad_fields(&refused, &["api_key", "method", "before"]);
}
