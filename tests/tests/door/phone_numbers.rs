//! `PhoneNumberService`: what can be kept, assigned, changed and refused.

use parlance_proto::v1::{
    Agent, CreatePhoneNumberRequest, DeleteAgentRequest, DeletePhoneNumberRequest, GetPhoneNumberRequest,
    ListPhoneNumbersRequest, PhoneNumber, PhoneNumberState, UpdatePhoneNumberRequest,
};
use parlance_tests::details::{assert_bad_fields, assert_refused};
use parlance_tests::{House, agents};
use tonic::{Code, Status};

fn number(number: &str) -> PhoneNumber {
    PhoneNumber { number: number.into(), ..Default::default() }
}

async fn create(house: &House, phone_number: PhoneNumber) -> Result<PhoneNumber, Status> {
    let request = CreatePhoneNumberRequest { phone_number: Some(phone_number), ..Default::default() };
    let response = house.client.phone_numbers().create_phone_number(request).await?;
    Ok(response.into_inner().phone_number.expect("the answer holds it"))
}

async fn get(house: &House, name: &str) -> Result<PhoneNumber, Status> {
    let request = GetPhoneNumberRequest { name: name.into() };
    let response = house.client.phone_numbers().get_phone_number(request).await?;
    Ok(response.into_inner().phone_number.expect("the answer holds it"))
}

async fn update(house: &House, phone_number: PhoneNumber, paths: &[&str]) -> Result<PhoneNumber, Status> {
    let paths: Vec<String> = paths.iter().map(ToString::to_string).collect();
    let update_mask = Some(prost_types::FieldMask { paths }).filter(|mask| !mask.paths.is_empty());
    let request =
        UpdatePhoneNumberRequest { phone_number: Some(phone_number), update_mask, ..Default::default() };
    let response = house.client.phone_numbers().update_phone_number(request).await?;
    Ok(response.into_inner().phone_number.expect("the answer holds it"))
}

async fn list(house: &House, request: ListPhoneNumbersRequest) -> Vec<String> {
    let page = house.client.phone_numbers().list_phone_numbers(request).await.expect("a page").into_inner();
    page.phone_numbers.into_iter().map(|found| found.name).collect()
}

