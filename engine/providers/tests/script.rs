//! What the scripted vendor promises: its lines in their order, never before their time.

use std::sync::Arc;
use std::time::Duration;

use parlance_providers::audio::Audio;
use parlance_providers::llm::{self, LanguageModel, Message, Role};
use parlance_providers::script::{Answers, ScriptedLlm, ScriptedStt, ScriptedTts};
use parlance_providers::stt::{self, Control, Event, Listener, Settings, SpeechToText, Transcript};
use parlance_providers::tts;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::time::Instant;

const DELAY: Duration = Duration::from_millis(30);
const INTERVAL: Duration = Duration::from_millis(10);

/// A sink and what came through it, with the time since now. The channel ends when nobody can tell
/// anything more.
struct Told<E>(UnboundedReceiver<(Duration, E)>);

fn told<E: Send + 'static>() -> (Told<E>, Arc<dyn Fn(E) + Send + Sync>) {
    let (sender, events) = unbounded_channel();
    let start = Instant::now();
    let sink = move |event| drop(sender.send((start.elapsed(), event)));
    (Told(events), Arc::new(sink))
}

impl<E> Told<E> {
    async fn next(&mut self) -> (Duration, E) {
        self.0.recv().await.expect("one more event")
    }

    async fn rest(mut self) -> Vec<(Duration, E)> {
        let mut all = Vec::new();
        while let Some(event) = self.0.recv().await {
            all.push(event);
        }
        all
    }
}

fn listen(lines: &[&str]) -> (Box<dyn Listener>, Told<Event>) {
    let (told, sink) = told();
    let stream = ScriptedStt::new(lines.iter().copied(), DELAY).open(Settings::default(), sink);
    (stream.unwrap(), told)
}

fn speak_for_a_second(stream: &mut Box<dyn Listener>, from_ms: u64) {
    stream.control(Control::VoiceStarted(from_ms * 1000));
    stream.hear(Audio::Pcm16(&[0; 16_000]));
    stream.control(Control::VoiceEnded((from_ms + 800) * 1000));
}

#[tokio::test]
async fn the_transcriber_says_its_lines_in_turn_a_fixed_time_after_each_finalize() {
    let (mut stream, mut told) = listen(&["one two", "three"]);
    for (second, line) in [(0, "one two"), (1, "three"), (2, "one two")] {
        speak_for_a_second(&mut stream, second * 1000);
        let asked = Instant::now();
        stream.control(Control::Finalize);
        let Event::Slice(slice) = told.next().await.1 else { panic!("a slice") };
        assert!(asked.elapsed() >= DELAY);
        assert_eq!((slice.text.as_str(), slice.covers_until_us), (line, Some((second + 1) * 1_000_000)));
        let last = slice.words.last().unwrap();
        assert_eq!(
            (slice.words[0].start_us, last.end_us),
            (second * 1_000_000, second * 1_000_000 + 800_000)
        );
    }
}

#[tokio::test]
async fn without_voice_the_transcriber_only_says_that_it_listened() {
    let (mut stream, mut told) = listen(&["one"]);
    stream.hear(Audio::Pcm16(&[0; 320]));
    stream.control(Control::Finalize);
    let empty = Transcript { text: String::new(), words: Vec::new(), covers_until_us: Some(20_000) };
    assert_eq!(told.next().await.1, Event::Interim(empty));
}

#[tokio::test]
async fn a_dropped_stream_says_nothing_more() {
    let (mut stream, told) = listen(&["one"]);
    speak_for_a_second(&mut stream, 0);
    stream.control(Control::Finalize);
    drop(stream);
    assert!(told.rest().await.is_empty());
}

fn context(messages: &[(Role, &str)]) -> llm::Request {
    let message = |(role, text): &(Role, &str)| Message {
        role: *role,
        text: (*text).to_owned(),
        tool_calls: Vec::new(),
        tool_call_id: None,
    };
    llm::Request { messages: messages.iter().map(message).collect(), ..llm::Request::default() }
}

async fn answer(answers: Answers, messages: &[(Role, &str)]) -> Vec<(Duration, llm::Event)> {
    let (mut told, sink) = told();
    let model = ScriptedLlm::new(answers, DELAY, INTERVAL);
    let _response = model.respond(context(messages), sink).unwrap();
    let mut events = vec![told.next().await];
    while !matches!(events.last(), Some((_, llm::Event::Finished { .. }))) {
        events.push(told.next().await);
    }
    events
}

