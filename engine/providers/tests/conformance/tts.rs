//! Voices: the table of services, and what a sentence gave, read off its audio. The cases are in `faults` and `speaking`.

mod faults;
mod speaking;
mod vendors;

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use parlance_fakes::code::{Decoder, Found, number_of};
use parlance_fakes::{Fakes, Fault, Plan, Service};
use parlance_providers::account::{Account, Secret};
use parlance_providers::audio::AudioFormat;
use parlance_providers::tts::{self, Event, Settings, Sound, Speaker, Speech, TextToSpeech, WordTime};
use parlance_providers::{Error, ErrorKind, registry};
use tokio::sync::mpsc;
use tokio::time::timeout;

/// Longer than every outer bound of a sentence.
const PATIENCE: Duration = Duration::from_secs(40);
/// Must never be seen anywhere.
const KEY: &str = "sk-4f9d1c7e-never-shown";

/// One service and what it can do.
#[derive(Clone, Copy)]
struct Row {
    name: &'static str,
    stand_in: Service,
    /// The vendor's part of the stand-ins' address.
    base: &'static str,
    has_mu_law: bool,
    has_word_times: bool,
    /// A socket for a call; else a request for each sentence.
    has_socket: bool,
}

const ROWS: [Row; 5] = [
    Row {
        name: "elevenlabs",
        stand_in: Service::ElevenlabsMulti,
        base: "elevenlabs",
        has_mu_law: true,
        has_word_times: true,
        has_socket: true,
    },
    Row {
        name: "elevenlabs-http",
        stand_in: Service::ElevenlabsHttp,
        base: "elevenlabs",
        has_mu_law: true,
        has_word_times: true,
        has_socket: false,
    },
    Row {
        name: "cartesia",
        stand_in: Service::CartesiaTts,
        base: "cartesia",
        has_mu_law: true,
        has_word_times: true,
        has_socket: true,
    },
    Row {
        name: "deepgram",
        stand_in: Service::DeepgramSpeak,
        base: "deepgram",
        has_mu_law: true,
        has_word_times: false,
        has_socket: true,
    },
    Row {
        name: "openai",
        stand_in: Service::OpenaiSpeech,
        base: "openai/v1",
        has_mu_law: false,
        has_word_times: false,
        has_socket: false,
    },
];

/// Runs a case for every service, side by side.
async fn every<F: Future<Output = ()>>(case: impl Fn(Bench) -> F) {
    let benches = join_all(ROWS.map(Bench::new)).await;
    join_all(benches.into_iter().map(case)).await;
}

/// The same with every fault of a list: those that are found out by waiting are waited for together.
async fn every_by<F: Future<Output = ()>>(faults: &[Fault], case: impl Fn(Bench, Fault) -> F) {
    let pairs = ROWS.iter().flat_map(|row| faults.iter().map(|fault| (*row, fault.clone())));
    join_all(pairs.map(async |(row, fault)| case(Bench::new(row).await, fault).await)).await;
}

/// A service with stand-ins of its own.
struct Bench {
    row: Row,
    fakes: Fakes,
}

impl Bench {
    async fn new(row: Row) -> Self {
        Self { row, fakes: Fakes::start().await.unwrap() }
    }

    fn plan(&self, plan: Plan) {
        self.fakes.plan(self.row.stand_in, plan);
    }

    fn provider(&self) -> Arc<dyn TextToSpeech> {
        self.provider_with(KEY)
    }

    fn provider_with(&self, key: &str) -> Arc<dyn TextToSpeech> {
        let account = Account { key: Secret::new(key), base_url: Some(self.fakes.base(self.row.base)) };
        let service = tts::SERVICES.iter().find(|service| service.name == self.row.name).unwrap();
        match service.open {
            registry::Open::Tts(open) => open(&account).unwrap(),
            _ => panic!("{} is no voice", self.row.name),
        }
    }

    fn open(&self) -> Box<dyn Speaker> {
        self.provider().open(Settings::default()).unwrap()
    }

    /// One sentence of a call of its own.
    async fn say(&self, text: &str) -> Heard {
        say(&mut *self.open(), text).await
    }

