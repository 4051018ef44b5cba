//! Which recognised words were really said: a grammar recogniser hears its grammar in any noise.
//!
//! Looks at how long the words lasted and whether voice was on, never at what they mean. A cough
//! under a yes/no grammar comes as a "no" of 50 ms; nobody says it that fast. Enter at [`plausible`].

use super::dictionary::Dictionary;
use super::voice::Voice;
use crate::stt::Word;

/// Words with less silence than this between them stand or fall together.
const RUN_GAP_US: u64 = 100_000;
/// The least time for a word on its own: its first syllable, and each one more.
const FIRST_SYLLABLE_US: u64 = 120_000;
const NEXT_SYLLABLE_US: u64 = 60_000;
/// The least average time a sound of running speech; quick talkers reach 65 ms.
const PHONE_US: u64 = 50_000;
/// The least voice in a turn worth any word, and the least share of a run that must be voiced.
const VOICED_US_MIN: u64 = 150_000;
const VOICED_PERCENT_MIN: u64 = 40;
/// The detector marks the edges of voice up to this late or early.
const VOICE_SLACK_US: u64 = 60_000;
/// The beginning of a sentence that then broke off counts from so many words and so much time.
const BROKEN_OFF_WORDS_MIN: usize = 2;
const BROKEN_OFF_US_MIN: u64 = 350_000;

/// The words that can have been said, given when voice was on; `now` is the end of the audio.
pub(super) fn plausible(words: Vec<Word>, voice: &Voice, now: u64) -> Vec<Word> {
    if voice.within(0, now, now) < VOICED_US_MIN {
        return Vec::new();
    }
    runs(words).into_iter().filter(|run| lasts(run) && is_voiced(run, voice, now)).flatten().collect()
}

/// As [`plausible`], for words that are not a whole sentence of the grammar: a sound or two that
/// merely begins like one is nothing.
pub(super) fn plausible_beginning(words: Vec<Word>, voice: &Voice, now: u64) -> Vec<Word> {
    let words = plausible(words, voice, now);
    let spoken: u64 = words.iter().map(|word| word.end_us - word.start_us).sum();
    if words.len() < BROKEN_OFF_WORDS_MIN || spoken < BROKEN_OFF_US_MIN { Vec::new() } else { words }
}

fn runs(words: Vec<Word>) -> Vec<Vec<Word>> {
    let mut runs: Vec<Vec<Word>> = Vec::new();
    for word in words {
        match runs.last_mut() {
            Some(run) if run.last().is_some_and(|last| word.start_us < last.end_us + RUN_GAP_US) => {
                run.push(word);
            }
            _ => runs.push(vec![word]),
        }
    }
    runs
}

fn lasts(run: &[Word]) -> bool {
    let time: u64 = run.iter().map(|word| word.end_us - word.start_us).sum();
    let sounds: Vec<_> = run.iter().map(|word| Sounds::of(&word.text)).collect();
    let phones: u64 = sounds.iter().map(|sounds| sounds.phones).sum();
    match &sounds[..] {
        [alone] => time >= FIRST_SYLLABLE_US + NEXT_SYLLABLE_US * alone.syllables.saturating_sub(1),
        _ => time >= PHONE_US * phones,
    }
}

fn is_voiced(run: &[Word], voice: &Voice, now: u64) -> bool {
    let (Some(first), Some(last)) = (run.first(), run.last()) else { return false };
    let from = first.start_us.saturating_sub(VOICE_SLACK_US);
    let voiced = voice.within(from, last.end_us + VOICE_SLACK_US, now);
    voiced * 100 >= (last.end_us - first.start_us) * VOICED_PERCENT_MIN
}

/// How many sounds and syllables a word has.
struct Sounds {
    phones: u64,
    syllables: u64,
}

impl Sounds {
    /// Of its shortest way to be said; a word the dictionary doesn't hold is judged by its letters.
    fn of(word: &str) -> Self {
        let ways = Dictionary::get().map(|dictionary| dictionary.sounds(word)).unwrap_or_default();
        ways.iter().map(|phones| Self::of_phones(phones)).min_by_key(|sounds| sounds.phones).unwrap_or_else(
            || Self { phones: word.chars().count() as u64, syllables: word.len().div_ceil(4) as u64 },
        )
    }

    fn of_phones(phones: &str) -> Self {
        let is_vowel = |phone: &&str| phone.starts_with(['A', 'E', 'I', 'O', 'U']);
        let phones = phones.split_whitespace();
        Self { phones: phones.clone().count() as u64, syllables: phones.filter(is_vowel).count() as u64 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn word(text: &str, from_ms: u64, to_ms: u64) -> Word {
        Word { text: text.to_owned(), start_us: from_ms * 1000, end_us: to_ms * 1000 }
    }

    fn voice(from_ms: u64, to_ms: u64) -> Voice {
        let mut voice = Voice::default();
        voice.start(from_ms * 1000);
        voice.end(to_ms * 1000);
        voice
    }

    fn passed(words: Vec<Word>, voice: &Voice) -> Vec<String> {
        plausible(words, voice, 9_000_000).into_iter().map(|word| word.text).collect()
    }

    #[test]
    fn a_no_of_fifty_milliseconds_is_a_cough_and_one_of_two_hundred_is_a_no() {
        assert!(passed(vec![word("no", 500, 550)], &voice(400, 800)).is_empty());
        assert_eq!(passed(vec![word("no", 500, 700)], &voice(480, 700)), ["no"]);
    }

    #[test]
    fn little_words_may_be_short_inside_a_sentence() {
        let sentence = vec![word("a", 500, 530), word("table", 530, 900), word("for", 900, 1000)];
        assert_eq!(passed(sentence, &voice(500, 1000)), ["a", "table", "for"]);
    }

    #[test]
    fn a_word_too_quick_to_be_said_goes_without_those_after_a_pause() {
        let words = vec![word("eight", 200, 290), word("five", 700, 950), word("nine", 950, 1200)];
        assert_eq!(passed(words, &voice(200, 1200)), ["five", "nine"]);
    }

    #[test]
    fn words_where_no_voice_was_are_noise() {
        assert!(passed(vec![word("yes", 2000, 2300)], &voice(400, 900)).is_empty());
    }

    #[test]
    fn a_click_is_too_little_voice_for_any_word() {
        assert!(passed(vec![word("yes", 400, 700)], &voice(450, 550)).is_empty());
    }

    #[test]
    fn one_word_is_not_yet_the_beginning_of_a_sentence() {
        let said = voice(200, 1100);
        assert!(plausible_beginning(vec![word("my", 200, 600)], &said, 1_200_000).is_empty());
        let beginning = vec![word("my", 200, 400), word("name", 400, 780), word("is", 780, 1030)];
        assert_eq!(plausible_beginning(beginning, &said, 1_200_000).len(), 3);
    }
}
