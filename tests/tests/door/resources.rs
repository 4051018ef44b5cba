//! `ResourceService`: what can be kept, changed and refused, and that appointments are booked on resources.

use jiff::{SignedDuration, Timestamp, ToSpan};
use parlance_proto::v1::{
    CreateResourceRequest, DeleteResourceRequest, GetResourceRequest, ListAppointmentsRequest,
    ListResourcesRequest, Resource, ResourceKind, ResourceState, UpdateResourceRequest,
};
use parlance_store::appointments::{self, Booking, NewAppointment};
use parlance_tests::House;
use parlance_tests::details::{assert_bad_fields, assert_refused};
use parlance_tests::house::TIME_ZONE;
use tonic::{Code, Status};

fn called(display_name: &str) -> Resource {
    Resource { display_name: display_name.into(), ..Default::default() }
}

async fn create(house: &House, resource: Resource) -> Result<Resource, Status> {
    let request = CreateResourceRequest { resource: Some(resource), ..Default::default() };
    let answer = house.client.resources().create_resource(request).await?;
    Ok(answer.into_inner().resource.expect("the answer holds it"))
}

async fn get(house: &House, name: &str) -> Result<Resource, Status> {
    let answer = house.client.resources().get_resource(GetResourceRequest { name: name.into() }).await?;
    Ok(answer.into_inner().resource.expect("the answer holds it"))
}

async fn update(house: &House, resource: Resource, paths: &[&str]) -> Result<Resource, Status> {
    let paths: Vec<String> = paths.iter().map(ToString::to_string).collect();
    let update_mask = Some(prost_types::FieldMask { paths }).filter(|mask| !mask.paths.is_empty());
    let request = UpdateResourceRequest { resource: Some(resource), update_mask, ..Default::default() };
    let answer = house.client.resources().update_resource(request).await?;
    Ok(answer.into_inner().resource.expect("the answer holds it"))
}

async fn delete(house: &House, name: &str, allow_missing: bool) -> Result<(), Status> {
    let request = DeleteResourceRequest { name: name.into(), allow_missing, ..Default::default() };
    house.client.resources().delete_resource(request).await.map(drop)
}

