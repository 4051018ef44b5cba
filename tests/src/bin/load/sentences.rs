//! What the callers say to stand-ins: sentences as tones that a stand-in can hear word by word, over real speech.
//!
//! Half of them end like finished sentences, because the engine waits longer after others; a quarter have a pause in the
//! middle, because there an answer is begun in vain. Enter at [`sounds`].

use std::path::Path;

use parlance_fakes::code::speech_with;

use crate::clip::{Clip, RATE_HZ, ROOM, Sounds, read};

/// `|` is a pause.
const SENTENCES: [&str; 8] = [
    "hello we would like to come on friday evening.",
    "there will be six of us around the table",
    "could we please sit outside in the garden?",
    "we are coming by train | so it gets late",
    "one of my friends eats no meat at all",
    "we also bring a small dog that sleeps.",
    "it is my birthday | so some cake is welcome.",
    "please call me back if you are full",
];
/// Shorter than any wait, so that the turn goes on after it.
const PAUSE_MS: u32 = 300;
const BED: &str = "u02_slt.wav";

/// The sentences, and the words in the order of their numbers.
///
/// # Errors
/// A sentence: the audio folder is not there.
pub fn sounds() -> Result<(Sounds, Vec<String>), String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("audio");
    let (room, bed) = (read(&folder.join(ROOM))?, read(&folder.join(BED))?);
    let mut words = Vec::new();
    let clips =
        SENTENCES.iter().map(|sentence| Clip::new(&spoken(sentence, &bed, &mut words), &room)).collect();
    Ok((Sounds::new(clips, &room), words))
}

fn spoken(sentence: &str, bed: &[i16], words: &mut Vec<String>) -> Vec<i16> {
    let mut samples = Vec::new();
    for part in sentence.split('|') {
        if !samples.is_empty() {
            samples.resize(samples.len() + (RATE_HZ / 1_000 * PAUSE_MS) as usize, 0);
        }
        let mut numbers = Vec::new();
        for word in part.split_whitespace() {
            let known = words.iter().position(|known| known == word);
            let number = known.unwrap_or_else(|| {
                words.push(word.to_owned());
                words.len() - 1
            });
            numbers.push(u16::try_from(number).unwrap_or(u16::MAX));
        }
        samples.extend(speech_with(&numbers, bed));
    }
    samples
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_that_comes_again_has_its_number_and_a_pause_is_heard() {
        let mut words = Vec::new();
        let bed = vec![3_000; 16_000];
        let whole = spoken("we are | we", &bed, &mut words);
        assert_eq!(words, ["we", "are"]);
        let quiet = whole.iter().filter(|sample| **sample == 0).count();
        assert!(quiet >= 4_800, "{quiet} samples of quiet");
    }
}
