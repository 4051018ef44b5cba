//! Transcribers in a chain. The caller's audio is a count: the sample of each frame is the number of the word in it, so
//! that what a stream was fed tells which words it can hear.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use parlance_providers::account::AccountId;
use parlance_providers::audio::{Audio, AudioFormat, Convert, OwnedAudio};
use parlance_providers::chain::{self, Budgets, Health, Listening, Setup, State};
use parlance_providers::notes::Note;
use parlance_providers::registry::Kind;
use parlance_providers::stt::{
    Capabilities, Control, Event, Expectation, Listener, Settings, Sink, SpeechToText, Transcript, Word,
};
use parlance_providers::{Error, ErrorKind};

use crate::puppets::{limited, setup, short, switches};

const FRAME_US: u64 = 20_000;
/// Frames of it hold no word.
const NOISE: i16 = -1;

/// What becomes of a stream after so many words.
#[derive(Clone, Copy)]
enum Fate {
    Well,
    Breaks(usize),
    Mute(usize),
    Refused(ErrorKind),
    /// Over its rate, for so many milliseconds.
    Limited(u64),
    /// Listens and finds nothing.
    Deaf,
    /// Breaks when it is asked for what there is.
    BreaksAsked,
    /// Tells nothing but, when it is asked, that there is nothing; neither with times nor with a watermark.
    Empty,
}

/// Hears each word when its frame comes and settles them two by two.
struct Counting {
    name: &'static str,
    fates: Mutex<Vec<Fate>>,
    opened: Mutex<usize>,
    /// The key terms each stream was opened with.
    terms: Mutex<Vec<Vec<String>>>,
}

impl Counting {
    fn new(name: &'static str, fates: &[Fate]) -> Arc<Self> {
        let (fates, terms) = (Mutex::new(fates.to_vec()), Mutex::default());
        Arc::new(Self { name, fates, opened: Mutex::new(0), terms })
    }
}

impl SpeechToText for Counting {
    fn name(&self) -> &'static str {
        self.name
    }

    fn capabilities(&self) -> Capabilities {
        let formats = &[AudioFormat::PCM_16K];
        Capabilities { formats, interims: true, watermark: true, turns: false, lag_ms_p95: 0 }
    }

    fn open(&self, settings: Settings, sink: Sink) -> Result<Box<dyn Listener>, Error> {
        self.terms.lock().unwrap().push(settings.expectation.key_terms);
        *self.opened.lock().unwrap() += 1;
        let mut fates = self.fates.lock().unwrap();
        let fate = if fates.len() > 1 { fates.remove(0) } else { fates[0] };
        let refused = match fate {
            Fate::Refused(kind) => Some(Error::new(self.name, kind, "as told")),
            Fate::Limited(ms) => Some(limited(self.name, ms)),
            _ => None,
        };
        if let Some(error) = refused {
            let told = sink.clone();
            tokio::spawn(async move { told(Event::Failed(error)) });
        }
        Ok(Box::new(Stream { name: self.name, fate, sink, at_us: 0, words: Vec::new(), heard: 0 }))
    }
}

struct Stream {
    name: &'static str,
    fate: Fate,
    sink: Sink,
    at_us: u64,
    words: Vec<Word>,
    heard: usize,
}

impl Listener for Stream {
    fn hear(&mut self, audio: Audio<'_>) {
        let Audio::Pcm16(samples) = audio else { panic!("it declares PCM") };
        for frame in samples.chunks(320) {
            let start_us = self.at_us;
            self.at_us += FRAME_US;
            if frame[0] == 0 || matches!(self.fate, Fate::Refused(_) | Fate::Limited(_)) {
                continue;
            }
            match self.fate {
                Fate::Deaf => {
                    let empty = Transcript {
                        text: String::new(),
                        words: Vec::new(),
                        covers_until_us: Some(self.at_us),
                    };
                    (self.sink)(Event::Slice(empty));
                    continue;
                }
                Fate::Mute(after) if self.heard >= after => continue,
                Fate::BreaksAsked | Fate::Empty => continue,
                Fate::Breaks(after) if self.heard >= after => {
                    (self.sink)(Event::Failed(Error::new(self.name, ErrorKind::Unavailable, "as told")));
                    continue;
                }
                _ if frame[0] == NOISE => {
                    let (text, words) = (String::new(), Vec::new());
                    let covers_until_us = Some(self.at_us);
                    (self.sink)(Event::Interim(Transcript { text, words, covers_until_us }));
                    continue;
                }
                _ => {}
            }
            self.heard += 1;
            self.words.push(Word { text: frame[0].to_string(), start_us, end_us: self.at_us });
            let text = self.words.iter().map(|word| word.text.as_str()).collect::<Vec<_>>().join(" ");
            let covers_until_us = Some(self.at_us);
            let transcript = Transcript { text, words: self.words.clone(), covers_until_us };
            if self.words.len() == 2 {
                self.words.clear();
                (self.sink)(Event::Slice(transcript));
            } else {
                (self.sink)(Event::Interim(transcript));
            }
        }
    }

