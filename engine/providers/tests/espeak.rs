//! What the quick voice promises, proven with the real program.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use parlance_providers::ErrorKind;
use parlance_providers::tts::espeak::Espeak;
use parlance_providers::tts::{Event, Settings, Sound, Speech, say};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

fn espeak() -> Espeak {
    Espeak::new().unwrap_or_else(|error| panic!("this test needs {error}"))
}

fn speak(espeak: &Espeak, text: &str) -> (Speech, UnboundedReceiver<Event>) {
    let (sender, events) = unbounded_channel();
    let sender = Mutex::new(Some(sender));
    let sink = move |event| drop(sender.lock().unwrap().as_ref().map(|sender| sender.send(event)));
    (say(espeak, Settings::default(), text, Arc::new(sink)).unwrap(), events)
}

async fn samples_of(espeak: &Espeak, text: &str) -> Vec<i16> {
    let (_speech, mut events) = speak(espeak, text);
    let mut all = Vec::new();
    loop {
        match tokio::time::timeout(Duration::from_secs(20), events.recv()).await.unwrap().unwrap() {
            Event::Audio(Sound::Pcm16 { samples, .. }) => {
                assert!(samples.len() <= 22_050 / 5, "a chunk is at most 200 ms");
                all.extend(samples);
            }
            Event::Finished => return all,
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn a_sentence_comes_out_as_audio_of_its_length_without_a_click_of_the_header() {
    let samples = samples_of(&espeak(), "Your table for four is booked.").await;
    let seconds = samples.len() as f64 / 22_050.0;
    assert!((1.0..4.0).contains(&seconds), "{seconds} s");
    assert!(samples[..50].iter().all(|sample| sample.abs() < 500), "{:?}", &samples[..50]);
    assert!(samples.iter().any(|sample| sample.abs() > 3000));
}

#[tokio::test]
async fn text_is_never_read_as_an_option() {
    assert!(!samples_of(&espeak(), "--help and -v nothing").await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_sentences_at_once_all_come_out() {
    let espeak = espeak();
    let alone = samples_of(&espeak, "Yes, at seven.").await.len();
    let speakers: Vec<_> = (0..20)
        .map(|_| {
            let espeak = espeak.clone();
            tokio::spawn(async move { samples_of(&espeak, "Yes, at seven.").await.len() })
        })
        .collect();
    for speaker in speakers {
        assert_eq!(speaker.await.unwrap(), alone);
    }
}

#[tokio::test]
async fn dropping_a_sentence_ends_its_program() {
    let long = "This sentence goes on and on about nothing at all. ".repeat(30);
    let (speech, mut events) = speak(&espeak(), &long);
    assert!(matches!(events.recv().await, Some(Event::Audio(_))));
    drop(speech);
    // The channel closes when the task has let go of the sink, and the program with it.
    let mut after = Vec::new();
    while let Some(event) = events.recv().await {
        after.push(event);
    }
    assert!(!after.contains(&Event::Finished));
}

#[test]
fn outside_a_runtime_and_for_unknown_voices_it_refuses_at_once() {
    let refused = |voice: &str, text: &str| {
        let settings = Settings { voice: voice.to_owned(), ..Settings::default() };
        say(&espeak(), settings, text, Arc::new(|_| {})).err().map(|error| error.kind)
    };
    assert_eq!(refused("en-us", "hello"), Some(ErrorKind::Unavailable));
    assert_eq!(refused("--help", "hello"), Some(ErrorKind::Invalid));
    assert_eq!(refused("en-us", " "), Some(ErrorKind::Invalid));
}
