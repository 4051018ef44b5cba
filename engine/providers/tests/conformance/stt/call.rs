//! A caller for the suite: says words whose tunes the stand-ins hear, and collects what the transcriber tells.

use std::sync::Arc;
use std::time::Duration;

use parlance_fakes::code::{TUNE_US, tune};
use parlance_fakes::{Fakes, Plan};
use parlance_providers::account::{Account, Secret};
use parlance_providers::audio::{Audio, AudioFormat};
use parlance_providers::registry::{Open, services};
use parlance_providers::stt::{
    Control, Event, Expectation, Listener, Settings, SpeechToText, Transcript, Word,
};
use parlance_providers::{Error, ErrorKind};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::time::{Instant, timeout_at};

use super::Row;

/// Words with numbers from 0, as plans name them; those behind are `word5` and so on.
pub const WORDS: [&str; 5] = ["alpha", "नमस्ते", "charlie", "दुनिया", "echo"];
/// Far more than anything here takes, and more than any bound a client may have.
pub const SOON: Duration = Duration::from_secs(40);
/// A key that must be found nowhere.
pub const KEY: &str = "sk-a-good-key";

/// Silence before the first word and after the last.
const LEAD_US: u64 = 600_000;
const TAIL_US: u64 = 2_000_000;
/// When the detector tells of voice and of its end, after they were heard.
const ONSET_LATE_US: u64 = 100_000;
const FINALIZE_LATE_US: u64 = 100_000;

/// One open stream.
pub struct Call {
    pub listener: Option<Box<dyn Listener>>,
    pub events: UnboundedReceiver<Event>,
    format: AudioFormat,
    /// What was fed, microseconds.
    pub fed_us: u64,
}

/// What a stream has told until it was looked at.
#[derive(Debug, Default)]
pub struct Told {
    pub opened: u32,
    pub interims: Vec<Transcript>,
    pub slices: Vec<Transcript>,
    pub failures: Vec<Error>,
    /// Events behind a failure.
    pub late: u32,
    pub turns_ended: u32,
    /// Streams that took over; only a chain has some.
    pub replaced: u32,
}

impl Told {
    fn add(&mut self, event: Event) {
        self.late += u32::from(!self.failures.is_empty());
        match event {
            Event::Opened => self.opened += 1,
            Event::Replaced { .. } => self.replaced += 1,
            Event::Interim(interim) => self.interims.push(interim),
            Event::Slice(slice) => self.slices.push(slice),
            Event::Turn(parlance_providers::stt::TurnSignal::End) => self.turns_ended += 1,
            Event::Turn(_) => {}
            Event::Failed(error) => self.failures.push(error),
        }
    }

    /// The words of all slices.
    pub fn text(&self) -> Vec<&str> {
        self.slices.iter().flat_map(|slice| slice.text.split_whitespace()).collect()
    }

    pub fn words(&self) -> Vec<&Word> {
        self.slices.iter().flat_map(|slice| &slice.words).collect()
    }

    /// How far all was listened to, slices and empty answers alike.
    pub fn covers_us(&self) -> u64 {
        let all = self.slices.iter().chain(&self.interims);
        all.filter_map(|transcript| transcript.covers_until_us).max().unwrap_or(0)
    }
}

/// A service with an account at this address.
pub fn service(row: &Row, key: &str, base_url: String) -> Arc<dyn SpeechToText> {
    let account = Account { key: Secret::new(key), base_url: Some(base_url) };
    let named = |service: &&parlance_providers::registry::Service| service.name == row.name;
    let opens = services().filter(named).find_map(|service| match service.open {
        Open::Stt(open) => Some(open),
        Open::Llm(_) | Open::Tts(_) => None,
    });
    opens.unwrap_or_else(|| panic!("{} is not registered", row.name))(&account).unwrap()
}

/// The plan in which tunes are the words of this suite.
pub fn words() -> Plan {
    Plan { words: WORDS.map(str::to_owned).to_vec(), ..Plan::default() }
}

/// The names of these words.
pub fn names(words: &[u16]) -> Vec<String> {
    let name =
        |word: &u16| WORDS.get(usize::from(*word)).map_or(format!("word{word}"), |name| (*name).to_owned());
    words.iter().map(name).collect()
}

impl Call {
    /// Opens a stream in the service's best format.
    pub fn open(row: &Row, fakes: &Fakes) -> Self {
        Self::open_as(row, fakes, KEY, false)
    }

    pub fn open_as(row: &Row, fakes: &Fakes, key: &str, leg_is_mu_law: bool) -> Self {
        Self::open_with(row, key, fakes.base(row.vendor), leg_is_mu_law)
    }

    pub fn open_at(row: &Row, base_url: String) -> Self {
        Self::open_with(row, KEY, base_url, false)
    }

    fn open_with(row: &Row, key: &str, base_url: String, leg_is_mu_law: bool) -> Self {
        let service = service(row, key, base_url);
        let format = service.capabilities().format_for(leg_is_mu_law);
        let settings = Settings { format, model: row.model.map(str::to_owned), ..Settings::default() };
        Self::begin(service.as_ref(), settings)
    }