    fn control(&mut self, control: Control) {
        if matches!(control, Control::Finalize) && matches!(self.fate, Fate::Well) {
            let words = std::mem::take(&mut self.words);
            let text = words.iter().map(|word| word.text.as_str()).collect::<Vec<_>>().join(" ");
            (self.sink)(Event::Slice(Transcript { text, words, covers_until_us: Some(self.at_us) }));
        }
        if matches!(control, Control::Finalize) && matches!(self.fate, Fate::BreaksAsked) {
            (self.sink)(Event::Failed(Error::new(self.name, ErrorKind::Unavailable, "as told")));
        }
        if matches!(control, Control::Finalize) && matches!(self.fate, Fate::Empty) {
            let (text, words) = (String::new(), Vec::new());
            (self.sink)(Event::Slice(Transcript { text, words, covers_until_us: None }));
        }
    }
}

struct Same;

impl Convert for Same {
    fn convert(&mut self, audio: Audio<'_>) -> OwnedAudio {
        match audio {
            Audio::Pcm16(samples) => OwnedAudio::Pcm16(samples.to_vec()),
            Audio::MuLaw(bytes) => OwnedAudio::MuLaw(bytes.to_vec()),
        }
    }
}

struct Call {
    listener: Box<dyn Listener>,
    told: Arc<Mutex<Vec<Event>>>,
    notes: Arc<Mutex<Vec<Note>>>,
    health: Arc<Health>,
    at_us: u64,
}

impl Call {
    fn open(providers: &[Arc<Counting>]) -> Self {
        let (setup, notes) = setup(Budgets { ..short() });
        Self::open_in(providers, setup, notes)
    }

    fn open_in(providers: &[Arc<Counting>], setup: Setup, notes: Arc<Mutex<Vec<Note>>>) -> Self {
        let health = Arc::clone(&setup.health);
        let listening = |provider: &Arc<Counting>| Listening {
            provider: provider.clone(),
            model: None,
            account: AccountId::ENGINE,
        };
        let candidates = providers.iter().map(listening).collect();
        let chain = chain::stt(candidates, Arc::new(|_, _| Box::new(Same)), setup).unwrap();
        let told = Arc::new(Mutex::new(Vec::new()));
        let telling = Arc::clone(&told);
        let sink = Arc::new(move |event| telling.lock().unwrap().push(event));
        let key_terms = vec!["Zephyr".to_owned()];
        let expectation = Expectation { jsgf: None, key_terms };
        let listener = chain.open(Settings { expectation, ..Settings::default() }, sink).unwrap();
        Self { listener, told, notes, health, at_us: 0 }
    }

    fn frame(&mut self, sample: i16) {
        self.listener.hear(Audio::Pcm16(&[sample; 320]));
        self.at_us += FRAME_US;
    }

