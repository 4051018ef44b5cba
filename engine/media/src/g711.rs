//! G.711: the two 8-bit telephone codecs, mu-law and A-law, by table.
//!
//! Turns bytes into 16-bit samples and back; knows no rates and no framing. Enter at [`Law::decode`] and
//! [`Law::encode`]. Both directions look up: 256 entries down, and up only the 14 (mu-law) or 13 (A-law)
//! high bits that the standard looks at, so that a table stays in the first-level cache.

use std::sync::LazyLock;

use audio_codec_algorithms::{decode_alaw, decode_ulaw, encode_alaw, encode_ulaw};

/// Which of the two companding laws of ITU-T G.711.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Law {
    /// Mu-law, used in North America and Japan; silence is `0xFF`.
    Mu,
    /// A-law, used elsewhere; silence is `0xD5`.
    A,
}

impl Law {
    /// Appends one sample for each byte of `encoded`. Every byte is valid.
    pub fn decode(self, encoded: &[u8], out: &mut Vec<i16>) {
        let table = &self.tables().decode;
        out.extend(encoded.iter().map(|&byte| table[byte as usize]));
    }

    /// Appends one byte for each of `samples`.
    pub fn encode(self, samples: &[i16], out: &mut Vec<u8>) {
        let Tables { encode, shift, .. } = self.tables();
        out.extend(samples.iter().map(|&sample| encode[(sample as u16 >> shift) as usize]));
    }

    fn tables(self) -> &'static Tables {
        static MU: LazyLock<Tables> = LazyLock::new(|| Tables::fill(decode_ulaw, encode_ulaw, 2));
        static A: LazyLock<Tables> = LazyLock::new(|| Tables::fill(decode_alaw, encode_alaw, 3));
        match self {
            Law::Mu => &MU,
            Law::A => &A,
        }
    }
}

struct Tables {
    decode: [i16; 256],
    encode: Box<[u8]>,
    /// Low bits of a sample that the law ignores.
    shift: u32,
}

impl Tables {
    fn fill(decode: fn(u8) -> i16, encode: fn(i16) -> u8, shift: u32) -> Self {
        Tables {
            decode: std::array::from_fn(|byte| decode(byte as u8)),
            encode: (0..=u16::MAX >> shift).map(|high| encode((high << shift) as i16)).collect(),
            shift,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(law: Law, bytes: &[u8]) -> Vec<i16> {
        let mut out = Vec::new();
        law.decode(bytes, &mut out);
        out
    }

    fn encode(law: Law, samples: &[i16]) -> Vec<u8> {
        let mut out = Vec::new();
        law.encode(samples, &mut out);
        out
    }

    #[test]
    fn every_byte_survives_decode_and_encode() {
        let all: Vec<u8> = (0..=255).collect();
        assert_eq!(encode(Law::A, &decode(Law::A, &all)), all);
        // Mu-law has a negative zero, which the standard folds into the positive one.
        let folded: Vec<u8> = all.iter().map(|&byte| if byte == 0x7F { 0xFF } else { byte }).collect();
        assert_eq!(encode(Law::Mu, &decode(Law::Mu, &all)), folded);
    }

    #[test]
    fn every_sample_encodes_as_the_full_computation_does() {
        let all: Vec<i16> = (i16::MIN..=i16::MAX).collect();
        let computed: Vec<u8> = all.iter().map(|&sample| encode_ulaw(sample)).collect();
        assert!(encode(Law::Mu, &all) == computed, "mu-law looks at more than the 14 high bits");
        let computed: Vec<u8> = all.iter().map(|&sample| encode_alaw(sample)).collect();
        assert!(encode(Law::A, &all) == computed, "A-law looks at more than the 13 high bits");
    }

    #[test]
    fn silence_has_the_bytes_the_standard_gives_it() {
        assert_eq!(encode(Law::Mu, &[0]), [0xFF]);
        assert_eq!(encode(Law::A, &[0]), [0xD5]);
    }

    #[test]
    fn a_sample_comes_back_within_one_part_in_thirty_two() {
        for law in [Law::Mu, Law::A] {
            for sample in (-32_000..=32_000).step_by(7) {
                let back = decode(law, &encode(law, &[sample]))[0];
                let allowed = f32::from(sample.unsigned_abs()) / 32.0 + 8.0;
                assert!(f32::from(back.abs_diff(sample)) <= allowed, "{law:?}: {sample} became {back}");
            }
        }
    }
}
