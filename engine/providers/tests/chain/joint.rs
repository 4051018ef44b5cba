//! The join of two transcribers, by seeds: words of random lengths, slices of random sizes, word times that are off by
//! random errors and streams that break or go mute at random moments. Within the limits that `chain/replay.rs` states no
//! word is lost and none comes twice.
//!
//! The caller's audio is a score: each sample is the number of its word, nought is silence. A stream hears a word of
//! which it was fed at least half; of less nobody makes a word.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use parlance_providers::account::AccountId;
use parlance_providers::audio::{Audio, AudioFormat, Convert};
use parlance_providers::chain::{self, Budgets, Listening};
use parlance_providers::stt::{
    Capabilities, Control, Event, Expectation, Listener, Settings, Sink, SpeechToText, Transcript, Word,
};
use parlance_providers::{Error, ErrorKind};

use crate::puppets::setup;

const FRAME: usize = 320;
const MS: usize = 16;
/// A word is at least so long, milliseconds: twice the error of its times.
const SHORTEST_MS: usize = 300;
const ERROR_MS: i64 = 150;
const WORDS: i16 = 24;
const SEEDS: u64 = 300;

/// SplitMix64.
#[derive(Clone)]
struct Seeded(u64);

impl Seeded {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) % bound as u64) as usize
    }
}

/// What transcribers tell beside the words of a slice.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Tells {
    Times,
    Watermark,
    Both,
}

/// Every stream of it breaks after a random while. One that can be mute goes mute instead, now and then: when all are
/// mute nobody can know that there are words.
struct Fragile {
    name: &'static str,
    tells: Tells,
    can_be_mute: bool,
    lengths: Arc<Vec<usize>>,
    seeded: Mutex<Seeded>,
    opened: Mutex<usize>,
}

impl SpeechToText for Fragile {
    fn name(&self) -> &'static str {
        self.name
    }

    fn capabilities(&self) -> Capabilities {
        let watermark = self.tells != Tells::Times;
        let formats = &[AudioFormat::PCM_16K];
        Capabilities { formats, interims: true, watermark, turns: false, lag_ms_p95: 0 }
    }

    fn open(&self, _: Settings, sink: Sink) -> Result<Box<dyn Listener>, Error> {
        *self.opened.lock().unwrap() += 1;
        let mut seeded = self.seeded.lock().unwrap();
        let ends_at = MS * (200 + seeded.below(6_000));
        let is_mute = seeded.below(3) == 0 && self.can_be_mute;
        let seeded = Seeded(seeded.below(usize::MAX) as u64);
        Ok(Box::new(Stream {
            name: self.name,
            tells: self.tells,
            lengths: Arc::clone(&self.lengths),
            seeded,
            sink,
            at: 0,
            ends_at,
            is_mute,
            word: 0,
            word_from: 0,
            words: Vec::new(),
            slice: 1,
        }))
    }
}

struct Stream {
    name: &'static str,
    tells: Tells,
    lengths: Arc<Vec<usize>>,
    seeded: Seeded,
    sink: Sink,
    at: usize,
    ends_at: usize,
    is_mute: bool,
    /// The word that sounds now; 0 for none.
    word: i16,
    word_from: usize,
    words: Vec<Word>,
    /// So many words are settled next.
    slice: usize,
}

impl Stream {
    fn is_over(&self) -> bool {
        self.at >= self.ends_at
    }

    fn us(&mut self, sample: usize) -> u64 {
        let error = self.seeded.below(2 * ERROR_MS as usize + 1) as i64 - ERROR_MS;
        let ms = (sample / MS) as i64 + if self.tells == Tells::Watermark { 0 } else { error };
        ms.max(0) as u64 * 1_000
    }

    /// A word has ended, or silence has.
    fn ended(&mut self) {
        let (word, from, until) = (self.word, self.word_from, self.at);
        if word == 0 || 2 * (until - from) < self.lengths[word as usize] {
            return;
        }
        let (start_us, end_us) = (self.us(from), self.us(until));
        self.words.push(Word { text: word.to_string(), start_us, end_us });
        if self.words.len() >= self.slice {
            self.settle();
        } else {
            let transcript = self.transcript();
            (self.sink)(Event::Interim(transcript));
        }
    }

    fn transcript(&self) -> Transcript {
        let text = self.words.iter().map(|word| word.text.as_str()).collect::<Vec<_>>().join(" ");
        let covers_until_us = (self.tells != Tells::Times).then_some((self.at / MS) as u64 * 1_000);
        let words = if self.tells == Tells::Watermark { Vec::new() } else { self.words.clone() };
        Transcript { text, words, covers_until_us }
    }

    fn settle(&mut self) {
        let transcript = self.transcript();
        self.words.clear();
        self.slice = 1 + self.seeded.below(4);
        (self.sink)(Event::Slice(transcript));
    }
}

