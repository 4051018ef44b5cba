//! `AppointmentService`: what agents booked is listed, cancelled and moved by the rules of booking.

use jiff::civil::{Date, time};
use jiff::{SignedDuration, Timestamp};
use parlance_proto::v1::{
    Appointment, AppointmentState, CancelAppointmentRequest, GetAppointmentRequest, ListAppointmentsRequest,
    RescheduleAppointmentRequest,
};
use parlance_store::appointments::{self, Booking, NewAppointment};
use parlance_store::{AgentId, AppointmentId, CallId, calls};
use parlance_tests::details::{assert_bad_fields, assert_refused};
use parlance_tests::house::TIME_ZONE;
use parlance_tests::{House, agents};
use tonic::{Code, Status};

/// The organisations are open from 11 to 22 every day of the week.
fn day() -> Date {
    let today = Timestamp::now().in_tz(TIME_ZONE).expect("the zone is known").date();
    today.tomorrow().expect("there is one").tomorrow().expect("there is another")
}

fn at(day: Date, hour: i8, minute: i8) -> Timestamp {
    day.to_datetime(time(hour, minute, 0, 0)).in_tz(TIME_ZONE).expect("the zone is known").timestamp()
}

fn wire(at: Timestamp) -> Option<prost_types::Timestamp> {
    Some(prost_types::Timestamp { seconds: at.as_second(), nanos: at.subsec_nanosecond() })
}

fn minutes(minutes: u64) -> Option<prost_types::Duration> {
    Some(agents::duration(std::time::Duration::from_secs(minutes * 60)))
}

async fn call(house: &House) -> CallId {
    let new = calls::NewCall {
        agent_id: AgentId::parse("echo").expect("an id"),
        agent_display_name: "Echo".into(),
        call_type: calls::CallType::Web,
        direction: calls::Direction::Inbound,
        dynamic_variables: serde_json::json!({}),
        metadata: serde_json::json!({}),
        labels: serde_json::json!({}),
        from_number: None,
        to_number: None,
    };
    calls::create(&house.scope, new).await.expect("a call can be announced").id
}

/// Books 90 minutes, as an agent's tool does.
async fn book(house: &House, start: Timestamp, call_id: Option<CallId>) -> Appointment {
    let wanted = NewAppointment {
        idempotency_key: start.to_string(),
        call_id,
        customer_name: "Ada Lovelace".into(),
        customer_phone: Some("5550198".into()),
        party_size: 4,
        start,
        duration: SignedDuration::from_mins(90),
        notes: "by the window".into(),
    };
    match appointments::book(&house.scope, wanted, Timestamp::now()).await.expect("a wish that makes sense") {
        Booking::Booked(row) => get(house, &format!("appointments/{}", row.id)).await.expect("it is there"),
        other => panic!("{other:?}"),
    }
}

async fn get(house: &House, name: &str) -> Result<Appointment, Status> {
    let request = GetAppointmentRequest { name: name.into() };
    let response = house.client.appointments().get_appointment(request).await?;
    Ok(response.into_inner().appointment.expect("the answer holds it"))
}

async fn list(house: &House, request: ListAppointmentsRequest) -> Vec<String> {
    let page = house.client.appointments().list_appointments(request).await.expect("a page").into_inner();
    page.appointments.into_iter().map(|found| found.name).collect()
}

async fn cancel(house: &House, name: &str, etag: &str) -> Result<Appointment, Status> {
    let request = CancelAppointmentRequest { name: name.into(), etag: etag.into(), ..Default::default() };
    let response = house.client.appointments().cancel_appointment(request).await?;
    Ok(response.into_inner().appointment.expect("the answer holds it"))
}

async fn reschedule(house: &House, request: RescheduleAppointmentRequest) -> Result<Appointment, Status> {
    let response = house.client.appointments().reschedule_appointment(request).await?;
    Ok(response.into_inner().appointment.expect("the answer holds it"))
}

