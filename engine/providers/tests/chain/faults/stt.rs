//! Transcribers under every fault, fed as a caller speaks: 20 ms every 20 ms, words over real speech.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use parlance_fakes::code::speech_with;
use parlance_fakes::{Fault, Plan, Service};
use parlance_providers::account::AccountId;
use parlance_providers::audio::{Audio, AudioFormat, Convert, OwnedAudio};
use parlance_providers::chain::{self, Budgets, Listening};
use parlance_providers::registry::Open;
use parlance_providers::stt::{Control, Event, Settings};
use tokio::time::{MissedTickBehavior, interval};

use super::{Case, Lateness, PATIENCE, Row, SLACK, cases, each, open, row, setup};

#[path = "../../clips/mod.rs"]
#[allow(dead_code, reason = "another suite uses the rest")]
mod clips;

const ROWS: [Row; 6] = [
    row("deepgram", "deepgram", Service::DeepgramListen),
    row("elevenlabs", "elevenlabs", Service::ElevenlabsScribe),
    row("cartesia", "cartesia", Service::CartesiaStt),
    row("openai-realtime", "openai/v1", Service::OpenaiRealtime),
    row("deepgram-flux", "deepgram", Service::DeepgramFlux),
    row("openai", "openai/v1", Service::OpenaiTranscribe),
];
const LAST: u16 = 9;
const FRAME: usize = 320;
/// Vendors take less than this for a gap in the audio.
const STALLED: Duration = Duration::from_millis(400);

#[tokio::test(flavor = "multi_thread")]
async fn with_every_fault_a_callers_words_are_heard_once_each_and_within_the_budgets() {
    each(cases(&ROWS), 16, listen).await;
}

/// The words that are settled, in order, and whether the call was told that nobody listens.
#[derive(Default)]
struct Told {
    words: Vec<String>,
    failed: Option<String>,
}

/// A machine so busy that the caller's audio stalls proves nothing: then once more.
async fn listen(case: Case) -> Result<(), String> {
    for _ in 0..3 {
        if let Some(result) = listen_once(&case).await {
            return result;
        }
    }
    Err("this machine could not feed the caller's audio in time, three times".to_owned())
}

/// `None` when the audio stalled.
async fn listen_once(case: &Case) -> Option<Result<(), String>> {
    let stalled = AtomicBool::new(false);
    let result = hear(case, &stalled).await;
    (result.is_ok() || !stalled.load(Ordering::Relaxed)).then_some(result)
}

async fn hear(case: &Case, stalled: &AtomicBool) -> Result<(), String> {
    // Named, so that speech before the first word is none.
    let words = (0..=LAST).map(|number| format!("word{number}")).collect();
    let fakes = case.fakes(&Plan { interval_ms: 5, words, ..Plan::default() }).await;
    let listening = case.rows().map(|row| {
        let (Open::Stt(open), account) = open(row, &fakes) else { panic!("{} is no transcriber", row.name) };
        Listening { provider: open(&account).unwrap(), model: None, account: AccountId::ENGINE }
    });
    let converters = Arc::new(|from: AudioFormat, to: AudioFormat| -> Box<dyn Convert> {
        Box::new(Straight { from_hz: from.sample_rate_hz(), to_hz: to.sample_rate_hz(), at: 0.0, last: 0 })
    });
    let transcriber = chain::stt(listening.collect(), converters, setup()).unwrap();
    let told = Arc::new(Mutex::new(Told::default()));
    let telling = Arc::clone(&told);
    let sink = Arc::new(move |event| match event {
        Event::Slice(slice) => {
            let words = slice.text.split_whitespace().map(str::to_owned);
            telling.lock().unwrap().words.extend(words);
        }
        Event::Failed(error) => telling.lock().unwrap().failed = Some(error.to_string()),
        Event::Opened | Event::Interim(_) | Event::Turn(_) | Event::Replaced { .. } => {}
    });
    let mut listener = transcriber.open(Settings::default(), sink).map_err(|error| error.to_string())?;

    let numbers: Vec<u16> = (1..=LAST).collect();
    let (lead, speech) = (40 * FRAME, speech_with(&numbers, &clips::samples("long_rms.wav")));
    let spoken = lead + speech.len();
    let mut audio = vec![0; lead];
    audio.extend(&speech);
    audio.resize(spoken.div_ceil(FRAME) * FRAME, 0);
    let ms = |samples: usize| samples as u64 * 1_000 / 16;
    // When a detector tells of voice and its end, and the turn's silence is long enough to ask for the words.
    let (onset, offset) = ((lead + 5 * FRAME) / FRAME, (spoken + 6 * FRAME) / FRAME);
    let silence = [0; FRAME];
    let mut clock = interval(Duration::from_millis(20));
    clock.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let (began, mut asked, lateness) = (Instant::now(), None, Lateness::watch());
    let mut fed = Instant::now();
    for index in 0.. {
        clock.tick().await;
        listener.hear(Audio::Pcm16(audio.chunks(FRAME).nth(index).unwrap_or(&silence)));
        // Behind it: this thread may have been made to wait since the tick.
        stalled.fetch_or(fed.elapsed() > STALLED, Ordering::Relaxed);
        fed = Instant::now();
        if index == onset {
            listener.control(Control::VoiceStarted(ms(lead)));
        }
        if index == offset {
            listener.control(Control::VoiceEnded(ms(spoken)));
            listener.control(Control::Finalize);
            asked = Some(Instant::now());
        }
        let told = told.lock().unwrap();
        if let Some(failed) = &told.failed {
            return if case.is_hopeless() { Ok(()) } else { Err(format!("{:?}, then {failed}", told.words)) };
        }
        // Nobody can know that there were words where one says that there were none.
        let is_empty = case.fault == Fault::Empty && asked.is_some_and(|asked| asked.elapsed() > SLACK);
        if is_empty && told.words.is_empty() {
            return Ok(());
        }
        if told.words.len() >= usize::from(LAST) && asked.is_some() || began.elapsed() > PATIENCE {
            break;
        }
    }
    // A word that came twice may come late.
    for _ in 0..25 {
        clock.tick().await;
        listener.hear(Audio::Pcm16(&silence));
    }
    let told = told.lock().unwrap();
    let expected: Vec<String> = numbers.iter().map(|number| format!("word{number}")).collect();
    if told.words != expected {
        return Err(format!("heard {:?}", told.words));
    }
    // A stream that is found mute once may be followed by another such.
    let budget = lateness.allows(2 * Budgets::default().mute);
    let waited = asked.map_or(Duration::ZERO, |asked| asked.elapsed());
    if waited > budget { Err(format!("words {waited:?} after they were asked for")) } else { Ok(()) }
}

/// Draws straight lines between samples: enough for tones under 3.2 kHz.
struct Straight {
    from_hz: u32,
    to_hz: u32,
    /// Where the next sample lies behind the last one taken.
    at: f64,
    last: i16,
}

impl Convert for Straight {
    fn convert(&mut self, audio: Audio<'_>) -> OwnedAudio {
        let Audio::Pcm16(samples) = audio else { panic!("the caller's audio is PCM") };
        let step = f64::from(self.from_hz) / f64::from(self.to_hz);
        let mut converted = Vec::new();
        for sample in samples {
            while self.at < 1.0 {
                let (from, to) = (f64::from(self.last), f64::from(*sample));
                converted.push((from + (to - from) * self.at) as i16);
                self.at += step;
            }
            (self.at, self.last) = (self.at - 1.0, *sample);
        }
        OwnedAudio::Pcm16(converted)
    }
}
