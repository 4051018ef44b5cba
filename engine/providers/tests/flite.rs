//! What the offline voice promises, proven with the real library.

use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use parlance_providers::ErrorKind;
use parlance_providers::tts::flite::Flite;
use parlance_providers::tts::{Event, Settings, Sound, Speech, TextToSpeech, WordTime, say};

const BOOKED: &str = "Your table for four people is booked for Friday evening at seven.";

fn flite() -> Flite {
    Flite::new().unwrap_or_else(|error| panic!("this test needs {error}"))
}

fn with(voice: &str) -> Settings {
    Settings { voice: voice.to_owned(), ..Settings::default() }
}

fn speak(flite: &Flite, text: &str, voice: &str) -> (Speech, Receiver<Event>) {
    let (sender, events) = channel();
    let sender = Mutex::new(sender);
    let sink = Arc::new(move |event| drop(sender.lock().unwrap().send(event)));
    (say(flite, with(voice), text, sink).unwrap(), events)
}

/// All events of a sentence; the last one is `Finished`.
fn events_of(flite: &Flite, text: &str, voice: &str) -> Vec<Event> {
    let (_speech, events) = speak(flite, text, voice);
    let mut all = Vec::new();
    while all.last() != Some(&Event::Finished) {
        let event = events.recv_timeout(Duration::from_secs(20)).expect("the voice goes on");
        assert!(!matches!(event, Event::Failed(_)), "{event:?}");
        all.push(event);
    }
    all
}

fn words_and_samples(events: &[Event]) -> (Vec<WordTime>, Vec<i16>) {
    let (mut words, mut samples) = (Vec::new(), Vec::new());
    for event in events {
        match event {
            Event::Words(more) => words.extend_from_slice(more),
            Event::Audio(Sound::Pcm16 { samples: more, .. }) => samples.extend_from_slice(more),
            _ => {}
        }
    }
    (words, samples)
}

/// Each word of the text once, in order, one after the other, inside the audio.
fn assert_words_fit(text: &str, words: &[WordTime], samples: &[i16]) {
    let said: Vec<_> = words.iter().map(|word| word.text.as_str()).collect();
    assert_eq!(said, text.split_whitespace().collect::<Vec<_>>());
    assert!(words.iter().all(|word| word.start_us <= word.end_us), "{words:?}");
    assert!(words.windows(2).all(|pair| pair[0].end_us <= pair[1].start_us), "{words:?}");
    let audio_us = samples.len() as u64 * 125 / 2;
    assert!(words.last().is_none_or(|word| word.end_us <= audio_us), "{words:?} in {audio_us}");
}

fn loudness(samples: &[i16]) -> f64 {
    let sum: f64 = samples.iter().map(|sample| f64::from(*sample).powi(2)).sum();
    (sum / samples.len().max(1) as f64).sqrt()
}

#[test]
fn both_voices_speak_with_the_times_of_their_words_before_the_audio() {
    let flite = flite();
    let ids: Vec<String> = flite.voices().into_iter().map(|voice| voice.id).collect();
    assert_eq!(ids, ["slt", "rms"]);
    for voice in ["slt", "rms"] {
        let events = events_of(&flite, BOOKED, voice);
        assert!(matches!(events[0], Event::Words(_)), "{voice}");
        let (words, samples) = words_and_samples(&events);
        assert_words_fit(BOOKED, &words, &samples);
        assert!(words.iter().all(|word| word.end_us > word.start_us), "{words:?}");
        let (from, to) = (words[0].start_us * 2 / 125, words[11].end_us * 2 / 125);
        assert!(loudness(&samples[from as usize..to as usize]) > 500.0, "{voice} can be heard");
        assert!(loudness(&samples[..from as usize]) < 100.0, "{voice} is quiet before the first word");
    }
}

