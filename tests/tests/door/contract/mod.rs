//! Every RPC of the contract: it succeeds, refuses for each reason it declares, shows a stranger nothing, asks for the
//! scope it declares, pages as lists do and is done once for a request id.
//!
//! The list of RPCs and of their reasons is the contract's own (`parlance_proto::METHODS`): one that has no case in
//! `cases.rs` fails here.

mod cases;
mod wire;

use std::collections::BTreeSet;

use parlance_proto::v1::{ErrorReason, KeyScope};
use parlance_proto::{METHODS, Method};
use parlance_tests::details::{assert_refused, reason};
use serde_json::{Value, json};
use tonic::{Code, Status};

use cases::World;
use wire::{Door, method};

/// `GetAgent` of `/parlance.v1.AgentService/GetAgent`.
fn short(method: &Method) -> &'static str {
    method.path.rsplit('/').next().unwrap_or_default()
}

fn word(reason: ErrorReason) -> &'static str {
    reason.as_str_name().trim_start_matches("ERROR_REASON_")
}

fn good_case(missing: &Method) -> ! {
    panic!("{} has no case: add one to contract/cases.rs", missing.path)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_rpc_succeeds_for_a_key_of_its_scope_and_for_no_other() {
    let world = World::new("contract_scopes").await;
    for rpc in METHODS {
        let Some(requests) = cases::good(&world, short(rpc)).await else { good_case(rpc) };
        let nobody = Door::open(&world.house.url(), None).await;
        let refused = nobody.call(rpc.path, &requests).await.expect_err(rpc.path);
        assert_refused(&refused, Code::Unauthenticated, "INVALID_KEY");
        let wrong = if rpc.scope() == KeyScope::Sessions { "read_only" } else { "sessions" };
        let refused = world.key_of(wrong).await.call(rpc.path, &requests).await.expect_err(rpc.path);
        assert_refused(&refused, Code::PermissionDenied, "SCOPE_MISSING");
        let right = parlance::rpc::auth::scope_name(rpc.scope());
        let done = world.key_of(right).await.call(rpc.path, &requests).await;
        done.unwrap_or_else(|status| panic!("{} with {requests:?}: {status:?}", rpc.path));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_rpc_shows_or_changes_anything_of_another_organisation() {
    let world = World::new("contract_strangers").await;
    for rpc in METHODS {
        let Some(requests) = cases::good(&world, short(rpc)).await else { good_case(rpc) };
        let names = names_in(&requests);
        match world.stranger.call(rpc.path, &requests).await {
            Err(status) => {
                let allowed = ["NOT_FOUND", "OPERATOR_ONLY"];
                assert!(allowed.contains(&reason(&status).as_str()), "{}: {status:?}", rpc.path);
            }
            Ok(answer) => {
                let answer = answer.to_string();
                // What names something of ours is refused; what names nothing is about the stranger's own.
                assert!(names.is_empty(), "{} took {names:?} from a stranger", rpc.path);
                for name in world.ours() {
                    assert!(!answer.contains(&name), "{} shows {name}: {answer}", rpc.path);
                }
            }
        }
    }
}

/// The names of resources that requests hold.
fn names_in(requests: &[Value]) -> Vec<String> {
    fn collect(value: &Value, names: &mut Vec<String>) {
        match value {
            Value::String(text) if is_name(text) => names.push(text.clone()),
            Value::Array(items) => items.iter().for_each(|item| collect(item, names)),
            Value::Object(fields) => fields.values().for_each(|field| collect(field, names)),
            _ => {}
        }
    }
    let mut names = Vec::new();
    requests.iter().for_each(|request| collect(request, &mut names));
    names
}

fn is_name(text: &str) -> bool {
    let collections =
        ["agents/", "calls/", "phoneNumbers/", "appointments/", "organisations/", "apiKeys/", "resources/"];
    collections.iter().any(|collection| text.starts_with(collection))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_rpc_refuses_for_each_reason_it_declares() {
    let world = World::new("contract_reasons").await;
    let mut missing = Vec::new();
    for rpc in METHODS {
        for reason in rpc.reasons() {
            let (name, word) = (short(rpc), word(reason));
            if cases::elsewhere(name, reason).is_some() {
                continue;
            }
            let Some(requests) = cases::bad(&world, name, reason).await else {
                missing.push(format!("{name} {word}"));
                continue;
            };
            // What only the operator may do, and the last key of somebody who has just one: the stranger's.
            let strangers = [ErrorReason::OperatorOnly, ErrorReason::LastAdminKey].contains(&reason);
            let door = if strangers { &world.stranger } else { &world.admin };
            let refused = door.call(rpc.path, &requests).await;
            let refused = refused.expect_err(&format!("{name} with {requests:?} should be {word}"));
            assert_refused(&refused, parlance::status::code(reason), word);
        }
    }
    assert!(missing.is_empty(), "no case in contract/cases.rs for: {}", missing.join(", "));
}

#[test]
fn reasons_said_to_be_tested_elsewhere_are() {
    for rpc in METHODS {
        for reason in rpc.reasons() {
            if let Some(place) = cases::elsewhere(short(rpc), reason) {
                assert_tested(place, reason);
            }
        }
    }
}

fn assert_tested((file, test): (&str, &str), reason: ErrorReason) {
    let path = format!("{}/{file}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    let body = text.split_once(&format!("fn {test}(")).map(|(_, rest)| rest).unwrap_or_default();
    let body = body.split("#[tokio::test").next().unwrap_or_default();
    assert!(body.contains(word(reason)), "{file}: {test} says nothing of {}", word(reason));
}

#[test]
fn every_reason_is_declared_by_an_rpc_or_may_come_from_any_and_has_a_page() {
    let declared: BTreeSet<&str> = METHODS.iter().flat_map(|rpc| rpc.reasons().map(word)).collect();
    let pages = format!("{}/../docs/errors", env!("CARGO_MANIFEST_DIR"));
    for number in 1..200 {
        let Ok(reason) = ErrorReason::try_from(number) else { continue };
        let word = word(reason);
        match cases::of_any(reason) {
            Some(place) => assert_tested(place, reason),
            None => assert!(declared.contains(word), "no RPC declares {word}"),
        }
        let page = std::fs::read_to_string(format!("{pages}/{word}.md"));
        let page = page.unwrap_or_else(|error| panic!("docs/errors/{word}.md: {error}"));
        let code = format!("{:?}", parlance::status::code(reason));
        assert!(page.starts_with(&format!("# {word}\n")), "docs/errors/{word}.md begins with its word");
        assert!(
            page.replace('_', "").to_lowercase().contains(&code.to_lowercase()),
            "{word}: names its code"
        );
        assert!(page.contains("## The fix"), "docs/errors/{word}.md says the fix");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_list_has_all_its_items_once_page_by_page_and_refuses_bad_pages() {
    let world = World::new("contract_pages").await;
    for rpc in METHODS.iter().filter(|rpc| pages(rpc)) {
        let name = short(rpc);
        if cases::WALKED_ELSEWHERE.contains(&name) {
            continue;
        }
        for _ in 0..3 {
            cases::one_more(&world, name).await;
        }
        let Some(mut requests) = cases::good(&world, name).await else { good_case(rpc) };
        let negative = with(&requests, "pageSize", json!(-1));
        let refused = world.admin.call(rpc.path, &negative).await.expect_err(name);
        assert_refused(&refused, Code::InvalidArgument, "INVALID_FIELD");
        let foreign = with(&requests, "pageToken", json!("zz"));
        let refused = world.admin.call(rpc.path, &foreign).await.expect_err(name);
        assert_refused(&refused, Code::InvalidArgument, "INVALID_FIELD");
        let whole = items(&world.admin.call(rpc.path, &requests).await.expect(name));
        assert!(whole.len() >= 3, "{name} lists only {}", whole.len());
        let mut walked = Vec::new();
        requests = with(&requests, "pageSize", json!(1));
        for _ in 0..=whole.len() {
            let page = world.admin.call(rpc.path, &requests).await.expect(name);
            walked.extend(items(&page));
            let next = page.get("nextPageToken").cloned().unwrap_or_default();
            if next.as_str().unwrap_or_default().is_empty() {
                break;
            }
            requests = with(&requests, "pageToken", next);
        }
        assert_eq!(walked, whole, "{name} page by page");
    }
}

fn pages(rpc: &Method) -> bool {
    method(rpc.path).input().get_field_by_name("page_token").is_some()
}

/// The names (or, where there are none, the texts) of the items of a list's answer.
fn items(answer: &Value) -> Vec<String> {
    let fields = answer.as_object().into_iter().flatten();
    let items = fields.filter_map(|(_, value)| value.as_array()).flatten();
    items
        .map(|item| item.get("name").and_then(Value::as_str).map_or(item.to_string(), str::to_owned))
        .collect()
}

fn with(requests: &[Value], field: &str, value: Value) -> Vec<Value> {
    let mut requests = requests.to_vec();
    requests[0][field] = value;
    requests
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_change_is_done_once_for_its_request_id() {
    let world = World::new("contract_requests").await;
    for rpc in METHODS.iter().filter(|rpc| rpc.mutates) {
        let name = short(rpc);
        let Some(requests) = cases::good(&world, name).await else { good_case(rpc) };
        let requests = with(&requests, "requestId", json!(format!("once-{name}")));
        let once = world.admin.call(rpc.path, &requests).await;
        let once = once.unwrap_or_else(|status| panic!("{name} with {requests:?}: {status:?}"));
        let twice = world.admin.call(rpc.path, &requests).await;
        let twice = twice.unwrap_or_else(|status| panic!("{name} again: {status:?}"));
        assert_eq!(without_secrets(once), without_secrets(twice), "{name}");
        let other = with(&requests, "requestId", json!("x".repeat(65)));
        let refused: Status = world.admin.call(rpc.path, &other).await.expect_err(name);
        assert_refused(&refused, Code::InvalidArgument, "INVALID_FIELD");
        let reused = match rpc.path == METHODS[0].path {
            true => "/parlance.v1.AgentService/DeleteAgent",
            false => METHODS[0].path,
        };
        let other = json!({ "requestId": format!("once-{name}") });
        let refused = world.admin.call(reused, &[other]).await.expect_err(name);
        assert_refused(&refused, Code::InvalidArgument, "REQUEST_ID_REUSED");
    }
}

/// A secret is shown once.
fn without_secrets(mut answer: Value) -> Value {
    if let Some(fields) = answer.as_object_mut() {
        fields.remove("secret");
    }
    answer
}
