//! Where a vendor's time lies in the audio that the listener was fed.
//!
//! The vendor counts all that it was sent, silence that was put in between included; the listener's time counts only
//! what it was fed.

use std::collections::VecDeque;

use crate::audio::AudioFormat;

/// Gaps that are remembered one by one; a vendor tells nothing about audio from before so many.
const GAPS_MAX: usize = 64;

/// Counts what is sent.
#[derive(Debug)]
pub(in crate::stt) struct Timeline {
    rate_hz: u64,
    width: u64,
    fed: u64,
    sent: u64,
    /// Where silence was put in and how much, in samples sent, oldest first.
    gaps: VecDeque<(u64, u64)>,
    /// Silence of gaps that are forgotten.
    forgotten: u64,
}

impl Timeline {
    /// Nothing was sent yet.
    pub fn new(format: AudioFormat) -> Self {
        let width = if format == AudioFormat::MuLaw { 1 } else { 2 };
        let rate_hz = u64::from(format.sample_rate_hz());
        Self { rate_hz, width, fed: 0, sent: 0, gaps: VecDeque::new(), forgotten: 0 }
    }

    /// This much of the listener's audio is sent.
    pub fn feed(&mut self, bytes: usize) {
        let samples = bytes as u64 / self.width;
        (self.fed, self.sent) = (self.fed + samples, self.sent + samples);
    }

    /// Silence of this length, to be sent now.
    pub fn insert(&mut self, ms: u64) -> Vec<u8> {
        let samples = ms * self.rate_hz / 1_000;
        match self.gaps.back_mut() {
            Some((at, length)) if *at + *length == self.sent => *length += samples,
            _ => self.gaps.push_back((self.sent, samples)),
        }
        if self.gaps.len() > GAPS_MAX
            && let Some((_, length)) = self.gaps.pop_front()
        {
            self.forgotten += length;
        }
        self.sent += samples;
        // Mu-law's zero is 0xFF.
        let zero = if self.width == 1 { 0xFF } else { 0 };
        vec![zero; (samples * self.width) as usize]
    }

    /// How far the listener's audio was sent, microseconds.
    pub fn fed_us(&self) -> u64 {
        self.us(self.fed)
    }

    /// A vendor's time, in seconds, as the listener's microseconds; one within a gap is the time at which it began.
    pub fn ours_us(&self, seconds: f64) -> u64 {
        let sent = (seconds.clamp(0.0, 1e9) * self.rate_hz as f64).round() as u64;
        let within = |(at, length): &(u64, u64)| sent.saturating_sub(*at).min(*length);
        let gaps: u64 = self.gaps.iter().map(within).sum();
        self.us(sent.saturating_sub(gaps + self.forgotten))
    }

    fn us(&self, samples: u64) -> u64 {
        samples * 1_000_000 / self.rate_hz
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_put_in_between_takes_no_time_of_the_listener() {
        let mut timeline = Timeline::new(AudioFormat::PCM_16K);
        timeline.feed(32_000);
        assert_eq!(timeline.insert(500).len(), 16_000);
        assert_eq!(timeline.insert(500).len(), 16_000);
        timeline.feed(32_000);
        assert_eq!(timeline.fed_us(), 2_000_000);
        assert_eq!(timeline.ours_us(0.75), 750_000);
        assert_eq!(timeline.ours_us(1.5), 1_000_000);
        assert_eq!(timeline.ours_us(2.25), 1_250_000);
        for _ in 0..200 {
            timeline.feed(3_200);
            timeline.insert(100);
        }
        assert_eq!(timeline.ours_us(3.0 + 200.0 * 0.2), timeline.fed_us());
    }

    #[test]
    fn mu_law_is_silent_at_its_own_zero() {
        assert_eq!(Timeline::new(AudioFormat::MuLaw).insert(20), vec![0xFF; 160]);
    }
}
