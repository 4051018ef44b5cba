//! Voices under every fault. The words that are missing when one breaks are asked for again, as a conversation does.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parlance_fakes::code::Decoder;
use parlance_fakes::{Fault, Plan, Service};
use parlance_providers::account::AccountId;
use parlance_providers::chain::{self, Budgets, Speaking};
use parlance_providers::registry::Open;
use parlance_providers::tts::{Event, Settings, Sound};
use tokio::sync::mpsc::unbounded_channel;
use tokio::time::timeout;

use super::{Case, Lateness, PATIENCE, Row, cases, each, open, row, setup, words};

const ROWS: [Row; 5] = [
    row("elevenlabs", "elevenlabs", Service::ElevenlabsMulti),
    row("cartesia", "cartesia", Service::CartesiaTts),
    row("deepgram", "deepgram", Service::DeepgramSpeak),
    row("openai", "openai/v1", Service::OpenaiSpeech),
    row("elevenlabs-http", "elevenlabs", Service::ElevenlabsHttp),
];
const LAST: u16 = 10;

#[tokio::test(flavor = "multi_thread")]
async fn with_every_fault_a_sentence_is_heard_whole_and_within_the_budgets() {
    let mut all = cases(&ROWS);
    for (row, fallback) in [(ROWS[0], Some(ROWS[1])), (ROWS[4], Some(ROWS[2]))] {
        all.push(Case { row, fallback, fault: Fault::UnusualActivity });
    }
    each(all, 8, speak).await;
}

/// What came over the wire.
#[derive(Default)]
struct Heard {
    numbers: Vec<u16>,
    waited: Duration,
}

async fn speak(case: Case) -> Result<(), String> {
    let lateness = Lateness::watch();
    let fakes = case.fakes(&Plan { interval_ms: 10, ..Plan::default() }).await;
    let speaking = case.rows().map(|row| {
        let (Open::Tts(open), account) = open(row, &fakes) else { panic!("{} is no voice", row.name) };
        Speaking {
            provider: open(&account).unwrap(),
            voice: String::new(),
            model: None,
            account: AccountId::ENGINE,
        }
    });
    let mut speaker = chain::tts(speaking.collect(), Settings::default(), setup()).unwrap();
    let mut heard = Heard::default();
    let mut missing = 1;
    for _ in 0..3 {
        let (told, mut events) = unbounded_channel();
        let _speech = speaker
            .speak(&words(missing..=LAST), Arc::new(move |event| drop(told.send(event))))
            .map_err(|error| error.to_string())?;
        let (mut decoder, mut last) = (None, Instant::now());
        let (began, mut length) = (last, Duration::ZERO);
        let failed = loop {
            let Ok(Some(event)) = timeout(PATIENCE, events.recv()).await else {
                return Err(format!("no end after {:?}", heard.numbers));
            };
            // What came already is still being played.
            let silent_since = last.max(began + length);
            heard.waited = heard.waited.max(silent_since.elapsed());
            last = Instant::now();
            match event {
                Event::Audio(sound) => {
                    length += Duration::from_micros(sound.length_us());
                    let Sound::Pcm16 { sample_rate_hz, samples } = sound else {
                        return Err("not PCM".into());
                    };
                    let decoder = decoder.get_or_insert_with(|| Decoder::new(sample_rate_hz));
                    decoder.push(&samples, &mut |found| heard.numbers.push(found.number));
                }
                Event::Words(_) => {}
                Event::Finished => break None,
                Event::Failed(error) => break Some(error),
            }
        };
        if let Some(decoder) = &mut decoder {
            decoder.push(&[0; 4_800], &mut |found| heard.numbers.push(found.number));
        }
        let Some(error) = failed else { return judge(&heard, &lateness) };
        if case.is_hopeless() && heard.numbers.is_empty() {
            return Ok(());
        }
        if !speaker.has_another() {
            return Err(format!("no voice is left: {error}"));
        }
        missing = heard.numbers.last().map_or(1, |last| last + 1);
        if missing > LAST {
            return judge(&heard, &lateness);
        }
    }
    Err(format!("it broke three times: {:?}", heard.numbers))
}

fn judge(heard: &Heard, lateness: &Lateness) -> Result<(), String> {
    if heard.numbers != (1..=LAST).collect::<Vec<_>>() {
        return Err(format!("heard {:?}", heard.numbers));
    }
    if heard.waited > lateness.allows(Budgets::default().first_audio) {
        return Err(format!("{:?} of silence", heard.waited));
    }
    Ok(())
}
