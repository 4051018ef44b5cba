//! TestAgent: a typed conversation without a call, its events streamed.

use parlance_proto::v1::test_agent_request::Target;
use parlance_proto::v1::test_agent_response::Event;
use parlance_proto::v1::{self, Agent, Speaker, TestAgentRequest, TestEnded, TestOutcome, TestToolRun};
use parlance_store::PageRequest;
use parlance_store::appointments::{self, AppointmentFilter};
use parlance_store::calls::{self, CallFilter};
use parlance_tests::details::{assert_bad_fields, assert_refused};
use parlance_tests::{House, agents};
use tonic::{Code, Status};
use tonic_types::StatusExt;

const BOOKING: [&str; 4] =
    ["A table for two tomorrow at 8:15 pm, please", "Maria Garcia", "(212) 555-0198", "Yes please"];

fn test_of(target: Target, messages: &[&str]) -> TestAgentRequest {
    let messages = messages.iter().map(ToString::to_string).collect();
    TestAgentRequest { target: Some(target), messages, ..Default::default() }
}

fn stored(agent: &str, messages: &[&str]) -> TestAgentRequest {
    test_of(Target::Agent(agent.to_owned()), messages)
}

/// Everything a test tells.
#[derive(Debug, Default)]
struct Heard {
    said: Vec<(Speaker, String)>,
    tools: Vec<TestToolRun>,
    ended: TestEnded,
}

impl Heard {
    fn of_agent(&self) -> Vec<&str> {
        self.said.iter().filter(|(who, _)| *who == Speaker::Agent).map(|(_, text)| text.as_str()).collect()
    }
}

async fn test(house: &House, request: TestAgentRequest) -> Result<Heard, Status> {
    let mut stream = house.client.agents().test_agent(request).await?.into_inner();
    let mut heard = Heard::default();
    while let Some(response) = stream.message().await? {
        match response.event.expect("every response holds an event") {
            Event::Transcript(entry) => heard.said.push((entry.speaker(), entry.text)),
            Event::Tool(run) => heard.tools.push(run),
            Event::Error(error) => panic!("{error:?}"),
            Event::Ended(ended) => heard.ended = ended,
        }
    }
    assert_ne!(heard.ended.outcome(), TestOutcome::Unspecified, "the last event is the end: {heard:?}");
    Ok(heard)
}

