//! How many messages a client may send beside its audio: enough for any honest client, too few to flood a
//! call's journal, its queue of turns or its neighbours.

use parlance_conversation::CallTime;
use parlance_proto::v1::voice_session_request::Request;

/// Tokens that refill with time and are spent one a message.
struct Bucket {
    a_second: f64,
    burst: f64,
    tokens: f64,
    filled_at: CallTime,
}

/// What one session may still send.
pub struct Allowance {
    /// Text and control: each may become a turn or a reply.
    decisions: Bucket,
    /// Playback reports and messages without content.
    others: Bucket,
}

impl Default for Allowance {
    fn default() -> Self {
        Self { decisions: Bucket::new(10.0, 40.0), others: Bucket::new(100.0, 400.0) }
    }
}

impl Allowance {
    /// Whether this message may be taken now. Audio is not counted: it is held to real time by being read.
    pub fn allows(&mut self, now: CallTime, request: &Request) -> bool {
        match request {
            Request::Audio(audio) if !audio.data.is_empty() => true,
            Request::Text(_) | Request::Control(_) => self.decisions.spend(now),
            Request::Audio(_) | Request::Playback(_) | Request::ToolResult(_) | Request::Start(_) => {
                self.others.spend(now)
            }
        }
    }
}

impl Bucket {
    fn new(a_second: f64, burst: f64) -> Self {
        Self { a_second, burst, tokens: burst, filled_at: CallTime::ZERO }
    }

    fn spend(&mut self, now: CallTime) -> bool {
        let gained = now.since(self.filled_at).as_secs_f64() * self.a_second;
        self.tokens = (self.tokens + gained).min(self.burst);
        self.filled_at = now;
        let enough = self.tokens >= 1.0;
        if enough {
            self.tokens -= 1.0;
        }
        enough
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use parlance_proto::v1::{CallerAudio, PlaybackProgress, TypedText};

    fn at(ms: u64) -> CallTime {
        CallTime::from_millis(ms)
    }

    #[test]
    fn a_flood_of_text_is_stopped_and_forgiven_a_second_later() {
        let mut allowance = Allowance::default();
        let text = Request::Text(TypedText { text: "hello".into() });
        assert_eq!((0..100).filter(|_| allowance.allows(at(0), &text)).count(), 40);
        assert_eq!((0..100).filter(|_| allowance.allows(at(1_000), &text)).count(), 10);
    }

    #[test]
    fn honest_reports_and_audio_are_never_too_many() {
        let mut allowance = Allowance::default();
        for frame in 0..10_000 {
            let report = Request::Playback(PlaybackProgress::default());
            let audio = Request::Audio(CallerAudio { data: vec![0; 640].into() });
            assert!(allowance.allows(at(frame * 20), &report) && allowance.allows(at(frame * 20), &audio));
        }
    }
}
