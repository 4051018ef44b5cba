//! Framing: cuts a stream of samples into 20 ms frames and keeps the call's audio clock.
//!
//! Far ends send blocks of any size; everything behind the edge works on whole frames that know their time.
//! The clock is the count of samples, never a wall clock: it cannot jitter or drift against what was heard.
//! Enter at [`Framer::push`].

use crate::{frame_samples, samples_to_us};

/// Exactly 20 ms of audio and its place in the call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame<'a> {
    /// Call audio time of the first sample.
    pub at_us: u64,
    /// The samples, as many as 20 ms take at the framer's rate.
    pub samples: &'a [i16],
}

/// Cuts one stream into frames.
#[derive(Debug, Clone)]
pub struct Framer {
    rate_hz: u32,
    frame: usize,
    /// What waits for its frame to fill; less than a frame.
    rest: Vec<i16>,
    /// Where the count of samples begins.
    origin_us: u64,
    /// Samples handed out in frames since the origin.
    framed: u64,
}

impl Framer {
    /// A framer for samples at `rate_hz`, a multiple of 50, the first of which is at `origin_us`.
    #[must_use]
    pub fn new(rate_hz: u32, origin_us: u64) -> Self {
        let frame = frame_samples(rate_hz);
        Framer { rate_hz, frame, rest: Vec::with_capacity(frame), origin_us, framed: 0 }
    }

    /// Takes a block of any length and hands each frame that is complete to `each`, in order. Frames that lie
    /// whole in the block are not copied.
    pub fn push(&mut self, mut samples: &[i16], mut each: impl FnMut(Frame<'_>)) {
        if !self.rest.is_empty() {
            let missing = (self.frame - self.rest.len()).min(samples.len());
            let (now, later) = samples.split_at(missing);
            self.rest.extend_from_slice(now);
            samples = later;
            if self.rest.len() < self.frame {
                return;
            }
            each(Frame { at_us: self.next_frame_us(), samples: &self.rest });
            self.rest.clear();
            self.framed += self.frame as u64;
        }
        let frames = samples.chunks_exact(self.frame);
        self.rest.extend_from_slice(frames.remainder());
        for samples in frames {
            each(Frame { at_us: self.next_frame_us(), samples });
            self.framed += self.frame as u64;
        }
    }

    /// Fills a frame that was begun with silence and hands it to `each`; for the end of a stream.
    pub fn finish(&mut self, each: impl FnMut(Frame<'_>)) {
        if !self.rest.is_empty() {
            self.rest.resize(self.frame, 0);
            let last = std::mem::take(&mut self.rest);
            self.push(&last, each);
        }
    }

    /// Begins anew at `at_us`, for a far end that stopped sending for a while; what waited is dropped.
    pub fn restart_at(&mut self, at_us: u64) {
        self.rest.clear();
        self.origin_us = at_us;
        self.framed = 0;
    }

    /// Call audio time up to which audio was received, whole frames or not.
    #[must_use]
    pub fn received_us(&self) -> u64 {
        self.origin_us + samples_to_us(self.framed + self.rest.len() as u64, self.rate_hz)
    }

    fn next_frame_us(&self) -> u64 {
        self.origin_us + samples_to_us(self.framed, self.rate_hz)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames(framer: &mut Framer, block: &[i16]) -> Vec<(u64, Vec<i16>)> {
        let mut out = Vec::new();
        framer.push(block, |frame| out.push((frame.at_us, frame.samples.to_vec())));
        out
    }

    #[test]
    fn blocks_of_any_size_become_the_same_frames() {
        let stream: Vec<i16> = (0..8_000).collect();
        let whole = frames(&mut Framer::new(8_000, 0), &stream);
        assert_eq!(whole.len(), 50);
        assert!(whole.iter().all(|(_, samples)| samples.len() == 160));
        for size in [1, 7, 159, 160, 161, 320, 999] {
            let mut framer = Framer::new(8_000, 0);
            let cut: Vec<_> = stream.chunks(size).flat_map(|block| frames(&mut framer, block)).collect();
            assert!(cut == whole, "blocks of {size}");
        }
    }

    #[test]
    fn frames_are_20_ms_apart_from_the_origin_on_at_every_rate() {
        for rate_hz in [8_000, 16_000, 22_050, 24_000, 48_000] {
            let second = vec![1; rate_hz as usize];
            let times: Vec<u64> =
                frames(&mut Framer::new(rate_hz, 7_000), &second).into_iter().map(|(at, _)| at).collect();
            let expected: Vec<u64> = (0..50).map(|frame| 7_000 + frame * 20_000).collect();
            assert_eq!(times, expected, "{rate_hz} Hz");
        }
    }

    #[test]
    fn the_clock_counts_samples_that_wait_for_their_frame() {
        let mut framer = Framer::new(16_000, 0);
        assert!(frames(&mut framer, &[0; 319]).is_empty());
        assert_eq!(framer.received_us(), 19_937);
        assert_eq!(frames(&mut framer, &[0; 2]).len(), 1);
        assert_eq!(framer.received_us(), 20_062);
    }

    #[test]
    fn a_last_partial_frame_is_filled_with_silence() {
        let mut framer = Framer::new(8_000, 0);
        framer.push(&[5; 200], |_| {});
        let mut last = Vec::new();
        framer.finish(|frame| last.push((frame.at_us, frame.samples.to_vec())));
        assert_eq!(last.len(), 1);
        assert_eq!((last[0].0, &last[0].1[..40], &last[0].1[40..]), (20_000, &[5; 40][..], &[0; 120][..]));
        framer.finish(|_| panic!("nothing waits any more"));
    }

    #[test]
    fn a_stream_that_resumes_later_takes_its_new_time() {
        let mut framer = Framer::new(8_000, 0);
        framer.push(&[1; 100], |_| {});
        framer.restart_at(5_000_000);
        assert_eq!(frames(&mut framer, &[2; 160]), [(5_000_000, vec![2; 160])]);
    }
}