impl Listener for Stream {
    fn hear(&mut self, audio: Audio<'_>) {
        let Audio::Pcm16(samples) = audio else { panic!("it declares PCM") };
        for sample in samples {
            if self.is_over() {
                if !std::mem::replace(&mut self.is_mute, true) {
                    (self.sink)(Event::Failed(Error::new(self.name, ErrorKind::Unavailable, "as seeded")));
                }
                return;
            }
            if *sample != self.word {
                self.ended();
                (self.word, self.word_from) = (*sample, self.at);
            }
            self.at += 1;
        }
    }

    fn control(&mut self, control: Control) {
        if control == Control::Finalize && !self.is_over() {
            self.settle();
        }
    }
}

/// What was settled of what was said, with transcribers that tell this.
async fn settled(seed: u64, tells: Tells) -> (Vec<i16>, usize) {
    let mut seeded = Seeded(seed);
    let mut lengths = vec![0];
    lengths.extend((0..WORDS).map(|_| MS * (SHORTEST_MS + seeded.below(300))));
    let lengths = Arc::new(lengths);
    let all = ["first", "second"].map(|name| {
        let (seeded, opened) = (Mutex::new(Seeded(seeded.below(usize::MAX) as u64)), Mutex::default());
        let can_be_mute = name == "first";
        Arc::new(Fragile { name, tells, can_be_mute, lengths: Arc::clone(&lengths), seeded, opened })
    });
    let candidates = all.iter().map(|provider| Listening {
        provider: provider.clone(),
        model: None,
        account: AccountId::ENGINE,
    });
    let told = Arc::new(Mutex::new(Vec::new()));
    let telling = Arc::clone(&told);
    let sink: Sink = Arc::new(move |event| match event {
        Event::Slice(slice) => {
            let words = slice.text.split_whitespace().map(|word| word.parse::<i16>().unwrap());
            telling.lock().unwrap().extend(words);
        }
        Event::Failed(error) => panic!("seed {seed}: {error}"),
        _ => {}
    });
    let (setup, _) = setup(Budgets::default());
    let convert = Arc::new(|_, _| -> Box<dyn Convert> { unreachable!("all take what comes") });
    let chain = chain::stt(candidates.collect(), convert, setup).unwrap();
    let mut listener = chain.open(Settings::default(), sink).unwrap();
    let mut at = 0;
    let mut frame = async |listener: &mut dyn Listener, samples: &[i16]| {
        tokio::time::sleep(Duration::from_millis(20)).await;
        listener.hear(Audio::Pcm16(samples));
        at += samples.len();
        (at / MS) as u64 * 1_000
    };
    let silence = [0; FRAME];
    let mut score = Vec::new();
    let mut next: i16 = 1;
    let mut now_us = frame(listener.as_mut(), &silence).await;
    while next <= WORDS {
        // A turn of a few words with short pauses between them.
        score.clear();
        for _ in 0..(1 + seeded.below(8)).min((WORDS - next + 1) as usize) {
            score.extend(std::iter::repeat_n(next, lengths[next as usize]));
            score.extend(std::iter::repeat_n(0, MS * seeded.below(150)));
            next += 1;
        }
        listener.control(Control::VoiceStarted(now_us));
        for samples in score.chunks(FRAME) {
            now_us = frame(listener.as_mut(), samples).await;
        }
        listener.control(Control::VoiceEnded(now_us));
        now_us = frame(listener.as_mut(), &silence).await;
        listener.control(Control::Finalize);
        // Until all is settled, as a call waits for it.
        for _ in 0..2_000 {
            if told.lock().unwrap().last().is_some_and(|last| *last >= next - 1) {
                break;
            }
            now_us = frame(listener.as_mut(), &silence).await;
        }
        for _ in 0..10 {
            now_us = frame(listener.as_mut(), &silence).await;
        }
        listener.control(Control::NextTurn(Expectation::default()));
    }
    let opened = all.iter().map(|provider| *provider.opened.lock().unwrap()).sum();
    let told = told.lock().unwrap().clone();
    (told, opened)
}

#[tokio::test(start_paused = true)]
async fn no_word_is_lost_or_doubled_wherever_slices_end_and_streams_break_and_though_times_are_off() {
    let expected: Vec<i16> = (1..=WORDS).collect();
    let mut streams = 0;
    for seed in 0..SEEDS {
        for tells in [Tells::Times, Tells::Watermark, Tells::Both] {
            let (heard, opened) = settled(seed, tells).await;
            assert_eq!(heard, expected, "seed {seed}, {tells:?}");
            streams += opened;
        }
    }
    assert!(streams as u64 > 3 * 3 * SEEDS, "they were replaced, {streams} streams in all");
}
