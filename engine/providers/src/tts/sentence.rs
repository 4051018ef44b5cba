//! One sentence that a vendor speaks: bytes become samples, and its end is told once.
//!
//! Decides what counts as audio and as none; knows no vendor and no wire. Enter at [`Sentence`]. A sample may be cut
//! between two pieces of a body, so an odd byte waits for its other half.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::{Event, Settings, Sink, Sound, WordTime};
use crate::audio::AudioFormat;
use crate::{Error, ErrorKind};

/// The outer bound on a sentence's first audio; the tight one is the chain's.
pub(super) const FIRST_AUDIO: Duration = Duration::from_secs(10);
/// The outer bound between two pieces of it.
pub(super) const BETWEEN: Duration = Duration::from_secs(10);

/// The longest a sentence may take in all: some minutes of speech.
pub(super) const WHOLE: Duration = Duration::from_secs(120);
/// Audio of a sentence is taken for this long, and for so much more by character of its text: a vendor that never ends
/// shall not be played to the caller for ever. Slow speech has some 5 characters a second.
const LENGTH_BASE_US: u64 = 2_000_000;
const LENGTH_BY_CHARACTER_US: u64 = 500_000;

/// A sentence under way.
pub(super) struct Sentence {
    provider: &'static str,
    format: AudioFormat,
    sink: Sink,
    cancelled: Arc<AtomicBool>,
    odd: Option<u8>,
    sounded: bool,
    /// How much audio was told, microseconds, and how much is taken.
    length_us: u64,
    length_max_us: u64,
}

impl Sentence {
    /// A sentence whose audio comes in this format.
    pub fn new(provider: &'static str, format: AudioFormat, sink: Sink) -> Self {
        Self {
            provider,
            format,
            sink,
            cancelled: Arc::default(),
            odd: None,
            sounded: false,
            length_us: 0,
            length_max_us: u64::MAX,
        }
    }

    /// With no more audio than this text can be spoken in.
    pub fn of_text(mut self, text: &str) -> Self {
        let by_text = LENGTH_BASE_US + LENGTH_BY_CHARACTER_US * text.chars().count() as u64;
        self.length_max_us = by_text.min(WHOLE.as_micros() as u64);
        self
    }

    /// What makes it tell nothing more.
    pub fn cancelled(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.cancelled)
    }

    /// Whether nobody listens any more.
    pub fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Acquire)
    }

    /// Whether any of it was told.
    pub fn has_sounded(&self) -> bool {
        self.sounded
    }

    /// The audio turns out to be in another format than was thought; before the first of it.
    pub fn comes_as(&mut self, format: AudioFormat) {
        self.format = format;
    }

    /// The next bytes of audio.
    ///
    /// # Errors
    /// [`ErrorKind::Protocol`] when there is more than its text can be spoken in.
    pub fn audio(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let sound = match self.format {
            AudioFormat::MuLaw => Sound::MuLaw(bytes.to_vec()),
            AudioFormat::Pcm16 { sample_rate_hz } => {
                let mut samples = Vec::with_capacity(bytes.len() / 2 + 1);
                let mut rest = bytes;
                if let (Some(low), [high, after @ ..]) = (self.odd, rest) {
                    samples.push(i16::from_le_bytes([low, *high]));
                    (self.odd, rest) = (None, after);
                }
                let pairs = rest.chunks_exact(2);
                if let [low] = pairs.remainder() {
                    self.odd = Some(*low);
                }
                samples.extend(pairs.map(|pair| i16::from_le_bytes([pair[0], pair[1]])));
                Sound::pcm16(sample_rate_hz, samples)
            }
        };
        let is_empty = match &sound {
            Sound::Pcm16 { samples, .. } => samples.is_empty(),
            Sound::MuLaw(bytes) => bytes.is_empty(),
        };
        if is_empty {
            return Ok(());
        }
        self.length_us += sound.length_us();
        if self.length_us > self.length_max_us {
            let message =
                format!("audio of more than {} s came for the sentence", self.length_max_us / 1_000_000);
            return Err(Error::new(self.provider, ErrorKind::Protocol, message));
        }
        self.sounded = true;
        self.tell(Event::Audio(sound));
        Ok(())
    }

    /// It did not end within [`WHOLE`].
    pub fn took_too_long(&self) -> Error {
        let message = format!("the sentence was not complete within {} s", WHOLE.as_secs());
        Error::new(self.provider, ErrorKind::TimedOut, message)
    }

    /// Times of its next words.
    pub fn words(&self, words: Vec<WordTime>) {
        if !words.is_empty() {
            self.tell(Event::Words(words));
        }
    }

    /// The vendor has said all of it. A sentence without a sample has failed.
    pub fn finish(self) {
        if self.sounded {
            return self.tell(Event::Finished);
        }
        let message = "the sentence came back without any audio; check that the voice speaks its language";
        self.tell(Event::Failed(Error::new(self.provider, ErrorKind::Empty, message)));
    }

    /// It broke.
    pub fn fail(self, error: Error) {
        self.tell(Event::Failed(error));
    }

    fn tell(&self, event: Event) {
        if !self.is_cancelled() {
            (self.sink)(event);
        }
    }
}