#[test]
fn audio_comes_in_chunks_of_at_most_200_milliseconds() {
    let events = events_of(&flite(), BOOKED, "slt");
    let longest = events.iter().filter_map(|event| match event {
        Event::Audio(Sound::Pcm16 { samples, .. }) => Some(samples.len()),
        _ => None,
    });
    assert!(longest.max().is_some_and(|samples| samples <= 3200));
}

#[test]
fn each_written_word_has_one_time_however_it_is_read() {
    let flite = flite();
    for text in [
        "See you at 7:30 pm on May 23rd, 2026.",
        "It's $12.50 (twelve fifty) — \"really\" for Dr. O'Connor & Co.",
        "Call 555-0198, or e-mail joe@example.com!",
        "Zoë’s café… wait—no, the 42nd of 1,234,567.",
        "3/4 of 100% is 75 % = A.B.C. <b>bold</b> [x] {y} a_b c:\\d ~ ` ^ | * # @",
    ] {
        let (words, samples) = words_and_samples(&events_of(&flite, text, ""));
        assert_words_fit(text, &words, &samples);
        assert!(words[0].end_us > 0, "{text}");
    }
}

#[test]
fn a_text_without_sound_is_finished_at_once_and_still_has_its_words() {
    let (words, samples) = words_and_samples(&events_of(&flite(), "… — 日本", ""));
    assert_words_fit("… — 日本", &words, &samples);
    assert!(samples.is_empty());
}

#[test]
fn eight_sentences_at_once_all_come_out_as_they_do_alone() {
    let flite = flite();
    let (alone, _) = words_and_samples(&events_of(&flite, BOOKED, "slt"));
    let speakers: Vec<_> = (0..8)
        .map(|_| {
            let flite = flite.clone();
            std::thread::spawn(move || words_and_samples(&events_of(&flite, BOOKED, "slt")))
        })
        .collect();
    for speaker in speakers {
        let (words, samples) = speaker.join().unwrap();
        assert_eq!(words, alone);
        assert_words_fit(BOOKED, &words, &samples);
    }
}

#[test]
fn dropping_a_sentence_stops_it_in_the_middle() {
    let flite = flite();
    let long = "This sentence goes on and on about nothing at all. ".repeat(20);
    let (speech, events) = speak(&flite, &long, "slt");
    let first = events.recv_timeout(Duration::from_secs(20)).unwrap();
    assert!(matches!(first, Event::Words(_)));
    drop(speech);
    // The channel closes when the sentence has let go of its sink.
    let after: Vec<_> = events.iter().collect();
    assert!(!after.contains(&Event::Finished));
    assert!(after.len() < 100, "{} chunks came", after.len());
}

#[test]
fn what_cannot_be_spoken_is_refused_at_once() {
    let flite = flite();
    let refused = |text: &str, voice: &str| {
        say(&flite, with(voice), text, Arc::new(|_| {})).err().map(|error| error.kind)
    };
    assert_eq!(refused("  ", "slt"), Some(ErrorKind::Invalid));
    assert_eq!(refused("hello", "hal"), Some(ErrorKind::Invalid));
    assert_eq!(refused(&"hello ".repeat(400), "slt"), Some(ErrorKind::Invalid));
}

#[test]
fn a_quicker_voice_takes_less_time_and_its_words_still_fit_its_audio() {
    let flite = flite();
    let at = |speed_percent| {
        let (sender, events) = channel();
        let sender = Mutex::new(sender);
        let sink = Arc::new(move |event| drop(sender.lock().unwrap().send(event)));
        let _speech = say(&flite, Settings { speed_percent, ..with("slt") }, BOOKED, sink).unwrap();
        let events: Vec<Event> = events.iter().take_while(|event| *event != Event::Finished).collect();
        let (words, samples) = words_and_samples(&events);
        assert_words_fit(BOOKED, &words, &samples);
        samples.len() as f64
    };
    let (slow, ordinary, quick) = (at(50), at(100), at(200));
    assert!((0.4..0.65).contains(&(quick / ordinary)), "{quick} of {ordinary}");
    assert!((1.7..2.2).contains(&(slow / ordinary)), "{slow} of {ordinary}");
}
