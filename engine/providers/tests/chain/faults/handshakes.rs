//! A turn that finds its connections open waits for no handshake, and one that does not says so.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use parlance_fakes::{Fakes, Plan, Service};
use parlance_providers::account::AccountId;
use parlance_providers::chain::{self, Setup, Speaking, Thinking};
use parlance_providers::llm::{self, LanguageModel, Message, Request, Role};
use parlance_providers::notes::{Note, Stage};
use parlance_providers::registry::Open;
use parlance_providers::tts::{self, Settings, Speaker};
use tokio::sync::mpsc::unbounded_channel;
use tokio::time::timeout;

use super::{PATIENCE, Row, open, row, setup};

/// Whether each handshake that was noted was one that a turn waited for.
type Handshakes = Arc<Mutex<Vec<bool>>>;

fn noting() -> (Setup, Handshakes) {
    let noted = Handshakes::default();
    let note = Arc::clone(&noted);
    let notes = Arc::new(move |told| {
        if let Note::Took { stage: Stage::Connect, in_turn, time, .. } = told {
            assert!(time > Duration::ZERO);
            note.lock().unwrap().push(in_turn);
        }
    });
    (Setup { notes, ..setup() }, noted)
}

async fn until(holds: impl Fn() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < PATIENCE, "it does not come");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn until_noted(noted: &Handshakes, count: usize) {
    until(|| noted.lock().unwrap().len() >= count).await;
}

async fn answer(model: &dyn LanguageModel) {
    let asked = Message { role: Role::Caller, text: "hi".into(), tool_calls: Vec::new(), tool_call_id: None };
    let (told, mut events) = unbounded_channel();
    let request = Request { messages: vec![asked], ..Request::default() };
    let _response = model.respond(request, Arc::new(move |event| drop(told.send(event)))).unwrap();
    loop {
        match timeout(PATIENCE, events.recv()).await.unwrap().unwrap() {
            llm::Event::Finished { .. } => return,
            llm::Event::Failed(error) => panic!("{error}"),
            _ => {}
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_on_a_warm_connection_waits_for_no_handshake() {
    for row in [
        row("openai", "openai/v1", Service::OpenaiChat),
        row("anthropic", "anthropic", Service::AnthropicMessages),
        row("gemini", "gemini", Service::GeminiStream),
    ] {
        let fakes = Fakes::start().await.unwrap();
        let (Open::Llm(open), account) = open(row, &fakes) else { panic!("{} is no model", row.name) };
        let chain_of = |setup| {
            chain::llm(
                vec![Thinking { provider: open(&account).unwrap(), model: None, account: AccountId::ENGINE }],
                setup,
            )
            .unwrap()
        };
        let (setup, cold) = noting();
        answer(chain_of(setup).as_ref()).await;
        assert_eq!(*cold.lock().unwrap(), [true], "{}: nothing was open", row.name);
        // What warms a connection is done when nobody can be told of it any more. The pool has the connection a moment
        // later, which nothing tells: one that came too late is warmed anew, all of it.
        let began = Instant::now();
        loop {
            let (setup, warm) = noting();
            let notes = Arc::clone(&setup.notes);
            let model = chain_of(setup);
            let held = Arc::strong_count(&notes);
            model.warm();
            until_noted(&warm, 1).await;
            until(|| Arc::strong_count(&notes) <= held).await;
            answer(model.as_ref()).await;
            if *warm.lock().unwrap() == [false] {
                break;
            }
            assert!(began.elapsed() < PATIENCE, "{}: {:?}", row.name, warm.lock().unwrap());
        }
    }
}

async fn say(speaker: &mut dyn Speaker) {
    let (told, mut events) = unbounded_channel();
    let _speech = speaker.speak("word1 word2", Arc::new(move |event| drop(told.send(event)))).unwrap();
    loop {
        match timeout(PATIENCE, events.recv()).await.unwrap().unwrap() {
            tts::Event::Finished => return,
            tts::Event::Failed(error) => panic!("{error}"),
            _ => {}
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sentence_on_an_open_socket_waits_for_no_handshake() {
    for row in [
        row("elevenlabs", "elevenlabs", Service::ElevenlabsMulti),
        row("cartesia", "cartesia", Service::CartesiaTts),
        row("deepgram", "deepgram", Service::DeepgramSpeak),
    ] {
        let fakes = Fakes::start().await.unwrap();
        let speaker_of = |row: Row, setup| {
            let (Open::Tts(open), account) = open(row, &fakes) else { panic!("{} is no voice", row.name) };
            let provider = open(&account).unwrap();
            let speaking =
                Speaking { provider, voice: String::new(), model: None, account: AccountId::ENGINE };
            chain::tts(vec![speaking], Settings::default(), setup).unwrap()
        };
        let (setup, ready) = noting();
        let mut speaker = speaker_of(row, setup);
        until_noted(&ready, 1).await;
        say(speaker.as_mut()).await;
        say(speaker.as_mut()).await;
        assert_eq!(*ready.lock().unwrap(), [false], "{}", row.name);
        // One that is asked to speak while its socket is being opened.
        fakes.plan(row.service, Plan { handshake_ms: 200, ..Plan::default() });
        let (setup, early) = noting();
        say(speaker_of(row, setup).as_mut()).await;
        assert_eq!(*early.lock().unwrap(), [true], "{}", row.name);
    }
}
