//! What a transcriber's stream tells, as the call counts it: times from the call's first sample, a turn that a fresh
//! stream begins once more told once, and what is known by it of how the stream is doing.
//!
//! Knows no provider and replaces nothing. Enter at [`Shared::told`].

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::replay::ANSWER_SHORT_US;
use crate::Error;
use crate::audio::Audio;
use crate::stt::{Control, Event, Listener, Sink, Transcript, TurnSignal};

/// What the sink of the current stream and the stream itself both need.
pub(super) struct Shared {
    pub(super) sink: Sink,
    /// Counts streams: what an older one tells is dropped.
    pub(super) generation: u32,
    pub(super) begin_us: u64,
    pub(super) since: Instant,
    pub(super) settled_us: u64,
    /// How far it had been fed when it was asked for what there is.
    pub(super) finalized: Option<(Instant, u64)>,
    /// Its vendor has accepted it.
    pub(super) is_open: bool,
    pub(super) heard_from: bool,
    /// Whether it has told words.
    pub(super) has_words: bool,
    /// Where the first of them begins; `None` where it tells no times.
    pub(super) words_from_us: Option<u64>,
    /// It has listened so far.
    pub(super) covered_us: u64,
    /// Whether it has told what it was asked for last.
    pub(super) answered: bool,
    /// What was told of the provider's turn: a fresh stream begins it once more.
    pub(super) turn: Turn,
    /// Since when something should have come.
    pub(super) waiting_since: Option<Instant>,
    pub(super) connected: Option<Duration>,
    pub(super) first_output: Option<Duration>,
    pub(super) failed: Option<Error>,
}

#[derive(Default)]
pub(super) struct Turn {
    pub(super) is_open: bool,
    pub(super) is_ending: bool,
}

impl Turn {
    /// Whether this is news.
    pub(super) fn take(&mut self, signal: TurnSignal) -> bool {
        match signal {
            TurnSignal::Start => !std::mem::replace(&mut self.is_open, true),
            TurnSignal::EagerEnd => !std::mem::replace(&mut self.is_ending, true),
            TurnSignal::Resumed => std::mem::take(&mut self.is_ending),
            TurnSignal::End => {
                *self = Self::default();
                true
            }
        }
    }
}

impl Shared {
    pub(super) fn new(sink: Sink) -> Self {
        Self {
            sink,
            generation: 0,
            begin_us: 0,
            since: Instant::now(),
            settled_us: 0,
            finalized: None,
            is_open: false,
            heard_from: false,
            has_words: false,
            words_from_us: None,
            covered_us: 0,
            answered: false,
            turn: Turn::default(),
            waiting_since: None,
            connected: None,
            first_output: None,
            failed: None,
        }
    }

    /// Takes what a stream tells. What is to be given on comes back, so that it is given on outside the lock.
    pub(super) fn told(&mut self, event: Event) -> Option<Event> {
        if self.failed.is_some() {
            return None;
        }
        match event {
            Event::Replaced { .. } => None,
            Event::Opened => {
                (self.is_open, self.connected) = (true, Some(self.since.elapsed()));
                None
            }
            Event::Interim(transcript) => {
                let transcript = self.in_call(transcript);
                self.heard(&transcript);
                if let Some(covers) = transcript.covers_until_us {
                    self.answered |=
                        self.finalized.is_some_and(|(_, until)| covers + ANSWER_SHORT_US >= until);
                }
                Some(Event::Interim(transcript))
            }
            Event::Slice(transcript) => {
                let transcript = self.in_call(transcript);
                self.heard(&transcript);
                let words_end = transcript.words.last().map(|word| word.end_us);
                let asked = self.finalized.map(|(_, until)| until);
                // A word that ends behind the watermark is settled as a whole.
                let settled = transcript.covers_until_us.max(words_end).or(asked).unwrap_or(0);
                self.settled_us = self.settled_us.max(settled);
                // Without a watermark it is not known what it answers.
                let answers = |(_, until): &mut (Instant, u64)| {
                    transcript.covers_until_us.is_none() || settled + ANSWER_SHORT_US >= *until
                };
                if let Some((at, _)) = self.finalized.take_if(answers) {
                    (self.first_output, self.answered) = (Some(at.elapsed()), true);
                }
                Some(Event::Slice(transcript))
            }
            Event::Turn(signal) => {
                self.heard_from = true;
                self.waiting_since = None;
                self.turn.take(signal).then_some(Event::Turn(signal))
            }
            Event::Failed(error) => {
                self.failed = Some(error);
                None
            }
        }
    }