fn to(name: &str, start: Timestamp) -> RescheduleAppointmentRequest {
    RescheduleAppointmentRequest { name: name.into(), start_time: wire(start), ..Default::default() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_appointment_reads_as_it_was_booked() {
    let house = House::scripted().await;
    let call = call(&house).await;
    let booked = book(&house, at(day(), 19, 0), Some(call)).await;
    let known = Appointment {
        name: booked.name.clone(),
        call: format!("calls/{call}"),
        customer_name: "Ada Lovelace".into(),
        customer_phone: "5550198".into(),
        party_size: 4,
        start_time: wire(at(day(), 19, 0)),
        end_time: wire(at(day(), 20, 30)),
        notes: "by the window".into(),
        state: AppointmentState::Booked.into(),
        create_time: booked.create_time,
        update_time: booked.create_time,
        etag: booked.etag.clone(),
        resource: String::new(),
    };
    assert_eq!(booked, known);
    assert!(booked.create_time.is_some() && !booked.etag.is_empty(), "{booked:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lists_go_by_start_and_are_filtered_by_time_call_and_state() {
    let house = House::scripted().await;
    let call = call(&house).await;
    let evening = book(&house, at(day(), 19, 0), Some(call)).await.name;
    let noon = book(&house, at(day(), 12, 0), None).await.name;
    let afternoon = book(&house, at(day(), 15, 0), None).await.name;
    cancel(&house, &afternoon, "").await.expect("it stands");
    let all = ListAppointmentsRequest::default;
    assert_eq!(list(&house, all()).await, [&*noon, &*afternoon, &*evening]);
    let (from, before) = (wire(at(day(), 15, 0)), wire(at(day(), 19, 0)));
    let from_on = ListAppointmentsRequest { starts_from: from, ..all() };
    assert_eq!(list(&house, from_on.clone()).await, [&*afternoon, &*evening]);
    let between = ListAppointmentsRequest { starts_before: before, ..from_on };
    assert_eq!(list(&house, between).await, [&*afternoon]);
    let of_call = ListAppointmentsRequest { call: format!("calls/{call}"), ..all() };
    assert_eq!(list(&house, of_call).await, [&*evening]);
    let state = |state: AppointmentState| ListAppointmentsRequest { state: state.into(), ..all() };
    assert_eq!(list(&house, state(AppointmentState::Booked)).await, [&*noon, &*evening]);
    assert_eq!(list(&house, state(AppointmentState::Cancelled)).await, [&*afternoon]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_in_pages_has_every_appointment_once() {
    let house = House::scripted().await;
    let mut wanted = Vec::new();
    for hour in [11, 13, 15, 17, 19] {
        wanted.push(book(&house, at(day(), hour, 0), None).await.name);
    }
    let (mut found, mut page_token) = (Vec::new(), String::new());
    loop {
        let request = ListAppointmentsRequest { page_size: 2, page_token, ..Default::default() };
        let page = house.client.appointments().list_appointments(request).await.expect("a page").into_inner();
        assert!(page.appointments.len() <= 2);
        found.extend(page.appointments.into_iter().map(|appointment| appointment.name));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    assert_eq!(found, wanted);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_pages_and_filters_are_refused_by_field() {
    let house = House::scripted().await;
    for hour in [12, 14] {
        book(&house, at(day(), hour, 0), None).await;
    }
    let mut client = house.client.appointments();
    let all = ListAppointmentsRequest::default;
    let first = client.list_appointments(ListAppointmentsRequest { page_size: 1, ..all() }).await;
    let page_token = first.expect("a page").into_inner().next_page_token;
    let (noon, none) = (wire(at(day(), 12, 0)), Some(prost_types::Timestamp { seconds: 0, nanos: -1 }));
    for (request, fields) in [
        (ListAppointmentsRequest { page_size: -1, ..all() }, &["page_size"][..]),
        (ListAppointmentsRequest { page_token: "the third".into(), ..all() }, &["page_token"]),
        (ListAppointmentsRequest { page_token, starts_from: noon, ..all() }, &["page_token"]),
        (ListAppointmentsRequest { starts_from: noon, starts_before: noon, ..all() }, &["starts_before"]),
        (ListAppointmentsRequest { call: "1".into(), state: 99, ..all() }, &["call", "state"]),
        (
            ListAppointmentsRequest { starts_from: none, starts_before: none, ..all() },
            &["starts_from", "starts_before"],
        ),
    ] {
        assert_bad_fields(&client.list_appointments(request).await.expect_err("it is a bad page"), fields);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancelled_appointment_frees_its_time_and_can_not_be_changed_any_more() {
    let house = House::scripted().await;
    let booked = book(&house, at(day(), 19, 0), None).await;
    let later = book(&house, at(day(), 12, 0), None).await;
    let gone = cancel(&house, &booked.name, &booked.etag).await.expect("it stands");
    assert_eq!((gone.state(), gone.start_time), (AppointmentState::Cancelled, booked.start_time));
    assert_ne!(gone.etag, booked.etag);
    assert_eq!(get(&house, &booked.name).await.expect("it is kept"), gone);
    let again = cancel(&house, &booked.name, "").await.expect_err("it is cancelled");
    assert_refused(&again, Code::FailedPrecondition, "APPOINTMENT_CANCELLED");
    let moved = reschedule(&house, to(&booked.name, at(day(), 16, 0))).await.expect_err("it is cancelled");
    assert_refused(&moved, Code::FailedPrecondition, "APPOINTMENT_CANCELLED");
    reschedule(&house, to(&later.name, at(day(), 19, 0))).await.expect("its time is free");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_moved_appointment_lasts_as_long_as_before_or_as_is_said() {
    let house = House::scripted().await;
    let booked = book(&house, at(day(), 19, 0), None).await;
    let fresh =
        RescheduleAppointmentRequest { etag: booked.etag.clone(), ..to(&booked.name, at(day(), 19, 30)) };
    let moved = reschedule(&house, fresh).await.expect("it is in nobody's way but its own");
    let times = (moved.start_time, moved.end_time);
    assert_eq!(times, (wire(at(day(), 19, 30)), wire(at(day(), 21, 0))));
    assert_eq!((moved.state(), &moved.customer_name), (AppointmentState::Booked, &booked.customer_name));
    assert_ne!(moved.etag, booked.etag);
    let short = RescheduleAppointmentRequest { duration: minutes(30), ..to(&booked.name, at(day(), 21, 30)) };
    let short = reschedule(&house, short).await.expect("half an hour is left before closing");
    assert_eq!(short.end_time, wire(at(day(), 22, 0)));
    assert_eq!(get(&house, &booked.name).await.expect("it is there"), short);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_move_against_the_rules_of_booking_is_refused_by_reason_in_words_to_say() {
    let house = House::scripted().await;
    let booked = book(&house, at(day(), 19, 0), None).await;
    book(&house, at(day(), 12, 0), None).await;
    let yesterday = Timestamp::now() - SignedDuration::from_hours(24);
    for (start, reason, said) in [
        (yesterday, "TIME_PAST", "That time has passed already"),
        (at(day(), 21, 0), "TIME_CLOSED", "we are open from 11 AM to 10 PM, with the last start at 8:30 PM."),
        (at(day(), 12, 30), "TIME_TAKEN", "That time is taken; the next free time is 1:30 PM."),
    ] {
        let refused = reschedule(&house, to(&booked.name, start)).await.expect_err(reason);
        assert_refused(&refused, Code::FailedPrecondition, reason);
        assert!(refused.message().contains(said), "{refused:?}");
    }
    assert_eq!(get(&house, &booked.name).await.expect("it is there"), booked, "it stays as it was");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_time_that_makes_no_sense_is_refused_by_field() {
    let house = House::scripted().await;
    let booked = book(&house, at(day(), 19, 0), None).await;
    let good = to(&booked.name, at(day(), 16, 0));
    let stamp = |seconds, nanos| Some(prost_types::Timestamp { seconds, nanos });
    let length = |seconds| Some(prost_types::Duration { seconds, nanos: 0 });
    for (request, fields) in [
        (RescheduleAppointmentRequest { start_time: None, ..good.clone() }, &["start_time"][..]),
        (RescheduleAppointmentRequest { start_time: stamp(0, -1), ..good.clone() }, &["start_time"]),
        (RescheduleAppointmentRequest { start_time: stamp(i64::MAX, 0), ..good.clone() }, &["start_time"]),
        // The last second there is: it could not end.
        (
            RescheduleAppointmentRequest { start_time: stamp(253_402_207_200, 0), ..good.clone() },
            &["start_time"],
        ),
        (RescheduleAppointmentRequest { duration: length(0), ..good.clone() }, &["duration"]),
        (RescheduleAppointmentRequest { duration: length(86_401), ..good.clone() }, &["duration"]),
        (
            RescheduleAppointmentRequest { start_time: None, duration: length(-1), ..good },
            &["start_time", "duration"],
        ),
    ] {
        assert_bad_fields(&reschedule(&house, request).await.expect_err("it makes no sense"), fields);
    }
    assert_eq!(get(&house, &booked.name).await.expect("it is there"), booked);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_race_is_aborted_for_moves_and_cancellations() {
    let house = House::scripted().await;
    let booked = book(&house, at(day(), 19, 0), None).await;
    let moved = reschedule(&house, to(&booked.name, at(day(), 16, 0))).await.expect("it is free");
    let lost = cancel(&house, &booked.name, &booked.etag).await.expect_err("the etag is old");
    assert_refused(&lost, Code::Aborted, "ETAG_MISMATCH");
    let late = RescheduleAppointmentRequest { etag: booked.etag, ..to(&booked.name, at(day(), 12, 0)) };
    let lost = reschedule(&house, late).await.expect_err("the etag is old");
    assert_refused(&lost, Code::Aborted, "ETAG_MISMATCH");
    assert_eq!(get(&house, &booked.name).await.expect("it is there"), moved);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_that_are_none_are_refused_by_field_and_unknown_ones_are_not_found() {
    let house = House::scripted().await;
    for name in ["", "1", "appointments/", "appointments/1", &format!("calls/{}", AppointmentId::new())] {
        assert_bad_fields(&get(&house, name).await.expect_err("no name"), &["name"]);
        assert_bad_fields(&cancel(&house, name, "").await.expect_err("no name"), &["name"]);
        let moved = reschedule(&house, to(name, at(day(), 12, 0))).await;
        assert_bad_fields(&moved.expect_err("no name"), &["name"]);
    }
    let nowhere = format!("appointments/{}", AppointmentId::new());
    let not_found = |status: Status| assert_refused(&status, Code::NotFound, "NOT_FOUND");
    not_found(get(&house, &nowhere).await.expect_err("there is none"));
    not_found(cancel(&house, &nowhere, "").await.expect_err("there is none"));
    not_found(reschedule(&house, to(&nowhere, at(day(), 12, 0))).await.expect_err("there is none"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_organisation_finds_none_of_it() {
    let house = House::scripted().await;
    let booked = book(&house, at(day(), 19, 0), None).await;
    let stranger = house.stranger().await;
    let mut client = stranger.appointments();
    let not_found = |status: Status| assert_refused(&status, Code::NotFound, "NOT_FOUND");
    let get_it = GetAppointmentRequest { name: booked.name.clone() };
    not_found(client.get_appointment(get_it).await.expect_err("not theirs"));
    let cancel =
        CancelAppointmentRequest { name: booked.name.clone(), etag: String::new(), ..Default::default() };
    not_found(client.cancel_appointment(cancel).await.expect_err("not theirs"));
    let moved = client.reschedule_appointment(to(&booked.name, at(day(), 12, 0))).await;
    not_found(moved.expect_err("not theirs"));
    let page = client.list_appointments(ListAppointmentsRequest::default()).await.expect("an empty page");
    assert_eq!(page.into_inner().appointments, []);
    assert_eq!(get(&house, &booked.name).await.expect("it is there"), booked);
}

/// All pages of one each.
async fn found(house: &House, filter: &str, order_by: &str) -> Vec<String> {
    let (mut found, mut page_token) = (Vec::new(), String::new());
    loop {
        let (filter, order_by) = (filter.into(), order_by.into());
        let request =
            ListAppointmentsRequest { page_size: 1, page_token, filter, order_by, ..Default::default() };
        let page = house.client.appointments().list_appointments(request).await.expect("a page").into_inner();
        assert!(page.appointments.len() <= 1);
        found.extend(page.appointments.into_iter().map(|appointment| appointment.name));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return found;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn appointments_are_found_by_every_field_and_paged_in_every_order() {
    let house = House::scripted().await;
    let call = call(&house).await;
    let evening = book(&house, at(day(), 19, 0), Some(call)).await.name;
    let noon = book(&house, at(day(), 12, 0), None).await.name;
    let afternoon = book(&house, at(day(), 15, 0), None).await.name;
    cancel(&house, &noon, "").await.expect("it stands");
    let (evening, noon, afternoon) = (&*evening, &*noon, &*afternoon);
    let three = at(day(), 15, 0);
    for (filter, order_by, wanted) in [
        (String::new(), "", vec![noon, afternoon, evening]),
        (String::new(), "start_time desc", vec![evening, afternoon, noon]),
        (String::new(), "create_time", vec![evening, noon, afternoon]),
        (String::new(), "create_time desc", vec![afternoon, noon, evening]),
        ("state = BOOKED".into(), "create_time", vec![evening, afternoon]),
        ("state = APPOINTMENT_STATE_CANCELLED".into(), "", vec![noon]),
        (format!("call = calls/{call}"), "", vec![evening]),
        ("call = \"\" AND state = BOOKED".into(), "", vec![afternoon]),
        ("resource = \"\"".into(), "", vec![noon, afternoon, evening]),
        (format!("resource = resources/{}", AppointmentId::new()), "", vec![]),
        ("customer_phone = 5550198".into(), "", vec![noon, afternoon, evening]),
        ("customer_phone = 5550199".into(), "", vec![]),
        (format!("start_time < {three}"), "", vec![noon]),
        (format!("start_time <= {three}, start_time >= {three}"), "", vec![afternoon]),
        (format!("start_time > {three}"), "", vec![evening]),
        ("create_time > 2020-01-01T00:00:00Z AND create_time < 2021-01-01T00:00:00Z".into(), "", vec![]),
    ] {
        assert_eq!(self::found(&house, &filter, order_by).await, wanted, "{filter} | {order_by}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn filters_and_orders_that_are_none_are_refused_and_the_known_ones_named() {
    let house = House::scripted().await;
    for hour in [12, 14] {
        book(&house, at(day(), hour, 0), None).await;
    }
    let mut client = house.client.appointments();
    let all = ListAppointmentsRequest::default;
    let first = ListAppointmentsRequest { page_size: 1, ..all() };
    let page_token = client.list_appointments(first).await.expect("a page").into_inner().next_page_token;
    let by = |filter: &str| ListAppointmentsRequest { filter: filter.into(), ..all() };
    let order = |order_by: &str| ListAppointmentsRequest { order_by: order_by.into(), ..all() };
    for (request, field, said) in [
        (by("party_size = 4"), "filter", "state, call, resource, customer_phone, start_time, create_time"),
        (by("state = HELD"), "filter", "BOOKED, CANCELLED"),
        (by("state != BOOKED"), "filter", "by: ="),
        (by("call = 7"), "filter", "calls/{call}"),
        (by("start_time = 2026-01-01T00:00:00Z"), "filter", "< <= > >="),
        (by("create_time > yesterday"), "filter", "2026-05-23T19:00:00Z"),
        (by("create_time > -0001-01-01T00:00:00Z"), "filter", "years 1 to 9999"),
        (by("state"), "filter", "one of = !="),
        (order("party_size"), "order_by", "start_time, create_time"),
        (
            ListAppointmentsRequest { page_token: page_token.clone(), ..by("state = BOOKED") },
            "page_token",
            "",
        ),
        (ListAppointmentsRequest { page_token, ..order("create_time") }, "page_token", ""),
    ] {
        let refused = client.list_appointments(request).await.expect_err("it is not valid");
        assert_bad_fields(&refused, &[field]);
        assert!(format!("{refused:?}").contains(said), "{said}: {refused:?}");
    }
}
