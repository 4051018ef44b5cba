//! Signal processing for the chain: from the format a call is heard in to the one a provider takes.

use std::sync::Arc;

use parlance_media::g711::Law;
use parlance_media::resample::Resampler;
use parlance_providers::audio::{Audio, AudioFormat, Convert, Converters, OwnedAudio};

/// Converters between mu-law and PCM at the rates of the media room.
pub fn of_media() -> Converters {
    Arc::new(|from, to| Box::new(Conversion::new(from, to)))
}

/// One stream.
struct Conversion {
    to: AudioFormat,
    /// `None` where the rates are equal, or where the media room does not know one: the samples then pass as they are.
    resampler: Option<Resampler>,
    decoded: Vec<i16>,
}

impl Conversion {
    fn new(from: AudioFormat, to: AudioFormat) -> Self {
        let (from_hz, to_hz) = (from.sample_rate_hz(), to.sample_rate_hz());
        let resampler = (from_hz != to_hz).then(|| Resampler::new(from_hz, to_hz));
        let resampler = resampler.and_then(|made| {
            made.inspect_err(|error| tracing::error!(%error, "audio for a provider keeps its rate")).ok()
        });
        Self { to, resampler, decoded: Vec::new() }
    }
}

impl Convert for Conversion {
    fn convert(&mut self, audio: Audio<'_>) -> OwnedAudio {
        if let (Audio::MuLaw(bytes), AudioFormat::MuLaw) = (audio, self.to) {
            return OwnedAudio::MuLaw(bytes.to_vec());
        }
        self.decoded.clear();
        match audio {
            Audio::Pcm16(samples) => self.decoded.extend_from_slice(samples),
            Audio::MuLaw(bytes) => Law::Mu.decode(bytes, &mut self.decoded),
        }
        let samples = match &mut self.resampler {
            Some(resampler) => {
                let mut resampled = Vec::with_capacity(self.decoded.len() * 6);
                resampler.process(&self.decoded, &mut resampled);
                resampled
            }
            None => self.decoded.clone(),
        };
        match self.to {
            AudioFormat::Pcm16 { .. } => OwnedAudio::Pcm16(samples),
            AudioFormat::MuLaw => {
                let mut bytes = Vec::with_capacity(samples.len());
                Law::Mu.encode(&samples, &mut bytes);
                OwnedAudio::MuLaw(bytes)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mu_law_passes_untouched_and_becomes_as_much_pcm_as_lasts_as_long() {
        let bytes: Vec<u8> = (0..=255).chain(0..64).collect();
        let same = of_media()(AudioFormat::MuLaw, AudioFormat::MuLaw).convert(Audio::MuLaw(&bytes));
        assert_eq!(same, OwnedAudio::MuLaw(bytes.clone()));
        for rate_hz in [8_000, 16_000, 24_000] {
            let to = AudioFormat::Pcm16 { sample_rate_hz: rate_hz };
            let out = of_media()(AudioFormat::MuLaw, to).convert(Audio::MuLaw(&bytes));
            assert_eq!(out.borrowed().samples(), 320 * rate_hz as usize / 8_000, "{rate_hz}");
            assert!(matches!(out, OwnedAudio::Pcm16(_)));
        }
    }

    #[test]
    fn voices_are_played_at_just_the_rates_of_the_media_room() {
        assert_eq!(parlance_providers::audio::PLAYABLE_HZ, parlance_media::resample::RATES_HZ);
    }

    #[test]
    fn a_tone_at_16_khz_is_the_same_tone_as_mu_law() {
        let tone = |rate: f64, count: usize| -> Vec<i16> {
            let sample = |at: usize| (at as f64 * 440.0 * std::f64::consts::TAU / rate).sin() * 8_000.0;
            (0..count).map(|at| sample(at) as i16).collect()
        };
        let wide = tone(16_000.0, 3_200);
        let mut to_line = of_media()(AudioFormat::PCM_16K, AudioFormat::MuLaw);
        let OwnedAudio::MuLaw(bytes) = to_line.convert(Audio::Pcm16(&wide)) else { panic!("it is mu-law") };
        assert_eq!(bytes.len(), 1_600);
        let mut decoded = Vec::new();
        Law::Mu.decode(&bytes, &mut decoded);
        let power = |samples: &[i16]| {
            samples.iter().map(|sample| f64::from(*sample).powi(2)).sum::<f64>() / samples.len() as f64
        };
        let ratio = power(&decoded[400..1_200]) / power(&wide[800..2_400]);
        assert!((0.95..1.05).contains(&ratio), "{ratio}");
    }
}
