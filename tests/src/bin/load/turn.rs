//! One turn's times, and the sum that leaves the engine's own share of it.
//!
//! The sum is explained in the head of the driver. A negative share can't be the engine's doing: it shows that
//! a delay was taken out that did not lie in the way, or that clocks disagree, and is printed as it is.

use std::time::{Duration, Instant};

use parlance_proto::v1::Waterfall;
use parlance_providers::registry::Script;

use crate::ear::milliseconds;

/// Words of the scripted model's answer, `You said: hello`: one clause, cut when the answer is complete.
const FIRST_CLAUSE_WORDS: u32 = 3;

/// The scripted providers' fixed delays, milliseconds.
#[derive(Debug, Clone, Copy, serde::Serialize)]
pub struct Delays {
    /// From a finalize to its slice.
    pub transcript: f64,
    /// From a request to its first token.
    pub first_token: f64,
    /// From the first token to the last of the first clause.
    pub first_clause: f64,
    /// From a sentence to its first audio.
    pub first_audio: f64,
}

impl Delays {
    /// Those of `script`.
    pub fn of(script: &Script) -> Self {
        Self {
            transcript: milliseconds(script.stt_delay),
            first_token: milliseconds(script.first_token),
            first_clause: milliseconds(script.token_interval * (FIRST_CLAUSE_WORDS - 1)),
            // The answer is always the same, and from its second time on it is said from what is kept.
            first_audio: 0.0,
        }
    }
}

/// A turn as the client saw it, with the engine's own times of it.
#[derive(Debug, Clone)]
pub struct Turn {
    /// When the caller's last voiced sample was due at the microphone.
    pub voice_end: Instant,
    /// When the first frame of the answer came out of the socket.
    pub first_frame: Instant,
    /// The engine's times.
    pub waterfall: Waterfall,
}

/// The engine's own share of a turn, milliseconds, and where it went.
#[derive(Debug, Clone, Copy)]
pub struct Share {
    /// By the client's clock.
    pub client: f64,
    /// By the engine's waterfall.
    pub engine: f64,
    /// The whole turn by the client's clock, nothing taken out.
    pub total: f64,
    /// The endpointing wait that was taken out.
    pub wait: f64,
    /// The engine's share by stage, in the order of [`STAGES`].
    pub stages: [f64; 5],
}

/// The stages of the engine's share: what it added before the decision, to the model's first text, to the first
/// clause, to the first audio, to the first frame.
pub const STAGES: [&str; 5] = ["decide", "first text", "first clause", "first audio", "first frame"];

impl Turn {
    /// The sum; `None` if the waterfall lacks one of its times.
    pub fn share(&self, delays: &Delays) -> Option<Share> {
        let at = |time: &Option<prost_types::Duration>| time.as_ref().map(on_clock);
        let fall = &self.waterfall;
        let (voice, until) = (at(&fall.last_voice)?, at(&fall.wait_until)?);
        let settled = at(&fall.settled)?;
        let times = [
            at(&fall.decided)?,
            at(&fall.first_text)?,
            at(&fall.first_segment)?,
            at(&fall.first_audio)?,
            at(&fall.first_frame)?,
        ];
        let late_transcript = (settled - until).clamp(0.0, delays.transcript);
        let waited = [late_transcript, delays.first_token, delays.first_clause, delays.first_audio, 0.0];
        let mut before = until;
        let stages = std::array::from_fn(|stage| {
            let took = times[stage] - before - waited[stage];
            before = times[stage];
            took
        });
        let total = milliseconds(self.first_frame.saturating_duration_since(self.voice_end));
        let wait = until - voice;
        let others = wait + waited.iter().sum::<f64>();
        Some(Share { client: total - others, engine: times[4] - voice - others, total, wait, stages })
    }
}

/// A time on the call's clock, milliseconds.
fn on_clock(time: &prost_types::Duration) -> f64 {
    milliseconds(Duration::try_from(*time).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: i32) -> Option<prost_types::Duration> {
        Some(prost_types::Duration { seconds: i64::from(ms / 1_000), nanos: ms % 1_000 * 1_000_000 })
    }

    #[test]
    fn what_the_wait_and_the_providers_took_is_not_the_engines_share() {
        let delays = Delays { transcript: 100.0, first_token: 300.0, first_clause: 40.0, first_audio: 150.0 };
        let waterfall = Waterfall {
            last_voice: at(1_000),
            wait_until: at(1_240),
            settled: at(1_300),
            decided: at(1_302),
            first_text: at(1_603),
            first_segment: at(1_645),
            first_audio: at(1_796),
            first_frame: at(1_797),
            ..Waterfall::default()
        };
        let voice_end = Instant::now();
        let turn = Turn { voice_end, first_frame: voice_end + Duration::from_millis(800), waterfall };
        let share = turn.share(&delays).expect("all times are there");
        assert_eq!((share.client.round(), share.engine.round()), (10.0, 7.0));
        assert_eq!(share.stages.map(f64::round), [2.0, 1.0, 2.0, 1.0, 1.0]);
    }
}
