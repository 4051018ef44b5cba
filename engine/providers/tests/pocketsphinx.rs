//! What the offline recogniser promises, proven on recorded clips with the real library.

mod clips;

use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use parlance_providers::ErrorKind;
use parlance_providers::audio::Audio;
use parlance_providers::stt::pocketsphinx::{PocketSphinx, check_grammar, unknown_words};
use parlance_providers::stt::{
    Control, Event, Expectation, Listener, Settings, SpeechToText, Transcript, Word,
};

const BOOKING: &str = "#JSGF V1.0; grammar booking;
    public <order> = [I'd like to (book | reserve)] a table [for <number>] [<when>];
    <number> = one | two | three | four | five | six | seven | eight | nine | ten;
    <when> = [on] <day> [at <number> [p m | a m]];
    <day> = Monday | Tuesday | Wednesday | Thursday | Friday | Saturday | Sunday;";
const CONFIRM: &str = "#JSGF V1.0; grammar confirm;
    public <answer> = yes [please] | no [thank you] | that's (correct | right | wrong);";
const NAME: &str = "#JSGF V1.0; grammar name;
    public <name> = [my name is | it's] (John | Maria | Peter) (Smith | Garcia | Jones);";
const WHEN: &str = "#JSGF V1.0; grammar when;
    public <when> = (today | tomorrow | Friday | Saturday) [at [half past] <hour>];
    <hour> = one | two | three | four | five | six | seven | eight | nine | ten | eleven | twelve;";

const FRAME: usize = 320;

fn expectation(jsgf: &str) -> Expectation {
    Expectation { jsgf: Some(jsgf.into()), key_terms: Vec::new() }
}

/// A call to the recogniser, with the voice detector's part played by the manifest.
struct Call {
    listener: Box<dyn Listener>,
    events: Receiver<Event>,
    heard_ms: u64,
}

impl Call {
    fn open(expectation: Expectation) -> Self {
        let recogniser = PocketSphinx::new().unwrap_or_else(|error| panic!("this test needs {error}"));
        let (sender, events) = channel();
        let sender = Mutex::new(sender);
        let sink = Arc::new(move |event| drop(sender.lock().unwrap().send(event)));
        let settings = Settings { expectation, ..Settings::default() };
        Self { listener: recogniser.open(settings, sink).unwrap(), events, heard_ms: 0 }
    }

    fn expecting(jsgf: &str) -> Self {
        Self::open(expectation(jsgf))
    }

    fn hear(&mut self, samples: &[i16]) {
        for frame in samples.chunks(FRAME) {
            self.listener.hear(Audio::Pcm16(frame));
            self.heard_ms += frame.len() as u64 / 16;
        }
    }

    /// Hears a clip with voice marked as the engine marks it: noticed 60 ms late, ended 60 ms late.
    /// Returns the moment the clip began.
    fn hear_clip(&mut self, file: &str, spans: &[(u64, u64)]) -> u64 {
        let began = self.heard_ms;
        let mut marks = Vec::new();
        for (start, end) in spans {
            marks.push((start + 60, Control::VoiceStarted((began + start) * 1000)));
            marks.push((end + 60, Control::VoiceEnded((began + end) * 1000)));
            marks.push((end + 100, Control::Finalize));
        }
        marks.sort_by_key(|mark| mark.0);
        let mut marks = marks.into_iter().peekable();
        for frame in clips::samples(file).chunks(FRAME) {
            self.hear(frame);
            while let Some((_, control)) = marks.next_if(|mark| began + mark.0 <= self.heard_ms) {
                self.listener.control(control);
            }
        }
        marks.for_each(|(_, control)| self.listener.control(control));
        began
    }

    fn next(&self) -> Event {
        self.events.recv_timeout(Duration::from_secs(20)).expect("the recogniser answers")
    }

    /// Everything up to and including the slice that closing the turn brings, or `None` without one.
    fn close_turn(mut self, next: Expectation) -> (Vec<Event>, Option<Transcript>) {
        self.listener.control(Control::NextTurn(next));
        // A finalize with nothing said answers for certain, so it marks the end of what came before.
        let mark = (self.heard_ms + 20) * 1000;
        self.hear(&[0; FRAME]);
        self.listener.control(Control::Finalize);
        let mut events = Vec::new();
        loop {
            match self.next() {
                Event::Interim(last) if last.covers_until_us == Some(mark) => break,
                event => events.push(event),
            }
        }
        let slice = match events.last() {
            Some(Event::Slice(slice)) => Some(slice.clone()),
            _ => None,
        };
        (events, slice)
    }
}

/// The slice that a whole clip comes to.
fn slice_of(file: &str, jsgf: &str) -> Transcript {
    let mut call = Call::expecting(jsgf);
    call.hear_clip(file, &clips::speech_ms(file));
    let (events, slice) = call.close_turn(expectation(jsgf));
    slice.unwrap_or_else(|| panic!("{file} gave no words: {events:?}"))
}

fn assert_heard(file: &str, jsgf: &str, text: &str) {
    let slice = slice_of(file, jsgf);
    assert_eq!(slice.text, text, "{file}");
    let joined: Vec<_> = slice.words.iter().map(|word| word.text.as_str()).collect();
    assert_eq!(joined.join(" "), text, "{file}: the words are those of the text");
    let speech = clips::speech_ms(file);
    let (first, last) = (speech.first().unwrap().0, speech.last().unwrap().1);
    for Word { text, start_us, end_us } in &slice.words {
        assert!(start_us < end_us, "{file}: `{text}` lasts");
        let inside = (first.saturating_sub(150) * 1000)..=((last + 150) * 1000);
        assert!(inside.contains(start_us) && inside.contains(end_us), "{file}: `{text}` at {start_us}");
    }
    assert!(slice.words.windows(2).all(|pair| pair[0].end_us <= pair[1].start_us), "{file}: in order");
}

#[test]
fn sentences_of_the_grammar_come_out_exact_with_their_words_inside_the_speech() {
    assert_heard("u01_slt.wav", BOOKING, "I'd like to book a table for four on Friday at seven p m");
    assert_heard("u01_rms.wav", BOOKING, "I'd like to book a table for four on Friday at seven p m");
    assert_heard("u02_slt.wav", CONFIRM, "yes please");
    assert_heard("u04_slt.wav", NAME, "my name is John Smith");
    assert_heard("u04_rms.wav", NAME, "my name is John Smith");
    assert_heard("u06_slt.wav", WHEN, "tomorrow at half past eight");
    assert_heard("u17_slt.wav", CONFIRM, "that's correct");
}

#[test]
fn speech_over_noise_of_twenty_decibels_less_comes_out_exact() {
    assert_heard("pink20_u01_slt.wav", BOOKING, "I'd like to book a table for four on Friday at seven p m");
}

#[test]
fn a_pause_inside_a_sentence_gives_one_text_and_its_first_half_is_told_meanwhile() {
    assert_heard("pause700_book_slt.wav", BOOKING, "I'd like to book a table for four on Friday");
    assert_heard("pause700_name_rms.wav", NAME, "my name is John Smith");

    let mut call = Call::expecting(NAME);
    call.hear_clip("pause700_name_rms.wav", &clips::speech_ms("pause700_name_rms.wav"));
    let (events, _) = call.close_turn(Expectation::default());
    let at_the_pause = 1_150_000..=1_200_000;
    let told = events.iter().any(|event| {
        matches!(event, Event::Interim(interim) if interim.text == "my name is"
            && interim.covers_until_us.is_some_and(|until| at_the_pause.contains(&until)))
    });
    assert!(told, "{events:?}");
}

#[test]
fn a_slice_says_what_the_last_finalize_said() {
    let mut call = Call::expecting(CONFIRM);
    call.hear_clip("u02_slt.wav", &clips::speech_ms("u02_slt.wav"));
    let (events, slice) = call.close_turn(expectation(NAME));
    let interim = events.iter().rev().find_map(|event| match event {
        Event::Interim(interim) => Some(interim),
        _ => None,
    });
    assert_eq!(interim.unwrap().words, slice.unwrap().words);
}

#[test]
fn interims_come_while_the_caller_speaks_and_never_cover_words_they_do_not_hold() {
    let mut call = Call::expecting(BOOKING);
    call.hear_clip("u01_slt.wav", &clips::speech_ms("u01_slt.wav"));
    let (events, _) = call.close_turn(Expectation::default());
    let early: Vec<_> = events
        .iter()
        .filter_map(|event| match event {
            Event::Interim(interim) if interim.covers_until_us < Some(3_440_000) => Some(interim),
            _ => None,
        })
        .collect();
    assert!(early.len() >= 3, "{events:?}");
    for interim in early {
        let last = interim.words.last().expect("an interim while speaking has words");
        assert!(interim.covers_until_us <= Some(last.end_us), "{interim:?}");
    }
}

#[test]
fn every_transcript_covers_at_least_as_much_as_the_one_before() {
    let mut call = Call::expecting(BOOKING);
    call.hear_clip("pause700_book_slt.wav", &clips::speech_ms("pause700_book_slt.wav"));
    let (events, _) = call.close_turn(Expectation::default());
    let covered: Vec<_> = events
        .iter()
        .map(|event| match event {
            Event::Interim(transcript) | Event::Slice(transcript) => transcript.covers_until_us.unwrap(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert!(covered.is_sorted(), "{covered:?}");
}

#[test]
fn a_cough_answers_no_question() {
    let mut call = Call::expecting(CONFIRM);
    call.hear_clip("cough.wav", &[(300, 900)]);
    let (events, slice) = call.close_turn(Expectation::default());
    assert_eq!(slice, None, "{events:?}");
    assert!(events.iter().all(|event| matches!(event, Event::Interim(told) if told.text.is_empty())));
}

#[test]
fn words_after_a_cough_are_heard_alone() {
    let mut call = Call::expecting(CONFIRM);
    call.hear_clip("cough_then_u02_slt.wav", &[(300, 900), (1370, 2150)]);
    let (_, slice) = call.close_turn(Expectation::default());
    assert_eq!(slice.unwrap().text, "yes please");
}

#[test]
fn silence_and_a_quiet_room_give_nothing_but_the_mark_of_having_listened() {
    for file in ["silence_4s.wav", "roomtone_4s.wav"] {
        let mut call = Call::expecting(CONFIRM);
        call.hear_clip(file, &[]);
        call.listener.control(Control::Finalize);
        let empty = Transcript { text: String::new(), words: Vec::new(), covers_until_us: Some(4_000_000) };
        assert_eq!(call.next(), Event::Interim(empty), "{file}");
    }
}

#[test]
fn the_next_turn_is_heard_with_its_own_grammar() {
    let mut call = Call::expecting(NAME);
    call.hear_clip("u04_slt.wav", &clips::speech_ms("u04_slt.wav"));
    call.listener.control(Control::NextTurn(expectation(CONFIRM)));
    let began = call.hear_clip("u17_slt.wav", &clips::speech_ms("u17_slt.wav"));
    let (events, second) = call.close_turn(expectation(NAME));
    let second = second.unwrap();
    assert_eq!(second.text, "that's correct");
    assert!(second.words[0].start_us > (began + 50) * 1000, "{second:?}");
    let first = events.iter().find_map(|event| match event {
        Event::Slice(slice) => Some(slice.text.as_str()),
        _ => None,
    });
    assert_eq!(first, Some("my name is John Smith"));
}

#[test]
fn a_caller_who_begins_while_the_turn_is_decided_is_heard_whole_in_the_next_turn() {
    let mut call = Call::expecting(NAME);
    let samples = clips::samples("turns2_slt.wav");
    call.hear(&samples[..260 * 16]);
    call.listener.control(Control::VoiceStarted(200_000));
    call.hear(&samples[260 * 16..1600 * 16]);
    call.listener.control(Control::VoiceEnded(1_490_000));
    call.listener.control(Control::Finalize);
    call.hear(&samples[1600 * 16..3600 * 16]);
    call.listener.control(Control::VoiceStarted(3_490_000));
    call.hear(&samples[3600 * 16..3800 * 16]);
    call.listener.control(Control::NextTurn(expectation(CONFIRM)));
    call.hear(&samples[3800 * 16..4400 * 16]);
    call.listener.control(Control::VoiceEnded(4_280_000));
    call.listener.control(Control::Finalize);
    let (events, slice) = call.close_turn(Expectation::default());
    assert_eq!(slice.unwrap().text, "that's correct");
    assert!(events.iter().any(|event| matches!(event, Event::Slice(s) if s.text == "my name is John Smith")));
}

#[test]
fn voice_that_never_ends_is_settled_in_stretches_and_the_words_go_on() {
    let mut call = Call::expecting(
        "#JSGF V1.0; grammar digits; public <digits> = (two | adults | and | three | children)+;",
    );
    call.listener.control(Control::VoiceStarted(0));
    for _ in 0..4 {
        (0..3).for_each(|_| call.hear(&clips::samples("u10_us.wav")));
        // The test feeds far faster than a caller can speak; the answer makes it wait.
        call.listener.control(Control::Finalize);
        let heard = Some(call.heard_ms * 1000);
        while !matches!(call.next(), Event::Interim(told) if told.covers_until_us == heard) {}
    }
    let (events, _) = call.close_turn(Expectation::default());
    let slices = events.iter().filter(|event| matches!(event, Event::Slice(_))).count();
    assert_eq!(slices, 1, "{events:?}");
}

#[test]
fn without_a_grammar_it_only_says_that_it_listened() {
    let mut call = Call::open(Expectation::default());
    call.hear_clip("u02_slt.wav", &clips::speech_ms("u02_slt.wav"));
    let (events, slice) = call.close_turn(expectation(CONFIRM));
    assert_eq!(slice, None);
    assert!(events.iter().all(|event| matches!(event, Event::Interim(told) if told.text.is_empty())));
}

#[test]
fn a_bad_grammar_fails_the_stream_and_names_the_mistake() {
    for (jsgf, named) in [
        ("#JSGF V1.0; grammar g; public <a> = <b>;", "<b>"),
        ("#JSGF V1.0; grammar g; public <a> = yes | zyxquorum | flibberty;", "flibberty, zyxquorum"),
        ("#JSGF V1.0; grammar g; public <a> = <a> yes | no;", "<a> is used inside itself"),
    ] {
        let call = Call::expecting(jsgf);
        let Event::Failed(error) = call.next() else { panic!("{jsgf} was accepted") };
        assert_eq!(error.kind, ErrorKind::Invalid);
        assert!(error.message.contains(named), "{error}");
    }
}

#[test]
fn a_flow_can_ask_beforehand_which_words_cannot_be_heard() {
    let jsgf = "#JSGF V1.0; grammar g; public <a> = Yes | zyxquorum | Garcia;";
    assert_eq!(unknown_words(jsgf).unwrap(), ["zyxquorum"]);
    assert!(check_grammar(jsgf).unwrap_err().message.contains("zyxquorum"));
    assert!(check_grammar(CONFIRM).is_ok());
}

#[test]
fn another_language_is_refused_at_once() {
    let recogniser = PocketSphinx::new().unwrap_or_else(|error| panic!("this test needs {error}"));
    let settings = Settings { language: "de-DE".to_owned(), ..Settings::default() };
    let refused = recogniser.open(settings, Arc::new(|_| {}));
    assert_eq!(refused.err().map(|error| error.kind), Some(ErrorKind::Invalid));
}

#[test]
fn ten_callers_are_heard_at_once_each_rightly() {
    let callers: Vec<_> = (0..10)
        .map(|caller| {
            std::thread::spawn(move || match caller % 2 {
                0 => assert_heard("u04_slt.wav", NAME, "my name is John Smith"),
                _ => assert_heard("u17_slt.wav", CONFIRM, "that's correct"),
            })
        })
        .collect();
    for caller in callers {
        caller.join().expect("each caller is heard");
    }
}
