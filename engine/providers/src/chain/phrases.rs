//! Sentences that are said again and again (greetings, fillers, reminders), kept as audio by what they say.
//!
//! A sentence is kept from its second time on, so that what a model makes up once never takes room. Bounded by bytes;
//! what was not used for the longest time goes first. By account, because what it was spoken on is paid for by its owner.

use std::collections::{HashMap, HashSet, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::account::AccountId;
use crate::tts::{Event, Settings, Sound};

/// Audio kept, bytes: some three minutes at 16 kHz.
const BYTES_MAX: usize = 6 << 20;
/// A longer sentence is not kept, bytes of audio.
const SENTENCE_MAX: usize = 512 << 10;
/// A piece of kept audio is at least as long, microseconds: a sentence is told all at once, and who takes it has only so
/// many places.
const PIECE_US: u64 = 100_000;
/// So many sentences that came once are remembered.
const ONCE_MAX: usize = 4_096;

/// What makes two sentences sound the same.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub account: AccountId,
    pub provider: &'static str,
    pub voice: String,
    pub model: Option<String>,
    pub manner: String,
    pub text: String,
}

impl Key {
    pub(super) fn new(account: AccountId, provider: &'static str, settings: &Settings, text: &str) -> Self {
        let Settings { voice, model, language, format, speed_percent, style } = settings;
        Self {
            account,
            provider,
            voice: voice.clone(),
            model: model.clone(),
            manner: format!("{language}/{format:?}/{speed_percent}/{style}"),
            text: text.to_owned(),
        }
    }
}

/// The sentences kept.
#[derive(Debug, Default)]
pub(super) struct Phrases {
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    sentences: HashMap<Key, (Arc<[Event]>, usize, u64)>,
    bytes: usize,
    clock: u64,
    once: HashSet<u64>,
    once_order: VecDeque<u64>,
}

impl Phrases {
    /// The sentence, if it is kept.
    pub(super) fn find(&self, key: &Key) -> Option<Arc<[Event]>> {
        let mut kept = self.kept();
        kept.clock += 1;
        let clock = kept.clock;
        let (events, _, used) = kept.sentences.get_mut(key)?;
        *used = clock;
        Some(Arc::clone(events))
    }

    /// Whether the sentence has come before and shall be kept this time.
    pub(super) fn shall_keep(&self, key: &Key) -> bool {
        let mut hasher = DefaultHasher::new();
        key.hash(&mut hasher);
        let hash = hasher.finish();
        let mut kept = self.kept();
        if kept.once.contains(&hash) {
            return true;
        }
        if kept.once_order.len() == ONCE_MAX
            && let Some(oldest) = kept.once_order.pop_front()
        {
            kept.once.remove(&oldest);
        }
        kept.once.insert(hash);
        kept.once_order.push_back(hash);
        false
    }

    /// Keeps a sentence that was spoken to its end.
    pub(super) fn keep(&self, key: Key, events: Vec<Event>) {
        let size: usize = events.iter().map(size_of).sum();
        if size == 0 || size > SENTENCE_MAX {
            return;
        }
        let events = in_few_pieces(events);
        let mut kept = self.kept();
        kept.clock += 1;
        let clock = kept.clock;
        if let Some((_, old, _)) = kept.sentences.insert(key, (events.into(), size, clock)) {
            kept.bytes -= old;
        }
        kept.bytes += size;
        while kept.bytes > BYTES_MAX {
            let oldest =
                kept.sentences.iter().min_by_key(|(_, (_, _, used))| *used).map(|(key, _)| key.clone());
            let Some((_, size, _)) = oldest.and_then(|key| kept.sentences.remove(&key)) else { break };
            kept.bytes -= size;
        }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The same, word times first and the audio in pieces of [`PIECE_US`] and more.
fn in_few_pieces(events: Vec<Event>) -> Vec<Event> {
    let (mut words, mut pieces) = (Vec::new(), Vec::new());
    for event in events {
        match (event, pieces.last_mut()) {
            (Event::Words(more), _) => words.extend(more),
            (Event::Audio(more), Some(Event::Audio(piece))) if piece.length_us() < PIECE_US => {
                let other = joined(piece, more).map(Event::Audio);
                pieces.extend(other);
            }
            (event, _) => pieces.push(event),
        }
    }
    let words = (!words.is_empty()).then_some(Event::Words(words));
    words.into_iter().chain(pieces).collect()
}

/// Puts `more` behind `piece`; gives it back where it is of another kind.
fn joined(piece: &mut Sound, more: Sound) -> Option<Sound> {
    match (piece, more) {
        (
            Sound::Pcm16 { sample_rate_hz, samples },
            Sound::Pcm16 { sample_rate_hz: rate_hz, samples: more },
        ) if *sample_rate_hz == rate_hz => samples.extend(more),
        (Sound::MuLaw(bytes), Sound::MuLaw(more)) => bytes.extend(more),
        (_, more) => return Some(more),
    }
    None
}

fn size_of(event: &Event) -> usize {
    match event {
        Event::Audio(Sound::Pcm16 { samples, .. }) => samples.len() * 2,
        Event::Audio(Sound::MuLaw(bytes)) => bytes.len(),
        Event::Words(words) => words.iter().map(|word| word.text.len() + 40).sum(),
        Event::Finished | Event::Failed(_) => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tts::WordTime;

    fn key(text: &str) -> Key {
        Key::new(AccountId::ENGINE, "a", &Settings::default(), text)
    }

    #[test]
    fn a_sentence_is_kept_from_its_second_time_on_and_the_least_used_goes_first() {
        let phrases = Phrases::default();
        assert_eq!((phrases.shall_keep(&key("hello")), phrases.shall_keep(&key("hello"))), (false, true));
        let sound = |bytes: usize| vec![Event::Audio(Sound::MuLaw(vec![0; bytes])), Event::Finished];
        for number in 0..13 {
            phrases.keep(key(&number.to_string()), sound(SENTENCE_MAX));
            assert!(phrases.find(&key("0")).is_some(), "it is used all the time");
        }
        assert!(phrases.find(&key("1")).is_none() && phrases.find(&key("12")).is_some());
        phrases.keep(key("too long"), sound(SENTENCE_MAX + 1));
        assert!(phrases.find(&key("too long")).is_none());
        assert!(phrases.find(&Key::new(AccountId::own("other"), "a", &Settings::default(), "0")).is_none());
    }
    #[test]
    fn a_kept_sentence_is_told_in_few_pieces_with_all_its_words_and_samples() {
        let word = |text: &str| WordTime { text: text.into(), start_us: 0, end_us: 1 };
        let mut spoken = Vec::new();
        for piece in 0..1_000_i16 {
            spoken.push(Event::Audio(Sound::pcm16(8_000, vec![piece; 80])));
            spoken.extend((piece % 500 == 0).then(|| Event::Words(vec![word(&piece.to_string())])));
        }
        spoken.push(Event::Finished);
        let phrases = Phrases::default();
        phrases.keep(key("long"), spoken);
        let kept = phrases.find(&key("long")).expect("it is kept");
        assert_eq!(kept.len(), 102, "10 s of audio, the words and the end");
        assert_eq!(kept[0], Event::Words(vec![word("0"), word("500")]));
        assert_eq!(kept[101], Event::Finished);
        let samples = kept.iter().flat_map(|event| match event {
            Event::Audio(Sound::Pcm16 { samples, .. }) => samples.clone(),
            _ => Vec::new(),
        });
        assert!(samples.eq((0..1_000).flat_map(|piece| [piece; 80])), "in order");
    }
}
