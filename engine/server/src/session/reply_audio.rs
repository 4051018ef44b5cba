//! The audio of one reply: collected segment by segment at the output rate, and how much of it was sent.

use parlance_conversation::{ReplyId, SegmentId};
use parlance_media::resample::{Resampler, UnsupportedRate};
use parlance_media::us_to_samples;

/// What was made of a reply so far.
pub(super) struct ReplyAudio {
    pub(super) reply: ReplyId,
    pub(super) samples: Vec<i16>,
    /// Samples sent.
    pub(super) cursor: usize,
    /// Most samples ever sent: a hold goes back, and reports of before it may still be on their way.
    pub(super) furthest: usize,
    pub(super) sequence: u32,
    pub(super) released: bool,
    pub(super) resampler: Option<(SegmentId, Resampler)>,
    pub(super) segment: Option<(SegmentId, usize)>,
    pub(super) drained_told: bool,
    pub(super) marked: usize,
    /// Nothing more of it is played; it is kept until the recording has what was.
    pub(super) over: bool,
}

impl ReplyAudio {
    pub(super) fn new(reply: ReplyId) -> Self {
        Self {
            reply,
            samples: Vec::new(),
            cursor: 0,
            furthest: 0,
            sequence: 0,
            released: false,
            resampler: None,
            segment: None,
            drained_told: false,
            marked: 0,
            over: false,
        }
    }

    pub(super) fn begin_segment(&mut self, segment: SegmentId) {
        if self.segment.is_none_or(|(current, _)| current != segment) {
            self.segment = Some((segment, self.samples.len()));
            self.resampler = None;
        }
    }

    /// The segment's resampler and where its output goes.
    ///
    /// # Errors
    /// [`UnsupportedRate`] for a rate it can't convert.
    pub(super) fn resampler_for(
        &mut self,
        segment: SegmentId,
        from: u32,
        to: u32,
    ) -> Result<(&mut Resampler, &mut Vec<i16>), UnsupportedRate> {
        let resampler = match self.resampler.take() {
            Some(resampler) => resampler,
            None => (segment, Resampler::new(from, to)?),
        };
        Ok((&mut self.resampler.insert(resampler).1, &mut self.samples))
    }

    /// Pushes silence through, so that the last samples come out.
    pub(super) fn flush_resampler(&mut self, rate_hz: u32) {
        if let Some((_, mut resampler)) = self.resampler.take() {
            let tail = us_to_samples(resampler.delay_us() + 1_000, rate_hz) as usize;
            resampler.process(&vec![0; tail], &mut self.samples);
        }
    }
}
