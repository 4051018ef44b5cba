//! `OrganisationService`: who may make, see and change organisations, and that two of them are apart.

use parlance_proto::v1::{ApiKey, Call, KeyScope, Weekday};
use parlance_proto::v1::{
    CreateApiKeyRequest, CreateCallRequest, CreateOrganisationRequest, CreateOrganisationResponse,
    CreateResourceRequest, GetOrganisationRequest, ListApiKeysRequest, ListAuditEntriesRequest,
    ListOrganisationsRequest, ListResourcesRequest, OpeningHours, Organisation, Resource,
    UpdateOrganisationRequest,
};
use parlance_tests::caller::typing_start;
use parlance_tests::details::{assert_bad_fields, assert_refused};
use parlance_tests::house::client;
use parlance_tests::{Caller, House, agents};
use tonic::{Code, Status};
use tonic_types::StatusExt;

use parlance::cli::connect::Engine;

const OWN: &str = "organisations/-";

async fn get(engine: &Engine, name: &str) -> Result<Organisation, Status> {
    let request = GetOrganisationRequest { name: name.into() };
    let answer = engine.organisations().get_organisation(request).await?;
    Ok(answer.into_inner().organisation.expect("the answer holds it"))
}

async fn update(engine: &Engine, new: Organisation, paths: &[&str]) -> Result<Organisation, Status> {
    let paths: Vec<String> = paths.iter().map(ToString::to_string).collect();
    let update_mask = Some(prost_types::FieldMask { paths }).filter(|mask| !mask.paths.is_empty());
    let request = UpdateOrganisationRequest { organisation: Some(new), update_mask, ..Default::default() };
    let answer = engine.organisations().update_organisation(request).await?;
    Ok(answer.into_inner().organisation.expect("the answer holds it"))
}

async fn create(
    engine: &Engine,
    new: Organisation,
    request_id: &str,
) -> Result<CreateOrganisationResponse, Status> {
    let request = CreateOrganisationRequest { organisation: Some(new), request_id: request_id.into() };
    Ok(engine.organisations().create_organisation(request).await?.into_inner())
}

fn called(display_name: &str) -> Organisation {
    Organisation { display_name: display_name.into(), ..Default::default() }
}

fn hours(weekday: Weekday, opens: &str, closes: &str) -> OpeningHours {
    OpeningHours { weekday: weekday.into(), opens: opens.into(), closes: closes.into() }
}

