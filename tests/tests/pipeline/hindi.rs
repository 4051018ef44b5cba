//! A caller who mixes Hindi and English on a telephone line: every letter of it arrives as it was said.

use std::collections::BTreeMap;
use std::time::Duration;

use parlance_fakes::plan::ToolPlan;
use parlance_fakes::{Plan, Service, code};
use parlance_proto::v1::call_event::Event;
use parlance_proto::v1::tool::Kind;
use parlance_proto::v1::{
    AudioEncoding, AudioFormat, BuiltInTool, GetCallRequest, Listening, SessionStart, Speaker, Tool,
};
use parlance_tests::pipeline::{Pipeline, by, served_by, speech};
use parlance_tests::{Caller, caller};

/// What the caller says, word by word.
const SAID: [&str; 9] = ["मेरा", "नाम", "राहुल", "शर्मा", "है,", "table", "for", "two,", "कृपया"];
/// What the model answers.
const ANSWER: &str = "धन्यवाद राहुल जी, your table is ready.";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hindi_and_english_on_a_telephone_line_keep_their_letters_in_transcript_tools_and_journal() {
    let pipeline = Pipeline::open().await;
    let words = SAID.map(str::to_owned).to_vec();
    pipeline.fakes.plan(Service::DeepgramListen, Plan { words, ..Plan::default() });
    let guest = "राहुल शर्मा";
    let tool = ToolPlan {
        when: "राहुल".into(),
        name: "note".into(),
        arguments: serde_json::json!({ "guest": guest, "party": 2 }),
        say: String::new(),
    };
    let lines = vec![ANSWER.to_owned()];
    pipeline.fakes.plan(Service::GeminiStream, Plan { lines, tools: vec![tool], ..Plan::default() });

    let mut agent = served_by(&["deepgram"], &["gemini"], &["elevenlabs"]);
    agent.listening = Some(Listening {
        transcribers: vec![by("deepgram")],
        language: "multi".into(),
        ..Default::default()
    });
    agent.tools = vec![Tool {
        name: "note".into(),
        description: "Notes who comes.".into(),
        parameters: Some(parameters()),
        kind: Some(Kind::BuiltIn(BuiltInTool::ExtractVariables.into())),
        ..Default::default()
    }];
    let agent = pipeline.house.hires(agent).await;
    let mu_law = AudioFormat { encoding: AudioEncoding::Mulaw.into(), sample_rate_hz: 8_000 };
    let start =
        SessionStart { input_format: Some(mu_law), output_format: Some(mu_law), ..caller::start(&agent) };
    let mut caller = Caller::dials(&pipeline.house, start).await;
    let call = caller.ready.call.clone();
    caller.begins_to_say_samples("Hindi and English", &speech(0..SAID.len()));
    caller.until_said().await;
    caller.agent_finishes().await;

    let said = SAID.join(" ");
    assert_eq!(caller.texts(Speaker::Caller), [said.as_str()]);
    assert_eq!(caller.texts(Speaker::Agent), [ANSWER]);
    // The voice was given the letters: each word's tune came out of the telephone.
    let mut decoder = code::Decoder::new(8_000);
    let mut sung = Vec::new();
    decoder.push(&caller.loudspeaker.received, &mut |found| sung.push(found.number));
    let wanted: Vec<u16> = ANSWER.split_whitespace().map(code::number_of).collect();
    assert_eq!(sung, wanted);
    caller.hangs_up();
    caller.ends(Duration::from_secs(20)).await.1.expect("the call ends in order");

    pipeline.house.ended_call(&call).await;
    let transcript = pipeline.house.transcript(&call).await;
    let texts: Vec<&str> = transcript.entries.iter().map(|entry| entry.text.as_str()).collect();
    assert_eq!(texts, [said.as_str(), ANSWER]);
    let noted = transcript.events.iter().find_map(|event| match &event.event {
        Some(Event::Tool(tool)) => tool.arguments.clone(),
        _ => None,
    });
    assert_eq!(noted.expect("the tool ran").fields["guest"], text(guest));
    let stored = pipeline.house.client.calls().get_call(GetCallRequest { name: call }).await;
    let stored = stored.expect("the call is there").into_inner().call.unwrap_or_default().extracted_variables;
    assert_eq!(stored.expect("the call keeps what was said").fields["guest"], text(guest));
}

fn text(text: &str) -> prost_types::Value {
    prost_types::Value { kind: Some(prost_types::value::Kind::StringValue(text.to_owned())) }
}

/// A schema with the guest's name and how many come.
fn parameters() -> prost_types::Struct {
    let object = |fields: Vec<(&str, prost_types::Value)>| prost_types::Value {
        kind: Some(prost_types::value::Kind::StructValue(prost_types::Struct {
            fields: fields
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value))
                .collect::<BTreeMap<_, _>>(),
        })),
    };
    let property = |kind: &str| object(vec![("type", text(kind))]);
    let properties = object(vec![("guest", property("string")), ("party", property("integer"))]);
    let fields = [("type".to_owned(), text("object")), ("properties".to_owned(), properties)];
    prost_types::Struct { fields: fields.into_iter().collect() }
}
