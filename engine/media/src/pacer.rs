//! Pacing: when the agent's next frame may leave, and how much the far end has played.
//!
//! Keeps the far end at most `lead` ahead of the clock, so that an interruption is quick and what was heard
//! is known. Pure arithmetic on a clock that is passed in (microseconds, monotonic); holds no audio and
//! sends nothing. Enter at [`Pacer::due`]; tell it with [`Pacer::sent`]. A far end that reports its own
//! position is believed before this one.
//!
//! The model is one number, the time at which the far end runs dry. Each frame moves it by exactly 20 ms, so
//! late wake-ups neither add up nor make a burst: what was missed was silence and is not caught up.
//! Positions count audio over the whole call and never go back; the caller maps them to replies.

use crate::FRAME_US;

/// How far the far end may be ahead by default: 200 ms.
pub const DEFAULT_LEAD_US: u64 = 200_000;

/// Paces one playout. It starts by itself with the first frame sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pacer {
    lead_us: u64,
    latency_us: u64,
    held: bool,
    sent_us: u64,
    /// Clock time at which everything sent has left the far end's buffer, without latency.
    dry_at_us: u64,
    /// Position that was reached before the far end last ran dry or was flushed.
    reached_us: u64,
}

impl Pacer {
    /// A pacer that keeps `lead_us` (one frame at least) in the far end and takes sound to be heard
    /// `latency_us` after it could have been played.
    #[must_use]
    pub fn new(lead_us: u64, latency_us: u64) -> Self {
        Pacer {
            lead_us: lead_us.max(FRAME_US),
            latency_us,
            held: false,
            sent_us: 0,
            dry_at_us: 0,
            reached_us: 0,
        }
    }

    /// How many frames may be sent now; never more than fit in the lead, however late `now_us` is.
    #[must_use]
    pub fn due(&self, now_us: u64) -> u32 {
        if self.held {
            return 0;
        }
        let room = (now_us + self.lead_us).saturating_sub(self.dry_at_us.max(now_us));
        (room / FRAME_US) as u32
    }

    /// When the next frame becomes due, which may be past; none while held.
    #[must_use]
    pub fn next_due_us(&self) -> Option<u64> {
        (!self.held).then(|| (self.dry_at_us + FRAME_US).saturating_sub(self.lead_us))
    }

    /// Notes that `frames` left at `now_us`.
    pub fn sent(&mut self, now_us: u64, frames: u32) {
        if frames == 0 {
            return;
        }
        if self.dry_at_us < now_us {
            self.reached_us = self.played_us(now_us);
            self.dry_at_us = now_us;
        }
        let length = u64::from(frames) * FRAME_US;
        self.sent_us += length;
        self.dry_at_us += length;
    }

    /// Stops sending; what the far end already has plays on. Holding twice is holding.
    pub fn hold(&mut self) {
        self.held = true;
    }

    /// Sends again; frames become due at once if the far end ran dry meanwhile.
    pub fn resume(&mut self) {
        self.held = false;
    }

    /// Whether it is held.
    #[must_use]
    pub fn is_held(&self) -> bool {
        self.held
    }

    /// Notes that the far end was told to drop what it has not played. Gives the position at which it stops,
    /// which is from now on all that counts as sent; the rest up to the former [`Pacer::sent_us`] was not
    /// heard. Leaves a hold as it is.
    pub fn flush(&mut self, now_us: u64) -> u64 {
        self.reached_us = self.played_us(now_us);
        let unplayed = self.dry_at_us.saturating_sub(now_us);
        self.sent_us = self.sent_us.saturating_sub(unplayed).max(self.reached_us);
        self.dry_at_us = self.dry_at_us.min(now_us);
        self.sent_us
    }

    /// Audio sent so far in the call, without what was flushed.
    #[must_use]
    pub fn sent_us(&self) -> u64 {
        self.sent_us
    }

    /// Audio the caller has heard by `now_us`: what was sent, less what still waits and the latency.
    #[must_use]
    pub fn played_us(&self, now_us: u64) -> u64 {
        let waits = (self.dry_at_us + self.latency_us).saturating_sub(now_us);
        self.sent_us.saturating_sub(waits).max(self.reached_us)
    }