async fn two_agents(house: &House) -> (String, String) {
    let one = house.hires(agents::echo("Hello")).await;
    (one, house.hires(Agent { name: "agents/other".into(), ..agents::echo("Hi") }).await)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_number_comes_back_as_it_was_given_with_name_times_and_etag() {
    let house = House::scripted().await;
    let (inbound_agent, outbound_agent) = two_agents(&house).await;
    let given = PhoneNumber {
        display_name: "Front desk".into(),
        state: PhoneNumberState::Inactive.into(),
        inbound_agent,
        outbound_agent,
        ..number("+493012345678")
    };
    let made = create(&house, given.clone()).await.expect("it is valid");
    assert_eq!(made.name, "phoneNumbers/493012345678");
    assert!(made.create_time.is_some() && made.update_time.is_some() && !made.etag.is_empty(), "{made:?}");
    let bare = PhoneNumber {
        name: String::new(),
        create_time: None,
        update_time: None,
        etag: String::new(),
        ..made.clone()
    };
    assert_eq!(bare, given);
    assert_eq!(get(&house, &made.name).await.expect("it is there"), made);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_number_is_active_and_assigned_to_nobody_unless_said_otherwise() {
    let house = House::scripted().await;
    let made = create(&house, number("+493012345678")).await.expect("it is valid");
    assert_eq!(made.state(), PhoneNumberState::Active);
    assert_eq!((made.inbound_agent.as_str(), made.outbound_agent.as_str()), ("", ""));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_number_the_organisation_has_is_already_exists() {
    let house = House::scripted().await;
    create(&house, number("+493012345678")).await.expect("it is valid");
    let again = create(&house, number("+493012345678")).await.expect_err("it is taken");
    assert_refused(&again, Code::AlreadyExists, "ALREADY_EXISTS");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_bad_field_is_named_at_once() {
    let house = House::scripted().await;
    let bad = PhoneNumber {
        display_name: "x".repeat(201),
        state: 99,
        inbound_agent: "echo".into(),
        outbound_agent: "calls/echo".into(),
        ..number("030 1234567")
    };
    let refused = create(&house, bad).await.expect_err("nothing is right");
    let field = |name: &str| format!("phone_number.{name}");
    let fields = ["number", "display_name", "state", "inbound_agent", "outbound_agent"].map(field);
    assert_bad_fields(&refused, &fields.each_ref().map(String::as_str));
    for none in ["", "493012345678", "+0301234567", "+493012", "+1234567890123456", "+49 30 1234567"] {
        let refused = create(&house, number(none)).await.expect_err("no number of E.164");
        assert_bad_fields(&refused, &["phone_number.number"]);
    }
    let mut client = house.client.phone_numbers();
    let nothing = client.create_phone_number(CreatePhoneNumberRequest::default()).await;
    assert_bad_fields(&nothing.expect_err("no number"), &["phone_number"]);
    let nothing = client.update_phone_number(UpdatePhoneNumberRequest::default()).await;
    assert_bad_fields(&nothing.expect_err("no number"), &["phone_number"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_that_are_none_are_refused_by_field() {
    let house = House::scripted().await;
    let mut client = house.client.phone_numbers();
    for name in ["", "493012345678", "phoneNumbers/", "phoneNumbers/+493012345678", "calls/493012345678"] {
        assert_bad_fields(&get(&house, name).await.expect_err("no name of a number"), &["name"]);
        let delete = DeletePhoneNumberRequest { name: name.into(), ..Default::default() };
        assert_bad_fields(&client.delete_phone_number(delete).await.expect_err("no name"), &["name"]);
        let nameless = PhoneNumber { name: name.into(), ..Default::default() };
        let refused = update(&house, nameless, &[]).await.expect_err("no name");
        assert_bad_fields(&refused, &["phone_number.name"]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_update_changes_what_its_mask_names_and_clears_what_is_absent() {
    let house = House::scripted().await;
    let (one, other) = two_agents(&house).await;
    let made = create(&house, PhoneNumber { inbound_agent: one, ..number("+493012345678") }).await;
    let made = made.expect("it is valid");
    let change = PhoneNumber {
        name: made.name.clone(),
        state: PhoneNumberState::Inactive.into(),
        outbound_agent: other.clone(),
        ..Default::default()
    };
    let changed = update(&house, change.clone(), &["inbound_agent", "outbound_agent"]).await.expect("valid");
    assert_eq!((changed.inbound_agent.as_str(), &changed.outbound_agent), ("", &other));
    assert_eq!(changed.state(), PhoneNumberState::Active, "the mask did not name it");
    assert_ne!(changed.etag, made.etag);
    let changed = update(&house, change.clone(), &["state", "display_name"]).await.expect("valid");
    assert_eq!((changed.state(), &changed.outbound_agent), (PhoneNumberState::Inactive, &other));
    assert_eq!(get(&house, &made.name).await.expect("it is there"), changed);
    let refused = update(&house, change, &["state", "number"]).await.expect_err("that can't be changed");
    assert_bad_fields(&refused, &["update_mask"]);
    assert_eq!(get(&house, &made.name).await.expect("it is there"), changed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_update_without_a_mask_takes_the_fields_that_are_set() {
    let house = House::scripted().await;
    let (one, other) = two_agents(&house).await;
    let made = create(&house, PhoneNumber { inbound_agent: one, ..number("+493012345678") }).await;
    let made = made.expect("it is valid");
    let change = PhoneNumber { name: made.name.clone(), outbound_agent: other, ..Default::default() };
    let changed = update(&house, change.clone(), &[]).await.expect("valid");
    assert_eq!(
        (&changed.inbound_agent, &changed.outbound_agent),
        (&made.inbound_agent, &change.outbound_agent)
    );
    let moved = PhoneNumber { number: "+493087654321".into(), ..change };
    let refused = update(&house, moved, &[]).await.expect_err("another number is another resource");
    assert_bad_fields(&refused, &["phone_number.number"]);
    update(&house, changed, &[]).await.expect("what was read can be written back");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_that_is_not_there_is_not_found_and_named() {
    let house = House::scripted().await;
    let made = create(&house, number("+493012345678")).await.expect("it is valid");
    let nobody = PhoneNumber { outbound_agent: "agents/nobody".into(), ..number("+493087654321") };
    let refused = create(&house, nobody).await.expect_err("there is no such agent");
    assert_refused(&refused, Code::NotFound, "NOT_FOUND");
    assert!(refused.message().contains("agents/nobody"), "{refused:?}");
    let nobody = PhoneNumber { name: made.name, inbound_agent: "agents/nobody".into(), ..Default::default() };
    let refused = update(&house, nobody, &[]).await.expect_err("there is no such agent");
    assert_refused(&refused, Code::NotFound, "NOT_FOUND");
    assert!(refused.message().contains("agents/nobody"), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deleted_agent_answers_no_number_any_more() {
    let house = House::scripted().await;
    let (inbound_agent, outbound_agent) = two_agents(&house).await;
    let given =
        PhoneNumber { inbound_agent, outbound_agent: outbound_agent.clone(), ..number("+493012345678") };
    let made = create(&house, given).await.expect("it is valid");
    let fire = DeleteAgentRequest { name: made.inbound_agent.clone(), ..Default::default() };
    house.client.agents().delete_agent(fire).await.expect("it is there");
    let left = get(&house, &made.name).await.expect("the number stays");
    assert_eq!((left.inbound_agent.as_str(), left.outbound_agent), ("", outbound_agent));
    assert_ne!(left.etag, made.etag);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_race_is_aborted_for_updates_and_deletions() {
    let house = House::scripted().await;
    let made = create(&house, number("+493012345678")).await.expect("it is valid");
    let rename = |display_name: &str| PhoneNumber { display_name: display_name.into(), ..made.clone() };
    update(&house, rename("First"), &["display_name"]).await.expect("the etag is fresh");
    let lost = update(&house, rename("Second"), &["display_name"]).await.expect_err("the etag is old");
    assert_refused(&lost, Code::Aborted, "ETAG_MISMATCH");
    let stale = DeletePhoneNumberRequest {
        name: made.name.clone(),
        etag: made.etag,
        allow_missing: true,
        ..Default::default()
    };
    let lost = house.client.phone_numbers().delete_phone_number(stale).await.expect_err("the etag is old");
    assert_refused(&lost, Code::Aborted, "ETAG_MISMATCH");
    assert_eq!(get(&house, &made.name).await.expect("it is there").display_name, "First");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deleted_number_is_gone_and_can_be_created_again() {
    let house = House::scripted().await;
    let made = create(&house, number("+493012345678")).await.expect("it is valid");
    let deletion = |allow_missing| DeletePhoneNumberRequest {
        name: made.name.clone(),
        etag: String::new(),
        allow_missing,
        ..Default::default()
    };
    let mut client = house.client.phone_numbers();
    client.delete_phone_number(deletion(false)).await.expect("it is there");
    assert_refused(&get(&house, &made.name).await.expect_err("it is gone"), Code::NotFound, "NOT_FOUND");
    let again = client.delete_phone_number(deletion(false)).await.expect_err("it is gone");
    assert_refused(&again, Code::NotFound, "NOT_FOUND");
    let change = PhoneNumber { name: made.name.clone(), display_name: "Late".into(), ..Default::default() };
    let late = update(&house, change, &[]).await.expect_err("it is gone");
    assert_refused(&late, Code::NotFound, "NOT_FOUND");
    client.delete_phone_number(deletion(true)).await.expect("a missing one is allowed");
    create(&house, number("+493012345678")).await.expect("the number is free again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_in_pages_has_every_number_once_oldest_first_and_counts_them_all() {
    let house = House::scripted().await;
    let mut wanted = Vec::new();
    for n in (0..5).rev() {
        wanted.push(create(&house, number(&format!("+49301234{n}"))).await.expect("it is valid").name);
    }
    let (mut found, mut page_token) = (Vec::new(), String::new());
    loop {
        let request = ListPhoneNumbersRequest { page_size: 2, page_token, ..Default::default() };
        let page =
            house.client.phone_numbers().list_phone_numbers(request).await.expect("a page").into_inner();
        assert!(page.phone_numbers.len() <= 2);
        assert_eq!(page.total_size, 5);
        found.extend(page.phone_numbers.into_iter().map(|number| number.name));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    assert_eq!(found, wanted);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lists_are_filtered_by_agent_and_state() {
    let house = House::scripted().await;
    let (one, other) = two_agents(&house).await;
    let answered = PhoneNumber { inbound_agent: one.clone(), ..number("+4930111111") };
    let calling = PhoneNumber {
        outbound_agent: one.clone(),
        state: PhoneNumberState::Inactive.into(),
        ..number("+4930222222")
    };
    let mut names = Vec::new();
    for given in [answered, calling, PhoneNumber { inbound_agent: other, ..number("+4930333333") }] {
        names.push(create(&house, given).await.expect("it is valid").name);
    }
    let all = ListPhoneNumbersRequest::default;
    let (active, inactive) = (PhoneNumberState::Active.into(), PhoneNumberState::Inactive.into());
    assert_eq!(list(&house, ListPhoneNumbersRequest { agent: one.clone(), ..all() }).await, names[..2]);
    assert_eq!(list(&house, ListPhoneNumbersRequest { state: inactive, ..all() }).await, names[1..2]);
    assert_eq!(
        list(&house, ListPhoneNumbersRequest { agent: one, state: active, ..all() }).await,
        names[..1]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_pages_and_filters_are_refused_by_field() {
    let house = House::scripted().await;
    for digits in ["+4930111111", "+4930222222"] {
        create(&house, number(digits)).await.expect("it is valid");
    }
    let mut client = house.client.phone_numbers();
    let first = ListPhoneNumbersRequest { page_size: 1, ..Default::default() };
    let first = client.list_phone_numbers(first).await.expect("a page").into_inner();
    let active = PhoneNumberState::Active.into();
    let all = ListPhoneNumbersRequest::default;
    for (request, fields) in [
        (ListPhoneNumbersRequest { page_size: -1, ..all() }, &["page_size"][..]),
        (ListPhoneNumbersRequest { page_token: "the third".into(), ..all() }, &["page_token"]),
        (
            ListPhoneNumbersRequest { page_token: first.next_page_token, state: active, ..all() },
            &["page_token"],
        ),
        (ListPhoneNumbersRequest { agent: "echo".into(), state: 99, ..all() }, &["agent", "state"]),
    ] {
        assert_bad_fields(&client.list_phone_numbers(request).await.expect_err("it is a bad page"), fields);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_organisation_finds_none_of_it() {
    let house = House::scripted().await;
    let agent = house.hires(agents::echo("Hello")).await;
    let name = create(&house, number("+493012345678")).await.expect("it is valid").name;
    let stranger = house.stranger().await;
    let mut client = stranger.phone_numbers();
    let not_found = |status: Status| assert_refused(&status, Code::NotFound, "NOT_FOUND");
    let get = GetPhoneNumberRequest { name: name.clone() };
    not_found(client.get_phone_number(get).await.expect_err("not theirs"));
    let change = PhoneNumber { name: name.clone(), display_name: "Mine".into(), ..Default::default() };
    let update =
        UpdatePhoneNumberRequest { phone_number: Some(change), update_mask: None, ..Default::default() };
    not_found(client.update_phone_number(update).await.expect_err("not theirs"));
    let delete = DeletePhoneNumberRequest { name, ..Default::default() };
    not_found(client.delete_phone_number(delete).await.expect_err("not theirs"));
    let page = client.list_phone_numbers(ListPhoneNumbersRequest::default()).await.expect("an empty page");
    assert_eq!((page.get_ref().phone_numbers.len(), page.get_ref().total_size), (0, 0));
    let foreign = PhoneNumber { inbound_agent: agent, ..number("+493012345678") };
    let create =
        |phone_number| CreatePhoneNumberRequest { phone_number: Some(phone_number), ..Default::default() };
    not_found(client.create_phone_number(create(foreign)).await.expect_err("the agent is not theirs"));
    let same = create(number("+493012345678"));
    client.create_phone_number(same).await.expect("the same number is free for them");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lists_are_filtered_and_ordered_as_the_request_says_and_counted_by_state() {
    let house = House::scripted().await;
    let (one, _) = two_agents(&house).await;
    let answered = PhoneNumber { inbound_agent: one, ..number("+4930333333") };
    let idle = PhoneNumber { state: PhoneNumberState::Inactive.into(), ..number("+4930111111") };
    for given in [answered, idle, number("+4930222222")] {
        create(&house, given).await.expect("it is valid");
    }
    let name = |digits: &str| format!("phoneNumbers/4930{digits}");
    for (filter, order_by, digits) in [
        ("", "number", vec!["111111", "222222", "333333"]),
        ("", "create_time desc", vec!["222222", "111111", "333333"]),
        ("state = ACTIVE", "number desc", vec!["333333", "222222"]),
        ("inbound_agent = agents/echo", "", vec!["333333"]),
        ("inbound_agent = \"\" AND state = INACTIVE", "", vec!["111111"]),
        ("outbound_agent = agents/echo", "", vec![]),
    ] {
        let request = ListPhoneNumbersRequest {
            filter: filter.into(),
            order_by: order_by.into(),
            ..Default::default()
        };
        let wanted: Vec<String> = digits.into_iter().map(name).collect();
        assert_eq!(list(&house, request).await, wanted, "{filter} {order_by}");
    }
    let all = house.client.phone_numbers().list_phone_numbers(ListPhoneNumbersRequest::default()).await;
    let all = all.expect("a page").into_inner();
    assert_eq!((all.total_size, all.active_size, all.inactive_size), (3, 2, 1));

    let mut client = house.client.phone_numbers();
    let first = ListPhoneNumbersRequest { page_size: 1, order_by: "number".into(), ..Default::default() };
    let page_token =
        client.list_phone_numbers(first.clone()).await.expect("a page").into_inner().next_page_token;
    let second = ListPhoneNumbersRequest { page_token: page_token.clone(), ..first };
    assert_eq!(list(&house, second).await, [name("222222")]);
    for (request, field) in [
        (ListPhoneNumbersRequest { page_token, ..Default::default() }, "page_token"),
        (ListPhoneNumbersRequest { filter: "state = RINGING".into(), ..Default::default() }, "filter"),
        (ListPhoneNumbersRequest { filter: "number = 1".into(), ..Default::default() }, "filter"),
        (ListPhoneNumbersRequest { filter: "inbound_agent = echo".into(), ..Default::default() }, "filter"),
        (ListPhoneNumbersRequest { filter: "state != ACTIVE".into(), ..Default::default() }, "filter"),
        (ListPhoneNumbersRequest { order_by: "state".into(), ..Default::default() }, "order_by"),
    ] {
        let refused = client.list_phone_numbers(request).await.expect_err("it is not valid");
        assert_bad_fields(&refused, &[field]);
    }
}
