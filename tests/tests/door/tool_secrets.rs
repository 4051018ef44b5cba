//! Secrets that an organisation's tools name: sent where a tool says, kept encrypted, and shown by nobody.

use parlance::cli::connect::Engine;
use parlance_proto::v1::tool::Kind;
use parlance_proto::v1::{
    self, DeleteToolSecretRequest, ListAuditEntriesRequest, ListToolSecretsRequest, SetToolSecretRequest,
};
use parlance_tests::caller::typing_start;
use parlance_tests::details::{assert_bad_fields, assert_refused};
use parlance_tests::service::Service;
use parlance_tests::{Caller, House, tools};
use serde_json::json;
use tonic::{Code, Status};

use crate::provider_keys::{Log, ONE, TWO, asked, assert_in_no_row};

/// What an operator says who lets tools reach the test's own services.
const OPEN: [&str; 3] = ["--tool-plain-http", "--tool-private-addresses", "127.0.0.0/8"];
const VALUE: &str = "parole-sesam-0815";

async fn open(keys: &[&str]) -> House {
    let flags: Vec<&str> = OPEN.into_iter().chain(keys.iter().copied()).collect();
    House::scripted_with(&flags, None).await
}

async fn set(client: &Engine, name: &str, value: &str) -> Result<v1::ToolSecret, Status> {
    let request = SetToolSecretRequest { name: name.into(), value: value.into(), request_id: String::new() };
    let set = client.tool_secrets().set_tool_secret(request).await?;
    Ok(set.into_inner().tool_secret.expect("the answer holds it"))
}

async fn delete(client: &Engine, name: &str) -> Result<(), Status> {
    let request = DeleteToolSecretRequest { name: name.into(), ..Default::default() };
    client.tool_secrets().delete_tool_secret(request).await.map(drop)
}

/// An agent whose tool `ask` sends the secret CRM to the service.
fn agent(service: &Service) -> v1::Agent {
    let tool = tools::http("ask", &format!("http://{}/", service.address), json!({}));
    let Some(Kind::Http(mut http)) = tool.kind.clone() else { panic!("it is an HTTP tool") };
    http.headers.insert("Authorization".into(), "Bearer ${secret:CRM}".into());
    tools::agent(vec![v1::Tool { kind: Some(Kind::Http(http)), ..tool }])
}

/// What became of `ask` in a call with the agent.
async fn ask(client: &Engine, agent: &str) -> v1::ToolEvent {
    let mut caller = Caller::tries(client.voice(), typing_start(agent)).await.expect("it begins");
    tools::run(&mut caller, "ask", json!({})).await
}

