//! `ListCalls`: which calls are found, in which order, page by page.

use parlance_proto::v1::{Call, CreateCallRequest, EndCallRequest, ListCallsRequest};
use parlance_tests::details::assert_bad_fields;
use parlance_tests::{House, agents};
use prost_types::value::Kind;
use prost_types::{Struct, Value};

/// Calls of one agent, the first three of them ended in the order 2, 0, 1.
async fn five_calls(house: &House) -> Vec<String> {
    let agent = house.hires(agents::echo("Hello")).await;
    let mut names = Vec::new();
    for n in 0..5 {
        let order = Value { kind: Some(Kind::NumberValue(f64::from(n))) };
        let call = Call {
            agent: agent.clone(),
            labels: [("parity".to_owned(), if n % 2 == 0 { "even" } else { "odd" }.to_owned())].into(),
            metadata: Some(Struct { fields: [("order".to_owned(), order)].into() }),
            from_number: format!("+493011111{n}"),
            to_number: "+493022222".into(),
            ..Default::default()
        };
        let request = CreateCallRequest { call: Some(call), ..Default::default() };
        let made = house.client.calls().create_call(request).await.expect("the call is valid").into_inner();
        names.push(made.call.expect("the answer holds it").name);
    }
    for n in [2, 0, 1] {
        let request = EndCallRequest { name: names[n].clone(), ..Default::default() };
        house.client.calls().end_call(request).await.expect("it waits");
        house.ended_call(&names[n]).await;
    }
    names
}

async fn list(house: &House, filter: &str, order_by: &str) -> Vec<String> {
    let mut request = ListCallsRequest {
        page_size: 2,
        filter: filter.into(),
        order_by: order_by.into(),
        ..Default::default()
    };
    let mut found = Vec::new();
    loop {
        let page = house.client.calls().list_calls(request.clone()).await.expect("a page").into_inner();
        assert!(page.calls.len() <= 2);
        found.extend(page.calls.into_iter().map(|call| call.name));
        if page.next_page_token.is_empty() {
            return found;
        }
        request.page_token = page.next_page_token;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_are_found_by_every_field_and_paged_in_every_order() {
    let house = House::scripted().await;
    let names = five_calls(&house).await;
    for (filter, order_by, wanted) in [
        ("", "", vec![4, 3, 2, 1, 0]),
        ("", "create_time", vec![0, 1, 2, 3, 4]),
        ("", "end_time", vec![2, 0, 1, 3, 4]),
        ("", "end_time desc", vec![4, 3, 1, 0, 2]),
        ("", "start_time desc", vec![4, 3, 2, 1, 0]),
        ("state = ENDED", "end_time", vec![2, 0, 1]),
        ("labels.parity = even", "", vec![4, 2, 0]),
        ("labels.parity = even AND state = CREATED", "", vec![4]),
        ("metadata.order = 3", "", vec![3]),
        ("from_number = +4930111112", "", vec![2]),
        ("to_number = +493022222, metadata.order = 1", "", vec![1]),
        ("to_number = +4930111112", "", vec![]),
        ("end_reason = API_ENDED", "create_time", vec![0, 1, 2]),
        ("direction = INBOUND AND type = WEB AND agent = agents/echo", "create_time", vec![0, 1, 2, 3, 4]),
        ("direction = OUTBOUND", "", vec![]),
        (
            "create_time > 2020-01-01T00:00:00Z AND end_time > 2020-01-01T00:00:00Z",
            "create_time",
            vec![0, 1, 2],
        ),
        ("create_time < 2020-01-01T00:00:00Z", "", vec![]),
        ("start_time >= 2020-01-01T00:00:00Z", "", vec![]),
    ] {
        let wanted: Vec<&String> = wanted.into_iter().map(|n| &names[n]).collect();
        assert_eq!(
            list(&house, filter, order_by).await.iter().collect::<Vec<_>>(),
            wanted,
            "{filter} | {order_by}"
        );
    }
    let mut stranger = house.stranger().await.calls();
    let theirs = ListCallsRequest { filter: "labels.parity = even".into(), ..Default::default() };
    assert_eq!(stranger.list_calls(theirs).await.expect("an empty page").into_inner().calls, []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_of_another_filter_or_order_and_what_can_not_be_read_is_refused_by_field() {
    let house = House::scripted().await;
    five_calls(&house).await;
    let first =
        ListCallsRequest { page_size: 1, filter: "labels.parity = even".into(), ..Default::default() };
    let page = house.client.calls().list_calls(first.clone()).await.expect("a page").into_inner();
    let token = page.next_page_token;
    let all = ListCallsRequest::default;
    for (request, field) in [
        (ListCallsRequest { page_token: token.clone(), ..all() }, "page_token"),
        (
            ListCallsRequest {
                page_token: token.clone(),
                filter: "labels.parity = odd".into(),
                ..first.clone()
            },
            "page_token",
        ),
        (ListCallsRequest { page_token: token, order_by: "end_time".into(), ..first }, "page_token"),
        (ListCallsRequest { page_size: -1, ..all() }, "page_size"),
        (ListCallsRequest { filter: "duration > 5".into(), ..all() }, "filter"),
        (ListCallsRequest { filter: "state".into(), ..all() }, "filter"),
        (ListCallsRequest { order_by: "end_reason".into(), ..all() }, "order_by"),
        (ListCallsRequest { agent: "echo".into(), ..all() }, "agent"),
    ] {
        let refused = house.client.calls().list_calls(request).await.expect_err("it is not valid");
        assert_bad_fields(&refused, &[field]);
    }
}
