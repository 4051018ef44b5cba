//! The caller's ear: plays the agent's frames in real time, and knows when they came too late.
//!
//! Holds no audio, only the moment at which what has arrived will have been played. Marks are answered when
//! the audio before them was played, as an honest client does.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use parlance_proto::v1::{AgentAudio, PlaybackProgress};

/// Length of an agent's frame.
const FRAME: Duration = Duration::from_millis(20);
/// Frames the engine may send ahead at the beginning of a reply: they come at once, and have no pace.
const LEAD_FRAMES: u32 = 10;

/// What was heard of one call's agent.
#[derive(Debug, Default)]
pub struct Ear {
    dry_at: Option<Instant>,
    last: Option<(u32, u32, Instant)>,
    marks: VecDeque<(Instant, PlaybackProgress)>,
    /// Distance of each arrival from 20 ms after the one before, milliseconds, late ones positive.
    pub jitter_ms: Vec<f64>,
    /// Silences in the middle of a reply, because its next frame was not there, milliseconds.
    pub underruns_ms: Vec<f64>,
    /// Frames that did not carry the number expected.
    pub misnumbered: u32,
}

impl Ear {
    /// A frame arrived at `now`. True if it is the first of its reply.
    pub fn hear(&mut self, now: Instant, audio: &AgentAudio) -> bool {
        let before = self.last.filter(|last| last.0 == audio.reply_id);
        self.last = Some((audio.reply_id, audio.sequence, now));
        let dry_at = self.dry_at.filter(|at| *at > now);
        if let Some((_, sequence, at)) = before {
            if audio.sequence != sequence + 1 {
                self.misnumbered += 1;
            }
            if sequence > LEAD_FRAMES {
                self.jitter_ms.push(milliseconds(now - at) - milliseconds(FRAME));
            }
            if let (None, Some(dry_at)) = (dry_at, self.dry_at) {
                self.underruns_ms.push(milliseconds(now - dry_at));
            }
        }
        self.dry_at = Some(dry_at.unwrap_or(now) + FRAME);
        before.is_none()
    }

    /// The engine wants to know when this place, behind all that has arrived, was played.
    pub fn mark(&mut self, now: Instant, reply_id: u32, position: Option<prost_types::Duration>) {
        let due = self.dry_at.map_or(now, |at| at.max(now));
        self.marks.push_back((due, PlaybackProgress { reply_id, position }));
    }

    /// The engine wants what is not played forgotten.
    pub fn clear(&mut self, now: Instant) {
        self.marks.clear();
        self.dry_at = self.dry_at.map(|at| at.min(now));
        self.last = None;
    }

    /// The next mark that was reached.
    pub fn reached(&mut self, now: Instant) -> Option<PlaybackProgress> {
        self.marks
            .front()
            .is_some_and(|(due, _)| *due <= now)
            .then(|| self.marks.pop_front())?
            .map(|mark| mark.1)
    }

    /// How long nothing has been heard; `None` while something is.
    pub fn quiet_for(&self, now: Instant) -> Option<Duration> {
        now.checked_duration_since(self.dry_at?)
    }
}

/// Milliseconds with their fraction.
pub fn milliseconds(length: Duration) -> f64 {
    length.as_secs_f64() * 1_000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(sequence: u32) -> AgentAudio {
        AgentAudio { reply_id: 1, sequence, ..AgentAudio::default() }
    }

    #[test]
    fn a_frame_that_comes_after_the_ear_ran_dry_is_an_underrun_and_an_early_one_is_not() {
        let (mut ear, start) = (Ear::default(), Instant::now());
        assert!(ear.hear(start, &frame(1)));
        assert!(!ear.hear(start, &frame(2)));
        assert!(!ear.hear(start + Duration::from_millis(39), &frame(3)));
        assert!(ear.underruns_ms.is_empty(), "{:?}", ear.underruns_ms);
        ear.hear(start + Duration::from_millis(75), &frame(4));
        assert_eq!(ear.underruns_ms, [15.0]);
    }

    #[test]
    fn the_lead_at_the_beginning_of_a_reply_is_no_jitter() {
        let (mut ear, start) = (Ear::default(), Instant::now());
        for sequence in 1..=11 {
            ear.hear(start, &frame(sequence));
        }
        assert!(ear.jitter_ms.is_empty(), "{:?}", ear.jitter_ms);
        ear.hear(start + Duration::from_millis(25), &frame(12));
        assert_eq!(ear.jitter_ms, [5.0]);
    }

    #[test]
    fn a_mark_is_told_when_the_audio_before_it_was_played() {
        let (mut ear, start) = (Ear::default(), Instant::now());
        ear.hear(start, &frame(1));
        ear.mark(start, 1, None);
        assert_eq!(ear.reached(start + Duration::from_millis(19)), None);
        assert!(ear.reached(start + Duration::from_millis(20)).is_some());
        assert_eq!(ear.reached(start + Duration::from_millis(40)), None);
    }
}
