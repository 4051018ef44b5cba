//! What the caller says: recorded clips, each with its cue.
//!
//! A clip is brought to the rate of the session once, before the call begins, so that a bad file costs no call.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use parlance_media::resample::Resampler;
use parlance_media::wav;

use super::super::Error;

/// A sample louder than this belongs to the words and not to the quiet around them (-36 dBFS).
const LOUD: u16 = 512;

/// When a clip begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cue {
    /// When the agent has finished, and been quiet for 400 ms.
    AgentDone,
    /// So many milliseconds after the agent's next audio begins to play: a barge-in.
    IntoAgent {
        /// Milliseconds from the first sample played.
        after_ms: u32,
    },
}

/// A clip as it is named on the command line: `FILE` or `FILE@MILLISECONDS`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClipArg {
    /// The WAV file (or raw mu-law, if it ends in `.ulaw`).
    pub path: PathBuf,
    /// When it begins.
    pub cue: Cue,
}

impl FromStr for ClipArg {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let barge_in = text
            .rsplit_once('@')
            .and_then(|(path, after)| Some((path, after.parse().ok()?)))
            .filter(|(path, _)| !path.is_empty());
        Ok(match barge_in {
            Some((path, after_ms)) => Self { path: path.into(), cue: Cue::IntoAgent { after_ms } },
            None => Self { path: text.into(), cue: Cue::AgentDone },
        })
    }
}

/// A clip ready to be said.
#[derive(Debug, Clone)]
pub struct Clip {
    /// Its file's name, for people.
    pub name: String,
    /// When it begins.
    pub cue: Cue,
    /// Samples at the session's rate.
    pub samples: Vec<i16>,
    /// Index after its last loud sample: what comes after is waiting, not speaking.
    pub voice_end: usize,
}

impl Clip {
    /// Reads the clip and brings it to `rate_hz`.
    ///
    /// # Errors
    /// What is wrong with the file, naming it.
    pub fn load(arg: &ClipArg, rate_hz: u32) -> Result<Self, Error> {
        let name = display_name(&arg.path);
        let stored = wav::read(&arg.path).map_err(|error| match error {
            wav::Error::File { .. } => Error::Usage(format!("failed to {error}")),
            other => Error::Usage(format!("failed to {other} in {}", arg.path.display())),
        })?;
        let from_hz = stored.sample_rate_hz;
        let mut resampler = Resampler::new(from_hz, rate_hz).map_err(|_| {
            Error::Usage(format!(
                "{name} has {from_hz} samples a second: use 8000, 16000, 22050, 24000 or 48000"
            ))
        })?;
        let mut samples = Vec::new();
        resampler.process(&stored.into_mono(), &mut samples);
        Ok(Self::new(name, arg.cue, samples))
    }

    /// A clip of these samples.
    #[must_use]
    pub fn new(name: String, cue: Cue, samples: Vec<i16>) -> Self {
        let voice_end = samples
            .iter()
            .rposition(|sample| sample.unsigned_abs() > LOUD)
            .map_or(samples.len(), |last| last + 1);
        Self { name, cue, samples, voice_end }
    }
}

fn display_name(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> ClipArg {
        let Ok(arg) = text.parse();
        arg
    }

    #[test]
    fn a_number_after_the_last_at_sign_is_a_barge_in() {
        assert_eq!(
            parse("no.wav@1200"),
            ClipArg { path: "no.wav".into(), cue: Cue::IntoAgent { after_ms: 1_200 } }
        );
        assert_eq!(parse("no.wav"), ClipArg { path: "no.wav".into(), cue: Cue::AgentDone });
        assert_eq!(parse("a@b.wav"), ClipArg { path: "a@b.wav".into(), cue: Cue::AgentDone });
    }

    #[test]
    fn the_quiet_at_the_end_of_a_clip_is_not_speech() {
        let mut samples = vec![0; 100];
        samples.extend([4_000; 50]);
        samples.extend([20; 300]);
        assert_eq!(Clip::new("a".into(), Cue::AgentDone, samples).voice_end, 150);
    }

    #[test]
    fn a_telephone_clip_is_brought_to_the_rate_of_the_session() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/audio/u08_slt.ulaw");
        let arg = ClipArg { path, cue: Cue::AgentDone };
        let at_8k = Clip::load(&arg, 8_000).expect("it is there");
        let at_16k = Clip::load(&arg, 16_000).expect("it is there");
        assert_eq!(at_16k.samples.len(), 2 * at_8k.samples.len());
    }
}