#[tokio::test]
async fn the_model_tells_its_line_word_by_word_and_no_word_before_its_time() {
    let lines = || Answers::Lines(["Good day.".to_owned(), "At nine, sir.".to_owned()].into());
    let second = [(Role::Caller, "hello"), (Role::Agent, "Good day."), (Role::Caller, "when?")];
    let events = answer(lines(), &second).await;
    let texts: Vec<_> = events.iter().map(|(_, event)| event.clone()).collect();
    let text = |text: &str| llm::Event::Text(text.to_owned());
    let usage = llm::Usage { input_tokens: Some(4), output_tokens: Some(3), ..llm::Usage::default() };
    let finished = llm::Event::Finished { usage };
    assert_eq!(texts, [text("At "), text("nine, "), text("sir."), finished]);
    for (index, (at, _)) in events[..3].iter().enumerate() {
        assert!(*at >= DELAY + INTERVAL * index as u32, "word {index} came after {at:?}");
    }
    let third = [(Role::Agent, "Good day."), (Role::Agent, "At nine, sir."), (Role::Caller, "ah")];
    assert_eq!(answer(lines(), &third).await[0].1, text("Good "));
}

#[tokio::test]
async fn a_line_that_names_a_tool_asks_for_it_after_the_words_and_is_one_answer_with_them() {
    let line = "Let me see.\n@tool look_up {\"day\": \"friday\"} Just a moment.\n@tool broken {oops";
    let lines = || Answers::Lines([line.to_owned(), "At nine.".to_owned()].into());
    let events = answer(lines(), &[(Role::Caller, "when?")]).await;
    let words: String = events
        .iter()
        .filter_map(|(_, event)| if let llm::Event::Text(text) = event { Some(text.as_str()) } else { None })
        .collect();
    assert_eq!(words, "Let me see.\nJust a moment.");
    let calls = events.iter().find_map(|(_, event)| match event {
        llm::Event::ToolCalls(calls) => Some(calls.clone()),
        _ => None,
    });
    let calls = calls.expect("it asks for tools");
    let asked: Vec<_> = calls.iter().map(|call| (call.name.as_str(), call.arguments.clone())).collect();
    let arguments = serde_json::json!({ "day": "friday" });
    assert_eq!(asked, [("look_up", arguments), ("broken", serde_json::json!("{oops"))]);
    let mut after = context(&[(Role::Caller, "when?"), (Role::Agent, words.as_str()), (Role::Agent, "")]);
    after.messages[2].tool_calls = calls;
    let (told, sink) = told();
    let model = ScriptedLlm::new(lines(), DELAY, INTERVAL);
    let _response = model.respond(after, sink).unwrap();
    assert_eq!(told.rest().await[0].1, llm::Event::Text("At ".to_owned()));
}

#[tokio::test]
async fn an_echoing_model_repeats_the_caller() {
    let events = answer(Answers::Echo, &[(Role::Caller, "a table"), (Role::System, "be kind")]).await;
    let words = events.iter().filter_map(|(_, event)| match event {
        llm::Event::Text(text) => Some(text.as_str()),
        _ => None,
    });
    assert_eq!(words.collect::<String>(), "You said: a table");
}

#[tokio::test]
async fn a_model_with_nothing_to_say_finishes() {
    let events = answer(Answers::Lines([].into()), &[(Role::Caller, "hello")]).await;
    assert_eq!(
        events[0].1,
        llm::Event::Finished {
            usage: llm::Usage { input_tokens: Some(1), output_tokens: Some(0), ..llm::Usage::default() }
        }
    );
}

#[tokio::test]
async fn the_voice_hums_300_milliseconds_a_word_after_its_delay() {
    let (mut told, sink) = told();
    let settings = tts::Settings::default();
    let _speech = tts::say(&ScriptedTts::new(DELAY), settings, "your table is booked", sink).unwrap();
    let (at, first) = told.next().await;
    assert!(at >= DELAY);
    let tts::Event::Words(words) = first else { panic!("words first: {first:?}") };
    assert_eq!(words.iter().map(|word| word.start_us).collect::<Vec<_>>(), [0, 300_000, 600_000, 900_000]);
    let mut samples = Vec::new();
    loop {
        match told.next().await.1 {
            tts::Event::Audio(tts::Sound::Pcm16 { samples: more, .. }) => samples.extend(more),
            tts::Event::Finished => break,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(samples.len(), 4 * 4800);
    let second = &samples[4800..9600];
    assert!(second[1500..2500].iter().any(|sample| sample.abs() > 2000), "the word sounds");
    assert!(second[3840..].iter().all(|sample| *sample == 0), "its end is silent");
}

#[tokio::test]
async fn dropped_answers_and_sentences_are_cancelled() {
    let (answered, sink) = told::<llm::Event>();
    let model = ScriptedLlm::new(Answers::Echo, DELAY, INTERVAL);
    drop(model.respond(context(&[(Role::Caller, "hello")]), sink).unwrap());
    let (hummed, sink) = told::<tts::Event>();
    drop(tts::say(&ScriptedTts::new(DELAY), tts::Settings::default(), "hello", sink).unwrap());
    assert!(answered.rest().await.is_empty() && hummed.rest().await.is_empty());
}

#[test]
fn outside_a_runtime_it_refuses() {
    let refused = ScriptedStt::new(["one"], DELAY).open(Settings::default(), Arc::new(|_: stt::Event| {}));
    assert!(refused.is_err());
}
