//! Levels: how loud a block of samples is, in decibels below full scale.
//!
//! A measure and nothing more; who calls a level quiet or clipped decides so elsewhere. A full-scale square
//! wave is 0 dBFS, a full-scale sine −3 dBFS; silence is [`SILENCE_DBFS`], so that no infinity travels.

/// What silence measures: below the step of a 16-bit sample, and finite.
pub const SILENCE_DBFS: f32 = -120.0;

/// Root mean square of `samples` in dBFS; [`SILENCE_DBFS`] when all are zero or there are none.
#[must_use]
pub fn rms_dbfs(samples: &[i16]) -> f32 {
    if samples.is_empty() {
        return SILENCE_DBFS;
    }
    power_dbfs(power(samples) / samples.len() as f32)
}

/// Largest magnitude of `samples` in dBFS; [`SILENCE_DBFS`] when all are zero or there are none.
#[must_use]
pub fn peak_dbfs(samples: &[i16]) -> f32 {
    let peak = samples.iter().map(|sample| sample.unsigned_abs()).max().unwrap_or(0);
    let peak = f32::from(peak);
    power_dbfs(peak * peak)
}

/// How many samples sit at either end of the 16-bit range, where the wave was most likely cut off.
#[must_use]
pub fn clipped_samples(samples: &[i16]) -> usize {
    samples.iter().filter(|&&sample| sample == i16::MAX || sample == i16::MIN).count()
}

/// Sum of squares, in squared sample units.
pub(crate) fn power(samples: &[i16]) -> f32 {
    samples.iter().map(|&sample| f32::from(sample) * f32::from(sample)).sum()
}

/// A mean square in squared sample units as dBFS.
pub(crate) fn power_dbfs(mean_square: f32) -> f32 {
    const FULL_SCALE: f32 = 32_768.0 * 32_768.0;
    (10.0 * (mean_square / FULL_SCALE).log10()).max(SILENCE_DBFS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_square_wave_measures_the_same_by_peak_and_by_power() {
        let half = [16_384, -16_384].repeat(100);
        assert!((rms_dbfs(&half) + 6.02).abs() < 0.01);
        assert!((peak_dbfs(&half) + 6.02).abs() < 0.01);
    }

    #[test]
    fn silence_and_nothing_measure_the_floor() {
        for quiet in [&[0; 320][..], &[]] {
            assert_eq!((rms_dbfs(quiet), peak_dbfs(quiet)), (SILENCE_DBFS, SILENCE_DBFS));
        }
    }

    #[test]
    fn the_most_negative_sample_is_full_scale_and_counts_as_clipped() {
        assert!(peak_dbfs(&[i16::MIN]).abs() < 0.01);
        assert_eq!(clipped_samples(&[i16::MIN, 0, i16::MAX, -32_767]), 2);
    }
}
