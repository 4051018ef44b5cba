//! Audio formats: which encodings at which rates may cross the edge, and their bytes.
//!
//! An [`AudioFormat`] exists only for a pair the engine speaks, so nothing behind the edge checks again.
//! Converts between wire bytes and samples at the format's own rate; a change of rate is
//! [`crate::resample`]. Enter at [`AudioFormat::new`].

use crate::frame_samples;
use crate::g711::Law;

/// How samples are written as bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Encoding {
    /// 16-bit signed PCM, little endian; 8, 16, 24 or 48 kHz.
    Pcm16Le,
    /// G.711 mu-law; 8 kHz only.
    MuLaw,
    /// G.711 A-law; 8 kHz only.
    ALaw,
}

/// A pair of encoding and rate that the engine speaks. Always one channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct AudioFormat {
    encoding: Encoding,
    sample_rate_hz: u32,
}

/// Why a format or a block of bytes was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The encoding exists, but not at this rate.
    #[error("use {encoding:?} at {sample_rate_hz} Hz (it is spoken at {allowed:?} Hz)")]
    UnsupportedRate {
        /// What was asked for.
        encoding: Encoding,
        /// The rate that was asked for, in hertz.
        sample_rate_hz: u32,
        /// The rates that would have been taken, in hertz.
        allowed: &'static [u32],
    },
    /// 16-bit samples cannot fill an odd number of bytes.
    #[error("read {bytes} bytes as 16-bit samples: the count is odd")]
    OddByteCount {
        /// Length of the refused block.
        bytes: usize,
    },
}

impl Encoding {
    /// The rates this encoding is spoken at, in hertz.
    #[must_use]
    pub const fn rates_hz(self) -> &'static [u32] {
        match self {
            Encoding::Pcm16Le => &[8_000, 16_000, 24_000, 48_000],
            Encoding::MuLaw | Encoding::ALaw => &[8_000],
        }
    }
}

impl AudioFormat {
    /// Checks that the engine speaks `encoding` at `sample_rate_hz`.
    ///
    /// # Errors
    /// [`Error::UnsupportedRate`], which names the rates that would do.
    pub fn new(encoding: Encoding, sample_rate_hz: u32) -> Result<Self, Error> {
        let allowed = encoding.rates_hz();
        if allowed.contains(&sample_rate_hz) {
            Ok(AudioFormat { encoding, sample_rate_hz })
        } else {
            Err(Error::UnsupportedRate { encoding, sample_rate_hz, allowed })
        }
    }

    /// How samples are written as bytes.
    #[must_use]
    pub const fn encoding(self) -> Encoding {
        self.encoding
    }

    /// Samples a second, in hertz.
    #[must_use]
    pub const fn sample_rate_hz(self) -> u32 {
        self.sample_rate_hz
    }

    /// Bytes of one sample: 2 for PCM, 1 for G.711.
    #[must_use]
    pub const fn bytes_per_sample(self) -> usize {
        match self.encoding {
            Encoding::Pcm16Le => 2,
            Encoding::MuLaw | Encoding::ALaw => 1,
        }
    }

    /// Bytes of one 20 ms frame.
    #[must_use]
    pub const fn bytes_per_frame(self) -> usize {
        frame_samples(self.sample_rate_hz) * self.bytes_per_sample()
    }

    /// Appends the samples written in `bytes`, a block of any length.
    ///
    /// # Errors
    /// [`Error::OddByteCount`] when PCM bytes do not come in pairs; `out` is then as it was.
    pub fn decode(self, bytes: &[u8], out: &mut Vec<i16>) -> Result<(), Error> {
        match self.encoding {
            Encoding::Pcm16Le => {
                let (pairs, rest) = bytes.as_chunks::<2>();
                if !rest.is_empty() {
                    return Err(Error::OddByteCount { bytes: bytes.len() });
                }
                out.extend(pairs.iter().map(|&pair| i16::from_le_bytes(pair)));
            }
            Encoding::MuLaw => Law::Mu.decode(bytes, out),
            Encoding::ALaw => Law::A.decode(bytes, out),
        }
        Ok(())
    }

    /// Appends the bytes of `samples`.
    pub fn encode(self, samples: &[i16], out: &mut Vec<u8>) {
        match self.encoding {
            Encoding::Pcm16Le => {
                out.reserve(samples.len() * 2);
                samples.iter().for_each(|sample| out.extend_from_slice(&sample.to_le_bytes()));
            }
            Encoding::MuLaw => Law::Mu.encode(samples, out),
            Encoding::ALaw => Law::A.encode(samples, out),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_listed_pairs_exist_and_a_refusal_names_the_rates() {
        for rate in [8_000, 16_000, 24_000, 48_000] {
            assert!(AudioFormat::new(Encoding::Pcm16Le, rate).is_ok());
        }
        for (encoding, rate) in [(Encoding::Pcm16Le, 44_100), (Encoding::MuLaw, 16_000), (Encoding::ALaw, 0)]
        {
            let refusal = AudioFormat::new(encoding, rate).unwrap_err();
            assert_eq!(
                refusal,
                Error::UnsupportedRate { encoding, sample_rate_hz: rate, allowed: encoding.rates_hz() }
            );
            assert!(refusal.to_string().contains("8000"), "{refusal}");
        }
    }

    #[test]
    fn a_frame_has_as_many_bytes_as_20_ms_take() {
        let frame = |encoding, rate| AudioFormat::new(encoding, rate).unwrap().bytes_per_frame();
        assert_eq!(frame(Encoding::Pcm16Le, 8_000), 320);
        assert_eq!(frame(Encoding::Pcm16Le, 48_000), 1_920);
        assert_eq!(frame(Encoding::MuLaw, 8_000), 160);
    }

    #[test]
    fn pcm_is_little_endian_both_ways() {
        let pcm = AudioFormat::new(Encoding::Pcm16Le, 16_000).unwrap();
        let (mut samples, mut bytes) = (vec![7], Vec::new());
        pcm.decode(&[0x01, 0x80, 0xFF, 0x7F], &mut samples).unwrap();
        assert_eq!(samples, [7, -32_767, 32_767], "appended to what was there");
        pcm.encode(&samples[1..], &mut bytes);
        assert_eq!(bytes, [0x01, 0x80, 0xFF, 0x7F]);
    }

    #[test]
    fn an_odd_byte_count_is_refused_by_its_number_and_leaves_no_samples() {
        let pcm = AudioFormat::new(Encoding::Pcm16Le, 8_000).unwrap();
        let mut samples = Vec::new();
        let refusal = pcm.decode(&[0; 321], &mut samples).unwrap_err();
        assert_eq!(refusal, Error::OddByteCount { bytes: 321 });
        assert!(refusal.to_string().contains("321") && samples.is_empty());
    }
}
