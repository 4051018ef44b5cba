//! Templates: each holds a whole conversation to its end, offline, and does what it is for.

use parlance::cli::agents::templates::{TEMPLATES, Template};
use parlance_proto::v1::test_agent_request::Target;
use parlance_proto::v1::test_agent_response::Event;
use parlance_proto::v1::{EndReason, TestAgentRequest, TestEnded};
use parlance_store::PageRequest;
use parlance_store::appointments::{self, Appointment, AppointmentFilter};
use parlance_tests::House;

/// Types the lines to the agent of the template; gives its last words and how it ended.
async fn converse(house: &House, template: &str, lines: &[&str]) -> (String, TestEnded) {
    let agent = Template::find(template).and_then(Template::agent).expect("the template is valid");
    let request = TestAgentRequest {
        target: Some(Target::Draft(agent)),
        messages: lines.iter().map(ToString::to_string).collect(),
        run_tools: true,
        ..Default::default()
    };
    let mut stream = house.client.agents().test_agent(request).await.expect("it is valid").into_inner();
    let (mut history, mut ended) = (Vec::new(), TestEnded::default());
    while let Some(response) = stream.message().await.expect("the test goes on") {
        match response.event.expect("every response holds an event") {
            Event::Transcript(entry) => history.push(entry.text),
            Event::Ended(end) => ended = end,
            other => history.push(format!("{other:?}")),
        }
    }
    assert_eq!((ended.end_reason(), ended.messages_left), (EndReason::AgentEnded, 0), "{history:#?}");
    (history.pop().unwrap_or_default(), ended)
}

async fn booked(house: &House) -> Vec<Appointment> {
    let page = appointments::list(&house.scope, &AppointmentFilter::default(), &PageRequest::default()).await;
    page.expect("the store lists appointments").items
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_restaurant_books_a_table() {
    let house = House::offline().await;
    let lines = ["a table for four tomorrow at 7 pm", "John Smith", "212 555 0198", "yes"];
    let (last, _) = converse(&house, "restaurant", &lines).await;
    assert!(last.contains("Your table is booked, John Smith"), "{last}");
    let [table] = booked(&house).await.try_into().expect("one table");
    assert_eq!(table.party_size, 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_clinic_books_half_an_hour_for_one_and_notes_the_reason() {
    let house = House::offline().await;
    let lines = ["a vaccination please", "tomorrow at 2 pm", "Maria Garcia", "212 555 0198", "yes"];
    let (last, _) = converse(&house, "clinic", &lines).await;
    assert!(last.contains("Your visit is booked, Maria Garcia"), "{last}");
    let [visit] = booked(&house).await.try_into().expect("one visit");
    assert_eq!(visit.end_time.duration_since(visit.start_time).as_mins(), 30);
    assert_eq!((visit.party_size, visit.notes.as_str()), (1, "Reason for the visit: vaccination"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_clinic_asks_only_for_another_time_when_one_is_taken_and_says_why() {
    let house = House::offline().await;
    let first = ["a checkup", "tomorrow at 2 pm", "Maria Garcia", "212 555 0198", "yes"];
    converse(&house, "clinic", &first).await;
    let second = ["a checkup", "tomorrow at 2 pm", "John Smith", "212 555 0199", "yes", "3 pm", "yes"];
    converse(&house, "clinic", &second).await;
    assert_eq!(booked(&house).await.len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_receptionist_takes_a_message_and_books_nothing() {
    let house = House::offline().await;
    let lines = ["support please", "a delivery", "John Smith", "212 555 0198", "no", "yes"];
    let (last, _) = converse(&house, "receptionist", &lines).await;
    assert!(last.contains("pass your message on to support"), "{last}");
    assert!(booked(&house).await.is_empty());
}

#[test]
fn there_are_the_three_templates_of_the_manual() {
    assert_eq!(TEMPLATES.each_ref().map(|template| template.name), ["clinic", "receptionist", "restaurant"]);
}