/// Books an hour at noon, in two days, as an agent's tool does; gives the resource, none if it is refused.
async fn book(house: &House, key: &str) -> Option<String> {
    let today = Timestamp::now().in_tz(TIME_ZONE).expect("the zone is known").date();
    let noon = today.saturating_add(2.days()).at(12, 0, 0, 0).in_tz(TIME_ZONE).expect("noon exists");
    let wanted = NewAppointment {
        idempotency_key: key.into(),
        call_id: None,
        customer_name: "Ada Lovelace".into(),
        customer_phone: None,
        party_size: 2,
        start: noon.timestamp(),
        duration: SignedDuration::from_hours(1),
        notes: String::new(),
    };
    match appointments::book(&house.scope, wanted, Timestamp::now()).await.expect("it makes sense") {
        Booking::Booked(row) => row.resource_id.map(|id| format!("resources/{id}")),
        _ => None,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_resource_comes_back_as_it_was_given_and_is_an_active_person_unless_said_otherwise() {
    let house = House::scripted().await;
    let given = Resource {
        kind: ResourceKind::Room.into(),
        state: ResourceState::Inactive.into(),
        order: 7,
        ..called("Blue room")
    };
    let made = create(&house, given.clone()).await.expect("it is valid");
    let bare = Resource {
        name: String::new(),
        create_time: None,
        update_time: None,
        etag: String::new(),
        ..made.clone()
    };
    assert_eq!(bare, given);
    assert_eq!(get(&house, &made.name).await.expect("it is there"), made);
    let plain = create(&house, called("Anna")).await.expect("it is valid");
    assert_eq!((plain.kind(), plain.state(), plain.order), (ResourceKind::Person, ResourceState::Active, 0));
    let active = ListResourcesRequest { state: ResourceState::Active.into(), ..Default::default() };
    let listed = house.client.resources().list_resources(active).await.expect("a page").into_inner();
    assert_eq!(listed.resources, [plain]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_update_changes_what_its_mask_names() {
    let house = House::scripted().await;
    let made = create(&house, Resource { order: 3, ..called("Anna") }).await.expect("it is valid");
    let new = Resource { state: ResourceState::Inactive.into(), order: 0, ..made.clone() };
    let changed = update(&house, new.clone(), &["state", "order"]).await.expect("it is valid");
    assert_eq!((changed.state(), changed.order), (ResourceState::Inactive, 0));
    let stale = update(&house, new.clone(), &[]).await.expect_err("it has changed");
    assert_refused(&stale, Code::Aborted, "ETAG_MISMATCH");
    let set = Resource { etag: String::new(), order: 0, state: 0, ..called("Bea") };
    let set = update(&house, Resource { name: made.name.clone(), ..set }, &[]).await.expect("it is valid");
    assert_eq!((set.display_name.as_str(), set.state()), ("Bea", ResourceState::Inactive));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_bad_field_is_named() {
    let house = House::scripted().await;
    let bad = Resource { kind: 9, state: 9, order: -1, ..called(" ") };
    let fields = ["display_name", "kind", "state", "order"].map(|field| format!("resource.{field}"));
    let fields = fields.each_ref().map(String::as_str);
    assert_bad_fields(&create(&house, bad.clone()).await.expect_err("nothing is right"), &fields);
    let made = create(&house, called("Anna")).await.expect("it is valid");
    let bad = Resource { name: made.name.clone(), ..bad };
    assert_bad_fields(&update(&house, bad.clone(), &[]).await.expect_err("nothing is right"), &fields);
    assert_bad_fields(&update(&house, made, &["etag"]).await.expect_err("no field"), &["update_mask"]);
    assert_bad_fields(&get(&house, "resources/anna").await.expect_err("no name"), &["name"]);
    assert_bad_fields(&delete(&house, "anna", true).await.expect_err("no name"), &["name"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_appointment_gets_the_first_free_one_and_that_one_can_not_be_deleted() {
    let house = House::scripted().await;
    let second = create(&house, Resource { order: 2, ..called("Bob") }).await.expect("it is valid");
    let first = create(&house, Resource { order: 1, ..called("Anna") }).await.expect("it is valid");
    assert_eq!(book(&house, "a").await.as_ref(), Some(&first.name));
    assert_eq!(book(&house, "b").await.as_ref(), Some(&second.name));
    assert_eq!(book(&house, "c").await, None, "both are taken");
    let request = ListAppointmentsRequest { resource: first.name.clone(), ..Default::default() };
    let listed = house.client.appointments().list_appointments(request).await.expect("a page").into_inner();
    assert_eq!(listed.appointments.len(), 1);
    assert_eq!(listed.appointments[0].resource, first.name);
    let refused = delete(&house, &first.name, false).await.expect_err("somebody comes");
    assert_refused(&refused, Code::FailedPrecondition, "RESOURCE_IN_USE");
    let off = Resource { state: ResourceState::Inactive.into(), etag: String::new(), ..first.clone() };
    update(&house, off, &["state"]).await.expect("it may be deactivated");
    let request = ListAppointmentsRequest { resource: first.name, ..Default::default() };
    let listed = house.client.appointments().list_appointments(request).await.expect("a page").into_inner();
    assert_eq!(listed.appointments.len(), 1, "it keeps what it has");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deleted_resource_is_gone_and_one_that_is_missing_may_be_allowed() {
    let house = House::scripted().await;
    let made = create(&house, called("Anna")).await.expect("it is valid");
    delete(&house, &made.name, false).await.expect("nobody comes");
    for refused in [get(&house, &made.name).await.err(), delete(&house, &made.name, false).await.err()] {
        assert_refused(&refused.expect("it is gone"), Code::NotFound, "NOT_FOUND");
    }
    delete(&house, &made.name, true).await.expect("that it is gone is fine");
    assert_eq!(book(&house, "a").await, None, "without resources nothing is assigned");
}

/// All pages of one each, by the names for people.
async fn found(house: &House, filter: &str, order_by: &str) -> Vec<String> {
    let (mut found, mut page_token) = (Vec::new(), String::new());
    loop {
        let (filter, order_by) = (filter.into(), order_by.into());
        let request =
            ListResourcesRequest { page_size: 1, page_token, filter, order_by, ..Default::default() };
        let page = house.client.resources().list_resources(request).await.expect("a page").into_inner();
        assert!(page.resources.len() <= 1);
        found.extend(page.resources.into_iter().map(|resource| resource.display_name));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return found;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn resources_are_found_by_every_field_and_paged_in_every_order() {
    let house = House::scripted().await;
    let room = Resource { kind: ResourceKind::Room.into(), order: 1, ..called("Blue room") };
    let away = Resource { state: ResourceState::Inactive.into(), order: 2, ..called("Anna") };
    for given in [away, room, called("Cleo")] {
        create(&house, given).await.expect("it is valid");
    }
    for (filter, order_by, wanted) in [
        ("", "", vec!["Cleo", "Blue room", "Anna"]),
        ("", "order desc", vec!["Anna", "Blue room", "Cleo"]),
        ("", "create_time", vec!["Anna", "Blue room", "Cleo"]),
        ("", "create_time desc", vec!["Cleo", "Blue room", "Anna"]),
        ("", "display_name", vec!["Anna", "Blue room", "Cleo"]),
        ("kind = PERSON", "display_name desc", vec!["Cleo", "Anna"]),
        ("kind = RESOURCE_KIND_ROOM", "", vec!["Blue room"]),
        ("state = ACTIVE", "create_time", vec!["Blue room", "Cleo"]),
        ("state = INACTIVE AND kind = ROOM", "", vec![]),
        ("create_time >= 2020-01-01T00:00:00Z, state = INACTIVE", "", vec!["Anna"]),
        ("create_time < 2020-01-01T00:00:00Z", "", vec![]),
    ] {
        assert_eq!(found(&house, filter, order_by).await, wanted, "{filter} | {order_by}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn filters_and_orders_that_are_none_are_refused_and_the_known_ones_named() {
    let house = House::scripted().await;
    for name in ["Anna", "Bob"] {
        create(&house, called(name)).await.expect("it is valid");
    }
    let mut client = house.client.resources();
    let all = ListResourcesRequest::default;
    let first = ListResourcesRequest { page_size: 1, ..all() };
    let page_token = client.list_resources(first).await.expect("a page").into_inner().next_page_token;
    let by = |filter: &str| ListResourcesRequest { filter: filter.into(), ..all() };
    let order = |order_by: &str| ListResourcesRequest { order_by: order_by.into(), ..all() };
    for (request, field, said) in [
        (by("display_name = Anna"), "filter", "state, kind, create_time"),
        (by("state = AWAY"), "filter", "ACTIVE, INACTIVE"),
        (by("kind = CHAIR"), "filter", "PERSON, ROOM"),
        (by("kind != ROOM"), "filter", "by: ="),
        (by("create_time : 2026"), "filter", "< <= > >="),
        (order("kind"), "order_by", "order, create_time, display_name"),
        (ListResourcesRequest { page_token: page_token.clone(), ..by("state = ACTIVE") }, "page_token", ""),
        (ListResourcesRequest { page_token, ..order("display_name") }, "page_token", ""),
    ] {
        let refused = client.list_resources(request).await.expect_err("it is not valid");
        assert_bad_fields(&refused, &[field]);
        assert!(format!("{refused:?}").contains(said), "{said}: {refused:?}");
    }
}