    /// Opens a stream in this format.
    pub fn of(service: &dyn SpeechToText, format: AudioFormat) -> Self {
        Self::begin(service, Settings { format, ..Settings::default() })
    }

    fn begin(service: &dyn SpeechToText, settings: Settings) -> Self {
        let (sink, events) = unbounded_channel();
        let format = settings.format;
        let listener = service.open(settings, Arc::new(move |event| drop(sink.send(event)))).unwrap();
        Self { listener: Some(listener), events, format, fed_us: 0 }
    }

    /// Adds what was told meanwhile.
    pub fn told_so_far(&mut self, told: &mut Told) {
        while let Ok(event) = self.events.try_recv() {
            told.add(event);
        }
    }

    fn listener(&mut self) -> &mut dyn Listener {
        self.listener.as_deref_mut().expect("the stream is open")
    }

    /// Feeds this much of a caller's audio, in frames of 20 ms.
    pub fn hear(&mut self, samples: &[i16]) {
        let rate = self.format.sample_rate_hz();
        for frame in samples.chunks(rate as usize / 50) {
            match self.format {
                AudioFormat::MuLaw => {
                    let bytes: Vec<u8> = frame.iter().map(|sample| mu_law(*sample)).collect();
                    self.listener().hear(Audio::MuLaw(&bytes));
                }
                AudioFormat::Pcm16 { .. } => self.listener().hear(Audio::Pcm16(frame)),
            }
        }
        self.fed_us += samples.len() as u64 * 1_000_000 / u64::from(rate);
    }

    pub fn silence(&mut self, us: u64) {
        let samples = vec![0; (us * u64::from(self.format.sample_rate_hz()) / 1_000_000) as usize];
        self.hear(&samples);
    }

    pub fn tell(&mut self, control: Control) {
        self.listener().control(control);
    }

    /// Says words after a silence, and is told what a session tells: voice, its end, finalize. Gives the time at which
    /// the first word begins.
    pub fn say(&mut self, words: &[u16]) -> u64 {
        let rate = self.format.sample_rate_hz();
        let late = (ONSET_LATE_US * u64::from(rate) / 1_000_000) as usize;
        self.silence(LEAD_US);
        let began_us = self.fed_us;
        let speech: Vec<i16> = words.iter().flat_map(|word| tune(*word, rate)).collect();
        let (onset, rest) = speech.split_at(late.min(speech.len()));
        self.hear(onset);
        self.tell(Control::VoiceStarted(began_us));
        self.hear(rest);
        let last_us = self.fed_us;
        self.silence(FINALIZE_LATE_US);
        self.tell(Control::VoiceEnded(last_us));
        self.tell(Control::Finalize);
        self.silence(TAIL_US);
        began_us
    }

    /// The turn is over, and something else is expected.
    pub fn next_turn(&mut self) {
        self.tell(Control::NextTurn(Expectation::default()));
    }

    /// What is told until this holds, or the stream ends, or far too much time has passed.
    pub async fn until(&mut self, done: impl Fn(&Told) -> bool) -> Told {
        self.until_within(SOON, done).await
    }

    pub async fn until_within(&mut self, within: Duration, done: impl Fn(&Told) -> bool) -> Told {
        let deadline = Instant::now() + within;
        let mut told = Told::default();
        while !done(&told) {
            match timeout_at(deadline, self.events.recv()).await {
                Ok(Some(event)) => told.add(event),
                Ok(None) | Err(_) => break,
            }
        }
        told
    }

    /// The only failure, which comes and is the last thing that is told.
    pub async fn failure(&mut self) -> Error {
        let mut told = self.until(|told| !told.failures.is_empty()).await;
        // Feeding a stream that is over is no offence, and nothing more comes of it.
        self.silence(100_000);
        self.tell(Control::Finalize);
        let rest = self.until(|_| false).await;
        assert!(self.events.is_closed(), "who has failed lets the sink go");
        assert!(rest.failures.is_empty() && rest.slices.is_empty() && rest.interims.is_empty(), "{rest:?}");
        assert_eq!((told.failures.len(), told.late), (1, 0), "{told:?}");
        let error = told.failures.remove(0);
        assert!(!format!("{error} {error:?}").contains(KEY), "{error:?}");
        error
    }

    /// The only failure, which is of this kind.
    pub async fn fails_with(&mut self, kinds: &[ErrorKind]) -> Error {
        let error = self.failure().await;
        assert!(kinds.contains(&error.kind), "{error:?} is none of {kinds:?} ({})", error.provider);
        error
    }
}

/// Microseconds of so many words.
pub fn spoken_us(words: usize) -> u64 {
    words as u64 * TUNE_US
}

/// ITU-T G.711, table 2a.
fn mu_law(sample: i16) -> u8 {
    let sign = if sample < 0 { 0x80 } else { 0 };
    let magnitude = u32::from(sample.unsigned_abs()).min(32_635) + 132;
    let exponent = (24 - magnitude.leading_zeros()).min(7);
    let mantissa = (magnitude >> (exponent + 3)) & 0x0F;
    !(sign | (exponent << 4) as u8 | mantissa as u8)
}
