//! What a transcriber's stream tells, as the call counts it: times from the call's first sample, a turn that a fresh
//! stream begins once more told once, and what is known by it of how the stream is doing.
//!
//! Knows no provider and replaces nothing. Enter at [`Shared::told`].

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::replay::ANSWER_SHORT_US;
use crate::Error;
use crate::stt::{Event, Sink, Transcript, TurnSignal};

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
        self.has_words |= !transcript.text.trim().is_empty();
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

pub(super) fn locked(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}
