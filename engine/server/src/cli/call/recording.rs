//! The call as its two parties had it: the caller left, as sent; the agent right, as *played*.
//!
//! Both sides get one frame every 20 ms, so that they stay aligned by construction. Begun before the call, so that
//! a file that can't be written costs none.

use std::path::{Path, PathBuf};

use parlance_media::EAR_RATE_HZ;
use parlance_media::recording::{RecordingFile, Side};
use parlance_media::resample::Resampler;

use super::super::Error;

/// A recording under way, at 16 kHz.
pub struct Recording {
    path: PathBuf,
    file: RecordingFile,
    caller: Resampler,
    agent: Resampler,
    recorded_us: u64,
}

impl Recording {
    /// Begins the recording of a caller and an agent at these rates.
    ///
    /// # Errors
    /// [`Error::File`] if the file can't be made.
    pub fn begin(path: &Path, caller_hz: u32, agent_hz: u32) -> Result<Self, Error> {
        let resampler = |from_hz| {
            Resampler::new(from_hz, EAR_RATE_HZ).map_err(|error| Error::Usage(format!("failed to {error}")))
        };
        let file =
            RecordingFile::create(path).map_err(|source| Error::File { path: path.to_owned(), source })?;
        let (caller, agent) = (resampler(caller_hz)?, resampler(agent_hz)?);
        Ok(Self { path: path.to_owned(), file, caller, agent, recorded_us: 0 })
    }

    /// Adds one frame of both.
    ///
    /// # Errors
    /// [`Error::File`] if it can't be written.
    pub fn add(&mut self, caller: &[i16], agent: &[i16]) -> Result<(), Error> {
        let at_us = self.recorded_us;
        for (side, resampler, samples) in
            [(Side::Caller, &mut self.caller, caller), (Side::Agent, &mut self.agent, agent)]
        {
            let mut heard = Vec::new();
            resampler.process(samples, &mut heard);
            self.file
                .push(side, at_us, &heard)
                .map_err(|source| Error::File { path: self.path.clone(), source })?;
        }
        self.recorded_us += parlance_media::FRAME_US;
        Ok(())
    }

    /// Completes the file.
    ///
    /// # Errors
    /// [`Error::File`] if it can't be written or named.
    pub fn finish(self) -> Result<(), Error> {
        let path = self.path;
        self.file.finish().map(drop).map_err(|source| Error::File { path, source })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_caller_is_left_and_the_agent_right_whatever_their_rates() {
        let path = std::env::temp_dir().join(format!("parlance-recording-{}.wav", std::process::id()));
        let mut recording = Recording::begin(&path, 8_000, 24_000).expect("the folder can be written");
        for _ in 0..50 {
            recording.add(&[4_000; 160], &[-4_000; 480]).expect("there is room");
        }
        recording.finish().expect("there is room");
        let clip = parlance_media::wav::read(&path).expect("it is a WAV file");
        std::fs::remove_file(&path).expect("it was just made");
        assert_eq!((clip.sample_rate_hz, clip.channels[0].len()), (16_000, 16_000));
        assert!(clip.channels[0][8_000] > 3_900 && clip.channels[1][8_000] < -3_900);
    }
}
