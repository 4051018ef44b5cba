//! The call's inbox: one ordered, bounded queue for everything that answers the hall.
//!
//! Providers, tools and the API post here and never wait. When it fills up, interims are shed first;
//! what changes state is never shed: if it does not fit, the call is marked overloaded and ends with
//! that reason.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parlance_conversation::{Control, EndReason, InvocationId, ReplyId, SegmentId, ToolOutcome};
use parlance_proto::v1;
use parlance_providers::notes::{Note, Notes};
use parlance_providers::{llm, stt, tts};
use tokio::sync::mpsc;

use super::requests::RequestId;

/// Items the inbox holds. A call posts about 30 a second at its busiest, so this is many seconds' worth.
const CAPACITY: usize = 1_024;
/// Interims are shed when fewer places than this are left.
const RESERVED_FOR_STATE: usize = 256;

/// What is posted to a call.
pub enum Posted {
    /// From the transcriber.
    Heard(stt::Event),
    /// From the voice, for a segment of a reply.
    Voice {
        /// The reply.
        reply: ReplyId,
        /// The segment being spoken.
        segment: SegmentId,
        /// What the voice told.
        event: tts::Event,
    },
    /// From the model, for a reply.
    Model {
        /// The reply.
        reply: ReplyId,
        /// Which request for it.
        request: RequestId,
        /// What the model told.
        event: llm::Event,
    },
    /// What a provider tells about itself.
    Provider(Note),
    /// A tool run has ended.
    Tool {
        /// The run.
        invocation: InvocationId,
        /// How it ended.
        outcome: ToolOutcome,
    },
    /// The client shall run one of its tools.
    ToolCall(v1::ToolCall),
    /// Somebody outside wants something done.
    Control(Control),
    /// Somebody outside wants the call to end.
    End(EndReason),
}

/// Where to post. Cheap to clone; never blocks.
#[derive(Clone)]
pub struct Post {
    sender: mpsc::Sender<Posted>,
    overflowed: Arc<AtomicBool>,
}

impl Post {
    /// Posts an item. After the call is over this does nothing.
    pub fn post(&self, item: Posted) {
        let sheds = matches!(
            item,
            Posted::Heard(stt::Event::Interim(_)) | Posted::Provider(Note::Took { .. } | Note::Hedged { .. })
        );
        if sheds && self.sender.capacity() < RESERVED_FOR_STATE {
            return;
        }
        if let Err(mpsc::error::TrySendError::Full(_)) = self.sender.try_send(item) {
            self.overflowed.store(true, Ordering::Relaxed);
        }
    }
}

impl Post {
    /// Where providers' notes go. What only measures is shed when the inbox fills up.
    pub fn notes(&self) -> Notes {
        let post = self.clone();
        Arc::new(move |note| post.post(Posted::Provider(note)))
    }
}

/// The hall's end of the queue.
pub struct Inbox {
    receiver: mpsc::Receiver<Posted>,
    overflowed: Arc<AtomicBool>,
    post: Post,
}

impl Default for Inbox {
    /// An empty inbox.
    fn default() -> Self {
        let (sender, receiver) = mpsc::channel(CAPACITY);
        let overflowed = Arc::new(AtomicBool::new(false));
        Self { receiver, overflowed: overflowed.clone(), post: Post { sender, overflowed } }
    }
}

impl Inbox {
    /// Where others post.
    pub fn post(&self) -> Post {
        self.post.clone()
    }

    /// The next item. Waits for ever if there is none: the hall itself holds a `Post`.
    pub async fn next(&mut self) -> Posted {
        match self.receiver.recv().await {
            Some(item) => item,
            None => std::future::pending().await,
        }
    }

    /// The next of the notes that are there; everything before it is thrown away.
    pub fn note(&mut self) -> Option<Note> {
        loop {
            if let Posted::Provider(note) = self.receiver.try_recv().ok()? {
                return Some(note);
            }
        }
    }

    /// Whether something that changes state did not fit.
    pub fn overflowed(&self) -> bool {
        self.overflowed.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interim() -> Posted {
        Posted::Heard(stt::Event::Interim(stt::Transcript {
            text: "well".into(),
            words: Vec::new(),
            covers_until_us: None,
        }))
    }

    #[test]
    fn interims_are_shed_before_the_inbox_is_full_and_never_overload_the_call() {
        let inbox = Inbox::default();
        for _ in 0..CAPACITY * 2 {
            inbox.post().post(interim());
        }
        assert!(!inbox.overflowed());
        assert!(inbox.receiver.len() <= CAPACITY - RESERVED_FOR_STATE + 1);
    }

    #[test]
    fn a_fact_that_changes_state_and_does_not_fit_marks_the_call_overloaded() {
        let inbox = Inbox::default();
        for _ in 0..=CAPACITY {
            inbox.post().post(Posted::End(EndReason::ApiEnded));
        }
        assert!(inbox.overflowed());
    }
}
