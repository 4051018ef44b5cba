//! How an agent's voice sounds beside which voice it is: pace, loudness, and words that are said otherwise.
//!
//! Pronunciations change only what the voice is given; the conversation, and so the transcript, keeps the words.
//! Loudness is bent, not cut: near full scale it grows ever more slowly, because clipping crackles.

use std::collections::HashMap;

/// Above this share of full scale a raised sample is bent.
const KNEE: f32 = 0.8;
const FULL_SCALE: f32 = 32_767.0;

/// How a voice sounds.
#[derive(Debug, Clone, PartialEq)]
pub struct Manner {
    /// Percent of the voice's ordinary pace.
    pub speed_percent: u16,
    /// Factor of the voice's ordinary loudness.
    pub volume: f32,
    /// Words, in lower case, and what is spoken for them.
    pub pronunciations: HashMap<String, String>,
}

impl Default for Manner {
    /// As the voice is.
    fn default() -> Self {
        Self { speed_percent: 100, volume: 1.0, pronunciations: HashMap::new() }
    }
}

impl Manner {
    /// The text as the voice shall be given it.
    pub fn spoken(&self, text: &str) -> String {
        if self.pronunciations.is_empty() {
            return text.to_owned();
        }
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(first) = rest.chars().next() {
            let of_word = |letter: char| letter.is_alphanumeric() || letter == '\'';
            let same = |letter: char| of_word(letter) == of_word(first);
            let end = rest.find(|letter| !same(letter)).unwrap_or(rest.len());
            let (piece, after) = rest.split_at(end);
            let otherwise = of_word(first).then(|| self.pronunciations.get(&piece.to_lowercase())).flatten();
            out.push_str(otherwise.map_or(piece, String::as_str));
            rest = after;
        }
        out
    }

    /// Makes samples as loud as they shall be.
    pub fn raise(&self, samples: &mut [i16]) {
        if self.volume == 1.0 {
            return;
        }
        for sample in samples {
            let raised = f32::from(*sample) / FULL_SCALE * self.volume;
            *sample = (bent(raised) * FULL_SCALE) as i16;
        }
    }
}

fn bent(share: f32) -> f32 {
    let over = share.abs() - KNEE;
    if over <= 0.0 {
        return share;
    }
    let room = 1.0 - KNEE;
    share.signum() * (KNEE + room * (over / room).tanh())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_words_are_said_otherwise_whatever_their_case_and_what_surrounds_them() {
        let pronunciations =
            [("luna", "LOO nah"), ("gif", "jif")].map(|(word, said)| (word.to_owned(), said.to_owned()));
        let manner = Manner { pronunciations: pronunciations.into(), ..Manner::default() };
        assert_eq!(manner.spoken("Luna, a GIF; gifts at lunar's."), "LOO nah, a jif; gifts at lunar's.");
        assert_eq!(Manner::default().spoken("Luna"), "Luna");
        assert_eq!(manner.spoken(""), "");
    }

    #[test]
    fn louder_samples_keep_their_order_and_never_wrap_round() {
        let loud = Manner { volume: 2.0, ..Manner::default() };
        let mut samples = [-32_768, -20_000, -1_000, 0, 1_000, 10_000, 15_000, 20_000, 32_767];
        loud.raise(&mut samples);
        assert_eq!(samples[4], 2_000);
        assert!(samples.is_sorted() && samples[0] < -30_000 && samples[8] > 30_000, "{samples:?}");
        let silent = Manner { volume: 0.0, ..Manner::default() };
        silent.raise(&mut samples);
        assert_eq!(samples, [0; 9]);
    }
}
