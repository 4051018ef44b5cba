//! The agent's voice: which segments are being spoken, in which order.
//!
//! Segments of a reply are given to the call's speaker one at a time and in order, so that their audio joins without
//! gaps. Which provider speaks, and that another takes over unnoticed before there was audio, is the speaker's own
//! business; one that breaks in a segment is told to the conversation, because only it knows which words are missing.
//! Knows no pacing: what comes back goes to [`super::playout`].

use std::collections::VecDeque;
use std::sync::Arc;

use parlance_conversation::{ReplyId, SegmentId};
use parlance_providers::notes::Note;
use parlance_providers::tts::{self, Speaker};

use super::inbox::{Post, Posted};
use super::manner::Manner;
use super::takeover::Takeover;

struct Waiting {
    reply: ReplyId,
    segment: SegmentId,
    text: String,
}

struct Current {
    waiting: Waiting,
    _speech: tts::Speech,
}

/// The order of what is spoken. At most one segment is with the speaker at a time.
pub struct Voice {
    speaker: Box<dyn Speaker>,
    manner: Manner,
    post: Post,
    queue: VecDeque<Waiting>,
    current: Option<Current>,
    takeover: Takeover,
}

impl Voice {
    /// Speaks with `speaker`, in this manner.
    pub fn new(speaker: Box<dyn Speaker>, manner: Manner, post: Post) -> Self {
        Self { speaker, manner, post, queue: VecDeque::new(), current: None, takeover: Takeover::default() }
    }

    /// Whether this segment is the one being spoken.
    pub fn speaks(&self, reply: ReplyId, segment: SegmentId) -> bool {
        let current = self.current.as_ref().map(|current| &current.waiting);
        current.is_some_and(|waiting| (waiting.reply, waiting.segment) == (reply, segment))
    }

    /// Makes audio of the segment being spoken as loud as it shall be.
    pub fn raise(&self, samples: &mut [i16]) {
        self.manner.raise(samples);
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
        self.takeover.spoke();
        self.current = None;
        self.start_next()
    }

    /// The segment being spoken broke: the reply's segments are forgotten, and the conversation is told.
    pub fn failed(&mut self, message: String) -> Option<Failure> {
        let current = self.current.take()?;
        self.takeover.broke();
        let reply = current.waiting.reply;
        self.queue.retain(|waiting| waiting.reply != reply);
        Some(Failure { reply, message, fallback_left: self.speaker.has_another() })
    }

    /// What is to be told of a provider's note: with the switch of voices that it completes, if it does, each once.
    pub fn noted(&mut self, note: Note) -> impl Iterator<Item = Note> + use<> {
        self.takeover.told(note)
    }

    fn start_next(&mut self) -> Option<Failure> {
        if self.current.is_some() {
            return None;
        }
        let waiting = self.queue.pop_front()?;
        let text = self.manner.spoken(&waiting.text);
        let sink = self.sink(waiting.reply, waiting.segment);
        match self.speaker.speak(&text, sink) {
            Ok(speech) => {
                self.current = Some(Current { waiting, _speech: speech });
                None
            }
            // It has tried whoever is left.
            Err(error) => {
                Some(Failure { reply: waiting.reply, message: error.to_string(), fallback_left: false })
            }
        }
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
