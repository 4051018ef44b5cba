//! Typed text, as people type it; and slots that are not of the demo agent.

use std::sync::Arc;

use parlance_conversation::flow::{Completeness, Flow, SlotKind};
use serde_json::{Value, json};

use crate::jsgf::Grammar;
use crate::support::Call;

#[test]
fn typed_openings_fill_what_they_say() {
    for (text, slots) in [
        ("Table for 4, Friday 7:30pm", json!({"party": 4, "date": "2026-05-22", "time": "19:30"})),
        ("4 people tomorrow at 19:00", json!({"party": 4, "date": "2026-05-21", "time": "19:00"})),
        ("dinner for two tonight at eight", json!({"party": 2, "date": "2026-05-20", "time": "20:00"})),
        ("2026-05-23 19:30, for 6", json!({"party": 6, "date": "2026-05-23", "time": "19:30"})),
        (
            "May 23rd at noon for 2 adults and a child",
            json!({"party": 3, "date": "2026-05-23", "time": "12:00"}),
        ),
        (
            "Hi! Could we come on the 1st of June, at 7? There are 5 of us.",
            json!({"party": 5, "date": "2026-06-01", "time": "19:00"}),
        ),
        ("at 8 10 people", json!({"party": 10, "time": "20:00"})),
        (
            "My name is Siobhan O'Connor. Saturday please.",
            json!({"name": "Siobhan O'Connor", "date": "2026-05-23"}),
        ),
        ("tomorrow evening at 7 in the morning", json!({"date": "2026-05-21", "time": "07:00"})),
        ("not friday, saturday", json!({"date": "2026-05-23"})),
        ("saturday, not friday", json!({"date": "2026-05-23"})),
        ("5/23", json!({})),
        ("", json!({})),
    ] {
        assert_eq!(Call::after(&[text]).run.slots(), slots, "{text}");
    }
}

#[test]
fn a_greeting_or_a_pardon_is_answered_with_the_question_and_is_no_miss() {
    let mut call = Call::new();
    let question = call.step.say.clone();
    for words in ["Hello?", "hi, are you there", "pardon", "okay", "uh huh", "what was that"] {
        call.says(words);
        assert_eq!(call.step.say, question, "{words}");
    }
}

#[test]
fn a_bare_name_is_taken_only_where_nothing_else_is_said() {
    for (words, name) in [
        ("John Smith", json!("John Smith")),
        ("um, it's Smith please", json!("Smith")),
        ("John Smith, 555-0198", json!("John Smith")),
        ("can I get a table for six", Value::Null),
        ("I don't know", Value::Null),
        ("no wait, not friday, saturday", Value::Null),
    ] {
        let call = Call::after(&["for four on friday at seven", words]);
        assert_eq!(call.slot("name"), name, "{words}");
    }
}

#[test]
fn the_question_can_be_repeated_at_any_time() {
    let call = Call::after(&["for four on friday at seven"]);
    assert_eq!(call.run.repeat(), call.step);
    let mut running = Call::after(&["for four on friday at seven", "john smith", "5550198", "yes"]);
    let slots = running.run.slots();
    running.says("no, saturday");
    assert_eq!((running.run.node(), running.run.slots(), running.step.say.as_str()), ("book", slots, ""));
}

fn survey() -> Call {
    let flow: Flow = serde_yaml_ng::from_str(
        "start: form
nodes:
  form:
    kind: ask
    slots:
      - { name: seat, kind: { slot: option, options: [Window Table, Bar] }, prompt: Window table or bar? }
      - { name: regular, kind: { slot: yes_no }, prompt: Have you been here before? }
      - { name: phone, kind: { slot: phone }, prompt: Would you leave a number?, required: false }
    next: save
    on_failure: bye
  save:
    kind: tool
    tool: save
    arguments: { seat: '{{seat}}', regular: '{{regular}}', phone: '{{phone}}', note: 'seat {{seat}}' }
    next: bye
    on_failure: bye
  bye: { kind: end, text: Bye., reason: agent_ended }",
    )
    .expect("valid YAML");
    assert_eq!(flow.validate(), Ok(()));
    Call::of(Arc::new(flow))
}

#[test]
fn options_yes_and_no_and_a_declined_slot_reach_the_tool() {
    let mut call = survey();
    assert_eq!(call.expects().options, ["Window Table", "Bar"]);
    assert_eq!(call.expects().judge("the window table please"), Completeness::Complete);
    assert!(Grammar::read(&call.jsgf()).accepts("window table"));
    call.says("the window table please");
    assert_eq!(call.expects().slots, [SlotKind::YesNo]);
    assert!(Grammar::read(&call.jsgf()).accepts("no"));
    call.says("no");
    assert_eq!(call.step.say, "Would you leave a number?");
    assert!(Grammar::read(&call.jsgf()).accepts("no thank you"));
    call.says("no thank you");
    let expected: Value = json!({"seat": "Window Table", "regular": false, "note": "seat Window Table"});
    assert_eq!(call.tool(), ("save", &expected));
}

#[test]
fn an_optional_slot_is_taken_when_it_is_given() {
    let mut call = survey();
    for words in ["bar", "yes i have", "sure, it's 555-0198"] {
        call.says(words);
    }
    assert_eq!(call.tool().1["phone"], "5550198");
}