    /// Says the words, one in each second frame, a few milliseconds apart, then is silent and asks for what there is.
    async fn say(&mut self, words: std::ops::RangeInclusive<i16>) {
        self.listener.control(Control::VoiceStarted(self.at_us));
        for word in words {
            self.frame(word);
            self.frame(0);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        self.listener.control(Control::VoiceEnded(self.at_us));
        self.frame(0);
        self.listener.control(Control::Finalize);
    }

    /// Silent until all these words are settled, each once and in order.
    async fn hears(&mut self, words: std::ops::RangeInclusive<i16>) {
        let wanted: Vec<String> = words.map(|word| word.to_string()).collect();
        let began = Instant::now();
        while self.settled() != wanted {
            assert!(began.elapsed() < Duration::from_secs(20), "{:?} of {wanted:?}", self.settled());
            self.frame(0);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    fn settled(&self) -> Vec<String> {
        let words = |event: &Event| match event {
            Event::Slice(slice) => slice.words.iter().map(|word| word.text.clone()).collect(),
            _ => Vec::new(),
        };
        self.told.lock().unwrap().iter().flat_map(words).collect()
    }

    /// Every word lies where it was said.
    fn times_are_right(&self, first: i16) {
        for event in self.told.lock().unwrap().iter() {
            let Event::Slice(slice) = event else { continue };
            for word in &slice.words {
                let index = (word.text.parse::<i16>().unwrap() - first) as u64;
                assert_eq!(word.start_us, index * 2 * FRAME_US, "{word:?}");
            }
        }
    }
}

#[tokio::test]
async fn a_stream_that_breaks_or_goes_mute_is_replaced_and_no_word_is_lost_or_doubled() {
    for fate in [
        Fate::Breaks(0),
        Fate::Breaks(3),
        Fate::Breaks(6),
        Fate::Mute(0),
        Fate::Mute(5),
        Fate::Refused(ErrorKind::Unavailable),
        Fate::Refused(ErrorKind::RateLimited),
        Fate::Refused(ErrorKind::Unauthorized),
    ] {
        let mut call = Call::open(&[Counting::new("first", &[fate]), Counting::new("second", &[Fate::Well])]);
        call.say(1..=12).await;
        call.hears(1..=12).await;
        call.times_are_right(1);
        assert!(!switches(&call.notes).is_empty(), "it was noted");
        assert!(!call.told.lock().unwrap().iter().any(|event| matches!(event, Event::Failed(_))));
    }
}

#[tokio::test]
async fn a_fresh_stream_of_the_same_provider_is_the_first_remedy() {
    let first = Counting::new("first", &[Fate::Breaks(5), Fate::Well]);
    let mut call = Call::open(&[first.clone(), Counting::new("second", &[Fate::Well])]);
    call.say(1..=12).await;
    call.hears(1..=12).await;
    assert_eq!(switches(&call.notes), [("first", "first")]);
}

#[tokio::test]
async fn the_first_provider_listens_again_at_the_next_turn_once_it_may_be_asked() {
    let first = Counting::new("first", &[Fate::Breaks(0), Fate::Breaks(0), Fate::Well]);
    let mut call = Call::open(&[first.clone(), Counting::new("second", &[Fate::Well])]);
    call.say(1..=4).await;
    call.hears(1..=4).await;
    assert_eq!(*first.opened.lock().unwrap(), 2);
    call.listener.control(Control::NextTurn(Expectation::default()));
    assert_eq!(*first.opened.lock().unwrap(), 3, "two failures leave its breaker closed");
    let back = Note::WentBack { kind: Kind::Stt, from: "second", to: "first" };
    assert_eq!(call.notes.lock().unwrap().iter().filter(|note| **note == back).count(), 1);
    call.say(5..=8).await;
    call.hears(1..=8).await;
}

#[tokio::test(start_paused = true)]
async fn the_only_transcriber_that_is_over_its_rate_is_left_alone_as_long_as_it_asks_and_a_caller_can_wait() {
    for (ms, least) in [(2_000, 2_000), (600_000, 5_000)] {
        let only = Counting::new("only", &[Fate::Limited(ms), Fate::Well]);
        let mut call = Call::open(std::slice::from_ref(&only));
        let began = tokio::time::Instant::now();
        while *only.opened.lock().unwrap() < 2 {
            call.frame(0);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let waited = began.elapsed().as_millis();
        assert!((least..least + 100).contains(&waited), "{waited} ms of {ms}");
        call.say(1..=4).await;
        call.hears(1..=4).await;
    }
}

#[tokio::test]
async fn when_only_a_person_can_help_the_call_is_told_that_nobody_listens() {
    let refused = |kind| Counting::new("only", &[Fate::Refused(kind)]);
    let mut call = Call::open(&[refused(ErrorKind::Unauthorized)]);
    let began = Instant::now();
    let failed =
        |call: &Call| call.told.lock().unwrap().iter().any(|event| matches!(event, Event::Failed(_)));
    while !failed(&call) {
        assert!(began.elapsed() < Duration::from_secs(10));
        call.frame(0);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_stream_that_never_finds_a_word_in_long_voice_gets_a_second_opinion() {
    let second = Counting::new("second", &[Fate::Well]);
    let mut call = Call::open(&[Counting::new("first", &[Fate::Deaf]), second.clone()]);
    call.say(1..=40).await;
    call.hears(1..=40).await;
    // Only one: in noise nobody finds words.
    let second = Counting::new("second", &[Fate::Deaf]);
    let mut call = Call::open(&[Counting::new("first", &[Fate::Deaf]), second.clone()]);
    call.say(1..=100).await;
    assert_eq!(*second.opened.lock().unwrap(), 1);
}

#[tokio::test]
async fn silence_is_not_taken_for_a_mute_stream() {
    let first = Counting::new("first", &[Fate::Well]);
    let mut call = Call::open(std::slice::from_ref(&first));
    for _ in 0..100 {
        call.frame(0);
        tokio::time::sleep(Duration::from_millis(4)).await;
    }
    assert_eq!(*first.opened.lock().unwrap(), 1);
}

/// Voice for this long, in frames of these samples.
async fn voiced(call: &mut Call, sample: i16, ms: u64) {
    call.listener.control(Control::VoiceStarted(call.at_us));
    for _ in 0..ms / 20 {
        call.frame(sample);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    call.listener.control(Control::VoiceEnded(call.at_us));
    call.frame(0);
    call.listener.control(Control::Finalize);
}

fn has_failed(call: &Call) -> bool {
    call.told.lock().unwrap().iter().any(|event| matches!(event, Event::Failed(_)))
}

#[tokio::test(start_paused = true)]
async fn noise_that_nobody_hears_words_in_is_no_fault_of_any_transcriber() {
    // One that is mute whatever is said hears noise like all the others.
    let noise = || Counting::new("first", &[Fate::Mute(0)]);
    for others in [vec![], vec![Counting::new("second", &[Fate::Mute(0)])]] {
        let first = noise();
        let all: Vec<_> = std::iter::once(first.clone()).chain(others).collect();
        let mut call = Call::open(&all);
        for _ in 0..6 {
            voiced(&mut call, 1, 10_000).await;
        }
        assert!(!has_failed(&call), "the call goes on");
        assert!(
            call.health.look(&AccountId::ENGINE).iter().all(|look| look.state == State::Well),
            "{:?}",
            call.health.look(&AccountId::ENGINE)
        );
        let opened: usize = all.iter().map(|provider| *provider.opened.lock().unwrap()).sum();
        assert!(opened <= 20, "{opened} streams in a minute of noise");
    }
}

#[tokio::test(start_paused = true)]
async fn a_mute_transcriber_is_blamed_when_another_hears_words_in_the_same_voice() {
    let first = Counting::new("first", &[Fate::Mute(0)]);
    let mut call = Call::open(&[first, Counting::new("second", &[Fate::Well])]);
    call.say(1..=4).await;
    call.hears(1..=4).await;
    call.frame(0);
    let looks = call.health.look(&AccountId::ENGINE);
    assert_eq!(looks.iter().map(|look| look.state).collect::<Vec<_>>(), [State::Shaky, State::Well]);
}

#[tokio::test(start_paused = true)]
async fn a_fresh_stream_that_answers_the_question_of_the_one_before_with_nothing_is_not_taken_for_mute() {
    let first = Counting::new("first", &[Fate::BreaksAsked, Fate::Empty]);
    let second = Counting::new("second", &[Fate::Well]);
    let mut call = Call::open(&[first.clone(), second.clone()]);
    voiced(&mut call, NOISE, 100).await;
    for _ in 0..250 {
        call.frame(0);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!((*first.opened.lock().unwrap(), *second.opened.lock().unwrap()), (2, 0));
}

#[tokio::test(start_paused = true)]
async fn one_that_is_always_mute_beside_one_that_always_breaks_hears_nobody_and_the_call_is_told() {
    // One that has heard words in this call hears noise now, for all anybody knows.
    for (fates, is_over) in [(&[Fate::Mute(0)] as &[Fate], true), (&[Fate::Mute(2), Fate::Mute(0)], false)] {
        let second = Counting::new("second", &[Fate::Breaks(0)]);
        let mut call = Call::open(&[Counting::new("first", fates), second.clone()]);
        if !is_over {
            call.say(1..=2).await;
            call.hears(1..=2).await;
        }
        voiced(&mut call, 3, 60_000).await;
        assert_eq!(has_failed(&call), is_over);
        let opened = *second.opened.lock().unwrap();
        voiced(&mut call, 3, 10_000).await;
        assert_eq!(*second.opened.lock().unwrap(), opened, "not asked for ever");
    }
}

#[tokio::test]
async fn one_that_is_mute_again_and_again_while_the_other_breaks_is_not_taken_for_noise() {
    let broken = Fate::Breaks(0);
    let second = Counting::new("second", &[broken, broken, broken, Fate::Well]);
    let mut call = Call::open(&[Counting::new("first", &[Fate::Mute(0)]), second]);
    call.say(1..=4).await;
    call.hears(1..=4).await;
    call.times_are_right(1);
}

#[tokio::test(start_paused = true)]
async fn noise_before_words_is_no_fault_of_who_found_none_in_it() {
    for (fate, sample) in [(Fate::Deaf, NOISE), (Fate::Mute(0), NOISE), (Fate::Deaf, 1)] {
        let first = Counting::new("first", &[fate]);
        let mut call = Call::open(&[first, Counting::new("second", &[Fate::Well])]);
        // Long enough for the first to be suspected; then words come, in the same turn.
        voiced(&mut call, sample, 5_000).await;
        call.say(2..=5).await;
        for _ in 0..50 {
            call.frame(0);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert!(call.settled().ends_with(&["4".to_owned(), "5".to_owned()]), "{:?}", call.settled());
        let state =
            call.health.look(&AccountId::ENGINE).iter().find(|look| look.provider == "first").unwrap().state;
        assert_eq!(state, if sample == NOISE { State::Well } else { State::Shaky });
    }
}

#[tokio::test(start_paused = true)]
async fn a_transcriber_that_hears_again_closes_its_breaker() {
    let (setup, notes) = setup(short());
    let health = Arc::clone(&setup.health);
    let first = Counting::new(
        "first",
        &[
            Fate::Refused(ErrorKind::Unavailable),
            Fate::Refused(ErrorKind::Unavailable),
            Fate::Refused(ErrorKind::Unavailable),
            Fate::Well,
        ],
    );
    let second = Counting::new("second", &[Fate::Well]);
    for _ in 0..2 {
        let mut call = Call::open_in(&[first.clone(), second.clone()], setup.clone(), notes.clone());
        call.say(1..=4).await;
        call.hears(1..=4).await;
    }
    assert_eq!(health.look(&AccountId::ENGINE)[0].state, State::Open);
    tokio::time::sleep(Duration::from_secs(6)).await;
    let mut call = Call::open_in(&[first.clone(), second], setup, notes);
    call.say(1..=4).await;
    call.hears(1..=4).await;
    for _ in 0..300 {
        call.frame(0);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(health.look(&AccountId::ENGINE)[0].state, State::Well);
}

#[tokio::test(start_paused = true)]
async fn a_trial_that_a_call_ended_before_it_was_decided_is_the_next_calls() {
    let (setup, notes) = setup(short());
    let refused = Fate::Refused(ErrorKind::RateLimited);
    let first = Counting::new("first", &[refused, Fate::Well]);
    let second = Counting::new("second", &[Fate::Well]);
    let call = || Call::open_in(&[first.clone(), second.clone()], setup.clone(), notes.clone());
    let mut limited = call();
    limited.say(1..=4).await;
    limited.hears(1..=4).await;
    tokio::time::sleep(Duration::from_secs(6)).await;
    for opened in [2, 3] {
        let trial = call();
        assert_eq!(*first.opened.lock().unwrap(), opened);
        drop(call());
        assert_eq!(*first.opened.lock().unwrap(), opened, "one at a time");
        drop(trial);
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_breaks_long_after_another_did_is_no_end_of_the_call() {
    // The only transcriber: its stream breaks once, is replaced, and breaks again after a long silence.
    let only = Counting::new(
        "only",
        &[Fate::Breaks(0), Fate::Breaks(1), Fate::Breaks(0), Fate::Breaks(0), Fate::Well],
    );
    let mut call = Call::open(&[only]);
    call.say(1..=1).await;
    for _ in 0..1_500 {
        call.frame(0);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    call.say(2..=8).await;
    for _ in 0..500 {
        call.frame(0);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(!has_failed(&call));
    assert_eq!(call.settled().last().map(String::as_str), Some("8"));
}

#[tokio::test]
async fn a_fresh_stream_listens_for_the_terms_of_the_call_and_of_the_turn() {
    let first = Counting::new("first", &[Fate::Breaks(0), Fate::Well]);
    let mut call = Call::open(std::slice::from_ref(&first));
    let key_terms = vec!["noon".to_owned(), "Zephyr".to_owned()];
    call.listener.control(Control::NextTurn(Expectation { jsgf: None, key_terms }));
    call.say(1..=4).await;
    call.hears(1..=4).await;
    assert_eq!(first.terms.lock().unwrap()[1], ["Zephyr", "noon"]);
}

#[tokio::test]
async fn whoever_is_best_among_those_that_may_be_asked_listens_again() {
    let refused = Fate::Refused(ErrorKind::Unauthorized);
    let first = Counting::new("first", &[refused]);
    let second = Counting::new("second", &[Fate::Breaks(0), Fate::Breaks(0), Fate::Well]);
    let third = Counting::new("third", &[Fate::Well]);
    let mut call = Call::open(&[first, second.clone(), third]);
    call.say(1..=4).await;
    call.hears(1..=4).await;
    call.listener.control(Control::NextTurn(Expectation::default()));
    assert_eq!(*second.opened.lock().unwrap(), 3);
}