/// What to ask a vendor for that offers these rates and perhaps mu-law: what the far end plays, else the next higher
/// rate, else its highest. `rates` rise.
pub(super) fn best_format(wanted: AudioFormat, rates: &[u32], has_mu_law: bool) -> AudioFormat {
    if wanted == AudioFormat::MuLaw && has_mu_law {
        return AudioFormat::MuLaw;
    }
    let needed = wanted.sample_rate_hz();
    let rate = rates.iter().find(|rate| **rate >= needed).or(rates.last());
    AudioFormat::Pcm16 { sample_rate_hz: rate.copied().unwrap_or(needed) }
}

/// The speed as a factor, kept within the vendor's range; `None` for the ordinary pace.
pub(super) fn speed(settings: &Settings, least: f64, most: f64) -> Option<f64> {
    (settings.speed_percent != 100).then(|| (f64::from(settings.speed_percent) / 100.0).clamp(least, most))
}

/// The language without its region: `hi` of `hi-IN`; `None` where none is set.
pub(super) fn language(settings: &Settings) -> Option<String> {
    let primary = settings.language.split(['-', '_']).next().unwrap_or_default().to_lowercase();
    (!primary.is_empty() && primary != "multi").then_some(primary)
}

/// Text that can be spoken.
pub(super) fn check(provider: &str, text: &str, characters_max: usize) -> Result<(), Error> {
    if text.trim().is_empty() {
        return Err(Error::new(provider, ErrorKind::Invalid, "there is no text to speak"));
    }
    if text.chars().count() > characters_max {
        let message = format!("the text is longer than {characters_max} characters; speak it in sentences");
        return Err(Error::new(provider, ErrorKind::Invalid, message));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    fn told(format: AudioFormat, speak: impl FnOnce(Sentence)) -> Vec<Event> {
        let events = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&events);
        speak(Sentence::new("a vendor", format, Arc::new(move |event| kept.lock().unwrap().push(event))));
        events.lock().unwrap().clone()
    }

    #[test]
    fn samples_are_the_same_wherever_their_bytes_are_cut() {
        let bytes: Vec<u8> = (0..40).collect();
        let whole: Vec<i16> = bytes.chunks(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])).collect();
        for (first, second) in (0..40).flat_map(|first| (first..40).map(move |second| (first, second))) {
            let events = told(AudioFormat::PCM_16K, |mut sentence| {
                sentence.audio(&bytes[..first]).unwrap();
                sentence.audio(&bytes[first..second]).unwrap();
                sentence.audio(&bytes[second..]).unwrap();
            });
            let samples: Vec<i16> = events
                .into_iter()
                .flat_map(|event| match event {
                    Event::Audio(Sound::Pcm16 { samples, .. }) => samples,
                    other => panic!("no audio: {other:?}"),
                })
                .collect();
            assert_eq!(samples, whole, "cut at {first} and {second}");
        }
    }

    #[test]
    fn a_sentence_without_a_sample_has_failed() {
        let events = told(AudioFormat::PCM_16K, |mut sentence| {
            sentence.audio(&[1]).unwrap();
            sentence.finish();
        });
        assert!(matches!(&events[..], [Event::Failed(error)] if error.kind == ErrorKind::Empty));
    }

    #[test]
    fn a_sentence_takes_no_more_audio_than_its_text_can_be_spoken_in() {
        let events = told(AudioFormat::MuLaw, |sentence| {
            let mut sentence = sentence.of_text("Hi.");
            for _ in 0..3 {
                sentence.audio(&[0; 8_000]).unwrap();
            }
            let error = sentence.audio(&[0; 8_000]).unwrap_err();
            assert_eq!(error.kind, ErrorKind::Protocol);
            assert!(error.message.contains("more than 3 s"), "{error}");
        });
        assert_eq!(events.len(), 3);
        told(AudioFormat::MuLaw, |sentence| {
            let mut sentence = sentence.of_text(&"long ".repeat(800));
            sentence.audio(&vec![0; 8_000 * 120]).unwrap();
            assert!(sentence.audio(&[0; 8]).is_err(), "no sentence is longer than two minutes");
        });
    }

    #[test]
    fn a_cancelled_sentence_tells_nothing_more() {
        let events = told(AudioFormat::MuLaw, |mut sentence| {
            sentence.audio(&[1]).unwrap();
            sentence.cancelled().store(true, Ordering::Release);
            sentence.audio(&[2]).unwrap();
            sentence.finish();
        });
        assert_eq!(events, [Event::Audio(Sound::MuLaw(vec![1]))]);
    }

    #[test]
    fn the_format_is_what_the_far_end_plays_or_the_next_better_one() {
        let of = |wanted, rates: &[u32], mu_law| best_format(wanted, rates, mu_law).sample_rate_hz();
        assert_eq!(of(AudioFormat::PCM_16K, &[8_000, 16_000, 24_000], true), 16_000);
        assert_eq!(of(AudioFormat::PCM_16K, &[24_000], true), 24_000);
        assert_eq!(of(AudioFormat::Pcm16 { sample_rate_hz: 48_000 }, &[16_000, 24_000], true), 24_000);
        assert_eq!(best_format(AudioFormat::MuLaw, &[24_000], true), AudioFormat::MuLaw);
        assert_eq!(of(AudioFormat::MuLaw, &[24_000], false), 24_000);
    }
}