    pub(super) fn heard(&mut self, transcript: &Transcript) {
        self.heard_from = true;
        if !self.has_words && !transcript.text.trim().is_empty() {
            self.has_words = true;
            self.words_from_us = transcript.words.first().map(|word| word.start_us);
        }
        self.covered_us = self.covered_us.max(transcript.covers_until_us.unwrap_or(0));
        self.waiting_since = None;
    }

    pub(super) fn in_call(&self, mut transcript: Transcript) -> Transcript {
        for word in &mut transcript.words {
            word.start_us += self.begin_us;
            word.end_us += self.begin_us;
        }
        transcript.covers_until_us = transcript.covers_until_us.map(|until| until + self.begin_us);
        transcript
    }
}

/// A fresh stream while it is fed what came before it: what it is asked for once more it has to answer too.
pub(super) struct Fed<'a> {
    pub(super) listener: &'a mut dyn Listener,
    pub(super) shared: &'a Mutex<Shared>,
    /// How far it is fed when it is asked; `None` where nobody waits for an answer.
    pub(super) asked_us: Option<u64>,
}

impl Listener for Fed<'_> {
    fn hear(&mut self, audio: Audio<'_>) {
        self.listener.hear(audio);
    }

    fn control(&mut self, control: Control) {
        if let Some(until_us) = self.asked_us.filter(|_| control == Control::Finalize) {
            let mut shared = locked(self.shared);
            (shared.finalized, shared.answered) = (Some((Instant::now(), until_us)), false);
        }
        self.listener.control(control);
    }
}

pub(super) fn locked(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::stt::Word;

    fn shared(begin_us: u64) -> Shared {
        let mut shared = Shared::new(Arc::new(drop));
        shared.begin_us = begin_us;
        shared
    }

    fn transcript(text: &str, word: Option<(u64, u64)>, covers_until_us: Option<u64>) -> Transcript {
        let words = word.map(|(start_us, end_us)| Word { text: text.into(), start_us, end_us });
        Transcript { text: text.into(), words: words.into_iter().collect(), covers_until_us }
    }

    #[test]
    fn a_word_that_ends_behind_the_watermark_is_settled_whole_in_the_calls_own_time() {
        let mut shared = shared(1_000_000);
        let slice = transcript("noon", Some((400_000, 900_000)), Some(800_000));
        let Some(Event::Slice(told)) = shared.told(Event::Slice(slice)) else { panic!() };
        assert_eq!((told.words[0].start_us, told.covers_until_us), (1_400_000, Some(1_800_000)));
        assert_eq!(shared.settled_us, 1_900_000);
    }

    #[test]
    fn a_finalize_is_answered_by_what_covers_it_and_without_a_watermark_by_any_slice() {
        for (event, answers) in [
            (Event::Interim(transcript("", None, Some(2_900_000))), true),
            (Event::Interim(transcript("no", None, Some(2_000_000))), false),
            (Event::Slice(transcript("noon", None, Some(2_000_000))), false),
            (Event::Slice(transcript("noon", Some((0, 1_000_000)), None)), true),
        ] {
            let mut shared = shared(0);
            shared.finalized = Some((Instant::now(), 3_000_000));
            shared.told(event.clone());
            assert_eq!(shared.answered, answers, "{event:?}");
        }
    }

    #[test]
    fn a_fresh_stream_does_not_begin_or_end_the_turn_a_second_time() {
        let mut shared = shared(0);
        let mut told = |signal| shared.told(Event::Turn(signal)).is_some();
        use TurnSignal::{EagerEnd, End, Resumed, Start};
        assert_eq!([Start, EagerEnd].map(&mut told), [true, true]);
        // Here another stream hears the same once more.
        assert_eq!([Start, EagerEnd, Resumed, Resumed].map(&mut told), [false, false, true, false]);
        assert_eq!([EagerEnd, End, Start].map(&mut told), [true, true, true]);
    }
}
