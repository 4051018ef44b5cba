//! A house whose providers are the vendors' stand-ins, and callers whose words can be counted.
//!
//! The caller's words are tunes over real speech; the stand-in for the transcriber finds them in the audio it is sent,
//! the one for the voice sings those it is told to speak, and a test reads off the caller's loudspeaker which words
//! came, in which order, how often. So a word counts where the caller hears it, not in the engine's own books.

use std::ops::Range;
use std::time::Duration;

use parlance::config::vendors::Vendors;
use parlance_fakes::{Fakes, Plan, Service, code};
use parlance_proto::v1::{Agent, CallHandling, LanguageModel, Listening, ProviderChoice, TurnTaking, Voice};

use parlance_providers::account::{Account, Secret};

use crate::caller::Caller;
use crate::{House, agents, clips};

/// A language model's stand-in answers with the caller's words: it says this before them.
pub const ECHO: &str = "You said: ";
/// Words of one turn, at most: the stand-in for the transcriber knows so many.
pub const WORDS: usize = 64;

/// Accounts with all vendors, whose place the stand-ins take.
pub fn accounts(fakes: &Fakes) -> Vendors {
    let vendors = [
        ("deepgram", "deepgram"),
        ("openai", "openai/v1"),
        ("anthropic", "anthropic"),
        ("gemini", "gemini"),
        ("elevenlabs", "elevenlabs"),
        ("cartesia", "cartesia"),
    ];
    let with = |all: Vendors, (vendor, path): (&'static str, &str)| {
        let key = Secret::new(format!("key-of-the-tests-at-{vendor}"));
        all.with_account(vendor, Account { key, base_url: Some(fakes.base(path)) })
    };
    vendors.into_iter().fold(Vendors::default(), with)
}

/// An engine and the vendors it speaks with.
pub struct Pipeline {
    /// The engine.
    pub house: House,
    /// The vendors.
    pub fakes: Fakes,
}

impl Pipeline {
    /// Opens both. Transcribers know [`word`]s, and every service takes the time a good one takes.
    ///
    /// # Panics
    /// When the engine does not start.
    pub async fn open() -> Self {
        let fakes = Fakes::start().await.expect("loopback has a free port");
        for service in TRANSCRIBERS {
            fakes.plan(service, hearing(Plan::default()));
        }
        Self { house: House::with_vendors(accounts(&fakes)).await, fakes }
    }
}

/// The services that hear.
pub const TRANSCRIBERS: [Service; 6] = [
    Service::DeepgramListen,
    Service::DeepgramFlux,
    Service::OpenaiTranscribe,
    Service::OpenaiRealtime,
    Service::ElevenlabsScribe,
    Service::CartesiaStt,
];

/// A transcriber's plan, with the words it knows.
pub fn hearing(plan: Plan) -> Plan {
    Plan { words: (0..WORDS).map(word).collect(), ..plan }
}

/// The word of this number: two syllables, no word of any language's lists.
pub fn word(number: usize) -> String {
    const FIRST: [&str; 8] = ["bra", "clu", "dro", "fli", "gru", "kla", "pru", "tro"];
    const SECOND: [&str; 8] = ["bink", "dolp", "fesk", "gonk", "lump", "mect", "nurv", "zolt"];
    format!("{}{}", FIRST[number / 8 % 8], SECOND[number % 8])
}

/// The caller says these words: 16 kHz samples.
pub fn speech(words: Range<usize>) -> Vec<i16> {
    let numbers: Vec<u16> = words.map(|number| number as u16).collect();
    code::speech_with(&numbers, &clips::samples("u01_slt.wav"))
}

/// A word that came out of the caller's loudspeaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Heard {
    /// Its number.
    pub word: usize,
    /// When it began, milliseconds since the caller's first beat.
    pub at_ms: u64,
    /// When it ended.
    pub until_ms: u64,
}

/// The [`word`]s the caller heard so far, in order; all others are left out. A word that was torn by a gap, because this
/// machine did not keep up, is not found here.
pub fn heard(caller: &Caller) -> Vec<Heard> {
    sung(caller, &caller.loudspeaker.track)
}

/// The [`word`]s in the audio that came over the wire, in order of their coming.
pub fn received(caller: &Caller) -> Vec<usize> {
    sung(caller, &caller.loudspeaker.received).into_iter().map(|heard| heard.word).collect()
}

fn sung(caller: &Caller, track: &[i16]) -> Vec<Heard> {
    let rate = caller.ready.output_format.map_or(16_000, |format| format.sample_rate_hz);
    let mut decoder = code::Decoder::new(rate);
    let mut all = Vec::new();
    let numbers: Vec<u16> = (0..WORDS).map(|number| code::number_of(&word(number))).collect();
    decoder.push(track, &mut |found| {
        if let Some(word) = numbers.iter().position(|number| *number == found.number) {
            all.push(Heard { word, at_ms: found.start_us / 1_000, until_ms: found.end_us / 1_000 });
        }
    });
    all
}

/// A choice of a provider with its default model.
pub fn by(provider: &str) -> ProviderChoice {
    ProviderChoice { provider: provider.into(), ..Default::default() }
}

/// An agent these providers serve, the first of each kind first. It says nothing of its own.
pub fn served_by(transcribers: &[&str], models: &[&str], voices: &[&str]) -> Agent {
    let choices = |names: &[&str]| names.iter().map(|name| by(name)).collect();
    let voice = |name: &&str| format!("{name}/{}", voice_of(name));
    Agent {
        display_name: "Echo".into(),
        listening: Some(Listening { transcribers: choices(transcribers), ..Default::default() }),
        language_model: Some(LanguageModel {
            system_prompt: "Repeat what the caller says.".into(),
            models: choices(models),
            ..Default::default()
        }),
        voice: Some(Voice {
            voice_id: voice(&voices[0]),
            fallback_voice_ids: voices[1..].iter().map(voice).collect(),
            ..Default::default()
        }),
        turn_taking: Some(TurnTaking { responsiveness: Some(0.8), ..Default::default() }),
        call_handling: Some(CallHandling {
            first_speaker: parlance_proto::v1::FirstSpeaker::Caller.into(),
            reminder_after: Some(agents::duration(Duration::from_secs(60))),
            ..Default::default()
        }),
        ..Default::default()
    }
}

/// A voice that the vendor's stand-in takes.
fn voice_of(provider: &str) -> &'static str {
    match provider {
        "elevenlabs" | "elevenlabs-http" => "21m00Tcm4TlvDq8ikWAM",
        "deepgram" => "aura-2-thalia-en",
        "openai" => "coral",
        "cartesia" => "a0e99841-438c-4a64-b679-ae501e7d6091",
        _ => "",
    }
}
