//! Sentences that are said again and again (greetings, fillers, reminders), kept as audio by what they say.
//!
//! A sentence is kept from its second time on, so that what a model makes up once never takes room. Bounded by bytes;
//! what was not used for the longest time goes first. By organisation, because what its agents say is its own.

use std::collections::{HashMap, HashSet, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::tts::{Event, Settings, Sound};

/// Audio kept, bytes: some three minutes at 16 kHz.
const BYTES_MAX: usize = 6 << 20;
/// A longer sentence is not kept, bytes of audio.
const SENTENCE_MAX: usize = 512 << 10;
/// So many sentences that came once are remembered.
const ONCE_MAX: usize = 4_096;

/// What makes two sentences sound the same.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub organisation: String,
    pub provider: &'static str,
    pub voice: String,
    pub model: Option<String>,
    pub manner: String,
    pub text: String,
}

impl Key {
    pub(super) fn new(organisation: &str, provider: &'static str, settings: &Settings, text: &str) -> Self {
        let Settings { voice, model, language, format, speed_percent, style } = settings;
        Self {
            organisation: organisation.to_owned(),
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

    fn key(text: &str) -> Key {
        Key::new("", "a", &Settings::default(), text)
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
        assert!(phrases.find(&Key::new("other", "a", &Settings::default(), "0")).is_none());
    }
}