    /// When the last sample sent will have been heard; past if it already was.
    #[must_use]
    pub fn drained_at_us(&self) -> u64 {
        self.dry_at_us + self.latency_us
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000;

    /// Sends all that is due; gives how many frames that was.
    fn send_due(pacer: &mut Pacer, now_us: u64) -> u32 {
        let frames = pacer.due(now_us);
        pacer.sent(now_us, frames);
        frames
    }

    #[test]
    fn the_first_wake_up_fills_the_lead_and_then_a_frame_leaves_each_20_ms() {
        let mut pacer = Pacer::new(DEFAULT_LEAD_US, 0);
        let start = 5_000 * MS;
        assert_eq!(send_due(&mut pacer, start), 10);
        assert_eq!(pacer.next_due_us(), Some(start + 20 * MS));
        assert_eq!(pacer.due(start + 19_999), 0);
        assert_eq!(send_due(&mut pacer, start + 20 * MS), 1);
        assert_eq!(pacer.next_due_us(), Some(start + 40 * MS));
    }

    #[test]
    fn an_hour_of_jittering_wake_ups_sends_an_hour_of_audio_within_the_lead() {
        let mut pacer = Pacer::new(DEFAULT_LEAD_US, 0);
        let (mut seed, mut now) = (7_u64, 0);
        let hour = 3_600_000 * MS;
        while now < hour {
            send_due(&mut pacer, now);
            let ahead = pacer.sent_us() - now;
            assert!(ahead <= DEFAULT_LEAD_US && ahead > DEFAULT_LEAD_US - FRAME_US, "{ahead} ahead at {now}");
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let late = (seed >> 40) % 15_000;
            now = pacer.next_due_us().unwrap() + late;
        }
    }

    #[test]
    fn a_late_wake_up_sends_the_lead_and_no_more() {
        let mut pacer = Pacer::new(DEFAULT_LEAD_US, 0);
        send_due(&mut pacer, 0);
        assert_eq!(send_due(&mut pacer, 150 * MS), 7, "late within the lead: caught up");
        assert_eq!(send_due(&mut pacer, 2_000 * MS), 10, "late beyond it: the gap is not made up for");
        assert_eq!(pacer.due(2_000 * MS), 0);
    }

    #[test]
    fn what_was_heard_is_what_was_sent_less_what_waits_and_the_latency() {
        let mut pacer = Pacer::new(DEFAULT_LEAD_US, 50 * MS);
        assert_eq!(pacer.played_us(0), 0);
        pacer.sent(1_000 * MS, 10);
        for (now, heard) in [(1_000, 0), (1_050, 0), (1_100, 50), (1_250, 200), (9_000, 200)] {
            assert_eq!(pacer.played_us(now * MS), heard * MS, "at {now} ms");
        }
        assert_eq!(pacer.drained_at_us(), 1_250 * MS);
    }

    #[test]
    fn a_held_pacer_sends_nothing_while_the_far_end_plays_on() {
        let mut pacer = Pacer::new(DEFAULT_LEAD_US, 0);
        pacer.sent(0, 10);
        pacer.hold();
        assert_eq!((pacer.due(60 * MS), pacer.next_due_us()), (0, None));
        assert_eq!(pacer.played_us(100 * MS), 100 * MS);
        assert_eq!(pacer.played_us(900 * MS), 200 * MS);
        pacer.resume();
        assert_eq!(send_due(&mut pacer, 900 * MS), 10);
        assert_eq!(pacer.played_us(950 * MS), 250 * MS);
    }

    #[test]
    fn a_flush_takes_back_what_was_not_played() {
        let mut pacer = Pacer::new(DEFAULT_LEAD_US, 40 * MS);
        pacer.sent(0, 10);
        assert_eq!(pacer.flush(130 * MS), 130 * MS);
        assert_eq!(pacer.sent_us(), 130 * MS);
        assert_eq!(pacer.played_us(130 * MS), 90 * MS, "the flush itself takes the latency to be heard");
        assert_eq!(pacer.played_us(900 * MS), 130 * MS);
        assert_eq!(send_due(&mut pacer, 140 * MS), 10, "the next reply fills an empty far end");
    }

    #[test]
    fn the_heard_position_never_goes_back() {
        let mut pacer = Pacer::new(DEFAULT_LEAD_US, 60 * MS);
        let (mut before, mut seed) = (0, 3_u64);
        for step in 0..20_000_u64 {
            let now = step * 3 * MS;
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            match seed >> 60 {
                0 => pacer.hold(),
                1..=3 => pacer.resume(),
                4 => drop(pacer.flush(now)),
                5..=9 => drop(send_due(&mut pacer, now)),
                _ => {}
            }
            let heard = pacer.played_us(now);
            assert!(heard >= before && heard <= pacer.sent_us(), "{before} then {heard} at {now}");
            before = heard;
        }
        assert!(before > 1_000 * MS);
    }
}
