//! The caller's audio as far as it may still be needed: the turn so far, or a short run-up to it.
//!
//! Counts in samples of the call at 16 kHz, sample 0 being the call's first. What is worth keeping
//! is decided in [`super::listening`]. Enter at [`Kept`].

/// Samples a second that the recogniser takes.
pub(super) const SAMPLE_RATE_HZ: u32 = 16_000;

/// The time at which sample `index` begins, microseconds of call audio.
pub(super) fn us_of(index: u64) -> u64 {
    index * 125 / 2
}

/// The sample that `us` falls on.
pub(super) fn sample_at(us: u64) -> u64 {
    (us * 2).div_ceil(125)
}

/// A stretch of the call's audio that ends now.
#[derive(Default)]
pub(super) struct Kept {
    samples: Vec<i16>,
    /// How many samples at the front of `samples` were let go, but not yet moved out.
    gone: usize,
    /// How many samples the call has had in all.
    heard: u64,
}

impl Kept {
    /// Adds the next samples.
    pub(super) fn push(&mut self, samples: &[i16]) {
        self.samples.extend_from_slice(samples);
        self.heard += samples.len() as u64;
    }

    /// One past the newest sample.
    pub(super) fn end(&self) -> u64 {
        self.heard
    }

    /// The oldest sample still here.
    pub(super) fn start(&self) -> u64 {
        self.heard - (self.samples.len() - self.gone) as u64
    }

    /// The samples from `from` up to but not including `to`, as far as they are here.
    pub(super) fn between(&self, from: u64, to: u64) -> &[i16] {
        let index = |at: u64| self.gone + (at.clamp(self.start(), self.heard) - self.start()) as usize;
        &self.samples[index(from)..index(to.max(from))]
    }

    /// Lets go of everything before `from`.
    pub(super) fn forget_before(&mut self, from: u64) {
        self.gone += from.clamp(self.start(), self.heard).saturating_sub(self.start()) as usize;
        // Moving the rest down only now and then makes a sample's cost constant.
        if self.gone >= self.samples.len() / 2 {
            self.samples.drain(..self.gone);
            self.gone = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_keep_their_place_in_the_call_while_the_oldest_are_let_go() {
        let mut kept = Kept::default();
        for start in (0..1000).step_by(10) {
            kept.push(&(start..start + 10).collect::<Vec<i16>>());
            kept.forget_before(kept.end().saturating_sub(25));
        }
        assert_eq!((kept.start(), kept.end()), (975, 1000));
        assert_eq!(kept.between(978, 981), [978, 979, 980]);
        assert_eq!(kept.between(0, 5000).len(), 25);
        assert!(kept.between(990, 980).is_empty());
    }

    #[test]
    fn a_sample_lasts_sixteenths_of_a_millisecond() {
        assert_eq!(us_of(16_000), 1_000_000);
        assert_eq!(sample_at(us_of(12_345)), 12_345);
    }
}
