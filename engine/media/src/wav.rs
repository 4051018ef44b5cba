//! Audio files: reads a clip into samples.
//!
//! Takes WAV of 16-bit PCM with one or two channels, and raw mu-law at 8 kHz (no header, so known by its
//! name). Converts nothing: rate and channels come out as they were stored. Enter at [`read`]. Writing a
//! call is [`crate::recording`].

use std::io::Read;
use std::path::Path;

use crate::g711::Law;

/// A clip as it was stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clip {
    /// Samples a second, in hertz; any rate.
    pub sample_rate_hz: u32,
    /// One list of samples a channel, one or two of them, equally long.
    pub channels: Vec<Vec<i16>>,
}

/// Why a file gave no clip.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file could not be opened or read.
    #[error("read {path}: {source}")]
    File {
        /// The file that was asked for.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The bytes are no WAV file, or a kind of one that nothing here writes.
    #[error("read it as WAV: {0}")]
    NotWav(String),
    /// A WAV file with other samples than 16-bit PCM in one or two channels.
    #[error("use WAV with {channels} channels of {bits}-bit {kind} samples (1 or 2 of 16-bit PCM are)")]
    Unsupported {
        /// Channels in the file.
        channels: u16,
        /// Bits of a sample.
        bits: u16,
        /// `integer` or `float`.
        kind: &'static str,
    },
}

/// Reads the file at `path`: raw mu-law if its name ends in `.ulaw`, else WAV.
///
/// # Errors
/// [`Error::File`] naming the path, or what [`parse`] finds.
pub fn read(path: &Path) -> Result<Clip, Error> {
    let bytes =
        std::fs::read(path).map_err(|source| Error::File { path: path.display().to_string(), source })?;
    if path.extension().is_some_and(|end| end.eq_ignore_ascii_case("ulaw")) {
        let mut samples = Vec::with_capacity(bytes.len());
        Law::Mu.decode(&bytes, &mut samples);
        return Ok(Clip { sample_rate_hz: 8_000, channels: vec![samples] });
    }
    parse(bytes.as_slice())
}

/// Reads a WAV stream.
///
/// # Errors
/// [`Error::NotWav`] when it is broken, cut off or in an encoding other than PCM; [`Error::Unsupported`]
/// when the samples are not 16 bits wide or there are more than two channels.
pub fn parse(bytes: impl Read) -> Result<Clip, Error> {
    let not_wav = |error: hound::Error| Error::NotWav(error.to_string());
    let mut reader = hound::WavReader::new(bytes).map_err(not_wav)?;
    let hound::WavSpec { channels, sample_rate, bits_per_sample: bits, sample_format } = reader.spec();
    let kind = match sample_format {
        hound::SampleFormat::Int => "integer",
        hound::SampleFormat::Float => "float",
    };
    if !(1..=2).contains(&channels) || bits != 16 || kind != "integer" {
        return Err(Error::Unsupported { channels, bits, kind });
    }
    let count = channels as usize;
    let mut split = vec![Vec::with_capacity(reader.duration() as usize); count];
    for (position, sample) in reader.samples::<i16>().enumerate() {
        split[position % count].push(sample.map_err(not_wav)?);
    }
    Ok(Clip { sample_rate_hz: sample_rate, channels: split })
}

impl Clip {
    /// All channels mixed to one by their mean.
    #[must_use]
    pub fn into_mono(mut self) -> Vec<i16> {
        let mut first = self.channels.swap_remove(0);
        for other in &self.channels {
            first.iter_mut().zip(other).for_each(|(a, b)| *a = i16::midpoint(*a, *b));
        }
        first
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    fn wav<S: hound::Sample + Copy>(spec: hound::WavSpec, samples: &[S]) -> Vec<u8> {
        let mut bytes = Cursor::new(Vec::new());
        let mut writer = hound::WavWriter::new(&mut bytes, spec).unwrap();
        samples.iter().for_each(|&sample| writer.write_sample(sample).unwrap());
        writer.finalize().unwrap();
        bytes.into_inner()
    }

    fn spec(channels: u16, bits_per_sample: u16, sample_format: hound::SampleFormat) -> hound::WavSpec {
        hound::WavSpec { channels, sample_rate: 22_050, bits_per_sample, sample_format }
    }

    #[test]
    fn stereo_comes_apart_and_mixes_by_its_mean() {
        let bytes = wav(spec(2, 16, hound::SampleFormat::Int), &[1_i16, 3, -5, -7]);
        let clip = parse(bytes.as_slice()).unwrap();
        assert_eq!((clip.sample_rate_hz, &clip.channels), (22_050, &vec![vec![1, -5], vec![3, -7]]));
        assert_eq!(clip.into_mono(), [2, -6]);
    }

    #[test]
    fn other_samples_than_16_bit_pcm_are_refused_by_what_they_are() {
        let float = wav(spec(1, 32, hound::SampleFormat::Float), &[0.5_f32]);
        let error = parse(float.as_slice()).unwrap_err();
        assert!(error.to_string().contains("32-bit float"), "{error}");
        let many = wav(spec(3, 16, hound::SampleFormat::Int), &[0_i16; 3]);
        assert!(matches!(parse(many.as_slice()), Err(Error::Unsupported { channels: 3, .. })));
    }

    #[test]
    fn what_is_no_wav_or_is_cut_off_is_an_error() {
        assert!(matches!(parse(&b"not a wave at all, only text"[..]), Err(Error::NotWav(_))));
        let whole = wav(spec(1, 16, hound::SampleFormat::Int), &[7_i16; 100]);
        assert!(matches!(parse(&whole[..whole.len() - 51]), Err(Error::NotWav(_))));
    }

    #[test]
    fn a_file_that_is_not_there_is_named() {
        let error = read(Path::new("no-such-clip.wav")).unwrap_err();
        assert!(error.to_string().contains("no-such-clip.wav"), "{error}");
    }

    #[test]
    fn a_raw_mu_law_clip_is_known_by_its_name() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/audio");
        let clip = read(&folder.join("u02_slt.ulaw")).unwrap();
        assert_eq!((clip.sample_rate_hz, clip.channels.len(), clip.channels[0].len()), (8_000, 1, 11_840));
        assert!(crate::level::rms_dbfs(&clip.into_mono()) > -30.0);
    }
}