    fn connections(&self) -> usize {
        self.fakes.seen(self.row.stand_in).iter().filter(|seen| seen.what == "open").count()
    }

    /// Waits until the stand-in has seen this.
    async fn until_seen(&self, what: &str, is_it: impl Fn(&str) -> bool) {
        let seen = async {
            loop {
                let seen = self.fakes.seen(self.row.stand_in);
                if seen.iter().any(|seen| seen.what == what && is_it(&seen.detail)) {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let name = self.row.name;
        timeout(PATIENCE, seen).await.unwrap_or_else(|_| panic!("{name}: no {what} was seen"));
    }
}

/// A sentence under way.
struct Speaking {
    speech: Speech,
    events: mpsc::UnboundedReceiver<Event>,
}

fn start(speaker: &mut dyn Speaker, text: &str) -> Speaking {
    let (sender, events) = mpsc::unbounded_channel();
    let speech = speaker.speak(text, Arc::new(move |event| drop(sender.send(event)))).unwrap();
    Speaking { speech, events }
}

async fn say(speaker: &mut dyn Speaker, text: &str) -> Heard {
    start(speaker, text).end().await
}

impl Speaking {
    async fn next(&mut self) -> Event {
        timeout(PATIENCE, self.events.recv()).await.expect("a sentence that ends").expect("an end")
    }

    async fn end(mut self) -> Heard {
        let mut heard = Heard::default();
        while !heard.take(self.next().await) {}
        // Nothing comes behind the end.
        drop(self.speech);
        assert_eq!(self.events.try_recv().ok(), None);
        heard
    }
}

/// What a sentence gave.
#[derive(Debug, Default)]
struct Heard {
    format: Option<AudioFormat>,
    samples: Vec<i16>,
    times: Vec<WordTime>,
    error: Option<Error>,
}

impl Heard {
    /// Whether that was the end.
    fn take(&mut self, event: Event) -> bool {
        match event {
            Event::Audio(sound) => {
                let (format, samples) = match sound {
                    Sound::Pcm16 { sample_rate_hz, samples } => {
                        (AudioFormat::Pcm16 { sample_rate_hz }, samples)
                    }
                    Sound::MuLaw(bytes) => (AudioFormat::MuLaw, bytes.into_iter().map(from_mu_law).collect()),
                };
                assert!(!samples.is_empty(), "audio without a sample was told");
                assert_eq!(*self.format.get_or_insert(format), format, "the format changed");
                self.samples.extend(samples);
            }
            Event::Words(words) => self.times.extend(words),
            Event::Finished => return true,
            Event::Failed(error) => {
                assert!(!format!("{error:?}").contains(KEY), "the key is in the error");
                self.error = Some(error);
                return true;
            }
        }
        false
    }

    fn rate_hz(&self) -> u32 {
        self.format.expect("audio").sample_rate_hz()
    }

    fn found(&self) -> Vec<Found> {
        let mut found = Vec::new();
        if self.format.is_none() {
            return found;
        }
        let mut decoder = Decoder::new(self.rate_hz());
        decoder.push(&self.samples, &mut |word| found.push(word));
        // What is left in the decoder comes out with silence behind it.
        decoder.push(&vec![0; self.rate_hz() as usize / 5], &mut |word| found.push(word));
        found
    }

    /// The words that sound, by number.
    fn words(&self) -> Vec<u16> {
        self.found().iter().map(|found| found.number).collect()
    }
}

/// The numbers of a text's words.
fn numbers(text: &str) -> Vec<u16> {
    text.split_whitespace().map(number_of).collect()
}

/// `word0 word1 …`: so many words, 300 ms each with the stand-ins.
fn text_of(words: std::ops::Range<usize>) -> String {
    words.map(|word| format!("word{word}")).collect::<Vec<_>>().join(" ")
}

/// G.711, table 2a: the sample a code stands for.
fn from_mu_law(code: u8) -> i16 {
    let code = !code;
    let (exponent, mantissa) = (code >> 4 & 7, i16::from(code & 15));
    let magnitude = (((mantissa << 3) + 0x84) << exponent) - 0x84;
    if code & 0x80 == 0 { magnitude } else { -magnitude }
}
