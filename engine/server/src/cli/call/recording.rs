//! The call as its two parties had it: the caller left, as sent; the agent right, as *played*.
//!
//! Both sides get one frame every 20 ms, so that they stay aligned by construction.

use std::path::Path;

use parlance_media::resample::{Resampler, UnsupportedRate};

use super::super::Error;

/// A recording under way, in memory.
#[derive(Debug)]
pub struct Recording {
    rate_hz: u32,
    caller: Side,
    agent: Side,
}

#[derive(Debug)]
struct Side {
    resampler: Resampler,
    samples: Vec<i16>,
}

impl Recording {
    /// An empty recording of a caller and an agent at these rates; the higher one is kept.
    ///
    /// # Errors
    /// A rate that media does not know.
    pub fn new(caller_hz: u32, agent_hz: u32) -> Result<Self, UnsupportedRate> {
        let rate_hz = caller_hz.max(agent_hz);
        let side = |from_hz| Ok(Side { resampler: Resampler::new(from_hz, rate_hz)?, samples: Vec::new() });
        Ok(Self { rate_hz, caller: side(caller_hz)?, agent: side(agent_hz)? })
    }

    /// Adds the same stretch of time of both.
    pub fn add(&mut self, caller: &[i16], agent: &[i16]) {
        for (side, samples) in [(&mut self.caller, caller), (&mut self.agent, agent)] {
            side.resampler.process(samples, &mut side.samples);
        }
    }

    /// Writes the stereo WAV file.
    ///
    /// # Errors
    /// [`Error::File`], or the encoder's refusal.
    pub fn save(&self, path: &Path) -> Result<(), Error> {
        let spec = hound::WavSpec {
            channels: 2,
            sample_rate: self.rate_hz,
            bits_per_sample: 16,
            sample_format: hound::SampleFormat::Int,
        };
        let write = || -> hound::Result<()> {
            let mut file = hound::WavWriter::create(path, spec)?;
            for (caller, agent) in self.caller.samples.iter().zip(&self.agent.samples) {
                file.write_sample(*caller)?;
                file.write_sample(*agent)?;
            }
            file.finalize()
        };
        write().map_err(|error| match error {
            hound::Error::IoError(source) => Error::File { path: path.to_owned(), source },
            other => Error::Usage(format!("{}: {other}", path.display())),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_caller_is_left_and_the_agent_right_at_the_higher_rate() {
        let mut recording = Recording::new(8_000, 16_000).expect("both are known");
        for _ in 0..50 {
            recording.add(&[4_000; 160], &[-4_000; 320]);
        }
        let path = std::env::temp_dir().join(format!("parlance-recording-{}.wav", std::process::id()));
        recording.save(&path).expect("the folder can be written");
        let clip = parlance_media::wav::read(&path).expect("it is a WAV file");
        std::fs::remove_file(&path).expect("it was just made");
        assert_eq!(clip.sample_rate_hz, 16_000);
        assert_eq!(clip.channels[0].len(), 16_000);
        assert!(clip.channels[0][8_000] > 3_900 && clip.channels[1][8_000] == -4_000);
    }
}
