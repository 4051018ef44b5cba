//! Halving the rate, for detectors that need no better quality: a half-band filter of 15 taps.
//!
//! Stops what would fold by 50 dB from 0.35 of the input rate on; [`crate::resample`] is the one for sound
//! that somebody listens to. Enter at [`HalfBand::halve`].

/// A Hamming-windowed sinc at a quarter of the rate: every second tap is zero, the middle one a half.
const SIDE_TAPS: [f32; 4] = [0.307_4, -0.076_1, 0.023_2, -0.005_2];
const REACH: usize = 7;
const HISTORY: usize = 2 * REACH;
/// Longest block, a 20 ms frame at 16 kHz.
const LONGEST: usize = 320;

/// One stream being halved; delays by 7 input samples.
#[derive(Debug, Clone)]
pub(super) struct HalfBand {
    window: [f32; HISTORY + LONGEST],
}

impl Default for HalfBand {
    fn default() -> Self {
        HalfBand { window: [0.0; HISTORY + LONGEST] }
    }
}

impl HalfBand {
    /// Gives one sample for every two of `input`.
    pub(super) fn halve<const IN: usize, const OUT: usize>(&mut self, input: &[f32; IN]) -> [f32; OUT] {
        const { assert!(IN == 2 * OUT && IN <= LONGEST) };
        self.window[HISTORY..HISTORY + IN].copy_from_slice(input);
        let out = std::array::from_fn(|index| {
            let around = &self.window[2 * index..2 * index + 2 * REACH + 1];
            let sides =
                (0..4).map(|k| SIDE_TAPS[k] * (around[REACH - 1 - 2 * k] + around[REACH + 1 + 2 * k]));
            0.5 * around[REACH] + sides.sum::<f32>()
        });
        self.window.copy_within(IN..IN + HISTORY, 0);
        out
    }
}
