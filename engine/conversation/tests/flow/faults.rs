//! Faults of a written flow are found before a call, with their node and field.

use parlance_conversation::flow::{Fault, Flow, Run};

use crate::support::scene;

fn flow(yaml: &str) -> Flow {
    serde_yaml_ng::from_str(yaml).expect("valid YAML")
}

fn faults(yaml: &str) -> Vec<(String, String, Fault)> {
    let problems = flow(yaml).validate().expect_err("faults");
    problems.into_iter().map(|problem| (problem.node, problem.field, problem.fault)).collect()
}

fn fault(node: &str, field: &str, fault: Fault) -> (String, String, Fault) {
    (node.into(), field.into(), fault)
}

#[test]
fn unknown_and_unreachable_nodes_are_named() {
    let found = faults(
        "start: hello
nodes:
  hello: { kind: say, text: Hello., next: nowhere }
  island: { kind: end, text: Bye., reason: agent_ended }",
    );
    assert_eq!(
        found,
        [
            fault("hello", "next", Fault::UnknownNode("nowhere".into())),
            fault("island", "", Fault::Unreachable),
        ]
    );
}

#[test]
fn a_circle_that_never_waits_is_found() {
    let circle = "start: a
nodes:
  a: { kind: say, text: A., next: b }
  b: { kind: say, text: B., next: a }";
    assert!(faults(circle).contains(&fault("a", "next", Fault::Endless)));
    // And a run of it ends all the same.
    let step = Run::new(flow(circle).into(), &scene()).begin();
    assert!(matches!(step.then, parlance_conversation::flow::Then::End(_)));
}

#[test]
fn empty_prompts_bad_slots_and_unknown_variables_are_named_and_a_silent_end_is_none_of_them() {
    let found = faults(
        "start: form
nodes:
  form:
    kind: ask
    slots:
      - { name: day, kind: { slot: date }, prompt: '' }
      - { name: day, kind: { slot: option, options: [] }, prompt: Which one? }
    read_back: 'On {{day}}, {{guest}}?'
    forget: [hour]
    next: bye
    on_failure: bye
  bye: { kind: end, text: '', reason: agent_ended }",
    );
    assert_eq!(
        found,
        [
            fault("form", "read_back", Fault::UnknownVariable("guest".into())),
            fault("form", "slots[0].prompt", Fault::Empty),
            fault("form", "slots[1].name", Fault::BadSlot("day".into())),
            fault("form", "slots[1].kind.options", Fault::NothingListed),
            fault("form", "forget[0]", Fault::BadSlot("hour".into())),
        ]
    );
}

#[test]
fn variables_of_the_call_are_known_when_they_are_announced() {
    let flow = flow("start: a\nnodes:\n  a: { kind: end, text: 'Bye {{guest}}.', reason: agent_ended }");
    assert!(flow.validate().is_err());
    assert_eq!(flow.validate_with(&["guest"]), Ok(()));
}

#[test]
fn a_problem_reads_as_a_sentence() {
    let problems = flow("start: a\nnodes: {}").validate().expect_err("a fault");
    assert_eq!(problems[0].to_string(), "the flow, field `start`: there is no node `a`");
}