fn waits(status: &Status) -> std::time::Duration {
    status.get_details_retry_info().and_then(|info| info.retry_delay).expect("it says when to come again")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_operator_makes_an_organisation_and_sees_its_key_once() {
    let house = House::scripted().await;
    let operator = house.operator().await;
    let id = format!("make {}", house.scope.organisation());
    let wish = Organisation {
        time_zone: "Europe/Berlin".into(),
        opening_hours: vec![
            hours(Weekday::Monday, "09:00", "12:30"),
            hours(Weekday::Saturday, "18:00", "26:00"),
        ],
        instructions: "We are polite.".into(),
        sessions_max: 7,
        ..called("Bella Roma")
    };
    let made = create(&operator, wish.clone(), &id[..36]).await.expect("it is valid");
    let organisation = made.organisation.expect("the answer holds it");
    let bare = Organisation {
        name: String::new(),
        create_time: None,
        update_time: None,
        etag: String::new(),
        ..organisation.clone()
    };
    assert_eq!(bare, Organisation { appointment_capacity: 1, ..wish.clone() });
    let key = made.api_key.expect("the answer holds it");
    assert_eq!(key.scopes, [i32::from(KeyScope::Admin)]);
    assert!(made.secret.starts_with(&key.prefix), "{key:?}");
    let theirs = client(&house.url(), &made.secret).await;
    assert_eq!(get(&theirs, OWN).await.expect("its key opens it"), organisation);
    let again = create(&operator, wish, &id[..36]).await.expect("it was done");
    assert_eq!((again.organisation, again.secret.as_str()), (Some(organisation), ""), "shown once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_organisation_of_which_nothing_is_said_is_open_every_day_and_has_no_quota() {
    let house = House::scripted().await;
    let made = create(&house.operator().await, called("Plain"), "").await.expect("it is valid");
    let made = made.organisation.expect("the answer holds it");
    assert_eq!((made.time_zone.as_str(), made.appointment_capacity), ("UTC", 1));
    assert_eq!((made.sessions_max, made.calls_per_minute), (0, 0));
    assert_eq!(made.opening_hours.len(), 7);
    assert_eq!(made.opening_hours[6], hours(Weekday::Sunday, "11:00", "22:00"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_but_the_operator_makes_organisations() {
    let house = House::scripted().await;
    let refused = create(&house.client, called("Mine"), "").await.expect_err("an admin of another is none");
    assert_refused(&refused, Code::PermissionDenied, "OPERATOR_ONLY");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_s_own_is_seen_by_name_or_dash_and_another_s_by_the_operator_alone() {
    let house = House::scripted().await;
    let own = get(&house.client, OWN).await.expect("it is there");
    assert_eq!(own.name, format!("organisations/{}", house.scope.organisation()));
    assert_eq!(get(&house.client, &own.name).await.expect("it is the same"), own);
    assert_eq!(get(&house.operator().await, &own.name).await.expect("the operator sees it"), own);
    let stranger = house.stranger().await;
    let refused = get(&stranger, &own.name).await.expect_err("it is another's");
    assert_refused(&refused, Code::NotFound, "NOT_FOUND");
    let refused = update(&stranger, Organisation { name: own.name.clone(), ..called("Mine") }, &[]).await;
    assert_refused(&refused.expect_err("it is another's"), Code::NotFound, "NOT_FOUND");
    for name in ["", "-", "organisations/", "organisations/mine", "agents/-"] {
        assert_bad_fields(&get(&stranger, name).await.expect_err("no name"), &["name"]);
    }
    let list = ListOrganisationsRequest::default();
    let listed = house.client.organisations().list_organisations(list).await.expect("a page").into_inner();
    assert_eq!((listed.organisations, listed.next_page_token.as_str()), (vec![own], ""));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_update_changes_what_its_mask_names_and_the_week_as_a_whole() {
    let house = House::scripted().await;
    let before = get(&house.client, OWN).await.expect("it is there");
    let new = Organisation {
        name: OWN.into(),
        opening_hours: vec![hours(Weekday::Friday, "18:00", "48:00")],
        instructions: "Be brief.".into(),
        etag: before.etag.clone(),
        ..called("Not taken")
    };
    let changed =
        update(&house.client, new.clone(), &["opening_hours", "instructions"]).await.expect("valid");
    assert_eq!((&changed.display_name, &changed.time_zone), (&before.display_name, &before.time_zone));
    assert_eq!((&changed.opening_hours, changed.instructions.as_str()), (&new.opening_hours, "Be brief."));
    let stale = update(&house.client, new.clone(), &["instructions"]).await.expect_err("it has changed");
    assert_refused(&stale, Code::Aborted, "ETAG_MISMATCH");
    let set = Organisation { etag: String::new(), opening_hours: Vec::new(), ..new };
    let without_mask = update(&house.client, set.clone(), &[]).await.expect("valid");
    assert_eq!(without_mask.display_name, "Not taken");
    assert_eq!(without_mask.opening_hours, changed.opening_hours, "what is not set stays");
    let closed = update(&house.client, set, &["opening_hours"]).await.expect("valid");
    assert_eq!(closed.opening_hours, []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_bad_field_is_named_at_once() {
    let house = House::scripted().await;
    let bad = Organisation {
        name: OWN.into(),
        time_zone: "Mars/Olympus".into(),
        appointment_capacity: -1,
        opening_hours: vec![hours(Weekday::Unspecified, "9:00", "08:00")],
        instructions: "x".repeat(8_001),
        sessions_max: -1,
        calls_per_minute: 1_000_001,
        ..called(&"x".repeat(201))
    };
    let fields = [
        "display_name",
        "time_zone",
        "appointment_capacity",
        "opening_hours[0].weekday",
        "opening_hours[0].opens",
        "instructions",
        "sessions_max",
        "calls_per_minute",
    ]
    .map(|field| format!("organisation.{field}"));
    let fields = fields.each_ref().map(String::as_str);
    assert_bad_fields(&update(&house.client, bad.clone(), &[]).await.expect_err("nothing is right"), &fields);
    assert_bad_fields(&create(&house.operator().await, bad, "").await.expect_err("the same"), &fields);
    let unknown = update(&house.client, Organisation { name: OWN.into(), ..called("A") }, &["name"]).await;
    assert_bad_fields(&unknown.expect_err("no field to change"), &["update_mask"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_but_the_operator_changes_quotas() {
    let house = House::scripted().await;
    let own = get(&house.client, OWN).await.expect("it is there");
    let more = Organisation { sessions_max: 3, calls_per_minute: 9, ..own.clone() };
    for paths in [&["sessions_max"][..], &["calls_per_minute"], &[]] {
        let refused = update(&house.client, more.clone(), paths).await.expect_err("it is the operator's");
        assert_refused(&refused, Code::PermissionDenied, "OPERATOR_ONLY");
    }
    let paths = ["sessions_max", "calls_per_minute"];
    let set = update(&house.operator().await, more, &paths).await.expect("the operator may");
    assert_eq!((set.sessions_max, set.calls_per_minute), (3, 9));
    let renamed = Organisation { display_name: "New".into(), ..set };
    let renamed = update(&house.client, renamed, &[]).await.expect("no quota changes");
    assert_eq!((renamed.display_name.as_str(), renamed.sessions_max), ("New", 3));
}

async fn limit(house: &House, sessions_max: i32, calls_per_minute: i32) {
    let name = format!("organisations/{}", house.scope.organisation());
    let quotas = Organisation { name, sessions_max, calls_per_minute, ..Default::default() };
    let paths = ["sessions_max", "calls_per_minute"];
    update(&house.operator().await, quotas, &paths).await.expect("the operator may");
}

async fn announce(engine: &Engine, agent: &str) -> Result<Call, Status> {
    let call = Call { agent: agent.into(), ..Default::default() };
    let request = CreateCallRequest { call: Some(call), ..Default::default() };
    Ok(engine.calls().create_call(request).await?.into_inner().call.expect("the answer holds it"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_quota_of_sessions_refuses_the_next_one_and_no_other_organisation() {
    // The house would take the other organisation's recording for something left behind.
    let house = House::scripted_with(&["--no-recording"], None).await;
    let agent = house.hires(agents::echo("Hello")).await;
    limit(&house, 1, 0).await;
    let mut first = Caller::dials(&house, typing_start(&agent)).await;
    let refused = Caller::tries(house.client.voice(), typing_start(&agent)).await;
    let refused = refused.err().expect("one lives already");
    assert_refused(&refused, Code::ResourceExhausted, "QUOTA_EXCEEDED");
    assert!(waits(&refused) >= std::time::Duration::from_secs(1));

    let waiting = announce(&house.client, &agent).await.expect("to announce one is no session").name;
    let target = Some(parlance_proto::v1::session_start::Target::Call(waiting.clone()));
    let join = parlance_proto::v1::SessionStart { target, ..typing_start(&agent) };
    let refused = Caller::tries(house.client.voice(), join.clone()).await.err().expect("one lives already");
    assert_refused(&refused, Code::ResourceExhausted, "QUOTA_EXCEEDED");

    let stranger = house.stranger().await;
    let other = agents::echo("Hello");
    let request = parlance_proto::v1::CreateAgentRequest {
        agent_id: "echo".into(),
        agent: Some(other),
        ..Default::default()
    };
    stranger.agents().create_agent(request).await.expect("it is valid");
    let mut theirs = Caller::tries(stranger.voice(), typing_start("agents/echo")).await.expect("their own");
    theirs.hangs_up();
    theirs.ends(std::time::Duration::from_secs(20)).await.1.expect("it ends well");

    first.hangs_up();
    first.ends(std::time::Duration::from_secs(20)).await.1.expect("it ends well");
    house.ended_call(&first.ready.call).await;
    let mut joined =
        Caller::tries(house.client.voice(), join).await.expect("there is room, and it still waits");
    assert_eq!(joined.ready.call, waiting);
    joined.hangs_up();
    joined.ends(std::time::Duration::from_secs(20)).await.1.expect("it ends well");
    house.is_empty().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_quota_of_calls_a_minute_refuses_the_next_one_with_the_time_to_wait() {
    let house = House::scripted().await;
    let agent = house.hires(agents::echo("Hello")).await;
    limit(&house, 0, 2).await;
    for _ in 0..2 {
        announce(&house.client, &agent).await.expect("two are allowed");
    }
    let refused = announce(&house.client, &agent).await.expect_err("a minute has not passed");
    assert_refused(&refused, Code::ResourceExhausted, "QUOTA_EXCEEDED");
    assert!(waits(&refused) <= std::time::Duration::from_secs(60), "{refused:?}");
    let refused = Caller::tries(house.client.voice(), typing_start(&agent)).await;
    let refused = refused.err().expect("a session makes a call too");
    assert_refused(&refused, Code::ResourceExhausted, "QUOTA_EXCEEDED");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn quotas_keys_resources_and_hours_of_two_organisations_are_apart() {
    let house = House::scripted().await;
    let stranger = house.stranger().await;
    let theirs = get(&stranger, OWN).await.expect("it is there");
    limit(&house, 1, 1).await;
    let new = Organisation {
        name: OWN.into(),
        opening_hours: vec![hours(Weekday::Monday, "01:00", "02:00")],
        ..called("Ours")
    };
    update(&house.client, new, &[]).await.expect("it is valid");
    let anna = Resource { display_name: "Anna".into(), ..Default::default() };
    let request = CreateResourceRequest { resource: Some(anna), ..Default::default() };
    house.client.resources().create_resource(request).await.expect("it is valid");
    let api_key = Some(ApiKey { scopes: vec![KeyScope::Calls.into()], ..Default::default() });
    let request = CreateApiKeyRequest { api_key, ..Default::default() };
    house.client.api_keys().create_api_key(request).await.expect("it is valid");

    assert_eq!(get(&stranger, OWN).await.expect("it is there"), theirs);
    let resources = stranger.resources().list_resources(ListResourcesRequest::default()).await;
    assert_eq!(resources.expect("a page").into_inner().resources, []);
    let keys = stranger.api_keys().list_api_keys(ListApiKeysRequest::default()).await;
    assert_eq!(keys.expect("a page").into_inner().api_keys.len(), 1, "their own");
    let audit = stranger.audit().list_audit_entries(ListAuditEntriesRequest::default()).await;
    assert_eq!(audit.expect("a page").into_inner().audit_entries, []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn organisations_are_listed_oldest_first_by_pages_and_in_no_other_order() {
    let house = House::scripted().await;
    let operator = house.operator().await;
    for name in ["Older", "Younger"] {
        create(&operator, called(name), "").await.expect("it is valid");
    }
    let mut request =
        ListOrganisationsRequest { page_size: 2, order_by: "create_time".into(), ..Default::default() };
    let mut made = Vec::new();
    loop {
        let page = operator.organisations().list_organisations(request.clone()).await.expect("a page");
        let page = page.into_inner();
        assert!(page.organisations.len() <= 2);
        made.extend(page.organisations.into_iter().map(|found| found.display_name));
        if page.next_page_token.is_empty() {
            break;
        }
        request.page_token = page.next_page_token;
    }
    let place = |name: &str| made.iter().position(|found| found == name).expect("it is listed");
    assert!(place("Older") < place("Younger"), "{made:?}");
    for engine in [&operator, &house.client] {
        for order_by in ["create_time desc", "display_name"] {
            let odd = ListOrganisationsRequest { order_by: order_by.into(), ..Default::default() };
            let refused = engine.organisations().list_organisations(odd).await.expect_err("no order of it");
            assert_bad_fields(&refused, &["order_by"]);
            assert!(format!("{refused:?}").contains("must be"), "{refused:?}");
        }
    }
}