fn sent(service: &Service) -> Vec<String> {
    service.asked().iter().map(|asked| asked.header("authorization").to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tool_sends_the_secret_of_its_own_organisation_as_it_was_set_last_and_until_it_is_deleted() {
    let house = open(&["--master-key", ONE]).await;
    let service = Service::answering(200, "application/json", r#"{"done": true}"#).await;
    let hired = house.hires(agent(&service)).await;
    let missing = ask(&house.client, &hired).await;
    assert!(missing.reason.contains("there is no secret CRM"), "{missing:?}");
    let first = set(&house.client, "CRM", VALUE).await.expect("it is a secret");
    assert_eq!(ask(&house.client, &hired).await.state(), v1::ToolState::Succeeded);
    let second = set(&house.client, "CRM", "parole-simsala").await.expect("it is a secret");
    assert_eq!(first.create_time, second.create_time);
    assert_eq!(ask(&house.client, &hired).await.state(), v1::ToolState::Succeeded);
    let both = [format!("Bearer {VALUE}"), "Bearer parole-simsala".to_owned()];
    assert_eq!(sent(&service), both, "each as it was at the time");

    // The same words in another organisation's agent get nothing, nor does it see or delete the secret.
    let stranger = house.stranger().await;
    let request = v1::CreateAgentRequest { agent: Some(agent(&service)), ..Default::default() };
    let theirs = stranger.agents().create_agent(request).await.expect("it is valid").into_inner();
    let theirs = theirs.agent.expect("the answer holds it").name;
    let refused = ask(&stranger, &theirs).await;
    assert!(refused.reason.contains("there is no secret CRM"), "{refused:?}");
    let listed = stranger.tool_secrets().list_tool_secrets(ListToolSecretsRequest::default()).await;
    assert!(listed.expect("they are listed").into_inner().tool_secrets.is_empty());
    let refused = delete(&stranger, "CRM").await.expect_err("it is not theirs");
    assert_refused(&refused, Code::NotFound, "NOT_FOUND");
    set(&stranger, "CRM", "losung-der-anderen").await.expect("they may have one of that name");
    assert_eq!(ask(&stranger, &theirs).await.state(), v1::ToolState::Succeeded);
    assert_eq!(sent(&service)[2..], ["Bearer losung-der-anderen"]);

    delete(&house.client, "CRM").await.expect("it is there");
    let gone = ask(&house.client, &hired).await;
    assert!(gone.reason.contains("there is no secret CRM"), "{gone:?}");
    assert_eq!(service.asked().len(), 3);
    let again = delete(&house.client, "CRM").await.expect_err("it is gone");
    assert_refused(&again, Code::NotFound, "NOT_FOUND");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_of_tools_is_asked_again_at_once_when_a_secret_was_set() {
    let house = open(&["--master-key", ONE]).await;
    let service = Service::answering(404, "text/plain", "nobody is in").await;
    let headers = [("Authorization".to_owned(), "Bearer ${secret:MENU}".to_owned())].into();
    let url = format!("http://{}/mcp", service.address);
    let mcp_servers = vec![v1::McpServer { name: "menu".into(), url, headers, ..Default::default() }];
    let hired = house.hires(v1::Agent { mcp_servers, ..tools::agent(Vec::new()) }).await;
    for value in [None, Some(VALUE), Some("parole-simsala")] {
        if let Some(value) = value {
            set(&house.client, "MENU", value).await.expect("it is a secret");
        }
        Caller::dials(&house, typing_start(&hired)).await;
        assert_eq!(sent(&service).pop(), value.map(|value| format!("Bearer {value}")));
        let asked = sent(&service).len();
        Caller::dials(&house, typing_start(&hired)).await;
        assert_eq!(sent(&service).len(), asked, "one that gave no tools is left alone for a while");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_secret_is_in_no_row_no_answer_no_journal_and_no_line_of_the_log() {
    let log = Log::begin();
    let house = open(&["--master-key", ONE]).await;
    let echo = format!(r#"{{"you said": "Bearer {VALUE}"}}"#);
    let service = Service::answering(200, "application/json", echo).await;
    let request = SetToolSecretRequest { name: "CRM".into(), value: VALUE.into(), request_id: "once".into() };
    let made = house.client.tool_secrets().set_tool_secret(request.clone()).await.expect("it is a secret");
    let again = house.client.tool_secrets().set_tool_secret(request).await.expect("it is answered the same");
    assert_eq!(made.get_ref(), again.get_ref());
    let hired = house.hires(agent(&service)).await;
    let mut caller = Caller::dials(&house, typing_start(&hired)).await;
    let run = tools::run(&mut caller, "ask", json!({})).await;
    assert_eq!(tools::json_of(&run.result), json!({"you said": "Bearer [secret]"}), "{run:?}");
    assert_eq!(sent(&service), [format!("Bearer {VALUE}")]);
    caller.controls(v1::session_control::Control::End(v1::End {}));
    house.ended_call(&caller.ready.call).await;
    let journal = house.transcript(&caller.ready.call).await;
    let listed = house.client.tool_secrets().list_tool_secrets(ListToolSecretsRequest::default()).await;
    let listed = listed.expect("they are listed").into_inner();
    assert_eq!(listed.tool_secrets, [made.get_ref().tool_secret.clone().expect("the answer holds it")]);
    let audit = house.client.audit().list_audit_entries(ListAuditEntriesRequest::default()).await;
    let audit = audit.expect("it is listed").into_inner().audit_entries;
    assert!(audit.iter().any(|entry| entry.resource == "toolSecrets/CRM"), "{audit:?}");
    let told = format!("{:?}{journal:?}{listed:?}{audit:?}", caller.seen);
    assert!(!told.contains("parole"), "a secret is told to nobody");
    let seen = ["tool_secrets", "audit_log", "request_answers", "journal", "tool_invocations"];
    assert_in_no_row(&house, VALUE, &seen).await;
    assert!(!log.text().contains("parole"), "the log has it");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_master_key_is_changed_without_a_secret_being_lost_and_who_has_none_of_them_sends_nothing() {
    let service = Service::answering(200, "application/json", r#"{"done": true}"#).await;
    let before = open(&["--master-key", ONE]).await;
    set(&before.client, "CRM", VALUE).await.expect("it is a secret");
    let hired = before.hires(agent(&service)).await;
    let sealed_with = format!(
        "SELECT master_key FROM parlance.tool_secrets WHERE organisation_id = '{}'",
        before.scope.organisation()
    );
    let first = asked(&before, &sealed_with).await;
    let between = before
        .second_node_with(&[&OPEN[..], &["--master-key", TWO, "--old-master-keys", ONE]].concat())
        .await;
    assert_eq!(ask(&between.client, &hired).await.state(), v1::ToolState::Succeeded);
    assert_ne!(asked(&before, &sealed_with).await, first, "it was sealed anew when it was read");
    let after = before.second_node_with(&[&OPEN[..], &["--master-key", TWO]].concat()).await;
    assert_eq!(ask(&after.client, &hired).await.state(), v1::ToolState::Succeeded);
    let keyless = before.second_node_with(&[&OPEN[..], &["--master-key", ONE]].concat()).await;
    let unread = ask(&keyless.client, &hired).await;
    assert!(unread.reason.contains("can't be read right now"), "{unread:?}");
    assert_eq!(sent(&service), [format!("Bearer {VALUE}"), format!("Bearer {VALUE}")]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_master_key_no_secret_is_taken_and_what_is_none_is_refused_without_it() {
    let house = open(&[]).await;
    let refused = set(&house.client, "CRM", VALUE).await.expect_err("there is nothing to encrypt it with");
    assert_refused(&refused, Code::FailedPrecondition, "MASTER_KEY_MISSING");
    let (long, longest) = ("x".repeat(65), "parole".repeat(1_366));
    for (name, value, field) in [
        ("", VALUE, "name"),
        ("a b", VALUE, "name"),
        ("gr\u{fc}n", VALUE, "name"),
        (long.as_str(), VALUE, "name"),
        ("CRM", "par", "value"),
        ("CRM", longest.as_str(), "value"),
    ] {
        let refused = set(&house.client, name, value).await.expect_err(field);
        assert_bad_fields(&refused, &[field]);
        assert!(!format!("{refused:?}").contains("parole"), "{refused:?}");
    }
}
