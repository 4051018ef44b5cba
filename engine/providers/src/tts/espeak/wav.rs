//! The head of a WAV stream whose end is not written yet.
//!
//! A program that writes to a pipe can't go back to fill in lengths, so they are not believed:
//! audio goes on to the end of the stream. Enter at [`head`].

/// What the stream holds and where its samples begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::tts) struct Head {
    /// Bytes before the first sample.
    pub(in crate::tts) length: usize,
    pub(in crate::tts) sample_rate_hz: u32,
    pub(in crate::tts) channels: u16,
    pub(in crate::tts) bits: u16,
}

/// A stream without samples after so many bytes is no WAV.
const HEAD_MAX: usize = 4096;

/// The head, or `None` while more bytes are needed.
pub(in crate::tts) fn head(bytes: &[u8]) -> Result<Option<Head>, String> {
    if bytes.len() < 12 {
        return Ok(None);
    }
    if &bytes[..4] != b"RIFF" || &bytes[8..12] != b"WAVE" {
        return Err("its output is no WAV stream".to_owned());
    }
    let mut at = 12;
    let mut format = None;
    while let Some(chunk) = bytes.get(at..at + 8) {
        let length = u32::from_le_bytes([chunk[4], chunk[5], chunk[6], chunk[7]]) as usize;
        match (&chunk[..4], format) {
            (b"data", Some((sample_rate_hz, channels, bits))) => {
                return Ok(Some(Head { length: at + 8, sample_rate_hz, channels, bits }));
            }
            (b"data", None) => return Err("its WAV stream has samples before their format".to_owned()),
            (b"fmt ", _) => format = format_in(&bytes[at + 8..]),
            _ => {}
        }
        at = at.saturating_add(8).saturating_add(length);
        if at > HEAD_MAX {
            return Err("its WAV stream has no samples".to_owned());
        }
    }
    Ok(None)
}

fn format_in(body: &[u8]) -> Option<(u32, u16, u16)> {
    let body = body.get(..16)?;
    let rate = u32::from_le_bytes([body[4], body[5], body[6], body[7]]);
    Some((rate, u16::from_le_bytes([body[2], body[3]]), u16::from_le_bytes([body[14], body[15]])))
}

/// Little-endian 16-bit samples.
pub(in crate::tts) fn samples(bytes: &[u8]) -> Vec<i16> {
    bytes.chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A head as espeak-ng streams it: the lengths are the greatest there are.
    fn streamed() -> Vec<u8> {
        let mut bytes = b"RIFF\x24\xf0\xff\x7fWAVEfmt \x10\0\0\0\x01\0\x01\0".to_vec();
        bytes.extend(22_050u32.to_le_bytes());
        bytes.extend(44_100u32.to_le_bytes());
        bytes.extend(*b"\x02\0\x10\0data\0\xf0\xff\x7f");
        bytes
    }

    #[test]
    fn samples_begin_where_the_data_chunk_says_whatever_length_it_claims() {
        let expected = Head { length: 44, sample_rate_hz: 22_050, channels: 1, bits: 16 };
        assert_eq!(head(&streamed()), Ok(Some(expected)));
    }

    #[test]
    fn half_a_head_asks_for_more() {
        for cut in 0..44 {
            assert_eq!(head(&streamed()[..cut]), Ok(None), "{cut}");
        }
    }

    #[test]
    fn other_output_is_no_head() {
        assert!(head(b"Error: no such voice").is_err());
        let mut endless = streamed();
        endless[36..40].copy_from_slice(b"LIST");
        assert!(head(&endless).is_err());
    }
}
