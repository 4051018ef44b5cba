//! The agent's voice: which segments are being spoken, in which order.
//!
//! Segments of a reply are given to the text-to-speech provider one at a time and in order, so that their
//! audio joins without gaps. A voice that fails before it gave any audio is replaced at once, unnoticed; one
//! that breaks in a segment is given up for the rest of the call, and the conversation is told, because only
//! it knows which words are missing. Knows no pacing: what comes back goes to [`super::playout`].

use std::collections::VecDeque;
use std::sync::Arc;

use parlance_conversation::{ReplyId, SegmentId};
use parlance_providers::tts::{self, TextToSpeech};

use super::inbox::{Post, Posted};
use super::manner::Manner;

/// A provider with the voice to ask it for.
#[derive(Clone)]
pub struct Speaker {
    /// The provider.
    pub provider: Arc<dyn TextToSpeech>,
    /// The voice's id with it.
    pub voice: String,
}

struct Waiting {
    reply: ReplyId,
    segment: SegmentId,
    text: String,
}

struct Current {
    waiting: Waiting,
    speaker: usize,
    delivered: bool,
    _speech: tts::Speech,
}

/// The order of what is spoken. At most one segment is with the provider at a time.
pub struct Voice {
    speakers: Vec<Speaker>,
    manner: Manner,
    post: Post,
    queue: VecDeque<Waiting>,
    current: Option<Current>,
    /// The first of the speakers that was not given up.
    first: usize,
    /// Characters each of the speakers was given.
    spoken: Vec<u64>,
}

impl Voice {
    /// Speaks with the first of `speakers`; the others are its fallbacks, in order. Not empty.
    pub fn new(speakers: Vec<Speaker>, manner: Manner, post: Post) -> Self {
        let spoken = vec![0; speakers.len()];
        Self { speakers, manner, post, queue: VecDeque::new(), current: None, first: 0, spoken }
    }

    /// Whether this segment is the one being spoken.
    pub fn speaks(&self, reply: ReplyId, segment: SegmentId) -> bool {
        let current = self.current.as_ref().map(|current| &current.waiting);
        current.is_some_and(|waiting| (waiting.reply, waiting.segment) == (reply, segment))
    }

    /// How many characters each provider was given to speak.
    pub fn spoken(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let names = self.speakers.iter().map(|speaker| speaker.provider.name());
        names.zip(self.spoken.iter().copied())
    }

    /// Audio of the segment being spoken came, and is made as loud as it shall be: from now on another voice
    /// can't take it over unnoticed.
    pub fn delivered(&mut self, samples: &mut [i16]) {
        self.manner.raise(samples);
        if let Some(current) = &mut self.current {
            current.delivered = true;
        }
    }

    /// Queues a segment and starts it if nothing else is spoken. An error means no voice could start.
    pub fn speak(&mut self, reply: ReplyId, segment: SegmentId, text: &str) -> Option<Failure> {
        self.queue.push_back(Waiting { reply, segment, text: text.to_owned() });
        self.start_next()
    }

    /// Forgets all of a reply, also what is being spoken.
    pub fn cancel(&mut self, reply: ReplyId) -> Option<Failure> {
        self.queue.retain(|waiting| waiting.reply != reply);
        if self.current.as_ref().is_some_and(|current| current.waiting.reply == reply) {
            self.current = None;
        }
        self.start_next()
    }

    /// The segment being spoken is complete.
    pub fn finished(&mut self) -> Option<Failure> {
        self.current = None;
        self.start_next()
    }

    /// The provider failed on the segment being spoken and is given up. If none of it was delivered the next
    /// provider tries; else, or if there is none, the failure is returned and the reply's segments are
    /// forgotten.
    pub fn failed(&mut self, message: String) -> Option<Failure> {
        let current = self.current.take()?;
        self.first = current.speaker + 1;
        let reply = current.waiting.reply;
        if !current.delivered && self.first < self.speakers.len() {
            return self.start(current.waiting);
        }
        self.queue.retain(|waiting| waiting.reply != reply);
        Some(Failure { reply, message, fallback_left: self.first < self.speakers.len() })
    }

    fn start_next(&mut self) -> Option<Failure> {
        if self.current.is_some() {
            return None;
        }
        let waiting = self.queue.pop_front()?;
        self.start(waiting)
    }

    fn start(&mut self, waiting: Waiting) -> Option<Failure> {
        let mut message = String::from("no voice is configured");
        for (index, speaker) in self.speakers.iter().enumerate().skip(self.first) {
            let settings = tts::Settings {
                voice: speaker.voice.clone(),
                speed_percent: self.manner.speed_percent,
                ..tts::Settings::default()
            };
            let text = self.manner.spoken(&waiting.text);
            let sink = self.sink(waiting.reply, waiting.segment);
            match tts::say(speaker.provider.as_ref(), settings, &text, sink) {
                Ok(speech) => {
                    self.spoken[index] += waiting.text.chars().count() as u64;
                    self.current =
                        Some(Current { waiting, speaker: index, delivered: false, _speech: speech });
                    return None;
                }
                Err(error) => message = error.to_string(),
            }
        }
        Some(Failure { reply: waiting.reply, message, fallback_left: false })
    }

    fn sink(&self, reply: ReplyId, segment: SegmentId) -> tts::Sink {
        let post = self.post.clone();
        Arc::new(move |event| post.post(Posted::Voice { reply, segment, event }))
    }
}

/// A reply that has no voice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The reply that stays unspoken from here on.
    pub reply: ReplyId,
    /// Why, for people.
    pub message: String,
    /// Another voice can speak the missing words.
    pub fallback_left: bool,
}