async fn rows(house: &House) -> (usize, usize) {
    let calls = calls::list(&house.scope, &CallFilter::default(), &PageRequest::default()).await;
    let booked =
        appointments::list(&house.scope, &AppointmentFilter::default(), &PageRequest::default()).await;
    (calls.expect("calls are listed").items.len(), booked.expect("appointments are listed").items.len())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_test_holds_the_whole_conversation_runs_no_tool_and_keeps_no_row() {
    let house = House::offline().await;
    let agent = house.hires(agents::restaurant()).await;
    let heard = test(&house, stored(&agent, &BOOKING)).await.expect("it can be tested");
    assert_eq!((heard.ended.outcome(), heard.ended.messages_left), (TestOutcome::CallEnded, 0), "{heard:?}");
    assert_eq!(heard.ended.end_reason(), v1::EndReason::AgentEnded);
    let typed: Vec<&str> =
        heard.said.iter().filter(|(who, _)| *who == Speaker::Caller).map(|(_, text)| text.as_str()).collect();
    assert_eq!(typed, BOOKING);
    let said = heard.of_agent();
    assert!(said[0].starts_with("Good day, this is Trattoria Luna."), "{said:?}");
    assert!(said.last().is_some_and(|last| last.contains("booked, Maria Garcia")), "{said:?}");
    let [run] = heard.tools.as_slice() else { panic!("{heard:?}") };
    assert_eq!(
        (run.tool.as_str(), run.ran, run.state()),
        ("book_appointment", false, v1::ToolState::Succeeded)
    );
    assert!(run.arguments.as_ref().is_some_and(|given| given.fields.contains_key("party_size")));
    assert_eq!(rows(&house).await, (0, 0));
    house.is_empty().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tools_are_run_for_good_when_that_is_asked_for_and_their_refusal_is_told() {
    let house = House::offline().await;
    let agent = house.hires(agents::restaurant()).await;
    let run = |messages: &[&str]| TestAgentRequest { run_tools: true, ..stored(&agent, messages) };
    let heard = test(&house, run(&BOOKING)).await.expect("it can be tested");
    assert!(heard.tools[0].ran && heard.tools[0].state() == v1::ToolState::Succeeded, "{heard:?}");
    assert_eq!(rows(&house).await, (0, 1));
    let night = ["A table for two tomorrow at 3 am, please", "Maria Garcia", "(212) 555-0198", "Yes please"];
    let heard = test(&house, run(&night)).await.expect("it can be tested");
    let refused = heard.tools.first().expect("the tool was run");
    assert!(
        refused.ran && refused.state() == v1::ToolState::Failed && !refused.reason.is_empty(),
        "{heard:?}"
    );
    assert_eq!(heard.ended.outcome(), TestOutcome::Listening, "it asks for another time: {heard:?}");
    assert_eq!(rows(&house).await, (0, 1));
    house.is_empty().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_that_is_not_stored_can_be_tested_and_so_can_one_without_a_flow() {
    let house = House::scripted().await;
    let draft = agents::counter_of_guests("Hello {{caller}}.");
    let mut request = test_of(Target::Draft(draft), &["four", "more", "and more"]);
    request.dynamic_variables.insert("caller".into(), "Ada".into());
    let heard = test(&house, request).await.expect("it is valid");
    assert_eq!(heard.of_agent(), ["Hello Ada. For how many people?", "Thank you. Goodbye."]);
    assert_eq!((heard.ended.outcome(), heard.ended.messages_left), (TestOutcome::CallEnded, 2), "{heard:?}");
    let asleep = Agent { state: v1::AgentState::Inactive.into(), ..agents::echo("Hello") };
    let agent = house.hires(asleep).await;
    let heard = test(&house, stored(&agent, &["what goes in comes out"])).await.expect("it can be tested");
    assert_eq!(heard.ended.outcome(), TestOutcome::Listening, "{heard:?}");
    let said = heard.of_agent();
    assert!(said[0] == "Hello" && said[1].contains("comes out"), "{said:?}");
    house.is_empty().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_test_that_makes_no_sense_is_refused_by_field() {
    let house = House::offline().await;
    let agent = house.hires(agents::restaurant()).await;
    let long = "x".repeat(4_001);
    let bad = test(&house, stored(&agent, &["hello", " ", &long])).await.expect_err("bad messages");
    assert_bad_fields(&bad, &["messages[1]", "messages[2]"]);
    let many = test(&house, stored(&agent, &["hello"; 101])).await.expect_err("too many");
    assert_bad_fields(&many, &["messages"]);
    let nobody = test(&house, TestAgentRequest::default()).await.expect_err("nobody to test");
    assert_bad_fields(&nobody, &["agent"]);
    let mut odd = stored(&agent, &[]);
    odd.dynamic_variables.insert("No Key".into(), "x".into());
    assert_bad_fields(&test(&house, odd).await.expect_err("a bad key"), &["dynamic_variables[No Key]"]);
    let draft = test(&house, test_of(Target::Draft(agents::echo("Hello")), &[])).await;
    assert_bad_fields(&draft.expect_err("no flow and no model"), &["flow"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_tests_an_agent_that_is_not_there_or_not_theirs() {
    let house = House::offline().await;
    let agent = house.hires(agents::restaurant()).await;
    let absent = test(&house, stored("agents/nobody", &[])).await.expect_err("nobody");
    assert_refused(&absent, Code::NotFound, "NOT_FOUND");
    let stranger = house.stranger().await;
    let refused = stranger.agents().test_agent(stored(&agent, &[])).await.expect_err("not theirs");
    assert_refused(&refused, Code::NotFound, "NOT_FOUND");
    house.running.engine.refuse_calls();
    let late = test(&house, stored(&agent, &[])).await.expect_err("the engine drains");
    assert_refused(&late, Code::Unavailable, "DRAINING");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_organisation_holds_ten_tests_at_once_and_another_one_does_not_feel_it() {
    let house = House::scripted().await;
    let draft = || test_of(Target::Draft(agents::counter_of_guests("Hello.")), &["four"]);
    let tests = &house.running.engine.tests;
    let mut held: Vec<_> =
        (0..10).map(|_| tests.take(house.scope.organisation()).expect("there is room")).collect();
    let refused = test(&house, draft()).await.expect_err("there is no place left");
    assert_refused(&refused, Code::ResourceExhausted, "TOO_MANY_SESSIONS");
    assert!(refused.get_details_retry_info().is_some(), "{refused:?}");
    let stranger = house.stranger().await;
    stranger.agents().test_agent(draft()).await.expect("another organisation has places of its own");
    held.pop();
    // More in turn than there are places: each comes free again.
    for _ in 0..3 {
        test(&house, draft()).await.expect("one has gone");
        let give_up = tokio::time::Instant::now() + std::time::Duration::from_secs(5);
        while let Err(full) = tests.take(house.scope.organisation()).map(drop) {
            assert!(tokio::time::Instant::now() < give_up, "a test keeps its place: {full:?}");
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    }
    house.is_empty().await;
}
