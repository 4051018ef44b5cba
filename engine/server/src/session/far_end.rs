//! The far end's side of the stream: numbers what is sent, never waits for a slow reader, and knows
//! when one has stopped reading.
//!
//! Audio that does not fit is simply not sent yet (the playout keeps it). Events are kept, in order and
//! bounded, until there is room. Nothing read for [`STALL_LIMIT`]: the far end counts as lost.

use std::collections::VecDeque;
use std::time::Duration;

use parlance_conversation::CallTime;
use parlance_proto::v1::voice_session_response::Response;
use parlance_proto::v1::{AgentAudio, VoiceSessionResponse};
use tokio::sync::mpsc;
use tonic::Status;

/// Messages between the hall and the connection: half a second of audio with its events.
pub const CHANNEL: usize = 48;
/// Events kept for a reader that does not keep up.
const PENDING_MAX: usize = 2_000;
/// How long a reader may take nothing at all.
const STALL_LIMIT: Duration = Duration::from_secs(5);

/// What the connection is given.
pub type Outgoing = Result<VoiceSessionResponse, Status>;

/// The sending side of one session.
pub struct FarEnd {
    sender: mpsc::Sender<Outgoing>,
    seq: u64,
    pending: VecDeque<Response>,
    stalled_since: Option<CallTime>,
    overrun: bool,
}

impl FarEnd {
    /// Sends into `sender`, a channel of [`CHANNEL`] places.
    pub fn new(sender: mpsc::Sender<Outgoing>) -> Self {
        Self { sender, seq: 0, pending: VecDeque::new(), stalled_since: None, overrun: false }
    }

    /// Sends an event, or keeps it until there is room.
    pub fn tell(&mut self, now: CallTime, response: Response) {
        if self.pending.len() >= PENDING_MAX {
            // Nothing is left out silently: a reader so far behind is lost.
            self.overrun = true;
            return;
        }
        self.pending.push_back(response);
        self.drain(now);
    }

    /// Sends a frame of audio if there is room for it now. False: keep it and try again later.
    pub fn send_audio(&mut self, now: CallTime, audio: AgentAudio) -> bool {
        self.drain(now);
        if !self.pending.is_empty() || self.sender.capacity() == 0 {
            self.stalled_since.get_or_insert(now);
            return false;
        }
        self.push(Response::Audio(audio));
        true
    }

    /// Whether anything waits for room, so that the hall should look again soon.
    pub fn is_stalled(&self) -> bool {
        self.stalled_since.is_some()
    }

    /// Sends what was kept, as far as there is room.
    pub fn drain(&mut self, now: CallTime) {
        while !self.pending.is_empty() && self.sender.capacity() > 0 {
            if let Some(response) = self.pending.pop_front() {
                self.push(response);
            }
        }
        if self.sender.capacity() > 0 {
            self.stalled_since = None;
        } else if !self.pending.is_empty() {
            self.stalled_since.get_or_insert(now);
        }
    }

    /// Whether the far end is gone: the connection dropped its side, or reads nothing any more.
    pub fn is_lost(&self, now: CallTime) -> bool {
        self.sender.is_closed()
            || self.overrun
            || self.stalled_since.is_some_and(|since| now.since(since) >= STALL_LIMIT)
    }

    /// Resolves when the connection has dropped its side. Holds no borrow of the far end.
    pub fn closed(&self) -> impl Future<Output = ()> + Send + 'static {
        let sender = self.sender.clone();
        async move { sender.closed().await }
    }

    /// The last messages of a session: waits for room, but no longer than `limit`.
    /// With a `refusal` the stream ends with that status, else with OK.
    pub async fn finish(mut self, last: Response, refusal: Option<Status>, limit: Duration) {
        self.pending.push_back(last);
        let send_rest = async {
            while let Some(response) = self.pending.pop_front() {
                self.seq += 1;
                let message = VoiceSessionResponse { seq: self.seq, response: Some(response) };
                if self.sender.send(Ok(message)).await.is_err() {
                    return;
                }
            }
            if let Some(status) = refusal {
                // A connection that is gone needs no status.
                self.sender.send(Err(status)).await.ok();
            }
        };
        if tokio::time::timeout(limit, send_rest).await.is_err() {
            tracing::debug!("the far end took no last message");
        }
    }

    fn push(&mut self, response: Response) {
        self.seq += 1;
        let message = VoiceSessionResponse { seq: self.seq, response: Some(response) };
        // A closed channel is found by `is_lost`; a full one was excluded by the caller.
        if self.sender.try_send(Ok(message)).is_err() {
            tracing::trace!("message to a far end that is gone");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use parlance_proto::v1::ClearAudio;

    fn at(ms: u64) -> CallTime {
        CallTime::from_millis(ms)
    }

    #[tokio::test]
    async fn a_reader_that_never_reads_is_lost_after_five_seconds_and_loses_no_event_before() {
        let (sender, mut receiver) = mpsc::channel(2);
        let mut far_end = FarEnd::new(sender);
        for reply_id in 1..=5 {
            far_end.tell(at(0), Response::Clear(ClearAudio { reply_id }));
        }
        assert!(!far_end.send_audio(at(10), AgentAudio::default()));
        assert!(!far_end.is_lost(at(4_900)));
        assert!(far_end.is_lost(at(5_000)));
        for seq in 1..=5 {
            far_end.drain(at(5_000));
            let message = receiver.recv().await.and_then(Result::ok);
            assert_eq!(message.map(|message| message.seq), Some(seq));
        }
        far_end.drain(at(5_001));
        assert!(!far_end.is_lost(at(60_000)));
    }
}
