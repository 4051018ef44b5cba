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

/// All pages of one each, by the names for people.
async fn found(engine: &Engine, filter: &str, order_by: &str) -> Vec<String> {
    let (mut found, mut page_token) = (Vec::new(), String::new());
    loop {
        let (filter, order_by) = (filter.into(), order_by.into());
        let request = ListApiKeysRequest { page_size: 1, page_token, filter, order_by };
        let page = engine.api_keys().list_api_keys(request).await.expect("a page").into_inner();
        assert!(page.api_keys.len() <= 1);
        found.extend(page.api_keys.into_iter().map(|key| key.display_name));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return found;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_are_found_by_every_field_and_paged_in_every_order() {
    let house = House::scripted().await;
    let own = found(&house.client, "", "").await.remove(0);
    create(&house.client, wish("Desk", &[KeyScope::Agents, KeyScope::Calls])).await.expect("it is valid");
    let lost = create(&house.client, wish("Lost", &[KeyScope::ReadOnly])).await.expect("it is valid");
    revoke(&house.client, &lost.api_key.expect("the answer holds it").name)
        .await
        .expect("it is no admin key");
    for (filter, order_by, wanted) in [
        ("", "create_time", vec![&*own, "Desk", "Lost"]),
        ("", "create_time desc", vec!["Lost", "Desk", &*own]),
        ("scope = ADMIN", "", vec![&*own]),
        ("scope = CALLS", "", vec!["Desk"]),
        ("scope = KEY_SCOPE_READ_ONLY", "", vec!["Lost"]),
        ("scope = SESSIONS", "", vec![]),
        ("revoked = true", "", vec!["Lost"]),
        ("revoked = false", "create_time desc", vec!["Desk", &*own]),
        ("revoked = false AND scope = READ_ONLY", "", vec![]),
        ("create_time > 2020-01-01T00:00:00Z, scope = AGENTS", "", vec!["Desk"]),
        ("create_time <= 2020-01-01T00:00:00Z", "", vec![]),
    ] {
        assert_eq!(found(&house.client, filter, order_by).await, wanted, "{filter} | {order_by}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn filters_and_orders_of_keys_that_are_none_are_refused_and_the_known_ones_named() {
    let house = House::scripted().await;
    create(&house.client, wish("Desk", &[KeyScope::Calls])).await.expect("it is valid");
    let mut client = house.client.api_keys();
    let all = ListApiKeysRequest::default;
    let first = ListApiKeysRequest { page_size: 1, ..all() };
    let page_token = client.list_api_keys(first).await.expect("a page").into_inner().next_page_token;
    let by = |filter: &str| ListApiKeysRequest { filter: filter.into(), ..all() };
    let order = |order_by: &str| ListApiKeysRequest { order_by: order_by.into(), ..all() };
    for (request, field, said) in [
        (by("prefix = pk_1"), "filter", "scope, revoked, create_time"),
        (by("scope = ROOT"), "filter", "ADMIN or READ_ONLY"),
        (by("scope = UNSPECIFIED"), "filter", "ADMIN or READ_ONLY"),
        (by("scope != ADMIN"), "filter", "by: ="),
        (by("revoked = yes"), "filter", "true or false"),
        (order("display_name"), "order_by", "create_time"),
        (ListApiKeysRequest { page_token: page_token.clone(), ..by("revoked = false") }, "page_token", ""),
        (ListApiKeysRequest { page_token, ..order("create_time desc") }, "page_token", ""),
    ] {
        let refused = client.list_api_keys(request).await.expect_err("it is not valid");
        assert_bad_fields(&refused, &[field]);
        assert!(format!("{refused:?}").contains(said), "{said}: {refused:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn audit_entries_are_found_by_every_field_and_paged_in_both_orders() {
    let house = House::scripted().await;
    let agent = house.hires(agents::echo("Hello")).await;
    let made = create(&house.client, wish("", &[KeyScope::Admin])).await.expect("it is valid");
    let key = made.api_key.expect("the answer holds it").name;
    let other = client(&house.url(), &made.secret).await;
    let second = create(&other, wish("", &[KeyScope::Calls])).await.expect("it is valid");
    let second = second.api_key.expect("the answer holds it").name;
    let (agent, first, second) = (&*agent, &*key, &*second);
    for (filter, order_by, wanted) in [
        (String::new(), "", vec![second, first, agent]),
        (String::new(), "create_time desc", vec![second, first, agent]),
        (String::new(), "create_time", vec![agent, first, second]),
        (format!("api_key = {key}"), "", vec![second]),
        ("method = /parlance.v1.ApiKeyService/CreateApiKey".into(), "create_time", vec![first, second]),
        (format!("resource = {agent}"), "", vec![agent]),
        (format!("resource = {agent} AND api_key = {key}"), "", vec![]),
        ("create_time >= 2020-01-01T00:00:00Z".into(), "create_time", vec![agent, first, second]),
        ("create_time < 2020-01-01T00:00:00Z".into(), "", vec![]),
    ] {
        let mut request = ListAuditEntriesRequest {
            page_size: 1,
            filter: filter.clone(),
            order_by: order_by.into(),
            ..Default::default()
        };
        let mut found = Vec::new();
        loop {
            let page = house.client.audit().list_audit_entries(request.clone()).await.expect("a page");
            let page = page.into_inner();
            assert!(page.audit_entries.len() <= 1);
            found.extend(page.audit_entries.into_iter().map(|entry| entry.resource));
            if page.next_page_token.is_empty() {
                break;
            }
            request.page_token = page.next_page_token;
        }
        assert_eq!(found, wanted, "{filter} | {order_by}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn filters_and_orders_of_the_audit_log_that_are_none_are_refused_and_the_known_ones_named() {
    let house = House::scripted().await;
    for name in ["Desk", "Phone"] {
        create(&house.client, wish(name, &[KeyScope::Calls])).await.expect("it is valid");
    }
    let mut client = house.client.audit();
    let all = ListAuditEntriesRequest::default;
    let first = ListAuditEntriesRequest { page_size: 1, ..all() };
    let page_token = client.list_audit_entries(first).await.expect("a page").into_inner().next_page_token;
    let by = |filter: &str| ListAuditEntriesRequest { filter: filter.into(), ..all() };
    let order = |order_by: &str| ListAuditEntriesRequest { order_by: order_by.into(), ..all() };
    for (request, field, said) in [
        (by("request_id = 1"), "filter", "api_key, method, resource, create_time"),
        (by("api_key = desk"), "filter", "apiKeys/{api_key}"),
        (by("method = CreateAgent"), "filter", "/parlance.v1.AgentService/DeleteAgent"),
        (by("resource : agents"), "filter", "by: ="),
        (by("create_time > now"), "filter", "years 1 to 9999"),
        (order("method"), "order_by", "create_time"),
        (ListAuditEntriesRequest { page_token: page_token.clone(), ..by("resource = x") }, "page_token", ""),
        (ListAuditEntriesRequest { page_token, ..order("create_time") }, "page_token", ""),
    ] {
        let refused = client.list_audit_entries(request).await.expect_err("it is not valid");
        assert_bad_fields(&refused, &[field]);
        assert!(format!("{refused:?}").contains(said), "{said}: {refused:?}");
    }
}
