//! A voice that hums: a soft tone for each word, of exactly known length.

use std::f64::consts::TAU;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use super::{NAME, runtime};
use crate::running::Running;
use crate::tts::{
    EachAlone, Event, Settings, Sink, Sound, Speaker, Speech, TextToSpeech, VoiceInfo, WordTime,
};
use crate::{Error, ErrorKind};

/// The rate of its audio, hertz.
pub const SAMPLE_RATE_HZ: u32 = 16_000;
/// Each word of the text takes so long, milliseconds; the last fifth of it is silence.
pub const WORD_MS: u32 = 300;

const CHUNK_SAMPLES: usize = SAMPLE_RATE_HZ as usize / 10;
const SOUNDING_SHARE: f64 = 0.8;
const LOUDNESS: f64 = 2_500.0;

/// Speaks any text as 300 ms of tone a word; all of it comes at once, in chunks of 100 ms, after a
/// fixed delay. The words' times come first and are exact.
#[derive(Debug, Clone)]
pub struct ScriptedTts {
    first_audio: Duration,
    /// One word's samples, made once: a call must cost no sines.
    word: Arc<[i16]>,
}

impl ScriptedTts {
    /// Audio begins `first_audio` after the request.
    pub fn new(first_audio: Duration) -> Self {
        Self { first_audio, word: hummed_word() }
    }
}

impl TextToSpeech for ScriptedTts {
    fn name(&self) -> &'static str {
        NAME
    }

    fn voices(&self) -> Vec<VoiceInfo> {
        vec![VoiceInfo::plain("hum", "en-US")]
    }

    /// Hums; the voice's name is not looked at.
    fn open(&self, settings: Settings) -> Result<Box<dyn Speaker>, Error> {
        let voice = self.clone();
        Ok(Box::new(EachAlone::new(settings, move |request, sink| voice.hum(&request.text, sink))))
    }
}

impl ScriptedTts {
    fn hum(&self, text: &str, sink: Sink) -> Result<Speech, Error> {
        let times = times_of(text);
        if times.is_empty() {
            return Err(Error::new(NAME, ErrorKind::Invalid, "there is no text to speak"));
        }
        let (word, delay) = (Arc::clone(&self.word), self.first_audio);
        let hum = runtime()?.spawn(async move {
            sleep(delay).await;
            let words = times.len();
            sink(Event::Words(times));
            for _ in 0..words {
                word.chunks(CHUNK_SAMPLES)
                    .for_each(|chunk| sink(Event::Audio(Sound::pcm16(SAMPLE_RATE_HZ, chunk))));
            }
            sink(Event::Finished);
        });
        Ok(Box::new(Running(hum)))
    }
}

fn times_of(text: &str) -> Vec<WordTime> {
    let word_us = u64::from(WORD_MS) * 1000;
    let time = |(index, text): (u64, &str)| WordTime {
        text: text.to_owned(),
        start_us: index * word_us,
        end_us: index * word_us + (word_us as f64 * SOUNDING_SHARE) as u64,
    };
    (0..).zip(text.split_whitespace()).map(time).collect()
}

/// A tone of 220 Hz with two overtones that swells and fades like a syllable, then silence.
fn hummed_word() -> Arc<[i16]> {
    let length = SAMPLE_RATE_HZ as usize * WORD_MS as usize / 1000;
    let sounding = length as f64 * SOUNDING_SHARE;
    let sample = |index: usize| {
        let swell = (index as f64 / sounding * TAU / 2.0).sin().max(0.0);
        let phase = TAU * 220.0 * index as f64 / f64::from(SAMPLE_RATE_HZ);
        let tone = phase.sin() + 0.5 * (2.0 * phase).sin() + 0.25 * (3.0 * phase).sin();
        let is_sounding = (index as f64) < sounding;
        if is_sounding { (LOUDNESS * swell * tone) as i16 } else { 0 }
    };
    (0..length).map(sample).collect()
}
